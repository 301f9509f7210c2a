"""SPH: 25,770 twelve-lead records of Shandong Provincial Hospital (Liu et al., Scientific Data 9:272, 2022).

    metadata.csv         ECG_ID, AHA_Code, Patient_ID, Age, Sex, N, Date
    code.csv             Code, Description
    records/A00001.h5    data set "ecg": 12 leads × N samples at 500 Hz, mV as 16-bit floats, 10 to 60 s

`AHA_Code` holds statements separated by semicolons, each with the modifiers that follow it after plus signs:
"22;145+362" is sinus bradycardia (22) and an ST deviation (145), namely a depression (362). Codes are those
of the AHA/ACC/HRS recommendations (Mason, Hancock & Gettes, Circulation 115:1325, 2007), where 300 to 399 are
modifiers. Of each record the first ten seconds count. `Sex` is M or F.

The test set is the published one: all records of patients who have several, filled up to a fifth of all by
drawing with the published seed. It is sealed, and CV folds are made by patient from the rest.

Shape suffixes: L lead, T time.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from search.data.catalogue import Catalogue
from search.data.folds import FIVE_FOLDS
from search.data.grouping import balanced_folds
from search.data.labels.severity import read_severity
from search.data.labels.tiers import Hierarchy, Tier, Tiers, severity_tiers
from search.data.other_files import other_file_at
from search.data.signals.headers import file_size
from search.data.signals.leads import LEADS
from search.data.signals.people import column_of_ages, column_of_sexes
from search.data.signals.records import RECORD_S, RecordSignals, flat_leads
from search.data.signals.waveforms import RecordFiles, at_lower_rate
from search.data.tables import Table, is_blank, read_csv
from search.errors import DataError, RecordError, one_line

TABLE_NAME: Final = "metadata.csv"
CODES_NAME: Final = "code.csv"
N_RECORDS: Final = 25_770
RATE_HZ: Final = 500
LOW_RATE_HZ: Final = 100
N_SAMPLES: Final = RECORD_S * RATE_HZ

TEST_SHARE: Final = 0.2
TEST_SEED: Final = 73
"""Share and seed of the published test set (Liu et al. 2022)."""

_MAX_CHUNK: Final = 10_000_000  # a minute of twelve leads has 360,000 numbers
TIERS: Final[Tiers] = {
    "aha": Tier(class_of=lambda statement, _: statement.primary, refined_by="statement"),
    "statement": Tier(class_of=lambda statement, _: statement.code, refined_by=None),
    **severity_tiers(
        "statement", lambda statement, severity: severity.scheme.level_of_number(int(statement.primary))
    ),
}
_MODIFIERS: Final = range(300, 400)
_REMEDY: Final = "take it from the SPH download"


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """A primary statement with its modifiers, as in "145+362"."""

    code: str

    @property
    def primary(self) -> str:
        """The statement without modifiers."""
        return self.code.split("+")[0]


def read_catalogue(root: Path) -> Catalogue:
    """Read `metadata.csv` and `code.csv`.

    Raises:
        DataError: A table is missing, lacks a column or holds a value that cannot be right.
    """
    path = root / TABLE_NAME
    table = read_csv(path, ("ECG_ID", "AHA_Code", "Patient_ID"), ("age", "sex"), remedy=_REMEDY)
    ecg_id = _numbers(table, "ECG_ID", "record")
    values, counts = np.unique(ecg_id, return_counts=True)
    if (counts > 1).any():
        raise DataError(f"{path}: ECG_ID {values[counts > 1][0]} occurs more than once; remove a row")
    patient_id = _numbers(table, "Patient_ID", "patient")
    codes = _codes(root / CODES_NAME)
    statements = _statements(table, codes)
    primaries = {code for code in codes if int(code) not in _MODIFIERS}
    occurring = {code for of_record in statements for code in of_record}
    known = [Statement(code=code) for code in sorted(primaries | occurring)]
    is_test = published_test_set(patient_id)
    fold = np.where(is_test, FIVE_FOLDS.sealed, 0)
    fold[~is_test] = balanced_folds(patient_id[~is_test])
    n_records = len(ecg_id)
    return Catalogue(
        root=root,
        name="sph",
        version="2022" if n_records == N_RECORDS else f"2022, subset of {n_records:,} records",
        ecg_id=ecg_id,
        patient_id=patient_id,
        strat_fold=fold,
        fold_plan=FIVE_FOLDS,
        statements=statements,
        hierarchy=Hierarchy(known, read_severity(), tiers=TIERS, noun="AHA code", listed_in=CODES_NAME),
        meaning=str([statement.code for statement in known]),
        waveforms=_waveforms(root, ecg_id, table["ECG_ID"]),
        notes=_notes(n_records),
        age=column_of_ages(table) if "age" in table else None,
        sex=column_of_sexes(table) if "sex" in table else None,
    )


def published_test_set(patient_id: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each record is in the test set of Liu et al. (2022), shape (N,).

    Records of patients with several go to the test set, which keeps the other part free of their patients;
    records of other patients are drawn, without replacement and with NumPy's legacy generator, until a fifth
    of all is there. Of a subset the same rule makes another set than of all records.

    Args:
        patient_id: Patient of each record in the order of `metadata.csv`.
    """
    _, index, counts = np.unique(patient_id, return_inverse=True, return_counts=True)
    is_test: NDArray[np.bool_] = counts[index] > 1
    others = np.flatnonzero(~is_test)
    n_drawn = max(0, int(len(patient_id) * TEST_SHARE) - int(is_test.sum()))
    drawn = np.random.RandomState(TEST_SEED).choice(len(others), size=n_drawn, replace=False)
    is_test[others[drawn]] = True
    return is_test


