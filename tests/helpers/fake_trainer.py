"""A trainer with closed-form learning curves, which takes no time and needs no torch."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import space
import storage
from search.errors import TrainingError
from search.training.interface import FoldOutcome

TARGET = "superclass"
CLASSES = {
    "superclass": ("CD", "HYP", "MI"),
    "subclass": ("AMI", "IMI", "LVH", "STTC"),
    "diagnostic": ("ALMI", "AMI", "IMI", "LVH", "STTC"),
}
TIERS = tuple(CLASSES)
"""Coarse to fine; a finer tier refines every coarser one."""
N_RECORDS = 6
"""Validation records of a fold."""
FoldFailure = Callable[[space.Architecture, int, int], Exception | None]
"""Architecture, fold and epoch to what the epoch raises."""


class FakeTrainer:
    """A `search.training.interface.Trainer` that trains nothing.

    The score of a fold rises towards what the architecture can reach, less the difficulty of the fold,
    which all architectures share, plus a little noise. The noise of an epoch enters the state that later
    epochs and checkpoints build on: an epoch skipped or repeated changes the final score.

    Args:
        n_epochs: epochs of every fold.
        n_folds: CV folds.
        n_parallel: folds at the same time.
        n_together: folds in lock-step.
        seed: seed of the noise.
        wait: called in every epoch, for delays.
        fails: what an epoch raises instead, None for nothing.
    """

    def __init__(
        self,
        *,
        n_epochs: int = 2,
        n_folds: int = 5,
        n_parallel: int = 1,
        n_together: int = 1,
        seed: int = 0,
        wait: Callable[[], object] = lambda: None,
        fails: FoldFailure = lambda architecture, fold, epoch: None,
    ) -> None:
        self.n_epochs = n_epochs
        self.n_folds = n_folds
        self.n_parallel = n_parallel
        self.n_together = n_together
        self.seed = seed
        self.wait = wait
        self.fails = fails
        self.epochs_run: list[tuple[str, int, int]] = []
        """Digest, fold and epoch of everything trained."""

    def n_outputs(self, label_tier: str) -> int:
        return len(CLASSES[label_tier])

    def start(self, architecture: space.Architecture, fold: int) -> "FakeRun":
        return FakeRun(self, architecture, fold)

    def group(self, runs: "Sequence[FakeRun]") -> "FakeGroup":
        return FakeGroup(runs)

    def summarise(
        self, label_tier: str, folds: Mapping[int, storage.Predictions]
    ) -> Mapping[str, storage.TierScores]:
        reached = [float(folds[fold].probabilities_NC[0, 0]) for fold in sorted(folds)]
        return tier_scores(label_tier, math.fsum(reached) / len(reached))


class FakeGroup:
    """Folds, one after another."""

    def __init__(self, runs: "Sequence[FakeRun]") -> None:
        self.runs = runs

    def run_epoch(self) -> list[storage.EpochRecord | Exception]:
        return [self._of(run) for run in self.runs]

    def take_notes(self) -> Sequence[str]:
        return ()

    def _of(self, run: "FakeRun") -> storage.EpochRecord | Exception:
        try:
            return run.run_epoch()
        except Exception as error:
            return error


class FakeRun:
    """One fold in training."""

    def __init__(self, trainer: FakeTrainer, architecture: space.Architecture, fold: int) -> None:
        self._trainer, self._architecture, self._fold = trainer, architecture, fold
        self._score = 0.0
        self.epochs_done = 0

    def run_epoch(self) -> storage.EpochRecord:
        self._trainer.wait()
        epoch = self.epochs_done + 1
        error = self._trainer.fails(self._architecture, self._fold, epoch)
        if error is not None:
            raise error
        aim = potential(self._architecture) - 0.03 * (self._fold % 3)
        noise = 0.004 * _uniform(self._trainer.seed, self._architecture.digest, self._fold, epoch)
        self._score += 0.8 * (aim - self._score) + noise
        self.epochs_done = epoch
        self._trainer.epochs_run.append((self._architecture.digest, self._fold, epoch))
        return storage.EpochRecord(
            fold=self._fold,
            epoch=epoch,
            training_loss=1 - self._score,
            score=self._score,
            seconds=1.0,
            training_accuracy=self._score,
            validation_loss=1.1 - self._score,
            validation_f1=self._score / 2,
        )

    def outcome(self) -> FoldOutcome:
        tier = self._architecture.label_tier
        trained = self._predictions(tier)
        record_N = np.arange(N_RECORDS)
        predictions = storage.Predictions(
            tier=tier,
            classes=CLASSES[tier],
            ecg_id=record_N + 1000 * self._fold,
            patient_id=record_N // 2 + 1000 * self._fold,
            targets_NC=trained.targets_NC,
            probabilities_NC=trained.probabilities_NC,
            projected={} if tier == TARGET else {TARGET: self._predictions(TARGET)},
        )
        scores = tier_scores(tier, self._score)
        model = f"{self._architecture.digest} fold {self._fold} {self._score!r}".encode()
        return FoldOutcome(
            n_training=4 * N_RECORDS,
            seconds=float(self.epochs_done),  # one for every epoch
            predictions=predictions,
            scores=scores,
            model=model,
        )

    def _predictions(self, tier: str) -> storage.TierPredictions:
        """Better ones with a better score, which is the first of them."""
        n_classes = len(CLASSES[tier])
        y_NC = np.arange(N_RECORDS)[:, None] % n_classes == np.arange(n_classes)
        key = (self._architecture.digest, self._fold, tier)
        noise_NC = np.array([_uniform(*key, cell) for cell in range(y_NC.size)]).reshape(y_NC.shape)
        p_NC = np.clip(self._score * y_NC + (1 - self._score) * noise_NC, 0, 1).astype(np.float32)
        p_NC[0, 0] = self._score
        return storage.TierPredictions(classes=CLASSES[tier], targets_NC=y_NC, probabilities_NC=p_NC)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps({"epochs_done": self.epochs_done, "score": self._score.hex()}))
        partial.replace(path)

    def restore(self, path: Path) -> None:
        try:
            state = json.loads(path.read_text())
            self.epochs_done, self._score = state["epochs_done"], float.fromhex(state["score"])
        except (ValueError, KeyError) as error:
            raise TrainingError("error", f"checkpoint {path.name} cannot be read") from error


def undisturbed_score(architecture: space.Architecture, **options: Any) -> float:
    """Score of a trial that nothing disturbs, without a study: folds one after another, each to its end.

    Args:
        architecture: what is trained.
        options: as for `FakeTrainer`.
    """
    trainer = FakeTrainer(**options)
    predicted = {}
    for fold in range(1, trainer.n_folds + 1):
        run = trainer.start(architecture, fold)
        for _ in range(trainer.n_epochs):
            run.run_epoch()
        predicted[fold] = run.outcome().predictions
    return trainer.summarise(architecture.label_tier, predicted)[TARGET].metrics["macro_auprc"]


def potential(architecture: space.Architecture) -> float:
    """Score of an architecture on the easiest fold: more is better, with diminishing returns."""
    capacity = math.log2(architecture.conv_width * (architecture.hidden_size or 16))
    stack = sum(0.02 if layer.bidirectional else 0.01 for layer in architecture.recurrent)
    return 0.4 + 0.015 * capacity + stack - 0.005 * len(architecture.recurrent) ** 2


def _uniform(*key: object) -> float:
    """A number in [-1, 1) that depends on the key only, not on the process."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**47 - 1


def tier_scores(label_tier: str, macro_auprc: float) -> dict[str, storage.TierScores]:
    """Scores at a tier and every coarser one."""
    return {
        tier: storage.TierScores(
            metrics={"macro_auprc": macro_auprc},
            class_metrics={
                "auprc": (macro_auprc,) * len(classes),
                "n_positive": (2.0,) * len(classes),
            },
        )
        for tier, classes in CLASSES.items()
        if TIERS.index(tier) <= TIERS.index(label_tier)
    }
