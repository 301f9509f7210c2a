"""Costs of a whole space at once: sums and maxima of small tables, one for each part of a model.

The tables are filled by the closed forms of `search.models.costs`, so that every entry is exact. What leaves
a part is all that the next one depends on, so that a table has a row for each size that may enter, and a
column for each setting of its group of axes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import space
from search.models.costs import FORMULAS, PARTS, Costs, Size, Surroundings, total
from search.models.latency import LatencyModel
from search.sampler.candidates import Floats

Counts = NDArray[np.int64]
_SUMS = ("parameters", "vectors", "macs", "nanoseconds")
"""Quantities of a model that are sums over its parts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """Tables of a part, (size that enters, setting)."""

    group: int
    """Place of its group of axes in the space."""
    after: Counts
    """Size that leaves this part, as a position among the sizes that may enter the next one."""
    parameters: Counts
    vectors: Counts
    macs: Counts
    nanoseconds: Counts
    live: Counts
    waiting: Counts
    """Values of another input of this part, in memory while the parts before run."""
    operators: Counts
    """A bit for each of the operators of the space."""


class _Columns:
    """Variables of `search.models.costs.FORMULAS` for n architectures, each computed on first access."""

    def __init__(self, parts: Sequence[_Part], digits: Sequence[Counts]) -> None:
        # Places in the tables of a part as if they were one row: three times as fast as by row and column.
        self._chain: list[tuple[_Part, Counts, Counts]] = []
        entering: Counts = np.zeros_like(digits[parts[0].group])
        for part in parts:
            setting = digits[part.group]
            place = entering * part.after.shape[1] + setting
            self._chain.append((part, place, setting))
            entering = part.after.take(place)

    @property
    def parameters(self) -> Counts:
        return self._sum("parameters")

    @property
    def vectors(self) -> Counts:
        return self._sum("vectors")

    @property
    def macs(self) -> Counts:
        return self._sum("macs")

    @property
    def nanoseconds(self) -> Counts:
        return self._sum("nanoseconds")

    @property
    def live(self) -> Counts:
        live = np.zeros_like(self._chain[0][1])
        for part, place, setting in self._chain:
            live = np.maximum(live + part.waiting[setting], part.live.take(place))
        return live

    @property
    def operators(self) -> Counts:
        """A bit for each operator that is needed."""
        needed = np.zeros_like(self._chain[0][1])
        for part, place, _ in self._chain:
            needed |= part.operators.take(place)
        return needed

    def _sum(self, column: str) -> Counts:
        total = np.zeros_like(self._chain[0][1])
        for part, place, _ in self._chain:
            total += getattr(part, column).take(place)
        return total


_BOUNDED_TOGETHER = (
    ("leads",),
    ("backbone", "recurrent"),
    ("pooling",),
    ("gate",),
    ("features",),
    ("head", "label_tier"),
)
"""Parts that are bounded together; features of candidates depend on it, which a study keeps."""


