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
from fake_study import make_worker, open_study
from fake_trainer import FakeTrainer
from report_records import write_page_alone

import space
from search.commands.main import main
from search.errors import TrainingError

REPOSITORY = Path(__file__).parents[3]
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


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """A database with complete, pruned and failed trials and a report; and a trial of each kind."""
    file = tmp_path_factory.mktemp("raced") / "search.db"
    store, study = open_study(file)
    failing = space.preset("cnn-lstm", "superclass").digest

    def fails(architecture: space.Architecture, fold: int, epoch: int) -> Exception | None:
        is_due = architecture.digest == failing and fold == 2
        return TrainingError("out-of-memory", "2 GiB ![x](http://example.org/x.png)") if is_due else None

    make_worker(store, study, FakeTrainer(n_epochs=6, fails=fails), alpha=0.2).work(12)
    trials = store.trials("fake")
    numbers = {trial.state: trial.number for trial in trials}
    store.close()
    with pytest.MonkeyPatch.context() as patch:
        write_page_alone(patch)
        assert main(["report", "--storage", f"sqlite:///{file}", "--out", str(file.parent / "report")]) == 0
    return file, numbers


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


@pytest.mark.slow
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
    artifact = next(each for each in study["trials"][0]["artifacts"] if each["filename"].endswith(".npz"))
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


@pytest.mark.slow
def test_what_optuna_warns_of_stays_off_the_terminal(database: Path) -> None:
    """Two trials of few parameters: importances and plots warn of each that has one value."""
    with serving(database) as (process, port):
        for page in (
            "param_importances",
            *(f"plot/{kind}" for kind in ("contour", "slice", "rank", "parallel_coordinate", "edf")),
        ):
            assert get(port, f"/api/studies/1/{page}")[0] == 200
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
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


@pytest.mark.slow
@pytest.mark.needs_browser
def test_a_study_in_a_browser(raced: tuple[Path, dict[str, int]], browser: Any) -> None:
    database, numbers = raced
    complaints: list[str] = []
    requests: list[str] = []
    with serving(database) as (_, port):
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        here = f"http://127.0.0.1:{port}"
        page.goto(here)
        page.get_by_text("fake", exact=False).first.click()
        page.wait_for_url(f"{here}/dashboard/studies/1")

        for name in ("ecg-front", "ecg-curves-front"):
            plot = page.locator(f"[id='user-defined-plot:{name}']")
            plot.locator(".scatterlayer .trace:visible").first.wait_for()
            assert plot.get_by_text("SYNTHETIC").count() == 1
        fronts = page.locator("[id='user-defined-plot:ecg-front']")
        assert fronts.locator(".gtitle").text_content() == "Pareto front on superclass"
        assert fronts.locator(".point").count() >= 5
        assert page.get_by_text("macro_auprc").count() > 0
        assert page.get_by_text("report.html").count() > 0

        page.goto(f"{here}/dashboard/studies/1/note")
        page.get_by_role("cell", name="CNN").first.wait_for()
        for state, words in (
            ("complete", "Complete, "),
            ("pruned", "Pruned by the race"),
            ("failed", "In fold 2: out-of-memory: 2 GiB ![x](http://example.org/x.png)"),
        ):
            page.goto(f"{here}/dashboard/studies/1/trials?numbers={numbers[state]}")
            page.get_by_role("heading", name=f"Trial {numbers[state]} ").wait_for()
            assert words in page.locator("body").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= 1400
        page.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith((here, "data:", "blob:"))] == []
