"""Leads: the twelve standard ones in the one order used everywhere, and finding leads in a file."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from search.errors import RecordError

LEADS: Final = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""Standard order of the leads; axis L of the signals of a twelve-lead data set."""

LeadColumns = Callable[[Sequence[str]], NDArray[np.intp]]
"""Where the leads of a data set stand in a file with these signal names; raises `RecordError`."""

_BY_UPPER_CASE: Final = {lead.upper(): lead for lead in LEADS}


def standard_lead(name: str) -> str | None:
    """The standard spelling of a lead ("AVR" and "avr" are "aVR"); None if it is no standard lead."""
    return _BY_UPPER_CASE.get(name.strip().upper())


def columns_of(names: Sequence[str], leads: Sequence[str] = LEADS) -> NDArray[np.intp]:
    """Where each of `leads` stands in a file, whatever the header's order and case (AVR, aVR).

    Raises:
        RecordError: A lead is missing, or there are others.
    """
    found = [standard_lead(name) or name.strip() for name in names]
    n_leads = "1 lead" if len(names) == 1 else f"{len(names)} leads"
    missing = [lead for lead in leads if lead not in found]
    if missing:
        foreign = [name for name in found if name not in leads]
        also = f", unknown {', '.join(foreign)[:60]!r}" if foreign else ""
        raise RecordError(f"{n_leads}, missing {', '.join(missing)}{also}")
    if len(names) != len(leads):
        raise RecordError(f"{n_leads}, expected {len(leads)}")
    return np.array([found.index(lead) for lead in leads], dtype=np.intp)
