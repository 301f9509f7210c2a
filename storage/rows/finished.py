"""Finished trials with their curves, for the race and the sampler. Each is read once: it never changes."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from statistics import fmean, median

from optuna.trial import TrialState
from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from storage import optuna_side
from storage.records import PARAMETERS, DecisionRecord, FinishedRecord, minimised_cost
from storage.rows import trials as trials_of
from storage.rows.schema import Decision, Epoch, Fold, Study, Trial, record_of

_AT_ONCE = 500
"""Trials per query: databases limit the number of values in one."""


def finished_numbers(session: Session, study: Study) -> dict[int, int]:
    """Row id to number of every complete or pruned trial."""
    trials = optuna_side.trials.c
    query = (
        select(Trial.id, Trial.number)
        .join(optuna_side.trials, trials.number == Trial.number)
        .where(Trial.study_id == study.id, optuna_side.in_study(study.name))
        .where(trials.state.in_((TrialState.COMPLETE, TrialState.PRUNED)))
    )
    return dict(session.execute(query).all())


def list_finished(session: Session, study: Study, ids: Iterable[int]) -> list[FinishedRecord]:
    """Finished trials of a study with these row ids, by number."""
    remaining = iter(sorted(ids))
    found: list[FinishedRecord] = []
    while chunk := list(islice(remaining, _AT_ONCE)):
        found += _list_chunk(session, study, chunk)
    return sorted(found, key=lambda record: record.number)


def _list_chunk(session: Session, study: Study, ids: list[int]) -> Iterator[FinishedRecord]:
    curves, seconds = _curves(session, ids)
    n_epochs = int(study.settings.get("epochs", 1))
    folds = _folds(session, ids)
    decisions = _decisions(session, ids)
    cost_name = minimised_cost(study.settings)
    costs = {} if cost_name == PARAMETERS else trials_of.costs(session, study)
    trials, values = optuna_side.trials.c, optuna_side.trial_values.c
    query = (
        select(Trial, trials.state, values.value)
        .join(optuna_side.trials, trials.number == Trial.number)
        .outerjoin(optuna_side.trial_values, and_(values.trial_id == trials.trial_id, values.objective == 0))
        .where(Trial.id.in_(ids), optuna_side.in_study(study.name))
    )
    for row, state, value in session.execute(query):
        yield FinishedRecord(
            id=row.id,
            number=row.number,
            architecture=row.architecture,
            cost=row.parameters
            if cost_name == PARAMETERS
            else trials_of.with_minimised_cost(costs.get(row.number, {}), cost_name, row)[cost_name],
            score=value if state is TrialState.COMPLETE else None,
            curve=curves[row.id],
            seconds_per_epoch=_seconds_per_epoch(seconds[row.id], n_epochs),
            finished_folds=frozenset(folds[row.id]),
            decisions=tuple(decisions[row.id]),
        )


def _curves(
    session: Session, ids: list[int]
) -> tuple[Mapping[int, dict[tuple[int, int], float]], Mapping[int, dict[tuple[int, int], float]]]:
    query = select(Epoch.trial_id, Epoch.fold, Epoch.epoch, Epoch.score, Epoch.seconds)
    curves: dict[int, dict[tuple[int, int], float]] = defaultdict(dict)
    seconds: dict[int, dict[tuple[int, int], float]] = defaultdict(dict)
    order = (Epoch.trial_id, Epoch.fold, Epoch.epoch)
    for trial_id, fold, epoch, score, duration_s in session.execute(
        query.where(Epoch.trial_id.in_(ids)).order_by(*order)
    ):
        curves[trial_id][fold, epoch] = score
        seconds[trial_id][fold, epoch] = duration_s
    return curves, seconds


def _seconds_per_epoch(seconds: Mapping[tuple[int, int], float], n_epochs: int) -> float:
    """Mean over the epochs of a fold trained to its end, however few were trained; NaN if none was.

    The first epoch of a fold pays for what is done once: synthetic records, kernels that are chosen, steps
    that are captured. In the plain mean a trial stopped early would look dearer than one that was not.
    """
    if not seconds:
        return math.nan
    first = [duration_s for (_, epoch), duration_s in seconds.items() if epoch == 1]
    later = [duration_s for (_, epoch), duration_s in seconds.items() if epoch > 1]
    if not first or not later:
        return fmean(seconds.values())
    return (fmean(first) + (n_epochs - 1) * median(later)) / n_epochs


def _folds(session: Session, ids: list[int]) -> Mapping[int, list[int]]:
    folds: dict[int, list[int]] = defaultdict(list)
    for trial_id, fold in session.execute(select(Fold.trial_id, Fold.fold).where(Fold.trial_id.in_(ids))):
        folds[trial_id].append(fold)
    return folds


def _decisions(session: Session, ids: list[int]) -> Mapping[int, list[DecisionRecord]]:
    decisions: dict[int, list[DecisionRecord]] = defaultdict(list)
    query = select(Decision).where(Decision.trial_id.in_(ids)).order_by(Decision.id)
    for row in session.scalars(query):
        decisions[row.trial_id].append(record_of(DecisionRecord, row))
    return decisions
