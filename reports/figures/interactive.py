"""Charts as plotly figures: plain data for plotly.js, without the Python package's figure classes."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import escape

from reports.figures.charts import CELL_COLOURS, CROWD, Cells, Chart, Series, Symbol
from reports.figures.ticks import parameter_limits, parameter_ticks

WHEEL = {"direction": "clockwise", "rotation": 90, "type": "category"}
SYMBOLS: Mapping[Symbol, str] = {"triangle": "triangle-right", "ring": "circle-open", "cross": "x"}
"""Names that plotly has for symbols; the others are its own."""
SIZES: Mapping[Symbol, int] = {"star": 12, "ring": 16}
FEW_WHOLE = 10
"""An axis of whole numbers over less than this has a tick at each."""
CURVE = 100
"""A line of more points than this is drawn without them."""
POINT_SIZE, LARGE_SIZE, CROWDED_SIZE = 8, 10, 4
"""Diameters in pixels."""


def plotly_figure(chart: Chart) -> dict[str, Any]:
    """`data` and `layout` for `Plotly.newPlot`; colours of text and grid are left to the page."""
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": chart.x_label}, "automargin": True, "zeroline": chart.zero_line},
        "yaxis": {"title": {"text": chart.y_label}, "automargin": True, "zeroline": False},
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        "hovermode": "closest",
        "showlegend": sum(bool(series.name) for series in chart.series) > 1,
        "height": 460,
    }
    if chart.log_x:
        layout["xaxis"] |= _log_ticks(chart)
    heights = {y for series in chart.series for y in (*series.y, *series.low, *series.high) if y is not None}
    if len(heights) == 1 and not chart.categories:
        (only,) = heights
        layout["yaxis"]["range"] = [only - 0.05, only + 0.05]  # by default plotly goes below zero
    if chart.unit_x:
        layout["xaxis"]["range"] = [0, 1]
    if chart.whole_x:
        places = [x for series in chart.series for x in series.x if x is not None]
        if places and max(places) - min(places) < FEW_WHOLE:  # wider ones plotly steps by whole numbers
            layout["xaxis"] |= {"tick0": 0, "dtick": 1}
    if chart.polar:
        between_spokes = 90 - 180 / len(chart.categories)
        radial = {"range": [0, 1], "angle": between_spokes, "tickangle": 0, "tickvals": [0.2, 0.4, 0.6, 0.8]}
        # Words beside the wheel take no room of their own; on a phone they would be cut.
        layout["polar"] = {
            "domain": {"x": [0.12, 0.88], "y": [0.06, 0.94]},
            "radialaxis": radial,
            "angularaxis": dict(WHEEL),
        }
        layout |= {axis: {"visible": False} for axis in ("xaxis", "yaxis")}
    elif chart.categories:
        places = list(range(len(chart.categories)))
        layout["yaxis"] |= {
            "tickvals": places,
            "ticktext": list(chart.categories),
            "range": [len(places) - 0.5, -0.5],
        }
        n_bars = max(chart.lanes, sum(series.mode == "bars" for series in chart.series))
        layout["height"] = 170 + (24 if n_bars < 2 else 13 * n_bars) * len(places)
    if chart.cells is not None:
        layout["xaxis"] |= {"tickvals": list(range(len(chart.cells.columns))), "showgrid": False}
        layout["xaxis"]["ticktext"] = list(chart.cells.columns)
    across = {"xref": "paper", "yref": "paper", "x": 0.5, "showarrow": False}
    if chart.message:
        layout["annotations"] = [{"text": chart.message, "y": 0.9, **across}]
    if chart.synthetic:
        font = {"size": 52, "color": "#B00020"}
        watermark = {"text": "SYNTHETIC", "y": 0.5, "textangle": -20, "opacity": 0.2, "font": font, **across}
        layout["annotations"] = [*layout.get("annotations", []), watermark]
    traces = [_trace(chart, series) for series in chart.series]
    if chart.cells is not None:
        traces.insert(0, _heatmap(chart.cells))
    return {"data": traces, "layout": layout}


def _log_ticks(chart: Chart) -> dict[str, Any]:
    """Whole numbers in words: by default plotly writes 2 and 5 between 10 k and 100 k."""
    shown = [float(x) for series in chart.series for x in series.x if x is not None and x > 0]
    low, high = parameter_limits(shown)
    ticks = parameter_ticks(low, high)
    return {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickvals": ticks,
        "ticktext": [chart.tick_words(tick) for tick in ticks],
    }


def _heatmap(cells: Cells) -> dict[str, Any]:
    return {
        "type": "heatmap",
        "z": [list(row) for row in cells.shares],
        "text": [list(row) for row in cells.words],
        "texttemplate": "%{text}",
        "hoverinfo": "skip",
        "zmin": 0,
        "zmax": 1,
        "colorscale": [[0, CELL_COLOURS[0]], [1, CELL_COLOURS[1]]],
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
    }


def _trace(chart: Chart, series: Series) -> dict[str, Any]:
    trace: dict[str, Any] = {
        "type": "scatter",
        "name": series.name,
        "x": _rounded(series.x),
        "y": _rounded(series.y),
        "opacity": 0.45 if series.faint else 1,
    }
    if not series.name:
        trace["showlegend"] = False
    if series.group:
        trace["legendgroup"] = series.group
    if series.hover:
        trace |= {"text": list(series.hover), "hovertemplate": "%{text}<extra></extra>"}
    else:
        trace["hoverinfo"] = "skip"
    if series.mode == "bars":
        trace |= {"type": "bar", "orientation": "h", "marker": {"color": series.colour}}
        trace["textposition"] = "none"
    elif series.mode == "points":
        trace |= {"mode": "markers", "marker": _marker(series)}
    else:
        line: dict[str, Any] = {"color": series.colour, "width": 4 if series.thick else 2}
        if series.mode == "steps":
            line["shape"] = "hv"
        if series.dashed or series.dotted:
            line["dash"] = "dash" if series.dashed else "dot"
        trace |= {
            "mode": "lines+markers" if series.mode == "line" and 0 < len(series.hover) <= CURVE else "lines",
            "line": line,
        }
    if chart.polar:
        places = [*range(len(chart.categories)), 0]
        trace |= {"type": "scatterpolar", "theta": [chart.categories[place] for place in places]}
        trace |= {
            "r": [trace["y"][place] for place in places],
            "text": [series.hover[place] for place in places],
        }
        del trace["x"], trace["y"]
    if any(low is not None for low in series.low):
        centre = series.x if chart.intervals == "x" else series.y
        bars = {
            "type": "data",
            "symmetric": False,
            "array": _rounded(_gap(middle, high) for middle, high in zip(centre, series.high, strict=True)),
            "arrayminus": _rounded(_gap(low, middle) for middle, low in zip(centre, series.low, strict=True)),
            "thickness": 1.2,
            "width": 3,
            "color": series.colour,
        }
        trace[f"error_{chart.intervals}"] = bars
    return trace


def _marker(series: Series) -> dict[str, Any]:
    names = [_plotly_symbol(series.symbol(point), hollow=series.hollow) for point in range(len(series.x))]
    size = CROWDED_SIZE if len(series.x) > CROWD else LARGE_SIZE if series.large else POINT_SIZE
    if len(set(names)) < 2:
        first = series.symbol(0) if names else "circle"
        one = names[0] if names else "circle"
        return {"color": series.colour, "symbol": one, "size": SIZES.get(first, size)}
    return {"color": series.colour, "symbol": names, "size": size}


def _plotly_symbol(symbol: Symbol, *, hollow: bool) -> str:
    name = SYMBOLS.get(symbol, symbol)
    return f"{name}-open" if hollow and not name.endswith("-open") else name


def _rounded(values: Iterable[float | None]) -> list[float | None]:
    """Whole numbers as they are, others to six digits: more than any screen can show; undefined ones None."""
    return [
        (float(f"{value:.6g}") if math.isfinite(value) else None) if isinstance(value, float) else value
        for value in values
    ]


def _gap(low: float | None, high: float | None) -> float | None:
    return None if low is None or high is None else max(high - low, 0.0)


def escaped(value: Any) -> Any:
    """A figure whose texts plotly shows as they are: it would take tags in them for its own markup.

    Line breaks are ours and stay.
    """
    if isinstance(value, str):
        return str(escape(value)).replace("&lt;br&gt;", "<br>").replace("&#39;", "'").replace("&#34;", '"')
    if isinstance(value, dict):
        return {
            key: each if key in {"hovertemplate", "color"} else escaped(each) for key, each in value.items()
        }
    return [escaped(each) for each in value] if isinstance(value, list) else value
