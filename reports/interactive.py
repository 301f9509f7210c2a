"""Charts as plotly figures: plain data for plotly.js, without the Python package's figure classes."""

from typing import Any

from markupsafe import escape

from reports.charts import Chart, Series

SYMBOLS = {"triangle": "triangle-up", "square": "square-open"}


def plotly_figure(chart: Chart) -> dict[str, Any]:
    """`data` and `layout` for `Plotly.newPlot`; colours of text and grid are left to the page."""
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": chart.x_label}, "automargin": True, "zeroline": chart.zero_line},
        "yaxis": {"title": {"text": chart.y_label}, "automargin": True, "zeroline": False},
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        "hovermode": "closest",
        "showlegend": len(chart.series) > 1,
        "height": 460,
    }
    if chart.log_x:
        layout["xaxis"] |= {"type": "log", "dtick": "D2"}
    if chart.percent_x:
        layout["xaxis"]["tickformat"] = ".2~%"
    if chart.categories:
        places = list(range(len(chart.categories)))
        layout["yaxis"] |= {
            "tickvals": places,
            "ticktext": list(chart.categories),
            "range": [len(places) - 0.5, -0.5],
        }
        layout["height"] = 170 + 24 * len(places)
    if chart.synthetic:
        layout["annotations"] = [
            {
                "text": "SYNTHETIC",
                "xref": "paper",
                "yref": "paper",
                "x": 0.5,
                "y": 0.5,
                "showarrow": False,
                "textangle": -20,
                "opacity": 0.2,
                "font": {"size": 52, "color": "#B00020"},
            }
        ]
    return {"data": [_trace(chart, series) for series in chart.series], "layout": layout}


def _trace(chart: Chart, series: Series) -> dict[str, Any]:
    trace: dict[str, Any] = {
        "type": "scatter",
        "name": series.name,
        "x": list(series.x),
        "y": list(series.y),
        "opacity": 0.45 if series.faint else 1,
    }
    if series.hover:
        trace |= {"text": list(series.hover), "hovertemplate": "%{text}<extra></extra>"}
    else:
        trace["hoverinfo"] = "skip"
    if series.mode == "points":
        symbol = SYMBOLS.get(series.symbol, series.symbol)
        size = 12 if series.symbol in {"star", "square"} else 8
        trace |= {"mode": "markers", "marker": {"color": series.colour, "symbol": symbol, "size": size}}
    else:
        line: dict[str, Any] = {"color": series.colour, "width": 2}
        if series.mode == "steps":
            line["shape"] = "hv"
        if series.dashed:
            line["dash"] = "dash"
        trace |= {
            "mode": "lines+markers" if series.hover and series.mode == "line" else "lines",
            "line": line,
        }
    if any(low is not None for low in series.low):
        centre = series.x if chart.intervals == "x" else series.y
        bars = {
            "type": "data",
            "symmetric": False,
            "array": [_gap(middle, high) for middle, high in zip(centre, series.high, strict=True)],
            "arrayminus": [_gap(low, middle) for middle, low in zip(centre, series.low, strict=True)],
            "thickness": 1.2,
            "width": 3,
            "color": series.colour,
        }
        trace[f"error_{chart.intervals}"] = bars
    return trace


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
