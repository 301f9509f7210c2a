"""One fold of the GAN benchmark: the same classifier with and without generated records.

Shapes: N record, M generated record, C class.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import space
from scores.metrics import auroc, average_precision
from search.data.dataset import Development, load_development
from search.data.folds import Fold, cv_folds
from search.training.batches import LeadStatistics
from search.training.device_data import DeviceData
from search.training.fold import FoldTraining
from search.training.gan.records import SyntheticRecords, cached, n_synthetic
from search.training.gan.settings import GanSettings, cache_key
from search.training.gan.wgan import rare_classes, synthesise
from search.training.scoring import macro_auprc
from search.training.settings import TrainingSettings

BATCH_SIZE = 32
CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What one process measures: every arm on one fold with one seed."""

    data: Path
    tier: str
    seed: int
    fold: int
    arms: tuple[str, ...]
    n_epochs: int
    n_training: int
    """Training rows at most; others are left out at random."""
    settings: GanSettings
    cache: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Scores on the real validation part by arm, and what the GAN was like."""

    macro: dict[str, float]
    """Macro-AUPRC."""
    rare: dict[str, float]
    """Mean average precision of the rare classes, those with a positive."""
    seconds: dict[str, float]
    """Training the classifier."""
    rare_classes: tuple[str, ...]
    gan_s: float
    real_auroc: float
    """Of the rare classes on real validation records, by the classifier trained on real records only."""
    generated_auroc: float
    """By the same classifier on generated records."""


NONE = "none"


def run(trial: Trial) -> Outcome | None:
    """Train all arms of a trial; None where no class is rare.

    An arm is `none`, or a source of records and their share: `gan .25`, `repeat .5`. `repeat` adds real
    records of rare classes again, drawn as the GAN draws them: what generated ones have to beat.
    """
    torch.set_num_threads(1)
    data = _load(trial.data, trial.cache)
    y_NC = torch.from_numpy(data.y[trial.tier].astype(np.float32))
    fold, rows = _fold(data, trial)
    rare = rare_classes(y_NC[rows])
    if not rare:
        return None
    x_NLT = torch.from_numpy(np.array(data.x_NLT))
    statistics = LeadStatistics.of(x_NLT, fold.train)
    key = cache_key(
        fingerprint=data.fingerprint,
        tier=trial.tier,
        fold=fold.number,
        n_training=len(rows),
        seed=trial.seed,
        signal_filter="none",
        device="cpu",
        settings=trial.settings,
    )
    made = cached(
        trial.cache / "gan",
        key,
        lambda: synthesise(
            x_NLT,
            y_NC,
            rows,
            statistics,
            leads=data.leads,
            rate_hz=data.rate_hz,
            seed=trial.seed,
            fold=fold.number,
            settings=trial.settings,
        ),
    )
    bench = _Bench(trial, data, fold, made, x_NLT=x_NLT, y_NC=y_NC, rare=rare)
    scores = {arm: bench.score(arm) for arm in trial.arms}
    classes = data.hierarchy.classes(trial.tier)
    return Outcome(
        macro={arm: score[0] for arm, score in scores.items()},
        rare={arm: score[1] for arm, score in scores.items()},
        seconds={arm: score[2] for arm, score in scores.items()},
        rare_classes=tuple(classes[index] for index in rare),
        gan_s=made.seconds,
        real_auroc=bench.real_auroc,
        generated_auroc=bench.generated_auroc,
    )


class _Bench:
    """A fold whose data set has the generated records behind the real ones.

    The records that an arm adds are drawn once, and stay the same in every epoch.
    """

    def __init__(
        self,
        trial: Trial,
        data: Development,
        fold: Fold,
        made: SyntheticRecords,
        *,
        x_NLT: torch.Tensor,
        y_NC: torch.Tensor,
        rare: list[int],
    ) -> None:
        self._trial, self._fold, self._rare = trial, fold, rare
        self._n_real = len(x_NLT)
        self._y_NC = torch.cat([y_NC, made.y_MC])
        self._made = self._n_real + np.arange(len(made))
        everything = replace(
            data,
            x_NLT=torch.cat([x_NLT, made.x_MLT]).numpy(),
            y={trial.tier: self._y_NC.numpy().astype(bool)},
            patient_id=np.concatenate([data.patient_id, -1 - np.arange(len(made))]),
        )
        self._data = DeviceData(everything, CPU, cache_dir=trial.cache)
        self.real_auroc = self.generated_auroc = float("nan")

    def score(self, arm: str) -> tuple[float, float, float]:
        """Macro-AUPRC, that of the rare classes, and training seconds of an arm."""
        added = self._added(arm)
        n_real, n_all = len(self._fold.train), len(self._fold.train) + len(added)
        fold = Fold(
            number=self._fold.number,
            train=np.concatenate([self._fold.train, added]),
            validation=np.concatenate([self._fold.validation, self._made]),
        )
        settings = TrainingSettings(
            epochs=self._trial.n_epochs,
            # As many steps with the additional records as without.
            batch_size=round(BATCH_SIZE * n_all / n_real),
            seed=self._trial.seed,
        )
        architecture = space.Architecture(width=0.25, head_width=64, label_tier=self._trial.tier)
        began_s = time.perf_counter()
        training = FoldTraining(architecture, fold, self._data, settings)
        for _ in range(settings.epochs):
            training.run_epoch()
        seconds = time.perf_counter() - began_s
        p_NC = training.predict()
        y_NC = self._y_NC[fold.validation].numpy().astype(bool)
        n = len(self._fold.validation)
        if arm == NONE:
            self.real_auroc = _mean(auroc(y_NC[:n], p_NC[:n])[self._rare])
            self.generated_auroc = _mean(auroc(y_NC[n:], p_NC[n:])[self._rare])
        rare = _mean(average_precision(y_NC[:n], p_NC[:n])[self._rare])
        return macro_auprc(y_NC[:n], p_NC[:n]), rare, seconds

    def _added(self, arm: str) -> NDArray[np.int64]:
        """Rows that an arm adds to the training part."""
        if arm == NONE:
            return np.zeros(0, dtype=np.int64)
        source, share = arm.split()
        random = np.random.default_rng([self._trial.seed, self._fold.number])
        n = n_synthetic(len(self._fold.train), float(share))
        if source == "gan":
            return random.choice(self._made, n)
        y_NR = self._y_NC[self._fold.train][:, self._rare].numpy()
        weight_N = (y_NR / y_NR.sum(axis=0)).sum(axis=1).astype(np.float64)
        return random.choice(self._fold.train, n, p=weight_N / weight_N.sum())


@lru_cache(maxsize=1)
def _load(path: Path, cache: Path) -> Development:
    return load_development(path, cache_dir=cache)


def _fold(data: Development, trial: Trial) -> tuple[Fold, torch.Tensor]:
    fold = cv_folds(data.strat_fold, data.fold_plan)[trial.fold - 1]
    train = fold.train
    if len(train) > trial.n_training:
        random = np.random.default_rng([trial.seed, trial.fold])
        train = np.sort(random.choice(train, trial.n_training, replace=False))
    fold = Fold(number=fold.number, train=train, validation=fold.validation)
    return fold, torch.from_numpy(train)


def _mean(values: NDArray[np.float64]) -> float:
    """Over the classes for which there is a value."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
