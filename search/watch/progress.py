"""Progress of a search for the user: a live screen in a terminal, one-line logs anywhere else.

A view only receives events: it returns nothing, raises nothing into the trainer and draws from a thread of
its own, at most twice a second.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from reports.numbers import duration_words
from scores.objectives import DEFAULT_OBJECTIVE, OBJECTIVES
from search.watch.events import Counts, RunState
from search.watch.terminal import REDRAWS_PER_SECOND, LiveView, LogView, View
from storage import GainRecord, StudyRecord


def make_view(
    console: Console,
    study: StudyRecord,
    *,
    data: str,
    goal_trials: int | None,
    already: Counts,
    end_s: float | None = None,
    until: float | None = None,
    gain: GainRecord | None = None,
    noun: str = "trial",
    clock: Callable[[], float] = time.monotonic,
) -> View:
    """The live screen if the console is a terminal that can show one, plain log lines otherwise.

    Args:
        console: where to write.
        study: the study; that its records are synthetic is shown prominently.
        data: data set and version in words.
        goal_trials: finished trials this run is to add; None for as many as the time allows.
        already: trials the study had before.
        end_s: when the run stops, on the scale of `clock`; None if time does not end it.
        until: share of the hypervolume; the run ends once the remaining gain is below it. None for no such
            rule.
        gain: expected gain of the latest proposal, if known.
        noun: what is counted, `trial` or `training`.
        clock: seconds on any monotonic scale.
    """
    capable = console.is_terminal and not console.is_dumb_terminal and not console.options.ascii_only
    is_usual = study.objective == DEFAULT_OBJECTIVE
    maximised = "" if is_usual else f" · {OBJECTIVES[study.objective].words}"
    heading = f"Study {study.name} · target {study.target}{maximised} · {data}"
    state = RunState(goal_trials, already, clock(), end_s, until=until, gain=gain, noun=noun)
    return (LiveView if capable else LogView)(console, state, study, heading=heading, clock=clock)


@contextmanager
def progress_bar(
    console: Console, description: str, total: int, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int, int], None]]:
    """Progress bar for a long count, such as records read; one plain line at the end outside of a terminal.

    Nothing is shown before the first count: with a filled cache there is nothing to count.

    Args:
        console: where to write.
        description: label of the bar, such as "Reading records".
        total: how many there are.
        clock: seconds on any monotonic scale.

    Yields:
        A callback of (done, total), cheap enough to be called for every item and from any thread.
    """
    started_s, latest = clock(), [0, total]
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        get_time=clock,
        refresh_per_second=REDRAWS_PER_SECOND,
        expand=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task(description, total=total, visible=False)

    def advance(done: int, out_of: int) -> None:
        step = max(1, out_of // 200)  # half a percent; every update takes rich's lock
        if done >= out_of or done - latest[0] >= step or out_of != latest[1]:
            latest[:] = [done, out_of]
            bar.update(task, completed=done, total=out_of, visible=True)

    with bar:
        try:
            yield advance
        finally:
            if latest[0] and not console.is_terminal:
                spent = duration_words(clock() - started_s)
                line = f"{description}: {latest[0]:,} of {latest[1]:,} in {spent}"
                console.print(Text(line), soft_wrap=True)
