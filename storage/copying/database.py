"""A database moved whole: from a file to a server when a search outgrows one machine, and back to keep it.

The rows of all tables, Optuna's and ours, go over in one transaction with the numbers they had, so that a
study is continued where it was. Nothing is made up and nothing left out: before the transaction is committed,
what has arrived is read again and compared, table by table, by its number of rows and a digest of their
content. A copy that was killed leaves empty tables, and the same command starts over.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from optuna.trial import TrialState
from sqlalchemy import Connection, Row, exists, func, select, text
from sqlalchemy import Table as AnyTable

from storage import optuna_side
from storage.connection.engine import explained, make_engine, parse_url, reading
from storage.copying.artifacts import copy_artifacts
from storage.errors import DamagedDatabaseError, StorageError
from storage.rows import schema
from storage.rows.damaged_cells import with_row
from storage.rows.repeats import IN_TRAINING
from storage.store import Store, open_store

_AT_ONCE = 1000
"""Rows in memory at a time."""

Progress = Callable[[int, int], None]
"""Rows done and rows in all; every row counts twice, when it is written and when it is verified."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Copied:
    """Counts of what a copy has brought over, all of it verified."""

    source: str
    """Name of the source, without a password."""
    target: str
    url: str
    """URL of the target, without a password."""
    n_studies: int
    n_trials: int
    n_tables: int
    n_rows: int
    artifacts_folder: Path
    """Folder of the target's artifacts."""
    n_artifacts: int
    """Predictions and other files of trials copied; 0 where both databases keep them in the same folder."""
    missing_artifacts: tuple[str, ...]
    """Ids of artifacts whose files are missing."""


@dataclass(frozen=True, slots=True)
class _Content:
    """Number of rows, and a digest that does not depend on their order: databases sort texts differently."""

    n_rows: int = 0
    digest: int = 0

    def __add__(self, rows: list[Row[tuple[object, ...]]]) -> "_Content":
        digest = self.digest + sum(map(_digest, rows))
        return _Content(self.n_rows + len(rows), digest % 2**256)


def copy_database(
    source: str,
    target: str,
    *,
    source_artifacts: Path | None = None,
    target_artifacts: Path | None = None,
    progress: Progress = lambda done, out_of: None,
) -> Copied:
    """Copy all studies of a database into an empty one, with artifacts and checkpoints.

    Args:
        source: URL of the database to read, which may be in use and is left as it is.
        target: URL of the database to fill; made if it is not there.
        source_artifacts: folder of its artifacts, as for `open_store`.
        target_artifacts: folder to copy them to.
        progress: called after every thousand rows.

    Raises:
        StorageError: there is no such source, a trial of it is running, the target holds data, or what
            arrived is not what was sent. The target is then as it was.
        DatabaseUrlError: a URL names no database.
    """
    parse_url(target)
    with ExitStack() as opened:
        sender = opened.enter_context(closing(open_store(source, create=False, artifacts=source_artifacts)))
        _ = sender.optuna_storage  # refuses tables of another version of Optuna
        sending = opened.enter_context(_transaction(sender, only_reads=True))
        _check_idle(sending, sender)
        receiver = opened.enter_context(closing(open_store(target, artifacts=target_artifacts)))
        receiving = opened.enter_context(_transaction(receiver, only_reads=False))
        _check_empty(receiving, receiver)
        with explained(receiver.name):
            n_artifacts, missing = copy_artifacts(sending, sender, receiver)
        contents = _copy_tables(sending, receiving, sender, receiver, progress)
        return Copied(
            source=sender.name,
            target=receiver.name,
            url=receiver.url_without_password,
            n_studies=contents[schema.Study.__tablename__].n_rows,
            n_trials=contents[optuna_side.trials.name].n_rows,
            n_tables=len(contents),
            n_rows=sum(content.n_rows for content in contents.values()),
            artifacts_folder=receiver.artifacts_folder,
            n_artifacts=n_artifacts,
            missing_artifacts=missing,
        )


