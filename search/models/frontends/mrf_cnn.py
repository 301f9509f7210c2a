"""Convolutions of several receptive fields side by side, after MRF-CNN (Feyisa et al. 2022).

"Lightweight multireceptive field CNN for 12-lead ECG signal classification". From its abstract:
convolutions with receptive fields of different sizes see the same signal, in a network of few parameters.
Chosen by us, and no reproduction: receptive fields by dilation (5, 9, 17 and 33 samples in the first block,
twice and four times as long in the next ones), kernels, channels, number of blocks, norms and pools.
"""

from search.models.frontends.layers import BatchNorm, Branches, Convolution, Layer, Layers, Pool, Relu

KERNEL = 5
DILATIONS = (1, 2, 4, 8)
N_BLOCKS = 3


def layers(n_leads: int, width: int, kernel: int | None = None) -> Layers:
    """Blocks of convolutions, `width` channels for each receptive field, batch norm and pool by two."""
    found: list[Layer] = []
    n_in = n_leads
    for _ in range(N_BLOCKS):
        fields = tuple((Convolution(n_in, width, kernel or KERNEL, dilation=each),) for each in DILATIONS)
        n_in = len(DILATIONS) * width
        found += [Branches(fields), BatchNorm(n_in), Pool("max", 2, 2), Relu()]
    return tuple(found)
