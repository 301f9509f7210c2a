"""All metrics of models on the same held-out records, in resamples of patients that the models share.

A model that was trained with several seeds has the mean of its scores with each. An interval is of that mean
and covers draws of patients, not of seeds; the spread of seeds is a number of its own. Differences between
two models are paired: resample by resample, on the same weights of patients (`scores.resampling`).

Shapes: N record, C class, R resample.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scores.bootstrap import Interval, benjamini_hochberg, centred_interval, p_value
from scores.exclusive import exclusive_metrics
from scores.metrics import all_metrics, decision_metrics, metrics_from_counts
from scores.ranking import Floats
from scores.resampling import Metric, smooth_weights, weighted_scores
from scores.thresholds import decide

N_RESAMPLES = 1000
SEED = 0

RANKED = ("macro_auroc", "macro_auprc")
DECIDED = (
    "hamming_loss",
    "macro_f1",
    "macro_precision",
    "macro_recall",
    "macro_balanced_accuracy",
    "micro_f1",
    "micro_precision",
    "micro_recall",
    "subset_accuracy",
    "macro_specificity",
    "weighted_f1",
)
"""Metrics of decisions; with `RANKED` the eleven of table 2 of Jafari & Jafari, and two more."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Held:
    """Records on which models are compared, and their weights in every resample."""

    y_NC: NDArray[np.bool_]
    weight_NR: NDArray[np.float32]

    @classmethod
    def of(cls, y_NC: ArrayLike, patient_N: ArrayLike | None, n_resamples: int = N_RESAMPLES) -> "Held":
        """Draw the resamples; the same records always get the same ones.

        Args:
            y_NC: targets.
            patient_N: patient of each record; None draws records independently.
            n_resamples: R.
        """
        y = np.asarray(y_NC, dtype=np.bool_)
        weight_NR = smooth_weights(y, n_resamples, np.random.default_rng(SEED), patient_N)
        return cls(y_NC=y, weight_NR=weight_NR)


def scored(
    held: Held,
    probabilities: Sequence[ArrayLike],
    thresholds: Sequence[ArrayLike],
    *,
    exclusive: bool = False,
    ordinal: bool = False,
) -> dict[str, Interval]:
    """Metrics by name, mean over seeds, with intervals.

    Args:
        held: the records.
        probabilities: p_NC with each seed.
        thresholds: for each seed one number, or one for each class.
        exclusive: whether a record has exactly one class; accuracy and F1 of the most probable class are then
            among the metrics.
        ordinal: whether its classes have an order; quadratic kappa is then, too.
    """
    means: dict[str, list[tuple[float, Floats]]] = {}
    for p_NC, threshold in zip(probabilities, thresholds, strict=True):
        samples = _ranked_samples(held, p_NC) | _decided_samples(held, decide(p_NC, threshold))
        values = all_metrics(held.y_NC, p_NC, threshold).overall
        if exclusive:
            values |= exclusive_metrics(held.y_NC, p_NC, ordinal=ordinal).overall
            samples |= _exclusive_samples(held, np.argmax(np.asarray(p_NC), axis=1), ordinal=ordinal)
        for name, sample_R in samples.items():
            means.setdefault(name, []).append((values[name], sample_R))
    return {
        name: centred_interval(
            float(np.mean([value for value, _ in of_seeds])),
            np.mean([sample_R for _, sample_R in of_seeds], axis=0),
        )
        for name, of_seeds in means.items()
    }


def seed_deviation(held: Held, probabilities: Sequence[ArrayLike], metric: str) -> float:
    """Standard deviation of `macro_auprc` or another metric at .5 over seeds; NaN for a single one."""
    if len(probabilities) < 2:
        return float("nan")
    return float(np.std([all_metrics(held.y_NC, p_NC).overall[metric] for p_NC in probabilities], ddof=1))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Difference:
    """One model less another, on one metric."""

    first: int
    """Position of the model among those compared."""
    second: int
    metric: str
    interval: Interval
    p: float
    p_adjusted: float
    """Over all pairs of models on this metric (Benjamini & Hochberg 1995)."""


def differences(models: Sequence[Mapping[str, Interval]]) -> list[Difference]:
    """All pairs of models on all metrics that both have; the later model less the earlier one."""
    found = []
    for metric in models[0] if models else ():
        pairs = [
            (later, earlier)
            for earlier in range(len(models))
            for later in range(earlier + 1, len(models))
            if metric in models[earlier] and metric in models[later]
        ]
        intervals = [
            centred_interval(
                models[later][metric].value - models[earlier][metric].value,
                models[later][metric].samples - models[earlier][metric].samples,
            )
            for later, earlier in pairs
        ]
        p_M = [p_value(interval) for interval in intervals]
        found += [
            Difference(
                first=later, second=earlier, metric=metric, interval=interval, p=p, p_adjusted=adjusted
            )
            for (later, earlier), interval, p, adjusted in zip(
                pairs, intervals, p_M, benjamini_hochberg(p_M).tolist(), strict=True
            )
        ]
    return found


