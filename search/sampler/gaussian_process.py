"""A Gaussian process over encoded candidates: predicted score and how far to trust it.

Hyper-parameters (one length scale per feature of a Matérn 5/2 kernel, signal and noise variance) are
maximum a posteriori, fitted by scikit-learn, and only when the data has grown by a quarter, since fitting
costs a hundred times what a prediction does. In between, and for every prediction, the posterior comes from
a Cholesky factor of our own (Rasmussen & Williams 2006, algorithm 2.1).

With twenty features and ten observations the likelihood alone says almost nothing about most length
scales, so all hyper-parameters have log-normal priors; the one of the length scales grows with the square
root of the number of features (Hvarfner, Hellsten & Nardi, ICML 2024).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

Floats = NDArray[np.float64]

GROWTH_BEFORE_REFIT = 1.25
"""Hyper-parameters are fitted again once there are this many times the observations of the last fit."""
MIN_TO_FIT = 6
"""Fewer observations leave the hyper-parameters at the mode of their prior."""
MAX_TO_FIT = 128
"""Observations that hyper-parameters are fitted to; the gradient of 300 costs a second."""
MAX_ITERATIONS = 12
_JITTER = 1e-8
"""Added to the diagonal, in units of the scores' variance: keeps the factor positive definite."""

# Prior of the logarithm of each hyper-parameter: mean and standard deviation. Scores have unit variance.
_SIGNAL_PRIOR = (0.0, 1.0)
_NOISE_PRIOR = (math.log(0.05), 1.5)
_LENGTH_PRIOR_AT_ONE_FEATURE = (0.0, 1.0)
_N_SD_OF_BOUNDS = 6.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Hyperparameters:
    """Of the kernel, for scores scaled to unit variance."""

    signal_variance: float
    noise_variance: float
    length_scales: Floats
    """One per feature. Shape (n_features,)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Posterior:
    """What is known about the score of every possible candidate, given the observations."""

    hyperparameters: Hyperparameters
    offset: float
    """Mean of the scores; the prediction far from all observations."""
    scale: float
    """Standard deviation of the scores, the unit of the process."""
    x_ND: Floats
    """Observed features in units of the length scales."""
    factor_NN: Floats
    """Lower Cholesky factor of the observations' covariance, noise included."""
    weights_N: Floats
    """The covariance's inverse times the scaled scores."""

    @property
    def noise_sd(self) -> float:
        """Standard deviation between two trainings of one candidate, as the model has it."""
        return self.scale * math.sqrt(self.hyperparameters.noise_variance)

    def predict(self, x_MD: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the noise-free score of every candidate, each of shape (M,)."""
        mean_M, _, variance_M = self._predict(x_MD)
        return self.offset + self.scale * mean_M, self.scale * np.sqrt(variance_M)

    def mean(self, x_MD: Floats) -> Floats:
        """The mean alone, at a small part of the cost."""
        covariance_MN = self._covariance(x_MD / self.hyperparameters.length_scales)
        return self.offset + self.scale * (covariance_MN @ self.weights_N)

    def draws(self, x_MD: Floats, n_draws: int, generator: np.random.Generator) -> Floats:
        """Noise-free scores of the candidates, drawn together. Shape (n_draws, M).

        Differences between similar candidates are smaller than each one's standard deviation says, which
        only joint draws show.
        """
        mean_M, lower_NM, _ = self._predict(x_MD)
        scaled_MD = x_MD / self.hyperparameters.length_scales
        covariance_MM = _kernel(scaled_MD, scaled_MD, self.hyperparameters.signal_variance)
        covariance_MM -= lower_NM.T @ lower_NM
        # Candidates that are nearly the same make it singular: no Cholesky factor exists then.
        values_M, vectors_MM = np.linalg.eigh(covariance_MM)
        root_MM = vectors_MM * np.sqrt(np.maximum(values_M, 0.0))
        normal_SM = generator.standard_normal((n_draws, len(mean_M)))
        drawn_SM: Floats = self.offset + self.scale * (mean_M + normal_SM @ root_MM.T)
        return drawn_SM

    def with_fantasies(self, x_KD: Floats) -> Posterior:
        """As if the candidates `x_KD` had scored exactly what is predicted for them.

        Means stay as they are; near the fantasies standard deviations shrink. The factor grows by a block,
        which costs n² for each fantasy instead of n³.
        """
        if not len(x_KD):
            return self
        mean_K, lower_NK, _ = self._predict(x_KD)
        scaled_KD = x_KD / self.hyperparameters.length_scales
        own_KK = _kernel(scaled_KD, scaled_KD, self.hyperparameters.signal_variance)
        own_KK[np.diag_indices_from(own_KK)] += self.hyperparameters.noise_variance + _JITTER
        corner_KK = cholesky(own_KK - lower_NK.T @ lower_NK, lower=True)
        n, k = lower_NK.shape
        factor = np.zeros((n + k, n + k))
        factor[:n, :n], factor[n:, :n], factor[n:, n:] = self.factor_NN, lower_NK.T, corner_KK
        # The pseudo-observations equal their predictions, so they carry no weight of their own.
        weights = np.concatenate([self.weights_N, np.zeros_like(mean_K)])
        x = np.concatenate([self.x_ND, scaled_KD])
        return replace(self, x_ND=x, factor_NN=factor, weights_N=weights)

    def _predict(self, x_MD: Floats) -> tuple[Floats, Floats, Floats]:
        """Scaled means, L⁻¹ times the covariance with the observations, scaled variances."""
        covariance_MN = self._covariance(x_MD / self.hyperparameters.length_scales)
        mean_M = covariance_MN @ self.weights_N
        lower_NM = solve_triangular(self.factor_NN, covariance_MN.T, lower=True, check_finite=False)
        explained_M = np.einsum("nm,nm->m", lower_NM, lower_NM)
        return mean_M, lower_NM, np.maximum(self.hyperparameters.signal_variance - explained_M, 0.0)

    def _covariance(self, scaled_MD: Floats) -> Floats:
        return _kernel(scaled_MD, self.x_ND, self.hyperparameters.signal_variance)


class Surrogate:
    """Fits the process; keeps hyper-parameters from one call to the next.

    Args:
        n_features: length of an encoded candidate. Features should span about one unit each.
        seed: chooses which observations hyper-parameters are fitted to where there are more than
            `MAX_TO_FIT`.
    """

    def __init__(self, n_features: int, *, seed: int = 0) -> None:
        self._seed = seed
        self._prior = _prior(n_features)
        self._hyperparameters = _from_theta(self._prior[0])
        self._n_at_fit = 0

    def posterior(self, x_ND: Floats, score_N: Floats, extra_sd_N: Floats | None = None) -> Posterior:
        """Condition on observations; duplicates and constant scores are fine, and so is a single one.

        Args:
            x_ND: encoded candidates.
            score_N: their scores.
            extra_sd_N: standard error of each score beyond the noise that all share; for a trial that was
                not trained to its end, that of its predicted final score.

        Raises:
            ValueError: there is no observation, or a score is not finite.
        """
        if not len(score_N) or not np.isfinite(score_N).all():
            raise ValueError(f"a posterior needs finite scores, got {score_N!r}")
        offset = float(np.mean(score_N))
        spread = float(np.std(score_N))
        scale = spread if spread > 1e-9 * max(1.0, abs(offset)) else 1.0
        y_N = (score_N - offset) / scale
        extra_N = np.zeros_like(y_N) if extra_sd_N is None else (extra_sd_N / scale) ** 2
        n = len(y_N)
        grown = n >= GROWTH_BEFORE_REFIT * self._n_at_fit or n < self._n_at_fit
        if n >= MIN_TO_FIT and spread == scale and grown:
            self._hyperparameters, self._n_at_fit = self._fit(x_ND, y_N, extra_N), n
        return _condition(self._hyperparameters, x_ND, y_N, extra_N, offset=offset, scale=scale)

    def _fit(self, x_ND: Floats, y_N: Floats, extra_N: Floats) -> Hyperparameters:
        if len(y_N) > MAX_TO_FIT:
            chosen = np.random.default_rng(self._seed).permutation(len(y_N))[:MAX_TO_FIT]
            x_ND, y_N, extra_N = x_ND[chosen], y_N[chosen], extra_N[chosen]
        mean, sd = self._prior
        low, high = np.exp(mean - _N_SD_OF_BOUNDS * sd), np.exp(mean + _N_SD_OF_BOUNDS * sd)
        start = np.exp(mean)
        kernel = ConstantKernel(start[0], (low[0], high[0])) * Matern(
            start[2:], np.column_stack([low[2:], high[2:]]), nu=2.5
        ) + WhiteKernel(start[1], (low[1], high[1]))
        # scikit-learn orders signal, length scales, noise.
        order = np.concatenate([[0], np.arange(2, len(mean)), [1]])
        regressor = GaussianProcessRegressor(
            kernel, alpha=extra_N + _JITTER, optimizer=_maximum_a_posteriori(mean[order], sd[order])
        )
        with warnings.catch_warnings():
            # A bound is reached where scores hardly differ, or not at all; the bound is then the answer.
            warnings.simplefilter("ignore", ConvergenceWarning)
            theta = regressor.fit(x_ND, y_N).kernel_.theta
        return _from_theta(theta[np.argsort(order)])


Objective = Callable[[Floats], tuple[float, Floats]]


def _maximum_a_posteriori(mean: Floats, sd: Floats) -> Callable[..., tuple[Floats, float]]:
    """An optimiser for scikit-learn that adds the negative logarithm of the prior to what it minimises."""

    def optimise(negative_likelihood: Objective, start: Floats, bounds: Floats) -> tuple[Floats, float]:
        def objective(theta: Floats) -> tuple[float, Floats]:
            value, gradient = negative_likelihood(theta)
            z = (theta - mean) / sd
            return float(value) + 0.5 * float(z @ z), np.asarray(gradient + z / sd)

        options = {"maxiter": MAX_ITERATIONS, "ftol": 1e-5}
        found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        return np.asarray(found.x), float(found.fun)

    return optimise


def _prior(n_features: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation of log (signal variance, noise variance, length scales …)."""
    length_mean, length_sd = _LENGTH_PRIOR_AT_ONE_FEATURE
    length_mean += 0.5 * math.log(n_features)
    mean = np.array([_SIGNAL_PRIOR[0], _NOISE_PRIOR[0]] + [length_mean] * n_features)
    sd = np.array([_SIGNAL_PRIOR[1], _NOISE_PRIOR[1]] + [length_sd] * n_features)
    return mean, sd


def _from_theta(theta: Floats) -> Hyperparameters:
    values = np.exp(theta)
    return Hyperparameters(
        signal_variance=float(values[0]), noise_variance=float(values[1]), length_scales=values[2:]
    )


def _condition(
    hyperparameters: Hyperparameters,
    x_ND: Floats,
    y_N: Floats,
    extra_N: Floats,
    *,
    offset: float,
    scale: float,
) -> Posterior:
    scaled_ND = x_ND / hyperparameters.length_scales
    covariance_NN = _kernel(scaled_ND, scaled_ND, hyperparameters.signal_variance)
    covariance_NN[np.diag_indices_from(covariance_NN)] += hyperparameters.noise_variance + extra_N + _JITTER
    factor_NN = cholesky(covariance_NN, lower=True, overwrite_a=True, check_finite=False)
    return Posterior(
        hyperparameters=hyperparameters,
        offset=offset,
        scale=scale,
        x_ND=scaled_ND,
        factor_NN=factor_NN,
        weights_N=cho_solve((factor_NN, True), y_N, check_finite=False),
    )


def _kernel(a_MD: Floats, b_ND: Floats, variance: float) -> Floats:
    """Matérn 5/2 covariance of points in units of the length scales. Shape (M, N)."""
    squared = a_MD @ (-2.0 * b_ND.T)
    squared += np.einsum("md,md->m", a_MD, a_MD)[:, None]
    squared += np.einsum("nd,nd->n", b_ND, b_ND)[None, :]
    np.maximum(squared, 0.0, out=squared)
    distance = np.sqrt(5.0 * squared)
    squared *= 5.0 / 3.0
    squared += distance
    squared += 1.0
    np.negative(distance, out=distance)
    np.exp(distance, out=distance)
    squared *= distance
    squared *= variance
    return squared
