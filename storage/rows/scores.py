"""What a trial leaves behind: curve, folds, scores, decisions, failures. Callers hold the transaction."""

import math
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from itertools import groupby

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from storage.errors import StorageError
from storage.records import DecisionRecord, EpochRecord, FailureRecord, FoldRecord, TierScores
from storage.rows.schema import ClassScore, Decision, Epoch, Failure, Fold, Score, Study, Trial

SUMMARY = 0
"""Fold number under which the cross-validated scores of a trial are kept."""


def add_epoch(session: Session, trial: Trial, record: EpochRecord) -> None:
    """Append to the curve of a fold; an earlier attempt's points from here on are replaced."""
    later = (Epoch.trial_id == trial.id, Epoch.fold == record.fold, Epoch.epoch >= record.epoch)
    redone_s = session.scalar(select(func.sum(Epoch.seconds)).where(*later))
    if redone_s is not None:
        trial.redone_seconds += redone_s
        session.execute(delete(Epoch).where(*later))
    session.add(
        Epoch(
            trial_id=trial.id,
            fold=record.fold,
            epoch=record.epoch,
            training_loss=record.training_loss,
            macro_auprc=record.macro_auprc,
            seconds=record.seconds,
        )
    )


def epoch_record(row: Epoch) -> EpochRecord:
    """Row to record."""
    return EpochRecord(
        fold=row.fold,
        epoch=row.epoch,
        training_loss=row.training_loss,
        macro_auprc=row.macro_auprc,
        seconds=row.seconds,
    )


def list_epochs(session: Session, trial_id: int) -> list[EpochRecord]:
    """The curve of one trial, by fold and epoch."""
    query = select(Epoch).where(Epoch.trial_id == trial_id).order_by(Epoch.fold, Epoch.epoch)
    return [epoch_record(row) for row in session.scalars(query)]


def list_curves(session: Session, study_id: int) -> dict[int, list[EpochRecord]]:
    """The curves of all trials of a study in one query."""
    query = (
        select(Epoch)
        .join(Trial, Trial.id == Epoch.trial_id)
        .where(Trial.study_id == study_id)
        .order_by(Epoch.trial_id, Epoch.fold, Epoch.epoch)
    )
    rows = groupby(session.scalars(query), key=lambda row: row.trial_id)
    return {trial_id: [epoch_record(row) for row in group] for trial_id, group in rows}


def add_fold(session: Session, trial: Trial, record: FoldRecord) -> None:
    """Write a fold and its scores; the same fold of an earlier attempt is replaced."""
    if record.fold <= SUMMARY:
        raise StorageError(f"folds are counted from 1, not {record.fold}")
    present = session.get(Fold, (trial.id, record.fold))
    if present is not None:
        session.delete(present)
        session.flush()
    session.add(
        Fold(
            trial_id=trial.id,
            fold=record.fold,
            n_training=record.n_training,
            n_validation=record.n_validation,
            seconds=record.seconds,
            predictions=record.predictions,
        )
    )
    write_scores(session, trial, record.fold, record.scores)


def list_folds(session: Session, trial_id: int) -> list[FoldRecord]:
    """The finished folds of a trial with their scores."""
    scores = read_scores(session, trial_id)
    query = select(Fold).where(Fold.trial_id == trial_id).order_by(Fold.fold)
    return [
        FoldRecord(
            fold=row.fold,
            n_training=row.n_training,
            n_validation=row.n_validation,
            seconds=row.seconds,
            scores=scores.get(row.fold, {}),
            predictions=row.predictions,
        )
        for row in session.scalars(query)
    ]


def write_scores(session: Session, trial: Trial, fold: int, scores: Mapping[str, TierScores]) -> None:
    """Replace the scores of a fold (or of the summary).

    Raises:
        StorageError: a tier or a number of classes is not that of the study.
    """
    for table in (Score, ClassScore):
        session.execute(delete(table).where(table.trial_id == trial.id, table.fold == fold))
    tier_classes = session.scalars(select(Study.tier_classes).where(Study.id == trial.study_id)).one()
    for tier, tier_scores in scores.items():
        if tier not in tier_classes:
            raise StorageError(f"the study has no tier {tier}: it has {', '.join(tier_classes)}")
        session.add_all(
            Score(trial_id=trial.id, fold=fold, tier=tier, metric=metric, value=value)
            for metric, value in tier_scores.metrics.items()
        )
        session.add_all(
            ClassScore(trial_id=trial.id, fold=fold, tier=tier, position=i, class_name=name, metrics=metrics)
            for i, (name, metrics) in enumerate(_by_class(tier, tier_classes[tier], tier_scores))
        )


