"""SQLAlchemy engine of a database URL, and driver errors in one line.

Every transaction on SQLite begins with BEGIN IMMEDIATE: SQLite takes the write lock at the first write
otherwise, so that two workers that both read before they write either take the same queued trial or fail
with SQLITE_BUSY_SNAPSHOT, which no timeout cures. Reports use `reading`, which begins with a plain BEGIN
and therefore never waits for a writer (WAL).
"""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from optuna.exceptions import StorageInternalError
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, PendingRollbackError, SQLAlchemyError
from sqlalchemy.orm import Session

from storage.connection.passwords import torn_without_password, without_password
from storage.errors import ConnectionLostError, DatabaseUrlError, StorageError

BUSY_TIMEOUT_S = 60
"""Seconds that a SQLite writer waits for another one; a transaction takes milliseconds."""

_LONGEST_NAME = 300
_READING = "ecg_reading"


def parse_url(text: str) -> URL:
    """Check a database URL and make it absolute.

    Raises:
        DatabaseUrlError: the URL is not of SQLite or PostgreSQL, names no file, or has a second @.
    """
    shown = shortened(without_password(text))
    example = "use sqlite:///runs/search.db or postgresql+psycopg://user@host/database"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        is_path = "://" not in text and "@" not in text
        file = re.sub(r"^(?:sqlite|file):/*", "", text)
        hint = f"write sqlite:///{shortened(file)}" if is_path and file.strip() else example
        torn = shortened(torn_without_password(text))
        raise DatabaseUrlError(f"{torn} is not a database URL: {hint}") from None
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        if text.count("@") > 1:
            # The URL was torn at the first: the rest of a password would be shown as the name of a host.
            raise DatabaseUrlError(f"{shown} has more than one @: write those of user and password as %40")
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite" or url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise DatabaseUrlError(f"{url.drivername} databases are not supported: {example}")
    if url.username or url.host:
        raise DatabaseUrlError(f"{shown}: an SQLite database has neither user nor host: {example}")
    if url.database in (None, "", ":memory:") or str(url.database).startswith("file:") or url.query:
        raise DatabaseUrlError(f"{shown} names no file on disk: {example}")
    try:
        return url.set(database=str(Path(str(url.database)).expanduser().absolute()))
    except (RuntimeError, ValueError):  # the home folder of an unknown user; a NUL
        raise DatabaseUrlError(f"{shown} names a place that cannot be") from None


def sqlite_file(url: URL) -> Path | None:
    """The file of an SQLite URL, None for PostgreSQL."""
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None


def shortened(text: str) -> str:
    """A text of any length, shortened for a message."""
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…"


def engine_arguments(url: URL) -> dict[str, Any]:
    """Keyword arguments of `create_engine`, for our engine and for the one inside Optuna's storage."""
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": BUSY_TIMEOUT_S}}
    return {
        # A worker trains for minutes between two statements; firewalls drop idle connections.
        "pool_pre_ping": True,
        # A thousand workers keep no more connections than they need; a second thread's is closed after use.
        "pool_size": 1,
        "max_overflow": 20,
        "connect_args": {
            "connect_timeout": 10,
            # A host that fell silent in the middle of a statement is given up after a minute.
            "tcp_user_timeout": 60_000,
            # Heartbeats bear the time of the session. Those of SQLite are in UTC, and copies must agree.
            "options": f"{url.query.get('options', '')} -c TimeZone=UTC".strip(),
        },
    }


def make_engine(url: URL) -> Engine:
    """Engine for our tables.

    Raises:
        StorageError: the driver of PostgreSQL is not installed.
    """
    to_json = partial(json.dumps, allow_nan=False, ensure_ascii=False)
    try:
        engine = create_engine(url, json_serializer=to_json, **engine_arguments(url))
    except ImportError:
        raise StorageError(
            "PostgreSQL needs the package psycopg: pip install 'ecg-architecture-search[postgresql]'"
        ) from None
    begin_immediately(engine)
    return engine


