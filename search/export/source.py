"""What is exported: the models that a trial has kept, and what they said of records they were not trained on.

Shapes: N record, C class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import space
from scores.front import front_trials
from search.errors import UsageError
from search.export.folder import Provenance
from search.training.model_file import KeptModel, load_model
from storage import Store, StudyRecord, TrialRecord, kept_models, load_artifact, load_predictions


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HeldOut:
    """Labels and predictions of records that a model was not trained on, on its own tier."""

    ecg_id: NDArray[np.int64]
    patient_id: NDArray[np.int64] | None
    targets_NC: NDArray[np.bool_]
    probabilities_NC: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExportedMember:
    """One of the models that an export averages."""

    name: str
    trial: int | None
    fold: int | None
    weight: float
    content: bytes
    """Its file, see `search.training.model_file`."""
    kept: KeptModel
    held_out: HeldOut
    """Of its own fold."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Exported:
    """Models to export, and where they come from."""

    provenance: Provenance
    tier: str
    """That they were trained on."""
    architecture: space.Architecture
    members: tuple[ExportedMember, ...]

    @property
    def kept(self) -> list[KeptModel]:
        """The models alone."""
        return [member.kept for member in self.members]

    @property
    def weights(self) -> list[float]:
        """Their shares of the average."""
        return [member.weight for member in self.members]


def trials_of_front(store: Store, study: StudyRecord) -> list[TrialRecord]:
    """Trials on the front of a study, from few parameters to many.

    Raises:
        UsageError: no trial is complete.
    """
    found = list(front_trials(store.trials(study.name)))
    if not found:
        raise UsageError(
            f"study {study.name} has no complete trial: train some with `python -m search run --study "
            f"{study.name}`"
        )
    return found


def trial_numbered(store: Store, study: StudyRecord, number: int) -> TrialRecord:
    """A complete trial of a study.

    Raises:
        UsageError: there is no such trial, or it is not complete.
    """
    for trial in store.trials(study.name):
        if trial.number == number:
            if trial.state != "complete":
                raise UsageError(
                    f"trial {number} of study {study.name} is {trial.state}: only complete ones have models, "
                    "see search status"
                )
            return trial
    raise UsageError(f"study {study.name} has no trial {number}: see search status")


def average_of_folds(store: Store, study: StudyRecord, trial: TrialRecord) -> Exported:
    """The models of all CV folds of a trial, to be averaged with equal weights.

    Raises:
        UsageError: the trial has not kept them all.
        DataError: a file of one is damaged.
        storage.StorageError: an artifact is missing.
    """
    artifacts = kept_models(store, study.name, trial.number)
    folds = store.folds(trial.id)
    missing = [fold.fold for fold in folds if fold.fold not in artifacts]
    if missing or not folds:
        gone = ", ".join(map(str, missing))
        which = f"no model of fold {gone}" if artifacts else "no models"
        raise UsageError(
            f"trial {trial.number} of study {study.name} has kept {which}: models are kept of trials that "
            "were on the front when they ended; choose one of search status, or train it again in a study "
            "of its own with `python -m search run --presets NAME --study NEW`"
        )
    architecture = space.Architecture.from_dict(trial.architecture)
    members = []
    for fold in folds:
        content = load_artifact(store, artifacts[fold.fold])
        predictions = load_predictions(store, fold.predictions)
        members.append(
            ExportedMember(
                name=f"trial {trial.number}, fold {fold.fold}",
                trial=trial.number,
                fold=fold.fold,
                weight=1 / len(folds),
                content=content,
                kept=load_model(content),
                held_out=HeldOut(
                    ecg_id=predictions.ecg_id,
                    patient_id=predictions.patient_id,
                    targets_NC=predictions.targets_NC,
                    probabilities_NC=predictions.probabilities_NC,
                ),
            )
        )
    return Exported(
        provenance=Provenance(
            name=f"trial {trial.number} of {study.name}",
            study=study.name,
            trial=trial.number,
            evaluation=None,
            description=trial.description,
            parameters=trial.parameters,
            data_name=study.data_name,
            data_version=study.data_version,
            data_fingerprint=study.data_fingerprint,
            n_records=study.n_records,
            n_patients=study.n_patients,
            synthetic=study.synthetic,
        ),
        tier=trial.label_tier,
        architecture=architecture,
        members=tuple(members),
    )
