"""The table of PTB-XL: who, when, which statements, which fold, which files.

Reads `ptbxl_database.csv` of PTB-XL 1.0.1 to 1.0.3 (Wagner et al., Scientific Data 7:154, 2020), of any
subset of it, and of anything else in the same layout.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from search.data.catalogue import Catalogue
from search.data.cells import OLDEST_STATED_AGE, ages, bad_cell, integers, statement_codes, stays_inside
from search.data.csvfile import read_columns
from search.data.folds import PTBXL_FOLDS
from search.data.records import RecordReader
from search.data.statements import read_statements
from search.data.tiers import Hierarchy
from search.data.waveforms import RecordFiles, wfdb_records
from search.errors import DataError

TABLE_NAME: Final = "ptbxl_database.csv"
SYNTHETIC_DEVICE: Final = "SYNTH"
"""Value of the `device` column that marks a generated record."""

SYNTHETIC_VERSION: Final = "SYNTHETIC"
RECORDS_OF_VERSION: Final = {"1.0.1": 21_837, "1.0.2": 21_801, "1.0.3": 21_799}
"""Number of records of each published version (PhysioNet)."""

FILENAME_COLUMNS: Final = {100: "filename_lr", 500: "filename_hr"}
"""Sampling rate in Hz and the column with the file names at that rate."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RecordTable:
    """What PTB-XL's table says of its N records, in file order.

    Attributes:
        root: The folder that holds `ptbxl_database.csv`; file names are relative to it.
        version: "1.0.1", "1.0.2", "1.0.3", "1.0.3, subset of 987 records", "SYNTHETIC" or
            "unknown (987 records)".
        synthetic: Whether the records were generated.
        ecg_id: Record ids, unique, int64 (N,).
        patient_id: Patient ids, int64 (N,).
        strat_fold: PTB-XL's folds 1 to 10, int64 (N,).
        age: Years, float64 (N,); 90 stands for "90 or over", NaN for unknown.
        over_89: Whether the age is "90 or over", bool (N,).
        sex: 0 male, 1 female, -1 unknown, int64 (N,).
        scp_codes: SCP statement and likelihood in percent for each record; 0 means "unknown", not "absent".
        filenames: For each sampling rate in Hz the record names without extension.
    """

    root: Path
    version: str
    synthetic: bool
    ecg_id: NDArray[np.int64]
    patient_id: NDArray[np.int64]
    strat_fold: NDArray[np.int64]
    age: NDArray[np.float64]
    over_89: NDArray[np.bool_]
    sex: NDArray[np.int64]
    scp_codes: tuple[Mapping[str, float], ...]
    filenames: Mapping[int, tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.ecg_id)


def read_catalogue(root: Path) -> Catalogue:
    """Read the tables of a folder in PTB-XL's layout.

    Raises:
        DataError: A table is missing, lacks a column or holds a value that cannot be right.
    """
    table = read_table(root)
    statements = read_statements(root)
    meaning = [
        (item.code, item.diagnostic, item.form, item.rhythm, item.superclass, item.subclass)
        for item in sorted(statements, key=lambda item: item.code)
    ]
    return Catalogue(
        root=root,
        name="demo" if table.synthetic else "ptb-xl",
        version=table.version,
        synthetic=table.synthetic,
        ecg_id=table.ecg_id,
        patient_id=table.patient_id,
        strat_fold=table.strat_fold,
        fold_plan=PTBXL_FOLDS,
        statements=table.scp_codes,
        certainty=_certainty({item.code for item in statements if item.diagnostic}),
        hierarchy=Hierarchy(statements),
        meaning=str(meaning),
        waveforms={rate_hz: waveforms(table, rate_hz) for rate_hz in table.filenames},
        age=table.age.astype(np.float32),
        sex=np.where(table.sex < 0, np.nan, table.sex).astype(np.float32),
    )


def _certainty(diagnostic: Collection[str]) -> Callable[[str, float], float]:
    """How sure a statement is: its likelihood, if it is diagnostic and has one.

    A likelihood of 0 means "unknown", and nearly all statements on form and rhythm have it: they count as
    certain, as they do in hard labels.
    """

    stems = {code.strip("_") for code in diagnostic}  # copies exist that drop the underscores

    def certainty(code: str, likelihood: float) -> float:
        return likelihood / 100 if code.strip("_") in stems and 0 < likelihood < 100 else 1.0

    return certainty


