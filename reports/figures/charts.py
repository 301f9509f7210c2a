"""The figures of a report as plain data, each drawn twice: interactively (plotly) and still (matplotlib)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from reports.numbers import cost_tick_words, percent_words
from scores.costs import DEFAULT_COST

Number = float | None
Symbol = Literal["circle", "star", "diamond", "square", "triangle", "ring", "cross"]
"""A ring is a large hollow circle around other symbols."""

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#999999", "#000000")
"""Colours that can be distinguished with every common colour vision (Okabe & Ito 2008)."""
SYMBOLS: tuple[Symbol, ...] = ("circle", "triangle", "diamond", "square", "star")
"""Symbols of series that are told apart by them as well."""
GREY = "#888888"
ANCHOR_COLOUR = "#A8323E"
KIND_COLOURS: Mapping[str, str] = {"none": "#000000", "GRU": "#E69F00", "LSTM": "#0072B2", "mixed": "#CC79A7"}
"""Recurrent cells, the same in every figure."""
KIND_WORDS: Mapping[str, str] = {"none": "no recurrent layer", "mixed": "GRU and LSTM"}
ENSEMBLE_COLOUR = "#7A3E9D"
"""Averages of trials."""
CELL_COLOURS = ("#F1F5FA", "#6FB1E0")
"""Colours of a share of 0 and of a share of 1; black is legible on all between."""
OTHER_COLOUR = "#009E73"
"""Colour of a recurrent cell that `KIND_COLOURS` does not list."""
CROWD = 1_000
"""More points than this are drawn small, and as pixels in SVG and PDF, where they would take megabytes."""


def nth_colour(place: int) -> str:
    """Colour of the series with that place among its like, from 0; colours recur."""
    return OKABE_ITO[place % len(OKABE_ITO)]


def line_style(place: int) -> dict[str, Any]:
    """Style of the line with that place among its like, from 0: dashed, then dotted, where colours recur."""
    n_before = place // len(OKABE_ITO)
    return {"colour": nth_colour(place), "dashed": n_before == 1, "dotted": n_before == 2}


def point_style(place: int) -> dict[str, Any]:
    """Style of the points with that place among their like, from 0."""
    return {"colour": nth_colour(place), "symbols": SYMBOLS[place % len(SYMBOLS)]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Points, a line or bars of one colour."""

    name: str
    """Entry in the legend; empty for none."""
    group: str = ""
    """Series of a group are hidden and shown together on the page; empty for none."""
    x: Sequence[Number]
    y: Sequence[Number]
    low: Sequence[Number] = ()
    """Lower ends of the intervals, in the direction of `Chart.intervals`; empty for none."""
    high: Sequence[Number] = ()
    mode: Literal["points", "line", "steps", "bars"] = "points"
    colour: str = "#0072B2"
    symbols: Symbol | Sequence[Symbol] = "circle"
    """One for all points, or one per point."""
    hollow: bool = False
    large: bool = False
    faint: bool = False
    dashed: bool = False
    dotted: bool = False
    thick: bool = False
    hover: Sequence[str] = ()
    """A text per point."""
    names: Sequence[Sequence[str]] = ()
    """Per point the names that may stand beside it in the still figure, from the longest to the shortest;
    none for a point without a name. Later points matter more. Empty if no point has a name."""

    def symbol(self, point: int) -> Symbol:
        """The symbol of a point."""
        return self.symbols[point] if not isinstance(self.symbols, str) else self.symbols


@dataclass(frozen=True, kw_only=True, slots=True)
class Cells:
    """A table whose cells are coloured by a share."""

    columns: Sequence[str]
    shares: Sequence[Sequence[Number]]
    """Values from 0 to 1, row by row."""
    words: Sequence[Sequence[str]]
    """Texts of the cells."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """One figure."""

    key: str
    """Name of its files."""
    title: str
    alt: str
    """Alternative text of the figure for screen readers."""
    x_label: str
    y_label: str
    series: Sequence[Series] = field(default_factory=tuple)
    log_x: bool = False
    percent_x: bool = False
    """Whether x is a share, shown as a percentage."""
    cost_x: str = DEFAULT_COST
    """Cost on a logarithmic x axis, which determines its unit."""
    unit_x: bool = False
    """Whether x runs from 0 to 1."""
    whole_x: bool = False
    """Whether x counts, as epochs and trials: there is nothing between whole numbers."""
    intervals: Literal["x", "y"] = "y"
    categories: Sequence[str] = ()
    """Words on the y axis for y = 0, 1, …, from top to bottom; empty for numbers."""
    lanes: int = 1
    """Points of a category that lie below one another, at fractions of y."""
    polar: bool = False
    """Whether the categories are spokes of a wheel, on which every series is a closed line of its y."""
    cells: Cells | None = None
    """A table of shares instead of series, with the categories as its rows."""
    zero_line: bool = False
    """Whether x = 0 is marked."""
    synthetic: bool = False
    note: str = ""
    """n and method, for the caption."""
    subtitle: str = ""
    """Study, data and counts, for a still figure, which stands without its page; lines."""
    message: str = ""
    """Text across a figure that has nothing to show."""

    def tick_words(self, x: float) -> str:
        """A tick of a logarithmic x in words."""
        return percent_words(x) if self.percent_x else cost_tick_words(self.cost_x, x)
