"""Windows of a recording as inputs of a model: with the length, rate and leads trained on.

Each window is preprocessed like a record in training: cut out, resampled and filtered on its own.

Shapes: W window, L lead, T time.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from search.data.recordings.recording import LeadChoice, Recording
from search.data.signals.headers import LOWEST_HZ
from search.data.signals.resample import n_resampled, resample
from search.errors import RecordError
from search.export.folder import Preprocessing

LEAST_SHARE: Final = 0.1
"""Shortest recording as a share of the length trained on; so much of a longer one may be left over."""
_FINEST: Final = 1000
"""Largest denominator of a sampling rate in Hz."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Window:
    """A part of a recording."""

    start_s: float
    end_s: float
    native_LT: NDArray[np.int16]
    """Microvolts at the rate of the recording."""
    x_LT: NDArray[np.int16]
    """The same at the rate of the model, before the filter."""
    problem: str | None
    """Reason for which it cannot be classified; the signals are empty then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Positions of the windows of a recording."""

    starts: tuple[int, ...]
    """First sample of each at the rate of the recording."""
    n_samples: int
    """Samples of each at that rate."""
    is_shorter: bool
    """Whether the recording is shorter than what was trained on."""


def plan_windows(n_samples: int, rate_hz: float, preprocessing: Preprocessing) -> Plan:
    """Cut a recording into windows of the length trained on.

    A recording that is no whole number of windows long is covered by windows that overlap evenly, unless less
    than `LEAST_SHARE` of one would be left over. One that is shorter is a window of its own.

    Raises:
        RecordError: It is too short for the model, or the rate is no positive number.
    """
    if not (math.isfinite(rate_hz) and rate_hz >= LOWEST_HZ):
        raise RecordError(f"sampled at {rate_hz:g} Hz, at least {LOWEST_HZ} are needed")
    ratio = _ratio(rate_hz, preprocessing.rate_hz)
    wanted = -(-preprocessing.n_samples * ratio.denominator // ratio.numerator)
    if (
        n_samples < wanted
        and n_resampled(n_samples, ratio.denominator, ratio.numerator) < preprocessing.n_samples
    ):
        length_s, trained_s = n_samples / rate_hz, preprocessing.n_samples / preprocessing.rate_hz
        if not preprocessing.any_length:
            raise RecordError(f"{length_s:g} s long, the model takes no less than {trained_s:g} s")
        if length_s < LEAST_SHARE * trained_s:
            raise RecordError(f"{length_s:g} s long, at least {LEAST_SHARE * trained_s:g} s are needed")
        return Plan(starts=(0,), n_samples=n_samples, is_shorter=True)
    wanted = min(wanted, n_samples)
    n_windows = max(1, math.ceil(n_samples / wanted - LEAST_SHARE))
    last = n_samples - wanted if n_samples <= n_windows * wanted else (n_windows - 1) * wanted
    starts = np.rint(np.linspace(0, last, n_windows)).astype(int).tolist()
    return Plan(starts=tuple(starts), n_samples=wanted, is_shorter=False)


def plan_around(
    samples_W: NDArray[np.int64],
    n_samples: int,
    rate_hz: float,
    *,
    before_s: float,
    preprocessing: Preprocessing,
) -> tuple[Plan, NDArray[np.bool_]]:
    """Windows of the length trained on around some samples of a recording.

    Args:
        samples_W: Samples of the recording, rising.
        n_samples: How many it has.
        rate_hz: Its rate.
        before_s: Time from the start of a window to its sample.
        preprocessing: Of the model.

    Returns:
        The windows for which there is room, and which of the samples these are, shape (W,).

    Raises:
        RecordError: There is room for none.
    """
    ratio = _ratio(rate_hz, preprocessing.rate_hz)
    wanted = -(-preprocessing.n_samples * ratio.denominator // ratio.numerator)
    starts_W = samples_W - round(before_s * rate_hz)
    fits_W = (starts_W >= 0) & (starts_W + wanted <= n_samples)
    if not fits_W.any():
        raise RecordError(f"none of {len(samples_W):,} beats has {wanted / rate_hz:g} s of signal around it")
    return Plan(starts=tuple(starts_W[fits_W].tolist()), n_samples=wanted, is_shorter=False), fits_W


def _ratio(from_hz: float, to_hz: int) -> Fraction:
    """Samples at the new rate for one at the old."""
    return to_hz / Fraction(from_hz).limit_denominator(_FINEST)


def windows(
    recording: Recording, leads: LeadChoice, plan: Plan, preprocessing: Preprocessing
) -> Iterator[Window]:
    """Read the windows of a recording one after the other; the memory of one is needed."""
    ratio = _ratio(recording.rate_hz, preprocessing.rate_hz)
    empty_LT = np.empty((len(preprocessing.leads), 0), dtype=np.int16)
    for start in plan.starts:
        native_LT, problem = empty_LT, None
        try:
            x_ST, missing_T = recording.read(leads.columns, start, plan.n_samples)
            if missing_T.any():
                problem = f"{np.count_nonzero(missing_T):,} of {len(missing_T):,} samples are missing"
            else:
                native_LT = leads(x_ST)
        except RecordError as error:
            problem = str(error)
        x_LT = native_LT
        if problem is None and ratio != 1:
            x_LT = resample(native_LT, ratio.denominator, ratio.numerator)
        if problem is None and not plan.is_shorter:
            x_LT = x_LT[:, : preprocessing.n_samples]
        yield Window(
            start_s=start / recording.rate_hz,
            end_s=(start + plan.n_samples) / recording.rate_hz,
            native_LT=native_LT,
            x_LT=x_LT,
            problem=problem,
        )
