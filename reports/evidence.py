"""Everything a report is made from, read once: the database and the artifacts beside it, nothing else.

What is kept of every trial is read for all; curves, scores of classes and predictions only for the trials
that a reader asks about: the members of a front, and the presets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.front import front_trials
from reports.source import StudySource
from storage import Predictions, StorageError, TierScores, load_predictions
from storage.records import EpochRecord, OpeningRecord, StudyRecord, TrialRecord, WorkerRecord

N_CLOSE = 24
"""Trials looked at closely; the bootstrap takes about a second for each on all of PTB-XL."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrialEvidence:
    """What is known of a trial that is looked at closely."""

    curve: Sequence[EpochRecord]
    summary: Mapping[str, TierScores]
    """Cross-validated scores by tier."""
    predictions: Mapping[int, Predictions]
    """By fold; empty where they cannot be read."""
    problem: str = ""
    """Why there are no predictions, in one line; empty if there are."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Evidence:
    """A study as its report sees it."""

    study: StudyRecord
    trials: Sequence[TrialRecord]
    workers: Sequence[WorkerRecord] = ()
    openings: Sequence[OpeningRecord] = ()
    close: Mapping[int, TrialEvidence]
    """By number of the trial."""


def gather(store: StudySource, study_name: str) -> Evidence:
    """Reads the evidence.

    Raises:
        storage.StorageError: no such study, or the database cannot be read. A lost or damaged artifact is no
            reason to stop: the trial goes without intervals, and the report says why.
    """
    study, trials = store.study(study_name), tuple(store.trials(study_name))
    return Evidence(
        study=study,
        trials=trials,
        workers=tuple(store.workers(study_name)),
        openings=tuple(store.openings(study_name)),
        close={trial.number: _look(store, study, trial) for trial in close_trials(study, trials)},
    )


def tiers_reached(study: StudyRecord, trials: Sequence[TrialRecord]) -> list[str]:
    """Tiers with a score in a complete trial: the target, then the others from many classes to few."""
    found = {tier for trial in trials if trial.state == "complete" for tier in trial.tier_scores}
    others = sorted(found - {study.target}, key=lambda tier: (-len(study.tier_classes.get(tier, ())), tier))
    return [study.target, *others]


def close_trials(study: StudyRecord, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Trials to look at closely, by number: the front first, then presets, then fronts of other tiers."""
    wanted = [*reversed(front_trials(trials))]
    wanted += [trial for trial in trials if trial.state == "complete" and trial.preset is not None]
    for tier in tiers_reached(study, trials)[1:]:
        wanted += reversed(front_trials(trials, tier=tier))
    chosen = {trial.number: trial for trial in reversed(wanted)}
    kept = list(dict.fromkeys(trial.number for trial in wanted))[:N_CLOSE]
    return [chosen[number] for number in sorted(kept)]


def _look(store: StudySource, study: StudyRecord, trial: TrialRecord) -> TrialEvidence:
    predictions: dict[int, Predictions] = {}
    problem = ""
    try:
        for fold in store.folds(trial.id):
            predictions[fold.fold] = load_predictions(store, fold.predictions)
    except StorageError as error:
        predictions, problem = {}, str(error)
    if not problem and not predictions:
        problem = "no predictions were kept"
    elif not problem and any(each.on(study.target) is None for each in predictions.values()):
        problem = f"predictions were kept on {trial.label_tier} only, by an earlier version"
    return TrialEvidence(
        curve=tuple(store.epochs(trial.id)),
        summary=store.summary(trial.id),
        predictions=predictions,
        problem=problem,
    )
