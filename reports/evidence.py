"""Reading the database and the artifacts beside it, once per report.

Rows of trials are read for all; curves, scores per class and predictions only for the trials that the report
shows in detail: the members of a front, and the presets.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

import space
from reports.errors import ReportError
from reports.schema import Layers
from reports.words import learn_words
from scores.front import front_trials, pareto_front, points_of
from storage import Predictions, StorageError, Store, TierScores, load_predictions
from storage.records import (
    EpochRecord,
    Evaluation,
    GainRecord,
    SealedFoldOpeningRecord,
    StudyRecord,
    TrialRecord,
    WorkerRecord,
)

N_CONTENDERS = 60
"""Trials among which a member of the front was chosen, for the luck of that choice; others are far below."""
N_CLOSE = 24
"""Trials looked at closely; the bootstrap takes about a second for each on all of PTB-XL."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrialEvidence:
    """Curves, scores and predictions of a trial that is looked at closely."""

    curve: Sequence[EpochRecord]
    summary: Mapping[str, TierScores]
    """Cross-validated scores by tier."""
    predictions: Mapping[int, Predictions]
    """Predictions by fold; empty where they cannot be read."""
    repeats: Sequence[Mapping[int, Predictions]] = ()
    """Predictions by fold of every further training with a score."""
    problem: str = ""
    """Reason why there are no predictions, in one line; empty if there are."""

    @property
    def trainings(self) -> tuple[Mapping[int, Predictions], ...]:
        """Predictions by fold of every training, the first one first; empty where they cannot be read."""
        return (self.predictions, *self.repeats) if self.predictions else ()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Evidence:
    """Everything that the report of a study is made from."""

    study: StudyRecord
    trials: Sequence[TrialRecord]
    workers: Sequence[WorkerRecord] = ()
    openings: Sequence[SealedFoldOpeningRecord] = ()
    close: Mapping[int, TrialEvidence]
    """Trials looked at closely, by number."""
    contenders: Mapping[int, Sequence[Mapping[int, Predictions]]] = field(default_factory=dict)
    """Predictions, by trial, training and fold, of those among which the members of the front were chosen."""
    evaluations: Sequence[Evaluation] = ()
    """Evaluations on held-out records, oldest first."""
    gains: Sequence[GainRecord] = ()
    """Expected gain of each proposal, by number of the trial."""
    closer: tuple[int, TrialEvidence] | None = None
    """The trial whose decisions are shown class by class, with its number."""
    layers: Mapping[int, Layers] = field(default_factory=dict)
    """Layers of members of the front, by trial, where they are known."""


def gather(
    store: Store, study_name: str, trial: int | None = None, *, with_contenders: bool = True
) -> Evidence:
    """Read the evidence.

    Args:
        store: where the study is kept.
        study_name: its name.
        trial: the trial to look at more closely; None for the best of the front.
        with_contenders: read their predictions, which only the luck of the choice needs.

    Raises:
        ReportError: there is no such trial, or nothing of it to look at.
        storage.StorageError: no such study, or the database cannot be read. A lost or damaged artifact is no
            reason to stop: the trial goes without intervals, and the report says why.
    """
    study, trials = store.study(study_name), tuple(store.trials(study_name))
    learn_words(study)
    close = {each.number: _look(store, study, each) for each in close_trials(study, trials)}
    return Evidence(
        study=study,
        trials=trials,
        workers=tuple(store.workers(study_name)),
        openings=tuple(store.sealed_fold_openings(study_name)),
        evaluations=tuple(store.evaluations(study_name)),
        gains=tuple(store.gains(study_name)),
        close=close,
        contenders=_contenders(store, study, trials, close) if with_contenders else {},
        closer=_closer(store, study, trials, close, trial),
    )


def tiers_reached(study: StudyRecord, trials: Sequence[TrialRecord]) -> list[str]:
    """Tiers with a score in a complete trial: the target, then the others from many classes to few."""
    found = {tier for trial in trials if trial.state == "complete" for tier in trial.tier_scores}
    others = sorted(found - {study.target}, key=lambda tier: (-len(study.tier_classes.get(tier, ())), tier))
    return [study.target, *others]


