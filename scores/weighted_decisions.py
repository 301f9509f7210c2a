"""Scores of decisions under weights of the records, for bootstrap intervals of whatever has a threshold.

The rules are those of `scores.metrics` and `scores.exclusive`, with sums of weights in place of counts:
weights of one give the same numbers. `scores.resampling` makes the weights.

Shapes: N record, C class, R resample. All arithmetic is float64.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from scores.metrics import decision_metrics, metrics_from_counts, weighted_mean
from scores.ranking import Floats, Metric, checked
from scores.resampling import Weights, weighted_scores

_N_CELLS_AT_ONCE = 20_000_000
"""Weights of single cells handled together; bounds the memory of a micro average."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WeightedScores:
    """Scores in each resample; the names are those of `scores.metrics`."""

    overall: Mapping[str, Floats]
    """Name to (R,) values."""
    per_class: Mapping[str, Floats]
    """Name to (R, C) values, nan where undefined."""


def weighted_decision_scores(y_NC: ArrayLike, decision_NC: ArrayLike, weight_NR: Weights) -> WeightedScores:
    """Every score of decisions in each resample: per class, macro, micro and weighted means, whole records.

    Args:
        y_NC: targets.
        decision_NC: decisions.
        weight_NR: positive weights of the records.
    """
    y, d = np.asarray(y_NC, dtype=np.bool_), np.asarray(decision_NC, dtype=np.bool_)
    weight_RN = weight_NR.T.astype(np.float64)
    total_R1 = weight_RN.sum(axis=1, keepdims=True)
    tp_RC, predicted_RC, positive_RC = (weight_RN @ cells.astype(np.float64) for cells in (y & d, d, y))
    per_class = metrics_from_counts(tp_RC, predicted_RC, positive_RC, total_R1)
    # Which scores exist is decided by the records: what is left of a sum of weights less itself is rounding.
    for name, point_C in decision_metrics(y, d).items():
        per_class[name][:, np.isnan(point_C)] = np.nan
    n_classes = y.shape[1]
    pooled = metrics_from_counts(
        tp_RC.sum(axis=1), predicted_RC.sum(axis=1), positive_RC.sum(axis=1), n_classes * total_R1[:, 0]
    )
    occurs_RC = positive_RC > 0
    overall = {
        f"macro_{name}": weighted_mean(score_RC, occurs_RC, axis=1)
        for name, score_RC in per_class.items()
        if name != "accuracy"
    }
    for name in ("precision", "recall", "f1"):
        overall[f"micro_{name}"] = pooled[name]
        overall[f"weighted_{name}"] = weighted_mean(per_class[name], positive_RC, axis=1)
    overall["hamming_loss"] = weight_RN @ (y != d).mean(axis=1) / total_R1[:, 0]
    overall["label_accuracy"] = 1.0 - overall["hamming_loss"]
    overall["subset_accuracy"] = weight_RN @ (y == d).all(axis=1).astype(np.float64) / total_R1[:, 0]
    return WeightedScores(overall=overall, per_class=per_class)


def weighted_confusion(y_NC: ArrayLike, p_NC: ArrayLike, weight_NR: Weights) -> Floats:
    """Sums of weights by true and most probable class in each resample, of records with exactly one class.

    Returns:
        (R, C, C), rows true, columns predicted.
    """
    y, p = checked(y_NC, p_NC)
    n_classes = y.shape[1]
    cell_N = np.argmax(y, axis=1) * n_classes + np.argmax(p, axis=1)
    table_RK: Floats = weight_NR.T.astype(np.float64) @ np.eye(n_classes**2)[cell_N]
    return table_RK.reshape(-1, n_classes, n_classes)


def weighted_kappa(table_RCC: ArrayLike, *, quadratic: bool) -> Floats:
    """Kappa of each confusion table, 1 − Σ c observed / Σ c expected (Cohen 1960, 1968).

    Args:
        table_RCC: sums of weights, rows true, columns predicted.
        quadratic: whether a confusion costs its squared distance; else each costs the same.

    Returns:
        (R,) at most 1; nan where chance agrees as well, for there is one class alone.
    """
    observed_RCC = np.asarray(table_RCC, dtype=np.float64)
    true, predicted = np.indices(observed_RCC.shape[1:])
    cost_CC = (true - predicted) ** 2.0 if quadratic else (true != predicted).astype(np.float64)
    rows_RC, columns_RC = observed_RCC.sum(axis=2), observed_RCC.sum(axis=1)
    expected_RCC = rows_RC[:, :, None] * columns_RC[:, None, :] / observed_RCC.sum(axis=(1, 2))[:, None, None]
    by_chance_R = (cost_CC * expected_RCC).sum(axis=(1, 2))
    found_R = (cost_CC * observed_RCC).sum(axis=(1, 2))
    share_R: Floats = np.divide(
        found_R, by_chance_R, out=np.full(len(found_R), np.nan), where=by_chance_R > 0
    )
    return 1.0 - share_R


def weighted_micro_scores(y_NC: ArrayLike, p_NC: ArrayLike, weight_NR: Weights, metric: Metric) -> Floats:
    """Average precision or AUROC of all cells as one class in each resample.

    Returns:
        (R,) float64.
    """
    y, p = checked(y_NC, p_NC)
    n_at_once = max(1, _N_CELLS_AT_ONCE // y.size)
    parts = [
        weighted_scores(
            y.reshape(-1, 1),
            p.reshape(-1, 1),
            np.repeat(weight_NR[:, start : start + n_at_once], y.shape[1], axis=0),
            metric,
        )[:, 0]
        for start in range(0, weight_NR.shape[1], n_at_once)
    ]
    return np.concatenate(parts)
