"""Selection of one member of the front by a stated rule.

Two rules: the smallest model (the fastest, where a study minimises latency) that is not distinguishably worse
than the best by more than a margin, and the knee of the front, beyond which more of the cost buys little.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from reports.errors import ReportError
from reports.evidence import Evidence
from reports.findings.comparisons import Intervals, intervals
from reports.findings.luck import expectations, expected_words
from reports.numbers import cost_phrase, count_words, interval_words, score_words
from reports.schema import Interval, Pick
from reports.words import sentence
from scores.costs import COSTS
from scores.front import front_trials
from scores.optimism import Expected
from storage.records import TrialRecord

MARGIN = 0.01
"""Default margin in score for a smaller model."""
LEAST_FOR_A_KNEE = 3

Rule = Callable[[Evidence, Intervals], Pick]


def within(margin: float) -> Rule:
    """Rule: the smallest that is not distinguishably worse than the best by more than the margin.

    Args:
        margin: difference in score, from 0 to below 1.
    """
    return partial(_within, margin)


def _within(margin: float, evidence: Evidence, scored: Intervals) -> Pick:
    target, small = evidence.study.target, COSTS[evidence.study.cost].small
    front = front_trials(evidence.trials)
    best, found = front[-1], scored.tiers.get(target, {})
    if best.number not in found:
        problem = evidence.close[best.number].problem if best.number in evidence.close else ""
        raise ReportError(
            f"trial {best.number}, the best of the front, cannot be compared: {problem or 'no predictions'}; "
            "--knee needs none"
        )
    rule = f"within {score_words(margin)} of the best"
    basis = (
        count_words(scored.n_patients, "patient")
        if scored.by_patient
        else count_words(scored.n_records, "record")
    )
    n_untold = 0
    for member in front[:-1]:
        if member.number not in found:
            n_untold += 1
            continue
        difference = scored.against(target, best.number, member.number)
        if difference.low <= margin:
            words = interval_words(difference.value, difference.low, difference.high, signed=True)
            return Pick(
                trial=member.number,
                rule=rule,
                reason=(
                    f"Trial {member.number} ({_model(member)}) is the {small}est member of the front that is "
                    f"not distinguishably worse than the best by more than {score_words(margin)}: "
                    f"trial {best.number} ({_model(best)}) scores {words} more, paired over {basis}"
                    f"{_untold(n_untold, small)}."
                ),
            )
    others = len(front) - 1 - n_untold
    worse = (
        f"the {small}er member of the front is"
        if others == 1
        else f"all {count_words(others, f'{small}er member')} of the front are"
    )
    why = (
        f"{worse} distinguishably worse by more than {score_words(margin)}, paired over {basis}"
        if others
        else "it is the only member of the front"
        if len(front) == 1
        else f"no {small}er member of the front can be compared with it"
    )
    return Pick(
        trial=best.number,
        rule=rule,
        reason=f"Trial {best.number} ({_model(best)}) is the best, and {why}{_untold(n_untold, small)}.",
    )


def knee(evidence: Evidence, scored: Intervals) -> Pick:
    """Rule: the member farthest above the line between both ends of the front.

    Score against the logarithm of the cost, each scaled to 0 … 1 between the ends (Satopää et al. 2011,
    "Finding a kneedle in a haystack").

    Raises:
        ReportError: the front has too few members, or bends the other way.
    """
    front = front_trials(evidence.trials)
    if len(front) < LEAST_FOR_A_KNEE:
        raise ReportError(
            f"the front has {count_words(len(front), 'member')}, and a knee takes at least "
            f"{LEAST_FOR_A_KNEE}; use --within"
        )
    first, last = front[0], front[-1]
    words = COSTS[evidence.study.cost].words
    width = math.log10(last.cost / first.cost)
    height = _score(last) - _score(first)

    def above(member: TrialRecord) -> float:
        along = math.log10(member.cost / first.cost) / width
        return (_score(member) - _score(first)) / height - along

    bend = max(front, key=above)
    if above(bend) <= 0:
        raise ReportError(
            f"the front has no knee: each tenfold of {words} buys more than the one before; use --within"
        )
    gained, rest = _score(bend) - _score(first), _score(last) - _score(bend)
    return Pick(
        trial=bend.number,
        rule="knee of the front",
        reason=(
            f"Trial {bend.number} ({_model(bend)}) is the knee of the front: from trial {first.number} "
            f"to it, {bend.cost / first.cost:.1f} times the {words} buy "
            f"{score_words(gained, signed=True)}; from it to trial {last.number}, "
            f"{last.cost / bend.cost:.1f} times buy {score_words(rest, signed=True)}. "
            "Intervals are not considered."
        ),
    )


def pick(evidence: Evidence, rule: Rule) -> Pick:
    """Pick a member of the front of a study.

    Raises:
        ReportError: the study has no front, or the rule cannot tell.
    """
    front = front_trials(evidence.trials)
    if not front:
        raise ReportError(
            f"study {evidence.study.name} has no complete trial yet, so there is nothing to pick from"
        )
    on_front = {trial.number for trial in front}
    # Only the front is compared; the bootstrap of all presets would take as long as a report.
    close = {number: each for number, each in evidence.close.items() if number in on_front}
    scored = intervals(replace(evidence, close=close), only_target=True)
    found = rule(evidence, scored)
    return _with_expected(found, expectations(evidence, scored, only=found.trial))


def picks(evidence: Evidence, scored: Intervals, expected: Mapping[int, Expected]) -> list[Pick]:
    """Picks of the rules for the report, without rules that do not apply."""
    found: list[Pick] = []
    for rule in (within(MARGIN), knee):
        try:
            found += (
                [_with_expected(rule(evidence, scored), expected)] if front_trials(evidence.trials) else []
            )
        except ReportError:
            continue  # the report says nothing of a rule that does not apply
    return found


def _with_expected(pick: Pick, expected: Mapping[int, Expected]) -> Pick:
    """A pick with the score to expect of it, where that is known."""
    found = expected.get(pick.trial)
    words = expected_words(found)
    if found is None or not words:
        return pick
    each = found.interval
    return replace(
        pick,
        reason=f"{pick.reason} {sentence(words)}.",
        expected=Interval(value=each.value, low=each.low, high=each.high, level=each.level),
    )


def _score(trial: TrialRecord) -> float:
    assert trial.score is not None  # members of a front have one
    return trial.score


def _model(trial: TrialRecord) -> str:
    size = cost_phrase(trial.cost_name, trial.cost)
    return f"{trial.description}, {size}, {score_words(trial.score)}"


def _untold(n: int, small: str) -> str:
    return f"; {count_words(n, f'{small}er member')} without predictions could not be compared" if n else ""
