"""Ctrl-C: the first lets the epoch end and keeps a checkpoint, the second leaves at once."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

EXIT_STATUS = 130
"""What shells report for a program ended by Ctrl-C."""


class Flag(Protocol):
    """The part of `threading.Event` and `multiprocessing.Event` that is needed here."""

    def set(self) -> None:
        """Raise the flag."""

    def is_set(self) -> bool:
        """Whether it is raised."""


class Interrupt:
    """Remembers that the user wants to stop.

    Args:
        flag: shared with other processes, where the request comes from another one.
    """

    def __init__(self, flag: Flag | None = None) -> None:
        self.flag: Flag = flag or threading.Event()

    @property
    def requested(self) -> bool:
        """Whether the user wants to stop."""
        return self.flag.is_set()

    @contextmanager
    def listening(self, on_first: Callable[[], None]) -> Iterator[None]:
        """Handle Ctrl-C and a termination request within this context.

        Args:
            on_first: tells the user what happens now; called once.
        """

        def handle(number: int, frame: FrameType | None) -> None:
            if self.requested:
                # Nothing is lost: what is finished is committed, and the trial that runs is taken up again.
                os._exit(EXIT_STATUS)
            self.flag.set()
            on_first()

        previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
