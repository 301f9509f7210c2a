"""Columns whose values are checked as they are read.

A damaged disk, an editor or another program may leave any value in any cell, and SQLite holds whatever it is
given. A cell that this program cannot have written is named where it is read; every other error is a mistake
of the program and keeps its traceback.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import JSON, Boolean, Dialect, Double, Enum, Integer, String, TypeDecorator
from sqlalchemy import Table as AnyTable
from sqlalchemy.types import NullType, TypeEngine

from storage.errors import DamagedDatabaseError


class Checked(TypeDecorator[Any]):
    """The type of a column, and which of its values are possible.

    Args:
        declared: the type.
        table: name of the table.
        column: name of the column.
    """

    impl: Any = NullType
    cache_ok = True

    def __init__(self, declared: TypeEngine[Any], table: str, column: str) -> None:
        super().__init__()
        self.declared = declared
        self.impl = declared
        self.impl_instance = declared
        self.table = table
        self.column = column

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        """Return the conversion from a value of the driver to one of Python.

        Raises:
            DamagedDatabaseError: (by the processor) the column cannot hold such a value.
        """
        decode = self.impl_instance.result_processor(dialect, coltype)
        fits = _fits(self.declared, self.table, self.column)

        def process(value: Any) -> Any:
            try:
                decoded = value if decode is None else decode(value)
                if value is None or fits(decoded):
                    return decoded
            except (ValueError, TypeError, LookupError, AttributeError, OverflowError):
                pass
            raise DamagedDatabaseError(self.table, self.column, value)

        return process


def check_when_read(tables: Iterable[AnyTable]) -> None:
    """Give all columns a type that checks, but a row id of its own, which the database gives."""
    for table in tables:
        for column in table.columns:
            if not column.primary_key or len(table.primary_key.columns) > 1:
                column.type = Checked(column.type, table.name, column.name)


def _fits(declared: TypeEngine[Any], table: str, column: str) -> Callable[[Any], bool]:
    """Whether a decoded value is possible."""
    possible = POSSIBLE.get((table, column)) or SHAPES.get(column)
    kind = getattr(declared, "impl_instance", declared)
    if isinstance(kind, JSON):
        return possible or (lambda _: True)
    # Exact types: True is an int to Python, and no number that was stored.
    types: tuple[type, ...] | None = next(
        (types for known, types in _PYTHON_TYPES.items() if isinstance(kind, known)), None
    )
    if types is None or isinstance(kind, Enum):  # an enumeration or a time, which decoding has judged
        return lambda _: True
    return lambda value: type(value) in types and (possible is None or possible(value))


_PYTHON_TYPES: Mapping[type[TypeEngine[Any]], tuple[type, ...]] = {
    Boolean: (bool,),
    Integer: (int,),
    Double: (int, float),
    String: (str,),
}


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


def _are_texts(document: object) -> bool:
    return isinstance(document, list) and all(isinstance(each, str) for each in document)


def _are_lists_of_texts(document: object) -> bool:
    return isinstance(document, Mapping) and all(map(_are_texts, document.values()))


def _are_whole_numbers(document: object) -> bool:
    return isinstance(document, list) and all(type(each) is int for each in document)


def _are_thresholds(document: object) -> bool:
    return isinstance(document, Mapping) and all(
        isinstance(of_seeds, list)
        and all(isinstance(of_seed, list) for of_seed in of_seeds)
        and all(type(each) in {int, float} for of_seed in of_seeds for each in of_seed)
        for of_seeds in document.values()
    )


SHAPES: Mapping[str, Callable[[Any], bool]] = {
    "settings": _is_object,
    "versions": _is_object,
    "architecture": _is_object,
    "tier_classes": _are_classes,
    "skipped_records": _are_skipped,
    "seeds": _are_whole_numbers,
    "exclusive_tiers": _are_texts,
    "ordinal_tiers": _are_texts,
    "thresholds": _are_thresholds,
}
"""Type of the content of JSON columns, where readers rely on it."""

POSSIBLE: Mapping[tuple[str, str], Callable[[Any], bool]] = {
    ("ecg_trials", "parameters"): lambda number: number >= 1,
    ("ecg_evaluations", "predictions"): _are_lists_of_texts,
}
"""Type of the content of columns whose name other tables use for another type."""
