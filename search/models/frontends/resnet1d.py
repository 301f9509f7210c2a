"""ResNet-18 (He et al. 2016, "Deep residual learning for image recognition", table 1) in one dimension.

For ResNet-1D of Song et al. 2026 (arXiv 2602.17701), of which the abstract gives the name alone. Chosen by
us: 18 layers, kernels of 3, and the stem of ResNet1D-SE.
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
KERNEL = 3
STAGES = ((1, 1), (2, 2), (4, 2), (8, 2))
"""Channels of each stage in units of the first, and the stride of its first block."""
N_BLOCKS = 2


def layers(n_leads: int, width: int, kernel: int | None = None) -> Layers:
    """The stem and four stages of two blocks."""
    return residual_layers(n_leads, width, kernel or KERNEL)


def residual_layers(n_leads: int, width: int, kernel: int, *, gate: int = 0) -> Layers:
    """The stem and the stages, with a channel gate of this reduction in every block; 0 means no gate."""
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
            found += [_block(n_in, n_out, kernel, stride, gate), Relu()]
            n_in = n_out
    return tuple(found)


def _block(n_in: int, n_out: int, kernel: int, stride: int, gate: int) -> Residual:
    path: Layers = (
        Convolution(n_in, n_out, kernel, stride),
        BatchNorm(n_out),
        Relu(),
        Convolution(n_out, n_out, kernel),
        BatchNorm(n_out),
    )
    if gate:
        path += (SqueezeExcitation(n_out, gate),)
    is_projected = stride > 1 or n_in != n_out
    return Residual(path, (Convolution(n_in, n_out, 1, stride), BatchNorm(n_out)) if is_projected else ())
