"""Studies, workers and openings of the sealed fold: rows in, records out. Callers hold the transaction."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import delete, exists, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage import optuna_side
from storage.errors import UnknownStudyError
from storage.records import OpeningRecord, StudyRecord, WorkerRecord
from storage.rows.schema import Opening, Study, Worker

_OPTUNA_HAS_IT = exists().where(optuna_side.studies.c.study_name == Study.name)
"""A study deleted in the dashboard is gone for us too, although our rows are still there."""


def insert_study(session: Session, record: StudyRecord, now: datetime) -> bool:
    """Write the row that makes the study exist; False when there is one of that name."""
    if session.scalar(select(Study.id).where(Study.name == record.name)) is not None:
        return False
    study = Study(
        name=record.name,
        target=record.target,
        space=record.space,
        data_name=record.data_name,
        data_version=record.data_version,
        data_fingerprint=record.data_fingerprint,
        synthetic=record.synthetic,
        rate_hz=record.rate_hz,
        n_records=record.n_records,
        n_patients=record.n_patients,
        settings=dict(record.settings),
        tier_classes={tier: list(classes) for tier, classes in record.tier_classes.items()},
        skipped_records=[dict(skipped) for skipped in record.skipped_records],
        created_at=record.created_at or now,
        touched_at=record.touched_at or now,
    )
    try:
        with session.begin_nested():
            session.add(study)
    except IntegrityError:  # on a server, another process has added it since the question
        return False
    return True


def delete_orphan(session: Session, name: str) -> None:
    """Drop our rows of a study that was deleted in the dashboard, so that the name is free again."""
    session.execute(delete(Study).where(Study.name == name, ~_OPTUNA_HAS_IT))


def find_study(session: Session, name: str) -> Study:
    """The row of a study.

    Raises:
        UnknownStudyError: there is none; the message lists those there are.
    """
    row = session.scalar(select(Study).where(Study.name == name, _OPTUNA_HAS_IT))
    if row is None:
        known = ", ".join(study.name for study in list_studies(session))
        hint = f"known are {known}" if known else "there is none yet: run `python -m search run` first"
        raise UnknownStudyError(f"no study {name}: {hint}")
    return row


def list_studies(session: Session) -> list[StudyRecord]:
    """All studies, last touched first."""
    query = select(Study).where(_OPTUNA_HAS_IT).order_by(Study.touched_at.desc(), Study.id.desc())
    return [study_record(row) for row in session.scalars(query)]


def study_record(row: Study) -> StudyRecord:
    """Row to record."""
    return StudyRecord(
        name=row.name,
        target=row.target,
        space=row.space,
        data_name=row.data_name,
        data_version=row.data_version,
        data_fingerprint=row.data_fingerprint,
        synthetic=row.synthetic,
        rate_hz=row.rate_hz,
        n_records=row.n_records,
        n_patients=row.n_patients,
        settings=row.settings,
        tier_classes={tier: tuple(classes) for tier, classes in row.tier_classes.items()},
        skipped_records=tuple(row.skipped_records),
        created_at=row.created_at,
        touched_at=row.touched_at,
    )


def insert_worker(session: Session, study: str, record: WorkerRecord, now: datetime) -> int:
    """Write a worker, return its row id."""
    row = Worker(
        study_id=find_study(session, study).id,
        host=record.host,
        process_id=record.process_id,
        process_started_at=record.process_started_at,
        device=record.device,
        command=record.command,
        versions=dict(record.versions),
        commit=record.commit,
        at=now,
        process_namespace=record.process_namespace,
        precision=record.precision,
    )
    session.add(row)
    session.flush()
    return row.id


def list_workers(session: Session, study_id: int) -> list[WorkerRecord]:
    """Workers of a study, oldest first."""
    query = select(Worker).where(Worker.study_id == study_id).order_by(Worker.id)
    return [worker_record(row) for row in session.scalars(query)]


def worker_record(row: Worker) -> WorkerRecord:
    """Row to record."""
    return WorkerRecord(
        host=row.host,
        process_id=row.process_id,
        process_started_at=row.process_started_at,
        device=row.device,
        command=row.command,
        versions=row.versions,
        commit=row.commit,
        process_namespace=row.process_namespace,
        precision=row.precision,
    )


def insert_opening(session: Session, record: OpeningRecord, now: datetime) -> int:
    """Write down that the sealed fold is being opened; returns the row id."""
    row = Opening(
        study=record.study,
        trial=record.trial,
        preset=record.preset,
        data_fingerprint=record.data_fingerprint,
        metrics=dict(record.metrics),
        at=record.at or now,
    )
    session.add(row)
    session.flush()
    return row.id


def update_opening(session: Session, opening_id: int, metrics: Mapping[str, float]) -> None:
    """Write what was found into an opening."""
    session.execute(update(Opening).where(Opening.id == opening_id).values(metrics=dict(metrics)))


def list_openings(session: Session, study: str | None) -> list[OpeningRecord]:
    """Openings of one study, or all of them, oldest first."""
    query = select(Opening).order_by(Opening.id)
    if study is not None:
        query = query.where(Opening.study == study)
    return [
        OpeningRecord(
            study=row.study,
            trial=row.trial,
            preset=row.preset,
            data_fingerprint=row.data_fingerprint,
            metrics=row.metrics,
            at=row.at,
        )
        for row in session.scalars(query)
    ]
