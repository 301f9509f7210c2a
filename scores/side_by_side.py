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

from scores.bootstrap import (
    DIFFERENCE,
    Sampled,
    benjamini_hochberg,
    mean_of_seeds,
    p_value,
)
from scores.metrics import N_FREQUENT, all_metrics, macro, weighted_mean
from scores.ranking import METRICS
from scores.resampling import smooth_weights, weighted_scores
from scores.thresholds import most_probable
from scores.weighted_decisions import (
    weighted_confusion,
    weighted_decision_scores,
    weighted_kappa,
    weighted_micro_scores,
)

N_RESAMPLES = 1000
SEED = 0


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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SampledScores:
    """Scores of one model by name, means over its seeds, with their resamples."""

    overall: Mapping[str, Sampled]
    """Scores of all classes together."""
    classes: Mapping[str, Sampled]
    """Scores of every class, one number each."""
    seed_deviation: Mapping[str, float]
    """Standard deviation of `overall` over seeds; empty for a single one."""


def ranking_scores(
    held: ResampledRecords, probabilities: Sequence[ArrayLike], *, micro: bool = False
) -> SampledScores:
    """Scores without a threshold: AUPRC and AUROC of every class and their means.

    Args:
        held: the records.
        probabilities: p_NC with each seed.
        micro: whether to add micro averages, which take many times as long.

    Returns:
        auprc and auroc of the classes; macro_auprc, macro_auprc_min10 and macro_auroc of all together, with
        micro_auprc and micro_auroc.
    """
    n_positive_C = held.y_NC.sum(axis=0)
    of_all, of_classes = [], []
    for p_NC in probabilities:
        classes: dict[str, Sampled] = {
            metric: Sampled(point(held.y_NC, p_NC), weighted_scores(held.y_NC, p_NC, held.weight_NR, metric))
            for metric, point in METRICS.items()
        }
        overall = {f"macro_{metric}": _macro(each, n_positive_C) for metric, each in classes.items()}
        overall["macro_auprc_min10"] = _macro(classes["auprc"], n_positive_C, N_FREQUENT)
        for metric, point in METRICS.items() if micro else ():
            overall[f"micro_{metric}"] = Sampled(
                point(held.y_NC.reshape(-1, 1), np.asarray(p_NC).reshape(-1, 1))[0],
                weighted_micro_scores(held.y_NC, p_NC, held.weight_NR, metric),
            )
        of_classes.append(classes)
        of_all.append(overall)
    return _mean_scores(of_all, of_classes)


def decision_scores(held: ResampledRecords, decided: Sequence[NDArray[np.bool_]]) -> SampledScores:
    """Scores of decisions: those of `metrics.decision_metrics` of every class, their means, whole records.

    Args:
        held: the records.
        decided: decisions with each seed.
    """
    of_all, of_classes = [], []
    for decided_NC in decided:
        point = all_metrics(held.y_NC, decided_NC.astype(np.float64))
        samples = weighted_decision_scores(held.y_NC, decided_NC, held.weight_NR)
        of_classes.append(
            {name: Sampled(point.per_class[name], each) for name, each in samples.per_class.items()}
        )
        of_all.append(
            {name: Sampled(np.float64(point.overall[name]), each) for name, each in samples.overall.items()}
        )
    return _mean_scores(of_all, of_classes)


def most_probable_scores(
    held: ResampledRecords, probabilities: Sequence[ArrayLike], *, ordinal: bool
) -> SampledScores:
    """Scores of the most probable class as the decision, where a record has exactly one class.

    Args:
        held: the records.
        probabilities: p_NC with each seed.
        ordinal: whether the classes come in their order.

    Returns:
        Those of `decision_scores`, with accuracy and kappa, and quadratic_kappa of ordered classes.
    """
    found = decision_scores(held, [most_probable(np.asarray(p_NC)) for p_NC in probabilities])
    once_N1 = np.ones((len(held.y_NC), 1), dtype=np.float32)
    kappas = []
    for p_NC in probabilities:
        table_CC, table_RCC = (
            weighted_confusion(held.y_NC, p_NC, weight) for weight in (once_N1, held.weight_NR)
        )
        kappas.append(
            {
                name: Sampled(
                    weighted_kappa(table_CC, quadratic=quadratic)[0],
                    weighted_kappa(table_RCC, quadratic=quadratic),
                    bounds=DIFFERENCE,
                )
                for name, quadratic in (("kappa", False), ("quadratic_kappa", True))[: 1 + ordinal]
            }
        )
    accuracy = {"accuracy": found.overall["subset_accuracy"]}
    return SampledScores(
        overall={**found.overall, **accuracy, **mean_of_seeds(kappas)},
        classes=found.classes,
        seed_deviation=found.seed_deviation,
    )


def _mean_scores(
    of_all: Sequence[Mapping[str, Sampled]], of_classes: Sequence[Mapping[str, Sampled]]
) -> SampledScores:
    """Means over seeds."""
    deviation = (
        {name: float(np.std([each[name].value for each in of_all], ddof=1)) for name in of_all[0]}
        if len(of_all) > 1
        else {}
    )
    return SampledScores(
        overall=mean_of_seeds(of_all), classes=mean_of_seeds(of_classes), seed_deviation=deviation
    )


def _macro(classes: Sampled, n_positive_C: NDArray[np.int64], min_positive: int = 1) -> Sampled:
    value = macro(classes.value, n_positive_C, min_positive=min_positive).value
    return Sampled(np.float64(value), weighted_mean(classes.sample_R, n_positive_C >= min_positive, axis=1))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Difference:
    """One model less another, on one metric."""

    first: int
    """Position of the model among those compared."""
    second: int
    metric: str
    sampled: Sampled
    p: float
    p_adjusted: float
    """p adjusted over all pairs of models on this metric (Benjamini & Hochberg 1995)."""


def differences(models: Sequence[Mapping[str, Sampled]]) -> list[Difference]:
    """All pairs of models on all metrics that both have; the later model less the earlier one."""
    found = []
    for metric in models[0] if models else ():
        pairs = [
            (later, earlier)
            for earlier in range(len(models))
            for later in range(earlier + 1, len(models))
            if metric in models[earlier] and metric in models[later]
        ]
        sampled = [models[later][metric].less(models[earlier][metric]) for later, earlier in pairs]
        p_M = [p_value(each.interval()) for each in sampled]
        found += [
            Difference(first=later, second=earlier, metric=metric, sampled=each, p=p, p_adjusted=adjusted)
            for (later, earlier), each, p, adjusted in zip(
                pairs, sampled, p_M, benjamini_hochberg(p_M).tolist(), strict=True
            )
        ]
    return found
