"""Duration of an epoch of five folds, for every way of training."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

import space
from benchmarks.training.helpers.reference import Reference, train_fold
from search.data.dataset import Development
from search.data.folds import cv_folds
from search.training.interface import FoldGroup
from search.training.lockstep import Together
from search.training.settings import TrainingSettings
from search.training.trainer import CrossValidation

WAYS: Mapping[str, Together | bool] = {
    "reference fp32": False,
    "fused, graph": Together(lockstep=True),
    "fused": Together(lockstep=True, graphs=False),
    "streams, graph": Together(lockstep=True, fused=False),
    "serial, graph": Together(lockstep=False),
    "serial": Together(lockstep=False, graphs=False),
    "reference bf16": True,
}
"""By name: ours, or whether the reference has autocast switched on. The most telling first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """Speed of one architecture in one way."""

    seconds: float
    """An epoch of all five folds with their scores, the first one left out; median."""
    memory_bytes: int
    """Largest allocation on the GPU, the records among them; 0 on a processor."""
    notes: tuple[str, ...] = ()
    """Deviations from the requested way of training."""


def measure_way(
    data: Development,
    tier: str,
    architecture: space.Architecture,
    settings: TrainingSettings,
    *,
    way: Together | bool,
    device: torch.device,
) -> Speed:
    """Train all epochs of the settings, at least two."""
    gc.collect()  # models of the way before
    notes: list[str] = []
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    if isinstance(way, bool):
        reference = Reference(data=data, tier=tier, settings=settings, device=device, bfloat16=way)
        folds = cv_folds(data.strat_fold, data.fold_plan)
        # Each with its own epochs: what trains one fold knows nothing of the next.
        epochs = [_each(train_fold(reference, architecture, fold)) for fold in folds]
    else:
        trainer = CrossValidation(
            data,
            tier,
            settings,
            device=device,
            n_threads=torch.get_num_threads(),
            cache_dir=Path(),
            together=way,
        )
        epochs = [_epochs_of(group, notes) for group in _groups(trainer, architecture)]
    seconds = sum(_seconds_per_epoch(run_epoch, settings.epochs, device) for run_epoch in epochs)
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return Speed(seconds=seconds, memory_bytes=memory, notes=tuple(dict.fromkeys(notes)))


def _groups(trainer: CrossValidation, architecture: space.Architecture) -> Iterator[FoldGroup]:
    """One after another, as a pool has them."""
    numbers = range(1, trainer.n_folds + 1)
    for first in range(1, trainer.n_folds + 1, trainer.n_together):
        runs = [
            trainer.start(architecture, fold) for fold in numbers[first - 1 : first - 1 + trainer.n_together]
        ]
        yield trainer.group(runs)


def _each(scores: Iterator[float]) -> Callable[[], object]:
    return lambda: next(scores)


def _epochs_of(group: FoldGroup, notes: list[str]) -> Callable[[], object]:
    def run_epoch() -> None:
        for score in group.run_epoch():
            if isinstance(score, Exception):
                raise score
        notes.extend(group.take_notes())

    return run_epoch


def _seconds_per_epoch(run_epoch: Callable[[], object], n_epochs: int, device: torch.device) -> float:
    """Median over the epochs but for the first, in which kernels are chosen and steps captured."""
    seconds = []
    for _ in range(n_epochs):
        began_s = time.perf_counter()
        run_epoch()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began_s)
    return median(seconds[1:])
