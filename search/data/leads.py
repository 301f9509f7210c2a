"""The twelve leads, in the one order used everywhere."""

from typing import Final

LEADS: Final = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""Standard order of the leads; axis L of every signal array."""

_BY_UPPER_CASE: Final = {lead.upper(): lead for lead in LEADS}


def standard_lead(name: str) -> str | None:
    """The standard spelling of a lead ("AVR" and "avr" are "aVR"); None if it is no standard lead."""
    return _BY_UPPER_CASE.get(name.strip().upper())
