"""A study that one fault after another happens to, and what must hold whatever happened."""

from __future__ import annotations

import hashlib
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from faults import GRACE_S, Fault
from faulty_workers import N_EPOCHS, N_FOLDS, end_all, fake_trainer, start

import space
import storage
import storage.connection.engine
from reports.document import report_document
from reports.evidence import gather
from reports.schema import Report

GAP = 1
"""Epochs from one rung to the next: as few epochs as here have one after each."""


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
    """Score of an undisturbed trial of the fake trainer."""
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
        workers = []
        for index, fault in enumerate(faults):
            said = self.folder / f"said-{self.n_steps}-{index}.txt"
            seed = 100 * self.n_steps + index
            workers.append(start(self.work, self.folder, n_trials, seed, fault, said=said))
        statuses = end_all(workers)
        self.n_faults += sum(fault.moment != "never" for fault in faults)
        for fault, one, status in zip(faults, workers, statuses, strict=True):
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
        """Check the invariants of every run; returns the trials that run, or seem to."""
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
