"""Benchmarks of luck: what they count, and one small draw of each kind of patients."""

from dataclasses import replace

import numpy as np
import pytest
from report_records import make_study, make_trial

import space
from benchmarks.helpers.intervals import t_interval
from benchmarks.luck.confirmed import body as body_of_confirmed
from benchmarks.luck.confirmed import members_of
from benchmarks.luck.new_values import CONTESTS, TIER, verdict
from benchmarks.luck.optimism import Result, body, one_draw, truths
from reports.errors import ReportError
from search.models.costs import count_parameters
from storage import RepeatRecord
from storage.rows.repeats import with_repeats


def repeat(seed: int, score: float) -> RepeatRecord:
    """A further training."""
    return RepeatRecord(
        id=seed,
        trial_id=1,
        seed=seed,
        sampler_noise_sd=None,
        score=score,
        tier_scores={"subclass": score},
        failure=None,
    )


def test_bias_is_without_the_ease_of_the_draw_and_coverage_counts_intervals() -> None:
    draws = [
        {"corrected": Result(error=0.02, own_error=0.001, held=True, width=0.04)},
        {"corrected": Result(error=-0.02, own_error=0.003, held=False, width=0.06)},
    ]
    line = next(line for line in body({0.05: draws}).splitlines() if "differ by 0.05 SD" in line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    # Mean .002 with standard error .001; one interval of two; errors of ±.02 have an SD of .02 √2.
    assert cells[1] == "+0.0020 ± 0.0010"
    assert cells[2].startswith("0.500 [")
    assert cells[3:] == ["0.0500", "0.0283"]


def test_a_draw_measures_every_estimate_against_the_truth_of_the_chosen_model() -> None:
    rng = np.random.default_rng(0)
    beyond_M = np.array([0.0, 0.3, -0.3])
    found = one_draw(beyond_M, np.array([0.8, 0.9, 0.7]), 40, 10, rng)
    assert list(found) == ["plain", "corrected", "α = 1", "four folds"]
    assert found["plain"].error > found["corrected"].error
    assert all(each.width > 0 for each in found.values())
    ease = {round(each.error - each.own_error, 12) for each in found.values()}
    assert len(ease) == 1


def test_truth_rises_with_the_distance_of_positives_from_negatives(monkeypatch) -> None:
    monkeypatch.setattr("benchmarks.luck.optimism.N_TRUTH", 2)
    beyond_K, score_K = truths(40, np.random.default_rng(0))
    assert (np.diff(beyond_K) > 0).all()
    assert (np.diff(score_K) > 0).all()


def test_members_of_the_unconfirmed_front_are_compared_with_their_other_seeds() -> None:
    """The best of the single trainings, .70, has .64 and .66 with other seeds, the small one .52 for .50."""
    small, best = make_trial(0, 0.5, 1_000), make_trial(1, 0.7, 2_000)
    other = make_trial(2, 0.69, 2_000)
    trials = [
        with_repeats(small, (repeat(1, 0.52),)),
        with_repeats(best, (repeat(1, 0.64), repeat(2, 0.66))),
        other,
    ]
    members, n_others = members_of(trials)
    assert [(each.trial.number, round(each.fall, 12)) for each in members] == [(0, -0.02), (1, 0.05)]
    assert n_others == 0
    # A mean of .015, standard error .035, and t of one degree of freedom: 12.706.
    found = body_of_confirmed(make_study(), trials)
    assert "score 0.0150 [-0.4297, 0.4597] less with other seeds" in found
    assert "the interval contains 0" in found
    assert "Of 2 members 1 left the front, 1 other joined." in found
    with pytest.raises(ReportError, match="no member of the front has been trained again"):
        members_of([small, best, other])


def test_candidates_of_both_sides_lie_in_their_spaces_and_within_their_limit() -> None:
    sides = {
        "former": space.Space("wide", (TIER,), space.FORMER_SPACES["wide"]),
        "present": space.Space("wide", (TIER,)),
    }
    for contest in CONTESTS:
        assert len(contest.former) == len(contest.present)
        for side, found in sides.items():
            for architecture in getattr(contest, side):
                assert architecture in found
                assert count_parameters(architecture, 5) <= contest.most
        for former, present in zip(contest.former, contest.present, strict=True):
            fixed = {"dropout": 0.5, "pooling": "mean", "sampling": "none", "backbone": "cnn", "width": 0.25}
            assert replace(present, **fixed) == former  # type: ignore[arg-type]


def test_the_verdict_on_an_interval_and_the_gain_of_pairs() -> None:
    assert [verdict(*ends) for ends in ((-0.1, 0.2), (0.1, 0.2), (-0.2, -0.1))] == [
        "contains 0",
        "above 0",
        "below 0",
    ]
    assert verdict(float("nan"), float("nan")) == "one pair, no interval"
    # Mean .02, standard deviation .01, standard error .01/√3, t of two degrees of freedom: 4.3027.
    mean, low, high = t_interval([0.01, 0.02, 0.03])
    assert (mean, low, high) == pytest.approx((0.02, 0.02 - 0.024842, 0.02 + 0.024842), abs=1e-6)
