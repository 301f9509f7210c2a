"""Earlier studies as further tasks of the Gaussian process: what is known of a task by another one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from search.sampler import gaussian_process
from search.sampler.gaussian_process import CORRELATIONS, Source, Surrogate

Floats = NDArray[np.float64]


def draws(n: int, *, correlation: float, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """Points, and two functions of them with a correlation, drawn from the process itself."""
    rng = np.random.default_rng(seed)
    x_ND = rng.random((n, 2))
    distance = np.sqrt(5 * ((x_ND[:, None] - x_ND[None]) ** 2).sum(axis=2)) / 0.6
    kernel = (1 + distance + distance**2 / 3) * np.exp(-distance)
    factor = np.linalg.cholesky(kernel + 1e-8 * np.eye(n))
    first, second = factor @ rng.normal(size=n), factor @ rng.normal(size=n)
    return x_ND, first, correlation * first + np.sqrt(1 - correlation**2) * second


def source(x_ND: Floats, score_N: Floats) -> Source:
    return Source(x_ND=x_ND, score_N=score_N, extra_sd_N=np.zeros(len(score_N)), log_cost_N=x_ND[:, 0])


def matern(a_MD: Floats, b_ND: Floats, length_scales: Floats) -> Floats:
    scaled_MND = (a_MD[:, None] - b_ND[None]) / length_scales
    distance_MN = np.sqrt(5 * (scaled_MND**2).sum(axis=2))
    kernel_MN: Floats = (1 + distance_MN + distance_MN**2 / 3) * np.exp(-distance_MN)
    return kernel_MN


def fixed(monkeypatch: pytest.MonkeyPatch, correlations: list[float]) -> None:
    """Have correlations given, not learned."""

    def correlate(self: Surrogate, told: object, parts: object) -> None:
        if self._earlier:
            self._correlations, self._variances = np.array(correlations), np.zeros(len(correlations))

    # Private: else every test would depend on what is learned.
    monkeypatch.setattr(Surrogate, "_correlate", correlate)


def test_the_posterior_is_that_of_the_joint_normal_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the textbook formula: scores of all studies with their whole covariance matrix."""
    x_ND, first, second = draws(20, correlation=0.8)
    fixed(monkeypatch, [0.7, 0.4])
    own, one, two, rest = slice(0, 4), slice(4, 10), slice(10, 17), slice(17, 20)
    surrogate = Surrogate(2, sources=[source(x_ND[one], 50 * first[one]), source(x_ND[two], first[two] - 3)])
    posterior = surrogate.posterior(x_ND[own], 0.5 + 0.1 * second[own])
    assert surrogate.correlations == (0.7, 0.4)
    # Of unit variance, own scores are .7 g₁ + .4 g₂ + √(1 − .49 − .16) δ, those of the studies g₁ and g₂.
    fitted = posterior.hyperparameters
    variance = fitted.signal_variance / (1 - 0.49 - 0.16)
    is_own = np.isin(np.arange(20), [0, 1, 2, 3, 17, 18, 19]).astype(float)
    covariance = fitted.signal_variance * matern(x_ND, x_ND, fitted.length_scales)
    # Private: a constant of the model that users cannot set.
    level = gaussian_process._LEVEL_VARIANCE
    covariance = np.outer(is_own, is_own) * (covariance + level)
    y, noise = np.empty(20), np.full(20, fitted.noise_variance)
    y[own] = (0.5 + 0.1 * second[own] - posterior.offset) / posterior.scale
    for rows, correlation, earlier in zip((one, two), (0.7, 0.4), posterior.earlier, strict=True):
        study = earlier.posterior.hyperparameters
        slope = correlation * np.sqrt(variance / study.signal_variance)
        assert earlier.slope == pytest.approx(slope)
        follows = slope * is_own
        follows[rows] = 1.0
        kernel = study.signal_variance * matern(x_ND, x_ND, study.length_scales)
        covariance += np.outer(follows, follows) * kernel
        y[rows] = (first[rows] - first[rows].mean()) / first[rows].std()
        noise[rows] = study.noise_variance
    seen = slice(0, 17)
    inverse = np.linalg.inv(covariance[seen, seen] + np.diag(noise[seen] + 1e-8))
    expected = covariance[rest, seen] @ inverse @ y[seen]
    expected_variance = np.diag(
        covariance[rest, rest] - covariance[rest, seen] @ inverse @ covariance[seen, rest]
    )
    mean, sd = posterior.predict(x_ND[rest])
    # Condition number below 1e6 times rounding of 2e-16, in units of the score.
    assert mean == pytest.approx(posterior.offset + posterior.scale * expected, abs=1e-9)
    assert sd == pytest.approx(posterior.scale * np.sqrt(expected_variance), abs=1e-7)
    assert posterior.mean(x_ND[rest]) == pytest.approx(mean, abs=1e-12)
    assert posterior.lowest() == pytest.approx(posterior.mean(x_ND[seen]).min())
    assert posterior.n_observations == 17


