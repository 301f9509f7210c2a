"""Command lines, storage URLs and databases gone wrong: exit status 0, 1 or 2, and one line if not 0."""

import contextlib
import io
import itertools
import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_study import make_worker, open_study
from fake_trainer import FakeTrainer
from fuzzing import TOKENS, cases, check_line, damaged, outcome
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

import storage
from search.commands.main import main
from storage.connection.engine import make_engine, parse_url

NUMBERS = itertools.count()
OUTPUTS = itertools.cycle([["--json"], []])
OPEN_STORE = storage.open_store
OPENED: list[storage.Store] = []


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder; runs/ is relative to it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PTBXL_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # "~" is one of the words
    return tmp_path


@pytest.fixture(autouse=True)
def _closing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands leave their connections to the end of the process; here thousands share one."""
    monkeypatch.setattr(storage, "open_store", open_and_remember)


def open_and_remember(*arguments: Any, **options: Any) -> storage.Store:
    store = OPEN_STORE(*arguments, **options)
    OPENED.append(store)
    return store


def run(arguments: list[str]) -> tuple[int, str, str]:
    """Exit status and what was printed; printing goes through UTF-8 as in a terminal."""
    out, err = (
        io.TextIOWrapper(io.BytesIO(), "utf-8"),
        io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace"),
    )
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(arguments)
        except SystemExit as exit_:  # --help
            status = int(exit_.code or 0)
        finally:
            while OPENED:
                OPENED.pop().close()
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    warning = "search: warning: "  # of a password on the command line
    return (
        status,
        texts[0],
        "".join(line for line in texts[1].splitlines(True) if not line.startswith(warning)),
    )


def check(arguments: list[str]) -> int:
    """A command may do what it is asked or refuse in one line."""
    found = outcome(lambda: run(arguments))
    assert found is not None
    status, _, err = found
    if status:
        assert status in {1, 2}
        assert err.startswith("search: ")
        check_line(err.rstrip("\n"))
    else:
        assert err == ""
    return status


# The command line

WORDS = st.sampled_from([token.decode("utf-8", "surrogateescape") for token in TOKENS if len(token) < 500])
VALUES = WORDS | st.text(max_size=12) | st.integers().map(str) | st.floats().map(str)
OPTIONS = {
    "run": [
        "--trials",
        "--target",
        "--study",
        "--storage",
        "--space",
        "--epochs",
        "--batch-size",
        "--lr",
        "--rate",
        "--split",
        "--sampler",
        "--pruner",
        "--alpha",
        "--workers",
        "--device",
        "--seed",
    ],
    "status": ["--study", "--storage"],
    "report": ["--study", "--storage", "--out"],
    "space": ["--space", "--target"],
}
FLAGS = [
    "--thaw",
    "--no-cost-aware",
    "--drop-unlabeled",
    "--skip-damaged",
    "--json",
    "--help",
    "--",
    "-",
    "run",
]


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command with options of its own, odd values and things out of place."""
    command = draw(st.sampled_from(sorted(OPTIONS)))
    words = [command, "--trials", "1"] if command == "run" else [command]
    for _ in range(draw(st.integers(0, 4))):
        match draw(st.integers(0, 4)):
            case 0:
                words.append(draw(st.sampled_from(FLAGS)))
            case 1:
                words.append(draw(VALUES))
            case 2:
                words.append(f"{draw(st.sampled_from(OPTIONS[command]))}={draw(VALUES)}")
            case _:
                words += [draw(st.sampled_from(OPTIONS[command])), draw(VALUES)]
    # Last, so that it counts: a run must not find data to train on.
    return [*words, "--data", "nowhere"] if command == "run" else words


@pytest.mark.slow
@given(command_lines())
@cases(100)
def test_command_lines(words: list[str]) -> None:
    storage.open_store().close()
    check(words)
    with contextlib.suppress(FileNotFoundError):  # only what `--storage` and `--out` name is made
        assert not Path("nowhere").exists()


@pytest.mark.slow
@given(st.lists(VALUES, max_size=3))
@cases(200)
def test_data_check_of_any_folder(words: list[str]) -> None:
    if not any(Path(word).is_absolute() for word in words if "\0" not in word):
        check(["data", "check", *words])


# The storage URL

PARTS = st.sampled_from(
    [
        *[
            "sqlite",
            "postgresql",
            "postgresql+psycopg",
            "mysql",
            "://",
            ":///",
            "////",
            "/",
            ":",
            "@",
            "?",
            "&",
            "#",
            "user",
            "secret",
            "127.0.0.1",
        ],
        *[
            "[::1]",
            ":1",
            ":99999",
            "db",
            "%20",
            "%00",
            "%zz",
            "~",
            "~nobody/x",
            "host=/none",
            "sslmode=never",
            "mode=ro",
            "é",
            ":memory:",
        ],
        *("file:", "{x}", " ", "..", "\0", "\udc80", "a" * 300),
    ]
)
URLS = st.lists(PARTS, max_size=8).map("".join) | st.lists(PARTS, max_size=6).map(
    lambda parts: "sqlite:///" + "".join(parts)
)


@pytest.mark.slow
@given(URLS)
@cases(800)
def test_storage_urls(folder: Path, text: str) -> None:
    url = outcome(lambda: parse_url(text))
    if url is None:
        return
    if url.get_backend_name() == "sqlite":
        if not Path(str(url.database)).is_relative_to(folder):
            return
        store = outcome(lambda: storage.open_store(text, create=False))
        if store is not None:
            store.close()
    else:
        outcome(lambda: make_engine(url))


