"""One fold of one trial, epoch by epoch: the only place where weights change.

Shapes: N record, B batch, L lead, T time, C class, K hand-crafted feature.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import space
from reports.metrics import average_precision, macro
from search.errors import TrainingError
from search.models import build_model
from search.training.augmentation import AUGMENTATIONS
from search.training.batches import shuffled_batches
from search.training.checkpoint import read_checkpoint, write_checkpoint
from search.training.device import autocast
from search.training.losses import is_categorical, make_loss
from search.training.schedule import EarlyStopping, Plan
from search.training.settings import TrainingSettings

if TYPE_CHECKING:
    from search.data.folds import Fold
    from search.training.material import DeviceData, FoldMaterial

INFERENCE_BATCH = 256
WATCHED_SHARE = 0.1
"""Share of the training part's patients on which early stopping is decided."""


class FoldTraining:
    """Trains an architecture on the training part of a fold and predicts its validation part.

    All randomness of an epoch comes from generators seeded by (seed, fold, epoch), never by the trial: every
    trial sees the same batches in the same order, so that scores are paired, and a fold that continues from
    a checkpoint ends exactly where an undisturbed one does.

    Nothing is selected on the validation part: early stopping, where the recipe asks for it, watches a tenth
    of the patients of the training part, which the weights then do not see.

    Args:
        architecture: what to train.
        fold: training and validation rows of `data`.
        data: signals and targets on the device.
        settings: shared by all trials of the study.
    """

    def __init__(
        self,
        architecture: space.Architecture,
        fold: Fold,
        data: DeviceData,
        settings: TrainingSettings,
    ) -> None:
        self.fold = fold
        self.settings = settings
        self.epochs_done = 0
        self._plan = Plan.of(space.RECIPES[architecture.recipe], settings)
        self._stopping = EarlyStopping(self._plan.recipe.patience)
        self._device = data.device
        rows, watched = self._split(data.patient_id)
        self._rows = torch.from_numpy(rows).to(data.device)
        self._watched = torch.from_numpy(watched).to(data.device)
        self._validation_rows = torch.from_numpy(fold.validation).to(data.device)
        self._material: FoldMaterial = data.material(architecture, fold, rows, seed=settings.seed)
        y_NC = self._material.y_NC[self._rows]
        self._model = build_model(
            architecture,
            y_NC.shape[1],
            generator=self._generator(0, device=torch.device("cpu")),
            inputs=data.inputs,
        ).to(data.device)
        # One imaginary positive and one negative keep the odds of a class without positives finite.
        self._model.predict_at_first((y_NC.sum(dim=0) + 1) / (len(y_NC) + 2))
        exclusive = data.is_exclusive(architecture.label_tier)
        self._loss = make_loss(architecture, y_NC, exclusive=exclusive)
        self._is_categorical = is_categorical(architecture, exclusive=exclusive)
        self._augment = AUGMENTATIONS[architecture.augmentation]
        self._optimiser = self._plan.optimiser(self._model)
        self._last_loss = math.nan

    @property
    def _is_over(self) -> bool:
        return self.epochs_done >= self._plan.epochs or self._stopping.is_over

    def run_epoch(self) -> tuple[float, float]:
        """Train one epoch; one after the recipe's last, or after early stopping, changes nothing.

        Returns:
            Mean training loss and the seconds it took. The first epoch is charged with the seconds that
            went into synthetic records, whoever made them.

        Raises:
            TrainingError: if the loss is not finite (`diverged`) or memory runs out (`out-of-memory`).
        """
        started = time.perf_counter()
        charged = 0.0 if self.epochs_done else self._material.seconds
        if not self._is_over:
            self._last_loss = self._train_epoch(self.epochs_done + 1)
            if self._plan.recipe.patience is not None:
                self._stopping.update(self._score_watched(), self._model)
        self.epochs_done += 1
        if self._is_over:
            self._stopping.restore_best(self._model)
        return self._last_loss, time.perf_counter() - started + charged

    def _train_epoch(self, epoch: int) -> float:
        shuffling = self._generator(epoch, device=torch.device("cpu"))
        generator = self._generator(epoch, device=self._device)
        self._model.draw_dropout_from(generator)
        self._model.train()
        batches = list(shuffled_batches(self._rows, self._plan.batch_size, shuffling))
        total = torch.zeros((), device=self._device)
        try:
            for number, rows in enumerate(batches):
                step = (epoch - 1) * len(batches) + number
                total += self._train_step(rows, step, generator) * len(rows)
            mean = float(total) / len(self._rows)
        except torch.OutOfMemoryError as error:
            raise TrainingError("out-of-memory", _first_line(error)) from error
        if not math.isfinite(mean):
            raise TrainingError("diverged", f"training loss is {mean} in epoch {epoch}")
        return mean

    def _train_step(self, rows: Tensor, step: int, generator: torch.Generator) -> Tensor:
        for group in self._optimiser.param_groups:
            group["lr"] = self._plan.rate(step, len(self._rows))
        batch = self._material.training_batch(rows, generator)
        batch = self._augment(batch, generator, self._material.rate_hz)
        with autocast(self._device):
            z_BC = self._model(batch.x_BLT, batch.f_BK)
        loss = self._loss(z_BC.float(), batch.y_BC)
        self._optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), self.settings.gradient_clip)
        self._optimiser.step()
        return loss.detach()

    def predict(self) -> NDArray[np.float32]:
        """Probabilities of the validation part on the tier trained on, in the order of `fold.validation`.

        Raises:
            TrainingError: if a probability is not a number.
        """
        return self._predict(self._material, self._validation_rows)

    def predict_other(self, material: FoldMaterial) -> NDArray[np.float32]:
        """Probabilities of all rows of `DeviceData.other` on the tier trained on.

        Raises:
            TrainingError: if a probability is not a number.
        """
        return self._predict(material, torch.arange(len(material.x_NLT), device=self._device))

    @torch.inference_mode()
    def _predict(self, material: FoldMaterial, rows_N: Tensor) -> NDArray[np.float32]:
        self._model.eval()
        parts = []
        for rows in torch.split(rows_N, INFERENCE_BATCH):
            x_BLT, f_BK = material.batch(rows)
            with autocast(self._device):
                z_BC = self._model(x_BLT, f_BK)
            to_probability = _softmax if self._is_categorical else torch.sigmoid
            parts.append(to_probability(z_BC.float()))
        p_NC = torch.cat(parts).cpu().numpy()
        if not np.isfinite(p_NC).all():
            raise TrainingError("diverged", f"predictions are not numbers after epoch {self.epochs_done}")
        return p_NC

    def save(self, path: Path) -> None:
        """Write everything a continuation needs: weights, optimiser state and the epochs done."""
        write_checkpoint(path, self._model, self._optimiser, self.epochs_done, self._stopping)

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint that `save` wrote for the same architecture and fold."""
        self.epochs_done = read_checkpoint(path, self._model, self._optimiser, self._stopping)

    def _score_watched(self) -> float:
        """Macro-AUPRC of the slice of the training part that the weights do not see."""
        y_NC = (self._material.y_NC[self._watched] >= 0.5).cpu().numpy()
        return macro(
            average_precision(y_NC, self._predict(self._material, self._watched)), y_NC.sum(axis=0)
        ).value

    def _split(self, patient_id: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows that are trained on and rows that are watched; no patient is on both sides."""
        rows = self.fold.train
        if self._plan.recipe.patience is None:
            return rows, rows[:0]
        patients = np.unique(patient_id[rows])
        drawn = np.random.default_rng((self.settings.seed, self.fold.number)).permutation(patients)
        watched = np.isin(patient_id[rows], drawn[: max(1, round(WATCHED_SHARE * len(drawn)))])
        return rows[~watched], rows[watched]

    def _generator(self, epoch: int, *, device: torch.device) -> torch.Generator:
        """The stream of one epoch of this fold; epoch 0 draws the initial weights."""
        entropy = (self.settings.seed, self.fold.number, epoch)
        seed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
        return torch.Generator(device).manual_seed(seed % 2**63)


def _softmax(z_BC: Tensor) -> Tensor:
    return torch.softmax(z_BC, dim=1)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
