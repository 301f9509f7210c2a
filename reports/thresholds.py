"""From probabilities to decisions: how thresholds are chosen, and F_max, which needs no choice.

Shapes: N record, C class, K cut (see `ranking`). A record is called positive when its score is **at least**
the threshold. Thresholds belong to the data they were chosen on: choose them on validation predictions and
apply them to others, never to the predictions they were fitted to.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reports.ranking import Cuts, Floats, checked, cuts

Policy = Literal["half", "f1", "youden", "g_beta"]
POLICIES: tuple[Policy, ...] = ("half", "f1", "youden", "g_beta")


def choose_thresholds(y_NC: ArrayLike, p_NC: ArrayLike, policy: Policy, *, beta: float = 2.0) -> Floats:
    """A threshold for every class.

    Policies:
        half: 0.5 everywhere.
        f1: the largest F1.
        youden: the largest sensitivity + specificity − 1 (Youden 1950).
        g_beta: the largest TP / (TP + FP + β·FN), β = 2 (PhysioNet/CinC Challenge 2020).

    The threshold is the lowest score that is still called positive. Of equally good ones the highest is
    taken, which calls the fewest records positive. A class that has no optimum (without a positive; for
    Youden also without a negative) gets 0.5.

    Args:
        y_NC: targets, boolean or 0/1.
        p_NC: probabilities.
        policy: one of `POLICIES`.
        beta: weight of a miss against a false alarm, for g_beta.

    Returns:
        (C,) float64.

    Raises:
        ValueError: an unknown policy; otherwise see `ranking.checked`.
    """
    if policy not in POLICIES:
        raise ValueError(f"threshold policy {policy!r} is not one of {', '.join(POLICIES)}")
    at = cuts(y_NC, p_NC)
    threshold_C = np.full(len(at.n_positive), 0.5)
    if policy == "half":
        return threshold_C
    quality_K = _quality(at, policy, beta)
    for index in range(len(threshold_C)):
        place = at.of_class(index)
        if np.isfinite(quality_K[place]).all():
            threshold_C[index] = at.threshold[place][np.argmax(quality_K[place])]
    return threshold_C


def _quality(at: Cuts, policy: Policy, beta: float) -> Floats:
    """How good each cut is; nan for a class in which no cut is better than another."""
    hits_K, alarms_K = at.hits, at.alarms
    n_positive_K = np.where(at.n_positive > 0, at.n_positive, np.nan)[at.class_index]
    n_negative_K = np.where(at.n_negative > 0, at.n_negative, np.nan)[at.class_index]
    misses_K = n_positive_K - hits_K
    quality_K: Floats
    if policy == "f1":
        quality_K = 2 * hits_K / (2 * hits_K + alarms_K + misses_K)
    elif policy == "g_beta":
        quality_K = hits_K / (hits_K + alarms_K + beta * misses_K)
    else:
        # Youden's index times both class sizes: whole numbers, so that ties are ties and not rounding.
        quality_K = hits_K * n_negative_K - alarms_K * n_positive_K
    return quality_K


def decide(
    p_NC: ArrayLike, thresholds: ArrayLike = 0.5, *, argmax_if_none: bool = False
) -> NDArray[np.bool_]:
    """Call each record's classes positive or negative.

    Args:
        p_NC: probabilities.
        thresholds: one number, or one for each class.
        argmax_if_none: a record in which no class reaches its threshold gets its most probable class
            (Strodthoff et al. 2020, `apply_thresholds`). Not for tiers in which "none" is an answer.

    Returns:
        (N, C) boolean.
    """
    p = np.asarray(p_NC, dtype=np.float64)
    decision_NC: NDArray[np.bool_] = p >= np.asarray(thresholds, dtype=np.float64)
    if argmax_if_none:
        none_N = np.flatnonzero(~decision_NC.any(axis=1))
        decision_NC[none_N, np.argmax(p[none_N], axis=1)] = True
    return decision_NC


def f_max(y_NC: ArrayLike, p_NC: ArrayLike) -> float:
    """Sample-centric F_max: the best F1 of mean precision and mean recall over one common threshold.

    As in Strodthoff et al. 2020 (and CAFA): precision is averaged over the records in which at least one
    class fires, recall over the records that have at least one label (a record without labels has no recall;
    its false alarms still cost precision). The original tries a grid of thresholds; this tries every score
    that occurs, so it is never lower.

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
    hit_NC = np.take_along_axis(y, order_NC, axis=1).astype(np.float64)
    # Lowering the threshold lets one cell after another fire; each changes its own record's two numbers.
    precision_NC = np.cumsum(hit_NC, axis=1) / np.arange(1, y.shape[1] + 1)
    gained_precision_NC = np.diff(precision_NC, axis=1, prepend=0.0)
    gained_recall_NC = hit_NC / np.maximum(n_labels_N, 1)[:, None]
    is_first_NC = np.zeros(y.shape)
    is_first_NC[:, 0] = 1.0
    falling = np.argsort(-score_NC, axis=None)
    is_cut = np.append(np.diff(score_NC.ravel()[falling]) != 0, True)

    def summed(gain_NC: Floats) -> Floats:
        total: Floats = np.cumsum(gain_NC.ravel()[falling])[is_cut]
        return total

    precision = summed(gained_precision_NC) / summed(is_first_NC)
    recall = summed(gained_recall_NC) / n_labelled
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 1e-12)
    return float(f1.max())
