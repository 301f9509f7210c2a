"""What the tests have in place of training and of a server: `pip install '.[test,postgresql]'`."""

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

import fake_trainer
from fake_trainer import CLASSES, FakeTrainer, study_record, wide_space
from postgresql_server import running_server

from storage import TierScores

__all__ = ["CLASSES", "FakeTrainer", "running_server", "study_record", "use_scores", "wide_space"]


def use_scores(scores: Callable[[str, float], dict[str, TierScores]]) -> None:
    """Let the fake trainer find these: what a tier is given and its score, to the scores of all tiers."""
    fake_trainer.tier_scores = scores
