"""Ranks by non-domination and order by hypervolume contribution, for two objectives to be minimised."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def rank_of_front(losses_N2: Floats) -> NDArray[np.int64]:
    """Rank 0 for the front, 1 for the front of the rest, and so on; equal points share a rank. Shape (N,).

    Points come from left to right. One is dominated by an earlier point that is at least as low, so the
    lowest point of every rank so far, which ascend from rank to rank, tell its own. O(n log n).
    """
    points_M2, inverse_N = np.unique(losses_N2, axis=0, return_inverse=True)
    lowest: list[float] = []
    ranks_M = np.empty(len(points_M2), dtype=np.int64)
    for position, (_, second) in enumerate(points_M2.tolist()):
        rank = bisect_right(lowest, second)
        lowest[rank : rank + 1] = [second]
        ranks_M[position] = rank
    ranks_N: NDArray[np.int64] = ranks_M[inverse_N.reshape(-1)]
    return ranks_N


def better_first(losses_N2: Floats) -> NDArray[np.int64]:
    """Order of points that do not dominate one another: each adds most to the hypervolume of those before.

    The reference point lies a tenth of the worst values beyond them. Equal points stand side by side, in
    the order in which they came. Shape (N,).
    """
    points_M2, inverse_N = np.unique(losses_N2, axis=0, return_inverse=True)
    worst_2 = losses_N2.max(axis=0)
    # Where the area that a point alone would add ends, on the right and at the top.
    ends_M2 = np.tile(np.maximum(1.1 * worst_2, 0.9 * worst_2), (len(points_M2), 1))
    order: list[int] = []
    for _ in points_M2:
        added_M = np.prod(ends_M2 - points_M2, axis=1)
        added_M[order] = -np.inf
        best = int(added_M.argmax())
        order.append(best)
        # Sorted by the first objective: the chosen point reduces those before it on their right.
        ends_M2[:best, 0] = np.minimum(ends_M2[:best, 0], points_M2[best, 0])
        ends_M2[best + 1 :, 1] = np.minimum(ends_M2[best + 1 :, 1], points_M2[best, 1])
    return np.concatenate([np.flatnonzero(inverse_N.reshape(-1) == point) for point in order])
