"""A folder of WFDB records with a table of labels: the format for data of one's own.

    records.csv          record,patient_id,labels[,fold]
    ward3/0001.hea       WFDB headers and signal files, in folders as deep as you like
    ward3/0001.dat

`record` is the path of a header below the folder, without `.hea`. `patient_id` is any text or number.
`labels` are separated by semicolons; a blank cell is a record without any. `fold` is 1 to 5, or `test` for
records that are sealed; without that column a tenth of the patients is sealed and the others are spread over
five folds, every patient in one.

The first header that can be read, not counting sealed records, sets leads and sampling rate for all. Of each
record the first ten seconds count, or as many as that first record has. Records above 100 Hz can also be read
at 100 Hz.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from search.data.catalogue import Catalogue
from search.data.cells import bad_cell, stays_inside
from search.data.csvfile import read_columns
from search.data.folds import FIVE_FOLDS
from search.data.grouping import balanced_folds, is_sealed
from search.data.headers import read_shape
from search.data.leads import LEADS, lead_key, standard_lead
from search.data.records import RECORD_S, RecordReader
from search.data.tiers import Hierarchy, Tier
from search.data.waveforms import RecordFiles, at_lower_rate, wfdb_records
from search.errors import DataError, RecordError

TABLE_NAME: Final = "records.csv"
TIERS: Final = {"label": Tier(class_of=lambda label, _: label.code, refined_by=None)}
LOW_RATE_HZ: Final = 100
"""The rate that records above it can also be read at, PTB-XL's lower one."""

_FOLD_OF: Final = {**{str(fold): fold for fold in range(1, 6)}, "test": FIVE_FOLDS.sealed}
_LONGEST_LABEL: Final = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """A label of the table."""

    code: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """What all records have in common."""

    rate_hz: int
    leads: tuple[str, ...]
    n_samples: int


def read_catalogue(root: Path) -> Catalogue:
    """Read `records.csv` and the first header.

    Raises:
        DataError: The table lacks a column, holds a value that cannot be right or no label at all, or no
            header can be read.
    """
    path = root / TABLE_NAME
    columns = read_columns(path, ("record", "patient_id", "labels"), ("fold",), remedy="correct the file")
    rows = [f"data row {number}" for number in range(1, len(columns["record"]) + 1)]
    names = _names(path, columns["record"], rows)
    patients = _patients(path, columns["patient_id"], rows)
    labels = _labels(path, columns["labels"], rows)
    patient_id = _patient_numbers(patients)
    classes = sorted({label for of_record in labels for label in of_record})
    record_id = np.arange(1, len(names) + 1)
    fold = _folds(path, columns.get("fold"), rows, patients, patient_id)
    unsealed = [
        name for name, number in zip(names, fold.tolist(), strict=True) if number != FIVE_FOLDS.sealed
    ]
    # A table of nothing but sealed records is of use to another data set's model.
    layout = _first_layout(root, unsealed or names)
    return Catalogue(
        root=root,
        name=_short_name(root),
        version="unversioned",
        ecg_id=record_id,
        patient_id=patient_id,
        strat_fold=fold,
        fold_plan=FIVE_FOLDS,
        statements=labels,
        hierarchy=Hierarchy(
            [Label(code=code) for code in classes], tiers=TIERS, noun="label", listed_in=TABLE_NAME
        ),
        meaning=str(classes),
        waveforms=_waveforms(root, layout, record_id, names),
    )


def _names(path: Path, cells: Sequence[str], rows: Sequence[str]) -> tuple[str, ...]:
    seen: dict[str, str] = {}
    for name, row in zip(cells, rows, strict=True):
        if not stays_inside(name) or name.endswith((".hea", ".dat")):
            raise bad_cell(path, "record", row, name, "a path below the folder without extension")
        if name in seen:
            raise DataError(f"{path}: {name[:60]!r} is in {seen[name]} and {row}; remove one of them")
        seen[name] = row
    return tuple(cells)


def _patients(path: Path, cells: Sequence[str], rows: Sequence[str]) -> list[str]:
    patients = [cell.strip() for cell in cells]
    for patient, row in zip(patients, rows, strict=True):
        if not patient:
            raise bad_cell(path, "patient_id", row, patient, "a patient: without one folds cannot be made")
    return patients