def _by_class(tier: str, classes: list[str], scores: TierScores) -> list[tuple[str, dict[str, float]]]:
    """Columns to rows: for each class its numbers by metric."""
    columns = scores.class_metrics
    for metric, column in columns.items():
        if len(column) != len(classes):
            raise StorageError(f"{metric} has {len(column)} values for the {len(classes)} classes of {tier}")
    if not columns:
        return []
    return [
        (name, {metric: column[i] for metric, column in columns.items()}) for i, name in enumerate(classes)
    ]


def read_scores(session: Session, trial_id: int) -> dict[int, dict[str, TierScores]]:
    """All scores of a trial: fold, then tier."""
    metrics: dict[tuple[int, str], dict[str, float]] = defaultdict(dict)
    for row in session.scalars(select(Score).where(Score.trial_id == trial_id)):
        metrics[row.fold, row.tier][row.metric] = row.value
    columns: dict[tuple[int, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    in_order = select(ClassScore).where(ClassScore.trial_id == trial_id).order_by(ClassScore.position)
    for class_row in session.scalars(in_order):
        for metric, value in class_row.metrics.items():
            columns[class_row.fold, class_row.tier][metric].append(value)
    scores: dict[int, dict[str, TierScores]] = defaultdict(dict)
    for fold, tier in sorted(metrics.keys() | columns.keys()):
        class_metrics = {metric: tuple(column) for metric, column in columns[fold, tier].items()}
        scores[fold][tier] = TierScores(metrics=metrics[fold, tier], class_metrics=class_metrics)
    return dict(scores)


def add_decision(session: Session, trial: Trial, record: DecisionRecord) -> None:
    """Append a decision of the race."""
    probability = record.probability
    session.add(
        Decision(
            trial_id=trial.id,
            fold=record.fold,
            epoch=record.epoch,
            rival=record.rival,
            needed=record.needed,
            predicted=record.predicted,
            standard_error=record.standard_error,
            pruned=record.pruned,
            reason=_storable(record.reason),
            probability=None if probability is None or math.isnan(probability) else probability,
        )
    )


def decision_record(row: Decision) -> DecisionRecord:
    """Row to record."""
    return DecisionRecord(
        fold=row.fold,
        epoch=row.epoch,
        rival=row.rival,
        needed=row.needed,
        predicted=row.predicted,
        standard_error=row.standard_error,
        pruned=row.pruned,
        reason=row.reason,
        probability=row.probability,
    )


def list_decisions(session: Session, trial_id: int) -> list[DecisionRecord]:
    """The decisions on one trial, oldest first."""
    query = select(Decision).where(Decision.trial_id == trial_id).order_by(Decision.id)
    return [decision_record(row) for row in session.scalars(query)]


def add_failure(session: Session, trial: Trial, record: FailureRecord, now: datetime) -> None:
    """Append a failure of the present attempt."""
    session.add(
        Failure(
            trial_id=trial.id,
            number=trial.number,
            kind=record.kind,
            message=_storable(record.message),
            traceback=_storable(record.traceback),
            fold=record.fold,
            epoch=record.epoch,
            at=record.at or now,
        )
    )


def failure_record(row: Failure) -> FailureRecord:
    """Row to record."""
    return FailureRecord(
        kind=row.kind,
        message=row.message,
        traceback=row.traceback,
        fold=row.fold,
        epoch=row.epoch,
        at=row.at,
    )


def list_failures(session: Session, trial_id: int) -> list[FailureRecord]:
    """The failures of one trial over all attempts, oldest first."""
    query = select(Failure).where(Failure.trial_id == trial_id).order_by(Failure.id)
    return [failure_record(row) for row in session.scalars(query)]


def _storable(text: str) -> str:
    """A text of foreign origin: PostgreSQL takes no NUL, neither database takes lone surrogates."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
