"""Databases of each version are opened, reported and continued; no table changes without a new version."""

import contextlib
import math
import sqlite3
from pathlib import Path

import pytest
from fake_study import make_worker, n_finished, open_study, results, states
from fake_trainer import FakeTrainer
from killed_workers import queue_killed_trials
from old_databases import ASSETS, N_EPOCHS, N_FINISHED, N_FOLDS, asset, tables, unpack

import storage
from reports.document import report_document
from reports.evidence import gather
from reports.status import status
from search.commands.main import main
from search.study.openings import openings_for
from search.study.provenance import has_died
from storage.rows.schema import SCHEMA_VERSION

pytestmark = pytest.mark.usefixtures("no_optuna_log")

VERSIONS = range(1, SCHEMA_VERSION + 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_database_of_every_version_is_read_and_reported(version: int, tmp_path: Path) -> None:
    store = storage.open_store(f"sqlite:///{unpack(version, tmp_path)}", create=False)
    counts = store.counts("fake")
    assert counts["complete"] + counts["pruned"] == N_FINISHED
    assert (counts["failed"], counts["interrupted"], counts["pruned"] > 0) == (1, 1, True)
    by_state = {trial.state: trial for trial in store.trials("fake")}
    assert by_state["pruned"].decision is not None
    failure = by_state["failed"].failure
    assert failure is not None
    assert (failure.kind, failure.message) == ("diverged", "training loss is nan in epoch 2")
    complete = by_state["complete"]
    predictions = storage.load_predictions(store, store.folds(complete.id)[0].predictions)
    assert predictions.on("superclass") is not None
    assert len(store.epochs(complete.id)) == N_FOLDS * N_EPOCHS
    assert [opening.trial for opening in store.sealed_fold_openings("fake")] == [0]
    assert status(store, "fake").to_json()["study"]
    report = report_document(gather(store, "fake"), n_resamples=10)
    assert len(report.trials) == len(store.trials("fake"))
    curves = [curve for close in report.close for curve in close.curves]
    assert curves
    assert all(bool(curve.validation_loss) == (version >= 3) for curve in curves)
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_a_database_of_every_version_is_continued(version: int, tmp_path: Path) -> None:
    store, study = open_study(unpack(version, tmp_path))
    before = results(store)
    (interrupted,) = [trial for trial in store.trials("fake") if trial.state == "interrupted"]
    trainer = FakeTrainer(n_folds=N_FOLDS, n_epochs=N_EPOCHS)
    worker = make_worker(store, study, trainer, alpha=0.5)
    queue_killed_trials(store, study)
    worker.work(N_FINISHED + 2)
    assert n_finished(store) == N_FINISHED + 2
    assert results(store)[:N_FINISHED] == before
    assert states(store)["interrupted"] == 0
    (continued,) = [trial for trial in store.trials("fake") if trial.id == interrupted.id]
    assert continued.state in {"complete", "pruned"}
    store.close()


def test_no_table_changes_without_a_new_version(tmp_path: Path) -> None:
    """Raise SCHEMA_VERSION, migrate what the version before wrote, and run tests/helpers/old_databases.py."""
    assert asset(SCHEMA_VERSION).exists()
    storage.open_store(f"sqlite:///{tmp_path}/new.db").close()
    assert tables(unpack(SCHEMA_VERSION, tmp_path)) == tables(tmp_path / "new.db")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_database_of_every_version_becomes_one_of_the_present(version: int, tmp_path: Path) -> None:
    file = unpack(version, tmp_path)
    for _ in range(2):  # the second time there is nothing to do
        storage.open_store(f"sqlite:///{file}", create=False).close()
        assert tables(file) == tables(unpack(SCHEMA_VERSION, tmp_path / "present"))
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT version FROM ecg_schema").fetchall() == [(SCHEMA_VERSION,)]


def test_workers_of_the_first_version_are_in_no_known_namespace(tmp_path: Path) -> None:
    with storage.open_store(f"sqlite:///{unpack(1, tmp_path)}", create=False) as store:
        workers = store.workers("fake")
        assert {(worker.process_namespace, worker.precision) for worker in workers} == {(None, None)}
        assert not any(has_died(worker) for worker in workers)


def test_curves_of_before_have_no_validation_loss(tmp_path: Path) -> None:
    for version in (1, 2):
        database = unpack(version, tmp_path / str(version))
        with storage.open_store(f"sqlite:///{database}", create=False) as store:
            curves = store.curves("fake")
            assert curves
            assert all(math.isnan(epoch.validation_loss) for curve in curves.values() for epoch in curve)
            assert store.evaluations("fake") == []
            assert [opening.ensemble for opening in store.sealed_fold_openings("fake")] == [None]


def test_openings_of_before_the_sixth_version_know_their_model_by_its_name(tmp_path: Path) -> None:
    for version in VERSIONS:
        database = unpack(version, tmp_path / str(version))
        with storage.open_store(f"sqlite:///{database}", create=False) as store:
            (first, second, *_) = store.trials("fake")
            (opening,) = store.sealed_fold_openings("fake")
            assert opening.model == (first.architecture_hash if version >= 6 else None)
            study = store.study("fake")
            assert openings_for(store, study, first.architecture_hash) == [opening]
            assert openings_for(store, study, second.architecture_hash) == []


def test_an_evaluation_of_the_third_version_is_read(tmp_path: Path) -> None:
    with storage.open_store(f"sqlite:///{unpack(3, tmp_path)}", create=False) as store:
        (found,) = store.evaluations("fake")
        assert (found.id, found.model, found.fit) == (1, "trial 3", "1-8")
        assert [len(model.curve) for model in found.models] == [2, 1]
        (artifact,) = found.predictions["test"]
        assert storage.load_predictions(store, artifact).on("superclass") is not None


def test_repeats_of_the_fourth_version_are_read_and_there_were_none_before(tmp_path: Path) -> None:
    for version in VERSIONS:
        database = unpack(version, tmp_path / str(version))
        with storage.open_store(f"sqlite:///{database}", create=False) as store:
            repeated = [trial for trial in store.trials("fake") if trial.repeats]
            assert len(repeated) == (version >= 4)
            for trial in repeated:
                ended, begun = trial.repeats
                assert (ended.seed, ended.score, begun.has_ended) == (1, 0.5, False)
                assert storage.load_predictions(store, ended.folds[0].predictions).on("superclass")
                # A heartbeat comes with the fifth version; before, what was begun was in nobody's hands.
                running = store.running_repeats("fake")
                assert [each.seed for each in running] == ([begun.seed] if version >= 5 else [])


def test_the_files_are_small_and_none_is_of_another_version() -> None:
    assert {path.name for path in ASSETS.glob("schema-*")} == {asset(version).name for version in VERSIONS}
    assert all(asset(version).stat().st_size < 200_000 for version in VERSIONS)


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (
            SCHEMA_VERSION + 1,
            f"has schema {SCHEMA_VERSION + 1}, this version reads up to {SCHEMA_VERSION}: upgrade",
        ),
        (0, "has schema 0, which no release wrote: restore it from a copy"),
        (-7, "has schema -7, which no release wrote: restore it from a copy"),
    ],
)
@pytest.mark.parametrize("command", ["status", "report", "run --trials 1 --data demo"])
def test_a_database_of_no_known_version_is_refused(
    version: int, said: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = unpack(SCHEMA_VERSION, tmp_path)
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE ecg_schema SET version = ?", (version,))
    assert main([*command.split(), "--storage", f"sqlite:///{file}"]) == 1
    error = capsys.readouterr().err
    assert error == f"search: {file} {said}, or choose another --storage\n"
