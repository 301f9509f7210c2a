"""Errors of the database and its artifacts.

StorageError                 the database or an artifact cannot be read or written
├── DatabaseUrlError         the URL names no database that can be used
├── ConnectionLostError      the server went away within a transaction, which the caller may repeat
├── DamagedDatabaseError     a cell holds what this program cannot have written
├── SchemaVersionError       written by a newer version of this program, or by none
├── UnknownStudyError        no study of that name
├── StudyExistsError         a study of that name is there already
├── UnknownTrialError        no trial with that row id
├── UnknownEvaluationError   no evaluation of that id
├── FinishedTrialError       a complete or pruned trial never changes
└── TakenOverError           another process continues this trial; the caller must stop

Messages never hold a password.
"""


class StorageError(Exception):
    """The database or an artifact cannot be read or written; the message is the whole story."""


class DatabaseUrlError(StorageError):
    """The URL of the database is not one, or not of SQLite or PostgreSQL."""


class ConnectionLostError(StorageError):
    """The server went away in the middle of a transaction, which has happened wholly or not at all."""


class DamagedDatabaseError(StorageError):
    """A cell holds what this program cannot have written.

    Args:
        table: name of the table.
        column: name of the column.
        value: what the cell holds.
        row: primary key of the row in words, once it is known.
    """

    def __init__(self, table: str, column: str, value: object, row: str = "") -> None:
        shown = repr(value)
        shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
        where = f"{table}.{column}{row and f' of row {row}'}"
        super().__init__(
            f"the database is damaged ({where} holds {shown}): restore it from a copy, or choose another "
            "--storage"
        )
        self.table, self.column, self.value = table, column, value


class SchemaVersionError(StorageError):
    """The database was written by a newer version of this program, or by none."""


class UnknownStudyError(StorageError):
    """The database has no study of that name; the message lists those it has."""


class StudyExistsError(StorageError):
    """The database has a study of that name already."""


class UnknownTrialError(StorageError):
    """The database has no trial with that row id."""


class UnknownEvaluationError(StorageError):
    """The database has no evaluation of that id; the message lists those it has."""


class FinishedTrialError(StorageError):
    """A complete or pruned trial never changes."""


class TakenOverError(StorageError):
    """The trial or repeat was taken for dead and is continued by another worker; its former one must stop."""
