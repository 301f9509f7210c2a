"""Predicted training time of a candidate, learned from timed trials."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_TIMED = 10
"""Timed candidates before a prediction is worth anything."""
_RIDGE = 1.0
"""Weight of the penalty on every slope; features have about unit range."""
_SHORTEST_S = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class DurationModel:
    """log seconds as a linear function of features."""

    intercept: float
    center_D: Floats
    slope_D: Floats

    def seconds(self, x_MD: Floats) -> Floats:
        """Expected duration of every candidate in seconds. Shape (M,)."""
        expected: Floats = np.exp(self.intercept + (x_MD - self.center_D) @ self.slope_D)
        return expected


def fit_duration(x_ND: Floats, seconds: Sequence[float]) -> DurationModel | None:
    """Ridge regression of log seconds on features; None for fewer than `MIN_TIMED` candidates.

    Logarithms, since a wider layer multiplies the time of a step whatever else the model has. Predictions
    are kept linear and penalised so that they stay sensible far from what has been timed.
    """
    if len(seconds) < MIN_TIMED:
        return None
    logs = np.log(np.maximum(np.asarray(seconds, dtype=np.float64), _SHORTEST_S))
    center_D, mean = x_ND.mean(axis=0), float(logs.mean())
    centered_ND = x_ND - center_D
    gram = centered_ND.T @ centered_ND + _RIDGE * np.eye(x_ND.shape[1])
    slope_D = np.linalg.solve(gram, centered_ND.T @ (logs - mean))
    return DurationModel(intercept=mean, center_D=center_D, slope_D=slope_D)
