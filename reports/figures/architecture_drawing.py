"""An architecture as a drawing: a box for each layer, with the shape that leaves it and its parameters (SVG).

The model is table 1 of Jafari & Jafari, and figure 2 of Ichli 2025.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from xml.sax.saxutils import escape

from reports.figures.charts import OKABE_ITO
from reports.numbers import count_words
from reports.schema import Layer, Layers

LEAST_WIDTH, MARGIN = 640, 16
BOX_LEFT, BOX_HEIGHT, GAP = 150, 30, 12
PADDING, BETWEEN = 10, 24
"""Beside the words of a box, and at least between those on its left and those on its right."""
CHARACTER = 7.3
"""Width of a character at 12 px in DejaVu Sans, the widest of the usual fonts: the reader's is not known."""
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


def architecture_svg(description: str, layers: Layers) -> str:
    """The drawing of an architecture as the text of an SVG file.

    Args:
        description: the architecture in a sentence.
        layers: its layers.
    """
    boxes = list(_boxes(layers.layers))
    longest = max(len(box.words) + len(_shape_and_parameters(box)) for box in boxes)
    width = max(LEAST_WIDTH, round(BOX_LEFT + MARGIN + 2 * PADDING + BETWEEN + CHARACTER * longest))
    size = max(7, min(13, int(1.55 * width) // len(description)))  # on one line
    rows = [_text(MARGIN, 26, description, size=size, bold=True)]
    y = 44
    signal = f"{layers.n_leads} × {layers.n_samples}"
    rows += _box(y, width, f"{layers.n_leads} leads", signal, "#666666")
    y += BOX_HEIGHT + GAP
    for part, members in groupby(boxes, key=lambda box: box.part):
        top = y
        for box in members:
            rows.append(_arrow(width, y - GAP, y))
            rows += _box(y, width, box.words, _shape_and_parameters(box), _COLOURS[part])
            y += BOX_HEIGHT + GAP
        rows.append(
            _text(MARGIN, (top + y - GAP) / 2 + 4, PART_WORDS[part], colour=_COLOURS[part], bold=True)
        )
    total = count_words(sum(layer.parameters for layer in layers.layers), "parameter")
    rows.append(_text(BOX_LEFT, y + 10, f"{total} in all"))
    height = y + 10 + MARGIN
    title = escape(f"{description}, layer by layer")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" width="{width}" '
            f'height="{height:g}" font-family="sans-serif" role="img">',
            f"<title>{title}</title>",
            f'<rect width="{width}" height="{height:g}" fill="#ffffff"/>',
            *rows,
            "</svg>",
            "",
        ]
    )


@dataclass(kw_only=True, slots=True)
class _Box:
    """A layer, merged with the layers drawn in the same box."""

    part: str
    words: str
    shape: str
    parameters: int


def shape_words(layer: Layer) -> str:
    """Output shape of a layer: channels × samples, or the width after the pooling over time."""
    return f"{layer.channels} × {layer.samples}" if layer.samples > 1 else str(layer.channels)


def _boxes(layers: Iterable[Layer]) -> Iterator[_Box]:
    box: _Box | None = None
    for layer in layers:
        if box is not None and layer.layer in _IN_PLACE and layer.part == box.part:
            box.words += f", {layer.layer}"
            box.parameters += layer.parameters
            continue
        if box is not None:
            yield box
        box = _Box(part=layer.part, words=layer.layer, shape=shape_words(layer), parameters=layer.parameters)
    if box is not None:
        yield box


def _shape_and_parameters(box: _Box) -> str:
    """Words on the right of a box."""
    parameters = [count_words(box.parameters, "parameter")] if box.parameters else []
    return " · ".join([box.shape, *parameters])


def _box(y: float, width: int, left: str, right: str, colour: str) -> list[str]:
    middle = y + BOX_HEIGHT / 2 + 4
    return [
        f'<rect x="{BOX_LEFT}" y="{y:g}" width="{width - BOX_LEFT - MARGIN}" height="{BOX_HEIGHT}" rx="4" '
        f'fill="{colour}" fill-opacity="0.12" stroke="{colour}"/>',
        _text(BOX_LEFT + PADDING, middle, left),
        _text(width - MARGIN - PADDING, middle, right, anchor="end"),
    ]


def _arrow(width: int, start: float, end: float) -> str:
    x = BOX_LEFT + (width - BOX_LEFT - MARGIN) / 2
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
