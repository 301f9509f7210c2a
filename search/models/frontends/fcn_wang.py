"""The fully convolutional network of Wang et al. 2017, "Time series classification from scratch", II.B."""

from search.models.frontends.layers import BatchNorm, Convolution, Layer, Layers, Relu

BLOCKS = ((8, 1), (5, 2), (3, 1))
"""Kernel of each convolution, and its channels in units of the first (128, 256, 128)."""


def layers(n_leads: int, width: int, kernel: int | None = None) -> Layers:
    """Convolution, batch norm and ReLU, three times, without pooling."""
    found: list[Layer] = []
    n_in = n_leads
    for size, factor in BLOCKS:
        n_out = width * factor
        found += [Convolution(n_in, n_out, size), BatchNorm(n_out), Relu()]
        n_in = n_out
    return tuple(found)
