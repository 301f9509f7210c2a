"""The table of PTB-XL: who, when, which statements, which fold, which files.

Reads `ptbxl_database.csv` of PTB-XL 1.0.1 to 1.0.3 (Wagner et al., Scientific Data 7:154, 2020), of any
subset of it, and of anything else in the same layout.
"""

import ast
import re
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from search.data.catalogue import Catalogue
from search.data.folds import PTBXL_FOLDS
from search.data.labels.tiers import Hierarchy
from search.data.readers.statements import read_statements
from search.data.signals.people import column_of_ages, column_of_sexes
from search.data.signals.records import RecordReader
from search.data.signals.waveforms import RecordFiles, wfdb_records
from search.data.tables import Table, clean, is_blank, number, read_csv
from search.errors import DataError

TABLE_NAME: Final = "ptbxl_database.csv"
SYNTHETIC_DEVICE: Final = "SYNTH"
"""Value of the `device` column that marks a generated record."""

SYNTHETIC_VERSION: Final = "SYNTHETIC"
UNKNOWN_VERSION: Final = "unknown"
RECORDS_OF_VERSION: Final = {"1.0.1": 21_837, "1.0.2": 21_801, "1.0.3": 21_799}
"""Number of records of each published version (PhysioNet)."""

FILENAME_COLUMNS: Final = {100: "filename_lr", 500: "filename_hr"}
"""Sampling rate in Hz and the column with the file names at that rate."""

_MAX_CODES_LENGTH: Final = 4_000  # all 71 statements with likelihoods need about 1,100 characters
_NUMPY_NUMBER: Final = re.compile(r"\b(?:np|numpy)\.(?:float|int)[0-9]*\(([0-9.e+]+)\)")
"""A number in a dictionary as NumPy 2 writes it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RecordTable:
    """The content of PTB-XL's table for its N records, in file order.

    Attributes:
        root: The folder that holds `ptbxl_database.csv`; file names are relative to it.
        version: "1.0.1", "1.0.2", "1.0.3", "1.0.3, subset of 987 records", "SYNTHETIC" or "unknown".
        synthetic: Whether the records were generated.
        ecg_id: Record ids, unique, int64 (N,).
        patient_id: Patient ids, int64 (N,).
        strat_fold: PTB-XL's folds 1 to 10, int64 (N,).
        age: Years, float32 (N,); 90 stands for "90 or over", NaN for unknown.
        sex: 0 male, 1 female, NaN for unknown, float32 (N,).
        groups: Device and site of each record, text (N,), empty for unknown.
        scp_codes: SCP statement and likelihood in percent for each record; 0 means "unknown", not "absent".
        filenames: For each sampling rate in Hz the record names without extension.
    """

    root: Path
    version: str
    synthetic: bool
    ecg_id: NDArray[np.int64]
    patient_id: NDArray[np.int64]
    strat_fold: NDArray[np.int64]
    age: NDArray[np.float32]
    sex: NDArray[np.float32]
    groups: Mapping[str, NDArray[np.str_]]
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
        age=table.age,
        sex=table.sex,
        groups=table.groups,
    )


def _certainty(diagnostic: Collection[str]) -> Callable[[str, float], float]:
    """Certainty of a statement: its likelihood, if it is diagnostic and has one.

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
    table = read_csv(
        path,
        needed=("ecg_id", "patient_id", "scp_codes", "strat_fold"),
        optional=("age", "sex", "device", "site", *FILENAME_COLUMNS.values()),
    )
    ecg_id = table.integers("ecg_id", low=0)
    _refuse_repeated(table, ecg_id)
    table = table.named(f"record {identifier}" for identifier in ecg_id.tolist())
    table.identifiers("patient_id", "patient")
    synthetic = _is_synthetic(path, table.column("device"))
    return RecordTable(
        root=root,
        version=SYNTHETIC_VERSION if synthetic else _version(root, len(table)),
        synthetic=synthetic,
        ecg_id=ecg_id,
        patient_id=table.integers("patient_id", low=0),
        strat_fold=_folds(table),
        age=column_of_ages(table),
        sex=column_of_sexes(table),
        groups={name: _words(table, name) for name in ("device", "site")},
        scp_codes=statement_codes(table),
        filenames=_filenames(table, root),
    )


def _refuse_repeated(table: Table, ecg_id: NDArray[np.int64]) -> None:
    first: dict[int, int] = {}
    for row, identifier in enumerate(ecg_id.tolist()):
        other = first.setdefault(identifier, row)
        if other == row:
            continue
        cells = {**table.columns, **table.others}
        differ = [name for name, column in cells.items() if column[row] != column[other]]
        cause = f"differ in {', '.join(differ[:5])}" if differ else "are equal"
        advice = "give a record one row with all its codes" if differ else "remove one of them"
        raise DataError(
            f"{table.path}: {table.where[other]} and {table.where[row]} are both of record {identifier} and "
            f"{cause}; {advice}"
        )


def _folds(table: Table) -> NDArray[np.int64]:
    cells = {number(text) for text in table["strat_fold"]}
    if 0 in cells and cells <= set(range(10)):
        raise DataError(
            f"{table.path}: strat_fold goes from {min(cells):.0f} to {max(cells):.0f}; folds of PTB-XL are 1 "
            "to 10, and 10 is the test fold: add 1 to each"
        )
    return table.integers("strat_fold", low=1, high=10)


