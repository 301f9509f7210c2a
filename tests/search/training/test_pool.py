"""The pool: order of folds and reports, stopping with and without checkpoints, errors, threads."""

import gc
import itertools
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_trainer import FakeGroup, FakeRun, FakeTrainer
from training_samples import CPU, NO_CACHE, TINY, development

from search.errors import TrainingError
from search.training import fold_threads as pool_module
from search.training.fold_threads import FoldPool, FoldReport
from search.training.interface import FoldOutcome
from search.training.settings import TrainingSettings
from search.training.threads import idle_threads
from search.training.trainer import CrossValidation
from space import Architecture
from storage import EpochRecord

ARCHITECTURE = Architecture(label_tier="superclass")


@pytest.fixture(autouse=True)
def no_thread_trains_any_longer() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before | idle_threads()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[[int], Path]:
    return lambda fold: tmp_path / f"fold-{fold}"


def never() -> bool:
    return False


def run_all(
    trainer: FakeTrainer, checkpoint: Callable[[int], Path], folds: list[int] | None = None
) -> list[FoldReport]:
    with FoldPool(trainer, ARCHITECTURE, folds or [1, 2, 3, 4, 5], checkpoint=checkpoint) as pool:
        return list(pool.reports(stop=never))


def kinds(reports: list[FoldReport]) -> list[tuple[int, object]]:
    """Fold and what happened: the number of an epoch, or the kind of end."""
    return [
        (
            report.fold,
            report.event.epoch if isinstance(report.event, EpochRecord) else type(report.event).__name__,
        )
        for report in reports
    ]


def final_scores(reports: list[FoldReport]) -> dict[int, float]:
    return {
        report.fold: report.event.scores["superclass"].metrics["macro_auprc"]
        for report in reports
        if isinstance(report.event, FoldOutcome)
    }


# ---------------------------------------------------------------------------------------------------------
# Order


def test_folds_run_in_ascending_order_and_report_every_epoch(checkpoint: Callable[[int], Path]) -> None:
    reports = run_all(FakeTrainer(n_epochs=3), checkpoint, [4, 1, 2])
    per_fold = (1, 2, 3, "FoldOutcome")
    assert kinds(reports) == list(itertools.product((1, 2, 4), per_fold))


@pytest.mark.parametrize("n_parallel", [2, 3, 5, 9])
def test_every_fold_reports_its_epochs_in_order_whatever_runs_beside_it(
    checkpoint: Callable[[int], Path], n_parallel: int
) -> None:
    reports = run_all(FakeTrainer(n_epochs=3, n_parallel=n_parallel), checkpoint)
    for fold in range(1, 6):
        assert [what for number, what in kinds(reports) if number == fold] == [1, 2, 3, "FoldOutcome"]
    assert final_scores(reports) == final_scores(run_all(FakeTrainer(n_epochs=3), checkpoint))


def test_as_many_folds_run_at_once_as_the_trainer_wants(checkpoint: Callable[[int], Path]) -> None:
    """Three have to meet for any to go on, then the next three."""
    meeting = threading.Barrier(3)
    trainer = FakeTrainer(n_epochs=1, n_folds=6, n_parallel=3, wait=lambda: meeting.wait(timeout=30))
    reports = run_all(trainer, checkpoint, [1, 2, 3, 4, 5, 6])
    assert final_scores(reports).keys() == {1, 2, 3, 4, 5, 6}


def test_the_folds_of_the_last_round_take_turns(checkpoint: Callable[[int], Path]) -> None:
    """Two at a time: none is two epochs ahead, and the third does not wait until another has ended."""
    trainer = FakeTrainer(n_epochs=4, n_parallel=2, wait=lambda: time.sleep(0.01))
    done = dict.fromkeys(range(1, 6), 0)
    for fold, what in kinds(run_all(trainer, checkpoint)):
        if isinstance(what, int):
            done[fold] = what
            last = [done[fold] for fold in (3, 4, 5)]
            assert max(last) - min(last) <= 2
            assert not any(last) or 4 in (done[1], done[2])


