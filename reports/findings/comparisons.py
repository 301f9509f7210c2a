"""Intervals of selected trials, and tests of their differences.

All trials of a tier are scored on the same draws of patients, so that differences are paired. The pairs
are few and chosen before looking: each member of the front against the next smaller one, and each preset
off the front against its rival, the member of the front that costs no more. p is adjusted over
all of them (Benjamini & Hochberg 1995).

Once trials have been trained again, a score is the mean over the trainings of a trial, and each draw adds the
luck of its trainings on the target: a normal number with the variance that the components of all of them give
(`scores.variance_components`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reports.evidence import Evidence
from reports.findings.training_noise import components_of
from reports.study_scorer import groups_words, study_scorer
from scores.bootstrap import (
    Interval,
    Resampling,
    benjamini_hochberg,
    centred_interval,
    centred_samples,
    difference,
    p_value,
)
from scores.front import pareto_front, points_of, rival
from scores.metrics import N_FREQUENT, cross_validated
from scores.ranking import Floats, auroc
from scores.scorers import MACRO_AUPRC, Scorer
from scores.variance_components import Components
from storage import Predictions

N_RESAMPLES = 1000
SEED = 0

Folds = list[tuple[NDArray[np.bool_], NDArray[np.float32]]]
Kind = Literal["next smaller on the front", "rival on the front"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scored:
    """A trial on one tier."""

    score: Interval
    """Score on the objective of the study."""
    frequent: Interval
    """Macro-AUPRC over classes with at least `N_FREQUENT` positives."""
    auroc: float
    classes: Sequence[Interval]
    """Average precision of each class."""
    worst_group: str = ""
    """The group of patients that the score is of; empty where it is of all records."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Comparison:
    """Two trials on the target."""

    trial: int
    other: int
    kind: Kind
    difference: Interval
    p: float
    p_adjusted: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Intervals:
    """Bootstrap results of the selected trials."""

    tiers: Mapping[str, Mapping[int, Scored]] = field(default_factory=dict)
    """Tier and trial to scores; trials without predictions are missing."""
    comparisons: Sequence[Comparison] = ()
    front_share: Mapping[int, float] = field(default_factory=dict)
    """Share of the draws in which a trial is on the front of the selected trials."""
    n_records: int = 0
    n_patients: int = 0
    by_patient: bool = False
    """Whether resamples draw patients; they draw records where patients were not kept."""
    components: Components | None = None
    """Variance components of the scores on the target, of trials trained again; None where none was."""
    patient_variance: Mapping[int, float] = field(default_factory=dict)
    """Variance of the score of a trial on the target over draws of patients alone."""
    groups: Sequence[str] = ()
    """Groups of patients that are compared on the target, in words; none where all are scored together."""

    def against(self, tier: str, first: int, second: int) -> Interval:
        """Paired difference of two trials on a tier, the first less the second."""
        return difference(self.tiers[tier][first].score, self.tiers[tier][second].score)


def intervals(evidence: Evidence, *, n_resamples: int = N_RESAMPLES, only_target: bool = False) -> Intervals:
    """Bootstrap the selected trials that have predictions, tier by tier.

    Args:
        evidence: with the selected trials.
        n_resamples: draws.
        only_target: leave out the other tiers, and p values, for which a command would wait seconds.
    """
    target = evidence.study.target
    components = components_of(evidence.trials)
    patient_variance: dict[int, float] = {}
    tiers: dict[str, dict[int, Scored]] = {}
    n_records, n_patients, by_patient = 0, 0, False
    groups: list[str] = []
    for tier in (target,) if only_target else _tiers(evidence):
        folds = trainings_of({number: close.trainings for number, close in evidence.close.items()}, tier)
        if not folds:
            continue
        predictions = evidence.close[next(iter(folds))].predictions
        patients = patients_of(predictions)
        targets = [y_NC for y_NC, _ in next(iter(folds.values()))[0]]
        scorer = study_scorer(evidence.study, targets, predictions)
        resampling = Resampling(
            targets, rng=np.random.default_rng(SEED), patients=patients, n_resamples=n_resamples
        )
        tiers[tier] = {number: _scored(resampling, scorer, each) for number, each in folds.items()}
        if tier == target:
            n_records = sum(len(y_NC) for y_NC in targets)
            groups = groups_words(scorer, unit=str(evidence.study.settings.get("unit", "record")))
            by_patient = patients is not None
            patient_variance = {number: _variance(each.score) for number, each in tiers[tier].items()}
            if components is not None:
                tiers[tier] = {
                    number: _with_training_luck(each, components.training(len(folds[number])), number)
                    for number, each in tiers[tier].items()
                }
            n_patients = len(np.unique(np.concatenate(patients))) if patients else 0
    on_target = tiers.get(target, {})
    return Intervals(
        tiers=tiers,
        comparisons=() if only_target else _comparisons(evidence, on_target),
        front_share=_front_share(evidence, on_target),
        n_records=n_records,
        n_patients=n_patients,
        by_patient=by_patient,
        components=components,
        patient_variance=patient_variance,
        groups=groups,
    )


