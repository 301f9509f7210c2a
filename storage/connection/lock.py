"""Locks: one worker at a time chooses what to train, one updates optuna-dashboard."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from filelock import FileLock, Timeout
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from storage.connection.engine import sqlite_file
from storage.errors import StorageError

LONGEST_WAIT_S = 600
"""Choosing takes seconds, also behind many others; a process that holds the lock for longer is stopped."""

Purpose = Literal["start", "dashboard"]


@contextmanager
def held(engine: Engine, purpose: Purpose, study: str, *, wait: bool = True) -> Iterator[bool]:
    """Held for one purpose by one process at a time.

    Args:
        engine: engine of the database.
        purpose: what is done meanwhile.
        study: name of the study.
        wait: whether to wait while another process has the lock.

    Yields:
        Whether the lock is held; always so after waiting.

    A process that dies gives the lock back: with SQLite it is a lock of the operating system on a file beside
    the database, with PostgreSQL an advisory lock of the connection. One that is stopped keeps it.

    Raises:
        StorageError: another process keeps the lock for longer than any worker needs.
    """
    file = sqlite_file(engine.url)
    if file is not None:
        lock = FileLock(file.with_name(f"{file.name}.{purpose}-lock"))
        try:
            lock.acquire(timeout=LONGEST_WAIT_S if wait else 0)
        except Timeout:
            if not wait:
                yield False
                return
            raise StorageError(
                f"{lock.lock_file} has been held by another process for more than {LONGEST_WAIT_S} s: is a "
                "worker of this study stopped? continue or kill it, then run the same command again"
            ) from None
        try:
            yield True
        finally:
            lock.release()
        return
    key = zlib.crc32(f"ecg {purpose} {study}".encode())
    with engine.connect() as connection:
        connection.detach()  # the pool holds one, which statements under the lock need
        if wait:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
        elif not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}):
            yield False
            return
        try:
            yield True
        finally:
            with suppress(DBAPIError):  # a connection that was lost has given the lock back
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
