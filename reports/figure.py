"""The figure of a study: macro-AUPRC against parameters, with the front as a staircase.

Drawn with matplotlib's Figure alone: no pyplot, no global state, and
the user's own style file has no say, so that the same study gives the same bytes.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports.annotations import draw_names, drawable
from reports.front import front_trials, points_of
from reports.marks import draw_complete, draw_pruned, height, legend_handles
from reports.spread import fold_mean, standard_error
from reports.ticks import parameter_limits, parameter_ticks
from reports.words import (
    data_words,
    parameter_words,
    state_words,
    target_words,
)
from storage.records import StudyRecord, TrialRecord

PNG_DPI = 300
SIZE_INCHES = (7.2, 5.4)
"""Full text width of a two-column journal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontImages:
    """The figure in both formats."""

    png: bytes
    """300 dots per inch."""
    svg: bytes


def draw_front(study: StudyRecord, trials: Sequence[TrialRecord]) -> FrontImages:
    """Draws the figure; the same study and trials give the same bytes."""
    with mpl.rc_context():
        _set_style()
        figure = front_figure(study, trials)
        png, svg = io.BytesIO(), io.BytesIO()
        figure.savefig(png, format="png", dpi=PNG_DPI, metadata={"Software": None})
        title = drawable(f"Pareto front of study {study.name}")
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    return FrontImages(png=png.getvalue(), svg=svg.getvalue())


def _set_style() -> None:
    """Settings of every figure, whatever style file the user has."""
    mpl.rcdefaults()
    mpl.rc("font", size=8.0)
    mpl.rc("axes", **{"linewidth": 0.6, "spines.top": False, "spines.right": False})
    mpl.rc("axes", grid=True, axisbelow=True)
    mpl.rc("grid", color="#e6e6e6", linewidth=0.5)
    mpl.rc("svg", hashsalt="ecg-architecture-search", fonttype="path")


def front_figure(study: StudyRecord, trials: Sequence[TrialRecord]) -> Figure:
    """The figure as a matplotlib object, for those who want to go on drawing."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    scored = {point.trial for point in points_of(trials)}
    complete = [trial for trial in trials if trial.number in scored]
    pruned = [trial for trial in trials if trial.state == "pruned" and fold_mean(trial) is not None]
    _set_axes(axes, study, complete, pruned)
    draw_pruned(axes, pruned)
    front = front_trials(complete)
    draw_complete(axes, complete, front)
    _draw_titles(axes, study, trials)
    if complete or pruned:
        handles = legend_handles(complete, pruned)
        figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=7)
    if not complete:
        _draw_sentence(axes, at_top=bool(pruned))
    if study.synthetic:
        _draw_watermark(axes)
    draw_names(figure, axes, [*complete, *pruned], front)
    return figure


def _set_axes(
    axes: Axes, study: StudyRecord, complete: Sequence[TrialRecord], pruned: Sequence[TrialRecord]
) -> None:
    shown = [*complete, *pruned]
    low, high = parameter_limits([trial.parameters for trial in shown])
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(parameter_ticks(low, high)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: parameter_words(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("trainable parameters (logarithmic)")
    axes.set_ylabel(drawable(f"cross-validated macro-AUPRC, {target_words(study)}"), parse_math=False)
    if not shown:
        axes.set_ylim(0, 1)
        return
    errors = [standard_error(trial) or 0.0 for trial in complete] + [0.0] * len(pruned)
    bottom = min(height(trial) - error for trial, error in zip(shown, errors, strict=True))
    top = max(height(trial) + error for trial, error in zip(shown, errors, strict=True))
    span = max(top - bottom, 0.05)
    middle = (top + bottom) / 2
    # Headroom: the labels of the front stand above it.
    axes.set_ylim(middle - 0.56 * span, middle + 0.72 * span)


def _draw_titles(axes: Axes, study: StudyRecord, trials: Sequence[TrialRecord]) -> None:
    name = study.name if len(study.name) <= 36 else study.name[:35] + "…"
    title = f"Study {name}: target {target_words(study)}"
    data = data_words(study) + (", SYNTHETIC" if study.synthetic else "")
    bars = "; bars: ± standard error over folds (SD/√n)" if points_of(trials) else ""
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


def _draw_watermark(axes: Axes) -> None:
    axes.text(
        0.5,
        0.45,
        "SYNTHETIC",
        transform=axes.transAxes,
        ha="center",
        va="center",
        rotation=25,
        fontsize=62,
        fontweight="bold",
        color="#B00020",
        alpha=0.13,
        zorder=1,
    )
