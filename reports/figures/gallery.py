"""The figures of a report, made from its content (`reports.schema`)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from reports.figures.charts import ENSEMBLE_COLOUR, GREY, OKABE_ITO, Chart, Series, line_style
from reports.figures.front_charts import (
    Fronts,
    ensemble_members_words,
    front_chart,
    front_subtitle,
    lead_fronts_chart,
    score_label,
    tier_chart,
)
from reports.figures.one_trial_charts import closer_charts
from reports.figures.training_charts import training_curve_charts
from reports.numbers import (
    cost_phrase,
    count_words,
    gain_words,
    hypervolume_words,
    integer_words,
    interval_words,
    score_words,
)
from reports.schema import ClassScores, Ensemble, Report, Trial
from scores.costs import COSTS
from scores.objectives import OBJECTIVES

REAL_COLOUR, OTHER_EFFECT_COLOUR = "#D55E00", "#0072B2"
N_CURVES = 8
N_MEMBERS = 5
"""Members drawn of an ensemble, those of the largest weights."""
TRAINING_KEY = "training-"
"""Prefix of the keys of figures of training against validation."""
CURVE_NOTE = "Mean over folds; bars from the lowest to the highest fold."


def charts(report: Report) -> list[Chart]:
    """All figures that have something to show, the front of the target first."""
    made = [
        front_chart(
            report,
            subtitle=front_subtitle(report),
            most=(report.settings.get("max") or {}).get(report.cost),
            ensembles=report.ensembles,
        ),
        ensembles_chart(report),
        lead_fronts_chart(report),
        *(tier_chart(report, tier) for tier in report.tiers[1:] if len(scored_on(report, tier.tier)) > 1),
        effects_chart(report),
        classes_chart(report),
        curves_chart(report),
        *validation_charts(report),
        *hypervolume_charts(report),
        gain_chart(report),
        *closer_charts(report.closer_look, report.data),
    ]
    return [chart for chart in made if chart is not None]


def scored_on(report: Report, tier: str) -> list[Trial]:
    """Trials with a score on a tier, which only those trained on it or on a finer one have."""
    return [trial for trial in report.trials if trial.tier_scores.get(tier) is not None]


def ensembles_chart(report: Report) -> Chart | None:
    """Every ensemble of two members or more, and below it its members, with intervals."""
    shown = [each for each in report.ensembles if each.on_front is not None and each.score is not None]
    if not shown:
        return None
    trials = {trial.trial: trial for trial in report.trials}
    spans = {each.trial: each.interval for each in report.close if each.interval is not None}
    categories: list[str] = []
    nested: list[tuple[int, Ensemble]] = []
    members: list[tuple[int, Trial]] = []
    for ensemble in shown:
        if categories:
            categories.append("")
        nested.append((len(categories), ensemble))
        categories.append(f"{ensemble.name} ({count_words(len(ensemble.members), 'trial')})")
        for member in ensemble.members[:N_MEMBERS]:
            members.append((len(categories), trials[member.trial]))
            categories.append(f"trial {member.trial}, weight {score_words(member.weight)}")
    ends = [
        (span.low, span.high) if (span := spans.get(trial.trial)) is not None else (None, None)
        for _, trial in members
    ]
    n_left_out = sum(max(0, len(each.members) - N_MEMBERS) for each in shown)
    return Chart(
        key="ensembles",
        title="Ensembles and their members",
        alt=f"{count_words(len(shown), 'ensemble')}, each above its members; the table has all of them.",
        x_label=score_label(report.objective),
        y_label="",
        series=[
            Series(
                name="members, as trials",
                x=[trial.score for _, trial in members],
                y=[place for place, _ in members],
                low=[low for low, _ in ends],
                high=[high for _, high in ends],
                colour=OTHER_EFFECT_COLOUR,
                hover=[
                    f"trial {trial.trial}: {score_words(trial.score)}<br>{trial.description}"
                    for _, trial in members
                ],
            ),
            Series(
                name="ensemble, chosen on the folds that do not score it",
                x=[each.score for _, each in nested],
                y=[place for place, _ in nested],
                low=[each.interval[0] for _, each in nested],
                high=[each.interval[1] for _, each in nested],
                colour=ENSEMBLE_COLOUR,
                symbols="cross",
                large=True,
                hover=[
                    f"{each.name}: {interval_words(each.score, *each.interval)}<br>"
                    f"{ensemble_members_words(each)}"
                    for _, each in nested
                ],
            ),
            Series(
                name="ensemble, chosen and scored on the same folds (optimistic)",
                x=[each.in_sample_score for _, each in nested],
                y=[place for place, _ in nested],
                colour=ENSEMBLE_COLOUR,
                hollow=True,
                hover=[f"in-sample {score_words(each.in_sample_score)}" for _, each in nested],
            ),
        ],
        intervals="x",
        categories=categories,
        synthetic=report.data.synthetic,
        note="Bars: 95 % bootstrap intervals, of trials examined closely."
        + (f" {count_words(n_left_out, 'member')} of small weight not drawn." if n_left_out else ""),
    )


def effects_chart(report: Report) -> Chart | None:
    """Every effect with its interval, by axis."""
    drawn = [
        (axis, effect)
        for axis in report.axis_effects
        for effect in axis.effects
        if effect.difference is not None
    ]
    if not drawn:
        return None
    series = []
    for name, is_real in (("distinguishable from zero", True), ("not distinguishable from zero", False)):
        rows = [
            (place, effect) for place, (_, effect) in enumerate(drawn) if effect.distinguishable is is_real
        ]
        if rows:
            series.append(
                Series(
                    name=name,
                    x=[effect.difference for _, effect in rows],
                    y=[place for place, _ in rows],
                    low=[effect.low for _, effect in rows],
                    high=[effect.high for _, effect in rows],
                    colour=REAL_COLOUR if is_real else OTHER_EFFECT_COLOUR,
                    symbols="diamond" if is_real else "circle",
                    hover=[effect.words for _, effect in rows],
                )
            )
    return Chart(
        key="axis-effects",
        title="Effects of the axes",
        alt=f"{count_words(len(drawn), 'effect')} with 95 % intervals; the table beside has all of them.",
        x_label=f"difference in {OBJECTIVES[report.objective].words}",
        y_label="",
        series=series,
        intervals="x",
        categories=[f"{axis.words}: {effect.base} → {effect.level}" for axis, effect in drawn],
        zero_line=True,
        synthetic=report.data.synthetic,
    )


def classes_chart(report: Report) -> Chart | None:
    """Average precision of every class against its prevalence."""
    rows = [row for row in report.classes if row.n_positive and row.prevalence]
    if not rows:
        return None
    rows.sort(key=lambda row: row.prevalence or 0.0)
    members = [each.trial for each in rows[0].auprc]
    series = [
        Series(
            name="guessing (the prevalence itself)",
            x=[row.prevalence for row in rows],
            y=[row.prevalence for row in rows],
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
        synthetic=report.data.synthetic,
    )


def _class_series(name: str, rows: Sequence[ClassScores], trials: Sequence[int], *, is_best: bool) -> Series:
    """Points of some members of the front, those of the best with intervals."""
    cells = [(row, cell) for row in rows for cell in row.auprc if cell.trial in trials]
    spans = [cell.interval if is_best else None for _, cell in cells]
    return Series(
        name=name,
        x=[row.prevalence for row, _ in cells],
        y=[cell.value for _, cell in cells],
        low=[None if span is None else span.low for span in spans],
        high=[None if span is None else span.high for span in spans],
        colour=OKABE_ITO[0] if is_best else GREY,
        faint=not is_best,
        hover=[
            f"{row.class_}: {score_words(cell.value)}<br>{integer_words(row.n_positive)} positives"
            f"<br>trial {cell.trial}"
            for row, cell in cells
        ],
    )


def curves_chart(report: Report) -> Chart | None:
    """Learning curves of the front: mean over folds, with the range of the folds."""
    series = curve_series(report, report.front)
    if not series:
        return None
    return Chart(
        key="learning-curves",
        title="Learning curves of the front",
        alt=(
            f"{OBJECTIVES[report.objective].heading} after every epoch of "
            f"{count_words(len(series), 'trial')} of the front."
        ),
        x_label="epoch",
        whole_x=True,
        y_label=f"{OBJECTIVES[report.objective].words} of a fold",
        series=series,
        synthetic=report.data.synthetic,
        note=CURVE_NOTE,
    )


def validation_charts(report: Report) -> list[Chart]:
    """Training against validation of the trial looked at more closely, where validation was kept."""
    number = None if report.closer_look is None else report.closer_look.trial
    curves = {
        f"fold {curve.fold}": curve
        for close in report.close
        if close.trial == number
        for curve in close.curves
        if curve.validation_loss
    }
    return [
        replace(chart, key=f"{TRAINING_KEY}{chart.key}", synthetic=report.data.synthetic)
        for chart in training_curve_charts(curves, f"trial {number}")
    ]


def curve_series(report: Report | Fronts, numbers: Sequence[int]) -> list[Series]:
    """Learning curves of the last few of these trials that have one."""
    close = {each.trial: each for each in report.close}
    members = [number for number in numbers if number in close and close[number].curves]
    series = []
    for place, number in enumerate(members[-N_CURVES:]):
        by_epoch: dict[int, list[float]] = defaultdict(list)
        for fold in close[number].curves:
            for epoch, score in zip(fold.epochs, fold.score, strict=True):
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
                **line_style(place),
                hover=[
                    f"trial {number}, epoch {epoch}: {score_words(sum(s) / len(s))}, folds "
                    f"{score_words(min(s))} to {score_words(max(s))}"
                    for epoch, s in sorted(by_epoch.items())
                ],
            )
        )
    return series


def hypervolume_charts(report: Report) -> list[Chart]:
    """Hypervolume against fold-epochs and against hours of training."""
    points = report.hypervolume.points
    if len(points) < 2 or not points[-1].hypervolume:
        return []
    reference, short = report.hypervolume.reference, OBJECTIVES[report.objective].short
    made = []
    for key, label, x in (
        ("hypervolume-epochs", "fold-epochs trained", [float(point.n_fold_epochs) for point in points]),
        (
            "hypervolume-hours",
            "hours of training, all workers together",
            [point.seconds / 3600 for point in points],
        ),
    ):
        steps = Series(
            name="hypervolume",
            x=x,
            y=[point.hypervolume for point in points],
            mode="steps",
            colour=OKABE_ITO[0],
            hover=[
                ""
                if point.trial is None
                else f"trial {point.trial} joins: {hypervolume_words(point.hypervolume)}"
                for point in points
            ],
        )
        made.append(
            Chart(
                key=key,
                title=f"Hypervolume against {label.split(',')[0]}",
                alt=f"The hypervolume rises to {hypervolume_words(points[-1].hypervolume)}.",
                x_label=label,
                y_label=f"hypervolume ({short} × decades)",
                series=[steps],
                synthetic=report.data.synthetic,
                note=(
                    f"Area between the front and {short} {reference.macro_auprc:g} at "
                    f"{cost_phrase(report.cost, reference.cost or reference.parameters)}, in {short} × "
                    f"log10({COSTS[report.cost].words})."
                ),
            )
        )
    return made


def gain_chart(report: Report) -> Chart | None:
    """Expected gain of the next trial, proposal by proposal."""
    gains = report.gains
    if len(gains) < 2:
        return None
    numbers = [gain.trial for gain in gains]
    last = gain_words(gains[-1].expected, gains[-1].at_most)
    return Chart(
        key="next-trial",
        title="Expected gain of the next trial",
        alt=f"The last proposal was {last}.",
        x_label="trial proposed",
        whole_x=True,
        y_label="% of the hypervolume at that time",
        series=[
            Series(
                name="at most (P = .9)",
                x=numbers,
                y=[100 * gain.at_most for gain in gains],
                mode="line",
                colour=GREY,
                dashed=True,
            ),
            Series(
                name="expected",
                x=numbers,
                y=[100 * gain.expected for gain in gains],
                mode="line",
                colour=OKABE_ITO[0],
            ),
        ],
        synthetic=report.data.synthetic,
        note=(
            "Gain of the best remaining architecture in hypervolume of the predicted front; the "
            "bound is the .9 quantile over joint draws of the model of the scores. run --until stops by it."
        ),
    )
