"""What is kept: one database with Optuna's tables and ours, and artifacts beside it.

Imports nothing of `search`, `reports` or `space`.
"""

from storage.artifacts import (
    ArtifactHolder,
    Predictions,
    TierPredictions,
    attach_report,
    attach_to_study,
    load_predictions,
    save_model,
    save_predictions,
)
from storage.copying.database import Copied, copy_database
from storage.errors import (
    ConnectionLostError,
    DatabaseUrlError,
    FinishedTrialError,
    SchemaVersionError,
    StorageError,
    StudyExistsError,
    TakenOverError,
    UnknownStudyError,
    UnknownTrialError,
)
from storage.records import (
    DecisionRecord,
    EpochRecord,
    FailureRecord,
    FinishedRecord,
    FoldRecord,
    OpeningRecord,
    StudyRecord,
    TierScores,
    TrialRecord,
    TrialState,
    UnfinishedRecord,
    WorkerRecord,
)
from storage.rows.dashboard import DashboardContent
from storage.rows.trials import CONTINUES, COSTS, REFUSED
from storage.store import DEFAULT_URL, Store, open_store

__all__ = [
    "CONTINUES",
    "COSTS",
    "DEFAULT_URL",
    "REFUSED",
    "ArtifactHolder",
    "ConnectionLostError",
    "Copied",
    "DashboardContent",
    "DatabaseUrlError",
    "DecisionRecord",
    "EpochRecord",
    "FailureRecord",
    "FinishedRecord",
    "FinishedTrialError",
    "FoldRecord",
    "OpeningRecord",
    "Predictions",
    "SchemaVersionError",
    "StorageError",
    "Store",
    "StudyExistsError",
    "StudyRecord",
    "TakenOverError",
    "TierPredictions",
    "TierScores",
    "TrialRecord",
    "TrialState",
    "UnfinishedRecord",
    "UnknownStudyError",
    "UnknownTrialError",
    "WorkerRecord",
    "attach_report",
    "attach_to_study",
    "copy_database",
    "load_predictions",
    "open_store",
    "save_model",
    "save_predictions",
]
