"""A trainer that takes no time, with learning curves in closed form, to measure everything else.

Shapes: N record, C class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import space
from search.training.interface import FoldOutcome
from storage import EpochRecord, Predictions, TierScores

CLASSES = {"superclass": ("CD", "HYP", "MI"), "subclass": ("AMI", "IMI", "LVH", "STTC")}
N_RECORDS = 6


class InstantTrainer:
    """A `search.training.interface.Trainer` that trains nothing."""

    n_folds = 5
    n_epochs = 6
    n_parallel = 1
    n_together = 1

    def n_outputs(self, label_tier: str) -> int:
        """Classes of a tier."""
        return len(CLASSES[label_tier])

    def start(self, architecture: space.Architecture, fold: int) -> InstantRun:
        """Begin a fold."""
        return InstantRun(architecture, fold)

    def group(self, runs: Sequence[Any]) -> InstantGroup:
        """Folds that go on together."""
        return InstantGroup(runs)

    def summarise(self, label_tier: str, folds: Mapping[int, Predictions]) -> Mapping[str, TierScores]:
        """The mean over folds."""
        ends = [float(fold.probabilities_NC[0, 0]) for fold in folds.values()]
        return _scores(math.fsum(ends) / len(ends))


class InstantGroup:
    """Folds, one after another."""

    def __init__(self, runs: Sequence[Any]) -> None:
        self._runs = runs

    def run_epoch(self) -> list[EpochRecord]:
        """An epoch of each."""
        return [run.run_epoch() for run in self._runs]

    def take_notes(self) -> Sequence[str]:
        """Nothing is noted."""
        return ()


class InstantRun:
    """One fold."""

    def __init__(self, architecture: space.Architecture, fold: int) -> None:
        self.epochs_done = 0
        self._tier = architecture.label_tier
        self._fold = fold
        generator = np.random.default_rng([int(architecture.digest, 16), fold])
        capacity = math.log2(architecture.conv_width * (architecture.hidden_size or 16))
        self._end = 0.4 + 0.015 * capacity + 0.01 * float(generator.normal()) - 0.02 * (fold % 3)

    def run_epoch(self) -> EpochRecord:
        """Halve the distance to the final score."""
        self.epochs_done += 1
        score = self._end * (1 - 0.5**self.epochs_done)
        return EpochRecord(
            fold=self._fold,
            epoch=self.epochs_done,
            training_loss=1 - score,
            score=score,
            seconds=1.0,
        )

    def outcome(self) -> FoldOutcome:
        """Predictions whose first is the score."""
        p_NC = np.full((N_RECORDS, len(CLASSES[self._tier])), self._end, np.float32)
        predictions = Predictions(
            tier=self._tier,
            classes=CLASSES[self._tier],
            ecg_id=np.arange(N_RECORDS) + 1000 * self._fold,
            targets_NC=p_NC > 1,
            probabilities_NC=p_NC,
        )
        return FoldOutcome(
            n_training=N_RECORDS,
            seconds=0.0,
            predictions=predictions,
            scores=_scores(self._end),
            model=b"",
        )

    def save(self, path: Path) -> None:
        """Nothing is lost."""

    def restore(self, path: Path) -> None:
        """Nothing was saved."""


def _scores(macro_auprc: float) -> dict[str, TierScores]:
    return {
        tier: TierScores(
            metrics={"macro_auprc": macro_auprc}, class_metrics={"auprc": (macro_auprc,) * len(classes)}
        )
        for tier, classes in CLASSES.items()
    }