@pytest.mark.slow
@given(st.text("abc/.-_é {}%", min_size=1, max_size=20))
@cases(20)
def test_a_database_lies_where_its_url_says(folder: Path, name: str) -> None:
    before = {path for path in folder.rglob("*") if path.is_file()}
    store = outcome(lambda: storage.open_store(f"sqlite:///{folder}/sub/{name}.db"))
    if store is not None:
        store.close()
        made = {path for path in folder.rglob("*") if path.is_file()} - before
        assert all(path.is_relative_to(folder) for path in made)


@pytest.mark.slow
@given(st.text(max_size=20) | WORDS)
@example("\udcff")
@cases(30)
def test_study_names(folder: Path, name: str) -> None:
    from storage_samples import study_record

    store = storage.open_store()
    try:
        record = study_record(name)
        added = outcome(lambda: store.add_study(record) or True)
        known = outcome(lambda: store.study(name))
    finally:
        store.close()
    if added:
        assert known is not None
        assert known.name == name
        check(["status", "--study", name])


# The database


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of six finished trials in one file, without a log beside it."""
    file = tmp_path_factory.mktemp("whole") / "search.db"
    store, study = open_study(file)
    make_worker(store, study, FakeTrainer()).work(6)
    store.close()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    return file


def next_file(folder: Path) -> Path:
    """A name of its own for each case: what a command left open must not meet the next one's file."""
    for leftover in folder.glob("*.db*"):
        leftover.unlink(missing_ok=True)
    return folder / f"{next(NUMBERS)}.db"


def check_database(file: Path) -> None:
    """One line, or an answer that can be printed."""
    check(["status", "--storage", f"sqlite:///{file}", *next(OUTPUTS)])


@pytest.mark.slow
@given(data=st.data())
@cases(150)
def test_damaged_database(folder: Path, database: Path, data: st.DataObject) -> None:
    file = next_file(folder)
    file.write_bytes(data.draw(damaged(database.read_bytes())))
    check_database(file)


@pytest.mark.slow
def test_a_sound_database_is_not_blamed(
    folder: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise KeyError("a mistake of ours")

    monkeypatch.setattr("reports.status.status", stumble)
    with pytest.raises(KeyError, match="a mistake of ours"):
        main(["status", "--storage", f"sqlite:///{database}"])
    file = next_file(folder)
    shutil.copy(database, file)
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE ecg_studies SET tier_classes = '[1]'")
    status, _, err = run(["status", "--storage", f"sqlite:///{file}"])
    assert status == 1
    assert err == (
        "search: the database is damaged (ecg_studies.tier_classes of row 1 holds '[1]'): restore it from a "
        "copy, or choose another --storage\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ecg_trials SET parameters = 0",
        "UPDATE trials SET state = 'DONE'",
        "UPDATE ecg_trials SET created_at = 'yesterday'",
    ],
)
def test_a_cell_that_stops_a_reader_is_named(folder: Path, database: Path, change: str) -> None:
    file = next_file(folder)
    shutil.copy(database, file)
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(change)
    status, _, err = run(["status", "--storage", f"sqlite:///{file}"])
    assert status == 1
    _, table, _, column, *_ = change.split()
    assert f"the database is damaged ({table}.{column} of row 1 holds " in err


def columns(file: Path) -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return [
            (table, column)
            for table in sorted(tables)
            for _, column, *_ in connection.execute(f"PRAGMA table_info({table})")
        ]


JSON_VALUES: SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 10**20) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
CELLS = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.binary(max_size=6)
    | JSON_VALUES.map(json.dumps)
    | st.sampled_from(["2026-01-01", "RUNNING", "COMPLETE", "[", "{}", "[]", "NaN", "1e999"])
)


@pytest.mark.slow
@given(st.integers(0, 10_000), CELLS, st.sampled_from(["", " WHERE rowid = 1", " WHERE rowid % 2 = 1"]))
@cases(80)
def test_database_with_a_cell_that_nobody_wrote(
    folder: Path, database: Path, which: int, value: object, some: str
) -> None:
    file = next_file(folder)
    shutil.copy(database, file)
    named = columns(file)
    table, column = named[which % len(named)]
    with contextlib.closing(sqlite3.connect(file)) as connection, contextlib.suppress(sqlite3.Error):
        connection.execute("PRAGMA ignore_check_constraints = ON")
        with connection:
            connection.execute(f"UPDATE {table} SET {column} = ?{some}", (value,))
    check_database(file)


@pytest.mark.slow
@given(data=st.data())
@cases(50)
def test_database_of_another_time(folder: Path, database: Path, data: st.DataObject) -> None:
    """Tables or columns are gone or have other names, as in a database of an older or newer version."""
    file = next_file(folder)
    shutil.copy(database, file)
    table, column = data.draw(st.sampled_from(columns(file)))
    change = data.draw(
        st.sampled_from(
            [
                f"DROP TABLE {table}",
                f"DELETE FROM {table}",
                f"ALTER TABLE {table} RENAME TO {table}_old",
                f"ALTER TABLE {table} RENAME COLUMN {column} TO new_{column}",
                f"ALTER TABLE {table} DROP COLUMN {column}",
                f"ALTER TABLE {table} ADD COLUMN more TEXT",
                "UPDATE ecg_schema SET version = 99",
                "UPDATE ecg_schema SET version = 0",
                "UPDATE alembic_version SET version_num = 'v99.0.0'",
                "UPDATE version_info SET schema_version = 99",
            ]
        )
    )
    with contextlib.closing(sqlite3.connect(file)) as connection, contextlib.suppress(sqlite3.Error):
        connection.execute("PRAGMA foreign_keys = OFF")
        with connection:
            connection.execute(change)
    check_database(file)


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    """Rich asks for the size of a terminal that is not there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "100")
        yield
