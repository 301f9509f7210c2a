"""Architectures as numbers, for a model of how they score.

A space is a product of groups of axes (the recurrent stack with its size, the loss with its weighting, and
every other axis on its own), so that the features of any of its architectures are rows of small tables put
side by side: encoding 20,000 architectures takes milliseconds and no list of all 800,000 is ever made.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import space
from search.candidates import Floats, Indices, Params

_UNUSED = 0.5
"""Feature of an axis that changes nothing here: halfway, so that it is near to every used value."""

Group = list[dict[str, Any]]
Stack = tuple[space.RecurrentLayer, ...]


class SpaceCandidates:
    """The architectures of a space as candidates of a sampler.

    Features, all within [0, 1]: depth, shares of LSTM and of bidirectional layers, cell and direction at
    every position (halfway where there is no layer), widths by their logarithm, gate by how much it
    squeezes, loss and label tier one column per choice, exponent, cap, label smoothing,
    and the logarithm of the parameter count. Features that do not vary in the space are left out.

    Args:
        architectures: the space.
        n_outputs: classes of every label tier of the space.
    """

    def __init__(self, architectures: space.Space, n_outputs: Mapping[str, int]) -> None:
        self._space = architectures
        self._axes = architectures.axes
        self._n_outputs = n_outputs
        self._groups = architectures.groups
        self._sizes = tuple(len(group) for group in self._groups)
        self._positions = [{_setting_key(setting): k for k, setting in enumerate(g)} for g in self._groups]
        tables = [_encode_group(group, self._axes) for group in self._groups]
        self._tables = [table[:, np.ptp(table, axis=0) > 0] for table in tables]
        self._log_costs, self._cost_strides = self._count_all()
        low, high = float(self._log_costs.min()), float(self._log_costs.max())
        self._cost_low, self._cost_range = low, max(high - low, 1e-9)
        self._near: dict[tuple[int, int], list[int]] = {}

    @property
    def n_features(self) -> int:
        """Length of an encoded architecture."""
        return 1 + sum(int(table.shape[1]) for table in self._tables)

    def __len__(self) -> int:
        return int(math.prod(self._sizes))

    def __getitem__(self, index: int) -> Params:
        """Optuna parameters of the architecture at a position."""
        return self._space.to_params(self.architecture(index))

    def architecture(self, index: int) -> space.Architecture:
        """The architecture at a position, which is its position in the space."""
        return self._space[index]

    def name(self, index: int) -> str:
        """Digest of the architecture."""
        return self.architecture(index).digest

    def index(self, params: Params) -> int:
        """Position of the architecture with these Optuna parameters.

        Raises:
            KeyError: an axis is missing or has a value that is not in the space.
        """
        layers = tuple(
            (params[f"cell_{position}"], params[f"direction_{position}"] == "bidirectional")
            for position in range(1, params["depth"] + 1)
        )
        settings: dict[str, Any] = {**params, "recurrent": layers}
        if not layers:
            settings["hidden_size"] = None
        if params["loss"] != "power":
            settings["exponent"] = settings["cap"] = None
        index = 0
        for group, positions in zip(self._groups, self._positions, strict=True):
            key = tuple(settings[axis] for axis in group[0])
            index = index * len(group) + positions[key]
        return index

    def encode(self, indices: Indices) -> Floats:
        """Features of the architectures at these positions. Shape (n, n_features)."""
        digits = np.unravel_index(indices, self._sizes)
        columns = [table[digit] for table, digit in zip(self._tables, digits, strict=True)]
        cost = (self.log_cost(indices) - self._cost_low) / self._cost_range
        return np.concatenate([*columns, cost[:, None]], axis=1)

    def log_cost(self, indices: Indices) -> Floats:
        """log10 of the trainable parameters. Shape (n,)."""
        digits = np.unravel_index(indices, self._sizes)
        place = sum(digit * stride for digit, stride in zip(digits, self._cost_strides, strict=True))
        costs: Floats = self._log_costs[place]
        return costs

    def neighbours(self, index: int) -> Indices:
        """Architectures that differ in one axis, or by one recurrent layer at the end of the stack."""
        digits = [int(digit) for digit in np.unravel_index(index, self._sizes)]
        found, stride = [], len(self)
        for number, (size, digit) in enumerate(zip(self._sizes, digits, strict=True)):
            stride //= size
            if (number, digit) not in self._near:
                here = self._groups[number][digit]
                self._near[number, digit] = [
                    other for other, setting in enumerate(self._groups[number]) if _is_near(here, setting)
                ]
            found += [index + (other - digit) * stride for other in self._near[number, digit]]
        return np.array(found, dtype=np.int64)

    def _count_all(self) -> tuple[Floats, tuple[int, ...]]:
        """log10 parameters of all that differ in size, and the step of each group in that table."""
        matters = [not {"loss", "label_smoothing"} & set(group[0]) for group in self._groups]
        listed = [group if used else group[:1] for group, used in zip(self._groups, matters, strict=True)]
        counts = []
        for settings in itertools.product(*listed):
            architecture = space.Architecture(
                **{key: value for part in settings for key, value in part.items()}
            )
            n_outputs = self._n_outputs[architecture.label_tier]
            counts.append(space.count_parameters(architecture, n_outputs, self._space.n_leads))
        strides, stride = [], 1
        for group, used in zip(reversed(listed), reversed(matters), strict=True):
            strides.append(stride if used else 0)
            stride *= len(group)
        return np.log10(np.array(counts, dtype=np.float64)), tuple(reversed(strides))


def _setting_key(setting: Mapping[str, Any]) -> tuple[Any, ...]:
    """Hashable values of a setting, in the order of its axes."""
    return tuple(
        tuple((layer.cell, layer.bidirectional) for layer in value) if axis == "recurrent" else value
        for axis, value in setting.items()
    )


def _is_near(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two settings of a group differ in one choice."""
    if "loss" in a and a["loss"] != b["loss"]:
        return True  # exponent and cap come and go with the loss
    if "recurrent" not in a:
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


