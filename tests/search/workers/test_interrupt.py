"""Ctrl-C once and twice, on a process of its own."""

import os
import signal
import threading
import time
from pathlib import Path

import optuna
import pytest
from fake_study import QUEUED, make_worker, n_finished, open_study, results
from fake_trainer import TARGET, FakeTrainer
from killed_workers import queue_killed_trials
from recorder import Recorder
from worker_program import Program

import space
from search.watch.events import EpochEnded, Event, TrialEnded
from search.workers.interrupt import EXIT_STATUS, Interrupt

pytestmark = pytest.mark.usefixtures("no_optuna_log")

N_EPOCHS = 4
CNN = space.preset("cnn", TARGET).digest


def undisturbed_cnn(folder: Path) -> list[tuple[object, ...]]:
    store, study = open_study(folder / "undisturbed.db")
    make_worker(store, study, FakeTrainer(n_epochs=N_EPOCHS)).work(1)
    return without_number(results(store)[0])


def without_number(trial: tuple[object, ...]) -> list[tuple[object, ...]]:
    """State, architecture, objective and curve; a continued trial has another number."""
    _, state, digest, score, epochs, *_ = trial
    return [(state, digest, score, epochs)]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_once_finishes_the_epoch_and_continues_later(tmp_path: Path, number: signal.Signals) -> None:
    database = tmp_path / "search.db"
    program = Program(database, "--goal", "3", "--delay", "0.2", "--epochs", str(N_EPOCHS))
    program.wait_for(event="EpochEnded", trial=0, fold=2, epoch=1)
    program.process.send_signal(number)
    program.wait_for(event="Message", text="finishing the epoch")
    assert program.wait_for(event="TrialEnded")["state"] == "interrupted"
    assert program.end() == (EXIT_STATUS, "")

    store, study = open_study(database)
    counts = store.counts("fake")
    assert (counts["running"], counts["interrupted"], counts["waiting"]) == (0, 1, len(QUEUED))
    (stopped,) = store.trials("fake")
    assert stopped.state == "interrupted"
    assert stopped.failure is not None
    assert (stopped.failure.kind, stopped.failure.message) == ("interrupted", "stopped by the user")
    left = sorted(path.name for path in (tmp_path / "checkpoints").rglob("*.*"))
    assert left == ["fold2.safetensors", "model1.safetensors"]

    _drop_other_presets(store)
    trainer = FakeTrainer(n_epochs=N_EPOCHS)
    make_worker(store, study, trainer).work(1)
    first = next(trial for trial in results(store) if trial[2] == CNN)
    assert without_number(first) == undisturbed_cnn(tmp_path)
    again = [(fold, epoch) for digest, fold, epoch in trainer.epochs_run if digest == CNN]
    assert again[0][0] == 2
    assert again[0][1] > 1  # from its checkpoint
    assert again[-1] == (5, N_EPOCHS)
    assert store.counts("fake")["interrupted"] == 0
    assert not list((tmp_path / "checkpoints").rglob("*.safetensors"))


@pytest.mark.slow
def test_twice_leaves_at_once_and_loses_nothing(tmp_path: Path) -> None:
    database = tmp_path / "search.db"
    store, study = open_study(database)
    make_worker(store, study, FakeTrainer()).work(1)
    before = results(store)
    program = Program(database, "--goal", "3", "--delay", "60")
    program.wait_for(event="TrialStarted")
    program.process.send_signal(signal.SIGINT)
    program.wait_for(event="Message", text="finishing the epoch")
    since = time.monotonic()
    program.process.send_signal(signal.SIGINT)
    assert program.end() == (EXIT_STATUS, "")
    assert time.monotonic() - since < 10  # of an epoch of a minute

    assert results(store) == before
    assert store.counts("fake")["running"] == 1
    worker = make_worker(store, study, FakeTrainer(n_folds=1))
    queue_killed_trials(store, study)
    worker.work(len(QUEUED))
    assert results(store)[:1] == before
    assert n_finished(store) == len(QUEUED)


