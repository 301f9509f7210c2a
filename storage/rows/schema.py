"""Our tables, beside Optuna's in the same database; every name begins with `ecg_`.

Nothing here refers to Optuna's tables by foreign key: deleting a study in the dashboard deletes Optuna's rows
only, and ours must not stand in the way. The link is the study's name and the trial's number.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol, TypeVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from storage.checked import check_when_read

SCHEMA_VERSION = 6
"""Version of the schema, to be raised with every change, see CONTRIBUTING; a higher version is refused."""
SUMMARY = 0
"""Fold number under which the cross-validated scores of a trial are kept."""
SCORE_COLUMN = "macro_auprc"
"""Column of the score on the objective of the study, named after the first objective there was."""


class Dataclass(Protocol):
    """An instance of any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


Record = TypeVar("Record", bound=Dataclass)


class UtcDateTime(TypeDecorator[datetime]):
    """Points in time, aware in Python and naive UTC in the database, as Optuna keeps its own."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Naive UTC."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class NumberOrNan(TypeDecorator[float]):
    """A number that may be undefined: NaN in Python, NULL in the database.

    SQLite turns NaN into NULL by itself and PostgreSQL sorts it above every number; one rule for both.
    """

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        """NULL for NaN."""
        return None if value is None or math.isnan(value) else float(value)

    def process_result_value(self, value: float | None, dialect: Dialect) -> float:
        """NaN for NULL."""
        return math.nan if value is None else value


class NumbersOrNan(TypeDecorator[Mapping[str, float]]):
    """Named numbers as one JSON object, with null for NaN and a string for infinity."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, float] | None, dialect: Dialect) -> Any:
        """Null for NaN, `inf` and `-inf` as strings."""
        if value is None:
            return None
        return {name: _finite_or_word(float(number)) for name, number in value.items()}

    def process_result_value(self, value: Any, dialect: Dialect) -> dict[str, float]:
        """NaN for null."""
        return {name: math.nan if number is None else float(number) for name, number in value.items()}


def _finite_or_word(number: float) -> float | str | None:
    if math.isnan(number):
        return None
    return number if math.isfinite(number) else str(number)


class Table(DeclarativeBase):
    """Base of our tables; its metadata holds none of Optuna's."""


class Schema(Table):
    """One row: the version of the tables and the program that made them."""

    __tablename__ = "ecg_schema"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    version: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Study(Table):
    """A study: space, data and settings; all but `touched_at` is written once."""

    __tablename__ = "ecg_studies"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    target: Mapped[str] = mapped_column(Text)
    space: Mapped[str] = mapped_column(Text)
    data_name: Mapped[str] = mapped_column(Text)
    data_version: Mapped[str] = mapped_column(Text)
    data_fingerprint: Mapped[str] = mapped_column(Text)
    synthetic: Mapped[bool]
    rate_hz: Mapped[int]
    n_records: Mapped[int]
    n_patients: Mapped[int]
    settings: Mapped[Any] = mapped_column(JSON)
    tier_classes: Mapped[Any] = mapped_column(JSON)
    skipped_records: Mapped[Any] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    touched_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Worker(Table):
    """A process that trains trials of a study."""

    __tablename__ = "ecg_workers"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("ecg_studies.id", ondelete="CASCADE"), index=True)
    host: Mapped[str] = mapped_column(Text)
    process_id: Mapped[int] = mapped_column(BigInteger)
    process_started_at: Mapped[float] = mapped_column(Double)
    device: Mapped[str] = mapped_column(Text)
    command: Mapped[str] = mapped_column(Text)
    versions: Mapped[Any] = mapped_column(JSON)
    commit: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    # Since version 2, and so the last.
    process_namespace: Mapped[str | None] = mapped_column(Text)
    precision: Mapped[str | None] = mapped_column(Text)


