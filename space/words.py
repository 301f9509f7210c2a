"""An architecture in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from space.architecture import Architecture


def describe(architecture: Architecture) -> str:
    """What the model is, then how it is trained; different architectures read differently.

    Widths are named where they differ from the published ones (the CNN's 64–128–256, dense 512–256).
    """
    return ", ".join([" → ".join(_model_words(architecture)), *_training_words(architecture)])


def _model_words(a: Architecture) -> list[str]:
    front_end = a.front_end
    details = []
    if a.width != 1:
        details.append(f"{a.conv_width}")
    if front_end.kernels and a.kernel != front_end.kernels[0]:
        details.append(f"kernel {a.kernel}")
    words = [front_end.words + (f"({', '.join(details)})" if details else "")]
    words += [f"{layer}({a.hidden_size})" for layer in a.recurrent]
    if a.pooling != "mean":
        words.append({"attention": "attention", "mean-max": "mean and maximum"}[a.pooling])
    if a.gate:
        words.append(f"gate/{a.gate}")
    if a.features:
        words.append("with features")
    if a.head == "linear":
        words.append("linear")
    elif a.head == "bottleneck":
        words.append(f"bottleneck({a.head_width})")
    elif a.head_width != 512:
        words.append(f"dense({a.head_width})")
    return words


def _training_words(a: Architecture) -> list[str]:
    words = []
    if a.dropout != 0.5:
        words.append(f"dropout {a.dropout:g}")
    if a.loss == "power":
        words.append(f"positive weight ^{a.exponent:g} ≤ {a.cap:g}")
    elif a.loss == "focal":
        usual = (a.alpha, a.gamma) == (0.25, 2.0)
        words.append("focal loss" if usual else f"focal loss α {a.alpha:g} γ {a.gamma:g}")
    elif a.loss == "balanced":
        words.append("balanced classes")
    if a.label_smoothing:
        words.append(f"smoothing {a.label_smoothing:g}")
    if a.soft_labels:
        words.append("soft labels")
    if a.filter != "none":
        words.append(f"{a.filter} filter")
    if a.augmentation != "noise":
        words.append({"none": "no augmentation"}.get(a.augmentation, f"{a.augmentation} augmentation"))
    if a.synthetic:
        words.append(f"{a.synthetic:.0%} synthetic")
    if a.recipe != "study":
        words.append(f"recipe {a.recipe}")
    words.append(f"trained on {a.label_tier}")
    return words
