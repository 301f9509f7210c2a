"""The whole loop on a trainer with closed-form learning curves: what is trained, kept, retried, given up."""

import errno
import sqlite3
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_study import (
    QUEUED,
    make_run,
    make_worker,
    n_finished,
    open_study,
    optuna_trials,
    results,
    states,
    tiny_space,
)
from fake_trainer import TARGET, FakeGroup, FakeRun, FakeTrainer, undisturbed_score
from killed_workers import Killed, dead_process, killed_in, queue_killed_trials

# Private: rows of parameters, whose loading is counted.
from optuna.storages._rdb.models import TrialParamModel
from optuna.trial import TrialState
from recorder import Recorder
from sqlalchemy import event
from storage_samples import kept_models
from worker_program import Program

import space
import storage
from reports.words import stack_words
from scores.front import front_trials
from search.errors import TrainingError
from search.sampler.untried import SAMPLERS
from search.study.provenance import PeakMemory, this_worker
from search.study.worker import MAX_FAILURES_IN_A_ROW, TooManyFailuresError, Worker
from search.watch.events import Event, FrontChanged, TrialEnded, TrialStarted
from search.workers.interrupt import Interrupt
from storage.optuna_side import MAX_RETRIES

pytestmark = pytest.mark.usefixtures("no_optuna_log")

N_PRESETS = len(QUEUED)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "search.db"


def by_architecture(store: storage.Store) -> dict[str, float | None]:
    return {trial.architecture_hash: trial.score for trial in store.trials("fake")}


def undisturbed(n_trials: int) -> dict[str, float | None]:
    """Architecture to objective of a run of so many presets that nothing disturbs."""
    presets = [space.preset(name, TARGET) for name in QUEUED[:n_trials]]
    return {preset.digest: undisturbed_score(preset) for preset in presets}


# What is trained


@pytest.mark.slow
def test_thirty_trials(database: Path) -> None:
    store, study = open_study(database)
    make_worker(store, study, FakeTrainer(n_folds=1, n_epochs=1)).work(30)
    trials = store.trials("fake")
    assert states(store) == {"complete": 30}
    assert len({trial.architecture_hash for trial in trials}) == 30
    assert [trial.number for trial in trials] == list(range(30))


