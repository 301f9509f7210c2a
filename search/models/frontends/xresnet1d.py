"""xResNet in one dimension (He et al. 2019, "Bag of tricks", as Strodthoff et al. 2021 train it on PTB-XL).

Every stage has the same width; kernels of 5. Shortcuts are pooled before they are projected (ResNet-D).
"""

from functools import partial

from search.models.frontends.layers import BatchNorm, Convolution, Layer, Layers, Pool, Relu, Residual

KERNEL = 5
EXPANSION = 4


def _layers(n_leads: int, width: int, kernel: int | None = None, *, blocks: tuple[int, ...]) -> Layers:
    """A stem of three convolutions and stages of bottleneck blocks, each stage at half the length."""
    half = max(1, width // 2)
    found: list[Layer] = []
    n_in = n_leads
    for n_out, stride in ((half, 2), (half, 1), (width, 1)):
        found += [Convolution(n_in, n_out, KERNEL, stride), BatchNorm(n_out), Relu()]
        n_in = n_out
    found.append(Pool("max", 3, 2, padded=True))
    for stage, n_blocks in enumerate(blocks):
        for number in range(n_blocks):
            stride = 2 if stage and not number else 1
            found += [_bottleneck(n_in, width, stride), Relu()]
            n_in = width * EXPANSION
    return tuple(found)


def _bottleneck(n_in: int, width: int, stride: int) -> Residual:
    n_out = width * EXPANSION
    path = (
        Convolution(n_in, width, 1),
        BatchNorm(width),
        Relu(),
        Convolution(width, width, KERNEL, stride),
        BatchNorm(width),
        Relu(),
        Convolution(width, n_out, 1),
        BatchNorm(n_out),
    )
    shortcut: Layers = ()
    if stride > 1:
        shortcut += (Pool("mean", stride, stride, padded=True),)
    if n_in != n_out:
        shortcut += (Convolution(n_in, n_out, 1), BatchNorm(n_out))
    return Residual(path, shortcut)


layers_of_50 = partial(_layers, blocks=(3, 4, 6, 3))
layers_of_101 = partial(_layers, blocks=(3, 4, 23, 3))
