"""Duration of one proposal and one decision in large studies."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution

from benchmarks.efficiency.helpers.samplers import make_study
from benchmarks.efficiency.helpers.worlds import Floats, World, simulate
from search.pruner.race import FinishedTrial, Race, Rung, rung_epochs, rungs, standing
from search.sampler.front import FrontSampler

SPACE = "paper"
"""The largest simulated space."""
N_ASKS = 5
_SHARE_COMPLETE = 0.4
"""Share of trials that a race has let finish."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Seconds, with so many finished trials."""

    n_finished: int
    first_ask_s: float
    """The first proposal of a process, which fits the hyper-parameters."""
    ask_s: float
    """Median of the following."""
    learn_s: float
    """Learning from all curves, once for every trial."""
    decision_s: float
    """Median of the decisions on one trial."""


def measure_times(n_finished: int, seed: int = 0) -> Timing:
    """Ask and decide in a study of `n_finished` finished trials."""
    world = simulate(SPACE, seed)
    chosen = np.random.default_rng(seed).permutation(len(world))[: n_finished + 1].tolist()
    first_ask_s, ask_s = _time_asks(world, chosen[:-1])
    learn_s, decision_s = _time_decisions(world, chosen[:-1], chosen[-1])
    return Timing(
        n_finished=n_finished, first_ask_s=first_ask_s, ask_s=ask_s, learn_s=learn_s, decision_s=decision_s
    )


def _time_asks(world: World, finished: list[int]) -> tuple[float, float]:
    distributions = {axis: CategoricalDistribution(choices) for axis, choices in world.axes.items()}
    study = make_study(FrontSampler(world.candidates, distributions, seed=0))
    for architecture in finished:
        params = dict(world.candidates[architecture])
        study.add_trial(
            optuna.trial.create_trial(
                params=params,
                distributions={axis: distributions[axis] for axis in params},
                values=[float(world.score_N[architecture]), float(world.parameters_N[architecture])],
            )
        )
    seconds = []
    for _ in range(N_ASKS):
        began_s = time.perf_counter()
        trial = study.ask()
        architecture = world.candidates.index(world.suggest(trial))
        seconds.append(time.perf_counter() - began_s)
        study.tell(trial, [float(world.score_N[architecture]), float(world.parameters_N[architecture])])
    return seconds[0], median(seconds[1:])


def _time_decisions(world: World, finished: list[int], running: int) -> tuple[float, float]:
    _, n_folds, n_epochs = world.curves_NFE.shape
    epochs, all_rungs = rung_epochs(n_epochs), rungs(n_folds, n_epochs, 1)
    generator = np.random.default_rng(0)

    def seen(architecture: int, rung: Rung) -> Floats:
        seen_FK = np.full((n_folds, len(epochs)), np.nan)
        for fold, epoch in rung.seen:
            seen_FK[fold - 1, epochs.index(epoch)] = world.curves_NFE[architecture, fold - 1, epoch - 1]
        return seen_FK

    whole = [epoch - 1 for epoch in epochs]
    trials = []
    for number, architecture in enumerate(finished):
        is_complete = generator.random() < _SHARE_COMPLETE
        rung = all_rungs[int(generator.integers(len(all_rungs)))]
        trials.append(
            FinishedTrial(
                number=number,
                cost=int(world.parameters_N[architecture]),
                score=float(world.score_N[architecture]) if is_complete else None,
                curve_FK=world.curves_NFE[architecture][:, whole]
                if is_complete
                else seen(architecture, rung),
                chance=0.1,
            )
        )
    began_s = time.perf_counter()
    now = standing(trials)
    learn_s = time.perf_counter() - began_s
    race = Race(alpha=0.05, cost=int(world.parameters_N.max()))
    race.start(now)
    seconds = []
    for rung in all_rungs:
        seen_FK = seen(running, rung)
        began_s = time.perf_counter()
        race.decide(now, rung, seen_FK)
        seconds.append(time.perf_counter() - began_s)
    return learn_s, median(seconds)
