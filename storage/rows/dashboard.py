"""Notes and figures of a study in optuna-dashboard, in its own format.

The dashboard keeps both as system attributes of the study, cut into pieces. Its own functions write one piece
per transaction, so that a page opened meanwhile has half a figure; here everything that differs is written in
one transaction, and nothing else is. A test reads it back through optuna-dashboard.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from storage import optuna_side
from storage.connection.engine import insert_into
from storage.errors import UnknownStudyError

PIECE_LENGTH = 2045
"""Characters of a piece, as in optuna-dashboard."""
YOURS_BELOW = "[//]: # (Written by the search. What stands below this line is yours and stays.)"
"""Last line of a note of this program; Markdown does not show it."""
_NOTE = "dashboard:{trial}note_str:"
_VERSION = "dashboard:{trial}note_ver"
_FIGURE = "dashboard:plot_data:ecg-"
"""Prefix of the ids of the figures of this program; other figures stay."""
_SHOWN = "ecg:shown"
_AT_ONCE = 500
"""Keys per statement: databases limit the number of values in one."""

Attributes = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class DashboardContent:
    """Notes and figures that this program adds to a study in the dashboard."""

    note: str
    """Note of the study, in Markdown."""
    trial_notes: Mapping[int, str]
    """Number of a trial to its note, in Markdown; earlier notes on other trials go."""
    figures: Mapping[str, str]
    """Name to a plotly figure as JSON; one that is not named any more goes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LastUpdate:
    """Time of the last update of the dashboard."""

    at_s: float
    """Seconds since 1970 by the clock of the worker that did."""
    n_ended: int
    """Trials of Optuna's that had ended by then."""


def n_ended_and_running(session: Session, study: str) -> tuple[int, int]:
    """Trials of Optuna's that have ended, in whatever way, and that run."""
    trials = optuna_side.trials.c
    query = (
        select(trials.state, func.count())
        .where(trials.study_id == _study_id(session, study))
        .group_by(trials.state)
    )
    counts: dict[TrialState, int] = dict(session.execute(query).all())
    n_ended = sum(n for state, n in counts.items() if state.is_finished())
    return n_ended, counts.get(TrialState.RUNNING, 0)


def last_update(session: Session, study: str) -> LastUpdate | None:
    """Time of the last update of the dashboard, None if never."""
    attributes = optuna_side.study_system_attributes.c
    text = session.scalar(
        select(attributes.value_json).where(
            attributes.study_id == _study_id(session, study), attributes.key == _SHOWN
        )
    )
    return None if text is None else LastUpdate(**json.loads(text))


def write(session: Session, study: str, content: DashboardContent, update: LastUpdate) -> int:
    """Write what differs from what is there; returns the number of attributes written.

    Text that a user has put below the last line of a note stays, and a note without that line is a user's
    and stays as a whole.
    """
    study_id = _study_id(session, study)
    present = _present(session, study_id)
    numbers = optuna_side.trials.c
    trial_ids = dict(
        session.execute(select(numbers.number, numbers.trial_id).where(numbers.study_id == study_id)).all()
    )
    texts = _texts(present)
    wanted: Attributes = {_SHOWN: {"at_s": update.at_s, "n_ended": update.n_ended}}
    wanted |= _note(present, texts, "", content.note)
    for number, text in content.trial_notes.items():
        if number in trial_ids:
            wanted |= _note(present, texts, f"{trial_ids[number]}:", text)
    for name, text in content.figures.items():
        wanted |= _pieces(f"{_FIGURE}{name}:", text)
    replaced = {_text_of(key) for key in wanted}
    replaced |= {name for name, text in texts.items() if _is_ours(name, text)}
    surplus = [key for key in present if key not in wanted and _text_of(key) in replaced]
    changed = {key: value for key, value in wanted.items() if key not in present or present[key] != value}
    _delete(session, study_id, surplus)
    _upsert(session, study_id, changed)
    return len(changed) + len(surplus)


def _study_id(session: Session, study: str) -> int:
    studies = optuna_side.studies.c
    found: int | None = session.scalar(select(studies.study_id).where(studies.study_name == study))
    if found is None:
        raise UnknownStudyError(f"Optuna knows no study {study}")
    return found


def _present(session: Session, study_id: int) -> Attributes:
    attributes = optuna_side.study_system_attributes.c
    query = select(attributes.key, attributes.value_json).where(attributes.study_id == study_id)
    # No note may be edited between reading and writing; SQLite has its lock from the transaction's begin.
    rows = session.execute(query.with_for_update()).all()
    return {key: json.loads(text) for key, text in rows}


def _texts(present: Attributes) -> dict[str, str]:
    """Each text joined from its pieces, by the common prefix of their keys."""
    places: dict[str, list[int]] = {}
    for key in present:
        name, _, place = key.rpartition(":")
        if place.isdecimal():
            places.setdefault(f"{name}:", []).append(int(place))
    return {
        name: "".join(str(present[f"{name}{place}"]) for place in sorted(found))
        for name, found in places.items()
    }


def _text_of(key: str) -> str:
    """The text to which an attribute belongs."""
    note, version, _ = key.rpartition("note_ver")
    return f"{note}note_str:" if version else f"{key.rpartition(':')[0]}:"


def _is_ours(name: str, text: str) -> bool:
    """Whether a text is a figure or note of this program to which no user has added anything."""
    return name.startswith(_FIGURE) or (name.endswith("note_str:") and text.endswith(YOURS_BELOW))


def _note(present: Attributes, texts: Mapping[str, str], trial: str, text: str) -> Attributes:
    """The attributes of a note; none where a user has written one."""
    name, version = _NOTE.format(trial=trial), _VERSION.format(trial=trial)
    before = texts.get(name, "")
    ours, mark, theirs = before.partition(YOURS_BELOW)
    if ours and not mark:
        return {}
    after = f"{text}\n\n{YOURS_BELOW}{theirs}"
    counted = int(present.get(version, 0)) + (after != before)
    return {version: counted} | _pieces(name, after)


def _pieces(prefix: str, text: str) -> Attributes:
    return {
        f"{prefix}{place}": text[place * PIECE_LENGTH : (place + 1) * PIECE_LENGTH]
        for place in range(math.ceil(len(text) / PIECE_LENGTH))
    }


def _delete(session: Session, study_id: int, keys: list[str]) -> None:
    table = optuna_side.study_system_attributes
    for first in range(0, len(keys), _AT_ONCE):
        chosen = keys[first : first + _AT_ONCE]
        session.execute(delete(table).where(table.c.study_id == study_id, table.c.key.in_(chosen)))


def _upsert(session: Session, study_id: int, changed: Attributes) -> None:
    if not changed:
        return
    statement = insert_into(session, optuna_side.study_system_attributes)
    statement = statement.on_conflict_do_update(
        index_elements=["study_id", "key"], set_={"value_json": statement.excluded.value_json}
    )
    rows = [
        {"study_id": study_id, "key": key, "value_json": json.dumps(value)} for key, value in changed.items()
    ]
    session.execute(statement, rows)
