"""Which figures a report has; all of their content comes from the document (`reports.document`)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from reports.answers import interval_words
from reports.charts import Chart, Series
from reports.marks import KIND_COLOURS, KIND_WORDS, OTHER_COLOUR
from reports.words import count_words, score_words

Document = Mapping[str, Any]
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#999999", "#000000")
"""Okabe & Ito (2008)."""
REAL_COLOUR, OTHER_EFFECT_COLOUR = "#D55E00", "#0072B2"
GREY = "#888888"
N_CURVES = 8
SCORE_LABEL = "cross-validated macro-AUPRC"
PARAMETER_LABEL = "trainable parameters (logarithmic)"


def charts(document: Document) -> list[Chart]:
    """All figures that have something to show, the front of the target first."""
    made = [
        front_chart(document),
        *(tier_chart(document, tier) for tier in document["tiers"][1:]),
        effects_chart(document),
        classes_chart(document),
        curves_chart(document),
        *hypervolume_charts(document),
    ]
    return [chart for chart in made if chart is not None]


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
        colour="#A8323E",
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
        colour=COLOURS[4],
        faint=True,
        hover=[_hover(trial, score_words(trial["tier_scores"][name])) for trial in shown],
    )
    members = Series(
        name="on the front",
        x=[member["parameters"] for member in front],
        y=[member["macro_auprc"] for member in front],
        low=[None if span is None else span["low"] for span in spans],
        high=[None if span is None else span["high"] for span in spans],
        colour=COLOURS[0],
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


def effects_chart(document: Document) -> Chart | None:
    """Every effect with its interval, by axis."""
    told = [
        (axis, effect)
        for axis in document["axis_effects"]
        for effect in axis["effects"]
        if effect["difference"] is not None
    ]
    if not told:
        return None
    series = []
    for name, is_real in (("distinguishable from zero", True), ("not distinguishable from zero", False)):
        rows = [
            (place, effect) for place, (_, effect) in enumerate(told) if effect["distinguishable"] is is_real
        ]
        if rows:
            series.append(
                Series(
                    name=name,
                    x=[effect["difference"] for _, effect in rows],
                    y=[place for place, _ in rows],
                    low=[effect["low"] for _, effect in rows],
                    high=[effect["high"] for _, effect in rows],
                    colour=REAL_COLOUR if is_real else OTHER_EFFECT_COLOUR,
                    symbol="diamond" if is_real else "circle",
                    hover=[effect["words"] for _, effect in rows],
                )
            )
    return Chart(
        key="axis-effects",
        title="What each axis is worth",
        alt=f"{count_words(len(told), 'effect')} with 95 % intervals; the table beside has all of them.",
        x_label="difference in macro-AUPRC",
        y_label="",
        series=series,
        intervals="x",
        categories=[f"{axis['words']}: {effect['base']} → {effect['level']}" for axis, effect in told],
        zero_line=True,
        synthetic=document["data"]["synthetic"],
    )


def classes_chart(document: Document) -> Chart | None:
    """Average precision of every class against its prevalence."""
    rows = [row for row in document["classes"] if row["n_positive"] and row["prevalence"]]
    if not rows:
        return None
    rows.sort(key=lambda row: row["prevalence"])
    members = [each["trial"] for each in rows[0]["auprc"]]
    series = [
        Series(
            name="guessing (the prevalence itself)",
            x=[row["prevalence"] for row in rows],
            y=[row["prevalence"] for row in rows],
            mode="line",
            colour=GREY,
            dashed=True,
        )
    ]
    others, best = members[:-1], members[-1]
    if others:
        series.append(_class_series("others on the front", rows, others, is_best=False))
    series.append(_class_series(f"trial {best} (best)", rows, [best], is_best=True))
    return Chart(
        key="classes",
        title="Average precision of each class against its prevalence",
        alt=f"{count_words(len(rows), 'class', 'classes')} by prevalence for the members of the front.",
        x_label="prevalence (logarithmic)",
        y_label="average precision",
        series=series,
        log_x=True,
        percent_x=True,
        synthetic=document["data"]["synthetic"],
    )


def _class_series(
    name: str, rows: Sequence[Mapping[str, Any]], trials: Sequence[int], *, is_best: bool
) -> Series:
    """Points of some members of the front, those of the best with intervals."""
    cells = [(row, cell) for row in rows for cell in row["auprc"] if cell["trial"] in trials]
    spans = [cell["interval"] if is_best else None for _, cell in cells]
    return Series(
        name=name,
        x=[row["prevalence"] for row, _ in cells],
        y=[cell["value"] for _, cell in cells],
        low=[None if span is None else span["low"] for span in spans],
        high=[None if span is None else span["high"] for span in spans],
        colour=COLOURS[0] if is_best else GREY,
        faint=not is_best,
        hover=[
            f"{row['class']}: {score_words(cell['value'])}<br>{row['n_positive']:,.0f} positives"
            f"<br>trial {cell['trial']}"
            for row, cell in cells
        ],
    )


def curves_chart(document: Document) -> Chart | None:
    """Learning curves of the front: mean over folds, with the range of the folds."""
    close = {each["trial"]: each for each in document["close"]}
    members = [number for number in document["front"] if number in close and close[number]["curves"]]
    series = []
    for place, number in enumerate(members[-N_CURVES:]):
        by_epoch: dict[int, list[float]] = defaultdict(list)
        for fold in close[number]["curves"]:
            for epoch, score in zip(fold["epochs"], fold["macro_auprc"], strict=True):
                if score is not None:
                    by_epoch[epoch].append(score)
        epochs = sorted(by_epoch)
        series.append(
            Series(
                name=f"trial {number}",
                x=list(epochs),
                y=[sum(by_epoch[epoch]) / len(by_epoch[epoch]) for epoch in epochs],
                low=[min(by_epoch[epoch]) for epoch in epochs],
                high=[max(by_epoch[epoch]) for epoch in epochs],
                mode="line",
                colour=COLOURS[place % len(COLOURS)],
                hover=[
                    f"trial {number}, epoch {epoch}: {score_words(sum(s) / len(s))}, folds "
                    f"{score_words(min(s))} to {score_words(max(s))}"
                    for epoch, s in sorted(by_epoch.items())
                ],
            )
        )
    if not series:
        return None
    return Chart(
        key="learning-curves",
        title="Learning curves of the front",
        alt=f"Macro-AUPRC after every epoch of {count_words(len(series), 'trial')} of the front.",
        x_label="epoch",
        y_label="macro-AUPRC of a fold",
        series=series,
        synthetic=document["data"]["synthetic"],
        note="Mean over folds; bars from the lowest to the highest fold.",
    )


def hypervolume_charts(document: Document) -> list[Chart]:
    """Hypervolume against fold-epochs and against hours of training."""
    points = document["hypervolume"]["points"]
    if len(points) < 2 or not points[-1]["hypervolume"]:
        return []
    reference = document["hypervolume"]["reference"]
    made = []
    for key, label, field_name, unit in (
        ("hypervolume-epochs", "fold-epochs trained", "n_fold_epochs", 1.0),
        ("hypervolume-hours", "hours of training, all workers together", "seconds", 3600.0),
    ):
        steps = Series(
            name="hypervolume",
            x=[point[field_name] / unit for point in points],
            y=[point["hypervolume"] for point in points],
            mode="steps",
            colour=COLOURS[0],
            hover=[
                "" if point["trial"] is None else f"trial {point['trial']} joins: {point['hypervolume']:.4f}"
                for point in points
            ],
        )
        made.append(
            Chart(
                key=key,
                title=f"Hypervolume against {label.split(',')[0]}",
                alt=f"The hypervolume rises to {points[-1]['hypervolume']:.4f}.",
                x_label=label,
                y_label="hypervolume (AUPRC × decades)",
                series=[steps],
                synthetic=document["data"]["synthetic"],
                note=(
                    f"Area between the front and AUPRC {reference['macro_auprc']:g} at "
                    f"{reference['parameters']:,.0f} parameters, in AUPRC × log10(parameters)."
                ),
            )
        )
    return made
