"""Records and the rows that keep them have the same fields, so that one is made of the other by name."""

from dataclasses import fields
from datetime import UTC, datetime
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest
from storage_samples import epoch_record, study_record, worker_record

from storage import records
from storage.rows.schema import (
    Dataclass,
    Decision,
    Epoch,
    EvaluatedEpoch,
    EvaluatedModelRow,
    EvaluationRow,
    Failure,
    Fold,
    Opening,
    Repeat,
    RepeatFold,
    Study,
    Table,
    Worker,
    record_of,
    values_of,
)

ROWS: dict[type, tuple[type[Table], set[str]]] = {
    records.Evaluation: (EvaluationRow, {"study_id"}),
    records.EvaluatedModel: (EvaluatedModelRow, {"evaluation_id", "position"}),
    records.StudyRecord: (Study, {"id"}),
    records.WorkerRecord: (Worker, {"id", "study_id", "at"}),
    records.EpochRecord: (Epoch, {"trial_id"}),
    records.FoldRecord: (Fold, {"trial_id"}),
    records.DecisionRecord: (Decision, {"id", "trial_id"}),
    records.FailureRecord: (Failure, {"id", "trial_id", "number"}),
    records.SealedFoldOpeningRecord: (Opening, {"id"}),
    records.RepeatRecord: (Repeat, {"worker_id", "created_at"}),
    records.RepeatFoldRecord: (RepeatFold, {"repeat_id"}),
}
"""Record to its row, and columns of the row that the record does not have."""
IN_OTHER_TABLES = {
    (records.FoldRecord, "scores"),
    (records.Evaluation, "study"),
    (records.Evaluation, "models"),
    (records.EvaluatedModel, "curve"),
    (records.RepeatRecord, "folds"),
}


def test_both_kinds_of_curves_keep_the_same_of_an_epoch() -> None:
    of_trials, of_evaluations = (set(row.__mapper__.columns.keys()) for row in (Epoch, EvaluatedEpoch))
    assert of_trials - {"trial_id"} == of_evaluations - {"evaluation_id", "position"}


@pytest.mark.parametrize("kind", ROWS)
def test_every_field_is_kept_in_a_column_of_its_name_and_type(kind: type) -> None:
    row, columns_only = ROWS[kind]
    kept = {field.name for field in fields(kind) if (kind, field.name) not in IN_OTHER_TABLES}
    assert kept | columns_only == set(row.__mapper__.columns.keys())
    for name in kept:
        (declared,) = get_args(get_type_hints(row)[name])
        assert declared is Any or optional(declared) == optional(get_type_hints(kind)[name]), name


def optional(hint: Any) -> set[Any]:
    """Types that a value may have besides None."""
    return set(get_args(hint) or (hint,)) - {NoneType}


@pytest.mark.parametrize("record", [worker_record(), epoch_record()])
def test_a_record_is_what_its_row_is_made_of(record: Dataclass) -> None:
    row, _ = ROWS[type(record)]
    assert record_of(type(record), row(**values_of(record))) == record


def test_a_field_may_be_left_out_and_given_otherwise() -> None:
    study = study_record(created_at=datetime(2026, 1, 1, tzinfo=UTC))
    values = values_of(study, leave_out=("name",))
    assert "name" not in values
    assert record_of(records.StudyRecord, Study(**values), name="other").name == "other"
