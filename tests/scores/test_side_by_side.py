"""Metrics of several models on the same records: intervals, seeds and paired differences."""

import numpy as np
import pytest

from scores.bootstrap import macro_interval
from scores.exclusive import exclusive_metrics
from scores.metrics import all_metrics
from scores.side_by_side import DECIDED, RANKED, ResampledRecords, differences, scored, seed_deviation

RNG = np.random.default_rng(7)
Y_NC = RNG.random((120, 5)) < (0.5, 0.3, 0.2, 0.1, 0.0)
P_NC = np.clip(0.4 * Y_NC + 0.7 * RNG.random((120, 5)), 0, 1).astype(np.float32)
PATIENT_N = np.arange(120) // 2
SEVERITY_NC = np.eye(4, dtype=np.bool_)[RNG.integers(0, 4, 120)]
P_SEVERITY_NC = (0.6 * SEVERITY_NC + RNG.random((120, 4))).astype(np.float32)
P_SEVERITY_NC /= P_SEVERITY_NC.sum(axis=1, keepdims=True)


def repeated(weight_N: np.ndarray, *arrays: np.ndarray) -> list[np.ndarray]:
    """Rows as often as their weights say."""
    return [np.repeat(array, weight_N, axis=0) for array in arrays]


def test_every_metric_in_a_resample_is_that_of_records_repeated_by_their_weights() -> None:
    weight_NR = RNG.integers(1, 4, (120, 3))
    held = ResampledRecords(y_NC=Y_NC, weight_NR=weight_NR.astype(np.float32))
    threshold_C = np.array([0.5, 0.4, 0.6, 0.5, 0.5])
    found = scored(held, [P_NC], [threshold_C])
    for index in range(3):
        y_NC, p_NC = repeated(weight_NR[:, index], Y_NC, P_NC)
        expected = all_metrics(y_NC, p_NC, threshold_C).overall
        for name in (*RANKED, *DECIDED):
            # Weights are summed in single precision by the ranking, with some 120 terms.
            assert found[name].samples[index] == pytest.approx(expected[name], rel=1e-5), name
    assert {name: interval.value for name, interval in found.items()} == {
        name: all_metrics(Y_NC, P_NC, threshold_C).overall[name] for name in found
    }


def test_metrics_of_the_most_probable_class_likewise() -> None:
    weight_NR = RNG.integers(1, 4, (120, 3))
    held = ResampledRecords(y_NC=SEVERITY_NC, weight_NR=weight_NR.astype(np.float32))
    found = scored(held, [P_SEVERITY_NC], [0.5], exclusive=True, ordinal=True)
    for index in range(3):
        y_NC, p_NC = repeated(weight_NR[:, index], SEVERITY_NC, P_SEVERITY_NC)
        expected = exclusive_metrics(y_NC, p_NC, ordinal=True).overall
        for name in ("argmax_accuracy", "argmax_macro_f1", "argmax_weighted_f1", "quadratic_kappa"):
            assert found[name].samples[index] == pytest.approx(expected[name], rel=1e-9), name


def test_intervals_are_those_of_the_bootstrap() -> None:
    found = scored(ResampledRecords.of(Y_NC, PATIENT_N, 200), [P_NC], [0.5])["macro_auprc"]
    expected = macro_interval(
        [(Y_NC, P_NC)], rng=np.random.default_rng(0), patients=[PATIENT_N], n_resamples=200
    )
    assert (found.value, found.low, found.high) == pytest.approx(
        (expected.value, expected.low, expected.high), rel=1e-12
    )


def test_a_model_with_several_seeds_has_the_mean_of_its_scores() -> None:
    held, other_NC = ResampledRecords.of(Y_NC, PATIENT_N, 50), P_NC[:, ::-1]
    one, two, both = (scored(held, ps, [0.5] * len(ps)) for ps in ([P_NC], [other_NC], [P_NC, other_NC]))
    for name in both:
        assert both[name].value == pytest.approx((one[name].value + two[name].value) / 2)
        assert both[name].samples == pytest.approx((one[name].samples + two[name].samples) / 2)
    values = [one["macro_auprc"].value, two["macro_auprc"].value]
    assert seed_deviation(held, [P_NC, other_NC], "macro_auprc") == pytest.approx(np.std(values, ddof=1))
    assert np.isnan(seed_deviation(held, [P_NC], "macro_auprc"))


def test_differences_are_paired_and_adjusted_over_pairs() -> None:
    held = ResampledRecords.of(Y_NC, PATIENT_N, 200)
    noise_NC = RNG.random(Y_NC.shape).astype(np.float32)
    models = [scored(held, [p_NC], [0.5]) for p_NC in (P_NC, P_NC, noise_NC)]
    found = {(each.first, each.second): each for each in differences(models) if each.metric == "macro_auprc"}
    assert set(found) == {(1, 0), (2, 0), (2, 1)}
    same = found[1, 0].interval
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert found[1, 0].p == 1
    assert found[2, 0].interval.value == models[2]["macro_auprc"].value - models[0]["macro_auprc"].value
    assert found[2, 0].interval.high < 0
    # The two smallest of three p values are equal: 3/2 of each.
    assert found[2, 0].p == found[2, 1].p == pytest.approx(1 / 201)
    assert found[2, 0].p_adjusted == pytest.approx(1.5 / 201)
    assert len(differences(models)) == 3 * len(models[0])
    assert differences([]) == []
