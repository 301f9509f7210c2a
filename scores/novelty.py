"""Distance of a record from those that a model was trained on, in the features before its last layer.

Mahalanobis distance (Lee et al. 2018, "A simple unified framework for detecting out-of-distribution samples
and adversarial attacks") to the mean of the training records, with the covariance of Ledoit and Wolf 2004,
which has an inverse for any number of records. Lee et al. take the nearest of the means of the classes; a
record with several labels has no one class, so that one mean serves all, as for the background distance of
Ren et al. 2021.

Shapes: N record, K feature.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import cholesky, solve_triangular

from scores.conformal import quantile
from scores.ranking import Floats


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FeatureDistance:
    """Mahalanobis distance to training records."""

    mean_K: Floats
    """Mean of their features."""
    cholesky_KK: Floats
    """Lower triangular L of their shrunk covariance Σ = L Lᵀ."""

    def __call__(self, feature_NK: ArrayLike) -> Floats:
        """Distances of records, shape (N,): √((z − μ)ᵀ Σ⁻¹ (z − μ)); in units of deviations."""
        centred_NK = np.asarray(feature_NK, dtype=np.float64) - self.mean_K
        white_KN = solve_triangular(self.cholesky_KK, centred_NK.T, lower=True)
        distance_N: Floats = np.linalg.norm(white_KN, axis=0)
        return distance_N


def fit_distance(feature_NK: ArrayLike) -> FeatureDistance:
    """Distance to the records that a model was trained on.

    A feature that never changes would make any other value of it infinitely far: a millionth of the mean
    variance is added to each.

    Args:
        feature_NK: features of two training records or more.

    Raises:
        ValueError: there are fewer records, a feature is not finite, or no feature ever changes.
    """
    from sklearn.covariance import ledoit_wolf  # half a second, which only an export needs

    feature = np.asarray(feature_NK, dtype=np.float64)
    if feature.ndim != 2 or len(feature) < 2 or not feature.shape[1]:
        raise ValueError(f"features {feature.shape} must be (records, features), of two records or more")
    if not np.isfinite(feature).all():
        raise ValueError("features that are not finite have no distance")
    covariance_KK, _ = ledoit_wolf(feature)
    mean_variance = np.trace(covariance_KK) / len(covariance_KK)
    if mean_variance <= 0:
        raise ValueError("features that never change have no distance")
    covariance_KK += 1e-6 * mean_variance * np.eye(len(covariance_KK))
    return FeatureDistance(mean_K=feature.mean(axis=0), cholesky_KK=cholesky(covariance_KK, lower=True))


def distance_threshold(distance_N: ArrayLike, confidence: float = 0.99) -> float:
    """The distance that at most 1 − `confidence` of new records of the same population exceed on average.

    Args:
        distance_N: distances of records that neither the model nor the distance was fitted to; those of
            several folds can be put together, each measured with features and distance of its own fold.
        confidence: see `conformal.quantile`; infinite where there are too few records for it.
    """
    return float(quantile(distance_N, confidence))
