"""Figures of one model: which classes it recognises (figures of Jafari & Jafari, section 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from reports.figures.charts import (
    ANCHOR_COLOUR,
    GREY,
    OKABE_ITO,
    Cells,
    Chart,
    Number,
    Series,
    line_style,
    point_style,
)
from reports.findings.one_trial import N_LARGEST
from reports.numbers import count_words, equation_words, interval_words, percent_words, score_words
from reports.schema import ClassCurves, CloserLook, Correlation, Data, OneClass

Rows = Sequence[OneClass]
N_SPOKES = 10
N_STYLES = 24
"""Curves distinguished by colour and dashes; of more classes all but the averages are grey."""
CLOSER_KEYS = (
    *("class-distribution", "class-confusion", "f1-prevalence", "radar", "class-metrics"),
    *("largest-confusion", "roc", "precision-recall"),
)
"""Keys of all figures, in the order of the page."""
THRESHOLD_NOTE = "Thresholds of a fold are chosen on the predictions for the other folds."
POOLED_NOTE = (
    "Out-of-fold predictions of all folds together: where the models of the folds differ in level, these "
    "areas lie below the means over folds in the tables."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A model and its classes, as the figures of one model need them."""

    who: str
    """The model in words, such as `trial 3`."""
    unit: str
    """record or beat."""
    rows: Rows
    """Every class, frequent ones first."""
    class_names: Sequence[str]
    """Names of the classes, in the order of confusion."""
    confusion: Sequence[Sequence[int]] | None
    """Rows true, columns most probable class; None where a record may have several classes."""
    curves: Sequence[ClassCurves]
    """Curves of classes."""
    averages: Sequence[ClassCurves] = ()
    """Curves of averages over classes."""
    average_areas: Mapping[str, tuple[Number, Number]] = field(default_factory=dict)
    """Average to its AUROC and average precision."""
    note: str
    """Records, and where thresholds come from."""
    pooled_note: str
    """Description of the predictions behind the curves."""


def closer_charts(look: CloserLook | None, data: Data) -> list[Chart]:
    """All figures of the trial looked at more closely; none if there is no such trial."""
    if look is None:
        return []
    unit = data.unit
    note = f"{count_words(look.n_records, unit)}."
    subject = Subject(
        who=f"trial {look.trial}",
        unit=unit,
        rows=look.classes,
        class_names=look.class_names,
        confusion=look.confusion,
        curves=look.curves,
        note=note if look.shown == "argmax" else f"{note} {THRESHOLD_NOTE}",
        pooled_note=POOLED_NOTE,
    )
    charts = [
        distribution_chart(look.classes, look.n_records, unit, note=f"{note[:-1]} of all folds."),
        confusion_chart(subject),
        prevalence_chart({subject.who: (look.classes, look.prevalence_f1)}, unit, note=subject.note),
        radar_chart(subject),
        bars_chart(subject),
        largest_confusion_chart(subject),
        *curve_charts(subject),
    ]
    return [replace(chart, synthetic=data.synthetic) for chart in charts if chart is not None]


def distribution_chart(rows: Rows, n_records: int, unit: str, *, note: str) -> Chart:
    """Number of records of each class."""
    return Chart(
        key="class-distribution",
        title=f"How many {unit}s have each class",
        alt=f"From {rows[0].class_} with {rows[0].n_positive:,} to {rows[-1].class_} with "
        f"{rows[-1].n_positive:,} of {n_records:,} {unit}s.",
        x_label=f"{unit}s",
        y_label="",
        series=[
            Series(
                name=f"{unit}s",
                x=[row.n_positive for row in rows],
                y=list(range(len(rows))),
                mode="bars",
                colour=OKABE_ITO[0],
                hover=[f"{row.class_}: {row.n_positive:,} ({percent_words(row.prevalence)})" for row in rows],
            )
        ],
        categories=[row.class_ for row in rows],
        note=note,
    )


def confusion_chart(subject: Subject) -> Chart:
    """Confusion matrix, or true and false decisions for each class."""
    if subject.confusion is not None:
        return _confusion_of_exclusive(subject, subject.confusion)
    return _confusion_of_all(subject)


