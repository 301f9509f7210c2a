"""Exact screens and logs on an 80-column console with a fixed clock, and what must never happen.

The screens are kept in tests/golden/progress_*.txt, one each. After a wanted change of layout write them anew
and look at them:

    UPDATE_GOLDEN=1 python -m pytest tests/search/watch/test_progress.py
"""

import io
import os
import re
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console
from storage_samples import study_record

from reports.numbers import duration_words
from search.watch.events import (
    Counts,
    EpochEnded,
    FrontChanged,
    FrontPoint,
    Message,
    RunState,
    TrialEnded,
    TrialStarted,
    WorkerEnded,
)
from search.watch.progress import make_view, progress_bar
from search.watch.terminal import LiveView, LogView
from storage import EpochRecord, GainRecord

GOLDEN = Path(__file__).parents[2] / "golden"
LONG = (
    "CNN → GRU(64) → BiLSTM(128) → LSTM(128) → gate/16, positive weight ^0.4 ≤ 3, smoothing 0.05, "
    "trained on subclass"
)
SHORT = "CNN → BiLSTM(128) → gate/16, trained on subclass"
FRONT = (
    FrontPoint(trial=1, score=0.6789, cost=528983, description=SHORT),
    FrontPoint(trial=2, score=0.691, cost=1076447, description=LONG),
    FrontPoint(trial=0, score=0.6543, cost=263191, description="CNN"),
)


class Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


def make_console(*, terminal, width=80, height=24, file=None):
    return Console(
        width=width,
        height=height,
        force_terminal=terminal,
        file=file or io.StringIO(),
        color_system=None,
        legacy_windows=False,
        _environ={},
    )


@pytest.fixture
def clock():
    return Clock()


def view_on(console, clock, *, synthetic=False, goal_trials=12, already=None):
    return make_view(
        console,
        study_record("paper", synthetic=synthetic),
        data="PTB-XL 1.0.3, 800 records, 100 Hz",
        goal_trials=goal_trials,
        already=already or Counts(complete=6, pruned=2),
        clock=clock,
    )


def started(trial, worker=0, description=SHORT, cost=528983, reason="", *, gain=None):
    return TrialStarted(
        worker=worker,
        trial=trial,
        description=description,
        cost=cost,
        reason=reason,
        gain=gain,
    )


def epoch_ended(trial, *, fold, epoch, worker=0, score=0.5123, seconds=7.0):
    return EpochEnded(
        worker=worker,
        trial=trial,
        record=EpochRecord(fold=fold, epoch=epoch, training_loss=0.31, score=score, seconds=seconds),
        n_folds=5,
        n_epochs=6,
    )


def ended(trial, *, state="complete", worker=0, score=0.6789, seconds=192.0, reason=""):
    return TrialEnded(
        worker=worker,
        trial=trial,
        state=state,
        score=score,
        cost=528983,
        seconds=seconds,
        reason=reason,
    )


def one_worker(clock):
    """Three trials ended, the fourth in its second fold, the front just changed."""
    yield started(0, reason="preset", description="CNN", cost=263191)
    clock.now_s += 60
    yield epoch_ended(0, fold=1, epoch=6, seconds=9.4)
    clock.now_s += 132
    yield ended(0, score=0.6543)
    yield FrontChanged(FRONT[2:])
    yield started(1)
    clock.now_s += 150
    yield ended(1, state="pruned", score=0.4321, seconds=150, reason="trails trial 0 by 0.031 after 3 folds")
    yield started(2, description=LONG, cost=1076447)
    clock.now_s += 20
    yield ended(2, state="failed", score=None, seconds=20, reason="loss is not a number in fold 1, epoch 2")
    yield FrontChanged(FRONT)
    yield started(3, description=LONG, cost=1082615)
    for epoch in range(1, 7):
        clock.now_s += 8
        yield epoch_ended(3, fold=1, epoch=epoch, score=0.4 + epoch / 100)
    clock.now_s += 8
    yield epoch_ended(3, fold=2, epoch=1)
    yield Message("finishing the epoch… (Ctrl-C again to leave at once)")


def screen(view, console):
    """Screen of `LiveView` as plain text."""
    fresh = make_console(terminal=True, width=console.width, height=console.height)
    fresh.print(view.render())
    return fresh.file.getvalue()


def check_golden(name, text):
    """Compare with a kept screen; trailing blanks do not count."""
    found = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
    path = GOLDEN / f"progress_{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


