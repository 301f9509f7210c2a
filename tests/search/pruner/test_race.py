"""The race: rungs, chances, and the promise about what is lost."""

import math
from collections.abc import Sequence
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import boxcox_llf

from search.pruner.learning_curves import CurveModel, Floats
from search.pruner.race import (
    POWERS,
    FinishedTrial,
    Race,
    Standing,
    chance_within_noise,
    choose_power,
    rung_epochs,
    rungs,
    standing,
)
from search.training.interface import rounds

N_FOLDS, N_EPOCHS = 5, 6
COURSE = rungs(N_FOLDS, N_EPOCHS, 1)


@pytest.mark.parametrize(
    ("n_epochs", "expected"),
    [
        (1, (1,)),
        (2, (1, 2)),
        (6, (1, 2, 3, 4, 5, 6)),
        (12, (2, 4, 6, 8, 10, 12)),
        (30, (5, 10, 15, 20, 25, 30)),
    ],
)
def test_rung_epochs(n_epochs: int, expected: tuple[int, ...]) -> None:
    assert rung_epochs(n_epochs) == expected


@given(st.integers(1, 500))
def test_rung_epochs_ascend_to_the_last(n_epochs: int) -> None:
    epochs = rung_epochs(n_epochs)
    assert list(epochs) == sorted(set(epochs))
    assert epochs[0] >= 1
    assert epochs[-1] == n_epochs


def test_rungs_of_folds_in_turn() -> None:
    course = rungs(2, 2, 1)
    assert [(rung.fold, rung.epoch) for rung in course] == [(1, 1), (1, 2), (2, 1)]
    assert course[2].seen == {(1, 1), (1, 2), (2, 1)}


