"""Rows of trials: reservation of an architecture, ownership of a trial. Callers hold the transaction."""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Select, and_, select
from sqlalchemy.orm import Session

from storage import optuna_side
from storage.connection.engine import insert_into
from storage.errors import (
    DamagedDatabaseError,
    FinishedTrialError,
    StorageError,
    TakenOverError,
    UnknownTrialError,
)
from storage.records import PARAMETERS, GainRecord
from storage.rows.schema import Study, Trial, values_of

CONTINUES = "continues"
"""User attribute of a trial that the search queued: numbers of the trials that it continues."""
REFUSED = "refused"
"""User attribute of a queued trial that cannot be trained: the reason."""
GAIN = "gain: "
"""User attribute of a trial that the sampler proposed: what was left to gain, `expected` and `at most`."""
COST = "cost: "
"""User attribute of a trial with an architecture: every cost of its model, by name."""
_NEVER_CHANGE = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """Request of a trial to train an architecture; the fields are columns of its row."""

    number: int
    """Optuna's number of the trial."""
    architecture_hash: str
    """Hash of the canonical form."""
    architecture: Mapping[str, Any]
    description: str
    """The architecture in words."""
    parameters: int
    label_tier: str
    """Tier that the trial is trained on."""
    preset: str | None = None
    worker_id: int | None = None
    """Row id of the worker."""


def reserve(
    session: Session,
    study_id: int,
    claim: Claim,
    previous: Collection[int],
    now: datetime,
    *,
    thaw: bool,
) -> int | None:
    """Give the architecture to the trial, unless another trial has it; return the row id or None.

    Raises:
        StorageError: the trial has reserved another architecture before.
    """
    owned = session.scalar(select(Trial).where(Trial.study_id == study_id, Trial.number == claim.number))
    if owned is not None and owned.architecture_hash != claim.architecture_hash:
        raise StorageError(f"trial {claim.number} has reserved another architecture: {owned.description}")
    values = {"study_id": study_id, **values_of(claim), "redone_seconds": 0.0, "created_at": now}
    # ON CONFLICT waits for a competing transaction on PostgreSQL, then the row below is the winner's.
    session.execute(insert_into(session, Trial).values(values).on_conflict_do_nothing())
    row = session.scalars(
        select(Trial)
        .where(Trial.study_id == study_id, Trial.architecture_hash == claim.architecture_hash)
        .with_for_update()
    ).one()
    if row.number == claim.number:
        return row.id
    final = (TrialState.COMPLETE,) if thaw else _NEVER_CHANGE
    if row.number not in previous or optuna_state(session, row) in final:
        return None
    row.number = claim.number
    row.worker_id = claim.worker_id
    return row.id


def owned(session: Session, trial_id: int, number: int | None) -> Trial:
    """The row of a trial that the caller may write, locked until the end of the transaction.

    Args:
        session: a transaction that writes.
        trial_id: row id.
        number: the number under which the caller reserved the row, None when it never did.

    Raises:
        UnknownTrialError: no such row.
        TakenOverError: the row has another number by now.
    """
    row = session.scalar(select(Trial).where(Trial.id == trial_id).with_for_update())
    if row is None:
        raise UnknownTrialError(f"no trial with row id {trial_id}")
    if number is not None and row.number != number:
        raise TakenOverError(f"trial {number} was taken for dead and is continued as trial {row.number}")
    return row


def check_unfinished(session: Session, row: Trial) -> None:
    """Raise if the trial is finished and must not change.

    Raises:
        FinishedTrialError: the trial is complete or pruned.
    """
    state = optuna_state(session, row)
    if state in _NEVER_CHANGE:
        raise FinishedTrialError(f"trial {row.number} is {state.name.lower()} and never changes")


def check_known(session: Session, trial_id: int) -> None:
    """Refuse a row id that is not there.

    Raises:
        UnknownTrialError: no such row.
    """
    if session.get(Trial, trial_id) is None:
        raise UnknownTrialError(f"no trial with row id {trial_id}")


def optuna_state(session: Session, row: Trial) -> TrialState | None:
    """Optuna's state of the trial, None when Optuna has no such trial."""
    trials = optuna_side.trials.c
    query = (
        select(trials.state)
        .join(optuna_side.studies, optuna_side.studies.c.study_id == trials.study_id)
        .join(Study, Study.name == optuna_side.studies.c.study_name)
        .where(Study.id == row.study_id, trials.number == row.number)
    )
    return session.scalar(query)


def tried(session: Session, study_id: int) -> dict[str, int]:
    """Architecture hash to trial number."""
    query = select(Trial.architecture_hash, Trial.number).where(Trial.study_id == study_id)
    return {row.architecture_hash: row.number for row in session.execute(query)}


@dataclass(frozen=True, kw_only=True, slots=True)
class OptunaTrial:
    """State and attributes of a trial in Optuna's tables."""

    number: int
    state: TrialState
    started_at: datetime | None
    ended_at: datetime | None
    score: float | None
    """The first objective; None unless complete."""


def optuna_trials(session: Session, study: Study) -> dict[int, OptunaTrial]:
    """Optuna's trials of a study, by number."""
    trials, values = optuna_side.trials.c, optuna_side.trial_values.c
    query = (
        select(trials.number, trials.state, trials.datetime_start, trials.datetime_complete, values.value)
        .select_from(optuna_side.trials)
        .outerjoin(optuna_side.trial_values, and_(values.trial_id == trials.trial_id, values.objective == 0))
        .where(optuna_side.in_study(study.name))
    )
    return {
        number: OptunaTrial(
            number=number,
            state=state,
            started_at=start and start.replace(tzinfo=UTC),
            ended_at=end and end.replace(tzinfo=UTC),
            score=value if state is TrialState.COMPLETE else None,
        )
        for number, state, start, end, value in session.execute(query)
    }


