"""A database copied from a file to a server and back is the same database, and its study goes on."""

import io
import itertools
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fake_study import make_worker, n_finished, open_study, results, states, study_record
from fake_trainer import FakeTrainer
from killed_workers import Killed, dead_process, killed_in
from postgresql_server import Server, running_server
from recorder import Recorder
from sqlalchemy import text
from storage_samples import kept_models

import storage
from search.commands.main import main
from search.study.study import make_study
from search.watch.events import EpochEnded
from search.workers.interrupt import Interrupt
from storage.copying import database as copying
from storage.copying.database import copy_database


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # In a time zone of its own, as servers are: heartbeats must not look hours older or younger there.
    with running_server(TimeZone="Asia/Tokyo") as server:
        yield server


def file_url(file: Path) -> str:
    return f"sqlite:///{file}"


N_EPOCHS = 3


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a study that has complete, failed, interrupted, killed and waiting trials."""
    folder = tmp_path_factory.mktemp("made")
    database = folder / "search.db"
    store, study = open_study(database)
    make_worker(store, study, FakeTrainer(n_epochs=N_EPOCHS)).work(goal=4)
    failing = FakeTrainer(
        n_epochs=N_EPOCHS, fails=lambda architecture, fold, epoch: ValueError("NUL \x00 in µV ✓")
    )
    worker = make_worker(store, study, failing)
    with pytest.raises(Exception, match="trials in a row failed"):
        worker.work(goal=6)
    interrupt = Interrupt()

    def stop_in_fold_2(event: object) -> None:
        if isinstance(event, EpochEnded) and event.record.fold == 2:
            interrupt.request()

    n_waits = itertools.count(1)

    def wait_in_epoch_2_of_fold_2() -> None:
        """Until the request has been noticed, so that the fold leaves a checkpoint."""
        if next(n_waits) == N_EPOCHS + 2:
            while not interrupt.requested:
                time.sleep(0.01)
            time.sleep(0.5)

    patient = FakeTrainer(n_epochs=N_EPOCHS, wait=wait_in_epoch_2_of_fold_2)
    make_worker(store, study, patient, emit=Recorder(stop_in_fold_2), interrupt=interrupt).work(goal=6)
    assert states(store)["interrupted"] == 1
    dying = FakeTrainer(n_epochs=N_EPOCHS)
    with pytest.raises(Killed):
        make_worker(store, study, dying, process=dead_process(), emit=killed_in(3, 2)).work(goal=6)
    forget_heartbeats(store)
    store.add_sealed_fold_opening(
        storage.SealedFoldOpeningRecord(
            study="fake", trial=1, preset=None, data_fingerprint="ab", metrics={"f1": 0.5}
        )
    )
    store.close()
    return folder


def searched(made: Path, folder: Path) -> Path:
    """A copy of that study, as files."""
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return folder / "search.db"


def forget_heartbeats(store: storage.Store) -> None:
    """Let those who run have fallen silent long ago."""
    with store.optuna_storage.engine.begin() as connection:
        long_ago = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=1)
        connection.execute(text("UPDATE trial_heartbeats SET heartbeat = :at"), {"at": long_ago})
        connection.execute(text("UPDATE trials SET datetime_start = :at"), {"at": long_ago})


def rows(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables of a file as SQLite keeps them."""
    with closing(sqlite3.connect(file)) as connection:
        names = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return {name: sorted(connection.execute(f'SELECT * FROM "{name}"'), key=repr) for name in names}


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for kind in ("artifacts", "checkpoints")
        for path in (folder / kind).rglob("*")
        if path.is_file()
    }


