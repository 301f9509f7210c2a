"""The development part of a data set: signals and labels at every tier, without the sealed fold.

The sealed fold's rows leave the catalogue before a signal file is touched.

Shape suffixes: N row (a record or a beat), L lead, T time, C class.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import space
from search.data.cache import Signals, load_signals
from search.data.catalogue import Catalogue, Unit
from search.data.features.names import FEATURE_NAMES
from search.data.folds import FoldPlan, check_patient_safety
from search.data.labels.tiers import Hierarchy
from search.data.signals.leads import chosen_leads
from search.data.signals.records import Damage
from search.data.signals.sweep import Progress, describe_damages
from search.data.sources import find_data
from search.data.subset import Amount, draw
from search.errors import DamagedRecordsError, DataError


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Development:
    """The part of a data set that a search may use."""

    name: str
    """"demo" for generated records, otherwise the short name of the data set, such as "ptb-xl"."""
    version: str
    """Published version, or "SYNTHETIC"."""
    synthetic: bool
    """Whether the records were generated; every output must then be marked SYNTHETIC."""
    rate_hz: int
    """Sampling rate."""
    fingerprint: str
    """SHA-256 over the content, hexadecimal: equal for copies of the data anywhere, of any age."""
    unit: Unit
    """Unit of a row: record or beat."""
    leads: tuple[str, ...]
    """Names of the leads, axis L."""
    ecg_id: NDArray[np.int64]
    """Ids of the rows, shape (N,)."""
    patient_id: NDArray[np.int64]
    """Patients, shape (N,)."""
    strat_fold: NDArray[np.int64]
    """The data set's own folds without the sealed one, shape (N,)."""
    fold_plan: FoldPlan
    """CV groups, each held out together."""
    x_NLT: NDArray[np.int16]
    """Microvolts, memory-mapped and read-only."""
    y: Mapping[str, NDArray[np.bool_]]
    """Labels at each tier, shape (N, C)."""
    soft_labels: Callable[[str], NDArray[np.float32]] | None
    """Function from a tier to the probability of each class by the likelihood of its statements, shape (N,
    C); None where statements have no likelihoods."""
    hierarchy: Hierarchy
    """Tiers of the data set, their classes, and how tiers project onto each other."""
    skipped: tuple[Damage, ...]
    """Damaged records left out, with reasons."""
    flat_leads: Mapping[int, tuple[str, ...]]
    """Record id and names of leads without a signal, of records that are in."""
    n_unlabeled_dropped: int
    """Rows left out because they have no label at the target tier."""
    n_outside_subset: int = 0
    """Rows outside the chosen subset."""
    lead_subset: tuple[str, ...] | None = None
    """Leads that were chosen; None for all that the data set has."""
    contains: tuple[str, ...] = ()
    """Short names of other data sets of which records may be among these."""
    numbering: str = ""
    """SHA-256, hexadecimal, of the names behind the numbers of records and patients of the whole data set,
    where these are no numbers of its own; empty where they are."""
    notes: tuple[str, ...] = ()
    """Further parts of the data left out, with the reason, one line each."""
    age: NDArray[np.float32] | None = None
    """Years, 90 for 90 and over, NaN for unknown, shape (N,); None where the data set has none."""
    sex: NDArray[np.float32] | None = None
    """0 male, 1 female, NaN for unknown, shape (N,); None where the data set has none."""
    groups: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    """Origin of each row by attribute, such as `device`, shape (N,); empty for unknown."""
    details: str = ""
    """SHA-256, hexadecimal, over what `fingerprint` leaves out: likelihoods of statements, age, sex and
    origin; empty where that is not known."""
    details_without_people: str = ""
    """The same of these records without age and sex."""

    def __len__(self) -> int:
        return len(self.ecg_id)

    def without_people(self) -> "Development":
        """The same records without age and sex."""
        return replace(self, age=None, sex=None, details=self.details_without_people)

    def shares_records_with(self, other: "Development") -> bool:
        """Whether both are the same data set, or one may hold records of the other under other names."""
        return self.name == other.name or self.name in other.contains or other.name in self.contains

    def leads_of(self, text: str) -> tuple[str, ...]:
        """Names of some of the leads, in the order of axis L; arguments and errors as for `of_leads`."""
        return tuple(self.leads[column] for column in chosen_leads(text, self.leads))

    def of_leads(self, text: str) -> "Development":
        """The same rows with some of the leads; itself where `text` means all of them.

        Args:
            text: As for `search.data.signals.leads.chosen_leads`.

        Raises:
            UsageError: There is no such lead.
        """
        columns = chosen_leads(text, self.leads)
        if len(columns) == len(self.leads):
            return self
        names = self.leads_of(text)
        flat = {
            record: tuple(lead for lead in found if lead in names)
            for record, found in self.flat_leads.items()
        }
        return replace(
            self,
            leads=names,
            x_NLT=self.x_NLT[:, columns],
            flat_leads={record: found for record, found in flat.items() if found},
            lead_subset=names,
        )

    @property
    def inputs(self) -> space.Inputs:
        """Properties of the data set that models depend on."""
        # A beat of its own has no rhythm, and hardly more than a QRS complex.
        n_features = 2 * len(FEATURE_NAMES) if self.unit == "record" else 0
        return space.Inputs(
            n_leads=len(self.leads),
            n_samples=self.x_NLT.shape[2],
            n_features=n_features,
            likelihoods=self.soft_labels is not None,
        )


