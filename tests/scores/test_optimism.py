"""The score to expect of the best of many models."""

import numpy as np
import pytest
from numpy.typing import NDArray

from scores.bootstrap import Resampling
from scores.metrics import cross_validated_auprc
from scores.optimism import (
    ALPHA,
    Choice,
    _corrected,  # Private: the correction without predictions
)

N_FOLDS = 3
Folds = list[tuple[NDArray[np.bool_], NDArray[np.float64]]]


def models(n_models: int, n_records: int, seed: int, quality: float = 1.0) -> list[Folds]:
    """Models of the same quality that differ by chance alone."""
    rng = np.random.default_rng(seed)
    targets = [rng.random((n_records, 2)) < 0.4 for _ in range(N_FOLDS)]
    return [[(y, rng.normal(size=y.shape) + quality * y) for y in targets] for _ in range(n_models)]


def test_of_one_model_nothing_is_luck() -> None:
    only = models(1, 60, seed=0)
    expected = Choice([only], rng=np.random.default_rng(0)).expect([0], np.zeros(3))
    assert expected.plain == cross_validated_auprc(only[0]).value
    assert expected.interval.value == pytest.approx(expected.plain, abs=1e-12)
    assert (expected.chosen, expected.n_models) == (0, 1)


@pytest.mark.slow
def test_the_best_of_equals_is_corrected_to_what_they_are_worth() -> None:
    """Fifty models of one quality: the best scores higher, by chance alone; the mean of all is the truth."""
    gap, corrected = [], []
    for seed in range(6):
        each = models(50, 120, seed)
        truth = np.mean([cross_validated_auprc(folds).value for folds in each])
        expected = Choice([[one] for one in each], rng=np.random.default_rng(seed), n_resamples=50).expect(
            range(50), np.zeros(3)
        )
        gap.append(expected.plain - truth)
        corrected.append(expected.interval.value - truth)
    # Six draws whose corrected scores spread by some .01 have a mean within .013 (three standard errors).
    assert min(gap) > 0.03
    assert abs(np.mean(corrected)) < 0.013


def test_a_clear_winner_owes_nothing_to_luck() -> None:
    weak = models(5, 100, seed=0, quality=0.2)
    strong = [[(y, p + 6.0 * y) for y, p in weak[0]]]
    expected = Choice([[one] for one in (*weak, *strong)], rng=np.random.default_rng(0)).expect(
        range(6), np.zeros(3)
    )
    assert expected.chosen == 5
    # Its scores were moved to its own mean.
    assert expected.interval.value == pytest.approx(expected.plain, abs=1e-12)


def test_only_the_named_models_are_chosen_from() -> None:
    each = models(4, 80, seed=1)
    plain = [cross_validated_auprc(folds).value for folds in each]
    expected = Choice([[one] for one in each], rng=np.random.default_rng(0)).expect([2, 0], np.zeros(3))
    assert expected.chosen == max([2, 0], key=lambda index: plain[index])
    assert expected.n_models == 2


def test_the_interval_has_the_spread_of_the_chosen_model_and_that_of_the_correction() -> None:
    each = models(10, 80, seed=2)
    choice = Choice([[one] for one in each], rng=np.random.default_rng(0))
    resampling = Resampling([y for y, _ in each[0]], rng=np.random.default_rng(1), n_resamples=200)
    chosen = choice.expect(range(10), np.zeros(3)).chosen
    sample_R = resampling.macro(each[chosen])[1]
    low, high = np.quantile(sample_R, [0.025, 0.975])
    alone = choice.expect([chosen], sample_R).interval
    assert alone.high - alone.low == pytest.approx(high - low)
    interval = choice.expect(range(10), sample_R).interval
    assert interval.low < interval.value < interval.high
    # Ten models that differ by luck alone: the correction is as uncertain as one of them, or more.
    assert high - low <= interval.high - interval.low < 2 * (high - low)