def test_rungs_of_folds_side_by_side() -> None:
    course = rungs(5, 2, 2)
    assert [(rung.folds, rung.epoch) for rung in course] == [
        (range(1, 3), 1),
        (range(1, 3), 2),
        (range(3, 6), 1),
    ]
    assert course[0].seen == {(1, 1), (2, 1)}
    assert course[2].seen == {(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (4, 1), (5, 1)}


@pytest.mark.parametrize(
    ("n_folds", "n_parallel", "expected"),
    [
        (5, 1, [[1], [2], [3], [4], [5]]),
        (5, 2, [[1, 2], [3, 4, 5]]),
        (5, 3, [[1, 2, 3], [4, 5]]),
        (5, 4, [[1, 2, 3, 4, 5]]),
        (5, 5, [[1, 2, 3, 4, 5]]),
        (5, 9, [[1, 2, 3, 4, 5]]),
        (1, 2, [[1]]),
        (6, 2, [[1, 2], [3, 4], [5, 6]]),
        (10, 4, [[1, 2, 3, 4], [5, 6, 7, 8, 9, 10]]),
    ],
)
def test_no_round_leaves_half_of_the_cores_idle(
    n_folds: int, n_parallel: int, expected: list[list[int]]
) -> None:
    assert [list(members) for members in rounds(n_folds, n_parallel)] == expected


def curve(level: float, seed: int, slowness: float = 0.0) -> Floats:
    """A learning curve of all folds that ends near `level`."""
    generator = np.random.default_rng(seed)
    progress_K = np.arange(1, N_EPOCHS + 1) / N_EPOCHS
    final_F = level + 0.01 * np.arange(N_FOLDS) + generator.normal(0, 0.004, N_FOLDS)
    left_K = np.exp(-(5 - slowness) * progress_K) - math.exp(-(5 - slowness))
    noise_FK = generator.normal(0, 0.004, (N_FOLDS, N_EPOCHS)) * np.sqrt(1 - progress_K)
    return np.asarray(final_F[:, None] - 0.3 * left_K + noise_FK)


def finished(number: int, parameters: int, curve_FK: Floats, **changes: float | None) -> FinishedTrial:
    values = {"score": float(curve_FK[:, -1].mean()), "chance": None, "chance_left": 0.0} | changes
    return FinishedTrial(
        number=number,
        cost=parameters,
        curve_FK=curve_FK,
        score=values["score"],
        chance=values["chance"],
        chance_left=values["chance_left"] or 0.0,
    )


def some_finished(n: int = 8, seed: int = 0) -> list[FinishedTrial]:
    levels = np.random.default_rng(seed).normal(0.5, 0.02, n)
    return [
        finished(number, 10_000 * (number + 1), curve(level, 100 * seed + number))
        for number, level in enumerate(levels.tolist())
    ]


def seen_until(curve_FK: Floats, index: int) -> Floats:
    """The curve up to a rung."""
    seen_FK = np.full_like(curve_FK, math.nan)
    for fold, epoch in COURSE[index].seen:
        seen_FK[fold - 1, epoch - 1] = curve_FK[fold - 1, epoch - 1]
    return seen_FK


def test_a_hopeless_trial_is_pruned_in_its_first_fold() -> None:
    now = standing(some_finished())
    race = Race(alpha=0.05, cost=90_000)
    assert race.start(now) is not None
    decisions = [race.decide(now, COURSE[k], seen_until(curve(0.3, 99), k)) for k in range(len(COURSE))]
    first = next(k for k, decision in enumerate(decisions) if decision and decision.pruned)
    assert COURSE[first].fold == 1


def test_a_better_trial_goes_on_to_its_end() -> None:
    now = standing(some_finished())
    race = Race(alpha=0.05, cost=90_000)
    race.start(now)
    for k in range(len(COURSE)):
        decision = race.decide(now, COURSE[k], seen_until(curve(0.6, 99), k))
        assert decision is not None
        assert not decision.pruned


@settings(max_examples=50)
@given(level=st.floats(0.0, 0.9), parameters=st.integers(1, 9_999), k=st.integers(0, len(COURSE) - 1))
def test_nothing_smaller_than_every_finished_trial_is_pruned(level: float, parameters: int, k: int) -> None:
    now = standing(some_finished())
    race = Race(alpha=0.99, cost=parameters)
    assert race.start(now) is None
    assert race.decide(now, COURSE[k], seen_until(curve(level, 7), k)) is None


@pytest.mark.parametrize("n_complete", [0, 1, 2])
def test_nothing_is_predicted_from_few(n_complete: int) -> None:
    now = standing(some_finished(n_complete))
    assert Race(alpha=0.5, cost=90_000).start(now) is None


def test_the_rival_is_the_best_with_at_most_as_many_parameters() -> None:
    trials = some_finished()
    race = Race(alpha=0.05, cost=50_000)
    record = race.start(standing(trials))
    assert record is not None
    best = max(trials[:5], key=lambda trial: trial.score or 0)
    assert record.rival == best.number
    assert record.needed == best.score
    assert (record.fold, record.epoch, record.pruned) == (0, 0, False)


@settings(max_examples=20)
@given(st.permutations(range(8)), st.integers(0, len(COURSE) - 1))
def test_decisions_do_not_depend_on_the_order_of_reports(order: Sequence[int], k: int) -> None:
    trials = some_finished()
    trials[3] = finished(3, 40_000, seen_until(trials[3].curve_FK, 2), score=None, chance=0.2)

    def decisions(listed: Sequence[FinishedTrial]) -> list[object]:
        race, now = Race(alpha=0.05, cost=65_000), standing(listed)
        return [race.start(now), race.decide(now, COURSE[k], seen_until(curve(0.49, 5), k))]

    assert decisions([trials[index] for index in order]) == decisions(trials)


def fixed_standing(**changes: object) -> Standing:
    """One complete trial of score .412; a model of one fold and two rungs with means .3 and .4."""
    model = CurveModel(np.array([[0.3, 0.4]]), np.array([[4e-4, 2e-4], [2e-4, 4e-4]]), 1e-4 * np.eye(2), 4)
    values: dict[str, object] = {
        "points": standing([finished(17, 1000, np.array([[0.3, 0.412]]))]).points,
        "chances": (),
        "chances_left": 0.0,
        "power": 1.0,
        "model": model,
        "folds": np.ones(1, np.bool_),
        "excess": 0.0,
        "excess_sd": 0.0,
    }
    return Standing(**(values | changes))  # type: ignore[arg-type]


def test_a_decision_worked_by_hand() -> None:
    """Seen .2 where .3 is usual: .4 + (2/5) × −.1, variance 1.25 × (5e-4 − (2e-4)²/5e-4)."""
    race, now = Race(alpha=0.05, cost=2000), fixed_standing()
    started = race.start(now)
    assert started is not None
    assert started.reason == "starts: needs .412, predicted .400 ± .025, P = .323, rival trial 17"
    rung = rungs(1, 2, 1)[0]
    decision = race.decide(now, rung, np.array([[0.2, math.nan]]))
    assert decision is not None
    assert decision.predicted == pytest.approx(0.36)
    assert decision.standard_error == pytest.approx(math.sqrt(1.25 * 4.2e-4))
    # t = −.052 / .0229 with 7 degrees of freedom.
    assert decision.probability == pytest.approx(0.0288, abs=5e-4)
    assert not decision.pruned
    assert decision.reason == (
        "goes on after fold 1, epoch 1: needs .412, predicted .360 ± .023, P = .029, rival trial 17"
    )


def is_pruned_at_once(race: Race, now: Standing) -> bool:
    """Whether the race prunes a trial at its first rung, of .2."""
    race.start(now)
    decision = race.decide(now, rungs(1, 2, 1)[0], np.array([[0.2, math.nan]]))
    assert decision is not None
    return decision.pruned


@pytest.mark.parametrize(("alpha", "pruned"), [(0.08, False), (0.1, True)])
def test_no_more_may_be_lost_than_alpha_of_the_chances_granted(alpha: float, pruned: bool) -> None:
    """.0288 against .08 × .322 = .0258 and .1 × .322 = .0322."""
    race, now = Race(alpha=alpha, cost=2000), fixed_standing()
    assert is_pruned_at_once(race, now) is pruned


@pytest.mark.parametrize(("chances_left", "pruned"), [(0.0, True), (0.07, True), (0.08, False)])
def test_what_pruned_trials_had_left_is_spent(chances_left: float, pruned: bool) -> None:
    """With two others that started with .9 the budget is .05 × 2.122 = .106; .0288 are needed."""
    now = fixed_standing(chances=(0.9, 0.9), chances_left=chances_left)
    race = Race(alpha=0.05, cost=2000)
    assert is_pruned_at_once(race, now) is pruned


@pytest.mark.parametrize(("others", "pruned"), [((0.25, 0.25), False), ((0.3, 0.3), True)])
def test_the_limit_is_twice_alpha_times_the_mean_chance(others: tuple[float, ...], pruned: bool) -> None:
    """The mean of .322 and two others: 2 × .05 × .274 = .0274 and 2 × .05 × .307 = .0307."""
    now = fixed_standing(chances=others)
    race = Race(alpha=0.05, cost=2000)
    assert is_pruned_at_once(race, now) is pruned


def test_what_an_earlier_attempt_started_with_counts() -> None:
    race = Race(alpha=0.05, cost=2000, chance=0.9)
    assert race.start(fixed_standing()) is None
    decision = race.decide(fixed_standing(), rungs(1, 2, 1)[0], np.array([[0.2, math.nan]]))
    assert decision is not None
    assert decision.pruned  # .0288 < .05 × .9


def test_the_samplers_expectation_counts() -> None:
    bold = Race(alpha=0.05, cost=2000, prior=(0.44, 0.005)).start(fixed_standing())
    shy = Race(alpha=0.05, cost=2000, prior=(0.38, 0.005)).start(fixed_standing())
    assert bold is not None
    assert shy is not None
    assert bold.probability is not None
    assert shy.probability is not None
    assert shy.probability < 0.01
    assert bold.probability > 0.99


def test_scores_are_on_the_scale_of_the_objective() -> None:
    """The score of a trial is not quite the mean of its folds; the difference is learned."""
    higher = [
        finished(trial.number, trial.cost, trial.curve_FK, score=(trial.score or 0) + 0.1)
        for trial in some_finished()
    ]
    plain, shifted = standing(some_finished()), standing(higher)
    unseen_FK = np.full((N_FOLDS, N_EPOCHS), math.nan)
    one, other = plain.forecast(unseen_FK), shifted.forecast(unseen_FK)
    assert one is not None
    assert other is not None
    assert other.predicted - one.predicted == pytest.approx(0.1, abs=0.01)


def test_a_fold_without_scores_is_left_out() -> None:
    trials = [
        finished(
            t.number,
            t.cost,
            np.vstack([t.curve_FK[:4], np.full((1, N_EPOCHS), math.nan)]),
            score=float(t.curve_FK[:4, -1].mean()),
        )
        for t in some_finished()
    ]
    now = standing(trials)
    assert now.folds.tolist() == [True, True, True, True, False]
    assert Race(alpha=0.05, cost=90_000).start(now) is not None


def test_scores_with_a_long_lower_tail_get_a_power() -> None:
    generator = np.random.default_rng(0)
    skewed = 0.7 - 0.05 * generator.exponential(size=40)
    symmetric = 0.5 + 0.02 * generator.normal(size=40)
    assert choose_power(skewed) >= 3
    assert choose_power(symmetric) <= 2
    assert choose_power(np.array([0.5, 0.6])) == 1  # too few to say
    assert choose_power(np.full(9, 0.5)) == 1


def test_the_likelihood_of_a_power_is_that_of_box_and_cox() -> None:
    scores = 0.7 - 0.1 * np.random.default_rng(1).exponential(size=200).clip(max=6)
    expected = max(POWERS, key=lambda power: boxcox_llf(power, scores) - 0.5 * math.log(power) ** 2)
    assert choose_power(scores) == expected


@pytest.mark.parametrize("power", [1.0, 3.0])
def test_a_power_changes_the_scale_of_the_model_only(power: float) -> None:
    """Median and chances are those of the powered score, told on the scale of the score."""
    model = CurveModel(np.array([[0.3, 0.4**power]]), 4e-4 * np.eye(2), 1e-4 * np.eye(2), 4)
    found = fixed_standing(model=model, power=power).forecast(np.full((1, 2), math.nan))
    assert found is not None
    assert found.predicted == pytest.approx(0.4)
    assert found.chance_above(0.4) == pytest.approx(0.5)
    slope = power * 0.4 ** (power - 1)
    assert found.standard_error == pytest.approx(math.sqrt(1.25 * 5e-4) / slope)


def test_thawing_needs_a_front_within_noise() -> None:
    now = fixed_standing()
    near, far = np.array([[0.28, math.nan]]), np.array([[0.1, math.nan]])
    assert chance_within_noise(now, 2000, near) == pytest.approx(0.214, abs=0.01)
    assert chance_within_noise(now, 2000, far) is None
    assert chance_within_noise(now, 500, near) is None  # nothing to beat: it was never raced


def run_study(seed: int, alpha: float, n_trials: int = 60) -> tuple[int, int, float]:
    """Trials that would have improved the front, those of them that were pruned, share of epochs trained."""
    generator = np.random.default_rng(seed)
    trials: list[FinishedTrial] = []
    n_improving = n_lost = n_epochs = 0
    for number in range(n_trials):
        parameters = int(10 ** generator.uniform(4, 6))
        level = 0.4 + 0.03 * math.log10(parameters / 1e4) + generator.normal(0, 0.02)
        whole_FK = curve(level, 1000 * seed + number, slowness=generator.uniform(0, 3))
        now = standing(trials)
        smaller = [point.score for point in now.points if point.cost <= parameters]
        improves = not smaller or float(whole_FK[:, -1].mean()) > max(smaller)
        race = Race(alpha=alpha, cost=parameters)
        record = race.start(now)
        chance = None if record is None else record.probability
        n_improving += improves and record is not None
        for k, rung in enumerate(COURSE):
            decision = race.decide(now, rung, seen_until(whole_FK, k))
            if decision is not None and decision.pruned:
                seen_FK = seen_until(whole_FK, k)
                left = {"chance": chance, "chance_left": decision.probability}
                trials.append(finished(number, parameters, seen_FK, score=None, **left))
                n_lost += improves
                n_epochs += len(rung.seen)
                break
        else:
            trials.append(finished(number, parameters, whole_FK, chance=chance))
            n_epochs += N_FOLDS * N_EPOCHS
    return n_improving, n_lost, n_epochs / (n_trials * N_FOLDS * N_EPOCHS)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_no_more_than_alpha_of_what_would_improve_the_front_is_lost(alpha: float) -> None:
    studies = [run_study(seed, alpha) for seed in range(8)]
    n_improving, n_lost = (sum(study[index] for study in studies) for index in (0, 1))
    assert n_improving > 60
    assert n_lost <= alpha * n_improving
    assert fmean(study[2] for study in studies) < 0.6