def play(view, events):
    for event in events:
        view.handle(event)


def test_live_screen_before_anything_has_happened(clock):
    console = make_console(terminal=True)
    view = view_on(console, clock, already=Counts())
    assert isinstance(view, LiveView)
    check_golden("live_start", screen(view, console))


def test_live_screen_of_one_worker(clock):
    console = make_console(terminal=True)
    view = view_on(console, clock)
    play(view, one_worker(clock))
    check_golden("live_one_worker", screen(view, console))


def test_live_keeps_ended_trials_and_messages_above_the_screen(clock):
    console = make_console(terminal=True)
    play(view_on(console, clock), one_worker(clock))  # not started: only the lines to keep are written
    check_golden("live_kept_lines", console.file.getvalue())


def test_live_screen_of_many_workers_on_synthetic_data(clock):
    console = make_console(terminal=True, height=20)
    view = view_on(console, clock, synthetic=True, goal_trials=200)
    for worker in range(8):
        view.handle(started(20 + worker, worker=worker, description=LONG, cost=1076447 + worker))
    clock.now_s += 3700
    view.handle(epoch_ended(21, fold=3, epoch=6, worker=1))
    many = [
        FrontPoint(trial=t, score=0.5 + t / 100, cost=9999 * (t + 1), description=LONG) for t in range(15)
    ]
    view.handle(FrontChanged(tuple(many)))
    text = screen(view, console)
    assert len(text.splitlines()) <= 20
    check_golden("live_many_workers", text)


def test_log_lines(clock):
    console = make_console(terminal=False)
    view = view_on(console, clock)
    assert isinstance(view, LogView)
    with view:
        play(view, one_worker(clock))
    check_golden("log", console.file.getvalue())


@pytest.mark.parametrize("terminal", [True, False])
def test_what_the_next_trial_adds_is_shown_all_along(clock, terminal):
    console = make_console(terminal=terminal)
    view = make_view(
        console,
        study_record("paper", synthetic=False),
        data="PTB-XL 1.0.3, 800 records, 100 Hz",
        goal_trials=None,
        until=0.005,
        already=Counts(),
        clock=clock,
    )

    def shown():
        text = screen(view, console) if terminal else console.file.getvalue()
        return [line[10 * (not terminal) :].strip() for line in text.splitlines()]

    if not terminal:
        view.start()
    assert "ends once that is below 0.5 % for 3 proposals running" in shown()
    first = GainRecord(trial=7, expected=0.0041, at_most=0.0123)
    second = GainRecord(trial=8, expected=0.0041, at_most=0.004)
    line = "next trial: expected to add 0.41 % to the hypervolume, at most {}"
    view.handle(started(7, gain=first))
    view.handle(ended(7))
    assert line.format("1.2 %") in shown()
    view.handle(started(8, gain=second))
    view.handle(started(9, worker=2))  # of the queue: nothing is known of it
    assert line.format("0.4 %") in shown()
    assert any("time left not known yet" in words for words in shown())


def test_synthetic_log_says_so_in_every_result(clock):
    console = make_console(terminal=False)
    with view_on(console, clock, synthetic=True) as view:
        play(view, one_worker(clock))
    lines = console.file.getvalue().splitlines()
    assert "SYNTHETIC DATA" in lines[0]
    assert all("SYNTHETIC" in line for line in lines if "macro-AUPRC" in line or " front" in line)


@pytest.mark.parametrize("width", [40, 60, 80, 132])
def test_live_screen_never_exceeds_the_width(clock, width):
    console = make_console(terminal=True, width=width)
    view = view_on(console, clock, synthetic=True)
    play(view, one_worker(clock))
    assert max(len(line) for line in screen(view, console).splitlines()) <= width


@pytest.mark.parametrize("terminal", [True, False])
def test_control_codes_and_line_breaks_in_texts_do_no_harm(clock, terminal):
    console = make_console(terminal=terminal)
    view = view_on(console, clock)
    view.handle(started(1, description="CNN\x1b[31m → [bold]GRU[/bold]\x07"))
    view.handle(Message("first line\nsecond\tline\x1b[2J"))
    text = console.file.getvalue() + (screen(view, console) if terminal else "")
    assert "first line second line" in text
    assert "CNN → [bold]GRU[/bold], 528,983" in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text)


