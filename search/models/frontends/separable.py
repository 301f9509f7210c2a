"""Depthwise-separable convolutions with channel gates: MobileNet (Howard et al. 2017) in one dimension.

Howard et al. 2017, "MobileNets: efficient convolutional neural networks for mobile vision applications",
section 3; Hu et al. 2018, "Squeeze-and-excitation networks", section 3, whose gate stands behind every block.
Six convolutions in place of fourteen: a record has 1,000 samples, not 224 × 224 pixels.
"""

from search.models.frontends.layers import BatchNorm, Convolution, Layer, Layers, Relu, SqueezeExcitation

KERNEL = 7
STEM_KERNEL = 15
BLOCKS = ((2, 2), (4, 2), (4, 1), (8, 2), (8, 1))
"""Channels of each block in units of the first convolution, and its stride."""
REDUCTION = 16
"""Reduction of the channel gates (Hu et al. 2018, section 6.1)."""


def layers(n_leads: int, width: int, kernel: int | None = None, *, stride: int = 1) -> Layers:
    """A full convolution, then blocks of one that looks along every channel and one that mixes channels.

    The stride is that of the first convolution; the blocks leave an eighth of the samples behind it.
    """
    found: list[Layer] = [Convolution(n_leads, width, STEM_KERNEL, stride), BatchNorm(width), Relu()]
    n_in = width
    for factor, block_stride in BLOCKS:
        n_out = width * factor
        found += [
            Convolution(n_in, n_in, kernel or KERNEL, block_stride, groups=n_in),
            BatchNorm(n_in),
            Relu(),
            Convolution(n_in, n_out, 1),
            BatchNorm(n_out),
            Relu(),
            SqueezeExcitation(n_out, REDUCTION),
        ]
        n_in = n_out
    return tuple(found)