def load_development(
    path: Path,
    *,
    rate_hz: int | None = None,
    drop_unlabeled_tier: str | None = None,
    split: str | None = None,
    leads: str | None = None,
    records: str | None = None,
    skip_damaged: bool = False,
    cache_dir: Path,
    progress: Progress | None = None,
) -> Development:
    """Read all of a data set but its sealed fold.

    Args:
        path: The folder of the data set or one above it.
        rate_hz: Sampling rate; the lowest that the data set has if not given.
        drop_unlabeled_tier: Leave out rows without any label at this tier, as the benchmark of Strodthoff
            et al. (2020) does; by default they stay, as rows of zeros.
        split: How folds are made, where the data set has several ways; by default inter-patient.
        leads: Leads to use, named as in `search.data.signals.leads.chosen_leads`; all if not given.
        records: How many records to use, as in `search.data.subset.Amount`; all if not given.
        skip_damaged: Leave damaged records out instead of raising.
        cache_dir: Folder for the signal cache.
        progress: Called with rows done and rows in all while files are read; never on a warm start.

    Raises:
        UsageError: The tier, the rate, the split or a lead does not exist, or `records` is no amount.
        DamagedRecordsError: Records are damaged or missing, and `skip_damaged` is off.
        DataError: There is no data set, its tables are wrong, a patient is in several folds, there are not
            more records than asked for, or the cache cannot be written.
    """
    catalogue = _read(path, split, skip_damaged).with_leads(leads)
    if drop_unlabeled_tier is not None:
        catalogue.hierarchy.check_tier(drop_unlabeled_tier)
    labeled, n_dropped = _without_sealed(catalogue, drop_unlabeled_tier)
    chosen = labeled if records is None else draw(labeled, Amount.parse(records))
    return _load(
        chosen,
        rate_hz=rate_hz,
        cache_dir=cache_dir,
        skip_damaged=skip_damaged,
        progress=progress,
        n_dropped=n_dropped,
        n_outside_subset=len(labeled) - len(chosen),
    )


def load_sealed(
    path: Path,
    *,
    rate_hz: int,
    drop_unlabeled_tier: str | None = None,
    split: str | None = None,
    leads: str | None = None,
    cache_dir: Path,
    progress: Progress | None = None,
) -> Development:
    """Read the sealed fold alone. Only `evaluate` may, after it has written down that it does.

    Records that cannot be read are left out. The arguments and errors are those of `load_development`.
    """
    catalogue = _read(path, split, skip_damaged=True).with_leads(leads)
    sealed = catalogue.select(catalogue.strat_fold == catalogue.fold_plan.sealed)
    chosen = _labeled(sealed, drop_unlabeled_tier)
    if not len(chosen):
        raise DataError(
            f"{catalogue.root} has nothing to test on in {catalogue.fold_plan.sealed_name} "
            f"({len(sealed):,} {catalogue.unit}s before labels)"
        )
    return _load(
        chosen,
        rate_hz=rate_hz,
        cache_dir=cache_dir,
        skip_damaged=True,
        progress=progress,
        n_dropped=len(sealed) - len(chosen),
    )


def has_sealed(path: Path, split: str | None = None) -> bool:
    """Whether the tables of a data set name any record of the sealed fold; no signal is read."""
    catalogue = find_data(path).read(split)
    return bool((catalogue.strat_fold == catalogue.fold_plan.sealed).any())


def load_external(
    path: Path, *, rate_hz: int, cache_dir: Path, progress: Progress | None = None
) -> Development:
    """Read all of a data set on which no model was trained, to test one on it.

    Records that cannot be read are left out. The arguments and errors are those of `load_development`.
    """
    catalogue = _read(path, None, skip_damaged=True)
    return _load(catalogue, rate_hz=rate_hz, cache_dir=cache_dir, skip_damaged=True, progress=progress)


def _read(path: Path, split: str | None, skip_damaged: bool) -> Catalogue:
    catalogue = find_data(path).read(split)
    if catalogue.damages and not skip_damaged:
        raise DamagedRecordsError(
            f"{len(catalogue.damages):,} records cannot be used: {describe_damages(catalogue.damages)}; "
            "repair them or give --skip-damaged to go on without them"
        )
    return catalogue


