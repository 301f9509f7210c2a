"""Candidates that are listed one by one, whatever their parameters are of."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Self

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search.sampler.candidates import Floats, Indices, Params

_UNUSED = 0.5
"""Feature of a parameter that a candidate does not have: near to every value of those that have it."""


class ListedCandidates:
    """Any listed set of parameters.

    Args:
        listing: parameters of every candidate, all different.
        cost_of: parameters to the value of the second objective, which is positive.
        encode: parameters to numbers; each is scaled to [0, 1] over the listing. By default a number is
            itself, and whatever else has choices one column for each; a parameter that a candidate does not
            have lies halfway.

    Raises:
        ValueError: the listing is empty or has duplicates, or a cost is not positive.
    """

    def __init__(
        self,
        listing: Sequence[Params],
        *,
        cost_of: Callable[[Params], float],
        encode: Callable[[Params], Sequence[float]] | None = None,
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
        rows = _by_kind(self._listing) if encode is None else [encode(params) for params in self._listing]
        features = np.array(rows, dtype=np.float64)
        low, high = np.nanmin(features, axis=0), np.nanmax(features, axis=0)
        scaled = (features - low) / np.where(high > low, high - low, 1.0)
        self._features = np.where(np.isnan(scaled), _UNUSED, scaled)
        self._choices: dict[str, dict[Any, None]] = {}
        for params in self._listing:
            for axis, value in params.items():
                self._choices.setdefault(axis, {})[value] = None

    @classmethod
    def grid(
        cls, distributions: Mapping[str, BaseDistribution], *, cost_of: Callable[[Params], float]
    ) -> Self:
        """Every combination of the values of some parameters.

        Args:
            distributions: of the parameters; numbers with a step.
            cost_of: as above.

        Raises:
            ValueError: a number has no step, so that its values cannot be listed, or as above.
        """
        values = [_values(name, each) for name, each in distributions.items()]
        listing = [dict(zip(distributions, chosen, strict=True)) for chosen in itertools.product(*values)]
        return cls(listing, cost_of=cost_of)

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
    """Parameters by name, numbers without their rounding: Optuna's samplers count steps in binary."""
    return tuple(
        (name, float(f"{value:.12g}") if isinstance(value, float) else value)
        for name, value in sorted(params.items())
    )


def _values(name: str, distribution: BaseDistribution) -> list[Any]:
    """All values of a parameter."""
    match distribution:
        case CategoricalDistribution():
            return list(distribution.choices)
        case IntDistribution(log=False):
            return list(range(distribution.low, distribution.high + 1, distribution.step))
        case FloatDistribution(step=float(step)):
            n_steps = round((distribution.high - distribution.low) / step)
            # In decimals, as the bounds are written: .1 three times is .3.
            low, exact = Decimal(str(distribution.low)), Decimal(str(step))
            return [float(low + exact * number) for number in range(n_steps + 1)]
    raise ValueError(f"{name}: {distribution} has no step; list the candidates themselves")


def _by_kind(listing: Sequence[Params]) -> list[list[float]]:
    """Numbers as they are and a column for every other choice; NaN for a parameter that is not there."""
    choices: dict[str, dict[Any, None]] = {}
    for params in listing:
        for name, value in params.items():
            choices.setdefault(name, {})[value] = None
    numeric = {
        name
        for name, values in choices.items()
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    }
    return [
        [
            column
            for name, values in choices.items()
            for column in (
                [float(params.get(name, math.nan))]
                if name in numeric
                else [math.nan if name not in params else float(params[name] == each) for each in values]
            )
        ]
        for params in listing
    ]
