"""Optuna's side: its tables, its storage, its studies, and how one of its trials is run.

Every private name of Optuna that this program relies on (module, attribute, table, column, key of an
attribute) is in this file, and tests/storage/test_optuna_private.py asserts that each of them exists. The
package is pinned to the minor version that was tested.
"""

import time
import warnings
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages._cached_storage import _CachedStorage, _StudyInfo
from optuna.storages._heartbeat import get_heartbeat_thread
from optuna.storages._rdb.models import BaseModel
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import (
    URL,
    Column,
    ColumnElement,
    DateTime,
    Double,
    Engine,
    Enum,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    column,
    func,
    inspect,
    select,
    table,
)
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from storage.checked import check_when_read
from storage.connection.engine import begin_immediately, engine_arguments
from storage.errors import StorageError, StudyExistsError

DIRECTIONS: tuple[Literal["maximize"], Literal["minimize"]] = ("maximize", "minimize")

MAX_RETRIES = 3
"""Limit of retries of a trial whose worker died; an architecture that kills its worker must end."""

ARTIFACT = "artifacts:"
"""Beginning of the key of the system attribute that describes an artifact; the artifact id follows."""
_FIXED_PARAMS = "fixed_params"
"""System attribute of a trial: the parameters with which `enqueue_trial` queued it."""
_RETRY_HISTORY = "retry_history"
"""System attribute of a trial: numbers of the dead trials that it repeats, oldest first."""

Known = Callable[[], Collection[int]]
"""Numbers of the trials that this program has trained, as of now."""

_REVISION = "v3.2.0.a"
"""Version of the tables of the Optuna that was tested, which it writes once all of them are there."""
_alembic_version = table("alembic_version", column("version_num"))
_N_ATTEMPTS = 10
_MAX_NAMED = 500
"""Trials per query: the variables of a statement are limited."""

# The columns of Optuna's tables that we read; of the study's attributes we also write some. They have carried
# these names since Optuna 3.0; a test compares the rows read here with the objects of Optuna itself, so that
# a change upstream is noticed.
METADATA = MetaData()
studies = Table("studies", METADATA, Column("study_id", Integer), Column("study_name", String))
trials = Table(
    "trials",
    METADATA,
    Column("trial_id", Integer),
    Column("number", Integer),
    Column("study_id", Integer),
    Column("state", Enum(TrialState)),
    Column("datetime_start", DateTime),  # naive UTC
    Column("datetime_complete", DateTime),
)
trial_values = Table(
    "trial_values",
    METADATA,
    Column("trial_id", Integer),
    Column("objective", Integer),
    Column("value", Double),
)
study_system_attributes = Table(
    "study_system_attributes",
    METADATA,
    Column("study_id", Integer),
    Column("key", String),
    Column("value_json", Text),
)
trial_user_attributes = Table(
    "trial_user_attributes",
    METADATA,
    Column("trial_id", Integer),
    Column("key", String),
    Column("value_json", Text),
)
trial_system_attributes = Table(
    "trial_system_attributes",
    METADATA,
    Column("trial_id", Integer),
    Column("key", String),
    Column("value_json", Text),
)
trial_heartbeats = Table(
    "trial_heartbeats",
    METADATA,
    Column("trial_id", Integer),
    Column("heartbeat", DateTime),  # by the clock of the database
)
check_when_read(METADATA.sorted_tables)


def in_study(name: str) -> ColumnElement[bool]:
    """Whether a row of `trials` belongs to the study of that name."""
    return (
        trials.c.study_id == select(studies.c.study_id).where(studies.c.study_name == name).scalar_subquery()
    )


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silence Optuna on features that it calls experimental: the package is pinned to the version tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        # A heartbeat is kept here by `run_trial` instead of `Study.optimize`.
        warnings.filterwarnings("ignore", "Heartbeat of storage is supposed to be used", UserWarning)
        yield


def table_names() -> set[str]:
    """Every table that Optuna makes."""
    return {*BaseModel.metadata.tables, _alembic_version.name}


def all_tables() -> list[Table]:
    """Every table with its columns as Optuna declares them, those first to which others refer.

    Without `alembic_version`: the Optuna that made the tables wrote its version into it.
    """
    return list(BaseModel.metadata.sorted_tables)


def make_optuna_storage(url: URL, engine: Engine, *, heartbeat_s: int, grace_s: int) -> RDBStorage:
    """Optuna's storage with heartbeat and retry, its tables created if they are not there.

    Two processes may create the tables at the same moment. Each step is a transaction and is skipped when
    already done, so the loser of the race just tries again.

    Args:
        url: of the database.
        engine: another one, for looking what is there.
        heartbeat_s: seconds between two signs of life of a running trial.
        grace_s: seconds without a sign of life after which a trial is queued again.

    Raises:
        StorageError: the database holds tables of another version of Optuna.
    """
    for attempt in range(1, _N_ATTEMPTS + 1):
        try:
            storage = _make_optuna_storage(url, engine, heartbeat_s, grace_s)
            begin_immediately(storage.engine)
            return storage
        except (StorageInternalError, OperationalError, ProgrammingError, IntegrityError):
            if attempt == _N_ATTEMPTS:
                raise
            time.sleep(0.1 * attempt)
        except RuntimeError as error:
            # Optuna's text says which version made the database and how to upgrade it.
            raise StorageError(f"Optuna cannot use this database: {error}") from error
    raise AssertionError("the last attempt returns or raises")


