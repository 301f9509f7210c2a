"""Threads that train, kept from trial to trial.

For every kind of convolution cuDNN builds a plan, which PyTorch keeps by thread and, once the thread has
ended, never frees: with new threads for every trial memory would grow, and every trial would build its plans
anew.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

_idle: list[TrainingThread] = []
"""The one that was busy last comes last, and is taken first."""
_lock = threading.Lock()


class TrainingThread(threading.Thread):
    """Thread that runs calls one after another; a daemon, so that it does not keep the process alive."""

    def __init__(self) -> None:
        super().__init__(name="training", daemon=True)
        self._given: queue.SimpleQueue[tuple[Callable[[], None], threading.Event]] = queue.SimpleQueue()

    def run(self) -> None:
        """Run the given calls, for ever."""
        while True:
            self._carry_out(*self._given.get())

    def give(self, work: Callable[[], None], done: threading.Event) -> None:
        """Something to do, and what to set afterwards."""
        self._given.put((work, done))

    def _carry_out(self, work: Callable[[], None], done: threading.Event) -> None:
        # A call of its own: while the thread waits for the next trial, nothing of this one is held.
        try:
            work()
            with _lock:
                _idle.append(self)
        finally:
            done.set()


def idle_threads() -> set[threading.Thread]:
    """Threads that wait for a task."""
    with _lock:
        return set(_idle)


def in_thread(work: Callable[[], None]) -> threading.Event:
    """Begin work in a thread that is idle, or in a new one; the event is set when it has ended."""
    done = threading.Event()
    with _lock:
        thread = _idle.pop() if _idle else None
    if thread is None:
        thread = TrainingThread()
        thread.start()
    thread.give(work, done)
    return done
