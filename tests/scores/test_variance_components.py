"""The luck of the training: components of variance of repeated trainings."""

import math

import numpy as np
import pytest

from scores.variance_components import training_deviation, variance_components


def test_the_components_of_a_two_way_layout_are_those_worked_by_hand() -> None:
    """Two trainings (1, 3, 5) and (3, 3, 9).

    Means of trainings 3 and 5, of folds 2, 3 and 7, of all 4. MS_S = 3 (1 + 1) / 1 = 6, MS_F = 2 (4 + 1 + 9)
    / 2 = 14, residuals 0, 1, −1 and 0, −1, 1, so MS_E = 4 / 2 = 2; σ²_S = (6 − 2) / 3, σ²_F = (14 − 2) / 2.
    """
    found = variance_components([[[1, 3, 5], [3, 3, 9]]])
    assert found is not None
    assert (found.residual, found.seed, found.fold) == pytest.approx((2, 4 / 3, 6))
    assert (found.n_folds, found.n_models, found.n_repeats) == (3, 1, 1)
    # σ²_S / K + σ²_E / (J K): of two trainings 2/3 + 1/3, which is MS_S / (J K).
    assert found.training(1) == pytest.approx(2)
    assert found.training(2) == pytest.approx(1)
    # σ²_F / J = 2 holds patients worth 1.5; of patients worth 5 there is nothing else in it.
    assert found.total(2, 1.5) == pytest.approx(1 + 2)
    assert found.total(2, 5.0) == pytest.approx(1 + 5)


def test_models_are_pooled_by_their_degrees_of_freedom() -> None:
    """A second model with trainings (0, 0), (0, 0), (6, 6): MS_S = 2 (4 + 4 + 16) / 2 = 24, MS_E = MS_F = 0.

    The first has, on two folds, (1, 3) and (3, 3): MS_S = 2 (1/4 + 1/4) = 1, MS_F = 1, MS_E = 1. Together
    MS_E = (0 + 1) / 3, MS_S = (48 + 1) / 3, σ²_F = mean of (1 − 1/3) / 2 and (0 − 1/3) / 3.
    """
    found = variance_components([[[1, 3], [3, 3]], [[0, 0], [0, 0], [6, 6]], [[5, 7]]])
    assert found is not None
    assert found.residual == pytest.approx(1 / 3)
    assert found.seed == pytest.approx((49 / 3 - 1 / 3) / 2)
    assert found.fold == pytest.approx((1 / 3 - 1 / 9) / 2)
    assert (found.n_models, found.n_repeats) == (2, 3)


def test_an_estimate_below_zero_is_zero() -> None:
    found = variance_components([[[0, 2], [2, 0]]])
    assert found is not None
    assert (found.seed, found.fold, found.residual) == (0, 0, pytest.approx(4))


def test_folds_without_a_score_are_left_out_and_one_training_says_nothing() -> None:
    whole = variance_components([[[1, 3, 5], [3, 3, 9]]])
    assert variance_components([[[1, 3, math.nan, 5], [3, 3, 2, 9]]]) == whole
    assert variance_components([[[1, 2, 3]]]) is None
    assert variance_components([[[1], [2]]]) is None
    assert variance_components([]) is None


def test_components_of_simulated_trainings_are_found_again() -> None:
    """SDs .02, .05 and .03 of seed, fold and residual; 400 draws of 6 models, 4 trainings and 5 folds.

    The standard error of each mean is below 3 % of the variance: the fewest degrees of freedom, those of the
    seed, are 18 in a draw, and 400 draws have a relative error of √(2 / 7200) times MS_S / (J σ²_S) = 1.45.
    """
    rng = np.random.default_rng(0)
    truth = np.array([0.02, 0.05, 0.03]) ** 2
    found = []
    for _ in range(400):
        seed = rng.normal(0, 0.02, (6, 4, 1))
        fold = rng.normal(0, 0.05, (6, 1, 5))
        score = 0.7 + seed + fold + rng.normal(0, 0.03, (6, 4, 5))
        each = variance_components(list(score))
        assert each is not None
        found.append((each.seed, each.fold, each.residual))
    assert np.mean(found, axis=0) == pytest.approx(truth, rel=0.12)


def test_the_standard_error_is_how_far_means_lie_from_the_truth() -> None:
    """The mean of two trainings on the folds as they are: 5 % is four standard errors of an SD of 4,000."""
    rng = np.random.default_rng(1)
    mean = (rng.normal(0, 0.02, (4000, 2, 1)) + rng.normal(0, 0.03, (4000, 2, 5))).mean(axis=(1, 2))
    model = variance_components(list(rng.normal(0, 0.02, (3000, 2, 1)) + rng.normal(0, 0.03, (3000, 2, 5))))
    assert model is not None
    assert math.sqrt(model.training(2)) == pytest.approx(mean.std(), rel=0.05)


def test_the_deviation_between_trainings_is_pooled_and_has_the_interval_of_a_variance() -> None:
    """Deviations ±1 and −1, 0, 1: s² = (2 + 2) / 3; quantiles of χ² with 3 degrees are .2158 and 9.348."""
    found = training_deviation([[1, 3], [4, 5, 6], [9]])
    assert found is not None
    assert found.value == pytest.approx(math.sqrt(4 / 3))
    assert (found.low, found.high) == pytest.approx((math.sqrt(4 / 9.3484), math.sqrt(4 / 0.21580)), rel=1e-4)
    assert (found.n_models, found.n_trainings) == (2, 5)
    assert training_deviation([[1], [2]]) is None