@pytest.mark.slow
@pytest.mark.parametrize(
    "sampler",
    ["front", *(pytest.param(name, marks=pytest.mark.slow) for name in SAMPLERS if name != "front")],
)
def test_presets_come_first_and_nothing_twice(database: Path, sampler: str) -> None:
    store, study = open_study(database)
    make_worker(store, study, FakeTrainer(n_folds=1, n_epochs=1), sampler=sampler).work(12)
    trials = store.trials("fake")
    presets = [trial.preset for trial in trials]
    assert presets == [*QUEUED, *[None] * (12 - N_PRESETS)]
    assert len({trial.architecture_hash for trial in trials}) == 12
    shown = [trial.user_attrs for trial in optuna_trials(store)]
    assert [attributes.get("preset") for attributes in shown] == presets
    assert [attributes["stack"] for attributes in shown] == [
        stack_words(trial.architecture) for trial in trials
    ]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_exhausted_space_ends_the_run(
    database: Path, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = tiny_space(monkeypatch, n_tiers=1)
    store, study = open_study(database, tiny)
    heard = Recorder()
    trainer = FakeTrainer(n_folds=1, n_epochs=1)
    worker = make_worker(store, study, trainer, architectures=tiny, sampler=sampler, emit=heard)
    worker.work(100)
    assert states(store) == {"complete": len(tiny)}
    assert set(by_architecture(store)) == {architecture.digest for architecture in tiny}
    assert heard.messages() == [
        "all 12 architectures of space 'tiny' have been tried: nothing is left to train"
    ]


@pytest.mark.slow
def test_objectives_and_predictions_are_kept(database: Path) -> None:
    store, study = open_study(database)
    trainer = FakeTrainer()
    make_worker(store, study, trainer).work(1)
    (trial,) = store.trials("fake")
    (seen,) = optuna_trials(store)
    assert seen.values == [trial.score, trial.parameters]
    assert trial.score == pytest.approx(sum(trial.fold_scores.values()) / 5, abs=1e-6)
    assert store.summary(trial.id)[TARGET].metrics["macro_auprc"] == trial.score
    if PeakMemory().n_bytes() is not None:
        assert store.summary(trial.id)[TARGET].metrics["peak_memory_bytes"] > 1e6
    assert trial.n_epochs_trained == 10
    folds = store.folds(trial.id)
    assert [fold.fold for fold in folds] == [1, 2, 3, 4, 5]
    kept = storage.load_predictions(store, folds[2].predictions)
    assert kept.tier == trial.label_tier
    assert kept.on(TARGET) is not None
    assert kept.patient_id is not None
    assert kept.ecg_id.tolist() == list(range(3000, 3006))
    assert float(kept.probabilities_NC[0, 0]) == pytest.approx(trial.fold_scores[3])
    assert not list((database.parent / "checkpoints").rglob("*.safetensors"))


@pytest.mark.slow
def test_the_view_hears_of_everything(database: Path) -> None:
    store, study = open_study(database)
    heard = Recorder()
    make_worker(store, study, FakeTrainer(n_folds=2), emit=heard, worker=3).work(2)
    kinds = [type(event).__name__ for event in heard.events]
    trial = ["TrialStarted", *["EpochEnded"] * 4, "TrialEnded"]
    assert kinds == [*trial, "FrontChanged", *trial, "FrontChanged"]
    first = heard.events[0]
    assert isinstance(first, TrialStarted)
    assert (first.worker, first.trial, first.reason) == (3, 0, "preset cnn")


@pytest.mark.slow
def test_what_a_trainer_notes_is_kept_with_every_trial_and_said_once(database: Path) -> None:
    class Group(FakeGroup):
        def take_notes(self) -> Sequence[str]:
            return ["why"] * (self.runs[0].epochs_done == 1)

    class Noting(FakeTrainer):
        def group(self, runs: Sequence[FakeRun]) -> FakeGroup:
            return Group(runs)

    store, study = open_study(database)
    heard = Recorder()
    make_worker(store, study, Noting(n_folds=2), emit=heard).work(2)
    assert heard.messages() == ["trial 0: why"]
    assert [trial.user_attrs["notes"] for trial in optuna_trials(store)] == ["why; why"] * 2


@pytest.mark.slow
def test_the_goal_counts_finished_trials_of_the_study(database: Path) -> None:
    store, study = open_study(database)
    for goal in (2, 2, 5):
        make_worker(store, study, FakeTrainer(n_folds=1, n_epochs=1)).work(goal)
        assert n_finished(store) == goal


@pytest.mark.slow
@pytest.mark.parametrize("n_parallel", [2, 5])
def test_folds_side_by_side_change_nothing(database: Path, n_parallel: int) -> None:
    store, study = open_study(database)
    make_worker(store, study, FakeTrainer(n_parallel=n_parallel)).work(2)
    assert by_architecture(store) == undisturbed(2)


# Failures


def failing(
    *presets: str, error: Callable[[], Exception], fold: int = 2, epoch: int = 2
) -> Callable[[space.Architecture, int, int], Exception | None]:
    doomed = {space.preset(name, TARGET).digest for name in presets}

    def fails(architecture: space.Architecture, number: int, when: int) -> Exception | None:
        return error() if architecture.digest in doomed and (number, when) == (fold, epoch) else None

    return fails


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (lambda: RuntimeError("no such kernel"), "error", "no such kernel"),
        (ValueError, "error", "ValueError"),
        (lambda: MemoryError("8 GB"), "out-of-memory", "8 GB"),
        (lambda: torch.OutOfMemoryError("no 2 GiB left\nSee also"), "out-of-memory", "no 2 GiB left"),
        (lambda: TrainingError("diverged", "the loss is NaN"), "diverged", "the loss is NaN"),
        (lambda: TrainingError("out-of-memory", "CUDA"), "out-of-memory", "CUDA"),
    ],
)
def test_a_fold_that_fails_fails_its_trial_only(
    database: Path, error: Callable[[], Exception], kind: str, message: str
) -> None:
    store, study = open_study(database)
    heard = Recorder()
    trainer = FakeTrainer(n_folds=3, fails=failing("cnn-lstm", error=error))
    make_worker(store, study, trainer, emit=heard).work(2)
    assert states(store) == {"complete": 2, "failed": 1, "waiting": N_PRESETS - 3}
    failed = next(trial for trial in store.trials("fake") if trial.state == "failed")
    assert failed.preset == "cnn-lstm"
    assert failed.score is None
    assert failed.failure is not None
    assert (failed.failure.kind, failed.failure.message, failed.failure.fold) == (kind, message, 2)
    assert "in run_epoch" in failed.failure.traceback
    assert optuna_trials(store)[failed.number].user_attrs["failure"] == kind
    ends = {event.trial: event for event in heard.events if isinstance(event, TrialEnded)}
    assert (ends[failed.number].state, ends[failed.number].reason) == (
        "failed",
        f"{kind} in fold 2: {message}",
    )
    assert sorted(failed.fold_scores) == [1]


