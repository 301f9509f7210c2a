"""Names beside the points of a still figure, placed so that they can be read.

Greedy and deterministic: names are placed one after another, each at the cheapest of a ring of places around
its point where it covers no other name, no line from a name to its point, no line of a front and no
named point with its error bar. A name that fits nowhere gives way to its next shorter version, in the
end to none. (adjustText pushes names apart without any guarantee: on five random fronts of 25 to 31 members
it left 2 to 5 pairs of names on each other and 10 to 16 names on the front's line, in 2 to 7 times the time.)

Coordinates are pixels with y upwards. Boxes are (left, bottom, right, top). Shapes: N boxes, M places, S
stops.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from reports.figures.charts import Chart, Series
from reports.figures.still_shapes import drawable

Floats = NDArray[np.float64]

FONT_SIZE = 6.5
N_ANGLES = 24
DISTANCES = (5.0, 10.0, 18.0, 28.0, 42.0, 58.0)
"""Candidate distances between a point and the edge of its name."""
BEST_ANGLE = math.radians(125)
"""Up and to the left of a point of a front there is nothing, by definition of a front."""
N_STOPS = 16
"""Positions at which the line from a name to its point is checked."""
POINT_RADIUS = 5.0
OWN_RADIUS = 9.0
"""Distance in pixels from its point within which the line may cross the symbol."""
LEADER_FROM = 12.0
"""Distance from which a name gets a line to its point."""
MAX_TWO_LINES = 12
"""Number of members of a front above which only names of one line are used."""


class NamedPoint(NamedTuple):
    """A point with the versions of its name, from the longest to the shortest."""

    x: float
    y: float
    sizes: Sequence[tuple[float, float]]
    """Width and height of each version."""


class Place(NamedTuple):
    """The centre of a name, and which of its versions fits there."""

    x: float
    y: float
    version: int


def draw_names(figure: Figure, axes: Axes, chart: Chart) -> None:
    """Write the names of the chart's points; fixes the layout of the figure."""
    named = [
        (series, point)
        for series in sorted(chart.series, key=lambda series: series.mode != "steps")
        for point in reversed(range(len(series.names)))
        if series.names[point]
    ]
    if not named:
        return
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # names are placed on a layout that is settled
    short = sum(series.mode == "steps" for series, _ in named) > MAX_TWO_LINES
    versions = [[n for n in series.names[point] if not (short and "\n" in n)] for series, point in named]
    xy_N2 = axes.transData.transform(
        np.array([(series.x[point], series.y[point]) for series, point in named], dtype=np.float64)
    )
    points = [
        NamedPoint(float(x), float(y), [_size(axes, name) for name in names])
        for (x, y), names in zip(xy_N2, versions, strict=True)
    ]
    keep_N4, avoid_N4 = _obstacles(axes, chart, xy_N2)
    places = place_names(points, axes.get_window_extent().extents, keep_N4, avoid_N4)
    for (series, _), names, point, place in zip(named, versions, points, places, strict=True):
        if place is not None:
            _draw(axes, point, place, drawable(names[place.version]), strong=series.mode == "steps")


def place_names(
    points: Sequence[NamedPoint], area: Sequence[float], keep_N4: Floats, avoid_N4: Floats
) -> list[Place | None]:
    """Places for the names of points, in order of importance.

    Args:
        points: the points; earlier ones choose first.
        area: (left, bottom, right, top); no name leaves it.
        keep_N4: boxes that no name may cover.
        avoid_N4: boxes that a name should not cover; each costs as much as 30 pixels of distance.

    Returns:
        A place per point; None where no version of its name fits.
    """
    others_N4 = _boxes(np.array([point[:2] for point in points]).reshape(-1, 2), OWN_RADIUS, OWN_RADIUS)
    names_N4, lines_N4 = np.empty((0, 4)), np.empty((0, 4))
    places: list[Place | None] = []
    for point in points:
        place = None
        for version, size in enumerate(point.sizes):
            centre_M2, cost_M = _ring(point, size)
            box_M4 = _boxes(centre_M2, *size)
            reach_14 = np.array([[*box_M4[:, :2].min(axis=0), *box_M4[:, 2:].max(axis=0)]])
            # Of ten thousand points, and of all names and lines, a few are near.
            kept_N4, written_N4, led_N4, crowd_N4, points_N4 = (
                each_N4[overlaps(reach_14, each_N4)[0]]
                for each_N4 in (keep_N4, names_N4, lines_N4, avoid_N4, others_N4)
            )
            inside_M = (box_M4[:, :2] >= area[:2]).all(axis=1) & (box_M4[:, 2:] <= area[2:]).all(axis=1)
            blocked_N4 = np.concatenate([kept_N4, written_N4, led_N4])
            free_M = inside_M & ~overlaps(box_M4, blocked_N4).any(axis=1)
            centre_M2, cost_M, box_M4 = centre_M2[free_M], cost_M[free_M], box_M4[free_M]
            stops_K4 = _boxes(_stops(centre_M2, point), 1.0, 1.0)
            far_K = np.hypot(*(stops_K4[:, :2] + 0.5 - point[:2]).T) > OWN_RADIUS
            crossed_K = overlaps(stops_K4, written_N4).any(axis=1)
            crossed_K |= overlaps(stops_K4, points_N4).any(axis=1) & far_K
            over_K = overlaps(stops_K4, np.concatenate([kept_N4, led_N4])).any(axis=1) & far_K
            cost_M += 30.0 * overlaps(box_M4, crowd_N4).sum(axis=1)
            cost_M += 5.0 * over_K.reshape(-1, N_STOPS).sum(axis=1)
            cost_M[crossed_K.reshape(-1, N_STOPS).any(axis=1)] = np.inf
            if np.isfinite(cost_M).any():
                best = int(np.argmin(cost_M))
                place = Place(float(centre_M2[best, 0]), float(centre_M2[best, 1]), version)
                names_N4 = np.concatenate([names_N4, box_M4[best : best + 1]])
                lines_N4 = np.concatenate([lines_N4, stops_K4.reshape(-1, N_STOPS, 4)[best]])
                break
        places.append(place)
    return places