def test_a_pool_without_folds_ends_at_once(checkpoint: Callable[[int], Path]) -> None:
    with FoldPool(FakeTrainer(), ARCHITECTURE, [], checkpoint=checkpoint) as pool:
        assert list(pool.reports(stop=never)) == []


# ---------------------------------------------------------------------------------------------------------
# Stopping and going on


def test_stopping_with_checkpoints_lets_a_later_pool_go_on(checkpoint: Callable[[int], Path]) -> None:
    undisturbed = final_scores(run_all(FakeTrainer(n_epochs=4), lambda fold: Path("none") / str(fold)))

    reports: list[FoldReport] = []

    def wait_for_the_stop(architecture: Architecture, fold: int, epoch: int) -> None:
        if (fold, epoch) == (2, 3):
            # Private: a fold must end its epoch after the stop, not before.
            assert pool._stop.wait(30)

    trainer = FakeTrainer(n_epochs=4, fails=wait_for_the_stop)
    pool = FoldPool(trainer, ARCHITECTURE, [1, 2, 3], checkpoint=checkpoint)
    with pool:
        for report in pool.reports(stop=lambda: (2, 2) in kinds(reports)):
            reports.append(report)
    ends = {fold: what for fold, what in kinds(reports) if not isinstance(what, int)}
    assert ends == {1: "FoldOutcome", 2: "NoneType", 3: "NoneType"}
    assert checkpoint(2).exists()
    assert not checkpoint(1).exists()
    assert not checkpoint(3).exists()

    n_before = len(trainer.epochs_run)
    resumed = FakeTrainer(n_epochs=4)
    with FoldPool(resumed, ARCHITECTURE, [2, 3], checkpoint=checkpoint) as pool:
        scores = final_scores(list(pool.reports(stop=never)))
    assert scores == {fold: undisturbed[fold] for fold in (2, 3)}
    assert n_before + len(resumed.epochs_run) == 3 * 4  # no epoch was trained twice


def test_stopping_without_checkpoints_leaves_none(checkpoint: Callable[[int], Path]) -> None:
    trainer = FakeTrainer(n_epochs=500, n_parallel=2, wait=lambda: time.sleep(0.002))
    with FoldPool(trainer, ARCHITECTURE, [1, 2, 3], checkpoint=checkpoint) as pool:
        reports = pool.reports(stop=never)
        first = next(reports)
        pool.stop(keep=False)
        rest = list(reports)
    ends = [fold for fold, what in kinds([first, *rest]) if what == "NoneType"]
    assert sorted(ends) == [1, 2, 3]
    assert not any(checkpoint(fold).exists() for fold in (1, 2, 3))


def test_leaving_a_pool_early_ends_its_threads(checkpoint: Callable[[int], Path]) -> None:
    """The race leaves when it has seen enough, and an exception of whoever reads the reports leaves too."""
    trainer = FakeTrainer(n_epochs=10_000, n_parallel=2, wait=lambda: time.sleep(0.001))

    def read_one(*, then: Exception | None) -> None:
        with FoldPool(trainer, ARCHITECTURE, [1, 2, 3], checkpoint=checkpoint) as pool:
            next(pool.reports(stop=never))
            if then is not None:
                raise then

    read_one(then=None)
    with pytest.raises(ZeroDivisionError):
        read_one(then=ZeroDivisionError())
    assert len(trainer.epochs_run) < 5_000
    assert not any(checkpoint(fold).exists() for fold in (1, 2, 3))


def test_a_stop_before_the_start_trains_nothing(checkpoint: Callable[[int], Path]) -> None:
    trainer = FakeTrainer()
    pool = FoldPool(trainer, ARCHITECTURE, [1, 2], checkpoint=checkpoint)
    pool.stop(keep=True)
    with pool:
        assert kinds(list(pool.reports(stop=lambda: True))) == [(1, "NoneType"), (2, "NoneType")]
    assert trainer.epochs_run == []


