"""Ensembles of a study for the terminal, and as one JSON document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from rich.console import Group, RenderableType
from rich.text import Text

from reports.ensembles.candidates import N_BEST, left_out_lines
from reports.ensembles.study import N_RESAMPLES, Ensemble, EnsembleStudy, Place
from reports.numbers import cost_words, count_words, interval_words, score_words
from reports.parts import data_document
from reports.schema import (
    CONFIG,
    Data,
    Ends,
    EnsembleDifference,
    EnsembleMember,
    Number,
    finite,
    score_fields,
    to_json,
)
from reports.schema import Ensemble as EnsembleEntry
from reports.terminal import StackingTable, simple_table
from reports.words import SYNTHETIC_NOTE, aim_words, data_words, sentence
from scores.bootstrap import Interval
from scores.costs import COSTS
from scores.objectives import DEFAULT_OBJECTIVE, OBJECTIVES
from storage.records import StudyRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A trial that should have taken part and could not."""

    trial: int
    """Number of the trial."""
    reason: str
    """Reason, in one line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BestTrial:
    """The best trial that took part."""

    trial: int
    """Number of the trial."""
    parameters: int
    """Trainable parameters."""
    macro_auprc: Number
    """Cross-validated macro-AUPRC; null where the study maximises something else."""
    interval: Ends
    """Interval of the score."""
    score: Number = None
    """Cross-validated score."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaceEntry:
    """A trial or an ensemble on the joint front; the other is null."""

    trial: int | None
    """Number of the trial."""
    ensemble: str | None
    """Kind of ensemble."""
    macro_auprc: Number
    """Score of the trial, nested score of the ensemble; null where the study maximises something else."""
    parameters: int
    """Trainable parameters."""
    cost: int = 0
    """The second objective, of all members together."""
    score: Number = None
    """Score of the trial, nested score of the ensemble."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EnsembleDocument:
    """JSON document of `search ensemble --json`. Undefined numbers are null."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = CONFIG
    schema: Literal["ecg-architecture-search/ensembles"] = "ecg-architecture-search/ensembles"
    """Kind of document."""
    schema_version: Literal[1] = 1
    """A field may be added without a new number; none is renamed, removed or redefined."""
    study: str
    """Name of the study."""
    target: str
    """Label tier on which every score is."""
    data: Data
    """The data set, as in report.json."""
    n_complete: int
    """Complete trials of the study."""
    n_candidates: int
    """Trials that took part: the best fifty and the front."""
    left_out: Sequence[LeftOut]
    """Trials that should have taken part and could not."""
    n_folds: int
    """Folds behind every score."""
    n_records: int
    """Records behind every score."""
    n_patients: int | None
    """Patients behind every score; null where intervals draw records."""
    best_trial: BestTrial
    """The best trial that took part."""
    ensembles: Sequence[EnsembleEntry]
    """Every kind of ensemble."""
    front: Sequence[PlaceEntry]
    """Joint front of trials and ensembles, by rising cost."""
    objective: str = DEFAULT_OBJECTIVE
    """First objective of the study, as in report.json."""


def ensemble_document(found: EnsembleStudy) -> dict[str, Any]:
    """The document, ready for `json.dumps`; its fields are those of `EnsembleDocument`."""
    objective = found.study.objective
    document = EnsembleDocument(
        objective=objective,
        study=found.study.name,
        target=found.study.target,
        data=data_document(found.study),
        n_complete=found.n_complete,
        n_candidates=found.n_candidates,
        left_out=[LeftOut(trial=number, reason=reason) for number, reason in found.left_out],
        n_folds=found.n_folds,
        n_records=found.n_records,
        n_patients=found.n_patients,
        best_trial=BestTrial(
            trial=found.best.number,
            parameters=found.best.parameters,
            **score_fields(objective, found.best_score.value),
            interval=_ends(found.best_score),
        ),
        ensembles=ensemble_entries(found),
        front=[
            PlaceEntry(
                trial=None if place.trial is None else place.trial.number,
                ensemble=None if place.ensemble is None else place.ensemble.name,
                **score_fields(objective, place.score),
                parameters=_parameters(place),
                cost=place.cost,
            )
            for place in found.front
        ],
    )
    return to_json(document)


def ensemble_entries(found: EnsembleStudy) -> list[EnsembleEntry]:
    """Every ensemble as documents have it."""
    return [_ensemble_entry(found, ensemble) for ensemble in found.ensembles]


def _parameters(place: Place) -> int:
    """Trainable parameters, of all members of an ensemble together."""
    held_by = place.trial or place.ensemble
    assert held_by is not None
    return held_by.parameters


def _ensemble_entry(found: EnsembleStudy, ensemble: Ensemble) -> EnsembleEntry:
    on_front = any(place.ensemble is ensemble for place in found.front)
    return EnsembleEntry(
        name=ensemble.name,
        members=[
            EnsembleMember(
                trial=member.trial.number,
                weight=member.weight,
                parameters=member.trial.parameters,
                label_tier=member.trial.label_tier,
                description=member.trial.description,
            )
            for member in ensemble.members
        ],
        parameters=ensemble.parameters,
        **score_fields(found.study.objective, ensemble.score.value),
        interval=_ends(ensemble.score),
        difference=EnsembleDifference(
            value=finite(ensemble.difference.value), interval=_ends(ensemble.difference)
        ),
        in_sample_score=finite(ensemble.in_sample),
        in_sample_macro_auprc=score_fields(found.study.objective, ensemble.in_sample)["macro_auprc"],
        on_front=on_front if len(ensemble.members) > 1 else None,
        cost=ensemble.cost,
    )


