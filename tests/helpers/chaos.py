"""Workers that something happens to, each a process of its own, and what must hold whatever happened.

A fault is armed before its worker begins and strikes at a moment of its own: when so many epochs have begun,
checkpoints been half written, statements sent, transactions committed. So a seed names a fault to the step.
"""

from __future__ import annotations

import functools
import hashlib
import multiprocessing
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import optuna
import pytest
import torch
from fake_trainer import TINY_AXES, FakeTrainer, make_worker, open_study, queue_killed_trials

import search.study.run
import search.study.trial
import space
import storage
import storage.connection.engine
from reports.document import report_document
from reports.evidence import gather
from reports.schema import Report
from search.commands.main import main
from search.errors import SearchError, TrainingError
from search.study.provenance import this_worker
from search.study.study import quiet_optuna
from search.study.trial import Run
from search.training.fold import FoldTraining
from search.training.trainer import CrossValidation

Moment = Literal["read", "epoch", "checkpoint", "statement", "commit", "artifact", "never"]
Action = Literal["kill", "stop", "error", "nan", "memory", "full", "lock"]

HEARTBEAT_S, GRACE_S = 1, 2
"""Of the workers here; a heartbeat is kept to the second."""
PAUSE_S = 6.0
"""How long a stopped process stays so: beyond heartbeat and grace."""
BUSY_S = 1.5
"""How long a writer waits for the database here, instead of a minute."""
LOCKED_S = 2.5
"""How long another program holds it: longer than a writer waits."""
N_FOLDS, N_EPOCHS = 2, 6
"""Of the fake trainer."""
N_REAL_EPOCHS = 3
"""Of true training."""
GAP = 1
"""Epochs from one rung to the next: as few epochs as here have one after each."""
REAL_AXES = {**TINY_AXES, "width": (0.25,), "head_width": (32,), "label_smoothing": (0.0, 0.05)}
"""Architectures that train in a second."""
EPOCH_S = 0.002

