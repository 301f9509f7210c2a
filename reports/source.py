"""The part of the store that reports read from."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from storage import ArtifactHolder
from storage.records import (
    EpochRecord,
    Evaluation,
    FoldRecord,
    GainRecord,
    OpeningRecord,
    StudyRecord,
    TierScores,
    TrialRecord,
    TrialState,
    WorkerRecord,
)

STATES: tuple[TrialState, ...] = ("complete", "pruned", "failed", "running", "waiting", "interrupted")
"""Every state of a trial, in the order of the tables."""


class StatusSource(Protocol):
    """The part of `storage.Store` that the status of a study needs."""

    def study(self, name: str, /) -> StudyRecord:
        """The study; raises the store's own error for an unknown name."""

    def trials(self, study: str, /) -> Sequence[TrialRecord]:
        """All trials of the study, by number."""

    def counts(self, study: str, /) -> Mapping[TrialState, int]:
        """Number of trials in each state."""

    def workers(self, study: str, /) -> Sequence[WorkerRecord]:
        """The processes that trained trials of the study."""

    def refusals(self, study: str, /) -> Mapping[int, str]:
        """Number of every queued trial that could not be trained, to the reason."""

    def gains(self, study: str, /) -> Sequence[GainRecord]:
        """Expected gain of each proposal, by number of the trial."""

    def told_elsewhere(self, study: str, /) -> Sequence[int]:
        """Numbers of finished trials that this program did not train."""

    def evaluations(self, study: str, /) -> Sequence[Evaluation]:
        """Evaluations of the study, oldest first."""


class StudySource(StatusSource, ArtifactHolder, Protocol):
    """The part of `storage.Store` that a report needs; a test can stand in for it."""

    def openings(self, study: str | None, /) -> Sequence[OpeningRecord]:
        """Openings of the sealed fold."""

    def epochs(self, trial_id: int, /) -> Sequence[EpochRecord]:
        """The learning curves of a trial, by its row id."""

    def folds(self, trial_id: int, /) -> Sequence[FoldRecord]:
        """The finished folds of a trial."""

    def summary(self, trial_id: int, /) -> Mapping[str, TierScores]:
        """Cross-validated scores of a trial by tier."""
