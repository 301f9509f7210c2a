"""Recurrent cells that `space.CELLS` names: PyTorch's layers, which return hidden states alone.

Shapes: B batch, C channel, T time, H hidden unit.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from search.models.gru import hidden_states
from search.models.modules import without_autocast

_HAS_OWN_GRU = frozenset({"cpu"})
"""Devices on which `search.models.gru` takes the place of PyTorch's GRU."""


class Lstm(nn.LSTM):
    """LSTM with a forget bias of one at the start, as in Keras, which Jafari & Jafari used."""

    def __init__(self, n_in: int, hidden_size: int, *, bidirectional: bool = False) -> None:
        super().__init__(n_in, hidden_size, bidirectional=bidirectional, batch_first=True)

    def forward(self, x_BTC: Tensor) -> Tensor:  # type: ignore[override]
        """Hidden states of every time step, those of two directions side by side."""
        if x_BTC.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            # oneDNN takes no float32, as signals and some layers are, together with weights in bfloat16.
            x_BTC = x_BTC.to(torch.get_autocast_dtype("cpu"))
        return _in_full_precision(super().forward, x_BTC)

    def initialise(self, generator: torch.Generator) -> None:
        """Glorot inputs, orthogonal states, forget bias one."""
        _initialise_gates(self, generator)
        for name, parameter in self.named_parameters():
            if name.startswith("bias_ih"):
                # PyTorch orders the gates input, forget, cell, output.
                nn.init.ones_(parameter.detach()[self.hidden_size : 2 * self.hidden_size])


class Gru(nn.GRU):
    """GRU; on a CPU by the faster code of `search.models.gru`."""

    def __init__(self, n_in: int, hidden_size: int, *, bidirectional: bool = False) -> None:
        super().__init__(n_in, hidden_size, bidirectional=bidirectional, batch_first=True)

    def forward(self, x_BTC: Tensor) -> Tensor:  # type: ignore[override]
        """Hidden states of every time step, those of two directions side by side."""
        if x_BTC.device.type in _HAS_OWN_GRU:
            return hidden_states(self, x_BTC)
        return _in_full_precision(super().forward, x_BTC)

    def initialise(self, generator: torch.Generator) -> None:
        """Glorot inputs, orthogonal states, no bias."""
        _initialise_gates(self, generator)


def _in_full_precision(forward: Callable[[Tensor], tuple[Tensor, object]], x_BTC: Tensor) -> Tensor:
    """Hidden states from a layer of PyTorch's, on a GPU in float32.

    Under autocast cuDNN computes recurrent layers in float16, whatever type autocast is for: without loss
    scaling the smallest gradients would be lost.
    """
    return without_autocast(lambda x: torch.as_tensor(forward(x)[0]), x_BTC)


def _initialise_gates(layer: nn.LSTM | nn.GRU, generator: torch.Generator) -> None:
    """Keras' defaults, which Jafari & Jafari used."""
    for name, parameter in layer.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.xavier_uniform_(parameter, generator=generator)
        elif name.startswith("weight_hh"):
            for gate in torch.split(parameter.detach(), layer.hidden_size):
                nn.init.orthogonal_(gate, generator=generator)
        else:
            nn.init.zeros_(parameter)


class BothDirections(nn.Module):
    """A cell that runs through time forwards, and another one that runs backwards."""

    def __init__(self, forwards: nn.Module, backwards: nn.Module) -> None:
        super().__init__()
        self.forwards = forwards
        self.backwards = backwards

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Hidden states of both side by side."""
        return torch.cat([self.forwards(x_BTC), self.backwards(x_BTC.flip(1)).flip(1)], dim=-1)
