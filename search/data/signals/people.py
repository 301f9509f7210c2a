"""Age and sex of the person of a record, as headers of ECGs write them.

The CinC challenges have `#Age: 74` and `#Sex: Male` among the comments of a WFDB header.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from search.data.tables import is_blank, number

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
