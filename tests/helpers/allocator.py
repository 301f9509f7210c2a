"""Costs of a built model, counted while it runs: products by hooks, memory by a simulated allocator.

Independent of the closed forms: nothing here knows which layers a front end describes. The model runs on
tensors without storage, and every function of PyTorch that it calls is recorded with the tensors that enter
and leave.
"""

import math
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves  # Private: no public name walks the arguments of an operator.
from torch.utils.flop_counter import FlopCounterMode

import space
from search.models.hybrid import HybridModel
from search.models.state_space import StateSpaceLayer

OVERWRITES = {
    *("relu", "batch_norm", "layer_norm", "sigmoid", "tanh", "softmax", "gelu", "clamp"),
    *("add", "mul", "mul_", "__add__", "__mul__", "__radd__", "__rmul__", "__rsub__"),
}
"""Functions whose result can take the place of an operand that nobody else reads."""
ELEMENTWISE = {"relu", "batch_norm", "layer_norm", "sigmoid", "tanh", "softmax", "gelu", "clamp"}
"""Functions without products that are counted, whose result has the form of their first argument."""
SAME = {"contiguous", "reshape"}
"""Functions that only change the layout."""


def empty_model(architecture: space.Architecture, n_outputs: int, inputs: space.Inputs) -> HybridModel:
    """The model on tensors without storage, at inference."""
    with torch.device("meta"):
        return HybridModel(architecture, n_outputs, inputs).eval()


def _entering(architecture: space.Architecture, inputs: space.Inputs) -> list[Tensor]:
    """Inputs of the model: one record, and its features where the model uses them."""
    signal = torch.empty(1, inputs.n_leads, inputs.n_samples, device="meta")
    features = [torch.empty(1, inputs.n_features, device="meta")] if architecture.features else []
    return [signal, *features]


def counted_bytes(model: nn.Module) -> tuple[int, int]:
    """Bytes of all parameters in fp32 and in int8, where vectors and the systems of S4D keep four."""
    fp32 = int8 = 0
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            keeps = parameter.dim() < 2 or isinstance(module, StateSpaceLayer)
            fp32 += 4 * parameter.numel()
            int8 += (4 if keeps else 1) * parameter.numel()
    return fp32, int8


def counted(model: HybridModel, architecture: space.Architecture, inputs: space.Inputs) -> tuple[int, int]:
    """Multiply–accumulates of one record, and the largest number of values in memory."""
    entering = _entering(architecture, inputs)
    recording = Recording()
    recording.not_counted([*model.parameters(), *model.buffers()])
    held = {recording.new(tensor) for tensor in entering}
    aten = torch.ops.aten
    # Private: PyTorch's operators of Fourier transforms.
    counting = {aten._fft_r2c: _transform, aten._fft_c2r: _transform, aten.mul_: _product}
    # There is no autocast of tensors without storage.
    with (
        torch.no_grad(),
        patch("torch.autocast", lambda *_, **__: nullcontext()),
        # Step by step, as an inference computes it, it reads and makes what a sum does.
        patch("search.models.mingru.recurrence", torch.add),
        recording,
        FlopCounterMode(display=False, custom_mapping=counting) as counter,
    ):
        model(*entering)
    return counter.get_total_flops() // 2 + recording.left_out, _peak(recording, held)


def _transform(shape: torch.Size, *_: Any, out_shape: torch.Size, **__: Any) -> int:
    """Operations of a Fourier transform: 2.5 n log2 n, where n is the real side, which is the longer one."""
    n = max(shape[-1], out_shape[-1])
    return shape[:-1].numel() * 2 * round(1.25 * n * math.log2(n))


def _product(a: Tensor, b: Any, *_: Any, **__: Any) -> int:
    """Operations of the product of two spectra: four multiply–accumulates a number."""
    return 8 * a.numel() if a.is_complex() and a.dim() == 3 and b.dim() == 2 else 0


# Private: how PyTorch's FlopCounterMode passes tensors instead of shapes.
_product._get_raw = True  # type: ignore[attr-defined]


@dataclass
class Step:
    name: str
    reads: list[int]
    makes: list[int]
    working: int = 0