def _value(text: str | None, table: str = "trial_user_attributes") -> Any:
    """Value of an attribute of a trial.

    Raises:
        DamagedDatabaseError: it is no JSON.
    """
    try:
        return json.loads(text or "")
    except ValueError:
        raise DamagedDatabaseError(table, "value_json", text) from None


# In quotes: SQLAlchemy 2.0 subscripts the type with a tuple.
def _user_attributes(study: Study) -> "Select[int, str, str | None]":
    """Number of a trial, name and JSON of each attribute of the trials of a study."""
    trials, attributes = optuna_side.trials.c, optuna_side.trial_user_attributes.c
    return (
        select(trials.number, attributes.key, attributes.value_json)
        .select_from(optuna_side.trial_user_attributes)
        .join(optuna_side.trials, trials.trial_id == attributes.trial_id)
        .where(optuna_side.in_study(study.name))
    )


def costs(session: Session, study: Study) -> dict[int, dict[str, int]]:
    """Number of a trial to every cost of its model; trials of earlier versions have none."""
    trials, attributes = optuna_side.trials.c, optuna_side.trial_user_attributes.c
    query = (
        _user_attributes(study).where(attributes.key.startswith(COST)).order_by(trials.number, attributes.key)
    )
    found: dict[int, dict[str, int]] = {}
    for number, key, text in session.execute(query):
        value = _value(text)
        if type(value) is int:  # anybody may write an attribute
            found.setdefault(number, {})[key.removeprefix(COST)] = value
    return found


def gains(session: Session, study: Study) -> list[GainRecord]:
    """Expected gain of each proposal, by number of the trial; only where it is known.

    A trial that continues another has its attributes, and was not proposed.
    """
    trials, attributes = optuna_side.trials.c, optuna_side.trial_user_attributes.c
    query = _user_attributes(study).where(attributes.key.startswith(GAIN)).order_by(trials.number)
    found: dict[int, dict[str, float]] = {}
    for number, key, text in session.execute(query):
        value = _value(text)
        if type(value) in (int, float) and math.isfinite(value):  # anybody may write an attribute
            found.setdefault(number, {})[key.removeprefix(GAIN)] = float(value)
    continuing = set(successors(session, study).values()) if found else set()
    return [
        GainRecord(trial=number, expected=values["expected"], at_most=values["at most"])
        for number, values in found.items()
        if {"expected", "at most"} <= values.keys() and number not in continuing
    ]


def with_minimised_cost(costs: Mapping[str, int], cost_name: str, row: Trial) -> Mapping[str, int]:
    """Costs of a trial, the one that its study minimises among them.

    Raises:
        StorageError: that one is gone.
    """
    if cost_name == PARAMETERS or cost_name in costs:
        return costs
    raise StorageError(
        f"trial {row.number} of the study has lost its user attribute {COST + cost_name!r}, the second "
        "objective: restore it from a copy of the database"
    )


def refusals(session: Session, study: Study) -> dict[int, str]:
    """Number of a trial that was refused to the reason."""
    trials, attributes = optuna_side.trials.c, optuna_side.trial_user_attributes.c
    query = (
        _user_attributes(study)
        .outerjoin(Trial, and_(Trial.study_id == study.id, Trial.number == trials.number))
        .where(attributes.key == REFUSED, trials.state == TrialState.FAIL, Trial.id.is_(None))
        .order_by(trials.number)
    )
    return {number: str(_value(text)) for number, _, text in session.execute(query)}


def not_trained_here(session: Session, study: Study) -> list[int]:
    """Numbers of trials that others have finished: complete or pruned for Optuna, and unknown to us."""
    trials = optuna_side.trials.c
    query = (
        select(trials.number)
        .outerjoin(Trial, and_(Trial.study_id == study.id, Trial.number == trials.number))
        .where(optuna_side.in_study(study.name), Trial.id.is_(None))
        .where(trials.state.in_(_NEVER_CHANGE))
        .order_by(trials.number)
    )
    found = list(session.scalars(query))
    thawed = successors(session, study) if found else {}
    return [number for number in found if number not in thawed]


def retry_histories(session: Session, study: Study) -> dict[int, list[int]]:
    """Number of a trial that Optuna queued again to the numbers of its dead predecessors, oldest first."""
    trials, attributes = optuna_side.trials.c, optuna_side.trial_system_attributes.c
    query = (
        select(trials.number, attributes.value_json)
        .select_from(optuna_side.trial_system_attributes)
        .join(optuna_side.trials, trials.trial_id == attributes.trial_id)
        .where(optuna_side.in_study(study.name), optuna_side.is_retry_history(attributes.key))
    )
    return {number: _value(text, "trial_system_attributes") for number, text in session.execute(query)}


def successors(session: Session, study: Study) -> dict[int, int]:
    """Number of a trial to the number of the one that continues it."""
    histories = retry_histories(session, study)
    is_named = optuna_side.trial_user_attributes.c.key == CONTINUES
    for number, _, text in session.execute(_user_attributes(study).where(is_named)):
        continued = _value(text)  # of a queued trial, and anybody may queue one
        named = [each for each in continued if type(each) is int] if isinstance(continued, list) else []
        histories[number] = [*histories.get(number, []), *named]
    # Of several that continue a trial the first comes last, and stays.
    latest_first = sorted(histories.items(), reverse=True)
    return {before: number for number, history in latest_first for before in history}
