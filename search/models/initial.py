"""Initial weights, all drawn from one generator.

Modules made of PyTorch's dense, convolutional and normalising layers need nothing. A module with parameters
of its own has a method `initialise(generator)`, which sets all it holds, those of its parts included. One
whose parts start otherwise than such layers has `initialise_last(generator)`, called when all others are set.
"""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

OUTPUT_DEVIATION = 0.01
"""Standard deviation of the output layer's initial weights (Lin et al. 2017, section 4.1)."""
_UNSET = torch.iinfo(torch.int64).min
"""Value of unset elements in a buffer of whole numbers; NaN is that among real numbers."""


class UninitialisedError(TypeError):
    """A module of a model leaves weights unset; the message names the first."""


@runtime_checkable
class Initialised(Protocol):
    """A module that sets its own weights."""

    def initialise(self, generator: torch.Generator) -> None:
        """Set all parameters and buffers, those of the parts included."""


@runtime_checkable
class InitialisedLast(Protocol):
    """A module that changes weights of its parts once all are set."""

    def initialise_last(self, generator: torch.Generator) -> None:
        """Change them."""


@torch.no_grad()
def initialise(model: nn.Module, output: nn.Linear, generator: torch.Generator) -> None:
    """Draw all weights of a model.

    Args:
        model: with storage, its values of no account.
        output: its output layer, which starts from hardly any confidence.
        generator: a CPU generator.

    Raises:
        UninitialisedError: a parameter or buffer, or a part of one, was set by no module.
    """
    for value in [*model.parameters(), *model.buffers()]:
        _forget(value)
    done: set[nn.Module] = set()
    for module in model.modules():
        if module in done:
            continue
        if isinstance(module, Initialised):
            module.initialise(generator)
            done |= set(module.modules())
        elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            _initialise_dense(module, generator, is_output=module is output)
        elif isinstance(module, _NormBase | nn.LayerNorm | nn.GroupNorm):
            module.reset_parameters()
    for module in model.modules():
        if isinstance(module, InitialisedLast):
            module.initialise_last(generator)
    _check_set(model)


def _forget(value: Tensor) -> None:
    if value.is_floating_point() or value.is_complex():
        value.fill_(float("nan"))
    elif value.dtype == torch.int64:
        value.fill_(_UNSET)


def _check_set(model: nn.Module) -> None:
    for place, module in model.named_modules():
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for name, value in own:
            is_unset = value == _UNSET if value.dtype == torch.int64 else torch.isnan(value)
            if is_unset.any():
                kind = type(module).__name__
                raise UninitialisedError(
                    f"{name} of {kind} ({place}) has no initial value: give {kind}, or a module around it, a "
                    "method initialise(generator) that sets all of it"
                )


def _initialise_dense(
    layer: nn.Conv1d | nn.Conv2d | nn.Linear, generator: torch.Generator, *, is_output: bool
) -> None:
    if is_output:
        # Without a ReLU behind it He's variance would start from confident guesses.
        nn.init.normal_(layer.weight, std=OUTPUT_DEVIATION, generator=generator)
    else:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    if isinstance(layer, nn.Conv2d):
        layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
