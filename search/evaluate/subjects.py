"""Models that `evaluate` can train: trials, the front, presets and ensembles of a study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import space
from reports.ensembles.averaging import weighted_average
from scores.front import front_trials
from search.data.dataset import Development
from search.errors import UsageError
from search.study.ensembles import named_ensemble
from search.study.openings import model_identity, openings_for
from storage import SealedFoldOpeningRecord, Store, StudyRecord, TrialRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenModels:
    """Models named on the command line."""

    trials: str | None = None
    """Numbers of trials, separated by commas."""
    front: bool = False
    """All trials on the front."""
    presets: str | None = None
    """Names of presets, separated by commas; `NAME@TIER` trains one on another tier than the target."""
    ensemble: str | None = None
    """Kind of an ensemble, as `search ensemble` builds it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """An architecture to train, and its weight in the average."""

    name: str
    """`trial 12` or `preset cnn`."""
    weight: float
    architecture: space.Architecture
    trial: TrialRecord | None
    """A complete trial of this architecture, whose out-of-fold predictions are there; None without one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """An architecture or an ensemble to evaluate."""

    name: str
    """`trial 12`, `preset cnn` or `ensemble greedy`."""
    members: tuple[Member, ...]
    trial: int | None = None
    preset: str | None = None
    ensemble: str | None = None

    @property
    def identity(self) -> str:
        """Equal for the same model under two names: a trial may be a preset."""
        return model_identity(member.architecture for member in self.members)

    def average(self, probabilities: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Weighted average of probabilities of the members."""
        return weighted_average(probabilities, [member.weight for member in self.members])


def subjects(store: Store, study: StudyRecord, choice: ChosenModels) -> tuple[list[Subject], list[str]]:
    """The chosen models in the order trials, front, presets, ensemble, and notes for the user.

    A model that is named twice is there once, with a note.

    Raises:
        UsageError: none is named, or there is no such trial, preset or ensemble.
        reports.ReportError: the study has not enough complete trials for an ensemble.
    """
    trials = store.trials(study.name)
    named = [
        *_trials(study, trials, choice.trials),
        *_front(study, trials, front=choice.front),
        *_presets(study, trials, choice.presets),
        *_ensemble(store, study, choice.ensemble),
    ]
    if not named:
        raise UsageError("name what to evaluate: --trial N[,M], --front, --presets a,b or --ensemble NAME")
    found: dict[str, Subject] = {}
    notes = []
    for subject in named:
        earlier = found.setdefault(subject.identity, subject)
        if earlier is not subject and earlier.name != subject.name:
            notes.append(f"{subject.name} is {earlier.name}: evaluated once, as {earlier.name}")
    return list(found.values()), notes


def check_inputs(found: Sequence[Subject], data: Development) -> None:
    """Make sure that the data set has the inputs of the architectures.

    Raises:
        UsageError: hand-crafted features or likelihoods are needed and not there.
    """
    for member in (member for subject in found for member in subject.members):
        if member.architecture.features and not data.inputs.n_features:
            raise UsageError(f"{member.name} needs hand-crafted features, which {data.name} does not have")
        if member.architecture.soft_labels and not data.inputs.likelihoods:
            raise UsageError(f"{member.name} needs soft labels, and {data.name} has no likelihoods")


def earlier_openings(
    store: Store, study: StudyRecord, found: Sequence[Subject]
) -> dict[str, list[SealedFoldOpeningRecord]]:
    """Name of a subject to the openings of the sealed fold for its model, where there are any."""
    opened = {
        subject.name: openings_for(store, study, subject.identity, subject.ensemble) for subject in found
    }
    return {name: openings for name, openings in opened.items() if openings}


def _trials(study: StudyRecord, trials: Sequence[TrialRecord], text: str | None) -> Iterator[Subject]:
    by_number = {trial.number: trial for trial in trials}
    for part in _parts("--trial", text):
        if not part.isdecimal():
            raise UsageError(f"--trial: {part!r} is not the number of a trial; give numbers such as 12,15")
        if int(part) not in by_number:
            raise UsageError(f"study {study.name} has no trial {part}: see search status")
        yield _of_trial(by_number[int(part)])


def _front(study: StudyRecord, trials: Sequence[TrialRecord], *, front: bool) -> Iterator[Subject]:
    members = front_trials(trials) if front else ()
    if front and not members:
        raise UsageError(f"--front: study {study.name} has no complete trial yet, so that there is no front")
    yield from map(_of_trial, members)


def _of_trial(trial: TrialRecord) -> Subject:
    return Subject(
        name=f"trial {trial.number}", members=(_trial_member(trial, weight=1.0),), trial=trial.number
    )


def _trial_member(trial: TrialRecord, *, weight: float) -> Member:
    return Member(
        name=f"trial {trial.number}",
        weight=weight,
        architecture=space.Architecture.from_dict(trial.architecture),
        trial=trial if trial.state == "complete" else None,
    )


def _presets(study: StudyRecord, trials: Sequence[TrialRecord], text: str | None) -> Iterator[Subject]:
    complete = {trial.architecture_hash: trial for trial in trials if trial.state == "complete"}
    for name in _parts("--presets", text):
        architecture = _preset(name, study)
        member = Member(
            name=f"preset {name}",
            weight=1.0,
            architecture=architecture,
            trial=complete.get(architecture.digest),
        )
        yield Subject(name=f"preset {name}", members=(member,), preset=name)


def _preset(text: str, study: StudyRecord) -> space.Architecture:
    """The architecture of `NAME` or `NAME@TIER`."""
    name, _, tier = text.partition("@")
    if "@" in text and tier not in study.tier_classes:
        raise UsageError(
            f"--presets {text}: unknown tier {tier!r}; choose one of {', '.join(study.tier_classes)}"
        )
    try:
        return space.preset(name, tier or study.target)
    except space.SpaceError as error:
        raise UsageError(f"--presets: {error}") from error


def _ensemble(store: Store, study: StudyRecord, name: str | None) -> Iterator[Subject]:
    if name is None:
        return
    ensemble = named_ensemble(store, study, name)
    members = tuple(_trial_member(member.trial, weight=member.weight) for member in ensemble.members)
    yield Subject(name=f"ensemble {name}", members=members, ensemble=name)


def _parts(option: str, text: str | None) -> list[str]:
    if text is None:
        return []
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise UsageError(f"{option}: {text!r} has an empty name; separate names by single commas")
    return parts
