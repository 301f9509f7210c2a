"""Work of the workers of a crew in tests. Processes start afresh and import it from here."""

import os
import signal
import time
from collections.abc import Callable

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
