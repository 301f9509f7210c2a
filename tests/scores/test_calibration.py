"""Temperatures and reliability by hand, against scipy and scikit-learn, and on simulated predictions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from scores.calibration import (
    LEAST_TEMPERATURE,
    MOST_TEMPERATURE,
    calibrate,
    calibrate_softmax,
    expected_calibration_error,
    fit_softmax_temperature,
    fit_temperatures,
    reliability,
    risk_coverage,
)
from scores.weighted_calibration import weighted_risk_area


def test_temperature_by_hand():
    # Where three of four come true, .75 is right: logit .9 = log 9, logit .75 = log 3 = log 9 / 2.
    y_NC, p_NC = np.array([[1], [1], [1], [0]]), np.full((4, 1), 0.9)
    assert fit_temperatures(y_NC, p_NC) == pytest.approx([2.0], rel=1e-9)
    assert calibrate(p_NC, [2.0]) == pytest.approx(np.full((4, 1), 0.75))


def test_softmax_temperature_by_hand():
    y_NC = np.array([[1, 0], [1, 0], [1, 0], [0, 1]])
    p_NC = np.tile([0.9, 0.1], (4, 1))
    assert fit_softmax_temperature(y_NC, p_NC) == pytest.approx(2.0, rel=1e-9)
    assert calibrate_softmax(p_NC, 2.0)[0] == pytest.approx([0.75, 0.25])


def test_classes_have_temperatures_of_their_own_and_one_without_positives_has_1():
    y_NC = np.array([[1, 0, 1], [1, 0, 1], [1, 0, 0], [0, 0, 1]])
    p_NC = np.column_stack([np.full(4, 0.9), np.full(4, 0.2), [0.75, 0.75, 0.25, 0.75]])
    temperature_C = fit_temperatures(y_NC, p_NC)
    assert temperature_C[:2] == pytest.approx([2.0, 1.0])
    assert temperature_C[2] == LEAST_TEMPERATURE  # perfectly separated
    assert fit_temperatures(1 - y_NC[:, 2:], p_NC[:, 2:]) == [MOST_TEMPERATURE]


@pytest.mark.slow
@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 1.0, 3.0]))
def test_temperature_has_the_smallest_log_loss(seed, spread):
    rng = np.random.default_rng(seed)
    p_NC = calibrate(rng.random((60, 1)), 1 / spread)
    y_NC = rng.random((60, 1)) < 0.4
    if y_NC.all() or not y_NC.any():
        return

    def loss(scale):
        return log_loss(y_NC[:, 0], calibrate(p_NC, 1 / scale)[:, 0], labels=[False, True])

    found = loss(1 / fit_temperatures(y_NC, p_NC)[0])
    best = minimize_scalar(loss, bounds=(1 / MOST_TEMPERATURE, 1 / LEAST_TEMPERATURE), method="bounded").fun
    assert found <= best + 1e-12


def test_softmax_temperature_undoes_a_known_one():
    rng = np.random.default_rng(3)
    p_NC = rng.dirichlet(np.ones(4), size=4000)
    y_NC = np.eye(4, dtype=bool)[[rng.choice(4, p=p_N) for p_N in p_NC]]
    # The information of a record on 2/T is the variance of log p within it, .39 on average here: T = 2 is
    # found with a deviation of 2 / √(4000 · .39) = .05.
    assert fit_softmax_temperature(y_NC, calibrate_softmax(p_NC, 0.5)) == pytest.approx(2.0, abs=5 * 0.05)


@given(st.integers(0, 2**32 - 1))
def test_calibration_keeps_the_order_and_a_temperature_of_1_changes_nothing(seed):
    p_NC = np.random.default_rng(seed).random((20, 3))
    assert calibrate(p_NC, np.ones(3)) == pytest.approx(p_NC, abs=1e-7)
    order = np.argsort(p_NC, axis=0)
    assert (np.argsort(calibrate(p_NC, [0.5, 2.0, 7.0]), axis=0) == order).all()


def test_probabilities_of_0_and_1_stay_finite():
    calibrated = calibrate([[0.0, 1.0]], [2.0, 2.0])
    assert np.isfinite(calibrated).all()
    assert calibrated[0, 0] < 0.001
    assert calibrated[0, 1] > 0.999
    assert fit_temperatures([[1], [0]], [[0.0], [1.0]]) == [MOST_TEMPERATURE]


def test_calibration_error_by_hand():
    # Of two at .2 one comes true (|.2 − .5|), of two at .9 both (|.9 − 1|): mean .2.
    found = reliability([0, 1, 1, 1], [0.2, 0.2, 0.9, 0.9], n_bins=10)
    assert found.probability_B == pytest.approx([0.2, 0.9])
    assert [(each.value, each.n) for each in found.share_B] == [(0.5, 2), (1.0, 2)]
    assert found.error == pytest.approx(0.2)
    assert expected_calibration_error([0, 1, 1, 1], [0.2, 0.2, 0.9, 0.9], n_bins=1) == pytest.approx(0.2)


def test_bins_are_those_of_scikit_learn():
    rng = np.random.default_rng(5)
    p_N = rng.random(500)
    y_N = rng.random(500) < p_N
    found = reliability(y_N, p_N, n_bins=8)
    true_B, mean_B = calibration_curve(y_N, p_N, n_bins=8)
    assert [each.value for each in found.share_B] == pytest.approx(true_B)
    assert found.probability_B == pytest.approx(mean_B)
    assert sum(each.n for each in found.share_B) == 500


def test_edges_belong_to_one_bin():
    found = reliability([0, 0, 1, 1], [0.0, 0.5, 0.50001, 1.0], n_bins=2)
    assert [each.n for each in found.share_B] == [2, 2]


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        reliability([0, 1], [0.5, 1.5])
    with pytest.raises(ValueError, match="row 1 has 2 classes"):
        fit_softmax_temperature([[1, 0], [1, 1]], [[0.5, 0.5], [0.5, 0.5]])


def test_risk_coverage_by_hand():
    found = risk_coverage([0, 1, 0, 1], [0.9, 0.6, 0.8, 0.5])
    assert found.coverage_K == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert found.risk_K == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert found.area == pytest.approx(5 / 24)


def test_equally_confident_records_come_in_any_order():
    found = risk_coverage([1, 0, 0, 1], [0.9, 0.9, 0.2, 0.2])
    assert found.risk_K == pytest.approx([0.5, 0.5, 0.5, 0.5])
    swapped = risk_coverage([0, 1, 1, 0], [0.9, 0.9, 0.2, 0.2])
    assert swapped.risk_K == pytest.approx(found.risk_K)


def test_a_weight_of_two_is_a_record_that_comes_twice_also_among_equally_confident_ones():
    error, confidence, weight = [1.0, 0.0, 0.0], [0.9, 0.9, 0.9], [2.0, 1.0, 1.0]
    (area,) = weighted_risk_area(error, confidence, np.array([weight]).T)
    twice = risk_coverage([1, *error], [0.9, *confidence])
    assert area == pytest.approx(twice.area) == pytest.approx(1 / 2)
    (plain,) = weighted_risk_area(error, [0.9, 0.9, 0.2], np.ones((3, 1)))
    assert plain == pytest.approx(risk_coverage(error, [0.9, 0.9, 0.2]).area)


def test_nothing_to_cover_is_refused():
    with pytest.raises(ValueError, match="must both be"):
        risk_coverage([], [])
