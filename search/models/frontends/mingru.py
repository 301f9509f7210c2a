"""Convolutions, then layers of minGRU in both directions (Feng et al. 2024, "Were RNNs all we needed?").

Gates of a minGRU see the input alone, so that all time steps are computed at once (`search.models.mingru`).
"""

from search.models.frontends.layers import BatchNorm, Convolution, Layers, MinGruLayer, Pool, Relu

KERNELS = (15, 7)
"""Kernels of the convolutions before the layers, each with a pool by two behind it."""
N_LAYERS = 3
DROPOUT = 0.1


def layers(n_leads: int, width: int, kernel: int | None = None, *, stride: int = 1) -> Layers:
    """Two convolutions and pools, then minGRU layers of `width` channels and a batch norm.

    The stride is that of the first convolution.
    """
    first, second = KERNELS
    return (
        Convolution(n_leads, width, first, stride),
        BatchNorm(width),
        Pool("max", 2, 2),
        Relu(),
        Convolution(width, width, second),
        BatchNorm(width),
        Pool("max", 2, 2),
        Relu(),
        *[MinGruLayer(width, DROPOUT)] * N_LAYERS,
        BatchNorm(width),
    )
