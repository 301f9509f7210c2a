"""The storage contract on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgresql_server import Server, running_server
from storage_contract import StorageContract
from storage_samples import study_record

import storage

pytestmark = pytest.mark.needs_postgresql


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


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
