"""Front ends: what turns the leads into features over time, before any recurrent layer.

A new one is a file in this folder with a function `layers` and one line in `BACKBONES`. Its parameter count,
its model, its axes in the space `full`, and its place in the sampler follow from these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from space.backbones import (
    cnn,
    cnn_transformer,
    fcn_wang,
    inception1d,
    resnet1d_se,
    resnet1d_wang,
    s4d,
    xresnet1d,
)
from space.layers import Layers


class MakeLayers(Protocol):
    """From leads and first width in channels to layers; `kernel` is None where a front end has no choice."""

    def __call__(self, n_leads: int, width: int, kernel: int | None) -> Layers:
        """The layers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backbone:
    """A front end of the space."""

    words: str
    """Its name in sentences and figures."""
    source: str
    """Where it comes from."""
    layers: MakeLayers
    width: int
    """Channels of its first layer as published; `Architecture.width` scales them and all that follow."""
    kernels: tuple[int, ...] = ()
    """Kernels of its blocks that can be searched, the usual one first; empty if they are fixed."""
    frozen: bool = False
    """Whether it stays as it was drawn, so that only what follows it is trained."""


BACKBONES: dict[str, Backbone] = {
    "cnn": Backbone(words="CNN", source="Jafari & Jafari, Table 1", layers=cnn.layers, width=64),
    "resnet1d-se": Backbone(
        words="ResNet1D-SE",
        source="Ichli 2025, section 3.3",
        layers=resnet1d_se.layers,
        width=64,
        kernels=(3, 5, 7, 15),
    ),
    "cnn-transformer": Backbone(
        words="CNN-Transformer",
        source="HC-CNN-TN, section 3.2",
        layers=cnn_transformer.layers,
        width=64,
    ),
    "fcn-wang": Backbone(words="FCN", source="Wang et al. 2017", layers=fcn_wang.layers, width=128),
    "resnet1d-wang": Backbone(
        words="ResNet1D-Wang", source="Wang et al. 2017", layers=resnet1d_wang.layers, width=128
    ),
    "inception1d": Backbone(
        words="InceptionTime", source="Ismail Fawaz et al. 2020", layers=inception1d.layers, width=32
    ),
    "xresnet1d50": Backbone(
        words="xResNet1D-50", source="He et al. 2019", layers=xresnet1d.layers_50, width=64
    ),
    "xresnet1d101": Backbone(
        words="xResNet1D-101", source="He et al. 2019", layers=xresnet1d.layers_101, width=64
    ),
    "s4d": Backbone(
        words="S4D", source="Gu et al. 2022; Mehari & Strodthoff 2023", layers=s4d.layers, width=512
    ),
    "random-encoder": Backbone(
        words="random ResNet1D-18",
        source="arXiv 2602.17531",
        layers=resnet1d_se.layers_without_gates,
        width=64,
        frozen=True,
    ),
}
"""Front ends by name."""
