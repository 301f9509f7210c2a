"""Signals at a lower rate.

Shape suffixes: L lead, T time.
"""

import math

import numpy as np
from numpy.typing import NDArray


def n_resampled(n_samples: int, from_hz: int, to_hz: int) -> int:
    """Samples that `resample` makes of `n_samples`."""
    return -(-n_samples * to_hz // from_hz)


def resample(x_LT: NDArray[np.int16], from_hz: int, to_hz: int) -> NDArray[np.int16]:
    """Microvolts at another rate, by polyphase filtering: what the new rate cannot show is filtered out.

    The ends are extended along the line between first and last sample, so that an offset makes no step there.

    Args:
        x_LT: Microvolts.
        from_hz: Their rate.
        to_hz: The rate wanted.

    Returns:
        Microvolts, shape (L, n_resampled(T)).
    """
    from scipy.signal import resample_poly

    shared = math.gcd(from_hz, to_hz)
    y_LT = resample_poly(x_LT.astype(np.float64), to_hz // shared, from_hz // shared, axis=1, padtype="line")
    limit = np.iinfo(np.int16)
    resampled_LT: NDArray[np.int16] = np.clip(np.rint(y_LT), limit.min, limit.max).astype(np.int16)
    return resampled_LT
