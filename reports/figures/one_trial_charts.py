"""Figures of one trial: which classes it recognises (figures of Jafari & Jafari, section 3)."""

from collections.abc import Sequence
from dataclasses import replace

from reports.figures.charts import GREY, OKABE_ITO, Cells, Chart, Series
from reports.findings.one_trial import N_LARGEST
from reports.numbers import count_words, interval_words, percent_words, score_words
from reports.schema import CloserLook, Data, OneClass

Rows = Sequence[OneClass]
N_SPOKES = 10
CLOSER_KEYS = (
    *("class-distribution", "class-confusion", "f1-prevalence", "radar", "class-metrics"),
    *("largest-confusion", "roc", "precision-recall"),
)
"""Keys of all figures, in the order of the page."""
THRESHOLD_NOTE = "Thresholds of a fold are chosen on the predictions for the other folds."
POOLED_NOTE = "Out-of-fold predictions of all folds together."


def closer_charts(look: CloserLook | None, data: Data) -> list[Chart]:
    """All figures of the trial looked at more closely; none if there is no such trial."""
    if look is None:
        return []
    rows, unit = look.classes, data.unit
    note = f"{count_words(look.n_records, unit)}."
    if look.shown != "argmax":
        note = f"{note} {THRESHOLD_NOTE}"
    charts = [
        _distribution(look, rows, unit),
        _confusion_of_all(look, rows, note, unit)
        if look.confusion is None
        else _confusion(look, look.confusion, unit),
        _against_prevalence(look, rows, note, unit),
        _radar(look, rows, note),
        _bars(look, rows, note),
        *([_confusion_of_largest(look, rows, note)] if look.confusion is None else []),
        *(_curves(look, key) for key in ("roc", "precision_recall") if look.curves),
    ]
    return [replace(chart, synthetic=data.synthetic) for chart in charts if chart is not None]


def _distribution(look: CloserLook, rows: Rows, unit: str) -> Chart:
    return Chart(
        key="class-distribution",
        title=f"How many {unit}s have each class",
        alt=f"From {rows[0].class_} with {rows[0].n_positive:,} to {rows[-1].class_} with "
        f"{rows[-1].n_positive:,} of {look.n_records:,} {unit}s.",
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
        note=f"{count_words(look.n_records, unit)} of all folds.",
    )


def _confusion_of_all(look: CloserLook, rows: Rows, note: str, unit: str) -> Chart:
    """Shares of the records without and with a class that are called right."""
    shares = [[share for line in row.confusion for share in _shares(line)] for row in rows]
    return Chart(
        key="class-confusion",
        title=f"Right and wrong decisions of trial {look.trial} for each class",
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
            f"adds up to 1. {note}"
        ),
    )


def _shares(row: Sequence[int]) -> list[float | None]:
    """Shares of a row of counts; None in a row without records."""
    total = sum(row)
    return [count / total if total else None for count in row]


def _confusion_of_largest(look: CloserLook, rows: Rows, note: str) -> Chart:
    """Counts of the largest classes."""
    largest = rows[:N_LARGEST]
    lines = [line for row in largest for line in row.confusion]
    return Chart(
        key="largest-confusion",
        title=f"Confusion matrices of the largest classes, trial {look.trial}",
        alt="Counts of right and wrong decisions: " + ", ".join(row.class_ for row in largest) + ".",
        x_label="",
        y_label="",
        categories=[f"{row.class_}: {has}" for row in largest for has in ("without it", "with it")],
        cells=Cells(
            columns=("called no", "called yes"),
            shares=[_shares(line) for line in lines],
            words=[[f"{count:,}" for count in line] for line in lines],
        ),
        note=f"Colour is the share of the row. {note}",
    )


