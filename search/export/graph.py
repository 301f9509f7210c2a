"""The ONNX graph of a model, operator by operator.

Every module of a model has its operators in this file. torch.onnx would trace a model instead: half a minute
for one recurrent layer, shapes fixed where the trace met them, and dozens of operators around each LSTM. A
module of a space file is exported if it has a method `onnx(graph, x)` that adds its operators and returns the
name of the result.

Signals run through a front end as `x_BCT`, without the axis of height one that PyTorch's modules have; the
axes of a batch and of time are free.

Shapes: B batch, L lead, C channel or class, T time, K feature, M member, D direction, H hidden unit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any, Protocol, runtime_checkable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from search.data.features.scaling import LIMIT
from search.errors import UsageError
from search.export.folder import CLASSES_KEY, ECG_INPUT, FEATURES_INPUT, LEADS_KEY, OUTPUTS
from search.models import cells, mingru, modules, sequence, state_space
from search.models.hybrid import HybridModel
from search.training.losses import is_categorical
from search.training.model_file import KeptModel

OPSET = 20
IR_VERSION = 10
"""Format version of onnx 1.16 and onnxruntime 1.18, so that older runtimes read the file too."""
MICROVOLTS = 1000.0
"""Microvolts in a millivolt."""
_BLOCK = 32
"""Samples in a block of a state-space layer: about the root of a record's length, which costs the least."""


@dataclass(kw_only=True, slots=True)
class Graph:
    """Operators and constants as they are added; a result is the name of a tensor."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)
    place: str = ""
    """Prefix of the names of added nodes, such as `member1/blocks/0/`."""
    _counts: dict[str, int] = field(default_factory=dict)

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add an operator; the name of its first result. An input that is left out is an empty name."""
        name = self._unique(operator.lower())
        results = [name, *(f"{name}/{number}" for number in range(1, outputs))]
        self.nodes.append(helper.make_node(operator, inputs, results, name=name, **attributes))
        return name

    def constant(self, value: NDArray[Any] | Tensor | Sequence[float] | float, name: str = "constant") -> str:
        """Add an array; floating point numbers become float32."""
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        if array.dtype.kind == "f":
            array = array.astype(np.float32)
        named = self._unique(name)
        self.constants[named] = numpy_helper.from_array(np.array(array, order="C"), named)
        return named

    def whole(self, *numbers: int) -> str:
        """Add whole numbers, as shapes and axes are given."""
        return self.constant(np.array(numbers, dtype=np.int64), "axes")

    def shape(self, x: str, axis: int) -> str:
        """Length of an axis, as an array of one number."""
        return self.add("Shape", x, start=axis, end=axis + 1)

    def slice(self, x: str, start: str, end: str, axis: int, step: int = 1) -> str:
        """Part of an axis."""
        return self.add("Slice", x, start, end, self.whole(axis), self.whole(step))

    def reshape(self, x: str, *shape: int) -> str:
        """Another shape; 0 keeps an axis and −1 is inferred from the rest."""
        return self.add("Reshape", x, self.whole(*shape))

    def split(self, x: str, n: int, axis: int) -> list[str]:
        """Equal parts of an axis."""
        first = self.add("Split", x, outputs=n, axis=axis, num_outputs=n)
        return [first, *(f"{first}/{number}" for number in range(1, n))]

    def _unique(self, name: str) -> str:
        full = f"{self.place}{name}"
        number = self._counts[full] = self._counts.get(full, -1) + 1
        return f"{full}_{number}" if number else full


@runtime_checkable
class HasOperators(Protocol):
    """A module of a space file with its own ONNX operators."""

    def onnx(self, graph: Graph, x: str) -> str:
        """Add its operators; from the name of its input to that of its result."""


# ---------------------------------------------------------------------------------------------------------
# Modules


@singledispatch
def operators(module: nn.Module, graph: Graph, x: str) -> str:
    """Add the operators of a module to which `x` is given; the name of its result.

    Raises:
        UsageError: the module has none.
    """
    if isinstance(module, HasOperators):
        return module.onnx(graph, x)
    raise UsageError(
        f"{type(module).__name__} has no operators of ONNX, so that the model cannot be exported: give it a "
        "method onnx(graph, x) as in docs/export.md"
    )


def _within(graph: Graph, name: str, module: nn.Module, x: str) -> str:
    place = graph.place
    graph.place = f"{place}{name}/"
    result = operators(module, graph, x)
    graph.place = place
    return result


