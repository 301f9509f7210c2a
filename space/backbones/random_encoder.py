"""A residual network that keeps its random weights, for a linear probe (arXiv 2602.17531, section 4).

A front end that was never trained is the baseline of every pretrained one.
"""

from space.backbones.backbone import Backbone
from space.backbones.resnet1d_se import residual_layers
from space.layers import Layers


def layers(n_leads: int, width: int, kernel: int | None = None) -> Layers:
    """ResNet-18 in one dimension."""
    return residual_layers(n_leads, width, 3, gated=False)


BACKBONES = {
    "random-encoder": Backbone(
        words="random ResNet1D-18", source="arXiv 2602.17531", layers=layers, width=64, frozen=True
    )
}