def reading(engine: Engine) -> Engine:
    """The same engine, for transactions that only read: one consistent snapshot, no lock."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{_READING: True})
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def insert_into(session: Session, table: Any) -> sqlite.Insert | postgresql.Insert:
    """An INSERT of the session's database with a clause for conflicts."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    return insert(table)


def begin_immediately(engine: Engine) -> None:
    """Let every SQLite connection take the write lock when its transaction begins; others are left alone.

    Optuna opens a second connection inside a transaction while it makes its tables, which would wait for
    itself; its engine gets this treatment afterwards, hence as a function of an engine.
    """
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
        engine.dispose()  # connections of the pool have missed the first event


def _on_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the sqlite3 module begins no transaction of its own
    connection.execute("PRAGMA foreign_keys = ON")
    # In WAL mode NORMAL survives a killed process; only a power cut may lose the last transactions.
    connection.execute("PRAGMA synchronous = NORMAL")


def _on_begin(connection: Connection) -> None:
    only_reads = connection.get_execution_options().get(_READING, False)
    connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")


_EXPLANATIONS = (
    ("file is not a database", "is not an SQLite database: choose another --storage"),
    ("too many clients", "has no connection left: raise max_connections of the server, or run fewer workers"),
    ("remaining connection slots", "has no connection left: raise max_connections, or run fewer workers"),
    (
        "disk image is malformed",
        "is damaged or truncated: restore it from a copy, or choose another --storage",
    ),
    ("no such table", "is damaged, it lacks a table: restore it from a copy, or choose another --storage"),
    (
        "no such column",
        "is damaged, it lacks a column: restore it from a copy, or choose another --storage",
    ),
    ("disk is full", "cannot grow, the disk is full: free some space and run the same command again"),
    ("no space left", "cannot grow, the disk is full: free some space and run the same command again"),
    ("readonly database", "is read-only: check the permissions of the file and of its folder"),
    ("unable to open database file", "cannot be opened: check the permissions of the file and of its folder"),
    ("database is locked", f"has been locked by another process for more than {BUSY_TIMEOUT_S} s"),
    ("disk i/o error", "cannot be read or written (disk I/O error): check the disk"),
)


def explain(error: BaseException, name: str) -> StorageError:
    """A driver's error in one line, without SQL and without a password.

    Args:
        error: what SQLAlchemy, Optuna's storage or the file system raised.
        name: name of the database in messages.
    """
    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    detail = str(error.orig if isinstance(error, DBAPIError) else error).strip()
    for fragment, meaning in _EXPLANATIONS:
        if fragment in detail.lower():
            return StorageError(f"{name} {meaning}")
    if isinstance(error, OSError) and error.strerror:
        where = f"{shortened(str(error.filename))}: " if error.filename else ""
        return StorageError(f"{name}: {where}{error.strerror}; check the folder, or choose another --storage")
    if isinstance(error, PendingRollbackError) or (isinstance(error, DBAPIError) and _was_cut_off(error)):
        return ConnectionLostError(f"the connection to {name} was lost")
    first_line = detail.splitlines()[0] if detail else type(error).__name__
    return StorageError(f"{name}: {shortened(first_line)}")


_CUT_OFF = ("08", "57P")
"""Classes of PostgreSQL's error codes: connection exceptions, and a server that shuts down."""


def _was_cut_off(error: DBAPIError) -> bool:
    return error.connection_invalidated or str(getattr(error.orig, "sqlstate", "")).startswith(_CUT_OFF)


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn errors of the database into `StorageError`, ours pass through."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, sqlite3.Error, OSError) as error:
        raise explain(error, name) from error
    except UnicodeEncodeError as error:
        text = shortened(ascii(error.object))
        raise StorageError(f"{name} cannot hold the text {text}: it is not Unicode") from error
