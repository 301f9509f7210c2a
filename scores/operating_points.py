"""Clinical operating points of every class: what a ranking reaches where a clinic can afford to work.

* sensitivity at a specificity of 90 %, and specificity at a sensitivity of 90 %: the best that some threshold
  reaches, without interpolation between thresholds;
* sensitivity within the 5 % of records with the highest scores, the metric of the PhysioNet Challenge 2025
  (Reyna et al. 2025), where only so many people can be tested further; of records with equal scores at the
  edge, the share that fits is counted, which is the mean over all their orders.

All are computed under weights of the records (`scores.resampling`); weights of one give the plain values.
Shapes: N record, C class, R resample, K threshold.
"""

import numpy as np
from numpy.typing import ArrayLike

from scores.ranking import Floats, checked, has_both
from scores.resampling import Weights

LEVEL = 0.9
"""Required specificity or sensitivity."""
CAPACITY = 0.05
"""Share of the records that can be looked at."""
SENSITIVITY_AT_SPECIFICITY = "sensitivity_at_specificity_90"
SPECIFICITY_AT_SENSITIVITY = "specificity_at_sensitivity_90"
SENSITIVITY_IN_TOP = "sensitivity_in_top_5_percent"
ALARM_RATE = "alarm_rate"
"""Share of the records that are called positive, at the threshold of the decisions."""
_N_RESAMPLES_AT_ONCE = 100
"""Resamples handled together; bounds the memory of many records."""
_ROUNDING = 1e-9
"""Sums of float32 weights in float64 miss a share that they reach exactly by less than this."""


def operating_points(y_NC: ArrayLike, p_NC: ArrayLike, weight_NR: Weights) -> dict[str, Floats]:
    """Every operating point of every class under every weighting of the records.

    Args:
        y_NC: targets, boolean or 0/1.
        p_NC: scores; any monotone scale.
        weight_NR: positive weights of the records.

    Returns:
        Name to (R, C) values, nan for a class without a positive or without a negative.

    Raises:
        ValueError: see `scores.ranking.checked`.
    """
    y, p = checked(y_NC, p_NC)
    shape = weight_NR.shape[1], y.shape[1]
    found = {
        name: np.full(shape, np.nan)
        for name in (SENSITIVITY_AT_SPECIFICITY, SPECIFICITY_AT_SENSITIVITY, SENSITIVITY_IN_TOP)
    }
    capacity = np.floor(CAPACITY * len(y) + _ROUNDING) / len(y)
    for index in np.flatnonzero(has_both(y)):
        order = np.argsort(-p[:, index], kind="stable")
        hit_N1, score = y[order, index][:, None], p[order, index]
        last_K = np.flatnonzero(np.append(np.diff(score), 1.0))
        for start in range(0, shape[0], _N_RESAMPLES_AT_ONCE):
            some = slice(start, start + _N_RESAMPLES_AT_ONCE)
            weight = weight_NR[order, some].astype(np.float64)
            called_KR = np.cumsum(weight, axis=0)[last_K]
            true_KR = np.cumsum(weight * hit_N1, axis=0)[last_K]
            values = _of_counts(true_KR, called_KR - true_KR, capacity)
            for name, value_R in values.items():
                found[name][some, index] = value_R
    return found


def _of_counts(true_KR: Floats, false_KR: Floats, capacity: float) -> dict[str, Floats]:
    """Operating points from true and false positives at every threshold, in order of falling threshold."""
    sensitivity_KR, rate_KR = true_KR / true_KR[-1], false_KR / false_KR[-1]
    is_specific_KR = rate_KR <= 1 - LEVEL + _ROUNDING
    is_sensitive_KR = sensitivity_KR >= LEVEL - _ROUNDING
    # The thresholds at the edge of the capacity: before it, and the first that exceeds or meets it.
    called_KR = true_KR + false_KR
    room_R = capacity * called_KR[-1]
    edge_R = np.argmax(called_KR >= room_R * (1 - _ROUNDING), axis=0)
    columns = np.arange(called_KR.shape[1])
    before_R, inside_R = (
        np.where(edge_R > 0, count_KR[edge_R - 1, columns], 0.0) for count_KR in (called_KR, true_KR)
    )
    share_R = (room_R - before_R) / (called_KR[edge_R, columns] - before_R)
    top_R = inside_R + share_R * (true_KR[edge_R, columns] - inside_R)
    return {
        SENSITIVITY_AT_SPECIFICITY: np.where(is_specific_KR, sensitivity_KR, 0.0).max(axis=0),
        SPECIFICITY_AT_SENSITIVITY: 1.0 - np.where(is_sensitive_KR, rate_KR, 1.0).min(axis=0),
        SENSITIVITY_IN_TOP: top_R / true_KR[-1],
    }
