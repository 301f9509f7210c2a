"""Clinical operating points of models, class by class, with their intervals."""

from collections.abc import Sequence

import numpy as np

from reports.findings.record_set import Probabilities, Targets
from reports.numbers import NOTHING, integer_words
from reports.schema import Estimate
from scores.bootstrap import Sampled, mean_of, mean_of_seeds
from scores.operating_points import (
    ALARM_RATE,
    SENSITIVITY_AT_SPECIFICITY,
    SENSITIVITY_IN_TOP,
    SPECIFICITY_AT_SENSITIVITY,
    operating_points,
)
from scores.resampling import Weights

OPERATING_POINT_WORDS = (
    ("sensitivity at specificity .9", SENSITIVITY_AT_SPECIFICITY),
    ("specificity at sensitivity .9", SPECIFICITY_AT_SENSITIVITY),
    ("sensitivity in the top 5 %", SENSITIVITY_IN_TOP),
)
ALARM_WORDS = "alarms per 1,000 records"


def class_operating_points(
    y_NC: Targets, probabilities: Sequence[Probabilities], decided: Sequence[Targets], weight_NR: Weights
) -> dict[str, Sampled]:
    """Operating points and alarm rate of every class, mean over seeds.

    Args:
        y_NC: targets.
        probabilities: p_NC with each seed.
        decided: decisions with each seed, which the alarm rate is of.
        weight_NR: weights of the records in every resample.
    """
    once_N1 = np.ones((len(y_NC), 1), dtype=np.float32)
    seeds = []
    for p_NC in probabilities:
        values, samples = operating_points(y_NC, p_NC, once_N1), operating_points(y_NC, p_NC, weight_NR)
        seeds.append({name: Sampled(value_1C[0], samples[name]) for name, value_1C in values.items()})
    return mean_of_seeds(seeds) | {ALARM_RATE: mean_of([_share_called(d_NC, weight_NR) for d_NC in decided])}


def _share_called(d_NC: Targets, weight_NR: Weights) -> Sampled:
    """Share of the records that are called positive, for every class."""
    weight_RN = weight_NR.T.astype(np.float64)
    sample_RC = weight_RN @ d_NC.astype(np.float64) / weight_RN.sum(axis=1, keepdims=True)
    return Sampled(d_NC.mean(axis=0), sample_RC)


def per_thousand_words(rate: Estimate) -> str:
    """A rate per 1,000 records with its interval."""
    ends = (rate.value, rate.low, rate.high)
    value, low, high = (NOTHING if each is None else integer_words(round(1000 * each)) for each in ends)
    return value if rate.low is None else f"{value} [{low}, {high}]"
