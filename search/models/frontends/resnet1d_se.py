"""ResNet1D-SE (Ichli 2025, section 3.3): a residual network of 18 layers with a channel gate in every block.

The thesis leaves the kernel of the blocks and the reduction of the gates open; 3 and 16 are the values of
He et al. 2016 and of Hu et al. 2018.
"""

from search.models.frontends.layers import (
    BatchNorm,
    Convolution,
    Layer,
    Layers,
    Pool,
    Relu,
    Residual,
    SqueezeExcitation,
)

STEM_KERNEL = 15
STAGES = ((1, 1), (2, 2), (4, 2), (8, 2))
"""Channels of each stage in units of the first, and the stride of its first block."""
N_BLOCKS = 2
REDUCTION = 16


def layers(n_leads: int, width: int, kernel: int | None = None) -> Layers:
    """The stem and four stages of two blocks."""
    return residual_layers(n_leads, width, kernel or 3, gated=True)


def residual_layers(n_leads: int, width: int, kernel: int, *, gated: bool) -> Layers:
    """The same with or without channel gates; without, ResNet-18 in one dimension."""
    found: list[Layer] = [
        Convolution(n_leads, width, STEM_KERNEL, stride=2),
        BatchNorm(width),
        Relu(),
        Pool("max", 3, 2, padded=True),
    ]
    n_in = width
    for factor, first_stride in STAGES:
        for number in range(N_BLOCKS):
            stride, n_out = 1 if number else first_stride, width * factor
            found += [_block(n_in, n_out, kernel, stride, gated=gated), Relu()]
            n_in = n_out
    return tuple(found)


def _block(n_in: int, n_out: int, kernel: int, stride: int, *, gated: bool) -> Residual:
    path: Layers = (
        Convolution(n_in, n_out, kernel, stride),
        BatchNorm(n_out),
        Relu(),
        Convolution(n_out, n_out, kernel),
        BatchNorm(n_out),
    )
    if gated:
        path += (SqueezeExcitation(n_out, REDUCTION),)
    is_projected = stride > 1 or n_in != n_out
    return Residual(path, (Convolution(n_in, n_out, 1, stride), BatchNorm(n_out)) if is_projected else ())
