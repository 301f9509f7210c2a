"""The figures of the Pareto fronts, on the target and on every other tier reached.

Colour encodes the recurrent cell, the symbol the direction of the recurrent layers.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reports.figures.charts import (
    ANCHOR_COLOUR,
    ENSEMBLE_COLOUR,
    GREY,
    KIND_COLOURS,
    KIND_WORDS,
    OKABE_ITO,
    OTHER_COLOUR,
    Chart,
    Series,
    Symbol,
    nth_colour,
)
from reports.numbers import cost_phrase, count_words, integer_words, interval_words, score_words
from reports.published import Anchor
from reports.schema import CloseTrial, Data, Ensemble, Interval, Report, Tier, Trial
from reports.words import counts_words, reported_data_words, stack_words, target_phrase, width_words
from scores.costs import COSTS, DEFAULT_COST
from scores.front import Point, pareto_front
from scores.objectives import DEFAULT_OBJECTIVE, OBJECTIVES

LIMIT_COLOUR = "#666666"
FRONT_COLOUR = "#707070"
DIRECTION_SYMBOLS: Mapping[str, Symbol] = {
    "none": "circle",
    "forward": "triangle",
    "bidirectional": "diamond",
    "mixed": "square",
}
DIRECTION_WORDS: Mapping[str, str] = {"mixed": "forward and bidirectional"}
LEAD_SYMBOLS: Sequence[Symbol] = ("circle", "triangle", "diamond", "square", "cross")
LEAD_NOTE = (
    "A trial is raced, and proposed, against trials with as many leads or fewer: where fewer do as well for "
    "the same cost, those with more were pruned or not tried."
)
N_ERROR_BARS = 60
"""Number of complete trials above which only the front and the presets keep error bars."""
LONGEST_STUDY = 36
"""Letters of the name of a study that a title has room for."""


def score_label(objective: str) -> str:
    """Label of an axis of scores of trials."""
    return f"cross-validated {OBJECTIVES[objective].words}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fronts:
    """The part of a report that fronts and learning curves are drawn from, where there is no more of it."""

    target: str
    objective: str
    cost: str
    data: Data
    tiers: Sequence[Tier]
    trials: Sequence[Trial]
    """Trials to be drawn."""
    close: Sequence[CloseTrial]
    """Trials with a learning curve to be drawn."""
    anchors: Sequence[Anchor]


class Bar(NamedTuple):
    """Both ends of an error bar."""

    low: float
    high: float


class Scored(NamedTuple):
    """A trial with the place at which it is drawn."""

    trial: Trial
    score: float
    cost: int


def front_chart(
    report: Report | Fronts,
    *,
    subtitle: str = "",
    most: int | None = None,
    ensembles: Sequence[Ensemble] = (),
) -> Chart:
    """Score on the target against what the study minimises.

    Args:
        report: trials, intervals and published results.
        subtitle: subtitle of the figure on its own.
        most: cost that the study allows; None for any.
        ensembles: averages of trials, drawn where they have two members or more.
    """
    cost, objective = report.cost, OBJECTIVES[report.objective]
    complete = _scored(report, "complete", lambda trial: trial.score)
    pruned = _scored(report, "pruned", lambda trial: trial.mean_of_finished_folds)
    front = sorted((each for each in complete if each.trial.on_front), key=lambda each: each.cost)
    best = f", best {score_words(front[-1].score)}" if front else ""
    return Chart(
        key="front",
        title=f"Pareto front on {report.target}",
        subtitle=subtitle,
        alt=(
            f"{objective.heading} against {COSTS[cost].words} of "
            f"{count_words(len(complete), 'complete trial')} and {len(pruned)} pruned; {len(front)} on the "
            f"Pareto front{best}. The table below has its members."
        ),
        x_label=f"{COSTS[cost].axis} (logarithmic)",
        y_label=f"{score_label(report.objective)}, {report.target}",
        series=[
            *_legend([*complete, *pruned]),
            *_pruned_series(pruned, cost),
            *_front_series(
                report, complete, front, [each for each in ensembles if each.on_front is not None]
            ),
            *_preset_series([each for each in complete if each.trial.preset], cost),
            *_anchor_series(report),
            *_limit_series(most, cost, [each.score for each in (*complete, *pruned)]),
        ],
        log_x=True,
        cost_x=cost,
        synthetic=report.data.synthetic,
        message="" if complete else "No trial is complete yet, so there is no front.",
    )


def _scored(report: Report | Fronts, state: str, score_of: Callable[[Trial], float | None]) -> list[Scored]:
    """Trials in a state that have a score, with their places."""
    return [
        Scored(trial, score, trial.cost(report.cost))
        for trial in report.trials
        if trial.state == state and (score := score_of(trial)) is not None
    ]


def _front_series(
    report: Report | Fronts,
    complete: Sequence[Scored],
    front: Sequence[Scored],
    averages: Sequence[Ensemble],
) -> list[Series]:
    """The complete trials, the line of the front above those that are not on it, and the ensembles."""
    cost = report.cost
    intervals = {each.trial: each.interval for each in report.close if each.interval is not None}
    bars = _bars(complete, intervals)
    rest = [each for each in complete if not each.trial.on_front]
    series = [
        *_joint_front(averages, front),
        *_kind_series(rest, bars, intervals, cost, large=False),
    ]
    if front:
        series.append(_staircase(front, complete, [_names(each.trial) for each in front]))
        series += _kind_series(front, bars, intervals, cost, large=True)
    if averages:
        series.append(_ensemble_series(averages, cost))
    return series


def front_subtitle(report: Report) -> str:
    """Study, data, counts and the kind of error bars, for the front as a figure on its own."""
    study = report.study
    short = study if len(study) <= LONGEST_STUDY else f"{study[: LONGEST_STUDY - 1]}…"
    synthetic = ", SYNTHETIC" if report.data.synthetic else ""
    lines = [
        f"Study {short}, target {target_phrase(report.target, report.n_classes)}",
        f"{reported_data_words(report.data)}{synthetic}",
        counts_words(report.counts),
    ]
    if report.counts.get("complete"):
        lines.append(f"bars: {bars_words(report)}")
    return "\n".join(lines)


def bars_words(report: Report) -> str:
    """The kind of error bars of the front."""
    has_intervals = any(each.interval for each in report.close)
    return f"{'95 % bootstrap interval, else ' if has_intervals else ''}± standard error over folds (SD/√n)"


def _bars(complete: Sequence[Scored], intervals: Mapping[int, Interval]) -> dict[int, Bar]:
    """Number of a trial to its interval, else ± standard error over folds where there is room for it."""
    few = len(complete) <= N_ERROR_BARS
    bars = {}
    for trial, score, _ in complete:
        span, error = intervals.get(trial.trial), trial.standard_error
        if span is not None:
            bars[trial.trial] = Bar(span.low, span.high)
        elif error is not None and (few or trial.on_front):
            bars[trial.trial] = Bar(score - error, score + error)
    return bars


def _names(trial: Trial) -> list[str]:
    """Names of a member of the front, from the longest to the shortest."""
    stack, widths = stack_words(trial.architecture), width_words(trial.architecture)
    shorter = [f"#{trial.trial} {stack}", f"#{trial.trial}"]
    return [f"{shorter[0]}\n{widths}", *shorter] if widths else shorter


def _hover(trial: Trial, score: str, cost: str) -> str:
    preset = f"<br>preset {trial.preset}" if trial.preset else ""
    costs = cost_phrase(cost, trial.cost(cost))
    return f"trial {trial.trial}: {score}<br>{costs}<br>{trial.description}{preset}"


def _legend(shown: Sequence[Scored]) -> list[Series]:
    """An entry without points for every recurrent cell and direction that occurs."""
    kinds = {each.trial.recurrent_kind for each in shown}
    directions = {each.trial.direction for each in shown} - {"none"}
    entries = [
        Series(
            name=KIND_WORDS.get(kind, kind),
            group=kind,
            x=[None],
            y=[None],
            colour=KIND_COLOURS.get(kind, OTHER_COLOUR),
        )
        for kind in sorted(kinds, key=lambda kind: (kind != "none", kind == "mixed", kind))
    ]
    return entries + [
        Series(name=DIRECTION_WORDS.get(name, name), x=[None], y=[None], colour=GREY, symbols=symbol)
        for name, symbol in DIRECTION_SYMBOLS.items()
        if name in directions
    ]


def _kind_series(
    shown: Sequence[Scored],
    bars: Mapping[int, Bar],
    intervals: Mapping[int, Interval],
    cost: str,
    *,
    large: bool,
) -> list[Series]:
    """A series for every recurrent cell; its entry in the legend is that of `_legend`."""
    by_kind: dict[str, list[Scored]] = defaultdict(list)
    for each in shown:
        by_kind[each.trial.recurrent_kind].append(each)
    made = []
    for kind, members in sorted(by_kind.items()):
        ends = [bars.get(each.trial.trial) for each in members]
        hovers = []
        for trial, score, _ in members:
            span = intervals.get(trial.trial)
            words = (
                score_words(score, trial.standard_error)
                if span is None
                else interval_words(span.value, span.low, span.high)
            )
            hovers.append(_hover(trial, words, cost))
        made.append(
            Series(
                name="",
                group=kind,
                x=[each.cost for each in members],
                y=[each.score for each in members],
                low=[None if end is None else end.low for end in ends],
                high=[None if end is None else end.high for end in ends],
                colour=KIND_COLOURS.get(kind, OTHER_COLOUR),
                symbols=[DIRECTION_SYMBOLS[each.trial.direction] for each in members],
                large=large,
                hover=hovers,
            )
        )
    return made


def _pruned_series(pruned: Sequence[Scored], cost: str) -> list[Series]:
    if not pruned:
        return []
    return [
        Series(
            name="pruned (mean of its finished folds)",
            x=[each.cost for each in pruned],
            y=[each.score for each in pruned],
            colour=GREY,
            symbols=[DIRECTION_SYMBOLS[each.trial.direction] for each in pruned],
            hollow=True,
            faint=True,
            hover=[_hover(trial, f"pruned; {trial.reason}", cost) for trial, _, _ in pruned],
        )
    ]


def _preset_series(presets: Sequence[Scored], cost: str) -> list[Series]:
    if not presets:
        return []
    return [
        Series(
            name="preset (published architecture, trained here)",
            x=[each.cost for each in presets],
            y=[each.score for each in presets],
            colour=GREY,
            symbols="ring",
            hover=[_hover(trial, score_words(score), cost) for trial, score, _ in presets],
            names=[[] if each.trial.on_front else [str(each.trial.preset)] for each in presets],
        )
    ]


def _anchor_series(report: Report | Fronts) -> list[Series]:
    """Published models; only their parameters and their usual score are known."""
    anchors = [
        each for each in report.anchors if each.macro_auprc is not None and each.parameters is not None
    ]
    if not anchors or report.cost != DEFAULT_COST or report.objective != DEFAULT_OBJECTIVE:
        return []
    return [
        Series(
            name="published elsewhere (external, fold 10)",
            x=[anchor.parameters for anchor in anchors],
            y=[anchor.macro_auprc for anchor in anchors],
            colour=ANCHOR_COLOUR,
            symbols="star",
            large=True,
            hover=[
                f"{anchor.name}: {score_words(anchor.macro_auprc)}, external<br>"
                f"{integer_words(anchor.parameters)} parameters<br>{anchor.source}"
                for anchor in anchors
            ],
        )
    ]


def _limit_series(most: int | None, cost: str, scores: Sequence[float]) -> list[Series]:
    """The vertical line of the largest cost that the study allows, as high as the scores."""
    if most is None or not scores:
        return []
    return [
        Series(
            name=f"at most {cost_phrase(cost, most)}",
            x=[most, most],
            y=[min(scores), max(scores)],
            mode="line",
            colour=LIMIT_COLOUR,
            dashed=True,
        )
    ]


def _joint_front(ensembles: Sequence[Ensemble], front: Sequence[Scored]) -> list[Series]:
    """The line of the front of trials and ensembles, if any of these is on it.

    It lies below that of the trials, so that it is seen where they part.
    """
    if not any(each.on_front for each in ensembles):
        return []
    places = [(each.cost, each.score) for each in front]
    places += [(each.cost, each.score) for each in ensembles if each.score is not None]
    joint = pareto_front(
        Point(trial=number, score=score, cost=cost) for number, (cost, score) in enumerate(places)
    )
    right = max(cost for cost, _ in places)
    return [
        Series(
            name="front of trials and ensembles",
            x=[*(point.cost for point in joint), right],
            y=[*(point.score for point in joint), joint[-1].score],
            mode="steps",
            colour=ENSEMBLE_COLOUR,
            dashed=True,
        )
    ]


def _ensemble_series(ensembles: Sequence[Ensemble], cost: str) -> Series:
    """Averages of trials with their intervals."""
    return Series(
        name="ensemble of trials (average)",
        x=[each.cost for each in ensembles],
        y=[each.score for each in ensembles],
        low=[each.interval[0] for each in ensembles],
        high=[each.interval[1] for each in ensembles],
        colour=ENSEMBLE_COLOUR,
        symbols="cross",
        large=True,
        hover=[
            f"ensemble {each.name}: {interval_words(each.score, *each.interval)}<br>"
            f"{cost_phrase(cost, each.cost)}<br>{ensemble_members_words(each)}"
            for each in ensembles
        ],
        names=[[f"ensemble {each.name}", each.name] for each in ensembles],
    )


def ensemble_members_words(ensemble: Ensemble) -> str:
    """`.70 × trial 3 + .30 × trial 0`."""
    return " + ".join(f"{score_words(member.weight)} × trial {member.trial}" for member in ensemble.members)


def _staircase(front: Sequence[Scored], shown: Sequence[Scored], names: Sequence[Sequence[str]]) -> Series:
    """The line of the front, drawn on to the dearest trial shown."""
    right = max(each.cost for each in shown)
    return Series(
        name="Pareto front",
        x=[*(each.cost for each in front), right],
        y=[*(each.score for each in front), front[-1].score],
        mode="steps",
        colour=FRONT_COLOUR,
        names=[*names, []],
    )


def tier_chart(report: Report | Fronts, tier: Tier) -> Chart | None:
    """The front on a tier other than the target."""
    by_number = {trial.trial: trial for trial in report.trials}
    cost = report.cost
    shown = [
        Scored(trial, score, trial.cost(cost))
        for trial in report.trials
        if (score := trial.tier_scores.get(tier.tier)) is not None
    ]
    if not shown:
        return None
    drawn = [
        (member, Scored(by_number[member.trial], member.score, by_number[member.trial].cost(cost)))
        for member in tier.front
        if member.score is not None and member.trial in by_number
    ]
    front = [place for _, place in drawn]
    spans = [member.interval for member, _ in drawn]
    rest = Series(
        name="complete trials",
        x=[each.cost for each in shown],
        y=[each.score for each in shown],
        colour=OKABE_ITO[4],
        faint=True,
        hover=[_hover(trial, score_words(score), cost) for trial, score, _ in shown],
    )
    members = Series(
        name="on the front",
        x=[each.cost for each in front],
        y=[each.score for each in front],
        low=[None if span is None else span.low for span in spans],
        high=[None if span is None else span.high for span in spans],
        colour=OKABE_ITO[0],
        hover=[
            f"trial {each.trial.trial}: {score_words(each.score)}<br>"
            f"{cost_phrase(cost, each.cost)}<br>{each.trial.description}"
            for each in front
        ],
    )
    steps = [_staircase(front, shown, [[f"#{each.trial.trial}"] for each in front])] if front else []
    chance = "" if tier.chance is None else f" Guessing scores {score_words(tier.chance)}."
    return Chart(
        key=f"front-{tier.tier}",
        title=f"Pareto front on {tier.tier}",
        alt=(
            f"{OBJECTIVES[report.objective].heading} on {tier.tier} against {COSTS[cost].words}; "
            f"{len(tier.front)} trials on the front."
        ),
        x_label=f"{COSTS[cost].axis} (logarithmic)",
        y_label=f"{score_label(report.objective)}, {tier.tier}",
        series=[rest, *steps, members],
        log_x=True,
        cost_x=cost,
        synthetic=report.data.synthetic,
        note=f"{count_words(len(shown), 'trial')}; not comparable with other tiers.{chance}",
    )


def lead_fronts_chart(report: Report) -> Chart | None:
    """The front of each number of leads."""
    fronts = [
        (each.n_leads, [member for member in each.front if member.score is not None])
        for each in report.lead_fronts
    ]
    if not fronts:
        return None
    by_number = {trial.trial: trial for trial in report.trials}
    cost = report.cost
    right = max(by_number[member.trial].cost(cost) for _, front in fronts for member in front)
    series = []
    for place, (n_leads, front) in enumerate(fronts):
        costs = [by_number[member.trial].cost(cost) for member in front]
        scores = [member.score for member in front]
        spans = [member.interval for member in front]
        colour = nth_colour(place)
        steps = Series(
            name="",
            group=str(n_leads),
            x=[*costs, right],
            y=[*scores, scores[-1]],
            mode="steps",
            colour=colour,
        )
        points = Series(
            name=count_words(n_leads, "lead"),
            group=str(n_leads),
            x=costs,
            y=scores,
            low=[None if span is None else span.low for span in spans],
            high=[None if span is None else span.high for span in spans],
            colour=colour,
            symbols=LEAD_SYMBOLS[place % len(LEAD_SYMBOLS)],
            hover=[_hover(by_number[member.trial], score_words(member.score), cost) for member in front],
            names=[[f"#{member.trial}"] for member in front],
        )
        series += [steps, points]
    return Chart(
        key="front-of-leads",
        title="Pareto front for each number of leads",
        alt=(
            f"{OBJECTIVES[report.objective].heading} on {report.target} against {COSTS[cost].words}, "
            "a front for each of "
            f"{count_words(len(fronts), 'number')} of leads. The table below has its members."
        ),
        x_label=f"{COSTS[cost].axis} (logarithmic)",
        y_label=f"{score_label(report.objective)}, {report.target}",
        series=series,
        log_x=True,
        cost_x=cost,
        synthetic=report.data.synthetic,
        note=LEAD_NOTE,
    )
