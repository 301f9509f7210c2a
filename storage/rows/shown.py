"""What optuna-dashboard is told, as methods of the store."""

from collections.abc import Iterator
from contextlib import contextmanager

from storage.database import Database
from storage.rows import dashboard, studies, trials
from storage.rows.dashboard import DashboardContent, Shown


class ShownInDashboard(Database):
    """Notes and figures of a study in optuna-dashboard; `Store` states the rules."""

    @contextmanager
    def dashboard_lock(self, study: str, *, wait: bool) -> Iterator[bool]:
        """Held by the one worker that tells the dashboard; yields whether it is.

        Raises:
            StorageError: the lock cannot be made, as in a folder that is read-only.
        """
        with self._lock("dashboard", study, wait=wait) as is_held:
            yield is_held

    def last_shown(self, study: str) -> Shown | None:
        """When the dashboard was last told of the study, None if never."""
        with self._read() as session:
            return dashboard.shown(session, study)

    def n_ended_and_running(self, study: str) -> tuple[int, int]:
        """Trials of Optuna's that have ended, in whatever way, and that run."""
        with self._read() as session:
            return dashboard.n_ended_and_running(session, study)

    def show(self, study: str, content: DashboardContent, *, n_ended: int) -> int:
        """Tell the dashboard; returns the number of attributes that had to be written.

        Args:
            study: name of the study.
            content: everything that is to be seen.
            n_ended: trials that had ended when it was made.
        """
        told = Shown(at_s=self._clock().timestamp(), n_ended=n_ended)
        with self._write() as session:
            return dashboard.write(session, study, content, told)

    def seconds_since_shown(self, study: str) -> float | None:
        """Seconds since the dashboard was last told; None if never, or later than now by this clock."""
        last = self.last_shown(study)
        elapsed = None if last is None else self._clock().timestamp() - last.at_s
        return None if elapsed is None or elapsed < 0 else elapsed

    def successors(self, study: str) -> dict[int, int]:
        """Number of an interrupted, killed or thawed trial to the number of the one that continues it."""
        with self._read() as session:
            return trials.successors(session, studies.find_study(session, study))