def test_what_is_chosen_is_scored_with_deviations_that_are_uncorrelated_with_those_of_the_choice() -> None:
    """Two models of scores .5 and .4 and one deviation, (−.1, .1): chosen by S ± √½ D, scored by S ∓ √2 D."""
    choice = Choice([[of_scores(1)], [of_scores(2)]], rng=np.random.default_rng(0))
    # Private: scores and deviations by hand, in place of those of predictions.
    choice._plain_M, choice._luck_MR = np.array([0.5, 0.4]), np.array([[-0.1], [0.1]])
    # +D: .4293 against .4707, the second is chosen and has .4 − .1414. −D: the first has .5 − .1414.
    assert choice.expect([0, 1], np.zeros(3)).interval.value == pytest.approx(0.45 - 0.1 * 2**0.5)
    assert choice.expect([1], np.zeros(3)).interval.value == pytest.approx(0.4)


def test_a_choice_under_little_more_luck_is_not_too_low() -> None:
    """Sixty models that differ by quality as much as by luck, in units of luck.

    The quality of the best under a variance of luck of v is expected to be c / √(1 + v), c = 2.32 for sixty:
    1.64 of the best chosen and 1.47 of the best under 1.5, which is the expected estimate. Its standard
    deviation is 1.1, and the mean over 200 worlds lies within three times .08 of −.17. Twice the variance
    would give −.3, no correction +1.64.
    """
    rng = np.random.default_rng(0)
    errors, plain = [], []
    for _ in range(200):
        quality_M = rng.normal(size=60)
        score_M = quality_M + rng.normal(size=60)
        best = int(np.argmax(score_M))
        # Private: scores and deviations as drawn, in place of those of predictions.
        errors.append(_corrected(score_M, rng.normal(size=(60, 60)), ALPHA) - quality_M[best])
        plain.append(score_M[best] - quality_M[best])
    assert np.mean(plain) > 1.3
    assert abs(np.mean(errors) + 0.17) < 0.24


def test_models_of_other_records_are_refused() -> None:
    first, second = models(1, 20, seed=0), models(1, 20, seed=1)
    with pytest.raises(ValueError, match="same records"):
        Choice([[one] for one in (*first, *second)], rng=np.random.default_rng(0))


def of_scores(*positive_ranks: int) -> Folds:
    """Folds of three records, one of them positive, which ranks first, second or third: AP 1, 1/2 or 1/3."""
    y = np.array([[True], [False], [False]])
    scores = {1: (3, 2, 1), 2: (2, 3, 1), 3: (1, 3, 2)}
    return [(y, np.array(scores[rank], dtype=np.float64)[:, None]) for rank in positive_ranks]


def test_the_best_on_the_other_folds_is_scored_on_each() -> None:
    """Each model is best where the other is not: whoever wins on one fold loses on the other."""
    first, second = of_scores(1, 3), of_scores(3, 1)
    choice = Choice([[first], [second]], rng=np.random.default_rng(0))
    assert choice.on_other_folds([0, 1]) == pytest.approx(1 / 3)
    # A model that is best on both folds is chosen both times.
    choice = Choice([[of_scores(1, 1)], [first], [second]], rng=np.random.default_rng(0))
    assert choice.on_other_folds([0, 1, 2]) == 1
    assert choice.on_other_folds([1]) == pytest.approx((1 + 1 / 3) / 2)
    assert choice.expect([1, 2], np.zeros(3)).on_other_folds == pytest.approx(1 / 3)


def test_nothing_is_chosen_on_other_folds_where_there_is_one() -> None:
    choice = Choice([[of_scores(1)], [of_scores(2)]], rng=np.random.default_rng(0))
    assert np.isnan(choice.on_other_folds([0, 1]))


def test_the_score_of_a_model_is_the_mean_over_its_trainings() -> None:
    """A model of trainings 1 and 1/3 is worth 2/3, and one of folds 1 and 1/2 is better."""
    lucky_once, steady = [of_scores(1, 1), of_scores(3, 3)], [of_scores(1, 2)]
    expected = Choice([lucky_once, steady], rng=np.random.default_rng(0)).expect([0, 1], np.zeros(3))
    assert (expected.chosen, expected.plain) == (1, 0.75)
    alone = Choice([lucky_once], rng=np.random.default_rng(0))
    assert alone.expect([0], np.zeros(3)).plain == pytest.approx(2 / 3)
    assert alone.on_other_folds([0]) == pytest.approx(2 / 3)
