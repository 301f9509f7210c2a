"""Selection bias: the expected score of each member of the front on other patients.

A member of the front is the best of all trials that cost no more, and the last one the best of all; the more
there were, the more of its score is luck (`scores.optimism`).
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from reports.evidence import Evidence, contenders, gather
from reports.findings.comparisons import SEED, Intervals, intervals, patients_of, trainings_of
from reports.numbers import interval_words
from reports.study_scorer import study_scorer
from scores.front import front_trials
from scores.optimism import Choice, Expected
from storage import Store

LEAST_MODELS = 2
"""Minimum number of trials for a choice."""


def expected_words(expected: Expected | None) -> str:
    """Expected score of a member of the front on other patients, in words.

    Empty if it is not known, or nothing was chosen: no other trial costs as little as the smallest member.
    """
    if expected is None or expected.n_models < LEAST_MODELS or not math.isfinite(expected.interval.value):
        return ""
    each = expected.interval
    return (
        f"corrected for the choice of the best, {interval_words(each.value, each.low, each.high)} is "
        "expected on other patients"
    )


def expected_of_front(store: Store, study_name: str) -> Mapping[int, Expected]:
    """`expectations` of a study that nothing else is asked about.

    Raises:
        storage.StorageError: no such study, or the database cannot be read.
    """
    evidence = gather(store, study_name)
    on_front = {trial.number for trial in front_trials(evidence.trials)}
    close = {number: each for number, each in evidence.close.items() if number in on_front}
    return expectations(evidence, intervals(replace(evidence, close=close)))


def expectations(evidence: Evidence, scored: Intervals, only: int | None = None) -> Mapping[int, Expected]:
    """Expected scores by trial number, for the members of the front with predictions.

    Args:
        evidence: with contenders.
        scored: intervals of the members.
        only: number of the one member that is asked about; None for all.
    """
    study = evidence.study
    of_target = scored.tiers.get(study.target, {})
    members = [
        trial
        for trial in front_trials(evidence.trials)
        if trial.number in of_target and only in (None, trial.number)
    ]
    if not members:
        return {}
    chosen_from = contenders(evidence.trials)
    among_members = {number for member in members for number in chosen_from[member.number]}
    reference = {members[0].number: evidence.close[members[0].number].trainings}
    others = {number: each for number, each in evidence.contenders.items() if number in among_members}
    models = trainings_of(reference | others, study.target)
    if len(models) < LEAST_MODELS:
        return {}
    place = {number: index for index, number in enumerate(models)}
    predictions = evidence.close[members[0].number].predictions
    targets = [y_NC for y_NC, _ in next(iter(models.values()))[0]]
    choice = Choice(
        list(models.values()),
        patients=patients_of(predictions),
        scorer=study_scorer(study, targets, predictions),
        rng=np.random.default_rng(SEED),
    )
    found: dict[int, Expected] = {}
    for member in members:
        among = [place[number] for number in chosen_from[member.number] if number in place]
        if place.get(member.number) in among:
            found[member.number] = choice.expect(among, of_target[member.number].score.samples)
    return found
