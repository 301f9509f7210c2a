"""Scores that need no threshold: average precision, AUROC, and the points of their curves.

Shapes: N record, C class, K threshold. A threshold can stand after a group of equal scores, never
inside one, so that the order of tied records cannot change a score. All classes are ranked in one sort and
kept as one flat list of thresholds, class after class.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Metric = Literal["auprc", "auroc"]


def has_both(y_NC: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(C,) whether a class has a positive and a negative, without which it has no score."""
    n_positive_C = np.count_nonzero(y_NC, axis=0)
    found_C: NDArray[np.bool_] = (n_positive_C > 0) & (n_positive_C < len(y_NC))
    return found_C


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """Counts at every possible threshold of all classes, in order of falling threshold."""

    class_index: NDArray[np.int64]
    """(K,) class of the threshold; rising."""
    threshold: Floats
    """(K,) lowest score that is predicted positive."""
    true_positives: Floats
    """(K,) positives with a score of at least the threshold."""
    false_positives: Floats
    """(K,) negatives with a score of at least the threshold."""
    n_positive: NDArray[np.int64]
    """(C,) positives of each class."""
    n_negative: NDArray[np.int64]
    """(C,) negatives of each class."""

    def before(self, count_K: Floats) -> Floats:
        """The same count one threshold earlier; 0 at the first of a class."""
        earlier_K = np.concatenate([[0.0], count_K[:-1]])
        is_first_K = np.diff(self.class_index, prepend=-1) > 0
        return np.where(is_first_K, 0.0, earlier_K)

    def of_class(self, index: int) -> slice:
        """The thresholds of one class."""
        low, high = np.searchsorted(self.class_index, [index, index + 1])
        return slice(int(low), int(high))


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Points of a ROC or of a precision–recall curve, in order of falling threshold."""

    x: Floats
    """False positive rate, or recall."""
    y: Floats
    """True positive rate, or precision."""
    threshold: Floats
    """Threshold of each point; infinite at the first, where nothing is predicted positive."""


def checked(y_NC: ArrayLike, p_NC: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    """Targets as booleans and scores as float64, once they are known to belong together.

    Raises:
        ValueError: shapes differ or are not (records, classes), there is nothing to score, a target is
            neither 0 nor 1, or a score is not finite.
    """
    y, p = np.asarray(y_NC), np.asarray(p_NC, dtype=np.float64)
    if y.ndim != 2 or y.shape != p.shape or y.size == 0:
        raise ValueError(f"targets {y.shape} and scores {p.shape} must both be (records, classes), not empty")
    if not np.isfinite(p).all():
        bad = np.flatnonzero(~np.isfinite(p).all(axis=0)).tolist()
        raise ValueError(f"scores of the classes {bad} are not finite; a diverged fold cannot be scored")
    if y.dtype != np.bool_:
        if not np.isin(y, (0, 1)).all():
            raise ValueError("targets must be 0 or 1")
        y = y.astype(np.bool_)
    return y, p


def checked_exclusive(y_NC: ArrayLike, p_NC: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    """`checked` for a tier of which every record has exactly one class.

    Raises:
        ValueError: a record has no class or several; otherwise see `checked`.
    """
    y, p = checked(y_NC, p_NC)
    if (y.sum(axis=1) != 1).any():
        row = int(np.argmax(y.sum(axis=1) != 1))
        raise ValueError(f"row {row} has {y[row].sum()} classes; a record needs exactly one")
    return y, p


def count_thresholds(y_NC: ArrayLike, p_NC: ArrayLike) -> Thresholds:
    """Rank every class and count true and false positives at each threshold.

    Args:
        y_NC: targets, boolean or 0/1.
        p_NC: scores; any monotone scale.
    """
    y, p = checked(y_NC, p_NC)
    n_records, n_classes = y.shape
    rising_CN = np.ascontiguousarray(p.T)
    order_CN = np.argsort(rising_CN, axis=1)[:, ::-1]
    score_CN = np.take_along_axis(rising_CN, order_CN, axis=1)
    positive_CN = np.take_along_axis(np.ascontiguousarray(y.T), order_CN, axis=1)
    is_threshold_CN = np.ones((n_classes, n_records), dtype=np.bool_)
    np.not_equal(score_CN[:, 1:], score_CN[:, :-1], out=is_threshold_CN[:, :-1])
    place_K = np.flatnonzero(is_threshold_CN)
    tp_K = np.cumsum(positive_CN, axis=1, dtype=np.float64).ravel()[place_K]
    n_positive_C = np.count_nonzero(y, axis=0).astype(np.int64)
    return Thresholds(
        class_index=place_K // n_records,
        threshold=score_CN.ravel()[place_K],
        true_positives=tp_K,
        false_positives=place_K % n_records + 1 - tp_K,
        n_positive=n_positive_C,
        n_negative=n_records - n_positive_C,
    )


def average_precision(y_NC: ArrayLike, p_NC: ArrayLike) -> Floats:
    """Average precision of every class: the sum of precision × gained recall over all thresholds.

    The step-wise area under the precision–recall curve (no interpolation between points), as in
    scikit-learn and in Davis & Goadrich 2006's warning against the linear one. Where every record is
    positive, any ranking has precision 1 at every threshold: such a class has no score.

    Args:
        y_NC: targets, boolean or 0/1.
        p_NC: scores; any monotone scale.

    Returns:
        (C,) float64, nan for a class without a positive or without a negative.

    Raises:
        ValueError: see `checked`.
    """
    return area_precision_recall(count_thresholds(y_NC, p_NC))


def auroc(y_NC: ArrayLike, p_NC: ArrayLike) -> Floats:
    """Area under the ROC curve of every class; a tie between a positive and a negative counts half.

    Args:
        y_NC: targets, boolean or 0/1.
        p_NC: scores; any monotone scale.

    Returns:
        (C,) float64, nan for a class without a positive or without a negative.

    Raises:
        ValueError: see `checked`.
    """
    return area_roc(count_thresholds(y_NC, p_NC))


METRICS: Mapping[Metric, Callable[[ArrayLike, ArrayLike], Floats]] = {
    "auprc": average_precision,
    "auroc": auroc,
}
"""Scores of every class from targets and probabilities, by name."""


def area_precision_recall(at: Thresholds) -> Floats:
    """`average_precision` from counts that are already there."""
    tp_K = at.true_positives
    gained_K = (tp_K - at.before(tp_K)) * tp_K / (tp_K + at.false_positives)
    return _per_class(gained_K, at, np.where(at.n_negative > 0, at.n_positive, 0))


def area_roc(at: Thresholds) -> Floats:
    """`auroc` from counts that are already there (trapezia between thresholds)."""
    tp_K, fp_K = at.true_positives, at.false_positives
    gained_K = (fp_K - at.before(fp_K)) * (tp_K + at.before(tp_K)) / 2.0
    return _per_class(gained_K, at, at.n_positive * at.n_negative)


def _per_class(gained_K: Floats, at: Thresholds, scale_C: NDArray[np.int64]) -> Floats:
    """Sum over the thresholds of each class, divided by its scale; nan where the scale is 0."""
    total_C = np.bincount(at.class_index, weights=gained_K, minlength=len(scale_C))
    score_C: Floats = np.divide(total_C, scale_C, out=np.full(len(scale_C), np.nan), where=scale_C > 0)
    return score_C


def roc_curve(y_N: ArrayLike, p_N: ArrayLike) -> Curve:
    """All points of one class's ROC curve, from (0, 0) to (1, 1).

    Raises:
        ValueError: the class has no positive or no negative, and so no curve.
    """
    at = _one_class(y_N, p_N, "ROC")
    return Curve(
        x=np.concatenate([[0.0], at.false_positives / at.n_negative[0]]),
        y=np.concatenate([[0.0], at.true_positives / at.n_positive[0]]),
        threshold=np.concatenate([[np.inf], at.threshold]),
    )


def precision_recall_curve(y_N: ArrayLike, p_N: ArrayLike) -> Curve:
    """All points of one class's precision–recall curve, from (recall 0, precision 1) to recall 1.

    The first point is a convention (nothing is predicted positive); it has no part in the average precision.

    Raises:
        ValueError: the class has no positive or no negative, and so no curve.
    """
    at = _one_class(y_N, p_N, "precision–recall")
    n_predicted_K = at.true_positives + at.false_positives
    return Curve(
        x=np.concatenate([[0.0], at.true_positives / at.n_positive[0]]),
        y=np.concatenate([[1.0], at.true_positives / n_predicted_K]),
        threshold=np.concatenate([[np.inf], at.threshold]),
    )


def _one_class(y_N: ArrayLike, p_N: ArrayLike, curve: str) -> Thresholds:
    y, p = np.asarray(y_N), np.asarray(p_N)
    if y.ndim != 1:
        raise ValueError(f"a curve is drawn for one class at a time; targets have the shape {y.shape}")
    at = count_thresholds(y[:, None], p[:, None])
    if at.n_positive[0] == 0 or at.n_negative[0] == 0:
        raise ValueError(f"a {curve} curve needs at least one positive and one negative record")
    return at