def overlaps(box_M4: Floats, other_N4: Floats) -> NDArray[np.bool_]:
    """(M, N) whether a box and another share more than an edge."""
    first, second = box_M4[:, None, :], other_N4[None, :, :]
    return np.asarray(
        ((first[..., :2] < second[..., 2:]) & (second[..., :2] < first[..., 2:])).all(axis=-1), dtype=np.bool_
    )


def _ring(point: NamedPoint, size: tuple[float, float]) -> tuple[Floats, Floats]:
    """(M, 2) candidate centres around a point, and (M,) their cost: distance and turn from the best angle."""
    angle_M = np.tile(np.arange(N_ANGLES) * (2 * np.pi / N_ANGLES), len(DISTANCES))
    distance_M = np.repeat(DISTANCES, N_ANGLES)
    x_M = point.x + np.cos(angle_M) * (distance_M + size[0] / 2)
    y_M = point.y + np.sin(angle_M) * (distance_M + size[1] / 2)
    turn_M = np.abs(np.angle(np.exp(1j * (angle_M - BEST_ANGLE))))
    return np.stack([x_M, y_M], axis=1), distance_M + 8 * turn_M


def _boxes(centre_M2: Floats, width: float, height: float) -> Floats:
    half = np.array([width, height]) / 2
    return np.concatenate([centre_M2 - half, centre_M2 + half], axis=1)


def _stops(centre_M2: Floats, point: NamedPoint) -> Floats:
    """(M * N_STOPS, 2) positions on the lines from the centres to the point."""
    share_S1 = np.linspace(0, 1, N_STOPS)[:, None]
    there_2 = np.array(point[:2])
    stops: Floats = centre_M2[:, None, :] + share_S1 * (there_2 - centre_M2)[:, None, :]
    return stops.reshape(-1, 2)


def _obstacles(axes: Axes, chart: Chart, named_N2: Floats) -> tuple[Floats, Floats]:
    """Boxes around lines, named points and their error bars; and boxes around all other points."""
    keep, avoid = [np.empty((0, 4))], [np.empty((0, 4))]
    for series in chart.series:
        xy_N2 = _pixels(axes, series, series.y)
        if series.mode == "steps":
            left_N2, right_N2 = xy_N2[:-1], xy_N2[1:]
            treads = [left_N2 - 1, np.stack([right_N2[:, 0], left_N2[:, 1] + 1], axis=1)]
            risers = [np.stack([right_N2[:, 0] - 1, left_N2[:, 1]], axis=1), right_N2 + np.array([1, 0])]
            keep += [np.concatenate(treads, axis=1), np.concatenate(risers, axis=1)]
        elif series.mode == "points":
            distance_NM = np.abs(xy_N2[:, None, :] - named_N2[None]).max(axis=-1, initial=0)
            is_named_N = (distance_NM < 0.5).any(axis=1)
            boxes_N4 = _boxes(xy_N2, 2 * POINT_RADIUS, 2 * POINT_RADIUS)
            keep.append(boxes_N4[is_named_N])
            avoid.append(boxes_N4[~is_named_N & np.isfinite(xy_N2).all(axis=1)])
            if series.low:
                ends = [_pixels(axes, series, end)[is_named_N] for end in (series.low, series.high)]
                bars_N4 = np.concatenate([ends[0] - np.array([3, 0]), ends[1] + np.array([3, 0])], axis=1)
                keep.append(bars_N4[np.isfinite(bars_N4).all(axis=1)])
    return np.concatenate(keep), np.concatenate(avoid)


def _pixels(axes: Axes, series: Series, heights: Sequence[float | None]) -> Floats:
    values_2N = np.array([series.x, heights], dtype=np.float64)  # None becomes nan
    return np.asarray(axes.transData.transform(values_2N.T), dtype=np.float64).reshape(-1, 2)


def _size(axes: Axes, name: str) -> tuple[float, float]:
    """Width and height in pixels, with a margin of two."""
    artist = axes.text(0, 0, drawable(name), fontsize=FONT_SIZE, linespacing=1.1, parse_math=False)
    extent = artist.get_window_extent()
    artist.remove()
    return float(extent.width) + 4.0, float(extent.height) + 4.0


def _draw(axes: Axes, point: NamedPoint, place: Place, name: str, *, strong: bool) -> None:
    offset = np.array([place.x - point.x, place.y - point.y])
    gap = np.maximum(np.abs(offset) - np.array(point.sizes[place.version]) / 2, 0.0)
    leader = {"arrowstyle": "-", "color": "#888888", "linewidth": 0.5, "shrinkA": 0.0, "shrinkB": 3.0}
    x, y = axes.transData.inverted().transform(point[:2])
    to_points = 72 / axes.figure.dpi
    text = axes.annotate(
        name,
        xy=(x, y),
        xytext=(offset[0] * to_points, offset[1] * to_points),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=FONT_SIZE,
        linespacing=1.1,
        color="black" if strong else "#666666",
        style="normal" if strong else "italic",
        arrowprops=leader if np.hypot(*gap) > LEADER_FROM else None,
        zorder=7,
        parse_math=False,
    )
    text.set_path_effects([withStroke(linewidth=1.6, foreground="white")])
