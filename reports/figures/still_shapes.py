"""Bars, tables of shares, wheels of spokes and letters in matplotlib, for `reports.figures.still`."""

from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.projections.polar import PolarAxes

from reports.figures.charts import CELL_COLOURS, Cells, Chart, Series

BAR_SPACE = 0.8
"""Share of a category that its bars fill."""


def drawable(text: str) -> str:
    """The text with a box for whatever the font cannot draw, so that no name can stop a report."""
    known = _letters(findfont(FontProperties()))
    return "".join(
        letter if letter == "\n" or (ord(letter) in known and letter.isprintable()) else "□"
        for letter in text
    )


@cache
def _letters(font_file: str) -> frozenset[int]:
    """Code points that a font has."""
    return frozenset(get_font(font_file).get_charmap())


def draw_bars(axes: Axes, chart: Chart, series: Series) -> None:
    """Horizontal bars; several series lie beside each other."""
    bars = [each for each in chart.series if each.mode == "bars"]
    thickness = BAR_SPACE / len(bars)
    place = bars.index(series)
    offset = (place - (len(bars) - 1) / 2) * thickness
    axes.barh(
        [float(y) + offset for y in series.y if y is not None],
        [0.0 if x is None else float(x) for x in series.x],
        height=thickness,
        color=series.colour,
        label=drawable(series.name),
    )


def draw_cells(axes: Axes, cells: Cells) -> None:
    """Coloured cells with their words; a share that is not defined stays white."""
    shares = np.array(cells.shares, dtype=np.float64)
    low, high = (np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255 for colour in CELL_COLOURS)
    known = np.nan_to_num(shares)[..., None]
    image = np.where(np.isnan(shares)[..., None], 1.0, low + known * (high - low))
    axes.imshow(image, aspect="auto", interpolation="nearest")
    for row, line in enumerate(cells.words):
        for column, words in enumerate(line):
            axes.text(column, row, words, ha="center", va="center", fontsize=7, color="black")
    axes.set_xticks(range(len(cells.columns)))
    axes.set_xticklabels([drawable(words) for words in cells.columns], fontsize=7, parse_math=False)
    axes.tick_params(length=0)
    axes.grid(visible=False)


def draw_wheel(axes: PolarAxes, chart: Chart) -> None:
    """Every series as a closed line over the spokes, clockwise from the top."""
    angle_N = np.linspace(0, 2 * np.pi, len(chart.categories), endpoint=False)
    for series in chart.series:
        radius_N = np.array(series.y, dtype=np.float64)
        axes.plot(
            np.append(angle_N, angle_N[0]),
            np.append(radius_N, radius_N[0]),
            color=series.colour,
            linewidth=1.2,
            label=drawable(series.name),
        )
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_rlim(0, 1)
    axes.set_xticks(angle_N)
    axes.set_xticklabels([drawable(words) for words in chart.categories], fontsize=7, parse_math=False)
    axes.tick_params(axis="y", labelsize=6)
