"""The marks of the figure: what a trial looks like, and the legend that says so.

Colour tells the recurrent cell, the marker its direction; colours are those of Okabe and Ito (2008), told
apart with every common colour vision.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from reports.charts import ANCHOR_COLOUR, CROWD, KIND_COLOURS, KIND_WORDS, OTHER_COLOUR
from reports.spread import fold_mean
from reports.words import direction, recurrent_kind
from storage.records import TrialRecord

DIRECTION_MARKERS: Mapping[str, str] = {"none": "o", "forward": ">", "bidirectional": "D", "mixed": "s"}
DIRECTION_WORDS: Mapping[str, str] = {"mixed": "forward and bidirectional"}
FRONT_COLOUR = "#333333"
N_ERROR_BARS = 60
"""With more complete trials than this only the front keeps its error bars; the rest would be a hatch."""


Span = tuple[float, float]
"""Lower and upper end of an error bar."""


def height(trial: TrialRecord) -> float:
    """Score at which a trial is drawn: its own when complete, else the mean of its finished folds."""
    score = trial.macro_auprc if trial.state == "complete" else fold_mean(trial)
    assert score is not None
    return score


def _colour(trial: TrialRecord) -> str:
    return KIND_COLOURS.get(recurrent_kind(trial.architecture), OTHER_COLOUR)


def _marker(trial: TrialRecord) -> str:
    return DIRECTION_MARKERS[direction(trial.architecture)]


def _scatter(
    axes: Axes, trials: Sequence[TrialRecord], *, size: float, alpha: float, zorder: float, filled: bool
) -> None:
    for marker in DIRECTION_MARKERS.values():
        group = [trial for trial in trials if _marker(trial) == marker]
        if not group:
            continue
        colours = [_colour(trial) for trial in group]
        axes.scatter(
            [trial.parameters for trial in group],
            [height(trial) for trial in group],
            s=size,
            marker=marker,
            facecolors=colours if filled else "none",
            edgecolors="white" if filled else colours,
            linewidths=0.4 if filled else 0.7,
            alpha=alpha,
            zorder=zorder,
            rasterized=len(trials) > CROWD,
        )


def _crowding(n_marks: int) -> float:
    """Factor on the area of a mark: 1 up to 200 marks, a fifth from 5,000 on."""
    return min(1.0, max(0.2, math.sqrt(200 / max(n_marks, 1))))


def draw_pruned(axes: Axes, pruned: Sequence[TrialRecord]) -> None:
    """Faint hollow marks at the mean of the finished folds."""
    _scatter(axes, pruned, size=14 * _crowding(len(pruned)), alpha=0.35, zorder=2, filled=False)


def draw_complete(
    axes: Axes, complete: Sequence[TrialRecord], front: Sequence[TrialRecord], spans: Mapping[int, Span]
) -> None:
    """Dots with their error bars, the staircase of the front, rings around presets."""
    on_front = {trial.number for trial in front}
    rest = [trial for trial in complete if trial.number not in on_front]
    few = len(complete) <= N_ERROR_BARS
    for trial in complete:
        (low, high), member = spans[trial.number], trial.number in on_front
        if high > low and (member or few):
            axes.errorbar(
                [trial.parameters],
                [height(trial)],
                yerr=[[height(trial) - low], [high - height(trial)]],
                ecolor=_colour(trial),
                elinewidth=0.9 if member else 0.6,
                capsize=1.8 if member else 0,
                capthick=0.6,
                alpha=1.0 if member else 0.35,
                fmt="none",
                zorder=5 if member else 3,
            )
    _scatter(axes, rest, size=22 * _crowding(len(rest)), alpha=0.85, zorder=4, filled=True)
    if front:
        right = [*(trial.parameters for trial in front), axes.get_xlim()[1]]
        heights = [*(height(trial) for trial in front), height(front[-1])]
        axes.step(right, heights, where="post", color=FRONT_COLOUR, linewidth=1.1, zorder=4.5)
    _scatter(axes, front, size=38, alpha=1.0, zorder=6, filled=True)
    presets = [trial for trial in complete if trial.preset is not None]
    axes.scatter(
        [trial.parameters for trial in presets],
        [height(trial) for trial in presets],
        s=95,
        marker="o",
        facecolors="none",
        edgecolors=FRONT_COLOUR,
        linewidths=0.6,
        zorder=5.5,
    )


def draw_anchors(axes: Axes, anchors: Sequence[Mapping[str, Any]]) -> None:
    """Stars at published results, which were not made here."""
    axes.scatter(
        [anchor["parameters"] for anchor in anchors],
        [anchor["macro_auprc"] for anchor in anchors],
        s=42,
        marker="*",
        color=ANCHOR_COLOUR,
        linewidths=0,
        zorder=4,
    )


def legend_handles(
    complete: Sequence[TrialRecord], pruned: Sequence[TrialRecord], *, with_anchors: bool = False
) -> list[Line2D]:
    """What the marks mean, for those that occur."""
    shown = [*complete, *pruned]
    kinds = {recurrent_kind(trial.architecture) for trial in shown}
    directions = {direction(trial.architecture) for trial in shown} - {"none"}
    handles = [
        _handle(KIND_WORDS.get(kind, kind), colour=KIND_COLOURS.get(kind, OTHER_COLOUR))
        for kind in sorted(kinds, key=lambda kind: (kind != "none", kind == "mixed", kind))
    ]
    handles += [
        _handle(DIRECTION_WORDS.get(name, name), marker=marker)
        for name, marker in DIRECTION_MARKERS.items()
        if name in directions
    ]
    if complete:
        handles.append(Line2D([], [], color=FRONT_COLOUR, linewidth=1.1, label="Pareto front"))
    if any(trial.preset is not None for trial in complete):
        handles.append(_handle("preset", colour=FRONT_COLOUR, size=8.0, filled=False))
    if pruned:
        handles.append(_handle("pruned (mean of its finished folds)", size=4.0, filled=False))
    if with_anchors:
        handles.append(_handle("published (external, fold 10)", colour=ANCHOR_COLOUR, marker="*", size=7.0))
    return handles


def _handle(
    label: str, *, colour: str = "#888888", marker: str = "o", size: float = 5.0, filled: bool = True
) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=marker,
        markersize=size,
        markerfacecolor=colour if filled else "none",
        markeredgewidth=0.6,
        color=colour,
        label=label,
    )