def _variance(interval: Interval) -> float:
    defined = interval.samples[~np.isnan(interval.samples)]
    return float(np.var(defined)) if len(defined) else float("nan")


def _with_training_luck(scored: Scored, variance: float, number: int) -> Scored:
    """A trial whose draws vary by its trainings as well, independently of other trials."""
    own = scored.score
    luck_R = np.random.default_rng([SEED, number]).normal(0, np.sqrt(variance), len(own.samples))
    return replace(scored, score=centred_interval(own.value, own.samples + luck_R, own.level))


def _tiers(evidence: Evidence) -> list[str]:
    """The target and the tiers for which predictions were kept."""
    kept = {
        tier
        for close in evidence.close.values()
        for predictions in close.predictions.values()
        for tier in predictions.projected
    }
    return list(dict.fromkeys([evidence.study.target, *sorted(kept)]))


def folds_of(trials: Mapping[int, Mapping[int, Predictions]], tier: str) -> dict[int, Folds]:
    """Truth and predictions of every trial that has them for all of its folds.

    Args:
        trials: trial number and fold to its predictions.
        tier: tier of the classes.
    """
    found: dict[int, Folds] = {}
    for number, predictions in trials.items():
        folds = [predictions[fold].on(tier) for fold in sorted(predictions)]
        if folds and all(each is not None for each in folds):
            found[number] = [(each.targets_NC, each.probabilities_NC) for each in folds if each is not None]
    return found


def trainings_of(
    trials: Mapping[int, Sequence[Mapping[int, Predictions]]], tier: str
) -> dict[int, list[Folds]]:
    """Truth and predictions of every training of every trial that has them for all of its folds.

    Trials with other targets than the first one are left out.

    Args:
        trials: trial number, training and fold to its predictions.
        tier: tier of the classes.
    """
    flat = {(number, place): each for number, of in trials.items() for place, each in enumerate(of)}
    places = dict(enumerate(flat))
    folds = of_same_records(folds_of({index: flat[key] for index, key in places.items()}, tier))
    found: dict[int, list[Folds]] = {}
    for index, each in folds.items():
        found.setdefault(places[index][0], []).append(each)
    return {number: each for number, each in found.items() if len(each) == len(trials[number])}


def of_same_records(folds: dict[int, Folds]) -> dict[int, Folds]:
    """Trials scored on the records of the first trial, if those have any positive."""
    if not folds:
        return {}
    first = next(iter(folds.values()))
    if not any(y_NC.any() for y_NC, _ in first):
        return {}
    return {
        number: each
        for number, each in folds.items()
        if len(each) == len(first)
        and all(np.array_equal(y, other) for (y, _), (other, _) in zip(each, first, strict=True))
        and all(np.isfinite(p_NC).all() for _, p_NC in each)
    }


def patients_of(predictions: Mapping[int, Predictions]) -> list[NDArray[np.int64]] | None:
    """Patient of each record, fold by fold; None where they were not kept."""
    patients = [predictions[fold].patient_id for fold in sorted(predictions)]
    known = [each for each in patients if each is not None]
    return known if len(known) == len(patients) else None


