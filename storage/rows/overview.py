"""A study as its readers see it: our rows joined with Optuna's states, in a fixed number of queries."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import TypeVar

from optuna.trial import TrialState as OptunaState
from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from storage import optuna_side
from storage.records import (
    STATES,
    DecisionRecord,
    FailureRecord,
    TrialRecord,
    TrialState,
    UnfinishedRecord,
    WorkerRecord,
    minimised_cost,
    score_metric,
)
from storage.rows import repeats, trials
from storage.rows.schema import (
    SUMMARY,
    Decision,
    Epoch,
    Failure,
    Fold,
    Score,
    Study,
    Trial,
    Worker,
    record_of,
)

Row = TypeVar("Row", Decision, Failure)
_STATES: dict[OptunaState, TrialState] = {
    OptunaState.WAITING: "waiting",
    OptunaState.RUNNING: "running",
    OptunaState.COMPLETE: "complete",
    OptunaState.PRUNED: "pruned",
}
_TO_BE_CONTINUED = ("interrupted", "killed")


def list_trials(session: Session, study: Study) -> list[TrialRecord]:
    """All trials of a study that have an architecture, by number."""
    rows = session.scalars(select(Trial).where(Trial.study_id == study.id).order_by(Trial.number)).all()
    optuna_trials = trials.optuna_trials(session, study)
    optuna_states = {number: optuna_trial.state for number, optuna_trial in optuna_trials.items()}
    failures = _last_of_trials(session, study.id, Failure)
    states = _states(session, study, {row.id: row.number for row in rows}, optuna_states, failures)
    scores = _scores(session, study)
    n_epochs, seconds = _effort(session, study.id)
    decisions = _last_of_trials(session, study.id, Decision)
    costs = trials.costs(session, study)
    cost_name = minimised_cost(study.settings)
    again = repeats.of_study(session, study.id)
    found = [
        TrialRecord(
            id=row.id,
            number=row.number,
            state=states[row.id],
            architecture=row.architecture,
            architecture_hash=row.architecture_hash,
            description=row.description,
            parameters=row.parameters,
            costs=trials.with_minimised_cost(costs.get(row.number, {}), cost_name, row),
            cost_name=cost_name,
            label_tier=row.label_tier,
            preset=row.preset,
            score=optuna_trials[row.number].score,
            started_at=optuna_trials[row.number].started_at,
            ended_at=optuna_trials[row.number].ended_at,
            seconds=seconds[row.id] + row.redone_seconds,
            n_epochs_trained=n_epochs[row.id],
            fold_scores=_fold_scores(scores[row.id], study.target),
            tier_scores=_tier_scores(scores[row.id]) if states[row.id] == "complete" else {},
            decision=record_of(DecisionRecord, decisions[row.id]) if row.id in decisions else None,
            failure=record_of(FailureRecord, failures[row.id]) if row.id in failures else None,
        )
        for row in rows
        if row.id in states
    ]
    return [repeats.with_repeats(trial, again[trial.id]) if trial.id in again else trial for trial in found]


def count_states(session: Session, study: Study) -> dict[TrialState, int]:
    """Trials by state, without reading scores, curves and decisions.

    Counts also the waiting and running trials that have no architecture yet, and those that were refused one,
    which `list_trials` leaves out. Trials that others have finished are not counted.
    """
    state, number = optuna_side.trials.c.state, optuna_side.trials.c.number
    of_study = optuna_side.in_study(study.name)
    is_ours = and_(Trial.number == number, Trial.study_id == study.id)
    # Counted by the database, since every start of a trial needs it; only failed ones need a closer look.
    by_state = select(state, func.count()).where(of_study).group_by(state)
    all_states: dict[OptunaState, int] = dict(session.execute(by_state).all())
    our_states: dict[OptunaState, int] = dict(session.execute(by_state.join(Trial, is_ours)).all())
    of_failed = select(Trial.id, number).join(optuna_side.trials, is_ours)
    of_failed = of_failed.where(of_study, state == OptunaState.FAIL)
    failed: dict[int, int] = dict(session.execute(of_failed).all())
    looked_at = _states(
        session,
        study,
        failed,
        dict.fromkeys(failed.values(), OptunaState.FAIL),
        _last_of_trials(session, study.id, Failure) if failed else {},
    )
    counts = Counter(looked_at.values())
    if OptunaState.FAIL in all_states:
        counts["failed"] += len(trials.refusals(session, study))
    for each in (OptunaState.COMPLETE, OptunaState.PRUNED):
        counts[_STATES[each]] = our_states.get(each, 0)
    for each in (OptunaState.WAITING, OptunaState.RUNNING):
        counts[_STATES[each]] = all_states.get(each, 0)
    return {state: counts[state] for state in STATES}


def list_unfinished(session: Session, study: Study) -> list[UnfinishedRecord]:
    """Trials that run, and those that ended without a result and without a reason that will last."""
    optuna_trials = optuna_side.trials.c
    query = (
        select(optuna_trials.number, optuna_trials.state, Trial.id, Worker)
        .select_from(optuna_side.trials)
        .outerjoin(Trial, and_(Trial.study_id == study.id, Trial.number == optuna_trials.number))
        .outerjoin(Worker, Worker.id == Trial.worker_id)
        .where(optuna_side.in_study(study.name))
        .where(optuna_trials.state.in_((OptunaState.RUNNING, OptunaState.FAIL)))
        .order_by(optuna_trials.number)
    )
    rows = session.execute(query).all()
    any_failed = any(state is OptunaState.FAIL for _, state, *_ in rows)
    failures = _last_of_trials(session, study.id, Failure) if any_failed else {}
    found = []
    for number, state, trial_id, worker in rows:
        failure = failures.get(trial_id)
        if failure is not None and failure.number != number:
            failure = None  # of an earlier attempt
        is_over = trial_id is None or (failure is not None and failure.kind not in _TO_BE_CONTINUED)
        if state is OptunaState.FAIL and is_over:
            continue
        found.append(
            UnfinishedRecord(
                id=trial_id,
                number=number,
                is_running=state is OptunaState.RUNNING,
                is_explained=failure is not None,
                worker=None if worker is None else record_of(WorkerRecord, worker),
            )
        )
    return found


def _states(
    session: Session,
    study: Study,
    numbers: Mapping[int, int],
    optuna_states: Mapping[int, OptunaState],
    failures: Mapping[int, Failure],
) -> dict[int, TrialState]:
    """Row id to state; rows without a trial of Optuna are left out."""
    any_failed = OptunaState.FAIL in optuna_states.values()
    histories = trials.retry_histories(session, study) if any_failed else {}
    queued_again = {number for history in histories.values() for number in history}
    states: dict[int, TrialState] = {}
    for trial_id, number in numbers.items():
        state = optuna_states.get(number)
        if state is OptunaState.FAIL:
            failure = failures.get(trial_id)
            if failure is not None and failure.number == number:
                states[trial_id] = "interrupted" if failure.kind in _TO_BE_CONTINUED else "failed"
            else:  # killed before its reason was kept
                states[trial_id] = "interrupted" if number in queued_again else "failed"
        elif state is not None:
            states[trial_id] = _STATES[state]
    return states


def _fold_scores(scores: Mapping[tuple[int, str], float], target: str) -> dict[int, float]:
    return {fold: value for (fold, tier), value in scores.items() if fold != SUMMARY and tier == target}


def _tier_scores(scores: Mapping[tuple[int, str], float]) -> dict[str, float]:
    return {tier: value for (fold, tier), value in scores.items() if fold == SUMMARY}


def _scores(session: Session, study: Study) -> dict[int, dict[tuple[int, str], float]]:
    """Row id to the score on the first objective by fold and tier, finished folds and summaries."""
    # Columns rather than objects: with 200 trials these are thousands of rows.
    query = (
        select(Score.trial_id, Score.fold, Score.tier, Score.value)
        .join(Trial, Trial.id == Score.trial_id)
        .where(Trial.study_id == study.id, Score.metric == score_metric(study.settings))
        .order_by(Score.trial_id, Score.fold, Score.tier)
    )
    scores: dict[int, dict[tuple[int, str], float]] = defaultdict(dict)
    for trial_id, fold, tier, value in session.execute(query):
        scores[trial_id][fold, tier] = value
    return scores


def _effort(session: Session, study_id: int) -> tuple[dict[int, int], dict[int, float]]:
    """Row id to fold-epochs on the curve, and to seconds of them; a finished fold has its own seconds."""
    query = (
        select(Epoch.trial_id, Epoch.fold, func.count(), func.sum(Epoch.seconds))
        .join(Trial, Trial.id == Epoch.trial_id)
        .where(Trial.study_id == study_id)
        .group_by(Epoch.trial_id, Epoch.fold)
    )
    finished = (
        select(Fold.trial_id, Fold.fold, Fold.seconds)
        .join(Trial, Trial.id == Fold.trial_id)
        .where(Trial.study_id == study_id)
    )
    n_epochs: dict[int, int] = defaultdict(int)
    fold_seconds: dict[tuple[int, int], float] = {}
    for trial_id, fold, n, epochs_s in session.execute(query):
        n_epochs[trial_id] += n
        fold_seconds[trial_id, fold] = epochs_s
    for trial_id, fold, duration_s in session.execute(finished):
        fold_seconds[trial_id, fold] = duration_s
    seconds: dict[int, float] = defaultdict(float)
    for (trial_id, _), duration_s in fold_seconds.items():
        seconds[trial_id] += duration_s
    return n_epochs, seconds


def _last_of_trials(session: Session, study_id: int, table: type[Row]) -> dict[int, Row]:
    """The latest row of each trial that has one."""
    last = (
        select(func.max(table.id))
        .join(Trial, Trial.id == table.trial_id)
        .where(Trial.study_id == study_id)
        .group_by(table.trial_id)
    )
    return {row.trial_id: row for row in session.scalars(select(table).where(table.id.in_(last)))}
