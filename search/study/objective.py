"""One trial: train the folds, let the race decide, keep everything, return both objectives.

The only place that acts on a decision of the race. Knows Optuna and the store, but neither torch nor a
terminal.
"""

from __future__ import annotations

import errno
import hashlib
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.exceptions import UpdateFinishedTrialError

import space
from reports.words import stack_words
from search.errors import SearchError, TrainingError
from search.models.costs import costs_of
from search.pruner.race import Prior, rung_epochs
from search.sampler.requests import complaint, requested
from search.study.attempt import Attempt
from search.study.finished_trials import Ledger
from search.study.limits import limits_of
from search.study.memory import with_peak_memory
from search.study.trial_pruner import Referee
from search.training.fold_threads import FoldPool, FoldReport
from search.training.interface import EpochScore, FoldOutcome, Trainer
from search.watch.events import EpochEnded, Event, Message, TrialEnded, TrialStarted, TrialState
from search.workers.interrupt import Interrupt
from storage import (
    CONTINUES,
    COSTS,
    REFUSED,
    FailureRecord,
    StorageError,
    Store,
    StudyRecord,
    TakenOverError,
    save_model,
)
from storage.files import write_whole
from storage.optuna_side import fixed_params, stored_trial

THAWED = "thawed"
"""User attribute of a queued trial that was pruned and is to be trained to its end."""
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
KEPT_WITHIN_SD = 3.0
"""Standard errors from the front within which a pruned trial keeps its checkpoints, for thawing."""


class Advice(Protocol):
    """What a sampler can say of an architecture; `search.sampler.untried.UntriedSampler` is one."""

    @property
    def reason(self) -> str:
        """Why the latest architecture was proposed; empty if there is nothing to say."""

    def expected(self, params: Mapping[str, Any]) -> Prior | None:
        """Mean and standard deviation of the score of one training, if known."""


class TrialFailedError(SearchError):
    """The trial failed and its failure is stored; the study goes on."""


class TrialInterruptedError(SearchError):
    """The user stopped the run; the trial is queued again."""


