"""A thousand workers on one server: the real loop of a worker, a trainer that sleeps instead of training.

Every worker is a thread with connections, an Optuna study and a heartbeat of its own; a process holds some
hundred of them. The load on the server and their mutual waiting are measured. What a real worker does
besides, training, takes no part of either.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from optuna.exceptions import ExperimentalWarning
from sqlalchemy import create_engine, text

import storage
from benchmarks.helpers.fakes import FakeTrainer, like_ptbxl, wide_space
from search.study.provenance import this_worker
from search.study.study import quiet_optuna
from search.study.trial import TrialContext
from search.study.worker import Worker
from search.watch.events import Event, TrialStarted
from search.workers.interrupt import Interrupt
from storage.connection.engine import parse_url

_PER_PROCESS = 125
STEADY_S = 20.0
"""Measured after the last worker has begun."""
RECONNECT_S = 900.0
"""Seconds to wait for the last worker to begin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Crowd:
    """Load that many workers put on the server."""

    n_workers: int
    n_begun: int
    """Workers that had a trial in time."""
    begun_s: float
    """Seconds from the first start of a trial to the last."""
    n_connections: int
    """Most at once."""
    n_waiting: int
    """Median number of workers that waited to choose, while not all had begun."""
    epochs_per_s: float
    """Epochs kept per second while all were training."""
    transactions_per_s: float
    epoch_s: tuple[float, float]
    """Time to keep an epoch while all were training: median and 99th percentile."""
    errors: Counter[str]
    """Errors that ended workers, with their counts."""


def measure_crowd(url: str, artifacts: Path, n_workers: int, epoch_s: float) -> Crowd:
    """Let so many workers begin at once on a study in an empty database.

    Args:
        url: of the database, with a study `fake`.
        artifacts: folder.
        n_workers: how many.
        epoch_s: seconds of an epoch.
    """
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for first in range(0, n_workers, _PER_PROCESS):
        receiver, sender = context.Pipe(duplex=False)
        numbers = range(first + 1, min(first + _PER_PROCESS, n_workers) + 1)
        process = context.Process(
            target=_be_many, args=(url, artifacts, numbers, epoch_s, sender), daemon=True
        )
        process.start()
        pipes.append(receiver)
        processes.append(process)
    try:
        return _watch(url, n_workers, pipes)
    finally:
        for process in processes:
            process.kill()
            process.join()


def _watch(url: str, n_workers: int, pipes: list[Connection]) -> Crowd:
    engine = create_engine(parse_url(url), isolation_level="AUTOCOMMIT")
    begun: list[float] = []
    kept: list[tuple[float, float]] = []
    errors: Counter[str] = Counter()
    n_connections = 0
    waiting: list[int] = []
    steady_from_s, transactions_before = 0.0, 0
    began_s = time.time()
    with engine.connect() as connection:
        while True:
            for pipe in multiprocessing.connection.wait(pipes, timeout=1.0):
                assert isinstance(pipe, Connection)
                news: _News = pipe.recv()
                begun += news.begun
                kept += news.kept
                errors.update(news.errors)
            connected, choosing = connection.execute(text(_ACTIVITY)).one()
            n_connections = max(n_connections, connected)
            now_s = time.time()
            if not steady_from_s:
                waiting.append(choosing)
                if len(begun) >= n_workers or now_s - began_s > RECONNECT_S:
                    steady_from_s = now_s
                    transactions_before = connection.execute(text(_TRANSACTIONS)).scalar_one()
            elif now_s - steady_from_s > STEADY_S:
                break
        n_transactions = connection.execute(text(_TRANSACTIONS)).scalar_one() - transactions_before
    engine.dispose()
    steady = [duration_s for at_s, duration_s in kept if at_s >= steady_from_s] or [float("nan")]
    first = begun[:n_workers]
    return Crowd(
        n_workers=n_workers,
        n_begun=len(first),
        begun_s=max(first, default=began_s) - min(first, default=began_s),
        n_connections=n_connections,
        n_waiting=round(median(waiting)),
        epochs_per_s=len(steady) / (now_s - steady_from_s),
        transactions_per_s=n_transactions / (now_s - steady_from_s),
        epoch_s=(median(steady), float(np.quantile(steady, 0.99))),
        errors=errors,
    )


_ACTIVITY = """
SELECT count(*), count(*) FILTER (WHERE wait_event_type = 'Lock' AND wait_event = 'advisory')
FROM pg_stat_activity WHERE datname = current_database()
"""
_TRANSACTIONS = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"


def _be_many(url: str, artifacts: Path, numbers: range, epoch_s: float, pipe: Connection) -> None:
    """Body of a process: many workers, and a report once a second."""
    quiet_optuna()
    like_ptbxl()
    warnings.simplefilter("ignore", ExperimentalWarning)  # what a worker does for itself holds for one thread
    events = _Events()
    for number in numbers:
        threading.Thread(target=_be_one, args=(url, artifacts, number, epoch_s, events), daemon=True).start()
    while True:
        time.sleep(1.0)
        pipe.send(events.take())


@dataclass(kw_only=True, slots=True)
class _News:
    """Progress of the workers of a process since the last request."""

    begun: list[float] = field(default_factory=list)
    kept: list[tuple[float, float]] = field(default_factory=list)
    """Time at which an epoch was kept, and seconds that it took."""
    errors: list[str] = field(default_factory=list)


class _Events:
    """News of all threads of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._news = _News()

    def take(self) -> _News:
        with self._lock:
            taken, self._news = self._news, _News()
        return taken

    def begun(self) -> None:
        with self._lock:
            self._news.begun.append(time.time())

    def kept(self, duration_s: float) -> None:
        with self._lock:
            self._news.kept.append((time.time(), duration_s))

    def ended(self, error: Exception) -> None:
        with self._lock:
            self._news.errors.append(f"{type(error).__name__}: {error}")


def _timed(keep: Callable[..., None], events: _Events) -> Callable[..., None]:
    def keep_and_tell(*arguments: Any) -> None:
        began_s = time.perf_counter()
        keep(*arguments)
        events.kept(time.perf_counter() - began_s)

    return keep_and_tell


def _be_one(url: str, artifacts: Path, number: int, epoch_s: float, events: _Events) -> None:
    random = np.random.default_rng(number)

    def emit(event: Event) -> None:
        if isinstance(event, TrialStarted):
            events.begun()

    try:
        store = storage.open_store(url, artifacts=artifacts)
        store.add_epoch = _timed(store.add_epoch, events)  # type: ignore[method-assign]
        worker = Worker(
            TrialContext(
                store=store,
                study=store.study("fake"),
                architectures=wide_space(),
                trainer=FakeTrainer(n_epochs=30, wait=lambda: time.sleep(epoch_s * random.uniform(0.8, 1.2))),
                sampler="random",
                seed=number,
                alpha=None,
                cost_aware=False,
                emit=emit,
                interrupt=Interrupt(),
                worker=number,
                worker_row=store.add_worker("fake", this_worker("cpu")),
            )
        )
        worker.work(10**6)
    except Exception as error:
        events.ended(error)
