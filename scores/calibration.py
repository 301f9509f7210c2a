"""Calibration of probabilities: temperature scaling, reliability and risk against coverage.

Temperatures are fitted to held-out predictions and applied to others. The temperature of a class leaves the
order of its records as it is, and with it AUROC and AUPRC.

Shapes: N record, C class, B bin, K coverage.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, softmax

from scores.conformal import Share, share
from scores.ranking import Floats, checked, checked_exclusive, has_both

LEAST_TEMPERATURE: Final = 0.1
MOST_TEMPERATURE: Final = 10.0
"""Range of temperatures: without it the best one of perfectly separated records would be 0."""
SMALLEST_PROBABILITY: Final = 2.0**-24
"""Substitute for a probability of 0 (1 minus it, for 1): the distance of 1 to the float32 below."""
N_BINS: Final = 15
"""Number of bins, as in Guo et al. 2017."""


def fit_temperatures(y_NC: ArrayLike, p_NC: ArrayLike) -> Floats:
    """Temperature of each class of a multi-label model: the T of smallest −log likelihood of σ(logit(p) / T).

    Guo et al. 2017 ("On calibration of modern neural networks", section 4.2), for each class alone, since
    each has a sigmoid of its own. The likelihood is concave in 1/T, so that the zero of its slope is found
    exactly. A class without a positive or without a negative keeps a temperature of 1.

    Args:
        y_NC: targets, boolean or 0/1.
        p_NC: probabilities of held-out records.

    Returns:
        (C,) numbers from `LEAST_TEMPERATURE` to `MOST_TEMPERATURE`.

    Raises:
        ValueError: see `ranking.checked`.
    """
    y, p = checked(y_NC, p_NC)
    logits = logit(_inside(p))
    temperature_C = np.ones(y.shape[1])
    for index in np.flatnonzero(has_both(y)):
        sign_N, logit_N = np.where(y[:, index], 1.0, -1.0), logits[:, index]

        def slope(scale: float, margin_N: Floats = sign_N * logit_N) -> float:
            """Derivative of the mean −log likelihood by 1/T."""
            return float(np.mean(-margin_N * expit(-scale * margin_N)))

        temperature_C[index] = _temperature_of(slope)
    return temperature_C


def fit_softmax_temperature(y_NC: ArrayLike, p_NC: ArrayLike) -> float:
    """Temperature of a model of exclusive classes, for softmax(log(p) / T).

    One for all classes, as in Guo et al. 2017, section 4.2: temperatures of single classes would change the
    most probable class.

    Args:
        y_NC: targets, one class per record.
        p_NC: probabilities of held-out records, which sum to 1.

    Raises:
        ValueError: see `ranking.checked_exclusive`.
    """
    y, p = checked_exclusive(y_NC, p_NC)
    log_p = np.log(_inside(p))
    true_N = log_p[y]

    def slope(scale: float) -> float:
        expected_N = (softmax(scale * log_p, axis=1) * log_p).sum(axis=1)
        return float(np.mean(expected_N - true_N))

    return _temperature_of(slope)


def _temperature_of(slope: Callable[[float], float]) -> float:
    """1 over the zero of a rising function, or the end of the range that comes nearest."""
    least, most = 1 / MOST_TEMPERATURE, 1 / LEAST_TEMPERATURE
    if slope(least) >= 0:
        return MOST_TEMPERATURE
    if slope(most) <= 0:
        return LEAST_TEMPERATURE
    from scipy.optimize import brentq

    return 1 / float(brentq(slope, least, most))


def calibrate(p_NC: ArrayLike, temperature_C: ArrayLike) -> Floats:
    """Calibrated probabilities of a multi-label model, σ(logit(p) / T).

    Args:
        p_NC: probabilities, shape (…, C).
        temperature_C: one for each class, or one number.
    """
    calibrated: Floats = expit(logit(_inside(p_NC)) / np.asarray(temperature_C, dtype=np.float64))
    return calibrated


def calibrate_softmax(p_NC: ArrayLike, temperature: float) -> Floats:
    """Calibrated probabilities where exactly one class is true, softmax(log(p) / T), shape (…, C)."""
    calibrated: Floats = softmax(np.log(_inside(p_NC)) / temperature, axis=-1)
    return calibrated


def _inside(p_NC: ArrayLike) -> Floats:
    """Probabilities with a finite logit."""
    return np.clip(np.asarray(p_NC, dtype=np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reliability:
    """Points of a reliability diagram: those bins of equal width from 0 to 1 that hold a record."""

    probability_B: Floats
    """Mean probability of the records of a bin."""
    share_B: tuple[Share, ...]
    """Share of them for which it came true, with its 95 % interval and n."""

    @property
    def error(self) -> float:
        """Expected calibration error: mean of |probability − share| over records (Guo et al. 2017, eq. 3)."""
        n_B = np.array([each.n for each in self.share_B])
        came_true_B = np.array([each.value for each in self.share_B])
        return float(np.average(np.abs(self.probability_B - came_true_B), weights=n_B))


def reliability(y_N: ArrayLike, p_N: ArrayLike, *, n_bins: int = N_BINS) -> Reliability:
    """Reliability diagram: observed frequency by predicted probability.

    For a class of a multi-label model: its targets and probabilities. For an exclusive tier: whether the
    most probable class was right, and its probability.

    Args:
        y_N: whether it came true.
        p_N: probabilities.
        n_bins: bins of equal width; a probability on an edge belongs to the bin below it.

    Raises:
        ValueError: a number is no probability; otherwise see `ranking.checked`.
    """
    y_N1, p_N1 = checked(np.asarray(y_N)[:, None], np.asarray(p_N)[:, None])
    y, p = y_N1[:, 0], p_N1[:, 0]
    if ((p < 0) | (p > 1)).any():
        raise ValueError("probabilities must be between 0 and 1")
    bin_N = bin_of(p, n_bins)
    bins = [bin_N == index for index in np.unique(bin_N)]
    return Reliability(
        probability_B=np.array([p[inside].mean() for inside in bins]),
        share_B=tuple(share(y[inside]) for inside in bins),
    )


def bin_of(p_NC: ArrayLike, n_bins: int = N_BINS) -> NDArray[np.int64]:
    """Bin of each probability, from 0; one on an edge belongs to the bin below it."""
    return np.maximum(np.ceil(np.asarray(p_NC, dtype=np.float64) * n_bins).astype(np.int64) - 1, 0)


def expected_calibration_error(y_N: ArrayLike, p_N: ArrayLike, *, n_bins: int = N_BINS) -> float:
    """Expected calibration error; see `reliability`."""
    return reliability(y_N, p_N, n_bins=n_bins).error


@dataclass(frozen=True, kw_only=True, slots=True)
class RiskCoverage:
    """Mean error of the records answered when only the most confident ones are, for every number of them."""

    coverage_K: Floats
    """Share of records answered, 1/N … 1."""
    risk_K: Floats
    """Mean error of those."""

    @property
    def area(self) -> float:
        """Mean risk over all coverages (AURC; Geifman et al. 2019); that of random order is the last risk."""
        return float(self.risk_K.mean())


def risk_coverage(error_N: ArrayLike, confidence_N: ArrayLike) -> RiskCoverage:
    """Risk against coverage (El-Yaniv and Wiener 2010).

    Of equally confident records each is taken as likely to come first: inside such a group the mean error
    of the group is added for each.

    Args:
        error_N: error of each record, such as 0 or 1, or the share of wrong classes.
        confidence_N: how sure the model is of it; any scale.

    Raises:
        ValueError: shapes differ, or there is no record.
    """
    error, confidence = np.asarray(error_N, dtype=np.float64), np.asarray(confidence_N, dtype=np.float64)
    if error.ndim != 1 or error.shape != confidence.shape or not len(error):
        raise ValueError(f"errors {error.shape} and confidences {confidence.shape} must both be (records,)")
    _, group_N = np.unique(-confidence, return_inverse=True)
    n_G = np.bincount(group_N)
    mean_G = np.bincount(group_N, weights=error) / n_G
    number_K = np.arange(1, len(error) + 1)
    return RiskCoverage(coverage_K=number_K / len(error), risk_K=np.cumsum(np.repeat(mean_G, n_G)) / number_K)
