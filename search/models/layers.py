"""Layers of the CNN–RNN hybrids.

Shapes: B batch, C channel, T time. Signals run through the convolutions as images of height one,
`x_BC1T` in channels-last layout: oneDNN and cuDNN have their fastest kernels there, and the recurrent
layers then read `x_BTC` without a copy.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import space


class Dropout(nn.Module):
    """Dropout that draws from a generator of its own, so that folds trained side by side stay reproducible.

    Args:
        rate: share of values set to zero in training; the others are scaled by 1 / (1 − rate).
        spatial: drop whole channels of `x_BC1T` or of `x_BTC` (Keras' SpatialDropout1D) instead of values.
    """

    def __init__(self, rate: float, *, spatial: bool = False) -> None:
        super().__init__()
        self.rate = rate
        self.spatial = spatial
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Drop values or channels of `x` in training; the identity otherwise."""
        if not self.training or not self.rate:
            return x
        shape = list(x.shape)
        if self.spatial:
            time_axis = 3 if x.dim() == 4 else 1
            shape[time_axis] = 1
        kept = torch.empty(shape, device=x.device, dtype=x.dtype)
        return x * kept.bernoulli_(1 - self.rate, generator=self.generator).div_(1 - self.rate)


class ConvolutionBlock(nn.Module):
    """Convolution ('same'), batch norm, ReLU, max-pool by two and spatial dropout.

    ReLU and the maximum commute, so the pool runs first and ReLU sees half the values.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, dropout: float) -> None:
        super().__init__()
        before = (kernel - 1) // 2
        # An even kernel pads one sample more behind than before, as Keras and TensorFlow do.
        self.padding = (before, kernel - 1 - before)
        symmetric = self.padding[0] == self.padding[1]
        self.convolution = nn.Conv2d(n_in, n_out, (1, kernel), padding=(0, before) if symmetric else 0)
        self.symmetric = symmetric
        self.norm = nn.BatchNorm2d(n_out)
        self.dropout = Dropout(dropout, spatial=True)

    def forward(self, x_BC1T: Tensor) -> Tensor:
        """Half the length of `x_BC1T`, `n_out` channels."""
        if not self.symmetric:
            x_BC1T = F.pad(x_BC1T, self.padding)
        x_BC1T = F.max_pool2d(self.norm(self.convolution(x_BC1T)), (1, 2))
        return torch.as_tensor(self.dropout(F.relu(x_BC1T)))


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
            x_BTC, _ = layer(x_BTC)
        return x_BTC


class FeatureGate(nn.Module):
    """Feature-wise reweighting of the pooled vector: x · sigmoid(W₂ ReLU(W₁ x)) (Jafari & Jafari, 2.10)."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        squeezed = space.gate_width(width, reduction)
        self.squeeze = nn.Linear(width, squeezed)
        self.excite = nn.Linear(squeezed, width)

    def forward(self, x_BC: Tensor) -> Tensor:
        """`x_BC` with every feature scaled by a weight in (0, 1)."""
        return x_BC * torch.sigmoid(self.excite(F.relu(self.squeeze(x_BC))))


class DenseBlock(nn.Module):
    """Dense layer, ReLU, batch norm and dropout, in the order of Table 1."""

    def __init__(self, n_in: int, n_out: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(n_in, n_out)
        self.norm = nn.BatchNorm1d(n_out)
        self.dropout = Dropout(dropout)

    def forward(self, x_BC: Tensor) -> Tensor:
        """`n_out` features."""
        return torch.as_tensor(self.dropout(self.norm(F.relu(self.dense(x_BC)))))
