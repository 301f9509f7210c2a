"""A folder of WFDB records with a table of labels: the format for data of one's own.

    records.csv          record,patient_id,labels[,fold][,age][,sex]
    ward3/0001.hea       WFDB headers and signal files, in folders as deep as you like
    ward3/0001.dat

`record` is the path of a header below the folder, without `.hea`. `patient_id` is any text or number; see
`search.data.tables` for when two of them are the same patient. `labels` are separated by semicolons; a blank
cell is a record without any. A comma within a label is refused, as it may separate two, unless it is followed
by a qualifier in lower case and no part is a label of its own. Rows of one record that differ in nothing but
their label are joined. `fold` is 1 to 5, or `test` for records that are sealed; without that column a tenth
of the patients is sealed and the others are spread over five folds, every patient in one. `age` is in years
and `sex` 0 or male, 1 or female, as in PTB-XL.

The first header that can be read, not counting sealed records, sets leads and sampling rate for all. Of each
record the first ten seconds count, or as many as that first record has. Records above 100 Hz can also be read
at 100 Hz.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import unescape
from html.entities import html5
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reports.numbers import first_words
from search.data.catalogue import Catalogue, numbering_of, short_name
from search.data.folds import FIVE_FOLDS
from search.data.grouping import balanced_folds, is_sealed, numbered
from search.data.labels.tiers import Hierarchy, Tier
from search.data.signals.headers import LOWEST_HZ, read_shape
from search.data.signals.leads import one_order
from search.data.signals.people import column_of_ages, column_of_sexes
from search.data.signals.records import RECORD_S, RecordReader
from search.data.signals.waveforms import RecordFiles, at_lower_rate, wfdb_records
from search.data.tables import Table, clean, is_blank, label_key, number, read_csv
from search.errors import DataError, RecordError

TABLE_NAME: Final = "records.csv"
TIERS: Final = {"label": Tier(class_of=lambda label, _: label.code, refined_by=None)}
LOW_RATE_HZ: Final = 100
"""The rate that records above it can also be read at, PTB-XL's lower one."""

