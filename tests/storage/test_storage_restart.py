"""A server that restarts, or that cuts connections off, costs time and nothing else."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fake_study import QUEUED, make_worker, open_study, results, study_record, wide_space
from fake_trainer import FakeTrainer
from postgresql_server import Server
from recorder import Recorder
from sqlalchemy import event

import storage
from search.study.study import make_study, queue_presets
from search.watch.events import EpochEnded, Event, TrialEnded, TrialStarted
from storage.connection.reconnection import Reconnection

pytestmark = pytest.mark.needs_postgresql

GOAL = len(QUEUED)
HEARTBEATS = {"heartbeat_s": 1, "grace_s": 2}
"""A trial whose last write was lost is found by its silence."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """Rows of a study that ran undisturbed."""
    store, study = open_study(tmp_path_factory.mktemp("undisturbed") / "search.db")
    make_worker(store, study, FakeTrainer()).work(GOAL)
    store.close()
    return comparable(store)


@contextmanager
def study_on(server: Server, folder: Path, **options: Any) -> Iterator[tuple[storage.Store, Any]]:
    store = storage.open_store(server.new_database(), artifacts=folder / "artifacts", **options)
    study = make_study(store, study_record())
    queue_presets(store, study, wide_space())
    try:
        yield store, study
    finally:
        store.close()


def comparable(store: storage.Store) -> list[tuple[Any, ...]]:
    """All that is known of the finished trials by architecture.

    But for their numbers, the names of files, and the seconds of a fold, which count what was trained twice.
    """
    found = [
        (*trial[2:5], [replace(fold, predictions="", seconds=0.0) for fold in trial[5]], *trial[6:])
        for trial in results(store)
    ]
    return sorted(found, key=lambda trial: str(trial[0]))


# Restarts


def restarting(server: Server, moments: list[Callable[[Event], bool]], away_s: float = 0.3) -> Recorder:
    """Stops the server at every moment in turn and starts it a little later, while the worker goes on."""
    left = list(moments)

    def react(event: Event) -> None:
        if left and left[0](event):
            left.pop(0)
            server.stop("immediate" if len(left) % 2 else "fast")
            threading.Timer(away_s, server.start).start()

    return Recorder(react)


@pytest.mark.slow
def test_restarts_between_and_within_trials_lose_nothing(
    server: Server, tmp_path: Path, undisturbed: list[tuple[Any, ...]]
) -> None:
    def begins(event: Event) -> bool:
        return isinstance(event, TrialStarted)

    def trains(event: Event) -> bool:
        return isinstance(event, EpochEnded) and event.record.fold == 3

    def ends(event: Event) -> bool:
        return isinstance(event, TrialEnded)

    heard = restarting(server, [begins, trains, ends, trains])
    with study_on(server, tmp_path) as (store, study):
        make_worker(store, study, FakeTrainer(), emit=heard).work(GOAL)
        assert comparable(store) == undisturbed
        counts = store.counts("fake")
        assert (counts["complete"], counts["failed"], counts["interrupted"]) == (GOAL, 0, 0)
    away = [text for text in heard.messages() if "does not answer" in text]
    back = [text for text in heard.messages() if "answers again" in text]
    assert len(away) == len(back) == 4  # one message each, whatever the number of attempts
    assert all("waiting up to 300 s for it" in text for text in away)


@pytest.mark.slow
def test_after_the_limit_the_trial_is_left_to_be_continued(
    server: Server, tmp_path: Path, undisturbed: list[tuple[Any, ...]]
) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.record.fold == 2:
            server.stop()

    url = server.new_database()
    options: dict[str, Any] = {"artifacts": tmp_path / "artifacts"}
    store = storage.open_store(url, reconnect_s=0.5, **options, **HEARTBEATS)
    study = make_study(store, study_record())
    queue_presets(store, study, wide_space())
    heard = Recorder(stop)
    try:
        with pytest.raises(storage.StorageError, match=r"has not answered for 0 s .* queued again") as caught:
            make_worker(store, study, FakeTrainer(), emit=heard).work(GOAL)
    finally:
        server.start()
        store.close()
    assert "\n" not in str(caught.value)
    assert len(heard.messages()) == 1
    store = storage.open_store(url, **options, **HEARTBEATS)
    trainer = FakeTrainer()
    make_worker(store, study, trainer).work(GOAL)
    assert comparable(store) == undisturbed
    assert len(trainer.epochs_run) < 2 * 5 * GOAL  # the first fold was not trained again
    store.close()


# Connections cut off in the middle of a transaction


class CutsOff:
    """Counts the statements and commits of a store, and ends its session just before some of them."""

    def __init__(self, conninfo: str, at: set[int]) -> None:
        self.n_statements = 0
        self._conninfo = conninfo
        self._at = at
        self._lock = threading.Lock()

    def before_statement(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        self.count(connection, statement)

    def count(self, connection: Any, statement: str = "COMMIT") -> None:
        with self._lock:
            self.n_statements += 1
            is_hit = self.n_statements in self._at
        if is_hit:
            self.what = statement
            process_id = connection.connection.dbapi_connection.info.backend_pid
            with psycopg.connect(self._conninfo, autocommit=True) as killer:
                killer.execute("SELECT pg_terminate_backend(%s, 5000)", [process_id])


@contextmanager
def cutting_off(store: storage.Store, conninfo: str, at: set[int]) -> Iterator[CutsOff]:
    cut = CutsOff(conninfo, at)
    listeners = [("before_cursor_execute", cut.before_statement), ("commit", cut.count)]
    # Private: connections are cut at the engine.
    engines = (store._engine, store.optuna_storage.engine)
    for engine in engines:
        for name, listener in listeners:
            event.listen(engine, name, listener)
    yield cut
    for engine in engines:
        for name, listener in listeners:
            event.remove(engine, name, listener)


@pytest.mark.slow
@pytest.mark.parametrize("at", [range(60, 2200, 251), range(170, 2200, 233)], ids=["even", "odd"])
def test_sessions_that_are_cut_off_lose_nothing(
    server: Server, tmp_path: Path, undisturbed: list[tuple[Any, ...]], at: range
) -> None:
    """Some 2,300 statements and commits; heartbeats come when they come, so no two runs cut off the same."""
    with study_on(server, tmp_path, **HEARTBEATS) as (store, study):
        worker = make_worker(store, study, FakeTrainer())
        with cutting_off(store, server.conninfo, set(at)) as cut:
            worker.work(GOAL)
        assert cut.n_statements > max(at)
        assert comparable(store) == undisturbed
        counts = store.counts("fake")
        assert (counts["complete"], counts["failed"], counts["running"]) == (GOAL, 0, 0)


# Waiting


class FakeServer:
    """A dialect whose connections fail so many times."""

    def __init__(self, n_failures: int) -> None:
        self.n_left = n_failures
        self.n_asked = 0
        self.loaded_dbapi = psycopg

    def connect(self, *arguments: Any, **options: Any) -> str:
        self.n_asked += 1
        if self.n_left:
            self.n_left -= 1
            raise psycopg.OperationalError("connection failed\n  connection refused\n")
        return "connected"


def reconnection(limit_s: float = 300.0) -> tuple[Reconnection, list[str]]:
    """One whose clock is moved by its own pauses, and what it tells."""
    now_s = [0.0]

    def pause(seconds: float) -> None:
        now_s[0] += seconds

    made, told = Reconnection("the database", limit_s, clock=lambda: now_s[0], pause=pause), []
    made.is_awake = True
    made.tell = told.append
    return made, told


def connect(waiting: Reconnection, to: FakeServer) -> Any:
    # Private: what SQLAlchemy calls for a connection.
    return waiting._connect(to, None, [], {})  # type: ignore[arg-type]


def test_waiting_is_told_once() -> None:
    waiting, told = reconnection()
    assert connect(waiting, FakeServer(20)) == "connected"
    assert told == [
        "the database does not answer (connection refused): waiting up to 300 s for it",
        "the database answers again",
    ]
    assert connect(waiting, FakeServer(0)) == "connected"
    assert len(told) == 2


def test_waiting_has_an_end() -> None:
    waiting, told = reconnection(limit_s=60)
    down = FakeServer(10**6)
    with pytest.raises(
        storage.StorageError, match=r"^the database has not answered for 60 s \(connection ref"
    ):
        connect(waiting, down)
    assert 10 < down.n_asked < 30
    n_asked = down.n_asked
    with pytest.raises(storage.StorageError):
        connect(waiting, down)  # whoever comes later does not wait once more
    assert down.n_asked == n_asked + 1
    assert len(told) == 1
    assert connect(waiting, FakeServer(0)) == "connected"
    assert connect(waiting, FakeServer(5)) == "connected"


def test_database_that_never_answered_is_not_waited_for() -> None:
    waiting, told = reconnection()
    waiting.is_awake = False
    with pytest.raises(psycopg.OperationalError):
        connect(waiting, FakeServer(1))
    assert told == []


def test_wrong_address_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(storage.StorageError, match="No such file or directory"):
        storage.open_store(f"postgresql://ecg@/none?host={tmp_path}")
