"""`python -m search run`: from options to a study with more finished trials."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

import space
from reports.status import front_table, not_trained_here_words
from reports.words import left_out_words, records_words
from scores.front import front_trials
from search.cores import why_not_all_cores
from search.data.feature_table import load_features
from search.defaults import CACHE_FOLDER, default_storage
from search.study.latency import Meter
from search.study.options import RunOptions
from search.study.prepare import Prepared, prepare
from search.study.provenance import this_worker
from search.study.recovery import queue_killed_trials
from search.study.stopping import is_enough
from search.study.trial import TrialContext
from search.study.worker import Worker, present_front
from search.watch.events import Counts, Event, Message
from search.watch.progress import make_view, progress_bar
from search.watch.terminal import View
from search.workers.base import Work, WorkerGroup, work_together
from search.workers.interrupt import EXIT_STATUS, Interrupt
from storage import Store, StudyRecord
from storage.records import version_words

if TYPE_CHECKING:
    import torch


def run(options: RunOptions, console: Console, meter: Meter) -> int:
    """Carry out `run`; returns the exit status.

    Args:
        options: the command line.
        console: where to write.
        meter: measures latencies, where a study knows them.

    Raises:
        SearchError: anything the user has to put right.
    """
    started_s = time.monotonic()
    prepared = prepare(options, console, meter)
    with prepared.store:
        return _run(prepared, options, console, started_s)


def _run(prepared: Prepared, options: RunOptions, console: Console, started_s: float) -> int:
    store, study = prepared.store, prepared.study
    if _may_want_features(prepared, options):
        # Once and on all cores: each worker would otherwise begin with them.
        with progress_bar(console, "Hand-crafted features", len(prepared.data)) as advance:
            load_features(prepared.data, cache_dir=CACHE_FOLDER, progress=advance)
    interrupt = Interrupt()
    recovered: list[Event] = []
    queue_killed_trials(store, study.name, recovered.append)
    counts = store.counts(study.name)
    n_trials = _trials_to_add(options, n_waiting=counts["waiting"])
    # Without a number the time, what is left to gain or the end of the space ends the run.
    goal = (
        counts["complete"]
        + counts["pruned"]
        + (len(prepared.architectures) if n_trials is None else n_trials)
    )
    end_s = None if options.hours is None else started_s + 3600 * options.hours
    data = f"{study.data_name}{version_words(study.data_version)}"
    for line in left_out_words(study):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    view = make_view(
        console,
        study,
        data=f"{data}, {records_words(study)}{_n_damaged(study)}",
        goal_trials=n_trials,
        end_s=end_s,
        until=options.until_share,
        gain=next(iter(store.gains(study.name)[-1:]), None),
        already=Counts(complete=counts["complete"], pruned=counts["pruned"], failed=counts["failed"]),
    )
    with shown_until_interrupted(view, interrupt, hours=options.hours, end_s=end_s):
        for event in (*prepared.messages, *recovered):
            view.handle(event)
        if others := store.not_trained_here(study.name):
            view.handle(Message(not_trained_here_words(len(others))))
        if counts["complete"]:
            view.handle(present_front(store, study.name))
        if options.ray is None and options.workers == 1:
            train(prepared, options, goal=goal, number=1, emit=view.handle, interrupt=interrupt)
        else:
            with _workers(
                partial(_train_in_process, options, goal, meter=prepared.meter), options
            ) as workers:
                work_together(workers, emit=view.handle, interrupt=interrupt)
    return _conclude(prepared, options, console, interrupt)


@contextmanager
def shown_until_interrupted(
    view: View, interrupt: Interrupt, *, hours: float | None, end_s: float | None
) -> Iterator[None]:
    """Show a run, which signals and the end of its hours interrupt after the epoch.

    Args:
        view: shows the run while the context lasts.
        interrupt: requested by either.
        hours: `--hours`.
        end_s: monotonic clock when they are over; None for a run without end.
    """
    with (
        interrupt.listening(
            lambda: view.handle(Message("finishing the epoch … (Ctrl-C again leaves at once)"))
        ),
        view,
        interrupt.after(
            None if end_s is None else end_s - time.monotonic(),
            lambda: view.handle(Message(f"Time limit of {hours:g} h reached; finishing the epoch …")),
        ),
    ):
        yield


def _trials_to_add(options: RunOptions, *, n_waiting: int) -> int | None:
    """Finished trials that this run is to add; None for as many as there is time for, or use."""
    if options.trials is not None:
        return options.trials
    return None if options.is_search else n_waiting


def _n_damaged(study: StudyRecord) -> str:
    n_skipped = len(study.skipped_records)
    return f", {n_skipped:,} damaged left out" if n_skipped else ""


@contextmanager
def _workers(work: Work, options: RunOptions) -> Iterator[WorkerGroup]:
    """The workers of this run, wherever they are."""
    if options.share is None:
        from search.workers.processes import ProcessWorkers

        yield ProcessWorkers(work, options.workers)
    else:
        from search.workers.ray import RayWorkers

        with RayWorkers(work, options.workers, options.share) as workers:
            yield workers


def _may_want_features(prepared: Prepared, options: RunOptions) -> bool:
    if True not in prepared.architectures.axes["features"]:
        return False
    if options.is_search:
        return True
    return any(space.preset(name, prepared.study.target).features for name in options.presets or ())


def _train_in_process(
    options: RunOptions,
    goal: int,
    number: int,
    emit: Callable[[Event], None],
    interrupt: Interrupt,
    *,
    meter: Meter | None,
) -> None:
    """Body of worker process `number`."""
    prepared = prepare(options, Console(quiet=True), meter)
    with prepared.store:
        train(prepared, options, goal=goal, number=number, emit=emit, interrupt=interrupt)


def train(
    prepared: Prepared,
    options: RunOptions,
    *,
    goal: int,
    number: int,
    emit: Callable[[Event], None],
    interrupt: Interrupt,
) -> None:
    """Run worker `number` until the study has `goal` finished trials."""
    from search.training.device import choose_device, device_label, precision

    device = choose_device(options.device)
    for text in _about_device(prepared, options, device):
        emit(Message(text, of_all=True))
    worker = Worker(
        TrialContext(
            store=prepared.store,
            study=prepared.study,
            architectures=prepared.architectures,
            trainer=prepared.trainers(device, options.n_threads)(prepared.settings.seed),
            sampler=options.sampler,
            seed=_sampler_seed(prepared, number),
            cost_aware=options.cost_aware,
            alpha=options.alpha if options.pruner == "race" else None,
            worker=number,
            worker_row=prepared.store.add_worker(
                prepared.study.name, this_worker(device_label(device), precision=precision(device))
            ),
            emit=emit,
            interrupt=interrupt,
            until=options.until_share,
            meter=prepared.meter,
        )
    )
    worker.work(goal)
    if options.thaw:
        worker.thaw()
    worker.remove_checkpoints()


def _about_device(prepared: Prepared, options: RunOptions, device: torch.device) -> Iterator[str]:
    """Notes on the device of a worker, and on the precision in which it computes."""
    from search.training.device import device_label, precision, why_full_precision, why_no_gpu

    if options.device == "auto" and (advice := why_no_gpu()):
        yield f"WARNING: training on the CPU, though this machine has a GPU: {advice}"
    yield f"training on {device_label(device)}"
    if device.type == "cpu" and options.ray is None and (limit := why_not_all_cores()) is not None:
        yield limit
    computes_in = precision(device)
    if (why := why_full_precision(device)) is not None:
        yield f"training in {computes_in}: {why}"
    workers = prepared.store.workers(prepared.study.name)
    earlier = {worker.precision for worker in workers if worker.precision} - {computes_in}
    if earlier:
        text = f"the study was trained in {', '.join(sorted(earlier))} before, here in {computes_in}"
        yield f"{text}: scores are compared although they differ by rounding"


def _sampler_seed(prepared: Prepared, number: int) -> int:
    """Seed of a worker's sampler: its own, and another one when a study is continued.

    The seed of the study alone would make a continued run propose what the first one began with.
    """
    n_trials = sum(prepared.store.counts(prepared.study.name).values())
    entropy = (prepared.settings.seed, number, n_trials)
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def _is_over(store: Store, study: StudyRecord, until: float) -> bool:
    return is_enough([gain.at_most for gain in store.gains(study.name)], until)


def _conclude(prepared: Prepared, options: RunOptions, console: Console, interrupt: Interrupt) -> int:
    """Say what there is now and how to go on."""
    store, study = prepared.store, prepared.study
    trials = store.trials(study.name)
    if front_trials(trials):
        console.print(front_table(study, trials))
    counts = store.counts(study.name)
    console.print(
        f"Study {study.name}: {counts['complete']} complete, {counts['pruned']} pruned, "
        f"{counts['failed']} failed trials in {store.name}",
        soft_wrap=True,
        highlight=False,
    )
    if interrupt.time_is_over:
        console.print(
            f"Stopped after {options.hours:g} h. The same command continues the study.", highlight=False
        )
    elif interrupt.requested:
        console.print("Stopped. The same command continues the study.", highlight=False)
        return EXIT_STATUS
    elif options.until_share is not None and _is_over(store, study, options.until_share):
        console.print(
            f"Stopped at --until {options.until}. A smaller share continues the study.", highlight=False
        )
    say_next(console, store, options.storage, "report", "dashboard")
    return 0


def say_next(console: Console, store: Store, storage: str, *commands: str) -> None:
    """Name the commands that come next, with `--storage` where it is not the default."""
    where = "" if storage == default_storage() else f" --storage {store.url_without_password}"
    for command in commands:
        console.print(f"Next: python -m search {command}{where}", soft_wrap=True, highlight=False)
