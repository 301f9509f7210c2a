"""SQLite files: opened, refused and shared between processes."""

import json
import multiprocessing
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from io import BytesIO
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import optuna
import optuna_dashboard
import pytest
from sqlalchemy import event
from storage_race import race
from storage_samples import claimed_trial, end_trial, epoch_record, fold_record, study_record

import storage
from storage.rows import creation
from storage.rows.schema import SCHEMA_VERSION


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default database, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs" / "search.db"


@pytest.fixture
def store(file: Path) -> Iterator[storage.Store]:
    opened = storage.open_store()
    opened.add_study(study_record())
    yield opened
    opened.close()


def refusal(create: bool = True, url: str = storage.DEFAULT_URL) -> str:
    """The message with which a database is refused."""
    with pytest.raises(storage.StorageError) as caught:
        storage.open_store(url, create=create)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.slow
def test_default_database_and_artifacts_lie_in_runs(store: storage.Store, file: Path) -> None:
    assert file.is_file()
    assert store.artifacts_folder == file.parent / "artifacts"
    assert store.url_without_password == f"sqlite:///{file}"


def test_a_database_that_is_there_is_opened_without_the_history_of_its_tables(
    store: storage.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("read Optuna's migration scripts, which takes longer than all else")

    monkeypatch.setattr("alembic.script.ScriptDirectory.from_config", read)
    with storage.open_store() as again:
        assert again.optuna_study("first").trials == []


def test_write_ahead_log_and_integrity(store: storage.Store, file: Path) -> None:
    trial_id, number = claimed_trial(store)
    store.add_fold(trial_id, fold_record())
    end_trial(store, number, "COMPLETE", [0.5, 10.0])
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


# Private: settings of connections are the engine's.
@pytest.mark.parametrize("engine_of", [lambda s: s._engine, lambda s: s.optuna_storage.engine])
def test_settings_of_every_connection(store: storage.Store, engine_of: object) -> None:
    assert callable(engine_of)
    with engine_of(store).connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("foreign_keys", "synchronous", "busy_timeout")
        }
    assert pragmas == {"foreign_keys": 1, "synchronous": 1, "busy_timeout": 60_000}


def test_every_writing_transaction_takes_the_lock_first(store: storage.Store) -> None:
    begun: set[str] = set()
    # Private: statements are seen by the engine only.
    for engine in (store._engine, store.optuna_storage.engine):
        event.listen(
            engine,
            "before_cursor_execute",
            lambda _connection, _cursor, statement, *_: (
                statement.startswith("BEGIN") and begun.add(statement)
            ),
        )
    trial_id, _ = claimed_trial(store)
    store.add_epoch(trial_id, epoch_record())
    assert begun == {"BEGIN IMMEDIATE"}
    begun.clear()
    store.trials("first")
    assert begun == {"BEGIN"}


def test_readers_do_not_wait_for_a_writer(store: storage.Store, file: Path) -> None:
    trial_id, _ = claimed_trial(store)
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM ecg_trials")
        began = time.monotonic()
        assert [trial.id for trial in store.trials("first")] == [trial_id]
        assert store.counts("first")["running"] == 1
        assert time.monotonic() - began < 5
        writer.execute("ROLLBACK")


# Refusals


def test_no_database_and_none_to_be_made(file: Path) -> None:
    assert refusal(create=False) == "no database runs/search.db: run `python -m search run` first"
    assert not file.parent.exists()


def test_empty_file_holds_no_study(file: Path) -> None:
    file.parent.mkdir()
    file.touch()
    assert refusal(create=False) == "runs/search.db holds no study: run `python -m search run` first"
    storage.open_store().close()
    storage.open_store(create=False).close()


def test_newer_schema(store: storage.Store, file: Path) -> None:
    store.close()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE ecg_schema SET version = 7")
    with pytest.raises(storage.SchemaVersionError):
        storage.open_store()
    assert refusal(create=False) == (
        f"runs/search.db has schema 7, this version reads up to {SCHEMA_VERSION}: upgrade, or choose another "
        "--storage"
    )


