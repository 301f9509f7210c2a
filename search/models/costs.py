"""Costs of a model, operation by operation, in closed form and before training.

    MACs        multiply–accumulates of one record: convolutions, dense and recurrent layers, attention,
                Fourier transforms. Elementwise operations and sums are not counted.
    bytes       of the weights: 4 a parameter in fp32; in int8 1 a weight and 4 a number of a vector (biases,
                norms), which stay in 32 bits. Batch norm is a scale and a shift, its statistics merged.
    memory      peak of the values that live at once during the inference of one record, 4 bytes each in fp32,
                1 in int8. A value lives from the operation that computes it to the last one that reads it;
                elementwise operations and norms overwrite an input that nothing else reads; transposing
                and slicing take no memory. As in MCUNet (Lin et al. 2020), weights are not in it.
    latency     from a linear model of what was measured (`search.models.latency`), where there is one.
    operators   required of a device: `conv`, `pool`, `attention` (matrix products and softmax), `fft`,
                `scan` (a recurrence in single values), the names of cells, and of layers of a space file.
                Dense layers, sums, means and maxima, concatenation, ReLU, sigmoid and batch norm are taken
                for granted.

A model is a chain of parts, one for each axis (group of axes) in `PARTS`. The costs of a part depend on the
part before it only by the size of its output, channels and samples, so that the costs of a whole space are
tables of parts (`search.sampler.cost_table`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import space
from search.models.frontends.layers import Branches, Layer, Layers, Recurrent, Residual, squeezed_width
from search.models.parameters import (
    FEATURE_WIDTH,
    attention_width,
    dense_parameters,
    feature_size,
    front_end_layers,
    gate_parameters,
    head_widths,
    pooling_size,
)

FP32, INT8 = 4, 1
"""Bytes of a number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """A step of an inference."""

    words: str
    channels: int
    """Channels of the output."""
    samples: int
    """Samples of the output; 1 behind the pooling over time."""
    parameters: int = 0
    vectors: int = 0
    """Parameters that int8 keeps in four bytes."""
    macs: int = 0
    steps: int = 0
    """Time steps that wait for one another, of all directions."""
    live: int
    """Values in memory while it runs."""
    operator: str = ""
    """The operator a device needs for it; empty for what every runtime has."""
    of: str = ""
    """The part of the model: a key of `PARTS`."""


Operations = list[Operation]


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """Costs of several operations together."""

    parameters: int
    macs: int
    vectors: int
    live: int
    """Largest number of values in memory."""
    nanoseconds: int = 0
    """Measured, or expected; 0 where it is not known."""
    operators: frozenset[str]

    def to_dict(self) -> dict[str, int]:
        """Every known cost of `scores.costs.COSTS` by name."""
        return {name: cost for name, formula in FORMULAS.items() if (cost := formula(self))}


