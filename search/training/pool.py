"""Folds of one trial, trained side by side in threads, reported in the order things happen.

PyTorch releases the interpreter lock inside its kernels and its thread settings are per thread, so threads
suffice. The thread that iterates over a pool alone decides and writes; the others only train.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import space
from search.errors import TrainingError
from search.training.interface import EpochScore, FoldOutcome, FoldRun, Trainer

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
        n_threads = min(trainer.n_parallel, len(folds))
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
        while True:
            try:
                fold = self._to_train.get_nowait()
            except queue.Empty:
                return
            try:
                event: FoldOutcome | Exception | None = self._train(fold)
            except Exception as error:  # whatever a fold raises fails its trial, never the study
                event = error
            self._reports.put(FoldReport(fold=fold, event=event))

    def _train(self, fold: int) -> FoldOutcome | None:
        if self._stop.is_set():
            return None
        path = self._checkpoint(fold)
        run = self._start(fold, path)
        saved_at = time.monotonic()
        while run.epochs_done < self._trainer.n_epochs:
            if self._stop.is_set():
                if self._keep and run.epochs_done:
                    run.save(path)
                return None
            self._reports.put(FoldReport(fold=fold, event=run.run_epoch()))
            if run.epochs_done == self._trainer.n_epochs:
                break
            is_rung = run.epochs_done in self._rungs
            if is_rung or time.monotonic() - saved_at > CHECKPOINT_INTERVAL_S:
                self._wait(lambda: self._taken_in.get(fold, 0) >= run.epochs_done)
                if self._stop.is_set():
                    continue
                run.save(path)
                saved_at = time.monotonic()
            if is_rung and self._waits:
                self._wait(lambda: self._allowed.get(fold, 0) > run.epochs_done)
        return run.outcome()

    def _wait(self, ready: Callable[[], bool]) -> None:
        """Until a fold may go on, or shall stop."""
        with self._gate:
            self._gate.wait_for(lambda: self._stop.is_set() or ready())

    def _start(self, fold: int, path: Path) -> FoldRun:
        run = self._trainer.start(self._architecture, fold)
        if path.exists():
            try:
                run.restore(path)
            except TrainingError:
                # A checkpoint that cannot be read costs its epochs, not the trial.
                path.unlink(missing_ok=True)
                run = self._trainer.start(self._architecture, fold)
        return run
