"""Ensembles: choosing never loses to its start, and judging never sees the fold it judges."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reports.ensembles.averaging import (
    Chooser,
    Pool,
    best_single,
    front,
    greedy,
    light,
    nested,
    top2_weighted,
)
from scores.metrics import cross_validated_auprc

Folds = list[tuple[NDArray[np.bool_], NDArray[np.float32]]]
CHOOSERS = (best_single, top2_weighted, greedy, light, front)
PARAMETERS = (40, 10, 30, 20)


def make_folds(
    seed: int, *, n_models: int = 4, n_folds: int = 3, n_records: int = 30, decimals: int = 6
) -> Folds:
    """The last class has positives in the first fold only; all records of the second have the first class."""
    generator = np.random.default_rng(seed)
    folds = []
    for fold in range(n_folds):
        y_NC = generator.random((n_records + fold, 3)) < 0.4
        y_NC[:, 2] &= fold == 0
        y_NC[:, 0] |= fold == 1
        noise_MNC = generator.random((n_models, *y_NC.shape))
        folds.append((y_NC, np.round(0.6 * noise_MNC + 0.4 * y_NC, decimals).astype(np.float32)))
    return folds


def make_pool(seed: int, **options: Any) -> Pool:
    folds = make_folds(seed, **options)
    return Pool(folds, PARAMETERS[: len(folds[0][1])])


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 1000),
    decimals=st.sampled_from([1, 6]),
    counts=st.lists(st.integers(0, 3), min_size=4, max_size=4).filter(any),
)
def test_scores_are_those_of_the_metric(seed: int, decimals: int, counts: list[int]) -> None:
    # One decimal makes ties, within the positives, within the negatives and between them.
    pool = make_pool(seed, decimals=decimals)
    weight_M = np.array(counts) / sum(counts)
    for folds in ([0], [0, 2], [1, 2], [0, 1, 2]):
        expected = cross_validated_auprc([pool.blended(weight_M, fold) for fold in folds]).value
        assert pool.score(weight_M, folds) == pytest.approx(expected, abs=1e-12)
        assert pool.score(weight_M, folds) == pool.score(weight_M, folds)


def test_an_average_is_weighted() -> None:
    y_NC = np.array([[True], [False]])
    p_MNC = np.array([[[0.2], [0.8]], [[1.0], [0.0]]], dtype=np.float32)
    targets_NC, p_NC = Pool([(y_NC, p_MNC)], [1, 2]).blended(np.array([0.25, 0.75]), 0)
    np.testing.assert_allclose(p_NC, [[0.8], [0.2]], rtol=1e-6)
    np.testing.assert_array_equal(targets_NC, y_NC)


@pytest.mark.parametrize("choose", CHOOSERS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_weights_are_shares(choose: Chooser, seed: int) -> None:
    pool = make_pool(seed)
    weight_M = choose(pool, pool.folds)
    assert weight_M.sum() == pytest.approx(1)
    assert (weight_M >= 0).all()


@pytest.mark.parametrize("choose", [greedy, top2_weighted])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_never_worse_than_the_best_model_where_it_was_chosen(choose: Chooser, seed: int) -> None:
    pool = make_pool(seed)
    best = pool.score(best_single(pool, pool.folds), pool.folds)
    assert pool.score(choose(pool, pool.folds), pool.folds) >= best


@pytest.mark.parametrize("choose", CHOOSERS)
def test_the_order_of_models_and_of_records_does_not_matter(choose: Chooser) -> None:
    folds = make_folds(3, n_records=300)  # enough for no two averages to score the same
    expected_M = choose(Pool(folds, PARAMETERS), [0, 1, 2])
    generator = np.random.default_rng(0)
    for _ in range(4):
        models = generator.permutation(4)
        shuffled: Folds = []
        for y_NC, p_MNC in folds:
            records = generator.permutation(len(y_NC))
            shuffled.append((y_NC[records], p_MNC[models][:, records]))
        found_M = choose(Pool(shuffled, np.array(PARAMETERS)[models].tolist()), [0, 1, 2])
        np.testing.assert_array_equal(found_M, expected_M[models])


def test_two_models_that_each_miss_one_record_share_the_weight() -> None:
    y_NC = np.array([[1], [1], [0], [0]], dtype=bool)
    p_MNC = np.array([[[1.0], [0.4], [0.5], [0.0]], [[0.4], [1.0], [0.0], [0.5]]], dtype=np.float32)
    assert greedy(Pool([(y_NC, p_MNC)], [1, 1]), [0], size=2).tolist() == [0.5, 0.5]


def test_a_trial_may_be_picked_again() -> None:
    # With weights 2 : 1 both positives are above both negatives; with 1 : 1 one negative is between them.
    y_NC = np.array([[1], [1], [0], [0]], dtype=bool)
    p_MNC = np.array([[[0.9], [0.5], [0.6], [0.3]], [[0.3], [0.8], [0.4], [0.95]]], dtype=np.float32)
    pool = Pool([(y_NC, p_MNC)], [1, 1])
    np.testing.assert_allclose(greedy(pool, [0], size=3), [2 / 3, 1 / 3])
    assert pool.score(np.array([2, 1]) / 3, [0]) == 1


def test_top2_takes_the_two_best_in_steps_of_a_twentieth() -> None:
    pool = make_pool(5)
    weight_M = top2_weighted(pool, pool.folds)
    alone = [pool.score(model_M, pool.folds) for model_M in pool.models]
    assert set(np.flatnonzero(weight_M)) <= set(np.argsort(alone)[-2:])
    np.testing.assert_allclose(20 * weight_M, np.round(20 * weight_M))


def model_that_hits(n_hits: int, n_records: int = 8) -> NDArray[np.float32]:
    """(N, 1) of which the first `n_hits` positives, of half the records, are above all negatives."""
    p_N = np.full(n_records, 0.5, dtype=np.float32)
    p_N[:n_hits] = 0.9
    p_N[n_hits : n_records // 2] = 0.1
    return p_N[:, None]


def test_front_averages_what_no_smaller_model_equals() -> None:
    y_NC = np.arange(8)[:, None] < 4
    p_MNC = np.stack([model_that_hits(hits) for hits in (4, 1, 2, 2)])
    weight_M = front(Pool([(y_NC, p_MNC)], [400, 100, 300, 200]), [0])
    np.testing.assert_allclose(weight_M, [1 / 3, 1 / 3, 0, 1 / 3])


def test_light_stays_below_the_best_model() -> None:
    y_NC = np.arange(8)[:, None] < 4
    p_MNC = np.stack([model_that_hits(hits) for hits in (4, 3, 2, 1)])
    for parameters, members in (
        ([400, 201, 200, 100], {2}),  # a second one adds nothing
        ([400, 200, 150, 100], {1}),
        ([400, 300, 250, 201], {0}),  # none is small enough
    ):
        pool = Pool([(y_NC, p_MNC)], parameters)
        assert set(np.flatnonzero(light(pool, [0]))) == members
    for seed in range(20):
        pool = make_pool(seed)
        budget = pool.cost(best_single(pool, pool.folds))
        assert pool.cost(light(pool, pool.folds)) <= budget


@pytest.mark.parametrize("choose", CHOOSERS)
def test_the_held_out_fold_is_not_seen(choose: Chooser) -> None:
    folds = make_folds(7)
    poisoned = [(~folds[0][0], folds[0][1]), *folds[1:]]
    clean, spoilt = (nested(Pool(each, PARAMETERS), choose) for each in (folds, poisoned))
    np.testing.assert_array_equal(clean[0][1], spoilt[0][1])
    assert [len(y_NC) for y_NC, _ in clean] == [len(y_NC) for y_NC, _ in folds]


def test_nested_blends_every_fold_with_weights_of_the_others() -> None:
    pool = make_pool(11)
    for held_out, (_, p_NC) in enumerate(nested(pool, greedy)):
        others = [fold for fold in pool.folds if fold != held_out]
        np.testing.assert_array_equal(p_NC, pool.blended(greedy(pool, others), held_out)[1])


def test_bad_values_are_named() -> None:
    with pytest.raises(ValueError, match="not 0"):
        greedy(make_pool(0), [0], size=0)
    with pytest.raises(ValueError, match="not 1"):
        nested(make_pool(0, n_folds=1), greedy)
    (y_NC, p_MNC), *_ = make_folds(0)
    with pytest.raises(ValueError, match=r"expected predictions \(4, 30, 3\), got \(3, 30, 3\)"):
        Pool([(y_NC, p_MNC[:3])], PARAMETERS)
    for wrong in (np.nan, 1.5, -0.1):
        spoilt_MNC = p_MNC.copy()
        spoilt_MNC[0, 0, 0] = wrong
        with pytest.raises(ValueError, match="from 0 to 1"):
            Pool([(y_NC, spoilt_MNC)], PARAMETERS)
