"""Some trials of a search with the race, by the program's own workers, at the size of a real one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

import space
from benchmarks.gpu_records import many_records
from search.crew import work_together
from search.events import Event
from search.interrupt import Interrupt
from search.processes import ProcessCrew
from search.run import Prepared, RunOptions, train
from search.study import find_study, make_record, make_study, quiet_optuna
from search.training.settings import TrainingSettings
from storage import Store, open_store

TARGET = "subclass"
SPACE = "wide"
STUDY = "slice"
N_FOLDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """What is searched."""

    n_records: int
    n_trials: int
    epochs: int
    batch_size: int
    device: str
    workers: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sliced:
    """What it took."""

    seconds: float
    """From the first trial's start to the last one's end, the records at hand."""
    n_pruned: int
    share_trained: float
    """Epochs trained of those of all folds of all trials."""


def measure_slice(chosen: Slice) -> Sliced:
    """Search in a database of its own, without presets: they are larger than what a search comes to."""
    with tempfile.TemporaryDirectory() as folder:
        work = partial(_work, chosen, folder)
        if chosen.workers == 1:
            work(1, _ignore, Interrupt())
        else:
            work_together(ProcessCrew(work, chosen.workers), emit=_ignore, interrupt=Interrupt())
        store = _store(folder)
        trials = store.trials(STUDY)
        n_epochs = sum(len(store.epochs(trial.id)) for trial in trials)
        begins = [float(file.read_text()) for file in Path(folder).glob("began-*")]
        store.close()
    return Sliced(
        seconds=time.time() - min(begins),
        n_pruned=sum(trial.state == "pruned" for trial in trials),
        share_trained=n_epochs / (len(trials) * N_FOLDS * chosen.epochs),
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
    return Prepared(store=store, study=study, data=data, architectures=architectures, settings=settings)


def _url(folder: str) -> str:
    return f"sqlite:///{folder}/search.db"


def _store(folder: str) -> Store:
    return open_store(_url(folder))


def _ignore(event: Event) -> None:
    """Nobody looks on."""


def extrapolated_minutes(sliced: Sliced, chosen: Slice, n_trials: int) -> tuple[float, float]:
    """So many trials at the rate of the slice, and if none of them were pruned."""
    minutes = np.array([1.0, 1.0 / sliced.share_trained]) * sliced.seconds / chosen.n_trials * n_trials / 60
    return float(minutes[0]), float(minutes[1])
