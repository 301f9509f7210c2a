"""A trainer with closed-form learning curves, and the small steps that tests of the search share.

Run as a program it is one worker on a study, for the tests that kill or interrupt a process:

    python tests/helpers/fake_trainer.py PATH --goal 3 --delay 0.05
"""

import argparse
import functools
import hashlib
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

import space
import storage
from search.errors import SearchError, TrainingError
from search.study import recovery
from search.study.provenance import this_worker
from search.study.study import make_study, queue_presets, quiet_optuna
from search.study.worker import Worker
from search.training.interface import EpochScore, FoldOutcome, FoldPredictions
from search.watch.events import EpochEnded, Event, Message
from search.workers.interrupt import EXIT_STATUS, Interrupt

TARGET = "superclass"
CLASSES = {
    "superclass": ("CD", "HYP", "MI"),
    "subclass": ("AMI", "IMI", "LVH", "STTC"),
    "diagnostic": ("ALMI", "AMI", "IMI", "LVH", "STTC"),
}
TIERS = tuple(CLASSES)
"""Coarse to fine; a finer tier refines every coarser one."""
N_RECORDS = 6
"""Validation records of a fold."""

FoldFailure = Callable[[space.Architecture, int, int], Exception | None]
"""Architecture, fold and epoch to what the epoch raises."""


class FakeTrainer:
    """A `search.training.interface.Trainer` that trains nothing.

    The score of a fold rises towards what the architecture can reach, less the difficulty of the fold,
    which all architectures share, plus a little noise. The noise of an epoch enters the state that later
    epochs and checkpoints build on: an epoch skipped or repeated changes the final score.

    Args:
        n_epochs: of every fold.
        n_folds: CV folds.
        n_parallel: folds at the same time.
        n_together: folds in lock-step.
        seed: of the noise.
        wait: called in every epoch, for delays.
        fails: what an epoch raises instead, None for nothing.
    """

    def __init__(
        self,
        *,
        n_epochs: int = 2,
        n_folds: int = 5,
        n_parallel: int = 1,
        n_together: int = 1,
        seed: int = 0,
        wait: Callable[[], object] = lambda: None,
        fails: FoldFailure = lambda architecture, fold, epoch: None,
    ) -> None:
        self.n_epochs = n_epochs
        self.n_folds = n_folds
        self.n_parallel = n_parallel
        self.n_together = n_together
        self.seed = seed
        self.wait = wait
        self.fails = fails
        self.epochs_run: list[tuple[str, int, int]] = []
        """Digest, fold and epoch of everything trained."""

    def n_outputs(self, label_tier: str) -> int:
        return len(CLASSES[label_tier])

    def start(self, architecture: space.Architecture, fold: int) -> "FakeRun":
        return FakeRun(self, architecture, fold)

    def group(self, runs: "Sequence[FakeRun]") -> "FakeGroup":
        return FakeGroup(runs)

    def summarise(
        self, label_tier: str, folds: Mapping[int, FoldPredictions]
    ) -> Mapping[str, storage.TierScores]:
        reached = [float(folds[fold].probabilities_NC[0, 0]) for fold in sorted(folds)]
        return tier_scores(label_tier, math.fsum(reached) / len(reached))


class FakeGroup:
    """Folds, one after another."""

    def __init__(self, runs: "Sequence[FakeRun]") -> None:
        self.runs = runs

    def run_epoch(self) -> list[EpochScore | Exception]:
        return [self._of(run) for run in self.runs]

    def _of(self, run: "FakeRun") -> EpochScore | Exception:
        try:
            return run.run_epoch()
        except Exception as error:
            return error


