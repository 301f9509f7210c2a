"""The private names of Optuna on which storage/optuna_side.py relies, and how it runs a trial."""

import ast
import inspect
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback, _heartbeat
from optuna.storages._cached_storage import _CachedStorage, _StudyInfo
from optuna.storages._rdb.models import BaseModel
from optuna.trial import TrialState
from packaging.requirements import Requirement

from storage import optuna_side

REPOSITORY = Path(__file__).resolve().parents[2]
TESTED = {
    "_CachedStorage",
    "_StudyInfo",
    "_add_trials_to_cache",
    "_backend",
    "_get_stale_trial_ids",
    "_get_trials",
    "_lock",
    "_read_trials_from_remote_storage",
    "_set_trial_param",
    "_storage",
    "_studies",
    "_trial_id",
}
"""Names whose existence the tests below assert; an import of a private module asserts its own."""


@pytest.fixture
def rdb(tmp_path: Path) -> Iterator[RDBStorage]:
    with optuna_side.without_warnings():
        made = RDBStorage(
            f"sqlite:///{tmp_path}/optuna.db",
            heartbeat_interval=60,
            grace_period=120,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=3),
        )
    yield made
    made.remove_session()
    made.engine.dispose()


@pytest.fixture
def study(rdb: RDBStorage) -> optuna.Study:
    return optuna.create_study(storage=_CachedStorage(rdb), directions=["maximize", "minimize"])


def ask(study: optuna.Study) -> optuna.Trial:
    with optuna_side.without_warnings():
        return study.ask()


def parameters(function: object) -> list[str]:
    assert callable(function)
    return list(inspect.signature(function).parameters)


def test_every_private_name_in_use_is_tested() -> None:
    tree = ast.parse((REPOSITORY / "storage" / "optuna_side.py").read_text(encoding="utf-8"))
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)} - {
        "_set_trial_param",
        "_get_stale_trial_ids",
        "_read_trials_from_remote_storage",
        "_get_trials",
    }
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            used |= {name.name for name in node.names}
    private = {name for name in used if name.startswith("_") and not name.startswith("__")}
    assert private - own - {"_known"} == TESTED


def test_optuna_is_pinned_to_the_minor_version_that_is_tested() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (pin,) = [each for each in map(Requirement, project["dependencies"]) if each.name == "optuna"]
    assert pin.specifier.contains(optuna.__version__)
    major, minor = map(int, optuna.__version__.split(".")[:2])
    assert not pin.specifier.contains(f"{major}.{minor + 1}.0")


def test_methods_overridden_or_called_take_what_is_given_to_them() -> None:
    assert parameters(RDBStorage._set_trial_param) == [
        "self",
        "trial_id",
        "param_name",
        "param_value_internal",
        "distribution",
        "previous_distribution",
    ]
    assert parameters(RDBStorage._get_stale_trial_ids) == ["self", "study_id"]
    assert len(parameters(RDBStorage._get_trials)) == 5
    assert parameters(_CachedStorage._read_trials_from_remote_storage) == ["self", "study_id"]
    assert parameters(_CachedStorage._add_trials_to_cache) == ["self", "study_id", "trials"]
    assert parameters(optuna.Study._get_trials) == ["self", "deepcopy", "states", "use_cache"]
    assert parameters(_heartbeat.get_heartbeat_thread) == ["trial_id", "storage"]


def test_objects_have_the_attributes_that_are_read(rdb: RDBStorage, study: optuna.Study) -> None:
    trial = ask(study)
    assert study._storage._backend is rdb  # type: ignore[attr-defined]
    assert isinstance(study._storage._lock, type(threading.Lock()))  # type: ignore[attr-defined]
    assert study._storage._studies == {study._study_id: study._storage._studies[study._study_id]}  # type: ignore[attr-defined]
    assert _StudyInfo().trials == {}
    assert study.trials[0]._trial_id == trial._trial_id


