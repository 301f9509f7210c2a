"""Several workers on the nodes of a Ray cluster (Moritz et al. 2018), each an actor with its share of a node.

Ray places the workers and reports when one has died; everything else is as with processes on one machine.
Each worker is polled for events, and returns them as soon as there are any: events that are lost with their
node are missing in the live view only, since all results are in the database. A worker that dies is placed
anew, wherever there is room; its trial is queued again by the others.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from search.errors import SearchError, UsageError
from search.training.environment import set_environment
from search.watch.events import Event, Message
from search.workers.base import Ended, Work
from search.workers.interrupt import Interrupt
from search.workers.share import Share
from storage import StorageError

MAX_REPLACEMENTS = 3
"""Limit of restarts of a worker that died, so that a fatal trial cannot kill workers for ever."""
_ANSWER_S = 5.0
"""Longest time that a worker leaves a question unanswered when nothing happens."""
_MOST_AT_ONCE = 1000
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class _Actor:
    """A worker as a Ray actor: `run` works in one thread, and the other methods are called meanwhile."""

    def __init__(self, folder: str, gpus: float) -> None:
        if not gpus:
            # Ray shows all GPUs to actors without a share of one. PyTorch reads the variable once, on import.
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self._folder = folder
        self._said: queue.SimpleQueue[Event | str | None] = queue.SimpleQueue()
        self._interrupt = Interrupt()

    def run(self, work: Work, number: int) -> None:
        """Work as worker `number`; the last event is `None`, after the problem if there was one."""
        set_environment()
        try:
            os.chdir(self._folder)  # results, data and the database are named relative to it
            work(number, self._said.put, self._interrupt)
        except (SearchError, StorageError) as error:
            self._said.put(str(error))
        except FileNotFoundError as error:
            here = os.uname().nodename
            self._said.put(f"{here} has no {error.filename}: all nodes need the folder of this run")
        except Exception as error:
            traceback.print_exc(file=sys.stderr)  # which Ray keeps in its logs
            self._said.put(f"{type(error).__name__}: {error}")
        finally:
            self._said.put(None)

    def answer(self) -> list[Event | str | None]:
        """Events since the last call; waits for one."""
        with contextlib.suppress(queue.Empty):
            said = [self._said.get(timeout=_ANSWER_S)]
            with contextlib.suppress(queue.Empty):
                while len(said) < _MOST_AT_ONCE:
                    said.append(self._said.get_nowait())
            return said
        return []

    def stop(self) -> None:
        """Finish the epoch and end."""
        self._interrupt.request()


class RayWorkers:
    """Workers on a cluster; use as a context manager, which leaves the cluster again.

    Args:
        work: what each of them does.
        n_workers: how many.
        share: what each of them gets.

    Raises:
        SearchError: Ray is not installed, the cluster does not answer, or no node of it is large enough.
    """

    def __init__(self, work: Work, n_workers: int, share: Share) -> None:
        self.size = n_workers
        self._ray = _connect(share.address)
        self._work = work
        self._share = share
        self._waiting: list[Event | Ended] = []
        self._problems: dict[int, str] = {}
        self._n_deaths = dict.fromkeys(range(1, n_workers + 1), 0)
        self._actors: dict[int, Any] = {}
        self._questions: dict[Any, int] = {}
        self._unplaced: set[int] = set()
        self._shall_stop = False
        self._has_finished = False
        try:
            self._check_room()
            for number in self._n_deaths:
                self._place(number)
        except BaseException:
            self._ray.shutdown()
            raise

    def __enter__(self) -> RayWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    def listen(self, timeout_s: float) -> Iterator[Event | Ended]:
        """Events of the workers, and ends of workers; see `search.workers.base.WorkerGroup`."""
        yield from self._waiting
        self._waiting.clear()
        if not self._questions:
            return
        ready, _ = self._ray.wait(
            list(self._questions), num_returns=len(self._questions), timeout=timeout_s, fetch_local=False
        )
        for question in ready:
            number = self._questions.pop(question)
            try:
                said = self._ray.get(question)
            except self._ray.exceptions.RayError as error:
                yield from self._bury(number, error)
                continue
            self._unplaced.discard(number)
            yield from self._pass_on(number, said)
        yield from self._dismiss_unplaced()

    def stop(self) -> None:
        """Ask every worker to finish its epoch and end."""
        self._shall_stop = True
        for actor in self._actors.values():
            actor.stop.remote()
        self._waiting += self._dismiss_unplaced()

    def _place(self, number: int) -> None:
        """Ask Ray for a worker; it begins as soon as there is room for it."""
        # Three threads: for `run`, `answer` and `stop`.
        options = {"num_cpus": self._share.cpus, "num_gpus": self._share.gpus, "max_concurrency": 3}
        actor = self._ray.remote(_Actor).options(**options).remote(str(Path.cwd()), self._share.gpus)
        actor.run.remote(self._work, number)
        self._actors[number] = actor
        self._unplaced.add(number)
        self._questions[actor.answer.remote()] = number

    def _pass_on(self, number: int, said: list[Event | str | None]) -> Iterator[Event | Ended]:
        for one in said:
            if one is None:
                del self._actors[number]
                self._has_finished |= number not in self._problems
                yield Ended(number, self._problems.get(number))
                return
            if isinstance(one, str):
                self._problems[number] = one
                yield Message(f"worker {number} ended: {one}")
            else:
                yield one
        self._questions[self._actors[number].answer.remote()] = number

    def _bury(self, number: int, error: Exception) -> Iterator[Event | Ended]:
        """A worker died, or its node did: place another one."""
        del self._actors[number]
        self._unplaced.discard(number)
        self._n_deaths[number] += 1
        reason = f"worker {number} died ({_in_a_line(error)})"
        if self._shall_stop:
            yield Ended(number)
        elif self._n_deaths[number] > MAX_REPLACEMENTS:
            yield Message(f"{reason} once too often")
            yield Ended(number, reason)
        else:
            yield Message(f"{reason} and is placed anew")
            self._place(number)

    def _dismiss_unplaced(self) -> list[Event | Ended]:
        """Give up placing workers for which there was no room, once others are done or the run is to stop.

        Where others have only failed, they have left room, and everything is still to do.
        """
        is_done = self._has_finished and not self._actors.keys() - self._unplaced
        if not self._unplaced or not (is_done or self._shall_stop):
            return []
        dismissed = sorted(self._unplaced)
        self._unplaced.clear()
        for number in dismissed:
            self._ray.kill(self._actors.pop(number))
        self._questions = {question: n for question, n in self._questions.items() if n not in dismissed}
        return [Ended(number) for number in dismissed]

    def _check_room(self) -> None:
        """Refuse what no node can give; a cluster that is merely full is waited for."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        wanted = {"CPU": self._share.cpus, "GPU": self._share.gpus}
        if not any(all(node.get(kind, 0) >= n for kind, n in wanted.items()) for node in nodes):
            largest = {kind: max((node.get(kind, 0) for node in nodes), default=0) for kind in wanted}
            raise UsageError(
                f"no node of the Ray cluster has {wanted['CPU']:g} CPUs and {wanted['GPU']:g} GPUs for a "
                f"worker (the most are {largest['CPU']:g} and {largest['GPU']:g}): choose a smaller "
                "--cpus-per-worker or --gpus-per-worker"
            )


def _connect(address: str) -> Any:
    """Ray, connected."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anyone
    # Ray is not to hide GPUs in a way that it warns of: `_Actor` does.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise SearchError("--ray needs the package ray: pip install 'ecg-architecture-search[ray]'") from None
    try:
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise SearchError(
            f"no Ray cluster answers at {address} ({_in_a_line(error)}): start one with "
            "`ray start --head`, or use --ray local"
        ) from error
    return ray


def _in_a_line(error: Exception) -> str:
    """Error of Ray in one line: its first sentence, and the exception behind it if there is one."""
    lines = _COLOUR.sub("", str(error)).strip().splitlines() or [type(error).__name__]
    happened = lines[0].partition(", ray::")[0].strip().rstrip(".")
    is_exception = len(lines) > 1 and re.match(r"\w+(Error|Exception)\b", lines[-1])
    return f"{happened}: {lines[-1]}" if is_exception else happened
