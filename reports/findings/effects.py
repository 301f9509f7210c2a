"""Effect of each axis: paired differences where there are pairs, a model of all trials elsewhere.

*Pairs.* Trials that differ in one axis alone, as the two of a paired experiment: all trials train on the same
folds with the same batches. Trials that agree in everything else form a set; a set with both levels gives
one difference of means, and the interval is Student's over sets. For depth, a set is a stack and the
stacks with one layer less.

*Model.* Where fewer than `N_PAIRS` sets exist, score = sum of one term per level of every axis + noise, with
terms drawn from a common normal distribution whose spread, like that of the noise, is the likeliest one
(ridge regression by maximal marginal likelihood; MacKay 1992, section 2.4). Intervals are the
posterior ones. Interactions between axes count as noise.

*Pruned trials* count with the score the race forecast when it stopped them, and with the forecast's standard
error as additional noise: leaving them out would leave out what an axis does badly. Trials were chosen by a
sampler rather than at random, so every effect is one over the architectures tried.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from reports.findings.additive_model import AdditiveModel
from reports.findings.axes import STACK_AXES, Axis, Contrast, Levels, contrasts, find_axes, levels_of
from reports.words import recurrent_layers
from scores.bootstrap import benjamini_hochberg
from storage.records import TrialRecord

N_PAIRS = 8
"""Minimum number of sets for an interval over sets; below, the model is used."""
N_CONTRASTS = 12
"""Maximum number of levels that are listed."""
LEVEL = 0.95
REAL = 0.05
"""False discovery rate below which an effect is called distinguishable from zero."""

Method = Literal["paired", "model", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """A trial as an observation of the effects."""

    trial: int
    layers: tuple[tuple[str, bool], ...]
    """Cell and direction of the recurrent layers."""
    levels: Levels
    score: float
    standard_error: float
    """Standard error of a forecast; 0 for a complete trial."""
    log_cost: float


Groups = Mapping[object, Mapping[object, list[Observation]]]
"""Levels of all other axes, to level of the axis, to trials."""
Sides = tuple[list[Observation], list[Observation]]
"""The trials of a set at the base and at the level it is compared with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """Effect of a level of an axis, compared with another level."""

    contrast: Contrast
    method: Method
    difference: float
    """Difference in score; nan if it cannot be estimated."""
    low: float
    high: float
    p: float
    p_adjusted: float = math.nan
    """p after Benjamini–Hochberg over all effects of the study."""
    n: int
    """Sets of pairs, or trials with one of the two levels."""
    n_forecasts: int
    """Number of pruned trials behind it."""
    cost_ratio: float
    """Geometric mean of the ratio of the minimised cost."""

    @property
    def is_real(self) -> bool:
        """Whether the effect is distinguishable from zero."""
        return self.p_adjusted < REAL


def observations(trials: Sequence[TrialRecord]) -> list[Observation]:
    """Complete trials with their scores, pruned ones with the forecast that pruned them."""
    found = []
    for trial in trials:
        score, error = trial.score, 0.0
        if trial.state == "pruned" and trial.decision is not None:
            score, error = trial.decision.predicted, trial.decision.standard_error
        elif trial.state != "complete":
            continue
        if score is not None and math.isfinite(score) and math.isfinite(error):
            found.append(
                Observation(
                    trial=trial.number,
                    layers=recurrent_layers(trial.architecture),
                    levels=levels_of(trial.architecture),
                    score=float(score),
                    standard_error=float(error),
                    log_cost=math.log(max(trial.cost, 1)),
                )
            )
    return found


def axis_effects(trials: Sequence[TrialRecord], target: str) -> list[tuple[Axis, list[Effect]]]:
    """Estimate the effects of every axis, with p adjusted over all effects."""
    observed = observations(trials)
    all_levels = [each.levels for each in observed]
    axes = find_axes(all_levels)
    codes = _codes(all_levels)
    model = AdditiveModel.fit(
        axes,
        all_levels,
        np.array([each.score for each in observed]),
        np.array([each.standard_error for each in observed]),
        np.array([each.log_cost for each in observed]),
    )
    found = [
        (axis, contrast, _effect(contrast, list(_sets(axis, contrast, axes, groups)), observed, model))
        for axis in axes
        for groups in [_groups(axis, axes, observed, codes)]
        for contrast in contrasts(axis, all_levels, target)[:N_CONTRASTS]
    ]
    adjusted = benjamini_hochberg([effect.p for _, _, effect in found])
    by_axis: dict[str, list[Effect]] = defaultdict(list)
    for (axis, _, effect), p in zip(found, adjusted, strict=True):
        by_axis[axis.name].append(replace(effect, p_adjusted=float(p)))
    return [(axis, by_axis[axis.name]) for axis in axes if by_axis[axis.name]]


