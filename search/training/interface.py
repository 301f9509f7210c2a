"""The interface of a trainer, free of torch; tests bring one with closed-form learning curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import space
from storage import EpochRecord, Predictions, TierScores


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FoldOutcome:
    """A fold trained to its end."""

    n_training: int
    seconds: float
    """Seconds of training since its beginning, as far as checkpoints know it."""
    predictions: Predictions
    """Out-of-fold predictions on the tier trained on."""
    scores: Mapping[str, TierScores]
    """Scores at the tier trained on and every coarser one."""
    model: bytes
    """The trained model as a file; see `search.training.model_file`."""


class FoldRun(Protocol):
    """One fold of one trial in training."""

    @property
    def epochs_done(self) -> int:
        """Epochs trained so far."""

    def outcome(self) -> FoldOutcome:
        """Predictions and scores as they stand."""

    def save(self, path: Path) -> None:
        """Write a checkpoint."""

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint of the same architecture and fold.

        Raises:
            TrainingError: it is damaged.
            OSError: it cannot be read, or there is none.
        """


class FoldGroup(Protocol):
    """Folds of one trial that are trained together, by one thread."""

    def run_epoch(self) -> Sequence[EpochRecord | Exception]:
        """Train one epoch of every fold and score it on the validation part.

        Returns:
            For every fold, in the order of the group, the epoch or why the fold cannot go on.
        """

    def take_notes(self) -> Sequence[str]:
        """Remarks on the epochs since the last call, such as their speed."""


class Trainer(Protocol):
    """Trainer of any architecture of the space on any CV fold of one data set."""

    @property
    def n_folds(self) -> int:
        """CV folds, numbered from 1."""

    @property
    def n_epochs(self) -> int:
        """Epochs of every fold."""

    @property
    def n_parallel(self) -> int:
        """Folds worth training at the same time."""

    @property
    def n_together(self) -> int:
        """Number of folds that one thread trains in lock-step."""

    def n_outputs(self, label_tier: str) -> int:
        """Classes of a tier."""

    def start(self, architecture: space.Architecture, fold: int) -> FoldRun:
        """Begin a fold."""

    def group(self, runs: Sequence[FoldRun]) -> FoldGroup:
        """Folds that go on together from here: of one trial, and begun by this trainer.

        Called in the thread that will train them.
        """

    def summarise(self, label_tier: str, folds: Mapping[int, Predictions]) -> Mapping[str, TierScores]:
        """Cross-validated scores of a finished trial at the tier trained on and every coarser one."""


def rounds(n_folds: int, n_parallel: int) -> tuple[range, ...]:
    """Folds by their numbers, round after round, as many in each as train at the same time.

    A few that are left over would leave half of the cores idle or more. They join the last round, whose folds
    take turns, epoch by epoch: of five folds, two at a time, 1 and 2 train first, then 3, 4 and 5.
    """
    firsts = list(range(1, n_folds + 1, n_parallel))
    n_left = n_folds % n_parallel
    if len(firsts) > 1 and 0 < n_left <= n_parallel / 2:
        firsts.pop()
    return tuple(map(range, firsts, [*firsts[1:], n_folds + 1]))
