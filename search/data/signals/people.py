"""Age and sex of the person of a record, as headers of ECGs and tables of data sets write them.

The CinC challenges have `#Age: 74` and `#Sex: Male` among the comments of a WFDB header. Tables have columns
`age` and `sex`, in which PTB-XL writes sex as 0 and 1.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from search.data.tables import Table, is_blank, number

OLDEST_STATED_AGE: Final = 89
"""Older people are 90, as in PTB-XL."""
OLDEST_AGE: Final = 120
HIDDEN_AGE: Final = 300
"""Age that PTB-XL and the challenges write for "older than 89"."""
SEXES: Final = {"m": 0, "male": 0, "f": 1, "female": 1}
_UNKNOWN: Final = "unknown"
_FIELD: Final = re.compile(r"(Age|Sex|Dx)[ \t]*:[ \t]*(.*)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Age and sex of the patient of a record."""

    age: float = math.nan
    """Years, 90 for 90 and over; NaN for unknown."""
    sex: float = math.nan
    """0 male, 1 female; NaN for unknown."""


def age_of(text: str) -> float:
    """Years, 90 for 90 and over; NaN for unknown and for what is no age."""
    years = number(text)
    is_age = 0 <= years <= OLDEST_AGE or years == HIDDEN_AGE
    return min(years, OLDEST_STATED_AGE + 1) if is_age else math.nan


def sex_of(text: str) -> float:
    """0 male, 1 female; NaN for unknown and for what is neither."""
    return SEXES.get(text.lower(), math.nan)


def column_of_ages(table: Table) -> NDArray[np.float32]:
    """Years in the optional column `age` of a table, 90 for 90 and over, NaN for blank; shape (N,).

    Raises:
        DataError: A cell holds no age; names the first.
    """
    cells = table.column("age")
    ages = np.array([age_of(text) for text in cells], dtype=np.float32)
    for row, text in enumerate(cells):
        if math.isnan(ages[row]) and not is_blank(text):
            raise table.bad_cell("age", row, f"0 to {OLDEST_AGE}, {HIDDEN_AGE} (90 or over) or blank")
    return ages


def column_of_sexes(table: Table) -> NDArray[np.float32]:
    """Sex in the optional column `sex` of a table: 0 male, 1 female, NaN for blank; shape (N,).

    Raises:
        DataError: A cell holds neither 0, 1 nor a word of `SEXES`; names the first.
    """
    cells = table.column("sex")
    sexes = np.array([SEXES.get(text.lower(), number(text)) for text in cells], dtype=np.float32)
    for row, text in enumerate(cells):
        if sexes[row] not in (0, 1) and not is_blank(text):
            raise table.bad_cell("sex", row, "0 or male, 1 or female, or blank")
    return sexes


def is_unknown(text: str) -> bool:
    """Whether the text of a field means "unknown"."""
    return is_blank(text) or text.lower() == _UNKNOWN


def comment_fields(comments: Iterable[str]) -> Mapping[str, list[str]]:
    """Values of the lines `age`, `sex` and `dx` among the comments of a WFDB header."""
    values: dict[str, list[str]] = {"age": [], "sex": [], "dx": []}
    for line in comments:
        if match := _FIELD.fullmatch(line):
            values[match[1].lower()].append(match[2].strip())
    return values
