"""Worlds to search in: recorded tables, and simulated ones with crossing learning curves.

A world knows the learning curve of every architecture of its space, so that a search of hundreds of trials
takes seconds. Shapes: N architecture, F fold, E epoch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import space
from search.candidates import Candidates, ListedCandidates
from search.encoding import SpaceCandidates

Floats = NDArray[np.float64]

N_FOLDS = 5
N_EPOCHS = 20
N_OUTPUTS = {"superclass": 5, "subclass": 23, "diagnostic": 44, "all": 71}
"""Classes of PTB-XL's tiers; the first one listed of a space is its target."""

FOLD_SD = 0.015
"""Difficulty of a fold, shared by all architectures (search-notes: as measured on PTB-XL's folds)."""
ARCHITECTURE_FOLD_SD = 0.004
"""What an architecture does better or worse on one fold, chance included."""
EPOCH_SD = 0.006
"""Epoch to epoch, at the start of training; it shrinks with the learning rate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """Everything there is to be found out about a space.

    `curves_NFE` is the macro-AUPRC after every epoch, as it would be measured; `score_N` the score of a
    trial trained to its end; `truth_N` the same without the chance of a single training.
    """

    name: str
    candidates: Candidates
    suggest: Callable[[Any], dict[str, Any]]
    """Asks an Optuna trial for the parameters of an architecture."""
    log_cost_N: Floats
    curves_NFE: Floats
    score_N: Floats
    truth_N: Floats

    def __len__(self) -> int:
        return len(self.score_N)

    @property
    def parameters_N(self) -> NDArray[np.int64]:
        """Trainable parameters."""
        counts: NDArray[np.int64] = np.rint(10**self.log_cost_N).astype(np.int64)
        return counts


# ---------------------------------------------------------------------------------------------------------
# Simulated

_AXES: dict[str, dict[str, tuple[space.Choice, ...]]] = {
    "small": {
        "depth": (0, 1, 2),
        "hidden_size": (64,),
        "conv_width": (16, 64),
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
        "conv_width": (16, 32, 64),
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
}
_TIERS = {
    "small": ("subclass",),
    "medium": ("subclass",),
    "widths": ("subclass",),
    "paper": ("superclass", "subclass"),
}
SIMULATED = ("conditional", *_AXES)
"""Names of the simulated spaces, of 234, 336, 2,214, 4,392 and 5,100 architectures."""


def simulate(name: str, seed: int) -> World:
    """A world in which architectures have effects drawn from `seed`; see the module's constants.

    Args:
        name: one of `SIMULATED`.
        seed: of everything.
    """
    generator = np.random.default_rng([seed, SIMULATED.index(name)])
    if name == "conditional":
        candidates, suggest = _conditional_space()
        listed = [candidates[index] for index in range(len(candidates))]
        truth_N, slowness_N = _conditional_quality(listed, generator)
    else:
        architectures = space.Space(name, _TIERS[name], {**space.SPACES["wide"], **_AXES[name]})
        candidates = SpaceCandidates(architectures, N_OUTPUTS)
        suggest = _asks(architectures)
        truth_N, slowness_N = _quality(list(architectures), generator)
    curves_NFE = _curves(truth_N, slowness_N, generator)
    return World(
        name=f"{name}, seed {seed}",
        candidates=candidates,
        suggest=suggest,
        log_cost_N=candidates.log_cost(np.arange(len(candidates))),
        curves_NFE=curves_NFE,
        score_N=curves_NFE[:, :, -1].mean(axis=1),
        truth_N=truth_N,
    )


def _asks(architectures: space.Space) -> Callable[[Any], dict[str, Any]]:
    return lambda trial: dict(architectures.to_params(architectures.suggest(trial)))


def _curves(truth_N: Floats, slowness_N: Floats, generator: np.random.Generator) -> Floats:
    """Learning curves that end at the truth, up to the fold and to chance.

    A curve rises from chance level exponentially, slow learners later, so that curves cross; what is left
    of the rise at the last epoch is zero by construction, as at the end of a one-cycle schedule. Chance is
    a random walk of epochs that shrinks to nothing, on top of a share of the final difference.
    """
    n = len(truth_N)
    progress_E = np.arange(1, N_EPOCHS + 1) / N_EPOCHS
    fold_F = generator.normal(0, FOLD_SD, N_FOLDS)
    final_NF = truth_N[:, None] + fold_F + generator.normal(0, ARCHITECTURE_FOLD_SD, (n, N_FOLDS))
    rate_N = 9.0 * np.exp(-slowness_N + generator.normal(0, 0.15, n))
    rate_NF = rate_N[:, None] * np.exp(generator.normal(0, 0.1, (n, N_FOLDS)))
    start_NF = 0.75 * final_NF * generator.uniform(0.9, 1.1, (n, 1))
    left_NFE = np.exp(-rate_NF[:, :, None] * progress_E) - np.exp(-rate_NF)[:, :, None]
    wobble_NFE = generator.normal(0, EPOCH_SD, (n, N_FOLDS, N_EPOCHS)) * np.sqrt(1 - progress_E)
    curves: Floats = final_NF[:, :, None] - start_NF[:, :, None] * left_NFE + wobble_NFE
    return curves


def _quality(
    architectures: list[space.Architecture], generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """True scores and how slowly each architecture learns (0: fast).

    Widths saturate, layers help less one after another, some effects depend on others, and every
    architecture has something of its own that nothing explains.
    """
    draw = generator
    widths = {
        axis: (draw.uniform(0.005, 0.03), draw.uniform(0.7, 2.5)) for axis in ("conv", "head", "hidden")
    }
    layer = [draw.uniform(0, 0.025), draw.uniform(-0.006, 0.008), draw.uniform(-0.01, 0.004)]
    bidirectional, lstm = draw.uniform(-0.002, 0.009, 3), draw.normal(0, 0.004, 3)
    gate = {0: 0.0, 16: draw.normal(0.002, 0.004), 4: draw.normal(0.002, 0.004)}
    gate_with_layers = draw.normal(0, 0.006)
    loss = {"bce": 0.0, "focal": draw.normal(-0.003, 0.005)}
    best_exponent, weighting, cap = draw.uniform(0.1, 0.8), draw.uniform(0.002, 0.015), draw.normal(0, 0.003)
    tier = {name: draw.normal(0, 0.005) for name in N_OUTPUTS}
    smoothing = {0.0: 0.0, 0.05: draw.normal(0.001, 0.002), 0.1: draw.normal(0, 0.004)}
    by_depth = draw.normal(0, 0.003, (4, 3))
    slow_layer = draw.uniform(0.15, 0.45)

    def saturating(axis: str, value: int, low: int, high: int) -> float:
        gain, bend = widths[axis]
        return gain * (1 - math.exp(-2 * bend * math.log(value / low) / math.log(high / low)))

    def truth(a: space.Architecture) -> float:
        depth = len(a.recurrent)
        score = 0.40 + saturating("conv", a.conv_width, 16, 64) + saturating("head", a.head_width, 64, 512)
        for position, each in enumerate(a.recurrent):
            score += layer[position] * (1 - 0.2 * math.log2(a.conv_width / 16))
            score += bidirectional[position] * each.bidirectional + lstm[position] * (each.cell == "lstm")
        if depth:
            score += saturating("hidden", a.hidden_size or 32, 32, 128) * (0.6 + 0.2 * depth)
            score += by_depth[depth, 0] * (a.recurrent[-1].cell == "gru")
            score += by_depth[depth, 1] * a.recurrent[0].bidirectional
        score += gate[a.gate] + gate_with_layers * (a.gate > 0) * (depth > 0)
        if a.loss == "power":
            score += weighting * (1 - ((a.exponent or 0) - best_exponent) ** 2 / 0.25) + cap * (a.cap == 10)
        else:
            score += loss[a.loss]
        score += tier[a.label_tier] + by_depth[depth, 2] * (a.loss != "bce")
        return score + smoothing[a.label_smoothing] * (-1 if a.loss == "focal" else 1)

    truth_N = np.array([truth(each) for each in architectures])
    slowness_N = np.array([slow_layer * len(each.recurrent) for each in architectures])
    return truth_N + draw.normal(0, 0.002, len(truth_N)), slowness_N


_DEPTHS, _LOSSES, _TIERS_234 = (1, 2, 3), ("bce", "power", "focal"), ("superclass", "subclass", "all")


def _conditional_space() -> tuple[ListedCandidates, Callable[[Any], dict[str, Any]]]:
    """The 234 configurations on which Optuna's samplers were first compared (search-notes A3)."""

    def suggest(trial: Any) -> dict[str, Any]:
        params = {"cell": trial.suggest_categorical("cell", ("none", "lstm", "gru"))}
        if params["cell"] != "none":
            params["depth"] = trial.suggest_categorical("depth", _DEPTHS)
            params["bidirectional"] = trial.suggest_categorical("bidirectional", (False, True))
        params["gate"] = trial.suggest_categorical("gate", (0, 1))
        params["loss"] = trial.suggest_categorical("loss", _LOSSES)
        params["tier"] = trial.suggest_categorical("tier", _TIERS_234)
        return params

    def encode(params: Any) -> list[float]:
        recurrent = params["cell"] != "none"
        return [
            params.get("depth", 0),
            (params["cell"] == "lstm") if recurrent else 0.5,
            params["bidirectional"] if recurrent else 0.5,
            params["gate"],
            *(params["loss"] == loss for loss in _LOSSES),
            *(params["tier"] == tier for tier in _TIERS_234),
        ]

    def parameters(params: Any) -> float:
        recurrent = params["cell"] != "none"
        per_layer = (131_000 if params.get("cell") == "lstm" else 99_000) * (
            1 + params.get("bidirectional", 0)
        )
        outputs = N_OUTPUTS[params["tier"]]
        return (
            520_000 + per_layer * params.get("depth", 0) * recurrent + 9_000 * params["gate"] + 256 * outputs
        )

    listing = list(_walk(suggest))
    return ListedCandidates(listing, encode=encode, cost_of=parameters), suggest


