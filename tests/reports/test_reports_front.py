"""The front, the staircase, the rival and the hypervolume: laws, and cases worked by hand."""

import math
import random
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_records import failed_trial, make_trial, pruned_trial, small_study

from reports.evidence import contenders
from reports.findings.comparisons import shares_on_front
from scores.front import (
    Point,
    Reference,
    front_trials,
    hypervolume,
    pareto_front,
    points_of,
    rival,
)


def point(trial: int, score: float, cost: int) -> Point:
    return Point(trial=trial, score=score, cost=cost)


# A coarse grid, so that ties in one objective and in both are common.
values = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 8)), max_size=40)
point_lists = values.map(lambda pairs: [point(i, s / 10, p * 1000) for i, (s, p) in enumerate(pairs)])


def no_worse(one: Point, other: Point) -> bool:
    return one.score >= other.score and one.cost <= other.cost


def differ(one: Point, other: Point) -> bool:
    return (one.score, one.cost) != (other.score, other.cost)


@given(point_lists)
def test_no_member_of_the_front_is_dominated(points: list[Point]) -> None:
    for member in pareto_front(points):
        assert not any(no_worse(other, member) and differ(other, member) for other in points)


@given(point_lists)
def test_every_other_point_is_dominated_by_or_equal_to_a_member(points: list[Point]) -> None:
    front = pareto_front(points)
    for other in points:
        assert any(no_worse(member, other) for member in front)


@given(point_lists, st.randoms(use_true_random=False))
def test_the_order_of_the_points_does_not_matter(points: list[Point], chance: random.Random) -> None:
    shuffled = list(points)
    chance.shuffle(shuffled)
    assert pareto_front(shuffled) == pareto_front(points)


@given(point_lists, st.integers(0, 1000), st.integers(0, 5), st.integers(0, 5000))
def test_adding_a_dominated_point_changes_nothing(
    points: list[Point], which: int, worse: int, more: int
) -> None:
    if points:
        above = points[which % len(points)]
        added = point(len(points), above.score - worse / 10, above.cost + more)
        assert pareto_front([*points, added]) == pareto_front(points)
        corner = Reference(score=0.05, cost=9000)
        assert hypervolume([*points, added], corner) == hypervolume(points, corner)


@given(point_lists)
def test_the_front_rises_in_both_objectives_and_is_its_own_front(points: list[Point]) -> None:
    front = pareto_front(points)
    for left, right in pairwise(front):
        assert left.cost < right.cost
        assert left.score < right.score
    assert pareto_front(front) == front


@given(point_lists)
def test_equal_points_keep_the_lowest_trial_number(points: list[Point]) -> None:
    for member in pareto_front(points):
        assert member.trial == min(other.trial for other in points if not differ(other, member))


@given(point_lists, st.integers(0, 9000))
def test_the_rival_is_on_the_front_and_holds_the_staircase(points: list[Point], parameters: int) -> None:
    fitting = [other.score for other in points if other.cost <= parameters]
    best = rival(points, parameters)
    assert (None if best is None else best.score) == (max(fitting) if fitting else None)
    if best is not None:
        assert best in pareto_front(points)
        assert best == rival(pareto_front(points), parameters)


@given(point_lists, st.integers(0, 6), st.integers(1, 8))
def test_a_new_point_joins_the_front_exactly_when_it_beats_the_staircase(
    points: list[Point], score: int, thousands: int
) -> None:
    new = point(len(points), score / 10, thousands * 1000)
    best = rival(points, new.cost)
    assert (new in pareto_front([*points, new])) == (best is None or new.score > best.score)


@given(point_lists, st.integers(0, 6), st.integers(1, 8))
def test_more_points_never_make_the_hypervolume_smaller(
    points: list[Point], score: int, thousands: int
) -> None:
    corner = Reference(score=0.0, cost=10_000)
    more = [*points, point(len(points), score / 10, thousands * 1000)]
    assert hypervolume(more, corner) >= hypervolume(points, corner) - 1e-12


def test_front_worked_by_hand() -> None:
    points = [
        point(0, 0.50, 1000),
        point(1, 0.40, 100),
        point(2, 0.40, 200),  # as good as 1 with twice its parameters
        point(3, 0.55, 1000),  # better than 0 with as many
        point(4, 0.55, 1000),  # equal to 3
        point(5, 0.30, 100),
        point(6, 0.54, 5000),
    ]
    assert [member.trial for member in pareto_front(points)] == [1, 3]
    rivals = [rival(points, cost) for cost in (99, 100, 999, 1000, 10**9)]
    assert [each and each.score for each in rivals] == [None, 0.40, 0.40, 0.55, 0.55]
    best = rival(points, 5000)
    assert best is not None
    assert best.trial == 3


