"""InceptionTime (Ismail Fawaz et al. 2020, section 3.2): six modules, a shortcut around every three."""

from search.models.frontends.layers import (
    BatchNorm,
    Branches,
    Convolution,
    Layer,
    Layers,
    Pool,
    Relu,
    Residual,
)

N_MODULES = 6
N_BETWEEN_SHORTCUTS = 3
KERNELS = (39, 19, 9)
"""40, 20 and 10, made odd as in the PyTorch version that Strodthoff et al. 2021 use."""


def layers(n_leads: int, width: int, kernel: int | None = None) -> Layers:
    """Inception modules of four times `width` channels."""
    found: list[Layer] = []
    n_in, n_out = n_leads, 4 * width
    for _ in range(N_MODULES // N_BETWEEN_SHORTCUTS):
        modules: list[Layer] = []
        n_module = n_in
        for _ in range(N_BETWEEN_SHORTCUTS):
            modules += _module(n_module, width)
            n_module = n_out
        found += [Residual(tuple(modules), (Convolution(n_in, n_out, 1), BatchNorm(n_out))), Relu()]
        n_in = n_out
    return tuple(found)


def _module(n_in: int, width: int) -> Layers:
    """A bottleneck and three kernels on it, beside a pool; batch norm and ReLU over all."""
    wide = tuple((Convolution(width, width, size),) for size in KERNELS)
    convolved: Layers = (Convolution(n_in, width, 1), Branches(wide))
    pooled: Layers = (Pool("max", 3, 1, padded=True), Convolution(n_in, width, 1))
    return (Branches((convolved, pooled)), BatchNorm(4 * width), Relu())