@pytest.mark.slow
def test_a_failed_architecture_is_not_proposed_again(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = tiny_space(monkeypatch, n_tiers=1)
    store, study = open_study(database, tiny)
    trainer = FakeTrainer(
        n_folds=1, n_epochs=1, fails=lambda doomed, fold, epoch: OSError("no") if doomed.gate else None
    )
    make_worker(store, study, trainer, architectures=tiny, seed=2).work(100)
    assert states(store) == {"complete": 6, "failed": 6}
    assert len(by_architecture(store)) == 12


@pytest.mark.slow
def test_an_undefined_objective_fails_the_trial(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fake_trainer.potential", lambda architecture: float("nan"))
    store, study = open_study(database)
    with pytest.raises(TooManyFailuresError, match="macro-AUPRC on superclass is nan"):
        make_worker(store, study, FakeTrainer()).work(1)
    assert states(store)["failed"] == MAX_FAILURES_IN_A_ROW


@pytest.mark.slow
def test_failure_after_failure_stops_the_run(database: Path) -> None:
    store, study = open_study(database)
    trainer = FakeTrainer(fails=lambda architecture, fold, epoch: RuntimeError("no GPU"))
    with pytest.raises(TooManyFailuresError) as stopped:
        make_worker(store, study, trainer).work(10)
    assert str(stopped.value) == "5 trials in a row failed, the last with error in fold 1: no GPU"
    assert states(store) == {"failed": 5, "waiting": N_PRESETS - 5}


@pytest.mark.slow
def test_failures_between_successes_do_not(database: Path) -> None:
    store, study = open_study(database)
    doomed = ("cnn", "cnn-lstm", "cnn-bilstm", "cnn-gru", "cnn-bilstm-lstm", "cnn-gru-bilstm-lstm")
    trainer = FakeTrainer(fails=failing(*doomed, error=RuntimeError))
    make_worker(store, study, trainer).work(3)
    assert states(store) == {"complete": 3, "failed": 6}


@pytest.mark.slow
def test_a_mistake_of_ours_leaves_its_traceback(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, study = open_study(database)
    worker = make_worker(store, study, FakeTrainer())

    def broken(self: FakeTrainer, label_tier: str, folds: object) -> None:
        raise ValueError("shapes (3,) and (4,)")

    monkeypatch.setattr(FakeTrainer, "summarise", broken)
    with pytest.raises(ValueError, match="shapes"):
        worker.work(1)
    (trial,) = store.trials("fake")
    assert trial.state == "failed"
    assert trial.failure is not None
    assert "in broken" in trial.failure.traceback


@pytest.mark.slow
def test_a_failing_database_queues_the_trial_again(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, study = open_study(database)
    add_fold = store.add_fold

    def full(trial_id: int, fold: storage.FoldRecord) -> None:
        if fold.fold == 3:
            raise storage.StorageError("search.db cannot grow, the disk is full")
        add_fold(trial_id, fold)

    monkeypatch.setattr(store, "add_fold", full)
    with pytest.raises(storage.StorageError, match="the disk is full"):
        make_worker(store, study, FakeTrainer()).work(1)
    assert states(store) == {"interrupted": 1, "waiting": N_PRESETS}
    monkeypatch.undo()
    make_worker(store, study, trainer := FakeTrainer()).work(N_PRESETS)
    assert states(store) == {"complete": N_PRESETS}
    continued = space.preset("cnn", TARGET).digest
    assert {fold for digest, fold, _ in trainer.epochs_run if digest == continued} == {3, 4, 5}


def test_a_failing_file_system_queues_the_trial_again(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its number: an architecture is not to blame for its checkpoints."""

    def fail(run: FakeRun, path: Path) -> None:
        raise OSError(errno.ESTALE, "Stale file handle", str(path))

    store, study = open_study(database)
    worker = make_worker(store, study, FakeTrainer(n_folds=1))
    with monkeypatch.context() as broken:
        broken.setattr(FakeRun, "save", fail)
        with pytest.raises(storage.StorageError) as ended:
            worker.work(1)
    assert str(ended.value).endswith("Stale file handle; check the folder, or choose another --storage")
    assert "\n" not in str(ended.value)
    assert states(store) == {"interrupted": 1, "waiting": N_PRESETS}
    make_worker(store, study, FakeTrainer(n_folds=1)).work(1)
    assert states(store)["complete"] == 1
    assert "failed" not in states(store)


# Trained models


@pytest.mark.slow
def test_models_of_trials_on_the_front_are_kept(database: Path) -> None:
    store, study = open_study(database)
    make_worker(store, study, FakeTrainer(n_epochs=1)).work(12)
    so_far: list[storage.TrialRecord] = []
    n_kept = 0
    for trial in store.trials("fake"):
        so_far.append(trial)
        models = kept_models(store, trial.number)
        joined = trial in front_trials(so_far)
        assert sorted(models) == ([1, 2, 3, 4, 5] if joined else [])
        for fold, content in models.items():
            assert content.startswith(f"{trial.architecture_hash} fold {fold} ".encode())
        n_kept += joined
    assert 0 < n_kept < 12
    assert not list((database.parent / "checkpoints").rglob("*.safetensors"))


@pytest.mark.slow
def test_models_of_folds_trained_before_an_interruption_are_kept(database: Path) -> None:
    store, study = open_study(database)
    interrupt = Interrupt()
    trainer = FakeTrainer(wait=lambda: interrupt.request() if len(trainer.epochs_run) == 5 else None)
    make_worker(store, study, trainer, interrupt=interrupt).work(1)
    assert states(store)["interrupted"] == 1
    make_worker(store, study, FakeTrainer()).work(N_PRESETS)
    continued = next(
        trial
        for trial in store.trials("fake")
        if trial.architecture_hash == space.preset("cnn", TARGET).digest
    )
    assert sorted(kept_models(store, continued.number)) == [1, 2, 3, 4, 5]


# Killed workers


@pytest.mark.slow
def test_a_killed_process_loses_nothing(database: Path) -> None:
    """A real process, a real SIGKILL, in the middle of the third trial."""
    program = Program(database, "--goal", "5", "--delay", "0.02")
    program.wait_for(event="EpochEnded", trial=2, fold=3, epoch=1)
    program.process.kill()
    program.end()
    store, study = open_study(database)
    before = results(store)
    assert states(store) == {"complete": 2, "running": 1, "waiting": N_PRESETS - 3}
    killed = space.preset("cnn-bilstm", TARGET)

    heard = Recorder()
    trainer = FakeTrainer()
    worker = make_worker(store, study, trainer, emit=heard)
    queue_killed_trials(store, study, heard)
    assert states(store) == {"complete": 2, "interrupted": 1, "waiting": N_PRESETS - 2}
    assert heard.messages() == [
        f"trial 2 was killed (process {program.process.pid} on {this_worker('cpu').host} is gone) "
        "and is queued again"
    ]
    worker.work(N_PRESETS)

    assert states(store) == {"complete": N_PRESETS}
    assert results(store)[:2] == before
    continued = next(t for t in store.trials("fake") if t.architecture_hash == killed.digest)
    assert continued.number == N_PRESETS
    folds_trained = {fold for digest, fold, _ in trainer.epochs_run if digest == killed.digest}
    assert folds_trained == {3, 4, 5}
    assert "continues trial 2" in {e.reason for e in heard.events if isinstance(e, TrialStarted)}
    assert [failure.kind for failure in store.failures(continued.id)] == ["killed"]
    assert by_architecture(store) == undisturbed(N_PRESETS)
    assert sqlite3.connect(database).execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.slow
def test_a_trial_that_kills_its_worker_again_and_again_is_given_up(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = tiny_space(monkeypatch, n_tiers=1)
    store, study = open_study(database, tiny)

    def again(recorder: Recorder) -> None:
        options: dict[str, Any] = {"architectures": tiny, "process": dead_process(), "emit": recorder}
        worker = make_worker(store, study, FakeTrainer(n_folds=1, n_epochs=1), **options)
        queue_killed_trials(store, study)
        with pytest.raises(Killed):
            worker.work(1)

    for attempt in range(1 + MAX_RETRIES):
        again(killed_in(fold=1, epoch=1))
        assert states(store)["running"] == 1
        assert len(store.trials("fake")) == 1, attempt
    heard = Recorder()
    queue_killed_trials(store, study, heard)
    assert "is given up after 4 attempts" in heard.messages()[-1]
    (trial,) = store.trials("fake")
    assert states(store) == {"failed": 1}
    assert trial.state == "failed"
    assert trial.failure is not None
    assert trial.failure.message.startswith("given up after 4 attempts: process ")
    assert [failure.kind for failure in store.failures(trial.id)] == [*["killed"] * 3, "error"]
    make_worker(store, study, FakeTrainer(n_folds=1), architectures=tiny).work(len(tiny))
    assert states(store) == {"failed": 1, "complete": len(tiny) - 1}


@pytest.mark.slow
def test_a_process_that_dies_before_its_trial_has_an_architecture(database: Path) -> None:
    store, study = open_study(database)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "Heartbeat is supposed to be used with Study.optimize"
        store.optuna_study("fake").ask()
    assert states(store) == {"running": 1, "waiting": N_PRESETS - 1}
    worker = make_worker(store, study, FakeTrainer(n_folds=1))
    queue_killed_trials(store, study)
    assert states(store) == {"waiting": N_PRESETS}
    worker.work(N_PRESETS)
    assert {trial.preset for trial in store.trials("fake")} == set(QUEUED)
    assert states(store) == {"complete": N_PRESETS}


def test_a_proposal_that_nobody_trains_is_forgotten(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = tiny_space(monkeypatch)
    store, study = open_study(database, tiny)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trial = store.optuna_study("fake").ask()
    trial.suggest_categorical("depth", (0, 1))
    queue_killed_trials(store, study)
    assert not states(store)
    assert [seen.state for seen in optuna_trials(store)] == [TrialState.FAIL]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "front", "tpe"])
def test_a_worker_reads_what_others_train_once_at_most(database: Path, sampler: str) -> None:
    """A thousand workers start one after another; each would read what all the others are training."""
    store, study = open_study(database)
    trainer = FakeTrainer(n_folds=1, n_epochs=2)
    make_worker(store, study, trainer).work(N_PRESETS)
    for _ in range(2):
        other = make_worker(store, study, trainer, emit=killed_in(fold=1, epoch=1))
        with pytest.raises(Killed):
            other.work(N_PRESETS + 9)
    read: Counter[int] = Counter()

    def note(row: TrialParamModel, _context: object) -> None:
        read[row.trial_id] += 1

    event.listen(TrialParamModel, "load", note)
    try:
        running = [trial for trial in optuna_trials(store) if trial.state is TrialState.RUNNING]
        # Private: rows are read by row id; a start is what every one of a thousand workers does.
        assert [read[trial._trial_id] for trial in running] == [len(trial.params) for trial in running]
        read.clear()
        worker = make_worker(store, study, trainer, sampler=sampler)
        for _ in range(4):
            worker._next_trial(100)
    finally:
        event.remove(TrialParamModel, "load", note)
    assert states(store) == {"complete": N_PRESETS + 4, "running": 2}
    assert all(read[trial._trial_id] in {0, len(trial.params)} for trial in running)


@pytest.mark.slow
def test_trials_of_other_hosts_and_of_the_living_are_left_alone(database: Path) -> None:
    store, study = open_study(database)
    elsewhere = replace(dead_process(), host="elsewhere")
    for process in (elsewhere, this_worker("cpu")):
        worker = make_worker(store, study, FakeTrainer(), process=process, emit=killed_in(fold=1, epoch=1))
        with pytest.raises(Killed):
            worker.work(5)
    assert states(store)["running"] == 2
    queue_killed_trials(store, study)
    assert states(store)["running"] == 2


@pytest.mark.slow
def test_the_heartbeat_finds_the_dead_of_other_hosts(database: Path) -> None:
    store, study = open_study(database, heartbeat_s=1, grace_s=1)
    elsewhere = replace(dead_process(), host="elsewhere")
    worker = make_worker(store, study, FakeTrainer(), process=elsewhere, emit=killed_in(fold=2, epoch=1))
    with pytest.raises(Killed):
        worker.work(1)
    trainer = FakeTrainer(n_epochs=1)
    # It runs elsewhere as far as anybody knows, so that there is nothing to do but to wait.
    make_worker(store, study, trainer).work(1)
    assert n_finished(store) == 1
    assert states(store)["interrupted"] == 1
    make_worker(store, study, trainer).work(N_PRESETS)
    assert states(store) == {"complete": N_PRESETS}


# Taken for dead while alive


def take_for_dead(database: Path, number: int, *, claim: bool) -> None:
    """Act like another worker on a trial without a heartbeat: fail it, queue it, perhaps continue it."""
    other = storage.open_store(f"sqlite:///{database}")
    study = other.optuna_study("fake")
    study.tell(number, state=TrialState.FAIL)
    retry = other.optuna_storage.get_heartbeat_stale_trial_callback()
    assert retry is not None
    retry(study, study.trials[number])
    if claim:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            continuing = study.ask().number
        (row,) = [trial for trial in other.trials("fake") if trial.number == number]
        taken_over = storage.Claim(
            number=continuing,
            architecture_hash=row.architecture_hash,
            architecture=row.architecture,
            description=row.description,
            parameters=row.parameters,
            label_tier=row.label_tier,
            worker_id=other.add_worker("fake", replace(dead_process(), host="elsewhere")),
        )
        assert other.claim("fake", taken_over, previous=[number])
    other.close()


def once(action: Callable[[], None], *, after: int) -> Callable[[], None]:
    """Something to call in every epoch that acts in one of them."""
    calls = Counter[str]()
    lock = threading.Lock()

    def wait() -> None:
        with lock:
            calls["epochs"] += 1
            due = calls["epochs"] == after
        if due:
            action()

    return wait


@pytest.mark.slow
def test_a_trial_continued_elsewhere_is_let_go(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = tiny_space(monkeypatch)
    store, study = open_study(database, tiny)
    interrupt = Interrupt()

    def stop_after_the_next(event: Event) -> None:
        if isinstance(event, TrialEnded) and event.state == "complete":
            interrupt.request()

    heard = Recorder(stop_after_the_next)
    trainer = FakeTrainer(wait=once(lambda: take_for_dead(database, 0, claim=True), after=4))
    make_worker(store, study, trainer, architectures=tiny, emit=heard, interrupt=interrupt).work(5)
    ends = [event for event in heard.events if isinstance(event, TrialEnded)]
    assert [(end.trial, end.state) for end in ends] == [(0, "interrupted"), (2, "complete")]
    assert ends[0].reason == "taken for dead, queued again"
    lost = next(trial for trial in store.trials("fake") if trial.number == 1)
    assert lost.state == "running"  # elsewhere
    assert sorted(lost.fold_scores) == [1]
    assert store.failures(lost.id) == []


@pytest.mark.slow
def test_a_trial_taken_for_dead_is_continued(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whoever comes first, here by the worker that was taken for dead."""
    tiny = tiny_space(monkeypatch)
    store, study = open_study(database, tiny)
    trainer = FakeTrainer(wait=once(lambda: take_for_dead(database, 0, claim=False), after=4))
    make_worker(store, study, trainer, architectures=tiny).work(2)
    assert states(store) == {"complete": 2}
    assert [seen.state.name for seen in optuna_trials(store)] == ["FAIL", "COMPLETE", "COMPLETE"]
    (again,) = [trial for trial in store.trials("fake") if trial.number == 1]
    digest = again.architecture_hash
    trained = Counter(fold for name, fold, _ in trainer.epochs_run if name == digest)
    assert (trained[1], trained[2]) == (2, 3)  # the second fold could not be kept, its checkpoint could


@pytest.mark.slow
def test_a_trial_taken_for_dead_at_its_very_end(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = tiny_space(monkeypatch)
    store, study = open_study(database, tiny)
    trainer = FakeTrainer()
    add_summary = store.add_summary

    def slow(trial_id: int, summary: Any) -> None:
        add_summary(trial_id, summary)
        if store.trials("fake")[0].number == 0:
            take_for_dead(database, 0, claim=False)

    monkeypatch.setattr(store, "add_summary", slow)
    make_worker(store, study, trainer, architectures=tiny).work(1)
    assert states(store) == {"complete": 1}
    assert [seen.state.name for seen in optuna_trials(store)] == ["FAIL", "COMPLETE"]
    assert max(Counter(trainer.epochs_run).values()) == 1  # nothing was trained twice


# The same again


@pytest.mark.slow
def test_the_same_seed_gives_the_same_search(tmp_path: Path) -> None:
    """In two processes whose hashes of strings differ, so that no set or dictionary decides."""
    options = ("--goal", "13", "--sampler", "tpe", "--prune", "--epochs", "1")
    programs = [Program(tmp_path / f"{seed}" / "search.db", *options, hash_seed=seed) for seed in ("1", "2")]
    assert [program.end() for program in programs] == [(0, ""), (0, "")]
    first, second = (
        [
            (trial.architecture_hash, trial.score, trial.fold_scores, trial.decision)
            for trial in open_study(tmp_path / seed / "search.db")[0].trials("fake")
        ]
        for seed in ("1", "2")
    )
    assert first == second
    assert len(first) == 13


@pytest.mark.slow
def test_studies_of_the_same_name_do_not_share_checkpoints(tmp_path: Path) -> None:
    """Databases lie side by side; a checkpoint of the other's settings would spoil the scores."""
    one, study = open_study(tmp_path / "one.db")
    worker = make_worker(one, study, FakeTrainer(seed=1), process=dead_process(), emit=killed_in(2, 1))
    with pytest.raises(Killed):
        worker.work(1)
    two, other = open_study(tmp_path / "two.db")
    cnn = space.preset("cnn", TARGET)
    folders = [
        make_run(store, record, FakeTrainer()).checkpoints(cnn)
        for store, record in ((one, study), (two, other))
    ]
    assert folders[0] != folders[1]
    assert list(folders[0].iterdir())
    assert folders[0] == make_run(*open_study(tmp_path / "one.db"), FakeTrainer()).checkpoints(cnn)


@pytest.mark.slow
def test_a_damaged_checkpoint_costs_its_epochs_only(database: Path) -> None:
    store, study = open_study(database)
    run = make_run(store, study, FakeTrainer())
    folder = run.checkpoints(space.preset("cnn", TARGET))
    folder.mkdir(parents=True)
    (folder / "fold1.safetensors").write_bytes(b"\x00\x01")
    Worker(run).work(1)
    ((digest, score),) = by_architecture(store).items()
    assert score == undisturbed(1)[digest]


@pytest.mark.slow
def test_the_front_is_announced(database: Path) -> None:
    store, study = open_study(database)
    heard = Recorder()
    make_worker(store, study, FakeTrainer(n_folds=1), emit=heard).work(12)
    fronts = [event for event in heard.events if isinstance(event, FrontChanged)]
    assert [point.trial for point in fronts[-1].front] == [
        trial.number for trial in front_trials(store.trials("fake"))
    ]
    assert 1 <= len(set(fronts)) == len(fronts) < 12  # only what is new


@pytest.mark.slow
def test_waiting_for_others_ends_with_them(database: Path) -> None:
    """Nothing is left to start while the last trial runs elsewhere, and nobody trains one too many."""
    store, study = open_study(database)
    started = threading.Event()
    slow = FakeTrainer(n_folds=1, n_epochs=3, wait=lambda: (started.set(), time.sleep(0.3)))
    first = threading.Thread(target=lambda: make_worker(store, study, slow).work(1))
    first.start()
    started.wait()
    second_store, _ = open_study(database)
    make_worker(second_store, study, FakeTrainer()).work(1)
    first.join()
    assert n_finished(store) == 1
    assert len(store.trials("fake")) == 1
