"""Forecasts of the end of a learning curve, learned from the curves of other trials on the same folds.

All trials of a study train on the same folds with the same batches, so their curves have much in common.
The value of trial i on fold f at rung k is modelled as

    y_ifk = m_fk + a_ik + w_ifk

with a mean m for every fold and rung (some folds are harder, and all curves rise), a curve a of the
architecture (Normal, covariance A over rungs) and its deviation on one fold (Normal,
covariance W over rungs, independent between folds). Subtracting m pairs a trial with all others fold by
fold and rung by rung; A and W are the variances pooled over all of them. A determines how far a value halfway
predicts the end, with slow and fast learners alike.

Trials that were stopped early have only the beginning of a curve. Leaving them out would leave only
winners; expectation maximisation (Dempster, Laird & Rubin 1977) uses what they have, and needs no more than
that the decision to stop them was taken from what was seen (Rubin 1976: missing at random). A and W have
inverse-Wishart priors, which matter as long as there are few trials.

Shapes: N trial, F fold, K rung.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

Floats = NDArray[np.float64]

N_ITERATIONS = 12
"""Iterations of expectation maximisation; the estimates change by less than their own error after a few."""
LEARNED_TRIALS = 8.0
"""Further weight of the prior of A, and of W in curves, where earlier studies tell its shape."""
PRIOR_TRIALS = 4.0
"""Weight of the prior of A, in trials."""
PRIOR_FOLD_CURVES = 8.0
"""Weight of the prior of W, in curves of one fold."""
PRIOR_FOLD_SHARE = 0.3
"""Standard deviation on a single fold in the prior, as a share of that between architectures."""
MIN_SPREAD = 1e-3
"""Smallest standard deviation between architectures that the prior assumes, as a share of their mean."""
_REACH_BETWEEN, _REACH_WITHIN = 1.0, 0.5
"""Shares of the training over which the prior correlation falls to 1/e, of architectures and of folds."""
_JITTER = 1e-8
"""Added to variances, as a share of the largest: keeps systems of equations solvable."""
_SMALLEST_GAIN = 1e-3
"""Relative gain of precision below which a curve gives no forecast."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """Forecast of a trial: Student's t distribution of its mean over folds at the last rung."""

    mean: float
    sd: float
    """Scale of the distribution."""
    degrees_of_freedom: float

    def chance_above(self, score: float) -> float:
        """Probability of ending above a score."""
        return float(stdtr(self.degrees_of_freedom, (self.mean - score) / self.sd))


@dataclass(frozen=True, kw_only=True, slots=True)
class CurveShape:
    """Covariances of learning curves of an earlier study without their scale: the prior of another study."""

    between_KK: Floats
    """A over the variance between architectures at the last rung."""
    within_KK: Floats
    """W over the same."""

    def at(self, n_rungs: int) -> CurveShape:
        """The shape for another number of rungs, which are spread over the training likewise."""
        own = np.arange(1, len(self.between_KK) + 1) / len(self.between_KK)
        wanted = np.arange(1, n_rungs + 1) / n_rungs
        weights = np.array([np.interp(wanted, own, column) for column in np.eye(len(own))]).T
        return CurveShape(
            between_KK=weights @ self.between_KK @ weights.T, within_KK=weights @ self.within_KK @ weights.T
        )


def mean_shape(shapes: Sequence[CurveShape], n_rungs: int) -> CurveShape | None:
    """The mean of several shapes; None of none."""
    if not shapes:
        return None
    at_rungs = [each.at(n_rungs) for each in shapes]
    return CurveShape(
        between_KK=np.mean([each.between_KK for each in at_rungs], axis=0),
        within_KK=np.mean([each.within_KK for each in at_rungs], axis=0),
    )


