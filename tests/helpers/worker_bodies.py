"""Work of the workers in tests. Processes start afresh and import it from here."""

import os
import signal
import time
from collections.abc import Callable

from search.errors import SearchError
from search.watch.events import Event, Message
from search.workers.interrupt import Interrupt

Emit = Callable[[Event], None]


def wait_for(interrupt: Interrupt) -> None:
    """Return when the worker is asked to stop."""
    while not interrupt.requested:
        time.sleep(0.01)


def works_until_asked_to_stop(number: int, emit: Emit, interrupt: Interrupt) -> None:
    """Finish an epoch when asked to stop."""
    emit(Message("started"))
    wait_for(interrupt)
    emit(Message("finished the epoch"))


def is_killed(number: int, emit: Emit, interrupt: Interrupt) -> None:
    """Die without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


def says_its_number(number: int, emit: Emit, interrupt: Interrupt) -> None:
    """Say the same fifty times."""
    for _ in range(50):
        emit(Message(f"from {number}"))


def fails(number: int, emit: Emit, interrupt: Interrupt) -> None:
    """End with an error, another one in the first worker."""
    from storage import StorageError  # here, for the other bodies begin sooner without

    raise StorageError(f"worker {number} cannot write") if number == 1 else SearchError("no such device")


def only_the_first_fails(number: int, emit: Emit, interrupt: Interrupt) -> None:
    """End with an error in the first worker only."""
    if number == 1:
        raise SearchError("no memory left")
    emit(Message("done"))


def ignores_ctrl_c(number: int, emit: Emit, interrupt: Interrupt) -> None:
    """Send signals to oneself, and go on."""
    os.kill(os.getpid(), signal.SIGINT)
    emit(Message(f"still here, {interrupt.requested}"))
    for _ in range(2):  # a batch system asks, and so does the parent
        os.kill(os.getpid(), signal.SIGTERM)
    emit(Message(f"and here, {interrupt.requested}"))
