"""What the search asks of a trainer, free of torch; tests bring one with closed-form learning curves.

Shapes: N record, C class.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

import space
from storage import TierPredictions, TierScores


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochScore:
    """An epoch that has ended, scored on the validation part of its fold."""

    epoch: int
    training_loss: float
    macro_auprc: float
    """On the study's target tier."""
    seconds: float
    training_accuracy: float = math.nan
    """See `storage.EpochRecord`, as for the next four."""
    training_f1: float = math.nan
    validation_loss: float = math.nan
    validation_accuracy: float = math.nan
    validation_f1: float = math.nan
    notes: tuple[str, ...] = ()
    """What a reader of the results should know of this epoch, such as why it was slower than it could be."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FoldPredictions:
    """Out-of-fold predictions on the tier trained on."""

    ecg_id: NDArray[np.int64]
    targets_NC: NDArray[np.bool_]
    probabilities_NC: NDArray[np.float32]
    patient_id: NDArray[np.int64] | None = None
    """(N,) patient of every record, for intervals over patients."""
    projected: Mapping[str, TierPredictions] = field(default_factory=dict)
    """The same on the study's target and the tiers that it refines; without the tier trained on."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FoldOutcome:
    """A fold trained to its end."""

    n_training: int
    predictions: FoldPredictions
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
        """Continue from a checkpoint of the same architecture and fold."""


class FoldGroup(Protocol):
    """Folds of one trial that are trained together, by one thread."""

    def run_epoch(self) -> Sequence[EpochScore | Exception]:
        """Train one epoch of every fold and score it.

        Returns:
            For every fold, in the order of the group, its score or why it cannot go on.
        """


class Trainer(Protocol):
    """Trains any architecture of the space on any CV fold of one data set."""

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
        """How many of them one thread trains in lock-step."""

    def n_outputs(self, label_tier: str) -> int:
        """Classes of a tier."""

    def start(self, architecture: space.Architecture, fold: int) -> FoldRun:
        """Begin a fold."""

    def group(self, runs: Sequence[FoldRun]) -> FoldGroup:
        """Folds that go on together from here: of one trial, and begun by this trainer.

        Called in the thread that will train them.
        """

    def summarise(self, label_tier: str, folds: Mapping[int, FoldPredictions]) -> Mapping[str, TierScores]:
        """Cross-validated scores of a finished trial at the tier trained on and every coarser one."""
