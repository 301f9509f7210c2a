"""Charts as matplotlib figures, for print, for papers, and for readers without JavaScript."""

import math
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.projections.polar import PolarAxes
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from reports.figures.charts import CROWD, Chart, Series, Symbol
from reports.figures.point_names import draw_names
from reports.figures.still_shapes import draw_bars, draw_cells, draw_wheel, drawable
from reports.figures.ticks import parameter_limits, parameter_ticks

WIDTH_INCHES = 7.2
"""Full text width of a two-column journal."""
MARKERS: Mapping[Symbol, str] = {
    "circle": "o",
    "star": "*",
    "diamond": "D",
    "square": "s",
    "triangle": ">",
    "ring": "o",
    "cross": "X",
}
AREAS: Mapping[Symbol, float] = {"star": 80.0, "triangle": 36.0, "ring": 95.0}
"""Areas of the boxes of symbols in square points where they are not `POINT_AREA`: these fill less of one."""
LEGEND_POINTS = 7
MOST_COLUMNS = 4
"""Columns of a legend."""
POINT_AREA, LARGE_AREA = 20.0, 38.0


def set_style() -> None:
    """Settings of every figure, whatever style file the user has: the same study gives the same bytes."""
    mpl.rcdefaults()
    mpl.rc("font", size=8.0)
    mpl.rc("axes", **{"linewidth": 0.6, "spines.top": False, "spines.right": False})
    mpl.rc("axes", grid=True, axisbelow=True)
    mpl.rc("grid", color="#e6e6e6", linewidth=0.5)
    mpl.rc("text", parse_math=False)  # the $ of a name begins no formula
    mpl.rc("svg", hashsalt="ecg-architecture-search", fonttype="path")


