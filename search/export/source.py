"""Models to export, as a trial or an evaluation kept them, with their held-out predictions.

Shapes: N record, C class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

import space
from reports.ensembles.averaging import weighted_average
from reports.ensembles.study import Ensemble
from reports.numbers import count_words, score_words, times_words
from scores.front import front_trials
from scores.objectives import OBJECTIVES
from search.errors import UsageError
from search.export.folder import Provenance
from search.training.model_file import KeptModel, load_model
from storage import (
    Evaluation,
    Predictions,
    Store,
    StudyRecord,
    TrialRecord,
    kept_models,
    load_artifact,
    load_predictions,
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HeldOutPart:
    """Predictions of some members for records that they were not trained on."""

    members: tuple[int, ...]
    """Members not trained on the records, counted from 0; probabilities are their weighted mean."""
    predictions: Predictions
    """Predictions on the tier that the members were trained on; probabilities are the weighted mean."""

    def mean(
        self, probabilities: Sequence[NDArray[np.float64]], weights: Sequence[float]
    ) -> NDArray[np.float64]:
        """The weighted mean over `members` of the probabilities of all."""
        chosen = [weights[number] for number in self.members]
        stacked = np.stack([probabilities[number] for number in self.members])
        mean_NC: NDArray[np.float64] = np.average(stacked, axis=0, weights=chosen)
        return mean_NC


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExportedMember:
    """One of the models that an export averages."""

    name: str
    trial: int | None
    fold: int | None
    weight: float
    parameters: int
    content: bytes
    """File of the model, see `search.training.model_file`."""
    kept: KeptModel


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Exported:
    """Models to export, and where they come from."""

    provenance: Provenance
    tier: str
    """Tier that the models were trained on."""
    architecture: space.Architecture
    members: tuple[ExportedMember, ...]
    held_out: tuple[HeldOutPart, ...]
    """Held-out records of each CV fold, or the one validation part of an evaluation."""
    test: str = ""
    """Result of an evaluation on records that no choice depended on, in a sentence."""
    expected: str = ""
    """Words for the score to expect on other patients; empty where it is not known."""
    trainings: str = ""
    """Sentence on the trainings of the trial, of which the first is exported; empty where there is one."""

    @property
    def kept(self) -> list[KeptModel]:
        """The models alone."""
        return [member.kept for member in self.members]

    @property
    def has_features(self) -> bool:
        """Whether any of them takes hand-crafted features."""
        return any(kept.architecture.features for kept in self.kept)

    @property
    def weights(self) -> list[float]:
        """Shares of the members in the average."""
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
    members, predictions = _models_of_folds(store, study, trial, weight=1.0)
    return Exported(
        provenance=_provenance(
            study,
            name=f"trial {trial.number} of {study.name}",
            trial=trial.number,
            description=trial.description,
            parameters=trial.parameters,
        ),
        tier=trial.label_tier,
        architecture=space.Architecture.from_dict(trial.architecture),
        members=tuple(members),
        held_out=tuple(
            HeldOutPart(members=(number,), predictions=each) for number, each in enumerate(predictions)
        ),
        trainings=_training_words(study, trial),
    )


def _training_words(study: StudyRecord, trial: TrialRecord) -> str:
    if not trial.trained_again:
        return ""
    return (
        f"The trial was trained {times_words(len(trial.scores))}: models and results here are of the first "
        f"training. The mean over all, which `search pick` shows, is {score_words(trial.score)} "
        f"({OBJECTIVES[study.objective].words} on {study.target}; first training "
        f"{score_words(trial.scores[0])})."
    )


def average_of_ensemble(store: Store, study: StudyRecord, ensemble: Ensemble) -> Exported:
    """The models of all CV folds of all trials of an ensemble, to be averaged with its weights.

    A record is held out from one model of every trial: the average of these is the ensemble's prediction.

    Raises:
        UsageError: a trial has not kept its models, or the trials cannot share a graph.
        DataError: a file of one is damaged.
        storage.StorageError: an artifact is missing.
    """
    named = f"ensemble {ensemble.name}"
    trials = [member.trial for member in ensemble.members]
    architectures = [space.Architecture.from_dict(trial.architecture) for trial in trials]
    _check_one_graph(named, architectures)
    members: list[ExportedMember] = []
    predictions: list[list[Predictions]] = []
    for member in ensemble.members:
        try:
            models, of_folds = _models_of_folds(store, study, member.trial, weight=member.weight)
        except UsageError as error:
            raise UsageError(
                f"{named}: {error}; `python -m search evaluate --ensemble {ensemble.name}` trains its "
                "members, for export --evaluation"
            ) from error
        members += models
        predictions.append(of_folds)
    weights = [member.weight for member in ensemble.members]
    n_folds = len(predictions[0])
    return Exported(
        provenance=_provenance(
            study,
            name=f"{named} of {study.name}",
            trial=None,
            description=" + ".join(
                f"{member.weight:.2g} × trial {member.trial.number}" for member in ensemble.members
            ),
            parameters=max(trial.parameters for trial in trials),
        ),
        tier=trials[0].label_tier,
        architecture=architectures[0],
        members=tuple(members),
        held_out=tuple(
            HeldOutPart(
                members=tuple(range(fold, len(members), n_folds)),
                predictions=replace(
                    of_trials[0],
                    probabilities_NC=weighted_average([each.probabilities_NC for each in of_trials], weights),
                    projected={},
                ),
            )
            for fold, of_trials in enumerate(zip(*predictions, strict=True))
        ),
    )


def _why_not(trial: TrialRecord) -> str:
    """Reason for which a trial has no models, although `search status` may show it on the front."""
    if trial.trained_again:
        return "and this one can have joined it only later, by the mean of the trainings of confirm"
    return "and this one was not, or its files are gone"


def _models_of_folds(
    store: Store, study: StudyRecord, trial: TrialRecord, *, weight: float
) -> tuple[list[ExportedMember], list[Predictions]]:
    """The models of all CV folds of a trial, with the predictions of each for its held-out fold.

    Args:
        store: where they are kept.
        study: of the trial.
        trial: a complete one.
        weight: of all of them together.

    Raises:
        UsageError: the trial has not kept them all.
    """
    artifacts = kept_models(store, study.name, trial.number)
    folds = store.folds(trial.id)
    missing = [fold.fold for fold in folds if fold.fold not in artifacts]
    if missing or not folds:
        gone = ", ".join(map(str, missing))
        which = f"no model of fold {gone}" if artifacts else "no models"
        raise UsageError(
            f"trial {trial.number} of study {study.name} has kept {which}: models are kept of trials that "
            f"are on the front when they end, {_why_not(trial)}; choose another, or train it anew with "
            f"`python -m search evaluate --study {study.name} --trial {trial.number}`, which opens the test "
            "fold, for export --evaluation"
        )
    members, predictions = [], []
    for fold in folds:
        content = load_artifact(store, artifacts[fold.fold])
        predictions.append(load_predictions(store, fold.predictions))
        members.append(
            ExportedMember(
                name=f"trial {trial.number}, fold {fold.fold}",
                trial=trial.number,
                fold=fold.fold,
                weight=weight / len(folds),
                parameters=trial.parameters,
                content=content,
                kept=load_model(content),
            )
        )
    return members, predictions


def _check_one_graph(named: str, architectures: Sequence[space.Architecture]) -> None:
    """Make sure that models have classes and signals alike.

    Raises:
        UsageError: they differ in their label tier, leads or filter.
    """
    for what, found in (
        ("label tier", {each.label_tier for each in architectures}),
        ("leads", {each.leads for each in architectures}),
        ("filter", {each.filter for each in architectures}),
    ):
        if len(found) > 1:
            raise UsageError(
                f"{named}: its members differ in their {what} ({', '.join(sorted(found))}), and one graph "
                "has one: export them one by one"
            )


def models_of_evaluation(store: Store, study: StudyRecord, evaluation: Evaluation) -> Exported:
    """The models of an evaluation, all members with all seeds, averaged with their weights.

    Raises:
        UsageError: no records are left to calibrate them on, or its members cannot share a graph.
        DataError: a file of one is damaged.
        storage.StorageError: an artifact is missing.
    """
    named = f"evaluation {evaluation.id}"
    files = evaluation.predictions.get("validation", ())
    if not files:
        raise UsageError(
            f"{named} was trained on folds {evaluation.fit}: no records are left to calibrate it on; export "
            "one of `python -m search evaluate --fit 1-8`, or the trial itself"
        )
    architectures = [space.Architecture.from_dict(model.architecture) for model in evaluation.models]
    _check_one_graph(named, architectures)
    parts = [load_predictions(store, file) for file in files]
    tier = architectures[0].label_tier
    on_tier = [part.on(tier) for part in parts]
    if any(each is None for each in on_tier):
        raise UsageError(f"{named} has kept no predictions on {tier}, on which its members were trained")
    chosen = [each for each in on_tier if each is not None]
    members = []
    for model in evaluation.models:
        content = load_artifact(store, model.file)
        members.append(
            ExportedMember(
                name=f"{model.name}, seed {model.seed}",
                trial=evaluation.trial,
                fold=None,
                weight=model.weight / len(evaluation.seeds),
                parameters=model.parameters,
                content=content,
                kept=load_model(content),
            )
        )
    described = architectures[0].describe() if len(set(architectures)) == 1 else evaluation.model
    return Exported(
        provenance=_provenance(
            study,
            name=f"{evaluation.model} of {study.name}, {named}",
            trial=evaluation.trial,
            evaluation=evaluation.id,
            description=described,
            parameters=max(model.parameters for model in evaluation.models),
        ),
        tier=tier,
        architecture=architectures[0],
        members=tuple(members),
        held_out=(
            HeldOutPart(
                members=tuple(range(len(members))),
                predictions=replace(
                    parts[0],
                    tier=tier,
                    classes=chosen[0].classes,
                    targets_NC=chosen[0].targets_NC,
                    probabilities_NC=np.mean([each.probabilities_NC for each in chosen], axis=0),
                    projected={},
                ),
            ),
        ),
        test=_test_words(evaluation),
    )


def _test_words(evaluation: Evaluation) -> str:
    scores = [
        f"{name.removesuffix('_macro_auprc')} {score_words(value)}"
        for name, value in evaluation.metrics.items()
        if name.endswith("_macro_auprc")
    ]
    return (
        f"On {evaluation.records}, on which nothing was chosen, macro-AUPRC is {', '.join(scores)} (mean "
        f"over {count_words(len(evaluation.seeds), 'seed')}; evaluation {evaluation.id} has the intervals)."
    )


def _provenance(
    study: StudyRecord,
    *,
    name: str,
    trial: int | None,
    description: str,
    parameters: int,
    evaluation: int | None = None,
) -> Provenance:
    return Provenance(
        name=name,
        study=study.name,
        trial=trial,
        evaluation=evaluation,
        description=description,
        parameters=parameters,
        data_name=study.data_name,
        data_version=study.data_version,
        data_fingerprint=study.data_fingerprint,
        n_records=study.n_records,
        n_patients=study.n_patients,
        synthetic=study.synthetic,
    )
