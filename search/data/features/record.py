"""Features of one record.

Shapes: L lead, T time, B beat, W sample of a beat, K feature.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly, welch

from search.data.features.delineation import RATE_HZ, Floats, Waves, delineate, is_flat, prepare, steepness
from search.data.features.entropy import (
    approximate_entropy,
    multiscale_permutation_entropy,
    sample_entropy,
    shannon_entropy,
    wavelet_details,
)
from search.data.features.names import FEATURE_NAMES

_MS = 1000 / RATE_HZ
_REFERENCE = ("II", "MLII")
_WAVELET_HZ = 100
_P_WINDOW = (round(0.22 * RATE_HZ), round(0.02 * RATE_HZ))
_T_REACH = round(0.1 * RATE_HZ)


def record_features(
    x_LT: NDArray[np.generic],
    rate_hz: int,
    *,
    leads: Sequence[str] = (),
    age: float = np.nan,
    sex: float = np.nan,
) -> NDArray[np.float32]:
    """Features of a record, NaN where one cannot be measured. Shape (K,), in the order of `FEATURE_NAMES`.

    No signal is refused: of a flat, noisy or too short one most features are NaN.

    Args:
        x_LT: microvolts.
        rate_hz: sampling rate.
        leads: names of the leads, by which lead II is found.
        age: years; above 89 counts as 90.
        sex: 0 male, 1 female.
    """
    found = {"age_years": min(age, 90.0) if np.isfinite(age) else np.nan, "sex": float(sex)}
    flat_L = is_flat(x_LT)
    if x_LT.shape[1] > 1 and not flat_L.all():
        named = [leads[row] if row < len(leads) else "" for row in np.flatnonzero(~flat_L).tolist()]
        waves = delineate(prepare(x_LT[~flat_L], rate_hz))
        lead = _reference(waves.x_LT, named)
        found |= _rhythm(waves.r_B) | _spectrum(waves.x_LT[lead])
        if len(waves.x_BLW):
            found |= _qrs(waves, lead) | _t_wave(waves, lead) | _p_wave(waves, lead)
    values_K = np.array([found.get(name, np.nan) for name in FEATURE_NAMES], dtype=np.float32)
    values_K[~np.isfinite(values_K)] = np.nan
    return values_K


def _reference(x_LT: Floats, named: Sequence[str]) -> int:
    for name in _REFERENCE:
        if name in named:
            return named.index(name)
    return int(np.argmax([steepness(x_LT[row : row + 1]).mean() for row in range(len(x_LT))]))


def _rhythm(r_B: NDArray[np.int64]) -> dict[str, float]:
    rr = np.diff(r_B) * _MS
    if not len(rr):
        return {}
    rate = 60_000 / rr
    found = {
        "rr_mean_ms": rr.mean(),
        "rr_median_ms": float(np.median(rr)),
        "heart_rate_min_bpm": rate.min(),
        "heart_rate_max_bpm": rate.max(),
        "heart_rate_mean_bpm": rate.mean(),
        "heart_rate_sd_bpm": rate.std(),
    }
    if len(rr) > 1:
        change = np.abs(np.diff(rr))
        found |= {
            "rr_difference_min_ms": change.min(),
            "pnn50": (change > 50).mean(),
            "pnn60": (change > 60).mean(),
            "rmssd_ms": np.sqrt((change**2).mean()),
        }
    return {name: float(value) for name, value in found.items()}


def _spectrum(x_T: Floats) -> dict[str, float]:
    if len(x_T) < RATE_HZ // 2:
        return {}
    f, power = welch(x_T, fs=RATE_HZ, nperseg=min(len(x_T), 2 * RATE_HZ))
    inside = (f >= 0.5) & (f <= 40)
    found = {}
    if power[inside].sum() > 0:
        found["frequency_mean_hz"] = float((f * power)[inside].sum() / power[inside].sum())
    details = wavelet_details(resample_poly(x_T, _WAVELET_HZ, RATE_HZ), 4)
    for level in (3, 4):
        found[f"wavelet_entropy_{level}"] = shannon_entropy(details[level - 1] ** 2)
    return found


def _qrs(waves: Waves, lead: int) -> dict[str, float]:
    amplitude, area, slope = [], [], []
    for x_W, (onset, offset) in zip(waves.x_BLW[:, lead], waves.qrs_B2, strict=True):
        part_W = x_W[onset : offset + 1]
        if len(part_W) < 3:
            continue
        line_W = np.linspace(part_W[0], part_W[-1], len(part_W))
        amplitude.append(np.ptp(part_W))
        area.append(np.trapezoid(np.abs(part_W - line_W)) * _MS)
        slope.append(np.abs(np.gradient(part_W)).max() * RATE_HZ)
    duration = np.diff(waves.qrs_B2, axis=1)[:, 0] * _MS
    found = {}
    for name, unit, values in (
        ("duration", "ms", duration),
        ("amplitude", "mv", amplitude),
        ("area", "mv_ms", area),
        ("slope", "mv_per_s", slope),
    ):
        if len(values):
            found[f"qrs_{name}_mean_{unit}"] = float(np.mean(values))
            found[f"qrs_{name}_sd_{unit}"] = float(np.std(values))
    return found


def _t_wave(waves: Waves, lead: int) -> dict[str, float]:
    if waves.t_peak is None or waves.median_qrs is None:
        return {}
    onset = waves.median_qrs[0]
    found = {}
    if waves.t_end is not None:
        found["qt_mean_ms"] = (waves.t_end - onset) * _MS
        if len(waves.r_B) > 1:
            rr_s = np.diff(waves.r_B).mean() / RATE_HZ
            found["qtc_ms"] = found["qt_mean_ms"] / float(np.cbrt(rr_s))
    x_BW = waves.x_BLW[:, lead] - waves.x_BLW[:, lead, onset : onset + 1]
    t_BW = x_BW[:, max(0, waves.t_peak - _T_REACH) : waves.t_peak + _T_REACH]
    found["t_amplitude_mean_mv"] = float(x_BW[:, waves.t_peak].mean())
    found["t_permutation_entropy"] = multiscale_permutation_entropy(t_BW.ravel())
    if len(t_BW) >= 4:
        alternation_W = np.abs(t_BW[::2].mean(axis=0) - t_BW[1::2].mean(axis=0))
        found["t_alternans_uv"] = float(np.median(alternation_W)) * 1000
    return found


def _p_wave(waves: Waves, lead: int) -> dict[str, float]:
    if waves.median_qrs is None:
        return {}
    onset = waves.median_qrs[0]
    p_BW = waves.x_BLW[:, lead, max(0, onset - _P_WINDOW[0]) : onset - _P_WINDOW[1]]
    series_T = p_BW[:, ::2].ravel()  # 125 Hz do, and entropies cost the square of the length
    found = {
        "p_sample_entropy": sample_entropy(series_T),
        "p_approximate_entropy": approximate_entropy(series_T),
    }
    median_W = np.median(p_BW, axis=0)
    spread_B = p_BW.std(axis=1)
    if len(p_BW) > 1 and median_W.std() > 0 and (spread_B > 0).all():
        centred_BW = p_BW - p_BW.mean(axis=1, keepdims=True)
        products_B = centred_BW @ (median_W - median_W.mean()) / p_BW.shape[1]
        found["p_correlation"] = float((products_B / (spread_B * median_W.std())).mean())
    return found