_N_FOLDS: Final = len(FIVE_FOLDS.groups)
_LIKE_FOLD: Final = re.compile(
    r"(?:strat|cv|k|crossvalidation|outer)?folds?(?:id|no|nr|number|index)?"
    r"|(?:data|dataset|cv|train|traintest|trainvaltest)?(?:splits?|partition)(?:name|id)?|subset|set"
    r"|(?:is|in)(?:train|training|test|testing|val|valid|validation)(?:set)?|(?:test|train|val)set|traintest"
)
"""Names of columns, without punctuation, that probably hold the folds."""
_PARTS_OF_SPLIT: Final = frozenset(
    ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "holdout", "held out")
)
"""Cells of columns that hold the folds under any name."""
_OTHER_SEPARATORS: Final = re.compile(r"[,|\t，、；،؛｜¦∣│ǀ‖]")
_QUALIFIED: Final = re.compile(r"[^\W_a-z][^,|\t，、；،؛]*(?:, [a-zß-öø-ÿ][^,|\t，、；،؛]*)+")
"""A label qualified in lower case behind a comma: "Sinus rhythm, normal" is no list, "AF, PVC" may be one."""
_BETWEEN_LABELS: Final = re.compile(
    r"<br\s*/?>|\\[nrt]|[^\w\s]|_|\s(?:and|with|plus|or|und|mit|oder|et|avec|y|con|e)\s", re.IGNORECASE
)
"""Signs and words that may join two labels, each of which also occurs alone."""
_ENTITY: Final = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|\w{2,31});", re.ASCII)
_VECTOR: Final = re.compile(r"[01]{3,}|[01](?:\.0)?(?:\s+[01](?:\.0)?)+")
"""Zeros and ones of several classes."""
_FLAG_WORDS: Final = frozenset(("0", "1", "0.0", "1.0", "true", "false"))
_LONGEST_LABEL: Final = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """A label of the table."""

    code: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Properties that all records share."""

    rate_hz: int
    leads: tuple[str, ...]
    n_samples: int


def read_catalogue(root: Path) -> Catalogue:
    """Read `records.csv` and the first header.

    Raises:
        DataError: The table lacks a column, holds a value that cannot be right or no label at all, or no
            header can be read.
    """
    rows = _read(root / TABLE_NAME)
    table = _one_row_each(rows, root)
    names = table.record_names("record", root)
    patients = table.identifiers("patient_id", "patient")
    labels = _labels(table)
    patient_id, patient_names = _patients(patients)
    classes = sorted({label for of_record in labels for label in of_record})
    record_id = np.arange(1, len(names) + 1)
    fold = _folds(table, patients, patient_id)
    unsealed = [
        name for name, number in zip(names, fold.tolist(), strict=True) if number != FIVE_FOLDS.sealed
    ]
    # A table of nothing but sealed records is of use to another data set's model.
    first, layout = _first_layout(root, unsealed or names)
    return Catalogue(
        root=root,
        name=short_name("own", root),
        version="unversioned",
        ecg_id=record_id,
        patient_id=patient_id,
        patient_names=patient_names,
        strat_fold=fold,
        fold_plan=FIVE_FOLDS,
        statements=labels,
        hierarchy=Hierarchy(
            [Label(code=code) for code in classes], tiers=TIERS, noun="label", listed_in=TABLE_NAME
        ),
        meaning=str(classes),
        numbering=numbering_of(record_id, names, patient_id, patients),
        waveforms=_waveforms(root, layout, record_id, names),
        notes=(*_notes(table, len(rows)), *_length_notes(first, layout)),
        age=column_of_ages(table) if "age" in table else None,
        sex=column_of_sexes(table) if "sex" in table else None,
    )


def _read(path: Path) -> Table:
    """The table, with a column of labels.

    Raises:
        DataError: A column is missing, or the folds have another name.
    """
    table = read_csv(
        path,
        ("record", "patient_id"),
        ("labels", "fold", "age", "sex"),
        remedy="correct the file",
        quoting="separate labels by semicolons, and put quotes around a cell that holds the separator",
    )
    if "labels" not in table:
        flags = [name for name, cells in table.others.items() if _are_flags(cells)]
        shown = ", ".join(flags[:5]) + (", …" if len(flags) > 5 else "")
        cause = (
            f"{shown[:200]} are columns of zeros and ones: write the names of those that are 1 into a column "
            "labels, separated by semicolons"
            if flags
            else f"it has {', '.join(table.others)[:200] or 'no other'}; give the right one this name"
        )
        raise DataError(f"{path} lacks the column labels; {cause}")
    like = [name for name, cells in table.others.items() if _are_folds(name, cells)]
    if like and "fold" not in table:
        raise DataError(
            f"{path} has the column {like[0]!r} but none of the name fold; rename it if it holds folds 1 to "
            f"{_N_FOLDS} and test, or remove it to have folds made by patient"
        )
    return table


def _are_folds(name: str, cells: Sequence[str]) -> bool:
    """Whether a column probably says which records are for training and which for the test."""
    if _LIKE_FOLD.fullmatch(re.sub(r"[\W_]", "", name.casefold())):
        return True
    words = {cell.casefold() for cell in map(clean, cells) if not is_blank(cell)}
    return len(words) > 1 and words <= _PARTS_OF_SPLIT


def _are_flags(cells: Sequence[str]) -> bool:
    return all(is_blank(cell) or cell.lower() in _FLAG_WORDS for cell in map(clean, cells))


def _one_row_each(table: Table, root: Path) -> Table:
    """The table with one row per record: labels that stand in rows of their own are joined.

    Raises:
        DataError: Two rows of a record are equal, or differ in more than their label.
    """
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(table.record_names("record", root)):
        rows_of.setdefault(name, []).append(row)
    if len(rows_of) == len(table):
        return table
    cells = {**table.columns, **table.others}
    for name, (first, *more) in rows_of.items():
        labels = {table["labels"][first]}
        for row in more:
            both = (
                f"{table.path}: {table.where[first]} and {table.where[row]} are both of record {name[:60]!r}"
            )
            differ = [
                column
                for column, of_rows in cells.items()
                if column not in ("record", "labels") and of_rows[row] != of_rows[first]
            ]
            if differ:
                raise DataError(
                    f"{both} and differ in {', '.join(differ)[:200]}; correct what is wrong, or give a "
                    "record one row with all its labels, separated by semicolons"
                )
            if table["labels"][row] in labels:
                raise DataError(f"{both} and are equal; remove one of them")
            labels.add(table["labels"][row])
    chosen = [rows[0] for rows in rows_of.values()]
    columns = {name: tuple(of_rows[row] for row in chosen) for name, of_rows in table.columns.items()}
    columns["labels"] = tuple(
        ";".join(table["labels"][row] for row in rows) if len(rows) > 1 else table["labels"][rows[0]]
        for rows in rows_of.values()
    )
    return replace(table, columns=columns, where=tuple(table.where[row] for row in chosen))


def _labels(table: Table) -> tuple[tuple[str, ...], ...]:
    """Labels of each record; a missing marker is none.

    Raises:
        DataError: A label is too long or holds another separator, two labels nearly agree, or there is none.
    """
    labels = []
    for row, cell in enumerate(table["labels"]):
        _check_text(table, row, cell)
        parts = map(clean, cell.split(";"))
        names = tuple(dict.fromkeys(name for name in parts if not is_blank(name)))
        for name in names:
            if name[0] == name[-1] and name[0] in "'\"":
                raise table.bad_cell("labels", row, "labels without quotes of their own")
            if len(name) > _LONGEST_LABEL:
                raise table.bad_cell("labels", row, "short names separated by semicolons")
            sign = _OTHER_SEPARATORS.search(name)
            if sign and not _QUALIFIED.fullmatch(name):
                raise _looks_like_a_list(table, row, name, re.escape(sign[0]))
        labels.append(names)
    if not any(labels):
        raise DataError(f"{table.path} has no label in any row; fill in the column labels")
    used = [(row, name) for row, names in enumerate(labels) for name in names]
    table.check_alike(
        "labels",
        used,
        key=label_key,
        advice="write each label in one way, or give different labels names that differ more",
    )
    _check_vocabulary(table, used)
    return tuple(labels)


def _check_text(table: Table, row: int, cell: str) -> None:
    """Make sure that a cell is a list as people write it, not as a program prints one."""
    brackets = cell[:1] + cell[-1:]
    if brackets in ("[]", "{}") or (brackets == "()" and ("'" in cell or '"' in cell)):
        raise table.bad_cell("labels", row, "labels separated by semicolons, without brackets and quotes")
    for entity in _ENTITY.finditer(cell):
        if entity[1][0] == "#" or f"{entity[1]};" in html5:
            raise table.bad_cell("labels", row, f"text: write {unescape(entity[0])} for {entity[0]}")


def _check_vocabulary(table: Table, used: Sequence[tuple[int, str]]) -> None:
    """Make sure that no label is a list of others, and that not all of them are vectors.

    Args:
        table: The table.
        used: Row and label.
    """
    rows: dict[str, int] = {}
    for row, name in used:
        rows.setdefault(name, row)
    if all(map(_VECTOR.fullmatch, rows)):
        row, name = used[0]
        allowed = "names: a vector is not read, write the classes that are 1, with semicolons"
        raise table.bad_cell("labels", row, allowed, name)
    keys = set(map(label_key, rows))
    for name, row in rows.items():
        signs = sorted({re.escape(sign) for sign in _BETWEEN_LABELS.findall(name)}, key=len, reverse=True)
        for joined in (*signs, "|".join(signs), r"\s"):
            parts = [part.strip() for part in re.split(joined, name)] if joined else []
            if len(parts) > 1 and rows.keys() >= set(parts):
                raise _looks_like_a_list(table, row, name, joined)
        parts = name.split(", ")
        if len(parts) > 1 and not keys.isdisjoint(map(label_key, parts)):
            raise _looks_like_a_list(table, row, name, ", ")


def _looks_like_a_list(table: Table, row: int, name: str, signs: str) -> DataError:
    parts = ";".join(part.strip(" \"'") for part in re.split(signs, name))
    return table.bad_cell(
        "labels", row, f"one label or several with semicolons between: write {parts[:60]}, or rename it", name
    )


def _notes(table: Table, n_rows: int) -> tuple[str, ...]:
    """Notes on rows of the table that were left out or merged."""
    notes = []
    if n_rows != len(table):
        notes.append(f"{n_rows:,} rows of {TABLE_NAME} make {len(table):,} records: their labels are joined")
    parts = [[part for part in map(clean, cell.split(";")) if part] for cell in table["labels"]]
    words = [cell for cell in parts if cell and all(map(is_blank, cell))]
    if words:
        shown = ", ".join(map(repr, sorted({word for cell in words for word in cell})))
        notes.append(f"records whose labels are {shown} count as records without a label: {len(words):,}")
    beside = [cell for cell in parts if 0 < sum(map(is_blank, cell)) < len(cell)]
    if beside:
        shown = ", ".join(map(repr, sorted({word for cell in beside for word in cell if is_blank(word)})))
        notes.append(f"records with {shown} beside labels, which counts as nothing: {len(beside):,}")
    if qualified := sorted({part for cell in parts for part in cell if ", " in part}):
        shown = ", ".join(map(repr, qualified[:5])) + (", …" if len(qualified) > 5 else "")
        notes.append(f"labels with a comma, each of which is one label: {shown}")
    if table.others:
        shown = first_words([name[:40] for name in table.others], 8)
        notes.append(f"columns of {TABLE_NAME} that are not used: {shown}")
    return tuple(notes)


def _length_notes(first: str, layout: Layout) -> tuple[str, ...]:
    """A note where records count with less than is usual."""
    if layout.n_samples == RECORD_S * layout.rate_hz:
        return ()
    return (
        f"of every record the first {layout.n_samples / layout.rate_hz:.3g} s count, all that {first[:60]} "
        f"has, the first record of {TABLE_NAME} that is not sealed",
    )


def _patients(patients: Sequence[str]) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Number of the patient of each row, and names: all own numbers, which need no names, or none."""
    if all(re.fullmatch(r"[0-9]{1,15}", patient) for patient in patients):
        return np.array(patients, dtype=np.int64), {}
    return numbered(patients)


