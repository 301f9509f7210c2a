"""The loop of one worker: start trials of a study until the goal is reached.

Workers of a study, in one process or many, on one machine or many, share nothing but the database.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

import space
from reports.front import front_trials
from search.errors import SearchError
from search.events import Event, FrontChanged, FrontPoint, Message
from search.interrupt import Interrupt
from search.objective import Objective, TrialFailedError, TrialInterruptedError
from search.provenance import has_died
from search.sampler import SpaceExhaustedError, UntriedSampler
from search.training.interface import Trainer
from storage import FailureRecord, Store, StudyRecord, TakenOverError

MAX_FAILURES_IN_A_ROW = 5
"""A run whose every trial fails has a problem that more trials do not solve."""
_WAIT_S = 0.5


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
        prune: whether the race may stop trials.
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
        prune: bool,
        emit: Callable[[Event], None],
        interrupt: Interrupt,
        number: int,
        row: int,
    ) -> None:
        self._store = store
        self._study = study
        self._space = architectures
        self._emit = emit
        self._interrupt = interrupt
        self._starting = ExitStack()
        self._objective = Objective(
            store=store,
            study=study,
            architectures=architectures,
            trainer=trainer,
            prune=prune,
            emit=emit,
            worker=number,
            worker_row=row,
            interrupt=interrupt,
            on_claimed=self._starting.close,
        )
        with store.explained():
            self._optuna = optuna.load_study(
                study_name=study.name,
                storage=store.optuna_storage,
                sampler=UntriedSampler(architectures, sampler, seed=seed, taken=self._taken),
            )

    def work(self, goal: int) -> None:
        """Train until the study has `goal` finished trials, the space is exhausted or the user stops.

        Raises:
            TooManyFailuresError: trial after trial failed.
        """
        n_failures = 0
        while not self._interrupt.requested:
            counts = self._store.counts(self._study.name)
            if counts["complete"] + counts["pruned"] >= goal:
                return
            try:
                outcome = self._next_trial(goal)
            except SpaceExhaustedError as exhausted:
                self._emit(Message(f"{exhausted}: nothing is left to train"))
                return
            except TrialInterruptedError:
                return
            if outcome is None:
                self._queue_dead_again()
                time.sleep(_WAIT_S)
                continue
            n_failures = n_failures + 1 if outcome is TrialState.FAIL else 0
            if n_failures >= MAX_FAILURES_IN_A_ROW:
                raise TooManyFailuresError(
                    f"{n_failures} trials in a row failed: see the reasons with `python -m search status`"
                )
            if outcome is TrialState.COMPLETE:
                self._announce_front()

    def queue_killed_trials(self) -> None:
        """Fail and queue again the running trials whose process on this host is gone.

        Optuna's heartbeat finds them too, but only after its grace time; on one host nobody needs to wait.
        """
        retry = self._store.optuna_storage.get_heartbeat_stale_trial_callback()
        for row, number, worker in self._store.running_workers(self._study.name):
            if not has_died(worker):
                continue
            with self._store.explained():
                try:
                    frozen = self._optuna.tell(number, state=TrialState.FAIL)
                except ValueError:
                    continue  # another worker was faster
                if retry is not None:
                    retry(self._optuna, frozen)
            message = f"process {worker.process_id} is gone"
            self._store.add_failure(row, FailureRecord(kind="killed", message=message))
            self._emit(Message(f"trial {number} was killed and is queued again"))

    def _next_trial(self, goal: int) -> TrialState | None:
        """Train one trial; None when the trials that run elsewhere suffice for the goal.

        Only one worker at a time counts, asks the sampler and reserves; the lock is free again as soon as
        the trial has its architecture. So the goal is met exactly and nothing is proposed twice.
        """
        self._starting.enter_context(self._store.start_lock(self._study.name))
        try:
            counts = self._store.counts(self._study.name)
            if counts["complete"] + counts["pruned"] + counts["running"] >= goal:
                return None
            if not counts["waiting"] and len(self._taken()) >= len(self._space):
                raise SpaceExhaustedError(
                    f"all {len(self._space):,} architectures of space {self._space.name!r} have been tried"
                )
            states: list[TrialState] = []
            with self._store.explained(), warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats
                try:
                    self._optuna.optimize(
                        self._objective,
                        n_trials=1,
                        catch=(TrialFailedError, TakenOverError),
                        callbacks=[lambda study, trial: states.append(trial.state)],
                    )
                except ValueError:
                    # Optuna cannot tell the end of a trial that another worker has taken for dead and queued
                    # again; any other ValueError is a mistake of ours.
                    if not self._objective.taken_over:
                        raise
            return states[0] if states else TrialState.FAIL
        finally:
            self._starting.close()

    def _taken(self) -> set[str]:
        """Digests of the architectures that were tried, are in training or wait in the queue."""
        waiting = self._optuna.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        queued = set()
        for trial in waiting:
            params = trial.params or trial.system_attrs.get("fixed_params", {})
            with suppress(KeyError, ValueError):
                queued.add(self._space.suggest(optuna.trial.FixedTrial(params)).digest)
        return set(self._store.tried(self._study.name)) | queued

    def _queue_dead_again(self) -> None:
        """Queue trials again whose worker is gone: at once on this host, by the heartbeat elsewhere."""
        self.queue_killed_trials()
        with self._store.explained(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna.storages.fail_stale_trials(self._optuna)

    def _announce_front(self) -> None:
        front = front_trials(self._store.trials(self._study.name))
        self._emit(
            FrontChanged(
                tuple(
                    FrontPoint(
                        trial=trial.number,
                        macro_auprc=trial.macro_auprc or 0.0,
                        parameters=trial.parameters,
                        description=trial.description,
                    )
                    for trial in front
                )
            )
        )