def _ranked_samples(held: Held, p_NC: ArrayLike) -> dict[str, Floats]:
    n_positive_C = held.y_NC.sum(axis=0)
    samples = {}
    metrics: tuple[tuple[str, Metric], ...] = (("macro_auprc", "auprc"), ("macro_auroc", "auroc"))
    for name, metric in metrics:
        score_RC = weighted_scores(held.y_NC, p_NC, held.weight_NR, metric)
        samples[name] = _mean_of(score_RC.T, (n_positive_C > 0) & (n_positive_C < len(held.y_NC)))
    return samples


def _decided_samples(held: Held, decision_NC: NDArray[np.bool_]) -> dict[str, Floats]:
    y, d, weight_NR = held.y_NC, decision_NC, held.weight_NR.astype(np.float64)
    tp_CR, called_CR, positive_CR = (cells.T.astype(np.float64) @ weight_NR for cells in (y & d, d, y))
    n_R = weight_NR.sum(axis=0)
    # Which classes count is said by the records themselves: sums of weights are zero but for rounding.
    point, n_positive_C = decision_metrics(y, d), y.sum(axis=0)
    per_class = metrics_from_counts(tp_CR, called_CR, positive_CR, n_R)
    used = {name: ~np.isnan(score_C) & (n_positive_C > 0) for name, score_C in point.items()}
    found = {f"macro_{name}": _mean_of(score_CR, used[name]) for name, score_CR in per_class.items()}
    pooled = metrics_from_counts(
        tp_CR.sum(axis=0), called_CR.sum(axis=0), positive_CR.sum(axis=0), n_R * y.shape[1]
    )
    for name in ("precision", "recall", "f1"):
        found[f"micro_{name}"] = pooled[name]
    f1_CR = np.where(used["f1"][:, None], per_class["f1"], 0.0)
    weight_CR = np.where(used["f1"][:, None], positive_CR, 0.0)
    found["weighted_f1"] = _ratio((f1_CR * weight_CR).sum(axis=0), weight_CR.sum(axis=0))
    found["hamming_loss"] = (called_CR + positive_CR - 2 * tp_CR).sum(axis=0) / (n_R * y.shape[1])
    found["subset_accuracy"] = (y == d).all(axis=1).astype(np.float64) @ weight_NR / n_R
    return {name: found[name] for name in DECIDED}


def _exclusive_samples(held: Held, predicted_N: NDArray[np.intp], *, ordinal: bool) -> dict[str, Floats]:
    """Metrics of the most probable class from the weighted confusion matrix of every resample."""
    n_classes = held.y_NC.shape[1]
    true_N = np.argmax(held.y_NC, axis=1)
    is_cell_NK = np.eye(n_classes**2, dtype=np.float64)[true_N * n_classes + predicted_N]
    confusion_CCR = (is_cell_NK.T @ held.weight_NR.astype(np.float64)).reshape(n_classes, n_classes, -1)
    true_CR, called_CR, n_R = confusion_CCR.sum(axis=1), confusion_CCR.sum(axis=0), confusion_CCR.sum((0, 1))
    right_CR = np.einsum("ccr->cr", confusion_CCR)
    f1_CR = _ratio(2 * right_CR, true_CR + called_CR)
    n_true_C = held.y_NC.sum(axis=0)
    scored_C = (n_true_C > 0) & (n_true_C < len(true_N))
    found = {
        "argmax_accuracy": right_CR.sum(axis=0) / n_R,
        "argmax_macro_f1": _mean_of(f1_CR, scored_C),
        "argmax_weighted_f1": _ratio(
            (np.nan_to_num(f1_CR) * true_CR)[scored_C].sum(axis=0), true_CR[scored_C].sum(axis=0)
        ),
    }
    if ordinal:
        squared_CC = np.subtract.outer(np.arange(n_classes), np.arange(n_classes)) ** 2
        observed_R = np.einsum("ij,ijr->r", squared_CC, confusion_CCR)
        expected_R = np.einsum("ij,ir,jr->r", squared_CC, true_CR, called_CR) / n_R
        found["quadratic_kappa"] = 1 - _ratio(observed_R, expected_R)
    return found


def _mean_of(score_CR: Floats, used_C: NDArray[np.bool_]) -> Floats:
    """Mean over some classes in every resample; NaN without any."""
    if not used_C.any():
        return np.full(score_CR.shape[1], np.nan)
    mean_R: Floats = score_CR[used_C].mean(axis=0)
    return mean_R


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    ratio: Floats = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=ratio, where=denominator > 0)
    return ratio
