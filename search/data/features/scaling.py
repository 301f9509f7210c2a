"""Features as inputs of a model: standardised by the training part, with flags for missing ones.

Shapes: N record, K feature.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LIMIT = 5.0
"""Standardised features are clipped to ± this."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FeatureScaling:
    """Medians and standard deviations of the training part of a fold."""

    median_K: NDArray[np.float32]
    deviation_K: NDArray[np.float32]
    """1 where a feature is constant or never measured."""

    @classmethod
    def of(cls, f_NK: NDArray[np.float32], rows: NDArray[np.int64]) -> "FeatureScaling":
        """Measured on some rows only; NaN counts as missing."""
        train_NK = np.ma.masked_invalid(f_NK[rows].astype(np.float64))
        median_K = np.ma.median(train_NK, axis=0).filled(0.0)  # type: ignore[no-untyped-call]
        deviation_K = np.ma.filled(train_NK.std(axis=0), 0.0)
        deviation_K[~(deviation_K > 1e-6)] = 1.0
        return cls(median_K=median_K.astype(np.float32), deviation_K=deviation_K.astype(np.float32))

    def apply(self, f_NK: NDArray[np.float32]) -> NDArray[np.float32]:
        """Standardised features, 0 where missing, and behind them 1 for each that is missing: (N, 2 K)."""
        missing_NK = ~np.isfinite(f_NK)
        scaled_NK = np.clip((f_NK - self.median_K) / self.deviation_K, -LIMIT, LIMIT)
        scaled_NK[missing_NK] = 0
        return np.concatenate([scaled_NK, missing_NK], axis=1, dtype=np.float32)
