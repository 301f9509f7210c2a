"""Every score of a multi-label classifier that needs only targets and predictions.

**The rule for classes that cannot be scored**, used everywhere in this project: a class without a positive
record, or without a negative one, is *undefined*: its average precision, AUROC, precision, F1 and balanced
accuracy are nan. (Where every record is positive, precision is 1 for any prediction, and so would be the
average precision.) Recall needs a positive record, specificity a negative one. In cross-validation the rule
holds in each fold. An undefined class is left out of macro means, and is named and counted
(`MacroScore.undefined`, `Scores.undefined`), never silently dropped and never counted as 0 or 1. A class that
*can* be scored but is never predicted has precision and F1 of 0, as with scikit-learn's `zero_division=0`.
Micro averages pool all cells into one class and follow the same rule; means weighted by the number of
positives give an undefined class no weight.

Shapes: N record, C class, F fold. All arithmetic is float64.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scores.ranking import (
    Floats,
    area_precision_recall,
    area_roc,
    auroc,
    average_precision,
    checked,
    count_thresholds,
    precision_recall_curve,
    roc_curve,
)
from scores.thresholds import decide, f_max

__all__ = [
    "OVERALL_METRICS",
    "PER_CLASS_METRICS",
    "MacroScore",
    "Scores",
    "all_metrics",
    "auroc",
    "average_precision",
    "binary_confusion",
    "cross_validated",
    "cross_validated_auprc",
    "decision_metrics",
    "degenerate_classes",
    "macro",
    "metrics_from_counts",
    "precision_recall_curve",
    "roc_curve",
    "spearman",
    "weighted_mean",
]

PER_CLASS_METRICS = (
    "auprc",
    "auroc",
    "precision",
    "recall",
    "f1",
    "specificity",
    "balanced_accuracy",
    "accuracy",
)
N_FREQUENT = 10
"""Positives from which a class counts as frequent."""
OVERALL_METRICS = (
    "macro_auprc",
    "macro_auprc_min10",
    "macro_auroc",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "macro_specificity",
    "macro_balanced_accuracy",
    "micro_precision",
    "micro_recall",
    "micro_f1",
    "weighted_precision",
    "weighted_recall",
    "weighted_f1",
    "hamming_loss",
    "label_accuracy",
    "subset_accuracy",
    "f_max",
    "spearman_prevalence_f1",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class MacroScore:
    """A mean over classes, and what it is made of."""

    value: float
    """Mean over the classes that can be scored; nan if none can."""
    per_class: Floats
    """(C,) score of each class; nan where undefined."""
    n_positive: NDArray[np.int64]
    """(C,) positives behind each score."""
    undefined: tuple[int, ...]
    """Classes left out of the mean: they cannot be scored, or have too few positives."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """All metrics of one set of predictions; the names are those stored in the database."""

    overall: dict[str, float]
    """`OVERALL_METRICS`: name to value."""
    per_class: dict[str, Floats]
    """`PER_CLASS_METRICS`: name to (C,) values, nan where undefined."""
    n_positive: NDArray[np.int64]
    """(C,) positives of each class."""
    undefined: tuple[int, ...]
    """Classes without a positive or without a negative record."""


def macro(per_class_C: ArrayLike, n_positive_C: ArrayLike, *, min_positive: int = 1) -> MacroScore:
    """Plain mean over the classes that can be scored and have at least `min_positive` positives."""
    score_C = np.asarray(per_class_C, dtype=np.float64)
    support_C = np.asarray(n_positive_C, dtype=np.int64)
    used_C = ~np.isnan(score_C) & (support_C >= min_positive)
    return MacroScore(
        value=float(score_C[used_C].mean()) if used_C.any() else float("nan"),
        per_class=score_C,
        n_positive=support_C,
        undefined=tuple(np.flatnonzero(~used_C).tolist()),
    )


def weighted_mean(score: ArrayLike, weight: ArrayLike, *, axis: int = 0) -> Floats:
    """Mean over an axis; undefined scores (nan) have no weight, nan where no weight is left."""
    scores = np.asarray(score, dtype=np.float64)
    weights = np.where(np.isnan(scores), 0.0, np.broadcast_to(weight, scores.shape))
    total = weights.sum(axis=axis)
    summed = (np.nan_to_num(scores) * weights).sum(axis=axis)
    mean: Floats = np.divide(summed, total, out=np.full(total.shape, np.nan), where=total > 0)
    return mean


def cross_validated(
    folds: Sequence[tuple[ArrayLike, ArrayLike]],
    metric: Callable[[ArrayLike, ArrayLike], Floats] = average_precision,
) -> MacroScore:
    """A class-wise metric over cross-validation folds.

    Per class, the score in each fold that has a positive and a negative, averaged with the number of
    positives as weight; then the plain mean over the classes with a score. With a single fold it is the
    ordinary macro score.

    Args:
        folds: (y_NC, p_NC) of each fold, the same classes in each.
        metric: from (y_NC, p_NC) to (C,), nan where undefined.

    Raises:
        ValueError: no fold, or folds with different numbers of classes.
    """
    if len({np.shape(y_NC)[-1] for y_NC, _ in folds}) != 1:
        raise ValueError("cross-validation needs at least one fold and the same classes in every fold")
    n_positive_FC = np.array([np.count_nonzero(np.asarray(y_NC), axis=0) for y_NC, _ in folds])
    score_FC = np.array([metric(y_NC, p_NC) for y_NC, p_NC in folds])
    return macro(weighted_mean(score_FC, n_positive_FC), n_positive_FC.sum(axis=0))


def cross_validated_auprc(folds: Sequence[tuple[ArrayLike, ArrayLike]]) -> MacroScore:
    """The objective of a study, CV macro-AUPRC: `cross_validated` with average precision."""
    return cross_validated(folds, average_precision)


def degenerate_classes(classes: Sequence[str], folds: Sequence[ArrayLike]) -> dict[str, str]:
    """Classes that `cross_validated` leaves out of the mean, each with the reason in words.

    Args:
        classes: names of the classes.
        folds: y_NC of each fold.
    """
    n_positive_FC = np.array([np.count_nonzero(np.asarray(y_NC), axis=0) for y_NC in folds])
    n_records_F1 = np.array([len(np.asarray(y_NC)) for y_NC in folds])[:, None]
    is_scored_C = ((n_positive_FC > 0) & (n_positive_FC < n_records_F1)).any(axis=0)
    reasons = {}
    for index in np.flatnonzero(~is_scored_C):
        n_positive = int(n_positive_FC[:, index].sum())
        if n_positive == 0:
            reason = "no record has it"
        elif n_positive == n_records_F1.sum():
            reason = "every record has it"
        else:
            reason = "in each fold all records or none have it"
        reasons[classes[int(index)]] = reason
    return reasons


def unseen_classes(
    classes: Sequence[str], n_positive_FC: NDArray[np.int64], n_records_F: Sequence[int]
) -> list[str]:
    """Classes that `cross_validated` scores on one fold alone: by a model trained without a positive.

    Args:
        classes: names of the classes.
        n_positive_FC: positives of each class in each fold; the model of a fold is trained on all others.
        n_records_F: records of each fold.
    """
    n_records_F1 = np.asarray(n_records_F)[:, None]
    is_scored_C = ((n_positive_FC > 0) & (n_positive_FC < n_records_F1)).any(axis=0)
    is_in_one_C = np.count_nonzero(n_positive_FC, axis=0) == 1
    return [name for name, is_unseen in zip(classes, is_scored_C & is_in_one_C, strict=True) if is_unseen]


def decision_metrics(y_NC: ArrayLike, decision_NC: ArrayLike) -> dict[str, Floats]:
    """Per-class precision, recall, f1, specificity, balanced_accuracy and accuracy of decisions."""
    y, d = np.asarray(y_NC, dtype=np.bool_), np.asarray(decision_NC, dtype=np.bool_)
    tp_C = np.count_nonzero(y & d, axis=0)
    return metrics_from_counts(tp_C, np.count_nonzero(d, axis=0), np.count_nonzero(y, axis=0), len(y))


def metrics_from_counts(
    tp: ArrayLike, predicted: ArrayLike, positive: ArrayLike, n: int | Floats
) -> dict[str, Floats]:
    """Decision metrics by the rule of this module from counts, or from sums of weights.

    Args:
        tp: true positives, of any shape.
        predicted: predicted positives.
        positive: positives.
        n: records behind each.

    Returns:
        precision, recall, f1, specificity, balanced_accuracy and accuracy, in the shape of the counts.
    """
    true_positive, predicted_positive, has = (
        np.asarray(each, dtype=float) for each in (tp, predicted, positive)
    )
    has_not: Floats = n - has
    true_negative = has_not - (predicted_positive - true_positive)
    recall = _ratio(true_positive, has, empty=np.nan)
    specificity = _ratio(true_negative, has_not, empty=np.nan)
    undefined = np.where((has > 0) & (has_not > 0), 0.0, np.nan)
    return {
        "precision": _ratio(true_positive, predicted_positive, empty=0.0) + undefined,
        "recall": recall,
        "f1": _ratio(2 * true_positive, predicted_positive + has, empty=0.0) + undefined,
        "specificity": specificity,
        "balanced_accuracy": (recall + specificity) / 2,
        "accuracy": (true_positive + true_negative) / n,
    }


def _ratio(numerator: Floats, denominator: Floats, *, empty: float) -> Floats:
    ratio = np.full(np.shape(numerator), empty)
    np.divide(numerator, denominator, out=ratio, where=denominator > 0)
    return ratio


def all_metrics(y_NC: ArrayLike, p_NC: ArrayLike, thresholds: ArrayLike = 0.5) -> Scores:
    """All scores at once, each by the rule in the module's docstring.

    `hamming_loss` is the share of wrong cells, `label_accuracy` the share of right ones, `subset_accuracy`
    the share of records with every class right. `macro_auprc_min10` leaves out classes with fewer than ten
    positives, which carry most of the noise. `spearman_prevalence_f1` tests whether frequent classes are
    recognised better.

    Args:
        y_NC: targets, boolean or 0/1.
        p_NC: probabilities.
        thresholds: one number, or one for each class.

    Raises:
        ValueError: see `ranking.checked`.
    """
    y, p = checked(y_NC, p_NC)
    decision_NC = decide(p, thresholds)
    at = count_thresholds(y, p)
    per_class = {"auprc": area_precision_recall(at), "auroc": area_roc(at)}
    per_class |= decision_metrics(y, decision_NC)
    n_positive_C = at.n_positive
    overall = {f"macro_{name}": macro(score_C, n_positive_C).value for name, score_C in per_class.items()}
    overall["macro_auprc_min10"] = macro(per_class["auprc"], n_positive_C, min_positive=N_FREQUENT).value
    tp, predicted = int(np.count_nonzero(y & decision_NC)), int(np.count_nonzero(decision_NC))
    pooled = metrics_from_counts(tp, predicted, int(n_positive_C.sum()), y.size)
    for name in ("precision", "recall", "f1"):
        overall[f"micro_{name}"] = float(pooled[name])
        overall[f"weighted_{name}"] = float(weighted_mean(per_class[name], n_positive_C))
    overall["hamming_loss"] = float(np.mean(y != decision_NC))
    overall["label_accuracy"] = 1.0 - overall["hamming_loss"]
    overall["subset_accuracy"] = float(np.mean((y == decision_NC).all(axis=1)))
    overall["f_max"] = f_max(y, p)
    overall["spearman_prevalence_f1"], _ = spearman(n_positive_C / len(y), per_class["f1"])
    return Scores(
        overall={name: overall[name] for name in OVERALL_METRICS},
        per_class=per_class,
        n_positive=n_positive_C,
        undefined=tuple(np.flatnonzero((n_positive_C == 0) | (n_positive_C == len(y))).tolist()),
    )


def binary_confusion(y_NC: ArrayLike, decision_NC: ArrayLike) -> NDArray[np.int64]:
    """One 2×2 table per class, [[true negative, false positive], [false negative, true positive]].

    As scikit-learn's `multilabel_confusion_matrix`, which takes a single class for two.

    Returns:
        (C, 2, 2) counts.
    """
    y, d = np.asarray(y_NC, dtype=np.bool_), np.asarray(decision_NC, dtype=np.bool_)
    count_C = [np.count_nonzero(cells, axis=0) for cells in (~y & ~d, ~y & d, y & ~d, y & d)]
    return np.stack(count_C, axis=1).reshape(-1, 2, 2).astype(np.int64)


def spearman(first_C: ArrayLike, second_C: ArrayLike) -> tuple[float, float]:
    """Rank correlation with average ranks for ties; pairs with a nan are left out.

    Returns:
        Value in [−1, 1], and two-sided p against zero by Student's t of n − 2 degrees of freedom; both nan if
        fewer than two pairs remain or either side is constant.
    """
    from scipy.stats import spearmanr  # half a second that most readers of this module do not need

    first, second = np.asarray(first_C, dtype=np.float64), np.asarray(second_C, dtype=np.float64)
    used = ~(np.isnan(first) | np.isnan(second))
    if used.sum() < 2 or np.ptp(first[used]) == 0 or np.ptp(second[used]) == 0:
        return float("nan"), float("nan")
    found = spearmanr(first[used], second[used])
    return float(found.statistic), float(found.pvalue)
