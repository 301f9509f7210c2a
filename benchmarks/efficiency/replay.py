"""One search on one world: a sampler proposes, a pruner trains, and what it cost is written down.

Shapes: T trial.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.efficiency.pruners import make_pruner
from benchmarks.efficiency.samplers import make_proposer
from benchmarks.efficiency.worlds import World, open_world
from scores.front import Point, rival


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """What is to be replayed."""

    source: str
    """Name of a simulated space or path of a table, for `open_world`."""
    seed: int
    """Of the simulated world and of the sampler."""
    sampler: str
    pruner: str
    n_trials: int
    n_parallel: int = 1
    """Folds trained side by side."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Trace:
    """What happened, trial by trial. All arrays have the shape (T,)."""

    architecture_T: NDArray[np.int64]
    """Position in the world."""
    fold_epochs_T: NDArray[np.int64]
    """Epochs trained, summed over folds."""
    complete_T: NDArray[np.bool_]
    improves_T: NDArray[np.bool_]
    """Whether the score at its end would have beaten every complete trial with at most its parameters."""
    ask_s_T: NDArray[np.float64]
    """Seconds of every proposal."""
    decision_s: NDArray[np.float64]
    """Seconds of every decision of the pruner, those of all trials in a row."""


def replay(search: Search, world: World | None = None) -> Trace:
    """Search until there are as many trials as wanted, or the sampler has proposed everything.

    A repeated architecture costs its epochs again and brings the same score.

    Args:
        search: what to replay.
        world: the world of the search, opened unless it is given.
    """
    world = open_world(search.source, search.seed) if world is None else world
    pruner = make_pruner(search.pruner, world, search.n_parallel)
    proposer = make_proposer(search.sampler, world, search.seed, pruner.estimates)
    points: list[Point] = []
    rows: list[tuple[int, int, bool, bool, float]] = []
    decision_s: list[float] = []
    for number in range(search.n_trials):
        proposal = proposer.propose()
        if proposal is None:
            break
        architecture = proposal.architecture
        own = Point(
            trial=number,
            macro_auprc=float(world.score_N[architecture]),
            cost=int(world.parameters_N[architecture]),
        )
        held_by = rival(points, own.cost)
        improves = held_by is None or own.macro_auprc > held_by.macro_auprc
        training = pruner.train(architecture, proposal.prior)
        proposer.tell(own.macro_auprc if training.is_complete else None)
        if training.is_complete:
            points.append(own)
        rows.append((architecture, training.fold_epochs, training.is_complete, improves, proposal.seconds))
        decision_s += training.decision_s
    architectures, fold_epochs, complete, improving, ask_s = zip(*rows, strict=True)
    return Trace(
        architecture_T=np.array(architectures, dtype=np.int64),
        fold_epochs_T=np.array(fold_epochs, dtype=np.int64),
        complete_T=np.array(complete, dtype=np.bool_),
        improves_T=np.array(improving, dtype=np.bool_),
        ask_s_T=np.array(ask_s, dtype=np.float64),
        decision_s=np.array(decision_s, dtype=np.float64),
    )
