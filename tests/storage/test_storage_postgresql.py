"""The storage contract on PostgreSQL."""

import threading
import time
from pathlib import Path

import pytest
from postgresql_server import Server
from sqlalchemy import text
from storage_contract import StorageContract
from storage_samples import study_record

import storage
from storage.optuna_side import ensure_optuna_study

pytestmark = pytest.mark.needs_postgresql


class TestPostgresql(StorageContract):
    @pytest.fixture
    def database_url(self, server: Server) -> str:
        return server.new_database()


def test_short_url_means_the_same_database(server: Server, tmp_path: Path) -> None:
    url = server.new_database().replace("+psycopg", "")
    store = storage.open_store(url, artifacts=tmp_path)
    store.add_study(study_record())
    assert store.url_without_password.startswith("postgresql+psycopg://ecg@/")
    store.close()


def test_password_is_never_shown(server: Server, tmp_path: Path) -> None:
    url = server.new_database(password=":secret")
    store = storage.open_store(url, artifacts=tmp_path)
    assert "secret" not in store.url_without_password
    store.close()
    with pytest.raises(storage.StorageError) as caught:
        storage.open_store(url.replace("test%20", "none%20"), artifacts=tmp_path)
    message = str(caught.value)
    assert "does not exist" in message
    assert "secret" not in message
    assert "\n" not in message


def test_database_without_tables_holds_no_study(server: Server) -> None:
    with pytest.raises(storage.StorageError, match="holds no study: run `python -m search run` first"):
        storage.open_store(server.new_database(), create=False)


def test_a_study_added_between_question_and_answer_is_taken(server: Server, tmp_path: Path) -> None:
    """Another process has inserted the row and not committed it: it cannot be seen, nor added again."""
    url = server.new_database()
    first, second = (storage.open_store(url, artifacts=tmp_path) for _ in range(2))
    ensure_optuna_study(first.optuna_storage, "first", "parameters")
    raised: list[BaseException] = []

    def add() -> None:
        try:
            second.add_study(study_record())
        except storage.StorageError as error:
            raised.append(error)

    adding = threading.Thread(target=add)
    # Private: a transaction that is held open.
    with first._write() as session:
        assert first._insert_study(session, study_record())  # add_study would commit
        session.flush()
        adding.start()
        deadline_s = time.monotonic() + 60
        while not n_waiting(first) and time.monotonic() < deadline_s:
            time.sleep(0.01)
    adding.join()
    assert [type(error) for error in raised] == [storage.StudyExistsError]
    assert len(second.studies()) == 1
    first.close()
    second.close()


def n_waiting(store: storage.Store) -> int:
    """Transactions that wait for another."""
    # Private: locks are seen through the engine only.
    with store._engine.connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")) or 0)
