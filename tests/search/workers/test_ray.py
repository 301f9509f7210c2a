"""Workers on a Ray cluster of two nodes, both on this machine: shared work, problems, and what dies."""

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fake_study import QUEUED, n_finished, open_study
from recorder import Recorder
from worker_bodies import Emit, is_killed, wait_for, works_until_asked_to_stop
from worker_program import work_on_fake_study

from search.errors import SearchError, UsageError
from search.watch.events import EpochEnded, Event, Message, TrialEnded, TrialStarted
from search.workers import ray as ray_workers
from search.workers.base import work_together
from search.workers.interrupt import Interrupt
from search.workers.ray import RayWorkers
from search.workers.share import Share
from storage import StorageError

# Ray leaves sockets and files of its own to the garbage collector.
pytestmark = [
    pytest.mark.needs_ray,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("ray"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster whose head has a GPU, or so it says."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 1})
        made.add_node(num_cpus=2)
        made.wait_for_nodes()
        try:
            yield made
        finally:
            made.shutdown()


def started(cluster: Any, work: Any, n_workers: int, **share: float) -> RayWorkers:
    return RayWorkers(work, n_workers, Share(address=cluster.address, **share))


# Bodies of workers


def says_where_it_is(number: int, emit: Emit, interrupt: Interrupt) -> None:
    devices = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    for _ in range(50):
        emit(Message(f"{number} in {Path.cwd()} with GPU {devices}"))
    wait_for(interrupt)  # one that has nothing left to do may send home who has no place yet


def fails(number: int, emit: Emit, interrupt: Interrupt) -> None:
    raise StorageError("cannot write") if number == 1 else KeyError("of ours")


# The workers


def test_workers_are_where_the_run_is_and_have_their_share(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    interrupt = Interrupt()

    def stop_once_all_is_said(event: Event) -> None:
        if len(heard.messages()) == 2 * 50:
            interrupt.request()

    heard = Recorder(stop_once_all_is_said)
    with started(cluster, says_where_it_is, 2, cpus=0.5, gpus=0.5) as workers:
        work_together(workers, emit=heard, interrupt=interrupt)
    assert Counter(heard.messages()) == {f"{number} in {tmp_path} with GPU 0": 50 for number in (1, 2)}


def test_a_request_reaches_every_worker_and_those_that_wait_for_room(cluster: Any) -> None:
    interrupt = Interrupt()

    def stop_once_two_run(event: Event) -> None:
        if heard.messages().count("started") == 2:
            interrupt.request()

    heard = Recorder(stop_once_two_run)
    with started(cluster, works_until_asked_to_stop, 3, cpus=2) as workers:
        work_together(workers, emit=heard, interrupt=interrupt)
    assert heard.messages() == ["started"] * 2 + ["finished the epoch"] * 2


def test_when_every_worker_fails_the_run_does(cluster: Any) -> None:
    heard = Recorder()
    with (
        started(cluster, fails, 2) as workers,
        pytest.raises(SearchError, match=r"^(cannot write|KeyError: 'of ours')$"),
    ):
        work_together(workers, emit=heard, interrupt=Interrupt())
    assert sorted(heard.messages()) == [
        "worker 1 ended: cannot write",
        "worker 2 ended: KeyError: 'of ours'",
    ]


def test_a_worker_that_dies_again_and_again_is_given_up(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_workers, "MAX_REPLACEMENTS", 1)
    heard = Recorder()
    with started(cluster, is_killed, 1) as workers, pytest.raises(SearchError, match="worker 1 died"):
        work_together(workers, emit=heard, interrupt=Interrupt())
    messages = heard.messages()
    assert [text.endswith("and is placed anew") for text in messages] == [True, False]
    assert messages[-1].endswith("once too often")


def test_what_no_node_can_give_is_refused(cluster: Any) -> None:
    with pytest.raises(
        UsageError, match=r"no node of the Ray cluster has 3 CPUs and 0 GPUs for a worker .* 2 and 1"
    ):
        started(cluster, says_where_it_is, 1, cpus=3)
    with pytest.raises(UsageError, match="no node of the Ray cluster has 1 CPUs and 2 GPUs"):
        started(cluster, says_where_it_is, 1, gpus=2)


# A study


def parent(process_id: int) -> int:
    return int(Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.slow
@pytest.mark.parametrize("what", ["a worker", "a node"])
def test_what_dies_in_the_middle_of_a_study_is_made_up_for(cluster: Any, tmp_path: Path, what: str) -> None:
    database = tmp_path / "search.db"
    store, _ = open_study(database)
    # Of the second case each worker fills a node, and when one goes there is room on a third.
    nodes = [cluster.add_node(num_cpus=3) for _ in range(3)] if what == "a node" else []
    killed: list[int] = []

    def kill_once(event: Event) -> None:
        if not isinstance(event, EpochEnded) or event.record.fold != 3 or event.worker != 1 or killed:
            return
        victims = [trial.worker for trial in store.unfinished("fake") if trial.number == event.trial]
        if not victims or victims[0] is None:
            return  # heard of too late: the trial is over
        process_id = victims[0].process_id
        os.kill(process_id, signal.SIGSTOP)  # or it would go on while it is looked up what it trains
        killed.extend(
            trial.number
            for trial in store.unfinished("fake")
            if trial.is_running and trial.worker is not None and trial.worker.process_id == process_id
        )
        if not killed:
            os.kill(process_id, signal.SIGCONT)
            return
        raylet = parent(process_id)
        for node in [each for each in nodes if each.all_processes["raylet"][0].process.pid == raylet]:
            cluster.remove_node(node, allow_graceful=False)
            nodes.remove(node)
        os.kill(process_id, signal.SIGKILL)

    heard = Recorder(kill_once)
    goal = len(QUEUED)
    work = partial(work_on_fake_study, database, goal, delay_s=0.1)
    with started(cluster, work, 2, cpus=3 if nodes else 1) as workers:
        work_together(workers, emit=heard, interrupt=Interrupt())
    assert len(nodes) == (2 if what == "a node" else 0)
    for node in nodes:
        cluster.remove_node(node)
    counts = store.counts("fake")
    assert killed
    assert (counts["complete"], counts["running"], counts["interrupted"]) == (goal, 0, 0)
    assert {trial.preset for trial in store.trials("fake")} == set(QUEUED)
    assert n_finished(store) == goal
    said = heard.messages()
    assert any("worker 1 died (" in text and "is placed anew" in text for text in said), said
    assert any(f"trial {killed[0]} was killed" in text for text in said), said
    assert {event.worker for event in heard.events if isinstance(event, TrialStarted)} == {1, 2}
    ended = Counter(event.state for event in heard.events if isinstance(event, TrialEnded))
    assert ended["complete"] >= goal - 1  # what was said while its node died is lost, what was stored is not
    store.close()
