"""How much of a score, or of a difference between two, is luck of the draw.

Records (or whole patients, whose records are not independent) are drawn with replacement, a thousand times.
Drawing a record twice is the same as giving it the weight 2, so the ranking is sorted once and each resample
is a cumulative sum of weights. Folds stay what they are: each is resampled within itself. A class that loses
all its positives in a resample is undefined there and left out of that resample's mean (the rule of
`metrics`); redrawing until every class has one, as some do, would flatter rare classes.

Shapes: N record, C class, R resample.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reports.metrics import cross_validated, macro, mean_over_folds
from reports.ranking import Floats, auroc, average_precision, checked

Metric = Literal["auprc", "auroc"]
Folds = Sequence[tuple[ArrayLike, ArrayLike]]
Weights = NDArray[np.float32]

_POINT = {"auprc": average_precision, "auroc": auroc}
_N_RESAMPLES_AT_ONCE = 128
"""Resamples handled together; keeps the working set of a fold within the cache of one core."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A value with its percentile bootstrap interval."""

    value: float
    """Score (or difference) on the records as they are."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""
    level: float
    """Share of the resamples between the ends, for example 0.95."""
    samples: Floats
    """(R,) the score in each resample."""


def resample_weights(
    n_records: int, n_resamples: int, rng: np.random.Generator, patient_N: ArrayLike | None = None
) -> Weights:
    """How often each record is drawn in each resample.

    Args:
        n_records: N.
        n_resamples: R.
        rng: source of randomness.
        patient_N: patient of each record; draws patients, each with all of its records.

    Returns:
        (N, R) whole numbers as float32, exact below 16 million records.
    """
    group_N = np.arange(n_records) if patient_N is None else np.unique(patient_N, return_inverse=True)[1]
    n_groups = int(group_N.max()) + 1
    drawn_RG = rng.integers(n_groups, size=(n_resamples, n_groups))
    cell_RG = drawn_RG * n_resamples + np.arange(n_resamples)[:, None]
    weight_GR = np.bincount(cell_RG.ravel(), minlength=n_groups * n_resamples).astype(np.float32)
    return weight_GR.reshape(n_groups, n_resamples)[group_N]


def weighted_scores(y_NC: ArrayLike, p_NC: ArrayLike, weight_NR: Weights, metric: Metric = "auprc") -> Floats:
    """Average precision or AUROC of every class under every weighting of the records.

    Returns:
        (R, C) float64, nan where a weighting leaves a class without a positive (or, for AUROC, negative).
    """
    y, p = checked(y_NC, p_NC)
    n_resamples, n_classes = weight_NR.shape[1], y.shape[1]
    score_RC = np.full((n_resamples, n_classes), np.nan)
    sorted_C = [_Sorted.of(y[:, index], p[:, index]) for index in range(n_classes)]
    for start in range(0, n_resamples, _N_RESAMPLES_AT_ONCE):
        some = slice(start, start + _N_RESAMPLES_AT_ONCE)
        some_weights = np.ascontiguousarray(weight_NR[:, some])
        for index, ranking in enumerate(sorted_C):
            if len(ranking.last):
                score_RC[some, index] = ranking.score(some_weights, metric)
    return score_RC


@dataclass(frozen=True, slots=True)
class _Sorted:
    """One class in order of falling score, and the groups of equal scores that hold a positive."""

    order: NDArray[np.int64]
    positive_order: NDArray[np.int64]
    first: NDArray[np.int64]  # place of each such group's first record
    last: NDArray[np.int64]  # place of each such group's last record
    last_positive: NDArray[np.int64]  # the same, counted among positives only

    @classmethod
    def of(cls, y_N: NDArray[np.bool_], p_N: Floats) -> "_Sorted":
        order = np.argsort(-p_N, kind="stable")
        hit, score = y_N[order], p_N[order]
        last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
        first = np.concatenate([[0], last[:-1] + 1])
        last_positive = np.cumsum(hit)[last] - 1
        has_positive = np.diff(last_positive, prepend=-1) > 0
        return cls(order, order[hit], first[has_positive], last[has_positive], last_positive[has_positive])

    def score(self, weight_NR: Weights, metric: Metric) -> Floats:
        all_NR = np.cumsum(weight_NR[self.order], axis=0)
        hits_KR = np.cumsum(weight_NR[self.positive_order], axis=0)[self.last_positive].astype(np.float64)
        gained_KR = np.diff(hits_KR, axis=0, prepend=0.0)
        let_through_KR = all_NR[self.last].astype(np.float64)
        n_positive_R = hits_KR[-1]
        if metric == "auprc":
            # An empty group of a resample has gained nothing; the 1 only avoids 0/0.
            total_R = (gained_KR * hits_KR / np.maximum(let_through_KR, 1.0)).sum(axis=0)
            scale_R = n_positive_R
        else:
            before_KR = np.where((self.first > 0)[:, None], all_NR[self.first - 1], 0.0) - (
                hits_KR - gained_KR
            )
            n_negative_R = all_NR[-1] - n_positive_R
            beaten_KR = n_negative_R - (before_KR + let_through_KR - hits_KR) / 2.0
            total_R, scale_R = (gained_KR * beaten_KR).sum(axis=0), n_positive_R * n_negative_R
        score_R: Floats = np.divide(total_R, scale_R, out=np.full(len(total_R), np.nan), where=scale_R > 0)
        return score_R


def macro_interval(
    folds: Folds,
    *,
    rng: np.random.Generator,
    metric: Metric = "auprc",
    patients: Sequence[ArrayLike] | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    min_positive: int = 1,
) -> Interval:
    """Bootstrap interval of the cross-validated macro score (of a plain one, if there is a single fold).

    Args:
        folds: (y_NC, p_NC) of each fold.
        rng: source of randomness; the same seed on the same records gives the same resamples.
        metric: auprc or auroc.
        patients: patient of each record, fold by fold; None draws records independently.
        n_resamples: R.
        level: share of the resamples inside the interval.
        min_positive: classes with fewer positives (over all folds) are left out.
    """
    samples, value = _macro_samples(
        [folds], rng=rng, metric=metric, patients=patients, n_resamples=n_resamples, min_positive=min_positive
    )
    return percentile_interval(value[0], samples[0], level)


def macro_difference(
    folds: Folds,
    other: Folds,
    *,
    rng: np.random.Generator,
    metric: Metric = "auprc",
    patients: Sequence[ArrayLike] | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    min_positive: int = 1,
) -> Interval:
    """Paired bootstrap of `folds` minus `other`: both models are scored on the very same draws.

    Raises:
        ValueError: the two do not predict the same records (their targets differ).
    """
    same = len(folds) == len(other) and all(
        np.array_equal(mine, yours) for (mine, _), (yours, _) in zip(folds, other, strict=False)
    )
    if not same:
        raise ValueError("a paired difference needs two sets of predictions of the same records")
    samples, value = _macro_samples(
        [folds, other],
        rng=rng,
        metric=metric,
        patients=patients,
        n_resamples=n_resamples,
        min_positive=min_positive,
    )
    return percentile_interval(value[0] - value[1], samples[0] - samples[1], level)


def _macro_samples(
    models: Sequence[Folds],
    *,
    rng: np.random.Generator,
    metric: Metric,
    patients: Sequence[ArrayLike] | None,
    n_resamples: int,
    min_positive: int,
) -> tuple[list[Floats], list[float]]:
    """Per model the macro score in each resample, and on the records as they are."""
    groups = patients if patients is not None else [None] * len(models[0])
    targets = [np.asarray(y_NC, dtype=np.float32) for y_NC, _ in models[0]]
    weights = [
        resample_weights(len(y_NC), n_resamples, rng, group_N)
        for y_NC, group_N in zip(targets, groups, strict=True)
    ]
    n_positive_FRC = np.stack([w_NR.T @ y_NC for w_NR, y_NC in zip(weights, targets, strict=True)])
    n_positive_C = np.sum([y_NC.sum(axis=0) for y_NC in targets], axis=0)
    samples, values = [], []
    for folds in models:
        score_FRC = np.stack(
            [weighted_scores(y, p, w_NR, metric) for (y, p), w_NR in zip(folds, weights, strict=True)]
        )
        score_RC = mean_over_folds(score_FRC, n_positive_FRC)[:, n_positive_C >= min_positive]
        defined_RC = ~np.isnan(score_RC)
        n_defined_R = defined_RC.sum(axis=1)
        total_R = np.where(defined_RC, score_RC, 0.0).sum(axis=1)
        samples.append(
            np.divide(total_R, n_defined_R, out=np.full(n_resamples, np.nan), where=n_defined_R > 0)
        )
        point = cross_validated(folds, _POINT[metric])
        values.append(macro(point.per_class, point.n_positive, min_positive=min_positive).value)
    return samples, values


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float],
    n_records: int,
    *,
    rng: np.random.Generator,
    patient_N: ArrayLike | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Interval of any statistic, given as a function of the row numbers drawn; one call per resample."""
    weight_NR = resample_weights(n_records, n_resamples, rng, patient_N).astype(np.int64)
    rows_N = np.arange(n_records)
    samples = np.array([statistic(np.repeat(rows_N, weight_NR[:, r])) for r in range(n_resamples)])
    return percentile_interval(statistic(rows_N), samples, level)


def percentile_interval(value: float, sample_R: Floats, level: float = 0.95) -> Interval:
    """The interval that leaves (1 − level)/2 of the defined samples out on either side."""
    defined = sample_R[~np.isnan(sample_R)]
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(defined, [tail, 1.0 - tail]) if len(defined) else (np.nan, np.nan)
    return Interval(value=value, low=float(low), high=float(high), level=level, samples=sample_R)