def _ends(interval: Interval) -> Ends:
    return finite(interval.low), finite(interval.high)


def ensemble_view(found: EnsembleStudy) -> RenderableType:
    """Ensembles for a terminal of 80 columns or more."""
    heading = f"Ensembles of study {found.study.name}, {aim_words(found.study)}"
    parts: list[RenderableType] = [Text(heading, style="bold"), Text(data_words(found.study))]
    if found.study.synthetic:
        parts.append(Text(SYNTHETIC_NOTE, style="bold red"))
    parts += [Text(""), _scores(found), Text("\n".join(score_notes(found)), style="dim")]
    parts += [
        Text(""),
        Text("Weights of the members", style="bold"),
        _members(found.ensembles, found.study.cost),
    ]
    parts += [
        Text(""),
        Text("Pareto front of trials and ensembles", style="bold"),
        _front(found.front, found.study),
    ]
    parts += [Text(_dominated_words(place, by)) for place, by in found.dominated]
    parts += [
        Text(f"{ensemble.name} is trial {ensemble.members[0].trial.number} alone.")
        for ensemble in found.ensembles
        if len(ensemble.members) == 1
    ]
    return Group(*parts)


def _table(*columns: tuple[str, bool]) -> StackingTable:
    """Table with these columns, right-aligned where requested; the last column may wrap."""
    table = simple_table()
    for heading, right in columns[:-1]:
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    heading, right = columns[-1]
    table.add_column(heading, justify="right" if right else "left", overflow="fold", ratio=1)
    return table


def _scores(found: EnsembleStudy) -> StackingTable:
    table = simple_table()
    table.add_column("", no_wrap=True)
    table.add_column(OBJECTIVES[found.study.objective].words, no_wrap=True)
    table.add_column(f"minus trial {found.best.number}", no_wrap=True)
    table.add_column("in-sample", no_wrap=True)
    table.add_column(COSTS[found.study.cost].head, justify="right", no_wrap=True)
    best = f"trial {found.best.number}"
    table.add_row(
        best, _interval_words(found.best_score), "", "", cost_words(found.study.cost, found.best.cost)
    )
    for ensemble in found.ensembles:
        table.add_row(
            ensemble.name,
            _interval_words(ensemble.score),
            _interval_words(ensemble.difference, signed=True),
            score_words(ensemble.in_sample),
            cost_words(found.study.cost, ensemble.cost),
        )
    return table


def _interval_words(interval: Interval, *, signed: bool = False) -> Text:
    # Side by side would be wider than 80 columns.
    return Text(interval_words(interval.value, interval.low, interval.high, signed=signed, between="\n"))


def score_notes(found: EnsembleStudy) -> list[str]:
    """Method and n of the scores, sentence by sentence, and which trials are left out."""
    unit = str(found.study.settings.get("unit", "record"))
    records = count_words(found.n_records, unit)
    if found.n_patients is None:
        n, drawn = records, f"{unit}s, because patients were not kept"
    else:
        n, drawn = f"{records} of {count_words(found.n_patients, 'patient')}", "patients"
    notes = [
        f"n = {n} in {count_words(found.n_folds, 'fold')}; [95 % intervals] from {N_RESAMPLES:,} draws of "
        f"{drawn}.",
        f"{OBJECTIVES[found.study.objective].words} of an ensemble: in each fold, with members and weights "
        "chosen on the other folds. in-sample: chosen and scored on all folds, which is optimistic.",
        f"Trial {found.best.number}, the best, was itself picked on all folds: differences are rather too "
        "small than too large.",
        f"Candidates: {found.n_candidates} of {count_words(found.n_complete, 'complete trial')}"
        + (f" (the best {N_BEST}, and the front)." if found.n_complete > found.n_candidates else "."),
    ]
    return notes + [f"Left out: {line}." for line in left_out_lines(found.left_out)]


def _members(ensembles: Sequence[Ensemble], cost: str) -> StackingTable:
    """Weights of all members, every trial once."""
    names = [ensemble.name.replace("-", "-\n") for ensemble in ensembles]
    table = _table(
        ("trial", True), (COSTS[cost].head, True), *((name, True) for name in names), ("architecture", False)
    )
    trials = {member.trial.number: member.trial for ensemble in ensembles for member in ensemble.members}
    for number, trial in sorted(trials.items()):
        weights = [_weight_words(ensemble, number) for ensemble in ensembles]
        table.add_row(str(number), cost_words(cost, trial.cost), *weights, Text(trial.description))
    return table


def _weight_words(ensemble: Ensemble, number: int) -> str:
    found = [member.weight for member in ensemble.members if member.trial.number == number]
    return score_words(found[0]) if found else ""


def _front(places: Sequence[Place], study: StudyRecord) -> StackingTable:
    cost = study.cost
    table = _table((OBJECTIVES[study.objective].words, False), (COSTS[cost].head, True), ("", False))
    for place in places:
        words = place_words(place)
        if place.trial is not None:
            words += f": {place.trial.description}"
        table.add_row(score_words(place.score), cost_words(cost, place.cost), Text(words))
    return table


def place_words(place: Place) -> str:
    """`trial 3`, `ensemble greedy (4 trials)`."""
    if place.ensemble is not None:
        return f"ensemble {place.ensemble.name} ({count_words(len(place.ensemble.members), 'trial')})"
    return "" if place.trial is None else f"trial {place.trial.number}"


def _dominated_words(place: Place, by: Place) -> str:
    return f"{sentence(place_words(place))} is dominated by {place_words(by)}."
