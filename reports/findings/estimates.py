"""Statistics with their intervals as all findings on held-out records show them."""

import numpy as np

from reports.schema import Estimate, finite
from scores.bootstrap import Sampled, centred_interval

NO_SPREAD = 1e-12
"""Spread of resamples within rounding, at which there is no interval."""


def estimate(sampled: Sampled, index: int | None = None) -> Estimate:
    """Statistic, or that of one class, with its interval."""
    value = float(sampled.value if index is None else np.atleast_1d(sampled.value)[index])
    sample_R = sampled.sample_R if index is None else sampled.sample_R[:, index]
    known_R = sample_R[~np.isnan(sample_R)]
    if not np.isfinite(value) or not len(known_R) or np.ptp(known_R) < NO_SPREAD:
        return Estimate(value=finite(value))
    interval = centred_interval(value, sample_R, bounds=sampled.bounds)
    return Estimate(value=value, low=interval.low, high=interval.high)
