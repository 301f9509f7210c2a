"""The Pareto front of the score against the cost of a study, its staircase and its hypervolume.

Plain functions of plain values, used by reports, the race and the sampler. A point *dominates* another when
it scores at least as much at no higher cost and differs in one of the two. The *staircase* at a cost c is the
best score among points that cost at most c; the point that holds it is the *rival* of a new architecture of
cost c, for only by beating it does the new one join the front. A study has one kind of cost (`scores.costs`).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar


class ScoredTrial(Protocol):
    """The facts of a trial that a front is made of; `storage.TrialRecord` has them."""

    @property
    def number(self) -> int:
        """Trial number."""

    @property
    def state(self) -> str:
        """`complete` for trials that have a score."""

    @property
    def cost(self) -> float:
        """Second objective, such as trainable parameters."""

    @property
    def score(self) -> float | None:
        """Cross-validated score on the target."""

    @property
    def tier_scores(self) -> Mapping[str, float]:
        """Tier name to cross-validated score."""


Scored = TypeVar("Scored", bound=ScoredTrial)


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A complete trial in the plane of the two objectives.

    Raises:
        ValueError: the score is not finite, or the cost is below 1. Neither can be compared.
    """

    trial: int
    """Trial number; breaks ties, the lowest wins."""
    score: float
    """Score, maximised."""
    cost: float
    """Cost such as trainable parameters, minimised; at least 1."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.score):
            raise ValueError(f"trial {self.trial}: score is {self.score}, not a finite number")
        if not self.cost >= 1:
            raise ValueError(f"trial {self.trial} costs {self.cost}; a model costs at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """Corner from which hypervolume is measured: worse than every point that shall count."""

    score: float
    cost: float


def points_of(trials: Iterable[ScoredTrial], *, tier: str | None = None) -> list[Point]:
    """Points of the complete trials, on the target or on another tier.

    Args:
        trials: trials in any state; all but the complete ones are left out.
        tier: tier whose cross-validated score counts; None for the study's target.

    Returns:
        One point per complete trial with a finite score there. An undefined score (no class with a
        positive) compares with nothing, so such a trial has no point.
    """
    points = []
    for trial in trials:
        score = trial.score if tier is None else trial.tier_scores.get(tier)
        if trial.state == "complete" and score is not None and math.isfinite(score):
            points.append(Point(trial=trial.number, score=float(score), cost=trial.cost))
    return points


def pareto_front(points: Iterable[Point]) -> tuple[Point, ...]:
    """Points that no other point dominates, from the cheapest to the dearest.

    Of points equal in both objectives the one with the lowest trial number stays, so the result is the
    same whatever the order of `points`. Sorting dominates the cost: O(n log n).
    """
    front: list[Point] = []
    for point in sorted(points, key=lambda each: (each.cost, -each.score, each.trial)):
        if not front or point.score > front[-1].score:
            front.append(point)
    return tuple(front)


def rival(points: Iterable[Point], cost: float) -> Point | None:
    """The point to beat at that cost: the best score at no higher one.

    Of equal scores the cheaper one is the rival, then the one with the lowest trial
    number; it is always a member of the front. None when no point is that cheap. O(n), without sorting.
    """
    return max(
        (point for point in points if point.cost <= cost),
        key=lambda each: (each.score, -each.cost, -each.trial),
        default=None,
    )


def hypervolume(points: Iterable[Point], reference: Reference) -> float:
    """Area dominated by the points, in score × log10(cost), up to the reference corner.

    Two objectives make it a sum of rectangles under the staircase. Cost counts by its logarithm
    because halving a model is worth the same at 1 M as at 100 k. Points that are not better than the
    reference in both objectives add nothing.

    Args:
        points: any points; those off the front change nothing.
        reference: corner, for example (0, 2 M); compare hypervolumes only with the same one.
    """
    inside = [
        point
        for point in pareto_front(points)
        if point.cost < reference.cost and point.score > reference.score
    ]
    edges = [math.log10(point.cost) for point in inside] + [math.log10(reference.cost)]
    return math.fsum(
        (point.score - reference.score) * (right - left)
        for point, left, right in zip(inside, edges, edges[1:], strict=False)
    )


def front_trials(trials: Iterable[Scored], *, tier: str | None = None) -> tuple[Scored, ...]:
    """Trials on the front, from the cheapest to the dearest."""
    by_number: Mapping[int, Scored] = {trial.number: trial for trial in trials}
    return tuple(by_number[point.trial] for point in pareto_front(points_of(by_number.values(), tier=tier)))
