"""Workers that are killed in the middle of a trial, and what the next run does about it."""

from collections.abc import Callable
from dataclasses import replace

from recorder import Recorder

import storage
from search.study import recovery
from search.study.provenance import this_worker
from search.watch.events import EpochEnded, Event


class Killed(BaseException):
    """Ends a worker as a kill does: past every handler, with its trial still running."""


def killed_in(fold: int, epoch: int, *, trial: int | None = None) -> Recorder:
    """A recorder that kills the worker when it hears of that epoch."""

    def react(event: Event) -> None:
        if (
            isinstance(event, EpochEnded)
            and (event.record.fold, event.record.epoch) == (fold, epoch)
            and trial in (None, event.trial)
        ):
            raise Killed

    return Recorder(react)


def queue_killed_trials(
    store: storage.Store, study: storage.StudyRecord, emit: Callable[[Event], None] = lambda event: None
) -> None:
    """Begin a run."""
    recovery.queue_killed_trials(store, study.name, emit)


def dead_process() -> storage.WorkerRecord:
    """A process of this host that is gone; another one has its number by now."""
    return replace(this_worker("cpu"), process_started_at=1.0)
