"""Bootstrap by weights equals bootstrap by copying rows; pairs, patients and folds stay together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scores.bootstrap import (
    UNBOUNDED,
    Resampling,
    benjamini_hochberg,
    centred_interval,
    difference,
    macro_interval,
    p_value,
)
from scores.metrics import auroc, average_precision, cross_validated_auprc
from scores.resampling import rarest_class, resample_weights, smooth_weights, weighted_scores

POINT = {"auprc": average_precision, "auroc": auroc}


def make(seed, n_records=40, n_classes=3, decimals=1):
    """Targets of falling prevalence and informative scores with ties."""
    rng = np.random.default_rng(seed)
    y_NC = rng.random((n_records, n_classes)) < np.geomspace(0.5, 0.05, n_classes)
    return y_NC, np.round(rng.random(y_NC.shape) * 0.7 + 0.3 * y_NC, decimals)


@pytest.mark.parametrize("metric", ["auprc", "auroc"])
@given(seed=st.integers(0, 10_000), decimals=st.integers(0, 3), n_negative=st.integers(0, 3))
def test_weights_equal_copies_of_records(metric, seed, decimals, n_negative):
    y_NC, p_NC = make(seed, decimals=decimals)
    y_NC[:, 0] = np.arange(len(y_NC)) >= n_negative  # so few that a draw may hold none of them
    weight_NR = resample_weights(len(y_NC), 4, np.random.default_rng(seed))
    found_RC = weighted_scores(y_NC, p_NC, weight_NR, metric)
    for score_C, weight_N in zip(found_RC, weight_NR.T, strict=True):
        rows = np.repeat(np.arange(len(y_NC)), weight_N.astype(int))
        np.testing.assert_allclose(score_C, POINT[metric](y_NC[rows], p_NC[rows]), atol=1e-12)


@pytest.mark.parametrize("metric", ["auprc", "auroc"])
def test_a_class_that_every_record_has_is_in_no_resample(metric):
    y_NC, p_NC = make(3)
    every_NC = np.column_stack([y_NC, np.ones(len(y_NC), dtype=bool)])
    p_every_NC = np.column_stack([p_NC, p_NC[:, 0]])
    weight_NR = smooth_weights(y_NC, 20, np.random.default_rng(0))
    found_RC = weighted_scores(every_NC, p_every_NC, weight_NR, metric)
    assert np.isnan(found_RC[:, -1]).all()
    np.testing.assert_array_equal(found_RC[:, :-1], weighted_scores(y_NC, p_NC, weight_NR, metric))
    # One record short of all: the class is scored under every weighting, however little that record weighs.
    every_NC[0, -1] = False
    assert np.isfinite(weighted_scores(every_NC, p_every_NC, weight_NR, metric)).all()
    folds = [(every_NC[:20], p_every_NC[:20]), (every_NC[20:], p_every_NC[20:])]
    interval = macro_interval(folds, rng=np.random.default_rng(0), metric=metric)
    assert interval.low < interval.value < interval.high


def test_more_resamples_than_fit_at_once_are_all_filled():
    y_NC, p_NC = make(0)
    weight_NR = np.ones((len(y_NC), 300), dtype=np.float32)
    expected = np.broadcast_to(average_precision(y_NC, p_NC), (300, 3))
    np.testing.assert_allclose(weighted_scores(y_NC, p_NC, weight_NR), expected, atol=1e-12)


def test_records_of_a_patient_are_drawn_together():
    patient_N = np.array([7, 3, 7, 3, 9])
    weight_NR = resample_weights(5, 50, np.random.default_rng(0), patient_N)
    np.testing.assert_array_equal(weight_NR[0], weight_NR[2])
    np.testing.assert_array_equal(weight_NR[1], weight_NR[3])
    drawn_patients_R = weight_NR[[0, 1, 4]].sum(axis=0)
    np.testing.assert_array_equal(drawn_patients_R, 3)


def test_interval_is_around_the_objective_and_repeats_with_the_seed():
    folds = [make(seed, n_records=150) for seed in range(3)]
    first = macro_interval(folds, rng=np.random.default_rng(5), n_resamples=200)
    again = macro_interval(folds, rng=np.random.default_rng(5), n_resamples=200)
    assert first.value == cross_validated_auprc(folds).value
    assert first.low < first.value < first.high
    assert (first.low, first.high) == (again.low, again.high)
    narrow = macro_interval(folds, rng=np.random.default_rng(5), n_resamples=200, level=0.5)
    assert first.low < narrow.low < narrow.high < first.high


def test_patients_widen_the_interval_of_copied_records():
    y_NC, p_NC = make(1, n_records=100)
    folds = [(np.tile(y_NC, (4, 1)), np.tile(p_NC, (4, 1)))]
    patients = [np.tile(np.arange(100), 4)]
    records = macro_interval(folds, rng=np.random.default_rng(0), n_resamples=300)
    grouped = macro_interval(folds, rng=np.random.default_rng(0), n_resamples=300, patients=patients)
    assert grouped.high - grouped.low > 1.5 * (records.high - records.low)


def test_paired_difference_is_narrower_than_two_intervals_and_zero_for_itself():
    y_NC, p_NC = make(2, n_records=300, decimals=3)
    noise_NC = np.random.default_rng(3).normal(0, 0.01, p_NC.shape)
    mine, yours = [(y_NC, p_NC)], [(y_NC, p_NC + noise_NC)]
    rng = np.random.default_rng
    alone = macro_interval(mine, rng=rng(0), n_resamples=200)
    draws = Resampling([y_NC], rng=rng(0), n_resamples=200)
    (first, first_R), (second, second_R) = draws.macro(mine), draws.macro(yours)
    paired = centred_interval(first - second, first_R - second_R)
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)
    same = centred_interval(first - first, first_R - draws.macro(mine)[1])
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="same records"):
        draws.macro([(~y_NC, p_NC)])


def test_rare_classes_can_be_left_out_by_their_positives():
    y_NC, p_NC = make(4, n_records=60)
    y_NC[:, 2] = False
    y_NC[0, 2] = True
    interval = macro_interval(
        [(y_NC, p_NC)], rng=np.random.default_rng(0), n_resamples=50, min_positive=2, metric="auroc"
    )
    assert interval.value == pytest.approx(np.mean(auroc(y_NC, p_NC)[:2]))


def test_undefined_resamples_are_left_out_of_the_interval():
    interval = centred_interval(0.5, np.array([np.nan, 0.4, 0.6]))
    assert interval.low == pytest.approx(0.405)
    assert np.isnan(centred_interval(np.nan, np.array([np.nan])).low)


def test_the_rarest_class_of_the_patient_is_the_stratum_of_its_records():
    y_NC = np.array([[1, 0], [1, 1], [0, 0], [1, 0], [0, 0]], dtype=bool)
    np.testing.assert_array_equal(rarest_class(y_NC), [0, 1, 2, 0, 2])
    # Records 0 and 1 are of one patient, who has the rarer class 1.
    np.testing.assert_array_equal(rarest_class(y_NC, [5, 5, 7, 8, 9]), [1, 1, 2, 0, 2])


def test_no_patient_is_lost_and_rare_ones_spread_more():
    rng = np.random.default_rng(0)
    y_NC = np.zeros((200, 2), dtype=bool)
    y_NC[:99, 0] = y_NC[99:101, 1] = True
    patient_N = np.arange(200)
    patient_N[100] = 99  # both records of the rare class are of one patient
    weight_NR = smooth_weights(y_NC, 4000, rng, patient_N)
    assert (weight_NR > 0).all()
    np.testing.assert_allclose(weight_NR.mean(axis=1), 1, atol=0.15)
    np.testing.assert_array_equal(weight_NR[99], weight_NR[100])
    # A gamma distribution of mean 1 has the variance 1 / shape: 1/3 for one patient, 98/100 for 99.
    assert weight_NR[99].var() == pytest.approx(3, rel=0.2)
    assert weight_NR[:99].var() == pytest.approx(100 / 98, rel=0.05)


def test_an_interval_is_centred_on_its_value():
    samples = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    interval = centred_interval(10.0, samples, 0.5, bounds=UNBOUNDED)
    assert (interval.low, interval.high) == (9.0, 11.0)


def test_an_interval_ends_where_its_statistic_does_and_its_samples_stay():
    samples = np.array([0.02, 0.04, 0.06, 0.08])  # .03 below and above their mean
    rare, likely = (centred_interval(value, samples, level=1.0) for value in (0.02, 0.98))
    assert (rare.low, rare.high) == pytest.approx((0.0, 0.05))
    assert (likely.low, likely.high) == pytest.approx((0.95, 1.0))
    assert rare.samples is samples
    less = difference(centred_interval(0.02, samples), centred_interval(0.03, samples[::-1]))
    assert less.low < less.value == pytest.approx(-0.01)
    more = difference(likely, rare, bounds=UNBOUNDED)
    assert more.value == pytest.approx(0.96)


def test_p_is_the_share_of_centred_samples_as_far_from_zero():
    # Centred: −2 … 2; two of five are at least 1.5 away; (1 + 2) / (5 + 1).
    samples = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    assert p_value(centred_interval(1.5, samples)) == pytest.approx(0.5)
    assert p_value(centred_interval(9.0, samples)) == pytest.approx(1 / 6)
    assert np.isnan(p_value(centred_interval(np.nan, np.array([np.nan]))))


def test_benjamini_hochberg_by_hand():
    # Sorted .01 .02 .04 .5: times 4/1, 4/2, 4/3, 4/4 gives .04 .04 .0533 .5, already rising.
    np.testing.assert_allclose(
        benjamini_hochberg([0.5, 0.01, np.nan, 0.04, 0.02]), [0.5, 0.04, np.nan, 0.16 / 3, 0.04]
    )
    assert benjamini_hochberg([]).shape == (0,)


@given(st.lists(st.floats(0, 1), max_size=20))
def test_adjusted_p_is_no_smaller_and_keeps_the_order(p):
    adjusted = benjamini_hochberg(p)
    assert (adjusted >= np.array(p) - 1e-12).all()  # p * n / n is p but for rounding
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p)]) >= -1e-12).all()


def test_models_of_one_resampling_see_the_same_draws():
    y_NC, p_NC = make(6, n_records=80)
    resampling = Resampling([y_NC], rng=np.random.default_rng(0), n_resamples=30)
    np.testing.assert_array_equal(resampling.macro([(y_NC, p_NC)])[1], resampling.macro([(y_NC, p_NC)])[1])
    value_C, sample_RC = resampling.classes([(y_NC, p_NC)])
    np.testing.assert_allclose(value_C, average_precision(y_NC, p_NC))
    assert sample_RC.shape == (30, 3)


@pytest.mark.slow
def test_nine_in_ten_intervals_hold_the_score_of_other_patients():
    """A quick look; `benchmarks/coverage.py` measures it at the size of PTB-XL."""
    rng = np.random.default_rng(0)

    def draw():
        y_NC = rng.random((400, 4)) < [0.4, 0.2, 0.1, 0.05]
        return y_NC, rng.normal(size=y_NC.shape) + 1.5 * y_NC

    truth = np.mean([cross_validated_auprc([draw()]).value for _ in range(800)])
    intervals = [macro_interval([draw()], rng=rng, n_resamples=200) for _ in range(120)]
    held = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    assert 0.85 <= held <= 1.0
