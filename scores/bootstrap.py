"""Bootstrap intervals of scores and of paired differences over draws of patients.

Patients, each with all of their records, are drawn again, a thousand times (`resampling`).
Folds stay what they are: each is resampled within itself.

Two measures keep rare classes unbiased. Patients are weighted rather than drawn, so that each is in every
resample and no class is lost, with weights that spread more among the few patients of a rare class
(`resampling.smooth_weights`); redrawing until every class has a positive, as some do, would flatter rare
classes. A heavier positive record also raises its own precision, which raises average precision in every
resample: the mean of the resamples lies above the score itself. Intervals are therefore centred on the
score, keeping the spread of the resamples (`centred_interval`). `benchmarks/coverage.py` measures how often
such intervals contain the true score.

An interval covers the variation between draws of patients. It covers neither the variation between random
seeds nor the optimism of selecting the best of many trials.

Shapes: N record, C class, R resample.
"""

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scores.metrics import cross_validated, macro, weighted_mean
from scores.ranking import METRICS, Floats, Metric
from scores.resampling import Weights, resample_weights, smooth_weights, weighted_scores

Folds = Sequence[tuple[ArrayLike, ArrayLike]]
Bounds = tuple[float, float]
SCORE: Final[Bounds] = (0.0, 1.0)
"""Lowest and highest value of a score."""
DIFFERENCE: Final[Bounds] = (-1.0, 1.0)
"""Lowest and highest value of a difference of scores, and of kappa."""
UNBOUNDED: Final[Bounds] = (-math.inf, math.inf)


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


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """A statistic, or one for each class, and its resamples."""

    value: Floats | np.float64
    """One number, or one for each class, shape (C,)."""
    sample_R: Floats
    """Resamples, shape (R,) or (R, C)."""
    bounds: Bounds = SCORE
    """Lowest and highest possible value."""

    def interval(self) -> Interval:
        """The centred interval of one statistic."""
        return centred_interval(float(self.value), self.sample_R, bounds=self.bounds)

    def less(self, other: "Sampled") -> "Sampled":
        """Difference from another score, resample by resample."""
        return Sampled(self.value - other.value, self.sample_R - other.sample_R, bounds=DIFFERENCE)


def mean_of_seeds(seeds: Sequence[Mapping[str, Sampled]]) -> dict[str, Sampled]:
    """Mean over seeds of statistics by name, resample by resample."""
    return {name: mean_of([each[name] for each in seeds]) for name in seeds[0]}


def mean_of(of: Sequence[Sampled]) -> Sampled:
    """Mean of statistics, resample by resample."""
    return Sampled(
        np.mean([each.value for each in of], axis=0),
        np.mean([each.sample_R for each in of], axis=0),
        bounds=of[0].bounds,
    )


