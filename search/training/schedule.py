"""Recipe and settings of a study as a plan: learning rate at every step, length, and when to stop."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import space
from search.training.batches import n_batches
from search.training.settings import TrainingSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Settings of one trial: the recipe's where it has any, else the study's."""

    recipe: space.Recipe
    epochs: int
    """Epochs of training; the study may count more, in which nothing happens."""
    batch_size: int
    learning_rate: float
    weight_decay: float
    gradient_clip: float

    @classmethod
    def of(cls, recipe: space.Recipe, settings: TrainingSettings) -> "Plan":
        """Combine a recipe with the settings of a study."""
        return cls(
            recipe=recipe,
            epochs=min(recipe.epochs or settings.epochs, settings.epochs),
            batch_size=recipe.batch_size or settings.batch_size,
            learning_rate=recipe.learning_rate or settings.learning_rate,
            weight_decay=settings.weight_decay if recipe.weight_decay is None else recipe.weight_decay,
            gradient_clip=recipe.gradient_clip or settings.gradient_clip,
        )

    @property
    def watches(self) -> bool:
        """Whether some records are scored after every epoch, to end training or to lower the rate."""
        return self.recipe.patience is not None or self.recipe.schedule == "plateau"

    def optimiser(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimiser of the weights that are trained."""
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        kind: type[torch.optim.AdamW | torch.optim.Adam]
        kind = torch.optim.AdamW if self.recipe.optimiser == "adamw" else torch.optim.Adam
        if parameters[0].is_cuda:
            # A captured step reads the rate from where it lies; what is captured must not ask the device.
            rate = torch.tensor(self.learning_rate, device=parameters[0].device)
            optimiser = kind(parameters, lr=rate, weight_decay=self.weight_decay, fused=True, capturable=True)
            # Some steps are done without a graph on purpose; PyTorch would warn of it in every trial.
            optimiser._warned_capturable_if_run_uncaptured = True
            return optimiser
        return kind(parameters, lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)

    def rate(self, step: int, n_rows: int) -> float:
        """Learning rate of a step (from 0) when an epoch has `n_rows` records, before `Plateau.factor`."""
        n_steps = self.epochs * n_batches(n_rows, self.batch_size)
        if self.recipe.schedule == "plateau":
            return self.learning_rate
        if self.recipe.schedule == "cosine":
            return _cosine(self.learning_rate, 0.0, step / n_steps)
        return one_cycle(step, n_steps, self.learning_rate)


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


class Plateau:
    """Reduction of the learning rate on a plateau of a loss, like Keras' `ReduceLROnPlateau`.

    Half of it after three epochs, where Keras leaves a tenth after ten: so that it is lowered before early
    stopping, whose patience is ten epochs, ends training.
    """

    FACTOR = 0.5
    PATIENCE = 3
    LEAST = 1e-4
    """Minimum difference by which a loss has to be lower than the lowest so far; Keras' default."""

    def __init__(self) -> None:
        self.factor = 1.0
        """Factor of the learning rate."""
        self.best = math.inf
        self.waited = 0

    def update(self, loss: float) -> None:
        """Record the loss of an epoch; one that is not a number has not fallen."""
        if loss < self.best - self.LEAST:
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited >= self.PATIENCE:
            self.factor, self.waited = self.factor * self.FACTOR, 0

    def state(self) -> dict[str, Tensor]:
        """State for a checkpoint."""
        return {"state": torch.tensor([self.factor, self.best, self.waited], dtype=torch.float64)}

    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from what `state` returned; checkpoints of before there was a plateau have none."""
        if state:
            self.factor, self.best, waited = state["state"].tolist()
            self.waited = int(waited)


class EarlyStopping:
    """Early stopping after some epochs without a better score; keeps the weights of the best epoch.

    Args:
        patience: epochs without a better score; None never ends and keeps nothing.
    """

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
        self.best = -math.inf
        self.waited = 0
        self._weights: dict[str, Tensor] = {}

    @property
    def is_over(self) -> bool:
        """Whether training should end."""
        return self.patience is not None and self.waited >= self.patience

    def update(self, score: float, model: nn.Module) -> None:
        """Record the score of an epoch; one that is not a number is no improvement."""
        if score > self.best:
            self.best, self.waited = score, 0
            self._weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
        else:
            self.waited += 1

    def restore_best(self, model: nn.Module) -> None:
        """Give the model its best weights, if any were kept."""
        if self._weights:
            model.load_state_dict(self._weights)

    def state(self) -> dict[str, Tensor]:
        """State for a checkpoint."""
        weights = {f"weights.{name}": value for name, value in self._weights.items()}
        return {"score": torch.tensor([self.best, self.waited], dtype=torch.float64), **weights}

    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from what `state` returned."""
        self.best, waited = state["score"].tolist()
        self.waited = int(waited)
        self._weights = {
            name.removeprefix("weights."): value
            for name, value in state.items()
            if name.startswith("weights.")
        }
