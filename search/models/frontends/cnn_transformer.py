"""Convolution blocks, positions and a Transformer encoder, the signal branch of HC-CNN-TN (section 3.2).

The paper gives neither widths nor kernels nor the number of layers. Here: three blocks, an eighth of the
length (12.5 Hz at 100 Hz, a token every 80 ms), two layers of four heads.
"""

from search.models.frontends.layers import (
    BatchNorm,
    Convolution,
    Layer,
    Layers,
    Pool,
    Positions,
    Relu,
    TransformerLayer,
    heads_of,
)

BLOCKS = ((7, 1), (5, 2), (5, 2))
"""Kernel of each convolution, and its channels in units of the first."""
N_LAYERS = 2
N_HEADS = 4
DROPOUT = 0.1


def layers(n_leads: int, width: int, kernel: int | None = None) -> Layers:
    """Three convolution blocks and an encoder of twice `width` channels."""
    found: list[Layer] = []
    n_in = n_leads
    for size, factor in BLOCKS:
        n_out = width * factor
        found += [Convolution(n_in, n_out, size), BatchNorm(n_out), Pool("max", 2, 2), Relu()]
        n_in = n_out
    encoder = TransformerLayer(n_in, n_heads=heads_of(n_in, N_HEADS), feedforward=2 * n_in, dropout=DROPOUT)
    return (*found, Positions(), *[encoder] * N_LAYERS)