@operators.register
def _(module: nn.Sequential, graph: Graph, x: str) -> str:
    for name, part in module.named_children():
        x = _within(graph, name, part, x)
    return x


@operators.register(nn.Identity)
@operators.register(modules.Dropout)
def _(module: nn.Module, graph: Graph, x: str) -> str:
    return x


@operators.register
def _(module: nn.ReLU, graph: Graph, x: str) -> str:
    return graph.add("Relu", x)


@operators.register
def _(module: modules.Convolution, graph: Graph, x: str) -> str:
    padding = module.padding[1]
    before, behind = module.uneven or (padding, padding)
    given = [x, graph.constant(module.weight[:, :, 0], "weight")]
    if module.bias is not None:
        given.append(graph.constant(module.bias, "bias"))
    return graph.add(
        "Conv",
        *given,
        kernel_shape=[module.kernel_size[1]],
        strides=[module.stride[1]],
        dilations=[module.dilation[1]],
        group=module.groups,
        pads=[int(before), int(behind)],
    )


@operators.register(nn.BatchNorm1d)
@operators.register(nn.BatchNorm2d)
def _(module: nn.BatchNorm1d | nn.BatchNorm2d, graph: Graph, x: str) -> str:
    names = ("weight", "bias", "running_mean", "running_var")
    given = [graph.constant(getattr(module, name), name) for name in names]
    return graph.add("BatchNormalization", x, *given, epsilon=module.eps)


@operators.register
def _(module: modules.Pool, graph: Graph, x: str) -> str:
    shape: dict[str, Any] = {
        "kernel_shape": [module.kernel],
        "strides": [module.stride],
        "pads": [module.padding, module.padding],
        "ceil_mode": int(module.ceil_mode),
    }
    if module.function is functional.max_pool2d:
        return graph.add("MaxPool", x, **shape)
    # PyTorch counts padding in a mean; there is none where a last window is shorter.
    return graph.add("AveragePool", x, count_include_pad=int(module.padding > 0), **shape)


@operators.register
def _(module: modules.SqueezeExcitation, graph: Graph, x: str) -> str:
    mean_BC = graph.add("ReduceMean", x, graph.whole(2), keepdims=0)
    weight_BC = _gate_weights(module.gate, graph, mean_BC)
    return graph.add("Mul", x, graph.add("Unsqueeze", weight_BC, graph.whole(2)))


@operators.register
def _(module: modules.Residual, graph: Graph, x: str) -> str:
    path = _within(graph, "path", module.path, x)
    return graph.add("Add", path, _within(graph, "shortcut", module.shortcut, x))


@operators.register
def _(module: modules.Branches, graph: Graph, x: str) -> str:
    paths = [_within(graph, name, path, x) for name, path in module.paths.named_children()]
    return graph.add("Concat", *paths, axis=1)


@operators.register
def _(module: nn.Linear, graph: Graph, x: str) -> str:
    """Dense layer on `x_BC`; `_dense` is the same over time."""
    given = [x, graph.constant(module.weight, "weight")]
    if module.bias is not None:
        given.append(graph.constant(module.bias, "bias"))
    return graph.add("Gemm", *given, transB=1)


def _dense(module: nn.Linear, graph: Graph, x: str) -> str:
    """A dense layer on `x_BTC`."""
    y = graph.add("MatMul", x, graph.constant(module.weight.T, "weight"))
    return y if module.bias is None else graph.add("Add", y, graph.constant(module.bias, "bias"))


def _turned(graph: Graph, x: str) -> str:
    """Transposition of `x_BCT` to `x_BTC`, or back."""
    return graph.add("Transpose", x, perm=[0, 2, 1])


def _gate_weights(module: modules.FeatureGate, graph: Graph, x: str) -> str:
    squeezed = graph.add("Relu", _within(graph, "squeeze", module.squeeze, x))
    return graph.add("Sigmoid", _within(graph, "excite", module.excite, squeezed))


@operators.register
def _(module: modules.FeatureGate, graph: Graph, x: str) -> str:
    return graph.add("Mul", x, _gate_weights(module, graph, x))


@operators.register
def _(module: modules.DenseBlock, graph: Graph, x: str) -> str:
    dense = _within(graph, "dense", module.dense, x)
    return _within(graph, "norm", module.norm, graph.add("Relu", dense))


@operators.register
def _(module: modules.MeanPooling, graph: Graph, x: str) -> str:
    return graph.add("ReduceMean", x, graph.whole(1), keepdims=0)


