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

from scores.bootstrap import Interval, benjamini_hochberg, centred_interval, difference, p_value
from scores.exclusive import ORDINAL_METRICS, exclusive_metrics
from scores.metrics import all_metrics
from scores.ranking import Floats, Metric
from scores.resampling import smooth_weights, weighted_scores
from scores.thresholds import decide
from scores.weighted_decisions import weighted_decision_scores, weighted_exclusive_scores

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
class ResampledRecords:
    """Records on which models are compared, and their weights in every resample."""

    y_NC: NDArray[np.bool_]
    weight_NR: NDArray[np.float32]

    @classmethod
    def of(
        cls, y_NC: ArrayLike, patient_N: ArrayLike | None, n_resamples: int = N_RESAMPLES
    ) -> "ResampledRecords":
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
    held: ResampledRecords,
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
            samples |= _exclusive_samples(held, p_NC, ordinal=ordinal)
        for name, sample_R in samples.items():
            means.setdefault(name, []).append((values[name], sample_R))
    return {
        name: centred_interval(
            float(np.mean([value for value, _ in of_seeds])),
            np.mean([sample_R for _, sample_R in of_seeds], axis=0),
        )
        for name, of_seeds in means.items()
    }


def seed_deviation(held: ResampledRecords, probabilities: Sequence[ArrayLike], metric: str) -> float:
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
    """p adjusted over all pairs of models on this metric (Benjamini & Hochberg 1995)."""


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
        intervals = [difference(models[later][metric], models[earlier][metric]) for later, earlier in pairs]
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


def _ranked_samples(held: ResampledRecords, p_NC: ArrayLike) -> dict[str, Floats]:
    n_positive_C = held.y_NC.sum(axis=0)
    samples = {}
    metrics: tuple[tuple[str, Metric], ...] = (("macro_auprc", "auprc"), ("macro_auroc", "auroc"))
    for name, metric in metrics:
        score_RC = weighted_scores(held.y_NC, p_NC, held.weight_NR, metric)
        samples[name] = _mean_of(score_RC.T, (n_positive_C > 0) & (n_positive_C < len(held.y_NC)))
    return samples


def _decided_samples(held: ResampledRecords, decision_NC: NDArray[np.bool_]) -> dict[str, Floats]:
    found = weighted_decision_scores(held.y_NC, decision_NC, held.weight_NR).overall
    return {name: found[name] for name in DECIDED}


def _exclusive_samples(held: ResampledRecords, p_NC: ArrayLike, *, ordinal: bool) -> dict[str, Floats]:
    found = weighted_exclusive_scores(held.y_NC, p_NC, held.weight_NR, ordinal=ordinal)
    return {name: sample_R for name, sample_R in found.items() if name in ORDINAL_METRICS}


def _mean_of(score_CR: Floats, used_C: NDArray[np.bool_]) -> Floats:
    """Mean over some classes in every resample; NaN without any."""
    if not used_C.any():
        return np.full(score_CR.shape[1], np.nan)
    mean_R: Floats = score_CR[used_C].mean(axis=0)
    return mean_R
