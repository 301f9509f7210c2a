"""A GPU that is none: tensors on the CPU that are on `cuda` for all code above the kernels.

A CPU then shows what CUDA would refuse, or do otherwise: code that is for `cuda` alone is run, operations on
tensors of two devices fail, autocast follows the lists of CUDA, and the capture of a graph finds what no
graph can hold. Kernels are those of the CPU, so that all numbers are real. What this cannot show: kernels of
CUDA, streams that run at the same time, memory, time.

PyTorch has no public device that computes without hardware. The private keys by which it dispatches are those
of CUDA here; its own `FakeTensorMode` does the same, but has no numbers, and no gradients in a build without
CUDA.
"""

from __future__ import annotations

import re
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from search.models.folded import stream_of

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
_CARRIER = torch.device("xla", 0)
"""Device that stands for CUDA in arguments: the parser of PyTorch would look for the driver of CUDA."""
_KEY = torch._C.DispatchKey.CUDA
_aten = torch.ops.aten
_SYNCHRONISING = (
    *(_aten._local_scalar_dense, _aten.nonzero, _aten.nonzero_static, _aten.masked_select, _aten.argwhere),
    *(_aten._unique2, _aten.unique_dim, _aten.unique_consecutive, _aten.bincount, _aten.histc, _aten.equal),
    *(_aten.multinomial, _aten.repeat_interleave, _aten.is_nonzero, _aten._linalg_check_errors),
)
"""Operations that wait for the device, because the shape of what they return depends on values, or it is a
number (torch.cuda.set_sync_debug_mode warns of them)."""


_GATHERING = (_aten.index, _aten.index_put, _aten.index_put_)


def _has_mask(indices: Sequence[Tensor | None]) -> bool:
    return any(each is not None and each.dtype in (torch.bool, torch.uint8) for each in indices)


def is_on_gpu(tensor: Tensor) -> bool:
    """Whether a tensor is on the GPU."""
    return bool(torch._C._dispatch_keys(tensor).has(_KEY))


def _tensors(arguments: Any) -> list[Tensor]:
    """Tensors among arguments or results, also in lists and tuples."""
    if isinstance(arguments, Tensor):
        return [arguments]
    found: list[Tensor] = []
    if isinstance(arguments, dict):
        arguments = arguments.values()
    elif not isinstance(arguments, tuple | list):
        return found
    for each in arguments:
        if isinstance(each, Tensor):
            found.append(each)
        elif isinstance(each, tuple | list | dict):
            found += _tensors(each)
    return found


def _changed(arguments: Any, change: Callable[[Any], Any]) -> Any:
    """The same arguments or results, with every leaf changed."""
    if isinstance(arguments, list):
        return [_changed(each, change) for each in arguments]
    if type(arguments) is tuple:
        return tuple(_changed(each, change) for each in arguments)
    if isinstance(arguments, dict):
        return {name: _changed(each, change) for name, each in arguments.items()}
    return change(arguments)


def _is_any_on_gpu(arguments: object) -> bool:
    return any(is_on_gpu(each) for each in _tensors(arguments))


def _with_keys(tensor: Tensor, device: torch.device) -> Tensor:
    """The same memory, by the dispatch keys of a device."""
    return torch.Tensor._make_subclass(torch.Tensor, tensor, device_for_backend_keys=device)


def _is_of(device: object, kind: str) -> bool:
    """Whether an argument is a device of a type, or its name."""
    return isinstance(device, str | torch.device) and str(device).partition(":")[0] == kind


# ---------------------------------------------------------------------------------------------------------
# Names of devices, autocast


def _autocast_lists() -> dict[str, frozenset[str]]:
    """Functions that autocast casts on CUDA, by what it does: ATen/autocast_mode.h, which PyTorch ships."""
    header = Path(torch.__file__).parent / "include" / "ATen" / "autocast_mode.h"
    defined = re.split(r"^#define ", header.read_text("utf-8"), flags=re.MULTILINE)
    found: dict[str, frozenset[str]] = {}
    for name in ("LOWER_PRECISION_FP", "FP32", "FP32_SET_OPT_DTYPE", "PROMOTE"):
        (macro,) = [text for text in defined if text.startswith(f"AT_FORALL_{name}(_)")]
        found[name] = frozenset(re.findall(r"_\((\w+)", macro.partition("(_)")[2]))
    return found


_LISTS = _autocast_lists()
_LOWER = _LISTS["LOWER_PRECISION_FP"]
_FULL = _LISTS["FP32"] | _LISTS["FP32_SET_OPT_DTYPE"]
_PROMOTED = _LISTS["PROMOTE"]
_HALVES = (torch.float16, torch.bfloat16)


