"""Members of the front trained again with other seeds."""

import contextlib
import errno
import math
import shutil
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from command_line import call
from fake_study import make_worker, open_study, wide_space
from fake_trainer import FakeRun, FakeTrainer
from killed_workers import Killed, dead_process, killed_in
from report_records import make_architecture, make_study, make_trial

import space
import storage
from reports.document import report_document
from reports.evidence import gather
from reports.findings.comparisons import intervals
from reports.findings.luck import expected_of_front
from reports.findings.training_noise import components_of, training_noise_words
from reports.status import status
from scores.front import front_trials
from search.errors import TrainingError, UsageError
from search.study.confirm import Confirmation, ConfirmOptions, next_training, sampler_noise_sd, to_confirm
from search.study.finished_trials import FinishedTrials
from search.study.provenance import this_worker
from search.study.study import quiet_optuna
from search.watch.events import EpochEnded, Event, Message, TrialEnded, TrialStarted
from search.workers.interrupt import Interrupt
from storage import RepeatFoldRecord, RepeatRecord, TrialRecord
from storage.rows.repeats import with_repeats

pytestmark = pytest.mark.usefixtures("no_optuna_log")

N_FOLDS, N_EPOCHS = 3, 2


def options(n_seeds: int = 2, **changes: Any) -> ConfirmOptions:
    return replace(ConfirmOptions(seeds=n_seeds, storage="sqlite:///unused.db"), **changes)


def repeat(seed: int, score: float | None, **changes: Any) -> RepeatRecord:
    """A repeat with three folds that score the same."""
    folds = () if score is None else tuple(fold_record(fold, score) for fold in (1, 2, 3))
    tiers = {} if score is None else {"subclass": score}
    record = RepeatRecord(
        id=seed,
        trial_id=1,
        seed=seed,
        sampler_noise_sd=None,
        score=score,
        tier_scores=tiers,
        failure=None,
        folds=folds,
    )
    return replace(record, **changes)


