"""Passwords of databases: in nothing that is shown, written or started."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fake_study import make_worker, open_study, study_record, wide_space
from fake_trainer import FakeTrainer
from hypothesis import given
from hypothesis import strategies as st
from postgresql_server import running_server

import space
import storage
from search.commands.main import main
from search.errors import TrainingError
from search.study.provenance import this_worker
from search.study.study import make_study, queue_presets
from search.watch.events import Event, Message
from search.workers.base import work_together
from search.workers.interrupt import Interrupt
from search.workers.processes import ProcessWorkers
from storage.connection.engine import parse_url
from storage.connection.passwords import without_password, without_passwords
from storage.errors import DatabaseUrlError
from storage.store import displayed, open_store

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("argument", "hidden"),
    [
        ("postgresql://u:s3cr3t@host/db", "postgresql://u:***@host/db"),
        ("--storage=postgresql+psycopg://u:s3cr3t@host/db", "--storage=postgresql+psycopg://u:***@host/db"),
        ("postgresql://u:s3@cr3t@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:s3/cr:3t@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:my s3cr3t@host/db", "postgresql://u:***@host/db"),
        ("postgresql://user@company:s3cr3t@host/db", "postgresql://user@company:***@host/db"),
        ("postgresql://:s3cr3t@/db?host=/tmp", "postgresql://:***@/db?host=/tmp"),
        ("postgresql://u@host/db?password=s3cr3t&x=1", "postgresql://u@host/db?password=***&x=1"),
        ("postgresql://u@host/db?x=1&sslpassword=s3cr3t", "postgresql://u@host/db?x=1&sslpassword=***"),
        ("postgresql:/u:s3cr3t@host/db", "postgresql:/u:***@host/db"),  # taken for a path
    ],
)
def test_what_is_shown_of_an_argument(argument: str, hidden: str) -> None:
    assert without_password(argument) == hidden
    if " " not in argument:
        assert without_passwords(f"see {argument} and go on") == f"see {hidden} and go on"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://u@host:5432/db",
        "postgresql+psycopg://postgres:@host/db",
        "postgresql://postgres:@host:5432/db?password=",
        "sqlite:///a:b@c/search.db",
        "a@b.example: see there",
        "--lr",
        "C:/data",
    ],
)
def test_what_has_no_password_is_shown_as_it_is(text: str) -> None:
    assert without_password(text) == without_passwords(text) == text


@given(st.text(st.characters(codec="utf-8", exclude_characters="@"), min_size=1))
def test_no_password_is_shown_whatever_its_signs(password: str) -> None:
    """Written raw, as nobody should: a URL has no other place where these signs could come from."""
    marked = f"{SECRET}{password}{SECRET}"
    for url in (f"postgresql://u:{marked}@h/d", f"postgresql://u:{marked}@{marked}@h/d"):
        assert SECRET not in without_password(url)
        assert SECRET not in name_or_message(url)


def name_or_message(url: str) -> str:
    try:
        return displayed(parse_url(url))
    except DatabaseUrlError as error:
        return str(error)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://u:s3@cr3t@h/d", "postgresql://u:***@h/d has more than one @: write those of user"),
        ("postgresql://u:s3@cr/3t@h/d", "postgresql://u:***@h/d has more than one @"),
        ("postgresql://u:s3cr3t@h:x/d", "postgresql://u:***@h:x/d is not a database URL"),
        ("postgresql://u:s3cr3t", "postgresql://u:*** is not a database URL"),
        ("u:s3cr3t@h/d", "***@h/d is not a database URL: use sqlite:///"),
        ("sqlite://u:s3cr3t@h/d", "sqlite://u:***@h/d: an SQLite database has neither user nor host"),
        ("mysql://u:s3cr3t@h/d", "mysql databases are not supported"),
    ],
)
def test_urls_that_cannot_be_used(url: str, message: str) -> None:
    with pytest.raises(DatabaseUrlError) as caught:
        parse_url(url)
    assert str(caught.value).startswith(message)
    assert caught.value.__cause__ is None
    assert "s3" not in str(caught.value)


# What the program writes


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_line_is_written_down_without(monkeypatch: pytest.MonkeyPatch) -> None:
    for password in ("s3cr3t", "my s3cr3t", "s3@cr3t"):
        url = f"postgresql://u:{password}@box/ecg"
        monkeypatch.setattr("sys.argv", ["search", "run", "--trials", "1", "--storage", url])
        expected = "python -m search run --trials 1 --storage postgresql://u:***@box/ecg"
        assert this_worker("cpu").command == expected


URL = f"postgresql://u:{SECRET}@127.0.0.1:1/ecg"


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "--storage", URL],
        ["status", f"--storage={URL}?password={SECRET}"],
        ["run", "--trials", "1", "--data", URL],
        ["run", "--trials", "1", "--storag", URL],
        ["status", "--study", URL],
        ["data", "check", URL],
        [URL],
    ],
)
def test_no_message_shows_it(arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) in {1, 2}
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    assert err.startswith("search: ")


def test_a_password_on_the_command_line_gets_a_warning(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    warning = "search: warning: every user of this machine can read the password on the command line"
    main(["status", "--storage", URL])
    assert capsys.readouterr().err.startswith(warning)
    monkeypatch.setenv("SEARCH_STORAGE", URL)
    main(["status"])
    err = capsys.readouterr().err
    assert "warning" not in err
    assert "127.0.0.1" in err  # it was asked


@pytest.mark.parametrize("user", ["postgres:", "postgres", ""])
def test_a_url_without_a_password_gets_no_warning(
    user: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--storage", f"postgresql+psycopg://{user}@127.0.0.1:1/db"]) == 1
    err = capsys.readouterr().err
    assert "warning" not in err
    assert "127.0.0.1" in err  # it was asked


def test_the_variable_names_the_database(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_study(folder / "mine/search.db")[0].close()
    monkeypatch.setenv("SEARCH_STORAGE", "sqlite:///mine/search.db")
    assert main(["status"]) == 0
    assert "fake" in capsys.readouterr().out
    assert main(["status", "--storage", "sqlite:///other.db"]) == 1
    monkeypatch.setenv("SEARCH_STORAGE", "")
    assert main(["status"]) == 1
    assert "runs/search.db" in capsys.readouterr().err
    monkeypatch.setenv("SEARCH_STORAGE", URL)
    with pytest.raises(SystemExit):
        main(["status", "--help"])
    assert SECRET not in capsys.readouterr().out


def report_command_lines(url: str, number: int, emit: Callable[[Event], None], interrupt: Interrupt) -> None:
    """Body of a worker process that was given the URL: what `ps` shows of it and of its parent."""
    assert SECRET in url
    for process in (os.getpid(), os.getppid()):
        emit(Message(Path(f"/proc/{process}/cmdline").read_bytes().decode()))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="there is no /proc to look into")
def test_no_process_shows_it() -> None:
    seen: list[Event] = []
    work_together(
        ProcessWorkers(partial(report_command_lines, URL), 1), emit=seen.append, interrupt=Interrupt()
    )
    lines = [event.text for event in seen if isinstance(event, Message)]
    assert len(lines) == 2
    assert all(lines)
    assert not any(SECRET in line for line in lines)


@pytest.mark.slow
@pytest.mark.needs_postgresql
def test_nothing_written_holds_it(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study with trials, a failure, a report and an ensemble on a server; then every byte is looked at."""
    pytest.importorskip("psycopg")

    def breaks(architecture: space.Architecture, fold: int, epoch: int) -> Exception | None:
        bad = fold == 2 and architecture.label_tier == "diagnostic"
        return TrainingError("error", "broken on purpose") if bad else None

    opened: list[storage.Store] = []

    def open_and_remember(*arguments: Any, **options: Any) -> storage.Store:
        opened.append(open_store(*arguments, **options))
        return opened[-1]

    # Commands leave their connections to the end of the process.
    monkeypatch.setattr(storage, "open_store", open_and_remember)
    monkeypatch.setattr("reports.folder.FORMATS", ("svg",))  # PNG and PDF compress what they hold
    with running_server() as server:
        parts = dict(part.split("=", 1) for part in server.conninfo.split())
        url = f"postgresql://ecg:{SECRET}@/postgres?host={quote(parts['host'])}"
        monkeypatch.setattr("sys.argv", ["search", "run", "--trials", "4", "--storage", url])
        store = storage.open_store(url)
        study = make_study(store, study_record())
        queue_presets(store, study, wide_space())
        make_worker(store, study, FakeTrainer(fails=breaks)).work(4)
        assert SECRET in store.url  # it was used
        for command in ("status", "report", "ensemble"):
            assert main([command, "--storage", url]) == 0
        assert main(["status", "--storage", url.replace("/postgres?", "/none?")]) == 1
        for each in opened:
            each.close()
        with psycopg_connection(server.conninfo) as connection:
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall()
            assert len(tables) > 15
            rows = [
                connection.execute(f'SELECT t::text FROM "{table}" AS t').fetchall() for (table,) in tables
            ]
    assert "--storage postgresql://ecg:***@/postgres" in str(rows)
    assert SECRET not in str(rows)
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    written = [file for file in folder.rglob("*") if file.is_file()]
    assert {"index.html", "report.json"} <= {file.name for file in written}
    assert [file for file in written if SECRET.encode() in file.read_bytes()] == []


def psycopg_connection(conninfo: str) -> Any:
    import psycopg

    return psycopg.connect(conninfo)
