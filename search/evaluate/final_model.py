"""A model trained once, to be tested on records that no search has seen.

By default the model of the last CV fold is trained again: on PTB-XL from folds 1 to 8, with fold 9 as
validation part. With all of them it is trained on folds 1 to 9, and nothing validates it.

Shapes: N record, C class.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

import space
from scores.scorers import MACRO_AUPRC
from search.cores import available_cores
from search.data.dataset import Development
from search.data.folds import Fold, FoldPlan, cv_folds
from search.data.labels.projection import as_distribution
from search.defaults import CACHE_FOLDER
from search.errors import TrainingError, UsageError
from search.training.scoring import project_to
from search.training.settings import TrainingSettings
from search.watch.progress import progress_bar
from storage import EpochRecord

if TYPE_CHECKING:
    from search.training.device_data import DeviceData
    from search.training.fold import FoldTraining
    from search.training.initial_weights import InitialWeights
    from search.training.soft_targets import SoftTargets

Floats = NDArray[np.float32]

ALL_FOLDS = 0
"""Number of the fold whose training part is everything but the sealed fold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingProtocol:
    """Folds that a model is trained on."""

    fit: str
    """`1-8`, `1-9` and the like."""
    fold: Fold
    validation_name: str
    """The folds that validate, such as `strat_fold 9`; empty if none do."""


def training_protocol(data: Development, fit: str | None) -> TrainingProtocol:
    """Training and validation part for `--fit`.

    Raises:
        UsageError: other folds are named than all, or all but the last CV group.
    """
    plan = data.fold_plan
    choices = fits(plan)
    if fit is not None and fit not in choices:
        raise UsageError(
            f"--fit is {choices[0]} (the fold between validates) or {choices[1]} on {data.name}, got {fit!r}"
        )
    if fit == choices[1]:
        everything = np.arange(len(data))
        return TrainingProtocol(
            fit=fit,
            fold=Fold(number=ALL_FOLDS, train=everything, validation=everything[:0]),
            validation_name="",
        )
    return TrainingProtocol(
        fit=choices[0],
        fold=cv_folds(data.strat_fold, plan)[-1],
        validation_name=f"{plan.column} {' and '.join(map(str, plan.groups[-1]))}",
    )


def fits(plan: FoldPlan) -> tuple[str, str]:
    """Choices of `--fit`: without the last CV group and with it."""
    return f"1-{min(plan.groups[-1]) - 1}", f"1-{max(plan.groups[-1])}"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FinalModel:
    """A trained model with its training data, learning curve and validation predictions."""

    data: Development
    label_tier: str
    p_validation_NC: Floats
    """Probabilities on the validation part, which may be empty."""
    predict: Callable[[Development], Floats]
    """Probabilities of other records on the tier trained on."""
    curve: tuple[EpochRecord, ...]
    """Epochs in which its weights changed."""
    n_training: int
    file: bytes
    """The model as `search.training.model_file.load_model` takes it."""

    def project(self, tier: str, p_NC: Floats) -> Floats:
        """Probabilities on a coarser tier."""
        return project_to(self.data.hierarchy, self.label_tier, tier, p_NC)


