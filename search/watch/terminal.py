"""The two ways to show a run: a live screen and a log. `search.watch.progress.make_view` chooses.

Events change a small state behind a lock; drawing happens elsewhere, so that an event costs microseconds.
"""

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from reports.numbers import (
    cost_phrase,
    cost_words,
    count_words,
    duration_words,
    gain_words,
    percent_words,
    score_words,
)
from reports.terminal import StackingTable
from scores.costs import COSTS
from scores.objectives import OBJECTIVES
from search.defaults import N_PROPOSALS_BELOW
from search.watch.events import (
    Counts,
    EpochEnded,
    Event,
    FrontChanged,
    FrontPoint,
    Message,
    RunState,
    TrialEnded,
    TrialStarted,
    counts_in_words,
    front_in_words,
)
from search.watch.output import plain_text
from storage import StudyRecord

REDRAWS_PER_SECOND = 2
SYNTHETIC_WARNING = "SYNTHETIC DATA: these results say nothing about real ECGs"
_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


class View:
    """Display of a run: a context manager, or `start` and `stop`; `handle` may be called from any thread.

    No method raises if something cannot be shown (a closed terminal, an odd encoding); `stop` reports it
    once, if possible. State is behind a lock.
    """

    def __init__(
        self,
        console: Console,
        state: RunState,
        study: StudyRecord,
        *,
        heading: str,
        clock: Callable[[], float],
    ) -> None:
        self._objective = OBJECTIVES[study.objective]
        self._cost = study.cost
        self._console = console
        self._state = state
        self._heading = heading
        self._synthetic = study.synthetic
        self._mark = " [SYNTHETIC]" if study.synthetic else ""
        self._clock = clock
        self._lock = threading.RLock()  # reentrant: a signal handler may send a Message in mid-event
        self._error: Exception | None = None
        # By default rich ends the process at a closed pipe; a study continues without output.
        console.on_broken_pipe = self._fall_silent  # type: ignore[method-assign]

    def handle(self, event: Event) -> None:
        """Take in one event."""
        try:
            with self._lock:
                lines = self._take_in(event)
            # Written without the lock: the drawing thread holds the console's lock and then takes this one.
            for line in lines:
                self._write(line)
        except Exception as error:
            self._error = self._error or error

    def start(self) -> None:
        """Begin to show."""
        try:
            self._begin()
        except Exception as error:
            self._error = self._error or error

    def stop(self) -> None:
        """Show the last state; report it if something could not be shown."""
        try:
            self._finish()
        except Exception as error:
            self._error = self._error or error
        if self._error is not None:
            with suppress(Exception):
                self._write(f"(the view failed: {self._error}; the study itself is not affected)")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _take_in(self, event: Event) -> list[str]:
        """Change the state; return the lines that are to be kept for good."""
        now_s = self._clock()
        self._state.apply(event, now_s)
        match event:
            case TrialEnded():
                return [self._trial_ended(event)]
            case Message():
                return [event.text]
        return []

    def _fall_silent(self) -> None:
        self._console.quiet = True

    def _begin(self) -> None: ...

    def _finish(self) -> None: ...

    def _write(self, line: str) -> None:
        raise NotImplementedError

    def _trial_ended(self, event: TrialEnded) -> str:
        score = f"{self._objective.words} {score_words(event.score)}"
        facts = [score] if event.score is not None else []
        facts += [cost_phrase(self._cost, event.cost), duration_words(event.seconds)]
        reason = f" ({event.reason})" if event.reason else ""
        who = f"trial {event.trial}" if event.seed is None else f"trial {event.trial} with seed {event.seed}"
        return f"{who} {event.state}{self._mark}: {', '.join(facts)}{reason}"

    def _done(self) -> str:
        state = self._state
        before = f"; {state.already.finished} before this run" if state.already.finished else ""
        ended = state.ended
        n_all, noun = state.goal_trials, state.noun
        done = (
            count_words(ended.finished, noun)
            if n_all is None
            else f"{ended.finished} of {count_words(n_all, noun)}"
        )
        # Repeats are never pruned.
        kinds = f" ({ended.complete} complete, {ended.pruned} pruned)" if noun == "trial" else ""
        return f"{done} done{kinds}, {ended.failed} failed{before}"

    def _time_left(self, now_s: float) -> str:
        left_s = self._state.seconds_left(now_s)
        return "time left not known yet" if left_s is None else f"about {duration_words(left_s)} left"

    def _next_trial(self) -> list[str]:
        """Line on the expected gain of the next trial, if known."""
        gain = self._state.gain
        return [] if gain is None else [f"next trial: {gain_words(gain.expected, gain.at_most)}"]

    def _until(self) -> list[str]:
        """Line on the time at which the run ends by itself, if it does."""
        until = self._state.until
        if until is None:
            return []
        return [f"ends once that is below {percent_words(until)} for {N_PROPOSALS_BELOW} proposals running"]

    def _clean(self, text: str) -> str:
        """One line without control codes, in characters the console can write."""
        words = " ".join(_ESCAPE_SEQUENCE.sub("", text).split())
        printable = "".join(character for character in words if character.isprintable())
        return plain_text(printable, self._console.encoding)


