"""Workers of two hosts on one server; each host is a process group that knows itself by another name.

Run as a program it is one of the hosts:

    python tests/search/workers/test_two_hosts.py HOST URL GOAL
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from fake_study import QUEUED, open_study
from postgresql_server import Server
from worker_program import print_event, work_on_fake_study

import storage
from search.study.study import quiet_optuna
from search.workers.base import work_together
from search.workers.interrupt import Interrupt
from search.workers.processes import ProcessWorkers

pytestmark = pytest.mark.needs_postgresql

N_WORKERS = 2
GOAL = len(QUEUED) + 5
HEARTBEATS = {"heartbeat_s": 1, "grace_s": 3}


def start(host: str, url: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, host, url, str(GOAL)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def running_on(store: storage.Store, host: str) -> list[int]:
    """Numbers of trials that a worker of a host trains, or trained when it died."""
    with suppress(storage.UnknownStudyError):
        return [
            trial.number
            for trial in store.unfinished("fake")
            if trial.is_running and trial.worker is not None and trial.worker.host == host
        ]
    return []


def test_two_hosts_share_a_study_and_one_that_dies_is_made_up_for(server: Server, tmp_path: Path) -> None:
    url = server.new_database()
    store = storage.open_store(url, artifacts=tmp_path / "runs" / "artifacts")
    hosts = [start(name, url, tmp_path) for name in ("steady", "doomed")]
    steady, doomed = hosts
    try:
        # Pull the plug of one host, with both of its workers in a trial.
        deadline = time.monotonic() + 60
        while len(running_on(store, "doomed")) < N_WORKERS and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(doomed.pid, signal.SIGKILL)
        doomed.wait()
        lost = running_on(store, "doomed")  # a trial may have ended before the plug was out
        assert lost
        out, errors = steady.communicate(timeout=100)
    finally:
        for host in hosts:
            with suppress(ProcessLookupError):
                os.killpg(host.pid, signal.SIGKILL)
            host.communicate()
    assert (steady.returncode, errors) == (0, "")
    counts = store.counts("fake")
    assert (counts["complete"], counts["running"], counts["waiting"], counts["failed"]) == (GOAL, 0, 0, 0)
    trials = [trial for trial in store.trials("fake") if trial.state == "complete"]
    assert len({trial.architecture_hash for trial in trials}) == GOAL
    assert set(QUEUED) <= {trial.preset for trial in trials}
    assert {worker.host for worker in store.workers("fake")} == {"steady", "doomed"}
    for number in lost:
        assert f"trial {number} was killed (no sign of life from process" in out
    for trial in trials:
        assert [(epoch.fold, epoch.epoch) for epoch in store.epochs(trial.id)] == [
            (fold, epoch) for fold in range(1, 6) for epoch in (1, 2)
        ]
    store.close()


def main(host: str, url: str, goal: str) -> None:
    quiet_optuna()
    open_study(url, **HEARTBEATS)[0].close()
    work = partial(work_on_fake_study, url, int(goal), delay_s=0.05, host=host, **HEARTBEATS)
    work_together(ProcessWorkers(work, N_WORKERS), emit=print_event, interrupt=Interrupt())


if __name__ == "__main__":
    main(*sys.argv[1:])
