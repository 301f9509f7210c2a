"""A recurrent cell of one's own: minGRU (Feng et al. 2024, "Were RNNs All We Needed?").

Shapes: B batch, T time, C channel, H hidden unit.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import space
from space import CELLS, PRESETS, Architecture, Cell, Preset, RecurrentLayer


class MinGru(nn.Module):
    """h_t = (1 − z_t) h_{t−1} + z_t g(c_t), z_t = σ(W_z x_t), c_t = W_h x_t (Feng et al. 2024, section 3.1).

    Gate and candidate see the input alone, so that all time steps are found at once, by a sum of logarithms
    (appendix B): log h_t = Σ_{s≤t} log(1 − z_s) + log Σ_{s≤t} exp(log(z_s g(c_s)) − Σ_{r≤s} log(1 − z_r)).
    """

    def __init__(self, n_in: int, hidden_size: int) -> None:
        super().__init__()
        self.gate = nn.Linear(n_in, hidden_size)
        self.candidate = nn.Linear(n_in, hidden_size)

    def initialise(self, generator: torch.Generator) -> None:
        """Glorot inputs, no bias."""
        for layer in (self.gate, self.candidate):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Hidden states `h_BTH` from a state of zero."""
        gate_BTH, candidate_BTH = self.gate(x_BTC).float(), self.candidate(x_BTC).float()
        # g(c) = c + 1/2 above zero and σ(c) below, which keeps states positive.
        log_g_BTH = torch.where(
            candidate_BTH >= 0, torch.log(F.relu(candidate_BTH) + 0.5), F.logsigmoid(candidate_BTH)
        )
        kept_BTH = torch.cumsum(F.logsigmoid(-gate_BTH), dim=1)
        added_BTH = torch.logcumsumexp(F.logsigmoid(gate_BTH) + log_g_BTH - kept_BTH, dim=1)
        return torch.exp(kept_BTH + added_BTH)


CELLS["mingru"] = Cell(
    words="minGRU", parameters=lambda n_in, hidden: 2 * (n_in * hidden + hidden), module=MinGru
)

PRESETS["cnn-mingru"] = Preset(
    source="Feng et al. 2024",
    summary="one minGRU",
    architecture=Architecture(recurrent=(RecurrentLayer(cell="mingru"),)),
)

SPACE = space.extend("wide", cell=("lstm", "gru", "mingru"), depth=(0, 1, 2), label_smoothing=(0.0, 0.05))
