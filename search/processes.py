"""Several workers on this machine, each a process of its own, all in one live view."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

from rich.console import Console

from search.errors import SearchError
from search.events import Event, Message
from search.interrupt import Flag, Interrupt
from search.run import RunOptions, prepare, train
from storage import StorageError

_POLL_S = 0.2


def train_in_processes(
    options: RunOptions,
    *,
    goal: int,
    emit: Callable[[Event], None],
    interrupt: Interrupt,
) -> None:
    """Run `options.workers` workers until the study has `goal` finished trials.

    Raises:
        SearchError: every worker ended early; the message is the last one's.
    """
    context = multiprocessing.get_context("spawn")
    events: Any = context.Queue()
    stop = context.Event()
    workers: list[BaseProcess] = [
        context.Process(target=_work, args=(options, goal, number, events, stop), daemon=True)
        for number in range(1, options.workers + 1)
    ]
    for worker in workers:
        worker.start()
    problems: list[str] = []
    try:
        while any(worker.is_alive() for worker in workers):
            _forward(events, emit, problems)
            if interrupt.requested:
                stop.set()
        _forward(events, emit, problems)
    finally:
        for worker in workers:
            worker.join()
    if problems and not interrupt.requested:
        raise SearchError(problems[-1])


def _forward(events: Any, emit: Callable[[Event], None], problems: list[str]) -> None:
    """Hand on what has arrived; wait a little for the first."""
    timeout = _POLL_S
    while True:
        try:
            event = events.get(timeout=timeout)
        except queue.Empty:
            return
        timeout = 0.01
        if isinstance(event, str):
            problems.append(event)
            emit(Message(f"a worker ended: {event}"))
        else:
            emit(event)


def _work(options: RunOptions, goal: int, number: int, events: Any, stop: Flag) -> None:
    """Body of a worker process."""
    # Ctrl-C in a terminal reaches every process; only the first one decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        prepared = prepare(options, Console(quiet=True))
        train(prepared, options, goal=goal, number=number, emit=events.put, interrupt=Interrupt(stop))
    except (SearchError, StorageError) as error:
        events.put(str(error))


def _end_with_parent(parent: int) -> None:
    """A worker without the command that started it would train on unseen."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