@operators.register
def _(module: modules.MeanMaxPooling, graph: Graph, x: str) -> str:
    parts = [graph.add(kind, x, graph.whole(1), keepdims=0) for kind in ("ReduceMean", "ReduceMax")]
    return graph.add("Concat", *parts, axis=1)


@operators.register
def _(module: modules.LastMeanMaxPooling, graph: Graph, x: str) -> str:
    ends = [graph.add("Gather", x, graph.constant(np.array(step), "step"), axis=1) for step in (-1, 0)]
    n_backwards = module.n_backwards
    if n_backwards:
        behind, none = graph.whole(-n_backwards), graph.whole(0)
        beyond = graph.whole(np.iinfo(np.int64).max)
        parts = [graph.slice(ends[0], none, behind, 1), graph.slice(ends[1], behind, beyond, 1)]
    else:
        parts = ends[:1]
    parts += [graph.add(kind, x, graph.whole(1), keepdims=0) for kind in ("ReduceMean", "ReduceMax")]
    return graph.add("Concat", *parts, axis=1)


@operators.register
def _(module: modules.AttentionPooling, graph: Graph, x: str) -> str:
    aligned = graph.add("Tanh", _dense(module.alignment, graph, x))
    weight_BT1 = graph.add("Softmax", _dense(module.context, graph, aligned), axis=1)
    return graph.add("ReduceSum", graph.add("Mul", x, weight_BT1), graph.whole(1), keepdims=0)


# Along the whole of a signal


@operators.register
def _(module: sequence.Positions, graph: Graph, x: str) -> str:
    channel_1C1 = graph.add("Unsqueeze", _range(graph, graph.shape(x, 1)), graph.whole(0, 2))
    width = graph.add("Cast", graph.shape(x, 1), to=TensorProto.FLOAT)
    odd_1C1 = graph.add("Mod", channel_1C1, graph.constant(2.0), fmod=1)
    even_1C1 = graph.add("Sub", channel_1C1, odd_1C1)
    rate = graph.add("Div", graph.constant(-math.log(10_000.0)), width)
    rate_1C1 = graph.add("Exp", graph.add("Mul", even_1C1, rate))
    phase_1C1 = graph.add("Mul", odd_1C1, graph.constant(math.pi / 2))
    time_T = _range(graph, graph.shape(x, 2))
    angle_1CT = graph.add("Add", graph.add("Mul", rate_1C1, time_T), phase_1C1)
    return graph.add("Add", x, graph.add("Sin", angle_1CT))


def _range(graph: Graph, length: str) -> str:
    """0, 1, … of a length in an array of one number, as float32."""
    zero, one = graph.constant(np.array(0), "zero"), graph.constant(np.array(1), "one")
    numbers = graph.add("Range", zero, graph.add("Squeeze", length, graph.whole(0)), one)
    return graph.add("Cast", numbers, to=TensorProto.FLOAT)


def _layer_norm(module: nn.LayerNorm, graph: Graph, x: str) -> str:
    scale, shift = graph.constant(module.weight, "scale"), graph.constant(module.bias, "shift")
    return graph.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=module.eps)


@operators.register
def _(module: sequence.TransformerLayer, graph: Graph, x: str) -> str:
    x_BTC = _turned(graph, x)
    normal_BTC = _layer_norm(module.attention_norm, graph, x_BTC)
    x_BTC = graph.add("Add", x_BTC, _attend(module, graph, normal_BTC))
    normal_BTC = _layer_norm(module.feedforward_norm, graph, x_BTC)
    widened = graph.add("Relu", _dense(module.widen, graph, normal_BTC))
    return _turned(graph, graph.add("Add", x_BTC, _dense(module.narrow, graph, widened)))


def _attend(module: sequence.TransformerLayer, graph: Graph, x_BTC: str) -> str:
    width = module.attended.in_features
    n_each = width // module.n_heads
    projected = _dense(module.query_key_value, graph, x_BTC)
    if module.window:
        projected = _filled(module, graph, projected)
        parts = graph.reshape(projected, -1, module.window, 3, module.n_heads, n_each)
    else:
        parts = graph.reshape(projected, 0, 0, 3, module.n_heads, n_each)  # (B, T, 3, H, C / H)
    query, key, value = (
        graph.add("Gather", parts, graph.constant(np.array(number), "part"), axis=2) for number in range(3)
    )
    query = graph.add("Transpose", query, perm=[0, 2, 1, 3])
    key = graph.add("Transpose", key, perm=[0, 2, 3, 1])
    value = graph.add("Transpose", value, perm=[0, 2, 1, 3])
    scaled = graph.add("Mul", query, graph.constant(1 / math.sqrt(n_each)))
    weights = graph.add("Softmax", graph.add("MatMul", scaled, key), axis=-1)
    mixed = graph.add("Transpose", graph.add("MatMul", weights, value), perm=[0, 2, 1, 3])
    if not module.window:
        return _dense(module.attended, graph, graph.reshape(mixed, 0, 0, width))
    shape = graph.add("Concat", graph.shape(x_BTC, 0), graph.whole(-1), graph.whole(width), axis=0)
    first = graph.whole(module.padding(0)[0])
    last = graph.add("Add", first, graph.shape(x_BTC, 1))
    return _dense(module.attended, graph, graph.slice(graph.add("Reshape", mixed, shape), first, last, 1))


