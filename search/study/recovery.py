"""Trials and repeats whose worker is lost: found, queued again, or given up with a reason.

Optuna's heartbeat finds a trial whose worker stopped sending, and its callback queues the trial again, a
limited number of times. Three cases remain. Within one process namespace of one host a dead process is
recognised at once, without the grace time. A process that died before its trial had an architecture held the
start lock, and is known to be dead once another worker gets the lock. And a process may be killed, or the
disk be full, between failing a trial and queuing it again: a trial that failed and is not continued is queued
now.

Repeats, the further trainings of `confirm`, are no trials of Optuna and have a heartbeat of their own; one of
a lost worker is free for others, as often as a trial is queued again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from search.sampler.requests import continued_by
from search.study.provenance import has_died
from search.watch.events import Event, Message
from storage import FailureRecord, RunningRepeatRecord, Store, UnfinishedRecord, WorkerRecord
from storage.optuna_side import MAX_RETRIES, fail_stale_trials, fixed_params, retry_history


def queue_killed_trials(store: Store, study: str, emit: Callable[[Event], None]) -> None:
    """Queue again what those that died have left in a study, before its trials are counted.

    Raises:
        storage.StorageError: the database cannot be read or written.
    """
    with store.start_lock(study), store.explained():
        recover_lost_trials(store, store.optuna_study(study), emit)


def recover_lost_trials(store: Store, study: optuna.Study, emit: Callable[[Event], None]) -> None:
    """Queue again what was lost, or give it up. Call with the start lock of the study.

    Args:
        store: where the study is kept.
        study: Optuna's view of it.
        emit: takes a message for every trial that is queued again or given up.

    Raises:
        storage.StorageError: the database cannot be read or written; the next call goes on from there.
    """
    with store.explained():
        for record in store.unfinished(study.study_name):
            # A worker that starts a trial holds the lock until the trial has its architecture.
            if record.is_running and (record.id is None or has_died(record.worker)):
                trial = study.get_trials()[record.number]
                if record.id is None:
                    _requeue_request(store, study, trial)
                with suppress(ValueError, UpdateFinishedTrialError):  # just failed by its heartbeat
                    study.tell(trial.number, state=TrialState.FAIL)
        fail_stale_trials(study)
        for record in store.unfinished(study.study_name):
            if record.id is not None and not record.is_running:
                _continue(store, study, record, record.id, emit)


def recover_lost_repeats(
    store: Store, study: str, emit: Callable[[Event], None]
) -> list[RunningRepeatRecord]:
    """Leave the repeats of lost workers to others, or give them up; call with the start lock of the study.

    Args:
        store: where the study is kept.
        study: its name.
        emit: takes a message for every repeat that was lost.

    Returns:
        The repeats that are in training.

    Raises:
        storage.StorageError: the database cannot be read or written; the next call goes on from there.
    """
    in_training = []
    for repeat in store.running_repeats(study):
        if not has_died(repeat.worker) and repeat.silent_s <= store.grace_s:
            in_training.append(repeat)
            continue
        reason = _reason(store, repeat.worker)
        said = f"trial {repeat.trial} with seed {repeat.seed} was killed"
        n_lost = store.add_repeat_loss(repeat.id)
        if n_lost > MAX_RETRIES:
            failure = f"given up after {n_lost} attempts: {reason}"
            store.add_repeat_failure(repeat.id, failure)
            emit(Message(f"{said} and is {failure}"))
        else:
            emit(Message(f"{said} ({reason}) and is continued"))
    return in_training


def _requeue_request(store: Store, study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue a lost trial without an architecture again, if it was queued by a user or another program.

    Done before the trial is failed: if this process is killed in between, the request is queued twice rather
    than lost, and the second finds its architecture taken. A trial of the sampler needs no second request.
    """
    if fixed_params(trial) is not None or retry_history(trial) is not None:
        _retry(store, study, trial)


def _continue(
    store: Store, study: optuna.Study, lost: UnfinishedRecord, row: int, emit: Callable[[Event], None]
) -> None:
    """Queue a lost trial again, or record why it failed."""
    is_queued = _is_queued(study, lost.number)
    if is_queued and lost.is_explained:
        return
    if not is_queued:
        _retry(store, study, study.get_trials(deepcopy=False)[lost.number])
        is_queued = _is_queued(study, lost.number)
    reason = _reason(store, lost.worker)
    if is_queued:
        failure = FailureRecord(kind="killed", message=reason)
        said = f"was killed ({reason}) and is queued again"
    else:
        n_attempts = 1 + len(store.previous_attempts(study.study_name, lost.number))
        failure = FailureRecord(kind="error", message=f"given up after {n_attempts} attempts: {reason}")
        said = f"was killed and is {failure.message}"
    store.add_failure(row, failure)
    emit(Message(f"trial {lost.number} {said}"))


def _retry(store: Store, study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue a trial again, unless that was done too often."""
    retry = store.optuna_storage.get_heartbeat_stale_trial_callback()
    if retry is not None:
        retry(study, copy.deepcopy(trial))  # it modifies its argument


def _is_queued(study: optuna.Study, number: int) -> bool:
    """Whether a trial waits that continues this one."""
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    return any(number in (retry_history(trial) or []) or number in continued_by(trial) for trial in waiting)


def _reason(store: Store, worker: WorkerRecord | None) -> str:
    if worker is not None and has_died(worker):
        return f"process {worker.process_id} on {worker.host} is gone"
    where = "" if worker is None else f" from process {worker.process_id} on {worker.host}"
    return f"no sign of life{where} for {store.grace_s} s"
