"""Ctrl-C: the first lets the epoch end and keeps a checkpoint, the second leaves at once."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

EXIT_STATUS = 130
"""What shells report for a program ended by Ctrl-C."""
_TELLING_S = 5.0
"""How long a stuck terminal may hold up the end."""
_SHOW_CURSOR = b"\x1b[?25h\n"


class Interrupt:
    """Remembers that the user wants to stop."""

    def __init__(self) -> None:
        # Not a threading.Event: its lock is not reentrant, and a second signal may arrive within the first.
        self._requested = False

    @property
    def requested(self) -> bool:
        """Whether the user wants to stop."""
        return self._requested

    def request(self) -> None:
        """Ask for a stop; may be called from a signal handler and from any thread."""
        self._requested = True

    @contextmanager
    def listening(self, on_first: Callable[[], None]) -> Iterator[None]:
        """Handle Ctrl-C and a termination request within this context.

        Args:
            on_first: tells the user what happens now; called once, in a thread of its own, since the signal
                may come while the main thread is writing to the terminal.
        """
        telling = threading.Thread(target=on_first, daemon=True)

        def handle(number: int, frame: FrameType | None) -> None:
            if self._requested:
                _leave()
            self.request()
            telling.start()

        previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
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
