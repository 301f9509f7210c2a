"""Selection bias: the expected score of each member of the front on other patients.

A member of the front is the best of all trials that cost no more; the more there were, the more
of its score is luck (`scores.optimism`).
"""

from collections.abc import Mapping

import numpy as np

from reports.evidence import Evidence, contenders
from reports.findings.comparisons import SEED, Intervals, folds_of, of_same_records, patients_of
from scores.front import front_trials
from scores.optimism import Choice, Expected

LEAST_MODELS = 2
"""Minimum number of trials for a choice."""


def expectations(evidence: Evidence, scored: Intervals) -> Mapping[int, Expected]:
    """Expected scores by trial number, for the members of the front with predictions."""
    study = evidence.study
    of_target = scored.tiers.get(study.target, {})
    members = [trial for trial in front_trials(evidence.trials) if trial.number in of_target]
    if not members:
        return {}
    reference = folds_of({members[0].number: evidence.close[members[0].number].predictions}, study.target)
    models = of_same_records(reference | folds_of(evidence.contenders, study.target))
    if len(models) < LEAST_MODELS:
        return {}
    place = {number: index for index, number in enumerate(models)}
    choice = Choice(
        list(models.values()),
        patients=patients_of(evidence.close[members[0].number].predictions),
        rng=np.random.default_rng(SEED),
    )
    found: dict[int, Expected] = {}
    chosen_from = contenders(evidence.trials)
    for member in members:
        among = [place[number] for number in chosen_from[member.number] if number in place]
        if place.get(member.number) in among:
            found[member.number] = choice.expect(among, of_target[member.number].auprc.samples)
    return found
