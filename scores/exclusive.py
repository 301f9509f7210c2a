"""Scores of tiers of which a record has exactly one class, such as severity or the kind of a beat.

The most probable class counts as predicted; of equally probable ones the first. Shapes: N record, C class.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scores.metrics import decision_metrics, macro, weighted_mean
from scores.ranking import checked_exclusive

EXCLUSIVE_METRICS = (
    "argmax_accuracy",
    "argmax_macro_f1",
    "argmax_macro_f1_min10",
    "argmax_weighted_f1",
)
ORDINAL_METRICS = (*EXCLUSIVE_METRICS, "quadratic_kappa")
"""Names of the metrics of ordered classes."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExclusiveScores:
    """Metrics of the most probable class; the names are those stored in the database."""

    overall: dict[str, float]
    """`EXCLUSIVE_METRICS` or `ORDINAL_METRICS`: name to value."""
    confusion: NDArray[np.int64]
    """(C, C) records, rows true, columns predicted."""


def exclusive_metrics(y_NC: ArrayLike, p_NC: ArrayLike, *, ordinal: bool) -> ExclusiveScores:
    """Accuracy, F1 and confusion matrix of the most probable class, and quadratic kappa of ordered ones.

    F1 is 0 for a class that is never predicted; `argmax_macro_f1` is its mean over the classes that occur,
    `argmax_macro_f1_min10` over those that occur ten times, `argmax_weighted_f1` weighted by records.

    Args:
        y_NC: targets, one class per record.
        p_NC: probabilities.
        ordinal: whether the classes come in their order.

    Raises:
        ValueError: see `ranking.checked_exclusive`.
    """
    from sklearn.metrics import confusion_matrix  # a second that only studies of such tiers need

    y, p = checked_exclusive(y_NC, p_NC)
    true_N, predicted_N = np.argmax(y, axis=1), np.argmax(p, axis=1)
    confusion_CC = confusion_matrix(true_N, predicted_N, labels=np.arange(y.shape[1]))
    f1_C = decision_metrics(y, np.eye(y.shape[1], dtype=np.bool_)[predicted_N])["f1"]
    overall = {
        "argmax_accuracy": float(np.mean(true_N == predicted_N)),
        "argmax_macro_f1": macro(f1_C, y.sum(axis=0)).value,
        "argmax_macro_f1_min10": macro(f1_C, y.sum(axis=0), min_positive=10).value,
        "argmax_weighted_f1": float(weighted_mean(f1_C, y.sum(axis=0))),
    }
    if ordinal:
        overall["quadratic_kappa"] = quadratic_kappa(confusion_CC)
    return ExclusiveScores(overall=overall, confusion=confusion_CC)


def quadratic_kappa(confusion_CC: ArrayLike) -> float:
    """Weighted kappa with squared distances, 1 − Σ d² observed / Σ d² expected (Cohen 1968).

    Expected is what rows and columns with the same sums give by chance. A prediction two classes off costs
    four times as much as one that is one class off; 0 is chance, 1 is agreement.

    Args:
        confusion_CC: records, rows true, columns predicted, classes in their order.

    Returns:
        At most 1; nan if all records are and are called the same class, for chance then agrees as well.
    """
    from sklearn.metrics import cohen_kappa_score

    observed_CC = np.asarray(confusion_CC)
    if np.count_nonzero(observed_CC.sum(axis=0) + observed_CC.sum(axis=1)) < 2:
        return float("nan")
    true_CC, predicted_CC = np.indices(observed_CC.shape)
    return float(
        cohen_kappa_score(
            true_CC.ravel(),
            predicted_CC.ravel(),
            labels=np.arange(len(observed_CC)),
            weights="quadratic",
            sample_weight=observed_CC.ravel(),
        )
    )
