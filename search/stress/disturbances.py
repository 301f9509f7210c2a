"""Disturbances of recordings, as functions of their signals; the same for the same seed and record.

The signal-to-noise ratio is that of the noise stress test (Moody, Muldrow & Mark 1984, "A noise stress test
for arrhythmia detectors"; `nst` of the WFDB software): the power of the signal is that of a sinusoid with the
peak-to-peak amplitude of the QRS complexes, A² / 8. Four things are other than there. Records of ten seconds
have no annotated beats: A is the median peak-to-peak amplitude in windows of two seconds, each of which holds
a beat at 30/min or more. The noise is drawn, not recorded. Leads depend on each other: all of a record share
one factor, so that III = II − I stays true, and powers are means over its leads. The power of the noise is
its variance in the whole record, where `nst` takes windows of a second, in which little is left of wander.

Shapes: N record, L lead, T time, E electrode channel. Signals are int16 microvolts before any filter.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from reports.stress.schema import Condition, NotApplied
from search.data.demo.dipole import twelve_leads
from search.data.demo.noise import (
    N_ELECTRODE_CHANNELS,
    electrode_motion,
    mains_hum,
    muscle_noise,
    wander,
    wander_parameters,
)
from search.data.signals.leads import LEADS, LIMB_OF_I_II
from search.data.signals.resample import resample

Microvolts = NDArray[np.int16]
Floats = NDArray[np.float64]

SNR_DB = (24, 18, 12, 6, 0, -6)
"""Ratios of the records of the MIT-BIH Noise Stress Test Database."""
GAINS = (0.5, 2.0)
WINDOW_S = 2.0
LOST = "lost lead"
REVERSAL, REVERSED = "limb leads reversed", "RA–LA"
PRECORDIAL = LEADS[6:]
UNDISTURBED = Condition(disturbance="undisturbed", level="")

_NOISES: Mapping[str, Callable[[Floats, Generator], Floats]] = {
    "baseline wander": lambda times_s, rng: wander(wander_parameters(1.0, rng), times_s),
    "muscle noise": lambda times_s, rng: muscle_noise(1.0, len(times_s), rng),
    "mains hum": mains_hum,
    "electrode motion": electrode_motion,
}
"""Function from times in seconds and a generator to noise of eight channels in any unit."""
_BECOMES = {"II": "III", "III": "II", "aVR": "aVL", "aVL": "aVR"}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Records:
    """Some records to disturb."""

    x_NLT: Microvolts
    keys: Sequence[tuple[int, int]]
    """Number of the record and place among the rows that it has, for each row."""


Disturb = Callable[[Records], Iterator[Microvolts]]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Disturbance:
    """Conditions of one kind, made together."""

    conditions: tuple[Condition, ...]
    disturb: Disturb
    """Signals under each condition, in their order."""


def row_keys(ecg_id: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Number of the record of each row, and how many rows of that record come before."""
    seen: dict[int, int] = {}
    keys = []
    for number in ecg_id.tolist():
        keys.append((number, seen.get(number, 0)))
        seen[number] = keys[-1][1] + 1
    return keys


def disturbances(
    leads: Sequence[str], rate_hz: int, *, seed: int
) -> tuple[list[Disturbance], list[NotApplied]]:
    """All disturbances of records with these leads, and those that they cannot have.

    Args:
        leads: axis L.
        rate_hz: sampling rate.
        seed: of the noise.
    """
    found = [_noise(name, leads, rate_hz, seed) for name in _NOISES]
    without, not_applied = _lost_leads(leads)
    found += [without] if without.conditions else []
    matrix = reversal_matrix(leads)
    if isinstance(matrix, str):
        not_applied.append(NotApplied(disturbance=REVERSAL, level=REVERSED, reason=matrix))
    else:
        reversal_LL = matrix
        found.append(
            Disturbance(
                conditions=(Condition(disturbance=REVERSAL, level=REVERSED),),
                disturb=lambda records: iter([reversed_leads(records.x_NLT, reversal_LL)]),
            )
        )
    found.append(
        Disturbance(
            conditions=tuple(Condition(disturbance="gain", level=f"× {gain:g}") for gain in GAINS),
            disturb=lambda records: (with_gain(records.x_NLT, gain) for gain in GAINS),
        )
    )
    found.append(_resampled(rate_hz))
    return found, not_applied


