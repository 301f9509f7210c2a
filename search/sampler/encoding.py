"""Architectures as numbers, for a model of how they score.

A space is a product of groups of axes (the recurrent stack with its size, the loss with its weighting, and
every other axis on its own), so that the features of any of its architectures are rows of small tables put
side by side: encoding 20,000 architectures takes milliseconds and no list of all 800,000 is ever made.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

import space
from scores.costs import DEFAULT_COST
from search.models.latency import LatencyModel
from search.sampler.candidates import Floats, Indices, Params
from search.sampler.cost_table import CostTable
from search.sampler.gaussian_process import Source
from search.sampler.history import Estimate

_UNUSED = 0.5
"""Feature of an axis that changes nothing here: halfway, so that it is near to every used value."""

Stack = tuple[space.RecurrentLayer, ...]


class SpaceCandidates:
    """The architectures of a space as candidates of a sampler.

    Features, all within [0, 1]: depth, shares of every cell and of bidirectional layers, cell and direction
    at every position (halfway where there is no layer), numbers on the scale that their axis declares, one
    column per choice of what has names, and the logarithm of the parameter count. Features that do not vary
    in the space are left out.

    Args:
        architectures: the space.
        n_outputs: classes of every label tier of the space.
        most: largest value of each limited cost; what is above one is no candidate.
        operators: those that there are; None for all.
        smallest: cost below which that of a candidate counts as so much.
        cost: the second objective, one of `scores.costs.MINIMISED`.
        latency: model that predicts latencies, where they matter.
    """

    def __init__(
        self,
        architectures: space.Space,
        n_outputs: Mapping[str, int],
        *,
        most: Mapping[str, int] | None = None,
        operators: Collection[str] | None = None,
        smallest: int = 1,
        cost: str = DEFAULT_COST,
        latency: LatencyModel | None = None,
    ) -> None:
        self._cost = cost
        self._measured: dict[int, float] = {}
        """Position to log10 of a cost that is known better than by the table."""
        self._least_log_cost = math.log10(smallest)
        self._space = architectures
        self._groups = architectures.groups
        self._sizes = tuple(len(group) for group in self._groups)
        self._leads = next(k for k, group in enumerate(self._groups) if "leads" in group[0].values)
        tables = [_encode_group(group, architectures.axes) for group in self._groups]
        self._tables = [table[:, np.ptp(table, axis=0) > 0] for table in tables]
        self._table = CostTable(architectures, n_outputs, latency)
        low, high = self._table.log_range("parameters")
        self._cost_low, self._cost_range = low, max(high - low, 1e-9)
        self._feasible: Indices | None = None
        """Positions in the product of the groups that matter to costs; None where all fit."""
        if most or operators is not None:
            self._feasible = self._table.feasible(most or {}, operators)
            of_cost = self._table.groups
            self._order = (*of_cost, *(k for k in range(len(self._sizes)) if k not in of_cost))
            self._n_rest = math.prod(self._sizes[k] for k in self._order[len(of_cost) :])
        self._near: dict[tuple[int, int], list[int]] = {}
        self._index: dict[tuple[tuple[str, Any], ...], int] = {}

    @property
    def architectures(self) -> space.Space:
        """The space, with architectures that do not fit."""
        return self._space

    @property
    def n_features(self) -> int:
        """Length of an encoded architecture."""
        return 1 + sum(int(table.shape[1]) for table in self._tables)

    def __len__(self) -> int:
        if self._feasible is None:
            return int(math.prod(self._sizes))
        return len(self._feasible) * self._n_rest

    def __getitem__(self, index: int) -> Params:
        """Optuna parameters of the architecture at a position."""
        return self._space.to_params(self.architecture(index))

    def architecture(self, index: int) -> space.Architecture:
        """The architecture at a position, which is its position in the space where all of that fit."""
        return self._space[int(self._in_space(np.array([index]))[0])]

    def name(self, index: int) -> str:
        """Digest of the architecture."""
        return self.architecture(index).digest

    def index(self, params: Params) -> int:
        """Position of the architecture with these Optuna parameters.

        Raises:
            KeyError: an axis is missing or has a value that is not in the space, or it does not fit.
        """
        # Asked of every trial before every proposal.
        key = tuple(params.items())
        if key not in self._index:
            found = self._here(np.array([self._space.index(params)], dtype=np.int64))
            if not len(found):
                raise KeyError(f"{dict(params)} is over a limit")
            self._index[key] = int(found[0])
        return self._index[key]

    def encode(self, indices: Indices) -> Floats:
        """Features of the architectures at these positions. Shape (n, n_features)."""
        return self._features(self._digits(indices))

    def _features(self, digits: tuple[Indices, ...]) -> Floats:
        columns = [table[digit] for table, digit in zip(self._tables, digits, strict=True)]
        cost = (self._table.log10("parameters", digits) - self._cost_low) / self._cost_range
        return np.concatenate([*columns, cost[:, None]], axis=1)

    def source(self, found: Sequence[Estimate]) -> Source:
        """Results of an earlier study as a `Source`; its architectures may exceed the limits of this study.

        Raises:
            KeyError: an axis is missing or has a value that is not in the space.
        """
        places = np.array([self._space.index(each.params) for each in found], dtype=np.int64)
        digits = np.unravel_index(places, self._sizes)
        return Source(
            x_ND=self._features(digits),
            score_N=np.array([each.score for each in found]),
            extra_sd_N=np.array([each.standard_error for each in found]),
            log_cost_N=self._log_cost(digits),
        )

    def log_cost(self, indices: Indices) -> Floats:
        """log10 of the second objective, or of the least that counts. Shape (n,)."""
        found = self._log_cost(self._digits(indices))
        if self._measured:
            known = np.array(sorted(self._measured), dtype=np.int64)
            place = np.minimum(np.searchsorted(known, indices), len(known) - 1)
            is_known = known[place] == indices
            measured = [self._measured[int(index)] for index in indices[is_known]]
            found[is_known] = np.maximum(measured, self._least_log_cost)
        return found

    def _log_cost(self, digits: tuple[Indices, ...]) -> Floats:
        return np.maximum(self._table.log10(self._cost, digits), self._least_log_cost)

    def n_leads(self, indices: Indices) -> Indices:
        """Number of leads that enter each architecture. Shape (n,)."""
        counts = np.array(
            [
                space.count_leads(setting.values["leads"], self._space.inputs.n_leads)
                for setting in self._groups[self._leads]
            ],
            dtype=np.int64,
        )
        found: Indices = counts[self._digits(indices)[self._leads]]
        return found

    def learn(self, costs: Iterable[tuple[Params, float]]) -> None:
        """Take in costs that were measured, of architectures by their Optuna parameters."""
        for params, cost in costs:
            with suppress(KeyError):  # over a limit
                self._measured[self.index(params)] = math.log10(cost)

    @property
    def operators(self) -> tuple[str, ...]:
        """Every operator that an architecture of the space needs."""
        return self._table.operators

    def least(self, cost: str) -> float:
        """A cost that no architecture of the space is below."""
        return float(10 ** self._table.log_range(cost)[0])

    def neighbours(self, index: int) -> Indices:
        """Architectures that differ in one axis, or by one recurrent layer at the end of the stack."""
        index = int(self._in_space(np.array([index]))[0])
        digits = [int(digit) for digit in np.unravel_index(index, self._sizes)]
        found, stride = [], math.prod(self._sizes)
        for number, (size, digit) in enumerate(zip(self._sizes, digits, strict=True)):
            stride //= size
            if (number, digit) not in self._near:
                here = self._groups[number][digit].values
                self._near[number, digit] = [
                    other
                    for other, setting in enumerate(self._groups[number])
                    if _is_near(here, setting.values)
                ]
            found += [index + (other - digit) * stride for other in self._near[number, digit]]
        return self._here(np.array(found, dtype=np.int64))

    def __contains__(self, architecture: object) -> bool:
        """Whether an architecture of the space fits."""
        if not isinstance(architecture, space.Architecture):
            return False
        try:
            self.index(self._space.to_params(architecture))
        except (KeyError, space.SpaceError):
            return False
        return True

    def _digits(self, indices: Indices) -> tuple[Indices, ...]:
        """Positions of the settings of every group."""
        return np.unravel_index(self._in_space(indices), self._sizes)

    def _in_space(self, indices: Indices) -> Indices:
        """Positions in the space."""
        if self._feasible is None:
            return indices
        codes, rest = np.divmod(indices, self._n_rest)
        ordered = np.unravel_index(
            self._feasible[codes] * self._n_rest + rest, tuple(self._sizes[k] for k in self._order)
        )
        digits = dict(zip(self._order, ordered, strict=True))
        found: Indices = np.ravel_multi_index(
            tuple(digits[k] for k in range(len(self._sizes))), self._sizes
        ).astype(np.int64)
        return found

    def _here(self, in_space: Indices) -> Indices:
        """Inverse of `_in_space`, without what does not fit."""
        if self._feasible is None:
            return in_space
        digits = np.unravel_index(in_space, self._sizes)
        ordered = np.ravel_multi_index(
            tuple(digits[k] for k in self._order), tuple(self._sizes[k] for k in self._order)
        )
        codes, rest = np.divmod(ordered, self._n_rest)
        places = np.searchsorted(self._feasible, codes)
        fits = places < len(self._feasible)
        fits[fits] = self._feasible[places[fits]] == codes[fits]
        found: Indices = (places * self._n_rest + rest)[fits].astype(np.int64)
        return found


def _is_near(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two settings of a group differ in one choice."""
    if "recurrent" not in a:
        first = next(iter(a))
        if a[first] != b[first]:
            return True  # what depends on the first axis of a group comes and goes with it
        return sum(bool(a[axis] != b[axis]) for axis in a) == 1
    short: Stack
    long: Stack
    short, long = sorted((a["recurrent"], b["recurrent"]), key=len)
    if len(short) == len(long):
        n_changes = sum(
            (one.cell != two.cell) + (one.bidirectional != two.bidirectional)
            for one, two in zip(short, long, strict=True)
        )
        return n_changes + int(a["hidden_size"] != b["hidden_size"]) == 1
    same_size = not short or bool(a["hidden_size"] == b["hidden_size"])
    return len(long) - len(short) == 1 and long[:-1] == short and same_size