def test_a_fold_is_logged_at_its_last_epoch_with_the_seconds_of_all(clock):
    console = make_console(terminal=False)
    view = view_on(console, clock)
    view.handle(started(1))
    view.handle(epoch_ended(1, fold=1, epoch=6))
    view.handle(epoch_ended(1, fold=2, epoch=5, seconds=33.0))
    view.handle(epoch_ended(1, fold=2, epoch=6, score=float("nan")))
    folds = [line for line in console.file.getvalue().splitlines() if " fold " in line]
    assert [line[10:] for line in folds] == [
        "trial 1 fold 1/5: macro-AUPRC .512 after 7 s",
        "trial 1 fold 2/5: macro-AUPRC – after 40 s",
    ]


def test_log_in_an_old_encoding_is_written_in_ascii(clock):
    raw = io.BytesIO()
    console = make_console(terminal=True, file=io.TextIOWrapper(raw, encoding="ascii"))
    view = view_on(console, clock)
    assert isinstance(view, LogView)  # no live screen without box characters and arrows
    with view:
        view.handle(started(1, description="CNN → GRU(64) é"))
    console.file.flush()
    assert rb"CNN -> GRU(64) \u00e9, 528,983 parameters" in raw.getvalue()


class BrokenFile(io.StringIO):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        raise self.error


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(
    "error", [BrokenPipeError("nobody reads"), OSError(5, "terminal is gone"), ValueError("closed file")]
)
def test_view_never_raises_into_the_trainer(clock, terminal, error):
    console = make_console(terminal=terminal, file=BrokenFile(error))
    with view_on(console, clock) as view:
        play(view, one_worker(clock))
        view.handle("not an event")
        view.handle(ended(99, worker=7))  # never started
        view.handle(epoch_ended(98, fold=1, epoch=6, worker=8))


@pytest.mark.parametrize("terminal", [True, False])
def test_events_may_come_from_many_threads_while_the_screen_is_drawn(terminal):
    console = make_console(terminal=terminal)
    with view_on(console, time.monotonic, goal_trials=80) as view:

        def work(worker):
            for trial in range(20):
                view.handle(started(trial, worker=worker))
                for fold in range(1, 6):
                    view.handle(epoch_ended(trial, fold=fold, epoch=6, worker=worker))
                view.handle(FrontChanged(FRONT))
                view.handle(ended(trial, worker=worker, seconds=0.01))

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert "80 of 80 trials done (80 complete, 0 pruned)" in console.file.getvalue()
    assert "the view failed" not in console.file.getvalue()


def make_state(goal_trials=10):
    return RunState(goal_trials, Counts(), 0.0)


def test_time_left_is_unknown_until_there_is_something_to_go_by():
    state = make_state()
    assert state.seconds_left(0.0) is None
    state.apply(started(0), 0.0)
    assert state.seconds_left(50.0) is None


def test_time_left_from_the_running_trial_before_any_has_ended():
    state = make_state()
    state.apply(started(0), 0.0)
    for epoch in (1, 2, 3):  # 3 of 30 epochs
        state.apply(epoch_ended(0, fold=1, epoch=epoch), 10.0 * epoch)
    # A trial takes 300 s: 270 s of this one and nine more.
    assert state.seconds_left(30.0) == pytest.approx(270 + 9 * 300)


def test_time_left_does_not_depend_on_whether_folds_run_in_lock_step():
    in_turn, lock_step = make_state(), make_state()
    for state in (in_turn, lock_step):
        state.apply(started(0), 0.0)
    for index in range(1, 6):
        in_turn.apply(epoch_ended(0, fold=1, epoch=index), 50.0)
        lock_step.apply(epoch_ended(0, fold=index, epoch=1), 50.0)
    assert in_turn.seconds_left(50.0) == lock_step.seconds_left(50.0)


def test_a_worker_that_was_killed_trains_nothing_any_more():
    state = make_state()
    for worker in (1, 2):
        state.apply(started(worker, worker=worker), 0.0)
    state.apply(ended(1, worker=1, seconds=100.0), 100.0)
    state.apply(WorkerEnded(2), 100.0)
    assert state.running == {}
    assert state.seconds_left(100.0) == pytest.approx(9 * 100)


