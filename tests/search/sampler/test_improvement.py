"""The staircase and the closed form of the expected hypervolume improvement."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scores.front import Point, Reference, hypervolume
from search.sampler.improvement import expected_excess, expected_improvement, staircase

DENSITY_AT_ZERO = 1 / math.sqrt(2 * math.pi)

scores = st.floats(0.1, 0.9)
costs = st.floats(4, 7)
points = st.lists(st.tuples(scores, costs), min_size=0, max_size=8)


def arrays(listed):
    return np.array([s for s, _ in listed], dtype=float), np.array([c for _, c in listed], dtype=float)


def stairs(listed, reference_score=0.2, reference_cost=7.0):
    score, cost = arrays(listed)
    return staircase(score, cost, reference_score=reference_score, reference_cost=reference_cost)


def improvement(mean, sd, cost, steps):
    return float(expected_improvement(np.array([mean]), np.array([sd]), np.array([cost]), steps)[0])


REFERENCE = Reference(score=0.2, cost=1e7)


def added_area(listed, score, cost):
    """Hypervolume with the candidate less hypervolume without, by the report's own function."""
    before = [Point(trial=k, score=s, cost=round(10**c)) for k, (s, c) in enumerate(listed)]
    new = Point(trial=99, score=score, cost=round(10**cost))
    return hypervolume([*before, new], REFERENCE) - hypervolume(before, REFERENCE)


def test_staircase_by_hand() -> None:
    steps = stairs([(0.5, 6.0), (0.4, 5.0), (0.45, 6.5), (0.1, 4.0), (0.6, 7.5)])
    assert steps.left.tolist() == [-math.inf, 5.0, 6.0]
    assert steps.score.tolist() == [0.2, 0.4, 0.5]
    assert steps.at(np.array([4.0, 5.0, 5.9, 6.0, 9.0])).tolist() == [0.2, 0.4, 0.4, 0.5, 0.5]


def test_staircase_of_nothing_is_the_reference() -> None:
    assert stairs([]).score.tolist() == [0.2]


def test_of_equal_costs_the_best_score_counts() -> None:
    steps = stairs([(0.4, 5.0), (0.5, 5.0), (0.5, 5.5)])
    assert steps.left.tolist() == [-math.inf, 5.0]
    assert steps.score.tolist() == [0.2, 0.5]


@given(points, costs)
def test_staircase_is_the_best_score_for_the_cost(listed, cost) -> None:
    counted = [s for s, c in listed if c <= cost and c < 7.0]
    assert stairs(listed).at(np.array([cost]))[0] == max([0.2, *counted])


@given(points, st.randoms())
def test_staircase_does_not_depend_on_order(listed, random) -> None:
    shuffled = list(listed)
    random.shuffle(shuffled)
    one, two = stairs(listed), stairs(shuffled)
    assert one.left.tolist() == two.left.tolist()
    assert one.score.tolist() == two.score.tolist()


def test_certain_candidate_by_hand() -> None:
    steps = stairs([(0.4, 5.0), (0.5, 6.0)])
    # .55 at 5.5: half a decade above .4, then one above .5.
    assert improvement(0.55, 0.0, 5.5, steps) == pytest.approx(0.5 * 0.15 + 1.0 * 0.05)
    # .45 at 4.5: half a decade above the reference, one above .4, nothing above .5.
    assert improvement(0.45, 0.0, 4.5, steps) == pytest.approx(0.5 * 0.25 + 1.0 * 0.05)
    assert improvement(0.5, 0.0, 6.0, steps) == 0.0


def test_uncertain_candidate_by_hand() -> None:
    steps = stairs([(0.4, 5.0)])
    # A mean on the step: the expected excess is sd times the standard normal density at zero.
    assert improvement(0.4, 0.1, 6.0, steps) == pytest.approx(0.1 * DENSITY_AT_ZERO)
    # One sd above: Phi(1) + phi(1) = 1.0833154706 (tabulated).
    assert improvement(0.5, 0.1, 6.0, steps) == pytest.approx(0.1 * 1.0833154706)


