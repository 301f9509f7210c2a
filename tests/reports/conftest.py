"""Fixtures of the tests of reports."""

import pytest


@pytest.fixture
def page_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figure files but what the page itself shows: PNG and PDF have tests of their own and take long."""
    monkeypatch.setattr("reports.folder.FORMATS", ("svg",))
