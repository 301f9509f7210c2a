"""Which member of the front to take: hand-made fronts, differences chosen by hand."""

from dataclasses import replace

import numpy as np
import pytest
from report_records import HeldStudy, large_study, make_study, make_trial

from reports.document import report_document
from reports.errors import ReportError
from reports.evidence import Evidence, TrialEvidence, gather
from reports.findings.comparisons import Intervals, Scored
from reports.findings.luck import expected_words
from reports.findings.picking import knee, pick, picks, within
from scores.bootstrap import Interval
from scores.optimism import Expected


def front_of(*members: tuple[float, int]) -> Evidence:
    """A study whose trials have these scores and parameters."""
    trials = [make_trial(number, score, size) for number, (score, size) in enumerate(members)]
    look = TrialEvidence(curve=(), summary={}, predictions={}, problem="no predictions were kept")
    return Evidence(study=make_study(), trials=trials, close={trial.number: look for trial in trials})


def scored(evidence: Evidence, spread: float, without: tuple[int, ...] = ()) -> Intervals:
    """Scores whose paired differences from trial to trial spread by that much, to each side."""
    tiers: dict[int, Scored] = {}
    for trial in evidence.trials:
        value = trial.score or 0.0
        samples = value + spread * np.linspace(-1, 1, 401) * trial.number
        interval = Interval(value=value, low=value, high=value, level=0.95, samples=samples)
        tiers[trial.number] = Scored(score=interval, frequent=interval, auroc=0.9, classes=())
    found = {number: each for number, each in tiers.items() if number not in without}
    return Intervals(tiers={"subclass": found}, n_records=90, n_patients=80, by_patient=True)


THREE = ((0.60, 10_000), (0.69, 100_000), (0.70, 1_000_000))


def test_the_smallest_within_the_margin_is_picked() -> None:
    evidence = front_of(*THREE)
    found = within(0.01)(evidence, scored(evidence, 1e-6))
    assert found.trial == 1  # .0100 behind the best, which the interval does not exceed
    assert "trial 2" in found.reason
    assert "paired over 80 patients" in found.reason
    assert within(0.2)(evidence, scored(evidence, 1e-6)).trial == 0


def test_a_wide_interval_makes_a_smaller_model_as_good() -> None:
    evidence = front_of(*THREE)
    assert within(0.01)(evidence, scored(evidence, 0.08)).trial == 0


def test_the_best_is_picked_where_all_others_are_worse() -> None:
    evidence = front_of(*THREE)
    found = within(0.001)(evidence, scored(evidence, 1e-6))
    assert found.trial == 2
    assert "all 2 smaller members of the front are distinguishably worse by more than .001" in found.reason
    evidence = front_of(*THREE[1:])
    found = within(0.001)(evidence, scored(evidence, 1e-6))
    assert "and the smaller member of the front is distinguishably worse by more than" in found.reason


def test_a_member_without_predictions_is_named_and_not_picked() -> None:
    evidence = front_of(*THREE)
    found = within(0.01)(evidence, scored(evidence, 0.08, without=(0,)))
    assert found.trial == 1
    assert "1 smaller member without predictions could not be compared" in found.reason


def test_without_predictions_of_the_best_nothing_is_guessed() -> None:
    evidence = front_of(*THREE)
    with pytest.raises(
        ReportError, match=r"trial 2, the best of the front, .* no predictions were kept; --knee"
    ):
        within(0.01)(evidence, scored(evidence, 0.0, without=(2,)))


def test_of_a_model_that_was_not_chosen_among_others_no_correction_is_claimed() -> None:
    span = Interval(value=0.4, low=0.3, high=0.5, level=0.95, samples=np.array([0.3, 0.5]))
    alone = Expected(interval=span, plain=0.4, on_other_folds=0.4, chosen=0, n_models=1)
    assert expected_words(alone) == ""
    assert ".400 [.300, .500] is expected" in expected_words(replace(alone, n_models=2))


def test_the_only_member_is_picked() -> None:
    evidence = front_of(THREE[0])
    reason = within(0.01)(evidence, scored(evidence, 0.0)).reason
    assert "is the best, and it is the only member of the front" in reason


def test_the_knee_is_farthest_above_the_line_between_the_ends() -> None:
    # Halfway along the logarithm of the parameters nine tenths of the gain are reached.
    found = knee(front_of(*THREE), Intervals())
    assert found.trial == 1
    assert "10.0 times the parameters buy +.090; from it to trial 2, 10.0 times buy +.010" in found.reason


def test_a_front_that_bends_the_other_way_has_no_knee() -> None:
    with pytest.raises(ReportError, match="no knee"):
        knee(front_of((0.60, 10_000), (0.61, 100_000), (0.70, 1_000_000)), Intervals())


def test_a_knee_takes_three_members() -> None:
    with pytest.raises(
        ReportError, match="the front has 2 members, and a knee takes at least 3; use --within"
    ):
        knee(front_of(*THREE[:2]), Intervals())


def test_an_empty_study_has_nothing_to_pick() -> None:
    with pytest.raises(ReportError, match="study example has no complete trial yet"):
        pick(Evidence(study=make_study(), trials=[], close={}), knee)


@pytest.mark.slow
def test_a_report_says_what_each_rule_picks() -> None:
    evidence = gather(HeldStudy(*large_study(20), predicted=True), "example")
    report = report_document(evidence, n_resamples=50)
    assert {each.trial for each in report.picks} <= set(report.front)
    assert report.picks[0].rule == "within .010 of the best"
    assert pick(evidence, within(0.01)).trial in report.front


def test_rules_that_cannot_tell_are_left_out_of_a_report() -> None:
    assert picks(front_of(*THREE[:2]), Intervals(), {}) == []