@dataclass
class Recording(TorchFunctionMode):
    """Every function that the model calls, with the buffers that it reads and makes."""

    steps: list[Step] = field(default_factory=list)
    size: dict[int, int] = field(default_factory=dict)
    """Values of each buffer."""
    left_out: int = 0
    """Products of time steps of recurrent layers that were not run."""

    def __post_init__(self) -> None:
        super().__init__()
        self._kept: list[Tensor] = []  # or else another tensor might get the same address
        self._buffer: dict[int, int] = {}
        self._weights: set[int] = set()

    def not_counted(self, tensors: Any) -> None:
        self._weights |= {self._address(tensor) for tensor in tensors}

    def new(self, tensor: Tensor) -> int:
        self._kept.append(tensor)
        buffer = len(self.size)
        self.size[buffer] = tensor.numel() * (2 if tensor.is_complex() else 1)
        self._buffer[self._address(tensor)] = buffer
        return buffer

    @staticmethod
    def _address(tensor: Tensor) -> int:
        # Private: tensors without storage have no public address.
        return tensor.untyped_storage()._cdata

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        if name in ("lstm", "gru"):
            result: Any = self._one_step(function, *args)
        elif name in ELEMENTWISE and not (kwargs or {}).get("inplace"):
            # Without storage PyTorch computes these in Python, some 10 ms each.
            result = torch.empty_like(args[0])
        else:
            result = function(*args, **(kwargs or {}))
        made = [each for each in tree_leaves(result) if isinstance(each, Tensor)]
        if not made or name == "__get__":
            return result
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        reads = [self._buffer[a] for each in given if (a := self._address(each)) in self._buffer]
        is_padding = name == "pad" and given[0].dim() == 4  # which a convolution does itself
        if reads and (name in SAME or is_padding):
            self._kept.append(made[0])
            self._buffer[self._address(made[0])] = reads[0]
            return result
        if name in ("lstm", "gru"):
            # The first states are zeros, the last ones part of the output, or of what it works with.
            made = made[:1]
            self.size |= {self._buffer[self._address(state)]: 0 for state in tree_leaves(args[1])}
        fresh = [
            each
            for each in made
            if self._address(each) not in self._buffer and self._address(each) not in self._weights
        ]
        makes = [self.new(each) for each in fresh]
        self.steps.append(Step(name, reads, makes, self._working(name, args)))
        return result

    def _one_step(self, function: Any, x_BTC: Tensor, *args: Any) -> tuple[Tensor, ...]:
        """A recurrent layer run for one time step: each further one has as many products."""
        with FlopCounterMode(display=False) as counter:
            output, *states = function(x_BTC[:, :1], *args)
        length = x_BTC.shape[1]
        self.left_out += (length - 1) * (counter.get_total_flops() // 2)
        return (output.new_empty(1, length, output.shape[2]), *states)

    @staticmethod
    def _working(name: str, args: tuple[Any, ...]) -> int:
        if name in ("lstm", "gru"):
            hidden = args[2][1].shape[1]  # weights: (gates of H, H)
            return {"lstm": 5, "gru": 4}[name] * hidden
        if name == "scaled_dot_product_attention":
            windows, heads, length, _ = args[0].shape
            return windows * heads * length * length
        return 0


def _peak(recording: Recording, held: set[int]) -> int:
    """Peak of an allocator that frees a buffer after its last reader."""
    last = dict.fromkeys(recording.size, -1)
    for number, step in enumerate(recording.steps):
        for buffer in (*step.reads, *step.makes):
            last[buffer] = number
    size, peak = recording.size, 0
    for number, step in enumerate(recording.steps):
        dying = [buffer for buffer in step.reads if last[buffer] == number]
        new = set(step.makes)
        if step.name in OVERWRITES and new:
            (made,) = new
            overwritten = next((each for each in dying if size[each] >= size[made]), None)
            if overwritten is not None:
                held.discard(overwritten)
        held |= new
        peak = max(peak, sum(size[each] for each in held) + step.working)
        held -= {buffer for buffer in held if last[buffer] <= number}
    return peak
