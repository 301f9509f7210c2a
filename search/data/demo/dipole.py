"""The heart as one moving dipole: Gaussian waves in time, seen by twelve leads.

A wave is a dipole moment of fixed direction whose size rises and falls as a Gaussian; a recording is the sum
of all waves of all beats, projected by Dower's matrix (Dower, Machado & Osborne 1980). Frank axes: X to the
left, Y downwards (inferior), Z backwards (posterior); moments in mV.

The idea of summed Gaussians is that of Sameni et al. 2007 and McSharry et al. 2003; here they are functions
of time and not of a phase, so that intervals are set directly in seconds.

Shape suffixes: W wave, L lead (12), E electrode channel (8 independent leads), T time.
"""

import math

import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]

LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""Spelled as in PTB-XL's headers."""

DOWER = np.array(
    [
        (0.632, -0.235, 0.059),  # I
        (0.235, 1.066, -0.132),  # II
        (-0.515, 0.157, -0.917),  # V1
        (0.044, 0.164, -1.387),  # V2
        (0.882, 0.098, -1.277),  # V3
        (1.213, 0.127, -0.601),  # V4
        (1.125, 0.127, -0.086),  # V5
        (0.831, 0.076, 0.230),  # V6
    ]
)
"""Rows I, II, V1-V6; III and the augmented leads follow from I and II and are never projected."""


def frontal_vector(axis_deg: float, limb_mv: float, z_mv: float) -> NDArray[np.float64]:
    """Dipole that shows a given electrical axis on the limb leads.

    The axis is not atan2(y, x): under Dower's matrix aVF is 1.9 times as sensitive as I. Solves
    I = A cos(axis) and aVF = (sqrt(3)/2) A sin(axis) for x and y.

    Args:
        axis_deg: Frontal axis, 0 to the left, 90 downwards.
        limb_mv: A, the amplitude in the limb lead that the axis points at.
        z_mv: Posterior component, given freely.
    """
    angle = math.radians(axis_deg)
    lead_i = limb_mv * math.cos(angle) - 0.059 * z_mv
    lead_avf = 0.5 * math.sqrt(3) * limb_mv * math.sin(angle) + 0.1615 * z_mv
    determinant = 0.632 * 1.1835 - 0.235 * 0.081
    x = (1.1835 * lead_i + 0.235 * lead_avf) / determinant
    y = (0.081 * lead_i + 0.632 * lead_avf) / determinant
    return np.array((x, y, z_mv))


def render(waves_W5: NDArray[np.float64], rate_hz: int, n_samples: int) -> NDArray[np.float64]:
    """Sum of Gaussian waves, each evaluated only where it is larger than a billionth of its peak.

    Args:
        waves_W5: One row per wave: centre in s, standard deviation in s, x, y, z in mV.
        rate_hz: Sampling rate; the first sample is at 0 s.
        n_samples: T.

    Returns:
        Dipole moment in mV, shape (3, T).
    """
    dipole_3T = np.zeros((3, n_samples))
    narrow = waves_W5[:, 1] < 0.025
    for group in (waves_W5[narrow], waves_W5[~narrow]):
        if not len(group):
            continue
        reach = int(6.5 * float(group[:, 1].max()) * rate_hz) + 1
        middle = np.rint(group[:, :1] * rate_hz).astype(np.int64)
        index_WK = middle + np.arange(-reach, reach + 1)
        deviation_WK = (index_WK / rate_hz - group[:, :1]) / group[:, 1:2]
        bell_WK: NDArray[np.float64] = np.exp(-0.5 * deviation_WK * deviation_WK)
        inside = (index_WK >= 0) & (index_WK < n_samples)
        sample, wave = index_WK[inside], np.nonzero(inside)[0]
        for axis in range(3):
            dipole_3T[axis] += np.bincount(sample, bell_WK[inside] * group[wave, 2 + axis], n_samples)
    return dipole_3T


def twelve_leads(x_ET: NDArray[np.float64]) -> NDArray[np.float64]:
    """All twelve leads from the eight independent ones (I, II, V1-V6), by Einthoven and Goldberger."""
    lead_i, lead_ii = x_ET[0], x_ET[1]
    limb = (
        lead_i,
        lead_ii,
        lead_ii - lead_i,
        -(lead_i + lead_ii) / 2,
        lead_i - lead_ii / 2,
        lead_ii - lead_i / 2,
    )
    return np.concatenate([np.stack(limb), x_ET[2:]])


def quantise(x_LT: NDArray[np.floating]) -> NDArray[np.int16]:
    """Twelve leads in mV as whole microvolts, with the limb-lead identities exact in integers.

    I and II are rounded to *even* microvolts; III = II - I, aVR = -(I + II)/2, aVL = I - II/2 and
    aVF = II - I/2 are then integers without any rounding of their own. Chest leads are rounded to 1 uV.

    Rounding also makes the files equal on every machine: exp and sin may differ in the last bit between
    processors, about 1e-13 of a microvolt here, which changes a rounded sample only if the exact value lies
    that close to a rounding boundary: about once in ten thousand demos of 1,200 records.
    """
    microvolts = np.clip(np.asarray(x_LT, dtype=np.float64) * 1000.0, -16000.0, 16000.0)
    limb = 2 * np.rint(microvolts[:2] / 2).astype(np.int64)
    lead_i, lead_ii = limb
    rows = (
        lead_i,
        lead_ii,
        lead_ii - lead_i,
        -(lead_i + lead_ii) // 2,
        lead_i - lead_ii // 2,
        lead_ii - lead_i // 2,
    )
    return np.concatenate([np.stack(rows), np.rint(microvolts[6:]).astype(np.int64)]).astype(np.int16)
