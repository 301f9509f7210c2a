"""ResNet1D-SE (Ichli 2025, section 3.3): a residual network of 18 layers with a channel gate in every block.

The thesis leaves the kernel of the blocks and the reduction of the gates open; 3 and 16 are the values of
He et al. 2016 and of Hu et al. 2018.
"""

from search.models.frontends.layers import Layers
from search.models.frontends.resnet1d import KERNEL, residual_layers

REDUCTION = 16


def layers(n_leads: int, width: int, kernel: int | None = None) -> Layers:
    """The stem and four stages of two blocks."""
    return residual_layers(n_leads, width, kernel or KERNEL, gate=REDUCTION)
