"""One fold of one trial, epoch by epoch: the only place where weights change.

Shapes: N record, B batch, L lead, T time, C class.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import space
from search.errors import TrainingError
from search.models import build_model
from search.training.batches import LeadStatistics, augment, n_batches, shuffled_batches
from search.training.checkpoint import read_checkpoint, write_checkpoint
from search.training.device import autocast
from search.training.losses import make_loss
from search.training.settings import TrainingSettings

if TYPE_CHECKING:
    from search.data.dataset import Development
    from search.data.folds import Fold

INFERENCE_BATCH = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceData:
    """A data set without its sealed fold on the device: int16 signals and the targets of every tier."""

    x_NLT: Tensor
    y_NC: dict[str, Tensor]
    device: torch.device

    @classmethod
    def load(cls, data: Development, device: torch.device) -> DeviceData:
        """Move a data set onto `device` once; every fold of every trial gathers from it."""
        return cls(
            x_NLT=torch.from_numpy(np.array(data.x_NLT)).to(device),
            y_NC={tier: torch.from_numpy(y.astype(np.float32)).to(device) for tier, y in data.y.items()},
            device=device,
        )


class FoldTraining:
    """Trains an architecture on the training part of a fold and predicts its validation part.

    All randomness of an epoch comes from generators seeded by (seed, fold, epoch), never by the trial: every
    trial sees the same batches in the same order, so that scores are paired, and a fold that continues from
    a checkpoint ends exactly where an undisturbed one does.

    Args:
        architecture: what to train.
        fold: training and validation rows of `data`.
        data: signals and targets on the device.
        statistics: of the training rows.
        settings: shared by all trials of the study.
    """

    def __init__(
        self,
        architecture: space.Architecture,
        fold: Fold,
        data: DeviceData,
        statistics: LeadStatistics,
        settings: TrainingSettings,
    ) -> None:
        self.fold = fold
        self.settings = settings
        self.epochs_done = 0
        self._data = data
        self._statistics = statistics.to(data.device)
        self._rows = torch.from_numpy(fold.train).to(data.device)
        self._validation_rows = torch.from_numpy(fold.validation).to(data.device)
        self._y_NC = data.y_NC[architecture.label_tier]
        self._model = build_model(
            architecture,
            self._y_NC.shape[1],
            generator=self._generator(0, device=torch.device("cpu")),
            n_leads=data.x_NLT.shape[1],
        ).to(data.device)
        y_NC = self._y_NC[self._rows]
        # One imaginary positive and one negative keep the odds of a class without positives finite.
        self._model.predict_at_first((y_NC.sum(dim=0) + 1) / (len(y_NC) + 2))
        self._loss = make_loss(architecture, y_NC)
        self._optimiser = torch.optim.AdamW(
            self._model.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self._n_steps = settings.epochs * n_batches(len(fold.train), settings.batch_size)

    def run_epoch(self) -> tuple[float, float]:
        """Train one epoch.

        Returns:
            Mean training loss and the seconds it took.

        Raises:
            TrainingError: if the loss is not finite (`diverged`) or memory runs out (`out-of-memory`).
        """
        started = time.perf_counter()
        epoch = self.epochs_done + 1
        shuffling = self._generator(epoch, device=torch.device("cpu"))
        generator = self._generator(epoch, device=self._data.device)
        self._model.draw_dropout_from(generator)
        self._model.train()
        batches = list(shuffled_batches(self._rows, self.settings.batch_size, shuffling))
        total = torch.zeros((), device=self._data.device)
        try:
            for number, rows in enumerate(batches):
                step = self.epochs_done * len(batches) + number
                total += self._train_step(rows, step, generator) * len(rows)
            mean = float(total) / len(self._rows)
        except torch.OutOfMemoryError as error:
            raise TrainingError("out-of-memory", _first_line(error)) from error
        if not math.isfinite(mean):
            raise TrainingError("diverged", f"training loss is {mean} in epoch {epoch}")
        self.epochs_done = epoch
        return mean, time.perf_counter() - started

    def _train_step(self, rows: Tensor, step: int, generator: torch.Generator) -> Tensor:
        for group in self._optimiser.param_groups:
            group["lr"] = one_cycle(step, self._n_steps, self.settings.learning_rate)
        x_BLT = self._statistics.standardise(self._data.x_NLT[rows])
        if self.settings.augment:
            x_BLT = augment(x_BLT, generator)
        with autocast(self._data.device):
            z_BC = self._model(x_BLT)
        loss = self._loss(z_BC.float(), self._y_NC[rows])
        self._optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), self.settings.gradient_clip)
        self._optimiser.step()
        return loss.detach()

    @torch.inference_mode()
    def predict(self) -> NDArray[np.float32]:
        """Probabilities of the validation part on the tier trained on, in the order of `fold.validation`.

        Raises:
            TrainingError: if a probability is not a number.
        """
        self._model.eval()
        parts = []
        for rows in torch.split(self._validation_rows, INFERENCE_BATCH):
            with autocast(self._data.device):
                z_BC = self._model(self._statistics.standardise(self._data.x_NLT[rows]))
            parts.append(torch.sigmoid(z_BC.float()))
        p_NC = torch.cat(parts).cpu().numpy()
        if not np.isfinite(p_NC).all():
            raise TrainingError("diverged", f"predictions are not numbers after epoch {self.epochs_done}")
        return p_NC

    def save(self, path: Path) -> None:
        """Write everything a continuation needs: weights, optimiser state and the epochs done."""
        write_checkpoint(path, self._model, self._optimiser, self.epochs_done)

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint that `save` wrote for the same architecture and fold."""
        self.epochs_done = read_checkpoint(path, self._model, self._optimiser)

    def _generator(self, epoch: int, *, device: torch.device) -> torch.Generator:
        """The stream of one epoch of this fold; epoch 0 draws the initial weights."""
        entropy = (self.settings.seed, self.fold.number, epoch)
        seed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
        return torch.Generator(device).manual_seed(seed % 2**63)


def one_cycle(step: int, n_steps: int, peak: float) -> float:
    """Learning rate of the one-cycle schedule (Smith & Topin 2018) with PyTorch's default shape.

    Cosine from peak / 25 up to the peak over the first 30 % of the steps, then down to peak / 250,000.
    """
    turning = max(1.0, 0.3 * n_steps - 1)
    low, floor = peak / 25, peak / 250_000
    if step <= turning:
        return _cosine(low, peak, step / turning)
    return _cosine(peak, floor, (step - turning) / max(1.0, n_steps - 1 - turning))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * min(1.0, share)))


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