def _filled(module: sequence.TransformerLayer, graph: Graph, x_BTC: str) -> str:
    """Queries, keys and values with zeros before and behind, so that windows are full."""
    before, _ = module.padding(0)
    upto = graph.add("Add", graph.shape(x_BTC, 1), graph.whole(before))
    # The remainder has the sign of the divisor.
    behind = graph.add("Mod", graph.add("Neg", upto), graph.whole(module.window))
    pads = graph.add("Concat", graph.whole(0, before, 0, 0), behind, graph.whole(0), axis=0)
    return graph.add("Pad", x_BTC, pads)


@operators.register
def _(module: state_space.StateSpaceLayer, graph: Graph, x: str) -> str:
    length = graph.shape(x, 2)
    direct = graph.add("Mul", x, graph.constant(module.feedthrough[:, None], "feedthrough"))
    y_BCT = graph.add("Add", _linear_systems(module, graph, x, length), direct)
    y_BTC = _turned(graph, graph.add("Gelu", y_BCT))
    width = module.norm.normalized_shape[0]
    mixed = _dense(module.mix, graph, y_BTC)
    half, whole = graph.whole(width), graph.whole(2 * width)
    gate = graph.add("Sigmoid", graph.slice(mixed, half, whole, 2))
    gated = graph.add("Mul", graph.slice(mixed, graph.whole(0), half, 2), gate)
    return _turned(graph, _layer_norm(module.norm, graph, graph.add("Add", _turned(graph, x), gated)))


def _linear_systems(module: state_space.StateSpaceLayer, graph: Graph, x: str, length: str) -> str:
    """Output of the linear systems of both directions for `x_BCT`, without complex numbers or FFT.

    ONNX has no complex numbers, and onnxruntime is slow at Fourier transforms. A diagonal system
    needs none: in blocks of J samples, the output within a block is a matrix product with the kernel, and
    the contribution of earlier blocks is the state of the P pairs of poles,
    X_i = Σ_{k<i} exp(a J (i−1−k)) S_k with S_k = Σ_s exp(a (J−s)) u_ks. All matrices are constants, computed
    in float64. The direction that looks ahead is the same with the blocks in reverse.

    Shapes: I block, J sample within a block, Q real and imaginary parts of the states of both directions.
    """
    n_pairs = module.frequency.shape[1]
    n_blocks = graph.add("Div", graph.add("Add", length, graph.whole(_BLOCK - 1)), graph.whole(_BLOCK))
    missing = graph.add("Sub", graph.add("Mul", n_blocks, graph.whole(_BLOCK)), length)
    none = graph.whole(0)
    padded = graph.add("Pad", x, graph.add("Concat", none, none, none, none, none, missing, axis=0))
    x_BCIJ = graph.reshape(padded, 0, 0, -1, _BLOCK)
    within_CJJ, enter_CJQ, leave_CQJ, pole_CP = _block_matrices(module)
    both = graph.add("MatMul", x_BCIJ, graph.constant(np.concatenate([within_CJJ, enter_CJQ], 2), "block"))
    whole, split = graph.whole(_BLOCK + 4 * n_pairs), graph.whole(_BLOCK)
    y_BCIJ = graph.slice(both, graph.whole(0), split, 3)
    forwards, backwards = graph.split(graph.slice(both, split, whole, 3), 2, axis=3)
    states = _carried(graph, np.exp(_BLOCK * pole_CP), forwards, backwards)
    from_others = graph.add("MatMul", states, graph.constant(leave_CQJ, "leave"))
    y_BCT = graph.reshape(graph.add("Add", y_BCIJ, from_others), 0, 0, -1)
    return graph.slice(y_BCT, graph.whole(0), length, 2)


