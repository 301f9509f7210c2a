"""A front end of one's own: two strided convolutions, an eighth of the length."""

import space
from search.models.frontends.layers import BatchNorm, Convolution, Layers, Relu
from space import FRONT_ENDS, PRESETS, Architecture, FrontEnd, Preset


def layers(n_leads: int, width: int, kernel: int | None) -> Layers:
    """Layers on signals of `n_leads` leads, with `width` channels first."""
    return (
        Convolution(n_leads, width, kernel or 15, stride=4),
        BatchNorm(width),
        Relu(),
        Convolution(width, 2 * width, 7, stride=2),
        BatchNorm(2 * width),
        Relu(),
    )


FRONT_ENDS["strided"] = FrontEnd(
    words="strided CNN", source="this guide", layers=layers, width=32, kernels=(15, 31)
)

PRESETS["strided"] = Preset(
    source="this guide", summary="two strided convolutions", architecture=Architecture(backbone="strided")
)

SPACE = space.extend(
    "wide", backbone=("cnn", "strided"), kernel=(15, 31), depth=(0, 1), label_smoothing=(0.0, 0.05)
)
