"""Layers that look along the whole of a signal, recurrent and attending ones.

Shapes: B batch, C channel, T time, H attention head.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import search.models.frontends.layers as described
import space
from search.models.cells import BothDirections
from search.models.modules import Dropout

_LARGEST_BATCH = {"cuda": 2**16 - 1}
"""Largest batch of one call of attention by type of device. Flash attention counts its members along an axis
of CUDA's grid of blocks that has no more: "invalid configuration argument" (pytorch/pytorch#146704). The
windows of 2,048 records are more."""


def recurrent_module(layer: space.RecurrentLayer, n_in: int, hidden_size: int) -> nn.Module:
    """The module of a recurrent layer, from `x_BTC` to hidden states `h_BTC`."""
    cell = space.CELLS[layer.cell]
    make: Callable[..., nn.Module] = space.load_code(cell.module)
    if cell.runs_both_ways:
        return make(n_in, hidden_size, bidirectional=layer.bidirectional)
    if layer.bidirectional:
        return BothDirections(make(n_in, hidden_size), make(n_in, hidden_size))
    return make(n_in, hidden_size)


class Recurrent(nn.Module):
    """A recurrent layer of a front end, from `x_BC1T` to its hidden states `h_BC1T`."""

    def __init__(self, described_layer: described.Recurrent) -> None:
        super().__init__()
        self.layer = recurrent_module(described_layer.layer, described_layer.n_in, described_layer.hidden)

    def forward(self, x_BC1T: Tensor) -> Tensor:
        """Hidden states of every time step, those of two directions one behind the other."""
        h_BTC = self.layer(x_BC1T.squeeze(-2).transpose(-2, -1))
        return torch.as_tensor(h_BTC.transpose(-2, -1).unsqueeze(-2))


class RecurrentStack(nn.Module):
    """Recurrent layers one after another, batch norm and spatial dropout between them."""

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
            self.layers.append(recurrent_module(layer, n_in, hidden_size))
            n_in = hidden_size * layer.n_directions

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Hidden states of the last layer at every time step."""
        for position, layer in enumerate(self.layers):
            if position:
                x_BTC = self.norms[position - 1](x_BTC.transpose(1, 2)).transpose(1, 2)
                x_BTC = self.dropout(x_BTC)
            x_BTC = layer(x_BTC)
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


def _attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention within every member of a batch, in as many calls as the device needs."""
    most = _LARGEST_BATCH.get(query.device.type, len(query))
    if len(query) <= most:
        return F.scaled_dot_product_attention(query, key, value)
    pieces = zip(*(torch.split(each, most) for each in (query, key, value)), strict=True)
    return torch.cat([F.scaled_dot_product_attention(*piece) for piece in pieces])


class TransformerLayer(nn.Module):
    """Self-attention and feed-forward on `x_BC1T`, each normalised before and added to its input."""

    def __init__(self, layer: described.TransformerLayer) -> None:
        super().__init__()
        self.n_heads = layer.n_heads
        self.window = layer.window
        self.padding = layer.padding
        self.attention_norm = nn.LayerNorm(layer.width)
        self.query_key_value = nn.Linear(layer.width, 3 * layer.width)
        self.attended = nn.Linear(layer.width, layer.width)
        self.feedforward_norm = nn.LayerNorm(layer.width)
        self.widen = nn.Linear(layer.width, layer.feedforward)
        self.narrow = nn.Linear(layer.feedforward, layer.width)
        self.dropout = Dropout(layer.dropout)

    def initialise_last(self, generator: torch.Generator) -> None:
        """Draw again what has no ReLU behind it, where He's variance would make the sharpest attention."""
        for layer in (self.query_key_value, self.attended, self.narrow):
            nn.init.xavier_uniform_(layer.weight, generator=generator)

    def forward(self, x_BC1T: Tensor) -> Tensor:
        """Same shape."""
        x_BTC = x_BC1T.squeeze(-2).transpose(-2, -1)
        x_BTC = x_BTC + self.dropout(self._attend(self.attention_norm(x_BTC)))
        widened_BTC = self.dropout(F.relu(self.widen(self.feedforward_norm(x_BTC))))
        x_BTC = x_BTC + self.dropout(self.narrow(widened_BTC))
        return torch.as_tensor(x_BTC.transpose(-2, -1).unsqueeze(-2))

    def _attend(self, x_BTC: Tensor) -> Tensor:
        length, width = x_BTC.shape[-2:]
        projected = self.query_key_value(x_BTC)
        before, behind = self.padding(length)
        if before or behind:
            projected = F.pad(projected, (0, 0, before, behind))
        span = self.window or length
        parts = projected.view(-1, span, 3, self.n_heads, width // self.n_heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each (windows of B, H, T of a window, C / H)
        mixed = _attention(query, key, value)
        mixed_BTC = mixed.transpose(1, 2).reshape(*x_BTC.shape[:-2], -1, width)
        return torch.as_tensor(self.attended(mixed_BTC[..., before : before + length, :]))