class _Names(TorchFunctionMode):
    """Functions of PyTorch, called with `cuda` and asked for devices."""

    def __init__(self, gpu: PretendedGpu) -> None:
        super().__init__()
        self._gpu = gpu
        # Attributes of tensors, as PyTorch names their getters.
        self._answers: dict[object, Callable[[Tensor], object]] = {
            Tensor.device.__get__: lambda x: CUDA if is_on_gpu(x) else CPU,
            Tensor.is_cuda.__get__: is_on_gpu,  # type: ignore[attr-defined]
            Tensor.is_cpu.__get__: lambda x: not is_on_gpu(x),  # type: ignore[attr-defined]
        }

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "") == "__get__":  # an attribute of a tensor
            is_asked = func in self._answers and not args[0].is_meta
            return self._answers[func](args[0]) if is_asked else func(*args)
        if func is torch.device:
            return func(*args, **(kwargs or {}))
        kwargs = dict(kwargs or {})
        is_there = _is_any_on_gpu((args, kwargs))
        if func in (Tensor.numpy, Tensor.__array__) and is_there:
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")
        if func is Tensor.tolist and is_there:
            self._gpu.synchronised(func)
        names = [each for each in (*args, kwargs.get("device")) if isinstance(each, str | torch.device)]
        is_leaving = func is Tensor.cpu or any(_is_of(each, "cpu") for each in names)
        if any(_is_of(each, "cuda") for each in names):
            args = tuple(_CARRIER if _is_of(each, "cuda") else each for each in args)
            if func in (torch.tensor, torch.as_tensor):
                return func(*args, **{**kwargs, "device": None}).to(_CARRIER)
            if "device" in kwargs:
                kwargs["device"] = _CARRIER
        generator = kwargs.get("generator")
        if generator is not None:
            self._gpu.draws(generator, is_there=is_there or kwargs.get("device") == _CARRIER)
        if func in (torch.lstm, torch.gru) and is_there:
            return self._recurrent(func, *args)
        if is_there and torch.is_autocast_enabled("cuda"):
            name = func.__name__.strip("_")
            args, kwargs = _changed((args, kwargs), _cast_for(name, (args, kwargs)))
        before, self._gpu.is_working = self._gpu.is_working, is_there and not is_leaving
        try:
            result = func(*args, **kwargs)
        finally:
            self._gpu.is_working = before
        if is_leaving and isinstance(result, Tensor) and is_on_gpu(result):
            self._gpu.synchronised(func)  # for PyTorch it was on the CPU all the time
            return _with_keys(result.detach(), CPU).clone()
        return result

    def _recurrent(self, func: Any, x_BTC: Tensor, states: Any, weights: list[Tensor], *rest: Any) -> Any:
        """What stands for cuDNN: hidden states of that shape, with gradients in all that enters."""
        if torch.is_autocast_enabled("cuda"):
            self._gpu.fault("cuDNN computes recurrent layers in float16 under autocast")
        if len({each.dtype for each in (x_BTC, *weights)}) > 1:
            raise RuntimeError("input and weights of a recurrent layer differ in dtype")
        n_gates, n_hidden = 4 if func is torch.lstm else 3, weights[1].shape[1]
        directions = []
        for first in range(0, len(weights), 4):
            to_gates, to_state, *biases = weights[first : first + 4]
            gates_BTG = torch.nn.functional.linear(x_BTC, to_gates) + sum(biases) + to_state.sum(dim=1)
            directions.append(torch.tanh(gates_BTG.unflatten(-1, (n_gates, n_hidden)).sum(dim=-2)))
        return torch.cat(directions, dim=-1), *(states if isinstance(states, tuple | list) else [states])


def _cast_for(name: str, arguments: Any) -> Callable[[Any], Any]:
    """What autocast does to an argument of a function."""
    tensors = [each for each in _tensors(arguments) if is_on_gpu(each)]
    dtypes = {each.dtype for each in tensors if each.dtype in (torch.float32, *_HALVES)}
    if name in _LOWER and dtypes:
        wanted = torch.get_autocast_dtype("cuda")
    elif (name in _FULL and dtypes) or (name in _PROMOTED and len(dtypes) > 1):
        wanted = torch.float32
    else:
        return lambda argument: argument

    def cast(argument: Any) -> Any:
        is_cast = isinstance(argument, Tensor) and is_on_gpu(argument) and argument.dtype in dtypes
        return argument.to(wanted) if is_cast else argument

    return cast


