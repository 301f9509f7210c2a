"""Oversampling of records with rare classes: which records of the training part an epoch has.

An epoch has as many records as the training part, so that every trial takes as many steps; a record that is
drawn more often takes the place of others. What is random comes from the generator of the epoch.

Shapes: N record, C class.
"""

import torch
from torch import Tensor


def equal(y_NC: Tensor) -> Tensor:
    """The same weight for every record."""
    return y_NC.new_ones(len(y_NC), dtype=torch.float64)


def square_root(y_NC: Tensor) -> Tensor:
    """The repeat factor of every record: √(1 / f_c) of its rarest class c, which a share f_c of records have.

    max_c max(1, √(t / f_c)) of Mahajan et al. 2018, "Exploring the limits of weakly supervised pretraining",
    section 2.2, and of Gupta et al. 2019, "LVIS", section 5.1, with t = 1: every class counts by the square
    root, and there is no threshold to choose. There an epoch grows; here it is a share of the epoch.

    Args:
        y_NC: targets; from one half on a class is there. A record without one has factor 1.
    """
    is_NC, n_C = _present(y_NC)
    factor_C = (len(y_NC) / n_C.clamp(min=1)).sqrt()
    return (is_NC * factor_C).amax(dim=1).clamp(min=1)


def class_balanced(y_NC: Tensor) -> Tensor:
    """The weight of every record where all classes are drawn equally often, Σ_c 1 / n_c over its classes.

    Shen et al. 2016, "Relay backpropagation for effective learning of deep convolutional neural networks",
    section 3.3: draw a class, then one of its n_c records. That records have several classes is this
    project's extension, and so is that those without any are together one class more.

    Args:
        y_NC: targets; from one half on a class is there.
    """
    is_NC, _ = _present(y_NC)
    is_NC = torch.cat([is_NC, ~is_NC.any(dim=1, keepdim=True)], dim=1)
    return (is_NC / is_NC.sum(dim=0, dtype=torch.float64).clamp(min=1)).sum(dim=1)


def _present(y_NC: Tensor) -> tuple[Tensor, Tensor]:
    """Classes of every record, and records of every class."""
    is_NC = y_NC >= 0.5
    return is_NC, is_NC.sum(dim=0, dtype=torch.float64)


def epoch_rows(rows: Tensor, weight_N: Tensor, generator: torch.Generator) -> Tensor:
    """The rows of an epoch, as many as there are, in no particular order.

    Systematic sampling (Madow 1949) of the rows in random order: a record whose expected number is m is drawn
    ⌊m⌋ or ⌈m⌉ times, as Gupta et al. 2019 round repeat factors. With equal weights every row comes once, and
    no random number is drawn.

    Args:
        rows: of the training part.
        weight_N: their weights, on the CPU.
        generator: a CPU generator.
    """
    if bool((weight_N == weight_N[0]).all()):
        return rows
    order = torch.randperm(len(rows), generator=generator)
    reached_N = weight_N[order].cumsum(dim=0)
    first = torch.rand((), dtype=torch.float64, generator=generator)
    drawn_N = (first + torch.arange(len(rows), dtype=torch.float64)) * (reached_N[-1] / len(rows))
    # The last one may be rounded up to the sum of all weights.
    places_N = torch.searchsorted(reached_N, drawn_N, right=True).clamp(max=len(rows) - 1)
    return rows[order[places_N].to(rows.device)]
