"""Rows of repeats: further trainings of a trial's architecture. Callers hold the transaction."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from statistics import fmean
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage.errors import StorageError, TakenOverError
from storage.records import RepeatFoldRecord, RepeatRecord, RunningRepeatRecord, TrialRecord, WorkerRecord
from storage.rows.schema import Repeat, RepeatFold, RepeatHeartbeat, Trial, Worker, record_of

Key = TypeVar("Key", int, str)

IN_TRAINING = (RepeatHeartbeat.heard_at.is_not(None), Repeat.score.is_(None), Repeat.failure.is_(None))
"""Conditions under which a repeat, joined with its heartbeat, was begun and neither ended nor put down."""


def unfinished(session: Session, repeat_id: int, worker: int | None) -> Repeat:
    """The row of a repeat that has not ended, locked until the end of the transaction.

    Args:
        session: a transaction that writes.
        repeat_id: row id.
        worker: row id of the worker for which the caller has begun it, None when it never did.

    Raises:
        TakenOverError: another worker trains it by now.
        StorageError: there is none, or it has ended and never changes.
    """
    row = session.scalar(select(Repeat).where(Repeat.id == repeat_id).with_for_update())
    if row is None:
        raise StorageError(f"no repeat with row id {repeat_id}")
    if worker is not None and row.worker_id != worker:
        raise TakenOverError(f"the repeat with seed {row.seed} was taken for dead, another worker trains it")
    if row.score is not None or row.failure is not None:
        raise StorageError(f"the repeat with seed {row.seed} has ended and never changes")
    return row


def heartbeat(session: Session, repeat_id: int) -> RepeatHeartbeat:
    """The row with the signs of life of a repeat, made where there is none."""
    row = session.get(RepeatHeartbeat, repeat_id)
    if row is None:
        row = RepeatHeartbeat(repeat_id=repeat_id, heard_at=None, n_lost=0)
        session.add(row)
    return row


def database_clock(session: Session) -> datetime:
    """The present time by the clock of the database, which all workers share."""
    now: datetime = session.execute(select(func.now())).scalar_one()
    return now.replace(tzinfo=UTC) if now.tzinfo is None else now.astimezone(UTC)


def running(session: Session, study_id: int) -> list[RunningRepeatRecord]:
    """Repeats that were begun and neither ended nor put down, by row id."""
    query = (
        select(Repeat, RepeatHeartbeat.heard_at, Trial.number, Worker)
        .join(RepeatHeartbeat, RepeatHeartbeat.repeat_id == Repeat.id)
        .join(Trial, Trial.id == Repeat.trial_id)
        .outerjoin(Worker, Worker.id == Repeat.worker_id)
        .where(Trial.study_id == study_id, *IN_TRAINING)
        .order_by(Repeat.id)
    )
    now = database_clock(session)
    return [
        RunningRepeatRecord(
            id=row.id,
            trial=number,
            trial_id=row.trial_id,
            seed=row.seed,
            worker=None if worker is None else record_of(WorkerRecord, worker),
            silent_s=(now - heard_at).total_seconds(),
        )
        for row, heard_at, number, worker in session.execute(query)
        if heard_at is not None
    ]


def of_study(session: Session, study_id: int) -> dict[int, tuple[RepeatRecord, ...]]:
    """Row id of a trial to its repeats, by seed."""
    of_trials = select(Trial.id).where(Trial.study_id == study_id)
    rows = session.scalars(
        select(Repeat).where(Repeat.trial_id.in_(of_trials)).order_by(Repeat.trial_id, Repeat.seed)
    ).all()
    folds: dict[int, list[RepeatFoldRecord]] = defaultdict(list)
    if rows:
        query = select(RepeatFold).join(Repeat, Repeat.id == RepeatFold.repeat_id)
        query = query.where(Repeat.trial_id.in_(of_trials)).order_by(RepeatFold.repeat_id, RepeatFold.fold)
        for fold in session.scalars(query):
            folds[fold.repeat_id].append(record_of(RepeatFoldRecord, fold))
    found: dict[int, list[RepeatRecord]] = defaultdict(list)
    for row in rows:
        found[row.trial_id].append(record_of(RepeatRecord, row, folds=tuple(folds[row.id])))
    return {trial_id: tuple(each) for trial_id, each in found.items()}


def with_repeats(trial: TrialRecord, repeats: tuple[RepeatRecord, ...]) -> TrialRecord:
    """A trial with its further trainings, its scores being means over all of them."""
    again = [each for each in repeats if each.score is not None]
    if trial.score is None or not again:
        return replace(trial, repeats=repeats)
    of_folds = [{fold.fold: fold.score for fold in each.folds} for each in again]
    return replace(
        trial,
        repeats=repeats,
        score=fmean([trial.score, *(each.score or 0.0 for each in again)]),
        fold_scores=_means([trial.fold_scores, *of_folds]),
        tier_scores=_means([trial.tier_scores, *(each.tier_scores for each in again)]),
        first_score=trial.score,
        first_fold_scores=trial.fold_scores,
    )


def _means(trainings: Sequence[Mapping[Key, float]]) -> dict[Key, float]:
    """Means over trainings of what all of them have."""
    return {
        key: fmean(each[key] for each in trainings)
        for key in trainings[0]
        if all(key in each for each in trainings)
    }
