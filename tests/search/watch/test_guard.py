"""Permitted requests to the dashboard: in-process for every rule, over HTTP for their effect."""

import http.client
import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_dashboard import database, serving

from search.commands.main import main
from search.watch.dashboard_guard import READING, Guard

__all__ = ["database"]  # a fixture

EVIL = "http://evil.example"


def ask(read_only: bool = False, names: tuple[str, ...] = ("localhost", "box"), **environ: str) -> str:
    """Status that a guarded application that always answers 200 gives."""
    statuses: list[str] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b""]

    guard = Guard(application, names=names, read_only=read_only)
    request = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", **environ}
    guard(request, lambda status, *_: statuses.append(status))
    (status,) = statuses
    return status.split()[0]


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8080",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]:8080",
        "10.1.2.3:80",
        "box",
        "Box:8080",
    ],
)
def test_addresses_and_names_of_the_machine_are_answered(host: str) -> None:
    assert ask(HTTP_HOST=host) == "200"


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example"),
        *("box.evil.example", "localhost@evil.example", "evil.example@localhost", "localhost:8080:1"),
        *(
            "localhost,evil.example",
            "localhost evil.example",
            "127.0.0.1\t",
            "[::1",
            "::1",
            "127.1",
            "0x7f.1",
        ),
    ],
)
def test_other_names_are_refused(host: str) -> None:
    assert ask(HTTP_HOST=host) == "403"


def test_a_request_without_host_is_refused() -> None:
    assert ask() == "403"


@given(st.from_regex(r"[a-z0-9.-]{1,30}", fullmatch=True))
def test_no_name_of_the_web_is_answered(name: str) -> None:
    assert ask(HTTP_HOST=f"{name}.example") == "403"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8080", "200"),
        ("https://localhost:8080", "200"),  # behind a proxy that encrypts
        ("http://localhost:9", "403"),  # another program on this machine
        ("http://127.0.0.1:8080", "403"),
        *((origin, "403") for origin in (EVIL, "null", "", "file://", "http://localhost:8080.evil.example")),
    ],
)
def test_pages_from_elsewhere_are_refused(origin: str, status: str) -> None:
    for method in ("GET", "POST"):
        assert ask(HTTP_HOST="localhost:8080", HTTP_ORIGIN=origin, REQUEST_METHOD=method) == status


@given(st.sampled_from(["POST", "PUT", "DELETE", "PATCH", "TRACE"]) | st.text("ABCDEGHIT", min_size=1))
def test_only_reading_is_allowed_where_it_is_all_that_is(method: str) -> None:
    expected = "200" if method in READING else "405"
    assert ask(read_only=True, HTTP_HOST="localhost", REQUEST_METHOD=method) == expected
    assert ask(HTTP_HOST="localhost", REQUEST_METHOD=method) == "200"


# Over HTTP


