"""Scores of trials on disturbed records, paired with those on undisturbed records.

All conditions and trials are scored on the same draws of patients, so that changes and the order of the
trials are paired.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from reports.findings.comparisons import N_RESAMPLES, SEED, Folds
from scores.bootstrap import Interval, Resampling, centred_interval, centred_samples
from scores.scorers import MACRO_AUPRC, Scorer

Scores = Mapping[int, Interval]
"""Trial to score."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """Ranking of trials under a condition."""

    tau: float | None
    """Kendall's tau-b against the undisturbed scores."""
    best: int | None
    """Trial with the best score."""
    best_stays: float | None
    """Share of the draws in which the best undisturbed trial is the best."""


class StressScorer:
    """Score of trials on the same records.

    Args:
        targets: y_NC of each fold.
        patients: patient of each record, fold by fold.
        n_resamples: draws of patients.
        scorer: what the study maximises; macro-AUPRC by default.
    """

    def __init__(
        self,
        targets: Sequence[ArrayLike],
        patients: Sequence[ArrayLike],
        n_resamples: int = N_RESAMPLES,
        scorer: Scorer = MACRO_AUPRC,
    ) -> None:
        self._scorer = scorer
        self._resampling = Resampling(
            targets, rng=np.random.default_rng(SEED), patients=patients, n_resamples=n_resamples
        )
        self.n_resamples = n_resamples
        self.n_records = sum(len(np.asarray(each)) for each in targets)
        self.n_patients = len(np.unique(np.concatenate([np.asarray(each) for each in patients])))

    def __call__(self, predicted: Mapping[int, Folds]) -> dict[int, Interval]:
        """Scores by trial of (y_NC, p_NC) of each fold."""
        return {
            trial: centred_interval(*self._scorer.resampled(self._resampling, folds))
            for trial, folds in predicted.items()
        }


def order_of(undisturbed: Scores, disturbed: Scores) -> Order:
    """Compare the ranking of trials with that on undisturbed records.

    Args:
        undisturbed: scores of the trials, from the one of least cost.
        disturbed: scores of the same trials.
    """
    best_before, best = best_of(undisturbed), best_of(disturbed)
    if len(disturbed) < 2:
        return Order(tau=None, best=best, best_stays=None)
    from scipy.stats import kendalltau

    before, after = ([scores[trial].value for trial in undisturbed] for scores in (undisturbed, disturbed))
    # Rounded, for it is a ratio of a sum and a root: the same order is 1.
    tau = round(float(kendalltau(before, after).statistic), 12)
    best_stays = None
    if best_before is not None:
        sample_MR = np.stack([centred_samples(disturbed[trial]) for trial in undisturbed])
        defined_R = ~np.isnan(sample_MR).any(axis=0)
        if defined_R.any():
            place = list(undisturbed).index(best_before)
            best_stays = float(np.mean(np.argmax(sample_MR[:, defined_R], axis=0) == place))
    return Order(tau=None if np.isnan(tau) else tau, best=best, best_stays=best_stays)


def best_of(scores: Scores) -> int | None:
    """Trial with the best score, the first among equals; None where none has a score."""
    known = {trial: each.value for trial, each in scores.items() if not np.isnan(each.value)}
    return max(known, key=lambda trial: known[trial]) if known else None
