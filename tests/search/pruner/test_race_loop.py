"""The race in the whole loop, on a trainer with closed-form learning curves: pruned, thawed, explained."""

import itertools
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from fake_study import QUEUED, make_worker, n_finished, open_study, optuna_trials, states
from fake_trainer import FakeTrainer, undisturbed_score
from killed_workers import Killed, dead_process, queue_killed_trials
from optuna.trial import TrialState
from recorder import Recorder

import space
import storage
from scores.front import front_trials
from search.pruner.race import rungs
from search.study.trial import checkpoints_of
from search.watch.events import TrialEnded, TrialStarted

pytestmark = pytest.mark.usefixtures("no_optuna_log")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "search.db"


ALPHA = 0.2
N_PRESETS = len(QUEUED)
N_EPOCHS = 4


N_RACED = 18


def raced(database: Path, goal: int, **changes: Any) -> storage.Store:
    """A study in which the race has stopped some trials."""
    store, study = open_study(database)
    make_worker(store, study, FakeTrainer(n_epochs=N_EPOCHS), alpha=ALPHA, **changes).work(goal)
    return store


@pytest.fixture(scope="module")
def raced_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a study of `N_RACED` trials whose pruned trials keep checkpoints far from the front, too."""
    folder = tmp_path_factory.mktemp("raced")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("search.study.trial.KEPT_WITHIN_SD", 9.0)
        raced(folder / "search.db", N_RACED).close()
    return folder


@pytest.fixture
def pruned_some(raced_once: Path, tmp_path: Path) -> tuple[storage.Store, storage.StudyRecord]:
    """That study in a folder of this test's own."""
    shutil.copytree(raced_once, tmp_path, dirs_exist_ok=True)
    store = storage.open_store(f"sqlite:///{tmp_path}/search.db", create=False)
    return store, store.study("fake")


def thaw(store: storage.Store, study: storage.StudyRecord, **changes: Any) -> FakeTrainer:
    """Train pruned trials that may still matter to their end; the trainer knows what it was asked for."""
    trainer = FakeTrainer(n_epochs=N_EPOCHS)
    make_worker(store, study, trainer, alpha=ALPHA, **changes).thaw()
    return trainer


@pytest.mark.slow
def test_pruned_trials(pruned_some: tuple[storage.Store, storage.StudyRecord]) -> None:
    store, _ = pruned_some
    trials = {trial.number: trial for trial in store.trials("fake")}
    pruned = [trial for trial in trials.values() if trial.state == "pruned"]
    assert len(pruned) >= 3
    assert n_finished(store) == N_RACED
    smallest = min(trial.parameters for trial in trials.values() if trial.state == "complete")
    front = {trial.number for trial in front_trials(trials.values())}
    for trial in pruned:
        assert trial.number not in front
        assert trial.score is None
        assert trial.parameters >= smallest
        assert trial.decision is not None
        assert trial.decision.pruned
        assert trial.decision.rival is not None
        rival = trials[trial.decision.rival]
        assert rival.state == "complete"
        assert rival.score == trial.decision.needed
        assert rival.parameters <= trial.parameters
        assert trial.n_epochs_trained < 5 * N_EPOCHS
    for seen in optuna_trials(store):
        decision = trials[seen.number].decision
        assert seen.intermediate_values == {}
        if seen.state is TrialState.PRUNED:
            assert seen.values is None
            assert decision is not None
            assert decision.probability is not None
            assert seen.user_attrs["chance"] == pytest.approx(decision.probability, rel=0.06)
            assert seen.user_attrs["fold_epochs"] == trials[seen.number].n_epochs_trained
        else:
            assert "chance" not in seen.user_attrs


@pytest.mark.slow
def test_every_decision_is_a_row(pruned_some: tuple[storage.Store, storage.StudyRecord]) -> None:
    store, _ = pruned_some
    course = [(0, 0), *((rung.fold, rung.epoch) for rung in rungs(5, N_EPOCHS, 1))]
    n_raced = 0
    for trial in store.trials("fake"):
        decisions = store.decisions(trial.id)
        n_raced += bool(decisions)
        assert [(decision.fold, decision.epoch) for decision in decisions] == course[: len(decisions)]
        assert [decision.pruned for decision in decisions[:-1]] == [False] * max(0, len(decisions) - 1)
        assert trial.state == ("pruned" if decisions and decisions[-1].pruned else "complete")
        assert len(decisions) in (0, len(course)) or trial.state == "pruned"
    assert n_raced >= 6


