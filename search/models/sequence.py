"""Layers that look along the whole of a signal: recurrent, attending, and state-space layers.

Shapes: B batch, C channel, T time, H attention head, P pair of states.
"""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import space
import space.layers as described
from search.models.layers import Dropout, full_precision
from search.models.recurrence import hidden_states

TIME_STEPS = (0.001, 0.1)
"""Range of a state-space layer's time step in samples at the start (Gu et al. 2022, section 5.1)."""


class RecurrentStack(nn.Module):
    """LSTM and GRU layers one after another, batch norm and spatial dropout between them."""

    def __init__(
        self, layers: tuple[space.RecurrentLayer, ...], n_in: int, hidden_size: int, dropout: float
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        self.norms = nn.ModuleList()
        self.dropout = Dropout(dropout, spatial=True)
        for position, layer in enumerate(layers):
            if position:
                self.norms.append(nn.BatchNorm1d(n_in))
            cell = nn.LSTM if layer.cell == "lstm" else nn.GRU
            self.layers.append(cell(n_in, hidden_size, bidirectional=layer.bidirectional, batch_first=True))
            n_in = hidden_size * layer.n_directions

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Hidden states of the last layer at every time step."""
        for position, layer in enumerate(self.layers):
            if position:
                x_BTC = self.norms[position - 1](x_BTC.transpose(1, 2)).transpose(1, 2)
                x_BTC = self.dropout(x_BTC)
            x_BTC = hidden_states(cast(nn.LSTM | nn.GRU, layer), x_BTC)
        return x_BTC


class Positions(nn.Module):
    """Sines and cosines of the position added to `x_BC1T` (Vaswani et al. 2017, section 3.5)."""

    def forward(self, x_BC1T: Tensor) -> Tensor:
        """Channel 2k of position t gets sin(t / 10000^(2k/C)), channel 2k + 1 the cosine."""
        width, length = x_BC1T.shape[-3], x_BC1T.shape[-1]
        channel_C = torch.arange(width, device=x_BC1T.device)
        rate_C = torch.exp(-math.log(10_000.0) / width * (channel_C - channel_C % 2))
        phase_C = (channel_C % 2) * (math.pi / 2)
        angle_CT = rate_C[:, None] * torch.arange(length, device=x_BC1T.device) + phase_C[:, None]
        return x_BC1T + torch.sin(angle_CT)[:, None].to(x_BC1T.dtype)


class TransformerLayer(nn.Module):
    """Self-attention and feed-forward on `x_BC1T`, each normalised before and added to its input."""

    def __init__(self, layer: described.TransformerLayer) -> None:
        super().__init__()
        self.n_heads = layer.n_heads
        self.attention_norm = nn.LayerNorm(layer.width)
        self.query_key_value = nn.Linear(layer.width, 3 * layer.width)
        self.attended = nn.Linear(layer.width, layer.width)
        self.feedforward_norm = nn.LayerNorm(layer.width)
        self.widen = nn.Linear(layer.width, layer.feedforward)
        self.narrow = nn.Linear(layer.feedforward, layer.width)
        self.dropout = Dropout(layer.dropout)

    def forward(self, x_BC1T: Tensor) -> Tensor:
        """Same shape."""
        x_BTC = x_BC1T.squeeze(-2).transpose(-2, -1)
        x_BTC = x_BTC + self.dropout(self._attend(self.attention_norm(x_BTC)))
        widened_BTC = self.dropout(F.relu(self.widen(self.feedforward_norm(x_BTC))))
        x_BTC = x_BTC + self.dropout(self.narrow(widened_BTC))
        return torch.as_tensor(x_BTC.transpose(-2, -1).unsqueeze(-2))

    def _attend(self, x_BTC: Tensor) -> Tensor:
        length, width = x_BTC.shape[-2:]
        parts = self.query_key_value(x_BTC).view(-1, length, 3, self.n_heads, width // self.n_heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each (B, H, T, C / H)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return torch.as_tensor(self.attended(mixed.transpose(1, 2).reshape(x_BTC.shape)))


class StateSpaceLayer(nn.Module):
    """Bidirectional S4D in a residual block: convolution, GELU, dropout, gated dense layer, layer norm.

    Channel c is the linear system x' = A x + B u, y = Re(C x) + D u with diagonal complex A, discretised with
    a time step of its own by zero-order hold, so that y is the convolution of u with
    K_t = 2 Re Σ_p C_p (exp(A_p Δ) − 1) / A_p · exp(A_p Δ t) (Gu et al. 2022, equations 4 and 6).
    """

    def __init__(self, layer: described.StateSpaceLayer) -> None:
        super().__init__()
        width, n_pairs = layer.width, layer.n_pairs
        self.log_step = nn.Parameter(torch.empty(width))
        self.log_decay = nn.Parameter(torch.empty(width, n_pairs))
        self.frequency = nn.Parameter(torch.empty(width, n_pairs))
        self.readout = nn.Parameter(torch.empty(2, width, n_pairs, 2))  # direction, channel, pair, re and im
        self.feedthrough = nn.Parameter(torch.empty(width))
        self.mix = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(layer.dropout)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """S4D-Lin: decays of one half, frequencies π p (Gu et al. 2022, section 4.3)."""
        low, high = (math.log(step) for step in TIME_STEPS)
        self.log_step.uniform_(low, high, generator=generator)
        self.log_decay.fill_(math.log(0.5))
        self.frequency.copy_(math.pi * torch.arange(self.frequency.shape[1]).expand_as(self.frequency))
        self.readout.normal_(std=math.sqrt(0.5), generator=generator)
        self.feedthrough.normal_(generator=generator)
        nn.init.xavier_uniform_(self.mix.weight, generator=generator)
        nn.init.zeros_(self.mix.bias)
        self.norm.reset_parameters()

    def kernels(self, length: int) -> Tensor:
        """Impulse responses forwards and backwards in time, (2, C, T)."""
        step_C1 = torch.exp(self.log_step)[:, None]
        pole_CP = torch.complex(-torch.exp(self.log_decay), self.frequency)
        moved_CP = pole_CP * step_C1
        weight_2CP = torch.view_as_complex(self.readout) * (torch.exp(moved_CP) - 1) / pole_CP
        powers_CPT = torch.exp(moved_CP[:, :, None] * torch.arange(length, device=step_C1.device))
        return 2 * torch.einsum("dcp,cpt->dct", weight_2CP, powers_CPT).real

    def forward(self, x_BC1T: Tensor) -> Tensor:
        """Same shape."""
        u_BCT = full_precision(x_BC1T.squeeze(2))  # there is no Fourier transform of bfloat16
        length = u_BCT.shape[2]
        with torch.autocast(u_BCT.device.type, enabled=False):
            forwards_CT, backwards_CT = self.kernels(length)
            # Behind the signal, the padded half of the circle holds what looks backwards.
            kernel = F.pad(forwards_CT, (0, length)) + F.pad(backwards_CT.flip(1), (length, 0))
            product = torch.fft.rfft(u_BCT, n=2 * length) * torch.fft.rfft(kernel)
            y_BCT = torch.fft.irfft(product, n=2 * length)[:, :, :length]
            y_BCT = y_BCT + self.feedthrough[:, None] * u_BCT
        y_BTC = self.dropout(F.gelu(y_BCT)).transpose(1, 2)
        y_BTC = F.glu(self.mix(y_BTC), dim=2)
        z_BTC: Tensor = self.norm(u_BCT.transpose(1, 2) + y_BTC)
        return z_BTC.transpose(1, 2).unsqueeze(2)