class CurveModel:
    """The fitted model.

    Args:
        mean_FK: m.
        between_KK: A.
        within_KK: W.
        n_trials: that it was fitted to; the means are known to one trial's variance over this number.
    """

    def __init__(self, mean_FK: Floats, between_KK: Floats, within_KK: Floats, n_trials: int) -> None:
        self.mean_FK = mean_FK
        self.between_KK = between_KK
        self.within_KK = within_KK
        self.n_trials = n_trials
        n_folds, n_rungs = mean_FK.shape
        ends = np.zeros(n_folds * n_rungs)
        ends[n_rungs - 1 :: n_rungs] = 1 / n_folds
        self._covariance = _covariance(between_KK, within_KK, n_folds) * (1 + 1 / n_trials)
        self._with_end = self._covariance @ ends
        self._variance = float(ends @ self._with_end)
        self._mean = float(ends @ mean_FK.ravel())
        self._patterns: dict[bytes, tuple[Floats, float]] = {}

    @property
    def shape(self) -> CurveShape | None:
        """Covariances without their scale; None where architectures do not differ."""
        at_end = float(self.between_KK[-1, -1])
        if at_end <= 0:
            return None
        return CurveShape(between_KK=self.between_KK / at_end, within_KK=self.within_KK / at_end)

    def forecast(self, seen_FK: Floats, prior: tuple[float, float] | None = None) -> Forecast:
        """Predict the mean over folds at the last rung.

        Args:
            seen_FK: values of the trial, NaN where it has not come yet.
            prior: mean and standard deviation of the predicted score, from another source than curves. A
                prior wider than the one from other trials' curves adds no information and is left out.
        """
        seen = np.isfinite(seen_FK).ravel()
        gap = (seen_FK - self.mean_FK).ravel()[seen]
        degrees_of_freedom = PRIOR_TRIALS + self.n_trials - 1
        if prior is None or prior[1] ** 2 >= self._variance:
            weights, sd = self._of_pattern(seen)
            return Forecast(
                mean=self._mean + float(weights @ gap), sd=sd, degrees_of_freedom=degrees_of_freedom
            )
        # One more measurement of the end itself, with the noise that makes the posterior the prior.
        noise = 1 / (1 / prior[1] ** 2 - 1 / self._variance)
        value = noise * (prior[0] / prior[1] ** 2 - self._mean / self._variance)
        corner = np.array([[self._variance + noise]])
        known, with_end = self._covariance[np.ix_(seen, seen)], self._with_end[seen]
        known = np.block([[known, with_end[:, None]], [with_end[None, :], corner]])
        weights, sd = self._weights(known, np.append(with_end, self._variance))
        gap = np.append(gap, value - self._mean)
        return Forecast(mean=self._mean + float(weights @ gap), sd=sd, degrees_of_freedom=degrees_of_freedom)

    def _of_pattern(self, seen: NDArray[np.bool_]) -> tuple[Floats, float]:
        """Weights and standard deviation where these values are known: trials share few patterns."""
        key = seen.tobytes()
        if key not in self._patterns:
            self._patterns[key] = self._weights(self._covariance[np.ix_(seen, seen)], self._with_end[seen])
        return self._patterns[key]

    def _weights(self, known: Floats, with_end: Floats) -> tuple[Floats, float]:
        """Weights of what is known in the forecast, and its standard deviation.

        Args:
            known: covariance of what is known.
            with_end: its covariance with the end.
        """
        regular = known + _JITTER * self._variance * np.eye(len(known))
        weights = np.asarray(np.linalg.solve(regular, with_end), dtype=np.float64)
        variance = max(self._variance - float(weights @ with_end), _JITTER * self._variance)
        return weights, math.sqrt(variance)

    def evidence(self, seen_FK: Floats) -> tuple[float, float] | None:
        """Forecast from a curve alone: value and standard error, None without one.

        A forecast is shrunk towards the mean of all trials. Where another prior is used, such as that of the
        sampler, the shrinkage must be undone: precisions of independent sources add up, so that of the mean
        is subtracted.
        """
        forecast = self.forecast(seen_FK)
        precision = 1 / forecast.sd**2 - 1 / self._variance
        if precision * self._variance < _SMALLEST_GAIN:
            return None
        value = (forecast.mean / forecast.sd**2 - self._mean / self._variance) / precision
        return value, 1 / math.sqrt(precision)