def _words(table: Table, column: str) -> NDArray[np.str_]:
    """Text of a column, empty where it is blank; PTB-XL pads devices with spaces and numbers sites as 2.0."""
    found = []
    for text in table.column(column):
        value = number(text)
        words = f"{value:.0f}" if value.is_integer() else " ".join(text.split())
        found.append("" if is_blank(text) else words)
    return np.array(found, dtype=np.str_)


def statement_codes(table: Table) -> tuple[Mapping[str, float], ...]:
    """Statements with likelihoods in percent. Equal cells share one mapping: PTB-XL repeats most of them.

    Raises:
        DataError: A cell is not a mapping from statements to likelihoods.
    """
    parsed: dict[str, Mapping[str, float]] = {}
    for row, text in enumerate(table["scp_codes"]):
        if text not in parsed:
            codes = _parse_codes(_NUMPY_NUMBER.sub(r"\1", text))
            if codes is None:
                raise table.bad_cell(
                    "scp_codes", row, "like {'NORM': 100.0, 'SR': 0.0}, each code once, with 0 to 100 percent"
                )
            parsed[text] = codes
    return tuple(parsed[text] for text in table["scp_codes"])


def _parse_codes(text: str) -> dict[str, float] | None:
    """The mapping a cell spells; None if it spells something else. Nothing in the cell is executed."""
    if len(text) > _MAX_CODES_LENGTH:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SyntaxWarning)  # of '\\d' and the like: not what PTB-XL writes
            warnings.simplefilter("error", DeprecationWarning)  # what Python 3.11 calls the same
            spelled = ast.parse(text, mode="eval").body
            value = ast.literal_eval(spelled)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    if not isinstance(spelled, ast.Dict):
        return None
    codes: dict[str, float] = {}
    for code, likelihood in value.items():
        # type() and not isinstance(): True is no likelihood.
        if not isinstance(code, str) or type(likelihood) not in (int, float) or not 0 <= likelihood <= 100:
            return None
        codes[clean(code)] = float(likelihood)
    # A code that is there twice would have lost one of its likelihoods.
    return codes if len(codes) == len(spelled.keys) else None


def _filenames(table: Table, root: Path) -> dict[int, tuple[str, ...]]:
    """Record names per rate; a rate whose column is absent or blank throughout is left out."""
    columns = {
        rate: column
        for rate, column in FILENAME_COLUMNS.items()
        if not all(map(is_blank, table.column(column)))
    }
    if not columns:
        raise DataError(
            f"{table.path} lacks file names: columns {' and '.join(FILENAME_COLUMNS.values())} are absent "
            "or blank; use the file of the PTB-XL download"
        )
    names = {rate: table.record_names(column, root) for rate, column in columns.items()}
    for rate, column in columns.items():
        _refuse_shared_files(table, column, names[rate])
    if len(columns) == 1:
        _check_rate_is_there(table, root, *names.items())
    return names


def _refuse_shared_files(table: Table, column: str, names: tuple[str, ...]) -> None:
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        other = first.setdefault(name, row)
        if other != row:
            raise DataError(
                f"{table.path}: {table.where[other]} and {table.where[row]} name one file, {name[:60]!r}, in "
                f"{column}; remove one of them or correct its file name"
            )


def _check_rate_is_there(table: Table, root: Path, named: tuple[int, tuple[str, ...]]) -> None:
    """Name the cause where the files at hand are those of the rate that the table does not name."""
    rate, names = named
    [(other, column)] = [item for item in FILENAME_COLUMNS.items() if item[0] != rate]
    if (root / f"records{other}").is_dir() and not (root / names[0]).parent.is_dir():
        raise DataError(
            f"{table.path} names no files at {other} Hz, those that are there: its column {column} is absent "
            "or blank; use the file of the PTB-XL download"
        )


def _is_synthetic(path: Path, devices: tuple[str, ...]) -> bool:
    n_synthetic = devices.count(SYNTHETIC_DEVICE)
    if 0 < n_synthetic < len(devices):
        raise DataError(
            f"{path} mixes {n_synthetic:,} synthetic records (device {SYNTHETIC_DEVICE}) with "
            f"{len(devices) - n_synthetic:,} real ones; keep them in separate folders"
        )
    return n_synthetic > 0


def _version(root: Path, n_records: int) -> str:
    """The published version: by the number of records, for a subset by what lies beside the table.

    Versions differ in the records withdrawn, so a subset alone does not identify its version.
    """
    for version, n_published in RECORDS_OF_VERSION.items():
        if n_records == n_published:
            return version
    for version, n_published in RECORDS_OF_VERSION.items():
        named = any(root_part.endswith(version) for root_part in root.parts[-2:])
        if n_records < n_published and (named or _n_listed(root) == n_published):
            return f"{version}, subset of {n_records:,} records"
    return UNKNOWN_VERSION


def _n_listed(root: Path) -> int:
    """Records that PhysioNet's RECORDS file lists at 100 Hz; 0 without such a file."""
    try:
        with (root / "RECORDS").open(encoding="utf-8", errors="replace") as file:
            return sum(line.startswith("records100/") for line in file)
    except OSError:
        return 0
