"""The loop of one worker: start trials of a study until the goal is reached.

Workers of a study, in one process or many, on one machine or many, share nothing but the database.
"""

from __future__ import annotations

import itertools
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

import optuna
from optuna.trial import TrialState

import space
from scores.costs import LATENCY
from scores.front import front_trials
from search.errors import SearchError
from search.models.costs import costs_of
from search.sampler.candidates import Params
from search.sampler.requests import complaint, continued_by, requested
from search.sampler.untried import SpaceExhaustedError, UntriedSampler
from search.study.candidates import candidates_of
from search.study.earlier import earlier_of
from search.study.finished_trials import FinishedTrials
from search.study.latency import with_latency
from search.study.limits import limits_of
from search.study.recovery import recover_lost_trials
from search.study.stopping import LittleToGainError, check_left_to_gain
from search.study.trial import KEPT_WITHIN_SD, THAWED, Outcome, TrialContext, checkpoints_of, train_trial
from search.watch.dashboard_updates import DashboardUpdates
from search.watch.events import EpochEnded, Event, FrontChanged, FrontPoint, Message
from storage import CONTINUES, ConnectionLostError, StorageError, Store
from storage import TrialState as StoredState
from storage.optuna_side import run_trial

MAX_FAILURES_IN_A_ROW = 5
"""A run whose every trial fails has a problem that more trials do not solve."""
WAIT_S = 0.5
"""Pause of a worker that has nothing to train until others have ended."""
_OPTUNA_STATE = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
"""State by which Optuna marks all other trials as failed."""

Result = TypeVar("Result")


class TooManyFailuresError(SearchError):
    """Trial after trial failed."""


