"""The sheet of an explanation: a standard ECG print at true scale with the map in colour.

Twelve leads stand in three rows of four and a rhythm strip of lead II, at 25 mm/s and 10 mm/mV on a grid of
1 and 5 mm; other sets of leads in a row each, and single beats at 100 mm/s. All coordinates are millimetres
of an A4 sheet in landscape, which grows downwards where the rows need more room.

Shapes: L lead, T time, 4 red, green, blue and opacity.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, minimum_filter1d

from reports.words import sentence
from search.data.signals.leads import LEADS
from search.errors import UsageError
from search.explain import words
from search.explain.explain import Explanation

Floats = NDArray[np.float64]

MM_PER_S: Final = 25.0
SHORT_S, FAST_MM_PER_S = 2.5, 100.0
"""Windows up to this length, which are single beats, are drawn four times as wide."""
GAINS: Final = (10.0, 5.0)
"""mm/mV: the standard, and half of it where the rows would not fit."""
WIDTH, HEIGHT = 297.0, 210.0
LEFT, GRID_WIDTH = 13.5, 270.0
TRACE_LEFT: Final = LEFT + 15.0
"""Left end of the traces behind the calibration pulse: 5 mm flat, 5 mm of 1 mV, 5 mm flat."""
LONGEST_LINE_S: Final = 10.16
"""Longest window drawn in one line of the grid; longer ones are drawn in lines of ten seconds."""
LINE_S: Final = 10.0
TOP, HEADER = 7.0, 28.0
FOOTER: Final = 40.0
GRID_MOST: Final = 135.0
"""Height of the grid on a sheet of A4."""
LABEL_MM: Final = 4.5
"""Room above each trace for the name of the lead."""
STRIP_MM: Final = 3.2
LEAST_UP, LEAST_DOWN = 8.0, 4.0
STANDARD: Final = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
RHYTHM: Final = "II"
SMOOTH_S: Final = 0.02
HIGHEST_QUANTILE: Final = 0.99
"""Quantile of the absolute values from which colours are darkest."""
MARKER_S, MARKER_MM = 0.04, 1.4
"""Width of the coloured band beside the trace of a lead."""

PAPER, FINE, COARSE, INK = "#fffafa", "#f8d9d7", "#eba9a4", "#111111"
RAISES, LOWERS, ATTENDS = (0.10, 0.30, 0.85), (0.93, 0.48, 0.02), (0.05, 0.50, 0.35)
"""Blue, orange and green, which people with colour blindness tell apart and which differ from the grid."""
MOST_OPAQUE: Final = 0.55
PNG_DPI: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A stretch of one lead in a row."""

    lead: int
    start_s: float
    end_s: float
    left_mm: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Stretches side by side."""

    segments: tuple[Segment, ...]
    base_mm: float
    """Height of zero volts."""
    top_mm: float
    bottom_mm: float


def make_sheet(explained: Explanation, *, all_leads: bool = False) -> Figure:
    """Draw an explanation.

    Args:
        explained: The explanation to draw.
        all_leads: Draw every lead at full length, in a row of its own, instead of the standard sheet.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rc("font", size=8.0)
        return _draw(explained, all_leads=all_leads)


def save_sheet(figure: Figure, path: Path) -> None:
    """Write a sheet as PNG, SVG or PDF, by the suffix.

    Raises:
        UsageError: The file cannot be written.
    """
    kind = path.suffix.lower().removeprefix(".")
    # No date, and the same ids: the same explanation gives the same bytes.
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    with mpl.rc_context({"svg.hashsalt": "explain", "pdf.fonttype": 42}):
        try:
            figure.savefig(path, format=kind, dpi=PNG_DPI, metadata=metadata)
        except OSError as error:
            raise UsageError(f"--out: {path} cannot be written: {error.strerror or error}") from error


# ---------------------------------------------------------------------------------------------------------
# Layout


def speed_of(duration_s: float) -> float:
    """Millimetres for one second of a window of this length."""
    return FAST_MM_PER_S if duration_s <= SHORT_S else MM_PER_S


