"""Requests to stop: the first lets the epoch end and keeps a checkpoint, a second Ctrl-C leaves at once.

Ctrl-C and SIGTERM are not the only ones: batch systems warn with a signal of the user's choice before the
time is up or a job is preempted (SIGUSR1 or SIGUSR2, SIGXCPU for processor time), and a terminal that closes
sends SIGHUP. Signals that were ignored when the process started, as by nohup, stay ignored.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

REQUESTS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
)
"""Signals that request the end of a command."""
EXIT_STATUS = 130
"""Exit status of a program ended by Ctrl-C, by the convention of shells."""
_TELLING_S = 5.0
"""Seconds that a stuck terminal may delay the end."""
_SHOW_CURSOR = b"\x1b[?25h\n"


class StopRequested(KeyboardInterrupt):
    """A signal asked the command to stop; the message is its name."""


def handled_signals() -> list[signal.Signals]:
    """The requests that this process was not started to ignore."""
    return [number for number in REQUESTS if signal.getsignal(number) is not signal.SIG_IGN]


def requests_raise() -> None:
    """Let every request raise in the main thread, as Ctrl-C does by itself."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise StopRequested(signal.Signals(number).name)

    for number in handled_signals():
        if number is not signal.SIGINT:
            signal.signal(number, stop)


def ignore_requests() -> None:
    """Nothing is left to stop: let the process exit with the status it has."""
    for number in REQUESTS:
        signal.signal(number, signal.SIG_IGN)


def run_below(parent: int, orders: "Connection", *arguments: object) -> None:
    """Run a function in a process that ends soon after its parent: it would train on unseen.

    Also while the process imports what the function needs, which takes seconds: hence the function comes by
    a pipe, and this one is in a module that imports next to nothing.

    Args:
        parent: number of the process that started this one.
        orders: pipe by which the function comes.
        arguments: of the function.
    """

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
    orders.recv()(*arguments)


class Interrupt:
    """Request of the user to stop, kept until it is acted on."""

    def __init__(self) -> None:
        # Not a threading.Event: its lock is not reentrant, and a second signal may arrive within the first.
        self._requested = False
        self._time_is_over = False

    @property
    def requested(self) -> bool:
        """Whether the user wants to stop."""
        return self._requested

    def request(self) -> None:
        """Ask for a stop; may be called from a signal handler and from any thread."""
        self._requested = True

    @property
    def time_is_over(self) -> bool:
        """Whether the stop was asked for by `after`, and not by the user."""
        return self._time_is_over

    @contextmanager
    def after(self, seconds: float | None, on_time: Callable[[], None]) -> Iterator[None]:
        """Ask for a stop once so much time has passed within this context.

        Args:
            seconds: from now; None never asks.
            on_time: tells the user, in a thread of its own.
        """

        def end() -> None:
            if not self._requested:
                self._time_is_over = True
                self.request()
                on_time()

        timer = None if seconds is None else threading.Timer(max(0.0, seconds), end)
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()

    @contextmanager
    def listening(self, on_first: Callable[[], None]) -> Iterator[None]:
        """Handle requests to stop within this context.

        Args:
            on_first: tells the user what happens now; called once, in a thread of its own, since the signal
                may come while the main thread is writing to the terminal.
        """
        telling = threading.Thread(target=on_first, daemon=True)

        def handle(number: int, frame: FrameType | None) -> None:
            if not self._requested:
                self.request()
                telling.start()
            elif number == signal.SIGINT:  # batch systems repeat themselves, and in several ways
                _leave()

        previous = {number: signal.signal(number, handle) for number in handled_signals()}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            if telling.ident is not None:
                telling.join(_TELLING_S)


def _leave() -> NoReturn:
    """End the process here and now.

    Nothing is lost: what is finished is committed, and the next run takes up the trial in progress.
    """
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), _SHOW_CURSOR)  # the live view hides it
    os._exit(EXIT_STATUS)
