"""Attention in windows of several sizes side by side, after MSW-Transformer (Cheng et al. 2023).

"MSW-Transformer: multi-scale shifted windows transformer networks for 12-lead ECG classification". From its
abstract: a single layer that attends to the same signal at several scales, at each within windows that are
shifted and do not overlap, and a learned fusion of the scales. Chosen by us, and no reproduction: tokens of
5 samples, windows of 5, 10 and 20 tokens (.25 to 1 s at 100 Hz), channels, heads, a pair of layers for each
scale, of windows and of shifted ones, as in Liu et al. 2021, "Swin Transformer", section 3.2, sines and
cosines as positions, and a dense layer on all scales as their fusion.
"""

from search.models.frontends.layers import (
    BatchNorm,
    Branches,
    Convolution,
    Layers,
    Positions,
    Relu,
    TransformerLayer,
    heads_of,
)

TOKEN = 5
"""Samples of a token."""
WINDOWS = (5, 10, 20)
"""Tokens of the windows of each scale."""
N_HEADS = 4
DROPOUT = 0.1


def layers(n_leads: int, width: int, kernel: int | None = None) -> Layers:
    """Tokens of `width` channels, the scales side by side, and their fusion."""
    return (
        Convolution(n_leads, width, TOKEN, stride=TOKEN, bias=True),
        Branches(tuple(_scale(width, window) for window in WINDOWS)),
        Convolution(len(WINDOWS) * width, width, 1),
        BatchNorm(width),
        Relu(),
    )


def _scale(width: int, window: int) -> Layers:
    """Windows from the start, then windows shifted by half of one."""
    blocks = tuple(
        TransformerLayer(
            width,
            n_heads=heads_of(width, N_HEADS),
            feedforward=2 * width,
            dropout=DROPOUT,
            window=window,
            shift=shift,
        )
        for shift in (0, window // 2)
    )
    return (Positions(), *blocks)
