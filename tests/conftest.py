"""Fixtures every test may use, and the rule that CI skips nothing but what its machine cannot compute."""

import gc
import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from outside import REPOSITORY, watch
from postgresql_server import Server, running_server

# A busy machine is no reason for a property to fail; a hanging test is ended by pytest-timeout.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")

# Tests run side by side and train tiny models: threads within one would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What is imported and collected stays to the end: to go through it again and again for garbage takes longer
# than many a test.
gc.disable()

# Whoever keeps studies in a database of their own does not want tests in it.
os.environ.pop("SEARCH_STORAGE", None)

SHARED_DATA = REPOSITORY.parent / "shared" / "data"

OF_THE_MACHINE = {"needs_gpu", "needs_bfloat16"}
"""Marks of tests that not every machine can run, whatever is installed."""
_skipped_in_ci: list[str] = []
_outside = watch()


def pytest_collection_finish() -> None:
    """Let the garbage collector look at what tests make, and at nothing before."""
    gc.freeze()
    gc.set_threshold(10_000, 10, 20)
    gc.enable()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of hundreds of real records beside the checkout, for tests marked `needs_data`."""
    return SHARED_DATA


@pytest.fixture(scope="session")
def ptbxl(request: pytest.FixtureRequest) -> Path:
    """Folder of real PTB-XL records: those of tests/assets, or others with `real_records.ptbxl_folders`."""
    name = getattr(request, "param", "part")
    return REPOSITORY / "tests/assets/ptb-xl" if name == "part" else SHARED_DATA / name


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A PostgreSQL server for the tests of a module."""
    with running_server() as server:
        yield server


@pytest.fixture
def no_optuna_log() -> Iterator[None]:
    """Optuna's log holds errors only."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


@pytest.fixture
def same_threads() -> Iterator[None]:
    """PyTorch's number of threads is set back: evaluating takes all cores, which other tests would notice."""
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def no_space_file() -> Iterator[None]:
    """The space file that a test has read is forgotten."""
    yield
    from search.study.space_file import forget_file

    forget_file()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Skip what needs a GPU or many real records where there are none."""
    if item.get_closest_marker("needs_data") and not SHARED_DATA.is_dir():
        pytest.skip("real records (../shared/data) are not here")
    if item.get_closest_marker("needs_gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device is here")
    yield from _nothing_outside(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test that reads what only some machines have."""
    yield from _nothing_outside(item)


def _nothing_outside(item: pytest.Item) -> Generator[None, None, None]:
    """Fail if files outside the checkout are opened meanwhile, unless the test says that it needs them."""
    _outside.on = item.get_closest_marker("needs_data") is None
    try:
        yield
    finally:
        _outside.on = False
        opened = _outside.take()
    if opened:
        pytest.fail(
            f"opens {', '.join(opened[:5])}{' …' if len(opened) > 5 else ''}, outside the checkout and the "
            "temporary folder: use the real records of tests/assets (fixture `ptbxl`), or mark the test "
            "`needs_data` if it needs ../shared/data",
            pytrace=False,
        )


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
    """Note what was skipped in CI; only tests that need a GPU or a processor with bfloat16 may be."""
    if report.skipped and os.environ.get("CI") and not OF_THE_MACHINE & set(report.keywords):
        _skipped_in_ci.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a CI run that skipped something."""
    if _skipped_in_ci:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests CI should have run."""
    for nodeid in _skipped_in_ci:
        terminalreporter.write_line(f"skipped in CI, so this run fails: {nodeid}")