def _block_matrices(module: state_space.StateSpaceLayer) -> tuple[NDArray[Any], ...]:
    """Matrices within a block, into the states and out of them, and exponents of the poles a, (C, P).

    With the weights of equation 6 of Gu et al. 2022, as in `StateSpaceLayer.kernels`.
    """
    log_step_C, log_decay_CP, frequency_CP, readout_2CPR = (
        value.detach().double().numpy()
        for value in (module.log_step, module.log_decay, module.frequency, module.readout)
    )
    pole_CP = -np.exp(log_decay_CP) + 1j * frequency_CP
    moved_CP = pole_CP * np.exp(log_step_C)[:, None]
    weight_2CP = 2 * (readout_2CPR[..., 0] + 1j * readout_2CPR[..., 1]) * (np.exp(moved_CP) - 1) / pole_CP
    time_J = np.arange(_BLOCK)
    power_CPJ = np.exp(moved_CP[:, :, None] * time_J)
    forwards_CJ, backwards_CJ = np.einsum("dcp,cpj->dcj", weight_2CP, power_CPJ).real
    lag_JJ = time_J[None, :] - time_J[:, None]  # of an output (column) behind an input (row)
    within_CJJ = np.where(lag_JJ >= 0, forwards_CJ[:, abs(lag_JJ)], backwards_CJ[:, abs(lag_JJ) - 1])
    into = np.exp(moved_CP[:, None] * (_BLOCK - time_J)[:, None]), np.exp(moved_CP[:, None] * time_J[:, None])
    enter_CJQ = np.concatenate([part for each in into for part in (each.real, each.imag)], axis=2)
    out_of = weight_2CP[0][..., None] * power_CPJ, weight_2CP[1][..., None] * power_CPJ[:, :, ::-1]
    leave_CQJ = np.concatenate([part for each in out_of for part in (each.real, -each.imag)], axis=1)
    return within_CJJ, enter_CJQ, leave_CQJ, moved_CP


def _carried(graph: Graph, power_CP: NDArray[np.complex128], forwards: str, backwards: str) -> str:
    """States of both directions before every block, (B, C, I, Q), from what enters in each block.

    X = power · X + S from block to block, the second direction from the last block on; real parts of the P
    pairs lie before the imaginary ones.
    """
    n_pairs = power_CP.shape[1]
    real, imaginary = power_CP.real, power_CP.imag
    same = numpy_helper.from_array(np.concatenate([real, real], axis=1).astype(np.float32), "same")
    other = numpy_helper.from_array(
        np.concatenate([-imaginary, imaginary], axis=1).astype(np.float32), "other"
    )
    nodes: list[onnx.NodeProto] = []
    infos: dict[str, onnx.ValueInfoProto] = {}
    for name in ("ahead", "back"):
        state, entered, carried = f"{name}_state", f"{name}_entered", f"{name}_carried"
        nodes += [
            helper.make_node("Split", [state], [f"{name}_re", f"{name}_im"], axis=2, num_outputs=2),
            helper.make_node("Concat", [f"{name}_im", f"{name}_re"], [f"{name}_turned"], axis=2),
            helper.make_node("Mul", [state, "same"], [f"{name}_a"]),
            helper.make_node("Mul", [f"{name}_turned", "other"], [f"{name}_b"]),
            helper.make_node("Add", [f"{name}_a", f"{name}_b"], [f"{name}_moved"]),
            helper.make_node("Add", [f"{name}_moved", entered], [f"{name}_next"]),
            helper.make_node("Identity", [state], [carried]),
        ]
        lengths = ("batch", len(power_CP), 2 * n_pairs)
        infos |= {each: _value(each, *lengths) for each in (state, entered, carried, f"{name}_next")}
    body = helper.make_graph(
        nodes,
        "block",
        [infos[name] for name in ("ahead_state", "back_state", "ahead_entered", "back_entered")],
        [infos[name] for name in ("ahead_next", "back_next", "ahead_carried", "back_carried")],
        initializer=[same, other],
    )
    by_block = [graph.add("Transpose", each, perm=[2, 0, 1, 3]) for each in (forwards, backwards)]
    first = graph.slice(by_block[0], graph.whole(0), graph.whole(1), 0)
    shape = graph.add("Shape", graph.add("Squeeze", first, graph.whole(0)))
    none = graph.add("ConstantOfShape", shape)
    last_ahead = graph.add(
        "Scan",
        none,
        none,
        *by_block,
        outputs=4,
        body=body,
        num_scan_inputs=2,
        scan_input_directions=[0, 1],
        scan_output_directions=[0, 1],
    )
    by_block = [f"{last_ahead}/{number}" for number in (2, 3)]
    states = [graph.add("Transpose", each, perm=[1, 2, 0, 3]) for each in by_block]
    return graph.add("Concat", *states, axis=3)


