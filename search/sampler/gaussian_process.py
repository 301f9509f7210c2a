"""A Gaussian process over encoded candidates: predicted score and how far to trust it.

Hyper-parameters (one length scale per feature of a Matérn 5/2 kernel, signal and noise variance) are
maximum a posteriori, fitted by scikit-learn, and only when the data has grown by a quarter, since fitting
costs a hundred times what a prediction does. In between, and for every prediction, the posterior comes from
a Cholesky factor of our own (Rasmussen & Williams 2006, algorithm 2.1).

With twenty features and ten observations the likelihood alone says almost nothing about most length
scales, so all hyper-parameters have log-normal priors; the one of the length scales grows with the square
root of the number of features (Hvarfner, Hellsten & Nardi, ICML 2024).

What earlier studies found enters as further tasks of the process by intrinsic coregionalisation (Bonilla,
Chai & Williams, NeurIPS 2007): the covariance of candidate x in task s and x' in task t is B_st k(x, x').
Each task has a signal variance, a noise, and one number ρ_s, its correlation with the study's own task; of
unit signals, B = ρ ρᵀ + diag(1 − ρ²), with ρ = 1 for the own one. Length scales are shared and fitted to the
sum of the tasks' likelihoods, weighted by ρ_s. ρ_s is the mean of its posterior on a grid, given the own
observations; the prior has a quarter of its mass at zero, so that an unrelated study is soon left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

Floats = NDArray[np.float64]

GROWTH_BEFORE_REFIT = 1.25
"""Hyper-parameters are fitted again once there are this many times the observations of the last fit."""
MIN_TO_FIT = 6
"""Fewer observations leave the hyper-parameters at the mode of their prior."""
MAX_TO_FIT = 128
"""Observations that hyper-parameters are fitted to; the gradient of 300 costs a second."""
MAX_OF_SOURCES = 256
"""Observations of earlier studies that the process is conditioned on, all studies together."""
MAX_OF_SOURCES_TO_FIT = 64
MAX_TO_CORRELATE = 256
"""Own observations by which the correlation with an earlier study is judged."""
MAX_ITERATIONS = 12
_JITTER = 1e-8
"""Added to the diagonal, in units of the scores' variance: keeps the factor positive definite."""

# Prior of the logarithm of each hyper-parameter: mean and standard deviation. Scores have unit variance.
_SIGNAL_PRIOR = (0.0, 1.0)
_NOISE_PRIOR = (math.log(0.05), 1.5)
_LENGTH_PRIOR_AT_ONE_FEATURE = (0.0, 1.0)
_N_SD_OF_BOUNDS = 6.0