def test_draws_have_the_mean_and_the_spread_of_the_prediction() -> None:
    x_ND, first, second = draws(60, correlation=0.8)
    posterior = Surrogate(2, sources=[source(x_ND[10:50], first[10:50])]).posterior(x_ND[:5], second[:5])
    mean, sd = posterior.predict(x_ND[50:])
    drawn = posterior.draws(x_ND[50:], 20_000, np.random.default_rng(0))
    # Four standard errors of a mean and of a standard deviation of 20,000.
    assert np.abs(drawn.mean(axis=0) - mean).max() < 4 / np.sqrt(20_000) * sd.max()
    assert np.abs(drawn.std(axis=0) / sd - 1).max() < 4 / np.sqrt(40_000)


def test_an_axis_that_made_no_difference_there_may_make_one_here() -> None:
    """Length scales are not shared: own scores depend on the second feature, those of before did not."""
    x_ND = np.random.default_rng(0).random((90, 2))
    there, here = np.sin(3 * x_ND[:, 0]), np.sin(3 * x_ND[:, 0]) + x_ND[:, 1]
    posterior = Surrogate(2, sources=[source(x_ND[20:], there[20:])]).posterior(x_ND[:20], here[:20])
    of_source = posterior.earlier[0].posterior.hyperparameters.length_scales
    assert of_source[1] > 3 * of_source[0]
    # Two points that differ in the second feature alone.
    low, high = posterior.mean(np.array([[0.5, 0.1], [0.5, 0.9]]))
    assert high - low == pytest.approx(0.8, abs=0.1)


def test_two_copies_of_a_study_say_as_much_as_one() -> None:
    x_ND, first, second = draws(60, correlation=0.9)
    twice = Surrogate(2, sources=[source(x_ND[20:], first[20:])] * 2)
    posterior = twice.posterior(x_ND[:20], second[:20])
    alone = Surrogate(2, sources=[source(x_ND[20:], first[20:])])
    once = alone.posterior(x_ND[:20], second[:20])
    assert sum(np.square(twice.correlations)) < 1
    spread = np.abs(posterior.mean(x_ND) - once.mean(x_ND)) / once.scale
    assert np.sqrt(np.mean(spread**2)) < 0.1


@pytest.mark.parametrize(("correlation", "low", "high"), [(0.95, 0.8, 1.0), (0.0, 0.0, 0.35)])
def test_the_correlation_is_learned(correlation: float, low: float, high: float) -> None:
    found = []
    for seed in range(5):
        x_ND, first, second = draws(90, correlation=correlation, seed=seed)
        surrogate = Surrogate(2, sources=[source(x_ND[30:], first[30:])])
        surrogate.posterior(x_ND[:30], second[:30])
        found.append(surrogate.correlations[0])
    assert low <= np.median(found) <= high


def test_before_any_trial_the_correlation_is_that_of_its_prior_and_order_that_of_the_source() -> None:
    x_ND, first, _ = draws(60, correlation=1.0)
    surrogate = Surrogate(2, sources=[source(x_ND[:40], first[:40])])
    posterior = surrogate.posterior(np.empty((0, 2)), np.empty(0))
    assert surrogate.correlations == (pytest.approx(0.75 * CORRELATIONS[1:].mean()),)
    assert np.corrcoef(posterior.mean(x_ND[40:]), first[40:])[0, 1] > 0.9


def test_a_related_study_is_worth_many_trials_and_an_unrelated_one_costs_few() -> None:
    errors: dict[str, list[float]] = {"alone": [], "related": [], "unrelated": []}
    for seed in range(7):
        x_ND, first, second = draws(120, correlation=0.9, seed=seed)
        _, unrelated, _ = draws(120, correlation=0.0, seed=1_000 + seed)
        told, rest = slice(0, 6), slice(60, 120)
        for name, other in (("alone", None), ("related", first), ("unrelated", unrelated)):
            sources = [] if other is None else [source(x_ND[6:60], other[6:60])]
            mean = Surrogate(2, sources=sources).posterior(x_ND[told], second[told]).mean(x_ND[rest])
            errors[name].append(float(np.sqrt(np.mean((mean - second[rest]) ** 2))))
    alone, related, unrelated_error = (float(np.median(each)) for each in errors.values())
    assert related < 0.75 * alone
    assert unrelated_error < 1.25 * alone


def test_an_unrelated_study_is_left_out_of_the_posterior(monkeypatch: pytest.MonkeyPatch) -> None:
    x_ND, first, second = draws(30, correlation=0.0)
    fixed(monkeypatch, [0.02])
    posterior = Surrogate(2, sources=[source(x_ND[10:], first[10:])]).posterior(x_ND[:10], second[:10])
    assert (posterior.earlier, posterior.n_observations, posterior.level_variance) == ((), 10, 0.0)


def test_fantasies_leave_means_and_narrow_what_is_near() -> None:
    x_ND, first, second = draws(40, correlation=0.9)
    posterior = Surrogate(2, sources=[source(x_ND[10:], first[10:])]).posterior(x_ND[:5], second[:5])
    after = posterior.with_fantasies(x_ND[5:7])
    mean, sd = posterior.predict(x_ND[5:10])
    mean_after, sd_after = after.predict(x_ND[5:10])
    assert mean_after == pytest.approx(mean, abs=1e-6)
    assert (sd_after < sd + 1e-9).all()
    assert (sd_after[:2] < 0.8 * sd[:2]).all()