@operators.register
def _(module: mingru.MinGruLayer, graph: Graph, x: str) -> str:
    x_BTC = _turned(graph, x)
    normal_BTC = _layer_norm(module.norm, graph, x_BTC)
    z_BTH = graph.add("Sigmoid", _dense(module.gate, graph, normal_BTC))
    c_BTH = _dense(module.candidate, graph, normal_BTC)
    below_BTH = graph.add("Sigmoid", graph.add("Min", c_BTH, graph.constant(0.0)))
    added_BTH = graph.add("Mul", z_BTH, graph.add("Add", graph.add("Relu", c_BTH), below_BTH))
    kept_BTH = graph.add("Sub", graph.constant(1.0), z_BTH)
    width = module.mix.out_features
    h_BTH = _gated_sums(graph, graph.split(kept_BTH, 2, 2), graph.split(added_BTH, 2, 2), width)
    return _turned(graph, graph.add("Add", x_BTC, _dense(module.mix, graph, h_BTH)))


def _gated_sums(graph: Graph, kept: Sequence[str], added: Sequence[str], width: int) -> str:
    """States of a minGRU in both directions side by side, `h_BTH`, one time step after another.

    Args:
        graph: that they are added to.
        kept: factors of the state before, forwards and backwards, each `x_BTH`.
        added: what joins it.
        width: hidden units of a direction.
    """
    nodes: list[onnx.NodeProto] = []
    infos: dict[str, onnx.ValueInfoProto] = {}
    directions = ("ahead", "back")
    for name in directions:
        nodes += [
            helper.make_node("Mul", [f"{name}_state", f"{name}_kept"], [f"{name}_left"]),
            helper.make_node("Add", [f"{name}_left", f"{name}_added"], [f"{name}_next"]),
            helper.make_node("Identity", [f"{name}_next"], [f"{name}_seen"]),
        ]
        for each in ("state", "kept", "added", "next", "seen"):
            infos[f"{name}_{each}"] = _value(f"{name}_{each}", "batch", width)
    body = helper.make_graph(
        nodes,
        "step",
        [infos[f"{name}_{each}"] for each in ("state", "kept", "added") for name in directions],
        [infos[f"{name}_{each}"] for each in ("next", "seen") for name in directions],
    )
    shape = graph.add("Concat", graph.shape(kept[0], 0), graph.whole(width), axis=0)
    none = graph.add("ConstantOfShape", shape)
    last_ahead = graph.add(
        "Scan",
        none,
        none,
        *kept,
        *added,
        outputs=4,
        body=body,
        num_scan_inputs=4,
        scan_input_axes=[1, 1, 1, 1],
        scan_input_directions=[0, 1, 0, 1],
        scan_output_axes=[1, 1],
        scan_output_directions=[0, 1],
    )
    return graph.add("Concat", f"{last_ahead}/2", f"{last_ahead}/3", axis=2)


def _reversed(graph: Graph, x: str, axis: int) -> str:
    """An axis from behind."""
    return graph.slice(x, graph.whole(-1), graph.whole(np.iinfo(np.int64).min), axis, step=-1)


@operators.register
def _(module: sequence.Recurrent, graph: Graph, x: str) -> str:
    return _turned(graph, _within(graph, "layer", module.layer, _turned(graph, x)))


@operators.register
def _(module: sequence.RecurrentStack, graph: Graph, x: str) -> str:
    for position, layer in enumerate(module.layers):
        if position:
            norm = module.norms[position - 1]
            x = _turned(graph, _within(graph, f"norms/{position - 1}", norm, _turned(graph, x)))
        x = _within(graph, f"layers/{position}", layer, x)
    return x


@operators.register
def _(module: cells.Lstm, graph: Graph, x: str) -> str:
    return _recurrent(module, graph, x, "LSTM", order=(0, 3, 1, 2))


@operators.register
def _(module: cells.Gru, graph: Graph, x: str) -> str:
    return _recurrent(module, graph, x, "GRU", order=(1, 0, 2), linear_before_reset=1)