def waveforms(table: RecordTable, rate_hz: int) -> RecordFiles:
    """Signals of the records of a table at a rate that it names."""
    return wfdb_records(RecordReader(table.root, rate_hz=rate_hz), table.ecg_id, table.filenames[rate_hz])


def read_table(root: Path) -> RecordTable:
    """Read `ptbxl_database.csv` of a folder.

    Raises:
        DataError: The file is missing, lacks a column or holds a value that cannot be right.
    """
    path = root / TABLE_NAME
    columns = read_columns(
        path,
        needed=("ecg_id", "patient_id", "scp_codes", "strat_fold"),
        optional=("age", "sex", "device", *FILENAME_COLUMNS.values()),
    )
    n_records = len(columns["ecg_id"])
    blank = [""] * n_records
    rows = [f"data row {number}" for number in range(1, n_records + 1)]
    ecg_id = integers(path, "ecg_id", columns["ecg_id"], rows, low=0)
    _refuse_duplicates(path, ecg_id)
    records = [f"record {identifier}" for identifier in ecg_id.tolist()]
    age = ages(path, columns.get("age", blank), records)
    synthetic = _is_synthetic(path, columns.get("device", blank))
    return RecordTable(
        root=root,
        version=SYNTHETIC_VERSION if synthetic else _version(root, n_records),
        synthetic=synthetic,
        ecg_id=ecg_id,
        patient_id=integers(path, "patient_id", columns["patient_id"], records, low=0),
        strat_fold=integers(path, "strat_fold", columns["strat_fold"], records, low=1, high=10),
        age=np.minimum(age, OLDEST_STATED_AGE + 1),  # NaN stays NaN
        over_89=age > OLDEST_STATED_AGE,
        sex=integers(path, "sex", columns.get("sex", blank), records, low=0, high=1, blank=-1),
        scp_codes=statement_codes(path, columns["scp_codes"], records),
        filenames=_filenames(path, columns, records),
    )


def _refuse_duplicates(path: Path, ecg_id: NDArray[np.int64]) -> None:
    values, counts = np.unique(ecg_id, return_counts=True)
    repeated = values[counts > 1]
    if len(repeated):
        listing = ", ".join(map(str, repeated[:5].tolist())) + (", …" if len(repeated) > 5 else "")
        raise DataError(f"{path}: ecg_id {listing} occurs more than once; remove the repeated rows")


def _filenames(
    path: Path, columns: Mapping[str, Sequence[str]], where: Sequence[str]
) -> dict[int, tuple[str, ...]]:
    """Record names per rate; a rate whose column is absent or blank throughout is left out."""
    names = {
        rate: columns[column] for rate, column in FILENAME_COLUMNS.items() if any(columns.get(column, ()))
    }
    if not names:
        raise DataError(
            f"{path} lacks file names: columns {' and '.join(FILENAME_COLUMNS.values())} are absent "
            "or blank; use the file of the PTB-XL download"
        )
    for rate, cells in names.items():
        for row, name in enumerate(cells):
            if not stays_inside(name):
                column = FILENAME_COLUMNS[rate]
                raise bad_cell(path, column, where[row], name, "a path below the data folder")
    return {rate: tuple(cells) for rate, cells in names.items()}


def _is_synthetic(path: Path, devices: Sequence[str]) -> bool:
    n_synthetic = sum(device.strip() == SYNTHETIC_DEVICE for device in devices)
    if 0 < n_synthetic < len(devices):
        raise DataError(
            f"{path} mixes {n_synthetic:,} synthetic records (device {SYNTHETIC_DEVICE}) with "
            f"{len(devices) - n_synthetic:,} real ones; keep them in separate folders"
        )
    return n_synthetic > 0


def _version(root: Path, n_records: int) -> str:
    """The published version: by the number of records, for a subset by what lies beside the table.

    Versions differ in the records withdrawn, so a subset alone does not tell which one it came from.
    """
    for version, n_published in RECORDS_OF_VERSION.items():
        if n_records == n_published:
            return version
    for version, n_published in RECORDS_OF_VERSION.items():
        named = any(root_part.endswith(version) for root_part in root.parts[-2:])
        if n_records < n_published and (named or _n_listed(root) == n_published):
            return f"{version}, subset of {n_records:,} records"
    return f"unknown ({n_records:,} records)"


def _n_listed(root: Path) -> int:
    """Records that PhysioNet's RECORDS file lists at 100 Hz; 0 without such a file."""
    try:
        with (root / "RECORDS").open(encoding="utf-8", errors="replace") as file:
            return sum(line.startswith("records100/") for line in file)
    except OSError:
        return 0