class Trial(Table):
    """An architecture of a study, once; `number` is that of the Optuna trial that trains it now."""

    __tablename__ = "ecg_trials"
    __table_args__ = (
        UniqueConstraint("study_id", "architecture_hash"),
        UniqueConstraint("study_id", "number"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("ecg_studies.id", ondelete="CASCADE"))
    number: Mapped[int]
    architecture_hash: Mapped[str] = mapped_column(Text)
    architecture: Mapped[Any] = mapped_column(JSON)
    description: Mapped[str] = mapped_column(Text)
    parameters: Mapped[int] = mapped_column(BigInteger)
    label_tier: Mapped[str] = mapped_column(Text)
    preset: Mapped[str | None] = mapped_column(Text)
    worker_id: Mapped[int | None] = mapped_column(ForeignKey("ecg_workers.id", ondelete="SET NULL"))
    redone_seconds: Mapped[float] = mapped_column(Double, default=0.0)
    """Training time of epochs and folds that a later attempt trained again."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Epoch(Table):
    """A point of a learning curve."""

    __tablename__ = "ecg_epochs"
    trial_id: Mapped[int] = mapped_column(ForeignKey("ecg_trials.id", ondelete="CASCADE"), primary_key=True)
    fold: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    training_loss: Mapped[float] = mapped_column(NumberOrNan, nullable=True)
    score: Mapped[float] = mapped_column(SCORE_COLUMN, NumberOrNan, nullable=True)
    seconds: Mapped[float] = mapped_column(Double)
    # Since version 3, and so the last.
    training_accuracy: Mapped[float] = mapped_column(NumberOrNan, nullable=True)
    training_f1: Mapped[float] = mapped_column(NumberOrNan, nullable=True)
    validation_loss: Mapped[float] = mapped_column(NumberOrNan, nullable=True)
    validation_accuracy: Mapped[float] = mapped_column(NumberOrNan, nullable=True)
    validation_f1: Mapped[float] = mapped_column(NumberOrNan, nullable=True)


class Fold(Table):
    """A fold trained to its end; its scores are in the two tables below."""

    __tablename__ = "ecg_folds"
    trial_id: Mapped[int] = mapped_column(ForeignKey("ecg_trials.id", ondelete="CASCADE"), primary_key=True)
    fold: Mapped[int] = mapped_column(primary_key=True)
    n_training: Mapped[int]
    n_validation: Mapped[int]
    seconds: Mapped[float] = mapped_column(Double)
    predictions: Mapped[str] = mapped_column(Text)


class Score(Table):
    """A number on a whole tier; fold 0 is the cross-validated one."""

    __tablename__ = "ecg_scores"
    trial_id: Mapped[int] = mapped_column(ForeignKey("ecg_trials.id", ondelete="CASCADE"), primary_key=True)
    fold: Mapped[int] = mapped_column(primary_key=True)
    tier: Mapped[str] = mapped_column(Text, primary_key=True)
    metric: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[float] = mapped_column(NumberOrNan, nullable=True)


class ClassScore(Table):
    """All numbers of one class on a tier; `position` is its column in the predictions."""

    __tablename__ = "ecg_class_scores"
    trial_id: Mapped[int] = mapped_column(primary_key=True)
    fold: Mapped[int] = mapped_column(primary_key=True)
    tier: Mapped[str] = mapped_column(Text, primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    class_name: Mapped[str] = mapped_column(Text)
    metrics: Mapped[Any] = mapped_column(NumbersOrNan)
    __table_args__ = (ForeignKeyConstraint(["trial_id"], ["ecg_trials.id"], ondelete="CASCADE"),)


class Decision(Table):
    """A decision of the race at one rung."""

    __tablename__ = "ecg_decisions"
    id: Mapped[int] = mapped_column(primary_key=True)
    trial_id: Mapped[int] = mapped_column(ForeignKey("ecg_trials.id", ondelete="CASCADE"), index=True)
    fold: Mapped[int]
    epoch: Mapped[int]
    rival: Mapped[int | None]
    needed: Mapped[float] = mapped_column(NumberOrNan, nullable=True)
    predicted: Mapped[float] = mapped_column(NumberOrNan, nullable=True)
    standard_error: Mapped[float] = mapped_column(NumberOrNan, nullable=True)
    pruned: Mapped[bool]
    reason: Mapped[str] = mapped_column(Text)
    probability: Mapped[float | None] = mapped_column(Double)


class Failure(Table):
    """Reason for which an attempt at a trial ended early."""

    __tablename__ = "ecg_failures"
    id: Mapped[int] = mapped_column(primary_key=True)
    trial_id: Mapped[int] = mapped_column(ForeignKey("ecg_trials.id", ondelete="CASCADE"), index=True)
    number: Mapped[int]
    """Optuna's number of the attempt that failed."""
    kind: Mapped[str] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text)
    traceback: Mapped[str] = mapped_column(Text)
    fold: Mapped[int | None]
    epoch: Mapped[int | None]
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class Repeat(Table):
    """Another training of a complete trial's architecture, with a seed of its own."""

    __tablename__ = "ecg_repeats"
    __table_args__ = (UniqueConstraint("trial_id", "seed"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    trial_id: Mapped[int] = mapped_column(ForeignKey("ecg_trials.id", ondelete="CASCADE"))
    seed: Mapped[int] = mapped_column(BigInteger)
    worker_id: Mapped[int | None] = mapped_column(ForeignKey("ecg_workers.id", ondelete="SET NULL"))
    sampler_noise_sd: Mapped[float | None] = mapped_column(Double)
    score: Mapped[float | None] = mapped_column(SCORE_COLUMN, Double)
    """Score on the target, cross-validated; NULL until all folds are trained."""
    tier_scores: Mapped[Any] = mapped_column(NumbersOrNan)
    failure: Mapped[str | None] = mapped_column(Text)
    """Reason for which it ended without a score."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class RepeatFold(Table):
    """A fold of a repeat, trained to its end."""

    __tablename__ = "ecg_repeat_folds"
    repeat_id: Mapped[int] = mapped_column(ForeignKey("ecg_repeats.id", ondelete="CASCADE"), primary_key=True)
    fold: Mapped[int] = mapped_column(primary_key=True)
    score: Mapped[float] = mapped_column(SCORE_COLUMN, NumberOrNan, nullable=True)
    n_training: Mapped[int]
    n_validation: Mapped[int]
    seconds: Mapped[float] = mapped_column(Double)
    predictions: Mapped[str] = mapped_column(Text)


class RepeatHeartbeat(Table):
    """Signs of life of the worker that trains a repeat; before version 5 one process trained all."""

    __tablename__ = "ecg_repeat_heartbeats"
    repeat_id: Mapped[int] = mapped_column(ForeignKey("ecg_repeats.id", ondelete="CASCADE"), primary_key=True)
    heard_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """The last one, by the clock of the database; NULL while nobody trains it."""
    n_lost: Mapped[int] = mapped_column(default=0)
    """Workers that died or fell silent while they trained it."""


class Opening(Table):
    """One opening of the sealed test fold; stays when its study is deleted."""

    __tablename__ = "ecg_openings"
    id: Mapped[int] = mapped_column(primary_key=True)
    study: Mapped[str | None] = mapped_column(Text)
    trial: Mapped[int | None]
    preset: Mapped[str | None] = mapped_column(Text)
    data_fingerprint: Mapped[str] = mapped_column(Text)
    metrics: Mapped[Any] = mapped_column(NumbersOrNan)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    # Since versions 3 and 6, and so the last.
    ensemble: Mapped[str | None] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(Text)


class EvaluationRow(Table):
    """An architecture or an ensemble trained anew and tested; goes with its study."""

    __tablename__ = "ecg_evaluations"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("ecg_studies.id", ondelete="CASCADE"), index=True)
    model: Mapped[str] = mapped_column(Text)
    trial: Mapped[int | None]
    preset: Mapped[str | None] = mapped_column(Text)
    ensemble: Mapped[str | None] = mapped_column(Text)
    parameters: Mapped[int] = mapped_column(BigInteger)
    label_tier: Mapped[str] = mapped_column(Text)
    fit: Mapped[str] = mapped_column(Text)
    seeds: Mapped[Any] = mapped_column(JSON)
    records: Mapped[str] = mapped_column(Text)
    external: Mapped[bool]
    data_name: Mapped[str] = mapped_column(Text)
    data_version: Mapped[str] = mapped_column(Text)
    data_fingerprint: Mapped[str] = mapped_column(Text)
    synthetic: Mapped[bool]
    exclusive_tiers: Mapped[Any] = mapped_column(JSON)
    ordinal_tiers: Mapped[Any] = mapped_column(JSON)
    predictions: Mapped[Any] = mapped_column(JSON)
    thresholds: Mapped[Any] = mapped_column(JSON)
    thresholds_from: Mapped[str] = mapped_column(Text)
    metrics: Mapped[Any] = mapped_column(NumbersOrNan)
    opening: Mapped[int | None]
    device: Mapped[str] = mapped_column(Text)
    commit: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class EvaluatedModelRow(Table):
    """A network trained for an evaluation; `position` counts from 0."""

    __tablename__ = "ecg_evaluated_models"
    evaluation_id: Mapped[int] = mapped_column(
        ForeignKey("ecg_evaluations.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    weight: Mapped[float] = mapped_column(Double)
    seed: Mapped[int] = mapped_column(BigInteger)
    architecture: Mapped[Any] = mapped_column(JSON)
    parameters: Mapped[int] = mapped_column(BigInteger)
    label_tier: Mapped[str] = mapped_column(Text)
    n_training: Mapped[int]
    epochs_trained: Mapped[int]
    seconds: Mapped[float] = mapped_column(Double)
    file: Mapped[str] = mapped_column(Text)


class EvaluatedEpoch(Table):
    """A point of the learning curve of a network trained for an evaluation."""

    __tablename__ = "ecg_evaluated_epochs"
    evaluation_id: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    fold: Mapped[int]
    training_loss: Mapped[float] = mapped_column(NumberOrNan, nullable=True)
    score: Mapped[float] = mapped_column(SCORE_COLUMN, NumberOrNan, nullable=True)
    seconds: Mapped[float] = mapped_column(Double)
    training_accuracy: Mapped[float] = mapped_column(NumberOrNan, nullable=True)
    training_f1: Mapped[float] = mapped_column(NumberOrNan, nullable=True)
    validation_loss: Mapped[float] = mapped_column(NumberOrNan, nullable=True)
    validation_accuracy: Mapped[float] = mapped_column(NumberOrNan, nullable=True)
    validation_f1: Mapped[float] = mapped_column(NumberOrNan, nullable=True)
    __table_args__ = (
        ForeignKeyConstraint(
            ["evaluation_id", "position"],
            ["ecg_evaluated_models.evaluation_id", "ecg_evaluated_models.position"],
            ondelete="CASCADE",
        ),
    )


check_when_read(Table.metadata.sorted_tables)


def record_of(kind: type[Record], row: Table, **others: Any) -> Record:
    """The record of a row, whose columns have the names of the record's fields.

    Args:
        kind: a dataclass of `storage.records`.
        row: a row of the table that keeps such records; a test compares names and types of both.
        others: values of the fields that no column holds as it is.
    """
    names = (field.name for field in fields(kind) if field.name not in others)
    return kind(**{name: getattr(row, name) for name in names}, **others)


def values_of(record: Dataclass, *, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """Values of the columns that keep a record; mappings as dictionaries, which JSON can write."""
    names = (field.name for field in fields(record) if field.name not in leave_out)
    values = {name: getattr(record, name) for name in names}
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}
