"""Some trials of a search with the race, by the program's own workers, at the size of a real one."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

import space
from benchmarks.gpu.helpers.gpu_records import many_records
from search.errors import SearchError
from search.study.options import RunOptions
from search.study.prepare import Prepared
from search.study.run import train
from search.study.study import find_study, make_record, make_study, quiet_optuna
from search.training.settings import TrainingSettings
from search.watch.events import Event
from search.workers.base import work_together
from search.workers.interrupt import Interrupt
from search.workers.processes import ProcessWorkers
from storage import Store, open_store

TARGET = "subclass"
SPACE = "wide"
STUDY = "slice"
N_FOLDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """Settings of a short search."""

    n_records: int
    n_trials: int
    epochs: int
    batch_size: int
    device: str
    workers: int
    seconds: float
    """Longest time; the trials in training are stopped then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sliced:
    """Measurements of a short search."""

    seconds: float
    """Time from the first trial's start to the last one's end, with the records in memory."""
    n_trials: float
    """Complete or pruned; one that was stopped counts as the part of an average one that its epochs are."""
    n_pruned: int
    share_trained: float
    """Epochs trained of those of all folds, of trials that are complete or pruned."""


def measure_slice(chosen: Slice) -> Sliced:
    """Search in a database of its own, without presets: they are larger than what a search comes to.

    The workers are processes of their own: what goes wrong in one does not end the benchmark.

    Raises:
        SearchError: no trial has come to its end in time, or a worker failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        interrupt = Interrupt()
        timer = threading.Timer(chosen.seconds, interrupt.request)
        timer.start()
        try:
            workers = ProcessWorkers(partial(_work, chosen, folder), chosen.workers)
            work_together(workers, emit=_ignore, interrupt=interrupt)
            ended_s = time.time()
        finally:
            timer.cancel()
        store = _store(folder)
        trials = store.trials(STUDY)
        n_epochs = {trial.number: len(store.epochs(trial.id)) for trial in trials}
        begins = [float(file.read_text()) for file in Path(folder).glob("began-*")]
        store.close()
    finished = [trial for trial in trials if trial.state in {"complete", "pruned"}]
    if not finished:
        raise SearchError(f"no trial ended within {chosen.seconds:.0f} s")
    n_of_finished = sum(n_epochs[trial.number] for trial in finished)
    return Sliced(
        seconds=ended_s - min(begins),
        n_trials=len(finished) * sum(n_epochs.values()) / n_of_finished,
        n_pruned=sum(trial.state == "pruned" for trial in finished),
        share_trained=n_of_finished / (len(finished) * N_FOLDS * chosen.epochs),
    )


def _work(
    chosen: Slice, folder: str, number: int, emit: Callable[[Event], None], interrupt: Interrupt
) -> None:
    """Body of a worker."""
    quiet_optuna()
    options = RunOptions(
        trials=chosen.n_trials, storage=_url(folder), workers=chosen.workers, device=chosen.device
    )
    prepared = _prepare(chosen, _store(folder))
    if chosen.device == "cuda":
        torch.zeros(1, device="cuda")  # what every process needs is not part of a trial
    Path(folder, f"began-{number}").write_text(repr(time.time()))
    train(prepared, options, goal=chosen.n_trials, number=number, emit=emit, interrupt=interrupt)
    prepared.store.close()


def _prepare(chosen: Slice, store: Store) -> Prepared:
    data = many_records(chosen.n_records)
    settings = TrainingSettings(epochs=chosen.epochs, batch_size=chosen.batch_size)
    record = make_record(STUDY, TARGET, SPACE, {**settings.to_dict(), "drop_unlabeled": False}, data)
    study = find_study(store, STUDY) or make_study(store, record)
    architectures = space.Space(SPACE, data.hierarchy.training_tiers(TARGET), inputs=data.inputs)
    return Prepared(store=store, study=study, data=data, architectures=architectures)


def _url(folder: str) -> str:
    return f"sqlite:///{folder}/search.db"


def _store(folder: str) -> Store:
    return open_store(_url(folder))


def _ignore(event: Event) -> None:
    """View that shows nothing."""


def extrapolated_minutes(sliced: Sliced, n_trials: int) -> tuple[float, float]:
    """Minutes of a number of trials at the rate of the slice, and of the same trials without pruning."""
    minutes = np.array([1.0, 1.0 / sliced.share_trained]) * sliced.seconds / sliced.n_trials * n_trials / 60
    return float(minutes[0]), float(minutes[1])