def segments_of(leads: Sequence[str], duration_s: float, *, all_leads: bool) -> list[tuple[Segment, ...]]:
    """Segments of leads in each row of the sheet."""
    if set(leads) == set(LEADS) and SHORT_S < duration_s <= LONGEST_LINE_S and not all_leads:
        quarter_s = duration_s / len(STANDARD[0])
        rows = [
            tuple(
                Segment(
                    lead=leads.index(name),
                    start_s=column * quarter_s,
                    end_s=(column + 1) * quarter_s,
                    left_mm=TRACE_LEFT + column * quarter_s * MM_PER_S,
                )
                for column, name in enumerate(names)
            )
            for names in STANDARD
        ]
        whole = Segment(lead=leads.index(RHYTHM), start_s=0.0, end_s=duration_s, left_mm=TRACE_LEFT)
        return [*rows, (whole,)]
    line_s = duration_s if duration_s <= LONGEST_LINE_S else LINE_S
    starts = np.arange(0.0, duration_s - 1e-6, line_s).tolist()
    return [
        (Segment(lead=lead, start_s=start, end_s=min(start + line_s, duration_s), left_mm=TRACE_LEFT),)
        for lead in range(len(leads))
        for start in starts
    ]


def rows_of(
    segments: Sequence[tuple[Segment, ...]], mv_LT: Floats, rate_hz: float
) -> tuple[list[tuple[float, float]], float]:
    """Room that each row needs above and below zero volts, in mm, and the gain with which all fit."""
    extents = []
    for row in segments:
        parts = [mv_LT[segment.lead, _samples(segment, rate_hz, mv_LT.shape[1])] for segment in row]
        extents.append((max(part.max() for part in parts), -min(part.min() for part in parts)))
    for gain in GAINS:
        needed = [
            (max(gain * up, LEAST_UP) + LABEL_MM, max(gain * down, LEAST_DOWN) + 1.0) for up, down in extents
        ]
        if sum(map(sum, needed)) <= GRID_MOST:
            break
    return needed, gain


def _samples(segment: Segment, rate_hz: float, n_samples: int) -> slice:
    """Samples of a segment, up to the first sample of the next one inclusive."""
    first = round(segment.start_s * rate_hz)
    return slice(first, min(round(segment.end_s * rate_hz) + 1, n_samples))


# ---------------------------------------------------------------------------------------------------------
# Drawing


def _draw(explained: Explanation, *, all_leads: bool) -> Figure:
    native_LT = explained.native_LT / 1000.0
    mv_LT = native_LT - np.median(native_LT, axis=1, keepdims=True)
    duration_s = mv_LT.shape[1] / explained.rate_hz
    segments = segments_of(explained.leads, duration_s, all_leads=all_leads)
    needed, gain = rows_of(segments, mv_LT, explained.rate_hz)
    # Whole large squares; room that is left on a sheet of A4 goes to the rows.
    grid_height = 5.0 * np.ceil(max(sum(map(sum, needed)), min(GRID_MOST, 33.0 * len(needed))) / 5.0)
    height = max(HEIGHT, TOP + HEADER + grid_height + FOOTER)
    spare = (grid_height - sum(map(sum, needed))) / len(needed)
    grid_top = height - TOP - HEADER
    rows, top = [], grid_top
    for parts, (up, down) in zip(segments, needed, strict=True):
        base = round(top - up - spare / 2)
        rows.append(Row(segments=parts, base_mm=base, top_mm=top, bottom_mm=top - up - down - spare))
        top -= up + down + spare
    figure = Figure(figsize=(WIDTH / 25.4, height / 25.4), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0), xlim=(0.0, WIDTH), ylim=(0.0, height))
    axes.set_axis_off()
    _draw_grid(axes, grid_top, grid_height)
    shown_LT, scale = displayed(explained)
    panel = _Panel(
        axes=axes,
        explained=explained,
        mv_LT=mv_LT,
        gain=gain,
        mm_per_s=speed_of(duration_s),
        colours_LT4=colours(shown_LT, scale),
    )
    for row in rows:
        _draw_pulse(axes, row, gain)
        for number, segment in enumerate(row.segments):
            panel.draw_map(row, segment)
            panel.draw_trace(row, segment, is_first=number == 0)
    axes.set_xlim(0.0, WIDTH)
    axes.set_ylim(0.0, height)
    _draw_header(axes, explained, height, gain, speed_of(duration_s))
    below = _draw_attention(axes, explained, grid_top - grid_height, duration_s)
    _draw_footer(axes, explained, below)
    return figure


