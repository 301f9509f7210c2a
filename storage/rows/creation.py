"""Making the database, or checking that the one there is ours and not from the future."""

import sqlite3
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Double, Engine, insert, inspect, select, text, update

from storage import optuna_side
from storage.connection.engine import reading
from storage.errors import DamagedDatabaseError, SchemaVersionError, StorageError
from storage.rows.schema import (
    SCHEMA_VERSION,
    EvaluatedEpoch,
    EvaluatedModelRow,
    EvaluationRow,
    Repeat,
    RepeatFold,
    RepeatHeartbeat,
    Schema,
    Table,
)

_CREATION_LOCK = 7_218_442_906
"""Key of PostgreSQL's advisory lock while tables are made; any constant that no other program uses."""

_WAIT_S = 2.5
"""Seconds in which the journal mode is asked for again; several processes may make the file at once."""
_PAUSE_S = 0.05

_CHANGES: Mapping[int, tuple[str, ...]] = {
    2: (
        "ALTER TABLE ecg_workers ADD COLUMN process_namespace TEXT",
        "ALTER TABLE ecg_workers ADD COLUMN precision TEXT",
    ),
    3: (
        "ALTER TABLE ecg_epochs ADD COLUMN training_accuracy {double}",
        "ALTER TABLE ecg_epochs ADD COLUMN training_f1 {double}",
        "ALTER TABLE ecg_epochs ADD COLUMN validation_loss {double}",
        "ALTER TABLE ecg_epochs ADD COLUMN validation_accuracy {double}",
        "ALTER TABLE ecg_epochs ADD COLUMN validation_f1 {double}",
        "ALTER TABLE ecg_openings ADD COLUMN ensemble TEXT",
    ),
    4: (),
    5: (),
    6: ("ALTER TABLE ecg_openings ADD COLUMN model TEXT",),
}
"""Statements that make a version from the one before; `{double}` is the database's type of 64-bit numbers."""

_NEW_TABLES: Mapping[int, tuple[type[Table], ...]] = {
    3: (EvaluationRow, EvaluatedModelRow, EvaluatedEpoch),
    4: (Repeat, RepeatFold),
    5: (RepeatHeartbeat,),
}
"""Tables that a version has and the one before had not, in their present form: a version that changes one of
them changes it only where it is not made anew."""


def check(engine: Engine, file: Path | None, name: str, *, create: bool) -> int | None:
    """Look whether the database is there and fit for us; make its file and folder where `create` allows.

    Args:
        engine: engine of the database.
        file: its file, None for PostgreSQL.
        name: the database as the user named it.
        create: what is missing will be made.

    Returns:
        The version of our tables; None where there are none.

    Raises:
        SchemaVersionError: a newer version of this program wrote it, or none did.
        StorageError: it is missing and shall not be made, or belongs to another program.
    """
    if file is not None:
        _prepare_file(engine, file, name, create=create)
    with reading(engine).connect() as connection:
        version = _version(connection)
        foreign = version is None and file is not None and _is_foreign(connection)
    if foreign:
        raise StorageError(f"{name} is the database of another program: choose another --storage")
    if version is None and not create:
        raise StorageError(f"{name} holds no study: run `python -m search run` first")
    if version is not None and version > SCHEMA_VERSION:
        raise SchemaVersionError(
            f"{name} has schema {version}, this version reads up to {SCHEMA_VERSION}: "
            "upgrade, or choose another --storage"
        )
    if version is not None and version < 1:
        raise SchemaVersionError(
            f"{name} has schema {version}, which no release wrote: restore it from a copy, or choose another "
            "--storage"
        )
    return version


def create_tables(engine: Engine) -> None:
    """Make our tables, or bring those of an earlier version up to date, unless another process was faster.

    One transaction: a process that is killed meanwhile leaves what was there.
    """
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATION_LOCK})
        version = _version(connection)
        if version is None:
            Table.metadata.create_all(connection)
            row = {"id": 1, "version": SCHEMA_VERSION, "created_at": datetime.now(UTC)}
            connection.execute(insert(Schema), row)
        elif version < SCHEMA_VERSION:
            double = Double().compile(engine.dialect)
            for new in range(version + 1, SCHEMA_VERSION + 1):
                for statement in _CHANGES[new]:
                    connection.execute(text(statement.format(double=double)))
                made = [Table.metadata.tables[each.__tablename__] for each in _NEW_TABLES.get(new, ())]
                Table.metadata.create_all(connection, tables=made)
            connection.execute(update(Schema).values(version=SCHEMA_VERSION))


def _prepare_file(engine: Engine, file: Path, name: str, *, create: bool) -> None:
    if file.is_dir():
        raise StorageError(f"{name} is a folder: name a file in it, such as {name}/search.db")
    if file.exists() and not file.is_file():
        raise StorageError(f"{name} is a pipe or a device: name a file, such as runs/search.db")
    if not file.exists():
        if not create:
            raise StorageError(f"no database {name}: run `python -m search run` first")
        file.parent.mkdir(parents=True, exist_ok=True)
    began_s = time.monotonic()
    while True:
        try:
            _enter_wal(engine)
            return
        except sqlite3.OperationalError as error:
            # To change the journal mode SQLite does not always wait for the lock, and for some locks it does.
            if "locked" not in str(error) or time.monotonic() - began_s > _WAIT_S:
                raise
            time.sleep(_PAUSE_S)


def _enter_wal(engine: Engine) -> None:
    """Readers beside a writer; a property of the file, which Optuna's connections inherit."""
    connection = engine.raw_connection()  # the mode cannot change within a transaction
    try:
        connection.cursor().execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _version(connection: Connection) -> int | None:
    """Schema version, None where our tables are not."""
    if not inspect(connection).has_table(Schema.__tablename__):
        return None
    versions = connection.execute(select(Schema.version)).scalars().all()
    if len(versions) != 1:
        raise DamagedDatabaseError(Schema.__tablename__, "version", versions)
    return versions[0]


def _is_foreign(connection: Connection) -> bool:
    """A file with tables is welcome only when Optuna made them, or is just making them one by one."""
    names = set(inspect(connection).get_table_names())
    return not {"studies", "trials", "version_info"} <= names and not names <= optuna_side.table_names()
