"""Models that studies have kept, for use as teachers or initial weights, and the records they were trained
on.

    trial:12@STUDY          the CV models of a trial
    ensemble:greedy@STUDY   those of the members of an ensemble

The model of CV fold f was trained on everything but the validation part of f. Its use for fold f of another
study leaks nothing exactly if the validation part there has no record and no patient that the model was
trained on; `check_unseen` makes sure of that by the ids that were kept with predictions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import space
from search.data.folds import shared_patients
from search.errors import DataError, UsageError
from search.study.ensembles import ensemble_names, nested_ensemble
from storage import (
    Predictions,
    Store,
    StudyRecord,
    TrialRecord,
    UnknownStudyError,
    kept_models,
    load_artifact,
    load_predictions,
)
from storage.records import NUMBERING

if TYPE_CHECKING:
    from search.data.dataset import Development
    from search.data.folds import Fold
    from search.training.model_file import KeptModel

TRIAL, ENSEMBLE = "trial", "ensemble"
_N_SHOWN = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSource:
    """Kept models as the command line names them."""

    option: str
    """Option that names them, for messages."""
    kind: str
    """`TRIAL` or `ENSEMBLE`."""
    which: str
    """Number of the trial, or name of the ensemble."""
    study: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.which}@{self.study}"


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptMember:
    """The model of a fold of a trial, with its share of the average."""

    trial: TrialRecord
    weight: float
    artifact: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KeptFolds:
    """Kept models of every CV fold, and the records that each was not trained on."""

    source: ModelSource
    study: StudyRecord
    members: Mapping[int, tuple[KeptMember, ...]]
    """Members by fold."""
    held_out: Mapping[int, Predictions]
    """Predictions of records of the validation part, by fold."""

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """Every trial of which a model is used, once, by number."""
        found = {each.trial.number: each.trial for of_fold in self.members.values() for each in of_fold}
        return tuple(found[number] for number in sorted(found))


def parsed(option: str, text: str, kinds: Sequence[str] = (TRIAL, ENSEMBLE)) -> tuple[ModelSource, ...]:
    """The sources that an option names, separated by commas, in alphabetical order.

    Raises:
        UsageError: one is not of the form, or named twice.
    """
    found: dict[str, ModelSource] = {}
    for entry in text.split(","):
        named, _, study = entry.strip().partition("@")
        kind, _, which = named.partition(":")
        is_known = which in ensemble_names() if kind == ENSEMBLE else which.isdecimal()
        if kind not in kinds or not study or not is_known:
            examples = {
                TRIAL: "trial:12@STUDY",
                ENSEMBLE: f"ensemble:NAME@STUDY ({', '.join(ensemble_names())})",
            }
            raise UsageError(
                f"{option} names {' or '.join(examples[each] for each in kinds)}, got {entry.strip()!r}"
            )
        source = ModelSource(
            option=option, kind=kind, which=which if kind == ENSEMBLE else str(int(which)), study=study
        )
        if str(source) in found:
            raise UsageError(f"{option} names {source} twice")
        found[str(source)] = source
    return tuple(found[name] for name in sorted(found))


def kept_folds(store: Store, source: ModelSource) -> KeptFolds:
    """Models of the folds that a study has kept.

    Raises:
        UsageError: there is no such study or trial, it is not complete, or it has kept no models.
        reports.ReportError: the study has not enough trials for an ensemble.
        storage.StorageError: the database cannot be read.
    """
    try:
        study = store.study(source.study)
    except UnknownStudyError as unknown:
        raise UsageError(f"{source.option} {source}: {unknown}") from None
    if source.kind == ENSEMBLE:
        return _kept_ensemble(store, source, study)
    trial = next((each for each in store.trials(study.name) if each.number == int(source.which)), None)
    if trial is None or trial.state != "complete":
        state = "does not exist" if trial is None else f"is {trial.state}"
        raise UsageError(
            f"{source.option} {source}: that trial {state}; name a complete one of search status"
        )
    artifacts = kept_models(store, study.name, trial.number)
    folds = store.folds(trial.id)
    if any(fold.fold not in artifacts for fold in folds):
        raise UsageError(
            f"{source.option} {source}: that trial has not kept its models; those of trials on the front "
            "when they ended are there"
        )
    return KeptFolds(
        source=source,
        study=study,
        members={
            fold.fold: (KeptMember(trial=trial, weight=1.0, artifact=artifacts[fold.fold]),) for fold in folds
        },
        held_out={fold.fold: load_predictions(store, fold.predictions) for fold in folds},
    )


def _kept_ensemble(store: Store, source: ModelSource, study: StudyRecord) -> KeptFolds:
    """Members and weights of each fold are those chosen on the other folds, among trials with models."""
    artifacts = {
        trial.number: kept_models(store, study.name, trial.number)
        for trial in store.trials(study.name)
        if trial.state == "complete"
    }
    whole = {number for number, found in artifacts.items() if found}
    chosen = nested_ensemble(store, study, source.which, whole)
    first, _ = next(iter(chosen.values()))[0]
    folds = store.folds(first.id)
    return KeptFolds(
        source=source,
        study=study,
        members={
            fold: tuple(
                KeptMember(trial=trial, weight=weight, artifact=artifacts[trial.number][fold])
                for trial, weight in weights
            )
            for fold, weights in chosen.items()
        },
        held_out={fold.fold: load_predictions(store, fold.predictions) for fold in folds},
    )


def load_members(store: Store, members: Iterable[KeptMember]) -> list[tuple[float, KeptModel]]:
    """The models with their weights, on the CPU.

    Raises:
        DataError: a file is damaged.
        storage.StorageError: one is missing.
    """
    from search.training.model_file import load_model

    return [(each.weight, load_model(load_artifact(store, each.artifact))) for each in members]


def check_not_borrowed(kept: KeptFolds, data: Development) -> None:
    """Make sure that models which learned from others did so on the records of a study.

    Raises:
        UsageError: one learned from another model on other records.
    """
    if (kept.study.data_name, kept.study.data_fingerprint) == (data.name, data.fingerprint):
        return
    for trial in kept.trials:
        for axis in ("teacher", "init"):
            borrowed = trial.architecture.get(axis, space.NO_MODEL)
            if borrowed != space.NO_MODEL:
                raise UsageError(
                    f"{kept.source.option} {kept.source}: trial {trial.number} learned from another model "
                    f"itself ({axis} {borrowed}), on other records than these: the records which that model "
                    "was trained on are not known; name one that did not"
                )


def check_unseen(kept: KeptFolds, data: Development, folds: Sequence[Fold]) -> None:
    """Make sure that no fold is validated on records or patients that its initial model was trained on.

    Ids of records and patients are comparable within one data set only, and where they are numbers of rows
    or files, as long as no name behind a number changes. Where the data set has beats of one record on both
    sides (`--split intra-patient`), patients are not compared.

    Raises:
        DataError: a record or a patient of a validation part was among those that the model was trained on,
            or that cannot be determined.
    """
    option, study = f"{kept.source.option} {kept.source}", kept.study
    is_same = study.data_fingerprint == data.fingerprint
    if data.numbering and not is_same and study.settings.get(NUMBERING) != data.numbering:
        raise DataError(
            f"{option}: {data.name} numbers records by their place among all of them, and for study "
            f"{study.name} these were others, or were not kept: which records the model was trained on "
            "cannot be determined; train the model again"
        )
    has_own_patients = not len(shared_patients(data.patient_id, data.strat_fold, data.fold_plan))
    for fold in folds:
        if fold.number not in kept.members:
            raise DataError(f"{option}: study {study.name} has no fold {fold.number}")
        trained_on = [each for number, each in kept.held_out.items() if number != fold.number]
        records = np.concatenate([each.ecg_id for each in trained_on])
        seen = np.intersect1d(data.ecg_id[fold.validation], records)
        if len(seen):
            _refuse(option, fold, "record", seen.tolist())
        known = [each.patient_id for each in trained_on if each.patient_id is not None]
        if len(known) < len(trained_on):
            if is_same:
                continue  # the same folds, which no patient crosses
            raise DataError(
                f"{option}: study {study.name} is of a version that kept no patients with predictions, and "
                "of other records: whether a patient is on both sides cannot be determined; train the model "
                "again"
            )
        if has_own_patients:
            seen = np.intersect1d(data.patient_id[fold.validation], np.concatenate(known))
            if len(seen):
                _refuse(option, fold, "patient", seen.tolist())


def _refuse(option: str, fold: Fold, noun: str, seen: Sequence[int]) -> None:
    listed = ", ".join(map(str, seen[:_N_SHOWN])) + (", …" if len(seen) > _N_SHOWN else "")
    seen_words = f"{len(seen):,} {noun}{'s' * (len(seen) > 1)}"
    raise DataError(
        f"{option}: its model of fold {fold.number} was trained on {seen_words} of the validation part of "
        f"fold {fold.number} ({noun} {listed}): scores would be too high; name a model that was trained with "
        "the same folds"
    )
