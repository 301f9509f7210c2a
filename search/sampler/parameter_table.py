"""Parameter counts of a whole space at once: sums of small tables, one for each part of a model.

The tables are filled by the closed forms of `search.models.parameters`, so that every entry is exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

import space
from search.models.parameters import (
    feature_size,
    front_end_size,
    gate_parameters,
    head_parameters,
    pooling_size,
    recurrent_size,
)
from search.sampler.candidates import Floats

Counts = NDArray[np.int64]
_PARTS = ("backbone", "recurrent", "pooling", "gate", "features", "head", "label_tier")
"""First axis of each group that matters to the number of parameters, from input to output."""


class ParameterTable:
    """Parameters of the architectures of a space by the positions of their settings.

    Args:
        architectures: the space.
        n_outputs: classes of every label tier of the space.
    """

    def __init__(self, architectures: space.Space, n_outputs: Mapping[str, int]) -> None:
        groups = [[setting.values for setting in group] for group in architectures.groups]
        first = [next(iter(group[0])) for group in groups]
        self._places = [first.index(part) for part in _PARTS]
        fronts, stacks, poolings, gates, features, heads, tiers = (groups[place] for place in self._places)
        inputs = architectures.inputs
        sizes = [front_end_size(space.Architecture(**front), inputs.n_leads) for front in fronts]
        widths, width_of_front = np.unique([width for width, _ in sizes], return_inverse=True)
        stacked = [
            [recurrent_size(s["recurrent"], s["hidden_size"], int(width)) for s in stacks] for width in widths
        ]
        # (front, stack): parameters up to the recurrent layers, and what leaves them.
        self._body = np.array([n for _, n in sizes])[:, None] + _second(stacked)[width_of_front]
        left, self._left_of = _unique(_first(stacked)[width_of_front])
        pooled = [[pooling_size(p["pooling"], width) for p in poolings] for width in left]
        self._pooling = _second(pooled)  # (width, pooling)
        entering, self._pooled_of = _unique(_first(pooled))
        self._gate = np.array([[gate_parameters(width, g["gate"]) for g in gates] for width in entering])
        joined = [
            [feature_size(width, inputs.n_features if f["features"] else 0) for f in features]
            for width in entering
        ]
        self._branch = _second(joined)  # (width, features)
        into_head, self._joined_of = _unique(_first(joined))
        self._head = np.array(
            [
                [
                    [
                        head_parameters(h["head"], h["head_width"], w, n_outputs[t["label_tier"]])
                        for t in tiers
                    ]
                    for h in heads
                ]
                for w in into_head
            ]
        )  # (width, head, tier)

    def count(self, digits: Sequence[NDArray[np.int64]]) -> Counts:
        """Parameters of n architectures; `digits` has n positions for each group of the space. Shape (n,)."""
        front, stack, pooling, gate, features, head, tier = (digits[place] for place in self._places)
        left = self._left_of[front, stack]
        entering = self._pooled_of[left, pooling]
        into_head = self._joined_of[entering, features]
        total: Counts = (
            self._body[front, stack]
            + self._pooling[left, pooling]
            + self._gate[entering, gate]
            + self._branch[entering, features]
            + self._head[into_head, head, tier]
        )
        return total

    def log10(self, digits: Sequence[NDArray[np.int64]]) -> Floats:
        """log10 of `count`. Shape (n,)."""
        logs: Floats = np.log10(self.count(digits).astype(np.float64))
        return logs

    @property
    def log_range(self) -> tuple[float, float]:
        """Bounds of `log10` over the space: the smallest and largest parts, which need not go together."""
        low = high = 0
        for table in (self._body, self._pooling, self._gate, self._branch, self._head):
            low, high = low + int(table.min()), high + int(table.max())
        return float(np.log10(low)), float(np.log10(high))


def _first(pairs: list[list[tuple[int, int]]]) -> Counts:
    return np.array([[pair[0] for pair in row] for row in pairs], dtype=np.int64)


def _second(pairs: list[list[tuple[int, int]]]) -> Counts:
    return np.array([[pair[1] for pair in row] for row in pairs], dtype=np.int64)


def _unique(table: Counts) -> tuple[list[int], NDArray[np.int64]]:
    """The different values of a table, and the place of each entry among them."""
    values, places = np.unique(table, return_inverse=True)
    return [int(value) for value in values], places.reshape(table.shape)
