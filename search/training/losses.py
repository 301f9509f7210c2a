"""Losses of the search space, on logits.

Shapes: B batch, C class.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

import space

SMALLEST_WEIGHT = 0.8
"""Floor of the power weight (HC-CNN-TN, section 3.3)."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""Function from logits `z_BC` and targets `y_BC` to the mean loss over records and classes."""


def make_loss(architecture: space.Architecture, y_NC: Tensor, *, exclusive: bool) -> Loss:
    """The loss of an architecture, which `space.LOSSES` names, on smoothed targets.

    Args:
        architecture: names loss, weighting and label smoothing.
        y_NC: targets of the training part, from which the weights are computed.
        exclusive: whether a record has exactly one class of the tier.
    """
    entry = space.LOSSES[architecture.loss]
    make = space.load_code(entry.make)
    parameters = {name: architecture.value(name) for name in entry.parameters}
    loss: Loss = make(y_NC, exclusive=exclusive, **parameters)
    smoothing = architecture.label_smoothing
    n_levels = y_NC.shape[1] if is_categorical(architecture, exclusive=exclusive) else 2
    return lambda z_BC, y_BC: loss(z_BC, y_BC * (1 - smoothing) + smoothing / n_levels)


def is_categorical(architecture: space.Architecture, *, exclusive: bool) -> bool:
    """Whether classes share one softmax: where a record has exactly one, and the loss is made for it."""
    return exclusive and space.LOSSES[architecture.loss].softmax


def cross_entropy(y_NC: Tensor, *, exclusive: bool) -> Loss:
    """Binary cross-entropy, unweighted."""
    return _weighted(None)


def power_weighted(y_NC: Tensor, *, exclusive: bool, exponent: float, cap: float) -> Loss:
    """Binary cross-entropy with `positive_weight`."""
    return _weighted(positive_weight(y_NC, exponent, cap))


def focal(y_NC: Tensor, *, exclusive: bool, alpha: float, gamma: float) -> Loss:
    """`focal_loss`."""
    return lambda z_BC, y_BC: focal_loss(z_BC, y_BC, alpha=alpha, gamma=gamma)


def balanced(y_NC: Tensor, *, exclusive: bool) -> Loss:
    """Cross-entropy in which all classes count alike, of one softmax where a record has exactly one class."""
    if not exclusive:
        return _weighted(odds_weight(y_NC))
    class_weight_C = balanced_weight(y_NC)
    return lambda z_BC, y_BC: F.cross_entropy(z_BC, y_BC, weight=class_weight_C)


def _weighted(weight_C: Tensor | None) -> Loss:
    return lambda z_BC, y_BC: F.binary_cross_entropy_with_logits(z_BC, y_BC, pos_weight=weight_C)


LEAST_PROBABILITY = 1e-7
"""Distance from 0 and 1 at which a loss sees a probability, as in Keras: single precision has none nearer."""


def distillation(z_BC: Tensor, teacher_BC: Tensor, *, temperature: float, categorical: bool) -> Tensor:
    """T² times the cross-entropy of a student to its teacher, both with logits divided by T.

    Hinton, Vinyals & Dean 2015, "Distilling the knowledge in a neural network", section 2: gradients of soft
    targets scale as 1/T², which the factor takes back. Where a record may have any number of classes, each
    is a distribution of its own.

    Args:
        z_BC: logits of the student.
        teacher_BC: probabilities of the teacher, whose logits follow from them.
        temperature: T.
        categorical: whether classes share one softmax.
    """
    p_BC = teacher_BC.clamp(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    if categorical:
        soft_BC = torch.softmax(torch.log(p_BC) / temperature, dim=1)
        return temperature**2 * F.cross_entropy(z_BC / temperature, soft_BC)
    soft_BC = torch.sigmoid(torch.logit(p_BC) / temperature)
    return temperature**2 * F.binary_cross_entropy_with_logits(z_BC / temperature, soft_BC)


def positive_weight(y_NC: Tensor, exponent: float, cap: float) -> Tensor:
    """Weight of the positive term per class, ((N − P) / (P + 1e-8)) ** exponent between 0.8 and the cap.

    The clipped power weight of HC-CNN-TN (section 3.3), there with exponent .4 and cap 3. A class without
    positives gets the cap, which then multiplies nothing.
    """
    positives_C = y_NC.sum(dim=0, dtype=torch.float64)
    ratio_C = (len(y_NC) - positives_C) / (positives_C + 1e-8)
    return ratio_C.pow(exponent).clamp(min=SMALLEST_WEIGHT, max=cap).float()


def odds_weight(y_NC: Tensor) -> Tensor:
    """Weight of the positive term per class with which positives and negatives count alike, (N − P) / P.

    The class weights of Ichli 2025 (section 3.3) where records have several classes. One without positives
    has weight 1, which multiplies nothing.
    """
    positives_C = y_NC.sum(dim=0, dtype=torch.float64)
    odds_C = (len(y_NC) - positives_C) / positives_C
    return torch.where(positives_C > 0, odds_C, 1.0).float()


def balanced_weight(y_NC: Tensor) -> Tensor:
    """Weight of each class with which all count alike, N / (C · P); 0 for one that does not occur.

    The class weights of Ichli 2025 (section 3.3) where a record has exactly one class.
    """
    positives_C = y_NC.sum(dim=0, dtype=torch.float64)
    weight_C = len(y_NC) / (y_NC.shape[1] * positives_C)
    return torch.where(positives_C > 0, weight_C, 0.0).float()


def focal_loss(z_BC: Tensor, y_BC: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """Binary focal loss −α_t (1 − p_t)^γ log p_t (Lin et al. 2017, equation 5), for soft targets too.

    With a target y between 0 and 1 it is the expectation over a label that is 1 with probability y.
    """
    log_p, log_q = F.logsigmoid(z_BC), F.logsigmoid(-z_BC)
    positive = -alpha * torch.exp(gamma * log_q) * log_p
    negative = -(1 - alpha) * torch.exp(gamma * log_p) * log_q
    return (y_BC * positive + (1 - y_BC) * negative).mean()
