"""`.ci/audit.py` against an advisory database on loopback, and without one."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

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


def audit(folder: Path, url: str, pins: str, allowed: str = "") -> tuple[int, str]:
    """Status and output of an audit."""
    (folder / "pins.txt").write_text(pins)
    (folder / "allowed.toml").write_text(allowed)
    files = ["--requirements", str(folder / "pins.txt"), "--allowed", str(folder / "allowed.toml")]
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), *files, "--url", url], capture_output=True, text=True, check=False
    )
    assert not ran.stderr
    return ran.returncode, ran.stdout


def entry(until: date, reason: str = "not called") -> str:
    return f'[[allowed]]\nid = "CVE-2026-1"\nreason = "{reason}"\nuntil = {until}\n'


@pytest.mark.slow
def test_a_finding_fails_until_its_version_is_raised_or_it_is_allowed(database: str, tmp_path: Path) -> None:
    status, text = audit(tmp_path, database, "jinja2==2.10\n")
    assert status == 1
    assert re.search(r"jinja2 +2\.10 .*2\.10\.1", text)
    assert audit(tmp_path, database, "jinja2==3.1.6\n")[0] == 0
    today = date.today()
    assert audit(tmp_path, database, "jinja2==2.10\n", entry(today))[0] == 0
    assert audit(tmp_path, database, "jinja2==2.10\n", entry(today - timedelta(days=1)))[0] == 1
    assert audit(tmp_path, database, "jinja2==2.10\n", entry(today, reason=""))[0] == 1


@pytest.mark.slow
def test_no_network_is_said_and_no_failure(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1/v1/query"
    expected = f"audit: not made, {url} does not answer; nothing is known of vulnerabilities\n"
    assert audit(tmp_path, url, "jinja2==2.10\n") == (0, expected)


@pytest.mark.slow
def test_pins_that_cannot_be_read_fail(database: str, tmp_path: Path) -> None:
    status, text = audit(tmp_path, database, "jinja2>=2\n")
    assert (status, "jinja2" in text) == (1, True)


@pytest.mark.slow
@pytest.mark.parametrize("text", ['[[allowed]]\nid = "x"\n', "[[allowed", "allowed = 1"])
def test_a_list_that_is_wrong_fails_in_one_line(text: str, tmp_path: Path) -> None:
    status, said = audit(tmp_path, "http://127.0.0.1:1/", "", text)
    assert (status, said.count("\n")) == (1, 1)