def close_trials(study: StudyRecord, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Trials to look at closely, by number.

    The front first, then those trained again, then presets, then fronts of other tiers and of each number of
    leads.
    """
    wanted = [*reversed(front_trials(trials)), *(trial for trial in trials if trial.trained_again)]
    wanted += [trial for trial in trials if trial.state == "complete" and trial.preset is not None]
    for tier in tiers_reached(study, trials)[1:]:
        wanted += reversed(front_trials(trials, tier=tier))
    for front in lead_fronts(study, trials).values():
        wanted += reversed(front)
    chosen = {trial.number: trial for trial in reversed(wanted)}
    kept = list(dict.fromkeys(trial.number for trial in wanted))[:N_CLOSE]
    return [chosen[number] for number in sorted(kept)]


def contenders(trials: Sequence[TrialRecord]) -> dict[int, list[int]]:
    """Each member of the front, and the trials that might have been there in its place, by number.

    These are the best that cost no more, the best first; of the member that scores best they are the best of
    all, for a dearer one would be the best in its place.
    """
    points = sorted(points_of(trials), key=lambda point: (-point.score, point.trial))
    front = pareto_front(points)
    return {
        member.trial: [point.trial for point in points if point.cost <= member.cost or member is front[-1]][
            :N_CONTENDERS
        ]
        for member in front
    }


def _contenders(
    store: Store,
    study: StudyRecord,
    trials: Sequence[TrialRecord],
    close: Mapping[int, TrialEvidence],
) -> dict[int, Sequence[Mapping[int, Predictions]]]:
    """Predictions of the contenders that have them; one whose predictions are lost cannot be chosen again."""
    by_number = {trial.number: trial for trial in trials}
    wanted = dict.fromkeys(number for among in contenders(trials).values() for number in among)
    found: dict[int, Sequence[Mapping[int, Predictions]]] = {}
    for number in wanted:
        look = close.get(number)
        trainings, problem = (
            _trainings(store, study, by_number[number]) if look is None else (look.trainings, look.problem)
        )
        if not problem:
            found[number] = trainings
    return found


def _closer(
    store: Store,
    study: StudyRecord,
    trials: Sequence[TrialRecord],
    close: Mapping[int, TrialEvidence],
    number: int | None,
) -> tuple[int, TrialEvidence] | None:
    """The trial named by the user, else the best of the front if its predictions are there."""
    if number is None:
        front = front_trials(trials)
        best = close[front[-1].number] if front else None
        return None if best is None or best.problem else (front[-1].number, best)
    found = next((trial for trial in trials if trial.number == number), None)
    if found is None:
        raise ReportError(f"--trial {number}: study {study.name} has no such trial; see search status")
    if found.state != "complete":
        why = f" ({found.failure.kind})" if found.failure is not None else ""
        raise ReportError(
            f"--trial {number}: it is {found.state}{why}; only complete trials have predictions of all folds"
        )
    look = close.get(number) or _look(store, study, found)
    if look.problem:
        raise ReportError(f"--trial {number}: {look.problem}")
    return number, look


def _trainings(
    store: Store, study: StudyRecord, trial: TrialRecord
) -> tuple[tuple[dict[int, Predictions], ...], str]:
    """Predictions by training and fold, the first training first, or the reason why they cannot be used."""
    first = {fold.fold: fold.predictions for fold in store.folds(trial.id)}
    again = [{fold.fold: fold.predictions for fold in each.folds} for each in trial.trained_again]
    try:
        trainings = tuple(
            {fold: load_predictions(store, artifact) for fold, artifact in each.items()}
            for each in (first, *again)
        )
    except StorageError as error:
        return (), str(error)
    problems = (_problem(study, each) for each in trainings)
    return trainings, next(filter(None, problems), "")


def _look(store: Store, study: StudyRecord, trial: TrialRecord) -> TrialEvidence:
    trainings, problem = _trainings(store, study, trial)
    return TrialEvidence(
        curve=tuple(store.epochs(trial.id)),
        summary=store.summary(trial.id),
        predictions=trainings[0] if trainings else {},
        repeats=trainings[1:],
        problem=problem,
    )


def _problem(study: StudyRecord, predictions: Mapping[int, Predictions]) -> str:
    """Reason why predictions cannot be used; empty if they can."""
    if not predictions:
        return "no predictions were kept"
    for each in predictions.values():
        found = each.on(study.target)
        if found is None:
            return f"its predictions do not have {study.target}"
        if not np.isfinite(found.probabilities_NC).all():
            return "its predictions are not all finite numbers"
    return ""


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
