"""Several worker processes in one run: shared work, Ctrl-C, and processes that die."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from fake_study import QUEUED, n_finished, open_study
from recorder import Recorder
from worker_bodies import (
    fails,
    ignores_ctrl_c,
    is_killed,
    only_the_first_fails,
    says_its_number,
    works_until_asked_to_stop,
)
from worker_program import Program, work_on_fake_study

from search.errors import SearchError
from search.study.provenance import commit, has_died, process_start, this_worker, versions
from search.watch.events import EpochEnded, Event, TrialEnded, TrialStarted
from search.workers.base import work_together
from search.workers.interrupt import Interrupt
from search.workers.processes import ProcessWorkers


@pytest.mark.slow
def test_events_of_all_workers_arrive() -> None:
    heard = Recorder()
    work_together(ProcessWorkers(says_its_number, 2), emit=heard, interrupt=Interrupt())
    assert Counter(heard.messages()) == {"from 1": 50, "from 2": 50}


@pytest.mark.slow
def test_a_request_reaches_every_worker() -> None:
    interrupt = Interrupt()

    def stop_once_both_run(event: Event) -> None:
        if heard.messages().count("started") == 2:
            interrupt.request()

    heard = Recorder(stop_once_both_run)
    work_together(ProcessWorkers(works_until_asked_to_stop, 2), emit=heard, interrupt=interrupt)
    assert heard.messages() == ["started"] * 2 + ["finished the epoch"] * 2


@pytest.mark.slow
def test_workers_leave_ctrl_c_to_the_command() -> None:
    heard = Recorder()
    work_together(ProcessWorkers(ignores_ctrl_c, 1), emit=heard, interrupt=Interrupt())
    assert heard.messages() == ["still here, False", "and here, True"]


@pytest.mark.slow
def test_when_every_worker_fails_the_run_does() -> None:
    heard = Recorder()
    with pytest.raises(SearchError, match=r"no such device|worker 1 cannot write"):
        work_together(ProcessWorkers(fails, 2), emit=heard, interrupt=Interrupt())
    assert sorted(heard.messages()) == [
        "worker 1 ended: worker 1 cannot write",
        "worker 2 ended: no such device",
    ]


@pytest.mark.slow
def test_one_failing_worker_does_not_stop_the_others() -> None:
    heard = Recorder()
    work_together(ProcessWorkers(only_the_first_fails, 2), emit=heard, interrupt=Interrupt())
    assert sorted(heard.messages()) == ["done", "worker 1 ended: no memory left"]


@pytest.mark.slow
def test_a_killed_worker_is_reported() -> None:
    heard = Recorder()
    with pytest.raises(SearchError, match="worker 1 was killed by signal 9"):
        work_together(ProcessWorkers(is_killed, 1), emit=heard, interrupt=Interrupt())
    assert heard.messages() == ["worker 1 was killed by signal 9"]


# Two processes on one study


@pytest.mark.slow
@pytest.mark.slow
def test_a_worker_that_still_imports_ends_with_its_parent(tmp_path: Path) -> None:
    # The function takes a minute to arrive, as if it imported for so long.
    (tmp_path / "late.py").write_text(LATE)
    with subprocess.Popen(
        [sys.executable, "late.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}").exists()


LATE = """
import multiprocessing
import time
from search.workers.processes import ProcessWorkers

class Work:
    def __reduce__(self):
        return time.sleep, (60,)

if __name__ == "__main__":
    workers = ProcessWorkers(Work(), 1)
    print(multiprocessing.active_children()[0].pid, flush=True)
    time.sleep(60)
"""


def test_workers_share_a_study_exactly(tmp_path: Path) -> None:
    database = tmp_path / "search.db"
    heard = Recorder()
    work = partial(work_on_fake_study, database, 11)
    work_together(ProcessWorkers(work, 2), emit=heard, interrupt=Interrupt())
    store, _ = open_study(database)
    trials = store.trials("fake")
    assert n_finished(store) == 11
    assert len(trials) == len({trial.architecture_hash for trial in trials}) == 11
    assert [trial.preset for trial in trials[: len(QUEUED)]] == QUEUED
    workers = Counter(event.worker for event in heard.events if isinstance(event, TrialStarted))
    assert sorted(workers) == [1, 2]
    assert heard.messages() == []


@pytest.mark.slow
def test_two_terminals_share_a_study_exactly(tmp_path: Path) -> None:
    """The same command twice at the same moment, where there is no database yet."""
    database = tmp_path / "search.db"
    programs = [Program(database, "--goal", "9", "--delay", "0.01") for _ in range(2)]
    assert [program.end() for program in programs] == [(0, "")] * 2
    store, _ = open_study(database)
    trials = store.trials("fake")
    assert n_finished(store) == 9
    assert [trial.preset for trial in trials[: len(QUEUED)]] == QUEUED
    assert len(trials) == len({trial.architecture_hash for trial in trials}) == 9
    ended = [event["trial"] for one in programs for event in one.events if event["event"] == "TrialEnded"]
    assert sorted(ended) == list(range(9))


@pytest.mark.slow
def test_a_worker_killed_among_others_is_made_up_for(tmp_path: Path) -> None:
    """Without a restart: whoever is left waits for the last trials and finds the dead one among them."""
    database = tmp_path / "search.db"
    killed: list[int] = []
    heard_of: set[int] = set()

    def kill_the_first(event: Event) -> None:
        heard_of.update({event.worker} if isinstance(event, EpochEnded) else ())
        # the other one is at work, too: one that has not begun yet would have nothing left to make up for
        if heard_of >= {1, 2} and isinstance(event, EpochEnded) and event.worker == 1 and not killed:
            first = min(
                multiprocessing.active_children(), key=lambda process: int(process.name.split("-")[1])
            )
            first.kill()
            killed.append(event.trial)

    heard = Recorder(kill_the_first)
    goal = len(QUEUED)
    work = partial(work_on_fake_study, database, goal, delay_s=0.05)
    work_together(ProcessWorkers(work, 2), emit=heard, interrupt=Interrupt())
    store, _ = open_study(database)
    counts = store.counts("fake")
    assert (counts["complete"], counts["running"], counts["interrupted"]) == (goal, 0, 0)
    assert {trial.preset for trial in store.trials("fake")} == set(QUEUED)
    assert "worker 1 was killed by signal 9" in heard.messages()
    assert any(f"trial {killed[0]} was killed" in text for text in heard.messages())
    ended = Counter(event.state for event in heard.events if isinstance(event, TrialEnded))
    assert ended == {"complete": goal}


# Who is alive


def test_this_process_lives() -> None:
    assert not has_died(this_worker("cpu"))


def test_a_process_that_ended_has_died() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = process_start(process.pid)
    assert started is not None
    process.kill()
    deadline = time.monotonic() + 10
    while process_start(process.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process_start(process.pid) is None  # though it is still there, as a zombie
    process.communicate()
    assert process_start(process.pid) is None


def test_what_a_worker_ran_with() -> None:
    worker = this_worker("cuda: H200")
    assert worker.device == "cuda: H200"
    assert {"python", "optuna", "numpy"} <= worker.versions.keys()
    assert worker.versions == versions()
    assert worker.commit == commit()


def test_a_password_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["search", "run", "--storage", "postgresql://ecg:secret@box/search"])
    command = this_worker("cpu").command
    assert command == "python -m search run --storage postgresql://ecg:***@box/search"