def test_not_a_database(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"ecg_id,patient_id\n" * 500)
    for create in (True, False):
        assert refusal(create) == "runs/search.db is not an SQLite database: choose another --storage"


def test_truncated_database(store: storage.Store, file: Path) -> None:
    store.close()
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    for create in (True, False):
        assert refusal(create).startswith("runs/search.db is damaged or truncated: restore it from a copy")


def test_database_of_another_program_is_left_alone(file: Path) -> None:
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE patients (id INTEGER)")
    for create in (True, False):
        assert (
            refusal(create) == "runs/search.db is the database of another program: choose another --storage"
        )
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("patients",)]


def test_database_of_optuna_gets_our_tables_too(file: Path) -> None:
    file.parent.mkdir()
    optuna.create_study(study_name="theirs", storage=f"sqlite:///{file}")
    assert refusal(create=False) == "runs/search.db holds no study: run `python -m search run` first"
    store = storage.open_store()
    store.add_study(study_record())
    assert [study.name for study in store.studies()] == ["first"]
    assert set(optuna.get_all_study_names(store.optuna_storage)) == {"theirs", "first"}
    store.close()


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        ("DELETE FROM ecg_schema", "the database is damaged (ecg_schema.version holds []): restore it"),
        ("INSERT INTO ecg_schema VALUES (2, 5, '2026-01-01')", "(ecg_schema.version holds [6, 5]): restore"),
        ("DROP TABLE ecg_studies", "runs/search.db is damaged, it lacks a table: restore it from a copy"),
        ("ALTER TABLE ecg_studies DROP COLUMN settings", "is damaged, it lacks a column: restore it"),
    ],
)
def test_what_an_editor_has_removed_is_damage(
    store: storage.Store, file: Path, harm: str, problem: str
) -> None:
    store.close()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(harm)
    with pytest.raises(storage.StorageError) as caught:
        storage.open_store(create=False).studies()
    assert problem in str(caught.value)


def test_a_trial_that_optuna_cannot_read_is_damage(store: storage.Store, file: Path) -> None:
    store.optuna_study("first").add_trial(optuna.trial.create_trial(values=[0.5, 10.0]))
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE trial_values SET value = NULL")
    with pytest.raises(storage.StorageError, match=r"\(Optuna cannot read its trials: a value is missing\)"):
        _ = store.optuna_study("first").trials


def test_a_file_that_another_process_keeps_locked_is_not_waited_for_again_and_again(
    store: storage.Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.close()
    attempts: list[float] = []

    def waits_in_vain(engine: object) -> None:
        attempts.append(monotonic_s.pop(0))
        raise sqlite3.OperationalError("database is locked")

    # Each attempt takes the minute for which SQLite waits for a lock.
    # Private: only the step that takes the lock can be made to wait without another process.
    monotonic_s = [0.0, 60.0, 120.0]
    monkeypatch.setattr(creation, "_enter_wal", waits_in_vain)
    monkeypatch.setattr(creation.time, "monotonic", lambda: monotonic_s[0])
    assert refusal() == "runs/search.db has been locked by another process for more than 60 s"
    assert attempts == [0.0]


def test_a_pipe_instead_of_a_file(file: Path) -> None:
    file.parent.mkdir()
    os.mkfifo(file)
    assert refusal() == "runs/search.db is a pipe or a device: name a file, such as runs/search.db"


def test_folder_instead_of_a_file(file: Path) -> None:
    file.mkdir(parents=True)
    assert refusal() == "runs/search.db is a folder: name a file in it, such as runs/search.db/search.db"


def test_file_where_a_folder_should_be(file: Path) -> None:
    file.parent.write_text("in the way")
    assert refusal().startswith("runs/search.db: ")


def test_read_only_folder() -> None:
    # Root may write everywhere but among the files of the kernel.
    expected = "^/proc/self/search.db cannot be opened: check the permissions of the file and of its folder$"
    with pytest.raises(storage.StorageError, match=expected):
        storage.open_store("sqlite:////proc/self/search.db")


def test_tables_that_optuna_is_still_making_are_not_foreign(file: Path) -> None:
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR)")
    storage.open_store().close()


