"""Downloads against a server on loopback: resumed, verified, refused, without a network."""

import errno
import hashlib
import os
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ptbxl_waveforms import write_data_set

from search.data.download import Downloaded, download
from search.data.readers.ptbxl import read_table
from search.errors import DataError, UsageError


class Server:
    """Files in memory, counted requests; `status` answers instead of a file, one of `cut` ends early."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.status: dict[str, int] = {}
        self.cut: set[str] = set()
        self.requests: Counter[str] = Counter()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                name = self.path.removeprefix("/ptb-xl/")
                outer.requests[name] += 1
                content = outer.files.get(name)
                status = outer.status.get(name, 404 if content is None else 200)
                body = content if content is not None and status == 200 else b""
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if name in outer.cut else body)
                self.close_connection = name in outer.cut

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/ptb-xl/"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def publish(self, root: Path) -> None:
        """Serve a folder, with a list of checksums in PhysioNet's form."""
        self.files = {
            path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
        }
        self.list_sums()

    def list_sums(self, extra: str = "") -> None:
        sums = [
            f"{hashlib.sha256(content).hexdigest()} {name}\n"
            for name, content in sorted(self.files.items())
            if name != "SHA256SUMS.txt"
        ]
        self.files["SHA256SUMS.txt"] = ("".join(sums) + extra).encode()

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    origin = write_data_set(tmp_path / "origin", n_records=10)
    (origin / "LICENSE.txt").write_text("CC BY 4.0")
    (origin / "records500/00000").mkdir(parents=True)
    (origin / "records500/00000/00001_hr.hea").write_text("500 Hz")
    (origin / "example_physionet.py").write_text("not needed")
    made = Server()
    made.publish(origin)
    yield made
    made.close()


def fetch(server: Server, folder: Path, **options: object) -> Downloaded:
    return download("ptb-xl", folder, base_url=server.url, retry_after_s=(0.0,), **options)  # type: ignore[arg-type]


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


N_FILES = 23  # table, statements, licence and ten records of two files


