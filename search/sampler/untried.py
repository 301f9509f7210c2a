"""Samplers that never propose an architecture twice.

Optuna's samplers repeat themselves: of 200 trials of a space of 234 architectures TPE proposes about fifty
distinct ones. `UntriedSampler` takes a proposal of one of them and, if that was tried already, changes it
axis by axis until it is untried; another call of the sampler would only repeat the same proposals.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

import space
from search.errors import SearchError, UsageError
from search.sampler.candidates import Params
from search.sampler.encoding import SpaceCandidates
from search.sampler.front import FrontSampler, NoCandidateLeftError
from search.sampler.gain import Gain
from search.sampler.history import Estimate
from search.sampler.requests import requested
from storage.optuna_side import Known, KnownTrials, without_warnings

SAMPLERS = ("front", "tpe", "nsga2", "random", "grid")
N_STEPS = 200
"""Steps of a random walk from a tried architecture before the untried ones are listed."""


def check_sampler(name: str) -> str:
    """The name itself.

    Raises:
        UsageError: there is no sampler of that name; the message lists those there are.
    """
    if name not in SAMPLERS:
        raise UsageError(f"unknown sampler {name!r}: choose from {', '.join(SAMPLERS)}")
    return name


class SpaceExhaustedError(SearchError):
    """Every architecture of the space has been tried."""


class UntriedSampler(BaseSampler):
    """Sampler that proposes only architectures whose digest is not among `taken`.

    Args:
        candidates: the architectures of the study's space that fit its limits, with their costs.
        name: one of `SAMPLERS`.
        seed: of the sampler's own random choices.
        taken: digests of the architectures that were tried, are being trained or wait in the queue.
        estimates: final scores extrapolated from the curves of pruned trials.
        durations: parameters and seconds of timed trials, for `front`.
        cost_aware: whether `front` weighs the expected gain of a trial against its training time.
        reference_score: scores below add nothing for `front`; None for the lowest predicted one.
        measured: parameters and costs of trials, where those that are known before are only expected.
        fits: whether a chosen architecture can be proposed; one that cannot is not chosen again.
        known: trials to learn from; None for all of the study.
        earlier: results of each earlier study, for `front` and for the race.

    Raises:
        UsageError: there is no sampler of that name.
    """

    def __init__(
        self,
        candidates: SpaceCandidates,
        name: str,
        *,
        seed: int,
        taken: Callable[[], set[str]],
        estimates: Callable[[], Iterable[Estimate]] = tuple,
        durations: Callable[[], Iterable[tuple[Params, float]]] = tuple,
        cost_aware: bool = True,
        reference_score: float | None = None,
        measured: Callable[[], Iterable[tuple[Params, float]]] = tuple,
        fits: Callable[[space.Architecture], bool] = lambda _: True,
        known: Known | None = None,
        earlier: Sequence[Sequence[Estimate]] = (),
    ) -> None:
        check_sampler(name)
        self._measured = measured
        self._fits = fits
        self._unfit: set[str] = set()
        """Digests of architectures that were chosen and cannot be proposed."""
        self._tried = taken
        self._known = known
        self._space = candidates.architectures
        self._generator = np.random.default_rng(seed)
        self._is_grid = name == "grid"
        self._distributions: dict[str, BaseDistribution] = {
            axis: CategoricalDistribution(choices) for axis, choices in self._space.parameter_axes().items()
        }
        self._candidates = candidates
        # The race takes its prior of a proposal from this sampler, whichever sampler made the proposal.
        self._front = FrontSampler(
            self._candidates,
            self._distributions,
            seed=seed,
            taken=self._taken,
            estimates=estimates,
            cost_aware=cost_aware,
            seconds=durations,
            reference_score=reference_score,
            levels=self._candidates.n_leads,
            sources=[self._candidates.source(each) for each in earlier],
        )
        self._inner = self._front if name == "front" else _make_optuna_sampler(name, seed)
        self._reason = ""
        self._gain: Gain | None = None
        self._unread: optuna.Study | None = None
        """Study not read since the latest trial; reading takes time and may not be needed."""

    @property
    def n_candidates(self) -> int:
        """Architectures that can be proposed, tried ones included."""
        return len(self._candidates)

    def has_untried(self, taken: Collection[str]) -> bool:
        """Whether an architecture that can be proposed is not among these, by their digests."""
        n = self.n_candidates
        return len(taken) < n or any(self._candidates.name(index) not in taken for index in range(n))

    @property
    def reason(self) -> str:
        """Reason of the latest proposal; empty where there is no particular one."""
        return self._reason

    @property
    def gain(self) -> Gain | None:
        """Expected gain of the latest proposal; None for samplers other than `front`."""
        return self._gain

    def expected(self, params: Params) -> tuple[float, float] | None:
        """Mean and standard deviation of the score that one training of an architecture would bring.

        As of the latest trial, whichever sampler proposed it; None before any has finished, and for a queued
        architecture that is over a limit by its expected latency.
        """
        if self._unread is not None:
            self._candidates.learn(self._measured())
            self._front.refresh(self._unread)
            self._unread = None
        try:
            found, noise_sd = self._front.posterior(params), self._front.noise_sd
        except KeyError:  # no candidate
            return None
        return None if found is None or noise_sd is None else (found[0], math.hypot(found[1], noise_sd))

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Every axis: an architecture is proposed whole."""
        return self._distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters of an untried architecture; none for a trial from the queue, which has its own.

        Raises:
            SpaceExhaustedError: there is none left.
        """
        self._reason, self._gain = "", None
        study = self._known_trials(study)
        is_queued = requested(trial) is not None
        if is_queued or self._inner is not self._front:
            self._unread = study
        if is_queued:
            return {}
        self._candidates.learn(self._measured())
        architecture = self._choose(study, trial)
        while not self._fits(architecture):
            self._unfit.add(architecture.digest)
            architecture = self._choose(study, trial)
        return dict(self._space.to_params(architecture))

    def _taken(self) -> set[str]:
        return self._tried() | self._unfit

    def _choose(self, study: optuna.Study, trial: FrozenTrial) -> space.Architecture:
        """An untried architecture.

        Raises:
            SpaceExhaustedError: there is none left.
        """
        taken = self._taken()
        if self._is_grid:
            return self._first_on_grid(taken)
        try:
            architecture = self._space.suggest(_Proposal(study, trial, self._inner))
        except NoCandidateLeftError:
            raise self._exhausted() from None
        if self._inner is self._front and self._front.last_proposal is not None:
            self._reason = self._front.last_proposal.reason
            self._gain = self._front.last_proposal.gain
        if not self._is_free(architecture, taken):
            architecture = self._nearby(architecture, taken)
        return architecture

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """An axis that a queued trial leaves open: drawn by Optuna's sampler, or what fits the others."""
        study = self._known_trials(study)
        drawn = self._inner.sample_independent(study, trial, param_name, param_distribution)
        given = requested(trial)
        if given is None or param_name not in self._distributions:
            return drawn
        fitting = self._space.values(param_name, given)
        return drawn if drawn in fitting else fitting[int(self._generator.integers(len(fitting)))]

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Passed on."""
        self._inner.before_trial(self._known_trials(study), trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Passed on."""
        self._inner.after_trial(self._known_trials(study), trial, state, values)

    def reseed_rng(self) -> None:
        """Passed on."""
        self._inner.reseed_rng()

    def _known_trials(self, study: optuna.Study) -> optuna.Study:
        if self._known is None or isinstance(study, KnownTrials):
            return study
        return KnownTrials(study, self._known)

    def _nearby(self, architecture: space.Architecture, taken: set[str]) -> space.Architecture:
        """An untried architecture near a tried one: what the sampler has learned is not thrown away."""
        for _ in range(N_STEPS):
            architecture = self._step(architecture)
            if self._is_free(architecture, taken):
                return architecture
        # Nearly everything has been tried, or few fit: the list of what is left is short, or any will do.
        for index in self._shuffled():
            architecture = self._candidates.architecture(index)
            if architecture.digest not in taken:
                return architecture
        raise self._exhausted()

    def _shuffled(self) -> Iterable[int]:
        """Every candidate once, in random order: a walk with a step that has no factor in common with all."""
        total = len(self._candidates)
        if not total:
            return
        start, step = (int(self._generator.integers(total)) for _ in range(2))
        step = next(each for each in itertools.count(max(1, step)) if math.gcd(each, total) == 1)
        for number in range(total):
            yield (start + number * step) % total

    def _is_free(self, architecture: space.Architecture, taken: Collection[str]) -> bool:
        return architecture.digest not in taken and architecture in self._candidates

    def _step(self, architecture: space.Architecture) -> space.Architecture:
        """The architecture with one axis chosen anew, and any further axis that this brings in."""
        params = dict(self._space.to_params(architecture))
        del params[list(params)[int(self._generator.integers(len(params)))]]
        return self._space.suggest(_Completion(params, self._generator))

    def _first_on_grid(self, taken: set[str]) -> space.Architecture:
        """The next untried architecture on a walk that is evenly spread over every axis at any length.

        Sobol's sequence, one dimension per axis. Equal steps through the list of architectures would not do:
        three quarters of them have the largest depth.
        """
        from scipy.stats.qmc import Sobol  # most of a second that only the grid needs

        axes = list(self._distributions)
        # Points without the ones tried: at least one of them is new unless nearly all have been tried.
        n_points = 1 << math.ceil(math.log2(2 * len(taken) + N_STEPS))
        for point in Sobol(len(axes), scramble=False).random(n_points):
            architecture = self._space.suggest(_GridPoint(dict(zip(axes, point, strict=True))))
            if self._is_free(architecture, taken):
                return architecture
        for architecture in map(self._candidates.architecture, range(len(self._candidates))):
            if architecture.digest not in taken:
                return architecture
        raise self._exhausted()

    def _exhausted(self) -> SpaceExhaustedError:
        return SpaceExhaustedError(
            f"all {len(self._candidates):,} architectures of space {self._space.name!r} have been tried"
        )