def _folds(table: Table, patients: Sequence[str], patient_id: NDArray[np.int64]) -> NDArray[np.int64]:
    """Fold of each record: as in the table, or made by patient.

    Raises:
        DataError: A cell is no fold, or folds are counted from 0.
    """
    if "fold" not in table:
        fold = np.where(is_sealed(patients), FIVE_FOLDS.sealed, 0)
        fold[fold == 0] = balanced_folds(patient_id[fold == 0])
        return fold
    sealed = FIVE_FOLDS.sealed_label
    values = {number(text) for text in table["fold"] if text.lower() != sealed}
    if 0 in values and values <= set(range(_N_FOLDS)):
        raise DataError(
            f"{table.path}: fold is counted from 0; folds are 1 to {_N_FOLDS} or {sealed}: add 1 to each"
        )
    fold = np.empty(len(table), dtype=np.int64)
    for row, text in enumerate(table["fold"]):
        if text.lower() == sealed:
            fold[row] = FIVE_FOLDS.sealed
        elif number(text) in range(1, _N_FOLDS + 1):
            fold[row] = int(number(text))
        else:
            words = ": number what is developed on, or remove the column to have folds made by patient"
            raise table.bad_cell("fold", row, f"1 to {_N_FOLDS} or {sealed}{words if text.isalpha() else ''}")
    return fold


def _first_layout(root: Path, names: Sequence[str]) -> tuple[str, Layout]:
    """The first record whose header can be read, and its rate, leads and length.

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
        if shape.rate_hz != int(shape.rate_hz) or shape.rate_hz < LOWEST_HZ:
            raise DataError(
                f"{root / name}.hea: {shape.rate_hz:g} Hz, expected a whole number from {LOWEST_HZ} up"
            )
        rate_hz = int(shape.rate_hz)
        if shape.n_samples < rate_hz:
            raise DataError(f"{root / name} is shorter than a second; take it out of {TABLE_NAME}")
        try:
            leads = one_order(shape.leads)
        except RecordError as error:
            raise DataError(f"{root / name}.hea: {error}") from error
        n_samples = min(shape.n_samples, RECORD_S * rate_hz)
        return name, Layout(rate_hz=rate_hz, leads=leads, n_samples=n_samples)
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
