"""The pruners that are compared, behind one interface: train an architecture for as long as it may matter.

Shapes: F fold, E epoch, K rung.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

import numpy as np

from benchmarks.efficiency.helpers.domination import better_first, rank_of_front
from benchmarks.efficiency.helpers.worlds import Floats, World
from search.pruner.race import FinishedTrial, Prior, Race, Rung, Standing, rung_epochs, rungs, standing
from search.sampler.gaussian_process import Surrogate
from search.sampler.history import Estimate

RACES = {"race .02": 0.02, "race .05": 0.05, "race .2": 0.2}
"""Alpha of every race."""
PRUNERS = ("none", *RACES, "hub", "median")
N_STARTUP = 5
"""Trials that Optuna's median rule lets finish before it prunes; its default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """Extent to which a trial was trained."""

    fold_epochs: int
    is_complete: bool
    decision_s: tuple[float, ...] = ()
    """Seconds of every decision."""


class Pruner(Protocol):
    """A pruner at work on a world."""

    def train(self, architecture: int, prior: Prior | None) -> Training:
        """Train one trial until it is complete or pruned.

        Args:
            architecture: position in the world.
            prior: score predicted by the sampler.
        """

    def estimates(self) -> Sequence[Estimate]:
        """Extrapolated final scores of pruned trials, where the pruner has them."""


def make_pruner(name: str, world: World, n_parallel: int = 1) -> Pruner:
    """A pruner by its name.

    Args:
        name: one of `PRUNERS`.
        world: what is searched.
        n_parallel: folds that are trained side by side; only the race makes use of them.
    """
    if name in RACES:
        return RacePruner(world, RACES[name], n_parallel)
    rules: dict[str, FoldRule | None] = {"none": None, "hub": HubRule(), "median": MedianRule()}
    return FoldPruner(world, rules[name])


class RacePruner:
    """The race of this program.

    Args:
        world: what is searched.
        alpha: share of the trials that would improve the front which may be lost.
        n_parallel: folds side by side.
    """

    def __init__(self, world: World, alpha: float, n_parallel: int = 1) -> None:
        self._world = world
        self._alpha = alpha
        _, n_folds, n_epochs = world.curves_NFE.shape
        self._epochs = rung_epochs(n_epochs)
        self._rungs = rungs(n_folds, n_epochs, n_parallel)
        self._finished: list[FinishedTrial] = []
        self._standing: Standing | None = None
        self._architectures: list[int] = []
        """Architectures of the finished trials."""
        self._surrogate = Surrogate(world.candidates.n_features)

    def train(self, architecture: int, prior: Prior | None) -> Training:
        """Train from rung to rung.

        Without a prior of the sampler, that of the front sampler's model is used, as in the program.
        """
        prior = prior or self._expected(architecture)
        now, parameters = self._now(), int(self._world.parameters_N[architecture])
        race = Race(alpha=self._alpha, cost=parameters, prior=prior)
        started = race.start(now)
        curve_FK = self._world.curves_NFE[architecture][:, [epoch - 1 for epoch in self._epochs]]
        kept_FK, chance_left, seconds = curve_FK, 0.0, []
        for rung in self._rungs:
            seen_FK = self._seen(rung, curve_FK)
            began_s = time.perf_counter()
            decision = race.decide(now, rung, seen_FK)
            seconds.append(time.perf_counter() - began_s)
            if decision is not None and decision.pruned:
                kept_FK, chance_left = seen_FK, decision.probability or 0.0
                break
        is_complete = kept_FK is curve_FK
        self._finished.append(
            FinishedTrial(
                number=len(self._finished),
                cost=parameters,
                score=float(self._world.score_N[architecture]) if is_complete else None,
                curve_FK=kept_FK,
                chance=None if started is None else started.probability,
                chance_left=chance_left,
            )
        )
        self._architectures.append(architecture)
        self._standing = None
        n_rungs_F = np.isfinite(kept_FK).sum(axis=1)
        spent = sum(self._epochs[n_rungs - 1] for n_rungs in n_rungs_F.tolist() if n_rungs)
        return Training(fold_epochs=spent, is_complete=is_complete, decision_s=tuple(seconds))

    def _seen(self, rung: Rung, curve_FK: Floats) -> Floats:
        """The part of a curve that is known at a rung."""
        seen_FK = np.full_like(curve_FK, np.nan)
        for fold, epoch in rung.seen:
            place = fold - 1, self._epochs.index(epoch)
            seen_FK[place] = curve_FK[place]
        return seen_FK

    def estimates(self) -> list[Estimate]:
        """Final scores of pruned trials, extrapolated with the present model of curves."""
        return [
            Estimate(params=self._world.candidates[architecture], score=score, standard_error=error)
            for architecture, score, error in self._evidence()
        ]

    def _evidence(self) -> list[tuple[int, float, float]]:
        """Architecture, score and standard error of every pruned trial whose curve is informative."""
        found = []
        for architecture, trial in zip(self._architectures, self._finished, strict=True):
            evidence = None if trial.score is not None else self._now().evidence(trial.curve_FK)
            if evidence is not None:
                found.append((architecture, *evidence))
        return found

    def _expected(self, architecture: int) -> Prior | None:
        """Score of one training of an architecture, from those of the others."""
        known = [
            (other, trial.score, 0.0)
            for other, trial in zip(self._architectures, self._finished, strict=True)
            if trial.score is not None
        ] + self._evidence()
        if not known:
            return None
        others, scores, errors = (np.array(column) for column in zip(*known, strict=True))
        encode = self._world.candidates.encode
        posterior = self._surrogate.posterior(encode(others), scores, errors)
        mean, sd = posterior.predict(encode(np.array([architecture])))
        return float(mean[0]), math.hypot(float(sd[0]), posterior.noise_sd)

    def _now(self) -> Standing:
        if self._standing is None:
            self._standing = standing(self._finished)
        return self._standing


