"""The figure of a study: macro-AUPRC against parameters, with the front as a staircase.

Drawn with matplotlib's Figure alone: no pyplot, no global state, and
the user's own style file has no say, so that the same study gives the same bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports.annotations import draw_names, drawable
from reports.evidence import Evidence
from reports.front import front_trials, points_of
from reports.marks import Span, draw_anchors, draw_complete, draw_pruned, height, legend_handles
from reports.spread import fold_mean, standard_error
from reports.still import draw_watermark
from reports.ticks import parameter_limits, parameter_ticks
from reports.words import (
    data_words,
    parameter_words,
    state_words,
    target_words,
)
from storage.records import StudyRecord, TrialRecord

SIZE_INCHES = (7.2, 5.4)
"""Full text width of a two-column journal."""


def set_style() -> None:
    """Settings of every figure, whatever style file the user has."""
    mpl.rcdefaults()
    mpl.rc("font", size=8.0)
    mpl.rc("axes", **{"linewidth": 0.6, "spines.top": False, "spines.right": False})
    mpl.rc("axes", grid=True, axisbelow=True)
    mpl.rc("grid", color="#e6e6e6", linewidth=0.5)
    mpl.rc("text", parse_math=False)  # the $ of a name begins no formula
    mpl.rc("svg", hashsalt="ecg-architecture-search", fonttype="path")


def front_figure(evidence: Evidence, document: Mapping[str, Any]) -> Figure:
    """The figure as a matplotlib object, for those who want to go on drawing.

    Args:
        evidence: study and trials.
        document: of the same study, with intervals and published results.
    """
    study, trials = evidence.study, evidence.trials
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    scored = {point.trial for point in points_of(trials)}
    complete = [trial for trial in trials if trial.number in scored]
    pruned = [trial for trial in trials if trial.state == "pruned" and fold_mean(trial) is not None]
    anchors = [each for each in document["anchors"] if each["macro_auprc"] is not None]
    spans = error_spans(complete, document)
    _set_axes(axes, study, [(trial.parameters, *spans[trial.number]) for trial in complete], pruned, anchors)
    draw_pruned(axes, pruned)
    front = front_trials(complete)
    draw_complete(axes, complete, front, spans)
    draw_anchors(axes, anchors)
    _draw_titles(axes, study, trials, document)
    if complete or pruned:
        handles = legend_handles(complete, pruned, with_anchors=bool(anchors))
        figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=7)
    if not complete:
        _draw_sentence(axes, at_top=bool(pruned))
    if study.synthetic:
        draw_watermark(axes)
    draw_names(figure, axes, [*complete, *pruned], front, spans)
    return figure


def error_spans(complete: Sequence[TrialRecord], document: Mapping[str, Any]) -> dict[int, Span]:
    """Ends of the error bar of every complete trial: its interval, else ± standard error over folds."""
    known = {each["trial"]: each["interval"] for each in document["close"] if each["interval"]}
    spans: dict[int, Span] = {}
    for trial in complete:
        error = standard_error(trial) or 0.0
        span = known.get(trial.number)
        middle = height(trial)
        spans[trial.number] = (
            (middle - error, middle + error)
            if span is None
            else (middle - (span["value"] - span["low"]), middle + (span["high"] - span["value"]))
        )
    return spans


def _set_axes(
    axes: Axes,
    study: StudyRecord,
    complete: Sequence[tuple[int, float, float]],
    pruned: Sequence[TrialRecord],
    anchors: Sequence[Mapping[str, Any]],
) -> None:
    """Limits and ticks; `complete` has parameters and both ends of the error bar of every trial."""
    shown = [*complete]
    shown += [(trial.parameters, height(trial), height(trial)) for trial in pruned]
    shown += [(each["parameters"], each["macro_auprc"], each["macro_auprc"]) for each in anchors if shown]
    low, high = parameter_limits([parameters for parameters, _, _ in shown])
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(parameter_ticks(low, high)))
    axes.xaxis.set_major_formatter(FuncFormatter(parameter_words))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("trainable parameters (logarithmic)")
    axes.set_ylabel(drawable(f"cross-validated macro-AUPRC, {target_words(study)}"), parse_math=False)
    if not shown:
        axes.set_ylim(0, 1)
        return
    bottom = min(end for _, end, _ in shown)
    top = max(end for _, _, end in shown)
    span = max(top - bottom, 0.05)
    middle = (top + bottom) / 2
    # Headroom: the labels of the front stand above it.
    axes.set_ylim(middle - 0.56 * span, middle + 0.72 * span)


def _draw_titles(
    axes: Axes, study: StudyRecord, trials: Sequence[TrialRecord], document: Mapping[str, Any]
) -> None:
    name = study.name if len(study.name) <= 36 else study.name[:35] + "…"
    title = f"Study {name}: target {target_words(study)}"
    data = data_words(study) + (", SYNTHETIC" if study.synthetic else "")
    has_intervals = any(each["interval"] for each in document["close"])
    kind = "95 % bootstrap interval, else ± " if has_intervals else "± "
    bars = f"; bars: {kind}standard error over folds (SD/√n)" if points_of(trials) else ""
    lines = f"{data}\n{state_words(trials)}{bars}"
    axes.set_title(drawable(title), loc="left", fontsize=10, pad=30, fontweight="bold", parse_math=False)
    axes.annotate(
        drawable(lines),
        xy=(0, 1),
        xycoords="axes fraction",
        xytext=(0, 5),
        textcoords="offset points",
        fontsize=7.5,
        color="#444444",
        linespacing=1.35,
        parse_math=False,
        annotation_clip=False,
    )


def _draw_sentence(axes: Axes, *, at_top: bool) -> None:
    axes.text(
        0.5,
        0.97 if at_top else 0.55,
        "No trial is complete yet, so there is no front.",
        transform=axes.transAxes,
        ha="center",
        va="top",
        fontsize=10,
        color="#444444",
    )
