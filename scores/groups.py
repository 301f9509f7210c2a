"""Groups of patients by sex and by age, and the classes on which they can be compared.

Groups by one attribute are compared over the same classes, those that every one of them can score, because a
group in which a rare class is missing would otherwise be scored on easier ones.

Shapes: N record, C class.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEAST_RECORDS = 30
"""Minimum number of records of a group for scores; smaller groups are counted only."""
LEAST_POSITIVE = 5
"""Minimum number of positive and negative records of a class in every compared group."""
AGES: Sequence[tuple[str, float, float]] = (
    ("under 40", 0, 40),
    ("40 to 59", 40, 60),
    ("60 to 79", 60, 80),
    ("80 and over", 80, np.inf),
)
"""Name, first year, first year beyond."""
SEXES: Sequence[tuple[str, float]] = (("female", 1), ("male", 0))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class People:
    """What is known of the patients of some records."""

    sex_N: ArrayLike | None
    """0 male, 1 female, NaN for unknown; None where the data set does not say."""
    age_N: ArrayLike | None
    """Years, NaN for unknown; None where the data set does not say."""

    def attributes(self) -> Iterator[tuple[str, list[tuple[str, NDArray[np.bool_]]], NDArray[np.bool_]]]:
        """Attribute, its groups with the records of each, and the records of which it is not known."""
        if self.sex_N is not None:
            sex_N = np.asarray(self.sex_N, dtype=np.float64)
            yield "sex", [(name, sex_N == code) for name, code in SEXES], np.isnan(sex_N)
        if self.age_N is not None:
            age_N = np.asarray(self.age_N, dtype=np.float64)
            cells = [(name, (age_N >= first) & (age_N < end)) for name, first, end in AGES]
            yield "age", cells, np.isnan(age_N)


def common_classes(y_NC: ArrayLike, groups: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """(C,) whether every group has `LEAST_POSITIVE` positives and negatives of a class.

    Args:
        y_NC: targets.
        groups: (N,) the records of each group.
    """
    y = np.asarray(y_NC, dtype=np.bool_)
    used_C = np.ones(y.shape[1], dtype=np.bool_)
    for is_in_N in groups:
        n_positive_C = y[is_in_N].sum(axis=0)
        used_C &= (n_positive_C >= LEAST_POSITIVE) & (is_in_N.sum() - n_positive_C >= LEAST_POSITIVE)
    return used_C
