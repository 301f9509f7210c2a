"""The connection to the database: both engines, transactions, artifacts."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Self

import optuna
from optuna.artifacts import FileSystemArtifactStore
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from sqlalchemy import URL, Engine
from sqlalchemy.orm import Session

from storage.connection.engine import explained, reading, shortened, sqlite_file
from storage.connection.lock import Purpose, held
from storage.connection.passwords import without_password
from storage.connection.patience import Patience
from storage.copying.soundness import located
from storage.errors import DamagedDatabaseError
from storage.optuna_side import load_optuna_study, make_optuna_storage
from storage.rows import trials
from storage.rows.schema import Trial


def shown(url: URL) -> str:
    """A database as its user knows it: a path where there is one, never a password."""
    file = sqlite_file(url)
    if file is None:
        return shortened(without_password(url.render_as_string()))
    here = Path.cwd()
    return shortened(str(file.relative_to(here) if file.is_relative_to(here) else file))


class Database:
    """An open database; `Store` adds what is kept in it."""

    def __init__(
        self,
        url: URL,
        engine: Engine,
        *,
        artifacts: Path,
        heartbeat_s: int,
        grace_s: int,
        patience_s: float,
        clock: Callable[[], datetime],
    ) -> None:
        self._url = url
        self._name = shown(url)
        self._engine = engine
        self._reading = reading(engine)
        self._heartbeat_s = heartbeat_s
        self._grace_s = grace_s
        self._clock = clock
        self.patience = Patience(self._name, patience_s)
        self.patience.watch(engine)
        self._claimed: dict[int, int] = {}
        self.artifacts_folder = artifacts
        self.artifact_store = FileSystemArtifactStore(base_path=artifacts)

    @property
    def name(self) -> str:
        """The database as its user knows it: a path where there is one, never a password."""
        return self._name

    @property
    def checkpoints_folder(self) -> Path:
        """Where trials in progress keep what they need to be continued, beside the artifacts."""
        return self.artifacts_folder.parent / "checkpoints"

    @property
    def grace_s(self) -> int:
        """Seconds without a sign of life after which a trial is queued again."""
        return self._grace_s

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
        with explained(self._name):
            made = make_optuna_storage(self._url, heartbeat_s=self._heartbeat_s, grace_s=self._grace_s)
            self.patience.watch(made.engine)
            return made

    def optuna_study(self, name: str, sampler: BaseSampler | None = None) -> optuna.Study:
        """A study as Optuna sees it, for asking, telling and queuing.

        Args:
            name: of the study.
            sampler: asked for proposals; None for Optuna's own.
        """
        return load_optuna_study(self.optuna_storage, name, sampler)

    def explained(self) -> AbstractContextManager[None]:
        """Within this context errors of Optuna's storage and of the database become `StorageError`."""
        return explained(self._name)

    @contextmanager
    def start_lock(self, study: str) -> Iterator[None]:
        """Held by the one worker that is choosing what to train next; see `storage.connection.lock`.

        Raises:
            StorageError: the lock cannot be made, as in a folder that is read-only.
        """
        with self._lock("start", study):
            yield

    @contextmanager
    def _lock(self, purpose: Purpose, study: str, *, wait: bool = True) -> Iterator[bool]:
        with ExitStack() as locks:
            with self.explained():  # errors of whoever holds the lock are their own
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

    @contextmanager
    def _write(self) -> Iterator[Session]:
        with self._transaction(self._engine) as session:
            yield session

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with self._transaction(self._reading) as session:
            yield session

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Session]:
        with explained(self._name):
            try:
                with Session(engine) as session, session.begin():
                    yield session
            except DamagedDatabaseError as error:
                with self._reading.connect() as connection:
                    raise located(connection, error) from None

    @contextmanager
    def _write_trial(self, trial_id: int) -> Iterator[tuple[Session, Trial]]:
        with self._write() as session:
            trial = trials.owned(session, trial_id, self._claimed.get(trial_id))
            trials.check_unfinished(session, trial)
            yield session, trial
