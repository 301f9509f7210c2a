"""Calibration error and risk against coverage under weights of the records, for their bootstrap intervals.

Weights of one give the numbers of `scores.calibration`.

Shapes: N record, C class, R resample.
"""

import numpy as np
from numpy.typing import ArrayLike

from scores.calibration import N_BINS, bin_of
from scores.ranking import Floats, checked
from scores.resampling import Weights


def weighted_calibration_error(y_NC: ArrayLike, p_NC: ArrayLike, weight_NR: Weights) -> Floats:
    """Expected calibration error of all classes together in each resample, (R,).

    Args:
        y_NC: whether it came true.
        p_NC: probabilities.
        weight_NR: positive weights of the records.
    """
    y, p = checked(y_NC, p_NC)
    bin_NC = bin_of(p)
    gap_NB = np.stack([np.where(bin_NC == index, p - y, 0.0).sum(axis=1) for index in range(N_BINS)], axis=1)
    weight_RN = weight_NR.T.astype(np.float64)
    error_R: Floats = np.abs(weight_RN @ gap_NB).sum(axis=1) / weight_RN.sum(axis=1) / y.shape[1]
    return error_R


def weighted_risk_area(error_N: ArrayLike, confidence_N: ArrayLike, weight_NR: Weights) -> Floats:
    """Area under the curve of risk against coverage in each resample, (R,).

    Of equally confident records each has the weighted mean error of all of them, as in `scores.calibration`.

    Args:
        error_N: error of each record.
        confidence_N: how sure the model is of it; any scale.
        weight_NR: positive weights of the records.
    """
    confidence = np.asarray(confidence_N, dtype=np.float64)
    order = np.argsort(-confidence, kind="stable")
    _, start_G, group_N = np.unique(-confidence[order], return_index=True, return_inverse=True)
    weight_RN = weight_NR.T.astype(np.float64)[:, order]
    error_RN = weight_RN * np.asarray(error_N, dtype=np.float64)[order]
    mean_RG = np.add.reduceat(error_RN, start_G, axis=1) / np.add.reduceat(weight_RN, start_G, axis=1)
    covered_RN = np.cumsum(weight_RN, axis=1)
    risk_RN = np.cumsum(weight_RN * mean_RG[:, group_N], axis=1) / covered_RN
    area_R: Floats = (risk_RN * weight_RN).sum(axis=1) / covered_RN[:, -1]
    return area_R
