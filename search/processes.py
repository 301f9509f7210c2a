"""Several workers on this machine, each a process of its own, all in one live view.

Every process has a pipe of its own: a queue or an event shared by all would hold a lock, and a process killed
while it has the lock would stop the others for good.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from search.errors import SearchError
from search.events import Event, Message
from search.interrupt import Interrupt
from storage import StorageError

Work = Callable[[int, Callable[[Event], None], Interrupt], None]
"""Body of a worker: its number from 1, where to send events, and when to stop."""

_POLL_S = 0.2


def work_in_processes(
    work: Work, n_workers: int, *, emit: Callable[[Event], None], interrupt: Interrupt
) -> None:
    """Run `work` in so many processes until all have ended.

    Args:
        work: picklable, since processes start afresh.
        n_workers: number of processes.
        emit: takes the events of all of them.
        interrupt: passed on to them.

    Raises:
        SearchError: every worker ended early; the message is the last one's.
    """
    crew = _start(work, n_workers)
    problems: dict[int, str] = {}
    passed_on = False
    while crew:
        for pipe in wait(list(crew), timeout=_POLL_S):
            assert isinstance(pipe, Connection)
            number, process = crew[pipe]
            try:
                message: Event | str = pipe.recv()
            except (EOFError, OSError):  # ended, or killed in the middle of a message
                process.join()
                del crew[pipe]
                if process.exitcode and number not in problems and not interrupt.requested:
                    problems[number] = f"worker {number} {_death(process.exitcode)}"
                    emit(Message(problems[number]))
                continue
            if isinstance(message, str):
                problems[number] = message
                emit(Message(f"worker {number} ended: {message}"))
            else:
                emit(message)
        if interrupt.requested and not passed_on:
            passed_on = True
            for _, process in crew.values():
                process.terminate()  # a request: see `_run`
    if len(problems) == n_workers and not interrupt.requested:
        raise SearchError(list(problems.values())[-1])


def _start(work: Work, n_workers: int) -> dict[Connection, tuple[int, BaseProcess]]:
    context = multiprocessing.get_context("spawn")
    crew: dict[Connection, tuple[int, BaseProcess]] = {}
    # Ctrl-C in a terminal reaches every process; only this one decides what it means. A blocked signal stays
    # blocked in the new processes and waits in this one.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for number in range(1, n_workers + 1):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_run, args=(work, number, sender, os.getpid()), daemon=True)
            process.start()
            sender.close()
            crew[receiver] = number, process
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return crew


def _death(status: int) -> str:
    return f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"


def _run(work: Work, number: int, pipe: Connection, parent: int) -> None:
    """Body of a worker process."""
    interrupt = Interrupt()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # May come twice, from our parent and from a batch system, and always means: finish the epoch.
    signal.signal(signal.SIGTERM, lambda number, frame: interrupt.request())
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()

    def send(message: Event | str) -> None:
        try:
            pipe.send(message)
        except OSError:
            os._exit(1)  # the command that started this process is gone

    try:
        work(number, send, interrupt)
    except (SearchError, StorageError) as error:
        send(str(error))


def _end_with_parent(parent: int) -> None:
    """A worker without the command that started it would train on unseen."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
