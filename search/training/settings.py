"""Settings that every trial of a study shares, so that scores are comparable."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from search.errors import UsageError

SMALL_TRAINING_SET = 5_000
"""Training records below which the automatic batch size is small."""

LARGEST_SEED = 2**32 - 1
"""Largest seed that the samplers of Optuna accept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSettings:
    """Settings of the training of every fold of every trial.

    Raises:
        UsageError: if a value cannot be used.
    """

    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 5e-3
    """Peak of the one-cycle schedule."""
    weight_decay: float = 1e-2
    gradient_clip: float = 1.0
    """Largest norm of the gradient."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (("epochs", 1), ("batch_size", 2), ("seed", 0)):
            value = getattr(self, name)
            if value < low:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} is a whole number from {low} up, got {value}")
        if self.seed > LARGEST_SEED:
            raise UsageError(f"--seed is at most {LARGEST_SEED}, got {self.seed}")
        if not 0 < self.learning_rate <= 1:
            raise UsageError(f"--lr lies between 0 and 1, got {self.learning_rate:g}")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """The training settings among the settings of a study."""
        return cls(**{each.name: settings[each.name] for each in fields(cls)})

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


def automatic_batch_size(n_training: int) -> int:
    """Small batches for small training sets: a short schedule needs enough steps to get anywhere."""
    return 32 if n_training < SMALL_TRAINING_SET else 128
