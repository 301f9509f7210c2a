"""The loop of one worker: start trials of a study until the goal is reached.

Workers of a study, in one process or many, on one machine or many, share nothing but the database.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from typing import TypeVar

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

import space
from scores.front import front_trials
from search.errors import SearchError
from search.sampler.requests import complaint, requested
from search.sampler.untried import SpaceExhaustedError, UntriedSampler
from search.study.finished_trials import Ledger
from search.study.limits import limits_of
from search.study.objective import THAWED, Objective, TrialFailedError, TrialInterruptedError
from search.study.recovery import recover_lost_trials
from search.training.interface import Trainer
from search.watch.dashboard_updates import Showcase
from search.watch.events import EpochEnded, Event, FrontChanged, FrontPoint, Message
from search.workers.interrupt import Interrupt
from storage import CONTINUES, ConnectionLostError, StorageError, Store, StudyRecord, TakenOverError
from storage import TrialState as StoredState
from storage.optuna_side import run_trial

MAX_FAILURES_IN_A_ROW = 5
"""A run whose every trial fails has a problem that more trials do not solve."""
_WAIT_S = 0.5

Result = TypeVar("Result")


class TooManyFailuresError(SearchError):
    """Trial after trial failed."""


class Worker:
    """Trains trials of a study one after another.

    Args:
        store: where everything is kept.
        study: what is searched.
        architectures: the space of the study.
        trainer: trains single folds.
        sampler: name of the sampler.
        seed: of the sampler.
        alpha: of the race; None to train everything.
        cost_aware: whether the sampler weighs what a trial may bring against how long it takes.
        emit: takes events for the live view.
        interrupt: set when the user wants to stop.
        number: of this worker in the live view.
        row: of this worker in the store.
    """

    def __init__(
        self,
        *,
        store: Store,
        study: StudyRecord,
        architectures: space.Space,
        trainer: Trainer,
        sampler: str,
        seed: int,
        alpha: float | None,
        cost_aware: bool,
        emit: Callable[[Event], None],
        interrupt: Interrupt,
        number: int,
        row: int,
    ) -> None:
        self._store = store
        self._study = study
        self._space = architectures
        self._emit = emit
        self._showcase = Showcase(store, study, emit)
        self._interrupt = interrupt
        self._starting = ExitStack()
        store.patience.tell = lambda text: emit(Message(text, of_all=True))
        self._front = FrontChanged(())
        self._ledger = Ledger(
            store, study.name, architectures, n_folds=trainer.n_folds, n_epochs=trainer.n_epochs
        )
        limits = limits_of(study)
        chooser = UntriedSampler(
            architectures,
            sampler,
            seed=seed,
            taken=self._taken,
            n_outputs={tier: len(classes) for tier, classes in study.tier_classes.items()},
            estimates=self._ledger.estimates,
            durations=self._ledger.durations,
            cost_aware=cost_aware,
            most=limits.most,
            operators=limits.operators,
            reference_score=study.settings.get("at_least"),
            smallest=study.settings.get("smallest", 1),
            known=lambda: set(store.tried(study.name).values()),
        )
        self._n_candidates = chooser.n_candidates
        self._objective = Objective(
            store=store,
            study=study,
            architectures=architectures,
            trainer=trainer,
            ledger=self._ledger,
            advice=chooser,
            alpha=alpha,
            emit=self._take_in,
            worker=number,
            worker_row=row,
            interrupt=interrupt,
            on_claimed=self._starting.close,
        )
        with store.explained():
            self._optuna = store.optuna_study(study.name, chooser)

    def work(self, goal: int) -> None:
        """Train until the study has `goal` finished trials, the space is exhausted or the user stops.

        Raises:
            TooManyFailuresError: trial after trial failed.
        """
        try:
            self._work(goal)
        finally:
            if not isinstance(sys.exception(), StorageError):  # nothing more can be written then
                self._showcase.finish()

    def _work(self, goal: int) -> None:
        n_failures = 0
        while not self._interrupt.requested:
            try:
                trial = self._despite_losses(lambda: self._next_trial(goal))
            except SpaceExhaustedError as exhausted:
                self._emit(Message(f"{exhausted}: nothing is left to train"))
                return
            except TrialInterruptedError:
                return
            if trial is None:
                counts = self._despite_losses(lambda: self._store.counts(self._study.name))
                if counts["complete"] + counts["pruned"] >= goal:
                    return
                time.sleep(_WAIT_S)
                continue
            self._showcase.refresh()
            # What somebody asked for in vain says nothing about the next trial.
            if not self._objective.was_refused:
                n_failures = n_failures + 1 if trial.state is TrialState.FAIL else 0
            if n_failures >= MAX_FAILURES_IN_A_ROW:
                why = self._objective.failure
                raise TooManyFailuresError(f"{n_failures} trials in a row failed, the last with {why}")
            if trial.state is TrialState.COMPLETE:
                self._despite_losses(partial(self._announce_front, trial))

    def thaw(self) -> None:
        """Train to their end the pruned trials that may still improve the front, the likeliest first.

        What the race predicted of a trial when it stopped it is predicted again from all that is known now.
        """
        with suppress(TrialInterruptedError):
            while (
                not self._interrupt.requested and (trial := self._despite_losses(self._thaw_next)) is not None
            ):
                if trial.state is TrialState.COMPLETE:
                    self._despite_losses(partial(self._announce_front, trial))
        self._showcase.finish()

    def _despite_losses(self, step: Callable[[], Result]) -> Result:
        """Take a step again if the connection was lost within it; a trial in training was queued again.

        Raises:
            storage.StorageError: the server is away for too long, or again and again.
        """
        for attempt in itertools.count(1):
            try:
                return step()
            except ConnectionLostError as lost:
                if attempt == MAX_FAILURES_IN_A_ROW:
                    raise
                self._emit(Message(f"{lost}, what was in progress is taken up again"))
        raise AssertionError("the last attempt returns or raises")

    def _thaw_next(self) -> FrozenTrial | None:
        self._starting.enter_context(self._store.start_lock(self._study.name))
        try:
            self._ledger.refresh()
            chosen = self._ledger.to_thaw()
            # What waits in the queue would come first; the next run trains it, and thaws then.
            if chosen is None or self._store.counts(self._study.name)["waiting"]:
                return None
            trial, params = chosen
            with self._store.explained():
                attributes = {CONTINUES: [trial.number], THAWED: True}
                self._optuna.enqueue_trial(dict(params), user_attrs=attributes)
            return self._optimize()
        finally:
            self._starting.close()

    def _next_trial(self, goal: int) -> FrozenTrial | None:
        """Train one trial; None when those that run elsewhere suffice for the goal.

        Only one worker at a time counts, asks the sampler and reserves; the lock is free again as soon as
        the trial has its architecture. So the goal is met exactly and nothing is proposed twice.
        """
        self._starting.enter_context(self._store.start_lock(self._study.name))
        try:
            recover_lost_trials(self._store, self._optuna, self._emit)
            counts = self._store.counts(self._study.name)
            if counts["complete"] + counts["pruned"] + counts["running"] >= goal:
                return None
            self._check_untried_left(counts)
            return self._optimize()
        finally:
            self._starting.close()

    def _check_untried_left(self, counts: Mapping[StoredState, int]) -> None:
        size = self._n_candidates
        # Listing what was tried takes longer than counting it.
        if counts["waiting"] or sum(counts.values()) < size or len(self._taken()) < size:
            return
        raise SpaceExhaustedError(f"all {size:,} architectures of space {self._space.name!r} have been tried")

    def _optimize(self) -> FrozenTrial | None:
        """Run one trial of Optuna's; None if another worker failed it meanwhile."""
        self._ledger.refresh()
        with self._store.explained():
            # The last two: another worker has taken this one for dead.
            caught = (TrialFailedError, TakenOverError, UpdateFinishedTrialError)
            return run_trial(self._optuna, self._objective, catch=caught)

    def _taken(self) -> set[str]:
        """Digests of the architectures that were tried, are in training or wait in the queue."""
        waiting = self._optuna.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        queued = set()
        for trial in waiting:
            if complaint(trial, self._space) is None:
                with suppress(ValueError):  # some parameters are left open
                    params = dict(requested(trial) or {})
                    queued.add(self._space.suggest(optuna.trial.FixedTrial(params)).digest)
        return set(self._store.tried(self._study.name)) | queued

    def _take_in(self, event: Event) -> None:
        """Pass an event on; the end of an epoch is an occasion to show its curve."""
        self._emit(event)
        if isinstance(event, EpochEnded):
            self._showcase.refresh()

    def _announce_front(self, trial: FrozenTrial) -> None:
        """Announce the front, unless the trial is beaten by the one announced last."""
        macro_auprc, parameters = trial.values
        if any(
            point.macro_auprc >= macro_auprc and point.parameters <= parameters for point in self._front.front
        ):
            return
        self._front = present_front(self._store, self._study.name)
        self._emit(self._front)


def present_front(store: Store, study: str) -> FrontChanged:
    """The front of all trials so far, for the live view."""
    return FrontChanged(
        tuple(
            FrontPoint(
                trial=trial.number,
                macro_auprc=trial.macro_auprc or 0.0,
                parameters=trial.parameters,
                description=trial.description,
            )
            for trial in front_trials(store.trials(study))
        )
    )
