"""Recurrent cells that `space.CELLS` names: PyTorch's layers, which return hidden states alone.

Shapes: B batch, C channel, T time, H hidden unit.
"""

import torch
from torch import Tensor, nn

from search.models.gru import hidden_states


class Lstm(nn.LSTM):
    """LSTM with a forget bias of one at the start, as in Keras, which the seed used."""

    def __init__(self, n_in: int, hidden_size: int, *, bidirectional: bool = False) -> None:
        super().__init__(n_in, hidden_size, bidirectional=bidirectional, batch_first=True)

    def forward(self, x_BTC: Tensor) -> Tensor:  # type: ignore[override]
        """Hidden states of every time step, those of two directions side by side."""
        h_BTC, _ = super().forward(x_BTC)
        return torch.as_tensor(h_BTC)

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
        if x_BTC.device.type == "cpu":
            return hidden_states(self, x_BTC)
        h_BTC, _ = super().forward(x_BTC)
        return torch.as_tensor(h_BTC)

    def initialise(self, generator: torch.Generator) -> None:
        """Glorot inputs, orthogonal states, no bias."""
        _initialise_gates(self, generator)


def _initialise_gates(layer: nn.LSTM | nn.GRU, generator: torch.Generator) -> None:
    """Keras' defaults, which the seed used."""
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
