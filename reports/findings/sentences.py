"""Summary sentences of a report: the verdict, and the effect of each axis."""

import math
from collections.abc import Mapping, Sequence

from reports.evidence import Evidence
from reports.findings.axes import Axis, contrast_words
from reports.findings.comparisons import Intervals
from reports.findings.effects import Effect
from reports.findings.luck import expected_words
from reports.numbers import cost_phrase, count_words, interval_words, score_words, whole_percent_words
from reports.words import SYNTHETIC_NOTE, data_words, target_words
from scores.costs import COSTS
from scores.front import front_trials
from scores.objectives import OBJECTIVES
from scores.optimism import Expected
from storage.records import TrialRecord


def effect_words(effect: Effect) -> str:
    """One comparison in words, with its interval, its verdict, n and method."""
    what = contrast_words(effect.contrast)
    if effect.method == "none" or not math.isfinite(effect.difference):
        return f"{what}: cannot be estimated from {count_words(effect.n, 'trial')}"
    value = interval_words(effect.difference, effect.low, effect.high, signed=True)
    return f"{what}: {value}, {_reality(effect)} over {_basis(effect)}"


def _reality(effect: Effect) -> str:
    if effect.is_real:
        return "distinguishable from zero"
    if effect.low > 0 or effect.high < 0:
        return "not distinguishable from zero once all comparisons are allowed for"
    return "not distinguishable from zero"


def _basis(effect: Effect) -> str:
    if effect.method == "paired":
        return count_words(effect.n, "pair")
    return f"{count_words(effect.n, 'trial')}, model-adjusted"


def axis_answer(axis: Axis, effects: Sequence[Effect]) -> str:
    """Summary of an axis: the largest effect distinguishable from zero, if any."""
    known = [effect for effect in effects if math.isfinite(effect.difference)]
    if not known:
        return f"{axis.words}: too few trials to tell"
    real = [effect for effect in known if effect.is_real]
    if axis.name == "depth" or len(known) == 1:
        return "; ".join(effect_words(effect) for effect in known)
    by_size = sorted(real or known, key=lambda effect: -abs(effect.difference))
    if real:
        return "; ".join(effect_words(effect) for effect in by_size[:2])
    return f"nothing is distinguishable from zero; the largest is {effect_words(by_size[0])}"


def verdict(
    evidence: Evidence,
    intervals: Intervals,
    expected: Mapping[int, Expected],
    effects: Sequence[tuple[Axis, Sequence[Effect]]],
) -> list[str]:
    """Verdict in three sentences: the best model, the smallest equivalent one, and the effect of depth."""
    front = front_trials(evidence.trials)
    note = [f"{SYNTHETIC_NOTE}."] if evidence.study.synthetic else []
    if not front:
        return [*note, "No trial is complete yet, so there is no front and nothing to conclude."]
    return [*note, _best(evidence, intervals, expected), _smaller(evidence, intervals), _temporal(effects)]


def _score_of(intervals: Intervals, evidence: Evidence, number: int, value: float | None) -> str:
    scored = intervals.tiers.get(evidence.study.target, {}).get(number)
    if scored is None:
        return score_words(value)
    return interval_words(scored.score.value, scored.score.low, scored.score.high)


def _best(evidence: Evidence, intervals: Intervals, expected: Mapping[int, Expected]) -> str:
    best = front_trials(evidence.trials)[-1]
    score = _score_of(intervals, evidence, best.number, best.score)
    n_complete = sum(trial.state == "complete" for trial in evidence.trials)
    words = expected_words(expected.get(best.number))
    words_of = OBJECTIVES[evidence.study.objective].words
    scored = intervals.tiers.get(evidence.study.target, {}).get(best.number)
    group = f" (of the group {scored.worst_group})" if scored is not None and scored.worst_group else ""
    return (
        f"Of {count_words(n_complete, 'complete trial')} on {target_words(evidence.study)} of "
        f"{data_words(evidence.study)}, trial {best.number} scores best: {best.description}, "
        f"{cost_phrase(best.cost_name, best.cost)}, cross-validated {words_of} {score}{group}"
        f"{n_trainings_words(best)}{words and f'; {words}'}."
    )


def n_trainings_words(trial: TrialRecord) -> str:
    """Words on the trainings that a score is the mean of; empty for a single one."""
    n = len(trial.scores)
    return f", mean over {count_words(n, 'training')} with other seeds" if n > 1 else ""


def _smaller(evidence: Evidence, intervals: Intervals) -> str:
    """Smallest member of the front not distinguishable from the best."""
    cost, small = evidence.study.cost, COSTS[evidence.study.cost].small
    front = front_trials(evidence.trials)
    best = front[-1]
    scored = intervals.tiers.get(evidence.study.target, {})
    if best.number not in scored or len(front) < 2:
        return (
            f"Nothing can be said of {small}er models: the front has one member."
            if len(front) < 2
            else f"Whether {small}er models are as good is not known without out-of-fold predictions."
        )
    for trial in front[:-1]:
        if trial.number in scored:
            difference = intervals.against(evidence.study.target, best.number, trial.number)
            if difference.low <= 0:
                words = interval_words(difference.value, difference.low, difference.high, signed=True)
                share = trial.cost / best.cost
                return (
                    f"The {small}est model not distinguishable from the best has "
                    f"{whole_percent_words(share)} of its {COSTS[cost].words}: "
                    f"trial {trial.number}, {trial.description}, "
                    f"{cost_phrase(cost, trial.cost)}; "
                    f"the difference is {words}, paired over patients, not adjusted for multiple comparisons."
                )
    return (
        f"Every {small}er model of the front scores worse by more than the variation between draws "
        "of patients."
    )


def _temporal(effects: Sequence[tuple[Axis, Sequence[Effect]]]) -> str:
    for axis, found in effects:
        if axis.name == "depth":
            known = [effect_words(effect) for effect in found if math.isfinite(effect.difference)]
            if known:
                return f"How much temporal modelling is enough: {'; '.join(known)}."
    return "How much temporal modelling is enough is not known: too few trials differ in recurrent depth."
