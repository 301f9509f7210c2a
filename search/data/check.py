"""`data check`: what a PTB-XL folder holds, and what is wrong with it.

Counts labels of all ten folds, the sealed one included, but reads no signal of its own: the caller
passes the function that looks for damaged records.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from search.data.folds import SEALED_FOLD, shared_patients
from search.data.ptbxl import RecordTable, find_root, read_table
from search.data.severity import Scheme
from search.data.statements import read_statements
from search.data.tiers import TIERS, Hierarchy

N_FOLDS: Final = 10
_SEALED_ROW: Final = SEALED_FOLD - 1


class DamagedRecord(Protocol):
    """What the signal reader says of a record it cannot read."""

    @property
    def ecg_id(self) -> int:
        """Id of the record."""

    @property
    def filename(self) -> str:
        """Record name below the data folder."""

    @property
    def reason(self) -> str:
        """What is wrong with it."""


FindDamage = Callable[[RecordTable, int], Sequence[DamagedRecord]]
"""Reads all records of a table at a rate in Hz and returns those that cannot be used."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TierCounts:
    """Labels of one tier.

    Attributes:
        classes: All classes of the tier, also those that do not occur.
        positives: Records with each class (column) in each strat_fold (row 0 is fold 1), int64 (10, C).
        unlabelled: Records without any class of the tier in each strat_fold, int64 (10,).
        ordinal: Whether each record has exactly one class, from mild to severe.
    """

    classes: tuple[str, ...]
    positives: NDArray[np.int64]
    unlabelled: NDArray[np.int64]
    ordinal: bool

    def occurring(self, fold: int | None = None) -> dict[str, int]:
        """Classes with at least one positive and how many, in all folds or in one."""
        counts = self.positives.sum(axis=0) if fold is None else self.positives[fold - 1]
        return {name: int(n) for name, n in zip(self.classes, counts, strict=True) if n}

    def never_occurring(self) -> list[str]:
        """Classes without a positive in any fold."""
        return [name for name in self.classes if name not in self.occurring()]


