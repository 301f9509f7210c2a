"""An additive model of scores: one term per level of every axis, by ridge regression with known meaning.

Terms come from one normal distribution, noise from another; both spreads are the likeliest ones given the
scores (MacKay 1992, "Bayesian interpolation", section 2.4). What remains uncertain of a term is its
posterior. The same columns without shrinkage tell what a level does to the cost.

Shapes: N trial, P column.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reports.findings.axes import Axis, Contrast, Level, Levels
from scores.ranking import Floats

N_TRIALS = 10
"""Minimum number of trials for a model."""
SPREADS = np.geomspace(1e-4, 1e4, 81)
"""Candidates for the ratio of the variance of a term to that of the noise."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AdditiveModel:
    """Terms of a fitted model."""

    columns: Mapping[tuple[str, Level], int]
    term_P: Floats
    covariance_PP: Floats
    log_cost_P: Floats
    noise: float
    """Residual standard deviation in score."""

    @classmethod
    def fit(
        cls,
        axes: Sequence[Axis],
        all_levels: Sequence[Levels],
        score_N: Floats,
        error_N: Floats,
        log_cost_N: Floats,
    ) -> "AdditiveModel | None":
        """Fit, or None with fewer than `N_TRIALS` trials or without an axis.

        Args:
            axes: axes of the study.
            all_levels: levels of every trial.
            score_N: scores of the trials.
            error_N: standard error of a forecast, 0 for a score.
            log_cost_N: logarithm of the cost.
        """
        if len(score_N) < N_TRIALS or not axes:
            return None
        columns = {(axis.name, level): 0 for axis in axes for level in axis.levels}
        columns = {key: index for index, key in enumerate(columns)}
        x_NP = _design(axes, all_levels, columns)
        noise_N = np.ones(len(score_N))
        for _ in range(3):  # the noise of forecasts counts relative to that of scores, which is found here
            term_P, covariance_PP, noise = _ridge(x_NP, score_N, noise_N)
            noise_N = np.sqrt(1 + (error_N / max(noise, 1e-9)) ** 2)
        # A little ridge only chooses among equally good solutions: every axis sums to 1 over its levels.
        gram_PP = x_NP.T @ x_NP + 1e-6 * np.eye(len(columns))
        centred_N = log_cost_N - log_cost_N.mean()
        log_cost_P = np.linalg.solve(gram_PP, x_NP.T @ centred_N)
        return cls(
            columns=columns,
            term_P=term_P,
            covariance_PP=covariance_PP,
            log_cost_P=log_cost_P,
            noise=noise,
        )

    def contrast(self, contrast: Contrast) -> tuple[float, float, float]:
        """Difference of two terms, its standard error, and the difference in the logarithm of the cost."""
        c_P = np.zeros(len(self.term_P))
        c_P[self.columns[contrast.axis, contrast.level]] += 1
        c_P[self.columns[contrast.axis, contrast.base]] -= 1
        variance = float(c_P @ self.covariance_PP @ c_P)
        return float(c_P @ self.term_P), max(variance, 0.0) ** 0.5, float(c_P @ self.log_cost_P)


def _design(
    axes: Sequence[Axis], all_levels: Sequence[Levels], columns: Mapping[tuple[str, Level], int]
) -> Floats:
    """(N, P) ones and zeros, centred over the trials in which the axis has a value; 0 in the others."""
    x_NP = np.zeros((len(all_levels), len(columns)))
    for axis in axes:
        has_value_N = np.array([levels.get(axis.name) in axis.levels for levels in all_levels])
        for level in axis.levels:
            column = columns[axis.name, level]
            x_NP[:, column] = [levels.get(axis.name) == level for levels in all_levels]
            x_NP[has_value_N, column] -= x_NP[has_value_N, column].mean()
    return x_NP


def _ridge(x_NP: Floats, y_N: Floats, noise_N: Floats) -> tuple[Floats, Floats, float]:
    """Terms, their posterior covariance and the noise, at the likeliest ratio of variances.

    y = mean + x · term + noise, terms ~ N(0, ratio · σ²), noise ~ N(0, σ² · noise_N²). In the
    coordinates of the singular vectors of x the marginal likelihood is a sum over them.
    """
    weight_N = 1 / noise_N
    constant_N = weight_N / np.linalg.norm(weight_N)

    def without_mean(v: Floats) -> Floats:
        return v - np.multiply.outer(constant_N, constant_N @ v)

    left_NK, singular_K, right_KP = np.linalg.svd(without_mean(x_NP * weight_N[:, None]), full_matrices=False)
    target_N = without_mean(y_N * weight_N)
    rotated_K = left_NK.T @ target_N
    outside = float(target_N @ target_N - rotated_K @ rotated_K)
    n_free = len(y_N) - 1
    best: tuple[float, float, float] | None = None
    for ratio in SPREADS:
        spread_K = 1 + ratio * singular_K**2
        variance = max((outside + float((rotated_K**2 / spread_K).sum())) / n_free, 1e-12)
        likelihood = -0.5 * (n_free * np.log(variance) + float(np.log(spread_K).sum()))
        if best is None or likelihood > best[0]:
            best = likelihood, float(ratio), variance
    assert best is not None
    _, ratio, variance = best
    shrunk_K = ratio * singular_K / (1 + ratio * singular_K**2)
    term_P = right_KP.T @ (shrunk_K * rotated_K)
    left_over_K = ratio * singular_K**2 / (1 + ratio * singular_K**2)
    covariance_PP = variance * ratio * (np.eye(x_NP.shape[1]) - (right_KP.T * left_over_K) @ right_KP)
    return term_P, covariance_PP, variance**0.5