@pytest.mark.slow
@pytest.mark.parametrize("n_parallel", [1, 2])
def test_interrupted_at_any_epoch_the_result_is_the_same(tmp_path: Path, n_parallel: int) -> None:
    """Stopped after every single epoch, over and over; nothing is trained twice."""
    store, study = open_study(tmp_path / "search.db")
    trainer = FakeTrainer(n_epochs=N_EPOCHS, n_parallel=n_parallel, wait=lambda: time.sleep(0.002))
    for _ in range(200):
        interrupt = Interrupt()
        stop = Recorder(lambda event, interrupt=interrupt: _request(event, interrupt))
        make_worker(store, study, trainer, interrupt=interrupt, emit=stop).work(1)
        if n_finished(store):
            break
        # The queue is first in, first out; let it come to the same trial again.
        _drop_other_presets(store)
    trial = results(store)[0]
    assert without_number(trial) == undisturbed_cnn(tmp_path)
    assert len(trainer.epochs_run) == len(set(trainer.epochs_run)) == 5 * N_EPOCHS


def _request(event: Event, interrupt: Interrupt) -> None:
    if isinstance(event, EpochEnded):
        interrupt.request()


def _drop_other_presets(store: object) -> None:
    study = store.optuna_study("fake")  # type: ignore[attr-defined]
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,)):
        if "continues" not in trial.user_attrs:
            # Private: nothing public ends a trial that waits.
            study._storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.FAIL)


@pytest.mark.slow
def test_a_request_while_all_folds_are_finished_completes_the_trial(tmp_path: Path) -> None:
    store, study = open_study(tmp_path / "search.db")
    interrupt = Interrupt()

    def on_the_last(event: Event) -> None:
        if isinstance(event, EpochEnded) and (event.record.fold, event.record.epoch) == (5, 2):
            interrupt.request()

    heard = Recorder(on_the_last)
    make_worker(store, study, FakeTrainer(), interrupt=interrupt, emit=heard).work(5)
    assert n_finished(store) == 1
    assert [event.state for event in heard.events if isinstance(event, TrialEnded)] == ["complete"]


@pytest.mark.slow
def test_a_request_before_the_first_trial_starts_none(tmp_path: Path) -> None:
    store, study = open_study(tmp_path / "search.db")
    interrupt = Interrupt()
    interrupt.request()
    make_worker(store, study, FakeTrainer(), interrupt=interrupt).work(5)
    assert store.trials("fake") == []


def test_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    told: list[str] = []
    interrupt = Interrupt()
    with interrupt.listening(lambda: told.append("told")):
        assert not interrupt.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.requested
    assert told == ["told"]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_request_may_come_from_any_thread() -> None:
    interrupt = Interrupt()
    thread = threading.Thread(target=interrupt.request)
    thread.start()
    thread.join()
    assert interrupt.requested


def test_when_the_time_is_over_a_stop_is_asked_for_and_told() -> None:
    interrupt, told = Interrupt(), threading.Event()
    with interrupt.after(0.0, told.set):
        assert told.wait(10.0)
    assert (interrupt.requested, interrupt.time_is_over) == (True, True)


def test_a_stop_by_the_user_comes_before_the_time() -> None:
    interrupt, told = Interrupt(), threading.Event()
    interrupt.request()
    with interrupt.after(0.0, told.set):
        assert not told.wait(0.2)
    assert (interrupt.requested, interrupt.time_is_over) == (True, False)


@pytest.mark.parametrize("seconds", [None, 3600.0])
def test_a_run_that_ends_before_its_time_is_not_stopped(seconds: float | None) -> None:
    interrupt = Interrupt()
    with interrupt.after(seconds, lambda: None):
        pass
    assert (interrupt.requested, interrupt.time_is_over) == (False, False)
    assert not any(
        isinstance(thread, threading.Timer) and not thread.finished.is_set()
        for thread in threading.enumerate()
    )