def test_full_disk_loses_nothing_that_was_there(store: storage.Store) -> None:
    trial_id, _ = claimed_trial(store)
    store.add_epoch(trial_id, epoch_record())
    # Private: a limit on the size of the file.
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # SQLite takes the present size instead
    failure = storage.FailureRecord(kind="error", message="", traceback="x" * 100_000)
    with pytest.raises(
        storage.StorageError, match=r"^runs/search.db cannot grow, the disk is full: free some"
    ):
        store.add_failure(trial_id, failure)
    assert store.failures(trial_id) == []
    assert len(store.epochs(trial_id)) == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("runs/search.db", "runs/search.db is not a database URL: write sqlite:///runs/search.db"),
        ("mysql://me:secret@box/ecg", "mysql databases are not supported: use sqlite:///runs/search.db or "),
        ("sqlite://", "sqlite:// names no file on disk: use sqlite:///runs/search.db or "),
        ("sqlite:///:memory:", "sqlite:///:memory: names no file on disk: use "),
        (
            "sqlite:///file:a.db?mode=ro&uri=true",
            "sqlite:///file:a.db?mode=ro&uri=true names no file on disk",
        ),
        ("postgresql://me:secret@box:port/ecg", "postgresql://me:***@box:port/ecg is not a database URL: "),
    ],
)
def test_url_that_cannot_be_used(url: str, message: str, file: Path) -> None:
    assert refusal(url=url).startswith(message)
    assert not list(file.parents[1].iterdir())


def test_missing_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    message = refusal(url="postgresql://me:secret@localhost/ecg")
    assert message == (
        "PostgreSQL needs the package psycopg: pip install 'ecg-architecture-search[postgresql]'"
    )


# Sharing


@pytest.mark.slow
def test_processes_that_start_at_once_share_the_work(file: Path) -> None:
    n_processes, n_claims = 4, 30
    with ProcessPoolExecutor(n_processes, multiprocessing.get_context("spawn")) as pool:
        start_at = time.time() + 1.0
        futures = [
            pool.submit(
                race,
                f"sqlite:///{file}",
                process,
                start_at,
                range(1000 + process, 9000, n_processes)[:n_claims],
            )
            for process in range(n_processes)
        ]
        won = [future.result() for future in futures]
    assert sum(one.added for one in won) == 1
    for index in range(n_claims):
        assert sum(one.claims[index] is not None for one in won) == 1
    popped = [number for one in won for number in one.popped]
    assert sorted(popped) == list(range(n_processes * 3))  # the queue first, then new trials, none twice


def test_dashboard_reads_the_same_file(store: storage.Store) -> None:
    _, number = claimed_trial(store)
    end_trial(store, number, "COMPLETE", [0.5, 10.0])
    app = optuna_dashboard.wsgi(store.optuna_storage, artifact_store=store.artifact_store)
    environment: dict[str, object] = {"PATH_INFO": "/api/studies/1", "wsgi.input": BytesIO()}
    setup_testing_defaults(environment)  # type: ignore[arg-type]
    statuses = []
    body = b"".join(app(environment, lambda status, _headers, _error=None: statuses.append(status)))
    assert statuses == ["200 OK"]
    study = json.loads(body)
    assert study["objective_names"] == ["macro_auprc", "parameters"]
    assert study["trials"][0]["values"] == [0.5, 10.0]


def test_a_stopped_worker_does_not_keep_the_others_waiting_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.connection.lock.LONGEST_WAIT_S", 0.1)
    stores = [storage.open_store(f"sqlite:///{tmp_path}/search.db") for _ in range(2)]
    with (
        stores[0].start_lock("first"),
        pytest.raises(storage.StorageError, match=r"search\.db\.start-lock has been held .* is a worker of"),
        stores[1].start_lock("first"),
    ):
        pass
    with stores[1].start_lock("first"):
        pass