def _conditional_quality(listed: list[Any], generator: np.random.Generator) -> tuple[Floats, Floats]:
    layer = np.cumsum(
        [generator.uniform(0.002, 0.02), generator.uniform(0, 0.008), generator.uniform(-0.003, 0.006)]
    )
    gru, both = generator.normal(0, 0.004), generator.uniform(-0.001, 0.008)
    gate = generator.normal(0.002, 0.004)
    loss = dict(zip(_LOSSES, generator.normal(0, 0.004, 3), strict=True))
    tier = dict(zip(_TIERS_234, generator.normal(0, 0.004, 3), strict=True))
    truth, slowness = [], []
    for params in listed:
        depth = params.get("depth", 0)
        score = 0.42 + (layer[depth - 1] if depth else 0.0)
        score += gru * (params["cell"] == "gru") + both * params.get("bidirectional", False)
        truth.append(score + gate * params["gate"] + loss[params["loss"]] + tier[params["tier"]])
        slowness.append(0.3 * depth)
    return np.array(truth) + generator.normal(0, 0.002, len(truth)), np.array(slowness)


class _Branch:
    """Stands in for a trial that takes given choices and remembers how many there were."""

    def __init__(self, path: list[int]) -> None:
        self.path, self.widths = path, [0] * 0

    def suggest_categorical(self, name: str, choices: tuple[Any, ...]) -> Any:
        position = len(self.widths)
        self.widths.append(len(choices))
        if position == len(self.path):
            self.path.append(0)
        return choices[self.path[position]]