class _SteadyStorage(RDBStorage):
    """Optuna's storage, with a heartbeat that survives a database which is locked, full or away."""

    def record_heartbeat(self, trial_id: int) -> None:
        """A sign of life; one that cannot be written is missed, and the next may succeed."""
        with suppress(StorageInternalError, StorageError):
            super().record_heartbeat(trial_id)

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:
        """Keep a parameter of a trial.

        Optuna holds it to the first trial of the study that has a parameter of that name. Other
        programs may have added it with another distribution, and every trial would then fail.
        """
        super()._set_trial_param(trial_id, param_name, param_value_internal, distribution, distribution)

    def _get_trials(self, *arguments: Any, **named: Any) -> list[FrozenTrial]:
        """Trials in some states.

        Raises:
            StorageError: Optuna cannot make a trial of what its tables hold.
        """
        try:
            return super()._get_trials(*arguments, **named)
        except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
            said = " ".join(str(error).split()) or "a value is missing"
            raise StorageError(
                f"the database is damaged (Optuna cannot read its trials: {said[:100]}): restore it from a "
                "copy, or choose another --storage"
            ) from error

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        """Running trials without a heartbeat for the grace time, by the clock of the database.

        Called twice at every start of a trial. Optuna's own method builds objects of all running trials for
        the same result, except for a trial without any heartbeat, whose worker died or lost the database
        before the first one: with Optuna it runs for ever, here its grace time begins when it is noticed.
        """
        running = (
            select(trials.c.trial_id, trial_heartbeats.c.heartbeat)
            .outerjoin(trial_heartbeats, trial_heartbeats.c.trial_id == trials.c.trial_id)
            .where(trials.c.study_id == study_id, trials.c.state == TrialState.RUNNING)
        )
        with self.engine.connect() as connection:
            now = connection.execute(select(func.now())).scalar_one().replace(tzinfo=None)
            heard_of = connection.execute(running).all()
        for trial_id, heartbeat in heard_of:
            if heartbeat is None:
                self.record_heartbeat(trial_id)
        return [
            trial_id
            for trial_id, heartbeat in heard_of
            if heartbeat is not None and (now - heartbeat).total_seconds() > (self.grace_period or 0)
        ]


def _make_optuna_storage(url: URL, engine: Engine, heartbeat_s: int, grace_s: int) -> RDBStorage:
    # Optuna looks for every table, and runs every migration script that it ever had to name the latest one.
    is_whole = _has_tables_of_this_version(engine)
    with without_warnings():  # heartbeat and retry, experimental since Optuna 2.8
        return _SteadyStorage(
            # Optuna formats the URL as a template ({SCHEMA_VERSION}); braces of a path are doubled.
            url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}"),
            engine_kwargs=engine_arguments(url),
            skip_compatibility_check=is_whole,
            skip_table_creation=is_whole,
            heartbeat_interval=heartbeat_s,
            grace_period=grace_s,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=MAX_RETRIES),
        )


def _has_tables_of_this_version(engine: Engine) -> bool:
    with engine.connect() as connection:
        if not inspect(connection).has_table(_alembic_version.name):
            return False
        return connection.execute(select(_alembic_version.c.version_num)).scalars().all() == [_REVISION]


