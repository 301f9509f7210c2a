"""Expected gain of the next trial: hand-worked areas, and draws held to closed forms."""

import numpy as np
import pytest
from scipy.stats import norm

from scores.front import Point, Reference, hypervolume
from search.sampler import gain as module
from search.sampler.gain import QUANTILE, remaining_gain
from search.sampler.gaussian_process import Surrogate
from search.sampler.improvement import expected_improvement, improvement, staircase

STEPS = staircase(np.array([0.5, 0.7]), np.array([4.0, 5.0]), reference_score=0.4, reference_cost=6.0)
"""From 4 to 5 a step of .1 above the reference, from 5 to 6 one of .3."""


def observed(n=30, seed=0):
    generator = np.random.default_rng(seed)
    x_ND = generator.uniform(size=(n, 3))
    return x_ND, 0.5 + 0.1 * x_ND[:, 0] + generator.normal(0, 0.01, n)


@pytest.fixture(scope="module")
def posterior():
    return Surrogate(3).posterior(*observed())


def test_the_area_below_the_steps() -> None:
    assert STEPS.hypervolume == pytest.approx(0.1 * 1 + 0.3 * 1)
    empty = staircase(np.array([0.3]), np.array([4.0]), reference_score=0.4, reference_cost=6.0)
    assert empty.hypervolume == 0


def test_what_scores_would_add_by_hand() -> None:
    cost = np.array([4.5, 3.0, 5.5, 7.0])
    # At 4.5: .1 above the first step for .5, and nothing above the second. At 3: one unit from the reference
    # on and one from the first step on. At 5.5: .2 above the second step for .5. At 7: beyond the reference.
    gained = improvement(np.array([[0.6, 0.6, 0.9, 0.9], [0.4, 0.4, 0.7, 0.9]]), cost, STEPS)
    assert gained == pytest.approx(np.array([[0.05, 0.2 + 0.1, 0.1, 0], [0, 0, 0, 0]]))


@pytest.mark.parametrize("seed", range(5))
def test_what_a_score_adds_is_the_difference_of_two_hypervolumes(seed: int) -> None:
    generator = np.random.default_rng(seed)
    score, parameters = generator.uniform(0.3, 0.9, 12), generator.integers(1_000, 900_000, 12)
    points = [
        Point(trial=n, score=float(y), cost=int(p))
        for n, (y, p) in enumerate(zip(score, parameters, strict=True))
    ]
    corner = Reference(score=0.4, cost=1e6)
    steps = staircase(score[:-1], np.log10(parameters[:-1]), reference_score=0.4, reference_cost=6.0)
    before, after = hypervolume(points[:-1], corner), hypervolume(points, corner)
    assert steps.hypervolume == pytest.approx(before)
    assert improvement(score[-1:], np.log10(parameters[-1:]), steps) == pytest.approx(
        [after - before], abs=1e-12
    )


def test_the_mean_of_what_drawn_scores_add_is_the_expected_improvement() -> None:
    n_draws = 200_000
    cost = np.array([4.5, 3.0, 5.5])
    mean, sd = np.array([0.55, 0.45, 0.68]), np.array([0.05, 0.1, 0.02])
    drawn = np.random.default_rng(0).normal(mean, sd, (n_draws, 3))
    gained = improvement(drawn, cost, STEPS)
    error = gained.std(axis=0) / np.sqrt(n_draws)
    assert np.all(np.abs(gained.mean(axis=0) - expected_improvement(mean, sd, cost, STEPS)) < 5 * error)


def test_draws_have_the_means_deviations_and_correlations_of_the_posterior(posterior) -> None:
    near, far = np.array([[0.2, 0.2, 0.2]]), np.array([[2.0, 2.0, 2.0]])
    x_MD = np.concatenate([near, near, near + 0.01, far])
    n_draws = 20_000
    drawn = posterior.draws(x_MD, n_draws, np.random.default_rng(0))
    mean, sd = posterior.predict(x_MD)
    assert np.all(np.abs(drawn.mean(axis=0) - mean) < 5 * sd / np.sqrt(n_draws))
    # The standard error of a standard deviation is a share of 1/√(2n) of it.
    assert drawn.std(axis=0) == pytest.approx(sd, rel=5 / np.sqrt(2 * n_draws))
    # One candidate listed twice has one score; √ of the rounding of its variance, 1e-16, is 1e-8 of the unit.
    assert np.abs(drawn[:, 0] - drawn[:, 1]).max() < 1e-6 * posterior.scale
    correlation = np.corrcoef(drawn.T)
    assert correlation[0, 2] > 0.9
    assert abs(correlation[0, 3]) < 0.5


def test_the_bound_of_a_single_candidate_is_a_quantile_of_its_score(
    posterior, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_draws = 100_000
    monkeypatch.setattr(module, "N_DRAWS", n_draws)
    x_MD, cost = np.array([[0.5, 0.5, 0.5]]), np.array([4.5])
    found = remaining_gain(posterior, x_MD, cost, STEPS, np.random.default_rng(0))
    mean, sd = posterior.predict(x_MD)
    # What a score adds rises with the score, so a quantile of the one is that of the other.
    high = mean + norm.ppf(QUANTILE) * sd
    error = np.sqrt(QUANTILE * (1 - QUANTILE) / n_draws) / norm.pdf(norm.ppf(QUANTILE)) * sd[0]
    low, top = (improvement(high + shift, cost, STEPS)[0] for shift in (-5 * error, 5 * error))
    assert 0 < low <= found.at_most * STEPS.hypervolume <= top
    exactly = expected_improvement(mean, sd, cost, STEPS)[0]
    assert found.expected * STEPS.hypervolume == pytest.approx(exactly)
    assert found.expected < found.at_most


def test_without_a_front_or_a_candidate_there_is_nothing_to_say(posterior) -> None:
    generator = np.random.default_rng(0)
    empty = staircase(np.array([]), np.array([]), reference_score=0.4, reference_cost=6.0)
    x_MD, cost = np.array([[0.5, 0.5, 0.5]]), np.array([4.5])
    assert remaining_gain(posterior, x_MD, cost, empty, generator) is None
    assert remaining_gain(posterior, x_MD[:0], cost[:0], STEPS, generator) is None
