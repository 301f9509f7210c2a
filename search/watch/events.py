"""Events of a search, as values, and the state that a viewer keeps of them.

Trainers and trials send events to a view (`search.watch.progress`) and do not depend on terminals; nothing
here imports rich. Events may come from any thread.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Literal

from reports.numbers import cost_words, score_words
from storage import EpochRecord, GainRecord

TrialState = Literal["complete", "pruned", "failed", "interrupted"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialStarted:
    """A worker begins to train an architecture."""

    worker: int
    trial: int
    description: str
    """The architecture in words."""
    cost: float
    """Second objective of the study."""
    reason: str = ""
    """Reason of the choice, if there is a particular one: "preset", "retry of trial 3"."""
    gain: GainRecord | None = None
    """Expected gain of the trial when it was proposed, if known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochEnded:
    """One pass over the training part of one CV fold."""

    worker: int
    trial: int
    record: EpochRecord
    """Epoch as it is kept in the database."""
    n_folds: int
    n_epochs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialEnded:
    """A worker is done with a trial, one way or the other."""

    worker: int
    trial: int
    state: TrialState
    score: float | None
    """Cross-validated score on the objective of the study; None if there is none."""
    cost: float
    seconds: float
    reason: str = ""
    seed: int | None = None
    """Seed of a repeated training; None for that of the search."""


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """End of a worker, killed or not; it trains nothing any more."""

    worker: int


@dataclass(frozen=True, slots=True)
class Message:
    """Something the user should read, such as "finishing the epoch…"."""

    text: str
    of_all: bool = False
    """Whether all workers send the message at the same time, as for a database that does not respond."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontPoint:
    """A trial that no other beats in both score and cost."""

    trial: int
    score: float
    cost: float
    description: str


@dataclass(frozen=True, slots=True)
class FrontChanged:
    """The present front of the whole study, in any order."""

    front: tuple[FrontPoint, ...]


Event = TrialStarted | EpochEnded | TrialEnded | WorkerEnded | Message | FrontChanged


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Ended trials by their state."""

    complete: int = 0
    pruned: int = 0
    failed: int = 0

    @property
    def finished(self) -> int:
        """Trials that count towards a goal: trained to the end or stopped on purpose."""
        return self.complete + self.pruned


@dataclass(kw_only=True, slots=True)
class Running:
    """A trial in progress."""

    started: TrialStarted
    since_s: float
    """Clock at its start."""
    latest: EpochEnded | None = None
    n_epochs_ended: int = 0
    """Epochs over all folds; counted, because folds may be trained in turn or in lock-step."""
    fold_s: dict[int, float] = field(default_factory=dict)
    """Seconds spent in each fold."""

    def share_done(self) -> float:
        """Epochs ended out of all epochs of all folds, 0 … 1."""
        if self.latest is None:
            return 0.0
        return min(1.0, self.n_epochs_ended / max(1, self.latest.n_folds * self.latest.n_epochs))

    def seconds_left(self, now_s: float, typical_s: float | None) -> float | None:
        """Remaining seconds by the trial's progress, else by the typical duration; None if neither is
        known."""
        elapsed_s, share = now_s - self.since_s, self.share_done()
        if share > 0:
            return elapsed_s * (1 / share - 1)
        return None if typical_s is None else max(0.0, typical_s - elapsed_s)


class RunState:
    """State of a run: running trials, counts of finished ones by state, and the front. Not thread-safe."""

    def __init__(
        self,
        goal_trials: int | None,
        already: Counts,
        now_s: float,
        end_s: float | None = None,
        *,
        until: float | None = None,
        gain: GainRecord | None = None,
        noun: str = "trial",
    ) -> None:
        self.noun = noun
        self.goal_trials = goal_trials
        self.end_s = end_s
        self.until = until
        self.gain = gain
        self.already = already
        self.started_s = now_s
        self.ended = Counts()
        self.running: dict[int, Running] = {}
        self.workers: set[int] = set()
        self.front: tuple[FrontPoint, ...] = ()
        self._finished_s: list[float] = []

    def apply(self, event: Event, now_s: float) -> None:
        """Take in an event that happened at `now_s` on the same clock as the start."""
        match event:
            case TrialStarted():
                self.workers.add(event.worker)
                self.running[event.worker] = Running(started=event, since_s=now_s)
                self.gain = event.gain or self.gain
            case EpochEnded():
                running = self.running.get(event.worker)
                if running is not None and running.started.trial == event.trial:
                    running.latest = event
                    running.n_epochs_ended += 1
                    fold, seconds = event.record.fold, event.record.seconds
                    running.fold_s[fold] = running.fold_s.get(fold, 0.0) + seconds
            case TrialEnded():
                self._end(event)
            case WorkerEnded():
                self.running.pop(event.worker, None)
                self.workers.discard(event.worker)
            case FrontChanged():
                self.front = tuple(sorted(event.front, key=lambda point: (point.cost, point.trial)))

    def _end(self, event: TrialEnded) -> None:
        self.running.pop(event.worker, None)
        if event.state != "interrupted":
            n_so_far = getattr(self.ended, event.state)
            self.ended = replace(self.ended, **{event.state: n_so_far + 1})
        if event.state in {"complete", "pruned"}:
            self._finished_s.append(event.seconds)

    def seconds_left(self, now_s: float) -> float | None:
        """Estimated seconds until the goal is reached or the time is over; None while there is no basis for
        it.

        Running trials are estimated by their own progress, waiting ones by the mean of finished trials or,
        before any has finished, by the projected duration of running ones. Workers share the waiting trials.
        """
        until_end_s = math.inf if self.end_s is None else max(0.0, self.end_s - now_s)
        if self.goal_trials is None:
            return until_end_s if math.isfinite(until_end_s) else None
        n_left = max(0, self.goal_trials - self.ended.finished)
        typical_s = self._typical_seconds(now_s)
        running = [trial.seconds_left(now_s, typical_s) for trial in self.running.values()]
        known = [seconds for seconds in running if seconds is not None]
        n_waiting = max(0, n_left - len(running))
        if typical_s is None:
            return None if n_left else 0.0
        total_s = sum(known) + n_waiting * typical_s
        return min(until_end_s, max([total_s / max(1, len(self.workers)), *known]))

    def _typical_seconds(self, now_s: float) -> float | None:
        if self._finished_s:
            return fmean(self._finished_s)
        on_course = [
            (now_s - trial.since_s) / trial.share_done()
            for trial in self.running.values()
            if trial.share_done() > 0
        ]
        return fmean(on_course) if on_course else None


def counts_in_words(ended: Counts) -> str:
    """Counts in words, such as "3 complete, 1 pruned, 0 failed"."""
    return f"{ended.complete} complete, {ended.pruned} pruned, {ended.failed} failed"


def front_in_words(front: Sequence[FrontPoint], cost: str) -> str:
    """All points in one line, the cheapest model first; `cost` is a key of `scores.costs.COSTS`."""
    points = [
        f"trial {point.trial} {score_words(point.score)} with {cost_words(cost, point.cost)}"
        for point in front
    ]
    return "; ".join(points) if points else "empty"