def _encode_group(group: space.Group, axes: Mapping[str, Sequence[space.Choice]]) -> Floats:
    """Features of every setting of a group. Shape (n_settings, n_features)."""
    rows = []
    for setting in group:
        row: list[float] = []
        for axis, value in setting.values.items():
            if axis == "recurrent":
                row += _encode_stack(value, axes["cell"])
            else:
                row += _encode_value(axis, value, axes[axis])
        rows.append(row)
    return np.array(rows, dtype=np.float64)


def _encode_stack(stack: Stack, cells: Sequence[space.Choice]) -> list[float]:
    """Depth, shares of each cell and of bidirectional layers, and the same at every position."""
    columns = cells[:1] if len(cells) == 2 else cells  # of two, one tells the other
    layers = [
        [*(float(layer.cell == cell) for cell in columns), float(layer.bidirectional)] for layer in stack
    ]
    unused = [_UNUSED] * (len(columns) + 1)
    shares = [sum(shares) / len(stack) for shares in zip(*layers, strict=True)] if stack else unused
    row = [len(stack) / space.MAX_DEPTH, *shares]
    for position in range(space.MAX_DEPTH):
        row += layers[position] if position < len(stack) else unused
    return row


def _encode_value(axis: str, value: Any, choices: Sequence[space.Choice]) -> list[float]:
    if not choices or isinstance(choices[0], str):
        columns = choices[1:] if len(choices) == 2 else choices
        return [float(value == choice) for choice in columns]
    if value is None:
        return [_UNUSED]
    scale = space.AXES[axis].scale
    low, high = space.AXES[axis].span or (scale(min(map(float, choices))), scale(max(map(float, choices))))
    return [(scale(value) - low) / (high - low) if high > low else 0.0]