CORRELATIONS: Floats = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
"""Grid of ρ."""
_UNRELATED = 0.25
"""Prior probability of ρ = 0; the other values of the grid share the rest."""
_SMALLEST_CORRELATION = 0.1
"""An earlier study that is less related is left out."""
_LEVEL_VARIANCE = 1.0
"""Prior variance of the level of the own scores, of which earlier studies know nothing."""
_PRIOR_SCORES = 4.0
"""Weight of the spread of earlier studies in that of the own scores, in observations."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hyperparameters:
    """Hyper-parameters of the kernel, for scores scaled to unit variance."""

    signal_variance: float
    noise_variance: float
    length_scales: Floats
    """One per feature. Shape (n_features,)."""
    of_sources: tuple[tuple[float, float], ...] = ()
    """Signal and noise variance of every earlier study, for its scores scaled to unit variance."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Source:
    """What an earlier study found; N candidates, D features."""

    x_ND: Floats
    """Encoded candidates."""
    score_N: Floats
    """Scores of the candidates, on any scale."""
    extra_sd_N: Floats
    """Standard errors beyond the noise that all share; see `Surrogate.posterior`."""
    log_cost_N: Floats
    """log10 of the second objective, by which candidates are chosen where there are too many."""

    def some(self, rows: NDArray[np.int64]) -> Source:
        """The same of some candidates."""
        return Source(
            x_ND=self.x_ND[rows],
            score_N=self.score_N[rows],
            extra_sd_N=self.extra_sd_N[rows],
            log_cost_N=self.log_cost_N[rows],
        )


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
    relation_N: Floats
    """Covariance of the task of every observation with the own one, by the own signal variance; 1 for own
    observations."""
    level_N: Floats
    """Covariance of every observation with the level of the own scores: 0 for those of earlier studies."""
    level_variance: float = 0.0
    """Prior variance of that level; 0 where it is taken to be `offset`."""

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
        covariance_MM += self.level_variance - lower_NM.T @ lower_NM
        # Candidates that are nearly the same make it singular: no Cholesky factor exists then.
        values_M, vectors_MM = np.linalg.eigh(covariance_MM)
        root_MM = vectors_MM * np.sqrt(np.maximum(values_M, 0.0))
        normal_SM = generator.standard_normal((n_draws, len(mean_M)))
        drawn_SM: Floats = self.offset + self.scale * (mean_M + normal_SM @ root_MM.T)
        return drawn_SM

    def lowest(self) -> float:
        """The lowest mean at any of the observations."""
        return self.offset + self.scale * float((self._covariance(self.x_ND) @ self.weights_N).min())

    def with_fantasies(self, x_KD: Floats) -> Posterior:
        """Posterior given that the candidates `x_KD` score exactly what is predicted for them.

        Means stay as they are; near the fantasies standard deviations shrink. The factor grows by a block,
        which costs n² for each fantasy instead of n³.
        """
        if not len(x_KD):
            return self
        mean_K, lower_NK, _ = self._predict(x_KD)
        scaled_KD = x_KD / self.hyperparameters.length_scales
        own_KK = _kernel(scaled_KD, scaled_KD, self.hyperparameters.signal_variance) + self.level_variance
        own_KK[np.diag_indices_from(own_KK)] += self.hyperparameters.noise_variance + _JITTER
        corner_KK = cholesky(own_KK - lower_NK.T @ lower_NK, lower=True)
        n, k = lower_NK.shape
        factor = np.zeros((n + k, n + k))
        factor[:n, :n], factor[n:, :n], factor[n:, n:] = self.factor_NN, lower_NK.T, corner_KK
        # The pseudo-observations equal their predictions, so they carry no weight of their own.
        weights = np.concatenate([self.weights_N, np.zeros_like(mean_K)])
        return replace(
            self,
            x_ND=np.concatenate([self.x_ND, scaled_KD]),
            factor_NN=factor,
            weights_N=weights,
            relation_N=np.concatenate([self.relation_N, np.ones(k)]),
            level_N=np.concatenate([self.level_N, np.full(k, self.level_variance)]),
        )

    def _predict(self, x_MD: Floats) -> tuple[Floats, Floats, Floats]:
        """Scaled means, L⁻¹ times the covariance with the observations, scaled variances."""
        covariance_MN = self._covariance(x_MD / self.hyperparameters.length_scales)
        mean_M = covariance_MN @ self.weights_N
        lower_NM = solve_triangular(self.factor_NN, covariance_MN.T, lower=True, check_finite=False)
        explained_M = np.einsum("nm,nm->m", lower_NM, lower_NM)
        variance = self.hyperparameters.signal_variance + self.level_variance
        return mean_M, lower_NM, np.maximum(variance - explained_M, 0.0)

    def _covariance(self, scaled_MD: Floats) -> Floats:
        covariance_MN = _kernel(scaled_MD, self.x_ND, self.hyperparameters.signal_variance)
        covariance_MN *= self.relation_N
        covariance_MN += self.level_N
        return covariance_MN


