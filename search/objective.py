"""One trial: train the folds, let the race decide, keep everything, return both objectives.

The only place that acts on a decision of the race. Knows Optuna and the store, but neither torch nor a
terminal.
"""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import optuna

import space
from search.errors import SearchError, TrainingError
from search.events import EpochEnded, Event, TrialEnded, TrialStarted, TrialState
from search.interrupt import Interrupt
from search.race import paired_rule
from search.training.interface import EpochScore, FoldOutcome, FoldPredictions, Trainer
from search.training.pool import FoldPool
from storage import (
    DecisionRecord,
    EpochRecord,
    FailureRecord,
    FoldRecord,
    Store,
    StudyRecord,
    TakenOverError,
    load_predictions,
    save_predictions,
)

CONTINUES = "continues"
"""User attribute of a queued trial: numbers of the interrupted trials that it continues."""


class TrialFailedError(SearchError):
    """The trial failed and its failure is stored; the study goes on."""


class TrialInterruptedError(SearchError):
    """The user stopped the run; the trial is queued again."""


@dataclass(kw_only=True, slots=True)
class _Attempt:
    """What is known of the trial in progress."""

    trial: optuna.Trial
    architecture: space.Architecture
    parameters: int
    row: int
    started: float
    fold_scores: dict[int, float]
    predictions: dict[int, FoldPredictions]
    fold_seconds: dict[int, float]


