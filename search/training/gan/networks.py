"""Generator and critic of the GAN that draws records of rare classes.

Both are small stacks of strided convolutions (Donahue et al. 2019, "Adversarial audio synthesis", WaveGAN)
for signals of any length; the generator of long signals has a train of beats besides. Neither normalises over
the batch: the gradient penalty is a statement about single records (Gulrajani et al. 2017, section 4, "No
critic batch normalization").

Shapes: B batch, K independent lead, T time, Z noise, C class, F feature, H harmonic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 4
"""Factor between the lengths of successive layers, as in WaveGAN."""
SHORTEST = 16
"""About as many samples as the innermost layer works on."""
NARROWEST = 8
"""Channels of the outermost layer, at least."""
FIRST_AMPLITUDE = 0.1
"""Amplitude of an untrained generator, in standard deviations, about."""
N_HARMONICS = 20
"""Harmonics of a beat; at 72 beats a minute they reach to 24 Hz, beyond most of a QRS complex."""
FADING = 12
"""Harmonics over which the first weights fall to 1/e: a beat is smooth before it is sharp."""
BEATS_PER_S = 1.2
"""Pace about which beats are drawn."""
PACE_SPREAD = 0.2
"""Standard deviation of the logarithm of the pace."""
SHORTEST_TRAIN_S = 2.0
"""Shorter signals are single beats, which lie at a fixed place."""
_N_HIDDEN = 128
_SLOPE = 0.2
"""Slope of the leaky ReLU below zero."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Shape of the generated records."""

    n_leads: int
    """Independent leads."""
    n_samples: int
    rate_hz: float
    n_classes: int
    """Classes of the tier."""


