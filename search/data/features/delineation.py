"""Delineation of a record: R peaks from the steepness over all leads, wave bounds from the median beat.

Shapes: L lead, T time at `RATE_HZ`, B beat, W sample of a beat.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import butter, find_peaks, resample_poly, sosfiltfilt

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RATE_HZ = 250
"""Every record is brought to this rate, so that features of a record at 100 and at 500 Hz agree."""
BEFORE = round(0.36 * RATE_HZ)
AFTER = round(0.64 * RATE_HZ)
"""Samples of a beat before and after the R peak."""

_SIGNAL_HZ = (0.5, 40.0)
_QRS_HZ = (6.0, 22.0)
_SHORTEST_RR_S = 0.24
_THRESHOLD = 0.3  # of the typical QRS complex; T waves stay well below in this band
_EDGE = 0.09  # steepness at which a QRS complex begins and ends, as a share of its maximum
_FLAT_MV = 0.002


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Waves:
    """Waves of a record; times in samples at `RATE_HZ`, those of waves relative to the R peak."""

    x_LT: Floats
    """Millivolts, .5 to 40 Hz."""
    r_B: Ints
    """R peaks."""
    x_BLW: Floats
    """Beats that lie in the record as a whole, from `BEFORE` the R peak to `AFTER` it."""
    qrs_B2: Ints
    """QRS onset and offset of the beats in `x_BLW`, counted in W."""
    t_peak: int | None
    """Peak of the T wave of the median beat, counted in W."""
    t_end: float | None
    """End of the wave."""
    median_qrs: tuple[int, int] | None
    """QRS onset and offset of the median beat."""


def prepare(x_LT: NDArray[np.generic], rate_hz: int) -> Floats:
    """Millivolts at `RATE_HZ` between .5 and 40 Hz, invalid samples as 0.

    Args:
        x_LT: microvolts.
        rate_hz: sampling rate of `x_LT`.
    """
    mv_LT = np.nan_to_num(x_LT.astype(np.float64) / 1000, nan=0.0, posinf=0.0, neginf=0.0)
    if rate_hz != RATE_HZ:
        mv_LT = resample_poly(mv_LT, RATE_HZ, rate_hz, axis=-1, padtype="line")
    return _band(mv_LT, _SIGNAL_HZ, rate_hz)


def is_flat(x_LT: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Leads without a signal. Shape (L,)."""
    if not x_LT.shape[-1]:
        return np.ones(len(x_LT), dtype=bool)
    spread_L = np.nan_to_num(x_LT.astype(np.float64) / 1000).std(axis=-1)
    return np.asarray(spread_L < _FLAT_MV)


def delineate(x_LT: Floats) -> Waves:
    """Find beats and their waves in what `prepare` returned; none in a record that is too short."""
    r_B = r_peaks(x_LT)
    whole_B = r_B[(r_B >= BEFORE) & (r_B + AFTER <= x_LT.shape[1])]
    x_BLW = np.stack([x_LT[:, r - BEFORE : r + AFTER] for r in whole_B]) if len(whole_B) else _no_beats(x_LT)
    if not len(whole_B):
        return Waves(
            x_LT=x_LT, r_B=r_B, x_BLW=x_BLW, qrs_B2=np.zeros((0, 2), int), t_peak=None, t_end=None,
            median_qrs=None,
        )  # fmt: skip
    median_LW = np.median(x_BLW, axis=0)
    qrs = qrs_bounds(steepness(median_LW))
    rr = float(np.median(np.diff(r_B))) if len(r_B) > 1 else RATE_HZ * 0.8
    t_peak, t_end = _t_wave(median_LW, qrs, rr)
    v_T = steepness(x_LT)
    each_B2 = np.array([qrs_bounds(v_T[r - BEFORE : r + AFTER], near=qrs) for r in whole_B])
    return Waves(x_LT=x_LT, r_B=r_B, x_BLW=x_BLW, qrs_B2=each_B2, t_peak=t_peak, t_end=t_end, median_qrs=qrs)


def _no_beats(x_LT: Floats) -> Floats:
    return np.zeros((0, len(x_LT), BEFORE + AFTER))


def r_peaks(x_LT: Floats) -> Ints:
    """R peaks: where the steepness over all leads between 6 and 22 Hz stands out. Shape (B,)."""
    if x_LT.shape[1] < RATE_HZ // 2 or not len(x_LT):
        return np.zeros(0, int)
    energy_T = uniform_filter1d(steepness(_band(x_LT, _QRS_HZ, RATE_HZ)), round(0.09 * RATE_HZ))
    # The typical complex: median over the record of the maximum within 1.6 s.
    typical = float(np.median(maximum_filter1d(energy_T, round(1.6 * RATE_HZ))))
    if typical <= 0:
        return np.zeros(0, int)
    found, _ = find_peaks(energy_T, height=_THRESHOLD * typical, distance=round(_SHORTEST_RR_S * RATE_HZ))
    size_T = np.sqrt((x_LT**2).mean(axis=0))
    reach = round(0.06 * RATE_HZ)
    starts = np.clip(found - reach, 0, None)
    r_B = np.array(
        [
            start + int(size_T[start : at + reach + 1].argmax())
            for start, at in zip(starts, found, strict=True)
        ]
    )
    return np.unique(r_B).astype(int) if len(r_B) else np.zeros(0, int)


