"""One search on one world: a sampler proposes, a pruner trains, and the costs are recorded.

Shapes: T trial.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.efficiency.helpers.oracle import Oracle
from benchmarks.efficiency.helpers.pruners import make_pruner
from benchmarks.efficiency.helpers.samplers import make_proposer
from benchmarks.efficiency.helpers.worlds import World, open_world, simulate_related
from scores.front import Point, rival
from search.sampler.gaussian_process import Source
from search.study.stopping import is_enough

N_EARLIER_TRIALS = 100
"""Trials of an earlier study."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """Settings of a search to replay."""

    source: str
    """Name of a simulated space or path of a table, for `open_world`."""
    seed: int
    """Seed of the simulated world and of the sampler."""
    sampler: str
    pruner: str
    n_trials: int
    n_parallel: int = 1
    """Folds trained side by side."""
    until: float | None = None
    """Share of the hypervolume; the search ends once the remaining gain is below it. None for no such
    rule."""
    earlier: float | None = None
    """Correlation with the world that an earlier study has searched; None without one."""
    knows_all: bool = False
    """Whether every true score of that world is known, in place of the results of a study."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Trace:
    """Course of a search, trial by trial. All arrays have the shape (T,)."""

    architecture_T: NDArray[np.int64]
    """Position in the world."""
    fold_epochs_T: NDArray[np.int64]
    """Epochs trained, summed over folds."""
    complete_T: NDArray[np.bool_]
    improves_T: NDArray[np.bool_]
    """Whether the score at its end would have beaten every complete trial with at most its parameters."""
    at_most_T: NDArray[np.float64]
    """Remaining gain as the sampler estimates it, an upper bound; NaN where it does not."""
    ask_s_T: NDArray[np.float64]
    """Seconds of every proposal."""
    decision_s: NDArray[np.float64]
    """Seconds of every decision of the pruner, those of all trials in a row."""


def replay(search: Search, world: World | None = None) -> Trace:
    """Search until there are as many trials as wanted, or nothing or too little is left.

    A repeated architecture costs its epochs again and brings the same score.

    Args:
        search: what to replay.
        world: the world of the search, opened unless it is given.
    """
    world = open_world(search.source, search.seed) if world is None else world
    pruner = make_pruner(search.pruner, world, search.n_parallel)
    earlier: Source | Oracle | None = None
    if search.earlier is not None:
        look = everything_about if search.knows_all else earlier_study
        earlier = look(search.source, search.seed, search.earlier)
    proposer = make_proposer(search.sampler, world, search.seed, pruner.estimates, earlier)
    points: list[Point] = []
    rows: list[tuple[int, int, bool, bool, float, float]] = []
    decision_s: list[float] = []
    known: list[float] = []
    for number in range(search.n_trials):
        if search.until is not None and is_enough(known, search.until):
            break
        proposal = proposer.propose()
        if proposal is None:
            break
        architecture = proposal.architecture
        own = Point(
            trial=number,
            score=float(world.score_N[architecture]),
            cost=int(world.parameters_N[architecture]),
        )
        held_by = rival(points, own.cost)
        improves = held_by is None or own.score > held_by.score
        training = pruner.train(architecture, proposal.prior)
        proposer.tell(own.score if training.is_complete else None)
        if training.is_complete:
            points.append(own)
        known += [] if proposal.at_most is None else [proposal.at_most]
        at_most = np.nan if proposal.at_most is None else proposal.at_most
        rows.append(
            (
                architecture,
                training.fold_epochs,
                training.is_complete,
                improves,
                at_most,
                proposal.seconds,
            )
        )
        decision_s += training.decision_s
    architectures, fold_epochs, complete, improving, at_most_T, ask_s = zip(*rows, strict=True)
    return Trace(
        architecture_T=np.array(architectures, dtype=np.int64),
        fold_epochs_T=np.array(fold_epochs, dtype=np.int64),
        complete_T=np.array(complete, dtype=np.bool_),
        improves_T=np.array(improving, dtype=np.bool_),
        at_most_T=np.array(at_most_T, dtype=np.float64),
        ask_s_T=np.array(ask_s, dtype=np.float64),
        decision_s=np.array(decision_s, dtype=np.float64),
    )


def earlier_study(source: str, seed: int, correlation: float) -> Source:
    """Results of a study of a related world: the default sampler, every trial trained to its end.

    Args:
        source: name of a simulated space.
        seed: of the world that is searched next.
        correlation: of the true scores of both worlds.
    """
    world = simulate_related(source, seed, correlation)
    search = Search(source=source, seed=seed, sampler="front", pruner="none", n_trials=N_EARLIER_TRIALS)
    tried = replay(search, world).architecture_T
    return Source(
        x_ND=world.candidates.encode(tried),
        score_N=world.score_N[tried],
        extra_sd_N=np.zeros(len(tried)),
        log_cost_N=world.log_cost_N[tried],
    )


def everything_about(source: str, seed: int, correlation: float) -> Oracle:
    """Every true score of a related world.

    Args:
        source: name of a simulated space.
        seed: of the world that is searched next.
        correlation: of the true scores of both worlds.
    """
    world = simulate_related(source, seed, correlation)
    return Oracle(world.candidates.encode(np.arange(len(world))), world.truth_N)
