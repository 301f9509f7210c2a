"""Learning on real records, and that a search trains what it says it trains."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import space
from search.cores import available_cores
from search.data.dataset import Development, load_development
from search.data.labels.tiers import PTBXL_TIERS
from search.training.fold_threads import FoldPool
from search.training.interface import FoldOutcome
from search.training.settings import TrainingSettings, automatic_batch_size
from search.training.trainer import CrossValidation
from storage import TierScores


def cross_validate(
    trainer: CrossValidation, architecture: space.Architecture, folder: Path
) -> tuple[dict[str, TierScores], dict[int, FoldOutcome]]:
    """Train every fold as a trial does."""
    outcomes: dict[int, FoldOutcome] = {}
    folds = range(1, trainer.n_folds + 1)
    with FoldPool(trainer, architecture, folds, checkpoint=lambda fold: folder / str(fold)) as pool:
        for report in pool.reports(stop=lambda: False):
            if isinstance(report.event, Exception):
                raise report.event
            if isinstance(report.event, FoldOutcome):
                outcomes[report.fold] = report.event
    predictions = {fold: outcome.predictions for fold, outcome in outcomes.items()}
    return dict(trainer.summarise(architecture.label_tier, predictions)), outcomes


def superclass_trainer(sample: Development, settings: TrainingSettings, cache: Path) -> CrossValidation:
    return CrossValidation(
        sample,
        "superclass",
        settings,
        device=torch.device("cpu"),
        n_threads=available_cores(),
        cache_dir=cache,
    )


@pytest.mark.slow
@pytest.mark.needs_data
@pytest.mark.timeout(600)
def test_the_cnn_preset_learns_superclasses_of_real_records(shared_data: Path, tmp_path: Path) -> None:
    """Macro-AUPRC by chance is about .25; at full width, which takes a minute on two cores, it is .70."""
    sample = load_development(shared_data / "ptb-xl-sample", cache_dir=tmp_path)
    settings = TrainingSettings(epochs=8, batch_size=automatic_batch_size(len(sample)))
    trainer = superclass_trainer(sample, settings, tmp_path)
    scores, outcomes = cross_validate(
        trainer, replace(space.preset("cnn", "superclass"), width=0.25), tmp_path
    )

    metrics = scores["superclass"].metrics
    assert metrics["n_undefined_classes"] == 0
    assert metrics["macro_auprc"] >= 0.65
    assert metrics["macro_auroc"] >= 0.80
    scored = np.concatenate([outcome.predictions.ecg_id for outcome in outcomes.values()])
    assert sorted(scored.tolist()) == sorted(sample.ecg_id.tolist())


def test_fine_labels_train_a_model_for_a_coarse_target(ptbxl: Path, tmp_path: Path) -> None:
    """One epoch of a tiny model, only to see that every part fits the real tiers."""
    sample = load_development(ptbxl, cache_dir=tmp_path)
    settings = TrainingSettings(epochs=1, batch_size=16)
    trainer = superclass_trainer(sample, settings, tmp_path)
    tiny = space.Architecture(width=0.0625, head_width=16, label_tier="all")
    assert [trainer.n_outputs(tier) for tier in ("superclass", "subclass", "diagnostic", "all")] == [
        5,
        23,
        44,
        71,
    ]
    run = trainer.start(tiny, 5)
    (epoch,) = trainer.group([run]).run_epoch()
    outcome = run.outcome()
    assert outcome.predictions.probabilities_NC.shape == (len(outcome.predictions.ecg_id), 71)
    assert set(outcome.scores) == set(PTBXL_TIERS)
    assert outcome.scores["superclass"].metrics["macro_auprc"] == pytest.approx(epoch.score)
    summary = trainer.summarise("all", {5: outcome.predictions})
    assert summary["superclass"].metrics["macro_auprc"] == pytest.approx(epoch.score)
