"""The residual network of Wang et al. 2017, section II.C, as Strodthoff et al. 2021 train it on PTB-XL.

One width throughout, and half the length after the first block; kernels 5 and 3, with a stem of 7.
"""

from search.models.frontends.layers import BatchNorm, Convolution, Layer, Layers, Relu, Residual

STRIDES = (1, 2, 2)
STEM_KERNEL = 7
KERNELS = (5, 3)


def layers(n_leads: int, width: int, kernel: int | None = None) -> Layers:
    """A stem and three residual blocks of two convolutions."""
    found: list[Layer] = [Convolution(n_leads, width, STEM_KERNEL), BatchNorm(width), Relu()]
    for stride in STRIDES:
        path = (
            Convolution(width, width, KERNELS[0], stride),
            BatchNorm(width),
            Relu(),
            Convolution(width, width, KERNELS[1]),
            BatchNorm(width),
        )
        shortcut: Layers = () if stride == 1 else (Convolution(width, width, 1, stride), BatchNorm(width))
        found += [Residual(path, shortcut), Relu()]
    return tuple(found)