class Surrogate:
    """Fits the process; keeps hyper-parameters from one call to the next.

    Args:
        n_features: length of an encoded candidate. Features should span about one unit each.
        seed: chooses which observations hyper-parameters are fitted to where there are more than
            `MAX_TO_FIT`.
        sources: what earlier studies found, `MAX_OF_SOURCES` observations at most.
    """

    def __init__(self, n_features: int, *, seed: int = 0, sources: Sequence[Source] = ()) -> None:
        self._seed = seed
        self._prior = _prior(n_features, len(sources))
        self._hyperparameters = _from_theta(self._prior[0], n_features)
        self._n_at_fit = -1 if sources else 0
        self._sources = [_scaled(each.x_ND, each.score_N, each.extra_sd_N) for each in sources]
        self._correlations = np.full(len(sources), float(CORRELATIONS @ _correlation_prior()))

    @property
    def correlations(self) -> tuple[float, ...]:
        """Correlation of every earlier study with the own one, as of the latest posterior."""
        return tuple(self._correlations.tolist())

    def posterior(self, x_ND: Floats, score_N: Floats, extra_sd_N: Floats | None = None) -> Posterior:
        """Condition on observations; duplicates and constant scores are fine, and so is a single one.

        Args:
            x_ND: encoded candidates.
            score_N: their scores.
            extra_sd_N: standard error of each score beyond the noise that all share; for a trial that was
                not trained to its end, that of its predicted final score.

        Raises:
            ValueError: there is no observation, not even of an earlier study, or a score is not finite.
        """
        if (not len(score_N) and not self._sources) or not np.isfinite(score_N).all():
            raise ValueError(f"a posterior needs finite scores, got {score_N!r}")
        extra_sd_N = np.zeros_like(score_N) if extra_sd_N is None else extra_sd_N
        own = _scaled(x_ND, score_N, extra_sd_N, like=self._sources)
        n = len(score_N)
        grown = n >= GROWTH_BEFORE_REFIT * self._n_at_fit or n < self._n_at_fit
        is_first = self._n_at_fit < 0  # of earlier studies alone
        if is_first or (grown and n >= MIN_TO_FIT and own.varies):
            self._hyperparameters, self._n_at_fit = self._fit(own), n
        if n:
            self._correlations = np.array(
                [self._correlation(number, own) for number in range(len(self._sources))]
            )
        related = np.flatnonzero(self._correlations >= _SMALLEST_CORRELATION).tolist()
        fitted = self._hyperparameters
        return _condition(
            replace(fitted, of_sources=tuple(fitted.of_sources[number] for number in related)),
            [own, *(self._sources[number] for number in related)],
            correlations=[1.0, *self._correlations[related].tolist()],
        )

    def _fit(self, own: _Task) -> Hyperparameters:
        mean, sd = self._prior
        n_own = len(mean) - 2 * len(self._sources)
        low, high = np.exp(mean - _N_SD_OF_BOUNDS * sd), np.exp(mean + _N_SD_OF_BOUNDS * sd)
        start = np.exp(mean)
        tasks: list[tuple[GaussianProcessRegressor, float, NDArray[np.int64]]] = []
        n_each = MAX_OF_SOURCES_TO_FIT // max(1, len(self._sources))
        weights = [1.0, *self._correlations]
        for number, (task, weight) in enumerate(zip([own, *self._sources], weights, strict=True)):
            if len(task.y_N) < MIN_TO_FIT or not task.varies:
                continue
            told = task.some(n_each if number else MAX_TO_FIT, self._seed)
            place = np.arange(n_own)
            if number:
                place[[0, -1]] = n_own + 2 * number - 2, n_own + 2 * number - 1
            signal, lengths, noise = place[0], place[1:-1], place[-1]
            kernel = ConstantKernel(start[signal], (low[signal], high[signal])) * Matern(
                start[lengths], np.column_stack([low[lengths], high[lengths]]), nu=2.5
            ) + WhiteKernel(start[noise], (low[noise], high[noise]))
            regressor = GaussianProcessRegressor(kernel, alpha=told.extra_N + _JITTER, optimizer=None)
            tasks.append((regressor.fit(told.x_ND, told.y_N), weight, place))
        return _from_theta(_maximise_posterior(tasks, mean, sd), n_own - 2)

    def _correlation(self, number: int, own: _Task) -> float:
        """Mean of the posterior of the correlation with an earlier study, the others left out.

        Given the earlier study, own scores are Normal with mean ρ m and covariance K − ρ² E: m is what that
        study predicts, E what it explains of the covariance.
        """
        fitted, source = self._hyperparameters, self._sources[number]
        told = own.some(MAX_TO_CORRELATE, self._seed)
        x_ND, s_MD = told.x_ND / fitted.length_scales, source.x_ND / fitted.length_scales
        signal, noise = fitted.of_sources[number]
        of_source_MM = _kernel(s_MD, s_MD, signal)
        of_source_MM[np.diag_indices_from(of_source_MM)] += noise + source.extra_N + _JITTER
        factor_MM = cholesky(of_source_MM, lower=True, overwrite_a=True, check_finite=False)
        cross_NM = _kernel(x_ND, s_MD, math.sqrt(fitted.signal_variance * signal))
        lower_MN = solve_triangular(factor_MM, cross_NM.T, lower=True, check_finite=False)
        predicted_N = cross_NM @ cho_solve((factor_MM, True), source.y_N, check_finite=False)
        explained_NN = lower_MN.T @ lower_MN
        own_NN = _kernel(x_ND, x_ND, fitted.signal_variance) + _LEVEL_VARIANCE
        own_NN[np.diag_indices_from(own_NN)] += fitted.noise_variance + told.extra_N + _JITTER
        log_likelihoods = []
        for correlation in CORRELATIONS.tolist():
            factor_NN = cholesky(own_NN - correlation**2 * explained_NN, lower=True, check_finite=False)
            gap_N = solve_triangular(
                factor_NN, told.y_N - correlation * predicted_N, lower=True, check_finite=False
            )
            log_likelihoods.append(-0.5 * float(gap_N @ gap_N) - float(np.log(np.diag(factor_NN)).sum()))
        posterior = _correlation_prior() * np.exp(np.array(log_likelihoods) - max(log_likelihoods))
        return float(posterior @ CORRELATIONS / posterior.sum())


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Task:
    """Observations of a study in units of their spread."""

    x_ND: Floats
    y_N: Floats
    extra_N: Floats
    """Variances beyond the noise."""
    offset: float
    scale: float
    varies: bool

    def some(self, n_most: int, seed: int) -> _Task:
        """Draw up to `n_most` observations by the seed."""
        if len(self.y_N) <= n_most:
            return self
        chosen = np.random.default_rng(seed).permutation(len(self.y_N))[:n_most]
        return replace(self, x_ND=self.x_ND[chosen], y_N=self.y_N[chosen], extra_N=self.extra_N[chosen])


