"""Where the labels of a figure go, so that they can be read.

Greedy: labels are placed in the order given, each at the cheapest of a ring of places around its point
where it covers no other label, no line from another label to its point, and none of the marks that must
stay visible. A label that fits nowhere
falls back to its next shorter text, and in the end to no text at all. All coordinates are pixels or any
other common unit with y upwards; same input, same result.

The last axis of box arrays is (left, bottom, right, top): boxes_N4.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]

N_ANGLES = 24
DISTANCES = (5.0, 10.0, 18.0, 28.0, 42.0, 58.0)
N_STOPS = 16
"""Points at which the line from a label to its point is checked."""
OWN_MARK = 9.0
"""Within this distance of its point the line may run over the mark of the point itself."""
BEST_ANGLE = math.radians(125)
"""Up and to the left of a point of the front there is nothing by definition of a front."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """A label to be placed: its point, and the size of its text and of each shorter text."""

    x: float
    y: float
    sizes: tuple[tuple[float, float], ...]
    """(width, height) from the preferred text to the shortest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Centre of a placed label, and which of its texts fits there."""

    x: float
    y: float
    text: int


def place_labels(
    labels: Sequence[Label], *, area: tuple[float, float, float, float], keep_N4: Boxes, avoid_N4: Boxes
) -> list[Placement | None]:
    """Places labels one after another.

    Args:
        labels: in order of importance.
        area: left, bottom, right, top; no label leaves it.
        keep_N4: boxes that no label may cover (marks of the front, its line).
        avoid_N4: boxes that a label should not cover (all other dots); each costs as much as moving away.

    Returns:
        A placement per label; None where no text of the label fits.
    """
    scene = _Scene(
        area=area,
        keep_N4=np.asarray(keep_N4, dtype=np.float64).reshape(-1, 4),
        avoid_N4=np.asarray(avoid_N4, dtype=np.float64).reshape(-1, 4),
        points_N2=np.array([(label.x, label.y) for label in labels]).reshape(-1, 2),
    )
    placements: list[Placement | None] = []
    for label in labels:
        placement = _place(label, scene)
        placements.append(placement)
        if placement is not None:
            centre_12 = np.array([[placement.x, placement.y]])
            text_14 = _boxes(centre_12, *label.sizes[placement.text])
            scene.texts_N4 = np.concatenate([scene.texts_N4, text_14])
            stops_S4 = _boxes(_line_stops(centre_12, label), 1.0, 1.0)
            scene.lines_N4 = np.concatenate([scene.lines_N4, stops_S4])
    return placements


@dataclass(kw_only=True, slots=True)
class _Scene:
    """What lies in the figure so far."""

    area: tuple[float, float, float, float]
    keep_N4: Boxes
    avoid_N4: Boxes
    points_N2: Boxes
    """Points of all labels."""
    texts_N4: Boxes = field(default_factory=lambda: np.empty((0, 4)))
    """Placed texts."""
    lines_N4: Boxes = field(default_factory=lambda: np.empty((0, 4)))
    """Lines from placed texts to their points, as small boxes along them."""


def overlaps(boxes_M4: Boxes, others_N4: Boxes) -> NDArray[np.bool_]:
    """(M, N) whether a box and another share more than an edge."""
    first_M14, second_1N4 = boxes_M4[:, None, :], others_N4[None, :, :]
    return np.asarray(
        (first_M14[..., 0] < second_1N4[..., 2])
        & (second_1N4[..., 0] < first_M14[..., 2])
        & (first_M14[..., 1] < second_1N4[..., 3])
        & (second_1N4[..., 1] < first_M14[..., 3])
    )


def _boxes(centres_M2: Boxes, width: float, height: float) -> Boxes:
    half = np.array([width, height]) / 2
    return np.concatenate([centres_M2 - half, centres_M2 + half], axis=1)


def _line_stops(centres_M2: Boxes, label: Label) -> Boxes:
    """(M * N_STOPS, 2) points on the lines from the centres to the point of the label."""
    fractions_S1 = np.linspace(0, 1, N_STOPS)[:, None]
    point_2 = np.array([label.x, label.y])
    stops_MS2 = centres_M2[:, None, :] + fractions_S1 * (point_2 - centres_M2)[:, None, :]
    return stops_MS2.reshape(-1, 2)


def _place(label: Label, scene: _Scene) -> Placement | None:
    angles_M = np.tile(np.arange(N_ANGLES) * (2 * np.pi / N_ANGLES), len(DISTANCES))
    distances_M = np.repeat(DISTANCES, N_ANGLES)
    away_M = distances_M + 8 * np.abs(np.angle(np.exp(1j * (angles_M - BEST_ANGLE))))
    for text, (width, height) in enumerate(label.sizes):
        x_M = label.x + np.cos(angles_M) * (distances_M + width / 2)
        y_M = label.y + np.sin(angles_M) * (distances_M + height / 2)
        centres_M2 = np.stack([x_M, y_M], axis=1)
        boxes_M4 = _boxes(centres_M2, width, height)
        line_cost_M = _line_cost(centres_M2, label, scene)
        blocked_N4 = np.concatenate([scene.keep_N4, scene.texts_N4, scene.lines_N4])
        inside_M = np.all(boxes_M4[:, :2] >= scene.area[:2], axis=1)
        inside_M &= np.all(boxes_M4[:, 2:] <= scene.area[2:], axis=1)
        free_M = inside_M & ~overlaps(boxes_M4, blocked_N4).any(axis=1)
        cost_M = away_M + 20.0 * overlaps(boxes_M4, scene.avoid_N4).sum(axis=1) + line_cost_M
        cost_M = np.where(free_M, cost_M, np.inf)
        best = int(np.argmin(cost_M))
        if np.isfinite(cost_M[best]):
            return Placement(x=float(x_M[best]), y=float(y_M[best]), text=text)
    return None


def _line_cost(centres_M2: Boxes, label: Label, scene: _Scene) -> NDArray[np.float64]:
    """(M,) cost of the line from each centre to the point: infinite through a text or another's point."""
    stops_K2 = _line_stops(centres_M2, label)
    own_K = np.hypot(stops_K2[:, 0] - label.x, stops_K2[:, 1] - label.y) <= OWN_MARK
    stops_K4 = _boxes(stops_K2, 1.0, 1.0)
    others_N4 = _boxes(scene.points_N2, OWN_MARK, OWN_MARK)
    wrong_K = overlaps(stops_K4, scene.texts_N4).any(axis=1)
    wrong_K |= overlaps(stops_K4, others_N4).any(axis=1) & ~own_K
    over_K = overlaps(stops_K4, np.concatenate([scene.keep_N4, scene.lines_N4])).any(axis=1) & ~own_K
    cost_K = np.where(wrong_K, np.inf, 5.0 * over_K)
    return np.asarray(cost_K.reshape(len(centres_M2), -1).sum(axis=1))