class Generator(nn.Module):
    """Noise and the wanted classes to a standardised signal.

    The classes enter at the beginning and scale and shift the features of every layer (de Vries et al. 2017,
    "Modulating early visual processing by language").

    Args:
        shape: shape of the signals.
        width: channels of the innermost layer; each layer further out has half as many.
        n_noise: length of the noise.
    """

    def __init__(self, shape: Shape, *, width: int, n_noise: int) -> None:
        super().__init__()
        channels = _channels(shape.n_samples, width)
        self._n_samples = shape.n_samples
        self._inner = (channels[0], -(-shape.n_samples // STRIDE ** len(channels)))
        self._entry = nn.Linear(n_noise + shape.n_classes, math.prod(self._inner))
        self._modulations = nn.ModuleList(nn.Linear(shape.n_classes, 2 * n) for n in channels)
        self._convolutions = nn.ModuleList(
            nn.ConvTranspose1d(n_in, n_out, 2 * STRIDE, stride=STRIDE, padding=STRIDE // 2)
            for n_in, n_out in pairwise([*channels, channels[-1]])
        )
        self._output = nn.Conv1d(channels[-1], shape.n_leads, 7, padding=3)
        is_long = shape.n_samples >= SHORTEST_TRAIN_S * shape.rate_hz
        self._beats = BeatTrain(shape, n_noise=n_noise) if is_long else None

    def forward(self, z_BZ: Tensor, y_BC: Tensor) -> Tensor:
        """Signals `x_BKT` in standard deviations."""
        x_BFT = self._entry(torch.cat([z_BZ, y_BC], dim=1)).unflatten(1, self._inner)
        for modulation, convolution in zip(self._modulations, self._convolutions, strict=True):
            scale_BF, shift_BF = modulation(y_BC).chunk(2, dim=1)
            x_BFT = x_BFT * (1 + scale_BF[:, :, None]) + shift_BF[:, :, None]
            x_BFT = F.leaky_relu(convolution(F.leaky_relu(x_BFT, _SLOPE)), _SLOPE)
        x_BKT = torch.as_tensor(self._output(x_BFT)[:, :, : self._n_samples])
        return x_BKT if self._beats is None else x_BKT + self._beats(z_BZ, y_BC)

    def outputs(self) -> list[nn.Module]:
        """The last layers, whose sum is the signal."""
        return [self._output] if self._beats is None else [self._output, self._beats.output]


class BeatTrain(nn.Module):
    """Periodic repetition of one beat: a Fourier series in the phase of the heart cycle.

    Convolutions alone need far longer to learn that one beat is like the next. The idea of a cycle that is
    run through at the pace of the heart is that of McSharry et al. 2003, "A dynamical model for generating
    synthetic electrocardiogram signals"; here the GAN learns the shape of the cycle. Its rate is constant;
    the convolutions add irregularities.

    Args:
        shape: shape of the signals.
        n_noise: length of the noise; the first two numbers are the moment of the first beat and the pace.
    """

    def __init__(self, shape: Shape, *, n_noise: int) -> None:
        super().__init__()
        self._shape = shape
        self._hidden = nn.Sequential(
            nn.Linear(n_noise + shape.n_classes, _N_HIDDEN),
            nn.LeakyReLU(_SLOPE),
            nn.Linear(_N_HIDDEN, _N_HIDDEN),
            nn.LeakyReLU(_SLOPE),
        )
        self._pace = nn.Linear(_N_HIDDEN, 1)
        self.output = nn.Linear(_N_HIDDEN, shape.n_leads * 2 * N_HARMONICS)

    def forward(self, z_BZ: Tensor, y_BC: Tensor) -> Tensor:
        """Signals `x_BKT` in standard deviations."""
        h_BF = self._hidden(torch.cat([z_BZ, y_BC], dim=1))
        pace_B1 = BEATS_PER_S * torch.exp(PACE_SPREAD * (z_BZ[:, 1:2] + torch.tanh(self._pace(h_BF))))
        time_T = torch.arange(self._shape.n_samples, device=z_BZ.device) / self._shape.rate_hz
        # A normal number with a standard deviation of three cycles lies anywhere within its cycle.
        cycle_BT = pace_B1 * time_T + 3 * z_BZ[:, :1]
        harmonic_H = torch.arange(1, N_HARMONICS + 1, device=z_BZ.device)
        angle_BHT = 2 * math.pi * cycle_BT[:, None] * harmonic_H[:, None]
        weight_BKH = self.output(h_BF).unflatten(1, (self._shape.n_leads, 2 * N_HARMONICS))
        weight_BKH = weight_BKH * torch.exp(-harmonic_H / FADING).repeat(2)
        return torch.as_tensor(weight_BKH @ torch.cat([angle_BHT.cos(), angle_BHT.sin()], dim=1))


class Critic(nn.Module):
    """Critic: a value that is higher for more realistic signals with these classes, and class logits.

    The classes enter by an inner product with the features (Miyato & Koyama 2018, "cGANs with projection
    discriminator", equation 3). The additional classifier makes the generator use the classes early.

    Args:
        shape: shape of the signals.
        width: channels of the innermost layer; each layer further out has half as many.
    """

    def __init__(self, shape: Shape, *, width: int) -> None:
        super().__init__()
        channels = _channels(shape.n_samples, width)
        n_inner = -(-shape.n_samples // STRIDE ** len(channels))
        self._padding = n_inner * STRIDE ** len(channels) - shape.n_samples
        self._convolutions = nn.ModuleList(
            nn.Conv1d(n_in, n_out, 2 * STRIDE + 1, stride=STRIDE, padding=STRIDE)
            for n_in, n_out in pairwise([shape.n_leads, *reversed(channels)])
        )
        self._dense = nn.Linear(channels[0] * n_inner, width)
        self._exit = nn.Linear(width, 1)
        self._projection = nn.Linear(shape.n_classes, width, bias=False)
        self._classes = nn.Linear(width, shape.n_classes)

    def forward(self, x_BKT: Tensor, y_BC: Tensor) -> tuple[Tensor, Tensor]:
        """Critic values of each record, shape (B,), and logits of its classes, shape (B, C)."""
        x_BFT = F.pad(x_BKT, (0, self._padding))
        for convolution in self._convolutions:
            x_BFT = F.leaky_relu(convolution(x_BFT), _SLOPE)
        h_BF = F.leaky_relu(self._dense(x_BFT.flatten(1)), _SLOPE)
        real_B = self._exit(h_BF).squeeze(1) + (self._projection(y_BC) * h_BF).sum(dim=1)
        return real_B, self._classes(h_BF)


def initialise(network: Generator | Critic, generator: torch.Generator) -> None:
    """Give a network built on the device `meta` its storage and its first weights.

    Args:
        network: built without storage, since PyTorch's own initialisation draws from the global generator.
        generator: the only source of the weights; the network lands on its device.
    """
    network.to_empty(device=generator.device)
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.ConvTranspose1d)):
            is_transposed = isinstance(module, nn.ConvTranspose1d)
            nn.init.kaiming_normal_(
                module.weight,
                a=_SLOPE,
                mode="fan_out" if is_transposed else "fan_in",  # a transposed weight has the inputs first
                generator=generator,
            )
            if is_transposed:
                # An output sample hears one in STRIDE of the weights that He's formula counts.
                module.weight.data.mul_(math.sqrt(STRIDE))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if isinstance(network, Generator):
        # The output of random weights is noise; with a small amplitude the first waves are learned faster.
        for output in network.outputs():
            assert isinstance(output.weight, nn.Parameter)
            output.weight.data.mul_(FIRST_AMPLITUDE)


def _channels(n_samples: int, width: int) -> list[int]:
    """Channels of every layer, from the innermost outwards."""
    n_layers = max(1, round(math.log(n_samples / SHORTEST, STRIDE)))
    return [max(NARROWEST, width // 2**layer) for layer in range(n_layers)]