_FULL = "database or disk is full"  # SQLite's own words
_CHANGES = ("INSERT", "UPDATE", "DELETE", "CREATE")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens to a worker: the action when the moment comes for the `after`-th time."""

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
    """What another program does that writes for too long."""
    with closing(sqlite3.connect(file, timeout=10)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(LOCKED_S)


# ---------------------------------------------------------------------------------------------------------
# Arming a process


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
    optuna.artifacts._filesystem.shutil = SimpleNamespace(copyfileobj=copy)  # type: ignore[attr-defined]


def _now(folder: Path) -> datetime:
    """What the clock of the machine says, which `set_clock` moves for every process of a folder."""
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

    optuna.storages._rdb.storage.datetime = Clock  # type: ignore[attr-defined]
    storage.open_store.__kwdefaults__["clock"] = lambda: _now(folder)


# ---------------------------------------------------------------------------------------------------------
# Bodies of processes


def fake_worker(folder: Path, n_trials: int, seed: int, fault: Fault) -> int:
    """One worker on the fake study; `n_trials` more finished ones are wanted, 0 for all begun or waiting.

    Of several workers, a later one counts from what earlier ones have finished: they take 0.
    """
    chaos = arm(fault, folder)
    quiet_optuna()

    def fails(architecture: space.Architecture, fold: int, epoch: int) -> Exception | None:
        chaos.note("epochs.log", architecture.digest, fold, epoch)
        try:
            chaos.strike("epoch", architecture.digest)
        except Exception as error:
            return error
        return None

    trainer = fake_trainer(fails, wait=lambda: time.sleep(EPOCH_S))
    process = this_worker("cpu")
    if fault.elsewhere:
        process = replace(process, host="elsewhere")
    try:
        storage.open_store(f"sqlite:///{folder}/search.db").close()
        store, study = open_study(folder / "search.db", heartbeat_s=HEARTBEAT_S, grace_s=GRACE_S)
        worker = make_worker(store, study, trainer, seed=seed, process=process)
        queue_killed_trials(store, study)
        counts = store.counts(study.name)
        n_finished = counts["complete"] + counts["pruned"]
        worker.work(n_finished + (n_trials or counts["running"] + counts["waiting"]))
    except (SearchError, storage.StorageError) as error:
        print(f"search: {error}", file=sys.stderr)
        return 1
    return 0


def fake_trainer(fails: Any = lambda *_: None, wait: Callable[[], object] = lambda: None) -> FakeTrainer:
    return FakeTrainer(n_folds=N_FOLDS, n_epochs=N_EPOCHS, fails=fails, wait=wait)


def real_worker(folder: Path, n_trials: int, seed: int, fault: Fault) -> int:
    """`python -m search run` on synthetic records, with architectures that train in a second."""
    chaos = arm(fault, folder)
    _arm_training(chaos)
    os.chdir(folder)
    space.SPACES["tiny"] = REAL_AXES  # type: ignore[index]
    if not n_trials:
        store = storage.open_store("sqlite:///search.db")
        counts = store.counts("fake") if store.studies() else {"running": 0, "waiting": 1}
        n_trials = counts["running"] + counts["waiting"]
        store.close()
    where = ["--data", "records", "--storage", "sqlite:///search.db", "--study", "fake"]
    what = ["--target", "superclass", "--space", "tiny", "--epochs", str(N_REAL_EPOCHS), "--pruner", "none"]
    how = ["--sampler", "random", "--presets", "none", "--device", "cpu"]
    return main(["run", "--trials", str(n_trials), *where, *what, *how]) if n_trials else 0


def _arm_training(chaos: Chaos) -> None:
    """Moments within reading and training, and failures where they would come from."""
    load, begin = search.study.run.load_development, CrossValidation.start
    begin_epoch, loss = FoldTraining.begin_epoch, FoldTraining.loss

    def read(*arguments: Any, **options: Any) -> Any:
        return load(*arguments, **{**options, "progress": lambda done, of: chaos.strike("read")})

    def start(trainer: CrossValidation, architecture: space.Architecture, fold: int) -> Any:
        run: Any = begin(trainer, architecture, fold)
        run.training.digest = architecture.digest
        return run

    def noted_epoch(training: Any) -> list[torch.Tensor]:
        chaos.note("epochs.log", training.digest, training.fold.number, training.epochs_done + 1)
        return begin_epoch(training)

    def struck_loss(training: Any, *arguments: Any) -> torch.Tensor:
        try:
            chaos.strike("epoch")
        except TrainingError:
            return loss(training, *arguments) * torch.nan
        return loss(training, *arguments)

    search.study.run.load_development = read
    CrossValidation.start = start  # type: ignore[method-assign]
    FoldTraining.begin_epoch = noted_epoch  # type: ignore[method-assign,assignment]
    FoldTraining.loss = struck_loss  # type: ignore[method-assign,assignment]


def report(folder: Path, n_trials: int, seed: int, fault: Fault) -> int:
    """`python -m search report`."""
    arm(fault, folder)
    os.chdir(folder)
    return main(["report", "--study", "fake", "--storage", "sqlite:///search.db"])


def _body(work: Callable[..., int], arguments: tuple[Any, ...], said: Path) -> None:
    """What the process complains of goes to a file, also what Python says when it breaks down."""
    with said.open("ab") as file:
        os.dup2(file.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(work(*arguments))


@dataclass(kw_only=True)
class Running:
    """A process and what it says."""

    process: ForkServerProcess
    said: Path

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def lines(self) -> list[str]:
        return self.said.read_text().splitlines()

    def is_stopped(self) -> bool:
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False


def end_all(crew: Sequence[Running], timeout_s: float = 120) -> list[int]:
    """Exit statuses, once all have ended; a process that stopped itself is woken after a while.

    Together, because one may wait for what another holds.
    """
    deadline = time.monotonic() + timeout_s
    stopped: dict[int, float] = {}
    try:
        while any(one.process.is_alive() for one in crew):
            assert time.monotonic() < deadline, f"they do not end: {[one.lines() for one in crew]}"
            for one in crew:
                if (
                    one.is_stopped()
                    and time.monotonic() > stopped.setdefault(one.pid, time.monotonic()) + PAUSE_S
                ):
                    os.kill(one.pid, signal.SIGCONT)
            time.sleep(0.02)
    finally:
        for one in crew:
            one.process.kill()  # which does nothing to those that have ended
    return [one.process.exitcode or 0 for one in crew]


@functools.cache
def _context() -> Any:
    """Processes that begin as copies of one that has everything imported, which takes milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["chaos"])
    # Until Python 3.12 the process imports what it shall have ready before it learns of our path.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(path or str(Path.cwd()) for path in sys.path))
        forkserver.ensure_running()
    return context


