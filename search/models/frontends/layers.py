"""Layers of a convolutional front end as plain descriptions, free of torch.

From one description come both the trainable parameters, in closed form, and the module that is trained
(`search.models.build`). Signals are images of height one, C channels by T samples.

A layer's `cost(width, length)` is its cost on `width` channels of `length` samples. One
without that method is measured on its module (`search.models.measured`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from space import CELLS, Cost, RecurrentLayer


class Layer(Protocol):
    """A step of a front end."""

    @property
    def n_parameters(self) -> int:
        """Trainable parameters."""

    def width_after(self, width: int) -> int:
        """Channels that leave the layer when `width` enter it."""

    def length_after(self, length: int) -> int:
        """Samples that leave the layer when `length` enter it."""


Layers = tuple[Layer, ...]


def n_parameters(layers: Iterable[Layer]) -> int:
    """Trainable parameters of layers one after another."""
    return sum(layer.n_parameters for layer in layers)


def width_after(layers: Iterable[Layer], width: int) -> int:
    """Channels that leave layers one after another."""
    for layer in layers:
        width = layer.width_after(width)
    return width


def length_after(layers: Iterable[Layer], length: int) -> int:
    """Samples that leave layers one after another; none or fewer if the signal is too short for them."""
    for layer in layers:
        length = layer.length_after(length)
    return length


@dataclass(frozen=True, slots=True)
class _Keeping:
    """A layer without parameters that changes neither channels nor length."""

    @property
    def n_parameters(self) -> int:
        return 0

    def width_after(self, width: int) -> int:
        return width

    def length_after(self, length: int) -> int:
        return length


@dataclass(frozen=True, slots=True)
class Convolution:
    """Convolution over time with 'same' padding; an even kernel pads one sample more behind, as in Keras.

    With groups, channels that leave see those that enter of their own group alone: as many groups as channels
    make it depthwise.
    """

    n_in: int
    n_out: int
    kernel: int
    stride: int = 1
    bias: bool = False
    dilation: int = 1
    groups: int = 1

    @property
    def n_parameters(self) -> int:
        return self._n_weights + self.bias * self.n_out

    @property
    def _n_weights(self) -> int:
        return self.n_in // self.groups * self.kernel * self.n_out

    def width_after(self, width: int) -> int:
        return self.n_out

    def length_after(self, length: int) -> int:
        return -(-length // self.stride)

    def cost(self, width: int, length: int) -> Cost:
        """A product for every weight and sample that leaves."""
        macs = self._n_weights * self.length_after(length)
        return Cost(macs=macs, vectors=self.bias * self.n_out, operator="conv")


@dataclass(frozen=True, slots=True)
class BatchNorm(_Keeping):
    """Batch norm with a scale and a shift per channel."""

    width: int

    @property
    def n_parameters(self) -> int:
        return 2 * self.width

    def cost(self, width: int, length: int) -> Cost:
        """Nothing but its two vectors: it is merged into the layer before or behind it."""
        return Cost(macs=0, vectors=2 * self.width, in_place=True)


@dataclass(frozen=True, slots=True)
class Relu(_Keeping):
    """Rectified linear unit."""

    def cost(self, width: int, length: int) -> Cost:
        """No product."""
        return Cost(macs=0, in_place=True)


@dataclass(frozen=True, slots=True)
class SpatialDropout(_Keeping):
    """Dropout of whole channels."""

    rate: float

    def cost(self, width: int, length: int) -> Cost:
        """Nothing outside training."""
        return Cost(macs=0, in_place=True)


@dataclass(frozen=True, slots=True)
class Pool(_Keeping):
    """Pooling over time; `padded` keeps ⌈T / stride⌉ samples, else what does not fill a window is cut."""

    kind: Literal["max", "mean"]
    kernel: int
    stride: int
    padded: bool = False

    def length_after(self, length: int) -> int:
        return -(-length // self.stride) if self.padded else (length - self.kernel) // self.stride + 1

    def cost(self, width: int, length: int) -> Cost:
        """No product."""
        return Cost(macs=0, operator="pool")


@dataclass(frozen=True, slots=True)
class SqueezeExcitation(_Keeping):
    """Channels reweighted by their means: mean → dense → ReLU → dense → sigmoid (Hu et al. 2018)."""

    width: int
    reduction: int

    @property
    def n_parameters(self) -> int:
        squeezed = squeezed_width(self.width, self.reduction)
        return 2 * self.width * squeezed + squeezed + self.width

    def cost(self, width: int, length: int) -> Cost:
        """Two dense layers on the means."""
        squeezed = squeezed_width(self.width, self.reduction)
        return Cost(
            macs=2 * self.width * squeezed,
            vectors=squeezed + self.width,
            working=self.width + squeezed,
            in_place=True,
        )


def squeezed_width(width: int, reduction: int) -> int:
    """Hidden units of a gate on `width` channels or features."""
    return max(1, width // reduction)


@dataclass(frozen=True, slots=True)
class Residual:
    """The sum of two paths; a shortcut without layers is the input itself."""

    path: Layers
    shortcut: Layers = ()

    @property
    def n_parameters(self) -> int:
        return n_parameters(self.path) + n_parameters(self.shortcut)

    def width_after(self, width: int) -> int:
        return width_after(self.path, width)

    def length_after(self, length: int) -> int:
        return length_after(self.path, length)


@dataclass(frozen=True, slots=True)
class Branches:
    """Paths side by side, their channels one behind the other."""

    paths: tuple[Layers, ...]

    @property
    def n_parameters(self) -> int:
        return sum(n_parameters(path) for path in self.paths)

    def width_after(self, width: int) -> int:
        return sum(width_after(path, width) for path in self.paths)

    def length_after(self, length: int) -> int:
        return length_after(self.paths[0], length)


@dataclass(frozen=True, slots=True)
class Positions(_Keeping):
    """Sines and cosines of the position added to every channel (Vaswani et al. 2017, section 3.5)."""

    def cost(self, width: int, length: int) -> Cost:
        """A sum with constants."""
        return Cost(macs=0, in_place=True)


@dataclass(frozen=True, slots=True)
class TransformerLayer(_Keeping):
    """Self-attention and feed-forward, each normalised before and added to its input (Xiong et al. 2020).

    With a window, a time step attends to those of its own window alone (Liu et al. 2021, "Swin Transformer",
    section 3.2). Windows lie side by side from the start, or `shift` steps later; positions of the first and
    the last window beyond the signal have keys and values of zero.
    """

    width: int
    n_heads: int
    feedforward: int
    dropout: float
    window: int = 0
    """Time steps of a window; 0 for the whole signal."""
    shift: int = 0
    """Time steps of the signal before the first window that is full."""

    @property
    def n_parameters(self) -> int:
        attention = 4 * self.width * self.width + 4 * self.width
        feedforward = 2 * self.width * self.feedforward + self.feedforward + self.width
        return attention + feedforward + 4 * self.width

    def padding(self, length: int) -> tuple[int, int]:
        """Time steps that fill the first and the last window of `length` ones."""
        if not self.window:
            return 0, 0
        before = -self.shift % self.window
        return before, -(before + length) % self.window

    def cost(self, width: int, length: int) -> Cost:
        """Four dense layers of attention, two of the feed-forward; every time step compared with every other
        of its window.

        Most is in memory when the weights of all heads meet the values: norm or mixture, queries, keys and
        values, weights; with few heads and small windows, while windows are filled.
        """
        dense = 4 * self.width * self.width + 2 * self.width * self.feedforward
        padded = length + sum(self.padding(length))
        span = self.window or length
        attending = 4 * self.width * padded + self.n_heads * padded * span
        filling = 3 * self.width * (length + padded) if padded > length else 0
        return Cost(
            macs=dense * length + 2 * padded * span * self.width,
            vectors=9 * self.width + self.feedforward,
            working=max(attending, filling, length * (self.width + self.feedforward)),
            in_place=True,
            operator="attention",
        )


def heads_of(width: int, most: int) -> int:
    """Largest number of attention heads, at most `most`, that share `width` channels evenly."""
    return next(heads for heads in range(most, 0, -1) if width % heads == 0)


@dataclass(frozen=True, slots=True)
class StateSpaceLayer(_Keeping):
    """A bidirectional diagonal state-space layer, S4D (Gu et al. 2022), in a residual block.

    Convolution with the kernels of `width` systems of `n_states` states (complex pairs, so half of them are
    kept) in each direction of time, GELU, dropout, a dense layer with gated linear units, the input added,
    layer norm.
    """

    width: int
    n_states: int
    dropout: float

    @property
    def n_parameters(self) -> int:
        # Per channel: time step and feed-through; decay and frequency of every pair; two real numbers for
        # each pair and direction.
        system = 2 + 2 * self.n_pairs + 4 * self.n_pairs
        mixing = 2 * self.width * self.width + 2 * self.width
        return system * self.width + mixing + 2 * self.width

    @property
    def n_pairs(self) -> int:
        """Complex-conjugate pairs of states."""
        return self.n_states // 2

    def cost(self, width: int, length: int) -> Cost:
        """Kernels, their convolution with the signal by Fourier transforms, and the dense layer.

        The kernels at T ≤ I · J times are a matrix product (`search.models.state_space`). Signal and kernel
        are transformed on a circle of N = 2 T samples, and their product, of T + 1 complex numbers, back.
        Most is in memory with the kernel and both spectra or, where the signal is short, while the factors
        of the matrix product are made. What the systems consist of stays in fp32 at int8.
        """
        n_near = math.isqrt(length - 1) + 1
        n_far = -(-length // n_near)
        circle = 2 * length
        kernels = 2 * n_far * 2 * self.n_pairs * n_near
        transforms = 3 * fourier_macs(circle) + 4 * (length + 1)
        system = 2 + 6 * self.n_pairs
        working = max(circle + 2 * (circle + 2), self.n_pairs * (10 * n_far + 2 * n_near))
        return Cost(
            macs=self.width * (kernels + transforms + 2 * self.width * length),
            vectors=(system + 4) * self.width,
            working=self.width * working,
            in_place=True,
            operator="fft",
        )


@dataclass(frozen=True, slots=True)
class Recurrent:
    """A recurrent layer; the hidden states of its directions are channels one behind the other.

    The cost follows from the cell, as that of a layer behind a front end (`search.models.costs`).
    """

    n_in: int
    hidden: int
    """Units per direction."""
    layer: RecurrentLayer

    @property
    def n_parameters(self) -> int:
        return self.layer.n_directions * CELLS[self.layer.cell].parameters(self.n_in, self.hidden)

    def width_after(self, width: int) -> int:
        return self.layer.n_directions * self.hidden

    def length_after(self, length: int) -> int:
        return length


@dataclass(frozen=True, slots=True)
class MinGruLayer(_Keeping):
    """Layer norm, minGRU in each direction of time, a dense layer on both, added to the input.

    Feng et al. 2024, "Were RNNs all we needed?", section 3.1, with as many hidden units as channels.
    """

    width: int
    dropout: float

    @property
    def n_parameters(self) -> int:
        # Gates and candidates of both directions, the layer on both, and the norm.
        return 4 * (self.width * self.width + self.width) + (2 * self.width + 1) * self.width + 2 * self.width

    def cost(self, width: int, length: int) -> Cost:
        """Dense layers at every time step; the recurrence itself has sums and products of single values.

        Most is in memory when gates, candidates and the positive part of these meet, beside the input.
        """
        return Cost(
            macs=6 * self.width * self.width * length,
            vectors=7 * self.width,
            working=6 * self.width * length,
            in_place=True,
            operator="scan",
        )


def fourier_macs(n: int) -> int:
    """Multiply–accumulates of a Fourier transform of n real numbers: 5/4 · n · log2 n.

    Half of the 5/2 · n · log2 n operations by which such transforms are usually compared (Frigo & Johnson
    2005, "The design and implementation of FFTW3", section III.A).
    """
    return round(1.25 * n * math.log2(n))