class FakeRun:
    """One fold in training."""

    def __init__(self, trainer: FakeTrainer, architecture: space.Architecture, fold: int) -> None:
        self._trainer, self._architecture, self._fold = trainer, architecture, fold
        self._score = 0.0
        self.epochs_done = 0

    def run_epoch(self) -> EpochScore:
        self._trainer.wait()
        epoch = self.epochs_done + 1
        error = self._trainer.fails(self._architecture, self._fold, epoch)
        if error is not None:
            raise error
        aim = potential(self._architecture) - 0.03 * (self._fold % 3)
        noise = 0.004 * _uniform(self._trainer.seed, self._architecture.digest, self._fold, epoch)
        self._score += 0.8 * (aim - self._score) + noise
        self.epochs_done = epoch
        self._trainer.epochs_run.append((self._architecture.digest, self._fold, epoch))
        return EpochScore(
            epoch=epoch,
            training_loss=1 - self._score,
            macro_auprc=self._score,
            seconds=1.0,
            training_accuracy=self._score,
            validation_loss=1.1 - self._score,
            validation_f1=self._score / 2,
        )

    def outcome(self) -> FoldOutcome:
        tier = self._architecture.label_tier
        trained = self._predictions(tier)
        record_N = np.arange(N_RECORDS)
        predictions = FoldPredictions(
            ecg_id=record_N + 1000 * self._fold,
            patient_id=record_N // 2 + 1000 * self._fold,
            targets_NC=trained.targets_NC,
            probabilities_NC=trained.probabilities_NC,
            projected={} if tier == TARGET else {TARGET: self._predictions(TARGET)},
        )
        scores = tier_scores(tier, self._score)
        model = f"{self._architecture.digest} fold {self._fold} {self._score!r}".encode()
        return FoldOutcome(n_training=4 * N_RECORDS, predictions=predictions, scores=scores, model=model)

    def _predictions(self, tier: str) -> storage.TierPredictions:
        """Better ones with a better score, which is the first of them."""
        n_classes = len(CLASSES[tier])
        y_NC = np.arange(N_RECORDS)[:, None] % n_classes == np.arange(n_classes)
        key = (self._architecture.digest, self._fold, tier)
        noise_NC = np.array([_uniform(*key, cell) for cell in range(y_NC.size)]).reshape(y_NC.shape)
        p_NC = np.clip(self._score * y_NC + (1 - self._score) * noise_NC, 0, 1).astype(np.float32)
        p_NC[0, 0] = self._score
        return storage.TierPredictions(classes=CLASSES[tier], targets_NC=y_NC, probabilities_NC=p_NC)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps({"epochs_done": self.epochs_done, "score": self._score.hex()}))
        partial.replace(path)

    def restore(self, path: Path) -> None:
        try:
            state = json.loads(path.read_text())
            self.epochs_done, self._score = state["epochs_done"], float.fromhex(state["score"])
        except (ValueError, KeyError) as error:
            raise TrainingError("error", f"checkpoint {path.name} cannot be read") from error


def potential(architecture: space.Architecture) -> float:
    """What an architecture reaches on the easiest fold: more is better, with diminishing returns."""
    capacity = math.log2(architecture.conv_width * (architecture.hidden_size or 16))
    stack = sum(0.02 if layer.bidirectional else 0.01 for layer in architecture.recurrent)
    return 0.4 + 0.015 * capacity + stack - 0.005 * len(architecture.recurrent) ** 2


def _uniform(*key: object) -> float:
    """A number in [-1, 1) that depends on the key only, not on the process."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**47 - 1


def tier_scores(label_tier: str, macro_auprc: float) -> dict[str, storage.TierScores]:
    """Scores at a tier and every coarser one."""
    return {
        tier: storage.TierScores(
            metrics={"macro_auprc": macro_auprc},
            class_metrics={
                "auprc": (macro_auprc,) * len(classes),
                "n_positive": (2.0,) * len(classes),
            },
        )
        for tier, classes in CLASSES.items()
        if TIERS.index(tier) <= TIERS.index(label_tier)
    }


# ---------------------------------------------------------------------------------------------------------
# A study without data


def study_record(name: str = "fake", **changes: Any) -> storage.StudyRecord:
    values: dict[str, Any] = {
        "name": name,
        "target": TARGET,
        "space": "wide",
        "data_name": "demo",
        "data_version": "SYNTHETIC",
        "data_fingerprint": "cd" * 32,
        "synthetic": True,
        "rate_hz": 100,
        "n_records": 30,
        "n_patients": 30,
        "settings": {"epochs": 2, "seed": 0},
        "tier_classes": CLASSES,
    }
    return storage.StudyRecord(**(values | changes))


def wide_space() -> space.Space:
    return space.Space("wide", TIERS)


QUEUED = space.queued_presets(wide_space(), "subclass")
"""Presets with which a search of the wide space begins."""


TINY_AXES: dict[str, tuple[space.Choice, ...]] = {
    "depth": (0, 1),
    "cell": ("lstm", "gru"),
    "direction": ("forward",),
    "hidden_size": (32,),
    "width": (0.25, 1.0),
    "head_width": (512,),
    "gate": (0, 4),
    "loss": ("bce",),
    "exponent": (1.0,),
    "cap": (3.0,),
    "label_smoothing": (0.05,),
}
"""Axes of a space without presets: 4 stacks and widths, 2 gates and the label tiers."""


def tiny_space(monkeypatch: pytest.MonkeyPatch, n_tiers: int = 3) -> space.Space:
    """A space of 12 architectures for every label tier."""
    monkeypatch.setitem(space.SPACES, "tiny", TINY_AXES)
    return space.Space("tiny", TIERS[:n_tiers])


@functools.cache
def _empty_database() -> bytes:
    """A database with its tables, made once: that takes ten times as long as a trial."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "empty.db"
        storage.open_store(f"sqlite:///{file}").close()
        return file.read_bytes()


