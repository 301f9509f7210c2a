"""Waiting times of a user: start of the program, opening of a large data set, start of the next trial."""

from __future__ import annotations

import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

import space
from benchmarks.efficiency.helpers.instant_trainer import CLASSES, InstantTrainer
from search.data.cache import load_signals
from search.data.dataset import load_development
from search.data.demo import write_demo
from search.data.readers.ptbxl import TABLE_NAME
from search.data.sources import find_data
from search.sampler.untried import UntriedSampler
from search.study.provenance import this_worker
from search.study.study import make_study, quiet_optuna
from search.study.trial import TrialContext
from search.study.worker import Worker
from search.watch.events import Event, TrialEnded
from search.workers.interrupt import Interrupt
from storage import StudyRecord, open_store

ROOT = Path(__file__).resolve().parents[3]
N_RECORDS = 21_799
"""Records of PTB-XL."""
_N_WRITTEN = 436
_FIRST_STEP = """
import os, sys
from search.training.lockstep import Lockstep
Lockstep.run_epoch = lambda self: os._exit(0)
from search.commands.main import main
sys.exit(main(sys.argv[1:]) or 1)
"""


class Waited(NamedTuple):
    """Duration of a step."""

    seconds: float
    processor_s: float
    """User and system time, which hardly depends on other load of the machine."""


def time_help() -> Waited:
    """Time of `python -m search --help`."""
    return _time_command("-m", "search", "--help")


def time_first_step(folder: Path, runs: Path) -> Waited:
    """Time from `search run` to its first step of training; the first call fills the cache."""
    (runs / "search.db").unlink(missing_ok=True)
    options = ("run", "--trials", "1", "--data", str(folder), "--storage", f"sqlite:///{runs / 'search.db'}")
    return _time_command("-c", _FIRST_STEP, *options, cwd=runs)


def write_large(folder: Path) -> None:
    """A data set with as many records as PTB-XL: those of a small demo again and again, as hard links."""
    small = folder / "small"
    write_demo(small, n_records=_N_WRITTEN)
    with (small / TABLE_NAME).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    large = folder / "large"
    (large / "records100").mkdir(parents=True)
    with (large / TABLE_NAME).open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        for ecg_id in range(1, N_RECORDS + 1):
            row = rows[ecg_id % len(rows)]
            name = f"records100/{ecg_id // 1000:02d}000/copy{ecg_id:05d}_lr"
            (large / name).parent.mkdir(exist_ok=True)
            _link(small / row["filename_lr"], large / name)
            # Copies are other people, so that a patient stays in one fold.
            patient = float(row["patient_id"]) + 100_000 * (ecg_id // len(rows))
            high = name.replace("records100", "records500").replace("_lr", "_hr")
            table.writerow(
                {**row, "ecg_id": ecg_id, "patient_id": patient, "filename_lr": name, "filename_hr": high}
            )
    (large / "scp_statements.csv").write_bytes((small / "scp_statements.csv").read_bytes())


def _link(original: Path, copy: Path) -> None:
    """A record under another name; its header goes on naming the original's signal file."""
    for extension in (".hea", ".dat"):
        os.link(f"{original}{extension}", f"{copy}{extension}")
    beside = copy.with_name(f"{original.name}.dat")
    if not beside.exists():
        os.link(f"{original}.dat", beside)


def measure_caching(folder: Path, cache: Path) -> float:
    """Most memory in use while records are read into the cache, by the size of the array.

    Of this process beyond what it had before; call it in a process of its own.
    """
    waveforms = find_data(folder).read(None).at_rate(None)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signals = load_signals(waveforms, cache_dir=cache)
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return 1024 * kibibytes / signals.x_NLT.nbytes


def time_warm_start(folder: Path, cache: Path) -> Waited:
    """Time to load a data set whose signals are in the cache."""
    began_s, began_processor_s = time.perf_counter(), time.process_time()
    load_development(folder, cache_dir=cache)
    return Waited(time.perf_counter() - began_s, time.process_time() - began_processor_s)


def measure_trials(n_trials: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Processor seconds of every trial of a study that trains nothing, without those of the sampler.

    The race decides, but without the sampler's expectation: a Gaussian process of thousands of trials would
    take longer than all the rest.
    """
    quiet_optuna()
    architectures = space.Space("wide", tuple(CLASSES))
    spent = _Spent()
    ends: list[float] = []

    def emit(event: Event) -> None:
        if isinstance(event, TrialEnded):
            ends.append(time.process_time() - spent.seconds)

    nothing = mock.patch.object(UntriedSampler, "expected", return_value=None)
    with tempfile.TemporaryDirectory() as folder, spent.counted(UntriedSampler), nothing:
        store = open_store(f"sqlite:///{folder}/search.db")
        study = make_study(store, _study())
        worker = Worker(
            TrialContext(
                store=store,
                study=study,
                architectures=architectures,
                trainer=InstantTrainer(),
                sampler="random",
                seed=0,
                alpha=0.05,
                cost_aware=False,
                emit=emit,
                interrupt=Interrupt(),
                worker=1,
                worker_row=store.add_worker(study.name, this_worker("cpu")),
            )
        )
        began_s = time.process_time()
        worker.work(n_trials)
    return np.diff(np.array([began_s, *ends]))


class _Spent:
    """Processor seconds within some methods of a class."""

    METHODS = ("sample_relative", "sample_independent", "before_trial", "after_trial")

    def __init__(self) -> None:
        self.seconds = 0.0
        self._original: Mapping[str, Callable[..., Any]] = {}
        self._class: type = object

    def counted(self, kind: type) -> _Spent:
        """A context in which they are counted."""
        self._class = kind
        self._original = {name: getattr(kind, name) for name in self.METHODS}
        return self

    def __enter__(self) -> _Spent:
        for name, method in self._original.items():
            setattr(self._class, name, self._timed(method))
        return self

    def __exit__(self, *failure: object) -> None:
        for name, method in self._original.items():
            setattr(self._class, name, method)

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            began_s = time.process_time()
            try:
                return method(*arguments, **named)
            finally:
                self.seconds += time.process_time() - began_s

        return timed


def _study() -> StudyRecord:
    return StudyRecord(
        name="instant",
        target="superclass",
        space="wide",
        data_name="demo",
        data_version="SYNTHETIC",
        data_fingerprint="0" * 64,
        synthetic=True,
        rate_hz=100,
        n_records=30,
        n_patients=30,
        settings={"epochs": InstantTrainer.n_epochs, "seed": 0},
        tier_classes=CLASSES,
    )


def _time_command(*arguments: str, cwd: Path = ROOT) -> Waited:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    began_s, began = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(  # noqa: S603 - our own program
        [sys.executable, *arguments], cwd=cwd, env=environment, check=True, capture_output=True
    )
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_s = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
    return Waited(time.perf_counter() - began_s, processor_s)