class FoldRule(Protocol):
    """Pruner that decides after every fold but the last, by the mean of the folds so far."""

    def prunes(self, means: Sequence[float], parameters: int) -> bool:
        """Whether the trial ends here.

        Args:
            means: mean over the finished folds, after each of them.
            parameters: of the trial.
        """

    def finish(self, means: Sequence[float], parameters: int, *, is_complete: bool) -> None:
        """Remember a trial that is complete or pruned."""


class FoldPruner:
    """Pruner that trains fold by fold until a rule prunes.

    Args:
        world: what is searched.
        rule: decides; None to train everything.
    """

    def __init__(self, world: World, rule: FoldRule | None) -> None:
        self._world = world
        self._rule = rule

    def train(self, architecture: int, prior: Prior | None) -> Training:
        """Train fold by fold; the prior is not used."""
        _, n_folds, n_epochs = self._world.curves_NFE.shape
        if self._rule is None:
            return Training(fold_epochs=n_folds * n_epochs, is_complete=True)
        ends_F = self._world.curves_NFE[architecture, :, -1]
        means_F = (np.cumsum(ends_F) / np.arange(1, n_folds + 1)).tolist()
        parameters, seconds, n_trained = int(self._world.parameters_N[architecture]), [], n_folds
        for fold in range(1, n_folds):
            began_s = time.perf_counter()
            prunes = self._rule.prunes(means_F[:fold], parameters)
            seconds.append(time.perf_counter() - began_s)
            if prunes:
                n_trained = fold
                break
        is_complete = n_trained == n_folds
        self._rule.finish(means_F[:n_trained], parameters, is_complete=is_complete)
        return Training(fold_epochs=n_trained * n_epochs, is_complete=is_complete, decision_s=tuple(seconds))

    def estimates(self) -> tuple[Estimate, ...]:
        """None: these rules predict nothing."""
        return ()


class MedianRule:
    """Optuna's MedianPruner on the score alone, parameters ignored.

    A trial is pruned after a fold if the best of its means so far is below the median of the complete trials'
    means after that fold.
    """

    def __init__(self) -> None:
        self._complete: list[Sequence[float]] = []

    def prunes(self, means: Sequence[float], parameters: int) -> bool:
        """The rule."""
        if len(self._complete) < N_STARTUP:
            return False
        return max(means) < median(others[len(means) - 1] for others in self._complete)

    def finish(self, means: Sequence[float], parameters: int, *, is_complete: bool) -> None:
        """Keep the means of complete trials."""
        if is_complete:
            self._complete.append(means)


class HubRule:
    """OptunaHub's `multi_metric_pruner` with joint=True around Optuna's MedianPruner, after its description.

    After a fold all trials that have finished it are ranked by non-domination in mean score and parameters.
    A trial on the front gets −1 and is never pruned. Else hypervolume contribution orders those that share
    its rank, by a bonus of .5 for the first to .1 for the last. A trial is pruned if the best of its values
    so far is above the median of all others', pruned ones included.
    """

    def __init__(self) -> None:
        self._losses: list[list[tuple[float, float]]] = []
        """Negative mean and parameters of the trials that have finished each fold."""
        self._n_finished = 0
        self._best = np.inf
        """Best value of the trial in training."""

    def prunes(self, means: Sequence[float], parameters: int) -> bool:
        """The rule; it is to be asked after every fold, since the best value counts."""
        if len(means) == 1:
            self._best = np.inf
        others = self._losses[len(means) - 1] if len(self._losses) >= len(means) else []
        values_N = hub_values(np.array([*others, (-means[-1], float(parameters))]))
        self._best = min(self._best, values_N[-1])
        if self._n_finished < N_STARTUP or not others:
            return False
        return bool(self._best > np.median(values_N[:-1]))

    def finish(self, means: Sequence[float], parameters: int, *, is_complete: bool) -> None:
        """Keep what was reported, whether complete or not."""
        self._n_finished += 1
        for fold, mean in enumerate(means):
            if fold == len(self._losses):
                self._losses.append([])
            self._losses[fold].append((-mean, float(parameters)))


def hub_values(losses_N2: Floats) -> Floats:
    """Values of all trials at one fold as the last of them sees it; the lower the better. Shape (N,).

    Args:
        losses_N2: two objectives to be minimised.
    """
    ranks_N = rank_of_front(losses_N2)
    values_N = ranks_N.astype(np.float64)
    if ranks_N[-1] == 0:
        if len(ranks_N) > 1:
            values_N[-1] = -1.0
        return values_N
    peers = np.flatnonzero(ranks_N == ranks_N[-1])
    if len(peers) > 1:
        values_N[peers[better_first(losses_N2[peers])]] -= np.linspace(0.5, 0.1, len(peers))
    return values_N
