"""One worker at a time decides what to train next; everything else runs side by side."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock
from sqlalchemy import Engine, text

from storage.engine import sqlite_file


@contextmanager
def start_lock(engine: Engine, study: str) -> Iterator[None]:
    """Held while a worker counts trials, asks the sampler and reserves an architecture.

    A process that dies gives the lock back: with SQLite it is a lock of the operating system on a file beside
    the database, with PostgreSQL an advisory lock of the connection.
    """
    file = sqlite_file(engine.url)
    if file is not None:
        with FileLock(file.with_name(f"{file.name}.start-lock")):
            yield
        return
    key = zlib.crc32(f"ecg start {study}".encode())
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
