"""One attempt at a trial: what is known of it so far, kept in the store as it arrives."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field

import space
from search.errors import TrainingError, is_out_of_memory
from search.study.memory import PeakMemory
from search.training.interface import EpochScore, FoldOutcome, FoldPredictions
from storage import (
    DecisionRecord,
    EpochRecord,
    FailureRecord,
    FoldRecord,
    Store,
    StudyRecord,
    load_predictions,
    save_predictions,
)


@dataclass(kw_only=True, slots=True)
class Attempt:
    """An attempt at a trial that has reserved its architecture.

    Every `keep_` method raises `storage.TakenOverError` once another worker continues the trial.
    """

    store: Store
    study: StudyRecord
    number: int
    """Optuna's number of the trial."""
    row: int
    """Row id of the trial in the store."""
    architecture: space.Architecture
    parameters: int
    previous: frozenset[int] = frozenset()
    """Numbers of the interrupted or killed trials that this one continues."""
    started_s: float = field(default_factory=time.monotonic)
    fold_scores: dict[int, float] = field(default_factory=dict)
    """Macro-AUPRC on the study's target, finished folds only."""
    predictions: dict[int, FoldPredictions] = field(default_factory=dict)
    fold_s: dict[int, float] = field(default_factory=dict)
    """Training seconds of every fold, earlier attempts included."""
    curve: dict[tuple[int, int], float] = field(default_factory=dict)
    """Macro-AUPRC on the study's target by fold and epoch, earlier attempts included."""
    decisions: list[DecisionRecord] = field(default_factory=list)
    """Of the race, earlier attempts included, oldest first."""
    memory: PeakMemory = field(default_factory=PeakMemory)
    """Counted from the start of this attempt."""

    def take_over(self) -> None:
        """Use what an interrupted, killed or pruned predecessor has left."""
        for fold in self.store.folds(self.row):
            kept = load_predictions(self.store, fold.predictions)
            self.predictions[fold.fold] = FoldPredictions(
                ecg_id=kept.ecg_id,
                targets_NC=kept.targets_NC,
                probabilities_NC=kept.probabilities_NC,
                patient_id=kept.patient_id,
                projected=kept.projected,
            )
            self.fold_scores[fold.fold] = fold.scores[self.study.target].metrics["macro_auprc"]
        for epoch in self.store.epochs(self.row):
            self.fold_s[epoch.fold] = self.fold_s.get(epoch.fold, 0.0) + epoch.seconds
            self.curve[epoch.fold, epoch.epoch] = epoch.macro_auprc
        self.decisions = self.store.decisions(self.row)

    def keep_epoch(self, fold: int, score: EpochScore) -> None:
        """Append to the curve of a fold."""
        self.fold_s[fold] = self.fold_s.get(fold, 0.0) + score.seconds
        self.curve[fold, score.epoch] = score.macro_auprc
        self.store.add_epoch(
            self.row,
            EpochRecord(
                fold=fold,
                epoch=score.epoch,
                training_loss=score.training_loss,
                macro_auprc=score.macro_auprc,
                seconds=score.seconds,
                training_accuracy=score.training_accuracy,
                training_f1=score.training_f1,
                validation_loss=score.validation_loss,
                validation_accuracy=score.validation_accuracy,
                validation_f1=score.validation_f1,
            ),
        )

    def keep_fold(self, fold: int, outcome: FoldOutcome) -> None:
        """Keep the predictions and scores of a fold trained to its end."""
        predictions = outcome.predictions
        tier = self.architecture.label_tier
        artifact = save_predictions(
            self.store,
            self.study.name,
            self.number,
            fold,
            ecg_id=predictions.ecg_id,
            targets_NC=predictions.targets_NC,
            probabilities_NC=predictions.probabilities_NC,
            classes=self.study.tier_classes[tier],
            tier=tier,
            patient_id=predictions.patient_id,
            projected=predictions.projected,
        )
        self.store.add_fold(
            self.row,
            FoldRecord(
                fold=fold,
                n_training=outcome.n_training,
                n_validation=len(predictions.ecg_id),
                seconds=self.fold_s.get(fold, 0.0),
                scores=outcome.scores,
                predictions=artifact,
            ),
        )
        self.predictions[fold] = predictions
        self.fold_scores[fold] = outcome.scores[self.study.target].metrics["macro_auprc"]

    def keep_decision(self, decision: DecisionRecord) -> None:
        """Append a decision of the race."""
        self.decisions.append(decision)
        self.store.add_decision(self.row, decision)

    def keep_failure(self, error: Exception, fold: int | None = None) -> FailureRecord:
        """Keep why the attempt failed, with its traceback, and return it."""
        kind = error.kind if isinstance(error, TrainingError) else "error"
        if is_out_of_memory(error):  # from anywhere: building a model, training, predicting
            kind = "out-of-memory"
        failure = FailureRecord(
            kind=kind,
            message=str(error).strip().partition("\n")[0] or type(error).__name__,
            traceback="".join(traceback.format_exception(error)),
            fold=fold,
        )
        self.store.add_failure(self.row, failure)
        return failure
