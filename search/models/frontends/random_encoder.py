"""A residual network that keeps its random weights, for a linear probe (arXiv 2602.17531, section 4).

A front end that was never trained is the baseline of every pretrained one.
"""

from search.models.frontends.layers import Layers
from search.models.frontends.resnet1d import KERNEL, residual_layers


def layers(n_leads: int, width: int, kernel: int | None = None) -> Layers:
    """ResNet-18 in one dimension."""
    return residual_layers(n_leads, width, KERNEL)