class Worker:
    """Worker that trains trials of a study one after another.

    Args:
        run: the study, and how its trials are proposed, trained and pruned.
    """

    def __init__(self, run: TrialContext) -> None:
        store, trainer = run.store, run.trainer
        self._run = replace(run, emit=self._take_in)
        self._emit = run.emit
        self._store = store
        self._study = run.study
        self._dashboard = DashboardUpdates(store, run.study, run.emit)
        self._starting = ExitStack()
        store.reconnection.tell = lambda text: run.emit(Message(text, of_all=True))
        self._front = FrontChanged(())
        earlier = earlier_of(store, run.study)
        self._finished = FinishedTrials(
            store,
            run.study.name,
            run.architectures,
            n_folds=trainer.n_folds,
            n_epochs=trainer.n_epochs,
            learned=[each.shape for each in earlier if each.shape is not None],
        )
        self._sampler = UntriedSampler(
            candidates_of(run.study, run.architectures, limits_of(run.study)),
            run.sampler,
            seed=run.seed,
            taken=self._taken,
            estimates=self._finished.estimates,
            durations=self._finished.durations,
            cost_aware=run.cost_aware,
            reference_score=run.study.settings.get("at_least"),
            measured=self._measured,
            fits=self._fits,
            known=lambda: set(store.tried(run.study.name).values()),
            earlier=[each.estimates(run.architectures, run.study.target) for each in earlier],
        )
        with store.explained():
            self._optuna = store.optuna_study(run.study.name, self._sampler)

    def work(self, goal: int) -> None:
        """Train until the study has `goal` finished trials, nothing or little is left, or the user stops.

        Raises:
            TooManyFailuresError: trial after trial failed.
        """
        try:
            self._work(goal)
        finally:
            if not isinstance(sys.exception(), StorageError):  # nothing more can be written then
                self._dashboard.finish()

    def _work(self, goal: int) -> None:
        n_failures = 0
        while not self._run.interrupt.requested:
            try:
                outcome = self._despite_losses(lambda: self._next_trial(goal))
            except SpaceExhaustedError as exhausted:
                self._emit(Message(f"{exhausted}: nothing is left to train"))
                return
            except LittleToGainError as little:
                self._emit(Message(str(little), of_all=True))
                return
            if outcome is None:
                counts = self._despite_losses(lambda: self._store.counts(self._study.name))
                if counts["complete"] + counts["pruned"] >= goal:
                    return
                time.sleep(WAIT_S)
                continue
            if outcome.state == "interrupted":
                continue
            self._dashboard.refresh()
            # A refused request is no evidence about the next trial.
            if outcome.state != "refused":
                n_failures = n_failures + 1 if outcome.state == "failed" else 0
            if n_failures >= MAX_FAILURES_IN_A_ROW:
                why = outcome.reason
                raise TooManyFailuresError(f"{n_failures} trials in a row failed, the last with {why}")
            self._despite_losses(partial(self._announce_front, outcome))

    def thaw(self) -> None:
        """Train to their end the pruned trials that may still improve the front, the likeliest first.

        The race predicts the score of each pruned trial again from all trials finished by now.
        """
        while not self._run.interrupt.requested:
            outcome = self._despite_losses(self._thaw_next)
            if outcome is None:
                break
            self._despite_losses(partial(self._announce_front, outcome))
        self._dashboard.finish()

    def remove_checkpoints(self) -> None:
        """Remove the checkpoints of pruned trials that the front has left behind since.

        The rule is that of a trial when it is pruned; one that waits to be continued keeps its own.
        """
        self._despite_losses(self._remove_checkpoints)

    def _remove_checkpoints(self) -> None:
        folder = checkpoints_of(self._store, self._study)
        # Under the lock nobody begins to thaw a trial between the look at it and the end of its folder.
        with self._store.start_lock(self._study.name), self._store.explained():
            self._finished.refresh()
            queued = self._optuna.get_trials(deepcopy=False, states=(TrialState.WAITING,))
            continued = set(itertools.chain.from_iterable(map(continued_by, queued)))
            for number, digest in self._finished.pruned_beyond(KEPT_WITHIN_SD):
                if number not in continued:
                    shutil.rmtree(folder / digest, ignore_errors=True)

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

    def _thaw_next(self) -> Outcome | None:
        self._starting.enter_context(self._store.start_lock(self._study.name))
        try:
            self._finished.refresh()
            chosen = self._finished.to_thaw()
            # What waits in the queue would come first; the next run trains it, and thaws then.
            if chosen is None or self._store.counts(self._study.name)["waiting"]:
                return None
            trial, params = chosen
            with self._store.explained():
                attributes = {CONTINUES: [trial.number], THAWED: True}
                self._optuna.enqueue_trial(dict(params), user_attrs=attributes)
            return self._train_one()
        finally:
            self._starting.close()

    def _next_trial(self, goal: int) -> Outcome | None:
        """Train one trial; None when trials running elsewhere suffice for the goal.

        Only one worker at a time counts trials, calls the sampler and reserves; the lock is released as soon
        as the trial has its architecture. So the goal is met exactly and nothing is proposed twice.
        """
        self._starting.enter_context(self._store.start_lock(self._study.name))
        try:
            recover_lost_trials(self._store, self._optuna, self._emit)
            counts = self._store.counts(self._study.name)
            if counts["complete"] + counts["pruned"] + counts["running"] >= goal:
                return None
            # Queued trials are trained in any case.
            if self._run.until is not None and not counts["waiting"]:
                check_left_to_gain(self._store.gains(self._study.name), self._run.until)
            self._check_untried_left(counts)
            return self._train_one()
        finally:
            self._starting.close()

    def _check_untried_left(self, counts: Mapping[StoredState, int]) -> None:
        size = self._sampler.n_candidates
        # Listing what was tried takes longer than counting it.
        if counts["waiting"] or sum(counts.values()) < size or self._sampler.has_untried(self._taken()):
            return
        raise SpaceExhaustedError(
            f"all {size:,} architectures of space {self._run.architectures.name!r} have been tried"
        )

    def _train_one(self) -> Outcome | None:
        """Run one trial of Optuna's; None if another worker took it for dead and failed it meanwhile."""
        self._finished.refresh()
        outcome: Outcome | None = None

        def objective(asked: optuna.Trial) -> tuple[TrialState, Sequence[float] | None]:
            nonlocal outcome
            outcome = train_trial(
                self._run,
                asked,
                finished=self._finished,
                advice=self._sampler,
                on_claimed=self._starting.close,
            )
            return _OPTUNA_STATE.get(outcome.state, TrialState.FAIL), outcome.values

        with self._store.explained():
            ended = run_trial(self._optuna, objective)
        return None if ended is None else outcome

    def _measured(self) -> list[tuple[Params, float]]:
        """Costs of trials that are known from measuring; the others are exact before."""
        return self._finished.costs() if self._study.cost == LATENCY else []

    def _fits(self, architecture: space.Architecture) -> bool:
        """Whether a chosen architecture is within the limits by its latency as measured, not as expected."""
        run = self._run
        if run.meter is None:
            return True
        n_outputs = run.trainer.n_outputs(architecture.label_tier)
        inputs = run.architectures.inputs
        try:
            costs, _ = with_latency(
                costs_of(architecture, n_outputs, inputs), run.meter, architecture, n_outputs, inputs
            )
        except SearchError:
            return False
        return limits_of(run.study).complaint(costs) is None

    def _taken(self) -> set[str]:
        """Digests of the architectures that were tried, are in training or wait in the queue."""
        waiting = self._optuna.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        queued = set()
        for trial in waiting:
            if complaint(trial, self._run.architectures) is None:
                with suppress(ValueError):  # some parameters are left open
                    params = dict(requested(trial) or {})
                    queued.add(self._run.architectures.suggest(optuna.trial.FixedTrial(params)).digest)
        return set(self._store.tried(self._study.name)) | queued

    def _take_in(self, event: Event) -> None:
        """Pass an event on; the end of an epoch is an occasion to show its curve."""
        self._emit(event)
        if isinstance(event, EpochEnded):
            self._dashboard.refresh()

    def _announce_front(self, outcome: Outcome) -> None:
        """Announce the front after a complete trial, unless one announced last beats the trial."""
        if outcome.values is None:
            return
        score, cost = outcome.values
        if any(point.score >= score and point.cost <= cost for point in self._front.front):
            return
        self._front = present_front(self._store, self._study.name)
        self._emit(self._front)


def present_front(store: Store, study: str) -> FrontChanged:
    """The front of all trials so far, for the live view."""
    return FrontChanged(
        tuple(
            FrontPoint(
                trial=trial.number,
                score=trial.score or 0.0,
                cost=trial.cost,
                description=trial.description,
            )
            for trial in front_trials(store.trials(study))
        )
    )