FORMULAS: Mapping[str, Callable[[Any], Any]] = {
    "parameters": lambda costs: costs.parameters,
    "macs": lambda costs: costs.macs,
    "bytes": lambda costs: FP32 * costs.parameters,
    "bytes-int8": lambda costs: INT8 * (costs.parameters - costs.vectors) + FP32 * costs.vectors,
    "memory": lambda costs: FP32 * costs.live,
    "memory-int8": lambda costs: INT8 * costs.live,
    "latency": lambda costs: -(-costs.nanoseconds // 1000),
}
"""Every cost of `scores.costs.COSTS` from what `Costs` has, numbers or arrays."""


def costs_of(
    architecture: space.Architecture, n_outputs: int, inputs: space.Inputs = space.TWELVE_LEADS
) -> Costs:
    """Costs of the model that `architecture` builds.

    Args:
        architecture: any point of the space.
        n_outputs: classes of the label tier it is trained on.
        inputs: inputs that the data set offers.

    Raises:
        SpaceError: a cell or a layer of a space file has no cost and cannot be measured.
    """
    return total(operations(architecture, n_outputs, inputs))


def count_parameters(
    architecture: space.Architecture, n_outputs: int, inputs: space.Inputs = space.TWELVE_LEADS
) -> int:
    """Parameters of the model, those of a frozen front end too; arguments and errors as for `costs_of`."""
    return costs_of(architecture, n_outputs, inputs).parameters


def operations(
    architecture: space.Architecture, n_outputs: int, inputs: space.Inputs = space.TWELVE_LEADS
) -> Operations:
    """Operations of an inference in their order; arguments and errors as for `costs_of`."""
    found: Operations = []
    waiting = inputs.n_features if architecture.features else 0
    size = (inputs.n_leads, inputs.n_samples)
    for name, part in PARTS.items():
        if name == "features":
            found = [replace(operation, live=operation.live + waiting) for operation in found]
        made, size = part(
            network_values(architecture), size, Surroundings(inputs=inputs, n_outputs=n_outputs)
        )
        found += [replace(operation, of=name) for operation in made]
    return found


def total(operations: Iterable[Operation]) -> Costs:
    """Costs of operations one after another."""
    listed = list(operations)
    return Costs(
        parameters=sum(each.parameters for each in listed),
        macs=sum(each.macs for each in listed),
        vectors=sum(each.vectors for each in listed),
        live=max((each.live for each in listed), default=0),
        operators=frozenset(each.operator for each in listed) - {""},
    )


def network_values(architecture: space.Architecture) -> dict[str, Any]:
    """The axes that make the network: with the same ones, inputs and outputs, all costs are the same."""
    names = ("recurrent", "hidden_size", "pooling", "gate", "features", "head", "head_width")
    return {name: getattr(architecture, name) for name in ("leads", *_FRONT_END_AXES, *names)}


# ---------------------------------------------------------------------------------------------------------
# Parts of a model, from input to output

Size = tuple[int, int]
"""Channels and samples."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """Inputs and outputs of the model, on which the operations of a part depend besides its axes."""

    inputs: space.Inputs
    n_outputs: int


_FRONT_END_AXES = ("backbone", "width", "kernel", "stride")
Part = Callable[[Mapping[str, Any], Size, Surroundings], tuple[Operations, Size]]


def _leads(values: Mapping[str, Any], size: Size, around: Surroundings) -> tuple[Operations, Size]:
    """The leads that enter, of all that the study has: taking some of them is no operation."""
    return [], (space.count_leads(values["leads"], size[0]), size[1])


def _front_end(values: Mapping[str, Any], size: Size, around: Surroundings) -> tuple[Operations, Size]:
    named = {name: values[name] for name in _FRONT_END_AXES}
    layers = front_end_layers(space.Architecture(**named), size[0])
    return layer_operations(layers, size)


def _recurrent(values: Mapping[str, Any], size: Size, around: Surroundings) -> tuple[Operations, Size]:
    width, length = size
    hidden = values["hidden_size"] or 0
    found: Operations = []
    for position, layer in enumerate(values["recurrent"]):
        if position:
            found.append(_norm(width, length))
        found.append(_recurrent_operation(Recurrent(width, hidden, layer), length))
        width = found[-1].channels
    return found, (width, length)


def _recurrent_operation(described: Recurrent, length: int) -> Operation:
    """A recurrent layer, of a front end or behind it, on `length` time steps."""
    return _operation_of_cell(space.CELLS[described.layer.cell], described, length)


@cache  # the stacks of a space have the same few layers, and a space file may give a name to another cell
def _operation_of_cell(_cell: space.Cell, described: Recurrent, length: int) -> Operation:
    layer, n_directions = described.layer, described.layer.n_directions
    one = cell_cost(layer.cell, described.n_in, described.hidden, length)
    width = n_directions * described.hidden
    return Operation(
        words=f"{layer}({described.hidden})",
        channels=width,
        samples=length,
        parameters=described.n_parameters,
        vectors=n_directions * one.vectors,
        macs=n_directions * one.macs,
        steps=n_directions * length,
        live=(described.n_in + width) * length + one.working,
        operator=layer.cell,
    )


def cell_cost(name: str, n_in: int, hidden: int, length: int) -> space.Cost:
    """Cost of a cell in one direction over `length` time steps, declared or measured."""
    declared = space.CELLS[name].cost
    if declared is None:
        from search.models.measured import measured_cell

        return measured_cell(name, n_in, hidden, length)
    step = declared(n_in, hidden)
    return replace(step, macs=length * step.macs)


def _pooling(values: Mapping[str, Any], size: Size, around: Surroundings) -> tuple[Operations, Size]:
    (width, length), kind = size, values["pooling"]
    left, parameters = pooling_size(kind, width)
    hidden = attention_width(width) if kind == "attention" else 0
    live = {
        "mean": width * length + width,
        "mean-max": max(width * length + 2 * width, 4 * width),
        "last-mean-max": width * length + 5 * width,
        "attention": width * length + length + max(hidden * length, width),
    }[kind]
    operation = Operation(
        words=f"{space.POOLINGS[kind]} over time",
        channels=left,
        samples=1,
        parameters=parameters,
        vectors=hidden,
        macs=length * (width * hidden + hidden + width) if hidden else 0,
        live=live,
        operator="attention" if hidden else "",
    )
    return [operation], (left, 1)


def _gate(values: Mapping[str, Any], size: Size, around: Surroundings) -> tuple[Operations, Size]:
    (width, _), reduction = size, values["gate"]
    if not reduction:
        return [], size
    squeezed = squeezed_width(width, reduction)
    operation = Operation(
        words=f"gate/{reduction}",
        channels=width,
        samples=1,
        parameters=gate_parameters(width, reduction),
        vectors=squeezed + width,
        macs=2 * width * squeezed,
        live=2 * width + squeezed,
    )
    return [operation], size


def _features(values: Mapping[str, Any], size: Size, around: Surroundings) -> tuple[Operations, Size]:
    width, n_features = size[0], around.inputs.n_features
    if not values["features"] or not n_features:
        return [], size
    joined, parameters = feature_size(width, n_features)
    operation = Operation(
        words=f"branch of {n_features} features",
        channels=joined,
        samples=1,
        parameters=parameters,
        vectors=3 * FEATURE_WIDTH,
        macs=n_features * FEATURE_WIDTH,
        live=max(width + n_features + FEATURE_WIDTH, 2 * joined),
    )
    return [operation], (joined, 1)


def _head(values: Mapping[str, Any], size: Size, around: Surroundings) -> tuple[Operations, Size]:
    widths = (size[0], *head_widths(values["head"], values["head_width"]))
    found = [_norm(widths[0], 1)] if values["head"] == "bottleneck" else []
    found += [
        Operation(
            words=f"dense {n_out}, ReLU, batch norm",
            channels=n_out,
            samples=1,
            parameters=dense_parameters(n_in, n_out),
            vectors=3 * n_out,
            macs=n_in * n_out,
            live=n_in + n_out,
        )
        for n_in, n_out in pairwise(widths)
    ]
    return found, (widths[-1], 1)


def _output(values: Mapping[str, Any], size: Size, around: Surroundings) -> tuple[Operations, Size]:
    width, n_outputs = size[0], around.n_outputs
    operation = Operation(
        words=f"output {n_outputs}",
        channels=n_outputs,
        samples=1,
        parameters=width * n_outputs + n_outputs,
        vectors=n_outputs,
        macs=width * n_outputs,
        live=width + n_outputs,
    )
    return [operation], (n_outputs, 1)


def _norm(width: int, length: int) -> Operation:
    return Operation(
        words="batch norm",
        channels=width,
        samples=length,
        parameters=2 * width,
        vectors=2 * width,
        live=width * length,
    )


PARTS: Mapping[str, Part] = {
    "leads": _leads,
    "backbone": _front_end,
    "recurrent": _recurrent,
    "pooling": _pooling,
    "gate": _gate,
    "features": _features,
    "head": _head,
    "label_tier": _output,
}
"""Parts by the first axis of the group on which each depends. Hand-crafted features are an input that waits
in memory while the parts before theirs run."""


# ---------------------------------------------------------------------------------------------------------
# Layers of a front end


def layer_operations(layers: Layers, size: Size) -> tuple[Operations, Size]:
    """Operations of layers one after another, and what leaves them."""
    run = _LayerSequence(size)
    for layer in layers:
        run.add(layer)
    return run.operations, run.size


class _LayerSequence:
    """Layers one after another, with the values in memory meanwhile.

    Args:
        size: size of the input.
        held: values of others that live all along.
        shared: whether others read what enters once these layers have run, so that it stays.
    """

    def __init__(self, size: Size, *, held: int = 0, shared: bool = False) -> None:
        self.size = size
        self.operations: Operations = []
        self._held = held
        self._shared = shared  # whether the present tensor is what entered and stays

    def add(self, layer: Layer) -> None:
        """Run one more layer."""
        if isinstance(layer, Residual):
            self._add_residual(layer)
        elif isinstance(layer, Branches):
            self._add_branches(layer)
        elif isinstance(layer, Recurrent):
            self._append(_recurrent_operation(layer, self.size[1]))
        else:
            self._add_plain(layer)

    @property
    def _values(self) -> int:
        return self.size[0] * self.size[1]

    def _add_plain(self, layer: Layer) -> None:
        width, length = self.size
        cost = layer_cost(layer, width, length)
        after = (layer.width_after(width), layer.length_after(length))
        output = 0 if cost.in_place and not self._shared else after[0] * after[1]
        self._append(
            Operation(
                words=_layer_words(layer),
                channels=after[0],
                samples=after[1],
                live=self._values + output + cost.working,
                parameters=layer.n_parameters,
                vectors=cost.vectors,
                macs=cost.macs,
                operator=cost.operator,
            )
        )

    def _add_residual(self, layer: Residual) -> None:
        path = self._side(layer.path, held=0, shared=True)
        shortcut = self._side(layer.shortcut, held=path._values, shared=self._shared)
        # The sum overwrites one path. A shortcut without layers is what entered; else it is gone, or stays.
        entered = self._values if self._shared and layer.shortcut else 0
        live = entered + path._values + shortcut._values
        self._append(Operation(words="sum", channels=path.size[0], samples=path.size[1], live=live))

    def _add_branches(self, layer: Branches) -> None:
        width = beside = 0
        for number, path in enumerate(layer.paths, start=1):
            side = self._side(path, held=beside, shared=self._shared or number < len(layer.paths))
            width, beside = width + side.size[0], beside + side._values
        entered = self._values if self._shared else 0
        live = entered + 2 * beside
        self._append(Operation(words="concatenation", channels=width, samples=side.size[1], live=live))

    def _side(self, layers: Layers, *, held: int, shared: bool) -> _LayerSequence:
        side = _LayerSequence(self.size, held=self._held + held, shared=shared)
        for layer in layers:
            side.add(layer)
        self.operations += side.operations
        return side

    def _append(self, operation: Operation) -> None:
        """Add an operation, with what else is in memory while it runs."""
        self.operations.append(replace(operation, live=self._held + operation.live))
        if self._shared:
            self._held += self._values
            self._shared = False
        self.size = (operation.channels, operation.samples)


def layer_cost(layer: Layer, width: int, length: int) -> space.Cost:
    """Cost of a layer, declared or measured."""
    if hasattr(layer, "cost"):
        declared: space.Cost = layer.cost(width, length)
        return declared
    from search.models.measured import measured_layer

    return measured_layer(layer, width, length)


def _layer_words(layer: Layer) -> str:
    """Kind of a layer in words, with its kernel and stride where it has them."""
    name = _LAYER_WORDS.get(type(layer).__name__, type(layer).__name__)
    nouns = ("kernel", "stride", "dilation", "window", "shift")
    details = [f"{noun} {value}" for noun in nouns if (value := getattr(layer, noun, 1)) not in (0, 1)]
    kind = "depthwise" if getattr(layer, "groups", 1) > 1 else getattr(layer, "kind", "")
    return " ".join(filter(None, [{"max": "maximum"}.get(kind, kind), name, ", ".join(details)]))


_LAYER_WORDS = {
    "Convolution": "convolution",
    "BatchNorm": "batch norm",
    "Relu": "ReLU",
    "SpatialDropout": "spatial dropout",
    "Pool": "pool",
    "SqueezeExcitation": "channel gate",
    "Positions": "positions",
    "TransformerLayer": "Transformer layer",
    "StateSpaceLayer": "S4D layer",
    "MinGruLayer": "minGRU layer",
}
