"""Why a database cannot be read: the first value in it that this program never wrote.

A damaged disk, an editor or another program may leave any value in any cell, and SQLite holds whatever it is
given. Readers trust what was written; where one stumbles, this finds out whether the database is to blame.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, Column, DateTime, Double, Enum, Integer, String, select, type_coerce
from sqlalchemy import Table as AnyTable
from sqlalchemy.types import NullType, TypeEngine

from storage import optuna_side
from storage.engine import explained, make_engine, parse_url, reading, shortened
from storage.schema import NumbersOrNan, Table

_OPTUNA_TABLES = (optuna_side.studies, optuna_side.trials, optuna_side.trial_values)


def find_unsound(url: str) -> str | None:
    """Table, column and value of the first cell that cannot be right; None where all may be.

    Raises:
        StorageError: the database cannot be read at all.
    """
    parsed = parse_url(url)
    engine = make_engine(parsed)
    try:
        with explained(str(parsed.database)), reading(engine).connect() as connection:
            for table in (*Table.metadata.sorted_tables, *_OPTUNA_TABLES):
                # As they are: the types of the columns would stumble over what is looked for.
                query = select(*(type_coerce(column, NullType()) for column in table.columns))
                for row in connection.execute(query):
                    for column, value in zip(table.columns, row, strict=True):
                        if not _may_be(table, column, value):
                            return f"{table.name}.{column.name} holds {shortened(repr(value)[:60])}"
    finally:
        engine.dispose()
    return None


def _may_be(table: AnyTable, column: Column[Any], value: object) -> bool:
    if value is None:
        # Optuna's tables are declared here without saying what may be missing.
        return bool(column.nullable) or table in _OPTUNA_TABLES
    try:
        is_possible = _POSSIBLE.get((table.name, column.name))
        fits = _CHECKS[_kind(column.type)](column, value)
        return fits and (is_possible is None or is_possible(value))
    except (ValueError, TypeError, KeyError):
        return False


def _kind(declared: TypeEngine[Any]) -> type:
    if isinstance(declared, NumbersOrNan):
        return NumbersOrNan
    implementation = getattr(declared, "impl_instance", declared)
    return next(kind for kind in _CHECKS if isinstance(implementation, kind))


def _is_json(column: Column[Any], value: object) -> bool:
    document = json.loads(value) if isinstance(value, str | bytes) else value
    has_shape = _SHAPES.get(column.name)
    return has_shape is None or has_shape(document)


def _is_time(_: Column[Any], value: object) -> bool:
    return isinstance(value, datetime) or (isinstance(value, str) and bool(datetime.fromisoformat(value)))


def _is_numbers(_: Column[Any], value: object) -> bool:
    document = json.loads(value) if isinstance(value, str | bytes) else value
    return isinstance(document, Mapping) and all(_is_number_or_word(number) for number in document.values())


def _is_number_or_word(value: object) -> bool:
    return value is None or isinstance(value, int | float) or value in {"inf", "-inf"}


def _are_classes(document: object) -> bool:
    return isinstance(document, Mapping) and all(
        isinstance(names, list) and all(isinstance(name, str) for name in names)
        for names in document.values()
    )


def _are_skipped(document: object) -> bool:
    return isinstance(document, list) and all(
        isinstance(entry, Mapping) and {"ecg_id", "filename", "reason"} <= entry.keys() for entry in document
    )


def _is_object(document: object) -> bool:
    return isinstance(document, Mapping)


_SHAPES: Mapping[str, Callable[[object], bool]] = {
    "settings": _is_object,
    "versions": _is_object,
    "architecture": _is_object,
    "tier_classes": _are_classes,
    "skipped_records": _are_skipped,
}
"""What a JSON column holds, where readers rely on it."""

_POSSIBLE: Mapping[tuple[str, str], Callable[[Any], bool]] = {
    ("ecg_trials", "parameters"): lambda number: number >= 1,
}
"""Which numbers a column may hold, where readers rely on it."""

_CHECKS: Mapping[type, Callable[[Column[Any], object], bool]] = {
    NumbersOrNan: _is_numbers,
    JSON: _is_json,
    DateTime: _is_time,
    Boolean: lambda _, value: value in (0, 1),
    Enum: lambda column, value: value in column.type.enums,  # type: ignore[attr-defined]
    Integer: lambda _, value: type(value) is int,
    Double: lambda _, value: type(value) in (int, float),
    String: lambda _, value: isinstance(value, str),
}
"""What a column of a type may hold; the first that fits counts."""
