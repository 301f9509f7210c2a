"""The compared samplers behind one interface: propose an architecture, receive its score.

Optuna's samplers are used as by its users: an in-memory study of two objectives, `ask` and `tell`.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import optuna
import optunahub
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import TrialState
from scipy.stats.qmc import Sobol

from benchmarks.efficiency.helpers.oracle import Oracle
from benchmarks.efficiency.helpers.worlds import World
from search.pruner.race import Prior
from search.sampler.front import N_STARTUP_WITH_SOURCES, FrontSampler, NoCandidateLeftError
from search.sampler.gaussian_process import Source
from search.sampler.history import Estimate

SAMPLERS = ("front", "tpe", "tpe-multivariate", "nsga2", "random", "grid")
AUTO = "auto"
"""AutoSampler of a copy of OptunaHub's registry, which is named after a colon: `auto:FOLDER`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """Architecture to train next."""

    architecture: int
    """Position in the world."""
    seconds: float
    """That it took to propose it."""
    prior: Prior | None = None
    """Predicted score, training noise included; None for samplers that do not predict."""
    at_most: float | None = None
    """Upper bound of the remaining gain as a share of the hypervolume, if the sampler has one."""


class Proposer(Protocol):
    """A sampler at work on a world."""

    def propose(self) -> Proposal | None:
        """The next architecture, None if the sampler never repeats itself and has proposed everything."""

    def tell(self, score: float | None) -> None:
        """The score of the last proposal, None if it was pruned."""


def make_proposer(
    name: str,
    world: World,
    seed: int,
    estimates: Callable[[], Sequence[Estimate]] = tuple,
    earlier: Source | Oracle | None = None,
) -> Proposer:
    """A sampler by its name.

    Args:
        name: one of `SAMPLERS`, `gp`, or `auto:FOLDER`.
        world: what is searched.
        seed: of the sampler.
        estimates: what pruned trials would have scored, for `front`.
        earlier: what an earlier study has found, for `front`.
    """
    if name == "grid":
        return Grid(world, seed)
    if name == "front":
        distributions = {axis: CategoricalDistribution(choices) for axis, choices in world.axes.items()}
        sources = (earlier,) if isinstance(earlier, Source) else ()
        sampler = FrontSampler(
            world.candidates,
            distributions,
            seed=seed,
            estimates=estimates,
            n_startup=None if earlier is None else N_STARTUP_WITH_SOURCES,
            sources=sources,
        )
        if isinstance(earlier, Oracle):
            sampler._surrogate = earlier.surrogate(seed)  # Private: no user has all true scores.
        return InOptuna(world, sampler)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # `group` and `constant_liar`
        kind, _, registry = name.partition(":")
        if kind == AUTO:
            package = optunahub.load_local_module("samplers/auto_sampler", registry_root=registry)
            return InOptuna(world, package.AutoSampler(seed=seed))
        return InOptuna(world, _OF_OPTUNA[name](seed))


_OF_OPTUNA: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed),
    "tpe-multivariate": lambda seed: TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True),
    "nsga2": lambda seed: NSGAIISampler(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
    "gp": lambda seed: GPSampler(seed=seed, warn_independent_sampling=False),
}


class InOptuna:
    """A sampler of Optuna's interface in a study of its own.

    Args:
        world: what is searched.
        sampler: proposes.
    """

    def __init__(self, world: World, sampler: BaseSampler) -> None:
        self._world = world
        self._sampler = sampler
        self._study = make_study(sampler)
        self._asked: tuple[optuna.Trial, int] | None = None

    def propose(self) -> Proposal | None:
        """Ask; the time includes every `suggest`, in which Optuna draws the parameter."""
        began_s = time.perf_counter()
        try:
            trial = self._study.ask()
            params = self._world.suggest(trial)
        except NoCandidateLeftError:
            return None
        seconds = time.perf_counter() - began_s
        architecture = self._world.candidates.index(params)
        self._asked = trial, architecture
        return Proposal(
            architecture=architecture,
            seconds=seconds,
            prior=self._prior(params),
            at_most=self._at_most(),
        )

    def tell(self, score: float | None) -> None:
        """Tell; of a pruned trial Optuna learns nothing more, as there are two objectives."""
        assert self._asked is not None, "tell follows propose"
        trial, architecture = self._asked
        if score is None:
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, [score, float(self._world.parameters_N[architecture])])

    def _at_most(self) -> float | None:
        last = self._sampler.last_proposal if isinstance(self._sampler, FrontSampler) else None
        return None if last is None or last.gain is None else last.gain.at_most

    def _prior(self, params: Mapping[str, Any]) -> Prior | None:
        if not isinstance(self._sampler, FrontSampler):
            return None
        expected, noise_sd = self._sampler.posterior(params), self._sampler.noise_sd
        if expected is None or noise_sd is None:
            return None
        return expected[0], math.hypot(expected[1], noise_sd)


def make_study(sampler: BaseSampler) -> optuna.Study:
    """An in-memory study that maximises the score and minimises the parameters."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)


class Grid:
    """A walk that is evenly spread over every axis at any length and never repeats itself.

    Sobol's sequence, one dimension per axis, scrambled by the seed, so that different seeds walk differently
    through a recorded world.

    Args:
        world: what is searched.
        seed: of the sequence.
    """

    def __init__(self, world: World, seed: int) -> None:
        self._walk = _distinct(world, seed)

    def propose(self) -> Proposal | None:
        """The next point whose architecture is new."""
        began_s = time.perf_counter()
        architecture = next(self._walk, None)
        if architecture is None:
            return None
        return Proposal(architecture=architecture, seconds=time.perf_counter() - began_s)

    def tell(self, score: float | None) -> None:
        """Changes nothing."""


def _distinct(world: World, seed: int) -> Iterator[int]:
    """Every architecture of a world once."""
    seen: set[int] = set()
    axes = list(world.axes)
    # The sequence rarely meets the last few; those come in any order.
    n_points = 1 << math.ceil(math.log2(4 * len(world)))
    for point in Sobol(len(axes), scramble=True, seed=np.random.default_rng(seed)).random(n_points):
        params = world.suggest(_GridPoint(dict(zip(axes, point, strict=True))))
        architecture = world.candidates.index(params)
        if architecture not in seen:
            seen.add(architecture)
            yield architecture
    rest = [architecture for architecture in range(len(world)) if architecture not in seen]
    yield from np.random.default_rng(seed).permutation(rest).tolist()


class _GridPoint:
    """Substitute of a trial that has a coordinate from 0 to 1 on every axis in place of a value."""

    def __init__(self, coordinates: Mapping[str, float]) -> None:
        self._coordinates = coordinates

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return choices[int(self._coordinates[name] * len(choices))]
