"""Entropies of short series, in nats unless normalised.

Shapes: T sample, M template.
"""

from math import factorial

import numpy as np
from numpy.typing import NDArray
from scipy.signal import upfirdn

Floats = NDArray[np.float64]

TOLERANCE = 0.2
"""Largest difference of matching samples, in standard deviations (Pincus 1991; Richman & Moorman 2000)."""
TEMPLATE = 2
"""Length m of the templates compared (ibid.)."""

_DB4_LOW = np.array(
    [
        -0.010597401784997278,
        0.032883011666982945,
        0.030841381835986965,
        -0.18703481171888114,
        -0.02798376941698385,
        0.6308807679295904,
        0.7148465705525415,
        0.23037781330885523,
    ]
)
"""Low-pass decomposition filter of Daubechies' wavelet with four vanishing moments (1992, table 6.1)."""
_DB4_HIGH = _DB4_LOW[::-1] * np.tile([-1.0, 1.0], 4)


def sample_entropy(x_T: Floats) -> float:
    """Sample entropy, m = 2, r = .2 SD (Richman & Moorman 2000, equation for SampEn(m, r, N)).

    NaN for a constant or too short series, or where no templates match.
    """
    if len(x_T) < TEMPLATE + 2 or not x_T.std():
        return np.nan
    short_MM, long_MM = _matches(x_T)
    n = len(long_MM)
    # As many templates of both lengths, and none is compared with itself.
    n_short, n_long = short_MM[:n, :n].sum() - n, long_MM.sum() - n
    return float(np.log(n_short / n_long)) if n_long else np.nan


def approximate_entropy(x_T: Floats) -> float:
    """Approximate entropy, m = 2, r = .2 SD (Pincus 1991); NaN for a constant or too short series."""
    if len(x_T) < TEMPLATE + 2 or not x_T.std():
        return np.nan
    short_MM, long_MM = _matches(x_T)
    return float(np.log(short_MM.mean(axis=1)).mean() - np.log(long_MM.mean(axis=1)).mean())


def _matches(x_T: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Pairs of templates of length m, and of length m + 1, that match."""
    near_TT = np.abs(x_T[:, None] - x_T[None, :]) <= TOLERANCE * x_T.std()
    n = len(x_T) - TEMPLATE + 1
    short_MM = near_TT[:n, :n].copy()
    for lag in range(1, TEMPLATE):
        short_MM &= near_TT[lag : n + lag, lag : n + lag]
    long_MM = short_MM[:-1, :-1] & near_TT[TEMPLATE:, TEMPLATE:]
    return short_MM, long_MM


def permutation_entropy(x_T: Floats, order: int = 3) -> float:
    """Permutation entropy as a share of its maximum, in [0, 1] (Bandt & Pompe 2002); NaN if too short."""
    if len(x_T) < order + 1:
        return np.nan
    windows_MT = np.lib.stride_tricks.sliding_window_view(x_T, order)
    codes_M = np.argsort(windows_MT, axis=1, kind="stable") @ (order ** np.arange(order))
    return shannon_entropy(np.unique(codes_M, return_counts=True)[1]) / float(np.log(factorial(order)))


def multiscale_permutation_entropy(x_T: Floats, n_scales: int = 5) -> float:
    """Mean permutation entropy over scales 1 to `n_scales`, each the means of so many samples in a row.

    Coarse-grained as by Costa, Goldberger & Peng (2002); NaN if too short.
    """
    coarse = [x_T[: len(x_T) // scale * scale].reshape(-1, scale).mean(1) for scale in range(1, n_scales + 1)]
    return float(np.mean([permutation_entropy(series_T) for series_T in coarse]))


def shannon_entropy(weights_T: NDArray[np.generic]) -> float:
    """Shannon entropy of weights of at least 0, normalised to a sum of 1; NaN if all are 0."""
    w_T = weights_T[weights_T != 0].astype(np.float64)
    if not len(w_T):
        return np.nan
    w_T /= w_T.sum()
    return float(-(w_T * np.log(w_T)).sum()) + 0.0  # no negative zero


def wavelet_details(x_T: Floats, n_levels: int) -> list[Floats]:
    """Detail coefficients of Daubechies' wavelet with four vanishing moments, level 1 first.

    The signal is continued by its mirror image (half-sample symmetric), so that the ends do not jump.
    """
    details = []
    for _ in range(n_levels):
        padded_T = np.pad(x_T, len(_DB4_LOW) - 1, mode="symmetric")
        start, stop = len(_DB4_LOW), len(x_T) + 2 * len(_DB4_LOW) - 2
        details.append(upfirdn(_DB4_HIGH, padded_T)[start:stop:2])
        x_T = upfirdn(_DB4_LOW, padded_T)[start:stop:2]
    return details