@given(points, scores, costs)
def test_certain_candidate_adds_the_difference_of_hypervolumes(listed, score, cost) -> None:
    listed = [(s, math.log10(round(10**c))) for s, c in listed]
    cost = math.log10(round(10**cost))
    expected = added_area(listed, score, cost)
    assert improvement(score, 0.0, cost, stairs(listed)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("cost", [4.5, 5.0, 5.7, 6.4, 6.99])
@pytest.mark.parametrize(("mean", "sd"), [(0.45, 0.02), (0.3, 0.1), (0.7, 0.05)])
def test_closed_form_is_the_mean_of_draws(cost, mean, sd) -> None:
    listed = [(0.3, 4.8), (0.45, 5.5), (0.5, 6.2), (0.1, 4.1), (0.35, 6.0)]
    steps = stairs(listed)
    drawn = np.random.default_rng(0).normal(mean, sd, 40_000)
    areas = expected_improvement(drawn, np.zeros_like(drawn), np.full_like(drawn, cost), steps)
    standard_error = areas.std() / math.sqrt(len(areas))
    assert improvement(mean, sd, cost, steps) == pytest.approx(areas.mean(), abs=4 * standard_error + 1e-12)


@given(points, scores, st.floats(0, 0.3), st.floats(3, 8))
def test_never_negative_and_nothing_beyond_the_reference(listed, mean, sd, cost) -> None:
    value = improvement(mean, sd, cost, stairs(listed))
    assert value >= 0
    assert math.isfinite(value)
    if cost >= 7.0:
        assert value == 0


@given(points, scores, scores, st.floats(0, 0.3), costs)
def test_grows_with_the_mean(listed, one, other, sd, cost) -> None:
    low, high = sorted((one, other))
    steps = stairs(listed)
    assert improvement(low, sd, cost, steps) <= improvement(high, sd, cost, steps) + 1e-12


@given(points, scores, st.floats(0, 0.3), st.floats(0, 0.3), costs)
def test_grows_with_the_spread(listed, mean, one, other, cost) -> None:
    low, high = sorted((one, other))
    steps = stairs(listed)
    assert improvement(mean, low, cost, steps) <= improvement(mean, high, cost, steps) + 1e-12


@given(points, scores, st.floats(0, 0.3), costs, costs)
def test_falls_with_the_cost(listed, mean, sd, one, other) -> None:
    cheap, dear = sorted((one, other))
    steps = stairs(listed)
    assert improvement(mean, sd, dear, steps) <= improvement(mean, sd, cheap, steps) + 1e-12


@given(st.lists(st.tuples(scores, costs), min_size=1, max_size=8), scores, st.floats(0, 0.3), costs)
def test_dominated_points_change_nothing(listed, mean, sd, cost) -> None:
    score, at = listed[0]
    more = [*listed, (score - 0.05, at + 0.1), (score, at)]
    assert improvement(mean, sd, cost, stairs(more)) == improvement(mean, sd, cost, stairs(listed))


@given(points, scores, costs)
def test_small_spread_is_the_limit(listed, mean, cost) -> None:
    steps = stairs(listed)
    certain = improvement(mean, 0.0, cost, steps)
    assert improvement(mean, 1e-9, cost, steps) == pytest.approx(certain, abs=1e-8)


def test_excess_far_out_neither_overflows_nor_vanishes() -> None:
    mean, sd = np.array([0.5, 0.5, 0.5]), np.array([1e-300, 1e-3, 0.0])
    assert expected_excess(mean, sd, np.array([0.1, 0.1, 0.1])) == pytest.approx([0.4, 0.4, 0.4])
    assert expected_excess(mean, sd, np.array([0.9, 0.9, 0.9])).tolist() == [0.0, 0.0, 0.0]


def test_all_candidates_at_once_as_one_by_one() -> None:
    generator = np.random.default_rng(3)
    steps = stairs([(0.3, 4.8), (0.45, 5.5), (0.5, 6.2)])
    mean, sd, cost = (
        generator.uniform(0.2, 0.6, 50),
        generator.uniform(0, 0.1, 50),
        generator.uniform(4, 7.5, 50),
    )
    together = expected_improvement(mean, sd, cost, steps)
    assert together.tolist() == [improvement(*each, steps) for each in zip(mean, sd, cost, strict=True)]
