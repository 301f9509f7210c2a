"""Our trainer and the plain reference, trial by trial in turn.

A pair has a seed of its own; whichever comes first in one pair comes second in the next, so that a machine
that is busy for a while is busy for both.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self
from unittest import mock

import numpy as np
import torch

import space
from benchmarks.training.helpers.reference import Reference, run_trial
from search.cores import available_cores
from search.data.dataset import Development, load_development
from search.data.folds import cv_folds
from search.pruner.race import rung_epochs
from search.training.fold_threads import FoldPool
from search.training.settings import TrainingSettings
from search.training.trainer import CrossValidation
from space import preset
from storage import EpochRecord

Side = Literal["ours", "reference"]
_ENVIRONMENT: Mapping[Side, Mapping[str, str]] = {
    "ours": {"OMP_WAIT_POLICY": "passive", "THP_MEM_ALLOC_ENABLE": "1"},
    "reference": {"OMP_WAIT_POLICY": "passive", "THP_MEM_ALLOC_ENABLE": "0"},
}
TIER = "superclass"
BATCH_SIZE = 32
_HYBRIDS = ("cnn", "cnn-gru", "cnn-bilstm", "cnn-gru-bilstm-lstm")
ARCHITECTURES: Mapping[str, space.Architecture] = {
    **{name: preset(name, TIER) for name in _HYBRIDS},
    "small": space.Architecture(width=0.25, head_width=64, label_tier=TIER),
}
"""Architectures to train: the published systems, and one of 25,173 parameters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """One trial of five folds."""

    seconds: float
    processor_s: float
    """User and system time of the process, which hardly depends on other load of the machine."""
    macro_auprc: float
    """Mean over the folds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """The same trial, trained by both."""

    ours: Timed
    reference: Timed

    @property
    def ratio(self) -> float:
        """Reference seconds to ours."""
        return self.reference.seconds / self.ours.seconds

    @property
    def processor_ratio(self) -> float:
        """The same in processor seconds."""
        return self.reference.processor_s / self.ours.processor_s

    @property
    def gain(self) -> float:
        """Macro-AUPRC of this package less that of the reference."""
        return self.ours.macro_auprc - self.reference.macro_auprc


def subset(data: Development, n_records: int) -> Development:
    """The first records of a data set, without hand-crafted features and likelihoods."""
    rows = slice(0, n_records)
    return replace(
        data,
        ecg_id=data.ecg_id[rows],
        patient_id=data.patient_id[rows],
        strat_fold=data.strat_fold[rows],
        x_NLT=data.x_NLT[rows],
        y={tier: y_NC[rows] for tier, y_NC in data.y.items()},
        soft_labels=None,
        age=None,
        sex=None,
    )


class Sides:
    """Two processes, one for each side, each with the environment that it would have; a context manager.

    `search run` asks for large pages; a script does not. Both let waiting threads sleep, without which the
    reference would be far slower on a busy machine.

    Args:
        folder: data set.
        cache: folder of its signals.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self._folder, self._cache = folder, cache
        self._processes: dict[Side, ProcessPoolExecutor] = {}

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        for side in _ENVIRONMENT:
            self._processes[side] = ProcessPoolExecutor(1, mp_context=context)
            # A process starts with its first task, in the environment of that moment.
            with mock.patch.dict(os.environ, _ENVIRONMENT[side]):
                self._processes[side].submit(_begin, self._folder, self._cache).result()
        return self

    def __exit__(self, *failure: object) -> None:
        for process in self._processes.values():
            process.shutdown()

    def measure_pair(
        self,
        name: str,
        settings: TrainingSettings,
        *,
        n_records: int,
        bfloat16: bool = False,
        ours_first: bool = True,
    ) -> Pair:
        """Train one architecture by both, one after the other.

        Args:
            name: of the architecture.
            settings: of both, the seed among them.
            n_records: the first of the data set.
            bfloat16: of the reference; ours does what it does.
            ours_first: whether this package trains first.
        """
        order: tuple[Side, Side] = ("ours", "reference") if ours_first else ("reference", "ours")
        found = {}
        for side in order:
            task = _Task(
                side=side,
                data=(self._folder, self._cache),
                n_records=n_records,
                name=name,
                settings=settings,
                bfloat16=bfloat16,
            )
            found[side] = self._processes[side].submit(_carry_out, task).result()
        return Pair(ours=found["ours"], reference=found["reference"])


@contextmanager
def busy_program() -> Iterator[None]:
    """Another program that never waits, for as long as the context lasts: it takes a core where it can."""
    process = multiprocessing.get_context("spawn").Process(target=_compute_without_end, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _compute_without_end() -> None:
    while True:
        pass


@lru_cache
def load(folder: Path, cache: Path) -> Development:
    """A data set, once in every process."""
    warnings.filterwarnings("ignore", "Using padding='same'")  # of the reference
    return load_development(folder, cache_dir=cache)


def _begin(folder: Path, cache: Path) -> None:
    load(folder, cache)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Task:
    """Training task of a process."""

    side: Side
    data: tuple[Path, Path]
    n_records: int
    name: str
    settings: TrainingSettings
    bfloat16: bool


def _carry_out(task: _Task) -> Timed:
    data = subset(load(*task.data), task.n_records)
    return train(task.side, data, ARCHITECTURES[task.name], task.settings, bfloat16=task.bfloat16)


def train(
    side: Side,
    data: Development,
    architecture: space.Architecture,
    settings: TrainingSettings,
    *,
    bfloat16: bool = False,
) -> Timed:
    """Train five folds by one side."""
    torch.set_num_threads(available_cores())
    if side == "ours":
        return _timed(lambda: run_ours(data, architecture, settings))
    reference = Reference(
        data=data, tier=TIER, settings=settings, device=torch.device("cpu"), bfloat16=bfloat16
    )
    return _timed(lambda: run_trial(reference, architecture))


def run_ours(data: Development, architecture: space.Architecture, settings: TrainingSettings) -> float:
    """Train five folds as `search run` does; the mean over folds of the macro-AUPRC at the end."""
    device = torch.device("cpu")
    with tempfile.TemporaryDirectory() as folder:
        trainer = CrossValidation(
            data, TIER, settings, device=device, n_threads=available_cores(), cache_dir=Path(folder)
        )
        pool = FoldPool(
            trainer,
            architecture,
            range(1, trainer.n_folds + 1),
            checkpoint=lambda fold: Path(folder) / f"fold{fold}.safetensors",
            rungs=rung_epochs(trainer.n_epochs),
        )
        last: dict[int, float] = {}
        with pool:
            for report in pool.reports(stop=lambda: False):
                if isinstance(report.event, Exception):
                    raise report.event
                if isinstance(report.event, EpochRecord):
                    last[report.fold] = report.event.score
    return float(np.mean(list(last.values())))


def settings_of(epochs: int, seed: int = 0) -> TrainingSettings:
    """Training settings of both sides."""
    return TrainingSettings(epochs=epochs, batch_size=BATCH_SIZE, seed=seed)


def n_samples(data: Development, settings: TrainingSettings) -> int:
    """Records that a trial trains on, every epoch of every fold counted."""
    folds = cv_folds(data.strat_fold, data.fold_plan)
    return settings.epochs * sum(len(fold.train) for fold in folds)


def _timed(train: Callable[[], float]) -> Timed:
    began_s, began_processor_s = time.perf_counter(), time.process_time()
    score = train()
    return Timed(
        seconds=time.perf_counter() - began_s,
        processor_s=time.process_time() - began_processor_s,
        macro_auprc=score,
    )
