"""Errors for the user: one line, one value, one next step.

SearchError                 exit status 1: the command could not be carried out
├── UsageError              exit status 2: the command line names something that does not exist
├── DataError               the data set on disk is missing or invalid
│   ├── RecordError         one record cannot be read as an ECG
│   └── DamagedRecordsError one or more records cannot be read as ECGs
├── StudyMismatchError      the study was made with other data, target, space or settings
└── TrainingError           a fold could not be trained; fails its trial, never the study

`storage` and `reports` stand below `search` and have trees of their own
(`storage.StorageError`, `reports.ReportError`); the command line catches all three.
"""


class SearchError(Exception):
    """A mistake or a condition the user can act on; the message is the whole story."""

    exit_status = 1


class UsageError(SearchError):
    """An argument has a value that cannot be used."""

    exit_status = 2


class DataError(SearchError):
    """The data set is missing, incomplete or not in the expected format."""


class RecordError(DataError):
    """One record cannot be read as an ECG; the message is the reason."""


class DamagedRecordsError(DataError):
    """Records that cannot be read as ECGs; the message lists ids and reasons."""


class StudyMismatchError(SearchError):
    """A study of this name exists and was made with something else."""


class TrainingError(SearchError):
    """A fold diverged, ran out of memory or raised; `kind` names which."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def first_line(error: BaseException, most: int | None = None) -> str:
    """First line of the message of an error that a library raised, or its type where there is no message.

    Args:
        error: the error.
        most: characters that are kept; None for all.
    """
    return str(error).strip().partition("\n")[0][:most] or type(error).__name__


def one_line(error: BaseException, most: int | None = 160) -> str:
    """The whole message of an error that a library raised, joined to one line, or its type without one.

    Args:
        error: the error.
        most: characters that are kept; None for all.
    """
    return " ".join(str(error).split())[:most] or type(error).__name__


_SIGNS_OF_NO_MEMORY = (
    "out of memory",  # of CUDA's driver
    "DefaultCPUAllocator",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUFFT_ALLOC_FAILED",
    "unable to find an engine",  # cuDNN, when no algorithm has room for its workspace
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the processor or of a GPU, whichever library noticed."""
    # PyTorch's own is no MemoryError, and PyTorch is not imported for it.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS_OF_NO_MEMORY)