def _effect(
    contrast: Contrast,
    sets: Sequence[Sides],
    observed: Sequence[Observation],
    model: AdditiveModel | None,
) -> Effect:
    if len(sets) >= N_PAIRS:
        return _paired(contrast, sets)
    involved = [
        each for each in observed if each.levels.get(contrast.axis) in (contrast.base, contrast.level)
    ]
    n_forecasts = sum(each.standard_error > 0 for each in involved)
    if model is None:
        nan = math.nan
        return Effect(
            contrast=contrast,
            method="none",
            difference=nan,
            low=nan,
            high=nan,
            p=nan,
            n=len(involved),
            n_forecasts=n_forecasts,
            cost_ratio=nan,
        )
    difference, error, log_ratio = model.contrast(contrast)
    half = float(ndtri((1 + LEVEL) / 2)) * error
    return Effect(
        contrast=contrast,
        method="model",
        difference=difference,
        low=difference - half,
        high=difference + half,
        p=float(2 * ndtr(-abs(difference) / error)) if error > 0 else math.nan,
        n=len(involved),
        n_forecasts=n_forecasts,
        cost_ratio=math.exp(log_ratio),
    )


def _paired(contrast: Contrast, sets: Sequence[Sides]) -> Effect:
    differences = np.array([_mean(level, "score") - _mean(base, "score") for base, level in sets])
    log_ratios = [_mean(level, "log_cost") - _mean(base, "log_cost") for base, level in sets]
    n = len(differences)
    mean, error = float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(n)
    half = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * error
    return Effect(
        contrast=contrast,
        method="paired",
        difference=mean,
        low=mean - half,
        high=mean + half,
        p=float(2 * stdtr(n - 1, -abs(mean) / error)) if error > 0 else float(mean == 0),
        n=n,
        n_forecasts=len(
            {each.trial for sides in sets for side in sides for each in side if each.standard_error}
        ),
        cost_ratio=math.exp(float(np.mean(log_ratios))),
    )


def _mean(side: Sequence[Observation], name: str) -> float:
    return math.fsum(getattr(each, name) for each in side) / len(side)


def _codes(all_levels: Sequence[Levels]) -> dict[str, NDArray[np.int64]]:
    """Levels of all trials by axis, as numbers that are equal where the levels are; −1 for none."""
    codes = {}
    for name in {name: None for levels in all_levels for name in levels}:
        known: dict[str, int] = {}
        codes[name] = np.array(
            [known.setdefault(repr(each[name]), len(known)) if name in each else -1 for each in all_levels],
            dtype=np.int64,
        )
    return codes


def _groups(
    axis: Axis,
    axes: Sequence[Axis],
    observed: Sequence[Observation],
    codes: Mapping[str, NDArray[np.int64]],
) -> Groups:
    """Trials that agree in all but the axis and the axes that follow it, by level."""
    free = {axis.name, *_followers(axis, axes), *(STACK_AXES if axis.name == "depth" else ())}
    nothing = np.zeros((len(observed), 1), dtype=np.int64)
    rest = np.column_stack([nothing, *(code for name, code in codes.items() if name not in free)])
    groups: dict[object, dict[object, list[Observation]]] = defaultdict(lambda: defaultdict(list))
    for each, row in zip(observed, rest, strict=True):
        groups[row.tobytes(), _stack_key(axis, each)][each.levels.get(axis.name)].append(each)
    return groups


def _followers(axis: Axis, axes: Sequence[Axis]) -> list[str]:
    """Axes that may differ as a consequence; how stacks differ is up to `_is_one_less`."""
    return [each.name for each in axes if axis.name in each.follows and each.name not in STACK_AXES]


def _sets(axis: Axis, contrast: Contrast, axes: Sequence[Axis], groups: Groups) -> Iterator[Sides]:
    """Sets of trials that agree in all but the axis and hold both levels."""
    followers = _followers(axis, axes)
    for by_level in groups.values():
        if contrast.base in by_level and contrast.level in by_level:
            base, level = by_level[contrast.base], by_level[contrast.level]
            kept = _agreeing(base, level, followers, is_depth=axis.name == "depth")
            if kept is not None:
                yield kept


def _stack_key(axis: Axis, each: Observation) -> object:
    """Common part of the stacks of a set; stacks of different depth are matched afterwards."""
    if axis.name == "depth":
        return None
    if axis.name == "cell":
        return tuple(both for _, both in each.layers)
    if axis.name == "direction":
        return tuple(cell for cell, _ in each.layers)
    return each.layers


def _agreeing(
    base: Sequence[Observation], level: Sequence[Observation], followers: Sequence[str], *, is_depth: bool
) -> Sides | None:
    """The trials of a set that have a partner: equal followers, stacks one layer apart."""

    def kind(each: Observation) -> tuple[Any, ...]:
        return (each.layers, *(each.levels.get(name) for name in followers))

    # Kinds are compared rather than trials, of which a large study has thousands in one set.
    of_base, of_level = [kind(each) for each in base], [kind(each) for each in level]
    pairs = [
        (first, second)
        for first, second in product(dict.fromkeys(of_base), dict.fromkeys(of_level))
        if all(map(_compatible, first[1:], second[1:]))
        and (not is_depth or _is_one_less(first[0], second[0]))
    ]
    if not pairs:
        return None
    firsts, seconds = map(set, zip(*pairs, strict=True))
    return (
        [each for each, mine in zip(base, of_base, strict=True) if mine in firsts],
        [each for each, mine in zip(level, of_level, strict=True) if mine in seconds],
    )


def _compatible(first: object, second: object) -> bool:
    return first is None or second is None or first == second


def _is_one_less(small: Sequence[object], large: Sequence[object]) -> bool:
    return any([*large[:index], *large[index + 1 :]] == list(small) for index in range(len(large)))