class CostTable:
    """Costs of the architectures of a space by the positions of their settings.

    Args:
        architectures: the space.
        n_outputs: classes of every label tier of the space.
        latency: model that predicts latencies; None where they do not matter.
    """

    def __init__(
        self,
        architectures: space.Space,
        n_outputs: Mapping[str, int],
        latency: LatencyModel | None = None,
    ) -> None:
        groups = [[setting.values for setting in group] for group in architectures.groups]
        first = [next(iter(group[0])) for group in groups]
        inputs = architectures.inputs
        self._operators: dict[str, int] = {}
        self._parts: list[_Part] = []
        sizes: list[Size] = [(inputs.n_leads, inputs.n_samples)]
        overhead_ns = 0 if latency is None else latency.overhead_ns
        for name, part in PARTS.items():
            group = first.index(name)
            after: dict[Size, int] = {}
            rows: list[list[tuple[int, Costs]]] = []
            rows_ns: list[list[int]] = []
            for size in sizes:
                row, row_ns = [], []
                for values in groups[group]:
                    tier = values.get("label_tier", architectures.axes["label_tier"][0])
                    around = Surroundings(inputs=inputs, n_outputs=n_outputs[str(tier)])
                    operations, left = part(values, size, around)
                    row.append((after.setdefault(left, len(after)), total(operations)))
                    row_ns.append(0 if latency is None else latency.nanoseconds(operations) + overhead_ns)
                rows.append(row)
                rows_ns.append(row_ns)
            overhead_ns = 0  # of the first part, which every model has once
            waiting = [inputs.n_features if values.get("features") else 0 for values in groups[group]]
            self._parts.append(
                _Part(
                    group=group,
                    after=_table([[place for place, _ in row] for row in rows]),
                    parameters=_table([[costs.parameters for _, costs in row] for row in rows]),
                    vectors=_table([[costs.vectors for _, costs in row] for row in rows]),
                    macs=_table([[costs.macs for _, costs in row] for row in rows]),
                    nanoseconds=_table(rows_ns),
                    live=_table([[costs.live for _, costs in row] for row in rows]),
                    waiting=_table(waiting),
                    operators=_table([[self._bits(costs.operators) for _, costs in row] for row in rows]),
                )
            )
            sizes = list(after)

    @property
    def groups(self) -> tuple[int, ...]:
        """Places of the groups of axes that matter to costs, from input to output."""
        return tuple(part.group for part in self._parts)

    @property
    def operators(self) -> tuple[str, ...]:
        """Every operator of the space."""
        return tuple(self._operators)

    def costs(self, name: str, digits: Sequence[NDArray[np.int64]]) -> Counts:
        """A cost of n architectures.

        Args:
            name: a key of `scores.costs.COSTS`.
            digits: n positions for each group of the space.

        Returns:
            Whole numbers of shape (n,).
        """
        costs: Counts = FORMULAS[name](_Columns(self._parts, digits))
        return costs

    def feasible(self, most: Mapping[str, int], operators: Collection[str] | None) -> Counts:
        """Settings of all parts with which a model keeps within limits, as positions in their product.

        Parts are added one by one, and what is over a limit is dropped at once: costs only grow.

        Args:
            most: largest value of each limited cost.
            operators: those that there are; None for all.

        Returns:
            Positions in the product of the groups of `groups`, ascending.
        """
        lacking = 0 if operators is None else self._bits(frozenset(self._operators) - frozenset(operators))
        codes = entering = np.zeros(1, dtype=np.int64)
        sums = {column: np.zeros(1, dtype=np.int64) for column in (*_SUMS, "live")}
        for part in self._parts:
            size = part.after.shape[1]
            setting = np.tile(np.arange(size), len(codes))
            codes, entering = np.repeat(codes, size) * size + setting, np.repeat(entering, size)
            grown = {column: np.repeat(values, size) for column, values in sums.items()}
            for column in _SUMS:
                grown[column] += getattr(part, column)[entering, setting]
            grown["live"] = np.maximum(grown["live"] + part.waiting[setting], part.live[entering, setting])
            fits = (part.operators[entering, setting] & lacking) == 0
            for cost, limit in most.items():
                fits &= FORMULAS[cost](SimpleNamespace(**grown)) <= limit
            codes, entering = codes[fits], part.after[entering[fits], setting[fits]]
            sums = {column: values[fits] for column, values in grown.items()}
        return codes

    def log10(self, name: str, digits: Sequence[NDArray[np.int64]]) -> Floats:
        """log10 of `costs`. Shape (n,)."""
        sizes = tuple(part.after.shape[1] for part in self._parts)
        if math.prod(sizes) > len(digits[0]):
            return self._log10(name, digits)
        # Of a whole space many architectures differ in nothing that matters to costs.
        networks = list(digits)
        for part, of_part in zip(self._parts, np.indices(sizes).reshape(len(sizes), -1), strict=True):
            networks[part.group] = of_part
        return self._log10(name, networks).take(
            np.ravel_multi_index([digits[part.group] for part in self._parts], sizes)
        )

    def _log10(self, name: str, digits: Sequence[NDArray[np.int64]]) -> Floats:
        logs: Floats = np.log10(self.costs(name, digits).astype(np.float64))
        return logs

    def log_range(self, name: str) -> tuple[float, float]:
        """Bounds of `log10` over the space: the smallest and largest parts, which need not go together."""
        bounds = []
        for extreme in (np.min, np.max):
            live = 0
            sums = dict.fromkeys(_SUMS, 0)
            parts = iter(self._parts)
            for together in _BOUNDED_TOGETHER:
                of = [next(parts) for _ in together]
                for column in sums:
                    table = getattr(of[0], column)
                    if len(of) == 2:
                        table = table[:, :, None] + getattr(of[1], column)[of[0].after]
                    sums[column] += int(extreme(table))
                waiting = max(int(extreme(part.waiting)) for part in of)
                live = max(live + waiting, *(int(extreme(part.live)) for part in of))
            bounds.append(float(np.log10(FORMULAS[name](Costs(**sums, live=live, operators=frozenset())))))
        low, high = bounds
        return low, high

    def _bits(self, operators: frozenset[str]) -> int:
        """A bit for each operator; new ones get the next."""
        return sum(1 << self._operators.setdefault(name, len(self._operators)) for name in sorted(operators))


def _table(rows: Any) -> Counts:
    return np.array(rows, dtype=np.int64)
