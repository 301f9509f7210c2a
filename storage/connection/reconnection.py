"""Waiting for a server that does not respond: it restarts, or the network fails for a while.

A worker talks to the database for milliseconds and trains for minutes in between, so a server that restarts
is nearly always missed at the beginning of a transaction: nothing has been written yet, and nothing is lost
by waiting. A transaction that was cut off in the middle raises `storage.ConnectionLostError`, and is
begun again by its caller.
"""

import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Dialect, Engine, event

from storage.errors import ConnectionLostError, StorageError

RECONNECT_S = 300.0
"""Seconds that a server may be away; trials in training continue meanwhile, up to their next result."""
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_N_ATTEMPTS = 5

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def repeatable(transaction: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Begin a transaction again that was cut off; for those of which twice is as good as once."""

    @wraps(transaction)
    def begin(*arguments: Parameters.args, **options: Parameters.kwargs) -> Result:
        for _ in range(_N_ATTEMPTS - 1):
            try:
                return transaction(*arguments, **options)
            except ConnectionLostError:
                continue
        return transaction(*arguments, **options)

    return begin


class Reconnection:
    """Engines whose connections are opened again, after a wait, when the server is away.

    The limit counts from the first failure of any thread; once it is over, every further attempt fails at
    once, until one succeeds.

    Args:
        name: name of the database in messages.
        limit_s: how long to wait.
        clock: seconds on any monotonic scale.
        pause: waits so many seconds.
    """

    def __init__(
        self,
        name: str,
        limit_s: float = RECONNECT_S,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name = name
        self._limit_s = limit_s
        self._clock = clock
        self._pause = pause
        self._lock = threading.Lock()
        self._away_since_s: float | None = None
        self.is_awake = False
        """Whether to wait at all: a database that never answered is more likely misspelt than away."""
        self.tell: Callable[[str], None] = lambda text: None
        """Receiver of one message when the waiting begins and one when it ends, from any thread."""

    def watch(self, engine: Engine) -> None:
        """Open the connections of an engine from now on; SQLite is not a server and left alone."""
        if engine.dialect.name != "sqlite":
            event.listen(engine, "do_connect", self._connect)

    def _connect(self, dialect: Dialect, record: Any, arguments: Any, options: dict[str, Any]) -> Any:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                connection = dialect.connect(*arguments, **options)
            except dialect.loaded_dbapi.OperationalError as error:
                if not self.is_awake:
                    raise
                self._miss(error)
            else:
                self._find()
                return connection
            self._pause(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _miss(self, error: Exception) -> None:
        """Note that the server is away.

        Raises:
            StorageError: for too long.
        """
        reason = str(error).strip().splitlines()[-1].strip()
        with self._lock:
            is_news = self._away_since_s is None
            if self._away_since_s is None:
                self._away_since_s = self._clock()
            away_s = self._clock() - self._away_since_s
        if away_s >= self._limit_s:
            raise StorageError(
                f"{self._name} has not answered for {self._limit_s:.0f} s ({reason}): once it is back, "
                "the same command continues the study; trials in progress are queued again"
            ) from error
        if is_news:
            self.tell(f"{self._name} does not answer ({reason}): waiting up to {self._limit_s:.0f} s for it")

    def _find(self) -> None:
        with self._lock:
            since_s, self._away_since_s = self._away_since_s, None
        if since_s is not None:
            self.tell(f"{self._name} answers again")
