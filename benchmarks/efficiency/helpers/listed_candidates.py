"""Candidates of a table of parameters, whatever they are parameters of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from search.sampler.candidates import Floats, Indices, Params


class ListedCandidates:
    """Any listed set of parameters.

    Args:
        listing: parameters of every candidate, all different.
        encode: parameters to numbers; each is scaled to [0, 1] over the listing.
        cost_of: parameters to the value of the second objective, which is positive.

    Raises:
        ValueError: the listing is empty or has duplicates, or a cost is not positive.
    """

    def __init__(
        self,
        listing: Sequence[Params],
        *,
        encode: Callable[[Params], Sequence[float]],
        cost_of: Callable[[Params], float],
    ) -> None:
        if not listing:
            raise ValueError("there must be at least one candidate")
        self._listing = [dict(params) for params in listing]
        self._positions = {_key(params): index for index, params in enumerate(self._listing)}
        if len(self._positions) < len(self._listing):
            raise ValueError("candidates must differ from one another")
        costs = [float(cost_of(params)) for params in self._listing]
        if not all(0 < cost < math.inf for cost in costs):
            raise ValueError("every cost must be positive and finite: its logarithm counts")
        self._log_cost = np.log10(costs)
        features = np.array([encode(params) for params in self._listing], dtype=np.float64)
        low, high = features.min(axis=0), features.max(axis=0)
        self._features = (features - low) / np.where(high > low, high - low, 1.0)
        self._choices: dict[str, dict[Any, None]] = {}
        for params in self._listing:
            for axis, value in params.items():
                self._choices.setdefault(axis, {})[value] = None

    @property
    def n_features(self) -> int:
        """Length of an encoded candidate."""
        return int(self._features.shape[1])

    def __len__(self) -> int:
        return len(self._listing)

    def __getitem__(self, index: int) -> Params:
        return self._listing[index]

    def index(self, params: Params) -> int:
        """Position of the candidate with these parameters; KeyError if there is none."""
        return self._positions[_key(params)]

    def name(self, index: int) -> str:
        """The parameters, written out."""
        return ", ".join(f"{axis}={value!r}" for axis, value in sorted(self._listing[index].items()))

    def encode(self, indices: Indices) -> Floats:
        """Features scaled to [0, 1]. Shape (n, n_features)."""
        features: Floats = self._features[indices]
        return features

    def log_cost(self, indices: Indices) -> Floats:
        """log10 of the costs. Shape (n,)."""
        costs: Floats = self._log_cost[indices]
        return costs

    def neighbours(self, index: int) -> Indices:
        """Candidates that differ in the value of one parameter."""
        params = self._listing[index]
        changed = (
            self._positions.get(_key({**params, axis: value}))
            for axis in params
            for value in self._choices[axis]
            if value != params[axis]
        )
        return np.array(sorted(position for position in changed if position is not None), dtype=np.int64)


def _key(params: Params) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(params.items()))
