"""Rows of repeats: further trainings of a trial's architecture. Callers hold the transaction."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.errors import StorageError
from storage.records import RepeatFoldRecord, RepeatRecord, TrialRecord
from storage.rows.schema import Repeat, RepeatFold, Trial, record_of

Key = TypeVar("Key", int, str)


def unfinished(session: Session, repeat_id: int) -> Repeat:
    """The row of a repeat that has not ended, locked until the end of the transaction.

    Raises:
        StorageError: there is none, or it has ended and never changes.
    """
    row = session.scalar(select(Repeat).where(Repeat.id == repeat_id).with_for_update())
    if row is None:
        raise StorageError(f"no repeat with row id {repeat_id}")
    if row.score is not None or row.failure is not None:
        raise StorageError(f"the repeat with seed {row.seed} has ended and never changes")
    return row


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
