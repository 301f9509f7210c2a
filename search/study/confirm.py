"""`python -m search confirm`: members of the front trained again with other seeds.

The best of many single trainings is partly the luckiest. Every member of the front is trained again, from
other initial weights and in other batches, on the same folds; its score is then the mean over its trainings.
A member that was lucky leaves the front, which brings up others: these are trained again as well, until all
members of the front have been.

Workers, in one command or several, share nothing but the database. As with trials, one at a time chooses what
to train, under the start lock, and a sign of life of its worker is kept with every repeat in training; a
repeat whose worker is lost is taken up by another one (`search.study.recovery`).
"""

from __future__ import annotations

import math
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from rich.console import Console

import space
from reports.evidence import lead_fronts
from reports.findings.training_noise import training_noise_words
from reports.status import front_table
from reports.words import records_words
from scores.front import front_trials, points_of, rival
from scores.objectives import OBJECTIVES
from search.cores import cores_each
from search.defaults import NO_PRESETS
from search.errors import UsageError, first_line
from search.pruner.race import WITHIN_NOISE_SD, rung_epochs
from search.sampler.encoding import SpaceCandidates
from search.sampler.gaussian_process import Surrogate
from search.study.finished_trials import FinishedTrials
from search.study.options import RunOptions, check_effort, check_workers
from search.study.prepare import Prepared, prepare
from search.study.provenance import this_worker
from search.study.recovery import recover_lost_repeats
from search.study.run import say_next, shown_until_interrupted
from search.study.study import quiet_optuna
from search.study.trial import checkpoints_of
from search.study.worker import MAX_FAILURES_IN_A_ROW, WAIT_S, TooManyFailuresError, present_front
from search.training.fold_threads import FoldPool, train_folds
from search.training.interface import FoldOutcome, Trainer
from search.watch.events import (
    Counts,
    EpochEnded,
    Event,
    TrialEnded,
    TrialStarted,
    TrialState,
)
from search.watch.progress import make_view
from search.workers.base import work_together
from search.workers.interrupt import EXIT_STATUS, Interrupt
from search.workers.processes import ProcessWorkers
from storage import (
    EpochRecord,
    Predictions,
    RepeatFoldRecord,
    StorageError,
    Store,
    StudyRecord,
    TakenOverError,
    TrialRecord,
    keep_evaluated_predictions,
    load_predictions,
    open_store,
)
from storage.records import score_metric, version_words


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfirmOptions:
    """The command line of `confirm`."""

    seeds: int
    """Further trainings of every member of the front."""
    within_noise: bool = False
    """Whether trials within noise of the front are trained again, too."""
    trials: int | None = None
    """Most trainings of this run."""
    hours: float | None = None
    workers: int = 1
    """Processes on this machine."""
    study: str | None = None
    storage: str
    data: str | None = None
    space: str | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be used.

        Raises:
            UsageError: names the option and the value.
        """
        check_effort(hours=self.hours, seeds=self.seeds, trials=self.trials)
        check_workers(self.workers)

    def to_prepare(self, study: StudyRecord) -> RunOptions:
        """The options with which `prepare` finds a study and its data."""
        return RunOptions(
            trials=1,
            presets=NO_PRESETS,
            study=study.name,
            storage=self.storage,
            data=self.data,
            space=self.space,
            device=self.device,
            skip_damaged=bool(study.skipped_records),
        )


def to_confirm(study: StudyRecord, trials: Sequence[TrialRecord], *, within_noise: bool) -> list[TrialRecord]:
    """Members of the front by its present scores, from the cheapest, and of that of each number of leads.

    Trials within noise of it follow, where they are wanted.

    A trial is within noise of the front if its rival, the best that costs no more, scores at most
    `WITHIN_NOISE_SD` standard errors of their paired difference over folds more.
    """
    members = [*front_trials(trials), *chain.from_iterable(lead_fronts(study, trials).values())]
    front = list({trial.number: trial for trial in members}.values())
    if not within_noise:
        return front
    by_number = {trial.number: trial for trial in trials}
    on_front = {trial.number for trial in front}
    points = points_of(trials)
    others = []
    for point in points:
        if point.trial in on_front:
            continue
        held_by = rival(points, point.cost)
        assert held_by is not None  # the point itself costs no more
        if _is_within_noise(by_number[point.trial], by_number[held_by.trial]):
            others.append(by_number[point.trial])
    return [*front, *sorted(others, key=lambda trial: (trial.cost, trial.number))]


def _is_within_noise(trial: TrialRecord, better: TrialRecord) -> bool:
    differences = [
        better.fold_scores[fold] - score
        for fold, score in trial.fold_scores.items()
        if fold in better.fold_scores and math.isfinite(better.fold_scores[fold] - score)
    ]
    if len(differences) < 2:
        return False
    return fmean(differences) <= WITHIN_NOISE_SD * stdev(differences) / math.sqrt(len(differences))


def next_training(
    study: StudyRecord,
    trials: Sequence[TrialRecord],
    *,
    n_seeds: int,
    within_noise: bool,
    in_training: Collection[tuple[int, int]] = (),
) -> tuple[TrialRecord, int] | None:
    """Trial to train next, and its seed; None once nothing is left.

    All members get a seed before any gets the next one, so that a run which ends early leaves them alike.

    Args:
        study: the study.
        trials: its trials.
        n_seeds: seeds that every member gets.
        within_noise: whether trials within noise of the front get them, too.
        in_training: row ids of trials with the seeds that other workers train them with.
    """
    missing = _missing(study, trials, n_seeds=n_seeds, within_noise=within_noise)
    left = [(trial, seed) for trial, seed in missing if (trial.id, seed) not in in_training]
    # Of several with the lowest seed, the first.
    return min(left, key=lambda each: each[1], default=None)


def _missing(
    study: StudyRecord, trials: Sequence[TrialRecord], *, n_seeds: int, within_noise: bool
) -> list[tuple[TrialRecord, int]]:
    """Trials with the seeds that they have yet to be trained with, in the order of `to_confirm`."""
    return [
        (trial, seed)
        for trial in to_confirm(study, trials, within_noise=within_noise)
        for seed in _seeds(study, n_seeds)
        if seed not in {each.seed for each in trial.repeats if each.has_ended}
    ]


def _seeds(study: StudyRecord, n_seeds: int) -> range:
    """Seeds after the study's own."""
    first = int(study.settings["seed"]) + 1
    return range(first, first + n_seeds)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Begun:
    """A further training that this worker has reserved."""

    row: int
    """Row id of the repeat."""
    trial: TrialRecord
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Training:
    """A further training with the objects that carry it out."""

    begun: _Begun
    trainer: Trainer
    folder: Path
    """Folder of its checkpoints."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Confirmation:
    """A worker that trains members of a front again."""

    store: Store
    study: StudyRecord
    make_trainer: Callable[[int], Trainer]
    """Trainer of a seed."""
    worker_row: int
    """Row id of the worker in the store."""
    emit: Callable[[Event], None]
    interrupt: Interrupt
    worker: int = 1
    """Number of the worker in the live view."""
    sampler_noise_sd: float | None = None
    """Standard deviation between two trainings that the sampler expects."""

    def train(self, options: ConfirmOptions, goal: int | None = None) -> None:
        """Train until every member of the front has its seeds, or the run ends.

        Args:
            options: the command line.
            goal: further trainings of the study that have ended when the run is over; None for no limit.

        Raises:
            TooManyFailuresError: training after training failed.
        """
        trainers: dict[int, Trainer] = {}
        n_failures = 0
        while begun := self._begin_next(options, goal):
            try:
                if begun.seed not in trainers:
                    trainers.clear()  # its copy of the data first
                    trainers[begun.seed] = self.make_trainer(begun.seed)
                state, reason = self._train_again(begun, trainers[begun.seed])
            except (Exception, KeyboardInterrupt):
                with suppress(StorageError):
                    self.store.put_down_repeat(begun.row)
                raise
            n_failures = n_failures + 1 if state == "failed" else 0
            if n_failures >= MAX_FAILURES_IN_A_ROW:
                raise TooManyFailuresError(f"{n_failures} trainings in a row failed, the last with {reason}")
            if state == "complete":
                self.emit(present_front(self.store, self.study.name))

    def _begin_next(self, options: ConfirmOptions, goal: int | None) -> _Begun | None:
        """Reserve the next training; None once nothing is left, or the run ends.

        Waits while what other workers train suffices, or decides what comes next.
        """
        while not self.interrupt.requested:
            begun, n_running = self._try_to_begin(options, goal)
            if begun is not None or not n_running:
                return begun
            time.sleep(WAIT_S)
        return None

    def _try_to_begin(self, options: ConfirmOptions, goal: int | None) -> tuple[_Begun | None, int]:
        """Reserve the next training, if there is one now; beside it the number of those that others train.

        Only one worker at a time counts trainings, chooses and reserves, so that the goal is met exactly and
        nothing is trained twice.
        """
        store, name = self.store, self.study.name
        with store.start_lock(name):
            running = recover_lost_repeats(store, name, self.emit)
            trials = store.trials(name)
            n_ended = count_ended(trials)
            if goal is not None and n_ended >= goal:
                return None, 0
            chosen = None
            if goal is None or n_ended + len(running) < goal:
                chosen = next_training(
                    self.study,
                    trials,
                    n_seeds=options.seeds,
                    within_noise=options.within_noise,
                    in_training={(repeat.trial_id, repeat.seed) for repeat in running},
                )
            if chosen is None:
                return None, len(running)
            trial, seed = chosen
            row = store.add_repeat(
                trial.id, seed, worker=self.worker_row, sampler_noise_sd=self.sampler_noise_sd
            )
            return _Begun(row=row, trial=trial, seed=seed), len(running)

    def _train_again(self, begun: _Begun, trainer: Trainer) -> tuple[TrialState, str]:
        """Train all folds that are missing; how it ended, and why if it failed."""
        store, began_s = self.store, time.monotonic()
        objective = OBJECTIVES[self.study.objective]
        row, trial, seed = begun.row, begun.trial, begun.seed
        kept = next(each for each in store.repeats(self.study.name)[trial.id] if each.id == row)
        predictions = {fold.fold: load_predictions(store, fold.predictions) for fold in kept.folds}
        self.emit(
            TrialStarted(
                worker=self.worker,
                trial=trial.number,
                description=trial.description,
                cost=trial.cost,
                reason=f"trained again with seed {seed}",
            )
        )
        folder = checkpoints_of(store, self.study) / f"{trial.architecture_hash}-seed-{seed}"
        training = _Training(begun=begun, trainer=trainer, folder=folder)
        failure, score = None, None
        put_down = "continues with the next run"
        try:
            with _heartbeat(store, row) as is_lost, store.explained():
                failure = self._train_folds(training, predictions, is_lost)
            if failure is None and len(predictions) == trainer.n_folds:
                summary = trainer.summarise(trial.label_tier, predictions)
                tiers = {tier: scores.metrics[objective.key] for tier, scores in summary.items()}
                score = tiers[self.study.target]
                if math.isfinite(score):
                    store.add_repeat_scores(row, score, tiers)
                else:
                    failure, score = f"{objective.words} on {self.study.target} is {score}", None
            if failure is not None:
                store.add_repeat_failure(row, failure)
            elif score is None:
                store.put_down_repeat(row)
        except TakenOverError:
            failure, score, put_down = None, None, "taken for dead, another worker continues it"
        state: TrialState = (
            "failed" if failure is not None else "interrupted" if score is None else "complete"
        )
        if state != "interrupted":
            shutil.rmtree(folder, ignore_errors=True)
        self.emit(
            TrialEnded(
                worker=self.worker,
                trial=trial.number,
                state=state,
                score=score,
                cost=trial.cost,
                seconds=time.monotonic() - began_s,
                reason=failure or (put_down if state == "interrupted" else ""),
                seed=seed,
            )
        )
        return state, failure or ""

    def _train_folds(
        self, training: _Training, predictions: dict[int, Predictions], is_lost: Callable[[], bool]
    ) -> str | None:
        """Train the folds without predictions and add theirs; why a fold failed, if one did.

        Raises:
            TakenOverError: another worker trains the repeat by now.
        """
        trainer = training.trainer

        def shall_stop() -> bool:
            if is_lost():
                raise TakenOverError(
                    f"the repeat with seed {training.begun.seed} is trained by another worker"
                )
            return self.interrupt.requested

        def show(epoch: EpochRecord, notes: Sequence[str]) -> None:
            self.emit(
                EpochEnded(
                    worker=self.worker,
                    trial=training.begun.trial.number,
                    record=epoch,
                    n_folds=trainer.n_folds,
                    n_epochs=trainer.n_epochs,
                )
            )

        def keep(fold: int, outcome: FoldOutcome) -> None:
            self._keep_fold(training, fold, outcome)
            predictions[fold] = outcome.predictions

        missing = [fold for fold in range(1, trainer.n_folds + 1) if fold not in predictions]
        pool = FoldPool(
            trainer,
            space.Architecture.from_dict(training.begun.trial.architecture),
            missing,
            checkpoint=lambda fold: training.folder / f"fold{fold}.safetensors",
            rungs=rung_epochs(trainer.n_epochs),
        )
        return train_folds(
            pool,
            stop=shall_stop,
            on_epoch=show,
            on_fold=keep,
            on_failure=lambda error, fold: f"fold {fold}: {first_line(error)}",
        )

    def _keep_fold(self, training: _Training, fold: int, outcome: FoldOutcome) -> None:
        name = f"predictions-trial-{training.begun.trial.number}-seed-{training.begun.seed}-fold-{fold}"
        artifact = keep_evaluated_predictions(self.store, self.study.name, name, outcome.predictions)
        self.store.add_repeat_fold(
            training.begun.row,
            RepeatFoldRecord(
                fold=fold,
                score=outcome.scores[self.study.target].metrics[score_metric(self.study.settings)],
                n_training=outcome.n_training,
                n_validation=len(outcome.predictions.ecg_id),
                seconds=outcome.seconds,
                predictions=artifact,
            ),
        )


@contextmanager
def _heartbeat(store: Store, repeat: int) -> Iterator[Callable[[], bool]]:
    """Give signs of life of a repeat while the context lasts; yields whether another worker has it by now."""
    ended, is_lost = threading.Event(), threading.Event()

    def beat() -> None:
        while not ended.wait(store.heartbeat_s):
            try:
                store.touch_repeat(repeat)
            except TakenOverError:
                is_lost.set()
                return
            except StorageError:  # missed, the next one may succeed
                continue

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield is_lost.is_set
    finally:
        ended.set()
        thread.join()


def count_ended(trials: Sequence[TrialRecord]) -> int:
    """Further trainings of a study that have ended."""
    return sum(each.has_ended for trial in trials for each in trial.repeats)


def sampler_noise_sd(
    store: Store, study: StudyRecord, architectures: space.Space, *, n_folds: int, n_epochs: int
) -> float | None:
    """Standard deviation between two trainings of one architecture, as the sampler has it from single ones.

    Repeats are left out, so that they can be compared with it. None before a trial is complete.
    """
    finished = FinishedTrials(store, study.name, architectures, n_folds=n_folds, n_epochs=n_epochs)
    finished.refresh()
    singles = finished.singles()
    if not singles:
        return None
    candidates = SpaceCandidates(architectures, study.n_classes)
    index = np.array([candidates.index(each.params) for each in singles], dtype=np.int64)
    posterior = Surrogate(candidates.n_features, seed=study.settings["seed"]).posterior(
        candidates.encode(index),
        np.array([each.score for each in singles]),
        np.array([each.standard_error for each in singles]),
    )
    return posterior.noise_sd


def confirm(options: ConfirmOptions, console: Console) -> int:
    """Carry out `confirm`; returns the exit status.

    Raises:
        SearchError: anything the user has to put right.
    """
    started_s = time.monotonic()
    quiet_optuna()
    with open_store(options.storage, create=False) as store:
        study = store.study_or_last(options.study)
        if not front_trials(store.trials(study.name)):
            raise UsageError(f"study {study.name} has no complete trial yet, so there is no front to confirm")
    prepared = prepare(options.to_prepare(study), console, continued=study)
    with prepared.store:
        return _confirm(prepared, options, console, started_s)


def _confirm(prepared: Prepared, options: ConfirmOptions, console: Console, started_s: float) -> int:
    store, study = prepared.store, prepared.study
    goal = None
    if options.trials is not None:
        goal = count_ended(store.trials(study.name)) + options.trials
    interrupt = Interrupt()
    end_s = None if options.hours is None else started_s + 3600 * options.hours
    view = make_view(
        console,
        study,
        data=f"{study.data_name}{version_words(study.data_version)}, {records_words(study)}",
        goal_trials=_n_to_train(store, study, options),
        end_s=end_s,
        already=Counts(),  # of the trials of the search, which are not counted here
        noun="training",
    )
    task = _Task(
        options=options,
        study=study,
        goal=goal,
        sampler_noise_sd=sampler_noise_sd(
            store,
            study,
            prepared.architectures,
            n_folds=len(prepared.data.fold_plan.groups),
            n_epochs=prepared.settings.epochs,
        ),
    )
    with shown_until_interrupted(view, interrupt, hours=options.hours, end_s=end_s):
        for event in prepared.messages:
            view.handle(event)
        view.handle(present_front(store, study.name))
        if options.workers == 1:
            _train(prepared, task, 1, view.handle, interrupt)
        else:
            workers = ProcessWorkers(partial(_train_in_process, task), options.workers)
            work_together(workers, emit=view.handle, interrupt=interrupt)
    return _conclude(store, study, options, console, interrupt)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Task:
    """Arguments that all workers of a run share."""

    options: ConfirmOptions
    study: StudyRecord
    goal: int | None
    """Argument of `Confirmation.train`."""
    sampler_noise_sd: float | None
    """Field of `Confirmation`."""


def _train_in_process(task: _Task, number: int, emit: Callable[[Event], None], interrupt: Interrupt) -> None:
    """Body of worker process `number`."""
    prepared = prepare(task.options.to_prepare(task.study), Console(quiet=True), continued=task.study)
    with prepared.store:
        _train(prepared, task, number, emit, interrupt)


def _train(
    prepared: Prepared, task: _Task, number: int, emit: Callable[[Event], None], interrupt: Interrupt
) -> None:
    """Run worker `number`."""
    from search.training.device import choose_device, device_label, precision

    store, study, options = prepared.store, prepared.study, task.options
    device = choose_device(options.device)
    Confirmation(
        store=store,
        study=study,
        make_trainer=prepared.trainers(device, cores_each(options.workers)),
        worker_row=store.add_worker(
            study.name, this_worker(device_label(device), precision=precision(device))
        ),
        emit=emit,
        interrupt=interrupt,
        worker=number,
        sampler_noise_sd=task.sampler_noise_sd,
    ).train(options, task.goal)


def _n_to_train(store: Store, study: StudyRecord, options: ConfirmOptions) -> int:
    """Trainings that are missing as the front is now; others follow where it changes."""
    trials = store.trials(study.name)
    n = len(_missing(study, trials, n_seeds=options.seeds, within_noise=options.within_noise))
    return n if options.trials is None else min(n, options.trials)


def _conclude(
    store: Store, study: StudyRecord, options: ConfirmOptions, console: Console, interrupt: Interrupt
) -> int:
    """Say what there is now and how to go on."""
    trials = store.trials(study.name)
    console.print(front_table(study, trials))
    for line in training_noise_words(trials):
        console.print(line, highlight=False)
    n_left = _n_to_train(store, study, replace(options, trials=None))
    if n_left:
        why = f"after {options.hours:g} h" if interrupt.time_is_over else "with trainings left"
        console.print(
            f"Stopped {why}: {n_left} to go. The same command continues.", highlight=False, soft_wrap=True
        )
        if interrupt.requested and not interrupt.time_is_over:
            return EXIT_STATUS
    say_next(console, store, options.storage, "report")
    return 0