@pytest.mark.needs_postgresql
@pytest.mark.slow
def test_to_a_server_and_back_everything_is_the_same(server: Server, made: Path, tmp_path: Path) -> None:
    original = searched(made, tmp_path / "first")
    on_server = server.new_database()
    seen: list[tuple[int, int]] = []
    copied = copy_database(
        file_url(original),
        on_server,
        target_artifacts=tmp_path / "second" / "artifacts",
        progress=lambda done, out_of: seen.append((done, out_of)),
    )
    back = tmp_path / "third" / "search.db"
    returned = copy_database(on_server, file_url(back), source_artifacts=tmp_path / "second" / "artifacts")
    before = rows(original)
    assert rows(back) == before
    copy = storage.open_store(file_url(back))
    n_rows = sum(len(table) for name, table in before.items() if name != "alembic_version")
    assert copied.n_rows == returned.n_rows == n_rows
    assert (copied.n_studies, copied.n_trials) == (1, len(before["trials"]))
    assert seen[0] == (0, 2 * n_rows)
    assert seen[-1] == (2 * n_rows, 2 * n_rows)
    assert files(tmp_path / "third") == files(tmp_path / "first")
    n_models = sum(len(kept_models(copy, trial.number)) for trial in copy.trials("fake"))
    assert n_models >= 5
    assert copied.n_artifacts == len(before["ecg_folds"]) + n_models > 10
    assert copied.missing_artifacts == ()
    assert any("checkpoints" in name for name in files(tmp_path / "third"))


@pytest.mark.needs_postgresql
@pytest.mark.slow
@pytest.mark.parametrize("way", ["to the server", "back"])
def test_study_is_continued_where_it_was(server: Server, made: Path, tmp_path: Path, way: str) -> None:
    original = searched(made, tmp_path / "first")
    url, artifacts = server.new_database(), tmp_path / "second" / "artifacts"
    copy_database(file_url(original), url, target_artifacts=artifacts)
    if way == "back":
        back = file_url(tmp_path / "third" / "search.db")
        copy_database(url, back, source_artifacts=artifacts)
        url, artifacts = back, tmp_path / "third" / "artifacts"
    first, _ = open_study(original)
    kept = results(first)
    assert n_finished(first) == 4
    store = storage.open_store(url, artifacts=artifacts)
    study = store.study("fake")
    trainer = FakeTrainer(n_epochs=N_EPOCHS)
    make_worker(first, study, FakeTrainer(n_epochs=N_EPOCHS)).work(goal=8)
    make_worker(store, study, trainer).work(goal=8)
    ended, expected = comparable(store), comparable(first)
    assert [trial for trial in results(store) if trial[0] < 4] == kept
    assert states(store) == states(first)
    first.close()
    store.close()
    # The interrupted and the killed trial are taken up after the epochs they had, and all ends as it does in
    # the original: same numbers, same scores.
    assert ended == expected
    assert len(ended) == 8
    assert 0 < len(trainer.epochs_run) < 4 * 5 * N_EPOCHS


def comparable(store: storage.Store) -> list[tuple[Any, ...]]:
    """All that is known of the finished trials, but for the random names of their files."""
    return [
        (*trial[:5], [replace(fold, predictions="") for fold in trial[5]], *trial[6:])
        for trial in results(store)
    ]


@pytest.mark.needs_postgresql
def test_sequences_go_on_after_the_last_row(server: Server, made: Path, tmp_path: Path) -> None:
    url = server.new_database()
    copy_database(file_url(searched(made, tmp_path)), url, target_artifacts=tmp_path / "artifacts")
    store = storage.open_store(url, artifacts=tmp_path / "artifacts")
    with store.optuna_storage.engine.connect() as connection:
        # Private: every table that is copied.
        for table in copying._tables():
            column = table.autoincrement_column
            if column is None:
                continue
            sequence = f"pg_get_serial_sequence('{table.name}', '{column.name}')"
            following = connection.scalar(text(f"SELECT nextval({sequence})"))
            last = connection.scalar(text(f"SELECT max({column.name}) FROM {table.name}"))
            assert following == (last or 0) + 1, table.name
    store.close()


