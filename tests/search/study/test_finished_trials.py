"""The memory of a worker: every finished trial read once, as far as the race may know it."""

import math
from collections.abc import Collection
from pathlib import Path

import pytest
from fake_study import make_worker, open_study, wide_space
from fake_trainer import FakeTrainer

import storage
from search.study.finished_trials import FinishedTrials

pytestmark = pytest.mark.usefixtures("no_optuna_log")

N_EPOCHS = 4


def ledger(store: storage.Store) -> FinishedTrials:
    return FinishedTrials(store, "fake", wide_space(), n_folds=5, n_epochs=N_EPOCHS)


def raced_study(database: Path, n_parallel: int = 1) -> storage.Store:
    store, study = open_study(database)
    trainer = FakeTrainer(n_epochs=N_EPOCHS, n_parallel=n_parallel)
    make_worker(store, study, trainer, alpha=0.2).work(16)
    return store


@pytest.mark.slow
def test_every_trial_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, study = open_study(tmp_path / "search.db")
    worker = make_worker(store, study, FakeTrainer(n_epochs=N_EPOCHS))
    asked: list[int] = []
    finished = storage.Store.finished

    def counted(self: storage.Store, name: str, ids: Collection[int]) -> list[storage.FinishedRecord]:
        asked.extend(ids)
        return finished(self, name, ids)

    known = ledger(store)
    monkeypatch.setattr(storage.Store, "finished", counted)
    for goal in (5, 6, 9):
        worker.work(goal)
        asked.clear()
        known.refresh()
        assert len(known.standing.points) == goal
        assert len(asked) == {5: 5, 6: 1, 9: 3}[goal]
    standing = known.standing
    known.refresh()
    assert known.standing is standing  # nothing new: nothing is fitted again


@pytest.mark.slow
def test_two_workers_know_the_same(tmp_path: Path) -> None:
    """However many calls it took to learn it."""
    store, study = open_study(tmp_path / "search.db")
    worker = make_worker(store, study, FakeTrainer(n_epochs=N_EPOCHS), alpha=0.2)
    early, late = ledger(store), ledger(store)
    for goal in (6, 11, 16):
        worker.work(goal)
        early.refresh()
    late.refresh()
    unseen = late.curve_at_rungs({})
    assert early.standing.points == late.standing.points
    assert early.standing.forecast(unseen) == late.standing.forecast(unseen)
    assert early.estimates() == late.estimates()


@pytest.mark.slow
def test_curves_end_where_the_decision_was_taken(tmp_path: Path) -> None:
    """Folds side by side have trained beyond it, one further than another."""
    store = raced_study(tmp_path / "search.db", n_parallel=2)
    known = ledger(store)
    known.refresh()
    pruned = [trial for trial in store.trials("fake") if trial.state == "pruned"]
    assert pruned
    # Private: the race sees curves through the model that is fitted to all of them.
    by_number = {entry.trial.number: entry.trial for entry in known._entries.values()}
    for trial in pruned:
        assert trial.decision is not None
        curve_FK = by_number[trial.number].curve_FK
        in_training = curve_FK[trial.decision.fold - 1]
        assert [math.isfinite(value) for value in in_training] == [
            epoch <= trial.decision.epoch for epoch in range(1, N_EPOCHS + 1)
        ]


@pytest.mark.slow
def test_pruned_trials_become_estimates(tmp_path: Path) -> None:
    store = raced_study(tmp_path / "search.db")
    known = ledger(store)
    known.refresh()
    n_pruned = store.counts("fake")["pruned"]
    assert n_pruned
    estimates = known.estimates()
    assert len(estimates) == n_pruned
    assert all(0.3 < estimate.score < 0.7 for estimate in estimates)
    assert all(0 < estimate.standard_error < 0.2 for estimate in estimates)


@pytest.mark.slow
def test_a_pruned_trial_counts_with_what_all_of_it_would_take(tmp_path: Path) -> None:
    """The fake trainer claims a second for every epoch."""
    store = raced_study(tmp_path / "search.db")
    known = ledger(store)
    known.refresh()
    assert [seconds for _, seconds in known.durations()] == [5.0 * N_EPOCHS] * 16
