"""What can go wrong with the database, in one line each.

StorageError                 the database or an artifact cannot be read or written
├── DatabaseUrlError         the URL names no database that can be used
├── ConnectionLostError      the server went away within a transaction; whoever began it may begin again
├── SchemaVersionError       written by a newer version of this program, or by none
├── UnknownStudyError        no study of that name
├── StudyExistsError         a study of that name is there already
├── UnknownTrialError        no trial with that row id
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


class SchemaVersionError(StorageError):
    """The database was written by a newer version of this program, or by none."""


class UnknownStudyError(StorageError):
    """The database has no study of that name; the message lists those it has."""


class StudyExistsError(StorageError):
    """The database has a study of that name already."""


class UnknownTrialError(StorageError):
    """The database has no trial with that row id."""


class FinishedTrialError(StorageError):
    """A complete or pruned trial never changes."""


class TakenOverError(StorageError):
    """The trial was taken for dead and is continued under another number; its former owner must stop."""