def fold_record(fold: int, score: float) -> RepeatFoldRecord:
    return RepeatFoldRecord(fold=fold, score=score, n_training=2, n_validation=1, seconds=1.0, predictions="")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study with six complete trials."""
    folder = tmp_path_factory.mktemp("made")
    quiet_optuna()
    store, study = open_study(folder / "search.db")
    make_worker(store, study, FakeTrainer(n_folds=N_FOLDS, n_epochs=N_EPOCHS)).work(6)
    store.close()
    return folder


def opened(made: Path, folder: Path) -> tuple[storage.Store, storage.StudyRecord]:
    """A copy of that study."""
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return open_study(folder / "search.db")


@pytest.fixture
def searched(made: Path, tmp_path: Path) -> Iterator[tuple[storage.Store, storage.StudyRecord]]:
    store, study = opened(made, tmp_path)
    yield store, study
    store.close()


def confirmation(
    store: storage.Store,
    study: storage.StudyRecord,
    events: list[Event] | None = None,
    process: storage.WorkerRecord | None = None,
    **trainer: Any,
) -> Confirmation:
    kept: list[Event] = [] if events is None else events
    return Confirmation(
        store=store,
        study=study,
        make_trainer=lambda seed: FakeTrainer(n_folds=N_FOLDS, n_epochs=N_EPOCHS, seed=seed, **trainer),
        worker_row=store.add_worker(study.name, process or this_worker("cpu")),
        emit=kept.append,
        interrupt=Interrupt(),
        sampler_noise_sd=0.01,
    )


def test_a_trial_is_the_mean_of_its_trainings() -> None:
    trial = make_trial(4, 0.5)
    again = (repeat(1, 0.6), repeat(2, 0.7), repeat(3, None), repeat(4, None, failure="diverged"))
    found = with_repeats(trial, again)
    assert found.score == pytest.approx(0.6)
    assert found.scores == (0.5, 0.6, 0.7)
    # Folds 4 and 5 were not trained by the others.
    assert found.fold_scores == pytest.approx({fold: 0.6 + 0.01 * (fold - 3) / 3 for fold in (1, 2, 3)})
    assert found.tier_scores == pytest.approx({"subclass": 0.6})
    assert found.training_fold_scores[0] == trial.fold_scores
    assert len(found.training_fold_scores) == 3
    assert with_repeats(trial, again[2:]).score == 0.5
    assert make_trial(1).scores == ()


def test_members_of_the_front_come_first_and_those_within_noise_when_asked_for() -> None:
    """Of equal size: differences of (.01, .01, .04) over folds are .02 ± .01, of (.02, .02, .02) are sure."""
    best = make_trial(0, 0.7, fold_scores={1: 0.6, 2: 0.7, 3: 0.8})
    near = make_trial(1, 0.68, 600_000, fold_scores={1: 0.59, 2: 0.69, 3: 0.76})
    below = make_trial(2, 0.68, 600_000, fold_scores={1: 0.58, 2: 0.68, 3: 0.78})
    small = make_trial(3, 0.5, 1_000)
    trials = [best, near, below, small, make_trial(4)]
    assert [trial.number for trial in to_confirm(make_study(), trials, within_noise=False)] == [3, 0]
    assert [trial.number for trial in to_confirm(make_study(), trials, within_noise=True)] == [3, 0, 1]


def test_members_of_the_front_of_each_number_of_leads_are_trained_again() -> None:
    few = make_trial(0, 0.5, 2_000, architecture=make_architecture(leads="I"))
    all_leads = make_trial(1, 0.6, 1_000, architecture=make_architecture(leads="all"))
    trials = [few, all_leads, make_trial(2, 0.4, 3_000, architecture=make_architecture(leads="I"))]
    found = to_confirm(make_study(), trials, within_noise=False)
    assert [trial.number for trial in found] == [1, 0]


def test_every_member_gets_a_seed_before_any_gets_the_next() -> None:
    small, large = make_trial(0, 0.5, 1_000), make_trial(1, 0.6, 2_000)

    def following(trials: Sequence[TrialRecord]) -> tuple[int, int] | None:
        found = next_training(make_study(settings={"seed": 7}), trials, n_seeds=2, within_noise=False)
        return None if found is None else (found[0].number, found[1])

    assert following([small, large]) == (0, 8)
    once = with_repeats(small, (repeat(8, 0.5),))
    assert following([once, large]) == (1, 8)
    assert following([once, with_repeats(large, (repeat(8, None, failure="diverged"),))]) == (0, 9)
    # One that was begun and not ended goes on.
    assert following([with_repeats(small, (repeat(8, None),)), large]) == (0, 8)
    done = (repeat(8, 0.6), repeat(9, 0.6))
    assert following([with_repeats(large, done), with_repeats(small, done)]) is None


def test_a_lucky_member_leaves_the_front_and_the_next_is_trained_again() -> None:
    lucky, other = make_trial(0, 0.7, 1_000), make_trial(1, 0.65, 1_000)
    fallen = with_repeats(lucky, (repeat(1, 0.5),))
    assert front_trials([fallen, other]) == (other,)
    found = next_training(make_study(), [fallen, other], n_seeds=1, within_noise=False)
    assert found == (other, 1)


def test_the_front_is_confirmed_and_the_same_command_finds_nothing_more(
    searched: tuple[storage.Store, storage.StudyRecord],
) -> None:
    store, study = searched
    before = {trial.number: trial for trial in store.trials(study.name)}
    events: list[Event] = []
    confirmation(store, study, events).train(options())
    after = store.trials(study.name)
    for trial in front_trials(after):
        first = before[trial.number]
        assert [each.seed for each in trial.repeats] == [1, 2]
        assert trial.scores[0] == first.score
        assert trial.score == pytest.approx(fmean(trial.scores))
        assert len(set(trial.scores)) == 3
        assert trial.training_fold_scores[0] == first.fold_scores
        for each in trial.repeats:
            assert len(each.folds) == N_FOLDS
            kept = storage.load_predictions(store, each.folds[0].predictions)
            assert kept.on(study.target) is not None
        # Nothing of the first training has changed.
        assert len(store.epochs(trial.id)) == N_FOLDS * N_EPOCHS
    started = [event for event in events if isinstance(event, TrialStarted)]
    assert started[0].reason == "trained again with seed 1"
    n_ended = sum(isinstance(event, TrialEnded) and event.state == "complete" for event in events)
    assert n_ended == len(started) == sum(len(trial.repeats) for trial in after)
    events.clear()
    confirmation(store, study, events).train(options())
    assert events == []


@pytest.mark.slow
def test_components_and_the_sentence_come_from_the_trainings(
    searched: tuple[storage.Store, storage.StudyRecord],
) -> None:
    store, study = searched
    assert training_noise_words(store.trials(study.name)) == []
    confirmation(store, study).train(options())
    trials = store.trials(study.name)
    found = components_of(trials)
    assert found is not None
    assert found.n_models == sum(bool(trial.repeats) for trial in trials)
    assert found.n_folds == N_FOLDS
    (line,) = training_noise_words(trials)
    assert f"over {3 * found.n_models} trainings of {found.n_models} architectures" in line
    assert "the sampler expected .010" in line


@pytest.mark.slow
def test_the_report_is_of_the_confirmed_front_and_as_uncertain_as_the_components_say(
    searched: tuple[storage.Store, storage.StudyRecord],
) -> None:
    store, study = searched
    single = report_document(gather(store, study.name), n_resamples=200)
    assert single.training_noise is None
    assert {each.n_trainings for each in single.close} == {1}
    assert "trainings" not in single.methods
    confirmation(store, study).train(options())
    trials = {trial.number: trial for trial in store.trials(study.name)}
    evidence = gather(store, study.name)
    report = report_document(evidence, n_resamples=200)
    assert report.front == [trial.number for trial in front_trials(trials.values())]
    assert report.training_noise is not None
    components = components_of(list(trials.values()))
    assert components is not None
    close = {each.trial: each for each in report.close}
    scored = intervals(evidence, n_resamples=200)
    for number in report.front:
        each = close[number]
        assert each.n_trainings == 3
        # σ²_S / 3 + σ²_E / 9 over three folds, and the larger of patients and folds.
        luck = components.seed / 3 + components.residual / 9
        patients = scored.patient_variance[number]
        assert each.total_standard_error == pytest.approx(
            math.sqrt(luck + max(patients, components.fold / N_FOLDS))
        )
        assert each.front_share is not None
        assert scored.tiers[study.target][number].score.samples.var() == pytest.approx(
            patients + luck, rel=0.4, abs=luck
        )
    assert "trainings" in report.methods
    shown = status(store, study.name)
    assert shown.to_json()["training_noise"]["n_trainings"] == report.training_noise.n_trainings
    assert {member["trainings"] for member in shown.to_json()["front"]} == {3}


def test_a_run_trains_no_more_than_asked_for(searched: tuple[storage.Store, storage.StudyRecord]) -> None:
    store, study = searched
    for n_ended in (1, 3):
        confirmation(store, study).train(options(), goal=n_ended)
        assert sum(len(each) for each in store.repeats(study.name).values()) == n_ended


@pytest.mark.parametrize("goal", [None, 3])
def test_two_workers_train_each_repeat_once_and_no_more_than_asked_for(
    goal: int | None, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.study.confirm.WAIT_S", 0.01)
    opened(made, tmp_path)[0].close()
    problems: list[BaseException] = []
    trained: list[tuple[int, str, int, int]] = []
    both_train = threading.Barrier(2, timeout=30)

    def work() -> None:
        """A worker that ends its first epoch once the other one is in its own."""
        first = [True]

        def wait() -> None:
            if first:
                first.clear()
                both_train.wait()

        try:
            with open_study(tmp_path / "search.db")[0] as store:
                study = store.study("fake")
                trainers: list[FakeTrainer] = []

                def make(seed: int) -> FakeTrainer:
                    trainers.append(FakeTrainer(n_folds=N_FOLDS, n_epochs=N_EPOCHS, seed=seed, wait=wait))
                    return trainers[-1]

                replace(confirmation(store, study), make_trainer=make).train(options(), goal)
                trained.extend((each.seed, *epoch) for each in trainers for epoch in each.epochs_run)
        except BaseException as error:  # of a thread: told to the test
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert set(Counter(trained).values()) == {1}
    with open_study(tmp_path / "search.db")[0] as store:
        repeats = [each for of_trial in store.repeats("fake").values() for each in of_trial]
        assert all(each.score is not None for each in repeats)
        assert len(trained) == N_FOLDS * N_EPOCHS * len(repeats)
        assert store.running_repeats("fake") == []
        if goal is not None:
            assert len(repeats) == goal
        else:
            assert {len(trial.repeats) for trial in front_trials(store.trials("fake"))} == {2}


@pytest.mark.slow
def test_two_processes_confirm_a_study_of_real_records(
    ptbxl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    tiny = {"depth": (0,), "width": (0.05,), "head_width": (8, 16), "gate": (0,), "backbone": ("cnn",)}
    # The processes take the axes that the study keeps.
    monkeypatch.setitem(space.SPACES, "wide", {**space.SPACES["wide"], **tiny})
    fixed = ("--target", "superclass", "--epochs", "1", "--presets", "none", "--pruner", "none")
    ended = call("run", "--data", str(ptbxl), "--study", "two", "--trials", "2", "--device", "cpu", *fixed)
    assert ended.status == 0, ended.err
    ended = call("confirm", "--data", str(ptbxl), "--seeds", "2", "--workers", "2", "--device", "cpu")
    assert ended.status == 0, ended.err
    with storage.open_store(create=False) as store:
        trials = store.trials("two")
        assert {tuple(each.seed for each in trial.repeats) for trial in front_trials(trials)} == {(1, 2)}
        assert all(each.score is not None for trial in trials for each in trial.repeats)
        assert len({worker.process_id for worker in store.workers("two")}) == 3


def scores_of(store: storage.Store) -> list[tuple[int, int, float | None]]:
    """Row id of the trial, seed and score of every repeat."""
    return [
        (trial_id, each.seed, each.score)
        for trial_id, of_trial in store.repeats("fake").items()
        for each in of_trial
    ]


def test_the_repeat_of_a_killed_worker_is_continued_by_another_one(made: Path, tmp_path: Path) -> None:
    store, study = opened(made, tmp_path / "undisturbed")
    confirmation(store, study).train(options(1))
    expected = scores_of(store)
    store.close()

    store, study = opened(made, tmp_path / "killed")
    killed = replace(confirmation(store, study, process=dead_process()), emit=killed_in(2, 1))
    with pytest.raises(Killed):
        killed.train(options(1))
    (left,) = store.running_repeats(study.name)
    events: list[Event] = []
    confirmation(store, study, events).train(options(1))
    (said,) = (event.text for event in events if isinstance(event, Message))
    process = dead_process()
    assert said == (
        f"trial {left.trial} with seed 1 was killed (process {process.process_id} on {process.host} is gone) "
        "and is continued"
    )
    (epoch, *_) = (event for event in events if isinstance(event, EpochEnded))
    assert (epoch.trial, epoch.record.fold) == (left.trial, 2)
    assert scores_of(store) == expected
    store.close()


def test_a_worker_that_is_silent_for_the_grace_time_loses_its_repeat_and_notices(
    made: Path, tmp_path: Path
) -> None:
    """Nobody here can tell whether a process of another host lives, but by its heartbeat."""
    store, study = opened(made, tmp_path)
    elsewhere = replace(this_worker("cpu"), host="elsewhere")
    others: list[Event] = []

    def falls_silent(event: Event) -> None:
        """In its first epoch, for as long as another worker needs to confirm the front."""
        if isinstance(event, EpochEnded) and not others:
            (running,) = store.running_repeats(study.name)
            assert running.silent_s < store.grace_s
            with contextlib.closing(sqlite3.connect(tmp_path / "search.db")) as connection, connection:
                connection.execute("UPDATE ecg_repeat_heartbeats SET heard_at = '2020-01-01 00:00:00'")
            with open_study(tmp_path / "search.db")[0] as other:
                confirmation(other, study, others).train(options(1))
        silent.append(event)

    silent: list[Event] = []
    replace(confirmation(store, study, process=elsewhere), emit=falls_silent).train(options(1))
    assert any(
        isinstance(event, Message) and "no sign of life from process" in event.text for event in others
    )
    assert isinstance(silent[-1], TrialEnded)
    assert (silent[-1].state, silent[-1].reason) == (
        "interrupted",
        "taken for dead, another worker continues it",
    )
    seeds = Counter((trial_id, seed) for trial_id, seed, _ in scores_of(store))
    assert set(seeds.values()) == {1}
    assert all(score is not None for _, _, score in scores_of(store))
    store.close()


def test_a_repeat_that_kills_its_workers_is_given_up(
    searched: tuple[storage.Store, storage.StudyRecord],
) -> None:
    store, study = searched
    for _ in range(4):
        killed = replace(confirmation(store, study, process=dead_process()), emit=killed_in(1, 1))
        with pytest.raises(Killed):
            killed.train(options(1), goal=1)
    events: list[Event] = []
    confirmation(store, study, events).train(options(1), goal=1)
    (repeat,) = (each for of_trial in store.repeats(study.name).values() for each in of_trial)
    assert repeat.failure is not None
    assert repeat.failure.startswith("given up after 4 attempts: process")
    assert [type(event) for event in events] == [Message]


def test_a_worker_gives_signs_of_life_and_puts_down_what_it_leaves(made: Path, tmp_path: Path) -> None:
    opened(made, tmp_path)[0].close()
    store = storage.open_store(f"sqlite:///{tmp_path}/search.db", heartbeat_s=0.01)  # type: ignore[arg-type]
    study = store.study("fake")
    heard = threading.Event()
    worker = confirmation(store, study, wait=lambda: heard.wait(30))

    def touch(repeat: int, beat: Any = store.touch_repeat) -> None:
        beat(repeat)
        worker.interrupt.request()
        heard.set()

    store.touch_repeat = touch  # type: ignore[method-assign]
    worker.train(options(1))
    assert heard.is_set()
    assert store.running_repeats(study.name) == []
    assert [score for _, _, score in scores_of(store)] == [None]
    broken = replace(confirmation(store, study), make_trainer=lambda seed: 1 / 0)  # type: ignore[arg-type,return-value]
    with pytest.raises(ZeroDivisionError):
        broken.train(options(1))
    assert store.running_repeats(study.name) == []
    store.close()


@pytest.mark.slow
def test_an_interrupted_training_goes_on_where_it_was(made: Path, tmp_path: Path) -> None:
    """The noise of an epoch enters all later ones: one skipped or repeated would change the score."""
    scores = []
    for name, stops in (("whole", False), ("stopped", True)):
        store, study = opened(made, tmp_path / name)
        events: list[Event] = []
        first = confirmation(store, study, events)
        if stops:
            interrupt = first.interrupt

            def stop(event: Event, interrupt: Interrupt = interrupt, events: list[Event] = events) -> None:
                events.append(event)
                if isinstance(event, EpochEnded) and (event.record.fold, event.record.epoch) == (2, 1):
                    interrupt.request()

            replace(first, emit=stop).train(options(1))
            assert isinstance(events[-1], TrialEnded)
            assert events[-1].state == "interrupted"
            (left,) = [each for of_trial in store.repeats(study.name).values() for each in of_trial]
            assert [fold.fold for fold in left.folds] == [1]
            assert not left.has_ended
            events.clear()
            confirmation(store, study, events).train(options(1))
            (epoch, *_) = (event for event in events if isinstance(event, EpochEnded))
            assert (epoch.record.fold, epoch.record.epoch) == (2, 2)
        else:
            first.train(options(1))
        repeats = [each for of in store.repeats(study.name).values() for each in of]
        scores.append([(each.seed, each.score) for each in repeats])
        # The fake trainer takes a second an epoch, those before the interruption as well.
        assert {fold.seconds for each in repeats for fold in each.folds} == {N_EPOCHS}
        store.close()
    assert scores[0] == scores[1]


def test_a_failing_file_system_leaves_the_repeat_to_the_next_run(
    searched: tuple[storage.Store, storage.StudyRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(run: FakeRun, path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", str(path))

    store, study = searched
    with monkeypatch.context() as broken:
        broken.setattr(FakeRun, "save", fail)
        with pytest.raises(storage.StorageError, match="Input/output error"):
            confirmation(store, study).train(options(1))
    ((repeat,),) = store.repeats(study.name).values()
    assert not repeat.has_ended
    confirmation(store, study).train(options(1, trials=1), goal=1)
    ((repeat,),) = store.repeats(study.name).values()
    assert repeat.score is not None


@pytest.mark.slow
def test_a_training_that_fails_is_kept_with_its_reason_and_not_tried_again(
    searched: tuple[storage.Store, storage.StudyRecord],
) -> None:
    store, study = searched
    (*_, best) = front_trials(store.trials(study.name))

    def fails(architecture: object, fold: int, epoch: int) -> Exception | None:
        is_it = getattr(architecture, "digest", "") == best.architecture_hash and fold == 2
        return TrainingError("diverged", "training loss is nan") if is_it else None

    confirmation(store, study, fails=fails).train(options(1))
    (failed,) = next(trial for trial in store.trials(study.name) if trial.number == best.number).repeats
    assert failed.failure == "fold 2: training loss is nan"
    assert failed.score is None
    with pytest.raises(storage.StorageError, match="has ended and never changes"):
        store.add_repeat_scores(failed.id, 0.5, {})
    n_before = len(store.repeats(study.name))
    confirmation(store, study).train(options(1))
    assert len(store.repeats(study.name)) == n_before
    assert training_noise_words(store.trials(study.name))[-1] == "1 repeat failed."


@pytest.mark.slow
def test_the_sampler_observes_every_training_and_its_estimate_can_be_had_without_them(
    searched: tuple[storage.Store, storage.StudyRecord],
) -> None:
    store, study = searched
    finished = FinishedTrials(store, study.name, wide_space(), n_folds=N_FOLDS, n_epochs=N_EPOCHS)
    finished.refresh()
    assert finished.estimates() == []
    before = sampler_noise_sd(store, study, wide_space(), n_folds=N_FOLDS, n_epochs=N_EPOCHS)
    confirmation(store, study).train(options())
    finished.refresh()
    told = [(estimate.score, estimate.standard_error) for estimate in finished.estimates()]
    again = [each.score for of in store.repeats(study.name).values() for each in of]
    assert sorted(told) == sorted((score, 0.0) for score in again)
    assert len(finished.singles()) == 6
    assert sampler_noise_sd(store, study, wide_space(), n_folds=N_FOLDS, n_epochs=N_EPOCHS) == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": 0}, "--seeds is a whole number from 1 up, got 0"),
        ({"trials": 0}, "--trials is a whole number from 1 up, got 0"),
        ({"workers": 0}, "--workers is a whole number from 1 up, got 0"),
        ({"hours": -1.0}, "--hours is a number above 0, such as 8 or 0.5, at most 10,000, got -1"),
    ],
)
def test_numbers_that_cannot_be_used_are_named(changes: dict[str, int], said: str) -> None:
    with pytest.raises(UsageError) as error:
        ConfirmOptions(**({"seeds": 1, "storage": ""} | changes))  # type: ignore[arg-type]
    assert str(error.value) == said


@pytest.mark.slow
def test_what_is_to_be_expected_of_the_front_is_that_of_the_report(
    searched: tuple[storage.Store, storage.StudyRecord],
) -> None:
    store, study = searched
    confirmation(store, study).train(options(1))
    found = expected_of_front(store, study.name)
    close = {each.trial: each for each in report_document(gather(store, study.name)).close}
    assert found
    for number, expected in found.items():
        reported = close[number].expected
        assert reported is not None
        assert expected.interval.value == pytest.approx(reported.value)
        assert close[number].on_other_folds == pytest.approx(expected.on_other_folds)
        assert close[number].n_trainings == 2