def _confusion(look: CloserLook, counts: Sequence[Sequence[int]], unit: str) -> Chart:
    """Which class is taken for which, where a record has exactly one."""
    names = look.class_names
    return Chart(
        key="class-confusion",
        title=f"Which class is taken for which, trial {look.trial}",
        alt="Rows are the true classes, columns the most probable ones.",
        x_label="most probable class",
        y_label="true class",
        categories=names,
        cells=Cells(
            columns=names,
            shares=[_shares(row) for row in counts],
            words=[[f"{count:,}" for count in row] for row in counts],
        ),
        note=f"Colour is the share of the row; numbers are {unit}s. {POOLED_NOTE}",
    )


def _against_prevalence(look: CloserLook, rows: Rows, note: str, unit: str) -> Chart | None:
    shown = [row for row in rows if row.n_positive]
    if not shown:
        return None
    found = look.prevalence_f1
    words = "not defined" if found.value is None else interval_words(found.value, found.low, found.high)
    return Chart(
        key="f1-prevalence",
        title="F1 of each class against its prevalence",
        alt=f"Spearman's rank correlation is {words} over {count_words(found.n, 'class', 'classes')}.",
        x_label="prevalence (logarithmic)",
        y_label="F1",
        series=[
            Series(
                name=f"trial {look.trial}",
                x=[row.prevalence for row in shown],
                y=[row.f1 for row in shown],
                colour=OKABE_ITO[0],
                hover=[
                    f"{row.class_}: F1 {score_words(row.f1)}, {row.n_positive:,} {unit}s" for row in shown
                ],
            )
        ],
        log_x=True,
        percent_x=True,
        note=f"Spearman's ρ {words}, n = {count_words(found.n, 'class', 'classes')}. {note}",
    )


def _radar(look: CloserLook, rows: Rows, note: str) -> Chart | None:
    largest = [row for row in rows[:N_SPOKES] if row.n_positive]
    if len(largest) < 3:
        return None
    return Chart(
        key="radar",
        title=f"AUROC, average precision and F1 of the largest classes, trial {look.trial}",
        alt=f"AUROC, average precision and F1 of {count_words(len(largest), 'class', 'classes')}.",
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
            for name, key, colour in (
                ("AUROC", "auroc", OKABE_ITO[0]),
                ("average precision", "auprc", OKABE_ITO[1]),
                ("F1", "f1", OKABE_ITO[2]),
            )
        ],
        note=note,
    )


def _bars(look: CloserLook, rows: Rows, note: str) -> Chart:
    return Chart(
        key="class-metrics",
        title=f"Precision, recall and F1 of each class, trial {look.trial}",
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
        note=note,
    )


def _curves(look: CloserLook, key: str) -> Chart:
    """ROC or precision–recall curves of the largest classes, with what guessing gives."""
    is_roc = key == "roc"
    by_name = {row.class_: row for row in look.classes}
    series = []
    for place, curve in enumerate(look.curves):
        row = by_name[curve.class_]
        area = row.auroc if is_roc else row.auprc
        points = curve.roc if is_roc else curve.precision_recall
        colour = OKABE_ITO[place % len(OKABE_ITO)]
        series.append(
            Series(
                name=f"{curve.class_} ({score_words(area)})",
                x=points.x,
                y=points.y,
                mode="line",
                colour=colour,
            )
        )
        if not is_roc:
            chance = row.prevalence
            series.append(
                Series(name="", x=[0, 1], y=[chance, chance], mode="line", colour=colour, dashed=True)
            )
    if is_roc:
        series.append(Series(name="guessing", x=[0, 1], y=[0, 1], mode="line", colour=GREY, dashed=True))
    words = "ROC" if is_roc else "Precision–recall"
    guessing = "" if is_roc else " Dashed: guessing, which is the prevalence."
    return Chart(
        key=key.replace("_", "-"),
        title=f"{words} curves of the largest classes, trial {look.trial}",
        alt=f"{words} curves of " + ", ".join(curve.class_ for curve in look.curves) + ".",
        x_label="false positive rate" if is_roc else "recall",
        y_label="true positive rate" if is_roc else "precision",
        series=series,
        unit_x=True,
        note=f"Areas in brackets. {POOLED_NOTE}{guessing}",
    )