def test_everything_needed_and_nothing_else(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "ptb-xl"
    calls: list[tuple[int, int]] = []
    done = fetch(server, folder, progress=lambda *numbers: calls.append(numbers))
    assert done == Downloaded(folder=folder, n_files=N_FILES, n_fetched=N_FILES)
    assert calls == [(n, N_FILES) for n in range(N_FILES + 1)]
    found = names(folder)
    assert len(found) == N_FILES + 1  # and the list of checksums
    assert "example_physionet.py" not in found
    assert "records500/00000/00001_hr.hea" not in found
    assert all((folder / name).read_bytes() == server.files[name] for name in found)
    assert len(read_table(folder)) == 10


def test_five_hundred_hertz_on_request(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path / "new", rates_hz=(100, 500))
    assert (tmp_path / "new/records500/00000/00001_hr.hea").read_text() == "500 Hz"


def test_resumed_where_it_stopped(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    fetch(server, folder)
    (folder / "records100/00000/00003_lr.dat").unlink()
    (folder / "records100/00000/00004_lr.dat").write_bytes(b"cut")
    (folder / "records100/00000/00005_lr.dat.part").write_bytes(b"left by a killed process")
    server.requests.clear()
    calls: list[tuple[int, int]] = []
    done = fetch(server, folder, progress=lambda *numbers: calls.append(numbers))
    assert done.n_fetched == 2
    assert calls[0] == (N_FILES - 2, N_FILES)
    assert server.requests == {
        "SHA256SUMS.txt": 1,
        "records100/00000/00003_lr.dat": 1,
        "records100/00000/00004_lr.dat": 1,
    }
    assert len((folder / "records100/00000/00004_lr.dat").read_bytes()) == 24_000


def test_content_that_differs_is_reported_and_not_kept(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    name = "records100/00000/00003_lr.dat"
    server.files[name] = b"tampered"
    with pytest.raises(DataError) as caught:
        fetch(server, folder)
    assert str(caught.value) == (
        f"1 of {N_FILES} files could not be fetched: {server.url}{name}: not the published content (SHA-256 "
        "differs); run the same command again for these"
    )
    assert server.requests[name] == 2  # tried again
    assert not (folder / name).exists()
    assert not list(folder.rglob("*.part"))
    assert len(names(folder)) == N_FILES  # all others, and the list


def test_a_good_file_survives_a_bad_server(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    fetch(server, folder)
    old = (folder / "LICENSE.txt").read_bytes()
    server.files["LICENSE.txt"] = b"new edition"
    server.list_sums()
    server.files["LICENSE.txt"] = b"tampered"
    with pytest.raises(DataError, match="not the published content"):
        fetch(server, folder)
    assert (folder / "LICENSE.txt").read_bytes() == old


def test_files_that_the_server_lacks(server: Server, tmp_path: Path) -> None:
    for ecg_id in range(1, 6):
        del server.files[f"records100/00000/{ecg_id:05d}_lr.dat"]
    with pytest.raises(
        DataError, match=r"^5 of 23 .*00001_lr.dat: refused with status 404; .* and 2 more; run"
    ):
        fetch(server, tmp_path / "new")


def test_a_server_in_trouble_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.status["records100/00000/00003_lr.dat"] = 503
    with pytest.raises(DataError, match=r"^cannot reach 127.0.0.1 \(status 503\): check the connection"):
        fetch(server, tmp_path / "new")
    assert server.requests["records100/00000/00003_lr.dat"] == 2


@pytest.mark.parametrize(
    "name", ["../x", "records100/../../x", "/etc/x", "records100/a\\..\\x", "http://x/y"]
)
def test_hostile_list(server: Server, tmp_path: Path, name: str) -> None:
    server.list_sums(extra=f"{'0' * 64}  {name}\n")
    folder = tmp_path / "new"
    with pytest.raises(DataError, match="outside the folder; nothing was fetched"):
        fetch(server, folder)
    assert names(folder) == {"SHA256SUMS.txt"}
    assert not (tmp_path / "x").exists()


def test_a_list_that_is_none(server: Server, tmp_path: Path) -> None:
    server.files["SHA256SUMS.txt"] = b"<html>Please log in</html>"
    with pytest.raises(DataError, match="is not a list of checksums"):
        fetch(server, tmp_path / "new")
    server.files = {}
    server.list_sums()
    with pytest.raises(DataError, match=r"does not list ptbxl_database.csv, scp_statements.csv, records100/"):
        fetch(server, tmp_path / "new")
    server.files = {}
    with pytest.raises(DataError, match=r"SHA256SUMS.txt: refused with status 404"):
        fetch(server, tmp_path / "new")


def test_no_network(tmp_path: Path) -> None:
    closed = Server()
    closed.close()
    with pytest.raises(DataError) as caught:
        fetch(closed, tmp_path / "new")
    assert str(caught.value) == (
        "cannot reach 127.0.0.1 (ConnectionError): check the connection and run the same command again, "
        "or download by hand and pass --data"
    )


def test_disk_full(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_file = Path.open

    def full(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.suffix == ".part":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return open_file(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(DataError, match=r"^cannot use .*: No space left on device; free space"):
        fetch(server, tmp_path / "new")


def test_a_transfer_that_breaks_off_is_begun_again(server: Server, tmp_path: Path) -> None:
    name = "records100/00000/00003_lr.dat"
    server.cut.add(name)
    with pytest.raises(DataError, match=r"^cannot reach 127.0.0.1 \(ChunkedEncodingError\): check"):
        fetch(server, tmp_path / "new")
    assert server.requests[name] == 2
    assert not (tmp_path / "new" / name).exists()


def test_a_file_in_place_of_the_folder(server: Server, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot use .*: File exists"):
        fetch(server, tmp_path / "new")


def test_unknown_data_set_and_rate(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot download 'ptbxl'; data sets to download: ptb-xl"):
        download("ptbxl", tmp_path)
    with pytest.raises(UsageError, match="--rate 250: ptb-xl is published at 100 and 500 Hz"):
        download("ptb-xl", tmp_path, rates_hz=(250,))
