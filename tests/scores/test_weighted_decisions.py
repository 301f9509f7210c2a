"""Scores of decisions under weights: weights of one change nothing, whole weights are repeated records."""

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from scores.exclusive import exclusive_metrics
from scores.metrics import all_metrics
from scores.ranking import auroc, average_precision
from scores.resampling import resample_weights
from scores.weighted_decisions import (
    weighted_confusion,
    weighted_decision_scores,
    weighted_kappa,
    weighted_micro_scores,
)


def sample(seed: int, n_records: int = 40, n_classes: int = 4):
    """Targets and scores with ties, a rare class, and the times each record is drawn in three resamples."""
    rng = np.random.default_rng(seed)
    y_NC = rng.random((n_records, n_classes)) < np.linspace(0.6, 0.05, n_classes)
    p_NC = np.round(1 / (1 + np.exp(-rng.normal(size=y_NC.shape) - y_NC)), 1)
    return y_NC, p_NC, resample_weights(n_records, 3, rng)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_whole_weights_score_like_repeated_records(seed):
    y_NC, p_NC, weight_NR = sample(seed)
    found = weighted_decision_scores(y_NC, p_NC >= 0.5, weight_NR)
    for place, weight_N in enumerate(weight_NR.T):
        rows = np.repeat(np.arange(len(y_NC)), weight_N.astype(int))
        expected = all_metrics(y_NC[rows], p_NC[rows])
        for name, score_RC in found.per_class.items():
            np.testing.assert_allclose(score_RC[place], expected.per_class[name], rtol=1e-12)
        for name, score_R in found.overall.items():
            assert score_R[place] == pytest.approx(expected.overall[name], rel=1e-12, abs=1e-12), name


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_micro_averages_equal_those_of_all_cells_as_one_class(seed):
    y_NC, p_NC, weight_NR = sample(seed)
    for metric, plain in (("auroc", auroc), ("auprc", average_precision)):
        found_R = weighted_micro_scores(y_NC, p_NC, weight_NR, metric)
        for place, weight_N in enumerate(weight_NR.T):
            rows = np.repeat(np.arange(len(y_NC)), weight_N.astype(int))
            (expected,) = plain(y_NC[rows].reshape(-1, 1), p_NC[rows].reshape(-1, 1))
            assert found_R[place] == pytest.approx(expected, rel=1e-6)  # weights are float32


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_confusion_and_kappa_equal_those_of_repeated_records(seed):
    y_NC, p_NC, weight_NR = sample(seed)
    y_NC = np.eye(y_NC.shape[1], dtype=bool)[np.argmax(y_NC, axis=1)]
    table_RCC = weighted_confusion(y_NC, p_NC, weight_NR)
    for place, weight_N in enumerate(weight_NR.T):
        rows = np.repeat(np.arange(len(y_NC)), weight_N.astype(int))
        expected = exclusive_metrics(y_NC[rows], p_NC[rows], ordinal=True)
        np.testing.assert_array_equal(table_RCC[place], expected.confusion)
        true_N, predicted_N = y_NC[rows].argmax(axis=1), p_NC[rows].argmax(axis=1)
        if len({*true_N, *predicted_N}) > 1:
            kappa = reference.cohen_kappa_score(true_N, predicted_N)
            found = weighted_kappa(table_RCC[place][None], quadratic=False)
            assert found == pytest.approx([kappa], rel=1e-12, abs=1e-12)


def test_kappa_by_hand():
    # 8 of 10 agree; rows 6, 4 and columns 6, 4 agree by chance in .36 + .16 = .52: (.8 − .52) / .48 = 7/12.
    assert weighted_kappa([[[5, 1], [1, 3]]], quadratic=False) == pytest.approx([7 / 12])
    assert np.isnan(weighted_kappa([[[4, 0], [0, 0]]], quadratic=True)).all()