class _FrugalStorage(_CachedStorage):
    """Optuna's cache of trials, cheap enough for a thousand workers.

    Several times at every start Optuna reads again all trials that run, with all they have: a millisecond of
    a processor for each, while no other worker can start. Parameters of a trial in training do not change, so
    only trials whose state has changed are read here.
    """

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Trials in some states, all by default; an empty queue is found out at little cost."""
        if states == (TrialState.WAITING,) and not self._backend.get_all_trials(
            study_id, deepcopy=False, states=states
        ):
            return []
        return super().get_all_trials(study_id, deepcopy=deepcopy, states=states)

    def _read_trials_from_remote_storage(self, study_id: int) -> None:
        present = select(trials.c.trial_id, trials.c.state).where(trials.c.study_id == study_id)
        with self._lock:
            study = self._studies.setdefault(study_id, _StudyInfo())
            known = {trial._trial_id: trial for trial in study.trials.values()}
            with self._backend.engine.connect() as connection:
                found = connection.execute(present).all()
            news = sorted(trial_id for trial_id, state in found if not _is_known(known.get(trial_id), state))
            for first in range(0, len(news), _MAX_NAMED):
                named = set(news[first : first + _MAX_NAMED])
                read = self._backend._get_trials(study_id, None, named, news[-1])
                self._add_trials_to_cache(study_id, read)


def _is_known(trial: FrozenTrial | None, state: TrialState) -> bool:
    """Whether a trial in this state need not be read; one that runs may yet be given parameters."""
    if trial is None or trial.state is not state:
        return False
    return state is not TrialState.RUNNING or bool(trial.params)


def load_optuna_study(storage: RDBStorage, name: str, sampler: BaseSampler | None = None) -> optuna.Study:
    """A study as Optuna sees it, for asking, telling and queuing."""
    return optuna.load_study(study_name=name, storage=_FrugalStorage(storage), sampler=sampler)


def ensure_optuna_study(
    storage: RDBStorage, name: str, cost_name: str, *, score_name: str = "macro_auprc"
) -> optuna.Study:
    """Find or make the two-objective study; doing it twice changes nothing.

    Args:
        storage: Optuna's.
        name: of the study.
        cost_name: of the second objective.
        score_name: of the first one.

    Raises:
        StudyExistsError: a study of that name has other objectives.
    """
    study = optuna.create_study(
        study_name=name, storage=storage, directions=list(DIRECTIONS), load_if_exists=True
    )
    found = [direction.name.lower() for direction in study.directions]
    if found != list(DIRECTIONS):
        raise StudyExistsError(
            f"the database holds an Optuna study {name} with objectives {found}, not made by this program: "
            "choose another --study"
        )
    with without_warnings():  # set_metric_names, experimental since Optuna 3.2
        study.set_metric_names([score_name, cost_name])
    return study


class KnownTrials(optuna.Study):
    """A study without the results that other programs have added, for a sampler.

    Args:
        study: as Optuna has it.
        known: returns the numbers of the trials that this program has trained.
    """

    def __init__(self, study: optuna.Study, known: Known) -> None:
        self.__dict__.update(study.__dict__)  # one study, seen through this
        self._known = known

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy, states, use_cache)
        known = self._known()
        return [trial for trial in trials if not trial.state.is_finished() or trial.number in known]


def fixed_params(trial: FrozenTrial) -> Any:
    """The parameters with which `enqueue_trial` queued a trial; None for a trial that was not queued.

    A mapping, unless another program wrote something else.
    """
    return trial.system_attrs.get(_FIXED_PARAMS)


def retry_history(trial: FrozenTrial) -> list[int] | None:
    """Numbers of the dead trials that Optuna's retry callback repeats as this one, oldest first, or None."""
    history: list[int] | None = trial.system_attrs.get(_RETRY_HISTORY)
    return history


def is_retry_history(key: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a row of `trial_system_attributes` holds what `retry_history` returns."""
    return key == _RETRY_HISTORY


def stored_trial(trial: optuna.Trial) -> FrozenTrial:
    """A running trial as the storage has it, with the parameters it was queued with."""
    return trial.storage.get_trial(trial._trial_id)


def fail_stale_trials(study: optuna.Study) -> None:
    """Fail the trials whose worker fell silent; their retry callback queues them again."""
    with without_warnings():
        optuna.storages.fail_stale_trials(study)


def run_trial(
    study: optuna.Study,
    objective: Callable[[optuna.Trial], tuple[TrialState, Sequence[float] | None]],
) -> FrozenTrial | None:
    """Run one trial with a heartbeat, by ask and tell.

    Replaces `Study.optimize(n_trials=1)`, which raises a NameError or an AssertionError of its own and hides
    the cause when it cannot store the end of the trial.

    Args:
        study: source of the trial.
        objective: returns how the trial ended and, if it is complete, its values.

    Returns:
        The trial as it ended; None where another worker had taken it for dead and failed it.

    Raises:
        Exception: what the sampler, the objective or the storage raises; the trial has failed then.
    """
    try:
        fail_stale_trials(study)
        with without_warnings():
            trial = study.ask()
        values: Sequence[float] | None = None
        error: Exception | KeyboardInterrupt | None = None
        with get_heartbeat_thread(trial._trial_id, study._storage):
            try:
                state, values = objective(trial)
            except (Exception, KeyboardInterrupt) as raised:
                state, error = TrialState.FAIL, raised
        ended = _tell(study, trial, values, state)
        if error is not None:
            raise error
        return ended
    finally:
        study._storage.remove_session()  # of this thread, which no other may close


def _tell(
    study: optuna.Study, trial: optuna.Trial, values: Sequence[float] | None, state: TrialState
) -> FrozenTrial | None:
    try:
        return study.tell(trial, values, state)
    except (ValueError, UpdateFinishedTrialError):
        if stored_trial(trial).state.is_finished():
            return None
        raise
