"""Cells of PTB-XL's table turned into numbers, statements and file names; a bad one is named in one line."""

import ast
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from search.errors import DataError

OLDEST_STATED_AGE: Final = 89
_HIDDEN_AGE: Final = 300  # what PTB-XL writes for "older than 89"
_OLDEST_AGE: Final = 120
_MAX_CODES_LENGTH: Final = 4_000  # all 71 statements with likelihoods need about 1,100 characters
_MAX_INTEGER: Final = 2**53  # beyond it a float no longer holds every integer


def _number(text: str) -> float:
    """The number a cell holds; NaN where it holds none ("", "nan" or anything else)."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def integers(
    path: Path,
    column: str,
    cells: Sequence[str],
    where: Sequence[str],
    *,
    low: int,
    high: int = _MAX_INTEGER,
    blank: int | None = None,
) -> NDArray[np.int64]:
    """Whole numbers, also where an older version writes them as "15709.0".

    Args:
        path: The file, for messages.
        column: Name of the column, for messages.
        cells: The column, one text per row.
        where: What to call each row in a message.
        low: Smallest value allowed.
        high: Largest value allowed.
        blank: Value of a blank cell; None if a cell must not be blank.

    Raises:
        DataError: A cell holds something else; names the first.
    """
    values = np.empty(len(cells), dtype=np.int64)
    allowed = (
        f"a whole number from {low} to {high}" if high < _MAX_INTEGER else f"a whole number from {low} up"
    )
    for row, text in enumerate(cells):
        if blank is not None and _is_blank(text):
            values[row] = blank
            continue
        value = _number(text)
        if not (low <= value <= high and value.is_integer()):
            raise bad_cell(path, column, where[row], text, allowed)
        values[row] = int(value)
    return values


def ages(path: Path, cells: Sequence[str], where: Sequence[str]) -> NDArray[np.float64]:
    """Ages in years as written, 300 included; NaN for blank cells.

    Raises:
        DataError: A cell holds no age.
    """
    values = np.array([_number(text) for text in cells])
    for row, (text, value) in enumerate(zip(cells, values.tolist(), strict=True)):
        if not (0 <= value <= _OLDEST_AGE or value == _HIDDEN_AGE or _is_blank(text)):
            raise bad_cell(
                path, "age", where[row], text, f"0 to {_OLDEST_AGE}, {_HIDDEN_AGE} (90 or over) or blank"
            )
    return values


def _is_blank(text: str) -> bool:
    return text.strip().lower() in ("", "nan")


def statement_codes(
    path: Path, cells: Sequence[str], where: Sequence[str]
) -> tuple[Mapping[str, float], ...]:
    """Statements with likelihoods in percent. Equal cells share one mapping: PTB-XL repeats most of them.

    Raises:
        DataError: A cell is not a mapping from statements to likelihoods.
    """
    parsed: dict[str, Mapping[str, float]] = {}
    for row, text in enumerate(cells):
        if text not in parsed:
            codes = _parse_codes(text)
            if codes is None:
                raise bad_cell(
                    path,
                    "scp_codes",
                    where[row],
                    text,
                    "like {'NORM': 100.0, 'SR': 0.0}, with 0 to 100 percent",
                )
            parsed[text] = codes
    return tuple(parsed[text] for text in cells)


def _parse_codes(text: str) -> dict[str, float] | None:
    """The mapping a cell spells; None if it spells something else. Nothing in the cell is executed."""
    if len(text) > _MAX_CODES_LENGTH:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SyntaxWarning)  # of '\\d' and the like: not what PTB-XL writes
            warnings.simplefilter("error", DeprecationWarning)  # what Python 3.11 calls the same
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    for code, likelihood in value.items():
        # type() and not isinstance(): True is no likelihood.
        if not isinstance(code, str) or type(likelihood) not in (int, float) or not 0 <= likelihood <= 100:
            return None
    return {code: float(likelihood) for code, likelihood in value.items()}


def stays_inside(name: str) -> bool:
    """Whether a file name is relative, on every system, and stays below the folder it is joined to."""
    return (
        name.isprintable()
        and not name.startswith("/")
        and "\\" not in name
        and name[1:2] != ":"
        and not {"", "..", "."} & set(name.split("/"))
    )


def bad_cell(path: Path, column: str, where: str, text: str, allowed: str) -> DataError:
    """The error for a cell: where it is, what it holds (shortened) and what it should hold."""
    shown = text if len(text) <= 60 else text[:57] + "…"
    return DataError(f"{path}: {column} of {where} is {shown!r}, not {allowed}; correct the cell or the row")