def displayed(explained: Explanation) -> tuple[Floats, float]:
    """The map as it is drawn, and the value from which colours are darkest."""
    attribution = explained.attribution
    shown_LT = attribution.values_LT
    if attribution.method == "ig":
        sigma = SMOOTH_S * explained.networks.folder.preprocessing.rate_hz
        shown_LT = gaussian_filter1d(shown_LT, sigma, axis=1)
        return shown_LT, float(np.quantile(np.abs(shown_LT), HIGHEST_QUANTILE))
    return shown_LT, float(shown_LT.max())


def colours(shown: Floats, scale: float) -> Floats:
    """Red, green, blue and opacity of values, on a new last axis."""
    strength = np.clip(np.abs(shown) / scale, 0.0, 1.0) if scale > 0 else np.zeros_like(shown)
    painted = np.empty((*shown.shape, 4))
    painted[..., :3] = np.where((shown > 0)[..., None], RAISES, LOWERS)
    painted[..., 3] = MOST_OPAQUE * strength
    return painted


def _draw_grid(axes: Axes, top: float, height: float) -> None:
    axes.add_patch(
        Rectangle((LEFT, top - height), GRID_WIDTH, height, facecolor=PAPER, edgecolor="none", zorder=0)
    )
    for step, colour, width in ((1.0, FINE, 0.25), (5.0, COARSE, 0.5)):
        across = LEFT + np.arange(0.0, GRID_WIDTH + 0.5, step)
        up = top - np.arange(0.0, height + 0.5, step)
        lines = [[(x, top - height), (x, top)] for x in across]
        lines += [[(LEFT, y), (LEFT + GRID_WIDTH, y)] for y in up]
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=width, zorder=1), autolim=False)


def _draw_pulse(axes: Axes, row: Row, gain: float) -> None:
    """One millivolt for a fifth of a second."""
    x = LEFT + np.array([2.0, 5.0, 5.0, 10.0, 10.0, 13.0])
    y = row.base_mm + gain * np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    axes.plot(x, y, color=INK, linewidth=0.8, solid_joinstyle="miter", zorder=4)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Panel:
    """Axes, scales and colours for drawing stretches of leads."""

    axes: Axes
    explained: Explanation
    mv_LT: Floats
    """About the median of each lead."""
    gain: float
    mm_per_s: float
    colours_LT4: Floats
    """Colours of the map at the rate of the model; a single row where the map is one for all leads."""

    def draw_trace(self, row: Row, segment: Segment, *, is_first: bool) -> None:
        """The trace with the name of its lead, and a mark where one lead ends and the next begins."""
        x, y = self._points(row, segment)
        style: dict[str, Any] = {"color": INK, "linewidth": 0.8, "zorder": 4}
        self.axes.plot(x, y, solid_joinstyle="round", **style)
        if not is_first:
            for low, high in ((-4.0, -1.5), (1.5, 4.0)):
                self.axes.plot([segment.left_mm] * 2, [row.base_mm + low, row.base_mm + high], **style)
        name = self.explained.leads[segment.lead]
        if segment.start_s > 0 and is_first:
            name += f"  {segment.start_s:g} s"
        self.axes.text(
            segment.left_mm + 1.0,
            row.top_mm - 0.8,
            name,
            fontsize=9,
            fontweight="bold",
            va="top",
            color=INK,
            zorder=5,
        )

    def draw_map(self, row: Row, segment: Segment) -> None:
        """Colour behind a trace: over the whole row where it is of all leads, else along the trace."""
        rate_hz = self.explained.networks.folder.preprocessing.rate_hz
        of_all = len(self.colours_LT4) == 1
        colours_T4 = self.colours_LT4[0 if of_all else segment.lead]
        places = _samples(segment, rate_hz, len(colours_T4))
        left, right = (
            segment.left_mm + self.mm_per_s * ((place - 0.5) / rate_hz - segment.start_s)
            for place in (places.start, places.stop)
        )
        image = self.axes.imshow(
            colours_T4[None, places],
            extent=(left, right, row.bottom_mm, row.top_mm),
            aspect="auto",
            interpolation="nearest",
            zorder=2,
        )
        clip: Rectangle | Polygon
        if of_all:
            width = self.mm_per_s * (segment.end_s - segment.start_s)
            corner = (segment.left_mm, row.bottom_mm + 0.5)
            clip = Rectangle(corner, width, row.top_mm - row.bottom_mm - 1.0)
        else:
            x, y = self._points(row, segment)
            reach = 2 * max(1, round(MARKER_S / 2 * self.explained.rate_hz)) + 1
            upper = maximum_filter1d(y, reach) + MARKER_MM
            lower = minimum_filter1d(y, reach) - MARKER_MM
            clip = Polygon(np.column_stack([np.r_[x, x[::-1]], np.r_[upper, lower[::-1]]]))
        clip.set_transform(self.axes.transData)
        image.set_clip_path(clip)

    def _points(self, row: Row, segment: Segment) -> tuple[Floats, Floats]:
        """Millimetres across and up of the samples of a trace."""
        places = _samples(segment, self.explained.rate_hz, self.mv_LT.shape[1])
        times_s = np.arange(places.start, places.stop) / self.explained.rate_hz
        x = segment.left_mm + self.mm_per_s * (times_s - segment.start_s)
        return x, row.base_mm + self.gain * self.mv_LT[segment.lead, places]