class Client:
    """Requests to the dashboard on a port."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        content = None if body is None else json.dumps(body)
        sent = {"Content-Type": "application/json", **headers}
        connection.request(method, path, content, {name.replace("_", "-"): sent[name] for name in sent})
        answer = connection.getresponse()
        found = answer.status, answer.headers, answer.read()
        connection.close()
        return found

    def study(self) -> dict[str, Any]:
        (summary,) = json.loads(self.ask("GET", "/api/studies")[2])["study_summaries"]
        study: dict[str, Any] = json.loads(self.ask("GET", f"/api/studies/{summary['study_id']}?after=0")[2])
        return study | {"id": summary["study_id"]}


@pytest.fixture(scope="module")
def ordinary(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    copy = shutil.copytree(database.parent, tmp_path_factory.mktemp("ordinary") / "runs")
    with serving(copy / database.name) as (_, port):
        yield Client(port)


@pytest.fixture(scope="module")
def read_only(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    copy = shutil.copytree(database.parent, tmp_path_factory.mktemp("read-only") / "runs")
    with serving(copy / database.name, "--read-only", "--host", "0.0.0.0") as (process, port):
        yield Client(port)
        process.terminate()
        out, _ = process.communicate()
    assert out.splitlines() == [
        f"http://0.0.0.0:{port} shows {copy / database.name}, read-only; Ctrl-C ends it",
        "Warning: everyone who reaches --host 0.0.0.0 can read all studies and artifacts",
    ]


@pytest.mark.slow
def test_a_page_of_the_web_changes_nothing(ordinary: Client) -> None:
    study = ordinary.study()
    note = {"body": "mine now", "version": study["note"]["version"] + 1}
    path = f"/api/studies/{study['id']}"
    for headers in ({"Origin": EVIL}, {"Origin": "null"}, {"Host": f"evil.example:{ordinary.port}"}):
        assert ordinary.ask("PUT", f"{path}/note", note, **headers)[0] == 403
        assert ordinary.ask("DELETE", path, **headers)[0] == 403
        assert ordinary.ask("GET", path, **headers)[0] == 403
    assert ordinary.study() == study


def test_its_own_page_and_scripts_may(ordinary: Client) -> None:
    study = ordinary.study()
    path = f"/api/studies/{study['id']}/note"
    version = study["note"]["version"]
    own = f"http://127.0.0.1:{ordinary.port}"
    assert ordinary.ask("PUT", path, {"body": "by hand", "version": version + 1}, Origin=own)[0] == 204
    assert ordinary.ask("PUT", path, {"body": "by script", "version": version + 2})[0] == 204
    assert ordinary.study()["note"]["body"] == "by script"


def test_artifacts_are_for_the_dashboard_alone(ordinary: Client) -> None:
    study = ordinary.study()
    trial = study["trials"][0]
    predictions = next(each for each in trial["artifacts"] if each["filename"].endswith(".npz"))
    path = f"/artifacts/{study['id']}/{trial['trial_id']}/{predictions['artifact_id']}"
    status, headers, content = ordinary.ask("GET", path)
    assert (status, content[:2]) == (200, b"PK")
    assert "sandbox" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Access-Control-Allow-Origin"] is None
    assert ordinary.ask("GET", path, Origin=EVIL)[0] == 403
    headers = ordinary.ask("GET", "/dashboard")[1]
    assert headers["X-Frame-Options"] == "SAMEORIGIN"
    assert "sandbox" not in headers["Content-Security-Policy"]


def test_read_only(read_only: Client) -> None:
    study = read_only.study()
    path = f"/api/studies/{study['id']}"
    for method, place in (
        ("DELETE", path),
        ("POST", "/api/studies"),
        ("POST", f"{path}/rename"),
        ("PUT", f"{path}/note"),
        ("POST", f"/api/trials/{study['trials'][0]['trial_id']}/tell"),
        ("PATCH", path),
    ):
        status, headers, reason = read_only.ask(method, place, {"state": "Fail"})
        assert (status, reason) == (405, b"this dashboard is read-only\n")
        assert headers["Allow"] == "GET, HEAD, OPTIONS"
    assert read_only.study() == study
    assert read_only.ask("HEAD", "/dashboard")[0] == 200
    assert read_only.ask("GET", "/dashboard", Host=socket.gethostname())[0] == 200
    assert read_only.ask("GET", "/dashboard", Host="evil.example")[0] == 403


def test_one_silent_connection_holds_up_nobody(ordinary: Client) -> None:
    with socket.create_connection(("127.0.0.1", ordinary.port)):
        assert ordinary.ask("GET", "/api/meta")[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("203.0.113.7", "--host: 203.0.113.7 is no address of this machine"),
        ("a b", "--host 'a b' cannot be found ("),
        ("x" * 300, "--host 'xxx"),
    ],
)
def test_hosts_that_cannot_be(
    host: str,
    message: str,
    database: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["dashboard", "--storage", f"sqlite:///{database}", "--host", host]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"search: {message}")
    assert err.count("\n") == 1