def _labels(path: Path, cells: Sequence[str], rows: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    labels = []
    for cell, row in zip(cells, rows, strict=True):
        names = tuple(dict.fromkeys(name.strip() for name in cell.split(";") if name.strip()))
        if any(len(name) > _LONGEST_LABEL or not name.isprintable() for name in names):
            raise bad_cell(path, "labels", row, cell, "short names separated by semicolons")
        labels.append(names)
    if not any(labels):
        raise DataError(f"{path} has no label in any row; fill in the column labels")
    return tuple(labels)


def _patient_numbers(patients: Sequence[str]) -> NDArray[np.int64]:
    """Patients as numbers: their own if all are whole numbers, otherwise the first data row of each."""
    if all(re.fullmatch(r"[0-9]{1,15}", patient) for patient in patients):
        return np.array([int(patient) for patient in patients], dtype=np.int64)
    first: dict[str, int] = {}
    for row, patient in enumerate(patients, start=1):
        first.setdefault(patient, row)
    return np.array([first[patient] for patient in patients], dtype=np.int64)


def _folds(
    path: Path,
    cells: Sequence[str] | None,
    rows: Sequence[str],
    patients: Sequence[str],
    patient_id: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Fold of each record: as the table says, or made by patient."""
    if cells is None:
        fold = np.where(is_sealed(patients), FIVE_FOLDS.sealed, 0)
        fold[fold == 0] = balanced_folds(patient_id[fold == 0])
        return fold
    for cell, row in zip(cells, rows, strict=True):
        if cell.strip().lower() not in _FOLD_OF:
            raise bad_cell(path, "fold", row, cell, "1 to 5 or test")
    return np.array([_FOLD_OF[cell.strip().lower()] for cell in cells], dtype=np.int64)


def _first_layout(root: Path, names: Sequence[str]) -> Layout:
    """Rate, leads and length of the first record whose header can be read.

    Raises:
        DataError: There is none, or its rate or length cannot be used.
    """
    reason = ""
    for name in names:
        try:
            shape = read_shape(f"{root}/{name}")
        except (RecordError, OSError) as error:
            reason = reason or f"{name[:60]}: {str(error)[:200]}"
            continue
        if shape.rate_hz != int(shape.rate_hz) or shape.rate_hz < 1:
            raise DataError(f"{root / name}.hea: {shape.rate_hz:g} Hz, expected a whole number")
        rate_hz = int(shape.rate_hz)
        if shape.n_samples < rate_hz:
            raise DataError(f"{root / name} is shorter than a second; take it out of {TABLE_NAME}")
        leads = [standard_lead(lead) or lead for lead in shape.leads]
        if len(set(map(lead_key, leads))) < len(leads) or "" in leads:
            raise DataError(f"{root / name}.hea: leads {', '.join(leads)[:80]!r}; name each differently")
        if set(leads) <= set(LEADS):
            leads.sort(key=LEADS.index)
        n_samples = min(shape.n_samples, RECORD_S * rate_hz)
        return Layout(rate_hz=rate_hz, leads=tuple(leads), n_samples=n_samples)
    raise DataError(f"no header in {root} can be read ({reason}); correct the column record of {TABLE_NAME}")


def _waveforms(
    root: Path, layout: Layout, record_id: NDArray[np.int64], names: tuple[str, ...]
) -> dict[int, RecordFiles]:
    reader = RecordReader(
        root,
        rate_hz=layout.rate_hz,
        n_samples=layout.n_samples,
        may_be_longer=True,
        leads=layout.leads,
    )
    native = wfdb_records(reader, record_id, names, recipe=f"{layout}\n")
    waveforms = {layout.rate_hz: native}
    if layout.rate_hz > LOW_RATE_HZ:
        waveforms[LOW_RATE_HZ] = at_lower_rate(native, LOW_RATE_HZ)
    return waveforms


def _short_name(root: Path) -> str:
    return "own-" + (re.sub(r"[^a-z0-9]+", "-", root.name.lower()).strip("-")[:40] or "data")
