"""`.ci/audit.py` against an advisory database on loopback, and without one."""

import importlib.util
import json
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("pip_audit")
SCRIPT = Path(__file__).resolve().parents[2] / ".ci" / "audit.py"

ADVISORY = {
    "id": "GHSA-1111-2222-3333",
    "aliases": ["CVE-2026-1"],
    "summary": "reads what it should not",
    "affected": [
        {
            "package": {"name": "jinja2", "ecosystem": "PyPI"},
            "versions": ["2.10"],
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.10.1"}]}],
        }
    ],
}
FOUND = "audit: jinja2 2.10: CVE-2026-1, GHSA-1111-2222-3333, fixed in 2.10.1"


@pytest.fixture(scope="module")
def audit() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("ecg_audit", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """An advisory database that knows one advisory, of jinja2 2.10."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            is_hit = (question["package"]["name"], question["version"]) == ("jinja2", "2.10")
            body = json.dumps({"vulns": [ADVISORY]} if is_hit else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
        server.shutdown()
        thread.join()


Run = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def run(audit: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Status and lines of an audit."""

    def start(url: str, pins: str, allowed: str = "") -> tuple[int, list[str]]:
        (tmp_path / "pins.txt").write_text(pins)
        (tmp_path / "allowed.toml").write_text(allowed)
        arguments = [
            "--requirements",
            str(tmp_path / "pins.txt"),
            "--allowed",
            str(tmp_path / "allowed.toml"),
        ]
        status = audit.main([*arguments, "--url", url])
        return status, capsys.readouterr().out.splitlines()

    return start


def entry(until: date, **changes: Any) -> str:
    values = {"id": "CVE-2026-1", "package": "jinja2", "reason": "not called"} | changes
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    return "\n".join(["[[allowed]]", *lines, f"until = {until}\n"])


@pytest.mark.slow
def test_a_finding_fails(run: Run, database: str) -> None:
    status, lines = run(database, "jinja2==2.10\n")
    assert (status, lines[0]) == (1, FOUND)
    assert lines[1] == "audit: raise the version in pins.txt, or say in allowed.toml why not"
    assert run(database, "jinja2==3.1.6\n") == (0, ["audit: no known vulnerability in pins.txt"])


@pytest.mark.slow
def test_an_allowed_finding_is_a_note_until_its_day(run: Run, database: str) -> None:
    today = date.today()
    status, lines = run(database, "jinja2==2.10\n", entry(today))
    assert status == 0
    assert lines[0] == f"{FOUND.replace('audit:', 'audit: note:')}; allowed until {today}: not called"
    yesterday = today - timedelta(days=1)
    status, lines = run(database, "jinja2==2.10\n", entry(yesterday))
    assert (status, lines[0]) == (1, f"{FOUND}; allowed until {yesterday}, look again")


@pytest.mark.slow
def test_an_entry_for_another_package_allows_nothing(run: Run, database: str) -> None:
    status, lines = run(database, "jinja2==2.10\n", entry(date.max, package="numpy"))
    assert status == 1
    assert lines[0] == "audit: note: CVE-2026-1 of numpy is found no longer: take it from the list"
    assert lines[1] == FOUND


@pytest.mark.slow
def test_no_network_is_said_and_no_failure(run: Run) -> None:
    url = "http://127.0.0.1:1/v1/query"
    expected = f"audit: not made, {url} does not answer; nothing is known of vulnerabilities"
    assert run(url, "jinja2==2.10\n") == (0, [expected])


@pytest.mark.slow
def test_pins_that_cannot_be_read_fail(run: Run, database: str) -> None:
    status, lines = run(database, "jinja2>=2\n")
    assert status == 1
    assert lines[0].startswith("audit: pip-audit failed with status 1: ")


@pytest.mark.parametrize(
    "text", ['[[allowed]]\nid = "x"\n', entry(date.max, reason=""), entry(date.max, more="x"), "[[allowed"]
)
def test_a_list_that_is_wrong_fails(run: Run, text: str) -> None:
    status, lines = run("http://127.0.0.1:1/", "", text)
    assert status == 1
    assert len(lines) == 1


def test_the_list_of_this_repository_can_be_read(audit: ModuleType) -> None:
    audit.read_allowed(SCRIPT.parent / "audit_allowed.toml")