@pytest.mark.needs_postgresql
def test_heartbeats_are_in_utc_wherever_the_server_is(server: Server, tmp_path: Path) -> None:
    url = f"{server.new_database()}&options=-c%20work_mem%3D5MB"
    store = storage.open_store(url, artifacts=tmp_path / "artifacts")
    make_study(store, study_record())
    optuna_storage = store.optuna_storage
    trial_id = optuna_storage.create_new_trial(optuna_storage.get_study_id_from_name("fake"))
    optuna_storage.record_heartbeat(trial_id)
    with optuna_storage.engine.connect() as connection:
        beat = connection.scalar(text("SELECT heartbeat FROM trial_heartbeats"))
        assert connection.scalar(text("SHOW work_mem")) == "5MB"  # what the user's URL says is kept
    store.close()
    assert abs(datetime.now(UTC).replace(tzinfo=None) - beat) < timedelta(minutes=1)


# What is refused


@pytest.mark.slow
def test_running_trial_is_not_copied(tmp_path: Path) -> None:
    database = tmp_path / "search.db"
    store, study = open_study(database)
    with pytest.raises(Killed):
        make_worker(store, study, FakeTrainer(), emit=killed_in(1, 1)).work(goal=1)
    target = file_url(tmp_path / "copy.db")
    with pytest.raises(
        storage.StorageError, match=r"trial 0 of study fake is running: stop its worker first .* or wait 90 s"
    ):
        copy_database(file_url(database), target)
    assert not (tmp_path / "copy.db").exists()
    forget_heartbeats(store)
    assert copy_database(file_url(database), target).n_trials > 0


def test_running_trial_without_a_sign_of_life_yet_is_not_copied(tmp_path: Path) -> None:
    database = tmp_path / "search.db"
    store, _ = open_study(database)
    trial_id = store.optuna_storage.create_new_trial(store.optuna_storage.get_study_id_from_name("fake"))
    number = store.optuna_storage.get_trial(trial_id).number
    with pytest.raises(storage.StorageError, match=f"trial {number} of study fake is running"):
        copy_database(file_url(database), file_url(tmp_path / "copy.db"))


def test_a_repeat_in_training_is_not_copied_until_it_is_put_down(tmp_path: Path) -> None:
    database = tmp_path / "search.db"
    store, study = open_study(database)
    make_worker(store, study, FakeTrainer(n_folds=1, n_epochs=1)).work(goal=1)
    (trial,) = [each for each in store.trials(study.name) if each.state == "complete"]
    repeat = store.add_repeat(trial.id, 1, worker=1, sampler_noise_sd=None)
    with pytest.raises(storage.StorageError, match="trial 0 of study fake is running: stop its worker first"):
        copy_database(file_url(database), file_url(tmp_path / "copy.db"))
    store.put_down_repeat(repeat)
    copied = copy_database(file_url(database), file_url(tmp_path / "copy.db"))
    with storage.open_store(copied.url) as copy:
        assert copy.repeats(study.name) == store.repeats(study.name)


@pytest.mark.needs_postgresql
def test_target_that_holds_data_is_left_alone(server: Server, made: Path, tmp_path: Path) -> None:
    database = searched(made, tmp_path)
    for target in (file_url(database), server.new_database()):
        if target != file_url(database):
            copy_database(file_url(database), target, target_artifacts=tmp_path / "artifacts")
        before = rows(database)
        with pytest.raises(
            storage.StorageError, match=r"is not empty \(there are rows in studies\): copy to"
        ):
            copy_database(file_url(database), target, target_artifacts=tmp_path / "artifacts")
        assert rows(database) == before


@pytest.mark.needs_postgresql
def test_killed_copy_leaves_an_empty_target_and_can_be_repeated(
    server: Server, made: Path, tmp_path: Path
) -> None:
    database = searched(made, tmp_path)
    url = server.new_database()

    def killed(done: int, out_of: int) -> None:
        if done > out_of // 2:
            raise Killed

    with pytest.raises(Killed):
        copy_database(file_url(database), url, target_artifacts=tmp_path / "artifacts", progress=killed)
    store = storage.open_store(url, artifacts=tmp_path / "artifacts")
    assert store.studies() == []
    store.close()
    assert copy_database(file_url(database), url, target_artifacts=tmp_path / "artifacts").n_studies == 1