class Resampling:
    """Resamples shared by all models, so that differences between models are paired.

    Args:
        targets: y_NC of each fold.
        patients: patient of each record, fold by fold; None draws records independently.
        rng: source of randomness; the same seed on the same records gives the same resamples.
        n_resamples: R.
        smooth: `smooth_weights`; otherwise patients are drawn with replacement.
    """

    def __init__(
        self,
        targets: Sequence[ArrayLike],
        *,
        rng: np.random.Generator,
        patients: Sequence[ArrayLike] | None = None,
        n_resamples: int = 1000,
        smooth: bool = True,
    ) -> None:
        groups = patients if patients is not None else [None] * len(targets)
        self._weigh(
            targets,
            [
                smooth_weights(y_NC, n_resamples, rng, patient_N)
                if smooth
                else resample_weights(len(np.asarray(y_NC)), n_resamples, rng, patient_N)
                for y_NC, patient_N in zip(targets, groups, strict=True)
            ],
        )

    def _weigh(self, targets: Sequence[ArrayLike], weights: Sequence[Weights]) -> None:
        self._targets = [np.asarray(y_NC, dtype=np.bool_) for y_NC in targets]
        self._weights = weights
        self._n_positive_FRC = np.stack(
            [
                w_NR.T @ y_NC.astype(np.float32)
                for w_NR, y_NC in zip(self._weights, self._targets, strict=True)
            ]
        )
        self._n_positive_C = np.sum([y_NC.sum(axis=0) for y_NC in self._targets], axis=0)

    @property
    def n_resamples(self) -> int:
        """R."""
        return int(self._weights[0].shape[1])

    def restricted(self, rows: Sequence[NDArray[np.bool_]], used_C: NDArray[np.bool_]) -> "Resampling":
        """The same resamples of some records and classes, without folds that have none of these records.

        Args:
            rows: (N,) the records of each fold.
            used_C: the classes.
        """
        some = copy(self)
        kept = [
            (y_NC[is_in_N][:, used_C], w_NR[is_in_N])
            for y_NC, w_NR, is_in_N in zip(self._targets, self._weights, rows, strict=True)
            if is_in_N.any()
        ]
        some._weigh([y_NC for y_NC, _ in kept], [w_NR for _, w_NR in kept])
        return some

    def classes(self, folds: Folds, metric: Metric = "auprc") -> tuple[Floats, Floats]:
        """The cross-validated score of every class: (C,) as it is and (R, C) in each resample.

        Raises:
            ValueError: the model does not predict these records (its targets differ).
        """
        same = len(folds) == len(self._targets) and all(
            np.array_equal(np.asarray(mine, dtype=np.bool_), ours)
            for (mine, _), ours in zip(folds, self._targets, strict=False)
        )
        if not same:
            raise ValueError("a paired comparison needs predictions of the same records by all models")
        score_FRC = np.stack(
            [weighted_scores(y, p, w_NR, metric) for (y, p), w_NR in zip(folds, self._weights, strict=True)]
        )
        point = cross_validated(folds, METRICS[metric])
        return point.per_class, weighted_mean(score_FRC, self._n_positive_FRC)

    def macro(self, folds: Folds, metric: Metric = "auprc", *, min_positive: int = 1) -> tuple[float, Floats]:
        """The macro score as it is and (R,) in each resample, over classes with that many positives."""
        value_C, sample_RC = self.classes(folds, metric)
        return self.mean(value_C, sample_RC, min_positive=min_positive)

    def mean(self, value_C: Floats, sample_RC: Floats, *, min_positive: int = 1) -> tuple[float, Floats]:
        """`macro` from the scores of the classes."""
        value = macro(value_C, self._n_positive_C, min_positive=min_positive).value
        return value, weighted_mean(sample_RC[:, self._n_positive_C >= min_positive], 1.0, axis=1)


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
        rng: source of randomness.
        metric: auprc or auroc.
        patients: patient of each record, fold by fold; None draws records independently.
        n_resamples: R.
        level: share of the resamples inside the interval.
        min_positive: classes with fewer positives (over all folds) are left out.
    """
    targets = [y_NC for y_NC, _ in folds]
    resampling = Resampling(targets, rng=rng, patients=patients, n_resamples=n_resamples)
    return centred_interval(*resampling.macro(folds, metric, min_positive=min_positive), level)


def centred_interval(
    value: float, sample_R: Floats, level: float = 0.95, *, bounds: Bounds = SCORE
) -> Interval:
    """The percentiles of the samples, moved so that their mean lies on the value.

    Resamples score higher than the records they are drawn from, because a heavier positive raises its own
    precision; only their spread is used.

    Args:
        value: statistic on the records as they are.
        sample_R: statistic in each resample.
        level: share of the resamples between the ends.
        bounds: lowest and highest possible value, beyond which no end lies.
    """
    defined = sample_R[~np.isnan(sample_R)]
    tail = (1.0 - level) / 2.0
    low, high = np.nan, np.nan
    if len(defined):
        low, high = np.clip(np.quantile(defined, [tail, 1.0 - tail]) - defined.mean() + value, *bounds)
    return Interval(value=value, low=float(low), high=float(high), level=level, samples=sample_R)


def difference(first: Interval, second: Interval, *, bounds: Bounds = DIFFERENCE) -> Interval:
    """The first less the second, resample by resample."""
    return centred_interval(first.value - second.value, first.samples - second.samples, bounds=bounds)


def centred_samples(interval: Interval) -> Floats:
    """Samples whose mean is the score; undefined ones stay so. Shape (R,)."""
    defined = interval.samples[~np.isnan(interval.samples)]
    mean = defined.mean() if len(defined) else 0.0
    moved: Floats = interval.samples - mean + interval.value
    return moved


def p_value(interval: Interval) -> float:
    """Two-sided p of a difference against zero: the share of centred samples at least as far from it.

    With R samples it is at least 1 / (R + 1) (Davison & Hinkley 1997, section 4.2.3); nan without samples.
    """
    defined = interval.samples[~np.isnan(interval.samples)]
    if not len(defined):
        return float("nan")
    as_far = np.abs(defined - defined.mean()) >= abs(interval.value)
    return float((1 + np.count_nonzero(as_far)) / (len(defined) + 1))


def benjamini_hochberg(p_M: ArrayLike) -> Floats:
    """p adjusted for many comparisons: the smallest false discovery rate at which each is rejected.

    Benjamini & Hochberg 1995; nan stays nan and does not count as a comparison.
    """
    p = np.asarray(p_M, dtype=np.float64)
    adjusted: Floats = np.full(p.shape, np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        from scipy.stats import false_discovery_control  # most of a second, not for every start

        adjusted[tested] = false_discovery_control(p[tested])
    return adjusted
