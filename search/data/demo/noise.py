"""Noise of a recording: baseline wander, muscle, mains and electrode motion.

Every generator returns eight channels, I, II and V1–V6, from which the other limb leads follow
(`search.data.demo.dipole.twelve_leads`), so that Einthoven's and Goldberger's identities hold in the noise
too.

Shape suffixes: E electrode channel (8 independent leads), W electrode (9), T time.
"""

import numpy as np
from numpy.random import Generator

from search.data.demo.beats import Floats

N_ELECTRODE_CHANNELS = 8
MAINS_HZ = 50.0
"""Frequency of the mains where PTB-XL was recorded."""
MAINS_TOLERANCE_HZ = 0.2
"""Deviation of the frequency of a large grid; EN 50160 allows .5 Hz."""
MOTIONS_PER_S = 0.5
"""Movements of an electrode in a second, beside the one that it makes in any case."""
ONSET_S = (0.02, 0.08)
RECOVERY_S = (0.1, 0.6)
"""Time constants in which the potential of a moved electrode rises and returns."""

_LIMB_3 = ((-1.0, 1.0, 0.0), (-1.0, 0.0, 1.0))
_CHANNELS_EW = np.block(
    [[np.array(_LIMB_3), np.zeros((2, 6))], [np.full((6, 3), -1 / 3), np.eye(6)]],
)
"""Potentials of RA, LA, LL and the chest electrodes to channels; V leads are against Wilson's terminal."""


def wander_parameters(noise: float, rng: Generator) -> Floats:
    """Baseline wander: three frequencies of .05-.4 Hz, with a sine and a cosine part in mV per channel.

    Returns:
        Shape (17, 3): frequency in Hz, eight rows for the sine, eight for the cosine.
    """
    level_mv = noise * 0.03 * float(np.exp(0.7 * rng.standard_normal()))
    amplitude = level_mv * rng.standard_normal((2 * N_ELECTRODE_CHANNELS, 3))
    return np.concatenate([rng.uniform(0.05, 0.4, (1, 3)), amplitude])


def wander(parameters: Floats, times_s: Floats) -> Floats:
    """Baseline wander of `wander_parameters` in mV, shape (8, T)."""
    angle = 2 * np.pi * parameters[0][:, None] * times_s
    sines, cosines = parameters[1 : 1 + N_ELECTRODE_CHANNELS], parameters[1 + N_ELECTRODE_CHANNELS :]
    drift: Floats = sines @ np.sin(angle) + cosines @ np.cos(angle)
    return drift


def muscle_noise(noise: float, n_samples: int, rng: Generator) -> Floats:
    """White noise per channel in mV, in one recording of six with a burst; shape (8, T)."""
    level_mv = noise * rng.uniform(0.003, 0.014) * rng.uniform(0.6, 1.4, N_ELECTRODE_CHANNELS)
    envelope = np.ones(n_samples)
    if rng.random() < 1 / 6:
        start = int(rng.integers(n_samples))
        envelope[start : start + n_samples // 5] = 3.0
    return level_mv[:, None] * envelope * rng.standard_normal((N_ELECTRODE_CHANNELS, n_samples))


def mains_hum(times_s: Floats, rng: Generator) -> Floats:
    """A sine at the frequency of the mains that every electrode picks up a little differently, shape (8, T).

    The unit is arbitrary: callers scale it.
    """
    hertz = MAINS_HZ + rng.uniform(-MAINS_TOLERANCE_HZ, MAINS_TOLERANCE_HZ)
    size_W = rng.uniform(0.5, 1.5, (_CHANNELS_EW.shape[1], 1))
    phase_W = rng.uniform(0, 2 * np.pi) + 0.5 * rng.standard_normal((_CHANNELS_EW.shape[1], 1))
    hum: Floats = _CHANNELS_EW @ (size_W * np.sin(2 * np.pi * hertz * times_s + phase_W))
    return hum


def electrode_motion(times_s: Floats, rng: Generator) -> Floats:
    """Potentials of electrodes that are pulled at: fast steps that decay within a second, shape (8, T).

    The unit is arbitrary: callers scale it. Every electrode moves, some far more than others.
    """
    duration_s = float(times_s[-1]) if len(times_s) > 1 else 1.0
    potential_WT = np.zeros((_CHANNELS_EW.shape[1], len(times_s)))
    for electrode in range(len(potential_WT)):
        level = float(np.exp(0.7 * rng.standard_normal()))
        for _ in range(1 + int(rng.poisson(MOTIONS_PER_S * duration_s))):
            # The first may have begun before the recording did, but not have ended.
            start_s = rng.uniform(-RECOVERY_S[0], 0.9 * duration_s)
            rise_s, fall_s = rng.uniform(*ONSET_S), rng.uniform(*RECOVERY_S)
            since_s = np.maximum(times_s - start_s, 0.0)
            shape_T = (1 - np.exp(-since_s / rise_s)) * np.exp(-since_s / fall_s)
            potential_WT[electrode] += level * rng.standard_normal() * shape_T
    motion: Floats = _CHANNELS_EW @ potential_WT
    return motion
