"""One trial: its architecture reserved, its folds trained past the rungs of the race, scored, all of it kept.

`train_trial` is where it begins. Knows Optuna's trial and the store, but neither torch nor a terminal.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import optuna
from optuna.exceptions import UpdateFinishedTrialError

import space
from reports.words import stack_words
from scores.costs import LATENCY_P99, THROUGHPUT
from scores.objectives import OBJECTIVES, Objective
from search.errors import SearchError, TrainingError, first_line, is_out_of_memory
from search.models.costs import costs_of
from search.pruner.race import Prior, Race, Standing, rung_epochs, rungs
from search.sampler.gain import Gain
from search.sampler.requests import complaint, requested
from search.study.finished_trials import FinishedTrials
from search.study.latency import Meter, with_latency
from search.study.limits import limits_of
from search.study.provenance import PeakMemory, with_peak_memory
from search.training.fold_threads import FoldPool, train_folds
from search.training.interface import FoldOutcome, Trainer
from search.watch.events import EpochEnded, Event, Message, TrialEnded, TrialStarted
from search.workers.interrupt import Interrupt
from storage import (
    CONTINUES,
    COST,
    GAIN,
    REFUSED,
    Claim,
    DecisionRecord,
    EpochRecord,
    FailureRecord,
    FoldRecord,
    GainRecord,
    Predictions,
    StorageError,
    Store,
    StudyRecord,
    TakenOverError,
    load_predictions,
    save_model,
    save_predictions,
)
from storage.files import write_whole
from storage.optuna_side import fixed_params, stored_trial

THAWED = "thawed"
"""User attribute of a queued trial that was pruned and is to be trained to its end."""
KEPT_WITHIN_SD = 3.0
"""Standard errors from the front within which a pruned trial keeps its checkpoints, for thawing."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrialContext:
    """Objects that all trials of a worker share."""

    store: Store
    study: StudyRecord
    architectures: space.Space
    """The space of the study."""
    trainer: Trainer
    sampler: str
    """Name of the sampler."""
    seed: int
    """Seed of the sampler."""
    cost_aware: bool
    """Whether the sampler weighs the gain expected of a trial against its training time."""
    alpha: float | None
    """Share of the improving trials that the race may lose; None to train everything."""
    worker: int
    """Number of the worker in the live view."""
    worker_row: int
    """Row id of the worker in the store."""
    emit: Callable[[Event], None]
    """Receiver of the events for the live view."""
    interrupt: Interrupt
    """Set when the user requests a stop."""
    until: float | None = None
    """Share of the hypervolume; the run ends once the remaining gain is below it. None for no such rule."""
    meter: Meter | None = None
    """Meter of latencies, for studies that measure them."""
    noted: set[str] = field(default_factory=set)
    """Notes of the trainer that the live view has shown."""

    def checkpoints(self, architecture: space.Architecture) -> Path:
        """Folder of the checkpoints of an architecture in this study, and in no other."""
        return checkpoints_of(self.store, self.study) / architecture.digest