def _encode_group(group: Group, axes: Mapping[str, Sequence[space.Choice]]) -> Floats:
    """Features of every setting of a group. Shape (n_settings, n_features)."""
    rows = []
    for setting in group:
        row: list[float] = []
        for axis, value in setting.items():
            row += _encode_stack(value) if axis == "recurrent" else _encode_value(axis, value, axes[axis])
        rows.append(row)
    return np.array(rows, dtype=np.float64)


def _encode_stack(stack: Stack) -> list[float]:
    depth = len(stack)
    n_lstm = sum(layer.cell == "lstm" for layer in stack)
    n_bidirectional = sum(layer.bidirectional for layer in stack)
    row = [
        depth / space.MAX_DEPTH,
        n_lstm / depth if depth else _UNUSED,
        n_bidirectional / depth if depth else _UNUSED,
    ]
    for position in range(space.MAX_DEPTH):
        if position < depth:
            row += [float(stack[position].cell == "lstm"), float(stack[position].bidirectional)]
        else:
            row += [_UNUSED, _UNUSED]
    return row


def _encode_value(axis: str, value: Any, choices: Sequence[space.Choice]) -> list[float]:
    if axis in ("loss", "label_tier"):
        columns = choices[1:] if len(choices) == 2 else choices
        return [float(value == choice) for choice in columns]
    if value is None:
        return [_UNUSED]
    low, high = _magnitude(axis, min(choices, key=float)), _magnitude(axis, max(choices, key=float))
    if axis == "gate":
        low, high = 0.0, 0.5
    return [(_magnitude(axis, value) - low) / (high - low) if high > low else 0.0]


def _magnitude(axis: str, value: Any) -> float:
    """The scale on which an axis is likely to act."""
    if axis == "gate":
        return 1 / math.sqrt(value) if value else 0.0  # no gate, /16 and /4 evenly spaced
    return float(value) if axis == "label_smoothing" else math.log2(value)
