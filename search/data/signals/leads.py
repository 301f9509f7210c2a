"""Leads: the twelve standard ones in the one order used everywhere, and finding leads in a file."""

import re
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

import space
from search.errors import RecordError, UsageError

LEADS: Final = space.LEADS
"""Standard order of the leads; axis L of the signals of a twelve-lead data set."""

LIMB_OF_I_II: Final = {
    "I": (1.0, 0.0),
    "II": (0.0, 1.0),
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}
"""Shares of leads I and II in the limb leads (Einthoven 1913, Goldberger 1942)."""

SEPARATOR: Final = "/"
"""Separator of the choices of a search among leads: `12/limb/I,II,V2/I`."""

LeadColumns = Callable[[Sequence[str]], NDArray[np.intp]]
"""Positions of a data set's leads in a file with these signal names; raises `RecordError`."""

SYNONYMS: Final = {
    **{
        name: lead
        for lead, names in (("I", "DI D1 LI L1"), ("II", "DII D2 LII L2"), ("III", "DIII D3 LIII L3"))
        for name in names.split()
    },
    **{f"C{number}": f"V{number}" for number in range(1, 7)},
}
"""Other names of standard leads, in upper case: Spanish and Portuguese *derivación*, C1 to C6 of IEC 60601.
Unaugmented limb leads (VR) and modified ones (MLII) are other signals."""

_BY_UPPER_CASE: Final = {lead.upper(): lead for lead in LEADS}
_SUFFIX: Final = re.compile(r"\s*\(EINTHOVEN\)$")
_CODED: Final = re.compile(r"^MDC_")
# One blank or sign only: "ECG -aVR" is the inverse of aVR.
_PREFIX: Final = re.compile(r"(?:(?:ECG|EKG|LEAD)(?:\s+|[_.-]))+(?=.)", re.IGNORECASE)


def standard_lead(name: str) -> str | None:
    """The standard spelling of a lead ("AVR" and "ECG avr" are "aVR"); None if it is no standard lead."""
    return _BY_UPPER_CASE.get(lead_key(name))


def lead_key(name: str) -> str:
    """The same text for all names of a lead: case, and "ECG" or "lead" before it, do not count."""
    return _PREFIX.sub("", name.strip(), count=1).upper()


def one_order(names: Sequence[str]) -> tuple[str, ...]:
    """Leads of a data set by the names in a header, in standard order and spelling if all are standard leads.

    Raises:
        RecordError: Two have the same name, or one has none.
    """
    leads = [standard_lead(name) or name for name in names]
    if len(set(map(lead_key, leads))) < len(leads) or "" in leads:
        raise RecordError(f"leads {', '.join(leads)[:80]!r}; name each differently")
    return tuple(sorted(leads, key=LEADS.index) if set(leads) <= set(LEADS) else leads)


def chosen_leads(text: str, leads: Sequence[str]) -> NDArray[np.intp]:
    """Positions of the chosen leads in a data set, ascending; of several choices, the leads of any.

    Args:
        text: Names with commas between, a name of `space.LEAD_SETS`, or `space.ALL_LEADS`; or several of
            these with `SEPARATOR` between.
        leads: Leads of the data set.

    Raises:
        UsageError: The data set has no such lead, or one is named twice.
    """
    return np.unique(np.concatenate([_chosen(choice, leads) for choice in text.split(SEPARATOR)]))


def lead_choices(text: str, leads: Sequence[str]) -> tuple[str, ...]:
    """Values of the axis `leads` for a search among sets of leads; one value if there is nothing to choose.

    Args:
        text: As for `chosen_leads`.
        leads: Leads of the study, those that `text` means of its data set; all of them together are
            `space.ALL_LEADS`.

    Raises:
        UsageError: There is no such lead, or two choices are the same leads.
    """
    found: dict[str, str] = {}
    for choice in text.split(SEPARATOR):
        names = [leads[column] for column in _chosen(choice, leads)]
        value = space.ALL_LEADS if len(names) == len(leads) else space.lead_set_name(names)
        if value in found:
            raise UsageError(
                f"--leads {text}: {found[value].strip()} and {choice.strip()} are the same leads: name them "
                "once"
            )
        found[value] = choice
    return tuple(found)


def _chosen(text: str, leads: Sequence[str]) -> NDArray[np.intp]:
    """Positions of the leads of one choice, see `chosen_leads`."""
    keys = [lead_key(lead) for lead in leads]
    if text.strip().lower() == space.ALL_LEADS:
        return np.arange(len(leads))
    wanted = [lead_key(name) for name in space.LEAD_SETS.get(text.strip().lower(), text.split(","))]
    sets = " or ".join((*space.LEAD_SETS, space.ALL_LEADS))
    for name in wanted:
        if name not in keys:
            raise UsageError(
                f"--leads {text}: there is no lead {name!r}: name some of {','.join(leads)}, or {sets}"
            )
        if wanted.count(name) > 1:
            raise UsageError(f"--leads {text}: {name} is named twice: name each lead once")
    return np.array(sorted(keys.index(name) for name in wanted), dtype=np.intp)


def usual_lead(name: str) -> str | None:
    """The standard lead that a name means in files of any maker; None if it is no standard lead."""
    key = _CODED.sub("", _SUFFIX.sub("", lead_key(name)))
    key = re.sub(r"(?<=^[VCDL]) (?=[0-9I]+$)", "", key)
    return _BY_UPPER_CASE.get(SYNONYMS.get(key, key).upper())


def columns_of(names: Sequence[str], leads: Sequence[str] = LEADS) -> NDArray[np.intp]:
    """Position of each of `leads` in a file, whatever the header's order and case (AVR, aVR).

    Raises:
        RecordError: A lead is missing, or there are others.
    """
    found, wanted = [lead_key(name) for name in names], [lead_key(lead) for lead in leads]
    n_leads = "1 lead" if len(names) == 1 else f"{len(names)} leads"
    missing = [lead for lead, key in zip(leads, wanted, strict=True) if key not in found]
    foreign = [
        name.strip() or "one without a name"
        for name, key in zip(names, found, strict=True)
        if key not in wanted
    ]
    if missing and not any(found):
        raise RecordError(f"{n_leads} without names in the header, expected {', '.join(leads)[:80]}")
    if missing:
        also = f", unknown {', '.join(foreign)[:60]!r}" if foreign else ""
        raise RecordError(f"{n_leads}, missing {', '.join(missing)[:80]}{also}")
    if len(names) != len(leads):
        also = f": also {', '.join(foreign)[:60]!r}" if foreign else ""
        raise RecordError(f"{n_leads}, expected {len(leads)}{also}")
    return np.array([found.index(key) for key in wanted], dtype=np.intp)
