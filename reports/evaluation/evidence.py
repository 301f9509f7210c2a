"""Evaluations kept in a database as the arrays that their scores and pages are made from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import space
from reports.errors import ReportError
from reports.evaluation.groups import EvaluationGroup
from reports.evaluation.schema import Model, Training
from reports.findings.record_set import ModelOutput, Pair, RecordSet
from reports.parts import curve_document, data_document
from reports.published import Anchor, anchors_of
from reports.schema import Data
from reports.words import learn_words, stack_words
from storage import (
    ArtifactHolder,
    Evaluation,
    Predictions,
    Store,
    TierPredictions,
    load_predictions,
)
from storage.records import SealedFoldOpeningRecord, StudyRecord, TrialRecord, version_words

TEST, VALIDATION, KNOWN, UNSEEN = "test", "validation", "known", "unseen"
"""Parts of an evaluation, see `storage.Evaluation.predictions`."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EvaluationEvidence:
    """An evaluation with its labels and probabilities."""

    evaluation: Evaluation
    parts: Mapping[str, tuple[Predictions, ...]]
    """Part to predictions, one for each seed."""

    def on(self, part: str, tier: str) -> tuple[TierPredictions, ...]:
        """Predictions of a part on a tier by seed; none where there is no such part or tier."""
        found = [predictions.on(tier) for predictions in self.parts.get(part, ())]
        return tuple(each for each in found if each is not None)

    @property
    def tiers(self) -> tuple[str, ...]:
        """Tiers of the predictions, the tier trained on first."""
        first = self.parts[TEST][0]
        return (first.tier, *first.projected)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PageEvidence:
    """Everything that an evaluation page is made from."""

    id: str
    """Name of the evaluation, fit for the name of a file."""
    study: str
    target: str
    data: Data
    """Data set of the study."""
    synthetic: bool
    """Whether anything comes from generated records."""
    models: Sequence[Model]
    record_sets: Sequence[RecordSet]
    """The most important first."""
    openings: Sequence[SealedFoldOpeningRecord] = ()
    """Openings of the sealed fold for the study, oldest first."""
    anchors: Sequence[Anchor] = field(default_factory=tuple)


PART_WORDS: Mapping[str, str] = {
    TEST: "",
    KNOWN: ", known statements",
    UNSEEN: ", unseen statements",
}
"""Words behind the name of the records."""


def load_evaluation(store: ArtifactHolder, evaluation: Evaluation) -> EvaluationEvidence:
    """Read the predictions of an evaluation.

    Raises:
        storage.StorageError: a file is missing or damaged.
    """
    return EvaluationEvidence(
        evaluation=evaluation,
        parts={
            part: tuple(load_predictions(store, artifact) for artifact in artifacts)
            for part, artifacts in evaluation.predictions.items()
        },
    )


def gather_held_out(store: Store, study_name: str, group: EvaluationGroup) -> PageEvidence:
    """Read what the page of a group of evaluations is made from.

    Raises:
        storage.StorageError: no such study, or predictions are lost or damaged.
    """
    study = store.study(study_name)
    learn_words(study)
    trials = store.trials(study_name)
    names = _names(group.shown)
    evidence = {name: load_evaluation(store, each) for name, each in zip(names, group.shown, strict=True)}
    return PageEvidence(
        id=group.id,
        study=study.name,
        target=study.target,
        data=data_document(study),
        synthetic=study.synthetic or any(each.synthetic for each in group.shown),
        models=[
            _model(name, each, trials, n_earlier=_n_earlier(group, each))
            for name, each in zip(names, group.shown, strict=True)
        ],
        record_sets=list(_record_sets(study, evidence)),
        openings=store.sealed_fold_openings(study_name),
        anchors=() if group.shown[0].external else anchors_of(study),
    )


def _names(shown: Sequence[Evaluation]) -> list[str]:
    """Names of models, with what tells those of the same name apart."""
    names = []
    for each in shown:
        same = [other for other in shown if other.model == each.model]
        more = ""
        if len(same) > 1:
            differs_in_fit = len({other.fit for other in same}) == len(same)
            more = f", folds {each.fit}" if differs_in_fit else f", evaluation {each.id}"
        names.append(f"{each.model}{more}")
    return names


def _n_earlier(group: EvaluationGroup, each: Evaluation) -> int:
    return sum(number < (each.id or 0) for number in group.ids)


def _model(name: str, each: Evaluation, trials: Sequence[TrialRecord], *, n_earlier: int) -> Model:
    seeds = ("seed " if len(each.seeds) == 1 else "seeds ") + ", ".join(map(str, each.seeds))
    thresholds = f"thresholds from {each.thresholds_from}" if each.thresholds_from else "decisions at .5"
    earlier = (
        f"; evaluated on these records after {n_earlier} other{'s' if n_earlier > 1 else ''}"
        if n_earlier
        else ""
    )
    return Model(
        name=name,
        description=_description(each, trials),
        parameters=each.parameters,
        label_tier=each.label_tier,
        protocol=f"trained on folds {each.fit}, {seeds}; {thresholds}{earlier}",
        evaluation=each.id,
        at=None if each.at is None else each.at.isoformat(),
        training=[
            Training(
                name=f"seed {model.seed}" if each.ensemble is None else f"{model.name}, seed {model.seed}",
                n_records=model.n_training,
                epochs_trained=model.epochs_trained,
                seconds=model.seconds,
                curve=curve_document(model.curve[0].fold if model.curve else 0, model.curve),
            )
            for model in each.models
        ],
    )