# ---------------------------------------------------------------------------------------------------------
# Operations


class _Operations(TorchDispatchMode):
    """Operations, below autograd, on the memory of the CPU."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else PyTorch would load its compiler

    def __init__(self, gpu: PretendedGpu) -> None:
        super().__init__()
        self._gpu = gpu

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = _tensors((args, kwargs))
        there = [each for each in given if is_on_gpu(each)]
        device = kwargs.get("device")
        # Gradients and composite operations ask for the device of a tensor, which is the CPU below the keys.
        stays = bool(there) if device is None else device == CPU and self._gpu.is_working
        goes_there = device == _CARRIER or stays
        moves = func in (_aten._to_copy.default, _aten.copy_.default)
        if there and not moves and any(each.dim() and not is_on_gpu(each) for each in given):
            if func.overloadpacket not in _GATHERING or not is_on_gpu(given[0]):
                raise RuntimeError(f"Expected all tensors to be on the same device: {func} has cpu and cuda")
            self._gpu.synchronised(func)  # indices are copied
        if func is _aten.copy_.default:
            goes_there = is_on_gpu(args[0])
            if goes_there != is_on_gpu(args[1]):
                self._gpu.synchronised(func)
        elif moves and goes_there != bool(there):
            self._gpu.synchronised(func)
        if there and func.overloadpacket in _SYNCHRONISING:
            self._gpu.synchronised(func)
        if there and func.overloadpacket in _GATHERING and _has_mask(args[1]):
            self._gpu.synchronised(func)
        if device is not None:
            kwargs = {**kwargs, "device": torch.device("meta") if device.type == "meta" else CPU}
        plain = {id(each): _with_keys(each, CPU) for each in there}
        back = {id(plain[id(each)]): each for each in there}

        def unwrapped(each: Any) -> Any:
            return plain.get(id(each), each) if isinstance(each, Tensor) else each

        def wrapped(each: Any) -> Any:
            if not isinstance(each, Tensor):
                return each
            if id(each) in back:  # changed where it is
                return back[id(each)]
            return _with_keys(each, CUDA) if goes_there else each

        done = func(*_changed(tuple(args), unwrapped), **_changed(kwargs, unwrapped))
        result = _changed(done, wrapped)
        self._gpu.note(func, args, kwargs, result)
        return result


_group = torch._C._group_tensors_by_device_and_dtype


def _grouped(lists: list[list[Tensor | None]], with_indices: bool = False) -> dict[Any, Any]:
    """Tensors by device and dtype, for what is done to many at once."""
    found = {}
    for (device, dtype), parts in _group(lists, with_indices).items():
        is_there = any(each is not None and is_on_gpu(each) for each in parts[0][0])
        found[CUDA if is_there else device, dtype] = parts
    return found


class _Generator(torch.Generator):
    """A generator that says on which device it was made."""

    def __new__(cls, device: torch.device | str = CPU) -> Self:
        return super().__new__(cls)

    def __init__(self, device: torch.device | str = CPU) -> None:
        self._made_on = CUDA if _is_of(device, "cuda") else CPU

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self._made_on


# ---------------------------------------------------------------------------------------------------------
# Streams and graphs


class _Stream:
    """Stands for a stream: what is given to it is done at once."""

    def wait_stream(self, other: _Stream) -> None: ...

    def wait_event(self, event: object) -> None: ...

    def record_event(self) -> object:
        return object()


Trace = list[tuple[str, object]]
"""Operations with all that a graph would keep of them: shapes, numbers, and where their tensors lie."""


class _Graph:
    """Stands for a graph, which holds the operations of a capture."""

    def __init__(self) -> None:
        self.generators: list[torch.Generator] = []
        self.trace: Trace = []

    def register_generator_state(self, generator: torch.Generator) -> None:
        self.generators.append(generator)

    def replay(self) -> None:
        assert self.trace


class PretendedGpu:
    """The GPU, as long as the context lasts.

    Attributes:
        faults: what a captured graph could not hold, with the line of the program that did it.
        n_synchronised: how often the host waited for the device outside of captures, by operation.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.n_synchronised: Counter[str] = Counter()
        self.is_working = False
        self._capturing: _Graph | None = None
        self._trace: Trace | None = None
        self._places: dict[int, str] = {}
        self._kept: list[Tensor] = []

    @contextmanager
    def __call__(self) -> Iterator[Self]:
        with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
            self._stand_for_cuda(patch)
            stack.callback(stream_of.cache_clear)
            stack.enter_context(_Names(self))
            stack.enter_context(_Operations(self))
            yield self

    def _stand_for_cuda(self, patch: pytest.MonkeyPatch) -> None:
        stream = _Stream()
        stream_of.cache_clear()
        patch.setattr(torch, "Generator", _Generator)
        patch.setattr(torch.autograd, "backward", self._backward)
        patch.setattr(torch._C, "_group_tensors_by_device_and_dtype", _grouped)
        patch.setattr(torch.backends.cudnn, "is_acceptable", lambda tensor: False)
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
        patch.setattr(torch.cuda, "Stream", lambda device: _Stream())
        patch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
        patch.setattr(torch.cuda, "current_stream", lambda device: stream)
        patch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 1))
        patch.setattr(torch.cuda, "CUDAGraph", _Graph)
        patch.setattr(torch.cuda, "graph", self._capture)

    @contextmanager
    def _capture(self, graph: _Graph, **options: object) -> Iterator[None]:
        self._capturing = graph
        try:
            with self.traced() as graph.trace:
                yield
        finally:
            self._capturing = None

    def _backward(self, losses: Tensor | Sequence[Tensor]) -> None:
        """Backward pass with the names of devices, which PyTorch's own does without."""
        losses = [losses] if isinstance(losses, Tensor) else losses
        ones = tuple(torch.ones_like(loss) for loss in losses)
        engine = torch.autograd.Variable._execution_engine
        self.is_working = True
        try:
            engine.run_backward(
                tuple(losses), ones, False, False, (), allow_unreachable=True, accumulate_grad=True
            )
        finally:
            self.is_working = False

    @contextmanager
    def traced(self) -> Iterator[Trace]:
        """Operations until the context ends."""
        self._trace, self._places, self._kept = [], {}, []
        try:
            yield self._trace
        finally:
            self._trace, self._places, self._kept = None, {}, []

    def fault(self, words: str) -> None:
        """Note what a graph cannot hold, or computes otherwise."""
        frames = [each for each in traceback.extract_stack() if "/search/" in each.filename]
        where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
        self.faults.append(words + where)

    def draws(self, generator: torch.Generator, *, is_there: bool) -> None:
        """Check the generator that something is drawn from, on the GPU or not."""
        if is_there != (generator.device.type == "cuda"):
            raise RuntimeError(f"Expected another device type for generator than {generator.device.type!r}")
        if self._capturing is not None and generator not in self._capturing.generators:
            self.fault("numbers are drawn from a generator that the graph does not know")

    def synchronised(self, func: Any) -> None:
        """Note that the host waits for the device."""
        if self._capturing is not None:
            self.fault(f"{func} waits for the device")
        elif self._trace is None:
            self.n_synchronised[str(func)] += 1

    def note(self, func: Any, args: Any, kwargs: dict[str, Any], result: Any) -> None:
        """Note an operation that a graph would hold."""
        if self._trace is None or func.namespace == "profiler":
            return
        made, given = _tensors(result), _tensors((args, kwargs))
        if self._capturing is not None:
            if any(each.dim() and not is_on_gpu(each) for each in (*given, *made)):
                self.fault(f"{func} has a tensor on the CPU, whose values a graph would keep")
            is_random = torch.Tag.nondeterministic_seeded in func.tags and "attention" not in str(func)
            if is_random and kwargs.get("generator") is None:
                self.fault(f"{func} draws from the default generator")
        told = _changed((tuple(args), kwargs), self._told)
        number = len(self._trace)
        self._trace.append((str(func), told))
        for each in made:
            self._kept.append(each)
            self._places.setdefault(each.untyped_storage().data_ptr(), f"made by {number}")

    def _told(self, argument: Any) -> object:
        if isinstance(argument, torch.Generator):
            return "generator"
        if not isinstance(argument, Tensor):
            return argument
        if not argument.dim() and not is_on_gpu(argument):
            return argument.item()  # a number, which kernels are given as such
        place = argument.untyped_storage().data_ptr()
        self._kept.append(argument)
        return (
            self._places.get(place, place),
            argument.dtype,
            tuple(argument.shape),
            argument.stride(),
            argument.storage_offset(),
        )


def difference(captured: Trace, again: Trace) -> str | None:
    """First operation of a step that differs from that of the graph; None if all agree."""
    for number, (first, second) in enumerate(zip(captured, again, strict=False)):
        if first != second:
            return f"operation {number} was captured as {first} and is now {second}"
    if len(captured) != len(again):
        return f"{len(captured)} operations were captured, and now they are {len(again)}"
    return None
