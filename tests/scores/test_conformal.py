"""Conformal sets by hand, and their coverage in simulations with a fixed seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import binom, binomtest

from scores.conformal import (
    ENOUGH,
    class_quantiles,
    class_sets,
    exclusive_quantiles,
    exclusive_sets,
    quantile,
    sets_hold,
    share,
)


def test_quantile_by_hand():
    score_N = np.arange(1, 10) / 10
    assert quantile(score_N, 0.9) == 0.9  # the ⌈10 · .9⌉ = 9th of nine
    assert quantile(score_N, [0.5, 0.8]) == pytest.approx([0.5, 0.8])
    assert quantile(score_N, 0.91) == np.inf  # the 10th of nine
    assert quantile(score_N[:8], 0.9) == np.inf


@given(st.integers(1, 300), st.integers(1, 99))
def test_rank_is_that_of_whole_numbers(n, percent):
    rank = -(-(n + 1) * percent // 100)
    assert quantile(np.arange(1, n + 1), percent / 100) == (rank if rank <= n else np.inf)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 90.0])
def test_confidence_out_of_range_is_refused(confidence):
    with pytest.raises(ValueError, match="above 0 and below 1"):
        quantile([0.1], confidence)


def test_share_has_the_exact_interval():
    found = share([True] * 9 + [False])
    assert (found.value, found.n) == (0.9, 10)
    # Clopper and Pearson: the ends at which as many, or as few, have a chance of 2.5 %.
    assert binom.sf(8, 10, found.low) == pytest.approx(0.025)
    assert binom.cdf(9, 10, found.high) == pytest.approx(0.025)
    for n_hits in (0, 3, 10):  # none and all have an end of their own
        of_ten = share(np.arange(10) < n_hits)
        ends = binomtest(n_hits, 10).proportion_ci(confidence_level=0.95, method="exact")
        assert (of_ten.low, of_ten.high) == pytest.approx((ends.low, ends.high), abs=1e-9)
    assert share([]).n == 0
    assert np.isnan(share([]).value)


def test_sets_of_a_class_by_hand():
    present, absent = class_sets([[0.9], [0.5], [0.1], [0.3]], [0.5], [0.2])
    assert present[:, 0].tolist() == [True, True, False, False]
    assert absent[:, 0].tolist() == [False, False, True, False]  # the last has neither
    assert sets_hold([[1], [0], [0], [1]], present, absent)[:, 0].tolist() == [True, False, True, False]


def test_a_class_with_few_positives_has_marginal_quantiles_alone():
    rng = np.random.default_rng(0)
    y_NC = np.zeros((100, 2), dtype=bool)
    y_NC[:ENOUGH, 0] = y_NC[: ENOUGH - 1, 1] = True
    found = class_quantiles(y_NC, rng.random((100, 2)), [0.8, 0.9])
    assert found.is_conditional_C.tolist() == [True, False]
    assert found.n_present_C.tolist() == [ENOUGH, ENOUGH - 1]
    assert np.isfinite(found.marginal_QC).all()
    assert np.isfinite(found.present_QC[:, 0]).all()
    assert np.isnan(found.present_QC[:, 1]).all()
    assert np.isnan(found.absent_QC[:, 1]).all()


def simulated(rng, n):
    """A common and a rare class and an overconfident model."""
    z_NC = rng.normal(size=(n, 2)) * 2 - [0, 3]
    return rng.random((n, 2)) < expit(z_NC), expit(3 * z_NC + 1)


N_NEW = 400
# Calibration and new records vary both: the coverage of a draw has the variance δ(1 − δ)(1/n + 1/N_NEW), the
# mean of R draws an R-th of it; five deviations.


def tolerance(n, n_new, n_draws, confidence=0.9):
    return 5 * np.sqrt(confidence * (1 - confidence) * (1 / n + 1 / n_new) / n_draws)


def test_marginal_sets_cover_what_they_promise_and_conditional_ones_cover_the_rare_class():
    rng = np.random.default_rng(1)
    marginal, conditional, rare = [], [], []
    n, n_draws = 600, 60
    for _ in range(n_draws):
        found = class_quantiles(*simulated(rng, n), [0.9])
        y_NC, p_NC = simulated(rng, N_NEW)
        of_all = sets_hold(y_NC, *class_sets(p_NC, found.marginal_QC[0], found.marginal_QC[0]))
        of_kind = sets_hold(y_NC, *class_sets(p_NC, found.present_QC[0], found.absent_QC[0]))
        marginal.append(of_all.mean(axis=0))
        rare.append(of_all[y_NC[:, 1], 1].mean())
        conditional.append([of_kind[y_NC[:, index], index].mean() for index in (0, 1)])
    # Never below the promise by more than chance; above by 1 / (n + 1) at most.
    slack = tolerance(n, N_NEW, n_draws)
    assert np.mean(marginal, axis=0) == pytest.approx([0.9, 0.9], abs=slack + 1 / (n + 1))
    n_rare = 60  # about a tenth of the records
    slack = tolerance(n_rare, N_NEW / 10, n_draws) + 1 / n_rare
    assert np.mean(conditional, axis=0) == pytest.approx([0.9, 0.9], abs=slack)
    assert np.mean(rare) < 0.75  # what the marginal promise hides


def test_exclusive_sets_cover_what_they_promise():
    rng = np.random.default_rng(2)
    n, n_draws, covered = 300, 60, []
    for _ in range(n_draws):
        p_NC = rng.dirichlet(np.ones(4), size=n + N_NEW)
        y_NC = np.eye(4, dtype=bool)[
            (rng.random((len(p_NC), 1)) > np.cumsum(p_NC, axis=1)[:, :3]).sum(axis=1)
        ]
        found = exclusive_quantiles(y_NC[:n], p_NC[:n], [0.5, 0.9])
        held_NC = exclusive_sets(p_NC[n:], found.marginal_Q[1])
        covered.append(held_NC[y_NC[n:]].mean())
    assert np.mean(covered) == pytest.approx(0.9, abs=tolerance(n, N_NEW, n_draws) + 1 / (n + 1))


def test_exclusive_quantiles_by_hand():
    y_NC = np.eye(2, dtype=bool)[[0, 0, 1]]
    p_NC = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
    found = exclusive_quantiles(y_NC, p_NC, [0.75, 0.5])
    assert found.marginal_Q == pytest.approx([0.4, 0.3])  # scores .1, .3, .4: the third and the second
    assert np.isnan(found.conditional_QC).all()
    assert exclusive_sets([[0.65, 0.35], [0.5, 0.5]], 0.4).tolist() == [[True, False], [False, False]]


def test_a_record_of_two_exclusive_classes_is_refused():
    with pytest.raises(ValueError, match="row 0 has 2 classes"):
        exclusive_quantiles([[1, 1]], [[0.5, 0.5]], [0.9])