class LogView(View):
    """One line per start, fold, end and new front; no control codes, no wrapping."""

    def _begin(self) -> None:
        if self._synthetic:
            self._write(SYNTHETIC_WARNING)
        already, goal = self._state.already, self._state.goal_trials
        before = f" ({counts_in_words(already)} before this run)" if already != Counts() else ""
        to_go = (
            self._time_left(self._state.started_s)
            if goal is None
            else f"{count_words(goal, self._state.noun)} to go"
        )
        self._write(f"{self._heading} · {to_go}{before}")
        for line in (*self._next_trial(), *self._until()):
            self._write(line)

    def _finish(self) -> None:
        self._write(self._done())

    def _take_in(self, event: Event) -> list[str]:
        lines = super()._take_in(event)
        match event:
            case TrialStarted():
                reason = f" ({event.reason})" if event.reason else ""
                size = cost_phrase(self._cost, event.cost)
                lines.append(f"trial {event.trial} started{reason}: {event.description}, {size}")
                if event.gain is not None:
                    lines += self._next_trial()
            case EpochEnded() if event.record.epoch == event.n_epochs:
                lines.append(self._fold_ended(event))
            case TrialEnded():
                n_done, n_all = self._state.ended.finished, self._state.goal_trials
                lines[0] += f"; {n_done} done" if n_all is None else f"; {n_done} of {n_all} done"
                if n_all is None or n_done < n_all:
                    lines[0] += f", {self._time_left(self._clock())}"
            case FrontChanged():
                lines.append(f"front{self._mark}: {front_in_words(self._state.front, self._cost)}")
        return lines

    def _fold_ended(self, event: EpochEnded) -> str:
        record = event.record
        running = self._state.running.get(event.worker)
        spent_s = running.fold_s.get(record.fold, record.seconds) if running else record.seconds
        fold = f"trial {event.trial} fold {record.fold}/{event.n_folds}"
        score = f"{self._objective.words} {score_words(record.score)}"
        return f"{fold}{self._mark}: {score} after {duration_words(spent_s)}"

    def _write(self, line: str) -> None:
        minutes, second = divmod(int(self._clock() - self._state.started_s), 60)
        stamp = f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}"
        text = Text(f"{stamp}  {self._clean(line)}")
        self._console.print(text, soft_wrap=True)


class _CalmLive(Live):
    """A `Live` whose drawing thread survives a terminal that is gone."""

    def refresh(self) -> None:
        with suppress(OSError, ValueError):  # ValueError: write to a closed file
            super().refresh()


