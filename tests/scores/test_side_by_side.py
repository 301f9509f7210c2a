"""Metrics of several models on the same records: intervals, seeds and paired differences."""

import numpy as np
import pytest

from scores.bootstrap import Sampled, centred_interval, macro_interval
from scores.exclusive import exclusive_metrics
from scores.metrics import all_metrics
from scores.side_by_side import (
    ResampledRecords,
    decision_scores,
    differences,
    most_probable_scores,
    ranking_scores,
)

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


def all_scores(held: ResampledRecords, probabilities: list[np.ndarray]) -> dict[str, Sampled]:
    """Every score of all classes together, decisions at .5."""
    ranking = ranking_scores(held, probabilities, micro=True).overall
    return {**ranking, **decision_scores(held, [p_NC >= 0.5 for p_NC in probabilities]).overall}


def test_every_metric_in_a_resample_is_that_of_records_repeated_by_their_weights() -> None:
    weight_NR = RNG.integers(1, 4, (120, 3))
    held = ResampledRecords(y_NC=Y_NC, weight_NR=weight_NR.astype(np.float32))
    threshold_C = np.array([0.5, 0.4, 0.6, 0.5, 0.5])
    ranking = ranking_scores(held, [P_NC])
    found = {**ranking.overall, **decision_scores(held, [threshold_C <= P_NC]).overall}
    found.pop("macro_auprc_min10")  # which classes are frequent is decided by the records, not by weights
    for index in range(3):
        y_NC, p_NC = repeated(weight_NR[:, index], Y_NC, P_NC)
        expected = all_metrics(y_NC, p_NC, threshold_C)
        for name, sampled in found.items():
            # Weights are summed in single precision by the ranking, with some 120 terms.
            assert sampled.sample_R[index] == pytest.approx(expected.overall[name], rel=1e-5), name
        for name, sampled in ranking.classes.items():
            assert sampled.sample_R[index] == pytest.approx(
                expected.per_class[name], rel=1e-5, nan_ok=True
            ), name
    expected = all_metrics(Y_NC, P_NC, threshold_C)
    assert {name: sampled.value for name, sampled in found.items()} == {
        name: expected.overall[name] for name in found
    }


def test_metrics_of_the_most_probable_class_likewise() -> None:
    weight_NR = RNG.integers(1, 4, (120, 3))
    held = ResampledRecords(y_NC=SEVERITY_NC, weight_NR=weight_NR.astype(np.float32))
    found = most_probable_scores(held, [P_SEVERITY_NC], ordinal=True).overall
    names = {
        "accuracy": "argmax_accuracy",
        "macro_f1": "argmax_macro_f1",
        "weighted_f1": "argmax_weighted_f1",
        "quadratic_kappa": "quadratic_kappa",
    }
    stored = exclusive_metrics(SEVERITY_NC, P_SEVERITY_NC, ordinal=True).overall
    assert {name: found[name].value for name in names} == {name: stored[same] for name, same in names.items()}
    for index in range(3):
        y_NC, p_NC = repeated(weight_NR[:, index], SEVERITY_NC, P_SEVERITY_NC)
        expected = exclusive_metrics(y_NC, p_NC, ordinal=True).overall
        for name, same in names.items():
            assert found[name].sample_R[index] == pytest.approx(expected[same], rel=1e-9), name
    assert "quadratic_kappa" not in most_probable_scores(held, [P_SEVERITY_NC], ordinal=False).overall


def test_intervals_are_those_of_the_bootstrap() -> None:
    found = ranking_scores(ResampledRecords.of(Y_NC, PATIENT_N, 200), [P_NC]).overall["macro_auprc"]
    interval = centred_interval(float(found.value), found.sample_R)
    expected = macro_interval(
        [(Y_NC, P_NC)], rng=np.random.default_rng(0), patients=[PATIENT_N], n_resamples=200
    )
    assert (interval.value, interval.low, interval.high) == pytest.approx(
        (expected.value, expected.low, expected.high), rel=1e-12
    )


def test_a_model_with_several_seeds_has_the_mean_of_its_scores() -> None:
    held, other_NC = ResampledRecords.of(Y_NC, PATIENT_N, 50), P_NC[:, ::-1]
    one, two, both = (all_scores(held, ps) for ps in ([P_NC], [other_NC], [P_NC, other_NC]))
    for name in both:
        assert both[name].value == pytest.approx((one[name].value + two[name].value) / 2)
        assert both[name].sample_R == pytest.approx((one[name].sample_R + two[name].sample_R) / 2)
    values = [one["macro_auprc"].value, two["macro_auprc"].value]
    deviation = ranking_scores(held, [P_NC, other_NC]).seed_deviation
    assert deviation["macro_auprc"] == pytest.approx(np.std(values, ddof=1))
    assert ranking_scores(held, [P_NC]).seed_deviation == {}


def test_differences_are_paired_and_adjusted_over_pairs() -> None:
    held = ResampledRecords.of(Y_NC, PATIENT_N, 200)
    noise_NC = RNG.random(Y_NC.shape).astype(np.float32)
    models = [all_scores(held, [p_NC]) for p_NC in (P_NC, P_NC, noise_NC)]
    found = {(each.first, each.second): each for each in differences(models) if each.metric == "macro_auprc"}
    assert set(found) == {(1, 0), (2, 0), (2, 1)}
    assert found[1, 0].sampled.value == 0
    assert not found[1, 0].sampled.sample_R.any()
    assert found[1, 0].p == 1
    less = found[2, 0].sampled
    assert less.value == models[2]["macro_auprc"].value - models[0]["macro_auprc"].value
    assert centred_interval(float(less.value), less.sample_R, bounds=less.bounds).high < 0
    # The two smallest of three p values are equal: 3/2 of each.
    assert found[2, 0].p == found[2, 1].p == pytest.approx(1 / 201)
    assert found[2, 0].p_adjusted == pytest.approx(1.5 / 201)
    assert len(differences(models)) == 3 * len(models[0])
    assert differences([]) == []
