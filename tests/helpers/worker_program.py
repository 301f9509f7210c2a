"""One worker on the fake study as a process, for the tests that kill or interrupt one.

python tests/helpers/worker_program.py PATH --goal 3 --delay 0.05
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fake_study import make_worker, open_study
from fake_trainer import FakeTrainer
from killed_workers import queue_killed_trials

import storage
from search.errors import SearchError
from search.study.study import quiet_optuna
from search.watch.events import Event, Message
from search.workers.interrupt import EXIT_STATUS, Interrupt


def work_on_fake_study(
    database: Path | str,
    goal: int,
    number: int,
    emit: Callable[[Event], None],
    interrupt: Interrupt,
    *,
    delay_s: float = 0.01,
    host: str | None = None,
    **times: int,
) -> None:
    """Body of a worker process, for `search.workers.processes`; on a host of that name, if one is given."""
    quiet_optuna()
    if host is not None:
        socket.gethostname = lambda: host
    store, study = open_study(database, **times)
    trainer = FakeTrainer(wait=lambda: time.sleep(delay_s))
    options: dict[str, Any] = {"worker": number, "seed": number, "emit": emit, "interrupt": interrupt}
    worker = make_worker(store, study, trainer, **options)
    queue_killed_trials(store, study, emit)
    worker.work(goal)


class Program:
    """This file as a process, with its events as they come."""

    def __init__(self, database: Path, *options: str, hash_seed: str = "random") -> None:
        self.events: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(database), *options],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, **wanted: Any) -> dict[str, Any]:
        """The next event that has these values."""
        for event in self._events():
            if wanted.items() <= event.items():
                return event
        raise AssertionError(f"ended without {wanted}: {self.end()[1]}")

    def end(self) -> tuple[int, str]:
        """Exit status and standard error, once it has ended."""
        for _ in self._events():
            pass
        assert self.process.stderr is not None
        with self.process as process, self.process.stderr as errors:
            return process.wait(), errors.read()

    def _events(self) -> Iterator[dict[str, Any]]:
        # Line by line to the end: `communicate` would lose what has been read ahead.
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            yield self.events[-1]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("database", type=Path)
    parser.add_argument("--goal", type=int, required=True, help="finished trials of the study")
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--prune", action="store_true")
    chosen = parser.parse_args(arguments)
    quiet_optuna()
    storage.open_store(f"sqlite:///{chosen.database}").close()
    store, study = open_study(chosen.database)
    interrupt = Interrupt()
    trainer = FakeTrainer(n_epochs=chosen.epochs, wait=lambda: time.sleep(chosen.delay))
    worker = make_worker(
        store,
        study,
        trainer,
        sampler=chosen.sampler,
        alpha=0.2 if chosen.prune else None,
        emit=print_event,
        interrupt=interrupt,
    )
    try:
        with interrupt.listening(lambda: print_event(Message("finishing the epoch"))):
            queue_killed_trials(store, study, print_event)
            worker.work(chosen.goal)
    except SearchError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return EXIT_STATUS if interrupt.requested else 0


def print_event(event: Event) -> None:
    """One JSON object a line."""
    facts = asdict(event)
    print(json.dumps({"event": type(event).__name__, **facts, **facts.pop("record", {})}), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
