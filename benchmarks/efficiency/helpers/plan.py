"""Searches to replay, and the measurements kept of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmarks.efficiency.helpers.measures import Yardstick, n_unique, wrongly_pruned
from benchmarks.efficiency.helpers.pruners import PRUNERS
from benchmarks.efficiency.helpers.replay import Search, replay
from benchmarks.efficiency.helpers.samplers import SAMPLERS
from benchmarks.efficiency.helpers.worlds import Floats, World, open_world
from search.study.stopping import is_enough

LARGE = ("medium", "widths", "paper")
"""Simulated spaces of more than 2,000 architectures."""
SPACES = ("small", *LARGE)
N_TRIALS = 200
N_PAIR_TRIALS = 60
N_RACE_TRIALS = 100
N_REACH_TRIALS = 1000
"""Trials that Optuna's default gets to reach the share of the hypervolume."""
DEFAULT_RACE = "race .05"
N_LAST_ASKS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Seeds:
    """Number of seeds of every part."""

    pairs: int
    """Simulated worlds, going round over `SPACES`, on which all pairs of sampler and pruner are run."""
    pairs_on_tables: int
    samplers: int
    race: int
    side_by_side: int
    """Seeds of the race with several folds at a time."""
    reach: int

    @classmethod
    def all_of(cls, n: int) -> Seeds:
        """The same everywhere; a recorded world is always the same, so a quarter will do there."""
        fewer = max(1, n // 4)
        return cls(pairs=n, pairs_on_tables=fewer, samplers=n, race=n, side_by_side=fewer, reach=n)


QUICK = Seeds(pairs=1, pairs_on_tables=1, samplers=6, race=3, side_by_side=1, reach=3)
DEFAULT_SEEDS = 21


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Searches by purpose; one that serves several purposes is run once."""

    pairs: tuple[Search, ...]
    """Every sampler with every pruner, on simulated worlds."""
    pairs_on_tables: tuple[Search, ...]
    samplers: tuple[Search, ...]
    """Every sampler without pruning, on large spaces."""
    conditional: tuple[Search, ...]
    """Every sampler without pruning, on the space of 234."""
    race: tuple[Search, ...]
    """The race in the order of the grid."""
    reach: tuple[Search, ...]
    """Optuna's default without pruning, and ours."""

    def searches(self) -> tuple[Search, ...]:
        """All of them once, the longest first, so that no core waits for the last one."""
        everything = {
            search: None
            for part in (
                self.reach,
                self.pairs,
                self.pairs_on_tables,
                self.samplers,
                self.conditional,
                self.race,
            )
            for search in part
        }
        return tuple(sorted(everything, key=lambda search: -search.n_trials))


def make_plan(tables: Sequence[Path], seeds: Seeds) -> Plan:
    """The searches of a benchmark.

    Args:
        tables: recorded worlds.
        seeds: how many of every kind.
    """
    sizes = {str(table): len(_world(str(table), 0)) for table in tables}
    return Plan(
        pairs=tuple(
            search
            for source, seed in round_robin(SPACES, seeds.pairs)
            for search in _pairs([source], seed, N_PAIR_TRIALS)
        ),
        pairs_on_tables=tuple(
            search
            for table, size in sizes.items()
            for seed in range(seeds.pairs_on_tables)
            for search in _pairs([table], seed, min(size, N_PAIR_TRIALS))
        ),
        samplers=tuple(_unpruned(LARGE, seeds.samplers)),
        conditional=tuple(_unpruned(("conditional",), seeds.samplers)),
        race=tuple(
            Search(
                source=source,
                seed=seed,
                sampler="grid",
                pruner=DEFAULT_RACE,
                n_trials=min(sizes.get(source, N_RACE_TRIALS), N_RACE_TRIALS),
                n_parallel=n_parallel,
            )
            for source in (*SPACES, *sizes)
            for n_parallel, n_seeds in ((1, seeds.race), (2, seeds.side_by_side), (5, seeds.side_by_side))
            for seed in range(n_seeds)
        ),
        reach=tuple(
            Search(source=source, seed=seed, sampler=sampler, pruner=pruner, n_trials=n_trials)
            for source, seed in round_robin(LARGE, seeds.reach)
            for sampler, pruner, n_trials in (
                ("tpe", "none", N_REACH_TRIALS),
                ("front", DEFAULT_RACE, N_TRIALS),
            )
        ),
    )


def _pairs(sources: Iterable[str], seed: int, n_trials: int) -> Iterable[Search]:
    return (
        Search(source=source, seed=seed, sampler=sampler, pruner=pruner, n_trials=n_trials)
        for source in sources
        for sampler in SAMPLERS
        for pruner in PRUNERS
    )


def _unpruned(sources: Sequence[str], n_seeds: int) -> Iterable[Search]:
    return (
        Search(source=source, seed=seed, sampler=sampler, pruner="none", n_trials=N_TRIALS)
        for source, seed in round_robin(sources, n_seeds)
        for sampler in SAMPLERS
    )


def round_robin(sources: Sequence[str], n_seeds: int) -> Iterable[tuple[str, int]]:
    """Seeds that go round over sources, so that every seed is another world."""
    return ((sources[seed % len(sources)], seed) for seed in range(n_seeds))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Measured:
    """Measurements of one search."""

    share_T: Floats
    """Share of the achievable hypervolume after every trial."""
    fold_epochs_T: Floats
    """Fold-epochs spent by the end of every trial, all earlier ones included."""
    at_most_T: Floats
    """Remaining gain at every proposal as the sampler estimated it, an upper bound; NaN where it did not."""
    fold_epoch_share: float
    """Share of the fold-epochs of training every trial to its end."""
    front_kept: float
    """Share of the front by measured scores."""
    true_front_kept: float
    """Share of the front by true scores."""
    n_unique: int
    n_found: int
    """Members of the true front of the whole space."""
    n_front: int
    n_wrongly_pruned: int
    n_improving: int
    ask_s: float
    """Median seconds of the last proposals."""
    decision_s: float
    """Median seconds of a decision; NaN without decisions."""

    def stopped_at(self, share: float) -> int:
        """Trials after which `run --until` would have ended the search; all of them if it never would."""
        for n_trials in range(len(self.at_most_T)):
            known = self.at_most_T[:n_trials]
            if is_enough(known[np.isfinite(known)].tolist(), share):
                return n_trials
        return len(self.at_most_T)

    def share_after(self, n_trials: int) -> float:
        """Share of the hypervolume after so many trials, or at the end if there were fewer."""
        return float(self.share_T[min(n_trials, len(self.share_T)) - 1])

    def trials_to(self, share: float) -> float:
        """Trials until that share of the hypervolume was reached first; infinite if it never was."""
        reached_T = self.share_T >= share
        return float(reached_T.argmax()) + 1 if reached_T.any() else float("inf")

    def fold_epochs_to(self, share: float) -> float:
        """Fold-epochs until that share was reached first; infinite if it never was."""
        reached_T = self.share_T >= share
        return float(self.fold_epochs_T[int(reached_T.argmax())]) if reached_T.any() else float("inf")


def measure(search: Search) -> Measured:
    """Replay a search and measure it."""
    world = _world(search.source, search.seed)
    yardstick, trace = _yardstick(search.source, search.seed), replay(search, world)
    n_found, n_front = yardstick.found(trace)
    n_wrongly_pruned, n_improving = wrongly_pruned(trace)
    return Measured(
        share_T=yardstick.share_T(trace),
        fold_epochs_T=np.cumsum(trace.fold_epochs_T, dtype=np.float64),
        at_most_T=trace.at_most_T,
        fold_epoch_share=yardstick.fold_epoch_share(trace),
        front_kept=yardstick.front_kept(trace, world.score_N),
        true_front_kept=yardstick.front_kept(trace, world.truth_N),
        n_unique=n_unique(trace),
        n_found=n_found,
        n_front=n_front,
        n_wrongly_pruned=n_wrongly_pruned,
        n_improving=n_improving,
        ask_s=float(np.median(trace.ask_s_T[-N_LAST_ASKS:])),
        decision_s=float(np.median(trace.decision_s)) if len(trace.decision_s) else float("nan"),
    )


@lru_cache(maxsize=8)
def _world(source: str, seed: int) -> World:
    return open_world(source, seed)


@lru_cache(maxsize=8)
def _yardstick(source: str, seed: int) -> Yardstick:
    return Yardstick(_world(source, seed))