def start(work: Callable[..., int], *arguments: Any, said: Path) -> Running:
    """Start a process that writes what it complains of into a file."""
    process = _context().Process(target=_body, args=(work, arguments, said), daemon=True)
    process.start()
    return Running(process=process, said=said)


# ---------------------------------------------------------------------------------------------------------
# What must hold


def fingerprints(folder: Path) -> dict[int, str]:
    """Row id to a hash of all that is kept of every finished trial: rows of every table, and artifacts."""
    found = {}
    with closing(sqlite3.connect(folder / "search.db")) as connection:
        tables = _tables_of_trials(connection)
        if ("ecg_folds", "trial_id") not in tables:
            return {}  # killed while the tables were made
        rows = connection.execute(
            "SELECT ours.id, trials.trial_id FROM ecg_trials ours "
            "JOIN ecg_studies ON ours.study_id = ecg_studies.id"
            " JOIN studies ON study_name = name "
            "JOIN trials ON trials.study_id = studies.study_id AND trials.number = ours.number "
            "WHERE state IN ('COMPLETE', 'PRUNED')"
        ).fetchall()
        for ours, optunas in rows:
            digest = hashlib.sha256()
            for table, column in tables:
                key = ours if table.startswith("ecg_") else optunas
                query = f"SELECT * FROM {table} WHERE {column} = ? ORDER BY rowid"
                digest.update(repr((table, connection.execute(query, (key,)).fetchall())).encode())
            query = "SELECT predictions FROM ecg_folds WHERE trial_id = ? ORDER BY fold"
            for (artifact,) in connection.execute(query, (ours,)):
                digest.update((folder / "artifacts" / artifact).read_bytes())
            found[ours] = digest.hexdigest()
    return found


