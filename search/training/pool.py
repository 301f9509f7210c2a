"""Folds of one trial, trained side by side in threads or in lock-step by one, reported as things happen.

PyTorch releases the interpreter lock inside its kernels and its thread settings are per thread, so threads
suffice. The thread that iterates over a pool alone decides and writes; the others only train.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import space
from search.errors import TrainingError
from search.training.interface import EpochScore, FoldGroup, FoldOutcome, FoldRun, Trainer

CHECKPOINT_INTERVAL_S = 30.0
"""Longest training between two checkpoints of a fold, in seconds."""
_POLL_S = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldReport:
    """Something that happened to a fold: an epoch ended, it is done, it stopped halfway or it broke."""

    fold: int
    event: EpochScore | FoldOutcome | Exception | None
    """None: stopped halfway, with a checkpoint if one was asked for."""


class FoldPool:
    """Trains folds of an architecture, `trainer.n_parallel` at a time, in ascending order.

    A thread has `trainer.n_together` of them and trains those that are behind, so that folds that continue
    from different epochs come together.

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
        self._allowed: dict[int, int] = {}
        self._taken_in: dict[int, int] = {}
        self._gate = threading.Condition()
        self._to_train: queue.SimpleQueue[int] = queue.SimpleQueue()
        for fold in sorted(folds):
            self._to_train.put(fold)
        self._n_open = len(folds)
        self._reports: queue.SimpleQueue[FoldReport] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._keep = False
        n_threads = -(-min(trainer.n_parallel, len(folds)) // trainer.n_together)
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(n_threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(keep=self._keep)
        for thread in self._threads:
            while thread.is_alive():
                thread.join(_POLL_S)  # in slices, so that a signal handler gets its turn

    def reports(self, *, stop: Callable[[], bool]) -> Iterator[FoldReport]:
        """Reports until every fold is done, stopped or broken.

        Whoever asks for the next report has kept the last one. A checkpoint is written only then: were it
        ahead of the curve, a continuation after a kill or a lost database would leave a gap in the curve.

        Args:
            stop: asked about ten times a second whether to stop, keeping checkpoints.
        """
        while self._n_open:
            if stop():
                self.stop(keep=True)
            try:
                report = self._reports.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if not isinstance(report.event, EpochScore):
                self._n_open -= 1
            yield report
            if isinstance(report.event, EpochScore):
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
        while folds := self._take():
            runs = self._begin(folds)
            try:
                self._train(runs)
            except Exception as error:  # whatever a fold raises fails its trial, never the study
                for fold in runs:
                    self._report(fold, error)

    def _take(self) -> list[int]:
        """The next folds for a thread; none if all are taken."""
        folds: list[int] = []
        with suppress(queue.Empty):
            while len(folds) < self._trainer.n_together:
                folds.append(self._to_train.get_nowait())
        return folds

    def _begin(self, folds: Sequence[int]) -> dict[int, FoldRun]:
        """Folds that train from here on, where they were; the others are reported."""
        runs: dict[int, FoldRun] = {}
        for fold in folds:
            if self._stop.is_set():
                self._report(fold, None)
                continue
            try:
                runs[fold] = self._start(fold)
            except Exception as error:
                self._report(fold, error)
        return runs

    def _train(self, runs: dict[int, FoldRun]) -> None:
        """Train folds to their end; one that has been reported is taken out."""
        group: FoldGroup | None = None
        members: list[int] = []
        saved_at = time.monotonic()
        while runs:
            epoch = min(run.epochs_done for run in runs.values())
            behind = [fold for fold, run in runs.items() if run.epochs_done == epoch]
            if epoch == self._trainer.n_epochs or not self._may_go_on(behind, epoch):
                self._end(runs)
                return
            if group is None or members != behind:
                group = None  # its memory first
                group, members = self._trainer.group([runs[fold] for fold in behind]), behind
            for fold, event in zip(members, group.run_epoch(), strict=True):
                if isinstance(event, Exception):
                    del runs[fold]
                self._report(fold, event)
            epoch += 1
            is_due = epoch in self._rungs or time.monotonic() - saved_at > CHECKPOINT_INTERVAL_S
            if is_due and epoch < self._trainer.n_epochs:
                left = [fold for fold in members if fold in runs]
                if self._are_taken_in(left, epoch):
                    self._save(runs, left)
                    saved_at = time.monotonic()

    def _are_taken_in(self, folds: Sequence[int], epoch: int) -> bool:
        """Wait until what was reported of folds has been kept; false if they are to stop."""
        with self._gate:
            self._gate.wait_for(
                lambda: self._stop.is_set() or all(self._taken_in.get(fold, 0) >= epoch for fold in folds)
            )
        return not self._stop.is_set()

    def _may_go_on(self, behind: Sequence[int], epoch: int) -> bool:
        """Wait until folds may train beyond an epoch; false if they are to stop."""
        if self._waits and epoch in self._rungs:
            with self._gate:
                self._gate.wait_for(
                    lambda: self._stop.is_set() or all(self._allowed.get(fold, 0) > epoch for fold in behind)
                )
        return not self._stop.is_set()

    def _end(self, runs: dict[int, FoldRun]) -> None:
        """Report what folds have come to, or that they have stopped halfway."""
        if self._keep:
            n_epochs = self._trainer.n_epochs
            self._save(runs, [fold for fold, run in runs.items() if 0 < run.epochs_done < n_epochs])
        while runs:
            fold = next(iter(runs))
            is_done = runs[fold].epochs_done == self._trainer.n_epochs
            try:
                event: FoldOutcome | Exception | None = runs[fold].outcome() if is_done else None
            except Exception as error:
                event = error
            del runs[fold]
            self._report(fold, event)

    def _save(self, runs: dict[int, FoldRun], folds: Sequence[int]) -> None:
        """Write checkpoints; a fold that cannot is reported and taken out."""
        for fold in folds:
            try:
                runs[fold].save(self._checkpoint(fold))
            except Exception as error:
                del runs[fold]
                self._report(fold, error)

    def _report(self, fold: int, event: EpochScore | FoldOutcome | Exception | None) -> None:
        self._reports.put(FoldReport(fold=fold, event=event))

    def _start(self, fold: int) -> FoldRun:
        path = self._checkpoint(fold)
        run = self._trainer.start(self._architecture, fold)
        if path.exists():
            try:
                run.restore(path)
            except TrainingError:
                # A checkpoint that cannot be read costs its epochs, not the trial.
                path.unlink(missing_ok=True)
                run = self._trainer.start(self._architecture, fold)
        return run
