"""Fixtures every test may use, and the rule that CI skips nothing but the GPU's tests."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

# A busy machine is no reason for a property to fail; a hanging test is ended by pytest-timeout.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")

# Tests run side by side and train tiny models: threads within one would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Whoever keeps studies in a database of their own does not want tests in it.
os.environ.pop("SEARCH_STORAGE", None)

_skipped_in_ci: list[str] = []


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings beside the repository; never copied into it."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real records (../shared/data) are not here")
    return folder


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none."""
    if item.get_closest_marker("needs_gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device is here")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, through Playwright."""
    sync_api = pytest.importorskip("playwright.sync_api")
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("headless Chromium is not here")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield launched
        launched.close()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what was skipped in CI; only tests that need a GPU may be."""
    if report.skipped and os.environ.get("CI") and "needs_gpu" not in report.keywords:
        _skipped_in_ci.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a CI run that skipped something."""
    if _skipped_in_ci:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests CI should have run."""
    for nodeid in _skipped_in_ci:
        terminalreporter.write_line(f"skipped in CI, so this run fails: {nodeid}")
