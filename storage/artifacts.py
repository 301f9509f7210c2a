"""Predictions (npz), trained models (safetensors) and reports as artifacts of Optuna's trials and studies.

Never pickle.
"""

import hashlib
import json
import re
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from optuna.artifacts import get_all_artifact_meta, upload_artifact
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.trial import FrozenTrial, TrialState

from storage.errors import StorageError, UnknownTrialError
from storage.files import write_whole
from storage.optuna_side import ARTIFACT
from storage.store import Store

REPORT_NAME = "report.html"
"""File name under which the dashboard offers the page of a report."""
_GROUP = "group_"
"""Prefix of the attributes of records in a file of predictions."""
_MIMETYPES = {
    ".npz": "application/x-npz",
    ".safetensors": "application/octet-stream",
    ".html": "text/html",
}
_MODEL_NAME = re.compile(r"model-trial-\d+-fold-(\d+)\.safetensors")
"""File of a model of a fold, as `save_model` names it."""


class ArtifactHolder(Protocol):
    """The part of `storage.Store` that reading an artifact needs."""

    @property
    def artifact_store(self) -> Any:
        """Optuna's artifact store."""

    @property
    def artifacts_folder(self) -> Path:
        """Folder of the files."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TierPredictions:
    """Truth and predictions of N records on one tier of C classes."""

    classes: tuple[str, ...]
    """Class of every column."""
    targets_NC: NDArray[np.bool_]
    probabilities_NC: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Predictions:
    """Predictions of a model for records it was not trained on; N records, C classes."""

    tier: str
    classes: tuple[str, ...]
    """Class of every column."""
    ecg_id: NDArray[np.int64]
    """(N,) record of every row."""
    targets_NC: NDArray[np.bool_]
    probabilities_NC: NDArray[np.float32]
    patient_id: NDArray[np.int64] | None = None
    """(N,) patient of every row; None in files of before patients were kept."""
    age: NDArray[np.float32] | None = None
    """(N,) years, 90 for 90 and over, NaN for unknown; None where the data set has none, and in files of
    before ages were kept."""
    sex: NDArray[np.float32] | None = None
    """(N,) 0 male, 1 female, NaN for unknown; None as for ages."""
    groups: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    """(N,) where every row comes from, by what divides them, such as `device`; empty text for unknown. None
    are there in files of before they were kept."""
    projected: Mapping[str, TierPredictions] = field(default_factory=dict)
    """The same predictions projected onto the study's target and the tiers that it refines, by tier; without
    the tier itself, and empty in files of before they were kept."""

    def on(self, tier: str) -> TierPredictions | None:
        """The predictions on a tier; None where they were not kept."""
        if tier == self.tier:
            return TierPredictions(
                classes=self.classes, targets_NC=self.targets_NC, probabilities_NC=self.probabilities_NC
            )
        return self.projected.get(tier)


def save_predictions(store: Store, study: str, number: int, fold: int, predictions: Predictions) -> str:
    """Keep the predictions of a fold; the dashboard offers them on the page of the trial.

    Args:
        store: where to.
        study: name of the study.
        number: Optuna's number of the running trial.
        fold: CV fold, from 1.
        predictions: with patients, since a report draws whole patients, and on the other tiers, which a
            report cannot compute by itself.

    Returns:
        The artifact id, for `FoldRecord.predictions`.

    Raises:
        UnknownTrialError: there is no such study or trial.
        StorageError: the file cannot be written.
        ValueError: the shapes do not belong together.
    """
    name = f"predictions-trial-{number}-fold-{fold}.npz"
    return _attach(store, study, name, _packed(predictions), trial=number)


def keep_evaluated_predictions(store: Store, study: str, name: str, predictions: Predictions) -> str:
    """Keep the predictions of one model of an evaluation for one part of the records.

    Args:
        store: where to.
        study: name of the study; the dashboard offers the file among its artifacts.
        name: name of the file, with neither folder nor `.npz`; several may have the same.
        predictions: on the tier of the evaluation, and on every coarser one that it reaches as `projected`.

    Returns:
        The artifact id.

    Raises:
        StorageError: the database or the folder of the artifacts cannot be written.
        ValueError: the shapes do not belong together.
    """
    return _attach(store, study, f"{name}.npz", _packed(predictions))


def keep_evaluated_model(store: Store, study: str, name: str, content: bytes) -> str:
    """Keep a model trained for an evaluation; for `EvaluatedModel.file`.

    Args:
        store: where to.
        study: name of the study; the dashboard offers the file among its artifacts.
        name: name of the file, with neither folder nor `.safetensors`; several may have the same.
        content: content of the file.

    Returns:
        The artifact id, which is its name in the folder of the artifacts.

    Raises:
        StorageError: the database or the folder of the artifacts cannot be written.
    """
    return _attach(store, study, f"{name}.safetensors", content)


def _packed(predictions: Predictions) -> bytes:
    """The file of predictions.

    Raises:
        ValueError: the shapes do not belong together.
    """
    own, ecg_id, patient_id = predictions.on(predictions.tier), predictions.ecg_id, predictions.patient_id
    assert own is not None
    for each in (own, *predictions.projected.values()):
        shape = (len(ecg_id), len(each.classes))
        if each.targets_NC.shape != shape or each.probabilities_NC.shape != shape:
            found = f"{each.targets_NC.shape} and {each.probabilities_NC.shape}"
            raise ValueError(f"expected {shape}, got {found}")
    if patient_id is not None and patient_id.shape != ecg_id.shape:
        raise ValueError(f"expected {len(ecg_id)} patients, got {patient_id.shape}")
    of_people = {"age": predictions.age, "sex": predictions.sex}
    for name, value_N in (*of_people.items(), *predictions.groups.items()):
        if value_N is not None and value_N.shape != ecg_id.shape:
            raise ValueError(f"expected {name} of {len(ecg_id)} records, got {value_N.shape}")
    names = sorted(predictions.projected)
    arrays: dict[str, Any] = {
        "tier": np.array(predictions.tier),
        "ecg_id": np.asarray(ecg_id, dtype=np.int64),
        "projected": np.array(names, dtype=np.str_),
        **_tier_arrays(own),
    }
    if patient_id is not None:
        arrays["patient_id"] = np.asarray(patient_id, dtype=np.int64)
    for name, value_N in of_people.items():
        if value_N is not None:
            arrays[name] = np.asarray(value_N, dtype=np.float32)
    for name, group_N in predictions.groups.items():
        arrays[f"{_GROUP}{name}"] = np.asarray(group_N, dtype=np.str_)
    for index, name in enumerate(names):
        arrays |= _tier_arrays(predictions.projected[name], f"{index}_")
    file = BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def save_model(store: Store, study: str, number: int, fold: int, content: bytes) -> str:
    """Keep the model of a fold; the dashboard offers it on the page of the trial.

    Args:
        store: where to.
        study: name of the study.
        number: Optuna's number of the running trial.
        fold: CV fold, from 1.
        content: content of the file.

    Returns:
        The artifact id.

    Raises:
        UnknownTrialError: there is no such study or trial.
        StorageError: the file cannot be written.
    """
    return _attach(store, study, f"model-trial-{number}-fold-{fold}.safetensors", content, trial=number)


def kept_models(store: Store, study: str, number: int) -> dict[int, str]:
    """CV fold to artifact id of every model that `save_model` kept of a trial; empty if it kept none.

    Args:
        store: where from.
        study: name of the study.
        number: Optuna's number of the trial.

    Raises:
        UnknownTrialError: there is no such study or trial.
        StorageError: the database cannot be read.
    """
    with store.explained():
        kept = get_all_artifact_meta(_trial(store, study, number), storage=store.optuna_storage)
    folds = ((_MODEL_NAME.fullmatch(meta.filename), meta.artifact_id) for meta in kept)
    return {int(found[1]): artifact for found, artifact in folds if found}


def keep_content(store: ArtifactHolder, content: bytes, kind: str) -> str:
    """Keep a file under the name of its content, for a study that is yet to be made.

    Args:
        store: where to.
        content: of the file.
        kind: the end of its name, such as `json`.

    Returns:
        The artifact id, the same for the same content.

    Raises:
        StorageError: the folder of the artifacts cannot be written.
    """
    name = f"{hashlib.sha256(content).hexdigest()}.{kind}"
    try:
        write_whole(store.artifacts_folder / name, content)
    except OSError as error:
        raise StorageError(f"{store.artifacts_folder} cannot be written: {error.strerror}") from error
    return name


def load_artifact(store: ArtifactHolder, artifact_id: str) -> bytes:
    """The content of an artifact.

    Raises:
        StorageError: the file is missing or cannot be read.
    """
    try:
        with store.artifact_store.open_reader(artifact_id) as reader:
            content: bytes = reader.read()
            return content
    except (ArtifactNotFound, FileNotFoundError):
        raise StorageError(
            f"artifact {artifact_id} is missing in {store.artifacts_folder}: put the artifacts of the "
            "database back there"
        ) from None
    except OSError as error:
        raise StorageError(
            f"artifact {artifact_id} in {store.artifacts_folder} cannot be read: "
            f"{error.strerror or type(error).__name__}"
        ) from error


def _trial(store: Store, study: str, number: int) -> FrozenTrial:
    """The trial as Optuna's artifacts take it, with its row id alone.

    Reading the rest of it takes longer than writing an artifact.
    """
    storage = store.optuna_storage
    try:
        study_id = storage.get_study_id_from_name(study)
        row_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
    except KeyError:
        raise UnknownTrialError(f"study {study} has no trial {number}") from None
    return FrozenTrial(
        number=number,
        trial_id=row_id,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=None,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )


def _tier_arrays(predictions: TierPredictions, prefix: str = "") -> dict[str, NDArray[Any]]:
    return {
        f"{prefix}classes": np.array(predictions.classes, dtype=np.str_),
        f"{prefix}targets_NC": np.asarray(predictions.targets_NC, dtype=np.bool_),
        f"{prefix}probabilities_NC": np.asarray(predictions.probabilities_NC, dtype=np.float32),
    }


def _tier_predictions(arrays: Mapping[str, NDArray[Any]], prefix: str = "") -> TierPredictions:
    return TierPredictions(
        classes=tuple(str(name) for name in arrays[f"{prefix}classes"]),
        targets_NC=arrays[f"{prefix}targets_NC"],
        probabilities_NC=arrays[f"{prefix}probabilities_NC"],
    )


def load_predictions(store: ArtifactHolder, artifact_id: str) -> Predictions:
    """The predictions kept under an artifact id.

    Raises:
        StorageError: the file is missing, cannot be read or is damaged.
    """
    content = load_artifact(store, artifact_id)
    try:
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            own = _tier_predictions(arrays)
            names = [str(name) for name in arrays["projected"]] if "projected" in arrays else []
            return Predictions(
                tier=str(arrays["tier"]),
                classes=own.classes,
                ecg_id=arrays["ecg_id"],
                targets_NC=own.targets_NC,
                probabilities_NC=own.probabilities_NC,
                patient_id=arrays.get("patient_id"),
                age=arrays.get("age"),
                groups={
                    name.removeprefix(_GROUP): arrays[name] for name in arrays if name.startswith(_GROUP)
                },
                sex=arrays.get("sex"),
                projected={name: _tier_predictions(arrays, f"{i}_") for i, name in enumerate(names)},
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StorageError(
            f"predictions {artifact_id} in {store.artifacts_folder} are damaged: {error}"
        ) from error


def attach_report(store: Store, study: str, page: Path) -> str:
    """Offer the page of a report among the artifacts of its study, instead of an earlier one.

    Returns:
        The artifact id, which is its name in the folder of the artifacts.

    Raises:
        StorageError: the database or the folder of the artifacts cannot be written.
    """
    with store.explained():
        storage = store.optuna_storage
        before = storage.get_study_system_attrs(storage.get_study_id_from_name(study))
        artifact = _attach(store, study, REPORT_NAME, page.read_bytes())
        for key, text in before.items():
            described = json.loads(text) if key.startswith(ARTIFACT) else None
            if described is not None and described["filename"] == REPORT_NAME:
                # As optuna-dashboard removes an artifact: nothing takes the place of its description.
                storage.set_study_system_attr(storage.get_study_id_from_name(study), key, json.dumps(None))
                with suppress(ArtifactNotFound):
                    store.artifact_store.remove(described["artifact_id"])
        return artifact


def _attach(store: Store, study: str, name: str, content: bytes, *, trial: int | None = None) -> str:
    """Offer a file among the artifacts of a study, or of a trial of it by its number.

    Returns:
        The artifact id, which is its name in the folder of the artifacts.

    Raises:
        UnknownTrialError: there is no such trial.
        StorageError: the database or the folder of the artifacts cannot be written.
    """
    with store.explained(), tempfile.TemporaryDirectory() as folder:
        of = store.optuna_study(study) if trial is None else _trial(store, study, trial)
        store.artifacts_folder.mkdir(parents=True, exist_ok=True)
        file = Path(folder) / name
        file.write_bytes(content)
        return upload_artifact(
            artifact_store=store.artifact_store,
            file_path=str(file),
            study_or_trial=of,
            storage=store.optuna_storage,
            mimetype=_MIMETYPES[file.suffix],
        )