class LiveView(View):
    """The whole run on one screen; ended trials and messages scroll by above it."""

    _live: _CalmLive | None = None
    _last: RenderableType = ""
    _over = False

    def _begin(self) -> None:
        self._live = _CalmLive(
            console=self._console, get_renderable=self.render, refresh_per_second=REDRAWS_PER_SECOND
        )
        self._live.start(refresh=True)

    def _finish(self) -> None:
        # What stays on the terminal is a summary: the front follows as the last thing that `run` prints.
        self._over = True
        if self._live is not None:
            self._live.stop()

    def _write(self, line: str) -> None:
        self._console.print(Text(self._clean(line)))

    def render(self) -> RenderableType:
        """The screen as it is now; the previous one if an event is being taken in for too long."""
        if not self._lock.acquire(timeout=0.5):
            return self._last
        try:
            self._last = self._screen(self._clock())
        except Exception as error:
            self._error = self._error or error
        finally:
            self._lock.release()
        return self._last

    def _screen(self, now_s: float) -> RenderableType:
        state = self._state
        lines: list[RenderableType] = [Text(self._clean(self._heading), style="bold")]
        if self._synthetic:
            lines.append(Text(f" {SYNTHETIC_WARNING} ", style="bold white on red"))
        lines.append(Text(self._done()))
        elapsed = duration_words(now_s - state.started_s)
        if self._over:
            lines.append(Text(f"ended after {elapsed}"))
            return Group(*lines)
        lines.append(Text(f"{elapsed} so far, {self._time_left(now_s)}"))
        lines += [Text(line) for line in (*self._next_trial(), *self._until())]
        n_free = self._console.height - len(lines) - 2  # a blank line above and below the tables
        if state.running:
            table = self._running_table(now_s, max(2, (n_free - 1) // 2))
            lines += [Text(), table]
            n_free -= 1 + len(self._console.render_lines(table))
        if state.front:
            lines += [Text(), self._front_table(max(3, n_free - 3))]
        # The terminal writes ^C where the cursor is. On a full line it would wrap and shift the whole screen.
        return Group(*lines, Text())

    def _running_table(self, now_s: float, n_rows: int) -> StackingTable:
        """A row per worker; up to two long descriptions wrap, more are cut short."""
        table = _table()
        running = sorted(self._state.running.items())
        many_workers = len(self._state.workers) > 1
        for name in ["worker"] * many_workers + ["trial", "fold", "epoch", "score", "time"]:
            table.add_column(name, justify="right", no_wrap=True)
        short = len(running) > 2
        table.add_column("running", ratio=1, no_wrap=short, overflow="ellipsis" if short else "fold")
        for worker, trial in running[:n_rows]:
            latest, record = trial.latest, trial.latest and trial.latest.record
            started = trial.started
            table.add_row(
                *[str(worker)] * many_workers,
                str(started.trial),
                f"{record.fold}/{latest.n_folds}" if latest and record else "–",
                f"{record.epoch}/{latest.n_epochs}" if latest and record else "–",
                score_words(record.score if record else None),
                duration_words(now_s - trial.since_s),
                self._architecture(started.description, started.cost, started.reason),
            )
        if len(running) > n_rows:
            table.add_row(*[""] * (5 + many_workers), f"… and {len(running) - n_rows} more")
        return table

    def _architecture(self, description: str, cost: float, reason: str) -> Text:
        why = f" ({reason})" if reason else ""
        return Text(self._clean(f"{description}, {cost_phrase(self._cost, cost)}{why}"))

    def _front_table(self, n_rows: int) -> StackingTable:
        """The cheapest model first; if not all fit, the best scores stay."""
        table = _table()
        for name in ("trial", self._objective.words, COSTS[self._cost].head):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column(Text(f"front{self._mark}"), ratio=1, no_wrap=True, overflow="ellipsis")
        front: tuple[FrontPoint, ...] = self._state.front
        if len(front) > n_rows:
            table.add_row("", "", "", f"… {len(front) - n_rows} cheaper ones")
        for point in front[-n_rows:]:
            table.add_row(
                str(point.trial),
                score_words(point.score),
                cost_words(self._cost, point.cost),
                Text(self._clean(point.description)),
            )
        return table


def _table() -> StackingTable:
    return StackingTable(box=None, expand=True, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
