"""The store: what the rest of the program knows of the database."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from storage.connection.engine import explained, make_engine, parse_url, sqlite_file
from storage.connection.patience import PATIENCE_S, repeatable
from storage.database import shown
from storage.errors import StorageError, StudyExistsError, UnknownStudyError
from storage.optuna_side import ensure_optuna_study
from storage.records import (
    FinishedRecord,
    OpeningRecord,
    StudyRecord,
    TrialRecord,
    TrialState,
    UnfinishedRecord,
    WorkerRecord,
    version_words,
)
from storage.rows import creation, finished, overview, studies, trials
from storage.rows.results import Results
from storage.rows.schema import SCHEMA_VERSION
from storage.rows.shown import ShownInDashboard

DEFAULT_URL = "sqlite:///runs/search.db"


def utc_now() -> datetime:
    """The clock of a store, unless a test brings its own."""
    return datetime.now(UTC)


def open_store(
    url: str = DEFAULT_URL,
    *,
    create: bool = True,
    artifacts: Path | None = None,
    heartbeat_s: int = 20,
    grace_s: int = 90,
    patience_s: float = PATIENCE_S,
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
        patience_s: how long a server that has answered once may be away; see `storage.connection.patience`.
        clock: the present time, aware.

    Raises:
        SchemaVersionError: a newer version of this program wrote the database, or none did.
        StorageError: no such database, not a database, no permission, unsupported URL.
    """
    parsed = parse_url(url)
    file = sqlite_file(parsed)
    name = shown(parsed)
    if artifacts is None:
        artifacts = (file.parent if file else Path("runs").absolute()) / "artifacts"
    engine = make_engine(parsed)
    store = Store(
        parsed,
        engine,
        artifacts=artifacts,
        heartbeat_s=heartbeat_s,
        grace_s=grace_s,
        patience_s=patience_s,
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
    store.patience.is_awake = True
    return store


class Store(Results, ShownInDashboard):
    """Everything a search keeps: Optuna's studies and ours, side by side in one database.

    Who may write: any number of processes, on any number of machines with PostgreSQL and on one with SQLite
    (never a network file system). Every method is one transaction: it happens wholly or not at all, and
    what it returned stays after a killed process. Methods whose name begins with `add_`, `claim`, `touch`
    and `show` write; all others read one consistent state and never wait for a writer.

    What is immutable: a study but for the time it was last touched; all of a complete trial, and of a pruned
    one unless it is thawed;
    workers, decisions, failures and openings once added. While a trial runs, adding an epoch or a fold
    again replaces it, since a continued trial repeats what its predecessor did not finish.

    Who owns a trial: the process that called `claim` for it. When the trial is continued under another number
    because its process was taken for dead, the former owner's next write raises `TakenOverError`.

    An architecture has at most one row in a study. A trial's row id stays; its number is that of the Optuna
    trial that trains it now. Optuna's own tables are written by Optuna only, through `optuna_storage`, but
    for what is there for optuna-dashboard alone (`storage.rows.dashboard`).
    A study deleted in optuna-dashboard is gone here as well.

    Numbers may be NaN (undefined) and come back as NaN. Times are aware, in UTC.

    Every method raises `StorageError` when the database cannot be read or written, in one line and without a
    password, and `UnknownStudyError` or `UnknownTrialError` for a name or row id that is not there.
    Not safe to share between processes; each opens its own. Threads may share one.
    """

    # Studies

    def add_study(self, study: StudyRecord) -> None:
        """Make a study: Optuna's, with both objectives named, and our row.

        The row comes last and makes the study exist: killed before, nothing is there and the same call
        starts over. Of two processes that add the same name at once one raises.

        Raises:
            StudyExistsError: there is a study of that name.
        """
        with explained(self._name):
            with self._write() as session:
                studies.delete_orphan(session, study.name)
            optuna_study = ensure_optuna_study(self.optuna_storage, study.name)
            with self._write() as session:
                is_new = studies.insert_study(session, study, self._clock())
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
        with self._read() as session:
            return studies.study_record(studies.find_study(session, name))

    def studies(self) -> list[StudyRecord]:
        """All studies, last touched first."""
        with self._read() as session:
            return studies.list_studies(session)

    def last_study(self) -> StudyRecord:
        """The study touched last.

        Raises:
            UnknownStudyError: there is no study yet.
        """
        known = self.studies()
        if not known:
            raise UnknownStudyError(f"{self._name} holds no study: run `python -m search run` first")
        return known[0]

    def touch(self, name: str) -> None:
        """Make this the study that commands without --study take."""
        with self._write() as session:
            studies.find_study(session, name).touched_at = self._clock()

    def add_worker(self, study: str, worker: WorkerRecord) -> int:
        """Write down a process that trains trials of the study; return its row id for `claim`."""
        with self._write() as session:
            return studies.insert_worker(session, study, worker, self._clock())

    def workers(self, study: str) -> list[WorkerRecord]:
        """The processes that trained trials of the study, oldest first."""
        with self._read() as session:
            return studies.list_workers(session, studies.find_study(session, study).id)

    def add_opening(self, opening: OpeningRecord) -> int:
        """Write down that the sealed fold is being opened; return its row id for `add_opening_metrics`."""
        with self._write() as session:
            return studies.insert_opening(session, opening, self._clock())

    def add_opening_metrics(self, opening_id: int, metrics: Mapping[str, float]) -> None:
        """Add what was found to an opening."""
        with self._write() as session:
            studies.update_opening(session, opening_id, metrics)

    def openings(self, study: str | None = None) -> list[OpeningRecord]:
        """Openings of the sealed fold, of one study or all, oldest first."""
        with self._read() as session:
            return studies.list_openings(session, study)

    # Trials

    @repeatable
    def claim(
        self,
        study: str,
        *,
        number: int,
        architecture_hash: str,
        architecture: Mapping[str, Any],
        description: str,
        parameters: int,
        label_tier: str,
        preset: str | None = None,
        worker: int | None = None,
        previous: Collection[int] = (),
        thaw: bool = False,
    ) -> int | None:
        """Reserve an architecture for a trial; the same call again changes nothing.

        Args:
            study: name of the study.
            number: Optuna's number of the trial.
            architecture_hash: hash of the canonical form.
            architecture: the architecture as JSON.
            description: the architecture in words.
            parameters: number of trainable parameters.
            label_tier: tier the trial is trained on.
            preset: name of the preset it is, if any.
            worker: row id of the worker.
            previous: numbers of trials that this one continues; a row of theirs is taken over with its
                folds and its curve.
            thaw: whether a pruned trial may be continued.

        Returns:
            The row id, or None when another trial has the architecture.

        Raises:
            StorageError: the trial has reserved another architecture.
        """
        claim = trials.Claim(
            number=number,
            architecture_hash=architecture_hash,
            architecture=architecture,
            description=description,
            parameters=parameters,
            label_tier=label_tier,
            preset=preset,
            worker=worker,
        )
        with self._write() as session:
            study_id = studies.find_study(session, study).id
            trial_id = trials.reserve(session, study_id, claim, previous, self._clock(), thaw=thaw)
        if trial_id is not None:
            self._claimed[trial_id] = number
        return trial_id

    def previous_attempts(self, study: str, number: int) -> list[int]:
        """Numbers of the dead trials that Optuna's trial continues, oldest first; `previous` for `claim`."""
        with self._read() as session:
            return trials.retry_histories(session, studies.find_study(session, study)).get(number, [])

    def tried(self, study: str) -> dict[str, int]:
        """Architecture hash to the number of the trial that has it."""
        with self._read() as session:
            return trials.tried(session, studies.find_study(session, study).id)

    def trials(self, study: str) -> list[TrialRecord]:
        """All trials that have an architecture, by number; in a fixed number of queries."""
        with self._read() as session:
            return overview.list_trials(session, studies.find_study(session, study))

    def counts(self, study: str) -> dict[TrialState, int]:
        """Trials by state, every state present.

        Waiting and running trials that have no architecture yet are counted too. A trial that was
        interrupted and queued again counts as interrupted and as waiting until a worker continues it.
        """
        with self._read() as session:
            return overview.count_states(session, studies.find_study(session, study))

    def refusals(self, study: str) -> dict[int, str]:
        """Number of every trial that somebody queued and that could not be trained, to the reason."""
        with self._read() as session:
            return trials.refusals(session, studies.find_study(session, study))

    def told_elsewhere(self, study: str) -> list[int]:
        """Numbers of trials that are finished for Optuna and were never trained here."""
        with self._read() as session:
            return trials.told_elsewhere(session, studies.find_study(session, study))

    def finished_numbers(self, study: str) -> dict[int, int]:
        """Row id to number of every complete or pruned trial."""
        with self._read() as session:
            return finished.finished_numbers(session, studies.find_study(session, study))

    def finished(self, study: str, ids: Collection[int]) -> list[FinishedRecord]:
        """The finished trials with these row ids, by number, with their curves and decisions."""
        with self._read() as session:
            return finished.list_finished(session, studies.find_study(session, study), ids)

    def unfinished(self, study: str) -> list[UnfinishedRecord]:
        """Trials that run, and those that failed but are to be continued or cannot say why, by number."""
        with self._read() as session:
            return overview.list_unfinished(session, studies.find_study(session, study))