def test_long_folds_write_checkpoints_now_and_then(
    checkpoint: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "CHECKPOINT_INTERVAL_S", -1.0)
    run_all(FakeTrainer(n_epochs=2), checkpoint, [1])
    assert checkpoint(1).exists()


def test_a_damaged_checkpoint_costs_its_epochs_only(checkpoint: Callable[[int], Path]) -> None:
    checkpoint(2).write_text("{")
    trainer = FakeTrainer(n_epochs=3)
    reports = run_all(trainer, checkpoint, [1, 2])
    assert [epoch for _, fold, epoch in trainer.epochs_run if fold == 2] == [1, 2, 3]
    assert final_scores(reports).keys() == {1, 2}
    assert not checkpoint(2).exists()


# ---------------------------------------------------------------------------------------------------------
# In lock-step


def in_lockstep(n_epochs: int, **changes: Any) -> FakeTrainer:
    return FakeTrainer(n_epochs=n_epochs, n_parallel=5, n_together=5, **changes)


def test_folds_in_lockstep_train_epoch_by_epoch(checkpoint: Callable[[int], Path]) -> None:
    reports = run_all(in_lockstep(3), checkpoint, [4, 1, 2])
    assert kinds(reports) == [
        *itertools.chain.from_iterable(((fold, epoch) for fold in (1, 2, 4)) for epoch in (1, 2, 3)),
        *((fold, "FoldOutcome") for fold in (1, 2, 4)),
    ]
    assert final_scores(reports) == final_scores(run_all(FakeTrainer(n_epochs=3), checkpoint, [1, 2, 4]))


def test_folds_that_continue_from_different_epochs_come_together(checkpoint: Callable[[int], Path]) -> None:
    for fold, n_epochs in ((1, 2), (3, 1), (4, 3)):
        run = FakeTrainer().start(ARCHITECTURE, fold)
        for _ in range(n_epochs):
            run.run_epoch()
        run.save(checkpoint(fold))
    trainer = in_lockstep(3)
    reports = run_all(trainer, checkpoint, [1, 2, 3, 4])
    assert [(fold, epoch) for _, fold, epoch in trainer.epochs_run] == [
        (2, 1), (2, 2), (3, 2), (1, 3), (2, 3), (3, 3),
    ]  # fmt: skip
    expected = final_scores(run_all(FakeTrainer(n_epochs=3), lambda fold: Path("none") / str(fold)))
    assert final_scores(reports) == {fold: expected[fold] for fold in (1, 2, 3, 4)}


def test_folds_in_lockstep_pass_a_rung_together(checkpoint: Callable[[int], Path]) -> None:
    """None goes ahead while some are still to be allowed, and all have a checkpoint by then."""
    trainer = in_lockstep(3)
    pool = FoldPool(trainer, ARCHITECTURE, [1, 2, 3], checkpoint=checkpoint, rungs=(1, 3), waits=True)
    with pool:
        reports = pool.reports(stop=never)
        assert kinds([next(reports) for _ in range(3)]) == [(1, 1), (2, 1), (3, 1)]
        for fold in (1, 2):
            pool.allow(fold, 3)
        time.sleep(0.05)
        assert len(trainer.epochs_run) == 3
        pool.allow(3, 3)
        rest = [next(reports)]  # whoever asks for it has kept what was reported of the first epoch
        assert all(checkpoint(fold).exists() for fold in (1, 2, 3))
        assert final_scores([*rest, *reports]).keys() == {1, 2, 3}