def still_figure(chart: Chart) -> Figure:
    """The chart as a matplotlib figure."""
    figure = Figure(figsize=(WIDTH_INCHES, _height(chart)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(projection="polar" if chart.polar else None)
    if isinstance(axes, PolarAxes):
        draw_wheel(axes, chart)
    else:
        if chart.cells is not None:
            draw_cells(axes, chart.cells)
        for series in chart.series:
            (draw_bars if series.mode == "bars" else _draw)(axes, chart, series)
        _set_axes(axes, chart)
    _draw_titles(axes, chart)
    if len(chart.series) > 1:
        labels = axes.get_legend_handles_labels()[1]
        figure.legend(
            loc="outside lower center", ncols=_legend_columns(labels), frameon=False, fontsize=LEGEND_POINTS
        )
    if chart.synthetic:
        draw_watermark(axes)
    draw_names(figure, axes, chart)
    return figure


def _legend_columns(labels: Sequence[str]) -> int:
    """Number of columns of a legend for which the figure has room, up to `MOST_COLUMNS`.

    A column is as wide as its longest label, with the symbol before it and the space behind it, which
    matplotlib measures in letters: 2 + .8 and 2.
    """
    font = FontProperties(size=LEGEND_POINTS)
    widths = [
        text_to_path.get_text_width_height_descent(label, font, ismath=False)[0] + 4.8 * LEGEND_POINTS
        for label in labels
    ]
    for n in range(MOST_COLUMNS, 1, -1):
        if sum(max(column) for column in np.array_split(widths, n) if len(column)) < 72 * WIDTH_INCHES:
            return n
    return 1


def _draw_titles(axes: Axes, chart: Chart) -> None:
    lines = drawable(chart.subtitle)
    n_lines = len(lines.splitlines())
    axes.set_title(
        drawable(chart.title),
        loc="left",
        fontsize=10,
        pad=6 + 10.5 * n_lines,
        fontweight="bold",
        parse_math=False,
    )
    axes.annotate(
        lines,
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
    axes.text(
        0.5, 0.97, drawable(chart.message), transform=axes.transAxes, ha="center", va="top", fontsize=10
    )


def _has_names(chart: Chart) -> bool:
    return any(any(series.names) for series in chart.series)


def _height(chart: Chart) -> float:
    """Inches."""
    if chart.polar or not chart.categories:
        return 5.4 if chart.subtitle or _has_names(chart) else 4.2
    n_bars = max(chart.lanes, sum(series.mode == "bars" for series in chart.series))
    return max(1.8, 0.9 + (0.2 if n_bars == 1 else 0.13 * n_bars) * len(chart.categories))


def draw_watermark(axes: Axes) -> None:
    """SYNTHETIC across the axes, as large as the figure lets it; the axes make no room for it."""
    figure = axes.figure
    assert figure is not None
    inches = figure.get_figure(root=True).get_size_inches()[1]
    axes.text(
        0.5,
        0.45,
        "SYNTHETIC",
        transform=axes.transAxes,
        ha="center",
        va="center",
        rotation=25,
        fontsize=min(62.0, 15 * inches),
        fontweight="bold",
        color="#B00020",
        alpha=0.13,
        zorder=1,
    ).set_in_layout(False)


def _draw(axes: Axes, chart: Chart, series: Series) -> None:
    x_N, y_N = _floats(series.x), _floats(series.y)
    alpha = 0.45 if series.faint else 1.0
    label = drawable(series.name) or "_nolegend_"
    if any(low is not None for low in series.low):
        centre_N = x_N if chart.intervals == "x" else y_N
        gaps_2N = np.stack([centre_N - _floats(series.low), _floats(series.high) - centre_N])
        bars_2N = np.maximum(np.nan_to_num(gaps_2N), 0)
        strong = series.large or series.mode == "line" or chart.intervals == "x"
        axes.errorbar(
            x_N,
            y_N,
            xerr=bars_2N if chart.intervals == "x" else None,
            yerr=bars_2N if chart.intervals == "y" else None,
            fmt="none",
            ecolor=series.colour,
            elinewidth=0.8 if strong else 0.6,
            capsize=1.8 if strong else 0,
            alpha=alpha if strong else alpha / 2,
        )
    if series.mode == "points":
        _draw_points(axes, series, alpha)
        return
    style = "steps-post" if series.mode == "steps" else "default"
    axes.plot(
        x_N,
        y_N,
        drawstyle=style,
        color=series.colour,
        linestyle="--" if series.dashed else ":" if series.dotted else "-",
        linewidth=2.0 if series.thick else 1.1,
        alpha=alpha,
        label=label,
    )


def _draw_points(axes: Axes, series: Series, alpha: float) -> None:
    x_N, y_N = _floats(series.x), _floats(series.y)
    symbols = [series.symbol(point) for point in range(len(x_N))]
    for symbol in dict.fromkeys(symbols):
        these = [place for place, each in enumerate(symbols) if each == symbol]
        hollow = series.hollow or symbol == "ring"
        area = AREAS.get(symbol, (LARGE_AREA if series.large else POINT_AREA) * _crowding(len(x_N)))
        axes.scatter(
            x_N[these],
            y_N[these],
            s=area,
            marker=MARKERS[symbol],
            facecolors="none" if hollow else series.colour,
            edgecolors=series.colour if hollow else "white",
            linewidths=0.7 if hollow else 0.4,
            alpha=alpha,
            label=(drawable(series.name) or "_nolegend_") if symbol == symbols[0] else "_nolegend_",
            zorder=3,
            rasterized=len(x_N) > CROWD,
        )


def _crowding(n_points: int) -> float:
    """Factor on the area of a symbol: 1 up to 200 points, a fifth from 5,000 on."""
    return min(1.0, max(0.2, math.sqrt(200 / max(n_points, 1))))


def _floats(values: object) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array(values, dtype=np.float64)  # None becomes nan


def _set_axes(axes: Axes, chart: Chart) -> None:
    if chart.log_x:
        axes.set_xscale("log")
        shown = [float(x) for series in chart.series for x in series.x if x is not None and x > 0]
        low, high = parameter_limits(shown)
        axes.set_xlim(low, high)
        axes.xaxis.set_major_locator(FixedLocator(parameter_ticks(low, high)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: chart.tick_words(x)))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(drawable(chart.x_label), parse_math=False)
    axes.set_ylabel(drawable(chart.y_label), parse_math=False)
    if chart.categories:
        axes.set_yticks(range(len(chart.categories)))
        axes.set_yticklabels([drawable(words) for words in chart.categories], fontsize=7, parse_math=False)
        axes.set_ylim(len(chart.categories) - 0.5, -0.5)
    elif chart.message:
        axes.set_ylim(0, 1)
    elif _has_names(chart):
        bottom, top = axes.get_ylim()
        axes.set_ylim(bottom, top + 0.15 * (top - bottom))  # names of a front stand above it
    if chart.unit_x:
        axes.set_xlim(0, 1)
    if chart.whole_x:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if chart.zero_line:
        axes.axvline(0, color="#333333", linewidth=0.8)