def fit_curves(curves_NFK: Floats, learned: CurveShape | None = None) -> CurveModel:
    """Fit the model to the curves of a study, NaN where a trial was not trained.

    At least two trials must have ended. The order of the trials makes no difference.

    Args:
        curves_NFK: the curves.
        learned: shape of the prior of A and W, from earlier studies, for the same rungs.
    """
    n, n_folds, n_rungs = curves_NFK.shape
    # Sums of floating-point numbers depend on their order.
    curves_NFK = curves_NFK[np.lexsort(curves_NFK.reshape(n, -1).T)]
    finals = curves_NFK[:, :, -1].mean(axis=1)
    finals = finals[np.isfinite(finals)]
    spread = max(MIN_SPREAD * float(np.mean(finals)), float(np.std(finals, ddof=1)))
    place = np.arange(1, n_rungs + 1) / n_rungs
    apart = np.abs(place[:, None] - place[None, :])
    prior_between = spread**2 * np.exp(-apart / _REACH_BETWEEN)
    prior_within = (PRIOR_FOLD_SHARE * spread) ** 2 * np.exp(-apart / _REACH_WITHIN)
    prior_trials, prior_fold_curves = PRIOR_TRIALS, PRIOR_FOLD_CURVES
    if learned is not None:
        share = LEARNED_TRIALS / (PRIOR_TRIALS + LEARNED_TRIALS)
        prior_between += share * (spread**2 * learned.between_KK - prior_between)
        share = LEARNED_TRIALS / (PRIOR_FOLD_CURVES + LEARNED_TRIALS)
        prior_within += share * (spread**2 * learned.within_KK - prior_within)
        prior_trials, prior_fold_curves = prior_trials + LEARNED_TRIALS, prior_fold_curves + LEARNED_TRIALS
    is_known = np.isfinite(curves_NFK)
    counts_FK = is_known.sum(axis=0)
    sums_FK = np.where(is_known, curves_NFK, 0.0).sum(axis=0)
    # Where no trial has a value, any start will do: nothing is ever compared with it.
    start = (sums_FK / np.maximum(counts_FK, 1)).ravel()
    shift = np.zeros_like(start)
    patterns = _by_pattern(curves_NFK.reshape(n, -1), start)
    between, within = prior_between, prior_within
    for _ in range(N_ITERATIONS):
        step, about_D, uncertainty = _expect(patterns, shift, _covariance(between, within, n_folds))
        shift = shift + step / n
        about_mean = about_D - np.outer(step, step) / n + uncertainty
        scatter = about_mean.reshape(n_folds, n_rungs, n_folds, n_rungs)
        of_means = np.einsum("fkgl->kl", scatter) / n_folds**2
        of_folds = np.einsum("fkfl->kl", scatter) - n_folds * of_means
        within = (of_folds + prior_fold_curves * prior_within) / (
            max(n - 1, 0) * (n_folds - 1) + prior_fold_curves
        )
        prior_means = prior_between + prior_within / n_folds
        means = (of_means + prior_trials * prior_means) / (max(n - 1, 0) + prior_trials)
        between = _positive(means - within / n_folds)
    return CurveModel((start + shift).reshape(n_folds, n_rungs), between, within, n)


def _covariance(between_KK: Floats, within_KK: Floats, n_folds: int) -> Floats:
    ones, own = np.ones((n_folds, n_folds)), np.eye(n_folds)
    covariance: Floats = np.kron(ones, between_KK) + np.kron(own, within_KK)
    return covariance


@dataclass(frozen=True, slots=True)
class _Pattern:
    """Trials of which the same k values are known, as sums: these do not grow with the number of trials."""

    known: NDArray[np.bool_]
    n_trials: int
    sum_k: Floats
    """Sum of the values less their start."""
    products_kk: Floats
    """Sum of the outer products of these values."""


def _by_pattern(values_ND: Floats, start_D: Floats) -> list[_Pattern]:
    known_ND = np.isfinite(values_ND)
    packed, pattern_of = np.unique(np.packbits(known_ND, axis=1), axis=0, return_inverse=True)
    from_start_ND = values_ND - start_D
    patterns = []
    for number in range(len(packed)):
        of_pattern = pattern_of.ravel() == number
        known = known_ND[int(np.argmax(of_pattern))]
        values = from_start_ND[of_pattern][:, known]
        patterns.append(_Pattern(known, len(values), values.sum(axis=0), values.T @ values))
    return patterns


def _expect(patterns: Sequence[_Pattern], shift: Floats, covariance: Floats) -> tuple[Floats, Floats, Floats]:
    """Expected sufficient statistics of the missing values, given the known ones, as sums over trials.

    Args:
        patterns: what is known of the trials.
        shift: mean less the start.
        covariance: covariance of the values of a trial.

    Returns:
        The deviations from the mean, summed; their outer products, summed; and the covariance of what was
        missing, summed.
    """
    total, products, uncertainty = np.zeros_like(shift), np.zeros_like(covariance), np.zeros_like(covariance)
    for pattern in patterns:
        known, missing, n = pattern.known, ~pattern.known, pattern.n_trials
        own = shift[known]
        deviations = pattern.sum_k - n * own
        # Of a known value the expectation is the value: the rows of the missing ones are weights.
        identity = np.eye(len(own))
        weights = np.zeros((len(shift), len(own)))
        weights[known] = identity
        if missing.any():
            cross = covariance[np.ix_(missing, known)]
            inner = covariance[np.ix_(known, known)] + _JITTER * covariance.max() * identity
            weights[missing] = np.linalg.solve(inner, cross.T).T
            left = covariance[np.ix_(missing, missing)] - weights[missing] @ cross.T
            uncertainty[np.ix_(missing, missing)] += n * left
        crossed = np.outer(pattern.sum_k, own)
        about_mean = pattern.products_kk - crossed - crossed.T + n * np.outer(own, own)
        total += weights @ deviations
        products += weights @ about_mean @ weights.T
    return total, products, uncertainty


def _positive(symmetric: Floats) -> Floats:
    """The nearest positive semi-definite matrix: a difference of two covariances may not be one."""
    values, vectors = np.linalg.eigh((symmetric + symmetric.T) / 2)
    nearest: Floats = (vectors * np.maximum(values, 0)) @ vectors.T
    return nearest
