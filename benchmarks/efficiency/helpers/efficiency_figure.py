"""The figure: hypervolume against trials, and against fold-epochs.

Drawn with matplotlib's Figure alone, so that the same figures give the same bytes. Colours are those of Okabe
and Ito (2008), distinguishable with every common colour vision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.efficiency.helpers.plan import DEFAULT_RACE, N_TRIALS, Measured, Plan
from benchmarks.efficiency.helpers.samplers import SAMPLERS
from benchmarks.efficiency.helpers.summary import REACH, Results
from benchmarks.efficiency.helpers.worlds import Floats
from benchmarks.helpers.intervals import median_interval

COLOURS = {
    "front": "#D55E00",
    "tpe": "#0072B2",
    "tpe-multivariate": "#56B4E9",
    "nsga2": "#009E73",
    "random": "#666666",
    "grid": "#CC79A7",
}
STYLES = {"tpe": "--", "nsga2": "-.", "random": ":", "grid": (0, (5, 1, 1, 1, 1, 1))}
PNG_DPI = 150
SIZE_INCHES = (9.0, 4.0)
LOWEST_SHARE = 0.5
"""Start of the vertical axis; below it are only the first few trials."""
_LABEL_GAP = 0.022
"""Smallest vertical distance of two labels, in shares of the hypervolume."""
_LABELS = {
    "left": (0.85, (-12, 0), "right"),
    "right": (1.0, (4, 0), "left"),
    "below": (0.75, (8, -8), "left"),
}
"""Side of a line to where its label stands: at what share, how far off in points, how aligned."""
N_POINTS = 200
"""Points of a line against fold-epochs."""


def write_figure(results: Results, plan: Plan, folder: Path) -> None:
    """Write `search_efficiency.png` and `.svg`."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rc("font", size=8.0)
        mpl.rc("axes", **{"linewidth": 0.6, "spines.top": False, "spines.right": False})
        mpl.rc("axes", grid=True, axisbelow=True)
        mpl.rc("grid", color="#e6e6e6", linewidth=0.5)
        mpl.rc("svg", hashsalt="ecg-architecture-search", fonttype="path")
        figure = draw(results, plan)
        figure.savefig(folder / "search_efficiency.png", dpi=PNG_DPI, metadata={"Software": None})
        figure.savefig(folder / "search_efficiency.svg", metadata={"Date": None, "Creator": None})


def draw(results: Results, plan: Plan) -> Figure:
    """The figure as a matplotlib object."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    by_trials, by_epochs = figure.subplots(1, 2, sharey=True)
    _draw_trials(by_trials, results, plan)
    _draw_epochs(by_epochs, results, plan)
    n = len({(one.source, one.seed) for one in plan.samplers})
    by_trials.set_title(f"Samplers, nothing pruned ({n} worlds)", loc="left")
    n = len({(one.source, one.seed) for one in plan.reach})
    by_epochs.set_title(f"Optuna's default and ours ({n} worlds)", loc="left")
    by_trials.set_ylabel("hypervolume, share of the achievable\nmedian and 95 % interval of the median")
    by_trials.set_ylim(LOWEST_SHARE, 1.01)
    for axes in (by_trials, by_epochs):
        axes.axhline(REACH, color="#999999", linewidth=0.6, linestyle=(0, (1, 2)))
    return figure


def _draw_trials(axes: Axes, results: Results, plan: Plan) -> None:
    numbers = np.arange(1.0, N_TRIALS + 1)
    labels = []
    for sampler in SAMPLERS:
        found = [results[one] for one in plan.samplers if one.sampler == sampler]
        if not found:
            continue
        shares = np.array([one.share_T for one in found])
        style = {"color": COLOURS[sampler], "linestyle": STYLES.get(sampler, "-")}
        medians = _draw_band(axes, numbers, shares, style)
        labels.append((float(medians[-1]), sampler, COLOURS[sampler]))
    axes.set_xlim(0, N_TRIALS)
    axes.set_xlabel("trials")
    _label_ends(axes, labels, N_TRIALS)


def _draw_epochs(axes: Axes, results: Results, plan: Plan) -> None:
    ours = [results[one] for one in plan.reach if one.sampler == "front"]
    theirs = [results[one] for one in plan.reach if one.sampler != "front"]
    # On the same worlds as the race.
    worlds = {(one.source, one.seed) for one in plan.reach}
    unpruned = [
        results[one] for one in plan.samplers if one.sampler == "front" and (one.source, one.seed) in worlds
    ]
    for found, sampler, line, label, side in (
        (theirs, "tpe", "-", "tpe, no pruning", "below"),
        (unpruned, "front", "--", "front, no pruning", "right"),
        (ours, "front", "-", f"front + {DEFAULT_RACE}", "left"),
    ):
        if found:
            _draw_spent(axes, found, {"color": COLOURS[sampler], "linestyle": line}, label, side)
    axes.set_xscale("log")
    axes.set_xlabel("fold-epochs (logarithmic)")


def _draw_spent(
    axes: Axes, found: Sequence[Measured], style: Mapping[str, Any], label: str, side: str
) -> None:
    """Against fold-epochs, from the first to the last trial that half of the searches have ended."""
    first = np.median([one.fold_epochs_T[0] for one in found])
    last = np.median([one.fold_epochs_T[-1] for one in found])
    spent = np.geomspace(first, last, N_POINTS)
    medians = _draw_band(axes, spent, np.array([_at(one, spent) for one in found]), style)
    place, offset, alignment = _LABELS[side]
    at = min(int(np.searchsorted(medians, place)), N_POINTS - 1)
    axes.annotate(
        label,
        xy=(spent[at], medians[at]),
        xytext=offset,
        textcoords="offset points",
        color=style["color"],
        ha=alignment,
        va="center",
        annotation_clip=False,
    )


def _at(one: Measured, spent: Floats) -> Floats:
    """Share of the hypervolume that had been reached with so many fold-epochs."""
    n_trials = np.searchsorted(one.fold_epochs_T, spent, side="right")
    shares: Floats = np.concatenate([[0.0], one.share_T])[n_trials]
    return shares


def _draw_band(axes: Axes, x: Floats, shares: Floats, style: Mapping[str, Any]) -> Floats:
    """Median and interval of every column; returns the medians."""
    intervals = [median_interval(column) for column in shares.T.tolist()]
    medians = np.array([each.median for each in intervals])
    axes.plot(x, medians, **style)
    axes.fill_between(
        x,
        [each.low for each in intervals],
        [each.high for each in intervals],
        color=style["color"],
        alpha=0.12,
        linewidth=0,
    )
    return medians


def _label_ends(axes: Axes, labels: Sequence[tuple[float, str, str]], x: float) -> None:
    """Names beside the ends of the lines, moved apart where they would overlap."""
    ordered = sorted(labels)
    ends = np.array([height for height, _, _ in ordered])
    steps = _LABEL_GAP * np.arange(len(ends))
    # Pushed up from the lowest, pushed down from the highest; the mean of both moves no label far.
    up = np.maximum.accumulate(ends - steps) + steps
    down = np.minimum.accumulate((ends - steps)[::-1])[::-1] + steps
    for place, (_, name, colour) in zip((up + down) / 2, ordered, strict=True):
        axes.annotate(
            name,
            xy=(x, place),
            xytext=(3, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            annotation_clip=False,
        )