def _noise(name: str, leads: Sequence[str], rate_hz: int, seed: int) -> Disturbance:
    def disturb(records: Records) -> Iterator[Microvolts]:
        n_samples = records.x_NLT.shape[2]
        # The same noise at every ratio, only larger.
        noise_NLT = np.stack(
            [
                draw_noise(name, leads, n_samples, rate_hz, seed=seed, key=key).astype(np.float32)
                for key in records.keys
            ]
        )
        return (add_noise(records.x_NLT, noise_NLT, snr_db, rate_hz) for snr_db in SNR_DB)

    return Disturbance(
        conditions=tuple(
            Condition(disturbance=name, level=f"{snr_db} dB".replace("-", "−"), snr_db=snr_db)
            for snr_db in SNR_DB
        ),
        disturb=disturb,
    )


def draw_noise(
    name: str, leads: Sequence[str], n_samples: int, rate_hz: int, *, seed: int, key: tuple[int, int]
) -> Floats:
    """Noise of one record, shape (L, T), in a unit that differs from kind to kind.

    Standard leads see one set of electrodes; any other lead has a channel of its own.

    Args:
        name: of the kind.
        leads: axis L.
        n_samples: axis T.
        rate_hz: sampling rate.
        seed: with kind and key it decides the noise.
        key: of `row_keys`.
    """
    rng = np.random.default_rng([seed, crc32(name.encode()), *key])
    times_s = np.arange(n_samples) / rate_hz
    draw = _NOISES[name]
    standard = twelve_leads(draw(times_s, rng))
    foreign = [lead for lead in leads if lead not in LEADS]
    blocks = [draw(times_s, rng) for _ in range(0, len(foreign), N_ELECTRODE_CHANNELS)]
    of_foreign = dict(zip(foreign, (channel for block in blocks for channel in block), strict=False))
    return np.stack([standard[LEADS.index(lead)] if lead in LEADS else of_foreign[lead] for lead in leads])


def signal_power(x_NLT: Microvolts, rate_hz: int) -> Floats:
    """Power of the QRS complexes in µV², the mean over leads, shape (N,)."""
    n_samples = x_NLT.shape[2]
    window = min(n_samples, round(WINDOW_S * rate_hz))
    starts = range(0, n_samples - window + 1, window)
    windows = [x_NLT[:, :, start : start + window].astype(np.float64) for start in starts]
    height_NL = np.median([x.max(axis=2) - x.min(axis=2) for x in windows], axis=0)
    power_N: Floats = (height_NL**2 / 8).mean(axis=1)
    return power_N


def add_noise(x_NLT: Microvolts, noise_NLT: NDArray[np.floating], snr_db: float, rate_hz: int) -> Microvolts:
    """Signals with noise at a signal-to-noise ratio; unchanged at an infinite one.

    Args:
        x_NLT: signals.
        noise_NLT: noise in any unit; not constant in all leads of a record.
        snr_db: ratio in decibels.
        rate_hz: sampling rate.
    """
    power_N = noise_NLT.var(axis=2, dtype=np.float64).mean(axis=1)
    factor_N = np.sqrt(signal_power(x_NLT, rate_hz) / (power_N * 10 ** (snr_db / 10)))
    return _microvolts(x_NLT + factor_N[:, None, None] * noise_NLT)


def _microvolts(x_NLT: NDArray[np.floating]) -> Microvolts:
    limit = np.iinfo(np.int16)
    rounded_NLT: Microvolts = np.clip(np.rint(x_NLT), limit.min, limit.max).astype(np.int16)
    return rounded_NLT