def _draw_header(axes: Axes, explained: Explanation, height: float, gain: float, mm_per_s: float) -> None:
    left, right, top = LEFT, LEFT + GRID_WIDTH, height - TOP
    axes.text(left, top, words.title(explained), fontsize=13, fontweight="bold", va="top")
    lines = (
        f"{sentence(words.probability_words(explained))}. {sentence(words.decision_words(explained))}",
        sentence(words.truth_words(explained)),
    )
    for number, line in enumerate(lines):
        axes.text(left, top - 8.0 - 5.2 * number, line, fontsize=9.5, va="top")
    synthetic = words.synthetic_words(explained.networks)
    if synthetic is not None:
        axes.text(left, top - 19.0, synthetic, fontsize=9, fontweight="bold", va="top", color="#b00020")
    scale = f"{mm_per_s:g} mm/s   {gain:g} mm/mV" + ("" if gain == GAINS[0] else " (half the standard)")
    of_record = (
        words.record_words(explained.record),
        words.window_words(explained),
        words.model_words(explained.networks),
        scale,
    )
    for number, line in enumerate(of_record):
        axes.text(
            right,
            top - 0.6 - 5.2 * number,
            line,
            fontsize=9.5 if number else 10,
            fontweight="normal" if number else "bold",
            ha="right",
            va="top",
        )


def _strip(axes: Axes, colours_T4: Floats, left: float, width: float, bottom: float) -> None:
    """A row of colours in a frame."""
    axes.imshow(
        colours_T4[None],
        extent=(left, left + width, bottom, bottom + STRIP_MM),
        aspect="auto",
        interpolation="nearest",
        zorder=2,
    )
    axes.add_patch(
        Rectangle((left, bottom), width, STRIP_MM, fill=False, edgecolor="#777777", linewidth=0.4, zorder=3)
    )
    axes.set_xlim(0.0, WIDTH)


def _shades(values: Floats, colour: tuple[float, float, float], scale: float) -> Floats:
    painted = np.empty((len(values), 4))
    painted[:, :3] = colour
    painted[:, 3] = np.clip(values / scale, 0.0, 1.0) if scale > 0 else 0.0
    return painted


