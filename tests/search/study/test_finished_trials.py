"""The memory of a worker: every finished trial read once, as far as the race may know it."""

import math
from collections.abc import Collection
from pathlib import Path

import pytest
from fake_study import make_worker, open_study, wide_space
from fake_trainer import FakeTrainer

import space
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


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> storage.Store:
    """A study in which the race has stopped some trials, for tests that only read it."""
    return raced_study(tmp_path_factory.mktemp("raced") / "search.db")


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
def test_pruned_trials_become_estimates(raced: storage.Store) -> None:
    known = ledger(raced)
    known.refresh()
    n_pruned = raced.counts("fake")["pruned"]
    assert n_pruned
    estimates = known.estimates()
    assert len(estimates) == n_pruned
    assert all(0.3 < estimate.score < 0.7 for estimate in estimates)
    assert all(0 < estimate.standard_error < 0.2 for estimate in estimates)


@pytest.mark.slow
def test_a_pruned_trial_counts_with_what_all_of_it_would_take(raced: storage.Store) -> None:
    """The fake trainer claims a second for every epoch."""
    known = ledger(raced)
    known.refresh()
    assert [seconds for _, seconds in known.durations()] == [5.0 * N_EPOCHS] * 16


class Told:
    """The part of a store that the memory reads."""

    def __init__(self, records: list[storage.FinishedRecord]) -> None:
        self.records = records

    def finished_numbers(self, study: str) -> dict[int, int]:
        return {record.id: record.number for record in self.records}

    def repeats(self, study: str) -> dict[int, tuple[storage.RepeatRecord, ...]]:
        return {}

    def finished(self, study: str, ids: Collection[int]) -> list[storage.FinishedRecord]:
        return [record for record in self.records if record.id in ids]


def test_rivals_have_no_more_leads() -> None:
    axes = {**space.SPACES["paper"], "leads": ("all", "limb", "I"), "lead_dropout": (0.0,), "depth": (0,)}
    told = [("all", 0.9, 500), ("limb", 0.8, 400), ("I", 0.7, 300)]
    records = [
        storage.FinishedRecord(
            id=number,
            number=number,
            architecture=space.Architecture(leads=leads, label_smoothing=0.05).to_dict(),
            cost=cost,
            score=score,
            curve={},
            seconds_per_epoch=1.0,
            finished_folds=frozenset(range(1, 6)),
            decisions=(),
        )
        for number, (leads, score, cost) in enumerate(told)
    ]
    searched = space.Space("searched", ("subclass",), axes)
    known = FinishedTrials(Told(records), "leads", searched, n_folds=5, n_epochs=N_EPOCHS)
    known.refresh()
    rivals = {n: [point.trial for point in known.standing_with(n).points] for n in (12, 6, 3, 1)}
    assert rivals == {12: [0, 1, 2], 6: [1, 2], 3: [2], 1: [2]}
    # A model of one lead with .75 at 600 is beaten by those with more leads alone.
    assert known.is_dominated(600, 0.75, 12)
    assert known.is_dominated(600, 0.75, 6)
    assert not known.is_dominated(600, 0.75, 1)
