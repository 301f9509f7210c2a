"""Filters applied to all signals of a data set before training.

Shapes: N row, B rows at a time, L lead, T time. Signals are int16 microvolts and stay so: rounding adds .3 µV
of noise, a tenth of what the amplifier does.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import space
from search.cores import available_cores

Filter = Callable[[NDArray[np.int16], int], NDArray[np.int16]]
"""Function from signals `x_NLT` at a rate in Hz to signals of the same shape."""

BAND_HZ: Final = (0.5, 45.0)
"""Pass band of HC-CNN-TN (section 3.1)."""
ORDER: Final = 4
HIGHEST_SHARE: Final = 0.9
"""Largest upper edge as a share of half the sampling rate, beyond which the filter would ring."""
BASELINE_WINDOWS_S: Final = (0.2, 0.6)
"""Windows of the two median filters (de Chazal et al. 2004, section II.B): the first takes QRS complexes and
P waves away, the second T waves; what is left is the baseline."""
_ROWS: Final = 256
"""Rows at a time, to bound memory."""


def unfiltered(x_NLT: NDArray[np.int16], rate_hz: int) -> NDArray[np.int16]:
    """The signals as they are."""
    return x_NLT


def bandpass(x_NLT: NDArray[np.int16], rate_hz: int) -> NDArray[np.int16]:
    """Butterworth band-pass of order 4 from .5 to 45 Hz, forwards and backwards, so without a delay.

    At rates of 100 Hz and less the upper edge is nine tenths of half the rate.
    """
    from scipy.signal import butter, sosfiltfilt  # most of a second that unfiltered signals do not need

    low, high = BAND_HZ
    high = min(high, HIGHEST_SHARE * rate_hz / 2)
    sections = butter(ORDER, (low, high), btype="bandpass", fs=rate_hz, output="sos")

    def apply(x_BLT: NDArray[np.int16]) -> NDArray[np.float64]:
        # As long a mirror image at both ends as the signal allows: .5 Hz takes seconds to settle.
        padding = min(x_BLT.shape[-1] - 1, 3 * rate_hz)
        filtered: NDArray[np.float64] = sosfiltfilt(
            sections, x_BLT.astype(np.float64), axis=-1, padlen=padding
        )
        return filtered

    return _in_chunks(x_NLT, apply)


def without_baseline(x_NLT: NDArray[np.int16], rate_hz: int) -> NDArray[np.int16]:
    """Signals minus their baseline, as two median filters one after the other find it."""

    from scipy.ndimage import median_filter

    def apply(x_BLT: NDArray[np.int16]) -> NDArray[np.float64]:
        baseline_BLT = x_BLT.copy()
        for baseline_T in baseline_BLT.reshape(-1, x_BLT.shape[-1]):  # one lead is ten times faster than many
            for window_s in BASELINE_WINDOWS_S:
                n_samples = 2 * round(window_s * rate_hz / 2) + 1
                baseline_T[:] = median_filter(baseline_T, size=n_samples, mode="nearest")
        return x_BLT.astype(np.float64) - baseline_BLT

    return _in_chunks(x_NLT, apply)


def filter_named(name: str) -> Filter:
    """The filter that `space.FILTERS` has under this name."""
    found: Filter = space.load_code(space.FILTERS[name].apply)
    return found


def _in_chunks(
    x_NLT: NDArray[np.int16], apply: Callable[[NDArray[np.int16]], NDArray[np.float64]]
) -> NDArray[np.int16]:
    """Apply a function to some rows at a time, on all cores; values beyond int16 become its largest."""
    y_NLT = np.empty(x_NLT.shape, dtype=np.int16)
    limits: Any = np.iinfo(np.int16)

    def fill(start: int) -> None:
        rows = slice(start, start + _ROWS)
        y_BLT = apply(x_NLT[rows])
        y_NLT[rows] = np.clip(np.rint(y_BLT), limits.min, limits.max).astype(np.int16)

    with ThreadPoolExecutor(max_workers=available_cores()) as threads:
        list(threads.map(fill, range(0, len(x_NLT), _ROWS)))
    return y_NLT
