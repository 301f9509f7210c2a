"""Resamples of patients as weights of records, and scores under such weights.

Drawing a record twice is the same as giving it the weight 2, so a ranking is sorted once and each resample
is a sum of weights: a thousand resamples of 21,799 records and 23 classes take about a second.

Shapes: N record, C class, G patient, R resample, K group of equal scores that holds a positive.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scores.ranking import Floats, Metric, checked, has_both

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Weights = NDArray[np.float32]

_N_RESAMPLES_AT_ONCE = 250
"""Resamples handled together; bounds the memory of a class with many positives."""
LEAST_SHAPE = 1 / 3
"""Shape of the weights in strata of one or two patients, whose spread cannot be estimated."""
SMALLEST_WEIGHT = 1e-6
"""A weight of nothing would take the patient out of the resample."""


def rarest_class(y_NC: ArrayLike, patient_N: ArrayLike | None = None) -> NDArray[np.int64]:
    """Stratum of every record: the rarest class its patient has.

    Args:
        y_NC: targets.
        patient_N: patient of each record; None if every record is a patient of its own.

    Returns:
        (N,) index of the class, C where the patient has none. Records of a patient share a stratum.
    """
    y = np.asarray(y_NC, dtype=np.bool_)
    patient = np.arange(len(y)) if patient_N is None else np.unique(patient_N, return_inverse=True)[1]
    has_GC = np.zeros((patient.max(initial=-1) + 1, y.shape[1]), dtype=np.bool_)
    np.logical_or.at(has_GC, patient, y)
    n_patients_C = has_GC.sum(axis=0)
    cost_GC = np.where(has_GC, n_patients_C, len(has_GC) + 1)
    stratum_G = np.where(has_GC.any(axis=1), np.argmin(cost_GC, axis=1), y.shape[1])
    return np.asarray(stratum_G[patient], dtype=np.int64)


def smooth_weights(
    y_NC: ArrayLike, n_resamples: int, rng: np.random.Generator, patient_N: ArrayLike | None = None
) -> Weights:
    """Weight of each record in each resample, with every patient in every resample.

    Drawing with replacement loses a class of two patients in one resample of seven. Random weights of mean
    1 do not (Rubin 1981, exponential ones). Either way n patients spread less than their population, by
    (n − 1) / n and (n − 1) / (n + 1), which matters where n is small: among the patients whose rarest class
    is the same. Weights are therefore drawn from a gamma distribution of shape (n − 1) / (n + 1), at least
    `LEAST_SHAPE`, n being the patients of the stratum; for large n that is the exponential.

    Args:
        y_NC: targets.
        n_resamples: R.
        rng: source of randomness.
        patient_N: patient of each record; all records of a patient weigh the same.

    Returns:
        (N, R) positive numbers of mean 1.
    """
    stratum_N = rarest_class(y_NC, patient_N)
    patient = np.arange(len(stratum_N)) if patient_N is None else np.unique(patient_N, return_inverse=True)[1]
    stratum_G = np.zeros(int(patient.max(initial=-1)) + 1, dtype=np.int64)
    stratum_G[patient] = stratum_N
    n_G = np.bincount(stratum_G)[stratum_G]
    shape_G1 = np.maximum((n_G - 1) / (n_G + 1), LEAST_SHAPE)[:, None]
    weight_GR = rng.standard_gamma(shape_G1, size=(len(n_G), n_resamples)) / shape_G1
    return np.maximum(weight_GR, SMALLEST_WEIGHT).astype(np.float32)[patient]


def resample_weights(
    n_records: int, n_resamples: int, rng: np.random.Generator, patient_N: ArrayLike | None = None
) -> Weights:
    """Number of times that each record is drawn in each resample.

    Args:
        n_records: N.
        n_resamples: R.
        rng: source of randomness.
        patient_N: patient of each record; draws patients, each with all of its records.

    Returns:
        (N, R) whole numbers as float32, exact below 16 million records.
    """
    group_N = np.arange(n_records) if patient_N is None else np.unique(patient_N, return_inverse=True)[1]
    n_groups = int(group_N.max()) + 1
    drawn_RG = rng.integers(n_groups, size=(n_resamples, n_groups))
    cell_RG = drawn_RG * n_resamples + np.arange(n_resamples)[:, None]
    weight_GR = np.bincount(cell_RG.ravel(), minlength=n_groups * n_resamples).astype(np.float32)
    return weight_GR.reshape(n_groups, n_resamples)[group_N]


def weighted_scores(y_NC: ArrayLike, p_NC: ArrayLike, weight_NR: Weights, metric: Metric = "auprc") -> Floats:
    """Average precision or AUROC of every class under every weighting of the records.

    Returns:
        (R, C) float64, nan where a weighting leaves a class without a positive or without a negative.
    """
    y, p = checked(y_NC, p_NC)
    n_resamples, n_classes = weight_NR.shape[1], y.shape[1]
    score_RC = np.full((n_resamples, n_classes), np.nan)
    scored = np.flatnonzero(has_both(y))
    rankings = {index: _Sorted.of(y[:, index], p[:, index]) for index in scored}
    for start in range(0, n_resamples, _N_RESAMPLES_AT_ONCE):
        some = slice(start, start + _N_RESAMPLES_AT_ONCE)
        some_weights = np.ascontiguousarray(weight_NR[:, some])
        # Summed on its own: what rounding leaves of total minus positives is no negative.
        n_negative_CR = (~y[:, scored]).T.astype(np.float32) @ some_weights
        for (index, ranking), n_negative_R in zip(rankings.items(), n_negative_CR, strict=True):
            score_RC[some, index] = ranking.score(some_weights, n_negative_R.astype(np.float64), metric)
    return score_RC


@dataclass(frozen=True, slots=True, eq=False)
class _Sorted:
    """One class in order of falling score, split into the groups of equal scores that hold a positive.

    Both matrices hold a row of ones and zeros per group: times the weights of the records they give sums.
    """

    between: "csr_array"  # (K, N) records ranked after the previous such group and before this one
    group: "csr_array"  # (K, N) all records of the group
    positive: "csr_array"  # (K, N) positives of the group

    @classmethod
    def of(cls, y_N: NDArray[np.bool_], p_N: Floats) -> "_Sorted":
        order = np.argsort(-p_N, kind="stable")
        hit, score = y_N[order], p_N[order]
        end = np.append(np.flatnonzero(np.diff(score)) + 1, len(score))
        start = np.concatenate([[0], end[:-1]])
        n_positive_before = np.concatenate([[0], np.cumsum(hit)])
        held = n_positive_before[end] > n_positive_before[start]
        start, end = start[held], end[held]
        before = np.concatenate([[0], end[:-1]])
        return cls(
            between=_sums(order, before, start, len(y_N)),
            group=_sums(order, start, end, len(y_N)),
            positive=_sums(order[hit], n_positive_before[start], n_positive_before[end], len(y_N)),
        )

    def score(self, weight_NR: Weights, n_negative_R: Floats, metric: Metric) -> Floats:
        gained_KR = (self.positive @ weight_NR).astype(np.float64)
        tp_KR = np.cumsum(gained_KR, axis=0)
        group_KR = self.group @ weight_NR
        predicted_KR = np.cumsum(self.between @ weight_NR + group_KR, axis=0, dtype=np.float64)
        n_positive_R = tp_KR[-1]
        if metric == "auprc":
            # An empty group of a resample has gained nothing; the 1 only avoids 0/0.
            sum_R = (gained_KR * tp_KR / np.where(predicted_KR > 0, predicted_KR, 1.0)).sum(axis=0)
            scale_R = np.where(n_negative_R > 0, n_positive_R, 0.0)
        else:
            tied_KR = group_KR - gained_KR
            beaten_KR = n_negative_R - (predicted_KR - tp_KR) + tied_KR / 2.0
            sum_R, scale_R = (gained_KR * beaten_KR).sum(axis=0), n_positive_R * n_negative_R
        score_R: Floats = np.divide(sum_R, scale_R, out=np.full(len(sum_R), np.nan), where=scale_R > 0)
        return score_R


def _sums(
    order: NDArray[np.int64], start_K: NDArray[np.int64], end_K: NDArray[np.int64], n_records: int
) -> "csr_array":
    """(K, N) matrix that adds up the weights of the records at places start … end − 1 of the order."""
    from scipy.sparse import csr_array  # `search status` imports this module and samples nothing

    length_K = end_K - start_K
    place = np.repeat(start_K - np.concatenate([[0], np.cumsum(length_K)[:-1]]), length_K)
    columns = order[place + np.arange(length_K.sum())]
    indptr = np.concatenate([[0], np.cumsum(length_K)])
    ones = np.ones(len(columns), dtype=np.float32)
    return csr_array((ones, columns, indptr), shape=(len(start_K), n_records))
