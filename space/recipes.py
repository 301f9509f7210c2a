"""Recipes: how the weights are fitted, where a published system says so.

What a recipe leaves open is the study's, the same for every trial.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Optimiser and schedule of a trial; None takes the study's setting."""

    words: str
    optimiser: Literal["adamw", "adam"] = "adamw"
    learning_rate: float | None = None
    """Peak of the schedule."""
    weight_decay: float | None = None
    schedule: Literal["one-cycle", "cosine"] = "one-cycle"
    batch_size: int | None = None
    epochs: int | None = None
    """Epochs after which training ends, if the study has more."""
    patience: int | None = None
    """Epochs without a better score on a slice of the training part after which training ends."""


RECIPES: dict[str, Recipe] = {
    "study": Recipe(words="the study's AdamW and one-cycle schedule"),
    "resnet1d-se": Recipe(
        words="AdamW, weight decay 1e-5, one cycle to 1e-3, stops after 10 epochs without a better score",
        learning_rate=1e-3,
        weight_decay=1e-5,
        patience=10,
    ),
    "hc-cnn-tn": Recipe(
        words="Adam 3e-4, cosine, 15 epochs, batches of 64",
        optimiser="adam",
        learning_rate=3e-4,
        weight_decay=0.0,
        schedule="cosine",
        batch_size=64,
        epochs=15,
    ),
    "s4d": Recipe(
        words="AdamW, weight decay 1e-2, one cycle to 1e-3",
        learning_rate=1e-3,
        weight_decay=1e-2,
    ),
    "benchmark": Recipe(
        words="AdamW, weight decay 1e-2, one cycle to 1e-2, batches of 128",
        learning_rate=1e-2,
        weight_decay=1e-2,
        batch_size=128,
    ),
}
"""Recipes by name: Ichli 2025 (section 3.3), HC-CNN-TN (section 4.1), Strodthoff et al. 2021 (section II.B).
Of `s4d` the peak is that of Mehari & Strodthoff 2023; the schedule is ours."""
