"""Distances in features by hand, against scipy, and thresholds on simulated records."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from scores.novelty import FeatureDistance, distance_threshold, fit_distance


def test_distance_by_hand():
    distance = FeatureDistance(mean_K=np.array([1.0, 0.0]), cholesky_KK=np.diag([2.0, 1.0]))
    # Deviations of 2 and 1: (4 / 2, 0) and (6 / 2, 4).
    assert distance([[5.0, 0.0], [7.0, 4.0]]) == pytest.approx([2.0, 5.0])


def test_distance_is_that_of_the_shrunk_covariance():
    rng = np.random.default_rng(0)
    z_NK = rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6)) + 3
    distance_N = fit_distance(z_NK)(z_NK[:5])
    model = LedoitWolf().fit(z_NK)
    covariance_KK = model.covariance_ + 1e-6 * np.trace(model.covariance_) / 6 * np.eye(6)
    inverse_KK = np.linalg.inv(covariance_KK)
    assert distance_N == pytest.approx([mahalanobis(z_K, model.location_, inverse_KK) for z_K in z_NK[:5]])


def test_more_features_than_records_and_a_constant_feature_have_distances():
    rng = np.random.default_rng(1)
    z_NK = np.column_stack([rng.normal(size=(10, 30)), np.full(10, 2.0)])
    distance = fit_distance(z_NK)
    assert np.isfinite(distance(z_NK)).all()
    moved = z_NK[0].copy()
    moved[-1] += 100
    assert distance(moved[None])[0] > distance(z_NK).max()


def test_threshold_is_exceeded_as_rarely_as_promised_and_far_records_exceed_it():
    rng = np.random.default_rng(2)
    z_NK = rng.normal(size=(3000, 8))
    distance = fit_distance(z_NK[:1000])
    threshold = distance_threshold(distance(z_NK[1000:2000]), 0.95)
    # Five deviations of a share of .05 of 1,000 records, for those that set the threshold and the new ones.
    assert (distance(z_NK[2000:]) > threshold).mean() == pytest.approx(
        0.05, abs=5 * np.sqrt(0.05 * 0.95 * 2e-3)
    )
    assert (distance(z_NK[2000:] + 4) > threshold).all()


def test_too_few_records_have_no_threshold():
    assert distance_threshold(np.arange(98), 0.99) == np.inf
    assert distance_threshold(np.arange(99), 0.99) == 98


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        (np.zeros((1, 3)), "two records or more"),
        (np.zeros((5, 3)), "never change"),
        (np.full((5, 3), np.nan), "not finite"),
    ],
)
def test_what_has_no_distance_is_refused(features, reason):
    with pytest.raises(ValueError, match=reason):
        fit_distance(features)