def _draw_attention(axes: Axes, explained: Explanation, top: float, duration_s: float) -> float:
    """Strips of attention below the grid, on its axis of time; returns where they end."""
    for attention in explained.internals.attention:
        if duration_s > LONGEST_LINE_S:
            break
        ylim = axes.get_ylim()
        shades = _shades(attention.weights_T, ATTENDS, float(attention.weights_T.max()))
        _strip(axes, shades, TRACE_LEFT, speed_of(duration_s) * duration_s, top - 4.2)
        axes.set_ylim(ylim)
        axes.text(TRACE_LEFT - 1.0, top - 2.6, "attention", fontsize=7, ha="right", va="center")
        top -= 4.2
    return top


def _draw_footer(axes: Axes, explained: Explanation, top: float) -> None:
    """Legend, shares of the leads or gate, and notes."""
    ylim = axes.get_ylim()
    y = top - 8.5
    is_signed = explained.attribution.method == "ig"
    ramp = np.linspace(-1.0 if is_signed else 0.0, 1.0, 120)
    _strip(axes, colours(ramp, 1.0), LEFT, 50.0, y)
    axes.text(LEFT, y - 0.7, "lowers" if is_signed else "none", fontsize=7.5, va="top")
    axes.text(LEFT + 50.0, y - 0.7, "raises" if is_signed else "most", fontsize=7.5, va="top", ha="right")
    axes.text(LEFT, y + 4.0, words.legend_words(explained), fontsize=8, va="bottom")
    lower = y - 6.0
    names = [attention.name for attention in explained.internals.attention]
    if names:
        shown = "green" if len(names) == 1 else "green, in this order"
        long = explained.end_s - explained.start_s > LONGEST_LINE_S
        how = "not drawn for more than 10 s, but in --json" if long else shown
        axes.text(LEFT + 56.0, y + 1.6, f"{', '.join(names)}: {how}", fontsize=7.5, va="center")
    if is_signed:
        _draw_lead_shares(axes, explained, y)
    elif explained.internals.gate_MC:
        _draw_gate(axes, explained, y)
    axes.set_ylim(ylim)
    text = "  ".join(words.notes(explained))
    axes.text(LEFT, lower, textwrap.fill(text, 205), fontsize=7.2, va="top", linespacing=1.35)


def lead_shares(explained: Explanation) -> Floats:
    """Share of each lead in the sum of absolute attributions over the whole window, shape (L,)."""
    total_L: Floats = np.abs(explained.attribution.values_LT).sum(axis=1)
    return total_L / total_L.sum() if total_L.sum() > 0 else total_L


def _draw_lead_shares(axes: Axes, explained: Explanation, y: float) -> None:
    share_L = lead_shares(explained)
    step = min(9.0, 108.0 / len(share_L))
    left = LEFT + GRID_WIDTH - step * len(share_L)
    axes.text(
        LEFT + GRID_WIDTH,
        y + 4.0,
        "share of each lead, whole window, %",
        fontsize=7.5,
        va="bottom",
        ha="right",
    )
    for number, share in enumerate(share_L.tolist()):
        x = left + step * number
        axes.add_patch(
            Rectangle(
                (x, y),
                step - 1.0,
                STRIP_MM * share / float(share_L.max() or 1.0),
                facecolor="#555555",
                zorder=2,
            )
        )
        label = f"{explained.leads[number]} {100 * share:.0f}"
        if step >= 8.0:
            axes.text(x + (step - 1.0) / 2, y - 0.7, label, fontsize=6, va="top", ha="center")


def _draw_gate(axes: Axes, explained: Explanation, y: float) -> None:
    weights = np.sort(np.concatenate(explained.internals.gate_MC))
    left = LEFT + GRID_WIDTH - 100.0
    _strip(axes, _shades(weights, (0.35, 0.35, 0.35), 1.0), left, 100.0, y)
    text = f"gate: weights of {len(weights):,} features, sorted (it has no axis of time)"
    axes.text(left, y + 4.0, text, fontsize=7.5, va="bottom")
    middle = float(np.median(weights))
    axes.text(left, y - 0.7, f"{weights[0]:.2f}", fontsize=7.5, va="top")
    axes.text(left + 50.0, y - 0.7, f"median {middle:.2f}", fontsize=7.5, va="top", ha="center")
    axes.text(left + 100.0, y - 0.7, f"{weights[-1]:.2f}", fontsize=7.5, va="top", ha="right")