def open_study(
    database: Path | str,
    architectures: space.Space | None = None,
    *,
    heartbeat_s: int = 20,
    grace_s: int = 90,
    **changes: Any,
) -> tuple[storage.Store, storage.StudyRecord]:
    """A store and the study in it, made if it is not there, with the presets queued.

    Args:
        database: a file of SQLite, or the URL of a server.
        architectures: the space of the study.
        heartbeat_s: seconds between two signs of life.
        grace_s: seconds without one until a trial is queued again.
        changes: fields of the study.
    """
    if isinstance(database, Path):
        if not database.exists():
            database.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=database.parent) as whole:
                whole.write(_empty_database())
                whole.flush()
                # Another process may be here, too: the file appears as a whole, and once.
                with suppress(FileExistsError):
                    os.link(whole.name, database)
        database = f"sqlite:///{database}"
    store = storage.open_store(database, heartbeat_s=heartbeat_s, grace_s=grace_s)
    architectures = architectures or wide_space()
    study = make_study(store, study_record(space=architectures.name, **changes))
    queue_presets(store, study, architectures)
    return store, study


def make_worker(
    store: storage.Store,
    study: storage.StudyRecord,
    trainer: FakeTrainer,
    *,
    process: storage.WorkerRecord | None = None,
    **changes: Any,
) -> Worker:
    """A worker as `run` makes it, by default without the race.

    Args:
        store: where everything is kept.
        study: what is searched.
        trainer: trains folds.
        process: the process the worker claims to be, this one unless a test wants it dead.
        changes: arguments of `Worker`.
    """
    values: dict[str, Any] = {
        "architectures": wide_space(),
        "sampler": "random",
        "seed": 0,
        "alpha": None,
        "cost_aware": False,
        "emit": lambda event: None,
        "interrupt": Interrupt(),
        "number": 1,
    }
    row = store.add_worker(study.name, process or this_worker("cpu"))
    return Worker(store=store, study=study, trainer=trainer, row=row, **(values | changes))


def n_finished(store: storage.Store, study: str = "fake") -> int:
    counts = store.counts(study)
    return counts["complete"] + counts["pruned"]


def optuna_trials(store: storage.Store) -> list[optuna.trial.FrozenTrial]:
    """Optuna's trials that have begun."""
    trials = store.optuna_study("fake").trials
    return [trial for trial in trials if trial.state is not optuna.trial.TrialState.WAITING]


def states(store: storage.Store) -> Counter[str]:
    """How many trials are in which state."""
    return Counter({state: n for state, n in store.counts("fake").items() if n})


def without_memory(scores: storage.TierScores) -> storage.TierScores:
    """Scores that do not depend on what else the process did."""
    metrics = {name: value for name, value in scores.metrics.items() if not name.startswith("peak_")}
    return replace(scores, metrics=metrics)


def results(store: storage.Store, study: str = "fake") -> list[tuple[Any, ...]]:
    """All that is known of the finished trials, for comparison; the memory that they took is their own."""
    return [
        (
            trial.number,
            trial.state,
            trial.architecture_hash,
            trial.macro_auprc,
            store.epochs(trial.id),
            store.folds(trial.id),
            {tier: without_memory(scores) for tier, scores in store.summary(trial.id).items()},
            store.decisions(trial.id),
        )
        for trial in store.trials(study)
        if trial.state in {"complete", "pruned"}
    ]


class Recorder:
    """Takes events, keeps them, and may do something on one of them."""

    def __init__(self, react: Callable[[Event], None] = lambda event: None) -> None:
        self.events: list[Event] = []
        self._react = react

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._react(event)

    def messages(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Message)]


class Killed(BaseException):
    """Ends a worker as a kill does: past every handler, with its trial still running."""


def killed_in(fold: int, epoch: int, *, trial: int | None = None) -> Recorder:
    """A recorder that kills the worker when it hears of that epoch."""

    def react(event: Event) -> None:
        if (
            isinstance(event, EpochEnded)
            and (event.fold, event.epoch) == (fold, epoch)
            and trial in (None, event.trial)
        ):
            raise Killed

    return Recorder(react)


def queue_killed_trials(
    store: storage.Store, study: storage.StudyRecord, emit: Callable[[Event], None] = lambda event: None
) -> None:
    """What a run begins with."""
    recovery.queue_killed_trials(store, study.name, emit)


def dead_process() -> storage.WorkerRecord:
    """A process of this host that is gone; another one has its number by now."""
    return replace(this_worker("cpu"), process_started_at=1.0)


# ---------------------------------------------------------------------------------------------------------
# One worker as a program


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
    options: dict[str, Any] = {"number": number, "seed": number, "emit": emit, "interrupt": interrupt}
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
    print(json.dumps({"event": type(event).__name__, **asdict(event)}), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