def test_time_left_from_ended_trials_is_shared_by_workers():
    state = make_state()
    for worker in (0, 1):
        state.apply(started(worker, worker=worker), 0.0)
        state.apply(ended(worker, worker=worker, seconds=100.0), 100.0)
    assert state.seconds_left(100.0) == pytest.approx(8 * 100 / 2)
    state.apply(ended(5, state="failed", seconds=1.0), 100.0)  # quick failures promise nothing
    assert state.seconds_left(100.0) == pytest.approx(8 * 100 / 2)


def test_only_complete_and_pruned_trials_count_towards_the_goal():
    state = make_state()
    for trial, kind in enumerate(["complete", "pruned", "failed", "interrupted"]):
        state.apply(started(trial), 0.0)
        state.apply(ended(trial, state=kind), 1.0)
    assert (state.ended, state.running) == (Counts(complete=1, pruned=1, failed=1), {})
    assert state.ended.finished == 2


def test_the_time_of_a_run_bounds_what_is_left():
    limited = RunState(10, Counts(), 0.0, end_s=350.0)
    limited.apply(started(0), 0.0)
    limited.apply(ended(0, seconds=100.0), 100.0)
    assert limited.seconds_left(100.0) == 250.0  # nine more trials would take 900 s
    without_goal = RunState(None, Counts(), 0.0, end_s=350.0)
    assert without_goal.seconds_left(100.0) == 250.0
    assert without_goal.seconds_left(400.0) == 0.0


def test_nothing_is_left_once_the_goal_is_reached():
    state = make_state(goal_trials=1)
    state.apply(ended(0), 1.0)
    assert state.seconds_left(1.0) == 0.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (192, "3 min 12 s"),
        (3840, "1 h 4 min"),
        (183600, "2 d 3 h"),
        (-3, "0 s"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds, words):
    assert duration_words(seconds) == words


def test_progress_bar_is_one_plain_line_without_a_terminal(clock):
    console = make_console(terminal=False)
    with progress_bar(console, "Reading records", 1200, clock=clock) as advance:
        for done in range(1, 1201):
            advance(done, 1200)
        clock.now_s += 63
    assert console.file.getvalue() == "Reading records: 1,200 of 1,200 in 1 min 3 s\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_bar_without_a_count_shows_nothing(clock, terminal):
    console = make_console(terminal=terminal)
    with progress_bar(console, "Reading records", 0, clock=clock):
        clock.now_s += 1
    assert "Reading" not in console.file.getvalue()


def test_live_view_leaves_a_summary_without_tables(clock):
    view = view_on(make_console(terminal=True), clock)
    view.start()
    for event in one_worker(clock):
        view.handle(event)
    view.stop()
    console = make_console(terminal=False)
    console.print(view.render())
    assert console.file.getvalue().splitlines() == [
        "Study paper · target superclass · PTB-XL 1.0.3, 800 records, 100 Hz",
        "2 of 12 trials done (1 complete, 1 pruned), 1 failed; 8 before this run",
        "ended after 6 min 58 s",
    ]


def test_repeats_are_counted_as_trainings_and_named_by_their_seed(clock):
    console = make_console(terminal=False)
    study = study_record("paper", synthetic=False)
    view = make_view(console, study, data="d", goal_trials=2, already=Counts(), noun="training", clock=clock)
    with view:
        ended = TrialEnded(worker=0, trial=8, state="complete", score=0.386, cost=5135, seconds=20, seed=1)
        view.handle(ended)
    shown = console.file.getvalue()
    assert "· 2 trainings to go\n" in shown
    assert "trial 8 with seed 1 complete: macro-AUPRC .386, 5,135 parameters, 20 s; 1 of 2 done" in shown
    assert "1 of 2 trainings done, 0 failed\n" in shown


def test_progress_bar_in_a_terminal_fits_and_ends_full(clock):
    console = make_console(terminal=True)
    with progress_bar(console, "Reading records", 1200, clock=clock) as advance:
        for done in range(1, 1201):
            advance(done, 1200)
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue()).splitlines()[-1]
    assert "1200/1200" in last
    assert len(last.split("\r")[-1]) <= 80


def test_progress_bar_says_how_far_it_came_when_interrupted(clock):
    console = make_console(terminal=False)

    def read():
        with progress_bar(console, "Reading records", 100, clock=clock) as advance:
            advance(40, 100)
            raise RuntimeError("disk")

    with pytest.raises(RuntimeError, match="disk"):
        read()
    assert console.file.getvalue() == "Reading records: 40 of 100 in 0 s\n"
