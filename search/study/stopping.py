"""End of a run once little can be gained: `run --until 0.5%`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reports.numbers import percent_words
from search.defaults import N_PROPOSALS_BELOW
from search.errors import SearchError, UsageError
from storage.records import GainRecord


class LittleToGainError(SearchError):
    """The last proposals all had less to gain than the run goes on for."""


def parsed_share(text: str) -> float:
    """`--until`: a share of the hypervolume, `0.5%` or `0.005`.

    Raises:
        UsageError: it is none, or not between 0 and 1.
    """
    found = re.fullmatch(r"\s*(\d*\.?\d+(?:e-?\d+)?)\s*(%?)\s*", text)
    share = float("nan") if found is None else float(found[1]) / (100 if found[2] else 1)
    if not 0 < share < 1:
        raise UsageError(
            f"--until is a share of the hypervolume between 0 and 1, such as 0.5% or 0.005, got {text!r}"
        )
    return share


def is_enough(at_most: Sequence[float], share: float) -> bool:
    """Whether a run may end: the last proposals all had less to gain than a share of the hypervolume.

    Args:
        at_most: `search.sampler.gain.Gain.at_most` of every proposal, in their order.
        share: to compare with.
    """
    return len(at_most) >= N_PROPOSALS_BELOW and max(at_most[-N_PROPOSALS_BELOW:]) < share


def check_left_to_gain(gains: Sequence[GainRecord], until: float) -> None:
    """Go on unless there is too little to gain.

    Args:
        gains: of a study, by number of the trial.
        until: share of the hypervolume.

    Raises:
        LittleToGainError: the last proposals all had less to gain.
    """
    if is_enough([gain.at_most for gain in gains], until):
        raise LittleToGainError(
            f"the last {N_PROPOSALS_BELOW} proposals had less than {percent_words(until)} of the hypervolume "
            f"to gain, now at most {percent_words(gains[-1].at_most)}"
        )
