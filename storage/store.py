"""The store: the one class through which the program uses the database, with its SQL.

Longer queries over Optuna's tables and ours are functions of a session: reserving an architecture in
`storage.rows.trials`, the lists of trials in `storage.rows.overview` and `storage.rows.finished`, what
optuna-dashboard shows in `storage.rows.dashboard`.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from itertools import groupby
from math import isnan
from pathlib import Path
from typing import Self

import optuna
from optuna.artifacts import FileSystemArtifactStore
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from sqlalchemy import URL, Engine, delete, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage import optuna_side
from storage.connection.engine import explained, make_engine, parse_url, reading, shortened, sqlite_file
from storage.connection.lock import Purpose, held
from storage.connection.passwords import without_password
from storage.connection.reconnection import RECONNECT_S, Reconnection, repeatable
from storage.errors import (
    DamagedDatabaseError,
    StorageError,
    StudyExistsError,
    UnknownEvaluationError,
    UnknownStudyError,
)
from storage.optuna_side import ensure_optuna_study, load_optuna_study, make_optuna_storage
from storage.records import (
    PARAMETERS,
    DecisionRecord,
    EpochRecord,
    EvaluatedModel,
    Evaluation,
    FailureRecord,
    FinishedRecord,
    FoldRecord,
    GainRecord,
    RepeatFoldRecord,
    RepeatRecord,
    RunningRepeatRecord,
    SealedFoldOpeningRecord,
    StudyRecord,
    TierScores,
    TrialRecord,
    TrialState,
    UnfinishedRecord,
    WorkerRecord,
    score_metric,
    version_words,
)
from storage.rows import creation, dashboard, finished, overview, repeats, trials
from storage.rows.damaged_cells import with_row
from storage.rows.dashboard import DashboardContent, LastUpdate
from storage.rows.schema import (
    SCHEMA_VERSION,
    SUMMARY,
    ClassScore,
    Decision,
    Epoch,
    EvaluatedEpoch,
    EvaluatedModelRow,
    EvaluationRow,
    Failure,
    Fold,
    Opening,
    Repeat,
    RepeatFold,
    Score,
    Study,
    Trial,
    Worker,
    record_of,
    values_of,
)

DEFAULT_URL = "sqlite:///runs/search.db"

_N_SHOWN = 12
"""Ids of a list before it is cut."""

_OPTUNA_HAS_IT = exists().where(optuna_side.studies.c.study_name == Study.name)
"""A study deleted in optuna-dashboard is gone for us too, although our rows are still there."""


def utc_now() -> datetime:
    """The clock of a store, unless a test brings its own."""
    return datetime.now(UTC)


def displayed(url: URL) -> str:
    """Name of a database in messages: a path where there is one, never a password."""
    file = sqlite_file(url)
    if file is None:
        return shortened(without_password(url.render_as_string()))
    here = Path.cwd()
    return shortened(str(file.relative_to(here) if file.is_relative_to(here) else file))


def open_store(
    url: str = DEFAULT_URL,
    *,
    create: bool = True,
    artifacts: Path | None = None,
    heartbeat_s: int = 20,
    grace_s: int = 90,
    reconnect_s: float = RECONNECT_S,
    clock: Callable[[], datetime] = utc_now,
) -> "Store":
    """Open the database, and make it where there is none.

    Args:
        url: `sqlite:///PATH` or `postgresql+psycopg://…`.
        create: make the database, its folder and its tables; otherwise they must be there.
        artifacts: folder of predictions and weights; by default `artifacts` beside the SQLite file, and
            `runs/artifacts` with PostgreSQL.
        heartbeat_s: seconds between two signs of life of a running trial.
        grace_s: seconds without a sign of life after which a trial is queued again.
        reconnect_s: how long a server may be away after it was reached once; see
            `storage.connection.reconnection`.
        clock: the present time, aware.

    Raises:
        SchemaVersionError: a newer version of this program wrote the database, or none did.
        StorageError: no such database, not a database, no permission, unsupported URL.
    """
    parsed = parse_url(url)
    file = sqlite_file(parsed)
    name = displayed(parsed)
    if artifacts is None:
        artifacts = (file.parent if file else Path("runs").absolute()) / "artifacts"
    engine = make_engine(parsed)
    store = Store(
        parsed,
        engine,
        artifacts=artifacts,
        heartbeat_s=heartbeat_s,
        grace_s=grace_s,
        reconnect_s=reconnect_s,
        clock=clock,
    )
    try:
        with explained(name):
            version = creation.check(engine, file, name, create=create)
            if create:
                artifacts.mkdir(parents=True, exist_ok=True)
                _ = store.optuna_storage  # makes Optuna's tables; ours come last and make the database ours
            if version != SCHEMA_VERSION:
                creation.create_tables(engine)
    except StorageError:
        store.close()
        raise
    store.reconnection.is_awake = True
    return store


class Store:
    """Persistent state of searches: Optuna's studies and our tables side by side in one database.

    Writers: any number of processes, on any number of machines with PostgreSQL and on one with SQLite
    (never a network file system). Every method is one transaction: it happens wholly or not at all, and
    the result stays after a killed process. Methods whose name begins with `add_`, `claim`,
    `put_down`, `touch` and `show` write; all others read one consistent state and never wait for a writer.

    Immutable: a study except for the time it was last touched; all of a complete trial, and of a pruned
    one unless it is thawed; workers, decisions, failures, openings and evaluations once added. While a trial
    runs, adding an epoch or a fold again replaces it, since a continued trial repeats the unfinished fold of
    its predecessor.

    Owner of a trial: the process that called `claim` for it. When the trial is continued under another number
    because its process was taken for dead, the former owner's next write raises `TakenOverError`. So it is
    with a repeat, whose owner is the worker that called `add_repeat` last.

    An architecture has at most one row in a study. A trial's row id stays; its number is that of the Optuna
    trial that trains it now. Optuna's own tables are written by Optuna only, through `optuna_storage`, except
    for the attributes of optuna-dashboard (`storage.rows.dashboard`).
    A study deleted in optuna-dashboard is gone here as well.

    Every `add_` method of a trial raises `UnknownTrialError` for a row id that is not there,
    `FinishedTrialError` for a complete or pruned trial, and `TakenOverError` when this process claimed the
    trial and lost it.

    Numbers may be NaN (undefined) and come back as NaN. Times are aware, in UTC.

    Every method raises `StorageError` when the database cannot be read or written, in one line and without a
    password, and `UnknownStudyError` or `UnknownTrialError` for a name or row id that is not there.
    Not safe to share between processes; each opens its own. Threads may share one.
    """

    def __init__(
        self,
        url: URL,
        engine: Engine,
        *,
        artifacts: Path,
        heartbeat_s: int,
        grace_s: int,
        reconnect_s: float,
        clock: Callable[[], datetime],
    ) -> None:
        self._url = url
        self.name = displayed(url)
        """Name of the database in messages: a path where there is one, never a password."""
        self._engine = engine
        self._reading = reading(engine)
        self.heartbeat_s = heartbeat_s
        """Seconds between two signs of life."""
        self.grace_s = grace_s
        """Seconds without a sign of life after which a trial is queued again."""
        self._clock = clock
        self.reconnection = Reconnection(self.name, reconnect_s)
        self.reconnection.watch(engine)
        self._claimed: dict[int, int] = {}
        self._begun: dict[int, int] = {}
        """Row id of a repeat to that of the worker for which it was begun here."""
        self.artifacts_folder = artifacts
        self.artifact_store = FileSystemArtifactStore(base_path=artifacts)

    @property
    def checkpoints_folder(self) -> Path:
        """Folder of the checkpoints of trials in progress, beside the artifacts."""
        return self.artifacts_folder.parent / "checkpoints"

    @property
    def url_without_password(self) -> str:
        """URL of the database, fit for a log."""
        return without_password(self._url.render_as_string())

    @property
    def url(self) -> str:
        """URL of the database with its password, for programs that open it themselves; not for a log."""
        return self._url.render_as_string(hide_password=False)

    @cached_property
    def optuna_storage(self) -> RDBStorage:
        """Optuna's view of the database. Its errors become ours within `explained`."""
        with explained(self.name):
            made = make_optuna_storage(
                self._url, self._reading, heartbeat_s=self.heartbeat_s, grace_s=self.grace_s
            )
            self.reconnection.watch(made.engine)
            return made

    def optuna_study(self, name: str, sampler: BaseSampler | None = None) -> optuna.Study:
        """The study of Optuna, for `ask`, `tell` and `enqueue_trial`.

        Args:
            name: name of the study.
            sampler: source of proposals; None for Optuna's own.
        """
        return load_optuna_study(self.optuna_storage, name, sampler)

    def explained(self) -> AbstractContextManager[None]:
        """Context in which errors of Optuna's storage and of the database become `StorageError`."""
        return explained(self.name)

    @contextmanager
    def start_lock(self, study: str) -> Iterator[None]:
        """Lock of the one worker that is choosing the next architecture; see `storage.connection.lock`.

        Raises:
            StorageError: the lock cannot be made, as in a folder that is read-only.
        """
        with self._lock("start", study):
            yield

    @contextmanager
    def dashboard_lock(self, study: str, *, wait: bool) -> Iterator[bool]:
        """Lock of the one worker that updates the dashboard; yields whether it is held.

        Raises:
            StorageError: the lock cannot be made, as in a folder that is read-only.
        """
        with self._lock("dashboard", study, wait=wait) as is_held:
            yield is_held

    @contextmanager
    def _lock(self, purpose: Purpose, study: str, *, wait: bool = True) -> Iterator[bool]:
        with ExitStack() as locks:
            with self.explained():  # errors raised under the lock are left as they are
                is_held = locks.enter_context(held(self._engine, purpose, study, wait=wait))
            yield is_held

    def __enter__(self) -> Self:
        """The store, which is closed in the end."""
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back; the store cannot be used afterwards.

        The last one to close a SQLite database leaves everything in its one file.
        """
        optuna_storage = self.__dict__.pop("optuna_storage", None)
        if optuna_storage is not None:
            optuna_storage.remove_session()
            optuna_storage.engine.dispose()
        self._engine.dispose()

    def _write(self) -> AbstractContextManager[Session]:
        return self._transaction(self._engine)

    def _read(self) -> AbstractContextManager[Session]:
        return self._transaction(self._reading)

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Session]:
        with explained(self.name):
            try:
                with Session(engine) as session, session.begin():
                    yield session
            except DamagedDatabaseError as error:
                with self._reading.connect() as connection:
                    raise with_row(connection, error) from None

    @contextmanager
    def _read_study(self, name: str) -> Iterator[tuple[Session, Study]]:
        with self._read() as session:
            yield session, self._find_study(session, name)

    @contextmanager
    def _read_trial(self, trial_id: int) -> Iterator[Session]:
        with self._read() as session:
            trials.check_known(session, trial_id)
            yield session

    @contextmanager
    def _write_trial(self, trial_id: int) -> Iterator[tuple[Session, Trial]]:
        with self._write() as session:
            trial = trials.owned(session, trial_id, self._claimed.get(trial_id))
            trials.check_unfinished(session, trial)
            yield session, trial

    # Studies

    def add_study(self, study: StudyRecord, *, cost_name: str = PARAMETERS) -> None:
        """Make a study: Optuna's, with both objectives named, and our row.

        `cost_name` is that of the second objective in optuna-dashboard, with its unit.

        The row comes last and makes the study exist: killed before, nothing is there and the same call
        starts over. Of two processes that add the same name at once one raises.

        Raises:
            StudyExistsError: there is a study of that name.
        """
        with explained(self.name):
            with self._write() as session:
                # A study deleted in optuna-dashboard leaves its name free again.
                session.execute(delete(Study).where(Study.name == study.name, ~_OPTUNA_HAS_IT))
            optuna_study = ensure_optuna_study(
                self.optuna_storage, study.name, cost_name, score_name=score_metric(study.settings)
            )
            with self._write() as session:
                is_new = self._insert_study(session, study)
            # For the dashboard. The loser of a race writes what the winner stored, should that one be killed.
            stored = self.study(study.name)
            optuna_study.set_user_attr("target", stored.target)
            optuna_study.set_user_attr("data", f"{stored.data_name}{version_words(stored.data_version)}")
            optuna_study.set_user_attr("synthetic", stored.synthetic)
        if not is_new:
            raise StudyExistsError(f"study {study.name} exists: continue it, or choose another --study")

    def study(self, name: str) -> StudyRecord:
        """The study of that name.

        Raises:
            UnknownStudyError: there is none; the message lists those there are.
        """
        with self._read_study(name) as (_, row):
            return _study_record(row)

    def studies(self) -> list[StudyRecord]:
        """All studies, last touched first."""
        query = select(Study).where(_OPTUNA_HAS_IT).order_by(Study.touched_at.desc(), Study.id.desc())
        with self._read() as session:
            return [_study_record(row) for row in session.scalars(query)]

    def last_study(self) -> StudyRecord:
        """The study touched last.

        Raises:
            UnknownStudyError: there is no study yet.
        """
        known = self.studies()
        if not known:
            raise UnknownStudyError(f"{self.name} holds no study: run `python -m search run` first")
        return known[0]

    def study_or_last(self, name: str | None) -> StudyRecord:
        """The study of that name, or without a name the one touched last.

        Raises:
            UnknownStudyError: there is no such study, or none at all.
        """
        return self.study(name) if name else self.last_study()

    def touch(self, name: str) -> None:
        """Make this the study that commands without --study take."""
        with self._write() as session:
            self._find_study(session, name).touched_at = self._clock()

    def _insert_study(self, session: Session, study: StudyRecord) -> bool:
        """Write the row that makes the study exist; False when there is one of that name."""
        if session.scalar(select(Study.id).where(Study.name == study.name)) is not None:
            return False
        now = self._clock()
        written = {
            "skipped_records": [dict(skipped) for skipped in study.skipped_records],
            "created_at": study.created_at or now,
            "touched_at": study.touched_at or now,
        }
        try:
            with session.begin_nested():
                session.add(Study(**values_of(study) | written))
        except IntegrityError:  # on a server, another process has added it since the question
            return False
        return True

    def _find_study(self, session: Session, name: str) -> Study:
        row = session.scalar(select(Study).where(Study.name == name, _OPTUNA_HAS_IT))
        if row is None:
            query = select(Study.name).where(_OPTUNA_HAS_IT)
            known = ", ".join(session.scalars(query.order_by(Study.touched_at.desc(), Study.id.desc())))
            hint = f"known are {known}" if known else "there is none yet: run `python -m search run` first"
            raise UnknownStudyError(f"no study {shortened(name)}: {hint}")
        return row

    # Workers, and openings of the sealed fold

    def add_worker(self, study: str, worker: WorkerRecord) -> int:
        """Write down a process that trains trials of the study; return its row id for `claim`."""
        with self._write() as session:
            row = Worker(study_id=self._find_study(session, study).id, at=self._clock(), **values_of(worker))
            session.add(row)
            session.flush()
            return row.id

    def workers(self, study: str) -> list[WorkerRecord]:
        """The processes that trained trials of the study, oldest first."""
        with self._read_study(study) as (session, found):
            query = select(Worker).where(Worker.study_id == found.id).order_by(Worker.id)
            return [record_of(WorkerRecord, row) for row in session.scalars(query)]

    def add_sealed_fold_opening(self, opening: SealedFoldOpeningRecord) -> int:
        """Log that the sealed fold is being opened; the row id is for `add_sealed_fold_metrics`."""
        with self._write() as session:
            row = Opening(**values_of(opening) | {"at": opening.at or self._clock()})
            session.add(row)
            session.flush()
            return row.id

    def add_sealed_fold_metrics(self, opening_id: int, metrics: Mapping[str, float]) -> None:
        """Add what was found to an opening."""
        with self._write() as session:
            session.execute(update(Opening).where(Opening.id == opening_id).values(metrics=dict(metrics)))

    def sealed_fold_openings(self, study: str | None = None) -> list[SealedFoldOpeningRecord]:
        """Openings of the sealed fold, oldest first; of one study, those for others of the same data too."""
        query = select(Opening).order_by(Opening.id)
        if study is not None:
            same_data = select(Study.data_fingerprint).where(Study.name == study)
            query = query.where(or_(Opening.study == study, Opening.data_fingerprint.in_(same_data)))
        with self._read() as session:
            return [record_of(SealedFoldOpeningRecord, row) for row in session.scalars(query)]

    # Evaluations

    def add_evaluation(self, evaluation: Evaluation) -> int:
        """Keep an evaluation with its models and their curves, wholly or not at all; return its id."""
        with self._write() as session:
            study_id = self._find_study(session, evaluation.study).id
            values = values_of(evaluation, leave_out=("id", "study", "models"))
            row = EvaluationRow(study_id=study_id, **values | {"at": evaluation.at or self._clock()})
            session.add(row)
            session.flush()
            for position, model in enumerate(evaluation.models):
                place = {"evaluation_id": row.id, "position": position}
                session.add(EvaluatedModelRow(**place, **values_of(model, leave_out=("curve",))))
                session.flush()  # its epochs refer to it
                session.add_all(EvaluatedEpoch(**place, **values_of(epoch)) for epoch in model.curve)
            return row.id

    def evaluations(self, study: str) -> list[Evaluation]:
        """The evaluations of a study, oldest first."""
        with self._read_study(study) as (session, found):
            query = select(EvaluationRow).where(EvaluationRow.study_id == found.id)
            rows = session.scalars(query.order_by(EvaluationRow.id)).all()
            return [_evaluation(session, study, row) for row in rows]

    def evaluation(self, evaluation_id: int) -> Evaluation:
        """The evaluation of that id, of whichever study.

        Raises:
            UnknownEvaluationError: there is none; the message lists those there are.
        """
        query = select(EvaluationRow, Study.name).join(Study, Study.id == EvaluationRow.study_id)
        with self._read() as session:
            found = session.execute(
                query.where(EvaluationRow.id == evaluation_id, _OPTUNA_HAS_IT)
            ).one_or_none()
            if found is None:
                known = session.scalars(
                    select(EvaluationRow.id)
                    .join(Study, Study.id == EvaluationRow.study_id)
                    .where(_OPTUNA_HAS_IT)
                    .order_by(EvaluationRow.id)
                ).all()
                listed = ", ".join(map(str, known[-_N_SHOWN:]))
                hint = f"known are {listed}" if known else "run `python -m search evaluate` first"
                raise UnknownEvaluationError(f"{self.name} has no evaluation {evaluation_id}: {hint}")
            row, study = found
            return _evaluation(session, study, row)

    # Trials

    @repeatable
    def claim(
        self, study: str, claim: trials.Claim, *, previous: Collection[int] = (), thaw: bool = False
    ) -> int | None:
        """Reserve an architecture for a trial; the same call again changes nothing.

        Args:
            study: name of the study.
            claim: the trial and its architecture.
            previous: numbers of trials that this one continues; a row of theirs is taken over with its
                folds and its curve.
            thaw: whether a pruned trial may be continued.

        Returns:
            The row id, or None when another trial has the architecture.

        Raises:
            StorageError: the trial has reserved another architecture.
        """
        with self._write() as session:
            study_id = self._find_study(session, study).id
            trial_id = trials.reserve(session, study_id, claim, previous, self._clock(), thaw=thaw)
        if trial_id is not None:
            self._claimed[trial_id] = claim.number
        return trial_id

    def previous_attempts(self, study: str, number: int) -> list[int]:
        """Numbers of the dead trials that Optuna's trial continues, oldest first; `previous` for `claim`."""
        with self._read_study(study) as (session, found):
            return trials.retry_histories(session, found).get(number, [])

    def tried(self, study: str) -> dict[str, int]:
        """Architecture hash to the number of the trial that has it."""
        with self._read_study(study) as (session, found):
            return trials.tried(session, found.id)

    def trials(self, study: str) -> list[TrialRecord]:
        """All trials that have an architecture, by number; in a fixed number of queries."""
        with self._read_study(study) as (session, found):
            return overview.list_trials(session, found)

    def counts(self, study: str) -> dict[TrialState, int]:
        """Trials by state, every state present.

        Waiting and running trials that have no architecture yet are counted too. A trial that was
        interrupted and queued again counts as interrupted and as waiting until a worker continues it.
        """
        with self._read_study(study) as (session, found):
            return overview.count_states(session, found)

    def refusals(self, study: str) -> dict[int, str]:
        """Number of every queued trial that could not be trained, to the reason."""
        with self._read_study(study) as (session, found):
            return trials.refusals(session, found)

    def gains(self, study: str) -> list[GainRecord]:
        """Expected gain of each proposal, by number of the trial; only where it is known."""
        with self._read_study(study) as (session, found):
            return trials.gains(session, found)

    def not_trained_here(self, study: str) -> list[int]:
        """Numbers of trials that are finished for Optuna and were never trained here."""
        with self._read_study(study) as (session, found):
            return trials.not_trained_here(session, found)

    def finished_numbers(self, study: str) -> dict[int, int]:
        """Row id to number of every complete or pruned trial."""
        with self._read_study(study) as (session, found):
            return finished.finished_numbers(session, found)

    def finished(self, study: str, ids: Collection[int]) -> list[FinishedRecord]:
        """The finished trials with these row ids, by number, with their curves and decisions."""
        with self._read_study(study) as (session, found):
            return finished.list_finished(session, found, ids)

    def unfinished(self, study: str) -> list[UnfinishedRecord]:
        """Trials that run, and those that failed but are to be continued or have no reason, by number."""
        with self._read_study(study) as (session, found):
            return overview.list_unfinished(session, found)

    def successors(self, study: str) -> dict[int, int]:
        """Number of an interrupted, killed or thawed trial to the number of the one that continues it."""
        with self._read_study(study) as (session, found):
            return trials.successors(session, found)

    # Curves, folds, scores, decisions and failures

    @repeatable
    def add_epoch(self, trial_id: int, epoch: EpochRecord) -> None:
        """Append a point to the curve of a fold; points of an earlier attempt from there on are replaced."""
        later = (Epoch.trial_id == trial_id, Epoch.fold == epoch.fold, Epoch.epoch >= epoch.epoch)
        with self._write_trial(trial_id) as (session, trial):
            redone_s = session.scalar(select(func.sum(Epoch.seconds)).where(*later))
            if redone_s is not None:
                trial.redone_seconds += redone_s
                session.execute(delete(Epoch).where(*later))
            session.add(Epoch(trial_id=trial_id, **values_of(epoch)))

    def epochs(self, trial_id: int) -> list[EpochRecord]:
        """The curve of a trial, by fold and epoch."""
        query = select(Epoch).where(Epoch.trial_id == trial_id).order_by(Epoch.fold, Epoch.epoch)
        with self._read_trial(trial_id) as session:
            return [record_of(EpochRecord, row) for row in session.scalars(query)]

    def curves(self, study: str) -> dict[int, list[EpochRecord]]:
        """Row id to curve, for every trial of the study that has one; in one query."""
        query = select(Epoch).join(Trial, Trial.id == Epoch.trial_id)
        query = query.order_by(Epoch.trial_id, Epoch.fold, Epoch.epoch)
        with self._read_study(study) as (session, found):
            rows = session.scalars(query.where(Trial.study_id == found.id))
            by_trial = groupby(rows, key=lambda row: row.trial_id)
            return {trial: [record_of(EpochRecord, row) for row in group] for trial, group in by_trial}

    @repeatable
    def add_fold(self, trial_id: int, fold: FoldRecord) -> None:
        """Keep a finished fold with all its scores, wholly or not at all; an earlier attempt's is replaced.

        Raises:
            StorageError: a tier or the number of its classes is not that of the study.
        """
        with self._write_trial(trial_id) as (session, trial):
            if fold.fold <= SUMMARY:
                raise StorageError(f"folds are counted from 1, not {fold.fold}")
            session.execute(delete(Fold).where(Fold.trial_id == trial_id, Fold.fold == fold.fold))
            session.add(Fold(trial_id=trial_id, **values_of(fold, leave_out=("scores",))))
            _replace_scores(session, trial, fold.fold, fold.scores)

    def folds(self, trial_id: int) -> list[FoldRecord]:
        """The finished folds of a trial."""
        query = select(Fold).where(Fold.trial_id == trial_id).order_by(Fold.fold)
        with self._read_trial(trial_id) as session:
            scores = _scores(session, trial_id)
            return [
                record_of(FoldRecord, row, scores=scores.get(row.fold, {})) for row in session.scalars(query)
            ]

    @repeatable
    def add_summary(self, trial_id: int, summary: Mapping[str, TierScores]) -> None:
        """Keep the cross-validated scores of a trial by tier.

        A finished trial may get the summary it lacks, but keeps the one it has.

        Raises:
            StorageError: a tier or the number of its classes is not that of the study.
        """
        with self._write() as session:
            trial = trials.owned(session, trial_id, self._claimed.get(trial_id))
            if SUMMARY in _scores(session, trial_id):
                trials.check_unfinished(session, trial)
            _replace_scores(session, trial, SUMMARY, summary)

    def summary(self, trial_id: int) -> Mapping[str, TierScores]:
        """Cross-validated scores by tier; empty when there are none."""
        with self._read_trial(trial_id) as session:
            return _scores(session, trial_id).get(SUMMARY, {})

    @repeatable
    def add_decision(self, trial_id: int, decision: DecisionRecord) -> None:
        """Append a decision of the race."""
        values = values_of(decision) | {"reason": _storable(decision.reason)}
        if decision.probability is not None and isnan(decision.probability):
            values["probability"] = None
        with self._write_trial(trial_id) as (session, _):
            session.add(Decision(trial_id=trial_id, **values))

    def decisions(self, trial_id: int) -> list[DecisionRecord]:
        """The decisions on a trial, oldest first."""
        query = select(Decision).where(Decision.trial_id == trial_id).order_by(Decision.id)
        with self._read_trial(trial_id) as session:
            return [record_of(DecisionRecord, row) for row in session.scalars(query)]

    @repeatable
    def add_failure(self, trial_id: int, failure: FailureRecord) -> None:
        """Append the reason why the present attempt ended early."""
        texts = {"message": _storable(failure.message), "traceback": _storable(failure.traceback)}
        values = values_of(failure) | texts | {"at": failure.at or self._clock()}
        with self._write_trial(trial_id) as (session, trial):
            session.add(Failure(trial_id=trial_id, number=trial.number, **values))

    def failures(self, trial_id: int) -> list[FailureRecord]:
        """The failures of a trial over all attempts, oldest first."""
        query = select(Failure).where(Failure.trial_id == trial_id).order_by(Failure.id)
        with self._read_trial(trial_id) as session:
            return [record_of(FailureRecord, row) for row in session.scalars(query)]

    # Further trainings

    def add_repeat(self, trial_id: int, seed: int, *, worker: int, sampler_noise_sd: float | None) -> int:
        """Begin another training of a complete trial's architecture, or take up the one begun before.

        Call with the start lock, under which `running_repeats` has told that no other worker trains it: a
        repeat belongs to the worker that began it last.

        Args:
            trial_id: row id of the trial.
            seed: of the initial weights and the batches.
            worker: row id of the worker.
            sampler_noise_sd: the sampler's estimate of the noise, see `RepeatRecord`.

        Returns:
            Its row id.
        """
        with self._write() as session:
            trials.check_known(session, trial_id)
            query = select(Repeat).where(Repeat.trial_id == trial_id, Repeat.seed == seed)
            row = session.scalar(query)
            if row is None:
                row = Repeat(
                    trial_id=trial_id,
                    seed=seed,
                    sampler_noise_sd=sampler_noise_sd,
                    tier_scores={},
                    created_at=self._clock(),
                )
                session.add(row)
            row.worker_id = worker
            session.flush()
            repeats.heartbeat(session, row.id).heard_at = repeats.database_clock(session)
            self._begun[row.id] = worker
            return row.id

    def touch_repeat(self, repeat_id: int) -> None:
        """Give a sign of life of the worker that trains a repeat."""
        with self._write_repeat(repeat_id) as (session, _):
            repeats.heartbeat(session, repeat_id).heard_at = repeats.database_clock(session)

    def put_down_repeat(self, repeat_id: int) -> None:
        """Mark an unfinished repeat as abandoned, so that any worker may resume it."""
        with self._write_repeat(repeat_id) as (session, _):
            repeats.heartbeat(session, repeat_id).heard_at = None

    def add_repeat_loss(self, repeat_id: int) -> int:
        """Note that the worker of a repeat is lost; returns how many were. The repeat is left to others."""
        with self._write_repeat(repeat_id) as (session, _):
            beat = repeats.heartbeat(session, repeat_id)
            beat.heard_at = None
            beat.n_lost += 1
            return beat.n_lost

    @contextmanager
    def _write_repeat(self, repeat_id: int) -> Iterator[tuple[Session, Repeat]]:
        with self._write() as session:
            yield session, repeats.unfinished(session, repeat_id, self._begun.get(repeat_id))

    def add_repeat_fold(self, repeat_id: int, fold: RepeatFoldRecord) -> None:
        """Keep a finished fold of a repeat; one kept before is replaced."""
        with self._write_repeat(repeat_id) as (session, _):
            is_it = (RepeatFold.repeat_id == repeat_id, RepeatFold.fold == fold.fold)
            session.execute(delete(RepeatFold).where(*is_it))
            session.add(RepeatFold(repeat_id=repeat_id, **values_of(fold)))

    def add_repeat_scores(self, repeat_id: int, score: float, tier_scores: Mapping[str, float]) -> None:
        """End a repeat with its cross-validated scores, on the target and by tier."""
        with self._write_repeat(repeat_id) as (_, row):
            row.score, row.tier_scores = score, dict(tier_scores)

    def add_repeat_failure(self, repeat_id: int, reason: str) -> None:
        """End a repeat without a score."""
        with self._write_repeat(repeat_id) as (_, row):
            row.failure = _storable(reason)

    def repeats(self, study: str) -> dict[int, tuple[RepeatRecord, ...]]:
        """Row id of a trial to its further trainings, by seed; only trials that have any."""
        with self._read_study(study) as (session, found):
            return repeats.of_study(session, found.id)

    def running_repeats(self, study: str) -> list[RunningRepeatRecord]:
        """Further trainings that were begun and neither ended nor put down; their workers may be dead."""
        with self._read_study(study) as (session, found):
            return repeats.running(session, found.id)

    # What optuna-dashboard shows

    def last_shown(self, study: str) -> LastUpdate | None:
        """Time of the dashboard's last update for the study, None if never."""
        with self._read() as session:
            return dashboard.last_update(session, study)

    def n_ended_and_running(self, study: str) -> tuple[int, int]:
        """Trials of Optuna's that have ended, in whatever way, and that run."""
        with self._read() as session:
            return dashboard.n_ended_and_running(session, study)

    def show(self, study: str, content: DashboardContent, *, n_ended: int) -> int:
        """Update the dashboard; returns the number of attributes that had to be written.

        Args:
            study: name of the study.
            content: everything that is to be seen.
            n_ended: trials that had ended when it was made.
        """
        update = LastUpdate(at_s=self._clock().timestamp(), n_ended=n_ended)
        with self._write() as session:
            return dashboard.write(session, study, content, update)

    def seconds_since_shown(self, study: str) -> float | None:
        """Seconds since the dashboard was last updated; None if never, or later than now by this clock."""
        last = self.last_shown(study)
        elapsed = None if last is None else self._clock().timestamp() - last.at_s
        return None if elapsed is None or elapsed < 0 else elapsed


