"""Cost of the search, savings of the race, and hypervolume of the front against both."""

import math
from collections.abc import Sequence
from dataclasses import replace

from reports import schema
from reports.schema import finite
from scores.costs import DEFAULT_COST
from scores.front import Point, Reference, hypervolume, pareto_front
from storage.records import StudyRecord, TrialRecord

N_POINTS = 400
"""Points of the history that a figure shows."""


def reference_of(trials: Sequence[TrialRecord], at_least: float = 0.0) -> Reference:
    """Corner of the hypervolume: the least score that counts, and the next power of ten above the dearest
    complete model.
    """
    dearest = max((trial.cost for trial in trials if trial.state == "complete"), default=1)
    return Reference(score=at_least, cost=10.0 ** (math.floor(math.log10(dearest)) + 1))


def hypervolume_history(
    trials: Sequence[TrialRecord],
    *,
    at_least: float = 0.0,
    smallest: int = 1,
    among: Sequence[TrialRecord] | None = None,
    cost: str = DEFAULT_COST,
) -> schema.Hypervolume:
    """Hypervolume of the front after every trial that improved it, against fold-epochs and seconds.

    Both clocks add up what all workers trained, pruned and failed trials included, in the order in which
    trials ended. The first point is the empty front.

    Args:
        trials: in any state.
        at_least: score below which nothing counts.
        smallest: cost below which that of a model counts as so much.
        among: trials that decide about the reference corner; these alone by default.
        cost: what the study minimises.
    """
    reference = reference_of(trials if among is None else among, at_least)
    ended = [trial for trial in trials if trial.ended_at is not None]
    ended.sort(key=lambda trial: (trial.ended_at, trial.number))
    points = [schema.HypervolumePoint(trial=None, n_fold_epochs=0, seconds=0.0, hypervolume=0.0)]
    n_fold_epochs, seconds = 0, 0.0
    front: tuple[Point, ...] = ()
    for trial in ended:
        n_fold_epochs += trial.n_epochs_trained
        seconds += trial.seconds
        score = trial.score
        if trial.state != "complete" or score is None or not math.isfinite(score):
            continue
        point = Point(trial=trial.number, score=float(score), cost=max(trial.cost, smallest))
        grown = pareto_front([*front, point])
        if grown != front:
            front = grown
            points.append(
                schema.HypervolumePoint(
                    trial=trial.number,
                    n_fold_epochs=n_fold_epochs,
                    seconds=seconds,
                    hypervolume=hypervolume(front, reference),
                )
            )
    if ended:
        points.append(replace(points[-1], trial=None, n_fold_epochs=n_fold_epochs, seconds=seconds))
    return schema.Hypervolume(
        reference=schema.Corner(
            macro_auprc=reference.score,
            parameters=reference.cost if cost == DEFAULT_COST else None,
            cost=reference.cost,
        ),
        points=thinned(points),
    )


def thinned(points: Sequence[schema.HypervolumePoint]) -> list[schema.HypervolumePoint]:
    """Points thinned evenly over their order to `N_POINTS` at most, the first and the last among them."""
    if len(points) <= N_POINTS:
        return list(points)
    return [points[round(index * (len(points) - 1) / (N_POINTS - 1))] for index in range(N_POINTS)]


def race_ledger(study: StudyRecord, trials: Sequence[TrialRecord]) -> schema.Race:
    """Pruned trials and the training that pruning saved.

    Savings are the remaining training of the pruned trials: the fold-epochs of a complete trial less
    theirs, at the seconds per fold-epoch that each of them took. `share_saved` is of all fold-epochs that the
    finished trials would have taken.
    """
    complete = [trial for trial in trials if trial.state == "complete"]
    pruned = [trial for trial in trials if trial.state == "pruned"]
    n_full = _full_fold_epochs(study, complete)
    n_trained = sum(trial.n_epochs_trained for trial in (*complete, *pruned))
    n_saved = sum(max(n_full - trial.n_epochs_trained, 0) for trial in pruned) if n_full else 0
    seconds_saved = sum(
        max(n_full - trial.n_epochs_trained, 0) * trial.seconds / trial.n_epochs_trained
        for trial in pruned
        if trial.n_epochs_trained and n_full
    )
    total = n_trained + n_saved
    return schema.Race(
        n_complete=len(complete),
        n_pruned=len(pruned),
        fold_epochs_of_a_trial=n_full or None,
        n_fold_epochs_trained=n_trained,
        n_fold_epochs_saved=n_saved,
        share_saved=n_saved / total if total else None,
        seconds_trained=math.fsum(trial.seconds for trial in (*complete, *pruned)),
        seconds_saved=seconds_saved,
        pruned=[_pruned(trial) for trial in pruned],
    )


def _full_fold_epochs(study: StudyRecord, complete: Sequence[TrialRecord]) -> int:
    """Fold-epochs of a complete trial: its folds times the epochs of the study."""
    n_folds = max((len(trial.fold_scores) for trial in complete), default=0)
    n_epochs = study.settings.get("epochs")
    if isinstance(n_epochs, int) and n_folds:
        return n_folds * n_epochs
    return max((trial.n_epochs_trained for trial in complete), default=0)


def _pruned(trial: TrialRecord) -> schema.PrunedTrial:
    decision = trial.decision
    return schema.PrunedTrial(
        trial=trial.number,
        description=trial.description,
        parameters=trial.parameters,
        cost=trial.cost,
        n_fold_epochs=trial.n_epochs_trained,
        fold=None if decision is None else decision.fold,
        epoch=None if decision is None else decision.epoch,
        rival=None if decision is None else decision.rival,
        needed=None if decision is None else finite(decision.needed),
        predicted=None if decision is None else finite(decision.predicted),
        standard_error=None if decision is None else finite(decision.standard_error),
        probability=None if decision is None else decision.probability,
        reason="" if decision is None else decision.reason,
    )
