"""Spread of the fold scores of one trial.

The cross-validated score of a trial weighs folds by their positives, so it is not the plain mean of the
fold scores; the spread here is of the plain fold scores. Training sets of different folds overlap, so the
standard error is too small for a test between two trials: that takes paired differences.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from statistics import fmean, stdev
from typing import Protocol


class FoldScored(Protocol):
    """A trial by the scores of its folds; `storage.TrialRecord` is one."""

    @property
    def fold_scores(self) -> Mapping[int, float]:
        """Fold number to macro-AUPRC, finished folds only."""


def finite_folds(trial: FoldScored) -> list[float]:
    """Scores of the finished folds, by fold number, without undefined ones."""
    return [score for _, score in sorted(trial.fold_scores.items()) if math.isfinite(score)]


def fold_mean(trial: FoldScored) -> float | None:
    """Mean over the finished folds; None before the first."""
    scores = finite_folds(trial)
    return fmean(scores) if scores else None


def standard_deviation(trial: FoldScored) -> float | None:
    """Sample standard deviation (n − 1) over the finished folds; None with fewer than two."""
    scores = finite_folds(trial)
    return _exact_deviation(tuple(scores)) if len(scores) > 1 else None


def standard_error(trial: FoldScored) -> float | None:
    """Standard error of the mean over the finished folds, SD/√n; None with fewer than two."""
    deviation = standard_deviation(trial)
    return None if deviation is None else deviation / math.sqrt(len(finite_folds(trial)))


@lru_cache(maxsize=100_000)
def _exact_deviation(scores: tuple[float, ...]) -> float:
    """Exact to the last digit, which takes a tenth of a millisecond; the folds of a trial never change."""
    return stdev(scores)