def _study_record(row: Study) -> StudyRecord:
    """The record of a study; JSON has lists where it has tuples."""
    return record_of(
        StudyRecord,
        row,
        tier_classes={tier: tuple(classes) for tier, classes in row.tier_classes.items()},
        skipped_records=tuple(row.skipped_records),
    )


def _evaluation(session: Session, study: str, row: EvaluationRow) -> Evaluation:
    """An evaluation with its models; JSON has lists where it has tuples."""
    curves: dict[int, list[EpochRecord]] = defaultdict(list)
    epochs = select(EvaluatedEpoch).where(EvaluatedEpoch.evaluation_id == row.id)
    for epoch in session.scalars(epochs.order_by(EvaluatedEpoch.position, EvaluatedEpoch.epoch)):
        curves[epoch.position].append(record_of(EpochRecord, epoch))
    models = select(EvaluatedModelRow).where(EvaluatedModelRow.evaluation_id == row.id)
    return record_of(
        Evaluation,
        row,
        study=study,
        seeds=tuple(row.seeds),
        exclusive_tiers=tuple(row.exclusive_tiers),
        ordinal_tiers=tuple(row.ordinal_tiers),
        predictions={part: tuple(files) for part, files in row.predictions.items()},
        thresholds={tier: tuple(map(tuple, of_seeds)) for tier, of_seeds in row.thresholds.items()},
        models=tuple(
            record_of(EvaluatedModel, model, curve=tuple(curves[model.position]))
            for model in session.scalars(models.order_by(EvaluatedModelRow.position))
        ),
    )


