"""Worlds to search in: recorded tables, and simulated ones with crossing learning curves.

A world has the learning curve of every architecture of its space, so that a search of hundreds of trials
takes seconds. Shapes: N architecture, F fold, E epoch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

import space
from benchmarks.efficiency.helpers import conditional
from benchmarks.efficiency.helpers.effects import Effects
from search.sampler.candidates import Candidates
from search.sampler.encoding import SpaceCandidates
from search.sampler.listed import ListedCandidates

Floats = NDArray[np.float64]

N_FOLDS = 5
N_EPOCHS = 20
N_OUTPUTS = {"superclass": 5, "subclass": 23, "diagnostic": 44, "all": 71}
"""Classes of PTB-XL's tiers."""

FOLD_SD = 0.015
"""Difficulty of a fold, shared by all architectures."""
ARCHITECTURE_FOLD_SD = 0.004
"""Standard deviation of an architecture's score on one fold around its mean, training noise included."""
_OFFSET_OF_RELATED = 10_000
"""Offset between the seed of a world and that of a related one."""
EPOCH_SD = 0.006
"""Epoch to epoch, at the start of training; it shrinks with the learning rate."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class World:
    """Everything there is to be found out about a space."""

    name: str
    """Name of the space or of the table."""
    candidates: Candidates
    axes: Mapping[str, Sequence[Any]]
    """Every parameter that `suggest` may ask for, with its choices."""
    suggest: Callable[[Any], dict[str, Any]]
    """Suggestion of an architecture's parameters by an Optuna trial."""
    log_cost_N: Floats
    """log10 of the trainable parameters."""
    curves_NFE: Floats
    """Macro-AUPRC after every epoch, as it would be measured."""
    score_N: Floats
    """Score of a trial that is trained to its end."""
    truth_N: Floats
    """The same without the chance of a single training, where it is known."""

    def __len__(self) -> int:
        return len(self.score_N)

    @property
    def parameters_N(self) -> NDArray[np.int64]:
        """Trainable parameters."""
        counts: NDArray[np.int64] = np.rint(10**self.log_cost_N).astype(np.int64)
        return counts


def open_world(source: str, seed: int) -> World:
    """The simulated world of that name, or the recorded one in the file of that path.

    Args:
        source: one of `SIMULATED`, "paper limited" or "paper alone" for the tenth of such a world that costs
            least, or the path of a table.
        seed: of a simulated world; a recorded one is what it is.
    """
    name, _, how = source.rpartition(" ")
    if how in LIMITS:
        return cheapest(name, seed, is_limit=how == "limited")
    return simulate(source, seed) if source in SIMULATED else read_table(Path(source))


# ---------------------------------------------------------------------------------------------------------
# Simulated

