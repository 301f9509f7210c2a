"""Ensembles: choosing never loses to its start, and judging never sees the fold it judges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.ensembles import best_single, greedy, nested, score, top2_weighted


def make(seed, n_models=3, n_folds=3):
    rng = np.random.default_rng(seed)
    y_FNC = rng.random((n_folds, 30, 2)) < 0.4
    return [(y_NC, rng.random((n_models, 30, 2)) + 0.4 * y_NC) for y_NC in y_FNC]


@pytest.mark.parametrize("choose", [greedy, top2_weighted])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_never_worse_than_the_best_model_where_it_was_chosen(choose, seed):
    folds = make(seed)
    weight_M = choose(folds)
    assert weight_M.sum() == pytest.approx(1)
    assert (weight_M >= 0).all()
    assert score(folds, weight_M) >= score(folds, best_single(folds))


def test_two_models_that_each_miss_one_record_share_the_weight():
    y_NC = np.array([[1], [1], [0], [0]], dtype=bool)
    p_MNC = np.array([[[1.0], [0.4], [0.5], [0.0]], [[0.4], [1.0], [0.0], [0.5]]])
    assert greedy([(y_NC, p_MNC)], size=2).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("choose", [greedy, top2_weighted, best_single])
def test_the_held_out_fold_is_not_seen(choose):
    folds = make(7)
    poisoned = [(~folds[0][0], folds[0][1]), *folds[1:]]
    np.testing.assert_array_equal(nested(folds, choose)[0][1], nested(poisoned, choose)[0][1])


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match="not 0"):
        greedy(make(0), size=0)
    with pytest.raises(ValueError, match="not 1"):
        nested(make(0, n_folds=1), greedy)
