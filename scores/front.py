"""The Pareto front of macro-AUPRC against parameters, its staircase and its hypervolume.

Plain functions of plain values, used by reports, the race and the sampler. A point *dominates* another when
it scores at least as much with at most as many parameters and differs in one of the two. The *staircase* at p
parameters is the best score among points with at most p parameters; the point that holds it is the *rival* of
a new architecture with p parameters, for only by beating it does the new one join the front.
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
    def parameters(self) -> int:
        """Trainable parameters."""

    @property
    def macro_auprc(self) -> float | None:
        """Cross-validated macro-AUPRC on the target."""

    @property
    def tier_scores(self) -> Mapping[str, float]:
        """Tier name to cross-validated macro-AUPRC."""


Scored = TypeVar("Scored", bound=ScoredTrial)


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A complete trial in the plane of the two objectives.

    Raises:
        ValueError: the score is not finite, or there is not even one parameter. Neither can be compared.
    """

    trial: int
    """Trial number; breaks ties, the lowest wins."""
    macro_auprc: float
    """Score, maximised."""
    parameters: int
    """Trainable parameters, minimised; at least 1."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.macro_auprc):
            raise ValueError(f"trial {self.trial}: macro-AUPRC is {self.macro_auprc}, not a finite number")
        if self.parameters < 1:
            raise ValueError(f"trial {self.trial}: {self.parameters} parameters; a model has at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """Corner from which hypervolume is measured: worse than every point that shall count."""

    macro_auprc: float
    parameters: float


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
        score = trial.macro_auprc if tier is None else trial.tier_scores.get(tier)
        if trial.state == "complete" and score is not None and math.isfinite(score):
            points.append(Point(trial=trial.number, macro_auprc=float(score), parameters=trial.parameters))
    return points


def pareto_front(points: Iterable[Point]) -> tuple[Point, ...]:
    """Points that no other point dominates, from few parameters to many.

    Of points equal in both objectives the one with the lowest trial number stays, so the result is the
    same whatever the order of `points`. Sorting dominates the cost: O(n log n).
    """
    front: list[Point] = []
    for point in sorted(points, key=lambda each: (each.parameters, -each.macro_auprc, each.trial)):
        if not front or point.macro_auprc > front[-1].macro_auprc:
            front.append(point)
    return tuple(front)


def rival(points: Iterable[Point], parameters: int) -> Point | None:
    """The point to beat with that many parameters: the best score with at most as many.

    Of equal scores the one with fewer parameters is the rival, then the one with the lowest trial
    number; it is always a member of the front. None when no point is that small. O(n), so no sorting is
    needed to ask once.
    """
    return max(
        (point for point in points if point.parameters <= parameters),
        key=lambda each: (each.macro_auprc, -each.parameters, -each.trial),
        default=None,
    )


def staircase(points: Iterable[Point], parameters: int) -> float | None:
    """Best macro-AUPRC with at most that many parameters; None when no point is that small."""
    best = rival(points, parameters)
    return None if best is None else best.macro_auprc


def hypervolume(points: Iterable[Point], reference: Reference) -> float:
    """Area dominated by the points, in AUPRC × log10(parameters), up to the reference corner.

    Two objectives make it a sum of rectangles under the staircase. Parameters count by their logarithm
    because halving a model is worth the same at 1 M as at 100 k. Points that are not better than the
    reference in both objectives add nothing.

    Args:
        points: any points; those off the front change nothing.
        reference: corner, for example (0, 2 M); compare hypervolumes only with the same one.
    """
    inside = [
        point
        for point in pareto_front(points)
        if point.parameters < reference.parameters and point.macro_auprc > reference.macro_auprc
    ]
    edges = [math.log10(point.parameters) for point in inside] + [math.log10(reference.parameters)]
    return math.fsum(
        (point.macro_auprc - reference.macro_auprc) * (right - left)
        for point, left, right in zip(inside, edges, edges[1:], strict=False)
    )


def front_trials(trials: Iterable[Scored], *, tier: str | None = None) -> tuple[Scored, ...]:
    """Trials on the front, from few parameters to many."""
    by_number: Mapping[int, Scored] = {trial.number: trial for trial in trials}
    return tuple(by_number[point.trial] for point in pareto_front(points_of(by_number.values(), tier=tier)))