def _tables_of_trials(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Every table with rows of a trial, and the column that says of which."""
    found = [("ecg_trials", "id")]
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"):
        columns = {column[1] for column in connection.execute(f"PRAGMA table_info({table})")}
        if "trial_id" in columns and table != "trial_heartbeats":
            found.append((table, "trial_id"))
    return found


def read_report(folder: Path) -> Report:
    """The data of the report, all of its statistics but with few resamples; figures are drawn from it."""
    store = storage.open_store(f"sqlite:///{folder}/search.db", create=False)
    try:
        return report_document(gather(store, "fake"), n_resamples=10)
    finally:
        store.close()


def is_sound(folder: Path) -> bool:
    """Whether SQLite finds nothing wrong with its file, nor with references between rows."""
    with closing(sqlite3.connect(folder / "search.db")) as connection:
        whole = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return whole and not connection.execute("PRAGMA foreign_key_check").fetchall()


def running(folder: Path) -> set[int]:
    """Numbers of the trials that the database believes to be running."""
    with closing(sqlite3.connect(folder / "search.db")) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'trials'").fetchone():
            return set()
        rows = connection.execute("SELECT number FROM trials WHERE state = 'RUNNING'")
        return {number for (number,) in rows}


def repeated_epochs(log: Path, gap: int) -> Iterator[str]:
    """Folds of which a process trained more again than lay behind their last rung."""
    begun: dict[tuple[str, str], dict[str, list[int]]] = {}
    for line in log.read_text().splitlines():
        process, digest, fold, epoch = line.split()
        begun.setdefault((digest, fold), {}).setdefault(process, []).append(int(epoch))
    for (digest, fold), attempts in begun.items():
        last = 0
        for epochs in attempts.values():
            if last - epochs[0] + 1 > gap:
                yield f"{digest} fold {fold}: epoch {last} was begun, then {epochs[0]} again"
            last = max(last, epochs[-1])


def expected_score(architecture: space.Architecture) -> float:
    """What a trial of the fake trainer scores when nothing happens to it."""
    trainer = fake_trainer()
    folds = {}
    for fold in range(1, N_FOLDS + 1):
        run = trainer.start(architecture, fold)
        for _ in range(N_EPOCHS):
            run.run_epoch()
        folds[fold] = run.outcome().predictions
    return trainer.summarise(architecture.label_tier, folds)["superclass"].metrics["macro_auprc"]


def _is_clear(line: str) -> bool:
    """Whether a line says what is wrong and what to do, as far as a fault can make a command fail."""
    expected = (
        "the disk is full: free some space",
        "has been locked by another process",
        "trials in a row failed",
    )
    return line.startswith("search: ") and any(text in line for text in expected)


@dataclass(kw_only=True)
class Ordeal:
    """A study in a folder, and one fault after another."""

    folder: Path
    work: Callable[[Path, int, int, Fault], int]
    """Body of a worker: folder, trials wanted, seed and fault."""
    kept: dict[int, str] = field(default_factory=dict)
    """Hash of every finished trial so far."""
    stuck: dict[int, float] = field(default_factory=dict)
    """Trials that the dead have left running, and until when they may."""
    n_steps: int = 0
    n_faults: int = 0

    def suffer(self, *faults: Fault, n_trials: int = 2) -> list[int]:
        """Let workers with these faults work side by side until all have ended; return how they did."""
        self.n_steps += 1
        began = time.monotonic()
        n_started = self._n_started()
        crew = []
        for index, fault in enumerate(faults):
            said = self.folder / f"said-{self.n_steps}-{index}.txt"
            seed = 100 * self.n_steps + index
            crew.append(start(self.work, self.folder, n_trials, seed, fault, said=said))
        statuses = end_all(crew)
        self.n_faults += sum(fault.moment != "never" for fault in faults)
        for fault, one, status in zip(faults, crew, statuses, strict=True):
            allowed = {0, 1, -signal.SIGKILL} if fault.action == "kill" else {0, 1}
            assert status in allowed, f"{fault} ended with {status}: {one.lines()}"
            lines = one.lines()
            assert len(lines) == (status == 1), f"{fault} says {lines}"
            assert not lines or _is_clear(lines[0]), f"{fault} says {lines}"
        late = {number for number, deadline in self.stuck.items() if deadline < began}
        still = self.check()
        if self._n_started() > n_started:
            assert not still & late, f"trials run on whose workers died: {still & late}"
        until = time.monotonic() + (GRACE_S + 2 if any(fault.elsewhere for fault in faults) else 0)
        self.stuck = {number: self.stuck.get(number, until) for number in still}
        return statuses

    def check(self) -> set[int]:
        """What must hold whatever happened; returns the trials that run, or seem to."""
        assert is_sound(self.folder)
        now = fingerprints(self.folder)
        changed = {row for row, before in self.kept.items() if now.get(row) != before}
        assert not changed, f"finished trials changed: {changed}"
        self.kept = now
        if now:
            read_report(self.folder)
        return running(self.folder)

    def _n_started(self) -> int:
        log = self.folder / "started.log"
        return len(log.read_text().splitlines()) if log.exists() else 0