_AXES: dict[str, dict[str, tuple[space.Choice, ...]]] = {
    "small": {
        "depth": (0, 1, 2),
        "hidden_size": (64,),
        "width": (0.25, 1.0),
        "head_width": (64, 512),
        "gate": (0, 16),
        "loss": ("bce", "focal"),
        "exponent": (0.5,),
        "cap": (10.0,),
        "label_smoothing": (0.05,),
    },
    "medium": {
        "depth": (0, 1, 2),
        "hidden_size": (32, 128),
        "width": (0.25, 0.5, 1.0),
        "head_width": (64, 512),
        "gate": (0, 16, 4),
        "exponent": (0.5,),
        "cap": (10.0,),
        "label_smoothing": (0.05,),
    },
    "widths": {
        "depth": (0, 1, 2),
        "gate": (0, 16),
        "loss": ("bce", "focal"),
        "label_smoothing": (0.0, 0.05),
    },
    "paper": space.SPACES["paper"],
    "noisy": {
        "depth": (0, 1, 2),
        "hidden_size": (64,),
        "width": (0.25, 1.0),
        "head_width": (64, 512),
        "gate": (0, 16, 4),
        "loss": ("bce", "focal", "power"),
        "exponent": (0.1, 0.25, 0.5, 0.75, 1.0),
        "cap": (10.0,),
        "label_smoothing": (0.0, 0.05),
    },
}
_WIDE = space.FORMER_SPACES["wide"]
"""Values of all other axes: those that `wide` had when the results were recorded."""
_TIERS = {
    "small": ("subclass",),
    "medium": ("subclass",),
    "widths": ("subclass",),
    "paper": ("superclass", "subclass"),
    "noisy": ("subclass",),
}
SIMULATED = ("conditional", *_AXES)
"""Names of the simulated spaces, of 234, 336, 2,214, 4,392, 5,100 and 3,528 architectures."""
_FOLD_SD_OF = {"noisy": 0.006 * np.sqrt(N_FOLDS)}
"""`ARCHITECTURE_FOLD_SD` of a space where it is another: a score of `noisy` is off by a standard deviation of
.006, as much as a step of its front is high."""
LIMITS = ("limited", "alone")
_LIMIT = 0.1
"""Share of a space that a limit leaves."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Drawn:
    """A simulated space and what its architectures are worth."""

    candidates: Candidates
    axes: Mapping[str, Sequence[Any]]
    suggest: Callable[[Any], dict[str, Any]]
    truth_N: Floats
    slowness_N: Floats
    generator: np.random.Generator


def simulate(name: str, seed: int) -> World:
    """A world in which architectures have effects drawn from a seed; see the module's constants.

    Args:
        name: one of `SIMULATED`.
        seed: of everything.
    """
    return _world(name, _draw(name, np.random.default_rng([seed, SIMULATED.index(name)])))


def explained(name: str, seed: int) -> Floats:
    """True scores of `simulate(name, seed)` as far as the axes explain them. Shape (N,).

    Args:
        name: one of `SIMULATED` but `conditional`.
        seed: of the world.
    """
    effects = Effects(np.random.default_rng([seed, SIMULATED.index(name)]), tuple(N_OUTPUTS))
    return effects.explained(list(_space(name)))


def simulate_related(name: str, seed: int, correlation: float) -> World:
    """The world of an earlier study: of the same space as `simulate(name, seed)`, related to it.

    Its true scores are, except for level and spread, ρ f + √(1 − ρ²) h: f are those of `simulate(name,
    seed)`, and h effects drawn by another seed less their mean over all seeds (such as the advantage of wide
    layers), uncorrelated with f.

    Args:
        name: one of `SIMULATED` but `conditional`.
        seed: of the other world.
        correlation: ρ, that of the true scores of both worlds over all architectures.
    """
    own_N = _draw(name, np.random.default_rng([seed, SIMULATED.index(name)])).truth_N
    other = _draw(name, np.random.default_rng([_OFFSET_OF_RELATED + seed, SIMULATED.index(name)]))
    common_N = (own_N - own_N.mean()) / own_N.std()
    rest_N = other.truth_N - _draw(name, cast(np.random.Generator, _Expectation())).truth_N
    rest_N -= rest_N.mean()
    rest_N -= common_N * float(np.mean(common_N * rest_N))
    rest_N /= rest_N.std()
    mixed_N = correlation * common_N + np.sqrt(1 - correlation**2) * rest_N
    truth_N = other.truth_N.mean() + other.truth_N.std() * mixed_N
    return _world(name, replace(other, truth_N=truth_N))


def cheapest(name: str, seed: int, *, is_limit: bool) -> World:
    """The tenth of a world with the fewest parameters, with the scores that it has in the whole.

    Args:
        name: one of `SIMULATED` but `conditional`.
        seed: of the world.
        is_limit: whether it is the whole space under a limit, as `run --max` has it; else a space of its
            own, without the rest, with features scaled to its own range.
    """
    world = simulate(name, seed)
    most = int(np.quantile(world.parameters_N, _LIMIT))
    chosen = np.flatnonzero(world.parameters_N <= most)
    candidates: Candidates
    if is_limit:
        candidates = SpaceCandidates(_space(name), N_OUTPUTS, most={"parameters": most})
        listing = [candidates[index] for index in range(len(candidates))]
        chosen = np.array([world.candidates.index(params) for params in listing])
    else:
        candidates = ListedCandidates(
            [world.candidates[index] for index in chosen.tolist()],
            cost_of=lambda params: float(world.parameters_N[world.candidates.index(params)]),
            encode=lambda params: world.candidates.encode(np.array([world.candidates.index(params)]))[
                0
            ].tolist(),
        )
    return replace(
        world,
        name=f"{name} {LIMITS[0 if is_limit else 1]}",
        candidates=candidates,
        log_cost_N=world.log_cost_N[chosen],
        curves_NFE=world.curves_NFE[chosen],
        score_N=world.score_N[chosen],
        truth_N=world.truth_N[chosen],
    )


class _Expectation:
    """Substitute of a generator that returns the expectation of every draw."""

    def uniform(self, low: float, high: float, size: Any = None) -> Any:
        return (low + high) / 2 if size is None else np.full(size, (low + high) / 2)

    def normal(self, mean: float, sd: float, size: Any = None) -> Any:
        return mean if size is None else np.full(size, mean)


def _space(name: str) -> space.Space:
    return space.Space(name, _TIERS[name], {**_WIDE, **_AXES[name]})


def _draw(name: str, generator: np.random.Generator) -> _Drawn:
    candidates: Candidates
    suggest: Callable[[Any], dict[str, Any]]
    axes: Mapping[str, Sequence[Any]]
    if name == "conditional":
        candidates, suggest, axes = conditional.candidates(N_OUTPUTS), conditional.suggest, conditional.AXES
        listed = [candidates[index] for index in range(len(candidates))]
        truth_N, slowness_N = conditional.quality(listed, generator)
    else:
        architectures = _space(name)
        candidates, axes = SpaceCandidates(architectures, N_OUTPUTS), architectures.parameter_axes()
        suggest = _asks(architectures)
        effects, everything = Effects(generator, tuple(N_OUTPUTS)), list(architectures)
        truth_N, slowness_N = effects.score(everything), effects.slowness(everything)
    return _Drawn(
        candidates=candidates,
        axes=axes,
        suggest=suggest,
        truth_N=truth_N,
        slowness_N=slowness_N,
        generator=generator,
    )


def _world(name: str, drawn: _Drawn) -> World:
    fold_sd = _FOLD_SD_OF.get(name, ARCHITECTURE_FOLD_SD)
    curves_NFE = _curves(drawn.truth_N, drawn.slowness_N, drawn.generator, fold_sd)
    return World(
        name=name,
        candidates=drawn.candidates,
        axes=drawn.axes,
        suggest=drawn.suggest,
        log_cost_N=drawn.candidates.log_cost(np.arange(len(drawn.candidates))),
        curves_NFE=curves_NFE,
        score_N=curves_NFE[:, :, -1].mean(axis=1),
        truth_N=drawn.truth_N,
    )


def _asks(architectures: space.Space) -> Callable[[Any], dict[str, Any]]:
    return lambda trial: dict(architectures.to_params(architectures.suggest(trial)))


def _curves(truth_N: Floats, slowness_N: Floats, generator: np.random.Generator, fold_sd: float) -> Floats:
    """Learning curves that end at the truth, up to the fold and to chance.

    A curve rises from chance level exponentially, slow learners later, so that curves cross; the remaining
    rise at the last epoch is zero by construction, as at the end of a one-cycle schedule. Noise is
    independent from epoch to epoch and shrinks to zero, on top of a share of the final difference.
    """
    n = len(truth_N)
    progress_E = np.arange(1, N_EPOCHS + 1) / N_EPOCHS
    fold_F = generator.normal(0, FOLD_SD, N_FOLDS)
    final_NF = truth_N[:, None] + fold_F + generator.normal(0, fold_sd, (n, N_FOLDS))
    rate_N = 9.0 * np.exp(-slowness_N + generator.normal(0, 0.15, n))
    rate_NF = rate_N[:, None] * np.exp(generator.normal(0, 0.1, (n, N_FOLDS)))
    start_NF = 0.75 * final_NF * generator.uniform(0.9, 1.1, (n, 1))
    left_NFE = np.exp(-rate_NF[:, :, None] * progress_E) - np.exp(-rate_NF)[:, :, None]
    wobble_NFE = generator.normal(0, EPOCH_SD, (n, N_FOLDS, N_EPOCHS)) * np.sqrt(1 - progress_E)
    curves: Floats = final_NF[:, :, None] - start_NF[:, :, None] * left_NFE + wobble_NFE
    return curves


# ---------------------------------------------------------------------------------------------------------
# Recorded


def read_table(path: Path) -> World:
    """The world of a study that was trained to its end without pruning.

    Optuna's samplers cannot be confined to the rows of a table, so their proposals are replaced by the most
    similar row.
    """
    table = json.loads(path.read_text(encoding="utf-8"))
    n_outputs = table["study"]["n_outputs"]
    name = table["study"]["space"]
    architectures = space.Space(name, tuple(n_outputs), space.FORMER_SPACES[name])
    everything = SpaceCandidates(architectures, n_outputs)
    listing = [
        architectures.to_params(space.Architecture.from_dict(row["architecture"])) for row in table["trials"]
    ]
    rows = np.array([everything.index(params) for params in listing])
    features_ND = everything.encode(rows)

    def features(params: Mapping[str, Any]) -> Floats:
        row_D: Floats = everything.encode(np.array([everything.index(params)]))[0]
        return row_D

    def suggest(trial: Any) -> dict[str, Any]:
        wanted_D = features(architectures.to_params(architectures.suggest(trial)))
        return dict(listing[int(((features_ND - wanted_D) ** 2).sum(axis=1).argmin())])

    parameters = {int(row): trial["parameters"] for row, trial in zip(rows, table["trials"], strict=True)}
    score_N = np.array([row["macro_auprc"] for row in table["trials"]])
    return World(
        name=path.stem,
        candidates=ListedCandidates(
            listing,
            encode=lambda params: features(params).tolist(),
            cost_of=lambda params: parameters[everything.index(params)],
        ),
        axes=architectures.parameter_axes(),
        suggest=suggest,
        log_cost_N=np.log10([float(row["parameters"]) for row in table["trials"]]),
        curves_NFE=np.array([row["curves"] for row in table["trials"]]),
        score_N=score_N,
        truth_N=score_N,
    )
