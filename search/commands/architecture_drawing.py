"""An architecture as a drawing: a box for each layer, with the shape that leaves it and its parameters (SVG).

The model is table 1 of Jafari & Jafari, and figure 2 of Ichli 2025.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any
from xml.sax.saxutils import escape

from reports.figures.charts import OKABE_ITO
from reports.numbers import count_words

WIDTH, MARGIN = 640, 16
BOX_LEFT, BOX_HEIGHT, GAP = 150, 30, 12
PART_WORDS: Mapping[str, str] = {
    "backbone": "front end",
    "recurrent": "recurrent layers",
    "pooling": "pooling",
    "gate": "gate",
    "features": "features",
    "head": "head",
    "label_tier": "output",
}
_COLOURS = dict(zip(PART_WORDS, OKABE_ITO, strict=False))
_IN_PLACE = {"batch norm", "ReLU", "spatial dropout"}
"""Layers drawn in the box of the layer before, whose shape they keep."""


def architecture_svg(document: Mapping[str, Any]) -> str:
    """Text of an SVG file that draws a document of `search.commands.architecture_text`."""
    boxes = list(_boxes(document["layers"]))
    size = max(7, min(13, 1000 // len(document["description"])))  # on one line
    rows = [_text(MARGIN, 26, document["description"], size=size, bold=True)]
    y = 44
    rows += _box(
        y, f"{document['n_leads']} leads", [f"{document['n_leads']} × {document['n_samples']}"], "#666666"
    )
    y += BOX_HEIGHT + GAP
    for part, members in groupby(boxes, key=lambda box: box["part"]):
        top = y
        for box in members:
            rows.append(_arrow(y - GAP, y))
            rows += _box(y, box["words"], [box["shape"], box["parameters"]], _COLOURS[part])
            y += BOX_HEIGHT + GAP
        rows.append(
            _text(MARGIN, (top + y - GAP) / 2 + 4, PART_WORDS[part], colour=_COLOURS[part], bold=True)
        )
    total = count_words(sum(layer["parameters"] for layer in document["layers"]), "parameter")
    rows.append(_text(BOX_LEFT, y + 10, f"{total} in all"))
    height = y + 10 + MARGIN
    title = escape(f"{document['description']}, layer by layer")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" '
            f'height="{height:g}" font-family="sans-serif" role="img">',
            f"<title>{title}</title>",
            f'<rect width="{WIDTH}" height="{height:g}" fill="#ffffff"/>',
            *rows,
            "</svg>",
            "",
        ]
    )


def _boxes(layers: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    """Layers, each with the others in its box, in words."""
    merged: list[dict[str, Any]] = []
    for layer in layers:
        last = merged[-1] if merged else None
        if last is not None and layer["layer"] in _IN_PLACE and layer["part"] == last["part"]:
            last["words"] += f", {layer['layer']}"
            last["n"] += layer["parameters"]
            continue
        is_series = layer["samples"] > 1
        merged.append(
            {
                "part": layer["part"],
                "words": layer["layer"],
                "shape": f"{layer['channels']} × {layer['samples']}" if is_series else str(layer["channels"]),
                "n": layer["parameters"],
            }
        )
    for box in merged:
        yield {**box, "parameters": count_words(box["n"], "parameter") if box["n"] else ""}


def _box(y: float, words: str, right: Iterable[str], colour: str) -> list[str]:
    middle = y + BOX_HEIGHT / 2 + 4
    width = WIDTH - BOX_LEFT - MARGIN
    told = " · ".join(filter(None, right))
    return [
        f'<rect x="{BOX_LEFT}" y="{y:g}" width="{width}" height="{BOX_HEIGHT}" rx="4" fill="{colour}" '
        f'fill-opacity="0.12" stroke="{colour}"/>',
        _text(BOX_LEFT + 10, middle, words),
        _text(WIDTH - MARGIN - 10, middle, told, anchor="end"),
    ]


def _arrow(start: float, end: float) -> str:
    x = BOX_LEFT + (WIDTH - BOX_LEFT - MARGIN) / 2
    return (
        f'<path d="M{x:g} {start:g} V{end - 3:g} M{x - 3:g} {end - 5:g} L{x:g} {end - 1:g} '
        f'L{x + 3:g} {end - 5:g}" fill="none" stroke="#333333"/>'
    )


def _text(
    x: float,
    y: float,
    words: str,
    *,
    size: int = 12,
    bold: bool = False,
    anchor: str = "start",
    colour: str = "#111111",
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{weight}>'
        f"{escape(words)}</text>"
    )
