"""A Pareto front for each number of leads, of a study that searches among leads."""

from collections import defaultdict
from collections.abc import Sequence

import space
from scores.front import front_trials
from storage.records import StudyRecord, TrialRecord


def lead_fronts(study: StudyRecord, trials: Sequence[TrialRecord]) -> dict[int, tuple[TrialRecord, ...]]:
    """Number of leads to the front of the trials with so many, by rising cost; few leads first.

    Returns:
        Nothing where complete trials all have the same number of leads.
    """
    n_all = int(study.settings.get("inputs", {}).get("n_leads", space.N_LEADS))
    by_number: dict[int, list[TrialRecord]] = defaultdict(list)
    for trial in trials:
        leads = str(trial.architecture.get("leads", space.ALL_LEADS))
        by_number[space.count_leads(leads, n_all)].append(trial)
    fronts = {number: front_trials(found) for number, found in sorted(by_number.items())}
    fronts = {number: front for number, front in fronts.items() if front}
    return fronts if len(fronts) > 1 else {}