def _scaled(x_ND: Floats, score_N: Floats, extra_sd_N: Floats, *, like: Sequence[_Task] = ()) -> _Task:
    """Scores less their mean, divided by their standard deviation.

    Args:
        x_ND: encoded candidates.
        score_N: their scores.
        extra_sd_N: their standard errors.
        like: earlier studies, whose spread counts as `_PRIOR_SCORES` observations.
    """
    n = len(score_N)
    offset = float(np.mean(score_N)) if n else float(np.mean([each.offset for each in like]))
    spread = float(np.std(score_N)) if n else 0.0
    if like:
        expected = float(np.mean([each.scale**2 for each in like]))
        spread = math.sqrt((n * spread**2 + _PRIOR_SCORES * expected) / (n + _PRIOR_SCORES))
    varies = spread > 1e-9 * max(1.0, abs(offset))
    scale = spread if varies else 1.0
    return _Task(
        x_ND=x_ND,
        y_N=(score_N - offset) / scale,
        extra_N=(extra_sd_N / scale) ** 2,
        offset=offset,
        scale=scale,
        varies=varies,
    )


def _correlation_prior() -> Floats:
    """Probability of every value of `CORRELATIONS`."""
    prior = np.full(len(CORRELATIONS), (1 - _UNRELATED) / (len(CORRELATIONS) - 1))
    prior[0] = _UNRELATED
    return prior