def _recurrent(
    module: nn.LSTM | nn.GRU, graph: Graph, x: str, operator: str, *, order: tuple[int, ...], **more: int
) -> str:
    """A layer of PyTorch's as the operator of ONNX.

    Args:
        module: one layer, in one direction or both.
        graph: that it is added to.
        x: `x_BTC`.
        operator: LSTM or GRU.
        order: PyTorch's gates (input, forget, cell, output; reset, update, new) in the order of ONNX
            (input, output, forget, cell; update, reset, new).
        more: attributes.
    """
    suffixes = ("_l0", "_l0_reverse") if module.bidirectional else ("_l0",)

    def arranged(name: str) -> list[NDArray[Any]]:
        found = []
        for suffix in suffixes:
            gates = np.split(getattr(module, name + suffix).detach().numpy(), len(order))
            found.append(np.concatenate([gates[gate] for gate in order]))
        return found

    bias = [np.concatenate(pair) for pair in zip(arranged("bias_ih"), arranged("bias_hh"), strict=True)]
    y_TDBH = graph.add(
        operator,
        graph.add("Transpose", x, perm=[1, 0, 2]),
        graph.constant(np.stack(arranged("weight_ih")), "weight_ih"),
        graph.constant(np.stack(arranged("weight_hh")), "weight_hh"),
        graph.constant(np.stack(bias), "bias"),
        hidden_size=module.hidden_size,
        direction="bidirectional" if module.bidirectional else "forward",
        **more,
    )
    return graph.reshape(graph.add("Transpose", y_TDBH, perm=[2, 0, 1, 3]), 0, 0, -1)


@operators.register
def _(module: cells.BothDirections, graph: Graph, x: str) -> str:
    forwards = _within(graph, "forwards", module.forwards, x)
    backwards = _within(graph, "backwards", module.backwards, _reversed(graph, x, axis=1))
    return graph.add("Concat", forwards, _reversed(graph, backwards, axis=1), axis=2)


# ---------------------------------------------------------------------------------------------------------
# Models


def head_input(model: HybridModel, graph: Graph, x: str, f: str | None) -> str:
    """Input of the head of a model, `x_BC`, from standardised signals `x_BCT` and scaled features."""
    x = _turned(graph, _within(graph, "blocks", model.blocks, x))
    if model.recurrent is not None:
        x = _within(graph, "recurrent", model.recurrent, x)
    x = _within(graph, "pooling", model.pooling, x)
    if model.gate is not None:
        x = _within(graph, "gate", model.gate, x)
    if model.features is not None:
        assert f is not None
        x = graph.add("Concat", x, _within(graph, "features", model.features, f), axis=1)
    return x


def features_width(model: HybridModel) -> int:
    """Features that enter the head."""
    return next(module.in_features for module in model.head.modules() if isinstance(module, nn.Linear))


def _standardised(kept: KeptModel, graph: Graph, ecg: str) -> str:
    """Millivolts to standard deviations from the mean, per lead."""
    mean_L1, deviation_L1 = (
        statistic.double()[:, None] / MICROVOLTS
        for statistic in (kept.statistics.mean_L, kept.statistics.deviation_L)
    )
    centred = graph.add("Sub", ecg, graph.constant(mean_L1, "mean_mv"))
    return graph.add("Div", centred, graph.constant(deviation_L1, "deviation_mv"))


def _scaled(kept: KeptModel, graph: Graph, f_BK: str) -> str:
    """Features as `FeatureScaling.apply` has them: 0 where missing, with flags of those behind them."""
    assert kept.scaling is not None
    centred = graph.add("Sub", f_BK, graph.constant(kept.scaling.median_K, "median"))
    scaled = graph.add("Div", centred, graph.constant(kept.scaling.deviation_K, "deviation"))
    clipped = graph.add("Clip", scaled, graph.constant(-LIMIT), graph.constant(LIMIT))
    is_missing = graph.add("Or", graph.add("IsNaN", f_BK), graph.add("IsInf", f_BK))
    known = graph.add("Where", is_missing, graph.constant(0.0), clipped)
    return graph.add("Concat", known, graph.add("Cast", is_missing, to=TensorProto.FLOAT), axis=1)


def member_logits(number: int) -> str:
    """Name of the logits of a member within the graph, `z_BC`; members count from 1."""
    return f"member{number}/logits"