def steepness(x_LT: Floats) -> Floats:
    """Root mean square over the leads of the derivative, in mV per second. Shape (T,)."""
    return np.asarray(np.sqrt((np.gradient(x_LT, axis=-1) ** 2).mean(axis=0)) * RATE_HZ)


def qrs_bounds(v_W: Floats, near: tuple[int, int] | None = None) -> tuple[int, int]:
    """Onset and offset of the QRS complex of a beat, where its steepness has died down for 12 ms.

    Args:
        v_W: steepness of the beat.
        near: bounds of the median beat, from which those of a noisy beat stay within 30 ms.
    """
    v_W = uniform_filter1d(v_W, 3)
    around = slice(BEFORE - round(0.08 * RATE_HZ), BEFORE + round(0.08 * RATE_HZ))
    peak = float(v_W[around].max())
    rank = round(0.15 * len(v_W))
    noise = float(np.partition(v_W, rank)[rank])
    level = noise + _EDGE * (peak - noise)
    quiet_W = maximum_filter1d(v_W, 3) <= level
    before_W = np.flatnonzero(quiet_W[: BEFORE + 1])
    after_W = np.flatnonzero(quiet_W[BEFORE:])
    earliest, latest = BEFORE - round(0.12 * RATE_HZ), BEFORE + round(0.16 * RATE_HZ)
    centre_before, centre_after = _active_edges(v_W, level, around)
    before_W, after_W = before_W[before_W <= centre_before], after_W[after_W + BEFORE >= centre_after]
    onset = max(int(before_W[-1]), earliest) if len(before_W) else earliest
    offset = min(BEFORE + int(after_W[0]), latest) if len(after_W) else latest
    if near is not None:
        reach = round(0.03 * RATE_HZ)
        onset = int(np.clip(onset, near[0] - reach, near[0] + reach))
        offset = int(np.clip(offset, near[1] - reach, near[1] + reach))
    return onset, offset


def _active_edges(v_W: Floats, level: float, around: slice) -> tuple[int, int]:
    """First and last sample of what is surely QRS: steeper than a third of the maximum."""
    sure_W = np.flatnonzero(v_W[around] >= max(level, v_W[around].max() / 3)) + around.start
    return int(min(sure_W[0], BEFORE)), int(max(sure_W[-1], BEFORE))


def _t_wave(x_LW: Floats, qrs: tuple[int, int], rr: float) -> tuple[int | None, float | None]:
    """Peak and end of the T wave; the end where the steepest tangent meets the baseline (Lepeschkin 1952)."""
    start = qrs[1] + round(0.07 * RATE_HZ)
    stop = min(x_LW.shape[1], BEFORE + round(min(0.72 * rr, 0.6 * RATE_HZ)))
    if stop - start < round(0.08 * RATE_HZ):
        return None, None
    rest_L = x_LW[:, max(0, qrs[0] - round(0.02 * RATE_HZ)) : qrs[0] + 1].mean(axis=1)
    size_W = uniform_filter1d(np.sqrt(((x_LW - rest_L[:, None]) ** 2).mean(axis=0)), round(0.028 * RATE_HZ))
    peak = start + int(size_W[start:stop].argmax())
    limit = min(x_LW.shape[1], peak + round(0.2 * RATE_HZ))
    slope_W = np.gradient(size_W)[peak:limit]
    if peak in (start, stop - 1) or not len(slope_W) or slope_W.min() >= 0:
        return None, None
    steepest = peak + int(slope_W.argmin())
    floor = float(size_W[steepest:limit].min())
    end = steepest + (size_W[steepest] - floor) / -float(slope_W.min())
    return peak, end if end <= x_LW.shape[1] else None


def _band(x_LT: Floats, band_hz: tuple[float, float], source_hz: int) -> Floats:
    high = min(band_hz[1], 0.45 * source_hz, 0.45 * RATE_HZ)
    sections = butter(2, (band_hz[0], high), btype="bandpass", fs=RATE_HZ, output="sos")
    padding = min(x_LT.shape[-1] - 1, 2 * RATE_HZ)
    if not x_LT.size or padding < 1:
        return np.zeros_like(x_LT)
    return np.asarray(sosfiltfilt(sections, x_LT, axis=-1, padlen=padding))
