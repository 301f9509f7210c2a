"""Hand-crafted features: against the demo's true intervals, against normal limits, and of bad signals."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_samples import development

from search.data import feature_table as table
from search.data.dataset import Development, load_development
from search.data.demo import quantise, synthesise_record
from search.data.demo.beats import normal_beat
from search.data.demo.classes import apply_changes
from search.data.demo.rhythm import draw_rhythm
from search.data.feature_table import load_features
from search.data.features import FEATURE_NAMES, FeatureScaling
from search.data.features.record import record_features
from search.data.signals.leads import LEADS
from search.errors import DataError

N_HEARTS = 24


def column(f_NK: np.ndarray, name: str) -> np.ndarray:
    return f_NK[..., FEATURE_NAMES.index(name)]


def heart(seed: int, rate_hz: int = 100) -> np.ndarray:
    """A normal record of the demo, µV."""
    rng, person = np.random.default_rng((seed, 1)), np.random.default_rng(seed)
    return quantise(synthesise_record({"NORM"}, rng, rate_hz, person=person))


def truth(seed: int) -> tuple[float, float, float]:
    """QRS duration and QTc in ms, and the rate per minute, of the same record."""
    beat = normal_beat(np.random.default_rng(seed))
    rng = np.random.default_rng((seed, 1))
    apply_changes(beat, {"NORM"}, rng)
    rate = draw_rhythm({"NORM"}, rng, 1.0).rate_bpm
    return beat.qrs_s * 1000, beat.qtc_s * 1000, rate


@pytest.fixture(scope="module")
def hearts() -> dict[int, np.ndarray]:
    return {
        rate: np.stack([record_features(heart(seed, rate), rate, leads=LEADS) for seed in range(N_HEARTS)])
        for rate in (100, 500)
    }


@pytest.mark.slow
@pytest.mark.parametrize("rate_hz", [100, 500])
def test_intervals_of_the_demo_are_found(hearts: dict[int, np.ndarray], rate_hz: int) -> None:
    f_NK = hearts[rate_hz]
    qrs, qtc, rate = np.array([truth(seed) for seed in range(N_HEARTS)]).T
    assert np.abs(column(f_NK, "heart_rate_mean_bpm") / rate - 1).max() < 0.06  # it varies with breathing
    # The demo counts a wave from 2.1 deviations on; what is measured begins with its foot.
    longer = column(f_NK, "qrs_duration_mean_ms") - qrs
    assert 0 < np.median(longer) < 22
    assert longer.std() < 6
    assert np.corrcoef(column(f_NK, "qrs_duration_mean_ms"), qrs)[0, 1] > 0.7
    assert np.median(np.abs(column(f_NK, "qtc_ms") - qtc)) < 15
    assert np.corrcoef(column(f_NK, "qtc_ms"), qtc)[0, 1] > 0.7


def test_features_hardly_depend_on_the_sampling_rate(hearts: dict[int, np.ndarray]) -> None:
    for name, tolerance in (
        ("rr_mean_ms", 3),
        ("qrs_duration_mean_ms", 6),
        ("qt_mean_ms", 10),
        ("t_amplitude_mean_mv", 0.03),
    ):
        difference = np.abs(column(hearts[100], name) - column(hearts[500], name))
        assert np.median(difference) < tolerance, name


def test_everything_is_measured_on_a_clean_record(hearts: dict[int, np.ndarray]) -> None:
    missing = {name for name in FEATURE_NAMES if np.isnan(column(hearts[100], name)).any()}
    assert missing == {"age_years", "sex"}


def test_rhythm_by_hand() -> None:
    """Beats at known times; 40 ms are 10 samples at 250 Hz."""
    beats_s = np.cumsum([0.5, 0.8, 0.88, 0.8, 0.8, 0.86, 0.8, 0.8, 0.8])
    times_T = np.arange(2500) / 250
    spikes_T = sum(np.exp(-(((times_T - at) / 0.012) ** 2) / 2) for at in beats_s)
    f_K = record_features(np.rint(1000 * np.stack([spikes_T, spikes_T])), 250)
    changes = np.abs(np.diff(np.diff(beats_s))) * 1000  # 80 80 0 60 60 0 0
    assert column(f_K, "rr_mean_ms") == pytest.approx(np.diff(beats_s).mean() * 1000, abs=2)
    assert column(f_K, "rr_median_ms") == pytest.approx(800, abs=4)
    assert column(f_K, "rr_difference_min_ms") <= 4
    assert column(f_K, "pnn50") == pytest.approx(4 / 7)
    assert column(f_K, "rmssd_ms") == pytest.approx(np.sqrt((changes**2).mean()), abs=4)
    assert column(f_K, "heart_rate_max_bpm") == pytest.approx(75, abs=0.5)
    assert column(f_K, "heart_rate_min_bpm") == pytest.approx(60 / 0.88, abs=0.5)


@pytest.mark.slow
def test_fibrillation_and_a_wide_qrs_show() -> None:
    def median(codes: set[str], name: str) -> float:
        records = [quantise(synthesise_record(codes, np.random.default_rng(seed))) for seed in range(10)]
        return float(np.median([column(record_features(x_LT, 100, leads=LEADS), name) for x_LT in records]))

    assert median({"AFIB"}, "rmssd_ms") > 3 * median({"NORM"}, "rmssd_ms")
    assert median({"AFIB"}, "p_correlation") < median({"NORM"}, "p_correlation") - 0.2
    assert median({"CLBBB"}, "qrs_duration_mean_ms") > 120 > median({"NORM"}, "qrs_duration_mean_ms")


def test_age_and_sex() -> None:
    f_K = record_features(heart(0), 100, leads=LEADS, age=300, sex=1)
    assert (column(f_K, "age_years"), column(f_K, "sex")) == (90, 1)


# ---------------------------------------------------------------------------------------------------------
# Bad signals


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 12]),
    st.sampled_from([100, 128, 250, 360, 500]),
    st.floats(0.0, 12.0),
    st.sampled_from(["noise", "spikes", "steps", "flat"]),
)
@settings(deadline=None, max_examples=40)
def test_no_signal_is_refused(seed: int, n_leads: int, rate_hz: int, seconds: float, kind: str) -> None:
    rng = np.random.default_rng(seed)
    shape = (n_leads, int(rate_hz * seconds))
    x_LT = {
        "noise": rng.normal(0, 300, shape),
        "spikes": 30_000.0 * (rng.random(shape) < 0.003),
        "steps": np.cumsum(rng.choice([0, 0, 0, 2000, -2000], shape), axis=1).clip(-30_000, 30_000),
        "flat": np.zeros(shape),
    }[kind].astype(np.int16)
    f_K = record_features(x_LT, rate_hz)
    assert f_K.shape == (len(FEATURE_NAMES),)
    assert f_K.dtype == np.float32
    assert not np.isinf(f_K).any()
    if kind == "flat":
        assert np.isnan(f_K).all()


def test_a_flat_lead_changes_little() -> None:
    x_LT = heart(3).copy()
    whole = record_features(x_LT, 100, leads=LEADS)
    x_LT[LEADS.index("V4")] = 0
    without = record_features(x_LT, 100, leads=LEADS)
    for name in ("rr_mean_ms", "qrs_duration_mean_ms", "qt_mean_ms"):
        assert column(without, name) == pytest.approx(column(whole, name), rel=0.1)
    x_LT[LEADS.index("II")] = 0
    assert np.isfinite(column(record_features(x_LT, 100, leads=LEADS), "qrs_amplitude_mean_mv"))


def test_one_lead_and_invalid_samples() -> None:
    x_LT = heart(4)[1:2].astype(float)
    x_LT[:, 300:310] = np.nan
    rate = column(record_features(x_LT, 100), "heart_rate_mean_bpm")
    assert rate == pytest.approx(truth(4)[2], rel=0.15)


def test_a_second_is_nearly_all_missing() -> None:
    f_K = record_features(heart(0)[:2, 200:300], 100)
    assert np.isnan(f_K).mean() > 0.5


# ---------------------------------------------------------------------------------------------------------
# A whole data set


@pytest.mark.slow
def test_features_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = development(n_records=70, n_samples=200)
    calls: list[tuple[int, int]] = []
    first_NK = load_features(data, cache_dir=tmp_path, progress=lambda *done: calls.append(done))
    assert calls == [(64, 70), (70, 70)]
    expected_K = record_features(data.x_NLT[69], 100, leads=data.leads)
    np.testing.assert_array_equal(first_NK[69], expected_K)
    with monkeypatch.context() as patch:
        patch.setattr(table, "features_of", None)
        np.testing.assert_array_equal(load_features(data, cache_dir=tmp_path), first_NK)
    (path,) = (tmp_path / "features").iterdir()
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 255
    path.write_bytes(damaged)
    np.testing.assert_array_equal(load_features(data, cache_dir=tmp_path), first_NK)
    path.write_bytes(b"")
    np.testing.assert_array_equal(load_features(data, cache_dir=tmp_path), first_NK)


def test_kept_features_follow_age_and_data(tmp_path: Path) -> None:
    data = development(n_records=3)
    load_features(data, cache_dir=tmp_path)
    aged = replace(data, age=np.array([20, np.nan, 90], np.float32), sex=np.array([0, 1, np.nan], np.float32))
    f_NK = load_features(aged, cache_dir=tmp_path)
    np.testing.assert_array_equal(column(f_NK, "age_years"), [20, np.nan, 90])
    np.testing.assert_array_equal(column(f_NK, "sex"), [0, 1, np.nan])
    load_features(replace(data, fingerprint="1" * 64), cache_dir=tmp_path)
    assert len(list((tmp_path / "features").iterdir())) == 3


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "features").write_text("a file")
    with pytest.raises(DataError, match="cannot keep features in"):
        load_features(development(n_records=2), cache_dir=tmp_path)


@pytest.mark.slow
def test_processes_compute_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = development(n_records=130)
    alone_NK = load_features(data, cache_dir=tmp_path / "a")
    # Private: records from which on processes are used.
    monkeypatch.setattr(table, "_FEW", 64)
    monkeypatch.setattr(table, "available_cores", lambda: 2)
    np.testing.assert_array_equal(load_features(data, cache_dir=tmp_path / "b"), alone_NK)


# ---------------------------------------------------------------------------------------------------------
# Scaling


def test_scaling_by_hand() -> None:
    f_NK = np.array([[1, 5, np.nan], [3, 5, np.nan], [5, np.nan, np.nan], [1000, 7, 2]], np.float32)
    scaling = FeatureScaling.of(f_NK, np.array([0, 1, 2]))
    sd = math.sqrt(8 / 3)
    expected = [
        [-2 / sd, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 1],
        [2 / sd, 0, 0, 0, 1, 1],
        [5, 2, 2, 0, 0, 0],  # clipped; a constant feature counts in its own unit
    ]
    scaled = scaling.apply(f_NK)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, expected, rtol=1e-6)


# ---------------------------------------------------------------------------------------------------------
# Real records


def of_normal_records(data: Development) -> np.ndarray:
    """Features of up to 120 records with nothing but a normal ECG, shape (N, K)."""
    y_NC = data.y["superclass"]
    is_normal = y_NC[:, data.hierarchy.classes("superclass").index("NORM")] & (y_NC.sum(axis=1) == 1)
    rows = np.flatnonzero(is_normal)[:120]
    return np.stack([record_features(data.x_NLT[row], data.rate_hz, leads=data.leads) for row in rows])


@pytest.mark.parametrize("rate_hz", [100, 500])
def test_a_typical_normal_record_lies_within_normal_limits(rate_hz: int, ptbxl: Path, tmp_path: Path) -> None:
    """A few records, so their median; limits as below."""
    data = load_development(ptbxl, rate_hz=rate_hz, cache_dir=tmp_path, skip_damaged=True)
    f_NK = of_normal_records(data)
    assert len(f_NK) >= 6
    assert 60 < np.median(column(f_NK, "heart_rate_mean_bpm")) < 100
    assert 70 < np.median(column(f_NK, "qrs_duration_mean_ms")) < 110
    assert 350 < np.median(column(f_NK, "qtc_ms")) < 460


@pytest.mark.slow
@pytest.mark.needs_data
@pytest.mark.parametrize("rate_hz", [100, 500])
def test_normal_records_lie_within_normal_limits(rate_hz: int, shared_data: Path, tmp_path: Path) -> None:
    """Limits: Surawicz et al. 2009 (QRS, AHA/ACCF/HRS part III), Rautaharju et al. 2009 (QTc, part IV)."""
    sample = shared_data / "ptb-xl-sample"
    data = load_development(sample, rate_hz=rate_hz, cache_dir=tmp_path, skip_damaged=True)
    f_NK = of_normal_records(data)
    for name, low, high, floor in (
        ("heart_rate_mean_bpm", 60, 100, 0.72),  # PTB-XL's normal records include slow sinus rhythms
        ("heart_rate_mean_bpm", 45, 110, 0.97),
        ("qrs_duration_mean_ms", 70, 110, 0.93),
        ("qtc_ms", 350, 460, 0.85 if rate_hz == 500 else 0.93),
    ):
        share = np.mean((column(f_NK, name) >= low) & (column(f_NK, name) <= high))
        assert share >= floor, (name, share)
    assert data.age is not None
    assert 15 < np.nanmedian(data.age) < 90
    assert data.sex is not None
    assert set(data.sex[np.isfinite(data.sex)]) == {0, 1}
