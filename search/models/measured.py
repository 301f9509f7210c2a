"""Costs of cells and layers that declare none, measured on their modules.

A module is run on tensors without storage: products are counted as PyTorch's own counter does, and values
that live at once are those of the tensors that the module makes. Python code that needs numbers to go on
cannot be run so, and is to declare its cost.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

import space
from search.errors import one_line
from search.models.build import module_of
from search.models.frontends.layers import Layer


def measured_cell(name: str, n_in: int, hidden: int, length: int) -> space.Cost:
    """Cost of a cell in one direction over `length` time steps.

    Raises:
        SpaceError: its module cannot be run without numbers.
    """
    code = space.CELLS[name].module
    return _measured_cell(name, code, n_in, hidden, length)


@cache
def _measured_cell(name: str, code: space.Code, n_in: int, hidden: int, length: int) -> space.Cost:
    make: Callable[..., nn.Module] = space.load_code(code)
    return measured(f"cell {name}", lambda: make(n_in, hidden), (1, length, n_in), operator=name)


def measured_layer(layer: Layer, width: int, length: int) -> space.Cost:
    """Cost of a layer on `width` channels of `length` samples.

    Raises:
        SpaceError: its module cannot be run without numbers.
    """
    name = type(layer).__name__
    return measured(f"layer {name}", lambda: module_of(layer), (1, width, 1, length), operator=name.lower())


def measured(
    what: str, make: Callable[[], nn.Module], shape: tuple[int, ...], *, operator: str
) -> space.Cost:
    """Cost of a module on one record.

    Args:
        what: layer that the module belongs to, for messages.
        make: makes the module.
        shape: shape of its input.
        operator: operator that a device needs for it.

    Raises:
        SpaceError: it cannot be run without numbers.
    """
    try:
        with torch.device("meta"):
            module = make().eval()
            x = torch.empty(shape)
        with torch.no_grad(), FlopCounterMode(display=False) as counter, _Memory(module, x) as memory:
            output = module(x)
    except Exception as error:
        raise space.SpaceError(
            f"the cost of {what} cannot be measured on tensors without storage ({type(error).__name__}: "
            f"{one_line(error, 80)}): declare it, cost=…"
        ) from error
    vectors = sum(parameter.numel() for parameter in module.parameters() if parameter.dim() < 2)
    return space.Cost(
        macs=counter.get_total_flops() // 2,
        vectors=vectors,
        working=max(0, memory.peak - output.numel()),
        operator=operator,
    )


class _Memory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Largest number of values in tensors that were made within it and live at once.

    Args:
        module: its own tensors do not count.
        x: nor does what enters it.
    """

    def __init__(self, module: nn.Module, x: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        known = [*module.parameters(), *module.buffers(), x]
        self._known = {tensor.untyped_storage()._cdata for tensor in known}
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata not in self._known:
                storage = tensor.untyped_storage()
                n_values = -(-storage.nbytes() // tensor.element_size())
                reference = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
                self._alive[storage._cdata] = (reference, n_values)
        self._alive = {
            key: (reference, n_values)
            for key, (reference, n_values) in self._alive.items()
            if not reference.expired()  # type: ignore[no-untyped-call]
        }
        self.peak = max(self.peak, sum(n_values for _, n_values in self._alive.values()))
        return result
