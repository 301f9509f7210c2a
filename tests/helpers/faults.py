"""Faults of a worker's process: an action, the moment at which it strikes, and how a process is armed.

A fault is armed before its worker begins and strikes at a moment of its own: when so many epochs have begun,
checkpoints been half written, statements sent, transactions committed. So a seed names a fault to the step.
"""

from __future__ import annotations

import functools
import os
import signal
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import optuna
import torch

import search.study.trial
import storage
import storage.connection.engine
from search.errors import TrainingError
from search.study.trial import Run

Moment = Literal["read", "epoch", "checkpoint", "statement", "commit", "artifact", "never"]
Action = Literal["kill", "stop", "error", "nan", "memory", "full", "lock"]
HEARTBEAT_S, GRACE_S = 1, 2
"""Heartbeat and grace of the workers here; a heartbeat is kept to the second."""
BUSY_S = 1.5
"""How long a writer waits for the database here, instead of a minute."""
LOCKED_S = 2.5
"""How long another program holds it: longer than a writer waits."""
_FULL = "database or disk is full"  # SQLite's own words
_CHANGES = ("INSERT", "UPDATE", "DELETE", "CREATE")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault of a worker: the action when the moment comes for the `after`-th time."""

    action: Action = "kill"
    moment: Moment = "never"
    after: int = 1
    elsewhere: bool = False
    """Whether the worker seems to be of another host, where only the heartbeat tells that it died."""
    doomed: str = ""
    """Digest of an architecture; the moment comes only while it trains. Empty for any."""


class Chaos:
    """The faults of this process, and the log of the epochs it begins."""

    def __init__(self, fault: Fault, folder: Path) -> None:
        self.fault = fault
        self.folder = folder
        self.disk_is_full = False
        self._count = 0
        self._lock = threading.Lock()

    def comes(self, moment: Moment, digest: str = "") -> bool:
        """Count a moment; whether the fault strikes now."""
        if moment != self.fault.moment or self.fault.doomed not in ("", digest):
            return False
        with self._lock:
            self._count += 1
            return self._count == self.fault.after

    def strike(self, moment: Moment, digest: str = "") -> None:
        """Do what is to happen at this moment; faults of a fold raise."""
        if self.comes(moment, digest):
            self._act()

    def _act(self) -> None:
        match self.fault.action:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "stop":
                if threading.current_thread() is not threading.main_thread():
                    time.sleep(0.3)  # meanwhile the other thread has written what it had to write
                os.kill(os.getpid(), signal.SIGSTOP)
            case "full":
                self.disk_is_full = True
            case "lock":
                threading.Thread(target=hold_the_database, args=(self.folder / "search.db",)).start()
            case "error":
                raise RuntimeError("no such kernel")
            case "nan":
                raise TrainingError("diverged", "training loss is nan")
            case "memory":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nSee also")

    def check_disk(self) -> None:
        if self.disk_is_full:
            raise OSError(28, "No space left on device")

    def note(self, log: str, *words: object) -> None:
        """One line in one write, so that lines of several processes do not mix."""
        with (self.folder / log).open("a", buffering=1) as file:
            file.write(f"{os.getpid()} {' '.join(map(str, words))}\n")


def hold_the_database(file: Path) -> None:
    """Hold a write lock like another program that writes for too long."""
    with closing(sqlite3.connect(file, timeout=10)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(LOCKED_S)


def arm(fault: Fault, folder: Path) -> Chaos:
    """Let the fault happen to this process, which is spoilt for anything else afterwards."""
    chaos = Chaos(fault, folder)
    storage.open_store.__kwdefaults__.update(heartbeat_s=HEARTBEAT_S, grace_s=GRACE_S)
    storage.connection.engine.BUSY_TIMEOUT_S = BUSY_S  # type: ignore[assignment]
    _arm_database(chaos)
    _arm_files(chaos)
    _arm_clock(folder)
    begin = search.study.trial.begin

    def note_begin(run: Run, asked: optuna.Trial, **others: Any) -> Any:
        begun = begin(run, asked, **others)
        chaos.note("started.log", asked.number)
        return begun

    search.study.trial.begin = note_begin
    return chaos


def _arm_database(chaos: Chaos) -> None:
    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            chaos.strike("statement")
            if chaos.disk_is_full and sql.lstrip().upper().startswith(_CHANGES):
                raise sqlite3.OperationalError(_FULL)
            return super().execute(sql, *parameters)

        def executemany(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            chaos.strike("statement")
            if chaos.disk_is_full:
                raise sqlite3.OperationalError(_FULL)
            return super().executemany(sql, *parameters)

    class Connection(sqlite3.Connection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.create_function("current_timestamp", 0, lambda: f"{_now(chaos.folder):%Y-%m-%d %H:%M:%S}")

        def cursor(self, *arguments: Any) -> Any:
            return super().cursor(Cursor)

        def commit(self) -> None:
            chaos.strike("commit")
            super().commit()
            chaos.strike("commit")

    sqlite3.dbapi2.connect = functools.partial(sqlite3.dbapi2.connect, factory=Connection)


def _arm_files(chaos: Chaos) -> None:
    write, rename = Path.write_bytes, Path.replace

    def write_bytes(path: Path, content: Any) -> int:
        chaos.check_disk()
        return write(path, content)

    def move(path: Path, target: Path) -> Path:
        if path.suffix == ".partial":
            chaos.check_disk()
            chaos.strike("checkpoint")
        return rename(path, target)

    def copy(source: Any, target: Any) -> None:
        content = source.read()
        target.write(content[: len(content) // 2])
        target.flush()
        chaos.strike("artifact")
        chaos.check_disk()
        target.write(content[len(content) // 2 :])

    Path.write_bytes, Path.replace = write_bytes, move  # type: ignore[assignment,method-assign]
    # Private: a fault in the middle of a file that Optuna copies.
    optuna.artifacts._filesystem.shutil = SimpleNamespace(copyfileobj=copy)  # type: ignore[attr-defined]


def _now(folder: Path) -> datetime:
    """Time of the machine's clock, which `set_clock` moves for every process of a folder."""
    try:
        seconds = float((folder / "clock").read_text() or 0)
    except OSError:
        seconds = 0.0
    return datetime.now(UTC) + timedelta(seconds=seconds)


def set_clock(folder: Path, seconds: float) -> None:
    """Let the clock jump to so much before or after the right time."""
    (folder / "clock").write_text(str(seconds))


def _arm_clock(folder: Path) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return _now(folder).astimezone(tz).replace(tzinfo=tz)

    # Private: the clock by which Optuna says when a trial began.
    optuna.storages._rdb.storage.datetime = Clock  # type: ignore[attr-defined]
    storage.open_store.__kwdefaults__["clock"] = lambda: _now(folder)
