"""Several workers in one run and one live view, wherever they are.

`search.workers.processes` runs them on this machine, `search.workers.ray` on the nodes of a Ray cluster. Both
only start workers and forward their events; workers choose trials through the database.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from search.errors import SearchError
from search.watch.events import Event, Message, WorkerEnded
from search.workers.interrupt import Interrupt

Work = Callable[[int, Callable[[Event], None], Interrupt], None]
"""Body of a worker: its number from 1, where to send events, and when to stop."""

_POLL_S = 0.2
_SAID_BY_ALL_S = 60.0
"""Time within which a message of all workers is shown once."""


@dataclass(frozen=True, slots=True)
class Ended:
    """End of a worker; it sends no further events."""

    number: int
    problem: str | None = None
    """Reason of an early end."""


class WorkerGroup(Protocol):
    """Workers that have been started."""

    @property
    def size(self) -> int:
        """Number of workers."""

    def listen(self, timeout_s: float) -> Iterable[Event | Ended]:
        """Events since the last call, waited for at most so many seconds. Every worker ends once."""

    def stop(self) -> None:
        """Ask every worker to finish its epoch and end."""


def work_together(workers: WorkerGroup, *, emit: Callable[[Event], None], interrupt: Interrupt) -> None:
    """Forward the events of workers until all have ended.

    Args:
        workers: the workers.
        emit: takes the events of all of them.
        interrupt: passed on to them.

    Raises:
        SearchError: every worker ended early; the message is the last one's.
    """
    n_working = workers.size
    problems: list[str] = []
    shown_s: dict[str, float] = {}
    passed_on = False
    while n_working:
        for said in workers.listen(_POLL_S):
            if isinstance(said, Ended):
                n_working -= 1
                problems += [said.problem] if said.problem is not None else []
                emit(WorkerEnded(said.number))
            elif not _was_shown(said, shown_s):
                emit(said)
        if interrupt.requested and not passed_on:
            passed_on = True
            workers.stop()
    if len(problems) == workers.size and not interrupt.requested:
        raise SearchError(problems[-1])


def _was_shown(said: Event, shown_s: dict[str, float]) -> bool:
    """Whether another worker has just sent the same message; otherwise the message is noted."""
    if not isinstance(said, Message) or not said.of_all:
        return False
    now_s = time.monotonic()
    if now_s - shown_s.get(said.text, -_SAID_BY_ALL_S) < _SAID_BY_ALL_S:
        return True
    shown_s[said.text] = now_s
    return False
