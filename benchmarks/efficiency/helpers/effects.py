"""Simulated effects of architectures on the final score and on the speed of learning.

Widths saturate, layers help less one after another, some effects depend on others, and every architecture
has something of its own that nothing explains. All sizes are in macro-AUPRC.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

import space

Floats = NDArray[np.float64]

OWN_SD = 0.002
"""Standard deviation of the part of a score that is specific to one architecture."""
_BASE = 0.40
_WIDTHS = {"conv": (16, 64), "head": (64, 512), "hidden": (32, 128)}
"""Smallest and largest width of every axis."""


class Effects:
    """Effects of every axis, drawn once for a world.

    Args:
        generator: draws them.
        tiers: label tiers of PTB-XL.
    """

    def __init__(self, generator: np.random.Generator, tiers: Sequence[str]) -> None:
        draw = generator
        self._widths = {axis: (draw.uniform(0.005, 0.03), draw.uniform(0.7, 2.5)) for axis in _WIDTHS}
        self._layer = [draw.uniform(0, 0.025), draw.uniform(-0.006, 0.008), draw.uniform(-0.01, 0.004)]
        self._bidirectional, self._lstm = draw.uniform(-0.002, 0.009, 3), draw.normal(0, 0.004, 3)
        self._gate = {0: 0.0, 16: draw.normal(0.002, 0.004), 4: draw.normal(0.002, 0.004)}
        self._gate_with_layers = draw.normal(0, 0.006)
        self._loss = {"bce": 0.0, "focal": draw.normal(-0.003, 0.005)}
        self._best_exponent, self._weighting = draw.uniform(0.1, 0.8), draw.uniform(0.002, 0.015)
        self._cap = draw.normal(0, 0.003)
        self._tier = {name: draw.normal(0, 0.005) for name in tiers}
        self._smoothing = {0.0: 0.0, 0.05: draw.normal(0.001, 0.002), 0.1: draw.normal(0, 0.004)}
        self._by_depth = draw.normal(0, 0.003, (4, 3))
        self._slow_layer = draw.uniform(0.15, 0.45)
        self._generator = generator

    def score(self, architectures: Sequence[space.Architecture]) -> Floats:
        """True score of every architecture. Shape (N,)."""
        explained_N = self.explained(architectures)
        return explained_N + self._generator.normal(0, OWN_SD, len(explained_N))

    def explained(self, architectures: Sequence[space.Architecture]) -> Floats:
        """True scores without the part that is specific to one architecture. Shape (N,)."""
        explained = [
            _BASE
            + self._of_convolutions(each)
            + self._of_layers(each)
            + self._of_training(each)
            + self._tier[each.label_tier]
            for each in architectures
        ]
        return np.array(explained)

    def slowness(self, architectures: Sequence[space.Architecture]) -> Floats:
        """Slowness of learning: 0 for the fastest, in units of the logarithm of the rate. Shape (N,)."""
        return np.array([self._slow_layer * len(each.recurrent) for each in architectures])

    def _saturating(self, axis: str, value: int) -> float:
        gain, bend = self._widths[axis]
        low, high = _WIDTHS[axis]
        return float(gain * (1 - math.exp(-2 * bend * math.log(value / low) / math.log(high / low))))

    def _of_convolutions(self, a: space.Architecture) -> float:
        score = self._saturating("conv", a.conv_width) + self._saturating("head", a.head_width or 0)
        return score + self._gate[a.gate] + self._gate_with_layers * (a.gate > 0 and bool(a.recurrent))

    def _of_layers(self, a: space.Architecture) -> float:
        if not a.recurrent:
            return 0.0
        depth, score = len(a.recurrent), 0.0
        for position, each in enumerate(a.recurrent):
            score += self._layer[position] * (1 - 0.2 * math.log2(a.conv_width / 16))
            score += self._bidirectional[position] * each.bidirectional
            score += self._lstm[position] * (each.cell == "lstm")
        score += self._saturating("hidden", a.hidden_size or 32) * (0.6 + 0.2 * depth)
        score += self._by_depth[depth, 0] * (a.recurrent[-1].cell == "gru")
        return float(score + self._by_depth[depth, 1] * a.recurrent[0].bidirectional)

    def _of_training(self, a: space.Architecture) -> float:
        if a.loss == "power":
            off = (a.exponent or 0) - self._best_exponent
            score = self._weighting * (1 - off**2 / 0.25) + self._cap * (a.cap == 10)
        else:
            score = self._loss[a.loss]
        score += self._by_depth[len(a.recurrent), 2] * (a.loss != "bce")
        return float(score + self._smoothing[a.label_smoothing] * (-1 if a.loss == "focal" else 1))
