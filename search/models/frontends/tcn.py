"""A temporal convolutional network: residual blocks of convolutions whose dilation doubles.

Bai, Kolter & Koltun 2018, "An empirical evaluation of generic convolutional and recurrent networks for
sequence modeling", section 3. A record is classified when all of it is known, so that convolutions look both
ways here, not at the past alone, and batch norm, which runtimes merge into the weights, takes the place of
weight norm.
"""

from search.models.frontends.layers import (
    BatchNorm,
    Convolution,
    Layer,
    Layers,
    Pool,
    Relu,
    Residual,
    SpatialDropout,
)

KERNEL = 7
DILATIONS = (1, 2, 4, 8, 16, 32)
"""Dilations of the blocks: with two kernels of 7 each, a step sees 757 around it, at half the rate all of a
record."""
DROPOUT = 0.1


def layers(n_leads: int, width: int, kernel: int | None = None, *, stride: int = 1) -> Layers:
    """A convolution and a pool by two, then the blocks, all at that length and of `width` channels.

    The stride is that of the first convolution.
    """
    size = kernel or KERNEL
    found: list[Layer] = [
        Convolution(n_leads, width, size, stride),
        BatchNorm(width),
        Pool("max", 2, 2),
        Relu(),
    ]
    for dilation in DILATIONS:
        half = (
            Convolution(width, width, size, dilation=dilation),
            BatchNorm(width),
            Relu(),
            SpatialDropout(DROPOUT),
        )
        found += [Residual((*half, *half)), Relu()]
    return tuple(found)