@pytest.mark.slow
def test_decisions_do_not_depend_on_which_fold_is_faster(database: Path, tmp_path: Path) -> None:
    def decisions(file: Path, waits: Callable[[], object]) -> list[object]:
        store, study = open_study(file)
        trainer = FakeTrainer(n_epochs=N_EPOCHS, n_parallel=2, wait=waits)
        make_worker(store, study, trainer, alpha=ALPHA).work(N_PRESETS + 4)
        return [store.decisions(trial.id) for trial in store.trials("fake")]

    pauses = itertools.cycle([0.0, 0.003, 0.0, 0.001, 0.002])
    calm = decisions(database, lambda: None)
    assert any(kept for kept in calm)
    assert decisions(tmp_path / "other.db", lambda: time.sleep(next(pauses))) == calm


@pytest.mark.slow
def test_folds_in_lockstep_change_no_decision(database: Path, tmp_path: Path) -> None:
    found = []
    for file, n_together in ((database, 5), (tmp_path / "threads.db", 1)):
        store, study = open_study(file)
        trainer = FakeTrainer(n_epochs=N_EPOCHS, n_parallel=5, n_together=n_together)
        make_worker(store, study, trainer, alpha=ALPHA).work(N_PRESETS + 4)
        assert states(store)["pruned"]
        found.append([(trial.state, store.decisions(trial.id)) for trial in store.trials("fake")])
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_trial_killed_after_the_decision_to_prune_it_is_pruned(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, study = open_study(database)
    trainer = FakeTrainer(n_epochs=N_EPOCHS)
    add_decision = storage.Store.add_decision

    def then_die(self: storage.Store, trial_id: int, decision: storage.DecisionRecord) -> None:
        add_decision(self, trial_id, decision)
        if decision.pruned:
            raise Killed

    monkeypatch.setattr(storage.Store, "add_decision", then_die)
    with pytest.raises(Killed):
        make_worker(store, study, trainer, alpha=ALPHA, process=dead_process()).work(N_PRESETS)
    monkeypatch.undo()
    (killed,) = [trial for trial in store.trials("fake") if trial.state == "running"]
    trainer.epochs_run.clear()
    worker = make_worker(store, study, trainer, alpha=ALPHA)
    queue_killed_trials(store, study)
    worker.work(N_PRESETS)
    (again,) = [trial for trial in store.trials("fake") if trial.id == killed.id]
    assert again.state == "pruned"
    redone = [run for run in trainer.epochs_run if run[0] == killed.architecture_hash]
    assert len(redone) <= 2  # of the rung ahead, while the race decided once more


@pytest.mark.slow
def test_thawed_trials_are_trained_to_their_end(
    pruned_some: tuple[storage.Store, storage.StudyRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.pruner.race.WITHIN_NOISE_SD", 6.0)
    recorder = Recorder()
    store, study = pruned_some
    pruned = {trial.id: trial for trial in store.trials("fake") if trial.state == "pruned"}
    trained = {row: store.epochs(row) for row in pruned}
    trainer = thaw(store, study, emit=recorder)
    after = {trial.id: trial for trial in store.trials("fake")}
    thawed = [trial for row, trial in after.items() if row in pruned and trial.state == "complete"]
    assert thawed
    assert n_finished(store) == N_RACED == len(after)
    for trial in thawed:
        assert trial.number > pruned[trial.id].number
        assert store.epochs(trial.id)[: len(trained[trial.id])] == trained[trial.id]
        # From its checkpoint: what had been trained was not trained again.
        redone = [run for run in trainer.epochs_run if run[0] == trial.architecture_hash]
        n_missing = 5 * N_EPOCHS - len(trained[trial.id])
        assert n_missing <= len(redone) <= n_missing + 1  # a fold whose end was not kept ends again
    started = [event.reason for event in recorder.events if isinstance(event, TrialStarted)]
    assert started[0].startswith("thaws trial ")


@pytest.mark.slow
def test_thawing_changes_no_score(
    pruned_some: tuple[storage.Store, storage.StudyRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.pruner.race.WITHIN_NOISE_SD", 1e9)
    store, study = pruned_some
    thaw(store, study)
    assert states(store) == {"complete": N_RACED}
    found = {trial.architecture_hash: trial.score for trial in store.trials("fake")}
    architectures = [space.Architecture.from_dict(trial.architecture) for trial in store.trials("fake")]
    assert found == {each.digest: undisturbed_score(each, n_epochs=N_EPOCHS) for each in architectures}


@pytest.mark.slow
def test_nothing_is_thawed_beyond_the_noise(
    pruned_some: tuple[storage.Store, storage.StudyRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.pruner.race.WITHIN_NOISE_SD", -1e9)
    store, study = pruned_some
    before = [(trial.number, trial.state) for trial in store.trials("fake")]
    assert "pruned" in states(store)
    thaw(store, study)
    assert [(trial.number, trial.state) for trial in store.trials("fake")] == before


def test_checkpoints_that_the_front_has_left_behind_are_removed(
    pruned_some: tuple[storage.Store, storage.StudyRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, study = pruned_some
    folder = checkpoints_of(store, study)
    pruned = {trial.architecture_hash: trial for trial in store.trials("fake") if trial.state == "pruned"}
    before = {each.name for each in folder.iterdir()}
    assert before <= pruned.keys()
    worker = make_worker(store, study, FakeTrainer(n_epochs=N_EPOCHS), alpha=ALPHA)
    monkeypatch.setattr("search.study.worker.KEPT_WITHIN_SD", 1e9)
    worker.remove_checkpoints()
    assert {each.name for each in folder.iterdir()} == before
    monkeypatch.setattr("search.study.worker.KEPT_WITHIN_SD", -1e9)
    queued = pruned[min(before)]
    params = next(each.params for each in optuna_trials(store) if each.number == queued.number)
    store.optuna_study("fake").enqueue_trial(params, user_attrs={storage.CONTINUES: [queued.number]})
    worker.remove_checkpoints()
    assert {each.name for each in folder.iterdir()} == {queued.architecture_hash}


@pytest.mark.slow
def test_thawing_waits_for_the_queue(
    pruned_some: tuple[storage.Store, storage.StudyRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.pruner.race.WITHIN_NOISE_SD", 1e9)
    store, study = pruned_some
    params = store.optuna_storage.get_all_trials(1)[0].params
    optuna.load_study(study_name="fake", storage=store.optuna_storage).enqueue_trial(params)
    thaw(store, study)
    assert n_finished(store) == N_RACED
    assert "pruned" in states(store)


@pytest.mark.slow
def test_a_trial_says_why_it_was_proposed_and_pruned(database: Path) -> None:
    recorder = Recorder()
    store = raced(database, 16, sampler="front", emit=recorder)
    reasons = [event.reason for event in recorder.events if isinstance(event, TrialStarted)]
    assert reasons[0] == "preset cnn"
    assert re.fullmatch(r"expected improvement \.\d{4}, predicted \.\d{3} ± \.\d{3}", reasons[-1])
    ended = [event for event in recorder.events if isinstance(event, TrialEnded) and event.state == "pruned"]
    assert ended
    assert all(re.match(r"pruned after fold \d, epoch \d: needs", event.reason) for event in ended)
    front = {trial.number for trial in front_trials(store.trials("fake"))}
    assert not front & {event.trial for event in ended}


@pytest.mark.slow
def test_seconds_count_where_they_are_wanted(database: Path) -> None:
    recorder = Recorder()
    raced(database, 13, sampler="front", emit=recorder, cost_aware=True)
    reasons = [event.reason for event in recorder.events if isinstance(event, TrialStarted)]
    assert reasons[-1].endswith(" s")


@pytest.mark.slow
def test_no_race_trains_everything(database: Path) -> None:
    store, study = open_study(database)
    make_worker(store, study, FakeTrainer(n_epochs=1)).work(4)
    assert states(store) == {"complete": 4, "waiting": N_PRESETS - 4}
    assert all(store.decisions(trial.id) == [] for trial in store.trials("fake"))
