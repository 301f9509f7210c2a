"""Test doubles of training and of a server: `pip install '.[test,postgresql]'`."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests/helpers"))

import fake_trainer
import numpy as np
from fake_study import study_record, wide_space
from fake_trainer import CLASSES, FakeTrainer
from postgresql_server import running_server

from scores.metrics import all_metrics
from storage import TierScores

__all__ = ["CLASSES", "FakeTrainer", "like_ptbxl", "running_server", "study_record", "wide_space"]


def like_ptbxl() -> None:
    """Give the trials of the fake trainer as many classes and metrics as those on PTB-XL have.

    In this process: one that was spawned must do so itself.
    """
    sizes = {"superclass": 5, "subclass": 23, "diagnostic": 44}
    CLASSES.update({tier: tuple(f"{tier[:3]}{i:02d}" for i in range(n)) for tier, n in sizes.items()})
    y_NC = np.arange(400)[:, None] % 44 == np.arange(44)
    p_NC = np.random.default_rng(0).random(y_NC.shape).astype(np.float32)

    def tier_scores(label_tier: str, macro_auprc: float) -> dict[str, TierScores]:
        found = {}
        for tier in list(CLASSES)[: list(CLASSES).index(label_tier) + 1]:
            n_classes = len(CLASSES[tier])
            result = all_metrics(y_NC[:, :n_classes], p_NC[:, :n_classes])
            found[tier] = TierScores(
                metrics={**result.overall, "macro_auprc": macro_auprc},
                class_metrics={name: tuple(map(float, column)) for name, column in result.per_class.items()},
            )
        return found

    fake_trainer.tier_scores = tier_scores
