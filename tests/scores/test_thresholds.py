"""Threshold policies against brute force over every threshold, and F_max."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scores.metrics import decision_metrics
from scores.thresholds import choose_thresholds, decide, f_max


@st.composite
def predictions(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(1, 25)), draw(st.integers(1, 4)))
    y_NC = rng.random(shape) < draw(st.sampled_from([0.1, 0.5, 0.9]))
    return y_NC, np.round(rng.random(shape), draw(st.integers(0, 3)))


def quality(policy, y_N, decision_N):
    """The definition, from the four counts of one class."""
    tp, fp = (y_N & decision_N).sum(), (~y_N & decision_N).sum()
    fn, tn = (y_N & ~decision_N).sum(), (~y_N & ~decision_N).sum()
    if policy == "f1":
        return 2 * tp / (2 * tp + fp + fn)
    return tp / (tp + fn) + tn / (tn + fp) - 1


@pytest.mark.parametrize("policy", ["f1", "youden"])
@given(case=predictions())
def test_policy_finds_the_best_of_all_thresholds(policy, case):
    y_NC, p_NC = case
    chosen_C = choose_thresholds(y_NC, p_NC, policy)
    for y_N, p_N, chosen in zip(y_NC.T, p_NC.T, chosen_C, strict=True):
        if not y_N.any() or (policy == "youden" and y_N.all()):
            assert chosen == 0.5
            continue
        every = [quality(policy, y_N, p_N >= threshold) for threshold in np.unique(p_N)]
        assert quality(policy, y_N, p_N >= chosen) == pytest.approx(max(every), abs=1e-12)


@given(case=predictions())
def test_sensitivity_90_calls_as_few_as_it_may(case):
    y_NC, p_NC = case
    for y_N, p_N, chosen in zip(y_NC.T, p_NC.T, choose_thresholds(y_NC, p_NC, "sensitivity-90"), strict=True):
        if not y_N.any():
            assert chosen == 0.5
            continue
        assert 10 * (y_N & (p_N >= chosen)).sum() >= 9 * y_N.sum()
        assert 10 * (y_N & (p_N > chosen)).sum() < 9 * y_N.sum()


def test_nine_of_ten_positives_are_enough():
    p_N1 = np.arange(1, 11)[:, None] / 10
    assert choose_thresholds(np.ones((10, 1)), p_N1, "sensitivity-90") == [0.2]


def test_thresholds_by_hand():
    y_NC = np.array([[1], [0], [1], [0], [0], [0]])
    p_NC = np.array([[0.9], [0.8], [0.7], [0.3], [0.2], [0.1]])
    assert choose_thresholds(y_NC, p_NC, "half") == [0.5]
    assert choose_thresholds(y_NC, p_NC, "f1") == [0.7]  # F1 0.8 against 2/3 at 0.9
    assert choose_thresholds(y_NC, p_NC, "youden") == [0.7]  # 1 − 1/4 against 1/2


def test_equally_good_thresholds_give_the_highest():
    # Calling the second and third record positive one at a time leaves F1 at 2/3.
    assert choose_thresholds([[1], [0], [0], [1]], [[0.9], [0.8], [0.7], [0.6]], "f1") == [0.9]


def test_unknown_policy_is_refused():
    with pytest.raises(ValueError, match="'best' is not one of half, f1"):
        choose_thresholds([[1]], [[0.5]], "best")


def test_decisions_include_the_threshold():
    p_NC = np.array([[0.5, 0.1], [0.2, 0.3], [0.9, 0.9]])
    assert decide(p_NC).tolist() == [[True, False], [False, False], [True, True]]
    assert decide(p_NC, [0.95, 0.05]).tolist() == [[False, True], [False, True], [False, True]]


def brute_force_f_max(y_NC, p_NC):
    best = 0.0
    for threshold in np.unique(p_NC):
        fired_NC = p_NC >= threshold
        hits_N = (y_NC & fired_NC).sum(axis=1)
        fires_N, labelled_N = fired_NC.any(axis=1), y_NC.any(axis=1)
        precision = (hits_N[fires_N] / fired_NC[fires_N].sum(axis=1)).mean()
        recall = (hits_N[labelled_N] / y_NC[labelled_N].sum(axis=1)).mean()
        if precision + recall > 0:
            best = max(best, 2 * precision * recall / (precision + recall))
    return best


@given(predictions())
def test_f_max_equals_trying_every_threshold(case):
    y_NC, p_NC = case
    if y_NC.any():
        assert f_max(y_NC, p_NC) == pytest.approx(brute_force_f_max(y_NC, p_NC), abs=1e-9)
    else:
        assert np.isnan(f_max(y_NC, p_NC))


def test_f_max_by_hand():
    # At 0.6: precision (1/1 + 1/2)/2 = 3/4, recall (1 + 1)/2 = 1, F1 = 6/7; at 0.8: 1, 1/2, F1 = 2/3.
    y_NC = np.array([[1, 0], [0, 1]])
    p_NC = np.array([[0.8, 0.1], [0.7, 0.6]])
    assert f_max(y_NC, p_NC) == pytest.approx(6 / 7)


def test_optimal_f1_is_at_least_that_of_one_half():
    rng = np.random.default_rng(1)
    y_NC, p_NC = rng.random((200, 5)) < 0.2, rng.random((200, 5))
    best_C = decision_metrics(y_NC, decide(p_NC, choose_thresholds(y_NC, p_NC, "f1")))["f1"]
    assert (best_C >= decision_metrics(y_NC, decide(p_NC))["f1"]).all()