@dataclass(frozen=True, kw_only=True, slots=True)
class RateReport:
    """Waveforms at one rate: records whose files are there, records they lack, records that are damaged."""

    n_present: int
    missing_ids: tuple[int, ...]
    damaged: tuple[DamagedRecord, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DataReport:
    """Everything `data check` tells.

    Attributes:
        root: Folder of the data set.
        version: As in `RecordTable`.
        synthetic: Whether the records were generated.
        n_records: Records in the table.
        n_patients: Different patients.
        records_by_fold: Records in each strat_fold, int64 (10,).
        patients_by_fold: Different patients in each strat_fold, int64 (10,).
        tiers: Label counts of each tier.
        severity_map: What the ordinal tiers follow.
        shared_patients: Patients in several CV groups, or in fold 10 and elsewhere.
        rates: For each rate in Hz that the table names, None if no file of that rate is there.
        damage_sought: Whether signals were read to look for damage.
    """

    root: Path
    version: str
    synthetic: bool
    n_records: int
    n_patients: int
    records_by_fold: NDArray[np.int64]
    patients_by_fold: NDArray[np.int64]
    tiers: Mapping[str, TierCounts]
    severity_map: Scheme
    shared_patients: tuple[int, ...]
    rates: Mapping[int, RateReport | None]
    damage_sought: bool

    @property
    def has_waveforms(self) -> bool:
        """Whether there is a signal file at all; a folder of labels only has none."""
        return any(rate is not None for rate in self.rates.values())

    @property
    def sound(self) -> bool:
        """No patient in two groups, nothing damaged, and a rate with all records (or labels only)."""
        found = [rate for rate in self.rates.values() if rate is not None]
        complete = not found or any(not rate.missing_ids for rate in found)
        return complete and not self.shared_patients and not any(rate.damaged for rate in found)

    def to_json(self) -> dict[str, Any]:
        """The report as plain dictionaries, lists, numbers and strings."""
        return {
            "path": str(self.root),
            "version": self.version,
            "synthetic": self.synthetic,
            "records": self.n_records,
            "patients": self.n_patients,
            "sound": self.sound,
            "tiers": {name: _tier_json(counts, self.records_by_fold) for name, counts in self.tiers.items()},
            "classes_without_positives": {
                name: counts.never_occurring() for name, counts in self.tiers.items()
            },
            "severity_map": {
                "name": self.severity_map.name,
                "source": self.severity_map.source,
                "review": self.severity_map.review,
            },
            "folds": {str(fold): self._fold_json(fold) for fold in range(1, N_FOLDS + 1)},
            "patients_in_several_folds": list(self.shared_patients),
            "has_waveforms": self.has_waveforms,
            "damage_sought": self.damage_sought,
            "waveforms": {str(rate): _rate_json(report) for rate, report in self.rates.items()},
        }

    def _fold_json(self, fold: int) -> dict[str, Any]:
        return {
            "records": int(self.records_by_fold[fold - 1]),
            "patients": int(self.patients_by_fold[fold - 1]),
            "tiers": {
                name: {
                    "ones": int(counts.positives[fold - 1].sum()),
                    "all_zero": int(counts.unlabelled[fold - 1]),
                    "classes": counts.occurring(fold),
                }
                for name, counts in self.tiers.items()
            },
        }


def _tier_json(counts: TierCounts, records_by_fold: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "records": int(records_by_fold.sum()),
        "ones": int(counts.positives.sum()),
        "classes": counts.occurring(),
        "unlabelled": int(counts.unlabelled.sum()),
        "fold10": {
            "rows": int(records_by_fold[_SEALED_ROW]),
            "ones": int(counts.positives[_SEALED_ROW].sum()),
            "all_zero": int(counts.unlabelled[_SEALED_ROW]),
        },
    }


def _rate_json(report: RateReport | None) -> dict[str, Any] | None:
    if report is None:
        return None
    return {
        "present": report.n_present,
        "missing": len(report.missing_ids),
        "missing_ids": list(report.missing_ids),
        "damaged": [
            {"ecg_id": int(record.ecg_id), "filename": record.filename, "reason": record.reason}
            for record in report.damaged
        ],
    }


def check(path: Path, find_damage: FindDamage | None = None) -> DataReport:
    """Look at a PTB-XL folder, with or without waveforms.

    Args:
        path: The folder or one above it.
        find_damage: Reads signals and returns damaged records; it is handed, for each rate, only records
            whose files are there. None leaves the signals unread.

    Raises:
        DataError: There is no PTB-XL, or its tables cannot be read.
    """
    table = read_table(find_root(path))
    hierarchy = Hierarchy(read_statements(table.root))
    fold_row = table.strat_fold - 1
    pairs = np.unique(np.stack([table.patient_id, fold_row]), axis=1)
    return DataReport(
        root=table.root,
        version=table.version,
        synthetic=table.synthetic,
        n_records=len(table),
        n_patients=len(np.unique(table.patient_id)),
        records_by_fold=np.bincount(fold_row, minlength=N_FOLDS),
        patients_by_fold=np.bincount(pairs[1], minlength=N_FOLDS),
        tiers={tier: _count(hierarchy, tier, table) for tier in TIERS},
        severity_map=hierarchy.severity.scheme,
        shared_patients=tuple(shared_patients(table.patient_id, table.strat_fold).tolist()),
        rates={rate_hz: _check_rate(table, rate_hz, find_damage) for rate_hz in table.filenames},
        damage_sought=find_damage is not None,
    )


def _count(hierarchy: Hierarchy, tier: str, table: RecordTable) -> TierCounts:
    y_NC = hierarchy.labels(tier, table.scp_codes, ecg_id=table.ecg_id)
    classes = hierarchy.classes(tier)
    positives = np.zeros((N_FOLDS, len(classes)), dtype=np.int64)
    np.add.at(positives, table.strat_fold - 1, y_NC)
    unlabelled = np.bincount(table.strat_fold[~y_NC.any(axis=1)] - 1, minlength=N_FOLDS)
    return TierCounts(
        classes=classes, positives=positives, unlabelled=unlabelled, ordinal=hierarchy.is_ordinal(tier)
    )


def _check_rate(table: RecordTable, rate_hz: int, find_damage: FindDamage | None) -> RateReport | None:
    present = _present(table.root, table.filenames[rate_hz])
    if not present.any():
        return None
    damaged = () if find_damage is None else tuple(find_damage(table.select(present), rate_hz))
    return RateReport(
        n_present=int(present.sum()),
        missing_ids=tuple(table.ecg_id[~present].tolist()),
        damaged=damaged,
    )


def _present(root: Path, filenames: Sequence[str]) -> NDArray[np.bool_]:
    """Whether header and samples of each record are there; lists each folder once, not 43,598 files."""
    listings: dict[str, set[str]] = {}
    present = np.zeros(len(filenames), dtype=np.bool_)
    for row, filename in enumerate(filenames):
        folder, _, name = filename.rpartition("/")
        if folder not in listings:
            listings[folder] = _file_names(root / folder)
        present[row] = listings[folder] >= {f"{name}.hea", f"{name}.dat"}
    return present


def _file_names(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except OSError:
        return set()
