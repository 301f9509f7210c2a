"""Losses of the search space, on logits.

Shapes: B batch, C class.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

import space

FOCAL_ALPHA = 0.25
FOCAL_GAMMA = 2.0
"""Lin et al. 2017, "Focal loss for dense object detection", section 5."""


def make_loss(architecture: space.Architecture, y_NC: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of an architecture: mean over records and classes of `loss(z_BC, y_BC)`.

    Args:
        architecture: names loss, weighting and label smoothing.
        y_NC: targets of the training part, from which the weights are computed.
    """
    smoothing = architecture.label_smoothing

    def smooth(y_BC: Tensor) -> Tensor:
        return y_BC * (1 - smoothing) + smoothing / 2

    if architecture.loss == "focal":
        return lambda z_BC, y_BC: focal_loss(z_BC, smooth(y_BC))
    weight_C = None
    if architecture.loss == "power":
        assert architecture.exponent is not None
        assert architecture.cap is not None
        weight_C = positive_weight(y_NC, architecture.exponent, architecture.cap)
    return lambda z_BC, y_BC: F.binary_cross_entropy_with_logits(z_BC, smooth(y_BC), pos_weight=weight_C)


def positive_weight(y_NC: Tensor, exponent: float, cap: float) -> Tensor:
    """Weight of the positive term per class, min(((N − P) / P) ** exponent, cap).

    The clipped power weight of HC-CNN-TN (section 3.3). A class without positives gets the cap, which then
    multiplies nothing.
    """
    positives_C = y_NC.sum(dim=0, dtype=torch.float64)
    ratio_C = (len(y_NC) - positives_C) / positives_C.clamp(min=1e-8)
    return ratio_C.pow(exponent).clamp(max=cap).float()


def focal_loss(z_BC: Tensor, y_BC: Tensor) -> Tensor:
    """Binary focal loss −α_t (1 − p_t)^γ log p_t (Lin et al. 2017, equation 5), for soft targets too.

    With a target y between 0 and 1 it is the expectation over a label that is 1 with probability y.
    """
    log_p, log_q = F.logsigmoid(z_BC), F.logsigmoid(-z_BC)
    positive = -FOCAL_ALPHA * torch.exp(FOCAL_GAMMA * log_q) * log_p
    negative = -(1 - FOCAL_ALPHA) * torch.exp(FOCAL_GAMMA * log_p) * log_q
    return (y_BC * positive + (1 - y_BC) * negative).mean()