class Objective:
    """Objective of a study: trains the architecture of a trial by cross-validation.

    Args:
        store: where everything is kept.
        study: what is searched.
        architectures: the space of the study.
        trainer: trains single folds.
        ledger: the finished trials, refreshed before every trial.
        advice: the sampler.
        alpha: of the race; None to train everything.
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
        ledger: Ledger,
        advice: Advice,
        alpha: float | None,
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
        self._ledger = ledger
        self._advice = advice
        self._alpha = alpha
        self._emit = emit
        self._worker = worker
        self._worker_row = worker_row
        self._interrupt = interrupt
        self._on_claimed = on_claimed
        self._keeps_checkpoints = False
        self._noted: set[str] = set()
        self.failure = ""
        """Why the last trial failed; empty if it did not."""
        self.was_refused = False
        """Whether it failed because it asked for what this study cannot train."""

    def __call__(self, trial: optuna.Trial) -> tuple[float, float]:
        """Cross-validated macro-AUPRC and number of parameters.

        Raises:
            optuna.TrialPruned: the race stopped it.
            TrialFailedError: a fold could not be trained, or the trial asks for what cannot be trained.
            TrialInterruptedError: the user stopped the run.
            storage.TakenOverError: another worker took this one for dead and continues the trial.
            optuna.exceptions.UpdateFinishedTrialError: the same, before the trial is continued.
            storage.StorageError: the database failed; the trial is queued again if that can be written.
        """
        self._keeps_checkpoints = self.was_refused = False
        self.failure = ""
        try:
            with self._store.explained():
                attempt = self._begin(trial)
        except StorageError:
            self._put_back(trial)
            raise
        try:
            with self._store.explained():
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
        folder = self._store.checkpoints_folder
        return folder / hashlib.sha256(study.encode()).hexdigest()[:16] / architecture.digest

    def _begin(self, trial: optuna.Trial) -> Attempt:
        """Fix the architecture and reserve it."""
        asked_for = stored_trial(trial)
        reason = complaint(asked_for, self._space)
        if reason is not None:
            raise self._refuse(trial, reason)
        architecture = self._space.suggest(trial)
        n_outputs = self._trainer.n_outputs(architecture.label_tier)
        costs = costs_of(architecture, n_outputs, self._space.inputs)
        over = limits_of(self._study).complaint(costs)
        if over is not None:
            raise self._refuse(trial, f"{architecture.describe()} is over a limit of the study: {over}")
        # Interrupted trials were queued by us, killed ones by Optuna's callback.
        previous = {
            *trial.user_attrs.get(CONTINUES, []),
            *self._store.previous_attempts(self._study.name, trial.number),
        }
        preset = space.preset_name(architecture, self._study.target)
        row = self._store.claim(
            self._study.name,
            number=trial.number,
            architecture_hash=architecture.digest,
            architecture=architecture.to_dict(),
            description=architecture.describe(),
            parameters=costs.parameters,
            label_tier=architecture.label_tier,
            preset=preset,
            worker=self._worker_row,
            previous=previous,
            thaw=THAWED in trial.user_attrs,
        )
        if row is None:
            other = self._store.tried(self._study.name)[architecture.digest]
            reason = f"trial {other} has {architecture.describe()}"
            if requested(asked_for) is not None and not previous:
                raise self._refuse(trial, reason)
            self.failure = f"another {reason}"
            raise TrialFailedError(self.failure)
        self._on_claimed()
        attempt = Attempt(
            store=self._store,
            study=self._study,
            number=trial.number,
            row=row,
            architecture=architecture,
            parameters=costs.parameters,
            previous=frozenset(previous),
        )
        trial.set_user_attr(COSTS, costs.to_dict())
        self._announce(trial, attempt, preset)
        attempt.take_over()
        return attempt

    def _announce(self, trial: optuna.Trial, attempt: Attempt, preset: str | None) -> None:
        description = attempt.architecture.describe()
        trial.set_user_attr("stack", stack_words(attempt.architecture.to_dict()))
        if preset:
            trial.set_user_attr("preset", preset)
        why = f"preset {preset}" if preset else self._advice.reason
        if attempt.previous:
            verb = "thaws" if THAWED in trial.user_attrs else "continues"
            why = f"{verb} trial {max(attempt.previous)}"
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
        """Train the folds that are missing, past the rungs of the race."""
        folder = self.checkpoints(attempt.architecture)

        def checkpoint(fold: int) -> Path:
            return folder / f"fold{fold}.safetensors"

        def keep(fold: int) -> None:
            outcome = arrived.pop(fold)
            # Before the fold counts as finished, or else a kill between the two would leave none.
            write_whole(_model_file(folder, fold), outcome.model)
            attempt.keep_fold(fold, outcome)
            checkpoint(fold).unlink(missing_ok=True)

        missing = [fold for fold in range(1, self._trainer.n_folds + 1) if fold not in attempt.fold_scores]
        arrived: dict[int, FoldOutcome] = {}
        referee = self._referee(trial, attempt)
        pool = FoldPool(
            self._trainer,
            attempt.architecture,
            missing,
            checkpoint=checkpoint,
            rungs=rung_epochs(self._trainer.n_epochs),
            waits=referee is not None,
        )
        with pool:
            self._decide(trial, attempt, referee, pool)
            for report in pool.reports(stop=lambda: self._interrupt.requested):
                self._take_in(trial, attempt, report, arrived)
                # In the order of the folds, so that no decision depends on which thread was faster.
                while missing and missing[0] in arrived and (not referee or referee.is_past(missing[0])):
                    keep(missing.pop(0))
                    self._decide(trial, attempt, referee, pool)
                self._decide(trial, attempt, referee, pool)
        for fold in sorted(arrived):  # interrupted: what is finished is kept
            keep(fold)
        if len(attempt.fold_scores) < self._trainer.n_folds:
            self._queue_again(trial, attempt, "stopped by the user")
            raise TrialInterruptedError("stopped by the user")

    def _referee(self, trial: optuna.Trial, attempt: Attempt) -> Referee | None:
        """None where everything is to be trained."""
        if self._alpha is None or THAWED in trial.user_attrs:
            return None
        prior = self._advice.expected(trial.params)
        referee = Referee(attempt, self._ledger, self._trainer, alpha=self._alpha, prior=prior)
        referee.start()
        return referee

    def _decide(self, trial: optuna.Trial, attempt: Attempt, referee: Referee | None, pool: FoldPool) -> None:
        """Pass the rungs that have been reached, and stop the trial if the race says so."""
        if referee is None:
            return
        decision = referee.decide()
        for fold in range(1, self._trainer.n_folds + 1):
            pool.allow(fold, referee.may_train_to(fold))
        if decision is None:
            return
        if decision.probability is not None:
            trial.set_user_attr("chance", float(f"{decision.probability:.2g}"))
        miss = decision.needed - decision.predicted
        self._keeps_checkpoints = miss < KEPT_WITHIN_SD * decision.standard_error
        pool.stop(keep=self._keeps_checkpoints)
        for report in pool.reports(stop=lambda: False):  # a checkpoint must not be ahead of its curve
            if isinstance(report.event, EpochScore):
                attempt.keep_epoch(report.fold, report.event)
        self._sum_up(trial, attempt)
        raise optuna.TrialPruned(decision.reason)

    def _take_in(
        self, trial: optuna.Trial, attempt: Attempt, report: FoldReport, arrived: dict[int, FoldOutcome]
    ) -> None:
        if isinstance(report.event, OSError) and report.event.errno in _DISK_FULL:
            # No fault of the architecture: the trial waits until there is space for its checkpoints.
            with self._store.explained():
                raise report.event
        elif isinstance(report.event, Exception):
            self._fail(trial, attempt, report.event, report.fold)
        elif isinstance(report.event, EpochScore):
            attempt.keep_epoch(report.fold, report.event)
            self._note(trial, report.event.notes)
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

    def _note(self, trial: optuna.Trial, notes: Sequence[str]) -> None:
        """Keep with the trial what the trainer has noted; the view is told the first time."""
        if not notes:
            return
        kept = trial.user_attrs.get("notes", "")
        trial.set_user_attr("notes", "; ".join(filter(None, [kept, *notes])))
        for note in notes:
            if note not in self._noted:
                self._noted.add(note)
                self._emit(Message(f"trial {trial.number}: {note}"))

    def _score(self, trial: optuna.Trial, attempt: Attempt) -> float:
        """Scores over all folds; the first is the objective."""
        summary = self._trainer.summarise(attempt.architecture.label_tier, attempt.predictions)
        target = self._study.target
        measured = with_peak_memory(summary[target], attempt.memory)
        self._store.add_summary(attempt.row, {**summary, target: measured})
        macro_auprc = summary[self._study.target].metrics["macro_auprc"]
        if not math.isfinite(macro_auprc):
            undefined = TrainingError("error", f"macro-AUPRC on {self._study.target} is {macro_auprc}")
            self._fail(trial, attempt, undefined)
        self._keep_models(attempt, macro_auprc)
        for tier, scores in summary.items():
            score = scores.metrics["macro_auprc"]
            if tier != self._study.target and math.isfinite(score):
                trial.set_user_attr(f"macro_auprc_{tier}", round(float(score), 4))
        self._sum_up(trial, attempt)
        return macro_auprc

    def _keep_models(self, attempt: Attempt, macro_auprc: float) -> None:
        """Make artifacts of the models of a trial that is on the front.

        One that is not can never come to it. A fold that was trained where this machine does not see the
        folder has none.
        """
        if self._ledger.is_dominated(attempt.parameters, macro_auprc):
            return
        folder = self.checkpoints(attempt.architecture)
        for fold in sorted(attempt.fold_scores):
            with suppress(FileNotFoundError):
                content = _model_file(folder, fold).read_bytes()
                save_model(self._store, self._study.name, attempt.number, fold, content)

    def _sum_up(self, trial: optuna.Trial, attempt: Attempt) -> None:
        """Numbers by which optuna-dashboard sorts and draws; the words are in the note of the trial."""
        trial.set_user_attr("fold_epochs", len(attempt.curve))
        trial.set_user_attr("minutes", round(sum(attempt.fold_s.values()) / 60, 2))

    def _end(
        self, attempt: Attempt, state: TrialState, reason: str, macro_auprc: float | None = None
    ) -> None:
        if state != "interrupted" and not self._keeps_checkpoints:
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
        trial.set_user_attr("failure", failure.kind)
        self.failure = reason
        raise TrialFailedError(reason) from error

    def _refuse(self, trial: optuna.Trial, reason: str) -> TrialFailedError:
        """Fail a trial that was asked for in vain, with its reason beside it."""
        trial.set_user_attr(REFUSED, reason)
        self.was_refused = True
        self.failure = reason
        self._emit(Message(f"trial {trial.number}, which was queued, is refused: {reason}"))
        return TrialFailedError(reason)

    def _put_back(self, trial: optuna.Trial) -> None:
        """Queue a trial again that could not begin, if it was in the queue; the sampler proposes anew."""
        retry = self._store.optuna_storage.get_heartbeat_stale_trial_callback()
        with suppress(StorageError), self._store.explained():
            begun = trial.study.get_trials()[trial.number]
            if retry is not None and fixed_params(begun) is not None:
                retry(trial.study, begun)

    def _queue_again(self, trial: optuna.Trial, attempt: Attempt, reason: str) -> None:
        """Queue an interrupted trial again; its row, folds and checkpoints wait for it."""
        self._store.add_failure(attempt.row, FailureRecord(kind="interrupted", message=reason))
        attributes: dict[str, Any] = {CONTINUES: sorted({*attempt.previous, trial.number})}
        if THAWED in trial.user_attrs:
            attributes[THAWED] = True
        with self._store.explained():
            trial.study.enqueue_trial(trial.params, user_attrs=attributes)


def _model_file(folder: Path, fold: int) -> Path:
    """Where the model of a finished fold waits until it is known whether the trial is on the front."""
    return folder / f"model{fold}.safetensors"