@pytest.mark.needs_postgresql
@pytest.mark.slow
def test_what_arrives_changed_is_not_kept(
    server: Server, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a trigger of the server's owner, or a column that holds less than was sent."""
    url = server.new_database()
    store = storage.open_store(url, artifacts=tmp_path / "artifacts")
    with store.optuna_storage.engine.begin() as connection:
        connection.execute(text("ALTER TABLE ecg_epochs ALTER COLUMN seconds TYPE integer"))
    database = tmp_path / "search.db"
    other, study = open_study(database)
    make_worker(other, study, FakeTrainer()).work(goal=1)
    with other.optuna_storage.engine.begin() as connection:
        connection.execute(text("UPDATE ecg_epochs SET seconds = 1.25"))
    with pytest.raises(
        storage.StorageError, match=r"ecg_epochs did not arrive as it was sent \(10 rows sent"
    ):
        copy_database(file_url(database), url, target_artifacts=tmp_path / "artifacts")
    assert store.studies() == []
    store.close()


def test_artifacts_that_settings_name_are_copied(tmp_path: Path) -> None:
    source, target = (file_url(tmp_path / name / "search.db") for name in ("first", "second"))
    store = storage.open_store(source)
    earlier, targets = (storage.keep_content(store, content, "json") for content in (b"earlier", b"targets"))
    settings = {"earlier_studies": {"artifact": earlier}, "teachers": {"trial:1@big": {"artifact": targets}}}
    store.add_study(replace(study_record("fake"), settings=settings))
    store.close()
    assert copy_database(source, target).n_artifacts == 2
    copied = storage.open_store(target)
    assert storage.load_artifact(copied, earlier) == b"earlier"
    assert storage.load_artifact(copied, targets) == b"targets"
    copied.close()


@pytest.mark.slow
def test_missing_artifacts_are_named(tmp_path: Path) -> None:
    database = tmp_path / "first" / "search.db"
    store, study = open_study(database)
    make_worker(store, study, FakeTrainer()).work(goal=1)
    lost = store.folds(store.trials("fake")[0].id)[0].predictions
    (store.artifacts_folder / lost).unlink()
    with store.optuna_storage.engine.begin() as connection:
        connection.execute(text("UPDATE ecg_folds SET predictions = '../search.db' WHERE fold = 2"))
    copied = copy_database(file_url(database), file_url(tmp_path / "second" / "search.db"))
    assert copied.missing_artifacts == ("../search.db", lost)


def test_damaged_source_is_named(tmp_path: Path) -> None:
    database = tmp_path / "search.db"
    open_study(database)[0].close()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE ecg_studies SET created_at = 'yesterday'")
    with pytest.raises(storage.StorageError, match=r"ecg_studies.created_at of row 1 holds 'yesterday'\)"):
        copy_database(file_url(database), file_url(tmp_path / "copy.db"))


# The command


def call(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(arguments)
    return status, out.getvalue(), err.getvalue()


@pytest.mark.slow
def test_command_says_what_it_did_and_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store, study = open_study(tmp_path / "runs" / "search.db")
    make_worker(store, study, FakeTrainer()).work(goal=1)
    status, out, err = call("storage", "copy", "sqlite:///runs/search.db", "sqlite:///kept/search.db")
    assert (status, err) == (0, "")
    assert "runs/search.db is copied to kept/search.db: 1 studies" in out
    assert "10 artifacts in" in out
    assert "row counts and digests of all tables agree" in out
    assert f"Next: python -m search run --trials N --storage sqlite:///{tmp_path}/kept/search.db" in out


@pytest.mark.parametrize(
    ("urls", "status", "said"),
    [
        ("nowhere.db sqlite:///b.db", 2, "search: FROM: nowhere.db is not a database URL: write sqlite:"),
        ("sqlite:///a.db mysql://host/b", 2, "search: TO: mysql databases are not supported"),
        ("sqlite:///a.db sqlite:///b.db", 1, "search: no database a.db"),
    ],
)
def test_mistakes_are_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, urls: str, status: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = call("storage", "copy", *urls.split())
    assert ended[0] == status
    assert ended[2].startswith(said)
    assert ended[2].count("\n") == 1
    assert list(tmp_path.iterdir()) == []
