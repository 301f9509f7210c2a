"""Projection of probabilities on a fine tier to a coarser one.

Three rules, by how the classes of a record follow from its statements. Where the fine classes may occur
together they are taken as independent; where exactly one of them occurs they are disjoint.

Shapes: N record (or any leading axes), C class.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Precision = TypeVar("Precision", np.float32, np.float64)
Rule = Callable[[Floats, NDArray[np.bool_]], Floats]
"""Function from probabilities (…, C_fine) and children (C_fine, C_coarse) to probabilities (…, C_coarse)."""

_TOLERANCE: Final = 0.01
"""Tolerance of the sum of disjoint classes' probabilities around 1: some steps of float16."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Projection:
    """Rule by which the probabilities of a coarse tier follow from those of a fine one.

    Attributes:
        children: Which class of the fine tier is a child of which of the coarse tier, (C_fine, C_coarse).
        rule: `any_of`, `worst_of` or `sum_of`.
    """

    children: NDArray[np.bool_]
    rule: Rule

    def __call__(self, p_NC: NDArray[Any]) -> NDArray[Any]:
        """Project.

        Args:
            p_NC: Probabilities, shape (…, C_fine), any floating type; NaN stays NaN in every class that it
                decides.

        Returns:
            Probabilities, shape (…, C_coarse), in the type of `p_NC`.

        Raises:
            ValueError: A number is not between 0 and 1, or disjoint classes do not sum to 1.
        """
        if np.any((p_NC < 0) | (p_NC > 1)):
            raise ValueError("probabilities must be between 0 and 1")
        return self.rule(p_NC.astype(np.float64), self.children).astype(p_NC.dtype)


def any_of(p_NC: Floats, children: NDArray[np.bool_]) -> Floats:
    """A class occurs where any of its children does, P = 1 − Π(1 − P(child)) (noisy-or).

    A class with one child has the child's probability to the last bit; one without children has 0.
    """
    coarse_NC = 0.0 - np.expm1(_log_none(p_NC, children))
    for column in np.flatnonzero(children.sum(axis=0) == 1):
        coarse_NC[..., column] = p_NC[..., np.argmax(children[:, column])]
    return coarse_NC


def worst_of(p_NC: Floats, children: NDArray[np.bool_]) -> Floats:
    """The worst class of which a child occurs, or the mildest if none does; classes from mild to severe.

    P(worst ≤ s) = Π over the children above s of (1 − P(child)), so that P(worst = s) = P(worst ≤ s) −
    P(worst ≤ s − 1) = P(no child above s) · P(some child at s). The classes sum to 1.

    Small overestimates of many children add up: sixty of them at .025, where label smoothing of .05 puts what
    is certainly absent, leave at most .22 to all milder classes together.
    """
    log_none_NC = _log_none(p_NC, children)
    log_none_from_NC = np.cumsum(log_none_NC[..., ::-1], axis=-1)[..., ::-1]
    log_none_above_NC = np.concatenate(
        [log_none_from_NC[..., 1:], np.zeros_like(log_none_from_NC[..., :1])], axis=-1
    )
    some_NC = 0.0 - np.expm1(log_none_NC)
    some_NC[..., 0] = 1.0
    worst_NC: Floats = np.exp(log_none_above_NC) * some_NC
    return worst_NC


def sum_of(p_NC: Floats, children: NDArray[np.bool_]) -> Floats:
    """Probability of a class with disjoint children, P = Σ P(child).

    Raises:
        ValueError: The fine classes do not sum to 1.
    """
    if np.any(np.abs(p_NC.sum(axis=-1) - 1) > _TOLERANCE):
        raise ValueError("probabilities of classes of which exactly one occurs must sum to 1")
    return np.minimum(_sum_children(p_NC, children), 1.0)


def as_distribution(p_NC: NDArray[Precision]) -> NDArray[Precision]:
    """Make one probability per class, each estimated on its own, sum to 1 over classes.

    For tiers of which a record has exactly one class. Division by the sum leaves probabilities that are
    right as they are, for these sum to 1 already. Where all are 0, every class is equally likely.
    """
    total_N1 = p_NC.sum(axis=-1, keepdims=True, dtype=np.float64)
    share_NC = np.full(p_NC.shape, 1 / p_NC.shape[-1])
    np.divide(p_NC, total_N1, out=share_NC, where=total_N1 > 0)
    return share_NC.astype(p_NC.dtype)


def _log_none(p_NC: Floats, children: NDArray[np.bool_]) -> Floats:
    """Logarithm of the probability that no child of a class occurs, (…, C_coarse)."""
    with np.errstate(divide="ignore"):  # log(0) = −∞ is right: a certain child makes its parent certain
        return _sum_children(np.log1p(-p_NC), children)


def _sum_children(values_NC: Floats, children: NDArray[np.bool_]) -> Floats:
    # Not a matrix product: 0 · −∞ is no number.
    sums_NC = np.zeros((*values_NC.shape[:-1], children.shape[1]))
    for column, is_child in enumerate(children.T):
        sums_NC[..., column] = values_NC[..., is_child].sum(axis=-1)
    return sums_NC
