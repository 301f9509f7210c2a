"""The half of the database that belongs to Optuna; what we need of its inside is in this file only."""

import time
import warnings
from collections.abc import Container
from contextlib import suppress
from typing import Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages._cached_storage import _CachedStorage, _StudyInfo
from optuna.storages._rdb.models import BaseModel
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import (
    URL,
    Column,
    DateTime,
    Double,
    Enum,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    func,
    select,
)
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from storage.checked import check_when_read
from storage.connection.engine import begin_immediately, engine_arguments
from storage.errors import StorageError, StudyExistsError

DIRECTIONS: tuple[Literal["maximize"], Literal["minimize"]] = ("maximize", "minimize")
METRIC_NAMES = ("macro_auprc", "parameters")

MAX_RETRIES = 3
"""How often a trial whose worker died is queued again; an architecture that kills its worker must end."""

_N_ATTEMPTS = 10
_MAX_NAMED = 500
"""Trials that are asked for at a time: the variables of a statement are not without limit."""

# The columns of Optuna's tables that we read; of the study's attributes we also write some. They have carried
# these names since Optuna 3.0; a test compares what we read with what Optuna itself says, so that a change
# upstream is noticed.
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


def table_names() -> set[str]:
    """Every table that Optuna makes."""
    return {*BaseModel.metadata.tables, "alembic_version"}


def all_tables() -> list[Table]:
    """Every table with its columns as Optuna declares them, those first to which others refer.

    Without `alembic_version`: whoever made the tables wrote the version of his Optuna into it.
    """
    return list(BaseModel.metadata.sorted_tables)


def make_optuna_storage(url: URL, *, heartbeat_s: int, grace_s: int) -> RDBStorage:
    """Optuna's storage with heartbeat and retry, its tables created if they are not there.

    Two processes may create the tables at the same moment. Each step is a transaction and is skipped when
    already done, so the loser of the race just tries again.

    Raises:
        StorageError: the database holds tables of another version of Optuna.
    """
    for attempt in range(1, _N_ATTEMPTS + 1):
        try:
            storage = _make_optuna_storage(url, heartbeat_s, grace_s)
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

        Optuna holds it to the first trial of the study that has a parameter of that name. Anybody may have
        added that one, with any distribution, and all trials would fail.
        """
        super()._set_trial_param(trial_id, param_name, param_value_internal, distribution, distribution)

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        """Trials that run and were not heard of for the grace time, by the clock of the database.

        Every start asks twice. Optuna answers the same, from objects of all trials that run, but for a trial
        that was never heard of, whose worker died or lost the database before its first sign of life: for
        Optuna it runs for ever, here its grace time begins when it is noticed.
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


def _make_optuna_storage(url: URL, heartbeat_s: int, grace_s: int) -> RDBStorage:
    with warnings.catch_warnings():
        # Heartbeat and retry are marked experimental since Optuna 2.8; the project pins optuna>=5,<6.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _SteadyStorage(
            # Optuna formats the URL as a template ({SCHEMA_VERSION}); braces of a path are doubled.
            url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}"),
            engine_kwargs=engine_arguments(url),
            heartbeat_interval=heartbeat_s,
            grace_period=grace_s,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=MAX_RETRIES),
        )


class _FrugalStorage(_CachedStorage):
    """Optuna's cache of trials, without what a thousand workers cannot afford.

    Several times at every start Optuna reads again all trials that run, with all they have: a millisecond of
    a processor for each, while nobody else can start. What a trial is given to train it keeps, so here only
    those are read whose state is not the one known.
    """

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Those in some states, all by default; that none waits is found out at little cost."""
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


def ensure_optuna_study(storage: RDBStorage, name: str) -> optuna.Study:
    """Find or make the two-objective study; doing it twice changes nothing.

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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # set_metric_names, since Optuna 3.2
        study.set_metric_names(list(METRIC_NAMES))
    return study
