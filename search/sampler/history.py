"""History of a study for a sampler: its trials, as positions of candidates.

Everything is sorted by position, so that the order in which trials finished makes no difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from search.sampler.candidates import Candidates, Floats, Indices, Params
from storage.optuna_side import fixed_params


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Final score of a trial, extrapolated from its curve if pruned, or of its repeat with another seed."""

    params: Params
    score: float
    standard_error: float
    """Standard error of `score`, beyond the noise of a finished trial; 0 for another training of one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """Trials of a study, grouped by their information on candidates."""

    observed: Indices
    """Candidates of finished and of estimated trials; one tried twice occurs twice. Shape (n,)."""
    score: Floats
    """Observed or estimated scores. Shape (n,)."""
    extra_sd: Floats
    """Standard errors of the estimates; zero for a finished training. Shape (n,)."""
    finished: Indices
    """Candidates of finished trials, each once."""
    pending: Indices
    """Candidates in training or in the queue without a score or estimate, each once."""
    tried: Indices
    """Candidates that are not to be proposed, each once, ascending; all of the above among them."""
    timed: Indices
    """Candidates of trials whose duration is known. Shape (m,)."""
    seconds: Floats
    """Durations of the trials in `timed`. Shape (m,)."""


def read_history(
    study: optuna.Study,
    candidates: Candidates,
    *,
    own_number: int | None,
    failed_count: bool,
    estimates: Iterable[Estimate],
    timings: Iterable[tuple[Params, float]] | None,
) -> History:
    """The history of a study.

    Args:
        study: with two objectives, the score first.
        candidates: what can be proposed; trials, estimates and timings with other parameters are left out.
        own_number: trial that is being given its parameters, left out as well.
        failed_count: whether the candidate of a failed trial counts as tried.
        estimates: of trials without a final score.
        timings: parameters and seconds of timed trials; None to take Optuna's of complete ones.
    """
    observed, timed = [], []
    pending, tried = set(), set()
    for trial in study.get_trials(deepcopy=False):
        index = _index_of(trial, candidates)
        if index is None or trial.number == own_number:
            continue
        if trial.state is not TrialState.FAIL or failed_count:
            tried.add(index)
        if trial.state is TrialState.COMPLETE and math.isfinite(trial.values[0]):
            observed.append((index, trial.values[0], 0.0))
            if trial.duration is not None:
                timed.append((index, trial.duration.total_seconds()))
        elif not trial.state.is_finished():
            pending.add(index)
    finished = {index for index, _, _ in observed}
    for estimate in estimates:
        if (index := _index(estimate.params, candidates)) is not None:
            observed.append((index, estimate.score, estimate.standard_error))
    if timings is not None:
        timed = [
            (index, seconds)
            for params, seconds in timings
            if (index := _index(params, candidates)) is not None
        ]
    known = {index for index, _, _ in observed}
    seen = np.array(sorted(observed), dtype=np.float64).reshape(-1, 3)
    clock = np.array(sorted(timed), dtype=np.float64).reshape(-1, 2)
    return History(
        observed=seen[:, 0].astype(np.int64),
        score=seen[:, 1],
        extra_sd=seen[:, 2],
        finished=_positions(finished),
        pending=_positions(pending - known),
        tried=_positions(tried | known),
        timed=clock[:, 0].astype(np.int64),
        seconds=clock[:, 1],
    )


def most_informative(score: Floats, log_cost: Floats, n_most: int, *, seed: int) -> Indices:
    """Observations that a model is conditioned on, ascending: all, if there are no more than `n_most`.

    Else half of them are those that lie the least below the best score at their cost or less, among them the
    front. The others are drawn from the rest, so that regions of low scores stay known.
    """
    n = len(score)
    if n <= n_most:
        return np.arange(n)
    order = np.lexsort((-score, log_cost))
    below = np.empty(n)
    below[order] = np.maximum.accumulate(score[order]) - score[order]
    by_gap = np.argsort(below, kind="stable")
    n_close = n_most // 2
    drawn = np.random.default_rng(seed).choice(by_gap[n_close:], n_most - n_close, replace=False)
    return np.sort(np.concatenate([by_gap[:n_close], drawn]))


def _positions(indices: set[int]) -> Indices:
    return np.array(sorted(indices), dtype=np.int64)


def _index_of(trial: FrozenTrial, candidates: Candidates) -> int | None:
    """Position of a trial's candidate; None for other parameters, or while some are still missing."""
    return _index({**(fixed_params(trial) or {}), **trial.params}, candidates)


def _index(params: Params, candidates: Candidates) -> int | None:
    """Position of the candidate with these parameters; None for others.

    Of a study with a limit on latency, a trial may have been queued that is slower than the limit by what is
    expected, and not by what was measured.
    """
    try:
        return candidates.index(params)
    except (KeyError, TypeError):
        return None
