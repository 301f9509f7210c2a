"""Fixtures of the tests of reports."""

import pytest
from report_records import write_page_alone


@pytest.fixture
def page_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are written as `write_page_alone` says."""
    write_page_alone(monkeypatch)
