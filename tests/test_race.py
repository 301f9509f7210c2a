"""The rule of the race, with numbers worked by hand."""

from collections.abc import Mapping
from typing import Any

import pytest

from search.race import paired_rule
from storage import DecisionRecord, TrialRecord

SMALL, MEDIUM, LARGE = 10_000, 20_000, 40_000


def trial(
    number: int,
    parameters: int,
    fold_scores: Mapping[int, float],
    *,
    macro_auprc: float | None = None,
    **changes: Any,
) -> TrialRecord:
    values: dict[str, Any] = {
        "id": 100 + number,
        "number": number,
        "state": "complete",
        "architecture": {},
        "architecture_hash": f"{number:016d}",
        "description": f"trial {number}",
        "parameters": parameters,
        "label_tier": "superclass",
        "macro_auprc": sum(fold_scores.values()) / len(fold_scores) if macro_auprc is None else macro_auprc,
        "fold_scores": fold_scores,
    }
    return TrialRecord(**(values | changes))


def scores(*values: float) -> dict[int, float]:
    """Scores of the folds from 1 on."""
    return dict(enumerate(values, start=1))


def decide(
    fold_scores: Mapping[int, float], trials: list[TrialRecord], parameters: int = MEDIUM
) -> DecisionRecord | None:
    return paired_rule(fold_scores, parameters, trials, epoch=6)


RIVAL = trial(4, SMALL, scores(0.75, 0.75, 0.75, 0.75, 0.75))
# Deficits (2.5, .5, .5, .5) / 16: mean 1/16, standard deviation 1/16, standard error 1/32.
AT_THE_BOUNDARY = scores(0.59375, 0.71875, 0.71875, 0.71875)


def test_exactly_two_standard_errors_go_on() -> None:
    decision = decide(AT_THE_BOUNDARY, [RIVAL])
    assert decision is not None
    assert decision.standard_error == 1 / 32
    assert decision.needed - decision.predicted == 2 * decision.standard_error
    assert not decision.pruned
    assert decision.reason == "goes on after fold 4: needs 0.7500, has 0.6875 ± 0.0312, rival trial 4"


def test_a_hair_more_is_pruned() -> None:
    # Moving every fold by the same amount moves the mean and leaves the spread alone.
    below = {fold: score - 2**-30 for fold, score in AT_THE_BOUNDARY.items()}
    decision = decide(below, [RIVAL])
    assert decision is not None
    assert decision.standard_error == 1 / 32
    assert decision.pruned
    assert decision.reason.startswith("pruned after fold 4: ")


def test_a_decision_says_on_what_grounds() -> None:
    decision = decide(scores(0.60, 0.50, 0.70), [trial(7, SMALL, scores(0.70, 0.62, 0.78, 0.9, 0.9))])
    assert decision is not None
    # Deficits .10, .12, .08: mean .10, standard deviation .02, standard error .02 / √3.
    assert decision.standard_error == pytest.approx(0.02 / 3**0.5)
    assert (decision.needed, decision.predicted) == (pytest.approx(0.70), pytest.approx(0.60))
    assert (decision.fold, decision.epoch, decision.rival, decision.pruned) == (3, 6, 7, True)
    assert decision.reason == "pruned after fold 3: needs 0.7000, has 0.6000 ± 0.0115, rival trial 7"


@pytest.mark.parametrize("n_folds", [0, 1, 2])
def test_two_folds_decide_nothing(n_folds: int) -> None:
    assert decide(scores(*[0.1] * n_folds), [RIVAL]) is None


def test_three_folds_decide() -> None:
    decision = decide(scores(0.1, 0.1, 0.1), [RIVAL])
    assert decision is not None
    assert decision.pruned


def test_equal_deficits_have_no_spread_and_still_decide() -> None:
    behind, ahead = decide(scores(0.5, 0.5, 0.5), [RIVAL]), decide(scores(0.8, 0.8, 0.8), [RIVAL])
    assert behind is not None
    assert (behind.standard_error, behind.pruned) == (0.0, True)
    assert ahead is not None
    assert not ahead.pruned


def test_a_trial_level_with_its_rival_goes_on() -> None:
    decision = decide(scores(0.75, 0.75, 0.75), [RIVAL])
    assert decision is not None
    assert not decision.pruned


def test_the_difficulty_of_folds_cancels() -> None:
    rival = trial(1, SMALL, scores(0.9, 0.5, 0.7, 0.6, 0.8))
    decision = decide(scores(0.88, 0.48, 0.68), [rival])
    assert decision is not None
    assert decision.pruned  # .02 behind on every fold, though the folds themselves spread over .4


def test_without_a_rival_nothing_is_decided() -> None:
    assert decide(scores(0.1, 0.1, 0.1), []) is None


def test_a_trial_smaller_than_every_finished_one_is_never_pruned() -> None:
    finished = [trial(number, MEDIUM + number, scores(*[0.9] * 5)) for number in range(1, 6)]
    assert decide(scores(0.01, 0.01, 0.01, 0.01), finished, parameters=MEDIUM) is None


def test_the_rival_is_the_best_with_at_most_as_many_parameters() -> None:
    trials = [
        trial(0, SMALL, scores(*[0.60] * 5)),
        trial(1, MEDIUM, scores(*[0.70] * 5)),  # as many parameters as the trial itself
        trial(2, SMALL, scores(*[0.65] * 5)),
        trial(3, LARGE, scores(*[0.90] * 5)),
    ]
    decision = decide(scores(0.5, 0.5, 0.5), trials, parameters=MEDIUM)
    assert decision is not None
    assert decision.rival == 1
    one_less = decide(scores(0.5, 0.5, 0.5), trials, parameters=MEDIUM - 1)
    assert one_less is not None
    assert one_less.rival == 2


def test_only_complete_trials_are_rivals() -> None:
    unfinished = [
        trial(number, SMALL, scores(*[0.9] * 5), state=state)
        for number, state in enumerate(("running", "pruned", "failed", "interrupted", "waiting"))
    ]
    assert decide(scores(0.1, 0.1, 0.1), unfinished) is None


def test_only_folds_of_both_are_compared() -> None:
    decision = decide({1: 0.5, 2: 0.5, 4: 0.5}, [RIVAL])
    assert decision is not None
    assert decision.fold == 4
    assert decide({3: 0.5, 4: 0.5, 5: 0.5}, [trial(1, SMALL, scores(0.9, 0.9, 0.9, 0.9))]) is None


def test_a_fold_without_a_score_is_left_out() -> None:
    undefined = float("nan")
    assert decide(scores(undefined, 0.1, 0.1), [RIVAL]) is None
    decision = decide(scores(undefined, 0.5, 0.6, 0.7), [RIVAL])
    assert decision is not None
    assert (decision.needed, decision.predicted) == (pytest.approx(0.75), pytest.approx(0.6))
