"""Filters: what passes, what does not, no delay, and no wrap-around."""

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

import space
from search.data.dataset import load_development
from search.data.signals.filters import BAND_HZ, filter_named

RATES = pytest.mark.parametrize("rate_hz", [100, 250, 500])


def wave(frequency_hz: float, rate_hz: int = 100, seconds: int = 10, amplitude: float = 1_000) -> np.ndarray:
    time_T = np.arange(seconds * rate_hz) / rate_hz
    return np.rint(amplitude * np.sin(2 * np.pi * frequency_hz * time_T)).astype(np.int16)[None, None]


def middle(x_NLT: np.ndarray) -> np.ndarray:
    n_samples = x_NLT.shape[-1]
    return x_NLT[..., n_samples // 4 : -n_samples // 4].astype(float)


@pytest.mark.parametrize("name", space.FILTERS)
@RATES
def test_filters_keep_shape_and_type_and_do_not_touch_their_input(name: str, rate_hz: int) -> None:
    x_NLT = np.random.default_rng(0).normal(0, 300, (300, 2, 2 * rate_hz)).astype(np.int16)
    before = x_NLT.copy()
    y_NLT = filter_named(name)(x_NLT, rate_hz)
    assert (y_NLT.shape, y_NLT.dtype) == (x_NLT.shape, np.int16)
    np.testing.assert_array_equal(x_NLT, before)
    np.testing.assert_array_equal(filter_named(name)(x_NLT[7:8], rate_hz), y_NLT[7:8])


@RATES
@pytest.mark.parametrize("frequency_hz", [2, 10, 20])
def test_the_band_passes(frequency_hz: int, rate_hz: int) -> None:
    x_NLT = wave(frequency_hz, rate_hz)
    np.testing.assert_allclose(middle(filter_named("bandpass")(x_NLT, rate_hz)), middle(x_NLT), atol=15)


@RATES
def test_what_is_outside_the_band_does_not_pass(rate_hz: int) -> None:
    constant = np.full((1, 1, 10 * rate_hz), 5_000, dtype=np.int16)
    assert np.abs(filter_named("bandpass")(constant, rate_hz)).max() <= 5
    assert np.abs(middle(filter_named("bandpass")(wave(0.1, rate_hz, 40), rate_hz))).max() < 30
    if rate_hz > 100:
        assert np.abs(middle(filter_named("bandpass")(wave(100, rate_hz), rate_hz))).max() < 30


def test_the_band_pass_is_scipys_and_has_no_delay() -> None:
    impulse = np.zeros((1, 1, 1_001), dtype=np.int16)
    impulse[..., 500] = 10_000
    filtered_T = filter_named("bandpass")(impulse, 100)[0, 0]
    np.testing.assert_allclose(filtered_T, filtered_T[::-1], atol=1)
    assert filtered_T.argmax() == 500
    sections = butter(4, BAND_HZ, btype="bandpass", fs=100, output="sos")
    expected_T = sosfiltfilt(sections, impulse[0, 0].astype(float), padlen=300)
    np.testing.assert_allclose(filtered_T, expected_T, atol=0.51)


def test_the_baseline_goes_and_a_qrs_complex_stays() -> None:
    baseline = wave(0.1, seconds=20, amplitude=500)
    spikes = np.zeros_like(baseline)
    spikes[..., 50::80] = 1_200  # a narrow QRS complex every .8 s
    cleaned = filter_named("median")(baseline + spikes, 100)
    assert np.abs(middle(cleaned) - middle(spikes)).max() < 60
    assert not filter_named("median")(np.full((1, 1, 500), -300, dtype=np.int16), 100).any()


def test_values_beyond_the_range_become_its_ends() -> None:
    x_NLT = np.full((1, 1, 600), -32_768, dtype=np.int16)
    x_NLT[..., 300] = 32_767
    assert filter_named("median")(x_NLT, 100).max() == 32_767


def test_a_band_pass_keeps_qrs_complexes_of_real_records(ptbxl: Path, tmp_path: Path) -> None:
    data = load_development(ptbxl, cache_dir=tmp_path)
    x_NLT = np.asarray(data.x_NLT)
    y_NLT = filter_named("bandpass")(x_NLT, data.rate_hz)
    before, after = np.ptp(x_NLT, axis=2).astype(float), np.ptp(y_NLT, axis=2).astype(float)
    assert 0.85 < np.median(after / np.maximum(before, 1)) < 1.05
    # The mean of ten seconds goes, but for what the ends leave.
    assert np.median(np.abs(y_NLT.mean(axis=2))) < 10
