"""What a report reads from: three questions of the store, nothing else."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from storage.records import StudyRecord, TrialRecord, TrialState

STATES: tuple[TrialState, ...] = ("complete", "pruned", "failed", "running", "waiting", "interrupted")
"""Every state of a trial, in the order in which people ask for them."""


class StudySource(Protocol):
    """The part of `storage.Store` that a report needs; a test can stand in for it."""

    def study(self, name: str, /) -> StudyRecord:
        """The study; raises the store's own error for an unknown name."""

    def trials(self, study: str, /) -> Sequence[TrialRecord]:
        """All trials of the study, by number."""

    def counts(self, study: str, /) -> Mapping[TrialState, int]:
        """Number of trials in each state."""