def _confusion_of_all(subject: Subject) -> Chart:
    """Shares of the records without and with a class that are called right."""
    rows, unit = subject.rows, subject.unit
    shares = [[share for line in row.confusion for share in _shares(line)] for row in rows]
    return Chart(
        key="class-confusion",
        title=f"Right and wrong decisions of {subject.who} for each class",
        alt=f"Of the {unit}s without and with each class, the share called negative and positive.",
        x_label="",
        y_label="",
        categories=[row.class_ for row in rows],
        cells=Cells(
            columns=("without: no", "without: yes", "with: no", "with: yes"),
            shares=shares,
            words=[[score_words(share) for share in row] for row in shares],
        ),
        note=(
            f"{unit.capitalize()}s without and with a class, called no or yes; each pair of cells "
            f"adds up to 1. {subject.note}"
        ),
    )


def _shares(row: Sequence[int]) -> list[float | None]:
    """Shares of a row of counts; None in a row without records."""
    total = sum(row)
    return [count / total if total else None for count in row]


def largest_confusion_chart(subject: Subject) -> Chart | None:
    """Counts of the largest classes; None where classes exclude each other, and one table has them all."""
    if subject.confusion is not None:
        return None
    largest = subject.rows[:N_LARGEST]
    lines = [line for row in largest for line in row.confusion]
    return Chart(
        key="largest-confusion",
        title=f"Confusion matrices of the largest classes, {subject.who}",
        alt="Counts of right and wrong decisions: " + ", ".join(row.class_ for row in largest) + ".",
        x_label="",
        y_label="",
        categories=[f"{row.class_}: {has}" for row in largest for has in ("without it", "with it")],
        cells=Cells(
            columns=("called no", "called yes"),
            shares=[_shares(line) for line in lines],
            words=[[f"{count:,}" for count in line] for line in lines],
        ),
        note=f"Colour is the share of the row. {subject.note}",
    )


def _confusion_of_exclusive(subject: Subject, counts: Sequence[Sequence[int]]) -> Chart:
    """Confusion matrix, where a record has exactly one class."""
    names = subject.class_names
    return Chart(
        key="class-confusion",
        title=f"Which class is taken for which, {subject.who}",
        alt="Rows are the true classes, columns the most probable ones.",
        x_label="most probable class",
        y_label="true class",
        categories=names,
        cells=Cells(
            columns=names,
            shares=[_shares(row) for row in counts],
            words=[[f"{count:,}" for count in row] for row in counts],
        ),
        note=f"Colour is the share of the row; numbers are {subject.unit}s. {subject.pooled_note}",
    )


def prevalence_chart(models: Mapping[str, tuple[Rows, Correlation]], unit: str, *, note: str) -> Chart | None:
    """F1 of each class against its prevalence, with the rank correlation of every model.

    Args:
        models: model in words to its classes and correlation.
        unit: record or beat.
        note: records, and where thresholds come from.
    """
    found = {
        who: ([row for row in rows if row.n_positive], correlation)
        for who, (rows, correlation) in models.items()
    }
    if not any(rows for rows, _ in found.values()):
        return None
    words = {who: correlation_words(correlation) for who, (_, correlation) in found.items()}
    several = len(found) > 1
    return Chart(
        key="f1-prevalence",
        title="F1 of each class against its prevalence",
        alt="Spearman's rank correlation is "
        + "; ".join(f"{each} ({who})" if several else each for who, each in words.items())
        + ".",
        x_label="prevalence (logarithmic)",
        y_label="F1",
        series=[
            Series(
                name=who,
                x=[row.prevalence for row in rows],
                y=[row.f1 for row in rows],
                **point_style(place),
                hover=[
                    f"{row.class_}: F1 {score_words(row.f1)}, {row.n_positive:,} {unit}s"
                    + (f"<br>{who}" if several else "")
                    for row in rows
                ],
            )
            for place, (who, (rows, _)) in enumerate(found.items())
        ],
        log_x=True,
        percent_x=True,
        note="Spearman's ρ "
        + "; ".join(f"{who}: {each}" if several else each for who, each in words.items())
        + f". {note}",
    )


def correlation_words(found: Correlation) -> str:
    """`.963 [.91, .98], p < .001, n = 23 classes`."""
    if found.value is None:
        return f"not defined, n = {count_words(found.n, 'class', 'classes')}"
    p = "" if found.p is None else f", {equation_words('p', found.p)}"
    n = count_words(found.n, "class", "classes")
    return f"{interval_words(found.value, found.low, found.high)}{p}, n = {n}"


RADAR_SCORES = (
    ("AUROC", "auroc", OKABE_ITO[0]),
    ("average precision", "auprc", OKABE_ITO[1]),
    ("F1", "f1", OKABE_ITO[2]),
    ("specificity", "specificity", OKABE_ITO[3]),
)
"""Name, field and colour of the lines of a radar."""


