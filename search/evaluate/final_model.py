"""A model trained once, to be tested on records that no search has seen.

The model of the last CV fold is trained again: on PTB-XL from folds 1 to 8, with fold 9 as validation part.

Shapes: N record, C class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

import space
from search.cores import available_cores
from search.data.dataset import Development
from search.data.folds import cv_folds
from search.data.labels.projection import as_distribution
from search.defaults import CACHE_FOLDER
from search.study.run import TRAINING_SETTINGS
from search.training.scoring import project_to
from search.training.settings import TrainingSettings
from search.watch.progress import progress_bar
from storage import StudyRecord

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FinalModel:
    """A trained model: what it was trained on and how it predicts."""

    data: Development
    label_tier: str
    validation: NDArray[np.int64]
    """Rows that it was not trained on."""
    p_validation_NC: Floats
    predict: Callable[[Development], Floats]
    """Probabilities of other records on the tier trained on."""
    file: bytes
    """The model as `search.training.model_file.load_model` takes it."""

    def project(self, tier: str, p_NC: Floats) -> Floats:
        """Probabilities on a coarser tier."""
        return project_to(self.data.hierarchy, self.label_tier, tier, p_NC)


def train_final(
    architecture: space.Architecture, study: StudyRecord, data: Development, device: str, console: Console
) -> FinalModel:
    """Train the last CV fold."""
    import torch

    from search.training.device import choose_device, why_no_gpu
    from search.training.device_data import DeviceData
    from search.training.fold import FoldTraining

    chosen = choose_device(device)
    if device == "auto" and (advice := why_no_gpu()):
        console.print(
            f"WARNING: training on the CPU, though this machine has a GPU: {advice}",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )
    torch.set_num_threads(available_cores())
    fold = cv_folds(data.strat_fold, data.fold_plan)[-1]
    on_device = DeviceData(data, chosen, cache_dir=CACHE_FOLDER)
    settings = TrainingSettings(**{key: study.settings[key] for key in TRAINING_SETTINGS})
    training = FoldTraining(architecture, fold, on_device, settings)
    with progress_bar(console, "Training", settings.epochs) as advance:
        for epoch in range(1, settings.epochs + 1):
            training.run_epoch()
            advance(epoch, settings.epochs)
    exclusive = data.hierarchy.is_exclusive(architecture.label_tier)

    def predict(other: Development) -> Floats:
        p_NC = training.predict_other(on_device.other(architecture, fold, other))
        return as_distribution(p_NC) if exclusive else p_NC

    p_NC = training.predict()
    return FinalModel(
        data=data,
        label_tier=architecture.label_tier,
        validation=fold.validation,
        p_validation_NC=as_distribution(p_NC) if exclusive else p_NC,
        predict=predict,
        file=training.packed(data),
    )
