"""Modules of the layers that `search.models.frontends.layers` describes, and of the parts behind a front end.

Shapes: B batch, C channel, T time. Signals run through a front end as images of height one, `x_BC1T` in
channels-last layout: oneDNN and cuDNN have their fastest kernels there, and the recurrent layers then read
`x_BTC` without a copy.

Axes are counted from behind where a module only puts others together, for a fold axis may lead them all
(`search.models.folded`).
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import search.models.frontends.layers as described
from search.models.parameters import attention_width


def full_precision(x: Tensor) -> Tensor:
    """Convert to float32 at least: averages over time, and their weights, are not computed in bfloat16."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


_KEPT_FROM_AUTOCAST = frozenset({"cuda"})
"""Devices on which `without_autocast` makes a difference. A CPU has an LSTM of its own in bfloat16."""


def without_autocast(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`function(x)`, on a GPU in full precision: what suffers from rounding and costs little."""
    if x.device.type not in _KEPT_FROM_AUTOCAST:
        return function(x)
    with torch.autocast(x.device.type, enabled=False):
        return function(full_precision(x))


def channels_last(x_BC1T: Tensor) -> Tensor:
    """The same image with its channels side by side in memory; with a fold axis, those of all folds."""
    if x_BC1T.dim() == 4:
        return x_BC1T.contiguous(memory_format=torch.channels_last)
    return x_BC1T.permute(1, 3, 4, 0, 2).contiguous().permute(3, 0, 4, 1, 2)


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
        kept = x.new_empty(self.mask_shape(x))
        return x * kept.bernoulli_(1 - self.rate, generator=self.generator).div_(1 - self.rate)

    def mask_shape(self, x: Tensor) -> list[int]:
        """Shape of what is drawn for `x`."""
        shape = list(x.shape)
        if self.spatial:
            time_axis = 3 if x.dim() == 4 else 1
            shape[time_axis] = 1
        return shape


class Convolution(nn.Conv2d):
    """Convolution over time of `x_BC1T` that keeps ⌈T / stride⌉ samples.

    An even kernel pads one sample more behind than before, as Keras and TensorFlow do.
    """

    def __init__(self, layer: described.Convolution) -> None:
        before = layer.dilation * (layer.kernel - 1) // 2
        behind = layer.dilation * (layer.kernel - 1) - before
        super().__init__(
            layer.n_in,
            layer.n_out,
            (1, layer.kernel),
            stride=(1, layer.stride),
            padding=(0, before) if before == behind else 0,
            dilation=(1, layer.dilation),
            groups=layer.groups,
            bias=layer.bias,
        )
        self.uneven = () if before == behind else (before, behind)

    def forward(self, x_BC1T: Tensor) -> Tensor:
        """Convolve."""
        return super().forward(F.pad(x_BC1T, self.uneven) if self.uneven else x_BC1T)


class PairMaximum(torch.autograd.Function):
    """The maximum of every two samples, four times as fast on a CPU as PyTorch's pooling, to the last bit.

    PyTorch writes an eight-byte index for every value of two bytes, and reads it to go back. Which of two
    values was the larger is known from their difference as well, and of two equal ones the first counts.
    """

    @staticmethod
    def forward(ctx: Any, x_BC1T: Tensor) -> Tensor:
        """Maxima; an odd sample at the end is left out."""
        ctx.save_for_backward(x_BC1T)
        return torch.maximum(*_pairs(x_BC1T))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """The gradient of each maximum, for the sample that it is."""
        (x_BC1T,) = ctx.saved_tensors
        (gradient,) = gradients
        # Copied out and in: arithmetic on every second sample of few channels is not vectorised.
        first, second = (part.contiguous(memory_format=torch.channels_last) for part in _pairs(x_BC1T))
        # The backward pass of ReLU: the gradient where the difference is positive.
        to_second = torch.ops.aten.threshold_backward(gradient, second - first, 0)
        passed_back = torch.empty_like(x_BC1T)
        passed_back[..., 2 * first.shape[-1] :] = 0
        for part, values in zip(_pairs(passed_back), (gradient - to_second, to_second), strict=True):
            part.copy_(values)
        return passed_back


def _pairs(x_BC1T: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the second sample of every two."""
    n_samples = x_BC1T.shape[-1] // 2 * 2
    return x_BC1T[..., 0:n_samples:2], x_BC1T[..., 1:n_samples:2]


class Pool(nn.Module):
    """Maximum or mean over windows of time."""

    def __init__(self, layer: described.Pool) -> None:
        super().__init__()
        self.function = F.max_pool2d if layer.kind == "max" else F.avg_pool2d
        self.kernel, self.stride = layer.kernel, layer.stride
        self.padding = (layer.kernel - 1) // 2 if layer.padded else 0
        # An even window cannot be padded evenly: what is left behind makes a shorter window.
        self.ceil_mode = layer.padded and layer.kernel % 2 == 0

    def forward(self, x_BC1T: Tensor) -> Tensor:
        """Pool."""
        is_pairs = self.function is F.max_pool2d and self.kernel == self.stride == 2 and not self.ceil_mode
        if is_pairs and x_BC1T.device.type == "cpu":
            return torch.as_tensor(PairMaximum.apply(x_BC1T))  # type: ignore[no-untyped-call]
        return self.function(
            x_BC1T, (1, self.kernel), (1, self.stride), (0, self.padding), ceil_mode=self.ceil_mode
        )


class SqueezeExcitation(nn.Module):
    """Channels scaled by a weight in (0, 1) that follows from all their means over time (Hu et al. 2018)."""

    def __init__(self, layer: described.SqueezeExcitation) -> None:
        super().__init__()
        self.gate = FeatureGate(layer.width, layer.reduction)

    def forward(self, x_BC1T: Tensor) -> Tensor:
        """Scale the channels."""
        return x_BC1T * self.gate.weights(x_BC1T.mean(dim=(-2, -1)))[..., None, None]


class Residual(nn.Module):
    """The sum of two paths."""

    def __init__(self, path: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.path = path
        self.shortcut = shortcut

    def forward(self, x_BC1T: Tensor) -> Tensor:
        """Both paths, added."""
        return torch.as_tensor(self.path(x_BC1T) + self.shortcut(x_BC1T))


class Branches(nn.Module):
    """Paths side by side, their channels one behind the other."""

    def __init__(self, paths: list[nn.Module]) -> None:
        super().__init__()
        self.paths = nn.ModuleList(paths)

    def forward(self, x_BC1T: Tensor) -> Tensor:
        """All paths, concatenated."""
        return torch.cat([path(x_BC1T) for path in self.paths], dim=-3)


class Output(nn.Linear):
    """The last dense layer. In bfloat16 its logits would have ties, which cost average precision."""

    def forward(self, x_BC: Tensor) -> Tensor:
        """Logits."""
        return without_autocast(super().forward, x_BC)


class FeatureGate(nn.Module):
    """Feature-wise reweighting of a vector: x · sigmoid(W₂ ReLU(W₁ x)) (Jafari & Jafari, 2.10)."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        squeezed = described.squeezed_width(width, reduction)
        self.squeeze = nn.Linear(width, squeezed)
        self.excite = nn.Linear(squeezed, width)

    @torch.no_grad()
    def initialise_last(self, generator: torch.Generator) -> None:
        """Make every second hidden unit the opposite of the one before it; each keeps He's distribution.

        Pooled features differ little between records at first, so that a unit is on or off for all of them.
        Of two independent units, the narrowest gate of the wide space, both were off in one model of twenty,
        and a gate that is off gets no gradient; of two opposite units one is always on.
        """
        n_pairs = self.squeeze.out_features // 2
        self.squeeze.weight[1::2] = -self.squeeze.weight[0 : 2 * n_pairs : 2]

    def weights(self, x_BC: Tensor) -> Tensor:
        """A weight in (0, 1) for every feature."""
        return torch.sigmoid(self.excite(F.relu(self.squeeze(x_BC))))

    def forward(self, x_BC: Tensor) -> Tensor:
        """`x_BC` with every feature scaled by its weight."""
        return x_BC * self.weights(x_BC)


class MeanPooling(nn.Module):
    """The mean over time."""

    def forward(self, x_BTC: Tensor) -> Tensor:
        """`x_BC`."""
        return x_BTC.mean(dim=-2)


class MeanMaxPooling(nn.Module):
    """Mean and maximum over time side by side (Howard & Gugger 2020, concat pooling)."""

    def forward(self, x_BTC: Tensor) -> Tensor:
        """`x_BC` with twice the features."""
        return torch.cat([x_BTC.mean(dim=-2), x_BTC.amax(dim=-2)], dim=-1)


class LastMeanMaxPooling(nn.Module):
    """The last state of each direction, mean and maximum over time side by side (Howard & Ruder 2018, 3.3).

    The direction backwards ends with the first time step, whose state alone depends on the whole signal.

    Args:
        n_backwards: features of the direction backwards, behind those of the other one.
    """

    def __init__(self, n_backwards: int) -> None:
        super().__init__()
        self.n_backwards = n_backwards

    def forward(self, x_BTC: Tensor) -> Tensor:
        """`x_BC` with three times the features."""
        n_forwards = x_BTC.shape[-1] - self.n_backwards
        ends = [x_BTC[..., -1, :n_forwards], x_BTC[..., 0, n_forwards:]]
        return torch.cat([*ends, x_BTC.mean(dim=-2), x_BTC.amax(dim=-2)], dim=-1)


class AttentionPooling(nn.Module):
    """A mean over time weighted by softmax attention, Σ_t α_t x_t with α = softmax(v · tanh(W x_t + b)).

    The alignment with a learned context vector v of Yang et al. 2016, equations 5 to 7.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = attention_width(width)
        self.alignment = nn.Linear(width, hidden)
        self.context = nn.Linear(hidden, 1, bias=False)

    def weights(self, x_BTC: Tensor) -> Tensor:
        """Attention `a_BT`, positive and of sum one over time."""
        return torch.softmax(self.context(torch.tanh(self.alignment(x_BTC))).squeeze(-1), dim=-1)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """`x_BC`."""
        return torch.einsum("...t,...tc->...c", self.weights(x_BTC), x_BTC)


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
