"""The recording that all file formats are read into, and the leads that a model takes from it.

Shapes: S signal of the file, L lead of the model, T time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from search.data.signals.leads import LIMB_OF_I_II, lead_key, usual_lead
from search.data.signals.records import whole_microvolts
from search.errors import RecordError


class Recording(Protocol):
    """One recording of any rate, length and leads."""

    @property
    def rate_hz(self) -> float:
        """Sampling rate of the leads."""

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of all signals as in the file."""

    @property
    def n_samples(self) -> int:
        """Samples per lead."""

    def without_gain(self, columns: NDArray[np.intp]) -> tuple[str, ...]:
        """Names of the signals at `columns` whose file does not state what a step of the converter is."""

    def read(
        self, columns: NDArray[np.intp], start: int, n_samples: int
    ) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        """Read some samples of the signals at `columns` of `leads`.

        Returns:
            Microvolts, shape (S, n_samples), 0 where one is missing; and where it is in any of the signals,
            shape (n_samples,).

        Raises:
            RecordError: They cannot be read as voltages.
        """


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LeadChoice:
    """Derivation of the leads of a model from the signals of a file."""

    columns: NDArray[np.intp]
    """Places in the file of the S signals that are read."""
    weights_LS: NDArray[np.float64]
    """Share of each of them in each lead: a single 1 where the lead is there."""
    derived: tuple[str, ...]
    """Leads that are not there but follow exactly, as equations: `III = −I + II`."""
    unused: tuple[str, ...]
    """Names of the other signals of the file."""

    def __call__(self, x_ST: NDArray[np.int16]) -> NDArray[np.int16]:
        """Microvolts of the leads, shape (L, T)."""
        if not self.derived:
            return np.ascontiguousarray(x_ST[np.argmax(self.weights_LS, axis=1)])
        return whole_microvolts(self.weights_LS @ x_ST)


def choose_leads(names: Sequence[str], wanted: Sequence[str]) -> LeadChoice:
    """Find the leads of a model among the signals of a file, in whatever order and case.

    Names count without case and without "ECG" or "lead" before them; see also `usual_lead`. A limb lead that
    is missing follows exactly from any two others.

    Args:
        names: Signals of the file.
        wanted: Leads of the model.

    Raises:
        RecordError: A lead is missing and follows from no others, or two signals have its name.
    """
    place: dict[str, int] = {}
    by_key = {lead_key(lead): lead for lead in wanted}
    for column, name in enumerate(names):
        lead = by_key.get(lead_key(name)) or usual_lead(name)
        if lead is None:
            continue
        if lead in place:
            raise RecordError(
                f"two signals for lead {lead}: {names[place[lead]].strip()!r} and {name.strip()!r}"
            )
        place[lead] = column
    limbs = [lead for lead in LIMB_OF_I_II if lead in place][:2]
    missing = [lead for lead in wanted if lead not in place and (lead not in LIMB_OF_I_II or len(limbs) < 2)]
    if missing:
        noun = "lead" if len(missing) == 1 else "leads"
        found = dict.fromkeys(name.strip() or "signals without names" for name in names)
        there = ", ".join(found)[:80] or "none"
        raise RecordError(f"lacks {noun} {', '.join(missing)}; it has {there}")
    derived = [lead for lead in wanted if lead not in place]
    read = [lead for lead in place if lead in wanted or (derived and lead in limbs)]
    weights_LS = np.zeros((len(wanted), len(read)))
    words = []
    for row, lead in enumerate(wanted):
        if lead in place:
            weights_LS[row, read.index(lead)] = 1.0
            continue
        shares = np.linalg.solve(
            np.array([LIMB_OF_I_II[limb] for limb in limbs]).T, np.array(LIMB_OF_I_II[lead])
        )
        weights_LS[row, [read.index(limb) for limb in limbs]] = shares
        words.append(_equation(lead, limbs, shares))
    return LeadChoice(
        columns=np.array([place[lead] for lead in read], dtype=np.intp),
        weights_LS=weights_LS,
        derived=tuple(words),
        unused=tuple(
            name.strip() for column, name in enumerate(names) if column not in {place[lead] for lead in read}
        ),
    )


def _equation(lead: str, limbs: Sequence[str], shares: NDArray[np.float64]) -> str:
    terms = []
    for limb, share in zip(limbs, shares.round(9).tolist(), strict=True):
        if share:
            size = "" if abs(share) == 1 else f"{abs(share):g} "
            terms.append(f"{'−' if share < 0 else '+'} {size}{limb}")
    right = " ".join(terms)
    return f"{lead} = {'−' if right.startswith('−') else ''}{right[2:]}"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SignalsInMemory:
    """A short recording, whole; `Recording`."""

    rate_hz: float
    leads: tuple[str, ...]
    uv_ST: NDArray[np.float64]
    """Microvolts, NaN where one is missing."""

    @property
    def n_samples(self) -> int:
        """Samples per lead."""
        return len(self.uv_ST[0])

    def without_gain(self, columns: NDArray[np.intp]) -> tuple[str, ...]:
        """None: such a file states its unit, or the user does."""
        return ()

    def read(
        self, columns: NDArray[np.intp], start: int, n_samples: int
    ) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        """Some samples of some signals."""
        return microvolts_and_missing(self.uv_ST[columns, start : start + n_samples])


def microvolts_and_missing(uv_ST: NDArray[np.float64]) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Whole microvolts, 0 where one is not a number, and where it is in any signal.

    Raises:
        RecordError: A voltage is beyond what 16 bits hold.
    """
    missing_ST = np.isnan(uv_ST)
    missing_T: NDArray[np.bool_] = np.logical_or.reduce(missing_ST, axis=0)
    return whole_microvolts(np.where(missing_ST, 0.0, uv_ST)), missing_T