def make_graph(members: Sequence[KeptModel], weights: Sequence[float], *, name: str) -> onnx.ModelProto:
    """The graph of several models of the same leads and classes; `search.export.folder` has its outputs.

    Args:
        members: on the CPU.
        weights: share of each in the average, of sum 1.
        name: of the graph.

    Raises:
        UsageError: a module has no operators of ONNX; the message names it.
    """
    first = members[0]
    graph = Graph()
    features, logits = [], []
    f_BK = FEATURES_INPUT if any(kept.scaling is not None for kept in members) else None
    for number, kept in enumerate(members, start=1):
        graph.place = f"member{number}/"
        f = None if kept.scaling is None else _scaled(kept, graph, FEATURES_INPUT)
        x_BC = head_input(kept.model, graph, _standardised(kept, graph, ECG_INPUT), f)
        features.append(x_BC)
        z_BC = _within(graph, "head", kept.model.head, x_BC)
        graph.nodes.append(helper.make_node("Identity", [z_BC], [member_logits(number)]))
        logits.append(member_logits(number))
    graph.place = ""
    probabilities, averaged, all_features = OUTPUTS
    if first.is_exclusive:
        _average_distributions(graph, members, logits, weights)
    else:
        _average_independent(graph, logits, weights)
    graph.nodes.append(helper.make_node("Concat", features, [all_features], axis=1))
    widths = [features_width(kept.model) for kept in members]
    n_classes = len(first.classes)
    inputs = [_value(ECG_INPUT, "batch", len(first.leads), "samples")]
    if f_BK is not None:
        n_features = next(len(kept.scaling.median_K) for kept in members if kept.scaling is not None)
        inputs.append(_value(FEATURES_INPUT, "batch", n_features))
    outputs = [_value(each, "batch", n_classes) for each in (probabilities, averaged)]
    outputs.append(_value(all_features, "batch", sum(widths)))
    made = helper.make_model(
        helper.make_graph(graph.nodes, name, inputs, outputs, initializer=list(graph.constants.values())),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="ecg-architecture-search",
    )
    metadata = {CLASSES_KEY: first.classes, LEADS_KEY: first.leads}
    helper.set_model_props(made, {key: json.dumps(names) for key, names in metadata.items()})
    onnx.checker.check_model(made, full_check=True)
    return made


def _average_independent(graph: Graph, logits: Sequence[str], weights: Sequence[float]) -> None:
    """Mean probabilities of classes that may occur together, and their log odds.

    log p = log Σ_m w_m σ(z_m) and log(1 − p) = log Σ_m w_m σ(−z_m), each without ever forming p: log odds of
    a probability that float32 rounds to 1 stay finite.
    """
    probabilities, averaged, _ = OUTPUTS
    if len(logits) == 1:
        graph.nodes.append(helper.make_node("Identity", [logits[0]], [averaged]))
    else:
        is_there = _log_mean(graph, [_log_sigmoid(graph, z) for z in logits], weights)
        is_not = _log_mean(graph, [_log_sigmoid(graph, graph.add("Neg", z)) for z in logits], weights)
        graph.nodes.append(helper.make_node("Sub", [is_there, is_not], [averaged]))
    graph.nodes.append(helper.make_node("Sigmoid", [averaged], [probabilities]))


def _average_distributions(
    graph: Graph, members: Sequence[KeptModel], logits: Sequence[str], weights: Sequence[float]
) -> None:
    """Mean distribution over classes of which exactly one occurs, and its logarithm.

    A member without a softmax estimates every class on its own; `as_distribution` divides by their sum.
    """
    logs = []
    for kept, z in zip(members, logits, strict=True):
        is_softmax = is_categorical(kept.architecture, exclusive=True)
        logs.append(graph.add("LogSoftmax", z if is_softmax else _log_sigmoid(graph, z), axis=1))
    probabilities, averaged, _ = OUTPUTS
    mean = logs[0] if len(logs) == 1 else _log_mean(graph, logs, weights)
    graph.nodes.append(helper.make_node("Identity", [mean], [averaged]))
    graph.nodes.append(helper.make_node("Softmax", [averaged], [probabilities], axis=1))


def _log_sigmoid(graph: Graph, z: str) -> str:
    return graph.add("Neg", graph.add("Softplus", graph.add("Neg", z)))


def _log_mean(graph: Graph, logs: Sequence[str], weights: Sequence[float]) -> str:
    """log Σ_m w_m exp(x_m) of arrays `x_BC`."""
    stacked = graph.add("Concat", *(graph.add("Unsqueeze", x, graph.whole(0)) for x in logs), axis=0)
    weighted = graph.add("Add", stacked, graph.constant(np.log(weights)[:, None, None], "log_weight"))
    return graph.add("ReduceLogSumExp", weighted, graph.whole(0), keepdims=0)


def _value(name: str, *shape: str | int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
