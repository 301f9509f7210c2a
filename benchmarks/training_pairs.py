"""Our trainer and the plain reference, trial by trial in turn.

A pair has a seed of its own; whichever comes first in one pair comes second in the next, so that a machine
that is busy for a while is busy for both.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

import space
from benchmarks.reference import Reference, run_trial
from search.data.dataset import Development
from search.data.folds import cv_folds
from search.race import rung_epochs
from search.training.device import available_cores
from search.training.interface import EpochScore
from search.training.pool import FoldPool
from search.training.settings import TrainingSettings
from search.training.trainer import CrossValidation
from space.presets import preset

TIER = "superclass"
BATCH_SIZE = 32
_HYBRIDS = ("cnn", "cnn-gru", "cnn-bilstm", "cnn-gru-bilstm-lstm")
ARCHITECTURES: Mapping[str, space.Architecture] = {
    **{name: preset(name, TIER) for name in _HYBRIDS},
    "small": space.Architecture(width=0.25, head_width=64, label_tier=TIER),
}
"""What is trained: the seed's systems, and one of 25,173 parameters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """One trial of five folds."""

    seconds: float
    processor_s: float
    """User and system time of the process: what a busy machine does not change."""
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
        """What our score has more than the reference's."""
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


def measure_pair(
    data: Development,
    architecture: space.Architecture,
    settings: TrainingSettings,
    *,
    bfloat16: bool,
    ours_first: bool,
) -> Pair:
    """Train one architecture by both.

    Args:
        data: all records.
        architecture: what is trained.
        settings: of both, the seed among them.
        bfloat16: of the reference; ours does what it does.
        ours_first: who begins.
    """
    reference = Reference(
        data=data, tier=TIER, settings=settings, device=torch.device("cpu"), bfloat16=bfloat16
    )
    found: dict[str, Timed] = {}
    for who in ("ours", "reference") if ours_first else ("reference", "ours"):
        torch.set_num_threads(available_cores())
        if who == "ours":
            found[who] = _timed(lambda: run_ours(data, architecture, settings))
        else:
            found[who] = _timed(lambda: run_trial(reference, architecture))
    return Pair(ours=found["ours"], reference=found["reference"])


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
                if isinstance(report.event, EpochScore):
                    last[report.fold] = report.event.macro_auprc
    return float(np.mean(list(last.values())))


def settings_of(epochs: int, seed: int = 0) -> TrainingSettings:
    """Of both sides."""
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