def _walk(suggest: Callable[[Any], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Everything that a function can suggest, once."""
    path: list[int] = []
    while True:
        branch = _Branch(list(path))
        yield suggest(branch)
        path = branch.path
        while path and path[-1] + 1 == branch.widths[len(path) - 1]:
            path.pop()
        if not path:
            return
        path[-1] += 1


# ---------------------------------------------------------------------------------------------------------
# Recorded


def read_table(path: Path) -> World:
    """A study that was trained to its end without pruning, as `record_table.py` wrote it.

    Optuna's samplers cannot be confined to the rows of a table, so what they propose is taken for the row
    that is most like it.
    """
    table = json.loads(path.read_text())
    tiers = tuple(table["study"]["label_tiers"])
    architectures = space.Space(table["study"]["space"], tiers)
    everything = SpaceCandidates(architectures, N_OUTPUTS)
    listing = [
        architectures.to_params(space.Architecture.from_dict(row["architecture"])) for row in table["trials"]
    ]
    rows = np.array([everything.index(params) for params in listing])
    features_ND = everything.encode(rows)
    listed = ListedCandidates(
        listing,
        encode=lambda params: everything.encode(np.array([everything.index(params)]))[0].tolist(),
        cost_of=lambda params: float(10 ** everything.log_cost(np.array([everything.index(params)]))[0]),
    )

    def suggest(trial: Any) -> dict[str, Any]:
        wanted = np.array([everything.index(architectures.to_params(architectures.suggest(trial)))])
        return dict(listing[int(((features_ND - everything.encode(wanted)) ** 2).sum(axis=1).argmin())])

    score_N = np.array([row["macro_auprc"] for row in table["trials"]])
    return World(
        name=path.stem,
        candidates=listed,
        suggest=suggest,
        log_cost_N=everything.log_cost(rows),
        curves_NFE=np.array([row["curves"] for row in table["trials"]]),
        score_N=score_N,
        truth_N=score_N,
    )
