"""One trial: train the folds, let the race decide, keep everything, return both objectives.

The only place that acts on a decision of the race. Knows Optuna and the store, but neither torch nor a
terminal.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import optuna
from optuna.exceptions import UpdateFinishedTrialError

import space
from search.attempt import Attempt
from search.errors import SearchError, TrainingError
from search.events import EpochEnded, Event, TrialEnded, TrialStarted, TrialState
from search.interrupt import Interrupt
from search.race import MIN_FOLDS, paired_rule
from search.training.interface import EpochScore, FoldOutcome, Trainer
from search.training.pool import FoldPool, FoldReport
from storage import FailureRecord, StorageError, Store, StudyRecord, TakenOverError

CONTINUES = "continues"
"""User attribute of a queued trial: numbers of the interrupted trials that it continues."""


class TrialFailedError(SearchError):
    """The trial failed and its failure is stored; the study goes on."""


class TrialInterruptedError(SearchError):
    """The user stopped the run; the trial is queued again."""


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
        interrupt: raised when the user wants to stop.
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
        self.has_ended = False
        """Whether the last trial came to one of the ends it may come to."""

    def __call__(self, trial: optuna.Trial) -> tuple[float, float]:
        """Cross-validated macro-AUPRC and number of parameters.

        Raises:
            optuna.TrialPruned: the race stopped it.
            TrialFailedError: a fold could not be trained.
            TrialInterruptedError: the user stopped the run.
            storage.TakenOverError: another worker took this one for dead and continues the trial.
            optuna.exceptions.UpdateFinishedTrialError: the same, before the trial is continued.
            storage.StorageError: the database failed; the trial is queued again if that can be written.
        """
        self.has_ended = False
        attempt = self._begin(trial)
        try:
            self._train(trial, attempt)
            macro_auprc = self._score(trial, attempt)
        except optuna.TrialPruned as pruned:
            self._end(attempt, "pruned", str(pruned))
            raise
        except TrialFailedError as failed:
            self._end(attempt, "failed", str(failed))
            raise
        except TrialInterruptedError:
            self._end(attempt, "interrupted", "continues with the next run")
            raise
        except (TakenOverError, UpdateFinishedTrialError):
            # Its heartbeat stopped for a while, as on a laptop that slept, and another worker failed it.
            self._end(attempt, "interrupted", "taken for dead, queued again")
            raise
        except StorageError as error:
            with suppress(StorageError):
                self._queue_again(trial, attempt, str(error))
            raise
        except Exception as mistake:  # ours: it ends the run, but not without a trace
            with suppress(StorageError):
                attempt.keep_failure(mistake)
            raise
        self._end(attempt, "complete", "", macro_auprc)
        return macro_auprc, float(attempt.parameters)

    def checkpoints(self, architecture: space.Architecture) -> Path:
        """Folder of the checkpoints of an architecture in this study, and in no other.

        Databases may lie side by side and hold studies of the same name, so the name alone will not do.
        """
        study = f"{self._study.name} {self._study.created_at} {self._study.data_fingerprint}"
        folder = self._store.artifacts_folder.parent / "checkpoints"
        return folder / hashlib.sha256(study.encode()).hexdigest()[:16] / architecture.digest

    def _begin(self, trial: optuna.Trial) -> Attempt:
        """Fix the architecture and reserve it."""
        architecture = self._space.suggest(trial)
        parameters = space.count_parameters(architecture, self._trainer.n_outputs(architecture.label_tier))
        # Interrupted trials were queued by us, killed ones by Optuna's callback.
        previous = {
            *trial.user_attrs.get(CONTINUES, []),
            *self._store.previous_attempts(self._study.name, trial.number),
        }
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
        if row is None:
            self.has_ended = True
            raise TrialFailedError(f"another trial has {architecture.describe()}")
        self._on_claimed()
        attempt = Attempt(
            store=self._store,
            study=self._study,
            number=trial.number,
            row=row,
            architecture=architecture,
            parameters=parameters,
            previous=frozenset(previous),
        )
        self._announce(trial, attempt, preset)
        attempt.take_over_finished_folds()
        return attempt

    def _announce(self, trial: optuna.Trial, attempt: Attempt, preset: str | None) -> None:
        description = attempt.architecture.describe()
        trial.set_user_attr("architecture", description)
        if preset:
            trial.set_user_attr("preset", preset)
        why = f"preset {preset}" if preset else ""
        if attempt.previous:
            why = f"continues trial {max(attempt.previous)}"
        self._emit(
            TrialStarted(
                worker=self._worker,
                trial=trial.number,
                description=description,
                parameters=attempt.parameters,
                reason=why,
            )
        )

    def _train(self, trial: optuna.Trial, attempt: Attempt) -> None:
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
                self._take_in(trial, attempt, report, arrived)
                # In the order of the folds, so that no decision depends on which thread was faster.
                while missing and missing[0] in arrived:
                    fold = missing.pop(0)
                    attempt.keep_fold(fold, arrived.pop(fold))
                    self._decide(trial, attempt)
        for fold, outcome in sorted(arrived.items()):  # interrupted: what is finished is kept
            attempt.keep_fold(fold, outcome)
        if len(attempt.fold_scores) < self._trainer.n_folds:
            self._queue_again(trial, attempt, "stopped by the user")
            raise TrialInterruptedError("stopped by the user")

    def _take_in(
        self, trial: optuna.Trial, attempt: Attempt, report: FoldReport, arrived: dict[int, FoldOutcome]
    ) -> None:
        if isinstance(report.event, Exception):
            self._fail(trial, attempt, report.event, report.fold)
        elif isinstance(report.event, EpochScore):
            attempt.keep_epoch(report.fold, report.event)
            self._emit(
                EpochEnded(
                    worker=self._worker,
                    trial=attempt.number,
                    fold=report.fold,
                    n_folds=self._trainer.n_folds,
                    epoch=report.event.epoch,
                    n_epochs=self._trainer.n_epochs,
                    score=report.event.macro_auprc,
                    loss=report.event.training_loss,
                    seconds=report.event.seconds,
                )
            )
        elif report.event is not None:
            arrived[report.fold] = report.event

    def _decide(self, trial: optuna.Trial, attempt: Attempt) -> None:
        if not self._prune or not MIN_FOLDS <= len(attempt.fold_scores) < self._trainer.n_folds:
            return
        decision = paired_rule(
            attempt.fold_scores,
            attempt.parameters,
            self._store.trials(self._study.name),
            epoch=self._trainer.n_epochs,
        )
        if decision is None:
            return
        self._store.add_decision(attempt.row, decision)
        if decision.pruned:
            trial.set_user_attr("race", decision.reason)
            raise optuna.TrialPruned(decision.reason)

    def _score(self, trial: optuna.Trial, attempt: Attempt) -> float:
        """Scores over all folds; the first is the objective."""
        summary = self._trainer.summarise(attempt.architecture.label_tier, attempt.predictions)
        self._store.add_summary(attempt.row, summary)
        macro_auprc = summary[self._study.target].metrics["macro_auprc"]
        if not math.isfinite(macro_auprc):
            undefined = TrainingError("error", f"macro-AUPRC on {self._study.target} is {macro_auprc}")
            self._fail(trial, attempt, undefined)
        return macro_auprc

    def _end(
        self, attempt: Attempt, state: TrialState, reason: str, macro_auprc: float | None = None
    ) -> None:
        self.has_ended = True
        if state != "interrupted":
            shutil.rmtree(self.checkpoints(attempt.architecture), ignore_errors=True)
        self._emit(
            TrialEnded(
                worker=self._worker,
                trial=attempt.number,
                state=state,
                macro_auprc=macro_auprc,
                parameters=attempt.parameters,
                seconds=time.monotonic() - attempt.started_s,
                reason=reason,
            )
        )

    def _fail(self, trial: optuna.Trial, attempt: Attempt, error: Exception, fold: int | None = None) -> None:
        """Store why, then fail the trial."""
        failure = attempt.keep_failure(error, fold)
        where = "" if fold is None else f" in fold {fold}"
        reason = f"{failure.kind}{where}: {failure.message}"
        trial.set_user_attr("failure", reason[:200])
        raise TrialFailedError(reason) from error

    def _queue_again(self, trial: optuna.Trial, attempt: Attempt, reason: str) -> None:
        """Queue an interrupted trial again; its row, folds and checkpoints wait for it."""
        self._store.add_failure(attempt.row, FailureRecord(kind="interrupted", message=reason))
        continues = sorted({*attempt.previous, trial.number})
        with self._store.explained():
            trial.study.enqueue_trial(trial.params, user_attrs={CONTINUES: continues})


def _preset_name(architecture: space.Architecture, target: str) -> str | None:
    for name in space.PRESETS:
        if architecture == space.preset(name, target):
            return name
    return None