def _lost_leads(leads: Sequence[str]) -> tuple[Disturbance, list[NotApplied]]:
    """Each lead lost, and all precordial ones; what would leave no lead is not applied."""
    chest = tuple(lead for lead in leads if lead in PRECORDIAL)
    name = f"{chest[0]}–{chest[-1]}" if chest == PRECORDIAL else ", ".join(chest)
    wanted: dict[str, tuple[str, ...]] = {lead: (lead,) for lead in leads}
    not_applied = []
    if not chest:
        not_applied.append(_not_lost("all precordial", "the records have no standard precordial lead"))
    elif len(chest) > 1:
        wanted[name] = chest
    for level, lost in list(wanted.items()):
        if len(lost) == len(leads):
            del wanted[level]
            not_applied.append(_not_lost(level, "no lead would be left"))
    columns = [[leads.index(lead) for lead in lost] for lost in wanted.values()]
    lost_leads = Disturbance(
        conditions=tuple(Condition(disturbance=LOST, level=level) for level in wanted),
        disturb=lambda records: (without_leads(records.x_NLT, each) for each in columns),
    )
    return lost_leads, not_applied


def _not_lost(level: str, reason: str) -> NotApplied:
    return NotApplied(disturbance=LOST, level=level, reason=reason)


def without_leads(x_NLT: Microvolts, columns: Sequence[int]) -> Microvolts:
    """Signals with some leads flat at 0 µV, as an electrocardiograph writes a lead that is off."""
    lost_NLT = np.array(x_NLT)
    lost_NLT[:, columns] = 0
    return lost_NLT


def reversal_matrix(leads: Sequence[str]) -> Floats | str:
    """Leads after exchange of the electrodes of right and left arm: a matrix (L, L), or why there is none.

    I becomes −I; II and III, aVR and aVL change places; aVF and the precordial leads stay, for Wilson's
    terminal is the same. A lead whose counterpart is not among the leads is computed from others that are.
    """
    limb = [lead for lead in leads if lead in LIMB_OF_I_II]
    if not set(limb) - {"aVF"}:
        return (
            "it changes none of the leads of the records"
            if limb
            else "the records have no standard limb lead"
        )
    matrix_LL = np.eye(len(leads))
    basis_K2 = np.array([LIMB_OF_I_II[lead] for lead in limb])
    for lead in limb:
        row_L = np.zeros(len(leads))
        other = _BECOMES.get(lead, lead)
        if other in leads:
            row_L[leads.index(other)] = -1.0 if lead == "I" else 1.0
        else:
            wanted_2 = np.array(LIMB_OF_I_II[other])
            share_K = np.linalg.lstsq(basis_K2.T, wanted_2, rcond=None)[0]
            if not np.allclose(share_K @ basis_K2, wanted_2):
                return f"{lead} becomes {other}, which does not follow from the leads {', '.join(leads)}"
            row_L[[leads.index(name) for name in limb]] = share_K
        matrix_LL[leads.index(lead)] = row_L
    return matrix_LL


def reversed_leads(x_NLT: Microvolts, matrix_LL: Floats) -> Microvolts:
    """Signals through the matrix of `reversal_matrix`."""
    return _microvolts(np.einsum("kl,nlt->nkt", matrix_LL, x_NLT.astype(np.float64)))


def with_gain(x_NLT: Microvolts, gain: float) -> Microvolts:
    """Signals whose voltages are all wrong by one factor."""
    return _microvolts(x_NLT * gain)


def _resampled(rate_hz: int) -> Disturbance:
    """Resample to half the rate and back, and from 100 Hz to 500 Hz or from 500 Hz to 100 Hz and back."""
    passed = [rate_hz / 2, *({100: [500], 500: [100]}.get(rate_hz, []))]
    return Disturbance(
        conditions=tuple(
            Condition(disturbance="resampled", level=f"{rate_hz} → {through_hz:g} → {rate_hz} Hz")
            for through_hz in passed
        ),
        disturb=lambda records: (there_and_back(records.x_NLT, rate_hz, through_hz) for through_hz in passed),
    )


def there_and_back(x_NLT: Microvolts, rate_hz: int, through_hz: float) -> Microvolts:
    """Signals resampled to another rate, which is a multiple of half a hertz, and back."""
    ends = 2 * rate_hz, round(2 * through_hz)
    back = [resample(resample(x_LT, *ends), ends[1], ends[0])[:, : x_NLT.shape[2]] for x_LT in x_NLT]
    return np.stack(back)
