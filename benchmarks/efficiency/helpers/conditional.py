"""A space of 234 configurations in which some axes exist only for some values of another.

It is small enough for all of it to be known, and its axes come and go as those of recurrent stacks do: three
cells, of which one has neither depth nor direction, with or without a gate, three losses, three tiers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.sampler.candidates import Params
from search.sampler.listed import ListedCandidates

Floats = NDArray[np.float64]

AXES: dict[str, tuple[Any, ...]] = {
    "cell": ("none", "lstm", "gru"),
    "depth": (1, 2, 3),
    "bidirectional": (False, True),
    "gate": (0, 1),
    "loss": ("bce", "power", "focal"),
    "tier": ("superclass", "subclass", "all"),
}
"""Depth and direction only matter with a cell."""


def suggest(trial: Any) -> dict[str, Any]:
    """Ask an Optuna trial for every axis that matters given the earlier ones."""
    without_cell = ("depth", "bidirectional")
    params: dict[str, Any] = {}
    for axis, choices in AXES.items():
        if axis not in without_cell or params["cell"] != "none":
            params[axis] = trial.suggest_categorical(axis, choices)
    return params


def candidates(n_outputs: Mapping[str, int]) -> ListedCandidates:
    """All configurations.

    Args:
        n_outputs: classes of every tier.
    """
    listing = list(everything(suggest))
    return ListedCandidates(listing, encode=_encode, cost_of=lambda params: _parameters(params, n_outputs))


def quality(listed: Sequence[Params], generator: np.random.Generator) -> tuple[Floats, Floats]:
    """True scores, and how slowly each learns (0: fast), with effects drawn from `generator`."""
    layer = np.cumsum(
        [generator.uniform(0.002, 0.02), generator.uniform(0, 0.008), generator.uniform(-0.003, 0.006)]
    )
    gru, both = generator.normal(0, 0.004), generator.uniform(-0.001, 0.008)
    gate = generator.normal(0.002, 0.004)
    loss = dict(zip(AXES["loss"], generator.normal(0, 0.004, 3), strict=True))
    tier = dict(zip(AXES["tier"], generator.normal(0, 0.004, 3), strict=True))
    truth, slowness = [], []
    for params in listed:
        depth = params.get("depth", 0)
        score = 0.42 + (layer[depth - 1] if depth else 0.0)
        score += gru * (params["cell"] == "gru") + both * params.get("bidirectional", False)
        truth.append(score + gate * params["gate"] + loss[params["loss"]] + tier[params["tier"]])
        slowness.append(0.3 * depth)
    return np.array(truth) + generator.normal(0, 0.002, len(truth)), np.array(slowness)


def everything(suggested: Callable[[Any], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every set of parameters that a function can suggest, once, in the order of its choices."""
    path: list[int] = []
    while True:
        branch = _Branch(path)
        yield suggested(branch)
        while path and path[-1] + 1 == branch.n_choices[len(path) - 1]:
            path.pop()
        if not path:
            return
        path[-1] += 1


class _Branch:
    """Substitute of a trial that takes the choices of a path, then always the first, extending the path."""

    def __init__(self, path: list[int]) -> None:
        self._path = path
        self.n_choices: list[int] = []

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        position = len(self.n_choices)
        self.n_choices.append(len(choices))
        if position == len(self._path):
            self._path.append(0)
        return choices[self._path[position]]


def _encode(params: Params) -> list[float]:
    recurrent = params["cell"] != "none"
    return [
        params.get("depth", 0),
        (params["cell"] == "lstm") if recurrent else 0.5,
        params["bidirectional"] if recurrent else 0.5,
        params["gate"],
        *(params["loss"] == loss for loss in AXES["loss"]),
        *(params["tier"] == tier for tier in AXES["tier"]),
    ]


def _parameters(params: Params, n_outputs: Mapping[str, int]) -> float:
    per_layer = (131_000 if params["cell"] == "lstm" else 99_000) * (1 + params.get("bidirectional", False))
    layers = per_layer * params.get("depth", 0)
    return float(520_000 + layers + 9_000 * params["gate"] + 256 * n_outputs[params["tier"]])
