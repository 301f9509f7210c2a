"""Predicting where a learning curve ends: conditional distributions worked by hand, and calibration."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from search.pruner.learning_curves import CurveModel, CurveShape, Floats, Forecast, fit_curves, mean_shape

N_FOLDS, N_RUNGS = 5, 4
BETWEEN = 0.03**2 * np.array([0.5, 0.7, 0.9, 1.0])[:, None] * np.array([0.5, 0.7, 0.9, 1.0])[None, :]
BETWEEN = BETWEEN + np.diag([4e-4, 2e-4, 5e-5, 0])
WITHIN = 0.006**2 * np.exp(-np.abs(np.arange(4)[:, None] - np.arange(4)[None, :]) / 2)


def draw(n: int, seed: int) -> Floats:
    """Curves of n trials from the model itself."""
    generator = np.random.default_rng(seed)
    mean_FK = 0.3 + 0.1 * np.arange(N_RUNGS) + 0.02 * np.arange(N_FOLDS)[:, None]
    architecture = generator.multivariate_normal(np.zeros(N_RUNGS), BETWEEN, n)[:, None, :]
    own = generator.multivariate_normal(np.zeros(N_RUNGS), WITHIN, (n, N_FOLDS))
    return np.asarray(mean_FK + architecture + own)


def beginning(curve_FK: Floats, n_folds: int, n_rungs: int) -> Floats:
    """Curve after so many whole folds and rungs of the next one."""
    seen = np.full_like(curve_FK, np.nan)
    seen[:n_folds] = curve_FK[:n_folds]
    if n_folds < len(seen):
        seen[n_folds, :n_rungs] = curve_FK[n_folds, :n_rungs]
    return seen


def by_hand() -> CurveModel:
    """One fold, two rungs, means .5 and .6; variances .04 and covariance .02 before the factor 1 + 1/4."""
    return CurveModel(np.array([[0.5, 0.6]]), np.array([[0.03, 0.02], [0.02, 0.03]]), 0.01 * np.eye(2), 4)


def test_a_forecast_worked_by_hand() -> None:
    forecast = by_hand().forecast(np.array([[0.7, math.nan]]))
    # Regression on the first rung: .6 + (.02 / .04) × .2, variance 1.25 × (.04 − .02² / .04).
    assert forecast.mean == pytest.approx(0.7)
    assert forecast.sd == pytest.approx(math.sqrt(1.25 * 0.03))
    assert forecast.degrees_of_freedom == 4 + 4 - 1


def test_nothing_seen_gives_what_is_usual() -> None:
    forecast = by_hand().forecast(np.full((1, 2), math.nan))
    assert forecast.mean == pytest.approx(0.6)
    assert forecast.sd == pytest.approx(math.sqrt(1.25 * 0.04))


def test_what_has_ended_is_known() -> None:
    forecast = by_hand().forecast(np.array([[0.7, 0.65]]))
    assert forecast.mean == pytest.approx(0.65, abs=1e-6)
    assert forecast.sd < 1e-4


def test_a_prior_is_what_remains_where_nothing_is_seen() -> None:
    forecast = by_hand().forecast(np.full((1, 2), math.nan), (0.8, 0.1))
    assert (forecast.mean, forecast.sd) == (pytest.approx(0.8), pytest.approx(0.1))


def test_a_vague_prior_changes_nothing() -> None:
    seen = np.array([[0.7, math.nan]])
    assert by_hand().forecast(seen, (0.1, 10.0)) == by_hand().forecast(seen)


@given(first=st.floats(0, 1), mean=st.floats(0, 1), sd=st.floats(0.01, 0.2))
def test_evidence_and_a_prior_make_the_forecast(first: float, mean: float, sd: float) -> None:
    """Evidence of the curve and prior are independent: their precisions add up."""
    seen = np.array([[first, math.nan]])
    evidence = by_hand().evidence(seen)
    assert evidence is not None
    value, error = evidence
    precision = 1 / error**2 + 1 / sd**2
    forecast = by_hand().forecast(seen, (mean, sd))
    assert forecast.sd == pytest.approx(1 / math.sqrt(precision), rel=1e-5)
    assert forecast.mean == pytest.approx((value / error**2 + mean / sd**2) / precision, abs=1e-5)


def test_no_evidence_in_nothing() -> None:
    assert by_hand().evidence(np.full((1, 2), math.nan)) is None


def test_chance_above() -> None:
    forecast = Forecast(mean=0.5, sd=0.1, degrees_of_freedom=7)
    assert forecast.chance_above(0.5) == pytest.approx(0.5)
    assert forecast.chance_above(0.6) == pytest.approx(student.sf(1.0, 7))


def test_variances_are_found_again() -> None:
    model = fit_curves(draw(400, seed=1))
    assert np.diag(model.between_KK) == pytest.approx(np.diag(BETWEEN), rel=0.2)
    assert np.diag(model.within_KK) == pytest.approx(np.diag(WITHIN), rel=0.1)


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), n=st.integers(4, 12))
def test_the_order_of_the_trials_makes_no_difference(seed: int, n: int) -> None:
    curves_NFK = draw(n, seed)
    curves_NFK[0] = beginning(curves_NFK[0], 1, 2)
    curves_NFK[1] = beginning(curves_NFK[1], 1, 2)
    shuffled = np.random.default_rng(seed).permutation(curves_NFK)
    first, second = fit_curves(curves_NFK), fit_curves(shuffled)
    assert (first.mean_FK == second.mean_FK).all()
    assert (first.between_KK == second.between_KK).all()
    assert (first.within_KK == second.within_KK).all()


def test_trials_stopped_early_are_not_forgotten() -> None:
    """Those who went on are better than those who did not; the mean must be that of all."""
    curves_NFK = draw(300, seed=2)
    everybody = curves_NFK[:, :, -1].mean()
    goes_on = curves_NFK[:, 0, 1] > np.quantile(curves_NFK[:, 0, 1], 0.6)
    seen = np.stack([c if good else beginning(c, 0, 2) for c, good in zip(curves_NFK, goes_on, strict=True)])
    winners = curves_NFK[goes_on][:, :, -1].mean()
    found = fit_curves(seen).mean_FK[:, -1].mean()
    assert abs(found - everybody) < 0.25 * abs(winners - everybody)


@pytest.mark.parametrize(("n_folds", "n_rungs"), [(0, 0), (0, 2), (1, 0), (2, 3), (4, 0)])
def test_forecasts_are_calibrated(n_folds: int, n_rungs: int) -> None:
    """Of new trials nine in ten end inside the central 90 % of what was forecast."""
    model = fit_curves(draw(30, seed=3))
    new_NFK = draw(400, seed=4)
    n_inside = 0
    for curve_FK in new_NFK:
        forecast = model.forecast(beginning(curve_FK, n_folds, n_rungs))
        n_inside += 0.05 < forecast.chance_above(float(curve_FK[:, -1].mean())) < 0.95
    assert 0.85 <= n_inside / len(new_NFK) <= 0.98


def test_more_seen_is_more_certain() -> None:
    model, curve_FK = fit_curves(draw(20, seed=5)), draw(1, seed=6)[0]
    sds = [
        model.forecast(beginning(curve_FK, fold, rung)).sd
        for fold in range(N_FOLDS)
        for rung in range(N_RUNGS)
    ]
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(sds))


def test_a_shape_is_the_same_at_other_rungs_as_far_as_they_are_shared() -> None:
    shape = fit_curves(draw(60, seed=7)).shape
    assert shape is not None
    assert shape.between_KK[-1, -1] == pytest.approx(1.0)
    assert shape.at(N_RUNGS).between_KK == pytest.approx(shape.between_KK)
    half = shape.at(2)  # halfway and at the end: every second rung
    assert half.between_KK == pytest.approx(shape.between_KK[1::2, 1::2])
    assert half.within_KK == pytest.approx(shape.within_KK[1::2, 1::2])
    assert np.linalg.eigvalsh(shape.at(6).between_KK).min() > -1e-12


def test_curves_of_an_earlier_study_make_first_forecasts_better() -> None:
    """With three complete trials little is known of how much a beginning tells; other studies know."""
    shape = fit_curves(draw(100, seed=8)).shape
    assert shape is not None
    misses: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(20, 40):
        told_NFK, new_NFK = draw(3, seed=seed), draw(20, seed=100 + seed)
        for is_taught, found in misses.items():
            model = fit_curves(told_NFK, mean_shape([shape], N_RUNGS) if is_taught else None)
            for curve_FK in new_NFK:
                end = float(curve_FK[:, -1].mean())
                forecast = model.forecast(beginning(curve_FK, 1, 0))
                found.append(
                    -student.logpdf((end - forecast.mean) / forecast.sd, forecast.degrees_of_freedom)
                )
                found[-1] += math.log(forecast.sd)
    assert np.mean(misses[True]) < np.mean(misses[False])


def test_a_misleading_shape_is_overruled_by_the_own_curves() -> None:
    wrong = CurveShape(between_KK=np.eye(N_RUNGS), within_KK=4 * np.eye(N_RUNGS))
    curves_NFK, curve_FK = draw(200, seed=9), draw(1, seed=10)[0]
    seen_FK = beginning(curve_FK, 2, 0)
    own, misled = (fit_curves(curves_NFK, shape).forecast(seen_FK) for shape in (None, wrong))
    # The prior counts as 8 of some 200 trials.
    assert misled.mean == pytest.approx(own.mean, abs=0.5 * own.sd)
    assert 0.8 < misled.sd / own.sd < 1.5
