"""The content of a comparison of studies, filled from the evidence of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from reports import schema
from reports.evidence import Evidence
from reports.findings.comparisons import N_RESAMPLES, Intervals
from reports.findings.compute import hypervolume_history, reference_of
from reports.numbers import (
    cost_phrase,
    count_words,
    hypervolume_words,
    percent_words,
    score_words,
)
from reports.parts import data_document, interval_document
from reports.schema import finite, score_fields
from reports.studies.comparison import (
    check_comparable,
    common,
    differing_settings,
    front_intervals,
    hypervolume_interval,
)
from reports.studies.schema import ComparedStudy, Difference, Member, Setting, StudiesReport
from scores.bootstrap import UNBOUNDED, Interval, difference
from scores.front import front_trials, points_of
from scores.objectives import OBJECTIVES, Objective
from scores.over_folds import standard_error
from storage.records import STATES, TrialRecord


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Compared:
    """A study with what its part of the document is made of."""

    evidence: Evidence
    front: Sequence[TrialRecord]
    history: schema.Hypervolume
    scores: Mapping[int, Interval]
    """Scores of the members of the front with their intervals, by number; of those with predictions."""
    volume: Interval | None
    """Hypervolume with its interval."""

    def study(self, joint: float, fronts: Sequence[Sequence[TrialRecord]]) -> ComparedStudy:
        """The study in the document.

        Args:
            joint: hypervolume of all studies together.
            fronts: those of all studies.
        """
        last = self.history.points[-1]
        states = [trial.state for trial in self.evidence.trials]
        return ComparedStudy(
            study=self.evidence.study.name,
            counts={state: states.count(state) for state in STATES},
            n_fold_epochs=last.n_fold_epochs,
            seconds=last.seconds,
            hypervolume=last.hypervolume,
            interval=interval_document(self.volume),
            share=last.hypervolume / joint if joint else None,
            front=[self._member(trial, fronts) for trial in self.front],
            history=self.history.points,
            commands=list(dict.fromkeys(worker.command for worker in self.evidence.workers)),
        )

    def _member(self, trial: TrialRecord, fronts: Sequence[Sequence[TrialRecord]]) -> Member:
        return Member(
            trial=trial.number,
            **score_fields(self.evidence.study.objective, trial.score),
            standard_error=finite(standard_error(trial)),
            interval=interval_document(self.scores.get(trial.number)),
            cost=trial.cost,
            description=trial.description,
            preset=trial.preset,
            architecture_hash=trial.architecture_hash,
            on_joint_front=not any(_dominates(other, trial) for front in fronts for other in front),
        )


def studies_document(found: Sequence[Evidence], *, n_resamples: int = N_RESAMPLES) -> StudiesReport:
    """The comparison of studies.

    Raises:
        ReportError: they cannot be compared.
    """
    records = [each.study for each in found]
    check_comparable(records)
    target, cost, objective = records[0].target, records[0].cost, OBJECTIVES[records[0].objective]
    at_least, smallest = common(records, "at_least", objective.least), common(records, "smallest", 1)
    everything = [trial for each in found for trial in each.trials]
    reference = reference_of(everything, at_least)
    history_of = partial(
        hypervolume_history, at_least=at_least, smallest=smallest, among=everything, cost=cost
    )
    bootstrapped = [front_intervals(each, n_resamples=n_resamples) for each in found]
    compared = []
    for evidence, intervals in zip(found, bootstrapped, strict=True):
        front, history = front_trials(evidence.trials), history_of(evidence.trials)
        scores = {number: scored.score for number, scored in intervals.tiers.get(target, {}).items()}
        costs = [float(max(trial.cost, smallest)) for trial in front]
        volume = hypervolume_interval(history.points[-1].hypervolume, front, scores, costs, reference)
        compared.append(
            _Compared(evidence=evidence, front=front, history=history, scores=scores, volume=volume)
        )
    joint = history_of(everything).points[-1].hypervolume
    fronts = [each.front for each in compared]
    studies = [each.study(joint, fronts) for each in compared]
    corner = compared[0].history.reference
    differences = _differences([each.study for each in studies], [each.volume for each in compared])
    return StudiesReport(
        target=target,
        n_classes=len(records[0].tier_classes.get(target, ())) or None,
        objective=objective.name,
        cost=cost,
        data=data_document(records[0]),
        reference=corner,
        joint_hypervolume=joint,
        verdict=_verdict(studies, differences, corner, objective, cost),
        studies=studies,
        differences=differences,
        settings=[
            Setting(name=name, values=values)
            for name, values in differing_settings(records, [each.workers for each in found])
        ],
        method=_method(n_resamples, next((each for each in bootstrapped if each.n_records), None)),
    )


def _dominates(one: TrialRecord, other: TrialRecord) -> bool:
    """Whether a trial is at least as good in both objectives and better in one."""
    (first,), (second,) = points_of([one]), points_of([other])
    return (
        first.score >= second.score
        and first.cost <= second.cost
        and (first.score, first.cost) != (second.score, second.cost)
    )


def _differences(names: Sequence[str], volumes: Sequence[Interval | None]) -> list[Difference]:
    """The largest hypervolume against the others, the nearest first, where all have intervals."""
    known = [(name, volume) for name, volume in zip(names, volumes, strict=True) if volume is not None]
    if len(known) < 2:
        return []
    known.sort(key=lambda each: -each[1].value)
    (best, most), *rest = known
    made = []
    for name, volume in rest:
        found = difference(most, volume, bounds=UNBOUNDED)
        shown = interval_document(found)
        if shown is not None:
            made.append(Difference(study=best, other=name, difference=shown, distinguishable=found.low > 0))
    return made


def _verdict(
    studies: Sequence[ComparedStudy],
    differences: Sequence[Difference],
    corner: schema.Corner,
    objective: Objective,
    cost: str,
) -> list[str]:
    if not any(each.front for each in studies):
        return ["No trial of any study is complete yet, so there is nothing to compare."]
    listed = [
        f"{each.study} {volume_words(each.hypervolume, each.interval)}"
        for each in sorted(studies, key=lambda each: -each.hypervolume)
    ]
    sentences = [
        f"Hypervolume, from {objective.short} {score_words(corner.macro_auprc)} at "
        f"{cost_phrase(cost, corner.cost)}: {'; '.join(listed)}."
    ]
    for each in differences:
        more = volume_words(each.difference.value, each.difference)
        certainty = "distinguishable" if each.distinguishable else "not distinguishable"
        sentences.append(
            f"{each.study} has {more} more than {each.other}, {certainty} from zero over the same patients."
        )
    joint = [[member for member in each.front if member.on_joint_front] for each in studies]
    shares = ", ".join(
        f"{len(members)} of {each.study}" for each, members in zip(studies, joint, strict=True)
    )
    points = {(member.score, member.cost) for members in joint for member in members}
    shared = "" if len(points) == sum(map(len, joint)) else "; what several studies have counts for each"
    sentences.append(f"The front of all together has {count_words(len(points), 'point')}: {shares}{shared}.")
    return sentences


def volume_words(value: float, interval: schema.Interval | None, *, signed: bool = False) -> str:
    """A hypervolume, or a difference of two, with its interval: `1.2042 [1.1911, 1.2173]`."""

    def words(area: float) -> str:
        sign = "−" if area < 0 else "+" if signed else ""
        return f"{sign}{hypervolume_words(abs(area))}"

    if interval is None:
        return words(value)
    low, high = (
        f"{'−' if end < 0 else ''}{hypervolume_words(abs(end))}" for end in (interval.low, interval.high)
    )
    return f"{words(value)} [{low}, {high}]"


def _method(n_resamples: int, basis: Intervals | None) -> str:
    if basis is None:
        return "There are no out-of-fold predictions, so there are no intervals."
    drawn = (
        count_words(basis.n_patients, "patient")
        if basis.by_patient
        else count_words(basis.n_records, "record")
    )
    return (
        f"Intervals: {percent_words(0.95)}, {n_resamples:,} resamples of {drawn}, the same for all studies, "
        "the members of each front given. They cover neither the luck of which trials were chosen nor that "
        "of random seeds, and are not adjusted for several comparisons."
    )