def _description(each: Evaluation, trials: Sequence[TrialRecord]) -> str:
    """The architecture in the words of the study, or the members of an ensemble."""
    members = {model.name: model for model in each.models}
    if each.ensemble is not None:
        return " + ".join(f"{model.weight:.2g} × {name}" for name, model in members.items())
    known = {str(dict(trial.architecture)): trial.description for trial in trials}
    found = [
        known.get(str(dict(model.architecture))) or _described(model.architecture)
        for model in members.values()
    ]
    return "; ".join(dict.fromkeys(found))


def _described(architecture: Mapping[str, Any]) -> str:
    """An architecture of no trial in words; the temporal part alone where its space file is not at hand."""
    try:
        return space.Architecture.from_dict(architecture).describe()
    except space.SpaceError:
        return stack_words(architecture)


def _record_sets(study: StudyRecord, evidence: Mapping[str, EvaluationEvidence]) -> Iterator[RecordSet]:
    """Records and tiers: the test part at the target first, cohorts next, then what else models reach."""
    tiers = list(dict.fromkeys(tier for each in evidence.values() for tier in each.tiers))
    first = study.target if study.target in tiers else tiers[0]
    wanted = [(TEST, first, True)]
    wanted += [(part, tier, True) for part in (KNOWN, UNSEEN) for tier in _exclusive(evidence, tiers)]
    wanted += [(TEST, tier, False) for tier in tiers if tier != first]
    wanted += [
        (part, tier, False)
        for part in (KNOWN, UNSEEN)
        for tier in tiers
        if tier not in _exclusive(evidence, tiers)
    ]
    for part, tier, drawn in wanted:
        yield from record_sets(evidence, part, tier, drawn=drawn)


def _exclusive(evidence: Mapping[str, EvaluationEvidence], tiers: Sequence[str]) -> list[str]:
    return [
        tier for tier in tiers if any(tier in each.evaluation.exclusive_tiers for each in evidence.values())
    ]


def record_sets(
    evidence: Mapping[str, EvaluationEvidence], part: str, tier: str, *, drawn: bool
) -> Iterator[RecordSet]:
    """Models by the records and classes that they share; of another data set the classes may differ.

    Args:
        evidence: evaluations by the names of their models.
        part: of the records.
        tier: of the labels; models that do not reach it are left out.
        drawn: see `RecordSet.drawn`.

    Raises:
        ReportError: the thresholds of an evaluation are damaged.
    """
    groups: dict[tuple[object, ...], dict[str, tuple[EvaluationEvidence, TierPredictions]]] = {}
    for name, each in evidence.items():
        of_seeds = each.on(part, tier)
        if of_seeds and len(of_seeds[0].targets_NC):
            shown = of_seeds[0]
            key = (shown.classes, each.parts[part][0].ecg_id.tobytes(), shown.targets_NC.tobytes())
            groups.setdefault(key, {})[name] = (each, shown)
    for members in groups.values():
        each, shown = next(iter(members.values()))
        evaluation = each.evaluation
        yield RecordSet(
            records="validation part" if part == VALIDATION else f"{evaluation.records}{PART_WORDS[part]}",
            external=evaluation.external,
            tier=tier,
            classes=shown.classes,
            targets_NC=shown.targets_NC,
            patient_N=each.parts[part][0].patient_id,
            exclusive=tier in evaluation.exclusive_tiers,
            ordinal=tier in evaluation.ordinal_tiers,
            drawn=drawn,
            outputs={name: _output(found, part, tier) for name, (found, _) in members.items()},
            notes=_notes(evaluation),
            age_N=each.parts[part][0].age,
            sex_N=each.parts[part][0].sex,
            groups_N=each.parts[part][0].groups,
        )


def _notes(evaluation: Evaluation) -> list[str]:
    synthetic = "SYNTHETIC records. " if evaluation.synthetic else ""
    if not evaluation.external:
        return [synthetic.strip()] if synthetic else []
    version = version_words(evaluation.data_version)
    return [f"{synthetic}Tested on {evaluation.data_name}{version}."]


def _output(each: EvaluationEvidence, part: str, tier: str) -> ModelOutput:
    found = each.on(part, tier)
    evaluation = each.evaluation
    chosen = evaluation.thresholds.get(tier, ()) if evaluation.thresholds_from else ()
    if chosen and len(chosen) != len(found):
        raise ReportError(
            f"evaluation {evaluation.id} has thresholds of {len(chosen)} seeds and predictions of "
            f"{len(found)}: the database is damaged; restore it from a copy"
        )
    return ModelOutput(
        probabilities_NC=tuple(one.probabilities_NC for one in found),
        threshold_C=tuple(np.asarray(threshold_C, dtype=np.float64) for threshold_C in chosen),
        validation=tuple(_columns(one, found[0].classes) for one in each.on(VALIDATION, tier))
        if _covers(each, tier, found[0].classes)
        else (),
    )


def _covers(each: EvaluationEvidence, tier: str, classes: Sequence[str]) -> bool:
    """Whether validation records have all classes of the tier that are scored."""
    validation = each.on(VALIDATION, tier)
    return bool(validation) and set(classes) <= set(validation[0].classes)


def _columns(found: TierPredictions, classes: Sequence[str]) -> Pair:
    columns = [found.classes.index(name) for name in classes]
    return found.targets_NC[:, columns], found.probabilities_NC[:, columns]
