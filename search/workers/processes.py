"""Several workers on this machine, each a process of its own.

Every process has a pipe of its own: a queue or an event shared by all would hold a lock, and a process killed
while it has the lock would stop the others for good.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from search.errors import SearchError
from search.watch.events import Event, Message
from search.workers.base import Ended, Work
from search.workers.interrupt import REQUESTS, Interrupt, handled_signals, run_below
from storage import StorageError


class ProcessWorkers:
    """Worker processes of one machine, started at once.

    Args:
        work: picklable, since processes start afresh.
        n_workers: number of processes.
    """

    def __init__(self, work: Work, n_workers: int) -> None:
        self.size = n_workers
        self._processes = _start(work, n_workers)
        self._problems: dict[int, str] = {}
        self._shall_stop = False

    def listen(self, timeout_s: float) -> Iterator[Event | Ended]:
        """Events of the processes, and ends of processes; see `search.workers.base.WorkerGroup`."""
        for pipe in wait(list(self._processes), timeout=timeout_s):
            assert isinstance(pipe, Connection)
            number, process = self._processes[pipe]
            try:
                said: Event | str = pipe.recv()
            except (EOFError, OSError):  # ended, or killed in the middle of a message
                process.join()
                del self._processes[pipe]
                if process.exitcode and number not in self._problems and not self._shall_stop:
                    self._problems[number] = f"worker {number} {_death(process.exitcode)}"
                    yield Message(self._problems[number])
                yield Ended(number, self._problems.get(number))
                continue
            if isinstance(said, str):
                self._problems[number] = said
                yield Message(f"worker {number} ended: {said}")
            else:
                yield said

    def stop(self) -> None:
        """Ask every process to finish its epoch and end."""
        self._shall_stop = True
        for _, process in self._processes.values():
            process.terminate()  # a request: see `_run`


def _start(work: Work, n_workers: int) -> dict[Connection, tuple[int, BaseProcess]]:
    context = multiprocessing.get_context("spawn")
    workers: dict[Connection, tuple[int, BaseProcess]] = {}
    # Ctrl-C in a terminal and the signals of a batch system reach every process, also one that has no handler
    # yet. A blocked signal stays blocked in the new processes, until `_run` is ready, and waits in this one.
    signal.pthread_sigmask(signal.SIG_BLOCK, REQUESTS)
    try:
        for number in range(1, n_workers + 1):
            receiver, sender = context.Pipe(duplex=False)
            orders, to_worker = context.Pipe(duplex=False)
            arguments = (os.getpid(), orders, number, sender)
            process = context.Process(target=run_below, args=arguments, daemon=True)
            process.start()
            orders.close()
            sender.close()
            with to_worker, suppress(OSError):  # of a process that has ended, which `listen` reports
                to_worker.send(partial(_run, work))
            workers[receiver] = number, process
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, REQUESTS)
    return workers


def _death(status: int) -> str:
    return f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"


def _run(work: Work, number: int, pipe: Connection) -> None:
    """Body of a worker process."""
    interrupt = Interrupt()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # only our parent decides what Ctrl-C means
    # May come twice, from our parent and from a batch system, and always means: finish the epoch.
    for request in handled_signals():
        signal.signal(request, lambda number, frame: interrupt.request())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, REQUESTS)

    sending = threading.Lock()  # the heartbeat's thread may send, too

    def send(message: Event | str) -> None:
        try:
            with sending:
                pipe.send(message)
        except OSError:
            os._exit(1)  # the command that started this process is gone

    try:
        work(number, send, interrupt)
    except (SearchError, StorageError) as error:
        send(str(error))