def _load(
    catalogue: Catalogue,
    *,
    rate_hz: int | None,
    cache_dir: Path,
    skip_damaged: bool,
    progress: Progress | None,
    n_dropped: int = 0,
    n_outside_subset: int = 0,
) -> Development:
    """Signals and labels of the rows of a catalogue."""
    waveforms = catalogue.at_rate(rate_hz)
    signals = load_signals(waveforms, cache_dir=cache_dir, skip_damaged=skip_damaged, progress=progress)
    kept = catalogue.select(signals.kept)
    return Development(
        name=kept.name,
        version=kept.version,
        synthetic=kept.synthetic,
        rate_hz=waveforms.rate_hz,
        fingerprint=_fingerprint(kept, signals, waveforms.rate_hz),
        unit=kept.unit,
        leads=waveforms.leads,
        ecg_id=kept.ecg_id,
        patient_id=kept.patient_id,
        strat_fold=kept.strat_fold,
        fold_plan=kept.fold_plan,
        x_NLT=signals.x_NLT,
        y={tier: kept.labels(tier) for tier in kept.hierarchy.tiers},
        soft_labels=None if kept.certainty is None else kept.soft_labels,
        hierarchy=kept.hierarchy,
        skipped=(*kept.damages, *signals.survey.damages),
        flat_leads=signals.survey.flat_leads,
        n_unlabeled_dropped=n_dropped,
        n_outside_subset=n_outside_subset,
        lead_subset=kept.lead_subset,
        contains=kept.contains,
        numbering=kept.numbering,
        notes=(*kept.notes, *signals.survey.notes(waveforms, catalogue.patient_id)),
        age=kept.age,
        sex=kept.sex,
        groups=kept.groups,
        details=_details(kept, (kept.age, kept.sex)),
        details_without_people=_details(kept, (None, None)),
    )


def _without_sealed(catalogue: Catalogue, drop_unlabeled_tier: str | None) -> tuple[Catalogue, int]:
    """The rows to train and score on, and how many were dropped for want of a label.

    Raises:
        DataError: A patient is in several folds, or nothing is left.
    """
    if catalogue.patient_safe:
        check_patient_safety(
            catalogue.patient_id, catalogue.strat_fold, catalogue.fold_plan, catalogue.patient_names
        )
    development = catalogue.select(catalogue.strat_fold != catalogue.fold_plan.sealed)
    chosen = _labeled(development, drop_unlabeled_tier)
    if not len(chosen):
        plan, n_patients = catalogue.fold_plan, len(np.unique(catalogue.patient_id))
        raise DataError(
            f"{catalogue.root} has nothing to train on outside {plan.sealed_name} ({len(development):,} "
            f"{catalogue.unit}s before labels, {n_patients:,} patient{'s' * (n_patients != 1)} in all); "
            f"{plan.patients_needed}"
        )
    return chosen, len(development) - len(chosen)


def _labeled(catalogue: Catalogue, tier: str | None) -> Catalogue:
    """The rows that have a label at a tier; all of them if none is named."""
    if tier is None:
        return catalogue
    return catalogue.select(np.flatnonzero(catalogue.labels(tier).any(axis=1)))


def _fingerprint(kept: Catalogue, signals: Signals, rate_hz: int) -> str:
    """SHA-256 over what decides a result: signals, ids, patients, folds, statements and what they mean."""
    y_NC = kept.labels(kept.hierarchy.finest)
    digest = hashlib.sha256(f"development 1\n{rate_hz} Hz\n{signals.sha256}\n{kept.meaning}\n".encode())
    digest.update(f"{signals.x_NLT.shape} {y_NC.shape}\n".encode())
    for column in (kept.ecg_id, kept.patient_id, kept.strat_fold):
        digest.update(column.astype("<i8").tobytes())
    digest.update(np.packbits(y_NC).tobytes())
    return digest.hexdigest()


def _details(kept: Catalogue, people: Sequence[NDArray[np.float32] | None]) -> str:
    """SHA-256 over likelihoods, age, sex and origin of the rows, age and sex being given.

    Soft labels, features and scores by group follow from them. They are apart from the fingerprint, which
    studies made before have without them.
    """
    digest = hashlib.sha256(b"details 1\n")
    likelihoods = [
        sorted(row.items()) if isinstance(row, Mapping) else [] for row in kept.statements if kept.certainty
    ]
    groups = {name: group_N.tolist() for name, group_N in sorted(kept.groups.items())}
    digest.update(json.dumps([likelihoods, groups]).encode())
    for column in people:
        digest.update(b"-" if column is None else np.nan_to_num(column, nan=-1).astype("<f4").tobytes())
    return digest.hexdigest()
