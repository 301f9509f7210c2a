"""Results and costs of a replayed search.

Hypervolume is in score × log10(parameters), from the lowest true score of the world and 5 % of the range of
log10(parameters) beyond its largest architecture.

Shapes: N architecture, T trial.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from benchmarks.efficiency.helpers.replay import Trace
from benchmarks.efficiency.helpers.worlds import Floats, World
from scores.front import Point, Reference, hypervolume, pareto_front

COST_MARGIN = 0.05
"""Share of the range of log10(parameters) by which the reference lies beyond the largest architecture."""


class Yardstick:
    """Measures of traces of one world.

    Args:
        world: that was searched.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        low, high = float(world.log_cost_N.min()), float(world.log_cost_N.max())
        self._reference = Reference(
            score=float(world.truth_N.min()), cost=10 ** (high + COST_MARGIN * (high - low))
        )
        self._achievable = self.hypervolume(range(len(world)))

    def front(self, architectures: Iterable[int], values_N: Floats) -> frozenset[int]:
        """Non-dominated members of some architectures."""
        return frozenset(point.trial for point in pareto_front(self._points(architectures, values_N)))

    def hypervolume(self, architectures: Iterable[int]) -> float:
        """Hypervolume of the true scores of some architectures."""
        return hypervolume(self._points(architectures, self._world.truth_N), self._reference)

    def share(self, architectures: Iterable[int]) -> float:
        """Hypervolume of some architectures as a share of that of the whole world."""
        return self.hypervolume(architectures) / self._achievable

    def share_T(self, trace: Trace) -> Floats:
        """Hypervolume after every trial as a share of the one of the whole world. Shape (T,).

        It is computed from the true scores of the front that the search would report then, which is chosen by
        measured scores among complete trials.
        """
        reported: frozenset[int] = frozenset()
        shares, share = [], 0.0
        for architecture, is_complete in zip(trace.architecture_T.tolist(), trace.complete_T, strict=True):
            front = reported
            if is_complete and architecture not in reported:
                front = self.front([*reported, architecture], self._world.score_N)
            if front != reported:
                reported, share = front, self.share(front)
            shares.append(share)
        return np.array(shares)

    def front_kept(self, trace: Trace, values_N: Floats) -> float:
        """Share of the front of all proposed architectures that was trained to its end.

        Args:
            trace: of a search.
            values_N: scores that decide who is on the front, the measured ones or the true ones.
        """
        front = self.front(set(trace.architecture_T.tolist()), values_N)
        return len(front & _complete(trace)) / len(front)

    def found(self, trace: Trace) -> tuple[int, int]:
        """Members of the whole world's true front that are among the complete trials, and all of them."""
        front = self.front(range(len(self._world)), self._world.truth_N)
        return len(front & _complete(trace)), len(front)

    def fold_epoch_share(self, trace: Trace) -> float:
        """Fold-epochs as a share of training every trial to its end."""
        _, n_folds, n_epochs = self._world.curves_NFE.shape
        return float(trace.fold_epochs_T.mean() / (n_folds * n_epochs))

    def _points(self, architectures: Iterable[int], values_N: Floats) -> list[Point]:
        """Architectures as points, their positions as trial numbers."""
        return [
            Point(
                trial=architecture,
                score=float(values_N[architecture]),
                cost=round(10 ** float(self._world.log_cost_N[architecture])),
            )
            for architecture in architectures
        ]


def _complete(trace: Trace) -> frozenset[int]:
    return frozenset(trace.architecture_T[trace.complete_T].tolist())


def n_unique(trace: Trace) -> int:
    """Different architectures among all trials."""
    return len(set(trace.architecture_T.tolist()))


def wrongly_pruned(trace: Trace) -> tuple[int, int]:
    """Pruned trials that would have improved the front as it stood, and all that would have."""
    return int((trace.improves_T & ~trace.complete_T).sum()), int(trace.improves_T.sum())
