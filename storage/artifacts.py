"""Out-of-fold predictions as artifacts of Optuna trials: npz files, never pickle."""

import tempfile
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from optuna.artifacts import upload_artifact
from optuna.artifacts.exceptions import ArtifactNotFound

from storage.errors import StorageError, UnknownTrialError
from storage.store import Store


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Predictions:
    """What a model said about the records it was not trained on; N records, C classes."""

    tier: str
    classes: tuple[str, ...]
    """Class of every column."""
    ecg_id: NDArray[np.int64]
    """(N,) record of every row."""
    targets_NC: NDArray[np.bool_]
    probabilities_NC: NDArray[np.float32]


def save_predictions(
    store: Store,
    study: str,
    number: int,
    fold: int,
    *,
    ecg_id: NDArray[np.int64],
    targets_NC: NDArray[np.bool_],
    probabilities_NC: NDArray[np.float32],
    classes: tuple[str, ...],
    tier: str,
) -> str:
    """Keep the predictions of a fold; the dashboard offers them on the page of the trial.

    Args:
        store: where to.
        study: name of the study.
        number: Optuna's number of the running trial.
        fold: CV fold, from 1.
        ecg_id: (N,) records.
        targets_NC: truth.
        probabilities_NC: predictions.
        classes: class of every column.
        tier: tier of the classes.

    Returns:
        The artifact id, for `FoldRecord.predictions`.

    Raises:
        UnknownTrialError: Optuna knows no such study or trial.
        StorageError: the file cannot be written.
        ValueError: the shapes do not belong together.
    """
    shape = (len(ecg_id), len(classes))
    if targets_NC.shape != shape or probabilities_NC.shape != shape:
        raise ValueError(f"expected {shape}, got {targets_NC.shape} and {probabilities_NC.shape}")
    with store.explained(), tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"predictions-trial-{number}-fold-{fold}.npz"
        np.savez_compressed(
            file,
            tier=np.array(tier),
            classes=np.array(classes, dtype=np.str_),
            ecg_id=np.asarray(ecg_id, dtype=np.int64),
            targets_NC=np.asarray(targets_NC, dtype=np.bool_),
            probabilities_NC=np.asarray(probabilities_NC, dtype=np.float32),
        )
        storage = store.optuna_storage
        try:
            study_id = storage.get_study_id_from_name(study)
            trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
        except KeyError:
            raise UnknownTrialError(f"study {study} has no trial {number}") from None
        store.artifacts_folder.mkdir(parents=True, exist_ok=True)
        return upload_artifact(
            artifact_store=store.artifact_store,
            file_path=str(file),
            study_or_trial=storage.get_trial(trial_id),
            storage=storage,
            mimetype="application/x-npz",
        )


def load_predictions(store: Store, artifact_id: str) -> Predictions:
    """The predictions kept under an artifact id.

    Raises:
        StorageError: the file is missing or damaged.
    """
    where = f"predictions {artifact_id} in {store.artifacts_folder}"
    try:
        with store.artifact_store.open_reader(artifact_id) as reader:
            content = BytesIO(reader.read())
        with np.load(content, allow_pickle=False) as arrays:
            return Predictions(
                tier=str(arrays["tier"]),
                classes=tuple(str(name) for name in arrays["classes"]),
                ecg_id=arrays["ecg_id"],
                targets_NC=arrays["targets_NC"],
                probabilities_NC=arrays["probabilities_NC"],
            )
    except (ArtifactNotFound, FileNotFoundError):
        raise StorageError(f"{where} are missing: were the artifacts moved away from the database?") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StorageError(f"{where} are damaged: {error}") from error