def _replace_scores(session: Session, trial: Trial, fold: int, scores: Mapping[str, TierScores]) -> None:
    """Write the scores of a fold (or of the summary) instead of those there.

    Raises:
        StorageError: a tier or a number of classes is not that of the study.
    """
    for table in (Score, ClassScore):
        session.execute(delete(table).where(table.trial_id == trial.id, table.fold == fold))
    tier_classes = session.scalars(select(Study.tier_classes).where(Study.id == trial.study_id)).one()
    for tier, tier_scores in scores.items():
        if tier not in tier_classes:
            raise StorageError(f"the study has no tier {tier}: it has {', '.join(tier_classes)}")
        here = {"trial_id": trial.id, "fold": fold, "tier": tier}
        of_tier = [here | {"metric": metric, "value": value} for metric, value in tier_scores.metrics.items()]
        of_classes = [
            here | {"position": i, "class_name": name, "metrics": metrics}
            for i, (name, metrics) in enumerate(_by_class(tier, tier_classes[tier], tier_scores))
        ]
        # As rows, without an object for each.
        for table, rows in ((Score, of_tier), (ClassScore, of_classes)):
            if rows:
                session.execute(insert(table), rows)


def _by_class(tier: str, classes: list[str], scores: TierScores) -> list[tuple[str, dict[str, float]]]:
    """Columns to rows: for each class its numbers by metric."""
    columns = scores.class_metrics
    for metric, column in columns.items():
        if len(column) != len(classes):
            raise StorageError(f"{metric} has {len(column)} values for the {len(classes)} classes of {tier}")
    if not columns:
        return []
    return [
        (name, {metric: column[i] for metric, column in columns.items()}) for i, name in enumerate(classes)
    ]


def _scores(session: Session, trial_id: int) -> dict[int, dict[str, TierScores]]:
    """All scores of a trial: fold, then tier."""
    metrics: dict[tuple[int, str], dict[str, float]] = defaultdict(dict)
    for row in session.scalars(select(Score).where(Score.trial_id == trial_id)):
        metrics[row.fold, row.tier][row.metric] = row.value
    columns: dict[tuple[int, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    in_order = select(ClassScore).where(ClassScore.trial_id == trial_id).order_by(ClassScore.position)
    for class_row in session.scalars(in_order):
        for metric, value in class_row.metrics.items():
            columns[class_row.fold, class_row.tier][metric].append(value)
    scores: dict[int, dict[str, TierScores]] = defaultdict(dict)
    for fold, tier in sorted(metrics.keys() | columns.keys()):
        class_metrics = {metric: tuple(column) for metric, column in columns[fold, tier].items()}
        scores[fold][tier] = TierScores(metrics=metrics[fold, tier], class_metrics=class_metrics)
    return dict(scores)


def _storable(text: str) -> str:
    """A text of foreign origin: PostgreSQL takes no NUL, neither database takes lone surrogates."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
