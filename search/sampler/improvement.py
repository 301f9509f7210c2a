"""Expected hypervolume improvement when one of the two objectives is known beforehand.

Score is maximised and uncertain; cost (log10 of the parameters) is minimised and known exactly. What a
candidate of cost c would add to the hypervolume if it scored y is the area between y and the staircase of
the front, to the right of c: the sum over the staircase's steps k of (width of the step right of c) ×
max(0, y − s_k). The expectation of each term over y ~ Normal(mean, sd) is the expected improvement of
single-objective optimisation (Jones, Schonlau & Welch 1998, equation 15), so the whole has a closed form;
it is the general one of Emmerich, Deutz & Klinkenberg (2011) with the second variance at zero.

Everything here is a plain function of arrays.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]

_DENSITY_AT_ZERO = 1 / np.sqrt(2 * np.pi)
_SMALLEST_SD = 1e-150
"""Smaller ones are as good as zero, and a quotient by them might overflow."""
_FAR = 40.0
"""Standard deviations beyond which the normal distribution is exactly 0 or 1 in double precision."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Staircase:
    """The best score that is to be had for at most a given cost, a step function of cost.

    Step k reaches from `left[k]` to `left[k + 1]`, the last one to `right`. The first step, left of the
    cheapest point, has the score of the reference.
    """

    left: Floats
    """Start of each step, ascending; the first is minus infinity. Shape (n_steps,)."""
    score: Floats
    """Height of each step, ascending strictly. Shape (n_steps,)."""
    right: float
    """Cost of the reference: nothing beyond counts."""

    def at(self, cost: Floats) -> Floats:
        """Height of the staircase at each cost: what a candidate there must beat."""
        heights: Floats = self.score[np.searchsorted(self.left, cost, side="right") - 1]
        return heights

    @property
    def hypervolume(self) -> float:
        """Area below the steps and above the reference, in score × cost."""
        widths = np.append(self.left[2:], self.right) - self.left[1:]
        return float(((self.score[1:] - self.score[0]) * widths).sum())


def staircase(score: Floats, cost: Floats, *, reference_score: float, reference_cost: float) -> Staircase:
    """The staircase of points, above and left of the reference.

    Args:
        score: of every point, any order, dominated ones included. Shape (n,).
        cost: of every point. Shape (n,).
        reference_score: scores that are not above it add nothing.
        reference_cost: costs that are not below it add nothing.

    Returns:
        A single step at `reference_score` if no point counts.
    """
    counts = (score > reference_score) & (cost < reference_cost)
    order = np.lexsort((-score[counts], cost[counts]))
    scores, costs = score[counts][order], cost[counts][order]
    best_before = np.maximum.accumulate(np.concatenate([[reference_score], scores]))[:-1]
    rises = scores > best_before
    return Staircase(
        left=np.concatenate([[-np.inf], costs[rises]]),
        score=np.concatenate([[reference_score], scores[rises]]),
        right=float(reference_cost),
    )


def expected_excess(mean: Floats, sd: Floats, threshold: Floats) -> Floats:
    """E[max(0, y − threshold)] for y ~ Normal(mean, sd); arrays are broadcast.

    An sd of zero is the limit, max(0, mean − threshold).
    """
    gap = mean - threshold
    z = np.clip(gap / np.maximum(sd, _SMALLEST_SD), -_FAR, _FAR)
    expected = gap * ndtr(z) + sd * (_DENSITY_AT_ZERO * np.exp(-0.5 * z * z))
    # Rounding may push the difference of two almost equal terms below the bound that it cannot leave.
    excess: Floats = np.maximum(expected, np.maximum(gap, 0.0))
    return excess


def improvement(score: Floats, cost: Floats, steps: Staircase) -> Floats:
    """Gain in hypervolume of candidates with the given scores, in score × cost.

    Args:
        score: of every candidate, in any number of cases. Shape (…, n).
        cost: known cost. Shape (n,).
        steps: the present front.

    Returns:
        Non-negative. Shape (…, n).
    """
    total = np.zeros_like(score)
    right_ends = np.append(steps.left[1:], steps.right)
    for left, right, height in zip(steps.left, right_ends, steps.score, strict=True):
        widths = np.maximum(right - np.maximum(cost, left), 0.0)
        total += widths * np.maximum(score - height, 0.0)
    return total


def expected_improvement(mean: Floats, sd: Floats, cost: Floats, steps: Staircase) -> Floats:
    """Expected hypervolume improvement of every candidate, in score × cost.

    Args:
        mean: predicted score. Shape (n,).
        sd: standard deviation of the prediction, zero allowed. Shape (n,).
        cost: known cost. Shape (n,).
        steps: the present front.

    Returns:
        Non-negative; zero for candidates whose cost is not below the reference. Shape (n,).
    """
    total = np.zeros_like(mean)
    right_ends = np.append(steps.left[1:], steps.right)
    for left, right, score in zip(steps.left, right_ends, steps.score, strict=True):
        reached = np.flatnonzero(cost < right)
        widths = right - np.maximum(cost[reached], left)
        total[reached] += widths * expected_excess(mean[reached], sd[reached], score)
    return total
