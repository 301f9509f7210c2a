"""Times of the beats of atria and ventricles: the twelve rhythm statements, ectopic beats and AV block.

A rhythm is a handful of numbers and two words (what the atria do, in which pattern the ventricles follow); a
schedule is the times that come of it.
"""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.random import Generator

Atria = Literal["sinus", "multifocal", "hidden", "fibrillation", "flutter"]
Pattern = Literal["regular", "bigeminy", "trigeminy", "dropped", "complete block", "paroxysm", "paced"]

START_S = -1.6
"""Schedules start before the recording so that its first second is complete."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rhythm:
    """Rates per minute; `irregularity` is the standard deviation of log RR."""

    rate_bpm: float
    respiratory: float = 0.02
    """Relative swing of RR with breathing."""
    irregularity: float = 0.010
    atria: Atria = "sinus"
    pattern: Pattern = "regular"
    extent: float = 1.0
    """Share of the recording that shows the pattern."""
    n_ventricular_ectopics: int = 0
    n_atrial_ectopics: int = 0


@dataclass(slots=True)
class Schedule:
    """Times in s of the starts of P waves and QRS complexes, with what each looks like."""

    p_starts_s: list[float] = dataclasses.field(default_factory=list)
    p_ectopic: list[bool] = dataclasses.field(default_factory=list)
    qrs_starts_s: list[float] = dataclasses.field(default_factory=list)
    qrs_ventricular: list[bool] = dataclasses.field(default_factory=list)

    def add_p(self, start_s: float, *, ectopic: bool = False) -> None:
        """Add an atrial beat."""
        self.p_starts_s.append(start_s)
        self.p_ectopic.append(ectopic)

    def add_qrs(self, start_s: float, *, ventricular: bool = False) -> None:
        """Add a ventricular beat."""
        self.qrs_starts_s.append(start_s)
        self.qrs_ventricular.append(ventricular)


def draw_rhythm(statements: Collection[str], rng: Generator, severity: float) -> Rhythm:
    """The rhythm that the statements describe; a lower severity makes it less irregular or more fleeting."""
    rhythm = Rhythm(rate_bpm=float(np.clip(rng.normal(72.0, 11.0), 61.0, 97.0)))
    extent = 0.35 + 0.65 * severity
    changes: dict[str, dict[str, Any]] = {
        "STACH": {"rate_bpm": rng.uniform(104.0, 138.0), "respiratory": 0.01},
        "SBRAD": {"rate_bpm": rng.uniform(40.0, 57.0)},
        "SARRH": {"respiratory": rng.uniform(0.10, 0.17) * (0.5 + 0.5 * severity)},
        "SVARR": {"atria": "multifocal", "irregularity": 0.10 * extent, "n_atrial_ectopics": 1},
        "AFIB": {
            "atria": "fibrillation",
            "rate_bpm": rng.uniform(62.0, 115.0),
            "irregularity": 0.22 * extent,
        },
        "AFLT": {"atria": "flutter"},
        "SVTAC": {"atria": "hidden", "rate_bpm": rng.uniform(150.0, 195.0), "respiratory": 0.0},
        "PSVT": {"pattern": "paroxysm", "extent": extent},
        "BIGU": {"pattern": "bigeminy", "extent": extent},
        "TRIGU": {"pattern": "trigeminy", "extent": extent},
        "PACE": {
            "pattern": "paced",
            "rate_bpm": rng.uniform(60.0, 80.0),
            "irregularity": 0.001,
            "respiratory": 0.0,
        },
        "2AVB": {"pattern": "dropped", "extent": extent},
        "3AVB": {"pattern": "complete block", "rate_bpm": rng.uniform(74.0, 90.0)},
        "PVC": {"n_ventricular_ectopics": 1 + int(rng.integers(3))},
        "PAC": {"n_atrial_ectopics": 1 + int(rng.integers(3))},
    }
    for code, change in changes.items():
        if code in statements:
            rhythm = dataclasses.replace(rhythm, **change)
    if "PRC(S)" in statements:  # premature, of unspecified origin
        name = "n_ventricular_ectopics" if rng.random() < 0.5 else "n_atrial_ectopics"
        count: dict[str, Any] = {name: 1 + int(rng.integers(2))}
        rhythm = dataclasses.replace(rhythm, **count)
    if rhythm.pattern in {"bigeminy", "trigeminy"} or "PVC" in statements:
        rhythm = dataclasses.replace(rhythm, rate_bpm=min(rhythm.rate_bpm, 110.0))
    return rhythm


def schedule_beats(
    rhythm: Rhythm, pr_s: float, flutter_hz: float, duration_s: float, rng: Generator
) -> Schedule:
    """Lay out one recording."""
    if rhythm.pattern == "complete block":
        return _complete_block(rhythm, duration_s, rng)
    if rhythm.pattern == "paced":
        return _paced(rhythm, pr_s, duration_s, rng)
    if rhythm.atria == "flutter":
        return _flutter(flutter_hz, duration_s, rng)
    if rhythm.pattern == "paroxysm":
        return _paroxysm(rhythm, pr_s, duration_s, rng)
    starts_s = _sinus_times(rhythm, duration_s, rng)
    return _conduct(starts_s, rhythm, pr_s, duration_s, rng)


def _sinus_times(rhythm: Rhythm, duration_s: float, rng: Generator) -> list[float]:
    """Atrial times with breathing and random variation of RR."""
    mean_s = 60.0 / rhythm.rate_bpm
    breath_hz, phase = rng.uniform(0.16, 0.30), rng.uniform(0.0, 2 * np.pi)
    time_s = START_S - rng.uniform(0.0, mean_s)
    times_s = []
    while time_s < duration_s + 1.0:
        times_s.append(time_s)
        breath = 1.0 + rhythm.respiratory * float(np.sin(2 * np.pi * breath_hz * time_s + phase))
        time_s += max(0.27, mean_s * breath * float(np.exp(rhythm.irregularity * rng.standard_normal())))
    return times_s


def _window(rhythm: Rhythm, duration_s: float, rng: Generator) -> tuple[float, float]:
    """Stretch of the recording in which the pattern shows."""
    length_s = rhythm.extent * duration_s
    start_s = rng.uniform(0.0, duration_s - length_s + 1e-9)
    return (START_S - 2.0 if rhythm.extent >= 1.0 else start_s), start_s + length_s + (rhythm.extent >= 1.0)


def _conduct(
    atrial_s: list[float], rhythm: Rhythm, pr_s: float, duration_s: float, rng: Generator
) -> Schedule:
    """Let the ventricles follow the atria, with dropped and premature beats."""
    schedule = Schedule()
    visible = rhythm.atria in {"sinus", "multifocal"}
    premature, early = _ectopic_beats(atrial_s, rhythm, duration_s, rng)
    dropped, pr_by_beat = _dropped_beats(atrial_s, rhythm, pr_s, duration_s, rng)
    shift_s = 0.0
    for i, planned_s in enumerate(atrial_s):
        rr_s = planned_s - atrial_s[i - 1] if i else 0.8
        time_s = planned_s - shift_s
        if i in premature:  # takes the place of the sinus beat; the pause after it is compensatory
            schedule.add_qrs(time_s - rr_s * rng.uniform(0.34, 0.42) + pr_s, ventricular=True)
            continue
        if i in early:  # resets the sinus node
            advance_s = rr_s * rng.uniform(0.28, 0.40)
            time_s, shift_s = time_s - advance_s, shift_s + 0.8 * advance_s
        if visible:
            ectopic = i in early or (rhythm.atria == "multifocal" and rng.random() < 0.5)
            schedule.add_p(time_s, ectopic=ectopic)
        if i not in dropped:
            schedule.add_qrs(time_s + pr_by_beat[i])
    return schedule


def _ectopic_beats(
    atrial_s: list[float], rhythm: Rhythm, duration_s: float, rng: Generator
) -> tuple[set[int], set[int]]:
    """Indices of beats that are ventricular prematures and of those that are atrial prematures."""
    inside = [i for i, time_s in enumerate(atrial_s) if 0.5 < time_s < duration_s - 0.8]
    chosen = [inside[int(k)] for k in rng.permutation(len(inside))]
    chosen = [i for n, i in enumerate(chosen) if all(abs(i - other) > 1 for other in chosen[:n])]
    n_ventricular = rhythm.n_ventricular_ectopics
    premature = set(chosen[:n_ventricular])
    early = set(chosen[n_ventricular : n_ventricular + rhythm.n_atrial_ectopics])
    if rhythm.pattern in {"bigeminy", "trigeminy"}:
        step = 2 if rhythm.pattern == "bigeminy" else 3
        start_s, end_s = _window(rhythm, duration_s, rng)
        premature = {i for i, time_s in enumerate(atrial_s) if i % step == 1 and start_s <= time_s <= end_s}
        early = set()
    return premature, early


def _dropped_beats(
    atrial_s: list[float], rhythm: Rhythm, pr_s: float, duration_s: float, rng: Generator
) -> tuple[set[int], list[float]]:
    """Second-degree block: every third or fourth beat is not conducted, with or without growing PR."""
    pr_by_beat = [pr_s] * len(atrial_s)
    if rhythm.pattern != "dropped":
        return set(), pr_by_beat
    cycle = 3 + int(rng.integers(2))
    growth_s = rng.uniform(0.04, 0.07) if rng.random() < 0.5 else 0.0  # Wenckebach or Mobitz II
    start_s, end_s = _window(rhythm, duration_s, rng)
    inside = {i for i, time_s in enumerate(atrial_s) if start_s <= time_s <= end_s}
    dropped = {i for i in inside if i % cycle == cycle - 1}
    pr_by_beat = [pr_s + growth_s * (i % cycle) * (i in inside) for i in range(len(atrial_s))]
    return dropped, pr_by_beat


def _complete_block(rhythm: Rhythm, duration_s: float, rng: Generator) -> Schedule:
    """Atria and ventricles beat independently; a slow escape rhythm."""
    schedule = Schedule()
    for time_s in _sinus_times(rhythm, duration_s, rng):
        schedule.add_p(time_s)
    escape = Rhythm(rate_bpm=rng.uniform(35.0, 45.0), respiratory=0.0)
    for time_s in _sinus_times(escape, duration_s, rng):
        schedule.add_qrs(time_s)
    return schedule


def _paced(rhythm: Rhythm, pr_s: float, duration_s: float, rng: Generator) -> Schedule:
    """Ventricular pacing, with P waves before it in half of the recordings."""
    schedule = Schedule()
    tracks_atria = rng.random() < 0.5
    for time_s in _sinus_times(rhythm, duration_s, rng):
        if tracks_atria:
            schedule.add_p(time_s)
        schedule.add_qrs(time_s + pr_s, ventricular=True)
    return schedule


def _flutter(flutter_hz: float, duration_s: float, rng: Generator) -> Schedule:
    """Two or four flutter waves to one QRS, or a changing number."""
    schedule = Schedule()
    mode = int(rng.integers(3))
    time_s = START_S - rng.uniform(0.0, 0.8)
    while time_s < duration_s + 1.0:
        schedule.add_qrs(time_s)
        ratio = (2, 4, 2 + int(rng.integers(3)))[mode]
        time_s += ratio / flutter_hz + 0.004 * float(rng.standard_normal())
    return schedule


def _paroxysm(rhythm: Rhythm, pr_s: float, duration_s: float, rng: Generator) -> Schedule:
    """Sinus rhythm with a run of fast regular beats without P waves."""
    schedule = Schedule()
    run_s = duration_s * min(0.75, 0.75 * rhythm.extent)
    start_s = rng.uniform(0.8, duration_s - run_s - 0.2)
    fast_s = 60.0 / rng.uniform(150.0, 200.0)
    sinus_s = _sinus_times(rhythm, duration_s, rng)
    for time_s in sinus_s:
        if time_s < start_s or time_s > start_s + run_s + 0.3:
            schedule.add_p(time_s)
            schedule.add_qrs(time_s + pr_s)
    last_s = max(time_s for time_s in sinus_s if time_s < start_s) + pr_s
    for k in range(1, int((start_s + run_s - last_s) / fast_s) + 1):
        schedule.add_qrs(last_s + k * fast_s)
    return schedule
