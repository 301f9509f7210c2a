"""Folds of one trial, trained side by side in threads or in lock-step by one, reported as things happen.

PyTorch releases the interpreter lock inside its kernels and its thread settings are per thread, so threads
suffice. The thread that iterates over a pool alone decides and writes; the others only train.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import space
from search.errors import TrainingError
from search.training.interface import FoldGroup, FoldOutcome, FoldRun, Trainer, rounds
from search.training.threads import in_thread
from storage import EpochRecord

CHECKPOINT_INTERVAL_S = 30.0
"""Longest training between two checkpoints of a fold, in seconds."""
_POLL_S = 0.1

End = TypeVar("End")


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldReport:
    """Something that happened to a fold: an epoch ended, it is done, it stopped halfway or it broke."""

    fold: int
    event: EpochRecord | FoldOutcome | Exception | None
    """None: stopped halfway, with a checkpoint if the caller wanted one."""
    notes: Sequence[str] = ()
    """Remarks of the trainer on the epoch."""


class FoldPool:
    """Threads that train the folds of an architecture, `n_parallel` at a time, ordered by `interface.rounds`.

    A thread advances the fold that is furthest behind by an epoch, then the next: the folds of a round share
    the threads evenly. In lock-step it advances `trainer.n_together` of them at once, and folds that
    continue from different epochs come together.

    Use as a context manager; leaving it stops whatever still trains.

    Args:
        trainer: trains the folds.
        architecture: what to train.
        folds: fold numbers.
        checkpoint: file of a fold's checkpoint; a fold continues from it if it exists.
        rungs: epochs after which a checkpoint is written, so that no more than the epochs since is lost.
        waits: whether a fold waits at a rung until it may go on; see `allow`.
    """

    def __init__(
        self,
        trainer: Trainer,
        architecture: space.Architecture,
        folds: Sequence[int],
        *,
        checkpoint: Callable[[int], Path],
        rungs: Sequence[int] = (),
        waits: bool = False,
    ) -> None:
        self._trainer = trainer
        self._architecture = architecture
        self._checkpoint = checkpoint
        self._rungs = frozenset(rungs)
        self._waits = waits
        self._round_of = {
            fold: number
            for number, members in enumerate(rounds(trainer.n_folds, trainer.n_parallel))
            for fold in members
        }
        self._gate = threading.Condition()
        # Guarded by the gate, except the state inside a run, which belongs to the thread that trains it.
        self._left = sorted(folds)
        self._busy: set[int] = set()
        self._runs: dict[int, FoldRun] = {}
        self._saved_at: dict[int, float] = {}
        self._allowed: dict[int, int] = {}
        self._taken_in: dict[int, int] = {}
        self._n_open = len(folds)
        self._reports: queue.SimpleQueue[FoldReport | OSError] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._keep = False
        n_threads = -(-min(trainer.n_parallel, len(folds)) // trainer.n_together)
        self._n_threads = n_threads
        self._ends: list[threading.Event] = []

    def __enter__(self) -> Self:
        self._ends = [in_thread(self._work) for _ in range(self._n_threads)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(keep=self._keep)
        for end in self._ends:
            while not end.wait(_POLL_S):  # in slices, so that a signal handler gets its turn
                pass

    def reports(self, *, stop: Callable[[], bool]) -> Iterator[FoldReport]:
        """Reports until every fold is done, stopped or broken.

        The caller takes the next report once the last one is stored. A checkpoint is written only then: were
        it ahead of the curve, a continuation after a kill or a lost database would leave a gap in the curve.

        Args:
            stop: called about ten times a second; true ends training, keeping checkpoints.

        Raises:
            OSError: a checkpoint cannot be read or written, which says nothing about the architecture.
        """
        while self._n_open:
            if stop():
                self.stop(keep=True)
            try:
                report = self._reports.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if isinstance(report, OSError):
                raise report
            if not isinstance(report.event, EpochRecord):
                self._n_open -= 1
            yield report
            if isinstance(report.event, EpochRecord):
                with self._gate:
                    self._taken_in[report.fold] = report.event.epoch
                    self._gate.notify_all()

    def stop(self, *, keep: bool) -> None:
        """Let every fold end after its present epoch; `keep` writes checkpoints for a continuation."""
        self._keep = keep
        self._stop.set()
        with self._gate:
            self._gate.notify_all()

    def allow(self, fold: int, epoch: int) -> None:
        """Let a fold train up to this epoch, if folds wait at rungs."""
        with self._gate:
            self._allowed[fold] = epoch
            self._gate.notify_all()

    def _work(self) -> None:
        group: FoldGroup | None = None
        members: list[int] = []
        while folds := self._take():
            try:
                if self._stop.is_set():
                    self._leave(folds)
                elif folds[0] not in self._runs:
                    self._begin(folds)
                else:
                    if group is None or members != folds:
                        group = None  # its memory first
                        group, members = self._trainer.group([self._runs[fold] for fold in folds]), folds
                    self._train(folds, group)
            except Exception as error:  # whatever a fold raises fails its trial, never the study
                for fold in folds:
                    self._close(fold, error)
            finally:
                with self._gate:
                    self._busy.difference_update(folds)
                    self._gate.notify_all()

    def _take(self) -> list[int]:
        """The folds that a thread is to begin, advance or leave next; none when all have ended."""
        with self._gate:
            folds: list[int] = []
            while self._left and not (folds := self._next()):
                self._gate.wait()
            self._busy.update(folds)
            return folds

    def _next(self) -> list[int]:
        """The first folds of `_take` that may go on; none if all wait, or other threads have them."""
        free = [fold for fold in self._left if fold not in self._busy]
        if self._stop.is_set():
            return free[:1]
        has_room = [fold for fold in free if self._n_before(fold) < self._trainer.n_parallel]
        if new := [fold for fold in has_room if fold not in self._runs]:
            return new[: self._trainer.n_together]
        behind = sorted(has_room, key=lambda fold: (self._round_of[fold], self._runs[fold].epochs_done))
        while behind:
            epoch = self._runs[behind[0]].epochs_done
            first = [fold for fold in behind if self._runs[fold].epochs_done == epoch]
            together = first[: self._trainer.n_together]
            if all(self._may_go_on(fold, epoch) for fold in together):
                return together
            behind = [fold for fold in behind if fold not in together]
        return []

    def _n_before(self, fold: int) -> int:
        """Folds of earlier rounds that have not ended."""
        return sum(self._round_of[other] < self._round_of[fold] for other in self._left)

    def _may_go_on(self, fold: int, epoch: int) -> bool:
        return not self._waits or epoch not in self._rungs or self._allowed.get(fold, 0) > epoch

    def _begin(self, folds: Sequence[int]) -> None:
        """Start folds, each where it was."""
        for fold in folds:
            try:
                run = self._start(fold)
            except Exception as error:
                self._close(fold, error)
            else:
                with self._gate:
                    self._runs[fold] = run
                    self._saved_at[fold] = time.monotonic()
                if run.epochs_done == self._trainer.n_epochs:
                    self._finish([fold])

    def _start(self, fold: int) -> FoldRun:
        path = self._checkpoint(fold)
        run = self._trainer.start(self._architecture, fold)
        with self._ends_without_files():
            try:
                run.restore(path)
            except FileNotFoundError:
                pass
            except TrainingError:
                # A damaged checkpoint costs its epochs, not the trial.
                path.unlink(missing_ok=True)
                run = self._trainer.start(self._architecture, fold)
        return run

    @contextmanager
    def _ends_without_files(self) -> Iterator[None]:
        """End training where a file cannot be read or written; whoever takes the reports gets the error."""
        try:
            yield
        except OSError as error:
            self._reports.put(error)
            self.stop(keep=self._keep)

    def _train(self, folds: Sequence[int], group: FoldGroup) -> None:
        """Train an epoch of folds that have trained equally long; one that has been reported is taken out."""
        epoch = self._runs[folds[0]].epochs_done + 1
        for fold, event in zip(folds, group.run_epoch(), strict=True):
            if isinstance(event, Exception):
                self._close(fold, event)
            else:
                self._report(fold, event, group.take_notes())
        left = [fold for fold in folds if fold in self._runs]
        if epoch == self._trainer.n_epochs:
            self._finish(left)
        elif self._is_to_be_saved(left, epoch) and self._are_taken_in(left, epoch):
            self._save(left)

    def _is_to_be_saved(self, folds: Sequence[int], epoch: int) -> bool:
        now = time.monotonic()
        return epoch in self._rungs or any(
            now - self._saved_at[fold] > CHECKPOINT_INTERVAL_S for fold in folds
        )

    def _are_taken_in(self, folds: Sequence[int], epoch: int) -> bool:
        """Wait until what was reported of folds has been kept; false if they are to stop."""
        with self._gate:
            self._gate.wait_for(
                lambda: self._stop.is_set() or all(self._taken_in.get(fold, 0) >= epoch for fold in folds)
            )
        return not self._stop.is_set()

    def _finish(self, folds: Sequence[int]) -> None:
        """Report the outcome of finished folds."""
        for fold in folds:
            try:
                event: FoldOutcome | Exception = self._runs[fold].outcome()
            except Exception as error:
                event = error
            self._close(fold, event)

    def _leave(self, folds: Sequence[int]) -> None:
        """Report that folds stop halfway."""
        if self._keep:
            self._save([fold for fold in folds if fold in self._runs and self._runs[fold].epochs_done])
        for fold in folds:
            self._close(fold, None)

    def _save(self, folds: Sequence[int]) -> None:
        """Write checkpoints; a fold that cannot is reported and taken out."""
        for fold in folds:
            try:
                with self._ends_without_files():
                    self._runs[fold].save(self._checkpoint(fold))
                    self._saved_at[fold] = time.monotonic()
            except Exception as error:
                self._close(fold, error)

    def _close(self, fold: int, event: FoldOutcome | Exception | None) -> None:
        """Take a fold out with the last report of it, unless that was done."""
        with self._gate:
            if fold not in self._left:
                return
            self._left.remove(fold)
            self._runs.pop(fold, None)
        self._report(fold, event)

    def _report(
        self, fold: int, event: EpochRecord | FoldOutcome | Exception | None, notes: Sequence[str] = ()
    ) -> None:
        self._reports.put(FoldReport(fold=fold, event=event, notes=notes))


def train_folds(
    pool: FoldPool,
    *,
    stop: Callable[[], bool],
    on_epoch: Callable[[EpochRecord, Sequence[str]], None],
    on_fold: Callable[[int, FoldOutcome], None],
    on_failure: Callable[[Exception, int], End],
    end: Callable[[], End | None] = lambda: None,
) -> End | None:
    """Train the folds of a pool until all are done, the user stops, one fails or there is another end.

    Args:
        pool: the folds.
        stop: as for `FoldPool.reports`.
        on_epoch: takes an epoch and the remarks of the trainer on it.
        on_fold: takes a fold trained to its end.
        on_failure: what becomes of the training because of an exception in a fold.
        end: called at first and after every report; ends training unless it returns None.

    Returns:
        What ended training: a value of `on_failure` or `end`; None if all folds are done or the user stopped.

    Raises:
        OSError: a checkpoint cannot be read or written.
    """
    with pool:
        if (ended := end()) is not None:
            return ended
        for report in pool.reports(stop=stop):
            if isinstance(report.event, Exception):
                return on_failure(report.event, report.fold)
            if isinstance(report.event, EpochRecord):
                on_epoch(report.event, report.notes)
            elif report.event is not None:
                on_fold(report.fold, report.event)
            if (ended := end()) is not None:
                return ended
    return None
