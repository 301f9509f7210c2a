"""`python -m search dashboard` in a process of its own, on a study made without training."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_trainer import FakeTrainer, make_worker, open_study

from search.cli import main

REPOSITORY = Path(__file__).parent.parent
START_S = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a study of two finished trials and presets that wait."""
    file = tmp_path_factory.mktemp("dashboard") / "search.db"
    store, study = open_study(file)
    make_worker(store, study, FakeTrainer()).work(2)
    store.close()
    return file


@pytest.fixture
def server(database: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    with serving(database) as (process, port):
        yield process, port


@contextmanager
def serving(database: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command in a process of its own, and its port."""
    port = free_port()
    command = ["dashboard", "--storage", f"sqlite:///{database}", "--port", str(port), *options]
    process = subprocess.Popen(
        [sys.executable, "-m", "search", *command],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until_open(process, port)
        yield process, port
    finally:
        process.kill()
        process.communicate()


def wait_until_open(process: subprocess.Popen[str], port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens on port {port} after {START_S} s")


def get(port: int, path: str) -> tuple[int, bytes]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return answer.status, answer.read()


def get_json(port: int, path: str) -> Any:
    return json.loads(get(port, path)[1])


def test_dashboard_shows_the_study_on_loopback_and_ends_with_ctrl_c(
    server: tuple[subprocess.Popen[str], int],
) -> None:
    process, port = server
    status, page = get(port, "/")
    assert status == 200
    assert b"<html" in page.lower()

    (summary,) = get_json(port, "/api/studies")["study_summaries"]
    assert summary["study_name"] == "fake"
    assert summary["directions"] == ["maximize", "minimize"]
    study = get_json(port, f"/api/studies/{summary['study_id']}?after=0")
    states = [trial["state"] for trial in study["trials"]]
    assert states.count("Complete") == 2
    assert study["objective_names"] == ["macro_auprc", "parameters"]
    assert get_json(port, "/api/meta")["artifact_is_available"] is True
    artifact = study["trials"][0]["artifacts"][0]
    number = study["trials"][0]["trial_id"]
    _, content = get(port, f"/artifacts/{summary['study_id']}/{number}/{artifact['artifact_id']}")
    assert content.startswith(b"PK")  # an npz file

    with socket.socket() as client:  # every 127.x.x.x reaches a server on all addresses
        assert client.connect_ex(("127.0.0.2", port)) != 0

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.startswith(f"http://127.0.0.1:{port} shows ")
    assert err == ""


def test_taken_port_is_one_line(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status = main(["dashboard", "--storage", f"sqlite:///{database}", "--port", str(port)])
    assert status == 1
    captured = capsys.readouterr()
    assert (
        captured.err
        == f"search: port {port} cannot be used (Address already in use): choose another --port\n"
    )
