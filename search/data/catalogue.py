"""The content of the tables of a data set, before a signal is read.

A row is one input of a model: a whole record, or one beat of a record. Every kind of data set is read into a
`Catalogue`; all later code is the same for every kind.

Shape suffixes: N row, C class.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from search.data.folds import FoldPlan
from search.data.labels.tiers import Hierarchy
from search.data.signals.leads import chosen_leads
from search.data.signals.records import Damage
from search.data.signals.waveforms import Rows, SomeLeads, Waveforms
from search.errors import UsageError

Unit = Literal["record", "beat"]
Likelihoods = Mapping[str, float]
"""Statements of a row and how sure the cardiologist was of each, in percent."""


def short_name(kind: str, root: Path) -> str:
    """Short name of a data set that has no name of its own: its kind and its folder."""
    return f"{kind}-" + (re.sub(r"[^a-z0-9]+", "-", root.name.lower()).strip("-")[:40] or "data")


def numbering_of(
    ecg_id: NDArray[np.int64], names: Sequence[str], patient_id: NDArray[np.int64], patients: Sequence[str]
) -> str:
    """SHA-256, hexadecimal, of number and name of every record and of its patient, record by record."""
    columns = [ecg_id.tolist(), list(names), patient_id.tolist(), list(patients)]
    return hashlib.sha256(json.dumps(["numbering 1", *columns]).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Catalogue:
    """The N rows of a data set.

    Attributes:
        root: Folder of the data set.
        name: Short name of the data, part of the default name of a study.
        version: Published version, or how many records there are.
        synthetic: Whether the records were generated.
        unit: What a row is.
        ecg_id: Ids of the rows, unique, int64 (N,).
        patient_id: Patient of each row, int64 (N,).
        patient_names: What the table calls a patient of this number, where it gives no numbers.
        strat_fold: Fold of each row, int64 (N,), numbered as in `fold_plan`.
        fold_plan: What the folds are for.
        patient_safe: Whether every patient is on one side of every split; False only if that was asked for.
        statements: Codes of each row; a mapping from code to likelihood counts as its keys.
        certainty: From a code and its likelihood in percent to the probability that it is right; None where
            `statements` have no likelihoods.
        hierarchy: Tiers of the data set.
        meaning: What the codes mean, in a form that changes when the labels of a tier do.
        waveforms: The signals, for each sampling rate in Hz at which they can be read.
        lead_subset: Leads that were chosen; None for all that the data set has.
        contains: Short names of other data sets that may share records with this one; models trained here are
            not to be tested on those.
        numbering: SHA-256 of the names behind the numbers of records and patients, where the numbers are
            those of rows or files, which change with others; empty where the data set itself gives numbers.
        damages: Records without rows, because what labels them cannot be read.
        notes: What was left out and why, one line each.
        age: Years, 90 for 90 and over, NaN for unknown, float32 (N,); None where the data set has none.
        sex: 0 male, 1 female, NaN for unknown, float32 (N,); None where the data set has none.
        groups: Origin of each row by what divides them, such as `device`; text (N,), empty for unknown.
    """

    root: Path
    name: str
    version: str
    synthetic: bool = False
    unit: Unit = "record"
    ecg_id: NDArray[np.int64]
    patient_id: NDArray[np.int64]
    patient_names: Mapping[int, str] = field(default_factory=dict)
    strat_fold: NDArray[np.int64]
    fold_plan: FoldPlan
    patient_safe: bool = True
    statements: tuple[Collection[str], ...]
    certainty: Callable[[str, float], float] | None = None
    hierarchy: Hierarchy
    meaning: str
    waveforms: Mapping[int, Waveforms]
    lead_subset: tuple[str, ...] | None = None
    contains: tuple[str, ...] = ()
    numbering: str = ""
    damages: tuple[Damage, ...] = ()
    notes: tuple[str, ...] = ()
    age: NDArray[np.float32] | None = None
    sex: NDArray[np.float32] | None = None
    groups: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ecg_id)

    def select(self, rows: Rows) -> "Catalogue":
        """The catalogue of some rows."""
        chosen = np.arange(len(self))[rows]
        return replace(
            self,
            ecg_id=self.ecg_id[chosen],
            patient_id=self.patient_id[chosen],
            strat_fold=self.strat_fold[chosen],
            statements=tuple(self.statements[row] for row in chosen),
            waveforms={rate: signals.select(chosen) for rate, signals in self.waveforms.items()},
            age=None if self.age is None else self.age[chosen],
            sex=None if self.sex is None else self.sex[chosen],
            groups={name: group_N[chosen] for name, group_N in self.groups.items()},
        )

    def with_leads(self, names: str | None) -> "Catalogue":
        """The catalogue with some leads, named as in `chosen_leads`; with all if none is named.

        Raises:
            UsageError: There is no such lead.
        """
        leads = self.at_rate(None).leads
        columns = np.arange(len(leads)) if names is None else chosen_leads(names, leads)
        if len(columns) == len(leads):
            return self
        chosen = tuple(leads[column] for column in columns)
        return replace(
            self,
            waveforms={
                rate_hz: SomeLeads(signals=signals, columns=columns)
                for rate_hz, signals in self.waveforms.items()
            },
            lead_subset=chosen,
            notes=(*self.notes, f"leads used: {', '.join(chosen)}, {len(chosen)} of {len(leads)}"),
        )

    def labels(self, tier: str) -> NDArray[np.bool_]:
        """Labels at a tier, shape (N, C).

        Raises:
            UsageError: There is no such tier.
            DataError: A row has a code that is none of the statements.
        """
        return self.hierarchy.labels(tier, self.statements, ecg_id=self.ecg_id)

    def soft_labels(self, tier: str) -> NDArray[np.float32]:
        """Probabilities of the classes of a tier by the likelihoods of the statements, shape (N, C)."""
        assert self.certainty is not None
        certainties = [
            {code: self.certainty(code, likelihood) for code, likelihood in cast(Likelihoods, row).items()}
            for row in self.statements
        ]
        return self.hierarchy.soft_labels(tier, certainties).astype(np.float32)

    def at_rate(self, rate_hz: int | None) -> Waveforms:
        """Signals at a sampling rate in Hz, None for the lowest.

        Raises:
            UsageError: The data set has no signals at this rate.
        """
        if rate_hz is None:
            rate_hz = min(self.waveforms)
        if rate_hz not in self.waveforms:
            rates = " or ".join(map(str, sorted(self.waveforms)))
            raise UsageError(f"--rate {rate_hz}: {self.root} lists records at {rates} Hz; give one of these")
        return self.waveforms[rate_hz]