def checkpoints_of(store: Store, study: StudyRecord) -> Path:
    """Folder of the checkpoints of a study, and of no other.

    Databases may lie side by side and hold studies of the same name, so the name alone will not do.
    """
    words = f"{study.name} {study.created_at} {study.data_fingerprint}"
    return store.checkpoints_folder / hashlib.sha256(words.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Result of a trial."""

    state: Literal["complete", "pruned", "failed", "refused", "interrupted"]
    """`refused`: it was queued with parameters that this study cannot train."""
    reason: str = ""
    values: tuple[float, float] | None = None
    """Score and cost of a complete trial."""
    keeps_checkpoints: bool = False
    """Whether a pruned trial is near enough to the front for thawing."""


_TAKEN_FOR_DEAD = Outcome(state="interrupted", reason="taken for dead, queued again")
"""The heartbeat stopped for a while, as on a laptop that slept, and another worker failed the trial."""


class Advice(Protocol):
    """Information from a sampler about an architecture; `search.sampler.untried.UntriedSampler` has it."""

    @property
    def reason(self) -> str:
        """Reason of the latest proposal; empty where there is no particular one."""

    @property
    def gain(self) -> Gain | None:
        """Expected gain of the latest proposal, if known."""

    def expected(self, params: Mapping[str, Any]) -> Prior | None:
        """Mean and standard deviation of the score of one training, if known."""


def train_trial(
    run: TrialContext,
    asked: optuna.Trial,
    *,
    finished: FinishedTrials,
    advice: Advice,
    on_claimed: Callable[[], None],
) -> Outcome:
    """Train the architecture of a trial by cross-validation.

    Args:
        run: the study and how its trials are trained.
        asked: the trial as Optuna has it.
        finished: the finished trials, refreshed just before.
        advice: the sampler.
        on_claimed: called once the trial has reserved its architecture.

    Raises:
        storage.StorageError: the database failed; the trial is queued again if that can be written.
        Exception: a mistake in this program, which is kept with the trial.
    """
    try:
        with run.store.explained():
            begun = begin(run, asked, finished=finished, advice=advice, on_claimed=on_claimed)
    except UpdateFinishedTrialError:
        return _TAKEN_FOR_DEAD
    except StorageError:
        _put_back(run.store, asked)
        raise
    return begun if isinstance(begun, Outcome) else begun.train()


def begin(
    run: TrialContext,
    asked: optuna.Trial,
    *,
    finished: FinishedTrials,
    advice: Advice,
    on_claimed: Callable[[], None],
) -> Trial | Outcome:
    """Fix the architecture of a trial and reserve it; the outcome where it cannot be had.

    Args as for `train_trial`.
    """
    asked_for = stored_trial(asked)
    if (reason := complaint(asked_for, run.architectures)) is not None:
        return _refuse(run, asked, reason)
    architecture = run.architectures.suggest(asked)
    n_outputs = run.trainer.n_outputs(architecture.label_tier)
    costs = costs_of(architecture, n_outputs, run.architectures.inputs)
    beside: dict[str, int] = {}
    if run.meter is not None:
        try:
            inputs = run.architectures.inputs
            costs, beside[LATENCY_P99] = with_latency(costs, run.meter, architecture, n_outputs, inputs)
            beside[THROUGHPUT] = max(1, round(run.meter.throughput(architecture, n_outputs, inputs)))
        except SearchError as error:
            return _refuse(run, asked, f"{architecture.describe()}: {error}")
    over = limits_of(run.study).complaint(costs)
    if over is not None:
        return _refuse(run, asked, f"{architecture.describe()} is over a limit of the study: {over}")
    # Interrupted trials were queued by us, killed ones by Optuna's callback.
    previous = {
        *asked.user_attrs.get(CONTINUES, []),
        *run.store.previous_attempts(run.study.name, asked.number),
    }
    preset = space.preset_name(architecture, run.study.target)
    # Before the trial has a row: readers find every row with its costs.
    for name, value in {**costs.to_dict(), **beside}.items():
        asked.set_user_attr(f"{COST}{name}", value)
    row = _claim(
        run, asked, architecture=architecture, parameters=costs.parameters, preset=preset, previous=previous
    )
    if row is None:
        other = run.store.tried(run.study.name)[architecture.digest]
        reason = f"trial {other} has {architecture.describe()}"
        if requested(asked_for) is not None and not previous:
            return _refuse(run, asked, reason)
        return Outcome(state="failed", reason=f"another {reason}")
    on_claimed()
    trial = Trial(
        run=run,
        asked=asked,
        finished=finished,
        advice=advice,
        row=row,
        architecture=architecture,
        cost=costs.to_dict()[run.study.cost],
        previous=frozenset(previous),
    )
    trial.announce(preset)
    trial.take_over()
    return trial


def _claim(
    run: TrialContext,
    asked: optuna.Trial,
    *,
    architecture: space.Architecture,
    parameters: int,
    preset: str | None,
    previous: Collection[int],
) -> int | None:
    """Row id of a trial that has reserved its architecture; None where another trial has it."""
    claim = Claim(
        number=asked.number,
        architecture_hash=architecture.digest,
        architecture=architecture.to_dict(),
        description=architecture.describe(),
        parameters=parameters,
        label_tier=architecture.label_tier,
        preset=preset,
        worker_id=run.worker_row,
    )
    return run.store.claim(run.study.name, claim, previous=previous, thaw=THAWED in asked.user_attrs)


def _refuse(run: TrialContext, asked: optuna.Trial, reason: str) -> Outcome:
    """Refuse a queued trial, with the reason beside it."""
    asked.set_user_attr(REFUSED, reason)
    run.emit(Message(f"trial {asked.number}, which was queued, is refused: {reason}"))
    return Outcome(state="refused", reason=reason)


def _put_back(store: Store, asked: optuna.Trial) -> None:
    """Queue a trial again that could not begin, if it was in the queue; the sampler proposes anew."""
    retry = store.optuna_storage.get_heartbeat_stale_trial_callback()
    with suppress(StorageError), store.explained():
        begun = asked.study.get_trials()[asked.number]
        if retry is not None and fixed_params(begun) is not None:
            retry(asked.study, begun)


@dataclass(kw_only=True, slots=True, eq=False)
class Trial:
    """A trial that has reserved its architecture, with its results so far.

    Every `keep_` method raises `storage.TakenOverError` once another worker continues the trial.
    """

    run: TrialContext
    asked: optuna.Trial
    """The trial as Optuna has it."""
    finished: FinishedTrials
    advice: Advice
    row: int
    """Row id of the trial in the store."""
    architecture: space.Architecture
    cost: int
    """Second objective of the study."""
    previous: frozenset[int] = frozenset()
    """Numbers of the interrupted or killed trials that this one continues."""
    started_s: float = field(default_factory=time.monotonic)
    fold_scores: dict[int, float] = field(default_factory=dict)
    """Score on the study's target, finished folds only."""
    predictions: dict[int, Predictions] = field(default_factory=dict)
    fold_s: dict[int, float] = field(default_factory=dict)
    """Training seconds of every fold, earlier attempts included."""
    curve: dict[tuple[int, int], float] = field(default_factory=dict)
    """Score on the study's target by fold and epoch, earlier attempts included."""
    decisions: list[DecisionRecord] = field(default_factory=list)
    """Decisions of the race, earlier attempts included, oldest first."""
    memory: PeakMemory = field(default_factory=PeakMemory)
    """Counted from the start of this attempt."""

    @property
    def is_thawed(self) -> bool:
        """Whether the race pruned the trial before, and it is to be trained to its end."""
        return THAWED in self.asked.user_attrs

    @property
    def objective(self) -> Objective:
        """First objective of the study."""
        return OBJECTIVES[self.run.study.objective]

    @property
    def n_leads(self) -> int:
        """Leads that enter the model."""
        return space.count_leads(self.architecture.leads, self.run.architectures.inputs.n_leads)

    def announce(self, preset: str | None) -> None:
        """Show the architecture and the reason of its choice in the live view and optuna-dashboard."""
        self.asked.set_user_attr("stack", stack_words(self.architecture.to_dict()))
        if preset:
            self.asked.set_user_attr("preset", preset)
        why = f"preset {preset}" if preset else self.advice.reason
        if self.previous:
            why = f"{'thaws' if self.is_thawed else 'continues'} trial {max(self.previous)}"
        gain = None
        if (left := self.advice.gain) is not None:
            gain = GainRecord(trial=self.asked.number, expected=left.expected, at_most=left.at_most)
            self.asked.set_user_attr(f"{GAIN}expected", gain.expected)
            self.asked.set_user_attr(f"{GAIN}at most", gain.at_most)
        self.run.emit(
            TrialStarted(
                worker=self.run.worker,
                trial=self.asked.number,
                description=self.architecture.describe(),
                cost=self.cost,
                reason=why,
                gain=gain,
            )
        )

    def take_over(self) -> None:
        """Use what an interrupted, killed or pruned predecessor has left."""
        store, target = self.run.store, self.run.study.target
        for fold in store.folds(self.row):
            self.predictions[fold.fold] = load_predictions(store, fold.predictions)
            self.fold_scores[fold.fold] = fold.scores[target].metrics[self.objective.key]
        for epoch in store.epochs(self.row):
            self._note_epoch(epoch)
        self.decisions = store.decisions(self.row)

    def train(self) -> Outcome:
        """Train the folds that are missing, past the rungs of the race, and score the trial.

        Raises as `train_trial` does.
        """
        try:
            with self.run.store.explained():
                outcome = self._train_folds() or self._score()
        except (TakenOverError, UpdateFinishedTrialError):
            outcome = _TAKEN_FOR_DEAD
        except StorageError as error:
            with suppress(StorageError):
                self._queue_again(str(error))
            raise
        except Exception as mistake:  # ours: it ends the run, but not without a trace
            with suppress(StorageError):
                self.keep_failure(mistake)
            raise
        self._end(outcome)
        return outcome

    def _train_folds(self) -> Outcome | None:
        """Train the folds that are missing; None once all of them are trained to their end."""
        n_folds, n_epochs = self.run.trainer.n_folds, self.run.trainer.n_epochs
        missing = [fold for fold in range(1, n_folds + 1) if fold not in self.fold_scores]
        arrived: dict[int, FoldOutcome] = {}
        pruner = self._pruner()

        def end() -> Outcome | None:
            # In the order of the folds, so that no decision depends on which thread was faster.
            while missing and missing[0] in arrived and (not pruner or pruner.is_past(missing[0])):
                fold = missing.pop(0)
                self.keep_fold(fold, arrived.pop(fold))
                if (pruned := self._pass_rungs(pruner, pool)) is not None:
                    return pruned
            return self._pass_rungs(pruner, pool)

        pool = FoldPool(
            self.run.trainer,
            self.architecture,
            missing,
            checkpoint=self._checkpoint,
            rungs=rung_epochs(n_epochs),
            waits=pruner is not None,
        )
        ended = train_folds(
            pool,
            stop=lambda: self.run.interrupt.requested,
            on_epoch=self._take_in,
            on_fold=arrived.__setitem__,
            on_failure=self._fail,
            end=end,
        )
        if ended is not None:
            return ended
        for fold in sorted(arrived):  # interrupted: what is finished is kept
            self.keep_fold(fold, arrived[fold])
        if len(self.fold_scores) == n_folds:
            return None
        self._queue_again("stopped by the user")
        return Outcome(state="interrupted", reason="continues with the next run")

    def _pruner(self) -> TrialPruner | None:
        """None where everything is to be trained."""
        if self.run.alpha is None or self.is_thawed:
            return None
        prior = self.advice.expected(self.asked.params)
        pruner = TrialPruner(self, alpha=self.run.alpha, prior=prior)
        pruner.start()
        return pruner

    def _pass_rungs(self, pruner: TrialPruner | None, pool: FoldPool) -> Outcome | None:
        """Pass the rungs that have been reached; the outcome where the race stops the trial there."""
        if pruner is None:
            return None
        decision = pruner.decide()
        for fold in range(1, self.run.trainer.n_folds + 1):
            pool.allow(fold, pruner.may_train_to(fold))
        if decision is None:
            return None
        if decision.probability is not None:
            self.asked.set_user_attr("chance", float(f"{decision.probability:.2g}"))
        miss = decision.needed - decision.predicted
        keeps_checkpoints = miss < KEPT_WITHIN_SD * decision.standard_error
        pool.stop(keep=keeps_checkpoints)
        for report in pool.reports(stop=lambda: False):  # a checkpoint must not be ahead of its curve
            if isinstance(report.event, EpochRecord):
                self.keep_epoch(report.event)
        self._sum_up()
        return Outcome(state="pruned", reason=decision.reason, keeps_checkpoints=keeps_checkpoints)

    def _take_in(self, epoch: EpochRecord, notes: Sequence[str]) -> None:
        """Keep an epoch and the remarks on it, and show it."""
        self.keep_epoch(epoch)
        self._keep_notes(notes)
        self.run.emit(
            EpochEnded(
                worker=self.run.worker,
                trial=self.asked.number,
                record=epoch,
                n_folds=self.run.trainer.n_folds,
                n_epochs=self.run.trainer.n_epochs,
            )
        )

    def _score(self) -> Outcome:
        """Score all folds together by the objective of the study, on its target."""
        store, target, objective = self.run.store, self.run.study.target, self.objective
        summary = self.run.trainer.summarise(self.architecture.label_tier, self.predictions)
        measured = with_peak_memory(summary[target], self.memory)
        store.add_summary(self.row, {**summary, target: measured})
        score = summary[target].metrics[objective.key]
        if not math.isfinite(score):
            return self._fail(TrainingError("error", f"{objective.words} on {target} is {score}"))
        self._keep_models(score)
        for tier, scores in summary.items():
            of_tier = scores.metrics[objective.key]
            if tier != target and math.isfinite(of_tier):
                self.asked.set_user_attr(f"{objective.key}_{tier}", round(float(of_tier), 4))
        self._sum_up()
        return Outcome(state="complete", values=(score, float(self.cost)))

    def _end(self, outcome: Outcome) -> None:
        assert outcome.state != "refused"
        if outcome.state != "interrupted" and not outcome.keeps_checkpoints:
            shutil.rmtree(self.run.checkpoints(self.architecture), ignore_errors=True)
        self.run.emit(
            TrialEnded(
                worker=self.run.worker,
                trial=self.asked.number,
                state=outcome.state,
                score=outcome.values and outcome.values[0],
                cost=self.cost,
                seconds=time.monotonic() - self.started_s,
                reason=outcome.reason,
            )
        )

    def _fail(self, error: Exception, fold: int | None = None) -> Outcome:
        """Keep why the trial failed."""
        failure = self.keep_failure(error, fold)
        where = "" if fold is None else f" in fold {fold}"
        self.asked.set_user_attr("failure", failure.kind)
        return Outcome(state="failed", reason=f"{failure.kind}{where}: {failure.message}")

    def _queue_again(self, reason: str) -> None:
        """Queue an interrupted trial again; its row, folds and checkpoints wait for it."""
        self.run.store.add_failure(self.row, FailureRecord(kind="interrupted", message=reason))
        attributes: dict[str, Any] = {CONTINUES: sorted({*self.previous, self.asked.number})}
        if self.is_thawed:
            attributes[THAWED] = True
        with self.run.store.explained():
            self.asked.study.enqueue_trial(self.asked.params, user_attrs=attributes)

    # What is kept

    def keep_epoch(self, epoch: EpochRecord) -> None:
        """Append to the curve of a fold."""
        self._note_epoch(epoch)
        self.run.store.add_epoch(self.row, epoch)

    def _note_epoch(self, epoch: EpochRecord) -> None:
        self.fold_s[epoch.fold] = self.fold_s.get(epoch.fold, 0.0) + epoch.seconds
        self.curve[epoch.fold, epoch.epoch] = epoch.score

    def keep_fold(self, fold: int, outcome: FoldOutcome) -> None:
        """Keep model, predictions and scores of a fold trained to its end."""
        store = self.run.store
        # Before the fold counts as finished, or else a kill between the two would leave none.
        write_whole(self._model_file(fold), outcome.model)
        predictions = outcome.predictions
        artifact = save_predictions(store, self.run.study.name, self.asked.number, fold, predictions)
        store.add_fold(
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
        self.fold_scores[fold] = outcome.scores[self.run.study.target].metrics[self.objective.key]
        self._checkpoint(fold).unlink(missing_ok=True)

    def keep_decision(self, decision: DecisionRecord) -> None:
        """Append a decision of the race."""
        self.decisions.append(decision)
        self.run.store.add_decision(self.row, decision)

    def keep_failure(self, error: Exception, fold: int | None = None) -> FailureRecord:
        """Keep why the attempt failed, with its traceback, and return it."""
        kind = error.kind if isinstance(error, TrainingError) else "error"
        if is_out_of_memory(error):  # from anywhere: building a model, training, predicting
            kind = "out-of-memory"
        failure = FailureRecord(
            kind=kind,
            message=first_line(error),
            traceback="".join(traceback.format_exception(error)),
            fold=fold,
        )
        self.run.store.add_failure(self.row, failure)
        return failure

    def _keep_notes(self, notes: Sequence[str]) -> None:
        """Keep the notes of the trainer with the trial; the live view shows each of them once."""
        if not notes:
            return
        kept = self.asked.user_attrs.get("notes", "")
        self.asked.set_user_attr("notes", "; ".join(filter(None, [kept, *notes])))
        for note in notes:
            if note not in self.run.noted:
                self.run.noted.add(note)
                self.run.emit(Message(f"trial {self.asked.number}: {note}"))

    def _keep_models(self, score: float) -> None:
        """Make artifacts of the models of a trial that is on the front.

        A trial that is not on the front when it ends can never come to it. A fold that was trained where
        this machine does not see the folder has no model here.
        """
        if self.finished.is_dominated(self.cost, score, self.n_leads):
            return
        for fold in sorted(self.fold_scores):
            with suppress(FileNotFoundError):
                content = self._model_file(fold).read_bytes()
                save_model(self.run.store, self.run.study.name, self.asked.number, fold, content)

    def _sum_up(self) -> None:
        """Numbers by which optuna-dashboard sorts and draws; the words are in the note of the trial."""
        self.asked.set_user_attr("fold_epochs", len(self.curve))
        self.asked.set_user_attr("minutes", round(sum(self.fold_s.values()) / 60, 2))

    def _checkpoint(self, fold: int) -> Path:
        return self.run.checkpoints(self.architecture) / f"fold{fold}.safetensors"

    def _model_file(self, fold: int) -> Path:
        """Path of the model of a finished fold, until it is known whether the trial is on the front."""
        return self.run.checkpoints(self.architecture) / f"model{fold}.safetensors"


class TrialPruner:
    """Pruning of one trial: a decision of the race at every rung, each kept in the store.

    Args:
        trial: rungs that an earlier attempt has passed are not decided again.
        alpha: share of the improving trials that the race may lose.
        prior: score predicted by the sampler, if it has one.
    """

    def __init__(self, trial: Trial, *, alpha: float, prior: Prior | None) -> None:
        self._trial = trial
        self._finished = trial.finished
        trainer = trial.run.trainer
        self._n_epochs = trainer.n_epochs
        starts = [decision.probability for decision in trial.decisions if decision.fold == 0]
        self._race = Race(
            alpha=alpha,
            cost=trial.cost,
            prior=prior,
            chance=starts[0] if starts else None,
        )
        passed = {(decision.fold, decision.epoch) for decision in trial.decisions if not decision.pruned}
        course = rungs(trainer.n_folds, trainer.n_epochs, trainer.n_parallel)
        self._ahead = deque(rung for rung in course if (rung.fold, rung.epoch) not in passed)

    @property
    def _standing(self) -> Standing:
        return self._finished.standing_with(self._trial.n_leads)

    def start(self) -> None:
        """Keep the chance of the trial before anything of it is seen."""
        record = self._race.start(self._standing)
        if record is not None:
            self._trial.keep_decision(record)

    def decide(self) -> DecisionRecord | None:
        """Pass the rungs that have been reached; the decision that prunes the trial, if one does.

        A decision to prune that was taken before the process died stands, whatever has been learned since.
        """
        for taken in self._trial.decisions:
            if taken.pruned:
                return taken
        while self._ahead and self._is_reached():
            rung = self._ahead.popleft()
            if rung.epoch == self._n_epochs:  # others have had time to finish something
                self._finished.refresh()
                self.start()
            # A kill between a checkpoint and its epoch's row leaves a gap in the curve.
            seen = {point: self._trial.curve.get(point, math.nan) for point in rung.seen}
            decision = self._race.decide(self._standing, rung, self._finished.curve_at_rungs(seen))
            if decision is None:
                continue
            self._trial.keep_decision(decision)
            if decision.pruned:
                return decision
        return None

    def may_train_to(self, fold: int) -> int:
        """Epoch up to which a fold may train: the rung after the next that is to be decided.

        One rung ahead of the decision, so that folds side by side need not wait for one another, and no
        further, so that little is trained in vain.
        """
        own = [rung.epoch for rung in self._ahead if fold in rung.folds]
        n_allowed = 2 if self._ahead and fold in self._ahead[0].folds else 1
        return own[n_allowed - 1] if len(own) >= n_allowed else self._n_epochs

    def is_past(self, fold: int) -> bool:
        """Whether every rung before the end of a fold has been decided."""
        return not any(fold in rung.folds and rung.epoch < self._n_epochs for rung in self._ahead)

    def _is_reached(self) -> bool:
        """Whether all folds in training have come to the next rung, finished ones with their predictions."""
        rung = self._ahead[0]
        epochs_done = dict(sorted(self._trial.curve))
        ended = {fold for fold, epoch in rung.seen if epoch == self._n_epochs}
        return ended <= self._trial.fold_scores.keys() and all(
            epochs_done.get(fold, 0) >= epoch for fold, epoch in rung.seen
        )