def _maximise_posterior(
    tasks: Sequence[tuple[GaussianProcessRegressor, float, NDArray[np.int64]]], mean: Floats, sd: Floats
) -> Floats:
    """Maximum a posteriori of the logarithms of all hyper-parameters.

    Args:
        tasks: of each the process of scikit-learn, the weight of its likelihood, and which hyper-parameters
            are its own.
        mean: of their prior.
        sd: of their prior.
    """

    def objective(theta: Floats) -> tuple[float, Floats]:
        z = (theta - mean) / sd
        value, gradient = 0.5 * float(z @ z), z / sd
        for regressor, weight, place in tasks:
            likelihood, slope = regressor.log_marginal_likelihood(
                theta[place], eval_gradient=True, clone_kernel=False
            )
            value -= weight * float(likelihood)
            gradient[place] -= weight * slope
        return value, gradient

    bounds = np.column_stack([mean - _N_SD_OF_BOUNDS * sd, mean + _N_SD_OF_BOUNDS * sd])
    options = {"maxiter": MAX_ITERATIONS, "ftol": 1e-5}
    found = minimize(objective, mean, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return np.asarray(found.x)


def _prior(n_features: int, n_sources: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the logarithms of all hyper-parameters.

    They are the own signal variance, length scales and noise variance, then signal and noise variance of
    every source.
    """
    length_mean, length_sd = _LENGTH_PRIOR_AT_ONE_FEATURE
    length_mean += 0.5 * math.log(n_features)
    of_task = np.array([_SIGNAL_PRIOR, _NOISE_PRIOR])
    lengths = np.tile([length_mean, length_sd], (n_features, 1))
    prior = np.concatenate([of_task[:1], lengths, of_task[1:], np.tile(of_task, (n_sources, 1))])
    return prior[:, 0], prior[:, 1]


def _from_theta(theta: Floats, n_features: int) -> Hyperparameters:
    values = np.exp(theta)
    of_sources = values[n_features + 2 :].reshape(-1, 2).tolist()
    return Hyperparameters(
        signal_variance=float(values[0]),
        noise_variance=float(values[n_features + 1]),
        length_scales=values[1 : n_features + 1],
        of_sources=tuple((signal, noise) for signal, noise in of_sources),
    )


def _condition(
    hyperparameters: Hyperparameters,
    tasks: Sequence[_Task],
    *,
    correlations: Sequence[float],
) -> Posterior:
    """The posterior of the first task given the observations of all.

    Args:
        hyperparameters: of the kernel.
        tasks: the own one first.
        correlations: of every task with the first.
    """
    own_variances = (hyperparameters.signal_variance, hyperparameters.noise_variance)
    signal, noise = np.array([own_variances, *hyperparameters.of_sources]).T
    sizes = [len(each.y_N) for each in tasks]
    scaled_ND = np.concatenate([each.x_ND for each in tasks]) / hyperparameters.length_scales
    y_N = np.concatenate([each.y_N for each in tasks])
    extra_N = np.concatenate([each.extra_N for each in tasks])
    # In units of the own signal, which the kernel is computed with.
    relative = np.sqrt(signal / signal[0])
    relation_N = np.repeat(np.array(correlations) * relative, sizes)
    task_N = np.repeat(np.arange(len(tasks)), sizes)
    level_variance = _LEVEL_VARIANCE if len(tasks) > 1 else 0.0
    covariance_NN = _kernel(scaled_ND, scaled_ND, hyperparameters.signal_variance)
    if len(tasks) > 1:
        is_same_NN = task_N[:, None] == task_N[None, :]
        variance_N = np.repeat(relative**2, sizes)
        covariance_NN *= np.where(is_same_NN, variance_N[:, None], relation_N[:, None] * relation_N[None, :])
        covariance_NN[: sizes[0], : sizes[0]] += level_variance
    covariance_NN[np.diag_indices_from(covariance_NN)] += np.repeat(noise, sizes) + extra_N + _JITTER
    factor_NN = cholesky(covariance_NN, lower=True, overwrite_a=True, check_finite=False)
    return Posterior(
        hyperparameters=hyperparameters,
        offset=tasks[0].offset,
        scale=tasks[0].scale,
        x_ND=scaled_ND,
        factor_NN=factor_NN,
        weights_N=cho_solve((factor_NN, True), y_N, check_finite=False),
        relation_N=relation_N,
        level_N=np.where(task_N == 0, level_variance, 0.0),
        level_variance=level_variance,
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
