"""`data check`: what a data set holds, and what is wrong with it.

Counts labels of all folds, the sealed one included, but reads no signal of its own: the caller passes the
function that does.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.numbers import counted_words
from scores.metrics import unseen_classes
from search.data.catalogue import Catalogue, Unit
from search.data.folds import FoldPlan, shared_patients
from search.data.labels.severity import Scheme
from search.data.signals.records import Damage
from search.data.signals.sweep import Survey
from search.data.signals.waveforms import Waveforms
from search.data.sources import OWN, PTBXL, find_data
from search.errors import DataError

FindDamage = Callable[[Waveforms], Survey]
"""Function that reads all records and returns what is wrong with them."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TierCounts:
    """Labels of one tier.

    Attributes:
        classes: All classes of the tier, also those that do not occur.
        positives: Rows of the data set with each class (column) in each fold (row 0 is fold 1, the last
            one the sealed fold), int64 (F, C).
        unlabelled: Rows of the data set without any class of the tier in each fold, int64 (F,).
        ordinal: Whether each row has exactly one class, from mild to severe.
    """

    classes: tuple[str, ...]
    positives: NDArray[np.int64]
    unlabelled: NDArray[np.int64]
    ordinal: bool

    def occurring(self, fold: int | None = None) -> dict[str, int]:
        """Classes with at least one positive and how many, in all folds or in one."""
        counts = self.positives.sum(axis=0) if fold is None else self.positives[fold - 1]
        return {name: int(n) for name, n in zip(self.classes, counts, strict=True) if n}

    def only_sealed(self) -> list[str]:
        """Classes whose positives are all in the sealed fold: nothing can be trained on."""
        developed = self.positives[:-1].sum(axis=0)
        return [
            name
            for name, n in zip(self.classes, developed, strict=True)
            if not n and name in self.occurring()
        ]

    def in_one_row(self) -> list[str]:
        """Classes with a single positive."""
        return [name for name, n in self.occurring().items() if n == 1]

    def in_every_row(self, n_rows: int) -> list[str]:
        """Classes without a negative, which no score can be computed of."""
        return [name for name, n in self.occurring().items() if n == n_rows]

    def never_occurring(self) -> list[str]:
        """Classes without a positive in any fold."""
        return [name for name in self.classes if name not in self.occurring()]


