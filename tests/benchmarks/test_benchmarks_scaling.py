"""The large studies of the scaling benchmark are studies, and its tables say what was measured."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fake_study import make_worker, study_record, wide_space
from fake_trainer import FakeTrainer
from postgresql_server import Server

import storage
from benchmarks.scaling.helpers.crowd import Crowd
from benchmarks.scaling.helpers.large_study import multiply, running
from benchmarks.scaling.scaling import Scoring, Size, Trial, body
from search.study.study import make_study

pytestmark = pytest.mark.needs_postgresql


def but_the_objective(summary: Mapping[str, storage.TierScores]) -> dict[str, Any]:
    return {
        tier: (scores.class_metrics, {**scores.metrics, "macro_auprc": 0.0})
        for tier, scores in summary.items()
    }


@pytest.mark.slow
def test_a_multiplied_study_is_read_and_continued_like_any_other(server: Server, tmp_path: Path) -> None:
    store = storage.open_store(server.new_database(), artifacts=tmp_path)
    study = make_study(store, study_record())
    make_worker(store, study, FakeTrainer()).work(1)
    template = store.trials("fake")[0]
    multiply(store, "fake", wide_space(), 20)
    multiply(store, "fake", wide_space(), 30)
    trials = store.trials("fake")
    assert [trial.number for trial in trials] == list(range(30))
    assert len({trial.architecture_hash for trial in trials}) == 30
    assert len({trial.score for trial in trials}) == 30
    assert {trial.state for trial in trials} == {"complete"}
    for trial in trials[1:]:
        assert store.epochs(trial.id) == store.epochs(template.id)
        assert but_the_objective(store.summary(trial.id)) == but_the_objective(store.summary(template.id))
        assert len(store.folds(trial.id)) == 5
    with running(store, "fake", 10):
        assert [trial.state for trial in store.trials("fake")] == ["complete"] * 20 + ["running"] * 10
        # Private: a start of a trial without its training.
        make_worker(store, study, FakeTrainer(n_epochs=1), sampler="front")._next_trial(100)
        assert store.counts("fake")["running"] == 10  # nobody took them for dead
    make_worker(store, study, FakeTrainer(), sampler="front", alpha=0.05, seed=1).work(32)
    assert store.counts("fake")["complete"] + store.counts("fake")["pruned"] == 32
    store.close()


def test_what_was_not_measured_is_carried_on_in_proportion() -> None:
    trial = Trial(n_statements=3000, n_rows={"ecg_epochs": 150, "ecg_scores": 50})
    size = Size(
        n_trials=1000,
        n_running=500,
        n_rows=200_000,
        n_bytes=2**30,
        start_s={"random": 0.3, "front": 1.5},
        first_s={"random": 1.0, "front": 2.0},
        overview_s=0.5,
        report_s=7.0,
        page_bytes=3_000_000,
    )
    crowd = Crowd(
        n_workers=100,
        n_begun=100,
        begun_s=29.7,
        n_connections=210,
        n_waiting=5,
        epochs_per_s=5.0,
        transactions_per_s=100.0,
        epoch_s=(0.01, 0.02),
        errors=Counter({"StorageError: gone": 2, "StorageError: full": 3}),
    )
    scoring = Scoring(n_records=100_000, score_s=2.0, n_bytes=10 * 2**20)
    text = body(trial, [size], [crowd], [scoring])
    for row in (
        "| rows | 2.0 million |",
        "| database | 10.0 GiB |",
        "| statements a second | 1,000 |",  # 1,000 workers, 3,000 s a trial
        "| the same, front | 50 % |",
        "| connections | 2,100 |",
        "| until all have begun, when all begin at once | 5 min |",
        "| signals in the memory of every worker | 22 GiB |",
        "| to score a fold after an epoch | 4.0 s |",
        "| predictions of a trial | 100 MiB |",
        "| predictions of all trials | 977 GiB |",
        "- 3 of 100 workers: StorageError: full\n- 2 of 100 workers: StorageError: gone\n",
    ):
        assert row in text
