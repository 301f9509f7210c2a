"""A study without data, workers that train it with the fake trainer, and what is known of its trials then."""

import functools
import os
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from fake_trainer import CLASSES, TARGET, TIERS, FakeTrainer

import space
import storage
from search.study.provenance import this_worker
from search.study.space_file import as_made, named_space
from search.study.study import make_study, queue_presets
from search.study.trial import TrialContext
from search.study.worker import Worker
from search.workers.interrupt import Interrupt


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
    """The space of `study_record`, which like a study of before says nothing of its axes."""
    return space.Space("wide", TIERS, as_made(study_record(), named_space("wide")).axes)


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


def make_run(
    store: storage.Store,
    study: storage.StudyRecord,
    trainer: FakeTrainer,
    *,
    process: storage.WorkerRecord | None = None,
    **changes: Any,
) -> TrialContext:
    """A run of one worker, by default without the race.

    Args:
        store: where everything is kept.
        study: what is searched.
        trainer: trains folds.
        process: the process the worker claims to be, this one unless a test wants it dead.
        changes: fields of `TrialContext`.
    """
    values: dict[str, Any] = {
        "architectures": wide_space(),
        "sampler": "random",
        "seed": 0,
        "alpha": None,
        "cost_aware": False,
        "emit": lambda event: None,
        "interrupt": Interrupt(),
        "worker": 1,
    }
    row = store.add_worker(study.name, process or this_worker("cpu"))
    return TrialContext(store=store, study=study, trainer=trainer, worker_row=row, **(values | changes))


def make_worker(
    store: storage.Store, study: storage.StudyRecord, trainer: FakeTrainer, **changes: Any
) -> Worker:
    """A worker as `run` makes it; arguments as for `make_run`."""
    return Worker(make_run(store, study, trainer, **changes))


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
            trial.score,
            store.epochs(trial.id),
            store.folds(trial.id),
            {tier: without_memory(scores) for tier, scores in store.summary(trial.id).items()},
            store.decisions(trial.id),
        )
        for trial in store.trials(study)
        if trial.state in {"complete", "pruned"}
    ]
