"""Statistics with their resamples and intervals, shared by all findings on held-out records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reports.schema import Estimate, finite
from scores.bootstrap import centred_interval
from scores.ranking import Floats

NO_SPREAD = 1e-12
"""Spread of resamples within rounding, at which there is no interval."""


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """A statistic, or one for each class, and its resamples."""

    value: Floats | np.float64
    """One number, or one for each class, shape (C,)."""
    sample_R: Floats
    """Resamples, shape (R,) or (R, C)."""
    lowest: float = 0.0
    """Lowest possible value: −1 for differences and for kappa."""


def estimate(sampled: Sampled, index: int | None = None) -> Estimate:
    """Statistic with its interval, clipped to the range of the statistic: from its lowest value to 1."""
    value = float(sampled.value if index is None else np.atleast_1d(sampled.value)[index])
    sample_R = sampled.sample_R if index is None else sampled.sample_R[:, index]
    known_R = sample_R[~np.isnan(sample_R)]
    if not np.isfinite(value) or not len(known_R) or np.ptp(known_R) < NO_SPREAD:
        return Estimate(value=finite(value))
    interval = centred_interval(value, sample_R)
    return Estimate(value=value, low=max(interval.low, sampled.lowest), high=min(interval.high, 1.0))


def mean_of_seeds(seeds: Sequence[Mapping[str, Sampled]]) -> dict[str, Sampled]:
    """Mean over seeds of statistics by name, resample by resample."""
    return {name: mean_of([each[name] for each in seeds]) for name in seeds[0]}


def mean_of(of: Sequence[Sampled]) -> Sampled:
    """Mean of statistics, resample by resample."""
    return Sampled(
        np.mean([each.value for each in of], axis=0),
        np.mean([each.sample_R for each in of], axis=0),
        lowest=of[0].lowest,
    )
