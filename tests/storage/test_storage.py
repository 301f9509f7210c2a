"""The storage contract on SQLite."""

from pathlib import Path

import pytest
from storage_contract import StorageContract


class TestSqliteFile(StorageContract):
    """In a folder whose name means something to URLs, alembic and Optuna; the others use plain names."""

    @pytest.fixture
    def database_url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/Ünser 100 % {{SCHEMA_VERSION}}/my search.db"
