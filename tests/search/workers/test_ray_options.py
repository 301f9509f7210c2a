"""Mistakes in the options of --ray that are found before a cluster is asked."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.commands.main import main
from search.errors import SearchError, UsageError
from search.watch.events import Event, Message
from search.workers import ray as ray_workers
from search.workers.interrupt import Interrupt

# Private: an actor without a cluster.
from search.workers.ray import RayWorkers, _Actor
from search.workers.share import Share


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--ray local --cpus-per-worker 0", "--cpus-per-worker is a number above 0, such as 2 or 0.5, got 0"),
        (
            "--ray local --cpus-per-worker nan",
            "--cpus-per-worker is a number above 0, such as 2 or 0.5, got nan",
        ),
        (
            "--ray local --gpus-per-worker -1",
            "--gpus-per-worker is a number from 0 up, such as 1 or 0.25, got -1",
        ),
        ("--ray local --gpus-per-worker 1.5", "--gpus-per-worker above 1 is a whole number, got 1.5"),
        ("--gpus-per-worker 1", "--gpus-per-worker goes with --ray ADDRESS or --ray local"),
        ("--ray auto", "--ray auto needs a database that all nodes reach, such as --storage postgresql"),
    ],
)
def test_mistakes_are_told_in_one_line(capsys: pytest.CaptureFixture[str], options: str, said: str) -> None:
    assert main(["run", "--trials", "1", "--data", "demo", *options.split()]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"search: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("cpus", "n_threads"), [(0.25, 1), (1, 1), (4, 4), (2.5, 2)])
def test_a_worker_keeps_its_processors_busy_and_no_others(cpus: float, n_threads: int) -> None:
    assert Share(address="local", cpus=cpus).n_threads == n_threads


def test_without_the_package_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SearchError, match=r"^--ray needs the package ray: pip install '.*\[ray\]'$"):
        RayWorkers(nobody, 1, Share(address="local"))


@pytest.mark.needs_ray
def test_cluster_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")

    def refuse(**options: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nPlease specify one")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(SearchError) as caught:
        RayWorkers(nobody, 1, Share(address="head:6379"))
    assert str(caught.value) == (
        "no Ray cluster answers at head:6379 (Could not find any running Ray instance): start one with "
        "`ray start --head`, or use --ray local"
    )


def test_what_is_no_share_is_refused() -> None:
    with pytest.raises(UsageError):
        Share(address="local", gpus=float("nan"))


def nobody(number: int, emit: object, interrupt: object) -> None:
    raise AssertionError("nobody starts this")


@pytest.mark.parametrize(("gpus", "seen"), [(0.0, ""), (0.5, "3"), (1.0, "3")])
def test_a_worker_without_a_share_of_a_gpu_sees_none(
    gpus: float, seen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it imports PyTorch, which looks once."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setattr(ray_workers, "set_environment", lambda: None)
    monkeypatch.chdir(tmp_path)

    def work(number: int, emit: Callable[[Event], None], interrupt: Interrupt) -> None:
        emit(Message(os.environ["CUDA_VISIBLE_DEVICES"]))

    actor = _Actor(str(tmp_path), gpus)
    actor.run(work, 1)
    assert actor.answer() == [Message(seen), None]
