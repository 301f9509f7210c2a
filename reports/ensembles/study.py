"""The ensembles of a study: built, judged, and placed on the front of its trials.

Every ensemble has two scores. The one that counts is nested: in each fold members and weights are those
chosen on the other folds. The other, in-sample, is that of the members and weights chosen on all folds, on
the same folds; it is optimistic and shown as such. Members, weights and parameters are those chosen on all
folds.

The difference to the best trial is paired: both are scored on the same draws of patients. The best trial was
itself picked for its score on all folds, so that differences are, if anything, too small.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from reports.ensembles.averaging import (
    Chooser,
    Pool,
    best_single,
    front,
    greedy,
    light,
    nested,
    top2_weighted,
)
from reports.ensembles.candidates import Candidates
from reports.errors import ReportError
from scores.bootstrap import DIFFERENCE, Interval, Resampling, centred_interval
from scores.costs import COSTS
from scores.front import Point, pareto_front, points_of, rival
from scores.ranking import Floats
from storage.records import StudyRecord, TrialRecord

N_RESAMPLES = 1000
SEED = 0
MAX_SIZE = 50
"""Most picks of an ensemble; the time grows with them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A trial in an ensemble."""

    trial: TrialRecord
    weight: float
    """Share of the average; the weights of an ensemble sum to 1."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Ensemble:
    """A weighted average of trials."""

    name: str
    members: tuple[Member, ...]
    """Members by falling weight, then by number."""
    parameters: int
    """Trainable parameters of all members together."""
    cost: int
    """The second objective, of all members together."""
    score: Interval
    """Nested cross-validated score."""
    in_sample: float
    """Optimistic: chosen and scored on the same folds."""
    difference: Interval
    """Nested score minus that of the best trial, paired."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A trial or an ensemble in the plane of the two objectives."""

    score: float
    cost: int
    trial: TrialRecord | None = None
    ensemble: Ensemble | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EnsembleStudy:
    """Result of `search ensemble`."""

    study: StudyRecord
    n_complete: int
    """Complete trials of the study."""
    n_candidates: int
    """Complete trials that took part: the best, and the front."""
    left_out: tuple[tuple[int, str], ...]
    """Numbers of those that should have and could not, with the reason."""
    n_folds: int
    n_records: int
    n_patients: int | None
    """None where patients were not kept: intervals draw records then."""
    best: TrialRecord
    best_score: Interval
    ensembles: tuple[Ensemble, ...]
    front: tuple[Place, ...]
    """Front of complete trials and ensembles of two members or more, by rising cost."""
    dominated: tuple[tuple[Place, Place], ...]
    """Ensembles off it, and trials that only ensembles keep off it, each with the member of the front that
    scores at least as much and costs no more."""


def choosers(size: int) -> Mapping[str, Chooser]:
    """Every kind of ensemble by its name."""
    return {
        "top2-weighted": top2_weighted,
        "greedy": partial(greedy, size=size),
        "light": partial(light, size=size),
        "front": front,
    }


def build_ensembles(candidates: Candidates, size: int, *, n_resamples: int = N_RESAMPLES) -> EnsembleStudy:
    """Build and judge every kind of ensemble.

    Args:
        candidates: the trials.
        size: picks of `greedy` and `light`, at least 1.
        n_resamples: draws behind an interval.

    Raises:
        ReportError: one fold holds every positive, so that it cannot be held out.
    """
    pool = Pool(
        list(zip(candidates.targets, candidates.predictions, strict=True)),
        [trial.cost for trial in candidates.members],
        adds=COSTS[candidates.study.cost].adds,
        scorer=candidates.scorer,
    )
    _check_folds(candidates.study, pool)
    draws = Resampling(
        candidates.targets,
        rng=np.random.default_rng(SEED),
        patients=candidates.patients,
        n_resamples=n_resamples,
    )
    best_M = best_single(pool, pool.folds)
    best, sample_R = candidates.scorer.resampled(draws, [pool.blended(best_M, fold) for fold in pool.folds])
    ensembles = []
    for name, choose in choosers(size).items():
        weight_M = choose(pool, pool.folds)
        value, mine_R = candidates.scorer.resampled(draws, nested(pool, choose))
        ensembles.append(
            Ensemble(
                name=name,
                members=_members(candidates.members, weight_M),
                parameters=sum(
                    trial.parameters
                    for trial, weight in zip(candidates.members, weight_M, strict=True)
                    if weight > 0
                ),
                cost=pool.cost(weight_M),
                score=centred_interval(value, mine_R),
                in_sample=pool.score(weight_M, pool.folds),
                difference=centred_interval(value - best, mine_R - sample_R, bounds=DIFFERENCE),
            )
        )
    places, dominated = _joint_front(candidates.trials, ensembles)
    patients = candidates.patients
    return EnsembleStudy(
        study=candidates.study,
        n_complete=len(points_of(candidates.trials)),
        n_candidates=len(candidates.members),
        left_out=candidates.left_out,
        n_folds=len(candidates.targets),
        n_records=sum(len(y_NC) for y_NC in candidates.targets),
        n_patients=None if patients is None else len(np.unique(np.concatenate(patients))),
        best=candidates.members[int(np.argmax(best_M))],
        best_score=centred_interval(best, sample_R),
        ensembles=tuple(ensembles),
        front=places,
        dominated=dominated,
    )


def _check_folds(study: StudyRecord, pool: Pool) -> None:
    for held_out in pool.folds:
        others = [fold for fold in pool.folds if fold != held_out]
        if not np.isfinite(pool.score(pool.models[0], others)):
            raise ReportError(
                f"study {study.name} has records with a class of {study.target} in fold {held_out + 1} only: "
                "nothing can be chosen without it"
            )


def _members(trials: Sequence[TrialRecord], weight_M: Floats) -> tuple[Member, ...]:
    members = [
        Member(trial=trial, weight=float(weight))
        for trial, weight in zip(trials, weight_M, strict=True)
        if weight > 0
    ]
    return tuple(sorted(members, key=lambda member: (-member.weight, member.trial.number)))


def _joint_front(
    trials: Sequence[TrialRecord], ensembles: Sequence[Ensemble]
) -> tuple[tuple[Place, ...], tuple[tuple[Place, Place], ...]]:
    """The front of both, and what of either is dominated. An ensemble of one member is a trial already."""
    by_number = {trial.number: trial for trial in trials}
    alone = points_of(trials)
    places = {
        point.trial: Place(score=point.score, cost=by_number[point.trial].cost, trial=by_number[point.trial])
        for point in alone
    }
    n_numbers = 1 + max(by_number)
    shown = [point.trial for point in pareto_front(alone)]
    for number, ensemble in enumerate(ensembles, start=n_numbers):
        if len(ensemble.members) > 1:
            places[number] = Place(score=ensemble.score.value, cost=ensemble.cost, ensemble=ensemble)
            shown.append(number)
    points = {
        number: Point(trial=number, score=place.score, cost=place.cost) for number, place in places.items()
    }
    on_front = [point.trial for point in pareto_front(points.values())]
    dominated = []
    for number in shown:
        by = rival(points.values(), points[number].cost)
        if number not in on_front and by is not None:
            dominated.append((places[number], places[by.trial]))
    return tuple(places[number] for number in on_front), tuple(dominated)
