"""One synthetic recording: beats, rhythm, electrodes and noise."""

from collections.abc import Collection

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from search.data.demo.beats import Beat, Floats, atrial_waves, blend, jitter, normal_beat, ventricular_waves
from search.data.demo.classes import apply_changes, ventricular_beat
from search.data.demo.dipole import DOWER, render, twelve_leads
from search.data.demo.noise import N_ELECTRODE_CHANNELS, muscle_noise, wander, wander_parameters
from search.data.demo.rhythm import Rhythm, Schedule, draw_rhythm, schedule_beats

DURATION_S = 10

FIBRILLATION_DIRECTION = np.array((-0.35, 0.25, -0.85))  # largest in V1
FLUTTER_DIRECTION = np.array((-0.15, -0.95, -0.45))  # sawtooth in II, III, aVF


def synthesise_record(
    statements: Collection[str],
    rng: Generator,
    rate_hz: int = 100,
    *,
    severity: float = 1.0,
    noise: float = 1.0,
    person: Generator | None = None,
) -> NDArray[np.float32]:
    """One ten-second twelve-lead ECG that shows the given SCP statements.

    All draws that do not depend on the rate come before those that do: with equal generators the same heart
    is seen at 100 and at 500 Hz, under different noise.

    Args:
        statements: SCP codes, e.g. {"IMI", "AFIB"}; codes without an effect (ABQRS, SR) are ignored.
        rng: Source of everything that belongs to this recording.
        rate_hz: Sampling rate.
        severity: 1 shows the statements fully, 0 not at all.
        noise: Factor on electrode displacement, baseline wander and muscle noise; 0 gives a clean signal.
        person: Source of the healthy anatomy, by default `rng`; equal seeds give recordings of one person.

    Returns:
        Signals in mV in the order of `LEADS`, shape (12, 10 * rate_hz).
    """
    normal = normal_beat(person if person is not None else rng)
    beat = blend(normal, apply_changes(normal, statements, rng), severity)
    rhythm = draw_rhythm(statements, rng, severity)
    flutter_hz = rng.uniform(4.2, 5.6)
    schedule = schedule_beats(rhythm, beat.pr_s, flutter_hz, float(DURATION_S), rng)
    ectopic = ventricular_beat(normal, rng, paced=rhythm.pattern == "paced")
    waves_W5 = np.concatenate(
        [
            _p_waves(schedule, atrial_waves(beat), rng),
            *_qrs_waves(schedule, beat, ectopic, rhythm, rng),
        ]
    )
    n_samples = DURATION_S * rate_hz
    times_s = np.arange(n_samples) / rate_hz
    atrial = _atrial_activity(rhythm, flutter_hz, severity, rng)
    electrodes_E3 = _electrodes(noise, rng)
    drift = wander_parameters(noise, rng)
    dipole_3T = render(waves_W5, rate_hz, n_samples) + _oscillation(atrial, times_s)
    x_ET: Floats = electrodes_E3 @ dipole_3T + wander(drift, times_s) + muscle_noise(noise, n_samples, rng)
    return twelve_leads(x_ET).astype(np.float32)


def _p_waves(schedule: Schedule, template_25: Floats, rng: Generator) -> Floats:
    """All P waves, shape (2 P, 5); ectopic ones come from another corner of the atria."""
    starts_s = np.array(schedule.p_starts_s)
    waves = np.tile(template_25, (len(starts_s), 1, 1))
    waves[:, :, 0] += starts_s[:, None]
    for k in np.flatnonzero(schedule.p_ectopic):
        waves[k, :, 2:] = 0.9 * waves[k, :, 2:] * rng.choice((-1.0, 0.3, 1.2), size=3)
    return waves.reshape(-1, 5)


