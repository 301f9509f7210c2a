"""The trainer of a search: a data set on a device, its CV folds, and how many of them run at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

import space
from scores.objectives import DEFAULT_OBJECTIVE, OBJECTIVES
from search.data.dataset import Development
from search.data.folds import Fold, cv_folds
from search.data.labels.projection import as_distribution
from search.errors import TrainingError
from search.training.device_data import DeviceData
from search.training.fold import FoldTraining
from search.training.initial_weights import InitialWeights
from search.training.interface import FoldGroup, FoldOutcome, FoldRun
from search.training.lockstep import Lockstep, Together
from search.training.scoring import (
    TierScorers,
    cross_validated_scores,
    fold_scores,
    project_to,
    projections,
)
from search.training.settings import TrainingSettings
from search.training.soft_targets import SoftTargets
from storage import EpochRecord, Predictions, TierScores


class CrossValidation:
    """Trainer of architectures on the five CV folds of a data set; a `search.training.interface.Trainer`.

    On a CPU as many folds run side by side as there are cores for, each on its own core: small recurrent
    and convolution kernels share work over cores badly. On a GPU all folds run in lock-step.

    Args:
        data: all but the sealed fold.
        target: tier on which epochs are scored.
        settings: shared by all trials.
        device: where to train.
        n_threads: cores this process may keep busy.
        cache_dir: folder for what several trials share, such as synthetic records.
        together: how folds are trained at once; by default what suits the device.
        teachers: soft targets by the value of the axis `teacher`.
        initial: models to begin with by the value of the axis `init`.
        objective: name of the score of epochs, folds and trials.
    """

    def __init__(
        self,
        data: Development,
        target: str,
        settings: TrainingSettings,
        *,
        device: torch.device,
        n_threads: int,
        cache_dir: Path,
        together: Together | None = None,
        teachers: Mapping[str, SoftTargets] | None = None,
        initial: Mapping[str, InitialWeights] | None = None,
        objective: str = DEFAULT_OBJECTIVE,
    ) -> None:
        self._data = data
        self._target = target
        self._scorers = TierScorers(data, OBJECTIVES[objective])
        self._settings = settings
        self._folds = {fold.number: fold for fold in cv_folds(data.strat_fold, data.fold_plan)}
        self._on_device = DeviceData(data, device, cache_dir=cache_dir, teachers=teachers, initial=initial)
        self.n_folds = len(self._folds)
        self.n_epochs = settings.epochs
        self._together = together or Together.on(device)
        if self._together.lockstep:
            self.n_parallel = self.n_together = self.n_folds
        else:
            self.n_parallel = min(n_threads, self.n_folds) if device.type == "cpu" else 1
            self.n_together = 1
        n_at_once = self.n_parallel // self.n_together
        self.n_threads_each = max(1, n_threads // n_at_once)
        """Cores of a thread that trains, the same for all folds: arithmetic must not depend on timing."""

    def n_outputs(self, label_tier: str) -> int:
        """Classes of a tier."""
        return len(self._data.hierarchy.classes(label_tier))

    def start(self, architecture: space.Architecture, fold: int) -> FoldRun:
        """Begin a fold."""
        torch.set_num_threads(self.n_threads_each)
        training = FoldTraining(architecture, self._folds[fold], self._on_device, self._settings)
        return _FoldRun(training, self._data, architecture.label_tier, self._target, self._scorers)

    def group(self, runs: Sequence[FoldRun]) -> FoldGroup:
        """Folds in lock-step, or one alone; called in the thread that will train them."""
        torch.set_num_threads(self.n_threads_each)
        return _Group([cast(_FoldRun, run) for run in runs], self._together)

    def summarise(self, label_tier: str, folds: Mapping[int, Predictions]) -> Mapping[str, TierScores]:
        """Cross-validated scores of a finished trial at every tier reached."""
        numbers = sorted(folds)
        tiers = self._data.hierarchy.coarser_tiers(label_tier)
        y_NC = {
            tier: [self._data.y[tier][self._folds[number].validation] for number in numbers] for tier in tiers
        }
        return cross_validated_scores(
            self._data.hierarchy,
            label_tier,
            y_NC,
            [folds[number] for number in numbers],
            scorers=self._scorers,
        )


class _Group:
    """Runs, and what trains them."""

    def __init__(self, runs: Sequence["_FoldRun"], together: Together) -> None:
        self._runs = runs
        self._notes: list[str] = []
        self._lockstep = Lockstep([run.training for run in runs], together, self._notes.append)

    def run_epoch(self) -> list[EpochRecord | Exception]:
        """Train and score one epoch of every run."""
        ended = self._lockstep.run_epoch()
        failed = [end for end in ended if isinstance(end, TrainingError)]
        if len(failed) == len(ended):
            return [*failed]
        return [
            end if isinstance(end, TrainingError) else run.score(*end, predicted)
            for run, end, predicted in zip(self._runs, ended, self._lockstep.predict(), strict=True)
        ]

    def take_notes(self) -> tuple[str, ...]:
        """Notes since the last call."""
        notes = tuple(self._notes)
        self._notes.clear()
        return notes


class _FoldRun:
    """A `FoldTraining` together with the labels that score it."""

    def __init__(
        self,
        training: FoldTraining,
        data: Development,
        label_tier: str,
        target: str,
        scorers: TierScorers,
    ) -> None:
        self.training = training
        self._scorers = scorers
        self._data = data
        self._label_tier = label_tier
        self._target = target
        self._fold: Fold = training.fold
        rows = self._fold.validation
        self._ecg_id = data.ecg_id[rows]
        self._patient_id = data.patient_id[rows]
        self._age = None if data.age is None else data.age[rows]
        self._sex = None if data.sex is None else data.sex[rows]
        self._groups = {name: group_N[rows] for name, group_N in data.groups.items()}
        self._y_NC = {tier: data.y[tier][rows] for tier in data.hierarchy.coarser_tiers(label_tier)}
        self._p_NC: NDArray[np.float32] | None = None

    @property
    def epochs_done(self) -> int:
        return self.training.epochs_done

    def score(
        self, loss: float, seconds: float, predicted: NDArray[np.float32] | TrainingError | None = None
    ) -> EpochRecord | TrainingError:
        """The epoch that has just ended, or why its predictions are of no use.

        Args:
            loss: mean over the epoch.
            seconds: that went into it.
            predicted: probabilities of the validation part; by default the fold's own model is asked.
        """
        if isinstance(predicted, TrainingError):
            return predicted
        raw_NC = self.training.predict() if predicted is None else predicted
        self._p_NC = self._as_distribution(raw_NC)
        p_NC = project_to(self._data.hierarchy, self._label_tier, self._target, self._p_NC)
        score = self._scorers.fold(self._target, self._fold.number, self._y_NC[self._target], p_NC)
        return self.training.record(loss, seconds, p_NC=raw_NC, score=score)

    def _as_distribution(self, p_NC: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of the validation part; where a record has exactly one class, they sum to 1."""
        return as_distribution(p_NC) if self._data.hierarchy.is_exclusive(self._label_tier) else p_NC

    def outcome(self) -> FoldOutcome:
        p_NC = self._as_distribution(self.training.predict()) if self._p_NC is None else self._p_NC
        return FoldOutcome(
            n_training=len(self._fold.train),
            seconds=self.training.seconds,
            predictions=Predictions(
                tier=self._label_tier,
                classes=self._data.hierarchy.classes(self._label_tier),
                ecg_id=self._ecg_id,
                targets_NC=self._y_NC[self._label_tier],
                probabilities_NC=p_NC,
                patient_id=self._patient_id,
                age=self._age,
                sex=self._sex,
                groups=self._groups,
                projected=projections(self._data.hierarchy, self._label_tier, self._target, self._y_NC, p_NC),
            ),
            scores=fold_scores(
                self._data.hierarchy,
                self._label_tier,
                self._y_NC,
                p_NC,
                scorers=self._scorers,
                number=self._fold.number,
            ),
            model=self.training.packed(self._data),
        )

    def save(self, path: Path) -> None:
        self.training.save(path)

    def restore(self, path: Path) -> None:
        self.training.restore(path)
