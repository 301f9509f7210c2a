"""The figures of an evaluation: models side by side on held-out records, and each of them class by class."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from reports.evaluation.schema import (
    EvaluationReport,
    Model,
    ModelScores,
    RecordSetScores,
)
from reports.evaluation.scores import MACRO_NAME, MICRO_NAME, RANKING_SCORES
from reports.figures.charts import GREY, Chart, Series, line_style, nth_colour, point_style
from reports.figures.one_trial_charts import (
    Subject,
    bars_chart,
    confusion_chart,
    curve_charts,
    distribution_chart,
    largest_confusion_chart,
    prevalence_chart,
    radar_chart,
)
from reports.figures.training_charts import training_curve_charts
from reports.numbers import count_words, interval_words, score_words
from reports.schema import Estimate, OneClass
from reports.words import METRIC_WORDS, estimate_words, sentence, slug

N_CLASS_CHARTS = 3
"""Scores of every class that are drawn, the first of `CLASS_SCORES`; all are in the tables."""
N_FIGURED = 6
"""Models with figures of their own; the others are in the tables."""
SEVERAL_LABELS = (
    *("macro_auroc", "macro_auprc", "macro_f1", "macro_precision", "macro_recall", "macro_specificity"),
    *("macro_balanced_accuracy", "micro_auroc", "micro_f1", "subset_accuracy"),
)
ONE_LABEL = (
    *("accuracy", "macro_f1", "weighted_f1", "macro_precision", "macro_recall", "kappa", "quadratic_kappa"),
    *("macro_auroc", "micro_auroc"),
)
"""Scores drawn side by side, where a record has several classes or one."""
CLASS_SCORES = (
    ("AUROC", "auroc"),
    ("average precision", "auprc"),
    ("F1", "f1"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("specificity", "specificity"),
)
SIDE_BY_SIDE_KEYS = (
    *("scores", "class-distribution", *(f"class-{name}" for _, name in CLASS_SCORES[:N_CLASS_CHARTS])),
    *("f1-prevalence", "micro-roc", "micro-precision-recall"),
)
TRUST_KEYS = ("reliability", "risk-coverage")
MODEL_KEYS = ("class-confusion", "radar", "class-metrics", "largest-confusion", "roc", "precision-recall")
"""Ends of the keys of figures, in the order of the page: of several models, of calibration, of one model."""


def evaluation_charts(report: EvaluationReport) -> list[Chart]:
    """All figures, those of the first records first; the key of a figure begins with records and model."""
    charts = []
    for each in report.record_sets:
        if each.drawn:
            charts += record_set_charts(each, report.data.unit)
    charts += training_charts(report.models)
    return [replace(chart, synthetic=report.synthetic) for chart in charts]


def record_set_charts(each: RecordSetScores, unit: str) -> list[Chart]:
    """Models side by side on a set of records, then one after the other."""
    several = [
        scores_chart(each),
        _distribution(each, unit),
        *(class_score_chart(each, words, name) for words, name in CLASS_SCORES[:N_CLASS_CHARTS]),
        _prevalence(each, unit),
        *(average_curves_chart(each, is_roc=is_roc) for is_roc in (True, False)),
        reliability_chart(each),
        risk_coverage_chart(each),
    ]
    charts = [
        replace(chart, key=f"{each.key}-{chart.key}", note=_told(chart.note, each, unit))
        for chart in several
        if chart is not None
    ]
    for model in each.models[-N_FIGURED:]:
        charts += [
            replace(
                chart,
                key=f"{each.key}-{slug(model.model)}-{chart.key}",
                title=f"{chart.title}, {each.records}",
            )
            for chart in model_charts(each, model, unit)
        ]
    return charts


def _is_side_by_side(each: RecordSetScores) -> bool:
    return len(each.models) > 1


def _told(note: str, each: RecordSetScores, unit: str) -> str:
    """The note with the number of records and their tier in front."""
    where = f"{count_words(each.n_records, unit)}, tier {each.tier}."
    return " ".join(part for part in (where, note) if part)


def model_charts(each: RecordSetScores, model: ModelScores, unit: str) -> list[Chart]:
    """Figures of one model on a set of records."""
    decided = "Most probable class." if model.shown == "argmax" else _thresholds_note(model)
    areas = {
        MICRO_NAME: (model.ranking["micro_auroc"].value, model.ranking["micro_auprc"].value),
        MACRO_NAME: (model.ranking["macro_auroc"].value, None),
    }
    subject = Subject(
        who=model.model,
        unit=unit,
        rows=one_classes(each, model),
        class_names=each.class_names,
        confusion=model.confusion,
        curves=model.curves,
        averages=model.averages,
        average_areas=areas,
        note=f"{count_words(each.n_records, unit)}. {decided}",
        pooled_note=f"{count_words(each.n_records, unit)}.",
    )
    charts = [
        confusion_chart(subject),
        radar_chart(subject),
        bars_chart(subject),
        largest_confusion_chart(subject),
        *curve_charts(subject),
    ]
    return [chart for chart in charts if chart is not None]


def _thresholds_note(model: ModelScores) -> str:
    return "Thresholds of best F1 on other records." if model.shown == "f1" else "Decisions at .5."


def one_classes(each: RecordSetScores, model: ModelScores) -> list[OneClass]:
    """The classes of a model, as `one_trial_charts` takes them."""
    support = {row.class_: row for row in each.classes}
    found = []
    for row in model.classes:
        values: dict[str, Any] = {name: row.scores[name].value for _, name in CLASS_SCORES}
        found.append(
            OneClass(
                class_=row.class_,
                n_positive=support[row.class_].n_positive,
                prevalence=support[row.class_].prevalence,
                confusion=row.confusion,
                **values,
            )
        )
    return found


def overall(model: ModelScores, name: str) -> Estimate | None:
    """A score of all classes together, at the decisions shown if it needs any; None where there is none."""
    if name in RANKING_SCORES:
        return model.ranking.get(name)
    return next(each.scores.get(name) for each in model.decisions if each.decision == model.shown)


def _lane(place: int, n: int) -> float:
    """Distance from the middle of a category of the point of a model."""
    return (place - (n - 1) / 2) * min(0.8 / max(n, 1), 0.24)


def _side_by_side(
    each: RecordSetScores,
    categories: Sequence[str],
    values: Callable[[ModelScores], Sequence[Estimate | None]],
) -> list[Series]:
    """A point with its interval for every category and model."""
    series = []
    for place, model in enumerate(each.models):
        found = values(model)
        series.append(
            Series(
                name=model.model,
                x=[None if one is None else one.value for one in found],
                y=[row + _lane(place, len(each.models)) for row in range(len(categories))],
                low=[None if one is None else one.low for one in found],
                high=[None if one is None else one.high for one in found],
                **point_style(place),
                hover=[
                    f"{words}: {estimate_words(one)}<br>{model.model}"
                    for words, one in zip(categories, found, strict=True)
                ],
            )
        )
    return series


def scores_chart(each: RecordSetScores) -> Chart:
    """The scores of all classes together, model beside model."""
    wanted = ONE_LABEL if each.exclusive else SEVERAL_LABELS
    known = [name for name in wanted if any(overall(model, name) is not None for model in each.models)]
    categories = [METRIC_WORDS[name] for name in known]
    return Chart(
        key="scores",
        title=f"Scores, {each.records}",
        alt="Every score with its interval; the table beside has the numbers.",
        x_label="score, 95 % interval",
        y_label="",
        series=_side_by_side(each, categories, lambda model: [overall(model, name) for name in known]),
        categories=categories,
        intervals="x",
        lanes=len(each.models),
        unit_x=True,
    )


def class_score_chart(each: RecordSetScores, words: str, name: str) -> Chart:
    """A score of every class, model beside model."""
    names = [row.class_ for row in each.classes]
    return Chart(
        key=f"class-{name}",
        title=f"{sentence(words)} of each class, {each.records}",
        alt=f"{count_words(len(names), 'class', 'classes')}, frequent ones first, each with an interval.",
        x_label=f"{words}, 95 % interval",
        y_label="",
        series=_side_by_side(each, names, lambda model: [row.scores[name] for row in model.classes]),
        categories=[f"{row.class_} ({row.n_positive:,})" for row in each.classes],
        intervals="x",
        lanes=len(each.models),
        unit_x=name != "auroc",  # of which nothing lies near zero
        note="Positive records in brackets.",
    )


def _distribution(each: RecordSetScores, unit: str) -> Chart | None:
    if not each.models:
        return None
    rows = one_classes(each, each.models[0])
    return distribution_chart(rows, each.n_records, unit, note="")


def _prevalence(each: RecordSetScores, unit: str) -> Chart | None:
    models = {model.model: (one_classes(each, model), model.prevalence_f1) for model in each.models}
    notes = {_thresholds_note(model) for model in each.models if model.shown != "argmax"}
    return prevalence_chart(models, unit, note=" ".join(sorted(notes)))


def average_curves_chart(each: RecordSetScores, *, is_roc: bool) -> Chart | None:
    """Micro-average curves of all models."""
    series = []
    for place, model in enumerate(each.models):
        for average in model.averages:
            if average.class_ != MICRO_NAME:
                continue
            points = average.roc if is_roc else average.precision_recall
            area = model.ranking["micro_auroc" if is_roc else "micro_auprc"]
            words = f"{model.model} ({score_words(area.value)})"
            series.append(
                Series(
                    name=words,
                    x=points.x,
                    y=points.y,
                    mode="line",
                    **line_style(place),
                    hover=[words] * len(points.x),
                )
            )
    if not series or not _is_side_by_side(each):
        return None
    if is_roc:
        series.append(Series(name="guessing", x=[0, 1], y=[0, 1], mode="line", colour=GREY, dashed=True))
    words = "ROC" if is_roc else "Precision–recall"
    return Chart(
        key="micro-roc" if is_roc else "micro-precision-recall",
        title=f"{words} curves of all decisions together, {each.records}",
        alt=f"Micro-average {words} curves of {count_words(len(each.models), 'model')}.",
        x_label="false positive rate" if is_roc else "recall",
        y_label="true positive rate" if is_roc else "precision",
        series=series,
        unit_x=True,
        note="Micro-average: every record and class is one decision. Areas in brackets.",
    )


def reliability_chart(each: RecordSetScores) -> Chart | None:
    """Reliability diagram.

    For one model before and after temperature scaling, with intervals; for several one curve of each, without
    intervals, which would hide one another.
    """
    series = []
    shown = each.models[-N_FIGURED:]
    is_alone = len(shown) == 1
    for place, model in enumerate(shown):
        for each_kind in model.calibration if is_alone else model.calibration[-1:]:
            is_raw = each_kind.words == "raw"
            bins = each_kind.bins
            words = "raw" if is_raw else "with temperature"
            name = f"{model.model}, {words} (ECE {score_words(each_kind.error.value)})"
            series.append(
                Series(
                    name=name,
                    x=[one.probability for one in bins],
                    y=[one.share for one in bins],
                    low=[one.low for one in bins] if is_alone else (),
                    high=[one.high for one in bins] if is_alone else (),
                    colour=nth_colour(place),
                    mode="line",
                    dashed=is_raw,
                    hover=[
                        f"{one.n:,} predictions at {score_words(one.probability)}: "
                        f"{interval_words(one.share, one.low, one.high)} came true<br>{name}"
                        for one in bins
                    ],
                )
            )
    if not series:
        return None
    series.append(Series(name="exact", x=[0, 1], y=[0, 1], mode="line", colour=GREY, dotted=True))
    what = "Most probable class." if each.exclusive else "All classes together."
    return Chart(
        key="reliability",
        title=f"Reliability diagram, {each.records}",
        alt="Share that came true against predicted probability.",
        x_label="predicted probability",
        y_label="share that came true",
        series=series,
        unit_x=True,
        note=f"{what} Bins of a fifteenth; "
        + (
            "bars are 95 % intervals of Clopper and Pearson."
            if is_alone
            else "their 95 % intervals (Clopper and Pearson) are in the JSON file."
        ),
    )


def risk_coverage_chart(each: RecordSetScores) -> Chart | None:
    """Error of the records answered if only the most confident ones are."""
    known = [(model.model, model.risk_coverage) for model in each.models if model.risk_coverage is not None]
    if not known:
        return None
    series = []
    for place, (name, curve) in enumerate(known):
        words = (
            f"{name} (area {score_words(curve.area.value)}, of all {score_words(curve.risk_of_all.value)})"
        )
        series.append(
            Series(
                name=words,
                x=curve.coverage,
                y=curve.risks,
                mode="line",
                **line_style(place),
                hover=[
                    f"{score_words(share)} of the records: {score_words(risk)}<br>{name}"
                    for share, risk in zip(curve.coverage, curve.risks, strict=True)
                ],
            )
        )
    return Chart(
        key="risk-coverage",
        title=f"Risk against coverage, {each.records}",
        alt="Error of the most confident records against their share.",
        x_label="share of records answered, the most certain first",
        y_label=known[0][1].risk,
        series=series,
        unit_x=True,
        note=f"Ordered by the {known[0][1].confidence}.",
    )


def training_charts(models: Sequence[Model]) -> list[Chart]:
    """Training and validation curves of every model that has them."""
    charts = []
    for model in models:
        curves = {each.name: each.curve for each in model.training}
        for chart in training_curve_charts(curves, model.name):
            charts.append(replace(chart, key=f"training-{slug(model.name)}-{chart.key}"))
    return charts
