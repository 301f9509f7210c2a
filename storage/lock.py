"""One worker at a time decides what to train next; everything else runs side by side."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from filelock import FileLock, Timeout
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from storage.engine import sqlite_file
from storage.errors import StorageError

LONGEST_WAIT_S = 600
"""Choosing takes seconds, also behind many others; whoever holds the lock for longer is stopped."""


@contextmanager
def start_lock(engine: Engine, study: str) -> Iterator[None]:
    """Held while a worker counts trials, asks the sampler and reserves an architecture.

    A process that dies gives the lock back: with SQLite it is a lock of the operating system on a file beside
    the database, with PostgreSQL an advisory lock of the connection. One that is stopped keeps it.

    Raises:
        StorageError: another process keeps the lock for longer than any worker needs.
    """
    file = sqlite_file(engine.url)
    if file is not None:
        lock = FileLock(file.with_name(f"{file.name}.start-lock"), timeout=LONGEST_WAIT_S)
        try:
            held = lock.acquire()
        except Timeout:
            raise StorageError(
                f"{lock.lock_file} has been held by another process for more than {LONGEST_WAIT_S} s: is a "
                "worker of this study stopped? continue or kill it, then run the same command again"
            ) from None
        with held:
            yield
        return
    key = zlib.crc32(f"ecg start {study}".encode())
    with engine.connect() as connection:
        connection.detach()  # the pool holds one; what is asked under the lock needs it
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
        try:
            yield
        finally:
            with suppress(DBAPIError):  # a connection that was lost has given the lock back
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
