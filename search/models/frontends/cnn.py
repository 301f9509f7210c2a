"""Three convolution blocks, the front end of Jafari & Jafari (Table 1)."""

from search.models.frontends.layers import BatchNorm, Convolution, Layer, Layers, Pool, Relu, SpatialDropout

BLOCKS = ((15, 1), (10, 2), (5, 4))
"""Kernel of each convolution, and its channels in units of the first."""
SPATIAL_DROPOUT = 0.1
"""After the first and second block, as in the table; in the text (section 2.8), after every block."""


def layers(n_leads: int, width: int, kernel: int | None = None, *, stride: int = 1) -> Layers:
    """Convolution, batch norm, ReLU, max-pool by two and spatial dropout, three times.

    The stride is that of the first convolution.
    """
    found: list[Layer] = []
    n_in = n_leads
    for size, factor in BLOCKS:
        n_out = width * factor
        # ReLU and the maximum commute: with the pool first, ReLU sees half the values.
        found += [
            Convolution(n_in, n_out, size, 1 if found else stride, bias=True),
            BatchNorm(n_out),
            Pool("max", 2, 2),
            Relu(),
        ]
        if (size, factor) != BLOCKS[-1]:
            found.append(SpatialDropout(SPATIAL_DROPOUT))
        n_in = n_out
    return tuple(found)
