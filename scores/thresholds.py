"""Decision thresholds for probabilities: policies of choice, and F_max, which needs no choice.

Shapes: N record, C class, K threshold (see `ranking`). A record is called positive when its score is **at
least** the threshold. Thresholds belong to the data they were chosen on: choose them on validation
predictions and apply them to others, never to the predictions they were fitted to.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scores.ranking import Floats, Thresholds, checked, count_thresholds

Policy = Literal["half", "f1", "youden", "sensitivity-90"]
POLICIES: tuple[Policy, ...] = ("half", "f1", "youden", "sensitivity-90")


def choose_thresholds(y_NC: ArrayLike, p_NC: ArrayLike, policy: Policy) -> Floats:
    """A threshold for every class.

    Policies:
        half: 0.5 everywhere.
        f1: the largest F1.
        youden: the largest sensitivity + specificity − 1 (Youden 1950).
        sensitivity-90: a sensitivity of at least .9, with as few records called positive as that allows.

    The threshold is the lowest score that is still called positive. Of equally good ones the highest is
    taken, which calls the fewest records positive. A class that has no optimum (without a positive; for
    Youden also without a negative) gets 0.5.

    Args:
        y_NC: targets, boolean or 0/1.
        p_NC: probabilities.
        policy: one of `POLICIES`.

    Returns:
        (C,) float64.

    Raises:
        ValueError: an unknown policy; otherwise see `ranking.checked`.
    """
    if policy not in POLICIES:
        raise ValueError(f"threshold policy {policy!r} is not one of {', '.join(POLICIES)}")
    at = count_thresholds(y_NC, p_NC)
    threshold_C = np.full(len(at.n_positive), 0.5)
    if policy == "half":
        return threshold_C
    quality_K = _quality(at, policy)
    for index in range(len(threshold_C)):
        place = at.of_class(index)
        if np.isfinite(quality_K[place]).all():
            threshold_C[index] = at.threshold[place][np.argmax(quality_K[place])]
    return threshold_C


def _quality(at: Thresholds, policy: Policy) -> Floats:
    """Quality of each threshold; nan for a class in which none is better than another."""
    tp_K, fp_K = at.true_positives, at.false_positives
    n_positive_K = np.where(at.n_positive > 0, at.n_positive, np.nan)[at.class_index]
    n_negative_K = np.where(at.n_negative > 0, at.n_negative, np.nan)[at.class_index]
    fn_K = n_positive_K - tp_K
    quality_K: Floats
    if policy == "f1":
        quality_K = 2 * tp_K / (2 * tp_K + fp_K + fn_K)
    elif policy == "sensitivity-90":
        # In whole numbers: nine of ten are enough, whatever .9 · 10 rounds to. Without a positive, nan.
        quality_K = np.where(10 * tp_K >= 9 * n_positive_K, 1.0, 0.0 * n_positive_K)
    else:
        # Youden's index times both class sizes: whole numbers, so that ties are ties and not rounding.
        quality_K = tp_K * n_negative_K - fp_K * n_positive_K
    return quality_K


def decide(p_NC: ArrayLike, thresholds: ArrayLike = 0.5) -> NDArray[np.bool_]:
    """Call each record's classes positive or negative.

    Args:
        p_NC: probabilities.
        thresholds: one number, or one for each class.

    Returns:
        (N, C) boolean.
    """
    decision_NC: NDArray[np.bool_] = np.asarray(p_NC, dtype=np.float64) >= np.asarray(
        thresholds, dtype=np.float64
    )
    return decision_NC


def most_probable(p_NC: ArrayLike) -> NDArray[np.bool_]:
    """Call the most probable class of each record positive, of equally probable ones the first.

    Args:
        p_NC: probabilities.

    Returns:
        (N, C) boolean, one true cell a row.
    """
    p = np.asarray(p_NC)
    decision_NC: NDArray[np.bool_] = np.eye(p.shape[1], dtype=np.bool_)[np.argmax(p, axis=1)]
    return decision_NC


def f_max(y_NC: ArrayLike, p_NC: ArrayLike) -> float:
    """Sample-centric F_max: the best F1 of mean precision and mean recall over one common threshold.

    As in Strodthoff et al. 2020 (and CAFA): precision is averaged over the records in which at least one
    class is predicted positive, recall over the records that have at least one label (a record without labels
    has no recall; its false positives still cost precision). The original tries a grid of thresholds; this
    tries every score that occurs, so it is never lower.

    Returns:
        F_max in [0, 1]; nan if no record has a label.
    """
    y, p = checked(y_NC, p_NC)
    n_labels_N = np.count_nonzero(y, axis=1)
    n_labelled = np.count_nonzero(n_labels_N)
    if n_labelled == 0:
        return float("nan")
    order_NC = np.argsort(-p, axis=1)
    score_NC = np.take_along_axis(p, order_NC, axis=1)
    tp_NC = np.take_along_axis(y, order_NC, axis=1).astype(np.float64)
    # Lowering the threshold turns one cell after another positive; each changes its own record's two numbers.
    precision_NC = np.cumsum(tp_NC, axis=1) / np.arange(1, y.shape[1] + 1)
    gained_precision_NC = np.diff(precision_NC, axis=1, prepend=0.0)
    gained_recall_NC = tp_NC / np.maximum(n_labels_N, 1)[:, None]
    is_first_NC = np.zeros(y.shape)
    is_first_NC[:, 0] = 1.0
    falling = np.argsort(-score_NC, axis=None)
    is_threshold = np.append(np.diff(score_NC.ravel()[falling]) != 0, True)

    def summed(gain_NC: Floats) -> Floats:
        total: Floats = np.cumsum(gain_NC.ravel()[falling])[is_threshold]
        return total

    precision = summed(gained_precision_NC) / summed(is_first_NC)
    recall = summed(gained_recall_NC) / n_labelled
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 1e-12)
    return float(f1.max())