@contextmanager
def _transaction(store: Store, *, only_reads: bool) -> Iterator[Connection]:
    """One transaction from the first look to the last row; committed when all went well."""
    engine = make_engine(parse_url(store.url))
    try:
        with explained(store.name), (reading(engine) if only_reads else engine).begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _check_idle(connection: Connection, source: Store) -> None:
    """Refuse to copy a trial or a repeat in training: it would go on in both databases."""
    trials, studies, beats = optuna_side.trials.c, optuna_side.studies.c, optuna_side.trial_heartbeats.c
    query = (
        select(studies.study_name, trials.number, func.coalesce(beats.heartbeat, trials.datetime_start))
        .select_from(optuna_side.trials)
        .join(optuna_side.studies, studies.study_id == trials.study_id)
        .outerjoin(optuna_side.trial_heartbeats, beats.trial_id == trials.trial_id)
        .where(trials.state == TrialState.RUNNING)
        .order_by(trials.trial_id)
    )
    # The clock of the database, which also timed the heartbeats.
    now: datetime = connection.execute(select(func.now())).scalar_one().replace(tzinfo=None)
    repeats = (
        select(schema.Study.name, schema.Trial.number, schema.RepeatHeartbeat.heard_at)
        .join(schema.Trial, schema.Trial.study_id == schema.Study.id)
        .join(schema.Repeat, schema.Repeat.trial_id == schema.Trial.id)
        .join(schema.RepeatHeartbeat, schema.RepeatHeartbeat.repeat_id == schema.Repeat.id)
        .where(*IN_TRAINING)
        .order_by(schema.Repeat.id)
    )
    heard_of = [
        *map(tuple, connection.execute(query)),
        *(
            (study, number, heard_at.replace(tzinfo=None))
            for study, number, heard_at in connection.execute(repeats)
            if heard_at is not None
        ),
    ]
    for study, number, last_sign in heard_of:
        if last_sign is None or now - last_sign <= timedelta(seconds=source.grace_s):
            raise StorageError(
                f"{source.name}: trial {number} of study {study} is running: stop its worker first "
                f"(Ctrl-C keeps a checkpoint), or wait {source.grace_s} s if it died"
            )


def _check_empty(connection: Connection, target: Store) -> None:
    """Refuse to mix two databases: their rows have the same numbers."""
    tables = [table for table in _tables() if table.name not in _NEVER_EMPTY]
    if connection.dialect.name == "postgresql":
        names = ", ".join(table.name for table in tables)
        connection.execute(text(f"LOCK TABLE {names} IN EXCLUSIVE MODE"))
    for table in tables:
        if connection.scalar(select(exists().select_from(table))):
            raise StorageError(
                f"{target.name} is not empty (there are rows in {table.name}): copy to a database that is"
            )


def _copy_tables(
    sending: Connection, receiving: Connection, source: Store, target: Store, progress: Progress
) -> dict[str, _Content]:
    tables = _tables()
    counts = {table.name: sending.scalar(select(func.count()).select_from(table)) or 0 for table in tables}
    n_done, n_all = 0, 2 * sum(counts.values())
    progress(n_done, n_all)
    sent: dict[str, _Content] = {}
    for table in tables:
        receiving.execute(table.delete())  # the versions, which are written when tables are made
        sent[table.name] = _Content()
        for rows in _read(sending, table, source):
            receiving.execute(table.insert(), [dict(row._mapping) for row in rows])
            sent[table.name] += rows
            n_done += len(rows)
            progress(n_done, n_all)
    for table in tables:
        arrived = _Content()
        for rows in _read(receiving, table, target):
            arrived += rows
            n_done += len(rows)
            progress(n_done, n_all)
        expected = sent[table.name]
        if arrived != expected:
            raise StorageError(
                f"{target.name}: {table.name} did not arrive as it was sent ({expected.n_rows:,} rows sent, "
                f"{arrived.n_rows:,} arrived): nothing was kept, run the same command again"
            )
        _set_sequence(receiving, table)
    return sent


def _read(connection: Connection, table: AnyTable, store: Store) -> Iterator[list[Row[tuple[object, ...]]]]:
    """All rows of a table, some at a time.

    Raises:
        DamagedDatabaseError: a value was never written by this program.
    """
    try:
        with explained(store.name):
            found = connection.execute(select(table).execution_options(yield_per=_AT_ONCE))
            yield from map(list, found.partitions())
    except DamagedDatabaseError as error:
        raise with_row(connection, error) from None


def _set_sequence(connection: Connection, table: AnyTable) -> None:
    """Let PostgreSQL number the next row after the last; SQLite does so by itself."""
    column = table.autoincrement_column
    if connection.dialect.name != "postgresql" or column is None:
        return
    last = select(func.max(column)).scalar_subquery()
    sequence = func.pg_get_serial_sequence(table.name, column.name)
    connection.execute(select(func.setval(sequence, func.coalesce(last, 1), last.is_not(None))))


def _tables() -> list[AnyTable]:
    """Every table with rows of ours, those first to which others refer."""
    return [*optuna_side.all_tables(), *schema.Table.metadata.sorted_tables]


_NEVER_EMPTY = ("version_info", schema.Schema.__tablename__)

_to_json = partial(json.dumps, sort_keys=True, default=str)


def _digest(row: Row[tuple[object, ...]]) -> int:
    return int.from_bytes(hashlib.sha256(_to_json(tuple(row)).encode()).digest())
