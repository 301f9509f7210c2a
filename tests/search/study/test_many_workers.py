"""Many workers on one SQLite file: nobody sees a lock, nothing is trained twice, the goal is met exactly.

`make chaos` sets CHAOS, and with it the numbers that a large machine would see.
"""

import os
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from fake_study import make_worker, open_study
from fake_trainer import FakeTrainer
from faulty_workers import end_all, start
from killed_workers import queue_killed_trials

import storage
from search.study.study import quiet_optuna

N_WORKERS, N_TRIALS = (16, 500) if os.environ.get("CHAOS") else (8, 60)


def fake_worker(folder: Path, number: int) -> int:
    """One of the workers; all come to a place where there is no database yet."""
    quiet_optuna()
    try:
        storage.open_store(f"sqlite:///{folder}/search.db").close()
        store, study = open_study(folder / "search.db")
        worker = make_worker(store, study, FakeTrainer(n_folds=1, n_epochs=2), seed=number, worker=number)
        queue_killed_trials(store, study)
        worker.work(N_TRIALS)
    except storage.StorageError as error:
        print(f"search: {error}", file=sys.stderr)
        return 1
    return 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_many_workers_share_a_study_exactly(tmp_path: Path) -> None:
    said = tmp_path / "said.txt"
    begin = partial(start, fake_worker, tmp_path, said=said)
    assert end_all([begin(number) for number in range(N_WORKERS)], timeout_s=1000) == [0] * N_WORKERS
    assert said.read_text() == ""
    store = storage.open_store(f"sqlite:///{tmp_path}/search.db")
    assert {state: n for state, n in store.counts("fake").items() if n} == {"complete": N_TRIALS}
    trials = store.trials("fake")
    assert sorted(trial.number for trial in trials) == list(range(N_TRIALS))
    assert len({trial.architecture_hash for trial in trials}) == N_TRIALS
    assert all(trial.n_epochs_trained == 2 and len(trial.fold_scores) == 1 for trial in trials)
    known = store.optuna_study("fake").trials
    assert Counter(trial.state.name for trial in known) == {"COMPLETE": N_TRIALS}
    assert len(store.workers("fake")) == N_WORKERS
    store.close()
