"""Scores of tiers of which a record has exactly one class, such as severity or the kind of a beat.

The most probable class counts as predicted; of equally probable ones the first. Shapes: N record, C class.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scores.metrics import N_FREQUENT, decision_metrics, macro, weighted_mean
from scores.ranking import checked_exclusive
from scores.thresholds import most_probable
from scores.weighted_decisions import weighted_kappa

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
    f1_C = decision_metrics(y, most_probable(p))["f1"]
    overall = {
        "argmax_accuracy": float(np.mean(true_N == predicted_N)),
        "argmax_macro_f1": macro(f1_C, y.sum(axis=0)).value,
        "argmax_macro_f1_min10": macro(f1_C, y.sum(axis=0), min_positive=N_FREQUENT).value,
        "argmax_weighted_f1": float(weighted_mean(f1_C, y.sum(axis=0))),
    }
    if ordinal:
        overall["quadratic_kappa"] = float(weighted_kappa(confusion_CC[None], quadratic=True)[0])
    return ExclusiveScores(overall=overall, confusion=confusion_CC)