def _numbers(table: Table, column: str, noun: str) -> NDArray[np.int64]:
    """Ids as numbers: a letter, the same in all rows, and digits; "A00001" is 1."""
    cells = table.identifiers(column, noun)
    for row, cell in enumerate(cells):
        if not re.fullmatch(r"[A-Za-z][0-9]{1,9}", cell):
            raise table.bad_cell(column, row, "a letter and digits, such as A00001")
        if cell[0] != cells[0][0]:
            raise table.bad_cell(column, row, f"{cells[0][0]!r} and digits, as in the first row")
    return np.array([int(cell[1:]) for cell in cells], dtype=np.int64)


def _codes(path: Path) -> Mapping[str, str]:
    """Codes and their descriptions."""
    table = read_csv(path, ("Code", "Description"), remedy=_REMEDY)
    codes: dict[str, str] = {}
    for row, (code, description) in enumerate(zip(table["Code"], table["Description"], strict=True)):
        if not re.fullmatch(r"[0-9]{1,4}", code):
            raise table.bad_cell("Code", row, "an AHA code, such as 145")
        if code in codes:
            raise DataError(f"{path}: code {code} occurs twice; remove one of the lines")
        codes[code] = description
    return codes


def _statements(table: Table, codes: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    statements = []
    for row, cell in enumerate(table["AHA_Code"]):
        parts_of = [part.strip() for part in cell.split(";")]
        of_record = [[code.strip() for code in part.split("+")] for part in parts_of if not is_blank(part)]
        unknown = [code for parts in of_record for code in parts if code not in codes]
        if unknown:
            raise table.bad_cell(
                "AHA_Code", row, f"made of codes in {CODES_NAME} ({unknown[0][:40]!r} is not)"
            )
        alone = [parts[0] for parts in of_record if int(parts[0]) in _MODIFIERS]
        if alone:
            raise table.bad_cell(
                "AHA_Code", row, f"made of statements, each before its modifiers ({alone[0]} is a modifier)"
            )
        statements.append(tuple("+".join(parts) for parts in of_record))
    return tuple(statements)


def _waveforms(root: Path, ecg_id: NDArray[np.int64], names: tuple[str, ...]) -> dict[int, RecordFiles]:
    native = RecordFiles(
        root=root,
        rate_hz=RATE_HZ,
        leads=LEADS,
        n_samples=N_SAMPLES,
        record_id=ecg_id,
        names=tuple(f"records/{name}" for name in names),
        recipe=f"first {N_SAMPLES}\n",
        prepare=load_h5py,
        read_one=partial(read_record, root),
        files_of=lambda name: (f"{name}.h5",),
    )
    return {LOW_RATE_HZ: at_lower_rate(native, LOW_RATE_HZ), RATE_HZ: native}


def read_record(root: Path, name: str) -> RecordSignals:
    """The first ten seconds of a record, shape (12, 5000).

    Raises:
        RecordError: The file is missing, damaged, too short or not what was expected.
        DataError: h5py is not installed.
    """
    h5py = load_h5py()
    path = root / f"{name}.h5"
    try:
        file_size(path)
        with h5py.File(path, "r") as file:
            x_LT = _first_seconds(h5py, file)
    except (OSError, RuntimeError, KeyError, ValueError) as error:  # what h5py raises of bad files
        problem = other_file_at(path) or f"cannot be read: {one_line(error)}"
        raise RecordError(str(problem)) from error
    with np.errstate(over="ignore", invalid="ignore"):
        uv_LT = np.rint(x_LT.astype(np.float64) * 1000)
    if not np.isfinite(uv_LT).all():
        raise RecordError(f"{int((~np.isfinite(uv_LT)).sum()):,} invalid samples (not a number)")
    limit = np.iinfo(np.int16).max
    if np.abs(uv_LT).max() > limit:
        raise RecordError(f"voltages beyond ±{limit / 1000:.1f} mV")
    microvolts_LT = uv_LT.astype(np.int16)
    if len(flat_leads(microvolts_LT)) == len(LEADS):
        raise RecordError("flat: every lead is constant")
    return RecordSignals(x_LT=microvolts_LT)


def _first_seconds(h5py: Any, file: Any) -> NDArray[Any]:
    """Millivolts of the first ten seconds; nothing outside the file is followed."""
    is_inside = isinstance(file.get("ecg", getlink=True), h5py.HardLink) if "ecg" in file else False
    if not is_inside or not isinstance(file["ecg"], h5py.Dataset):
        raise RecordError('no data set "ecg" in the file')
    data = file["ecg"]
    if data.external or data.is_virtual:
        raise RecordError('the data set "ecg" lies in another file')
    if data.ndim != 2 or data.shape[0] != len(LEADS) or data.dtype.kind != "f":
        raise RecordError(f"{data.dtype} of shape {data.shape}, expected 12 leads of floating-point numbers")
    if data.chunks and math.prod(data.chunks) > _MAX_CHUNK:
        raise RecordError(f"packed in blocks of {math.prod(data.chunks):,} numbers, too many to unpack")
    if data.shape[1] < N_SAMPLES:
        raise RecordError(f"{data.shape[1]:,} samples, expected {N_SAMPLES:,} or more ({RECORD_S} s)")
    first_LT: NDArray[Any] = data[:, :N_SAMPLES]
    return first_LT


def load_h5py() -> Any:
    """The package h5py, which only SPH needs.

    Raises:
        DataError: It is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise DataError("records of SPH are HDF5 files: pip install '.[sph]' to read them") from error
    return h5py


def _notes(n_records: int) -> tuple[str, ...]:
    if n_records == N_RECORDS:
        return ()
    return (f"the test fold follows the published rule, but of {n_records:,} records, not of {N_RECORDS:,}",)
