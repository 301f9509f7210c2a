"""A run that ends because little is left to gain: the share, the rule, and workers that obey it."""

import sqlite3
import threading
from pathlib import Path

import optuna
import pytest
from fake_study import make_worker, n_finished, open_study
from fake_trainer import FakeTrainer
from recorder import Recorder

from search.errors import UsageError
from search.study.stopping import is_enough, parsed_share
from search.watch.events import TrialStarted
from storage import CONTINUES, GAIN, GainRecord

GOAL = 60


@pytest.mark.parametrize(
    ("text", "share"), [("0.5%", 0.005), ("0.005", 0.005), (".5 %", 0.005), ("5e-3", 0.005), ("10%", 0.1)]
)
def test_a_share_with_and_without_percent(text: str, share: float) -> None:
    assert parsed_share(text) == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize(
    "text", ["0", "0%", "100%", "1", "5", "-1%", "nan", "half", "", "%", "0.5%%", "1.2.3"]
)
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--until is a share of the hypervolume between 0 and 1, such as"):
        parsed_share(text)


def test_several_proposals_in_a_row_have_to_be_below() -> None:
    assert not is_enough([], 0.005)
    assert not is_enough([0.001, 0.001], 0.005)
    assert is_enough([0.001, 0.004, 0.0049], 0.005)
    assert not is_enough([0.001, 0.004, 0.005], 0.005)
    assert not is_enough([0.001, 0.001, 0.006, 0.001, 0.001], 0.005)
    assert is_enough([0.9, 0.006, 0.001, 0.001, 0.001], 0.005)


def work(database: Path, until: float | None, goal: int = GOAL) -> Recorder:
    store, study = open_study(database)
    heard = Recorder()
    trainer = FakeTrainer(n_folds=1, n_epochs=1)
    make_worker(store, study, trainer, sampler="front", until=until, emit=heard).work(goal)
    return heard


def copied(database: Path, folder: Path) -> Path:
    """Another database with the same content, that of its write-ahead log included."""
    with sqlite3.connect(database) as source, sqlite3.connect(folder / "search.db") as copy:
        source.backup(copy)
    return folder / "search.db"


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recorder]:
    """A study whose search has ended by itself."""
    database = tmp_path_factory.mktemp("stopped") / "search.db"
    return database, work(database, 0.05)


@pytest.mark.slow
def test_a_run_ends_once_little_is_left_to_gain(stopped: tuple[Path, Recorder]) -> None:
    database, heard = stopped
    store, _ = open_study(database)
    gains = store.gains("fake")
    assert n_finished(store) < GOAL
    # Never earlier than the rule says, nor later.
    at_most = [gain.at_most for gain in gains]
    assert is_enough(at_most, 0.05)
    assert not any(is_enough(at_most[:n], 0.05) for n in range(len(at_most)))
    assert len(heard.messages()) == 1
    assert heard.messages()[0].startswith("the last 3 proposals had less than 5 % of the hypervolume to gain")
    # The live view, the store and optuna-dashboard have the same numbers.
    started = [event for event in heard.events if isinstance(event, TrialStarted)]
    assert [event.gain for event in started if event.gain is not None] == gains
    assert gains[-1].trial == max(event.trial for event in started)
    shown = store.optuna_study("fake").trials[gains[-1].trial].user_attrs
    assert shown[f"{GAIN}expected"] == gains[-1].expected
    assert all(gain.expected >= 0 for gain in gains)


@pytest.mark.slow
def test_the_same_share_adds_nothing_and_a_smaller_one_continues(
    stopped: tuple[Path, Recorder], tmp_path: Path
) -> None:
    database = copied(stopped[0], tmp_path)
    store, _ = open_study(database)
    before = n_finished(store)
    work(database, 0.05)
    assert n_finished(store) == before
    work(database, 1e-9, goal=before + 2)
    assert n_finished(store) == before + 2


@pytest.mark.slow
def test_what_somebody_queued_is_trained_all_the_same(stopped: tuple[Path, Recorder], tmp_path: Path) -> None:
    database = copied(stopped[0], tmp_path)
    store, study = open_study(database)
    before = n_finished(store)
    run = make_worker(store, study, FakeTrainer(n_folds=1, n_epochs=1), sampler="front")
    # Private: what this sampler would propose next.
    params = run._sampler._front.propose(store.optuna_study("fake")).params
    store.optuna_study("fake").enqueue_trial(dict(params))
    work(database, 0.05)
    assert n_finished(store) == before + 1


@pytest.mark.slow
def test_several_workers_end_together(tmp_path: Path) -> None:
    database = tmp_path / "search.db"
    open_study(database)
    heard: list[Recorder] = []
    threads = [threading.Thread(target=lambda: heard.append(work(database, 0.05))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store, _ = open_study(database)
    assert n_finished(store) < GOAL
    assert [len(each.messages()) for each in heard] == [1, 1, 1]
    at_most = [gain.at_most for gain in store.gains("fake")]
    # Whoever was in training when the rule was met trains on, and nobody begins another trial.
    assert any(is_enough(at_most[: len(at_most) - n], 0.05) for n in range(3))


@pytest.mark.slow
def test_attributes_of_others_are_not_taken_for_gains(tmp_path: Path) -> None:
    database = tmp_path / "search.db"
    store, _ = open_study(database)
    work(database, None, goal=2)
    # Optuna itself refuses to write to a trial that has ended.
    with sqlite3.connect(database) as connection:
        connection.executemany(
            "INSERT INTO trial_user_attributes (trial_id, key, value_json) "
            "SELECT trial_id, ?, ? FROM trials WHERE number = ?",
            [
                (f"{GAIN}expected", "0.25", 0),
                (f"{GAIN}at most", "0.5", 0),
                (f"{GAIN}expected", '"much"', 1),
                (f"{GAIN}at most", "0.5", 1),
            ],
        )
    assert store.gains("fake") == [GainRecord(trial=0, expected=0.25, at_most=0.5)]


def test_a_trial_that_continues_another_is_no_proposal_of_its_own(tmp_path: Path) -> None:
    store, _ = open_study(tmp_path / "search.db")
    gain = {f"{GAIN}expected": 0.25, f"{GAIN}at most": 0.5}
    study = store.optuna_study("fake")
    n_queued = len(study.trials)
    # Optuna gives the successor of a killed trial the attributes of its predecessor.
    for attributes in (gain, {**gain, CONTINUES: [n_queued]}):
        study.add_trial(optuna.trial.create_trial(values=[0.5, 10], user_attrs=attributes))
    assert store.gains("fake") == [GainRecord(trial=n_queued, expected=0.25, at_most=0.5)]
