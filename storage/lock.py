"""One worker at a time decides what to train next, and one tells optuna-dashboard; all else is parallel."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from filelock import FileLock, Timeout
from sqlalchemy import Engine, text

from storage.engine import sqlite_file

Purpose = Literal["start", "dashboard"]


@contextmanager
def held(engine: Engine, purpose: Purpose, study: str, *, wait: bool = True) -> Iterator[bool]:
    """Held for one purpose by one process at a time.

    Args:
        engine: of the database.
        purpose: what is done meanwhile.
        study: name of the study.
        wait: whether to wait for whoever has the lock.

    Yields:
        Whether the lock is held; always so after waiting.

    A process that dies gives the lock back: with SQLite it is a lock of the operating system on a file beside
    the database, with PostgreSQL an advisory lock of the connection.
    """
    file = sqlite_file(engine.url)
    if file is not None:
        lock = FileLock(file.with_name(f"{file.name}.{purpose}-lock"))
        try:
            lock.acquire(blocking=wait)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()
        return
    key = zlib.crc32(f"ecg {purpose} {study}".encode())
    with engine.connect() as connection:
        if wait:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
        elif not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}):
            yield False
            return
        try:
            yield True
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
