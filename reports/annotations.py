"""Text in the figure: names at the points of the front, and letters that the font can draw."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patheffects import withStroke

from reports.labels import Boxes, Label, Placement, place_labels
from reports.marks import Span, height
from reports.words import stack_words, width_words
from storage.records import TrialRecord

LABEL_SIZE = 6.5
N_TWO_LINES = 12
"""On a front with more members than this the widths are left to the tables."""
LEADER_FROM = 12.0
"""A label further than this from its point, in pixels at 100 dpi, gets a line to it."""


def drawable(text: str) -> str:
    """The text with a box for whatever the font cannot draw, so that no name can stop a report."""
    known = get_font(findfont(FontProperties())).get_charmap()
    return "".join(
        letter if letter == "\n" or (ord(letter) in known and letter.isprintable()) else "□"
        for letter in text
    )


def _label_texts(trial: TrialRecord, *, with_widths: bool) -> list[str]:
    """Texts for a member of the front, from the one that says most to the shortest."""
    stack = f"#{trial.number} {stack_words(trial.architecture)}"
    widths = width_words(trial.architecture)
    return ([f"{stack}\n{widths}"] if widths and with_widths else []) + [stack, f"#{trial.number}"]


def draw_names(
    figure: Figure,
    axes: Axes,
    shown: Sequence[TrialRecord],
    front: Sequence[TrialRecord],
    spans: Mapping[int, Span],
) -> None:
    """Names the members of the front in words and the other presets by their names, where there is room."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout is settled: labels are placed on it
    on_front = {trial.number for trial in front}
    presets = [
        trial
        for trial in shown
        if trial.state == "complete" and trial.preset and trial.number not in on_front
    ]
    members = [*front[-1:], *front[:-1]]  # the best must not be the one that finds no room
    two_lines = len(front) <= N_TWO_LINES
    texts = [_label_texts(trial, with_widths=two_lines) for trial in members]
    texts += [[str(trial.preset)] for trial in presets]
    named = [*members, *presets]
    if not named:
        return
    xy_N2 = axes.transData.transform([(trial.parameters, height(trial)) for trial in named])
    labels = [
        Label(x=float(x), y=float(y), sizes=tuple(_text_size(axes, text) for text in choices))
        for (x, y), choices in zip(xy_N2, texts, strict=True)
    ]
    box = axes.get_window_extent()
    rest = [trial for trial in shown if trial.number not in on_front]
    placements = place_labels(
        labels,
        area=(box.x0, box.y0, box.x1, box.y1),
        keep_N4=_front_boxes(axes, front, spans),
        avoid_N4=_dot_boxes(axes, rest, half=4.0),
    )
    for trial, label, choices, placement in zip(named, labels, texts, placements, strict=True):
        if placement is not None:
            words = drawable(choices[placement.text])
            _draw_label(axes, trial, label, placement, words, strong=trial.number in on_front)


def _text_size(axes: Axes, text: str) -> tuple[float, float]:
    """Width and height in pixels, with a margin of two."""
    artist = axes.text(0, 0, drawable(text), fontsize=LABEL_SIZE, linespacing=1.1, parse_math=False)
    extent = artist.get_window_extent()
    artist.remove()
    return float(extent.width) + 4.0, float(extent.height) + 4.0


def _dot_boxes(axes: Axes, trials: Sequence[TrialRecord], *, half: float) -> Boxes:
    if not trials:
        return np.empty((0, 4))
    xy_N2 = axes.transData.transform([(trial.parameters, height(trial)) for trial in trials])
    return np.concatenate([xy_N2 - half, xy_N2 + half], axis=1)


def _front_boxes(axes: Axes, front: Sequence[TrialRecord], spans: Mapping[int, Span]) -> Boxes:
    """Boxes around the marks, the error bars and the line of the front."""
    marks_N4 = _dot_boxes(axes, front, half=5.0)
    if not front:
        return marks_N4
    ends = [[(trial.parameters, end) for end in spans[trial.number]] for trial in front]
    ends_N22 = axes.transData.transform(np.reshape(ends, (-1, 2))).reshape(-1, 2, 2)
    x_N, y_N = (marks_N4[:, 0] + marks_N4[:, 2]) / 2, (marks_N4[:, 1] + marks_N4[:, 3]) / 2
    bars_N4 = np.stack([x_N - 3, ends_N22[:, 0, 1], x_N + 3, ends_N22[:, 1, 1]], axis=1)
    right_N = np.append(x_N[1:], axes.get_window_extent().x1)
    treads_N4 = np.stack([x_N, y_N - 1, right_N, y_N + 1], axis=1)
    risers_N4 = np.stack([right_N[:-1] - 1, y_N[:-1], right_N[:-1] + 1, y_N[1:]], axis=1)
    return np.concatenate([marks_N4, bars_N4, treads_N4, risers_N4])


def _draw_label(
    axes: Axes, trial: TrialRecord, label: Label, placement: Placement, words: str, *, strong: bool
) -> None:
    to_points = 72 / axes.figure.dpi
    offset = ((placement.x - label.x) * to_points, (placement.y - label.y) * to_points)
    width, tall = label.sizes[placement.text]
    gap_x = max(abs(placement.x - label.x) - width / 2, 0.0)
    gap_y = max(abs(placement.y - label.y) - tall / 2, 0.0)
    leader = {"arrowstyle": "-", "color": "#888888", "linewidth": 0.5, "shrinkA": 0.0, "shrinkB": 3.0}
    text = axes.annotate(
        words,
        xy=(trial.parameters, height(trial)),
        xytext=offset,
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=LABEL_SIZE,
        linespacing=1.1,
        color="black" if strong else "#666666",
        style="normal" if strong else "italic",
        arrowprops=leader if math.hypot(gap_x, gap_y) > LEADER_FROM else None,
        zorder=7,
        parse_math=False,
    )
    text.set_path_effects([withStroke(linewidth=1.6, foreground="white")])
