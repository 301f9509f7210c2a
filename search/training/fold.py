"""One fold of one trial: all that it is made of, and what belongs to it alone.

Shapes: N record, B batch, L lead, T time, C class, K hand-crafted feature.
"""

from __future__ import annotations

import contextlib
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
from scores.metrics import auroc, average_precision, macro
from search.errors import TrainingError
from search.models.hybrid import build_model
from search.models.modules import full_precision
from search.training.augmentation import Augmentation, with_lead_dropout
from search.training.batches import Batch, shuffled_batches
from search.training.checkpoint import read_checkpoint, write_checkpoint
from search.training.device import autocast
from search.training.inference import logits, probabilities
from search.training.lockstep import Lockstep, Rate, Together
from search.training.losses import LEAST_PROBABILITY, distillation, is_categorical, make_loss
from search.training.model_file import pack_model
from search.training.sampling import epoch_rows
from search.training.schedule import EarlyStopping, Plan, Plateau
from search.training.settings import TrainingSettings
from storage import EpochRecord

if TYPE_CHECKING:
    from search.data.dataset import Development
    from search.data.folds import Fold
    from search.training.device_data import DeviceData, FoldMaterial

WATCHED_SHARE = 0.1
"""Share of the training part's patients on which early stopping is decided."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measures:
    """Loss, accuracy and F1 of some records on the tier trained on."""

    loss: float
    """Mean, by the loss that is trained."""
    accuracy: float
    """Share of right cells at a threshold of .5; of an exclusive tier that of right records."""
    f1: float
    """Mean over the classes that occur, at .5; of an exclusive tier of the most probable class."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """State that a training step changes before it updates the weights."""

    generator: Tensor
    buffers: tuple[Tensor, ...]
    n_updates: int
    """Steps of the fold until then; what has reached the weights cannot be undone."""


class FoldTraining:
    """Training of an architecture on the training part of a fold, and prediction of its validation part.

    Alone, or in lock-step with other folds of the same architecture (`search.training.lockstep`).

    All randomness of an epoch comes from generators seeded by (seed, fold, epoch), never by the trial: every
    trial sees the same batches in the same order, so that scores are paired, and on a CPU a fold that
    continues from a checkpoint ends exactly where an undisturbed one does. On a GPU the same random numbers
    are drawn, but kernels add up in an order of their own: two trainings with one seed agree to a few digits.

    Nothing is selected on the validation part: early stopping and reduction of the learning rate on a
    plateau, where the recipe has them, monitor a tenth of the patients of the training part, whose records
    are then not trained on.

    Args:
        architecture: what to train.
        fold: training and validation rows of `data`.
        data: signals and targets on the device.
        settings: shared by all trials of the study.
        watch_validation: watch the validation part instead, where it scores nothing; the weights then see all
            of the training part.
    """

    def __init__(
        self,
        architecture: space.Architecture,
        fold: Fold,
        data: DeviceData,
        settings: TrainingSettings,
        *,
        watch_validation: bool = False,
    ) -> None:
        self.fold = fold
        self._architecture = architecture
        self.settings = settings
        self.epochs_done = 0
        self.seconds = 0.0
        """Seconds of these epochs, those before a continuation included."""
        self._plan = Plan.of(space.RECIPES[architecture.recipe], settings)
        self._stopping = EarlyStopping(self._plan.recipe.patience)
        self._plateau = Plateau()
        self.device = data.device
        self.batch_size = self._plan.batch_size
        rows, watched = (fold.train, fold.validation) if watch_validation else self._split(data.patient_id)
        self._rows = torch.from_numpy(rows).to(data.device)
        self._watched = torch.from_numpy(watched).to(data.device)
        self.validation_rows = torch.from_numpy(fold.validation).to(data.device)
        self._material: FoldMaterial = data.material(architecture, fold, rows, seed=settings.seed)
        y_NC = self._material.y_NC[self._rows]
        self.model = build_model(
            architecture,
            y_NC.shape[1],
            generator=torch.Generator().manual_seed(self._seed(0)),
            inputs=data.inputs,
        ).to(data.device)
        self.generator = torch.Generator(data.device)
        self.model.draw_dropout_from(self.generator)
        # One imaginary positive and one negative keep the odds of a class without positives finite.
        self.model.set_initial_output((y_NC.sum(dim=0) + 1) / (len(y_NC) + 2))
        data.begin(self.model, architecture, fold)
        exclusive = data.is_exclusive(architecture.label_tier)
        self._loss = make_loss(architecture, y_NC, exclusive=exclusive)
        self.is_categorical = is_categorical(architecture, exclusive=exclusive)
        self._exclusive = exclusive
        self._seen_4C = torch.zeros(4, y_NC.shape[1], dtype=torch.int64, device=data.device)
        """Counts of the epoch, by class: true positives, predicted positives, positives, records."""
        weigh = space.load_code(space.SAMPLINGS[architecture.sampling].weights)
        self._weight_N: Tensor = weigh(y_NC).cpu()
        self._augment: Augmentation = space.load_code(space.AUGMENTATIONS[architecture.augmentation].apply)
        self._optimiser = self._plan.optimiser(self.model)
        self._last_loss = math.nan
        self.n_updates = 0
        """Number of weight updates by `optimizer_step`; a captured step is not counted again."""

    @property
    def is_over(self) -> bool:
        """Whether the weights stay as they are: after the recipe's epochs, or ended by early stopping."""
        return self.epochs_done >= self._plan.epochs or self._stopping.is_over

    def run_epoch(self) -> tuple[float, float]:
        """Train one epoch; one after the recipe's last, or after early stopping, changes nothing.

        Returns:
            Mean training loss and the seconds it took. The first epoch is charged with the seconds that
            went into synthetic records, whichever trial made them.

        Raises:
            TrainingError: if the loss is not finite (`diverged`) or memory runs out (`out-of-memory`).
        """
        (outcome,) = Lockstep([self], Together(lockstep=False, graphs=False)).run_epoch()
        if isinstance(outcome, TrainingError):
            raise outcome
        return outcome

    def begin_epoch(self) -> list[Tensor]:
        """Rows of the batches of the next epoch, in order; from here on random numbers are that epoch's."""
        seed = self._seed(self.epochs_done + 1)
        self.generator.manual_seed(seed)
        self.model.train()
        self._seen_4C.zero_()
        generator = torch.Generator().manual_seed(seed)
        rows = epoch_rows(self._rows, self._weight_N, generator)
        return list(shuffled_batches(rows, self.batch_size, generator))

    def rates(self, n_steps: int) -> list[float]:
        """Learning rates of the steps of the next epoch."""
        first = self.epochs_done * n_steps
        factor = self._plateau.factor if self._plan.recipe.schedule == "plateau" else 1.0
        return [factor * self._plan.rate(first + step, len(self._rows)) for step in range(n_steps)]

    def draw(self, rows: Tensor) -> Batch:
        """A batch of these rows, with synthetic records and augmentation as the generator has it."""
        batch = self._material.training_batch(rows, self.generator)
        batch = self._augment(batch, self.generator, self._material.rate_hz)
        if self._architecture.lead_dropout:
            batch = with_lead_dropout(batch, self.generator, self._architecture.lead_dropout)
        return batch

    def precision(self) -> contextlib.AbstractContextManager[object]:
        """The precision in which the model computes."""
        return autocast(self.device)

    def loss(self, z_BC: Tensor, batch: Batch) -> Tensor:
        """Mean loss of logits, by the labels and, where there is a teacher, its soft targets."""
        z_BC = full_precision(z_BC)
        by_labels = self._loss(z_BC, batch.y_BC)
        weight, temperature = self._architecture.teacher_weight, self._architecture.temperature
        if batch.teacher_BC is None or weight is None or temperature is None:
            return by_labels
        by_teacher = distillation(
            z_BC, batch.teacher_BC, temperature=temperature, categorical=self.is_categorical
        )
        return (1 - weight) * by_labels + weight * by_teacher

    def note(self, z_BC: Tensor, y_BC: Tensor) -> None:
        """Count what was right in a step; a captured step counts whenever it is replayed."""
        self._seen_4C += self._counts(z_BC, y_BC)

    def _counts(self, score_BC: Tensor, y_BC: Tensor) -> Tensor:
        """Counts laid out as `_seen_4C`, from scores that are positive where a class is called."""
        called_BC, is_BC = score_BC >= 0, y_BC >= 0.5
        if self._exclusive:
            called_BC, is_BC = _most_probable(score_BC), _most_probable(y_BC)
        return torch.stack(
            [
                (called_BC & is_BC).sum(dim=0),
                called_BC.sum(dim=0),
                is_BC.sum(dim=0),
                torch.ones_like(is_BC, dtype=torch.int64).sum(dim=0),
            ]
        )

    def _measures(self, loss: float, counts_4C: Tensor) -> Measures:
        right_C, called_C, positive_C, n_C = counts_4C.cpu().numpy().astype(np.float64)
        if not n_C.any():
            return Measures(loss=loss, accuracy=math.nan, f1=math.nan)
        n_right = right_C.sum() if self._exclusive else (n_C - called_C - positive_C + 2 * right_C).sum()
        f1_C = 2 * right_C / np.maximum(called_C + positive_C, 1)
        # As `scores.metrics` has it: a class without a positive or without a negative has no F1.
        f1_C[(positive_C == 0) | (positive_C == n_C)] = np.nan
        return Measures(
            loss=loss,
            accuracy=float(n_right / (n_C[0] if self._exclusive else n_C.sum())),
            f1=macro(f1_C, positive_C).value,
        )

    def training_measures(self) -> Measures:
        """Measures of the last epoch over its batches: augmented, with dropout, before a step."""
        return self._measures(self._last_loss, self._seen_4C)

    def validation_measures(self, p_NC: NDArray[np.float32]) -> Measures:
        """Measures of the validation part.

        Args:
            p_NC: probabilities from `predict`.
        """
        return self._measured(self.validation_rows, p_NC)

    def record(
        self,
        loss: float,
        seconds: float,
        *,
        p_NC: NDArray[np.float32] | None = None,
        score: float = math.nan,
    ) -> EpochRecord:
        """Record of the last epoch.

        Args:
            loss: mean training loss, as of `run_epoch`.
            seconds: as of `run_epoch`.
            p_NC: probabilities from `predict`; None without a validation part.
            score: score of the validation part.
        """
        training = self.training_measures()
        validation = Measures(loss=math.nan, accuracy=math.nan, f1=math.nan)
        if p_NC is not None:
            validation = self.validation_measures(p_NC)
        return EpochRecord(
            fold=self.fold.number,
            epoch=self.epochs_done,
            training_loss=loss,
            score=score,
            seconds=seconds,
            training_accuracy=training.accuracy,
            training_f1=training.f1,
            validation_loss=validation.loss,
            validation_accuracy=validation.accuracy,
            validation_f1=validation.f1,
        )

    def _measured(self, rows: Tensor, p_NC: NDArray[np.float32]) -> Measures:
        p, y_NC = torch.from_numpy(p_NC).to(self.device), self._material.y_NC[rows]
        if self.is_categorical:
            z_NC = torch.log(p.clamp(min=LEAST_PROBABILITY))
        else:
            z_NC = torch.logit(p, eps=LEAST_PROBABILITY)
        return self._measures(float(self._loss(z_NC, y_NC)), self._counts(z_NC, y_NC))

    def zero_grad(self) -> None:
        """Reset the gradients."""
        self._optimiser.zero_grad(set_to_none=True)

    def optimizer_step(self, rate: Rate) -> None:
        """Change the weights by their gradients, whose norm is clipped, at this learning rate."""
        for group in self._optimiser.param_groups:
            if isinstance(rate, Tensor):
                group["lr"].copy_(rate)
            else:
                group["lr"] = rate
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._plan.gradient_clip)
        self._optimiser.step()
        self.n_updates += 1

    def end_epoch(self, loss: float | None, seconds: float) -> tuple[float, float]:
        """Record an epoch; end training after the last one.

        Args:
            loss: mean over the epoch; None if nothing was trained, because training is over.
            seconds: that went into it.

        Returns:
            Mean training loss and seconds, as of `run_epoch`.

        Raises:
            TrainingError: if the loss is not finite.
        """
        began_s = time.perf_counter()
        charged_s = 0.0 if self.epochs_done else self._material.seconds
        if loss is not None:
            if not math.isfinite(loss):
                raise TrainingError("diverged", f"training loss is {loss} in epoch {self.epochs_done + 1}")
            self._last_loss = loss
            if self._plan.watches:
                self._watch()
        self.epochs_done += 1
        if self.is_over:
            self._stopping.restore_best(self.model)
        seconds += time.perf_counter() - began_s + charged_s
        self.seconds += seconds
        return self._last_loss, seconds

    def snapshot(self) -> Snapshot:
        """Copy of the state that `restore_snapshot` needs to undo an unfinished step."""
        buffers = self._changed_by_a_step()
        # All at once: on a GPU it is done before every step that may lack memory, and launches are its cost.
        copies = torch._foreach_mul(buffers, 1)
        return Snapshot(generator=self.generator.get_state(), buffers=tuple(copies), n_updates=self.n_updates)

    def restore_snapshot(self, state: Snapshot) -> None:
        """Draw the same random numbers again, from a new generator; what batch norm saw is taken back."""
        self.zero_grad()
        self.n_updates = state.n_updates
        self.generator = torch.Generator(self.device)
        self.generator.set_state(state.generator)
        self.model.draw_dropout_from(self.generator)
        for buffer, before in zip(self._changed_by_a_step(), state.buffers, strict=True):
            buffer.copy_(before)

    def _changed_by_a_step(self) -> list[Tensor]:
        return [*self.model.buffers(), self._seen_4C]

    def predict(self) -> NDArray[np.float32]:
        """Probabilities of the validation part on the tier trained on, in the order of `fold.validation`.

        Raises:
            TrainingError: if a probability is not a number.
        """
        return self._predict(self.validation_rows)

    def _predict(self, rows_N: Tensor) -> NDArray[np.float32]:
        z_NC = logits(self.model, rows_N, self._material.batch)
        return self.checked(probabilities(z_NC, categorical=self.is_categorical))

    def fetch(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Standardised signals of some rows as this fold sees them, and features if they are wanted."""
        return self._material.batch(rows)

    def checked(self, p_NC: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same probabilities.

        Raises:
            TrainingError: if one is not a number.
        """
        if not np.isfinite(p_NC).all():
            raise TrainingError("diverged", f"predictions are not numbers after epoch {self.epochs_done}")
        return p_NC

    def packed(self, data: Development) -> bytes:
        """The model as it stands, as a file that can be used without `data`, on which it is trained."""
        return pack_model(
            self.model,
            self._architecture,
            data,
            statistics=self._material.statistics,
            scaling=self._material.scaling,
        )

    def save(self, path: Path) -> None:
        """Write everything a continuation needs: weights, optimiser state, epochs done and their seconds."""
        write_checkpoint(
            path,
            self.model,
            self._optimiser,
            epochs_done=self.epochs_done,
            seconds=self.seconds,
            stopping=self._stopping,
            plateau=self._plateau,
        )

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint that `save` wrote for the same architecture and fold.

        Not within lock-step: a captured graph would update the tensors of the former state.
        """
        self.epochs_done, self.seconds = read_checkpoint(
            path, self.model, self._optimiser, stopping=self._stopping, plateau=self._plateau
        )

    def _watch(self) -> None:
        """Score held-out records, for early stopping and for the plateau schedule."""
        p_NC = self._predict(self._watched)
        y_NC = (self._material.y_NC[self._watched] >= 0.5).cpu().numpy()
        score_of = auroc if self._plan.recipe.watches == "auroc" else average_precision
        if self._plan.recipe.patience is not None:
            self._stopping.update(macro(score_of(y_NC, p_NC), y_NC.sum(axis=0)).value, self.model)
        self._plateau.update(self._measured(self._watched, p_NC).loss)

    def _split(self, patient_id: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows that are trained on and rows that are watched; no patient is on both sides."""
        rows = self.fold.train
        if not self._plan.watches:
            return rows, rows[:0]
        patients = np.unique(patient_id[rows])
        drawn = np.random.default_rng((self.settings.seed, self.fold.number)).permutation(patients)
        watched = np.isin(patient_id[rows], drawn[: max(1, round(WATCHED_SHARE * len(drawn)))])
        return rows[~watched], rows[watched]

    def _seed(self, epoch: int) -> int:
        """Seed of one epoch of this fold; epoch 0 draws the initial weights."""
        entropy = (self.settings.seed, self.fold.number, epoch)
        return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]) % 2**63


def _most_probable(score_BC: Tensor) -> Tensor:
    """Whether a class is the first with the largest score."""
    classes_C = torch.arange(score_BC.shape[1], device=score_BC.device)
    return score_BC.argmax(dim=1, keepdim=True) == classes_C
