"""Databases as each version of the schema wrote them, with their artifacts: one zip file a version.

A new version gets its file with

    PYTHONPATH=. python tests/helpers/old_databases.py

which refuses to replace one: a file stays as the program of its time wrote it.
"""

import contextlib
import math
import sqlite3
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

from fake_study import make_worker, open_study
from fake_trainer import FakeTrainer
from killed_workers import dead_process
from storage_samples import evaluation_record

import space
import storage
from search.errors import TrainingError
from search.study.study import quiet_optuna
from search.watch.events import EpochEnded, Event
from search.workers.interrupt import Interrupt
from storage.rows.schema import SCHEMA_VERSION

ASSETS = Path(__file__).parents[1] / "assets"
N_FINISHED = 8
"""Complete and pruned trials of a database; one has failed beside them, and one is interrupted."""
N_FOLDS, N_EPOCHS = 2, 3


def asset(version: int) -> Path:
    """The file of a version."""
    return ASSETS / f"schema-{version}.zip"


def unpack(version: int, folder: Path) -> Path:
    """The database of a version, with its artifacts beside it."""
    with zipfile.ZipFile(asset(version)) as packed:
        packed.extractall(folder)
    return folder / "search.db"


def tables(database: Path) -> dict[str, list[tuple[object, ...]]]:
    """Columns, keys and indices of our tables; not their wording, which SQLAlchemy may change."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        names = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if name.startswith("ecg_")
        ]
        found = {}
        for name in names:
            indices = [index for _, index, *_ in connection.execute(f"PRAGMA index_list({name})")]
            found[name] = [
                *connection.execute(f"PRAGMA table_info({name})"),
                *sorted(connection.execute(f"PRAGMA foreign_key_list({name})")),
                *sorted(
                    tuple(column for _, _, column in connection.execute(f"PRAGMA index_info({index})"))
                    for index in indices
                ),
            ]
        return found


def write(file: Path) -> None:
    """A small study with a trial in every state that lasts."""
    quiet_optuna()
    doomed = space.preset("cnn-gru", "superclass").digest

    def fails(architecture: space.Architecture, fold: int, epoch: int) -> Exception | None:
        is_doomed = architecture.digest == doomed and (fold, epoch) == (2, 2)
        return TrainingError("diverged", "training loss is nan in epoch 2") if is_doomed else None

    interrupt = Interrupt()

    def stop(event: Event) -> None:
        if isinstance(event, EpochEnded):
            interrupt.request()

    process = replace(
        dead_process(), host="somewhere", process_id=1, command="python -m search run --trials 8"
    )
    trainer = FakeTrainer(n_folds=N_FOLDS, n_epochs=N_EPOCHS, fails=fails)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, study = open_study(folder / "search.db")
        make_worker(store, study, trainer, alpha=0.5, process=process, seed=1).work(N_FINISHED)
        make_worker(store, study, trainer, process=process, interrupt=interrupt, emit=stop).work(99)
        opening = storage.SealedFoldOpeningRecord(
            study=study.name,
            trial=0,
            preset=None,
            data_fingerprint=study.data_fingerprint,
            metrics={},
            model=store.trials(study.name)[0].architecture_hash,
        )
        store.add_sealed_fold_metrics(
            store.add_sealed_fold_opening(opening), {"macro_auprc": 0.5, "undefined": math.nan}
        )
        predictions = storage.load_predictions(store, store.folds(1)[0].predictions)
        kept = storage.keep_evaluated_predictions(store, study.name, "trial-0-fold-10-seed-0", predictions)
        one_seed = evaluation_record()
        store.add_evaluation(
            replace(
                one_seed,
                study=study.name,
                trial=0,
                predictions={"test": (kept,)},
                seeds=(0,),
                thresholds={tier: of_seeds[:1] for tier, of_seeds in one_seed.thresholds.items()},
                models=one_seed.models[:1],
                opening=1,
            )
        )
        complete = next(trial for trial in store.trials(study.name) if trial.state == "complete")
        (row, *_) = (store.add_repeat(complete.id, seed, worker=1, sampler_noise_sd=0.01) for seed in (1, 2))
        artifact = storage.keep_evaluated_predictions(store, study.name, "repeat", predictions)
        fold = storage.RepeatFoldRecord(
            fold=1, score=0.5, n_training=6, n_validation=6, seconds=2.0, predictions=artifact
        )
        store.add_repeat_fold(row, fold)
        store.add_repeat_scores(row, 0.5, {study.target: 0.5})
        print(store.counts(study.name))
        store.close()
        with contextlib.closing(sqlite3.connect(folder / "search.db")) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("VACUUM")
        file.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(file, "x", zipfile.ZIP_DEFLATED) as packed:
            for path in (folder / "search.db", *sorted((folder / "artifacts").iterdir())):
                packed.write(path, path.relative_to(folder))
    print(f"{file}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    if asset(SCHEMA_VERSION).exists():
        sys.exit(f"{asset(SCHEMA_VERSION)} is there: a database of schema {SCHEMA_VERSION} stays as it is")
    write(asset(SCHEMA_VERSION))
