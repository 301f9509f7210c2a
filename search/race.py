"""The race: which trials can still matter, decided fold by fold.

A trial matters only if its final score beats the best finished trial with at most its parameters, its
rival on the staircase. Both are trained on the same folds with the same batches, so their difference is
taken fold by fold, where the difficulty of a fold cancels.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from reports.front import points_of, rival
from storage import DecisionRecord, TrialRecord

MIN_FOLDS = 3
"""Folds before anything is decided; two differences say nothing of their spread."""
N_STANDARD_ERRORS = 2.0


def paired_rule(
    fold_scores: Mapping[int, float], parameters: int, trials: Sequence[TrialRecord], *, epoch: int
) -> DecisionRecord | None:
    """Whether a trial trails its rival by more than two standard errors of their paired differences.

    Args:
        fold_scores: fold number to macro-AUPRC of the folds the trial has finished; NaN where undefined.
        parameters: of the trial.
        trials: the study so far; complete trials are possible rivals.
        epoch: last epoch of a fold, for the record.

    Returns:
        The decision, or None as long as fewer than three folds have a score or no complete trial is as
        small. The difference is that of the means over these folds.
    """
    held_by = rival(points_of(trials), parameters)
    if held_by is None or len(fold_scores) < MIN_FOLDS:
        return None
    rival_scores = next(trial.fold_scores for trial in trials if trial.number == held_by.trial)
    differences = {fold: rival_scores.get(fold, math.nan) - score for fold, score in fold_scores.items()}
    # A fold without a positive has no score.
    folds = sorted(fold for fold, difference in differences.items() if math.isfinite(difference))
    if len(folds) < MIN_FOLDS:
        return None
    deficits = [differences[fold] for fold in folds]
    standard_error = stdev(deficits) / math.sqrt(len(deficits))
    pruned = fmean(deficits) > N_STANDARD_ERRORS * standard_error
    needed = fmean(rival_scores[fold] for fold in folds)
    reached = fmean(fold_scores[fold] for fold in folds)
    verdict = "pruned" if pruned else "goes on"
    return DecisionRecord(
        fold=max(folds),
        epoch=epoch,
        rival=held_by.trial,
        needed=needed,
        predicted=reached,
        standard_error=standard_error,
        pruned=pruned,
        reason=(
            f"{verdict} after fold {max(folds)}: needs {needed:.4f}, has {reached:.4f} "
            f"± {standard_error:.4f}, rival trial {held_by.trial}"
        ),
    )