def _qrs_waves(schedule: Schedule, beat: Beat, ectopic: Beat, rhythm: Rhythm, rng: Generator) -> list[Floats]:
    """All QRS complexes and T waves, one (9, 5) block per beat, 3 % beat-to-beat variation of size."""
    starts_s = np.array(schedule.qrs_starts_s)
    order = np.argsort(starts_s, kind="stable")
    rr_s = float(np.clip(np.median(np.diff(starts_s[order])), 0.30, 1.6))
    if rhythm.pattern == "paroxysm":
        rr_s = 60.0 / rhythm.rate_bpm
    own, foreign = ventricular_waves(beat, rr_s), ventricular_waves(ectopic, rr_s)
    if rhythm.pattern == "paced":
        spike = np.array([(-0.012, 0.004, *rng.uniform(0.8, 1.3) * np.array((-0.5, -1.0, 0.4)))])
        foreign = np.concatenate([foreign, spike])
    blocks = []
    size = 1.0 + 0.03 * rng.standard_normal(len(starts_s))
    following_s = np.diff(starts_s[order], append=starts_s[order[-1]] + rr_s)
    for rank, k in enumerate(order):
        block = (foreign if schedule.qrs_ventricular[k] else own).copy()
        if following_s[rank] < 0.85 * rr_s:  # early next beat: recovery is cut short
            block[6:9, :2] *= max(0.6, float(np.cbrt(following_s[rank] / rr_s)))
        block[:, 0] += starts_s[k]
        block[:, 2:] *= size[k]
        blocks.append(block)
    return blocks


def _atrial_activity(rhythm: Rhythm, flutter_hz: float, severity: float, rng: Generator) -> Floats:
    """Rows (frequency in Hz, phase, slow modulation in Hz, its phase, x, y, z) of flutter or fibrillation."""
    rows = []
    if rhythm.atria == "fibrillation":
        size_mv = rng.uniform(0.03, 0.09) * (0.3 + 0.7 * severity)
        for share in (0.7, 0.5, 0.4):
            direction = jitter(FIBRILLATION_DIRECTION, 0.25, rng)
            rows.append((rng.uniform(4.5, 8.0), *_phases(rng), *share * size_mv * direction))
    elif rhythm.atria == "flutter":
        size_mv = rng.uniform(0.10, 0.18) * (0.4 + 0.6 * severity)
        phase = rng.uniform(0.0, 2 * np.pi)
        for harmonic in (1, 2, 3):  # first terms of a sawtooth
            row = (harmonic * flutter_hz, harmonic * phase, 0.0, np.pi / 2)
            rows.append((*row, *(size_mv / harmonic) * FLUTTER_DIRECTION))
    return np.array(rows).reshape(-1, 7)


def _phases(rng: Generator) -> tuple[float, float, float]:
    return rng.uniform(0.0, 2 * np.pi), rng.uniform(0.1, 0.4), rng.uniform(0.0, 2 * np.pi)


def _oscillation(rows: Floats, times_s: Floats) -> Floats:
    """Continuous atrial activity, shape (3, T)."""
    swing = np.sin(2 * np.pi * rows[:, :1] * times_s + rows[:, 1:2])
    envelope = np.sin(2 * np.pi * rows[:, 2:3] * times_s + rows[:, 3:4])
    moment_3T: Floats = rows[:, 4:].T @ (swing * (0.6 + 0.4 * envelope))
    return moment_3T


def _electrodes(noise: float, rng: Generator) -> Floats:
    """Dower's matrix of a body that is turned, built and wired a little differently, shape (8, 3)."""
    turn = 0.10 * noise * rng.standard_normal(3)  # rad about x, y, z
    rotation = np.eye(3) + np.array(
        ((0.0, -turn[2], turn[1]), (turn[2], 0.0, -turn[0]), (-turn[1], turn[0], 0.0))
    )
    gain = 1.0 + noise * np.array((0.0, 0.0, *([0.12] * 6))) * rng.standard_normal(N_ELECTRODE_CHANNELS)
    placement = 0.04 * noise * rng.standard_normal((N_ELECTRODE_CHANNELS, 3))
    electrodes_E3: Floats = gain[:, None] * (DOWER @ rotation + placement)
    return electrodes_E3