class Objective:
    """Callable for `study.optimize`: trains the architecture of a trial by cross-validation.

    Args:
        store: where everything is kept.
        study: what is searched.
        architectures: the space of the study.
        trainer: trains single folds.
        prune: whether the race may stop a trial.
        emit: takes the events for the live view.
        worker: number of this worker in the live view.
        worker_row: row id of this worker in the store.
        interrupt: set when the user wants to stop.
        on_claimed: called once the trial has reserved its architecture.
    """

    def __init__(
        self,
        *,
        store: Store,
        study: StudyRecord,
        architectures: space.Space,
        trainer: Trainer,
        prune: bool,
        emit: Callable[[Event], None],
        worker: int,
        worker_row: int,
        interrupt: Interrupt,
        on_claimed: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._study = study
        self._space = architectures
        self._trainer = trainer
        self._prune = prune
        self._emit = emit
        self._worker = worker
        self._worker_row = worker_row
        self._interrupt = interrupt
        self._on_claimed = on_claimed
        self.taken_over = False
        """Whether another worker took the last trial for dead and continues it."""

    def __call__(self, trial: optuna.Trial) -> tuple[float, float]:
        """Cross-validated macro-AUPRC and number of parameters.

        Raises:
            optuna.TrialPruned: the race stopped it.
            TrialFailedError: a fold could not be trained.
            TrialInterruptedError: the user stopped the run.
        """
        self.taken_over = False
        attempt = self._begin(trial)
        try:
            self._train(attempt)
            macro_auprc = self._finish(attempt)
        except optuna.TrialPruned as pruned:
            self._ended(attempt, "pruned", str(pruned))
            raise
        except TrialInterruptedError:
            self._ended(attempt, "interrupted", "continues with the next run")
            raise
        except TrialFailedError as failed:
            self._ended(attempt, "failed", str(failed))
            raise
        except TakenOverError as lost:
            self.taken_over = True
            self._ended(attempt, "interrupted", str(lost))
            raise
        self._ended(attempt, "complete", "", macro_auprc)
        return macro_auprc, float(attempt.parameters)

    def checkpoints(self, architecture: space.Architecture) -> Path:
        """Folder of the checkpoints of an architecture in this study."""
        folder = self._store.artifacts_folder.parent / "checkpoints"
        return folder / self._study.data_fingerprint[:16] / f"{self._study.target}-{architecture.digest}"

    def _begin(self, trial: optuna.Trial) -> _Attempt:
        """Fix the architecture and reserve it."""
        architecture = self._space.suggest(trial)
        parameters = space.count_parameters(architecture, self._trainer.n_outputs(architecture.label_tier))
        previous = previous_numbers(trial)
        preset = _preset_name(architecture, self._study.target)
        row = self._store.claim(
            self._study.name,
            number=trial.number,
            architecture_hash=architecture.digest,
            architecture=architecture.to_dict(),
            description=architecture.describe(),
            parameters=parameters,
            label_tier=architecture.label_tier,
            preset=preset,
            worker=self._worker_row,
            previous=previous,
        )
        self._on_claimed()
        if row is None:
            raise TrialFailedError(f"another trial has {architecture.describe()}")
        for name, value in (("architecture", architecture.describe()), ("preset", preset)):
            if value:
                trial.set_user_attr(name, value)
        why = "preset " + preset if preset else ""
        if previous:
            why = f"continues trial {max(previous)}"
        self._emit(
            TrialStarted(
                worker=self._worker,
                trial=trial.number,
                description=architecture.describe(),
                parameters=parameters,
                reason=why,
            )
        )
        return self._with_finished_folds(
            _Attempt(
                trial=trial,
                architecture=architecture,
                parameters=parameters,
                row=row,
                started=time.monotonic(),
                fold_scores={},
                predictions={},
                fold_seconds={},
            )
        )

    def _with_finished_folds(self, attempt: _Attempt) -> _Attempt:
        """Take over the folds that an interrupted or killed predecessor has finished."""
        for fold in self._store.folds(attempt.row):
            kept = load_predictions(self._store, fold.predictions)
            attempt.fold_scores[fold.fold] = fold.scores[self._study.target].metrics["macro_auprc"]
            attempt.predictions[fold.fold] = FoldPredictions(
                ecg_id=kept.ecg_id,
                targets_NC=kept.targets_NC,
                probabilities_NC=kept.probabilities_NC,
            )
        for epoch in self._store.epochs(attempt.row):
            seconds = attempt.fold_seconds.get(epoch.fold, 0.0)
            attempt.fold_seconds[epoch.fold] = seconds + epoch.seconds
        return attempt

    def _train(self, attempt: _Attempt) -> None:
        """Train the folds that are missing, deciding after each in ascending order."""
        folder = self.checkpoints(attempt.architecture)
        missing = [fold for fold in range(1, self._trainer.n_folds + 1) if fold not in attempt.fold_scores]
        arrived: dict[int, FoldOutcome] = {}
        pool = FoldPool(
            self._trainer,
            attempt.architecture,
            missing,
            checkpoint=lambda fold: folder / f"fold{fold}.safetensors",
        )
        with pool:
            for report in pool.reports(stop=lambda: self._interrupt.requested):
                if isinstance(report.event, Exception):
                    self._fail(attempt, report.fold, report.event)
                elif isinstance(report.event, EpochScore):
                    self._keep_epoch(attempt, report.fold, report.event)
                elif report.event is not None:
                    arrived[report.fold] = report.event
                # In the order of the folds, so that no decision depends on which thread was faster.
                while missing and missing[0] in arrived:
                    fold = missing.pop(0)
                    self._keep_fold(attempt, fold, arrived.pop(fold))
                    self._decide(attempt)
            for fold, outcome in sorted(arrived.items()):
                self._keep_fold(attempt, fold, outcome)
        if self._interrupt.requested and len(attempt.fold_scores) < self._trainer.n_folds:
            self._requeue(attempt)

    def _keep_epoch(self, attempt: _Attempt, fold: int, score: EpochScore) -> None:
        attempt.fold_seconds[fold] = attempt.fold_seconds.get(fold, 0.0) + score.seconds
        self._store.add_epoch(
            attempt.row,
            EpochRecord(
                fold=fold,
                epoch=score.epoch,
                training_loss=score.training_loss,
                macro_auprc=score.macro_auprc,
                seconds=score.seconds,
            ),
        )
        self._emit(
            EpochEnded(
                worker=self._worker,
                trial=attempt.trial.number,
                fold=fold,
                n_folds=self._trainer.n_folds,
                epoch=score.epoch,
                n_epochs=self._trainer.n_epochs,
                score=score.macro_auprc,
                loss=score.training_loss,
                seconds=score.seconds,
            )
        )

    def _keep_fold(self, attempt: _Attempt, fold: int, outcome: FoldOutcome) -> None:
        predictions = outcome.predictions
        tier = attempt.architecture.label_tier
        artifact = save_predictions(
            self._store,
            self._study.name,
            attempt.trial.number,
            fold,
            ecg_id=predictions.ecg_id,
            targets_NC=predictions.targets_NC,
            probabilities_NC=predictions.probabilities_NC,
            classes=self._study.tier_classes[tier],
            tier=tier,
        )
        self._store.add_fold(
            attempt.row,
            FoldRecord(
                fold=fold,
                n_training=outcome.n_training,
                n_validation=len(predictions.ecg_id),
                seconds=attempt.fold_seconds.get(fold, 0.0),
                scores=outcome.scores,
                predictions=artifact,
            ),
        )
        attempt.predictions[fold] = predictions
        attempt.fold_scores[fold] = outcome.scores[self._study.target].metrics["macro_auprc"]

    def _decide(self, attempt: _Attempt) -> None:
        if not self._prune or len(attempt.fold_scores) == self._trainer.n_folds:
            return
        decision: DecisionRecord | None = paired_rule(
            attempt.fold_scores,
            attempt.parameters,
            self._store.trials(self._study.name),
            epoch=self._trainer.n_epochs,
        )
        if decision is None:
            return
        self._store.add_decision(attempt.row, decision)
        if decision.pruned:
            attempt.trial.set_user_attr("race", decision.reason)
            raise optuna.TrialPruned(decision.reason)

    def _finish(self, attempt: _Attempt) -> float:
        """Scores over all folds; the first is the objective."""
        summary = self._trainer.summarise(attempt.architecture.label_tier, attempt.predictions)
        self._store.add_summary(attempt.row, summary)
        return summary[self._study.target].metrics["macro_auprc"]

    def _ended(
        self, attempt: _Attempt, state: TrialState, reason: str, macro_auprc: float | None = None
    ) -> None:
        if state != "interrupted":
            shutil.rmtree(self.checkpoints(attempt.architecture), ignore_errors=True)
        self._emit(
            TrialEnded(
                worker=self._worker,
                trial=attempt.trial.number,
                state=state,
                macro_auprc=macro_auprc,
                parameters=attempt.parameters,
                seconds=time.monotonic() - attempt.started,
                reason=reason,
            )
        )

    def _fail(self, attempt: _Attempt, fold: int, error: Exception) -> None:
        """Store why, then fail the trial; a mistake in our own code keeps its traceback."""
        kind = error.kind if isinstance(error, TrainingError) else "error"
        if isinstance(error, MemoryError):
            kind = "out-of-memory"
        message = str(error) or type(error).__name__
        self._store.add_failure(
            attempt.row,
            FailureRecord(
                kind=kind,
                message=message,
                traceback="".join(traceback.format_exception(error)),
                fold=fold,
            ),
        )
        attempt.trial.set_user_attr("failure", f"{kind}: {message}"[:200])
        raise TrialFailedError(f"{kind} in fold {fold}: {message}") from error

    def _requeue(self, attempt: _Attempt) -> None:
        """Queue the interrupted trial again; its row, folds and checkpoints wait for it."""
        trial = attempt.trial
        self._store.add_failure(attempt.row, FailureRecord(kind="interrupted", message="stopped by the user"))
        trial.study.enqueue_trial(
            trial.params, user_attrs={CONTINUES: sorted({*previous_numbers(trial), trial.number})}
        )
        raise TrialInterruptedError("stopped by the user")


def previous_numbers(trial: optuna.Trial) -> Collection[int]:
    """Numbers of the interrupted or killed trials that this one continues."""
    # Optuna keeps the history of heartbeat retries in system attributes and shows them nowhere else.
    attributes = trial.study._storage.get_trial_system_attrs(trial._trial_id)
    return {*trial.user_attrs.get(CONTINUES, []), *attributes.get("retry_history", [])}


def _preset_name(architecture: space.Architecture, target: str) -> str | None:
    for name in space.PRESETS:
        if architecture == space.preset(name, target):
            return name
    return None
