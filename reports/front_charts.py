"""The figures of the Pareto fronts, on the target and on every other tier reached."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from reports.answers import interval_words
from reports.charts import (
    ANCHOR_COLOUR,
    GREY,
    KIND_COLOURS,
    KIND_WORDS,
    OKABE_ITO,
    OTHER_COLOUR,
    Chart,
    Series,
)
from reports.words import count_words, score_words

Document = Mapping[str, Any]
SCORE_LABEL = "cross-validated macro-AUPRC"
PARAMETER_LABEL = "trainable parameters (logarithmic)"


def front_chart(document: Document) -> Chart:
    """Macro-AUPRC against parameters on the target."""
    trials = document["trials"]
    intervals = {each["trial"]: each["interval"] for each in document["close"]}
    complete = [
        trial for trial in trials if trial["state"] == "complete" and _is_number(trial["macro_auprc"])
    ]
    pruned = [
        trial
        for trial in trials
        if trial["state"] == "pruned" and trial["mean_of_finished_folds"] is not None
    ]
    by_kind: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for trial in complete:
        by_kind[trial["recurrent_kind"]].append(trial)
    series = [_pruned_series(pruned)] if pruned else []
    series += [_kind_series(kind, by_kind[kind], intervals) for kind in sorted(by_kind)]
    front = sorted((t for t in complete if t["on_front"]), key=lambda trial: trial["parameters"])
    if front:
        series.append(_staircase([(t["parameters"], t["macro_auprc"]) for t in front], complete))
    presets = [trial for trial in complete if trial["preset"]]
    if presets:
        series.append(_ring_series(presets))
    anchors = [anchor for anchor in document["anchors"] if anchor["macro_auprc"] is not None]
    if anchors:
        series.append(_anchor_series(anchors))
    best = f", best {score_words(front[-1]['macro_auprc'])}" if front else ""
    return Chart(
        key="front",
        title=f"Pareto front on {document['target']}",
        alt=(
            f"Macro-AUPRC against parameters of {count_words(len(complete), 'complete trial')} and "
            f"{len(pruned)} pruned; {len(front)} on the Pareto front{best}. The table below has its members."
        ),
        x_label=PARAMETER_LABEL,
        y_label=f"{SCORE_LABEL}, {document['target']}",
        series=series,
        log_x=True,
        synthetic=document["data"]["synthetic"],
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _hover(trial: Mapping[str, Any], score: str) -> str:
    preset = f"<br>preset {trial['preset']}" if trial["preset"] else ""
    return (
        f"trial {trial['trial']}: {score}<br>{trial['parameters']:,} parameters<br>"
        f"{trial['description']}{preset}"
    )


def _kind_series(
    kind: str, trials: Sequence[Mapping[str, Any]], intervals: Mapping[int, Mapping[str, float] | None]
) -> Series:
    spans = [intervals.get(trial["trial"]) for trial in trials]
    hovers = [
        _hover(
            trial,
            interval_words(span["value"], span["low"], span["high"])
            if span
            else score_words(trial["macro_auprc"], trial["standard_error"]),
        )
        for trial, span in zip(trials, spans, strict=True)
    ]
    return Series(
        name=KIND_WORDS.get(kind, kind),
        x=[trial["parameters"] for trial in trials],
        y=[trial["macro_auprc"] for trial in trials],
        low=[None if span is None else span["low"] for span in spans],
        high=[None if span is None else span["high"] for span in spans],
        colour=KIND_COLOURS.get(kind, OTHER_COLOUR),
        hover=hovers,
    )


def _pruned_series(pruned: Sequence[Mapping[str, Any]]) -> Series:
    return Series(
        name="pruned (mean of its finished folds)",
        x=[trial["parameters"] for trial in pruned],
        y=[trial["mean_of_finished_folds"] for trial in pruned],
        colour=GREY,
        symbol="circle-open",
        faint=True,
        hover=[_hover(trial, f"pruned; {trial['reason']}") for trial in pruned],
    )


def _ring_series(presets: Sequence[Mapping[str, Any]]) -> Series:
    return Series(
        name="preset (published architecture, trained here)",
        x=[trial["parameters"] for trial in presets],
        y=[trial["macro_auprc"] for trial in presets],
        colour=GREY,
        symbol="square",
        faint=True,
        hover=[_hover(trial, score_words(trial["macro_auprc"])) for trial in presets],
    )


def _anchor_series(anchors: Sequence[Mapping[str, Any]]) -> Series:
    return Series(
        name="published elsewhere (external, fold 10)",
        x=[anchor["parameters"] for anchor in anchors],
        y=[anchor["macro_auprc"] for anchor in anchors],
        colour=ANCHOR_COLOUR,
        symbol="star",
        hover=[
            f"{anchor['name']}: {score_words(anchor['macro_auprc'])}, external<br>"
            f"{anchor['parameters']:,} parameters<br>{anchor['source']}"
            for anchor in anchors
        ],
    )


def _staircase(front: Sequence[tuple[float, float]], shown: Sequence[Mapping[str, Any]]) -> Series:
    right = max([trial["parameters"] for trial in shown], default=front[-1][0])
    points = [*front, (max(right, front[-1][0]), front[-1][1])]
    return Series(
        name="Pareto front",
        x=[x for x, _ in points],
        y=[y for _, y in points],
        mode="steps",
        colour=GREY,
    )


def tier_chart(document: Document, tier: Mapping[str, Any]) -> Chart | None:
    """The front on a tier other than the target."""
    name = tier["tier"]
    shown = [trial for trial in document["trials"] if _is_number(trial["tier_scores"].get(name))]
    if not shown:
        return None
    front = tier["front"]
    spans = [member["interval"] for member in front]
    rest = Series(
        name="complete trials",
        x=[trial["parameters"] for trial in shown],
        y=[trial["tier_scores"][name] for trial in shown],
        colour=OKABE_ITO[4],
        faint=True,
        hover=[_hover(trial, score_words(trial["tier_scores"][name])) for trial in shown],
    )
    members = Series(
        name="on the front",
        x=[member["parameters"] for member in front],
        y=[member["macro_auprc"] for member in front],
        low=[None if span is None else span["low"] for span in spans],
        high=[None if span is None else span["high"] for span in spans],
        colour=OKABE_ITO[0],
        hover=[
            f"trial {member['trial']}: {score_words(member['macro_auprc'])}<br>"
            f"{member['parameters']:,} parameters<br>{member['description']}"
            for member in front
        ],
    )
    steps = _staircase([(m["parameters"], m["macro_auprc"]) for m in front], shown)
    chance = "" if tier["chance"] is None else f" Guessing scores {score_words(tier['chance'])}."
    return Chart(
        key=f"front-{name}",
        title=f"Pareto front on {name}",
        alt=f"Macro-AUPRC on {name} against parameters; {len(front)} trials on the front.",
        x_label=PARAMETER_LABEL,
        y_label=f"{SCORE_LABEL}, {name}",
        series=[rest, steps, members],
        log_x=True,
        synthetic=document["data"]["synthetic"],
        note=f"{count_words(len(shown), 'trial')}; not comparable with other tiers.{chance}",
    )
