"""Search for the rows of a database in which a cell holds a value that this program never writes."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, Connection, select, type_coerce
from sqlalchemy import Table as AnyTable
from sqlalchemy.types import NullType

from storage import optuna_side
from storage.checked import Checked
from storage.errors import DamagedDatabaseError
from storage.rows.schema import Table

_OPTUNA_TABLES = tuple(optuna_side.METADATA.sorted_tables)


def with_row(connection: Connection, error: DamagedDatabaseError) -> DamagedDatabaseError:
    """The error with the row of its cell, if that is still there."""
    tables = (*Table.metadata.sorted_tables, *_OPTUNA_TABLES)
    table = next(table for table in tables if table.name == error.table)
    found = (each for each in _damage(connection, table) if each.column == error.column)
    return next(found, error)


def _damage(connection: Connection, table: AnyTable) -> Iterable[DamagedDatabaseError]:
    # As they are: the types of the columns would refuse the very cells that are looked for.
    query = select(*(type_coerce(column, NullType()) for column in table.columns))
    checks = {
        column: column.type.dialect_impl(connection.dialect).result_processor(connection.dialect, None)
        for column in table.columns
        if isinstance(column.type, Checked)
    }
    keys = [index for index, column in enumerate(table.columns) if column.primary_key] or [0]
    for row in connection.execute(query):
        for column, value in zip(table.columns, row, strict=True):
            if column in checks and not _may_be(table, column, value, checks[column]):
                yield DamagedDatabaseError(
                    table.name, column.name, value, row=", ".join(str(row[key]) for key in keys)
                )


def _may_be(table: AnyTable, column: Column[Any], value: object, check: Any) -> bool:
    if value is None:
        # Optuna's tables are declared here without saying what may be missing.
        return bool(column.nullable) or table in _OPTUNA_TABLES
    try:
        check(value)
    except DamagedDatabaseError:
        return False
    return True
