"""Bodies of processes that a fault happens to, and how such processes are started and ended."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_study import TINY_AXES, make_worker, open_study
from fake_trainer import FakeTrainer
from faults import GRACE_S, HEARTBEAT_S, Chaos, Fault, arm
from killed_workers import queue_killed_trials

import search.study.prepare
import search.study.trial
import space
import storage
import storage.connection.engine
from search.commands.main import main
from search.errors import SearchError, TrainingError
from search.study.provenance import this_worker
from search.study.study import quiet_optuna
from search.training.fold import FoldTraining
from search.training.trainer import CrossValidation

PAUSE_S = 6.0
"""How long a stopped process stays so: beyond heartbeat and grace."""
N_FOLDS, N_EPOCHS = 2, 6
"""Size of a trial of the fake trainer."""
N_REAL_EPOCHS = 3
"""Epochs of true training."""
REAL_AXES = {**TINY_AXES, "width": (0.25,), "head_width": (32,), "label_smoothing": (0.0, 0.05)}
"""Architectures that train in a second."""
EPOCH_S = 0.002


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
    load, begin = search.study.prepare.load_development, CrossValidation.start
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

    search.study.prepare.load_development = read
    CrossValidation.start = start  # type: ignore[method-assign]
    FoldTraining.begin_epoch = noted_epoch  # type: ignore[method-assign,assignment]
    FoldTraining.loss = struck_loss  # type: ignore[method-assign,assignment]


def report(folder: Path, n_trials: int, seed: int, fault: Fault) -> int:
    """`python -m search report`."""
    arm(fault, folder)
    os.chdir(folder)
    return main(["report", "--study", "fake", "--storage", "sqlite:///search.db"])


def _body(work: Callable[..., int], arguments: tuple[Any, ...], said: Path) -> None:
    """Run the work with standard error in a file, also that of Python when it breaks down."""
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


def end_all(workers: Sequence[Running], timeout_s: float = 120) -> list[int]:
    """Exit statuses, once all have ended; a process that stopped itself is woken after a while.

    Together, because one may wait for what another holds.
    """
    deadline = time.monotonic() + timeout_s
    stopped: dict[int, float] = {}
    try:
        while any(one.process.is_alive() for one in workers):
            assert time.monotonic() < deadline, f"they do not end: {[one.lines() for one in workers]}"
            for one in workers:
                if (
                    one.is_stopped()
                    and time.monotonic() > stopped.setdefault(one.pid, time.monotonic()) + PAUSE_S
                ):
                    os.kill(one.pid, signal.SIGCONT)
            time.sleep(0.02)
    finally:
        for one in workers:
            one.process.kill()  # which does nothing to those that have ended
    return [one.process.exitcode or 0 for one in workers]


@functools.cache
def _context() -> Any:
    """Processes that begin as copies of one that has everything imported, which takes milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["faulty_workers"])
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