def test_the_cache_reads_trials_by_the_method_that_is_replaced(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(
        _CachedStorage, "_read_trials_from_remote_storage", lambda _, study: asked.append(study)
    )
    study.get_trials()
    assert asked == [study._study_id]


def test_tables_have_the_columns_that_are_read() -> None:
    for table in optuna_side.METADATA.sorted_tables:
        assert set(table.columns.keys()) <= set(BaseModel.metadata.tables[table.name].columns.keys())


def test_tables_that_optuna_has_just_made_are_of_the_version_that_is_tested(rdb: RDBStorage) -> None:
    assert rdb.get_head_version() == optuna_side._REVISION  # Private: no public constant tells it
    assert optuna_side._has_tables_of_this_version(rdb.engine)
    with rdb.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v99.0.0'")
    assert not optuna_side._has_tables_of_this_version(rdb.engine)


def test_a_queued_trial_says_with_which_parameters(study: optuna.Study) -> None:
    study.enqueue_trial({"depth": 2})
    (waiting,) = study.trials
    assert optuna_side.fixed_params(waiting) == {"depth": 2}
    assert optuna_side.retry_history(waiting) is None
    assert optuna_side.fixed_params(optuna_side.stored_trial(ask(study))) == {"depth": 2}


def test_a_trial_queued_by_the_retry_callback_says_after_which(rdb: RDBStorage, study: optuna.Study) -> None:
    trial = ask(study)
    retry = rdb.get_heartbeat_stale_trial_callback()
    assert retry is not None
    retry(study, study.trials[trial.number])
    assert optuna_side.retry_history(study.trials[1]) == [trial.number]
    assert optuna_side.fixed_params(study.trials[1]) is None


def test_an_artifact_is_described_under_its_id(rdb: RDBStorage, study: optuna.Study, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text("page", encoding="utf-8")
    folder = FileSystemArtifactStore(base_path=tmp_path)
    artifact = upload_artifact(artifact_store=folder, file_path=str(file), study_or_trial=study)
    assert optuna_side.ARTIFACT + artifact in rdb.get_study_system_attrs(study._study_id)


# Running a trial by ask and tell


def run(study: optuna.Study, objective: object) -> optuna.trial.FrozenTrial | None:
    assert callable(objective)
    return optuna_side.run_trial(study, objective)


def raising(error: BaseException) -> object:
    def objective(trial: optuna.Trial) -> object:
        raise error

    return objective


ENDS = (
    (TrialState.COMPLETE, (0.5, 7)),
    (TrialState.PRUNED, None),
    (TrialState.FAIL, None),
)


@pytest.mark.parametrize(("state", "values"), ENDS)
def test_a_trial_ends_as_its_objective_says(
    study: optuna.Study, state: TrialState, values: tuple[float, float] | None
) -> None:
    ended = run(study, lambda trial: (state, values))
    assert ended is not None
    assert (ended.state, ended.values) == (state, values and list(values))


@pytest.mark.parametrize("error", [NameError("typo"), ValueError("wrong"), KeyboardInterrupt()])
def test_a_mistake_of_the_objective_is_raised_after_the_trial_has_failed(
    study: optuna.Study, error: BaseException
) -> None:
    with pytest.raises(type(error)) as caught:
        run(study, raising(error))
    assert caught.value is error
    assert study.trials[0].state.name == "FAIL"


@pytest.mark.parametrize("end", ENDS)
def test_a_trial_that_another_worker_has_failed_is_none_of_ours(study: optuna.Study, end: object) -> None:
    def objective(trial: optuna.Trial) -> object:
        study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        return end

    assert run(study, objective) is None


def test_a_mistake_is_raised_even_if_another_worker_has_failed_the_trial(study: optuna.Study) -> None:
    def objective(trial: optuna.Trial) -> object:
        study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        raise NameError("typo")

    with pytest.raises(NameError, match="typo"):
        run(study, objective)


def test_a_storage_that_fails_at_the_end_says_so_itself(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def objective(trial: optuna.Trial) -> object:
        def away(*_: object) -> None:
            raise optuna.exceptions.StorageInternalError("away")

        monkeypatch.setattr(study._storage, "set_trial_state_values", away)
        return TrialState.COMPLETE, (0.5, 7)

    with pytest.raises(optuna.exceptions.StorageInternalError, match="away"):
        run(study, objective)