class FinalTraining:
    """Trainer of models on one data set by one protocol; signals and targets are on the device once.

    Args:
        data: all but the sealed fold.
        chosen: the folds to train on.
        settings: of the study.
        target: its tier, on which epochs are scored.
        device: where to train, `auto`, `cpu` or `cuda`.
        console: for progress.
        teachers: soft targets of the study, by the value of the axis `teacher`.
        initial: models that its trials begin with, by the value of the axis `init`.
    """

    def __init__(
        self,
        data: Development,
        chosen: TrainingProtocol,
        settings: TrainingSettings,
        *,
        target: str,
        device: str,
        console: Console,
        teachers: Mapping[str, SoftTargets],
        initial: Mapping[str, InitialWeights],
    ) -> None:
        import torch

        from search.training.device import choose_device, device_label, why_no_gpu
        from search.training.device_data import DeviceData

        found = choose_device(device)
        if device == "auto" and (advice := why_no_gpu()):
            console.print(
                f"WARNING: training on the CPU, though this machine has a GPU: {advice}",
                soft_wrap=True,
                highlight=False,
                markup=False,
            )
        torch.set_num_threads(available_cores())
        self._data = data
        self._chosen = chosen
        self._settings = settings
        self._target = target
        self._console = console
        self._on_device: DeviceData = DeviceData(
            data, found, cache_dir=CACHE_FOLDER, teachers=teachers, initial=initial
        )
        self._trained: dict[tuple[str, int], FinalModel] = {}
        self.device = device_label(found)

    def train(self, name: str, architecture: space.Architecture, seed: int) -> FinalModel:
        """A model; the same one if it was trained before.

        Early stopping and reduction of the learning rate on a plateau, where the recipe has them, monitor the
        validation part if there is one; it then scores nothing.

        Raises:
            TrainingError: the loss is not finite or memory runs out.
        """
        key = (architecture.digest, seed)
        if key not in self._trained:
            self._trained[key] = self._train(name, architecture, seed)
        return self._trained[key]

    def _train(self, name: str, architecture: space.Architecture, seed: int) -> FinalModel:
        import torch

        from search.training.fold import FoldTraining
        from search.training.inference import logits, probabilities
        from search.training.losses import is_categorical
        from search.training.model_file import load_model

        device = self._on_device.device
        fold, settings = self._chosen.fold, replace(self._settings, seed=seed)
        training = FoldTraining(
            architecture, fold, self._on_device, settings, watch_validation=len(fold.validation) > 0
        )
        curve = []
        with progress_bar(self._console, f"Training {name}, seed {seed}", settings.epochs) as advance:
            while not training.is_over:
                loss, seconds = training.run_epoch()
                curve.append(self._epoch(training, architecture.label_tier, loss, seconds))
                advance(training.epochs_done, settings.epochs)
        exclusive = self._data.hierarchy.is_exclusive(architecture.label_tier)

        file = training.packed(self._data)

        def predict(other: Development) -> Floats:
            # From the file: weights and optimisers of all models of an evaluation would fill the device.
            model = load_model(file).model.to(device)
            material = self._on_device.other(architecture, fold, other)
            rows_N = torch.arange(len(material.x_NLT), device=device)
            categorical = is_categorical(architecture, exclusive=exclusive)
            p_NC = probabilities(logits(model, rows_N, material.batch), categorical=categorical)
            if not np.isfinite(p_NC).all():
                raise TrainingError("diverged", f"predictions of {name}, seed {seed}, are not numbers")
            return as_distribution(p_NC) if exclusive else p_NC

        p_NC = training.predict() if len(fold.validation) else self._nothing(architecture.label_tier)
        return FinalModel(
            data=self._data,
            label_tier=architecture.label_tier,
            p_validation_NC=as_distribution(p_NC) if exclusive and len(p_NC) else p_NC,
            predict=predict,
            curve=tuple(curve),
            n_training=len(fold.train),
            file=file,
        )

    def _nothing(self, tier: str) -> Floats:
        return np.empty((0, len(self._data.hierarchy.classes(tier))), np.float32)

    def _epoch(self, training: FoldTraining, tier: str, loss: float, seconds: float) -> EpochRecord:
        """A point of the learning curve; without a validation part, of training alone."""
        rows, hierarchy = training.fold.validation, self._data.hierarchy
        if not len(rows):
            return training.record(loss, seconds)
        raw_NC = training.predict()
        score = math.nan
        if hierarchy.refines(tier, self._target):
            p_NC = as_distribution(raw_NC) if hierarchy.is_exclusive(tier) else raw_NC
            score = MACRO_AUPRC.fold(
                0, self._data.y[self._target][rows], project_to(hierarchy, tier, self._target, p_NC)
            )
        return training.record(loss, seconds, p_NC=raw_NC, score=score)