def test_front_of_nothing_and_of_one() -> None:
    assert pareto_front([]) == ()
    assert rival([], 10) is None
    assert pareto_front([point(3, 0.1, 7)]) == (point(3, 0.1, 7),)


def test_hypervolume_worked_by_hand() -> None:
    points = [point(0, 0.3, 1_000), point(1, 0.5, 10_000), point(2, 0.45, 20_000)]
    # .2 above .1 over one decade, then .4 over two decades; the dominated third point adds nothing.
    assert hypervolume(points, Reference(score=0.1, cost=1_000_000)) == pytest.approx(0.2 + 0.8)
    assert hypervolume(points, Reference(score=0.4, cost=1_000_000)) == pytest.approx(0.1 * 2)
    assert hypervolume(points, Reference(score=0.1, cost=1_000)) == 0
    assert hypervolume([], Reference(score=0.0, cost=1e6)) == 0


@pytest.mark.parametrize(
    ("score", "parameters", "message"),
    [
        (float("nan"), 10, "trial 4: score is nan, not a finite number"),
        (float("inf"), 10, "trial 4: score is inf, not a finite number"),
        (0.5, 0, "trial 4 costs 0; a model costs at least 1"),
    ],
)
def test_a_point_that_compares_with_nothing_is_refused(score: float, parameters: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        point(4, score, parameters)


def test_only_complete_trials_with_a_defined_score_have_a_point() -> None:
    trials = [
        make_trial(0, 0.4, 100),
        make_trial(1, float("nan"), 100),
        make_trial(2, parameters=50),
        pruned_trial(3, [0.9], score=0.9),
        failed_trial(4, score=0.9),
    ]
    assert [each.trial for each in points_of(trials)] == [0]


def test_front_on_another_tier_takes_that_tiers_scores() -> None:
    trials = [
        make_trial(0, 0.4, 100, tier_scores={"superclass": 0.7}),
        make_trial(1, 0.5, 200, tier_scores={"superclass": 0.6}),
        make_trial(2, 0.6, 300, tier_scores={}),
    ]
    assert [trial.number for trial in front_trials(trials)] == [0, 1, 2]
    assert [trial.number for trial in front_trials(trials, tier="superclass")] == [0]


def test_front_trials_of_the_example() -> None:
    assert [trial.number for trial in front_trials(small_study()[1])] == [3, 0, 2]


def test_a_front_of_a_hundred_thousand_points_takes_no_time() -> None:
    chance = random.Random(0)
    points = [point(i, chance.random(), chance.randint(1, 10**6)) for i in range(100_000)]
    start = time.process_time()
    assert pareto_front(points)
    assert time.process_time() - start < 5  # 0.15 s alone; quadratic work would take an hour


def test_a_member_was_chosen_among_trials_of_its_size_and_the_best_among_all() -> None:
    trials = [
        make_trial(0, 0.40, 1_000),
        make_trial(1, 0.30, 900),
        make_trial(2, 0.50, 2_000),
        make_trial(3, 0.45, 3_000),
        make_trial(4),
    ]
    assert contenders(trials) == {1: [1], 0: [0, 1], 2: [2, 3, 0, 1]}


def test_of_equally_dear_trials_one_is_on_the_front_of_a_draw() -> None:
    """By hand: costs 10, 10, 20; the better of the first two in a draw, the third where it beats both."""
    sample_MR = np.array(
        [[0.5, 0.7, 0.6, 0.6, math.nan], [0.6, 0.6, 0.6, 0.4, 0.9], [0.55, 0.8, 0.6, 0.7, 0.9]]
    )
    assert shares_on_front(sample_MR, np.array([10, 10, 20])).tolist() == [0.75, 0.25, 0.5]
    assert np.isnan(shares_on_front(sample_MR[:, 4:], np.array([10, 10, 20]))).all()


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.tuples(
            st.lists(st.integers(1, 3), min_size=n, max_size=n),
            st.lists(st.lists(st.integers(0, 4), min_size=n, max_size=n), min_size=1, max_size=4),
        )
    )
)
def test_shares_on_the_front_are_those_of_the_front_of_every_draw(
    drawn: tuple[list[int], list[list[int]]],
) -> None:
    costs, draws = drawn
    fronts = [
        pareto_front([point(trial, s, cost) for trial, (s, cost) in enumerate(zip(draw, costs, strict=True))])
        for draw in draws
    ]
    expected = [
        np.mean([trial in [p.trial for p in front] for front in fronts]) for trial in range(len(costs))
    ]
    found = shares_on_front(np.array(draws, dtype=float).T, np.array(costs))
    assert found.tolist() == pytest.approx(expected, abs=1e-12)