def radar_chart(subject: Subject) -> Chart | None:
    """Several scores of the largest classes as lines over the spokes of a wheel."""
    largest = [row for row in subject.rows[:N_SPOKES] if row.n_positive]
    if len(largest) < 3:
        return None
    known = [
        line for line in RADAR_SCORES if any(getattr(row, line[1]) is not None for row in largest)
    ]  # reports of before specificity was kept have none
    names = [name for name, _, _ in known]
    listed = ", ".join(names[:-1]) + f" and {names[-1]}"
    return Chart(
        key="radar",
        title=f"Scores of the largest classes, {subject.who}",
        alt=f"{listed} of {count_words(len(largest), 'class', 'classes')}.",
        x_label="",
        y_label="",
        categories=[row.class_ for row in largest],
        polar=True,
        series=[
            Series(
                name=name,
                x=list(range(len(largest))),
                y=[getattr(row, key) for row in largest],
                mode="line",
                colour=colour,
                hover=[f"{row.class_}: {name} {score_words(getattr(row, key))}" for row in largest],
            )
            for name, key, colour in known
        ],
        note=subject.note,
    )


def bars_chart(subject: Subject) -> Chart:
    """Precision, recall and F1 of every class as bars."""
    rows = subject.rows
    return Chart(
        key="class-metrics",
        title=f"Precision, recall and F1 of each class, {subject.who}",
        alt="Bars for every class, frequent classes first; the table beside has the numbers.",
        x_label="precision, recall, F1",
        y_label="",
        series=[
            Series(
                name=name,
                x=[getattr(row, name.lower()) for row in rows],
                y=list(range(len(rows))),
                mode="bars",
                colour=colour,
                hover=[f"{row.class_}: {name} {score_words(getattr(row, name.lower()))}" for row in rows],
            )
            for name, colour in (
                ("Precision", OKABE_ITO[4]),
                ("Recall", OKABE_ITO[5]),
                ("F1", OKABE_ITO[2]),
            )
        ],
        categories=[row.class_ for row in rows],
        unit_x=True,
        note=subject.note,
    )


def curve_charts(subject: Subject) -> list[Chart]:
    """ROC and precision–recall curves of the classes, where there are any."""
    return [_curves(subject, is_roc=is_roc) for is_roc in (True, False) if subject.curves]


def _curves(subject: Subject, *, is_roc: bool) -> Chart:
    """ROC or precision–recall curves, with what guessing gives."""
    by_name = {row.class_: row for row in subject.rows}
    are_told_apart = len(subject.curves) <= N_STYLES
    has_all = len(subject.curves) > N_LARGEST or len(by_name) <= N_LARGEST
    series = []
    for place, curve in enumerate(subject.curves):
        row = by_name[curve.class_]
        points = curve.roc if is_roc else curve.precision_recall
        style = line_style(place) if are_told_apart else {"colour": GREY}
        words = f"{curve.class_} ({score_words(row.auroc if is_roc else row.auprc)})"
        series.append(
            Series(
                name=words if are_told_apart else "",
                x=points.x,
                y=points.y,
                mode="line",
                **style,
                faint=not are_told_apart,
                hover=[words] * len(points.x) if has_all else (),
            )
        )
        if not is_roc and len(subject.curves) <= N_LARGEST:
            dashed = {**style, "dashed": True}
            series.append(Series(name="", x=[0, 1], y=[row.prevalence] * 2, mode="line", **dashed))
    for curve, colour in zip(subject.averages, ("#000000", ANCHOR_COLOUR), strict=False):
        points = curve.roc if is_roc else curve.precision_recall
        if points.x:
            area = subject.average_areas[curve.class_][0 if is_roc else 1]
            words = f"{curve.class_} ({score_words(area)})"
            series.append(Series(name=words, x=points.x, y=points.y, mode="line", colour=colour, thick=True))
    if is_roc:
        series.append(Series(name="guessing", x=[0, 1], y=[0, 1], mode="line", colour=GREY, dashed=True))
    words = "ROC" if is_roc else "Precision–recall"
    whose = "all" if has_all else "the largest"
    guessing = "" if is_roc or has_all else " Dashed: guessing, which is the prevalence."
    return Chart(
        key="roc" if is_roc else "precision-recall",
        title=f"{words} curves of {whose} classes, {subject.who}",
        alt=f"{words} curves of " + ", ".join(curve.class_ for curve in subject.curves) + ".",
        x_label="false positive rate" if is_roc else "recall",
        y_label="true positive rate" if is_roc else "precision",
        series=series,
        unit_x=True,
        note=f"Areas in brackets. {subject.pooled_note}{guessing}",
    )