def _scored(resampling: Resampling, scorer: Scorer, trainings: Sequence[Folds]) -> Scored:
    """Scores of a trial, means over its trainings."""
    of_trainings = [resampling.classes(folds) for folds in trainings]
    value_C: Floats = np.mean([value for value, _ in of_trainings], axis=0)
    sample_RC: Floats = np.mean([sample for _, sample in of_trainings], axis=0)
    if scorer == MACRO_AUPRC:
        score = resampling.mean(value_C, sample_RC)  # which is known by now
    else:
        scores = [scorer.resampled(resampling, folds) for folds in trainings]
        score = float(np.mean([value for value, _ in scores])), np.mean([each for _, each in scores], axis=0)
    return Scored(
        score=centred_interval(*score),
        frequent=centred_interval(*resampling.mean(value_C, sample_RC, min_positive=N_FREQUENT)),
        auroc=float(np.mean([cross_validated(folds, auroc).value for folds in trainings])),
        classes=[
            centred_interval(float(value), sample_R)
            for value, sample_R in zip(value_C, sample_RC.T, strict=True)
        ],
        worst_group=scorer.worst(trainings[0]),
    )


def _comparisons(evidence: Evidence, scored: Mapping[int, Scored]) -> list[Comparison]:
    points = points_of(evidence.trials)
    front = pareto_front(points)
    pairs: list[tuple[int, int, Kind]] = [
        (larger.trial, smaller.trial, "next smaller on the front") for smaller, larger in pairwise(front)
    ]
    on_front = {point.trial for point in front}
    for trial in evidence.trials:
        if trial.state == "complete" and trial.preset is not None and trial.number not in on_front:
            best = rival(front, trial.cost)
            if best is not None:
                pairs.append((trial.number, best.trial, "rival on the front"))
    pairs = [pair for pair in pairs if pair[0] in scored and pair[1] in scored]
    differences = [difference(scored[first].score, scored[second].score) for first, second, _ in pairs]
    p_M = [p_value(each) for each in differences]
    adjusted_M: Floats = benjamini_hochberg(p_M)
    return [
        Comparison(trial=first, other=second, kind=kind, difference=interval, p=p, p_adjusted=float(adjusted))
        for (first, second, kind), interval, p, adjusted in zip(
            pairs, differences, p_M, adjusted_M, strict=True
        )
    ]


def _front_share(evidence: Evidence, scored: Mapping[int, Scored]) -> dict[int, float]:
    """Share of the resamples, centred on the scores, in which each trial is on the front of `scored`."""
    if not scored:
        return {}
    costs = {trial.number: trial.cost for trial in evidence.trials}
    numbers = sorted(scored)
    sample_MR = np.stack([centred_samples(scored[number].score) for number in numbers])
    share_M = shares_on_front(sample_MR, np.array([costs[number] for number in numbers]))
    return dict(zip(numbers, share_M.tolist(), strict=True))


def shares_on_front(sample_MR: Floats, cost_M: Floats | NDArray[np.int64]) -> Floats:
    """Share of the draws in which each of some trials is on their front (`scores.front.pareto_front`).

    Of trials of one cost the best alone is, the first among equals.

    Args:
        sample_MR: score of every trial in each draw; a draw in which one has none (nan) does not count.
        cost_M: cost of every trial.

    Returns:
        (M,) shares; nan where no draw counts.
    """
    sample_MR = sample_MR[:, ~np.isnan(sample_MR).any(axis=0)]
    if not sample_MR.size:
        return np.full(len(sample_MR), np.nan)
    share_M = np.empty(len(sample_MR))
    best_R = np.full(sample_MR.shape[1], -np.inf)
    for cost in np.unique(cost_M):
        here = np.flatnonzero(cost_M == cost)
        first_R, highest_R = sample_MR[here].argmax(axis=0), sample_MR[here].max(axis=0)
        is_on_R = highest_R > best_R
        share_M[here] = [np.mean(is_on_R & (first_R == place)) for place in range(len(here))]
        best_R = np.maximum(best_R, highest_R)
    return share_M