def test_a_rung_is_left_when_the_trial_is_stopped(checkpoint: Callable[[int], Path]) -> None:
    trainer = in_lockstep(3)
    pool = FoldPool(trainer, ARCHITECTURE, [1, 2, 3], checkpoint=checkpoint, rungs=(2, 3), waits=True)
    with pool:
        reports = pool.reports(stop=never)
        seen = [next(reports) for _ in range(6)]
        pool.stop(keep=True)
        seen += list(reports)
    assert kinds(seen)[6:] == [(fold, "NoneType") for fold in (1, 2, 3)]
    resumed = in_lockstep(3)
    run_all(resumed, checkpoint, [1, 2, 3])
    assert [(fold, epoch) for _, fold, epoch in resumed.epochs_run] == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_fold_that_breaks_leaves_the_others_in_lockstep(
    checkpoint: Callable[[int], Path], epoch: int
) -> None:
    error = TrainingError("diverged", "loss is nan")
    trainer = in_lockstep(3, fails=lambda _, fold, at: error if (fold, at) == (2, epoch) else None)
    reports = run_all(trainer, checkpoint, [1, 2, 3])
    assert [report.event for report in reports if report.fold == 2][-1] is error
    assert final_scores(reports).keys() == {1, 3}


def test_an_error_of_the_whole_group_fails_every_fold(
    checkpoint: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ValueError("a bug")

    def fail(group: FakeGroup) -> list[EpochRecord]:
        raise error

    monkeypatch.setattr(FakeGroup, "run_epoch", fail)
    reports = run_all(in_lockstep(3), checkpoint)
    assert [(report.fold, report.event) for report in reports] == [(fold, error) for fold in range(1, 6)]


def test_a_checkpoint_that_cannot_be_written_ends_training(
    checkpoint: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = OSError(28, "No space left on device")
    save = FakeRun.save

    def fail(run: FakeRun, path: Path) -> None:
        if path == checkpoint(2):
            raise error
        save(run, path)

    monkeypatch.setattr(FakeRun, "save", fail)
    pool = FoldPool(in_lockstep(3), ARCHITECTURE, [1, 2, 3], checkpoint=checkpoint, rungs=(1,))
    reports: list[FoldReport] = []
    with pool, pytest.raises(OSError, match="No space left") as raised:
        reports.extend(pool.reports(stop=never))
    assert raised.value is error
    assert not any(isinstance(report.event, Exception) for report in reports)


def test_a_checkpoint_that_cannot_be_read_stays(
    checkpoint: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint(2).write_text("whole")

    def fail(run: FakeRun, path: Path) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(FakeRun, "restore", fail)
    pool = FoldPool(FakeTrainer(), ARCHITECTURE, [2], checkpoint=checkpoint)
    with pool, pytest.raises(OSError, match="Stale file handle"):
        list(pool.reports(stop=never))
    assert checkpoint(2).read_text() == "whole"


# ---------------------------------------------------------------------------------------------------------
# Errors


@pytest.mark.parametrize("error", [TrainingError("diverged", "loss is nan"), ValueError("a bug")])
@pytest.mark.parametrize("n_parallel", [1, 3])
def test_an_exception_in_a_fold_is_reported_and_the_others_go_on(
    checkpoint: Callable[[int], Path], error: Exception, n_parallel: int
) -> None:
    trainer = FakeTrainer(
        n_epochs=2,
        n_parallel=n_parallel,
        fails=lambda architecture, fold, epoch: error if (fold, epoch) == (2, 2) else None,
    )
    reports = run_all(trainer, checkpoint, [1, 2, 3])
    broken = [report for report in reports if report.fold == 2]
    assert broken[-1].event is error
    assert kinds(broken)[0] == (2, 1)
    assert final_scores(reports).keys() == {1, 3}


def test_an_exception_at_the_start_of_a_fold_is_reported(
    checkpoint: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = FakeTrainer()
    error = MemoryError("no room")

    def refuse(architecture: Architecture, fold: int) -> None:
        raise error

    monkeypatch.setattr(trainer, "start", refuse)
    reports = run_all(trainer, checkpoint, [1, 2])
    assert [report.event for report in reports] == [error, error]


# ---------------------------------------------------------------------------------------------------------
# With real training


def train_side_by_side(
    n_threads: int, checkpoint: Callable[[int], Path], stop_every: int | None = None
) -> dict[int, np.ndarray]:
    """Predictions per fold; with `stop_every` the pool is stopped and a new one goes on, again and again."""
    settings = TrainingSettings(epochs=3, batch_size=16)
    trainer = CrossValidation(
        development(), "superclass", settings, device=CPU, n_threads=n_threads, cache_dir=NO_CACHE
    )
    found: dict[int, np.ndarray] = {}
    while len(found) < trainer.n_folds:
        open_folds = [fold for fold in range(1, trainer.n_folds + 1) if fold not in found]
        seen: list[FoldReport] = []
        stop = never if stop_every is None else lambda seen=seen: len(seen) >= stop_every
        with FoldPool(trainer, TINY, open_folds, checkpoint=checkpoint) as pool:
            for report in pool.reports(stop=stop):
                seen.append(report)
                if isinstance(report.event, Exception):
                    raise report.event
                if isinstance(report.event, FoldOutcome):
                    found[report.fold] = report.event.predictions.probabilities_NC
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("n_threads", "stop_every"), [(2, None), (5, None), (2, 3)])
def test_side_by_side_training_equals_one_after_another(
    checkpoint: Callable[[int], Path], n_threads: int, stop_every: int | None
) -> None:
    """To the last bit: objective values must not depend on timing, nor on Ctrl-C."""
    expected = train_side_by_side(1, checkpoint)
    parallel = train_side_by_side(n_threads, checkpoint, stop_every)
    assert parallel.keys() == expected.keys()
    for fold, p_NC in expected.items():
        np.testing.assert_array_equal(parallel[fold], p_NC)


# ---------------------------------------------------------------------------------------------------------
# Threads that stay


class Noting(FakeTrainer):
    """Knows in which threads it has trained."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.threads: set[threading.Thread] = set()

    def start(self, architecture: Architecture, fold: int) -> FakeRun:
        self.threads.add(threading.current_thread())
        return super().start(architecture, fold)


def test_one_trial_after_another_is_trained_by_the_same_thread(checkpoint: Callable[[int], Path]) -> None:
    """However a trial ends: cuDNN keeps what it has built by thread."""

    def fail(architecture: Architecture, fold: int, epoch: int) -> None:
        raise TrainingError("error", "on purpose")

    trainers = [Noting(n_epochs=1), Noting(n_epochs=1, fails=fail), Noting(n_epochs=1)]
    for trainer in trainers:
        run_all(trainer, checkpoint)
    stopped = Noting(n_epochs=1)
    with FoldPool(stopped, ARCHITECTURE, [1, 2], checkpoint=checkpoint) as pool:
        list(pool.reports(stop=lambda: True))
    with (
        pytest.raises(KeyboardInterrupt),
        FoldPool(Noting(n_epochs=1), ARCHITECTURE, [1, 2], checkpoint=checkpoint),
    ):
        raise KeyboardInterrupt
    last = Noting(n_epochs=1)
    run_all(last, checkpoint)
    (thread,) = set.union(*(trainer.threads for trainer in [*trainers, last]))
    assert stopped.threads <= {thread}
    assert thread.daemon
    assert thread in idle_threads()


@pytest.mark.slow
def test_an_idle_thread_holds_nothing_of_its_trial(checkpoint: Callable[[int], Path]) -> None:
    trainer = FakeTrainer(n_epochs=1)
    pool = FoldPool(trainer, ARCHITECTURE, [1], checkpoint=checkpoint)
    with pool:
        list(pool.reports(stop=never))
    gone = weakref.ref(pool)
    del pool
    for _ in range(1_000):  # the thread says that it has ended before it waits again
        gc.collect()
        if gone() is None:
            break
        time.sleep(0.01)
    assert gone() is None


def test_an_idle_thread_does_not_keep_the_process_alive() -> None:
    script = "from search.training.threads import in_thread; assert in_thread(lambda: print('done')).wait(60)"
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")
