"""Updates of optuna-dashboard while a study runs: by one worker at a time, and seldom."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from reports.dashboard.figures import dashboard_content
from search.errors import one_line
from search.watch.events import Message
from storage import Store, StudyRecord, attach_report

INTERVAL_S = 30.0
"""Seconds between two updates, by any worker."""
LARGEST_SHARE = 0.01
"""Share of a worker's time that goes into updates; in a large study updates come less often."""


class DashboardUpdates:
    """Figures and notes of a study in optuna-dashboard.

    Errors are not raised: the first one is shown to the user, once.

    Args:
        store: store of the study.
        study: the study.
        emit: takes the message about a problem.
        clock: seconds that never run backwards.
    """

    def __init__(
        self,
        store: Store,
        study: StudyRecord,
        emit: Callable[[Message], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._study = study
        self._emit = emit
        self._clock = clock
        self._interval_s = INTERVAL_S
        self._next_s = clock() + INTERVAL_S
        self._has_complained = False

    def refresh(self) -> None:
        """Update, unless this or another worker has done so lately or is doing so now."""
        if self._clock() >= self._next_s:
            self._next_s = self._clock() + self._interval_s
            self._try(self._refresh)

    def finish(self) -> None:
        """Update if no trial runs any more; otherwise the worker of the last trial does."""
        self._try(self._finish)

    def attach(self, page: Path) -> None:
        """Attach the page of a report, and update everything else."""
        self._try(lambda: attach_report(self._store, self._study.name, page))
        self.finish()

    def _refresh(self) -> None:
        with self._store.dashboard_lock(self._study.name, wait=False) as is_ours:
            if not is_ours:
                return
            elapsed_s = self._store.seconds_since_shown(self._study.name)
            if elapsed_s is None or elapsed_s >= self._interval_s:
                self._show()
            else:
                self._next_s = self._clock() + self._interval_s - elapsed_s

    def _finish(self) -> None:
        _, n_running = self._store.n_ended_and_running(self._study.name)
        if n_running:
            self.refresh()
            return
        with self._store.dashboard_lock(self._study.name, wait=True):
            last = self._store.last_shown(self._study.name)
            n_ended, _ = self._store.n_ended_and_running(self._study.name)
            if last is None or last.n_ended != n_ended:
                self._show()

    def _show(self) -> None:
        began_s = self._clock()
        n_ended, _ = self._store.n_ended_and_running(self._study.name)
        content = dashboard_content(self._store, self._study)
        self._store.show(self._study.name, content, n_ended=n_ended)
        ended_s = self._clock()
        self._interval_s = max(INTERVAL_S, (ended_s - began_s) / LARGEST_SHARE)
        self._next_s = ended_s + self._interval_s

    def _try(self, update: Callable[[], object]) -> None:
        try:
            update()
        except Exception as error:
            if not self._has_complained:
                self._has_complained = True
                self._emit(Message(f"optuna-dashboard is not up to date: {one_line(error, most=None)}"))