@dataclass(frozen=True, kw_only=True, slots=True)
class RateReport:
    """Waveforms at one rate: records whose files are there, records they lack, records that are damaged.

    `notes` are on records that can be read.
    """

    n_present: int
    missing_ids: tuple[int, ...]
    damaged: tuple[Damage, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DataReport:
    """The result of `data check`.

    Attributes:
        root: Folder of the data set.
        kind: Name of the kind of data set.
        version: Published version, or how many records there are.
        synthetic: Whether the records were generated.
        unit: What a row is: a record, or a beat of a record.
        plan: What the folds are for.
        default_target: Tier whose classes are listed first.
        n_rows: Rows of the data set.
        n_records: Records they come from.
        n_patients: Different patients.
        rows_by_fold: Rows in each fold, int64 (F,).
        patients_by_fold: Different patients in each fold, int64 (F,).
        tiers: Label counts of each tier.
        severity_map: What the ordinal tiers follow; None where there are none.
        shared_patients: Patients in several CV groups, or in the sealed fold and elsewhere.
        rates: For each rate in Hz that the data set names, None if no file of that rate is there.
        damage_sought: Whether signals were read to look for damage.
        unlabelled_records: Records left out because what labels them cannot be read.
        notes: What else was left out, and why.
    """

    root: Path
    kind: str
    version: str
    synthetic: bool
    unit: Unit
    plan: FoldPlan
    default_target: str
    n_rows: int
    n_records: int
    n_patients: int
    rows_by_fold: NDArray[np.int64]
    patients_by_fold: NDArray[np.int64]
    tiers: Mapping[str, TierCounts]
    severity_map: Scheme | None
    shared_patients: tuple[int | str, ...]
    rates: Mapping[int, RateReport | None]
    damage_sought: bool
    unlabelled_records: tuple[Damage, ...]
    notes: tuple[str, ...]

    @property
    def has_waveforms(self) -> bool:
        """Whether there is a signal file at all; a folder of labels only has none."""
        return any(rate is not None for rate in self.rates.values())

    def unseen_classes(self, tier: str) -> list[str]:
        """Classes of a tier that one CV fold alone has, scored by models that never saw one."""
        counts, rows = self.tiers[tier], [[fold - 1 for fold in folds] for folds in self.plan.groups]
        return unseen_classes(
            counts.classes,
            np.stack([counts.positives[of_group].sum(axis=0) for of_group in rows]),
            [int(self.rows_by_fold[of_group].sum()) for of_group in rows],
        )

    @property
    def empty_groups(self) -> list[int]:
        """CV folds, counted from 1, without a row: a search cannot be run."""
        return [
            number
            for number, folds in enumerate(self.plan.groups, start=1)
            if not any(self.rows_by_fold[fold - 1] for fold in folds)
        ]

    @property
    def sound(self) -> bool:
        """No patient in two groups, nothing damaged, and a rate with all records (or labels only)."""
        found = [rate for rate in self.rates.values() if rate is not None]
        complete = not found or any(not rate.missing_ids for rate in found)
        damaged = self.unlabelled_records or any(rate.damaged for rate in found)
        return complete and not self.shared_patients and not damaged

    def to_json(self) -> dict[str, Any]:
        """The report as plain dictionaries, lists, numbers and strings."""
        return {
            "path": str(self.root),
            "kind": self.kind,
            "version": self.version,
            "synthetic": self.synthetic,
            "records": self.n_records,
            "unit": self.unit,
            "rows": self.n_rows,
            "patients": self.n_patients,
            "sound": self.sound,
            "tiers": {name: self._tier_json(counts) for name, counts in self.tiers.items()},
            "classes_without_positives": {
                name: counts.never_occurring() for name, counts in self.tiers.items()
            },
            "classes_without_negatives": {
                name: counts.in_every_row(self.n_rows) for name, counts in self.tiers.items()
            },
            f"classes_in_one_{self.unit}": {name: counts.in_one_row() for name, counts in self.tiers.items()},
            "classes_in_one_cv_fold": {name: self.unseen_classes(name) for name in self.tiers},
            "classes_only_in_the_test_fold": {
                name: counts.only_sealed() for name, counts in self.tiers.items()
            },
            "severity_map": _severity_json(self.severity_map),
            "folds": {label: self._fold_json(row) for row, label in enumerate(self.plan.labels)},
            "patients_in_several_folds": list(self.shared_patients),
            "has_waveforms": self.has_waveforms,
            "damage_sought": self.damage_sought,
            "waveforms": {str(rate): _rate_json(report) for rate, report in self.rates.items()},
            "unreadable_labels": [_damage_json(damage) for damage in self.unlabelled_records],
            "notes": list(self.notes),
        }

    def _fold_json(self, row: int) -> dict[str, Any]:
        return {
            f"{self.unit}s": int(self.rows_by_fold[row]),
            "patients": int(self.patients_by_fold[row]),
            "tiers": {
                name: {
                    "ones": int(counts.positives[row].sum()),
                    "all_zero": int(counts.unlabelled[row]),
                    "classes": counts.occurring(row + 1),
                }
                for name, counts in self.tiers.items()
            },
        }

    def _tier_json(self, counts: TierCounts) -> dict[str, Any]:
        return {
            f"{self.unit}s": int(self.rows_by_fold.sum()),
            "ones": int(counts.positives.sum()),
            "classes": counts.occurring(),
            "unlabelled": int(counts.unlabelled.sum()),
            self.plan.sealed_key: {
                "rows": int(self.rows_by_fold[-1]),
                "ones": int(counts.positives[-1].sum()),
                "all_zero": int(counts.unlabelled[-1]),
            },
        }


def _severity_json(scheme: Scheme | None) -> dict[str, str] | None:
    if scheme is None:
        return None
    return {"name": scheme.name, "source": scheme.source, "review": scheme.review}


def _rate_json(report: RateReport | None) -> dict[str, Any] | None:
    if report is None:
        return None
    return {
        "present": report.n_present,
        "missing": len(report.missing_ids),
        "missing_ids": list(report.missing_ids),
        "damaged": [_damage_json(record) for record in report.damaged],
        "notes": list(report.notes),
    }


def _damage_json(damage: Damage) -> dict[str, Any]:
    return {"ecg_id": damage.ecg_id, "filename": damage.filename, "reason": damage.reason}


def check(path: Path, find_damage: FindDamage | None = None) -> DataReport:
    """Look at a data set, with or without waveforms.

    Args:
        path: The folder or one above it.
        find_damage: Reads signals and returns what is wrong with them; it is handed, for each rate, only
            records whose files are there. None leaves the signals unread.

    Raises:
        DataError: There is no data set, or its tables cannot be read.
    """
    folder = find_data(path)
    catalogue = folder.read()
    plan, severity = catalogue.fold_plan, catalogue.hierarchy.severity
    fold_row = catalogue.strat_fold - 1
    pairs = np.unique(np.stack([catalogue.patient_id, fold_row]), axis=1)
    shared = shared_patients(catalogue.patient_id, catalogue.strat_fold, plan).tolist()
    return DataReport(
        root=catalogue.root,
        kind=folder.source.name,
        version=catalogue.version,
        synthetic=catalogue.synthetic,
        unit=catalogue.unit,
        plan=plan,
        default_target=folder.source.default_target,
        n_rows=len(catalogue),
        n_records=len(np.unique(catalogue.at_rate(None).record_id)),
        n_patients=len(np.unique(catalogue.patient_id)),
        rows_by_fold=np.bincount(fold_row, minlength=plan.sealed),
        patients_by_fold=np.bincount(pairs[1], minlength=plan.sealed),
        tiers={tier: _count(catalogue, tier) for tier in catalogue.hierarchy.tiers},
        severity_map=None if severity is None else severity.scheme,
        shared_patients=tuple(catalogue.patient_names.get(patient, patient) for patient in shared),
        rates={
            rate_hz: _check_rate(signals, catalogue.patient_id, find_damage)
            for rate_hz, signals in catalogue.waveforms.items()
        },
        damage_sought=find_damage is not None,
        unlabelled_records=catalogue.damages,
        notes=(*catalogue.notes, *(_unlisted(catalogue) if folder.source in (PTBXL, OWN) else ())),
    )


def _count(catalogue: Catalogue, tier: str) -> TierCounts:
    y_NC = catalogue.labels(tier)
    classes = catalogue.hierarchy.classes(tier)
    n_folds = catalogue.fold_plan.sealed
    positives = np.zeros((n_folds, len(classes)), dtype=np.int64)
    np.add.at(positives, catalogue.strat_fold - 1, y_NC)
    unlabelled = np.bincount(catalogue.strat_fold[~y_NC.any(axis=1)] - 1, minlength=n_folds)
    ordinal = catalogue.hierarchy.is_ordinal(tier)
    return TierCounts(classes=classes, positives=positives, unlabelled=unlabelled, ordinal=ordinal)


def _check_rate(
    waveforms: Waveforms, patient_id: NDArray[np.int64], find_damage: FindDamage | None
) -> RateReport | None:
    present, n_files, differing = _present(waveforms)
    if not n_files and not differing:
        return None
    here = waveforms.select(present)
    found = find_damage(here) if find_damage is not None and present.any() else None
    notes = []
    if differing:
        notes.append(f"files under names with other capitals, to be renamed: {counted_words(differing)}")
    if found is not None:
        notes += found.notes(here, patient_id[present])
    return RateReport(
        n_present=len(np.unique(here.record_id)),
        missing_ids=tuple(dict.fromkeys(waveforms.record_id[~present].tolist())),
        damaged=() if found is None else found.damages,
        notes=tuple(notes),
    )


def _present(waveforms: Waveforms) -> tuple[NDArray[np.bool_], int, list[str]]:
    """Whether all files of each row's record are there, how many are, and files found in other letters only.

    Lists each folder once instead of asking for 43,598 files.
    """
    listings: dict[str, Mapping[str, str]] = {}
    differing: dict[str, str] = {}

    def found_as(file: str) -> str | None:
        """Path of a file, each part under its own name or else the same name in other letters."""
        path = ""
        for part in file.split("/"):
            if path not in listings:
                listings[path] = _names_in(waveforms.root / path)
            name = listings[path].get(part) or listings[path].get(part.casefold())
            if name is None:
                return None
            path = f"{path}/{name}" if path else name
        return path

    def is_there(file: str) -> bool:
        found = found_as(file)
        if found is None or found == file or (waveforms.root / file).exists():
            return found is not None
        differing[file] = f"{found} for {file}"
        return False

    found = {
        name: [is_there(file) for file in waveforms.files(name)] for name in dict.fromkeys(waveforms.names)
    }
    present = np.array([all(found[name]) for name in waveforms.names], dtype=np.bool_)
    return present, sum(map(sum, found.values())), list(differing.values())


def _unlisted(catalogue: Catalogue) -> tuple[str, ...]:
    """A note on headers below the folder that no row of the table names."""
    records = [(signals, name) for signals in catalogue.waveforms.values() for name in set(signals.names)]
    headers = (path for path in catalogue.root.rglob("*.hea") if not path.name.startswith("."))
    alone = {path.relative_to(catalogue.root).as_posix() for path in headers}
    alone.difference_update(f"{name}.hea" for _, name in records)
    if alone:  # segments have headers of their own
        alone.difference_update(*(signals.files(name) for signals, name in records))
    return (f"headers that the table does not name, left out: {counted_words(sorted(alone))}",) * bool(alone)


def _names_in(folder: Path) -> dict[str, str]:
    """Names in a folder by themselves and by their small letters; none where there is no such folder.

    Raises:
        DataError: It cannot be opened, which must not look as if it were empty.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise DataError(f"{folder} cannot be opened: {error.strerror}; check its permissions") from error
    return {name.casefold(): name for name in names} | {name: name for name in names}