class _Proposal:
    """Substitute of a trial with which a sampler is called axis by axis, without writing to the study."""

    def __init__(self, study: optuna.Study, trial: FrozenTrial, sampler: BaseSampler) -> None:
        self._study, self._trial, self._sampler = study, trial, sampler
        searched = sampler.infer_relative_search_space(study, trial)
        self._relative = sampler.sample_relative(study, trial, searched)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        if name in self._relative:
            return self._relative[name]
        distribution = CategoricalDistribution(choices)
        return self._sampler.sample_independent(self._study, self._trial, name, distribution)


class _Completion:
    """Substitute of a trial with some parameters given; the others are drawn."""

    def __init__(self, params: dict[str, Any], generator: np.random.Generator) -> None:
        self._params, self._generator = params, generator

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        if name in self._params:
            return self._params[name]
        return choices[int(self._generator.integers(len(choices)))]


class _GridPoint:
    """Substitute of a trial that has a coordinate from 0 to 1 on every axis in place of a value."""

    def __init__(self, coordinates: Mapping[str, float]) -> None:
        self._coordinates = coordinates

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return choices[int(self._coordinates[name] * len(choices))]


def _make_optuna_sampler(name: str, seed: int) -> BaseSampler:
    if name == "tpe":
        with without_warnings():  # `group`, experimental since Optuna 2.8
            # Axes of absent layers split the space into groups; within one, axes are drawn together.
            return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
    if name == "nsga2":
        return NSGAIISampler(seed=seed)
    return RandomSampler(seed=seed)
