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


def test_the_posterior_is_that_of_the_joint_normal_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the textbook formula with the whole covariance matrix, B = ρ ρᵀ + diag(1 − ρ²)."""
    x_ND, first, second = draws(14, correlation=0.8)
    rho = np.array([1.0, 0.7, 0.4])
    # Private: correlations that are given, not learned, and the terms of the formula.
    monkeypatch.setattr(Surrogate, "_correlation", lambda self, number, own: float(rho[1 + number]))
    sources = [source(x_ND[4:9], 50 * first[4:9]), source(x_ND[9:], first[9:] - 3)]
    surrogate = Surrogate(2, sources=sources)
    posterior = surrogate.posterior(x_ND[:4], 0.5 + 0.1 * second[:4])
    fitted = posterior.hyperparameters
    assert surrogate.correlations == (0.7, 0.4)

    task = np.repeat([0, 1, 2], [4, 5, 5])
    signal, noise = np.array([(fitted.signal_variance, fitted.noise_variance), *fitted.of_sources]).T
    between = np.outer(rho, rho) + np.diag(1 - rho**2)
    scaled = x_ND / fitted.length_scales
    distance = np.sqrt(5 * ((scaled[:, None] - scaled[None]) ** 2).sum(axis=2))
    kernel = (1 + distance + distance**2 / 3) * np.exp(-distance)
    kernel *= between[task][:, task] * np.sqrt(np.outer(signal[task], signal[task]))
    kernel += gaussian_process._LEVEL_VARIANCE * np.outer(task == 0, task == 0)
    y = np.concatenate(
        [
            (0.5 + 0.1 * second[:4] - posterior.offset) / posterior.scale,
            *((first[rows] - first[rows].mean()) / first[rows].std() for rows in (slice(4, 9), slice(9, 14))),
        ]
    )
    inverse = np.linalg.inv(kernel + np.diag(noise[task] + 1e-8))
    mean, sd = posterior.predict(x_ND[:4])
    # Condition number below 1e6 times rounding of 2e-16, in units of the score.
    assert mean == pytest.approx(posterior.offset + posterior.scale * kernel[:4] @ inverse @ y, abs=1e-9)
    variance = np.diag(kernel[:4, :4] - kernel[:4] @ inverse @ kernel[:4].T)
    assert sd == pytest.approx(posterior.scale * np.sqrt(variance), abs=1e-7)
    assert posterior.lowest() == pytest.approx(
        (posterior.offset + posterior.scale * posterior._covariance(scaled) @ posterior.weights_N).min()
    )


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
    # Private: a correlation that is given, not learned.
    monkeypatch.setattr(Surrogate, "_correlation", lambda self, number, own: 0.02)
    posterior = Surrogate(2, sources=[source(x_ND[10:], first[10:])]).posterior(x_ND[:10], second[:10])
    assert (len(posterior.x_ND), posterior.level_variance) == (10, 0.0)


def test_fantasies_leave_means_and_narrow_what_is_near() -> None:
    x_ND, first, second = draws(40, correlation=0.9)
    posterior = Surrogate(2, sources=[source(x_ND[10:], first[10:])]).posterior(x_ND[:5], second[:5])
    after = posterior.with_fantasies(x_ND[5:7])
    mean, sd = posterior.predict(x_ND[5:10])
    mean_after, sd_after = after.predict(x_ND[5:10])
    assert mean_after == pytest.approx(mean, abs=1e-6)
    assert (sd_after < sd + 1e-9).all()
    assert (sd_after[:2] < 0.8 * sd[:2]).all()
