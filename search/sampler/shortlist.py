"""Candidates that are compared for one proposal.

Where there are few enough, all of them. Of more, a seeded draw of untried candidates and the neighbours of
the front; then the best of those are followed uphill, neighbour by neighbour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from search.sampler.candidates import Candidates, Floats, Indices

MAX_POOL, MIN_POOL = 20_000, 1_000
"""Candidates that are compared for one proposal, at most and at least."""
MAX_LISTED = 1_000_000
"""Candidates that are ever listed whole: a space may have more than memory holds."""
POOL_TIMES_OBSERVATIONS = 2_500_000
"""Bounds candidates × observations, to which time and memory of a proposal are proportional."""
MAX_CLIMBS = 4
N_CLIMBED = 8
"""Best candidates whose neighbours are looked at in every step of a climb."""
_SLICE = 0.05
"""Share of the candidates, next to one another in cost, among which a startup trial is chosen."""


def list_candidates(candidates: Candidates, seed: int) -> Indices:
    """All candidates up to `MAX_LISTED`, else a draw of `MAX_POOL`. Positions, ascending."""
    total = len(candidates)
    if total <= MAX_LISTED:
        return np.arange(total, dtype=np.int64)
    return np.unique(np.random.default_rng(seed).integers(total, size=MAX_POOL))


def pool_size(n_observations: int) -> int:
    """Candidates to compare: fewer, the more observations each is compared with."""
    return min(MAX_POOL, max(MIN_POOL, POOL_TIMES_OBSERVATIONS // max(1, n_observations)))


def draw_pool(
    candidates: Candidates, tried: Indices, size: int, around: Indices, generator: np.random.Generator
) -> Indices:
    """Untried candidates: all, if there are at most `size`, else a draw and the neighbours of `around`.

    Returns:
        Positions, ascending.
    """
    total = len(candidates)
    if total - len(tried) <= size:
        return np.setdiff1d(np.arange(total, dtype=np.int64), tried, assume_unique=True)
    # Drawing with replacement and dropping duplicates costs nothing even for a million candidates.
    drawn = generator.integers(total, size=size)
    return np.setdiff1d(np.concatenate([drawn, neighbours_of(candidates, around)]), tried)


def neighbours_of(candidates: Candidates, indices: Iterable[int]) -> Indices:
    """Neighbours of all of the candidates together. Ascending, none twice."""
    near = [candidates.neighbours(int(index)) for index in indices]
    return np.unique(np.concatenate([np.empty(0, dtype=np.int64), *near]))


def climb(
    candidates: Candidates, pool: Indices, value: Floats, tried: Indices, judge: Callable[[Indices], Floats]
) -> tuple[Indices, Floats]:
    """The pool with the neighbours of its best, then of the best of those, while that finds better ones.

    Args:
        candidates: what can be proposed.
        pool: positions to start from.
        value: of each of them; more is better.
        tried: positions that do not count.
        judge: values of further positions.

    Returns:
        Positions and their values, in no particular order.
    """
    for _ in range(MAX_CLIMBS):
        best = np.lexsort((pool, -value))[:N_CLIMBED]
        fresh = np.setdiff1d(neighbours_of(candidates, pool[best]), np.union1d(pool, tried))
        if not len(fresh):
            break
        found = judge(fresh)
        improved = len(value) == 0 or found.max() > value.max()
        pool, value = np.concatenate([pool, fresh]), np.concatenate([value, found])
        if not improved:
            break
    return pool, value


def spread_over_costs(
    candidates: Candidates, by_cost: Indices, tried: Indices, generator: np.random.Generator
) -> Indices:
    """Candidates for one of the first trials, the least like those tried first.

    Their cost follows van der Corput's sequence over the ranks of cost: the smallest, the middle, then
    halfway in every gap.

    Args:
        candidates: what can be proposed.
        by_cost: positions to choose from, the cheapest first.
        tried: positions that are out, ascending.
        generator: breaks ties, of which the very first trial is one.
    """
    size = len(by_cost)
    width = max(1, round(_SLICE * size))
    start = round(_radical_inverse(len(tried)) * (size - width))
    near = by_cost[start : start + width]
    if len(near) > MIN_POOL:
        near = generator.choice(near, MIN_POOL, replace=False)
    near = np.setdiff1d(near, tried)
    x_MD = candidates.encode(near)
    gap = np.zeros(len(near))
    if len(tried):
        squared = (x_MD[:, None, :] - candidates.encode(tried)[None, :, :]) ** 2
        gap = squared.sum(axis=2).min(axis=1)
    return near[np.lexsort((generator.random(len(near)), -gap))]


def _radical_inverse(number: int) -> float:
    """`number` in binary, mirrored at the binary point: 0, 1/2, 1/4, 3/4, 1/8 …"""
    result, digit = 0.0, 0.5
    while number:
        result += digit * (number & 1)
        number >>= 1
        digit /= 2
    return result
