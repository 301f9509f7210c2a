"""A Gaussian process over encoded candidates: mean and standard deviation of their scores.

Hyper-parameters (one length scale per feature of a Matérn 5/2 kernel, signal and noise variance) are
maximum a posteriori, and fitted only when the data has grown by a quarter, since fitting costs a hundred
times what a prediction does. In between, and for every prediction, the posterior comes from a Cholesky factor
(Rasmussen & Williams 2006, algorithm 2.1; gradient of the likelihood: equation 5.9).

With twenty features and ten observations the likelihood hardly determines most length scales, so all
hyper-parameters have log-normal priors; the one of the length scales grows with the square root of the number
of features (Hvarfner, Hellsten & Nardi, ICML 2024).

Results of earlier studies enter by autoregression (Kennedy & O'Hagan, Biometrika 2000): the score of
candidate x is f(x) = level + Σ_s a_s g_s(x) + δ(x). g_s is the process of the earlier study s alone, given
all of its results, with hyper-parameters of its own; δ is specific to this study, with length scales
learned from its trials: an axis without effect there may have one here. a_s follows from the correlation ρ_s:
at unit variances, a_s = ρ_s, and δ has the rest, 1 − Σ ρ_s². The posterior of ρ_s is computed on a grid,
given the own observations, and its mean and variance are used; the prior has a quarter of its mass at zero,
so that an unrelated study is soon left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular

Floats = NDArray[np.float64]

GROWTH_BEFORE_REFIT = 1.25
"""Hyper-parameters are fitted again once there are this many times the observations of the last fit."""
MIN_TO_FIT = 6
"""Fewer observations leave the hyper-parameters at the mode of their prior."""
MAX_TO_FIT = 128
"""Observations that hyper-parameters are fitted to, and by which correlations are judged."""
MAX_OF_SOURCES = 256
"""Observations of earlier studies that the process is conditioned on, all studies together."""
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
_MOST_EXPLAINED = CORRELATIONS[-1] ** 2
"""Share of the own variance that earlier studies explain at most, together."""
_LEVEL_VARIANCE = 1.0
"""Prior variance of the level of the own scores, which earlier studies do not determine."""
_PRIOR_SCORES = 4.0
"""Weight of the spread of earlier studies in that of the own scores, in observations."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hyperparameters:
    """Hyper-parameters of the kernel, for scores scaled to unit variance."""

    signal_variance: float
    """Signal variance of what no earlier study explains."""
    noise_variance: float
    length_scales: Floats
    """One per feature. Shape (n_features,)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Source:
    """Results of an earlier study; N candidates, D features."""

    x_ND: Floats
    """Encoded candidates."""
    score_N: Floats
    """Scores of the candidates, on any scale."""
    extra_sd_N: Floats
    """Standard errors in addition to the common noise; see `Surrogate.posterior`."""
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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Earlier:
    """An earlier study as part of the prior of this one."""

    slope: float
    """Slope of the study's own scores on those of the earlier study, both scaled."""
    slope_variance: float
    posterior: Posterior
    """Posterior of the earlier study alone."""
    mean_N: Floats
    """Scaled predictions of the earlier study at the own observations."""
    lower_SN: Floats
    """Inverse Cholesky factor of the earlier study times its covariance with the own observations."""

    def at(self, x_ND: Floats) -> Earlier:
        """The same for other observations."""
        mean_N, lower_SN, _ = self.posterior.scaled(x_ND)
        return replace(self, mean_N=mean_N, lower_SN=lower_SN)

    def prior(self, x_MD: Floats, x_ND: Floats) -> tuple[Floats, Floats, Floats]:
        """Share of the prior: mean, covariance with the own observations `x_ND`, variance."""
        mean_M, lower_SM, variance_M = self.posterior.scaled(x_MD)
        square = self.slope**2 + self.slope_variance
        covariance_MN = self.posterior.kernel(x_MD, x_ND)
        covariance_MN -= lower_SM.T @ self.lower_SN
        covariance_MN *= square
        covariance_MN += self.slope_variance * np.outer(mean_M, self.mean_N)
        return self.slope * mean_M, covariance_MN, square * variance_M + self.slope_variance * mean_M**2


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Posterior:
    """Posterior distribution of the scores of all candidates, given the observations."""

    hyperparameters: Hyperparameters
    offset: float
    """Mean of the scores; the prediction far from all observations, those of earlier studies included."""
    scale: float
    """Standard deviation of the scores, the unit of the process."""
    x_ND: Floats
    """Observed features."""
    factor_NN: Floats
    """Lower Cholesky factor of the observations' covariance, noise included."""
    weights_N: Floats
    """The covariance's inverse times the scaled scores less their prior mean."""
    earlier: tuple[Earlier, ...] = ()
    """Related earlier studies."""
    level_variance: float = 0.0
    """Prior variance of the level of the scores; 0 where it is taken to be `offset`."""

    @property
    def noise_sd(self) -> float:
        """Standard deviation between two trainings of one candidate, as the model has it."""
        return self.scale * math.sqrt(self.hyperparameters.noise_variance)

    @property
    def n_observations(self) -> int:
        """Observations of this study and of the earlier ones."""
        return len(self.x_ND) + sum(each.posterior.n_observations for each in self.earlier)

    def predict(self, x_MD: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the noise-free score of every candidate, each of shape (M,)."""
        mean_M, _, variance_M = self.scaled(x_MD)
        return self.offset + self.scale * mean_M, self.scale * np.sqrt(variance_M)

    def mean(self, x_MD: Floats) -> Floats:
        """The mean alone, at a small part of the cost."""
        prior_M, covariance_MN, _ = self._prior(x_MD)
        return self.offset + self.scale * (prior_M + covariance_MN @ self.weights_N)

    def draws(self, x_MD: Floats, n_draws: int, generator: np.random.Generator) -> Floats:
        """Noise-free scores of the candidates, drawn together. Shape (n_draws, M).

        Differences between similar candidates are smaller than the standard deviations of each suggest, which
        only joint draws reproduce.
        """
        mean_M, _, covariance_MM = self._joint(x_MD)
        # Candidates that are nearly the same make it singular: no Cholesky factor exists then.
        values_M, vectors_MM = np.linalg.eigh(covariance_MM)
        root_MM = vectors_MM * np.sqrt(np.maximum(values_M, 0.0))
        normal_SM = generator.standard_normal((n_draws, len(mean_M)))
        drawn_SM: Floats = self.offset + self.scale * (mean_M + normal_SM @ root_MM.T)
        return drawn_SM

    def lowest(self) -> float:
        """The lowest mean at any of the observations, those of earlier studies included."""
        observed = [self.x_ND, *(each.posterior.x_ND for each in self.earlier)]
        return float(self.mean(np.concatenate(observed)).min())

    def given(self, own: _Task) -> Posterior:
        """A posterior without factor and weights, completed by the scores of its observations."""
        mean_N, covariance_NN, _ = self._prior(own.x_ND)
        covariance_NN[np.diag_indices_from(covariance_NN)] += (
            self.hyperparameters.noise_variance + own.extra_N + _JITTER
        )
        factor_NN = cholesky(covariance_NN, lower=True, overwrite_a=True, check_finite=False)
        weights_N = cho_solve((factor_NN, True), own.y_N - mean_N, check_finite=False)
        return replace(self, factor_NN=factor_NN, weights_N=weights_N)

    def with_fantasies(self, x_KD: Floats) -> Posterior:
        """Posterior given that the candidates `x_KD` score exactly what is predicted for them.

        Means stay as they are; near the fantasies standard deviations shrink. The factor grows by a block,
        which costs n² for each fantasy instead of n³.
        """
        if not len(x_KD):
            return self
        mean_K, lower_NK, covariance_KK = self._joint(x_KD)
        covariance_KK[np.diag_indices_from(covariance_KK)] += self.hyperparameters.noise_variance + _JITTER
        n, k = lower_NK.shape
        factor = np.zeros((n + k, n + k))
        factor[:n, :n], factor[n:, :n] = self.factor_NN, lower_NK.T
        factor[n:, n:] = cholesky(covariance_KK, lower=True)
        x_ND = np.concatenate([self.x_ND, x_KD])
        return replace(
            self,
            x_ND=x_ND,
            factor_NN=factor,
            # The pseudo-observations equal their predictions, so they carry no weight of their own.
            weights_N=np.concatenate([self.weights_N, np.zeros_like(mean_K)]),
            earlier=tuple(each.at(x_ND) for each in self.earlier),
        )

    def kernel(self, a_MD: Floats, b_ND: Floats) -> Floats:
        """Prior covariance of scaled scores, less the part of earlier studies. Shape (M, N)."""
        lengths = self.hyperparameters.length_scales
        covariance_MN = _kernel(a_MD / lengths, b_ND / lengths, self.hyperparameters.signal_variance)
        covariance_MN += self.level_variance
        return covariance_MN

    def scaled(self, x_MD: Floats) -> tuple[Floats, Floats, Floats]:
        """Scaled means, L⁻¹ times the prior covariance with the observations, scaled variances."""
        prior_M, covariance_MN, variance_M = self._prior(x_MD)
        mean_M = prior_M + covariance_MN @ self.weights_N
        lower_NM = solve_triangular(self.factor_NN, covariance_MN.T, lower=True, check_finite=False)
        explained_M = np.einsum("nm,nm->m", lower_NM, lower_NM)
        return mean_M, lower_NM, np.maximum(variance_M - explained_M, 0.0)

    def _prior(self, x_MD: Floats) -> tuple[Floats, Floats, Floats]:
        """Scaled prior means, covariances with the observations, variances."""
        covariance_MN = self.kernel(x_MD, self.x_ND)
        mean_M = np.zeros(len(x_MD))
        variance_M = np.full(len(x_MD), self.hyperparameters.signal_variance + self.level_variance)
        for each in self.earlier:
            of_mean_M, of_covariance_MN, of_variance_M = each.prior(x_MD, self.x_ND)
            mean_M += of_mean_M
            covariance_MN += of_covariance_MN
            variance_M += of_variance_M
        return mean_M, covariance_MN, variance_M

    def _joint(self, x_MD: Floats) -> tuple[Floats, Floats, Floats]:
        """Predictions as of `scaled`, with all covariances of the candidates in place of their variances."""
        mean_M, lower_NM, _ = self.scaled(x_MD)
        covariance_MM = self.kernel(x_MD, x_MD) - lower_NM.T @ lower_NM
        for each in self.earlier:
            covariance_MM += each.at(x_MD).prior(x_MD, x_MD)[1]
        return mean_M, lower_NM, covariance_MM


class Surrogate:
    """Gaussian process regression that keeps its hyper-parameters from one fit to the next.

    Args:
        n_features: length of an encoded candidate. Features should span about one unit each.
        seed: chooses which observations hyper-parameters are fitted to where there are more than
            `MAX_TO_FIT`.
        sources: what earlier studies found, `MAX_OF_SOURCES` observations at most.
    """

    def __init__(self, n_features: int, *, seed: int = 0, sources: Sequence[Source] = ()) -> None:
        self._seed = seed
        self._prior = _prior(n_features)
        self._theta = self._prior[0]
        self._n_at_fit = 0
        self._sources = [_scaled(each.x_ND, each.score_N, each.extra_sd_N) for each in sources]
        self._earlier = [
            Surrogate(n_features, seed=seed).posterior(each.x_ND, each.score_N, each.extra_sd_N)
            for each in sources
        ]
        expected = float(CORRELATIONS @ _correlation_prior()) / math.sqrt(max(1, len(sources)))
        self._correlations = np.full(len(sources), expected)
        self._variances = np.zeros(len(sources))
        """Variances of the posteriors of the correlations."""

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
        own = _scaled(x_ND, score_N, extra_sd_N, sources=self._sources)
        n = len(score_N)
        grown = n >= GROWTH_BEFORE_REFIT * self._n_at_fit or n < self._n_at_fit
        fits = grown and n >= MIN_TO_FIT and own.varies
        if fits or (n and self._sources):
            subset = own.some(MAX_TO_FIT, self._seed)
            parts = [_unit_prior(each, subset.x_ND) for each in self._earlier]
            self._correlate(subset, parts)
            if fits:
                self._theta, self._n_at_fit = self._fit(subset, self._given(parts)), n
                self._correlate(subset, parts)
        return self._condition(own)

    def _fit(self, own: _Task, given: _Given) -> Floats:
        """Maximum a posteriori of the logarithms of the hyper-parameters."""
        mean, sd = self._prior
        squares_NND = (own.x_ND[:, None, :] - own.x_ND[None, :, :]) ** 2

        def objective(theta: Floats) -> tuple[float, Floats]:
            z = (theta - mean) / sd
            value, gradient = _negative_log_likelihood(theta, squares_NND, own, given)
            return value + 0.5 * float(z @ z), gradient + z / sd

        bounds = np.column_stack([mean - _N_SD_OF_BOUNDS * sd, mean + _N_SD_OF_BOUNDS * sd])
        options = {"maxiter": MAX_ITERATIONS, "ftol": 1e-5}
        from scipy.optimize import minimize

        found = minimize(objective, mean, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        return np.asarray(found.x)

    def _given(self, parts: Sequence[tuple[Floats, Floats]]) -> _Given:
        """The part of the earlier studies in the prior of the own observations, by the correlations."""
        if not parts:
            return _NOTHING
        squares = self._correlations**2 + self._variances
        return _Given(
            mean_N=sum((r * m for r, (m, _) in zip(self._correlations, parts, strict=True)), np.zeros(1)),
            covariance_NN=sum(
                (
                    square * covariance_NN + variance * np.outer(mean_N, mean_N)
                    for square, variance, (mean_N, covariance_NN) in zip(
                        squares, self._variances, parts, strict=True
                    )
                ),
                np.zeros((1, 1)),
            ),
            explained=float(squares.sum()),
            level_variance=_LEVEL_VARIANCE,
        )

    def _correlate(self, own: _Task, parts: Sequence[tuple[Floats, Floats]]) -> None:
        """Mean and variance of the posterior of every correlation, given those of the other studies.

        Args:
            own: the own observations.
            parts: mean and covariance of every earlier study there, of unit variance.
        """
        variance, lengths, noise = _natural(self._theta)
        own_NN = _kernel(own.x_ND / lengths, own.x_ND / lengths, 1.0)
        for number, (mean_N, covariance_NN) in enumerate(parts):
            self._correlations[number] = self._variances[number] = 0.0
            rest = self._given(parts)
            most = _MOST_EXPLAINED - rest.explained
            possible = CORRELATIONS[: max(1, np.searchsorted(CORRELATIONS**2, most, side="right"))]
            log_likelihoods = []
            for correlation in possible.tolist():
                share = 1.0 - rest.explained - correlation**2
                total_NN = variance * (rest.covariance_NN + correlation**2 * covariance_NN + share * own_NN)
                total_NN += rest.level_variance
                total_NN[np.diag_indices_from(total_NN)] += noise + own.extra_N + _JITTER
                factor_NN = cholesky(total_NN, lower=True, overwrite_a=True, check_finite=False)
                gap_N = own.y_N - math.sqrt(variance) * (rest.mean_N + correlation * mean_N)
                gap_N = solve_triangular(factor_NN, gap_N, lower=True, check_finite=False)
                log_likelihoods.append(-0.5 * float(gap_N @ gap_N) - float(np.log(np.diag(factor_NN)).sum()))
            posterior = _correlation_prior()[: len(possible)]
            posterior *= np.exp(np.array(log_likelihoods) - max(log_likelihoods))
            posterior /= posterior.sum()
            self._correlations[number] = posterior @ possible
            self._variances[number] = posterior @ possible**2 - self._correlations[number] ** 2

    def _condition(self, own: _Task) -> Posterior:
        """The posterior of the own task, unrelated studies left out."""
        variance, lengths, noise = _natural(self._theta)
        related = np.flatnonzero(self._correlations >= _SMALLEST_CORRELATION).tolist()
        explained = float((self._correlations**2 + self._variances)[related].sum())
        earlier = []
        for number in related:
            posterior = self._earlier[number]
            ratio = variance / posterior.hyperparameters.signal_variance
            mean_N, lower_SN, _ = posterior.scaled(own.x_ND)
            earlier.append(
                Earlier(
                    slope=math.sqrt(ratio) * float(self._correlations[number]),
                    slope_variance=ratio * float(self._variances[number]),
                    posterior=posterior,
                    mean_N=mean_N,
                    lower_SN=lower_SN,
                )
            )
        prior = Posterior(
            hyperparameters=Hyperparameters(
                signal_variance=variance * (1 - explained), noise_variance=noise, length_scales=lengths
            ),
            offset=own.offset,
            scale=own.scale,
            x_ND=own.x_ND,
            factor_NN=np.empty((0, 0)),
            weights_N=np.empty(0),
            earlier=tuple(earlier),
            level_variance=_LEVEL_VARIANCE if related else 0.0,
        )
        return prior.given(own)


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


def _scaled(x_ND: Floats, score_N: Floats, extra_sd_N: Floats, *, sources: Sequence[_Task] = ()) -> _Task:
    """Scores less their mean, divided by their standard deviation.

    Args:
        x_ND: encoded candidates.
        score_N: their scores.
        extra_sd_N: their standard errors.
        sources: earlier studies; the spread of those that vary counts as `_PRIOR_SCORES` observations.
    """
    n = len(score_N)
    like = [each for each in sources if each.varies]
    offset = float(np.mean(score_N if n else [each.offset for each in like or sources]))
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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Given:
    """Contribution of earlier studies to the prior of the own observations, at unit variance."""

    mean_N: Floats
    covariance_NN: Floats
    explained: float
    """Share of the variance; δ has the rest."""
    level_variance: float


_NOTHING = _Given(mean_N=np.zeros(1), covariance_NN=np.zeros((1, 1)), explained=0.0, level_variance=0.0)
"""Shapes that broadcast."""


def _unit_prior(earlier: Posterior, x_ND: Floats) -> tuple[Floats, Floats]:
    """Mean and covariance of an earlier study's process at some candidates, of unit prior variance."""
    variance = earlier.hyperparameters.signal_variance
    mean_N, lower_SN, _ = earlier.scaled(x_ND)
    return mean_N / math.sqrt(variance), (earlier.kernel(x_ND, x_ND) - lower_SN.T @ lower_SN) / variance


def _negative_log_likelihood(
    theta: Floats, squares_NND: Floats, own: _Task, given: _Given
) -> tuple[float, Floats]:
    """Negative log likelihood of scaled scores, without the constant, and its gradient.

    Args:
        theta: logarithms of signal variance v, length scales and noise variance.
        squares_NND: squared differences of every feature.
        own: the observations; y ~ Normal(√v m, v (C + (1 − explained) k) + level + noise).
        given: m, C, and the explained share.
    """
    variance, lengths_D, noise = _natural(theta)
    inverse_squares_D = lengths_D**-2
    squared_NN = squares_NND @ inverse_squares_D
    distance_NN = np.sqrt(5.0 * squared_NN)
    decay_NN = np.exp(-distance_NN)
    share = 1.0 - given.explained
    own_NN = variance * share * (1.0 + distance_NN + 5.0 / 3.0 * squared_NN) * decay_NN
    signal_NN = own_NN + variance * given.covariance_NN
    total_NN = signal_NN + given.level_variance
    total_NN[np.diag_indices_from(total_NN)] += noise + own.extra_N + _JITTER
    mean_N = math.sqrt(variance) * given.mean_N + np.zeros_like(own.y_N)
    factor_NN = cholesky(total_NN, lower=True, overwrite_a=True, check_finite=False)
    weights_N = cho_solve((factor_NN, True), own.y_N - mean_N, check_finite=False)
    value = 0.5 * float((own.y_N - mean_N) @ weights_N) + float(np.log(np.diag(factor_NN)).sum())
    # Half the inverse less the outer product: its elementwise product with a derivative of the covariance,
    # summed, is that of the value.
    inner_NN = cho_solve((factor_NN, True), np.eye(len(own.y_N)), check_finite=False)
    inner_NN -= np.outer(weights_N, weights_N)
    inner_NN *= 0.5
    slope_NN = inner_NN * (variance * share * 5.0 / 3.0) * (1.0 + distance_NN) * decay_NN
    gradient = np.empty_like(theta)
    gradient[0] = float((inner_NN * signal_NN).sum()) - 0.5 * float(mean_N @ weights_N)
    gradient[1:-1] = np.tensordot(slope_NN, squares_NND, axes=2) * inverse_squares_D
    gradient[-1] = noise * float(np.trace(inner_NN))
    return value, gradient


def _natural(theta: Floats) -> tuple[float, Floats, float]:
    """Signal variance, length scales and noise variance of their logarithms."""
    values = np.exp(theta)
    return float(values[0]), values[1:-1], float(values[-1])


def _prior(n_features: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the logarithms of signal variance, length scales, noise variance."""
    length_mean, length_sd = _LENGTH_PRIOR_AT_ONE_FEATURE
    length_mean += 0.5 * math.log(n_features)
    prior = np.array([_SIGNAL_PRIOR, *[(length_mean, length_sd)] * n_features, _NOISE_PRIOR])
    return prior[:, 0], prior[:, 1]


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
