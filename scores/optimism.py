"""The score to expect of the best of many models on other patients.

The best of many trials is partly the luckiest: its cross-validated score is the highest because it is good
and because these patients happen to suit it. How much of each can be found from the out-of-fold predictions,
without training again. Bootstrap bias corrected cross-validation (BBC-CV; Tsamardinos, Greasidou &
Borboudakis 2018, "Bootstrapping the out-of-sample predictions for efficient and accurate cross-validation",
Machine Learning 107) draws patients with replacement, chooses the best model on those drawn, and scores it on
those not drawn.

For means over patients, and approximately for average precision, the score S of a model deviates by +D on
those drawn and by −D on the others, and D has the variance of the luck in S. BBC-CV thus chooses under twice
the variance of the real choice, and a noisier choice is a worse one: the estimate is too low, most where
models differ about as much by quality as by luck. The coupled bootstrap (Oliveira, Lei & Tibshirani 2021,
arXiv 2111.09447, section 2) chooses by S + √α D and scores by S − D/√α. Their luck is uncorrelated for every
α, and the choice is that under 1 + α times the variance; α = 1 is BBC-CV. A smaller α is less biased and more
variable. D comes from resamples as those of an interval, whose weights keep rare classes
(`scores.resampling`); −D is as likely as D, and both are used.

The corrected score is less certain than a plain one. Its error is bootstrapped as well: with S for the truth
and S + D for the scores, the correction is repeated and compared with S of what is chosen.
`benchmarks/luck/optimism.py` measures bias and coverage.

As a check that needs no resampling, the best on all folds but one is scored on that one (`on_other_folds`).

What is corrected is the luck of the patients. Another training of the same architecture has another luck,
which takes other seeds to find out.

Shapes: M model, F fold, R resample.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scores.bootstrap import Folds, Interval, Resampling, centred_interval
from scores.ranking import Floats
from scores.scorers import MACRO_AUPRC, Scorer

N_RESAMPLES = 200
"""Resamples in which a best model is chosen; the mean over them has a standard error below .001."""
ALPHA = 0.5
"""Variance added to that of the luck of the choice: less biased than 1, a little more variable."""
N_OF_ERROR = 100
"""Resamples with which the error of the corrected score is found; its standard error is that by 14."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Expected:
    """The score to expect of the best of some models on other patients."""

    interval: Interval
    """The corrected score; its spread is that of the chosen model over draws of patients, and as much more as
    the corrected score is less certain."""
    plain: float
    """The cross-validated score of the model that is chosen on all records."""
    on_other_folds: float
    """Score of what is chosen, for each fold, on the other folds; nan with a single fold."""
    chosen: int
    """Index of that model."""
    n_models: int
    """Models among which it was chosen."""


class Choice:
    """Models of the same records, to choose from again and again.

    Args:
        models: for every model its trainings, of each (y_NC, p_NC) of every fold; at least one model. The
            score of a model is the mean over its trainings.
        patients: patient of each record, fold by fold; None draws records independently.
        rng: source of randomness.
        n_resamples: R.
        scorer: what models are chosen by; macro-AUPRC by default.

    Raises:
        ValueError: the models do not predict the same records.
    """

    def __init__(
        self,
        models: Sequence[Sequence[Folds]],
        *,
        rng: np.random.Generator,
        patients: Sequence[ArrayLike] | None = None,
        n_resamples: int = N_RESAMPLES,
        scorer: Scorer = MACRO_AUPRC,
    ) -> None:
        self._models = models
        self._scorer = scorer
        targets = [y_NC for y_NC, _ in models[0][0]]
        draws = Resampling(targets, rng=rng, patients=patients, n_resamples=n_resamples)
        scored = [[scorer.resampled(draws, folds) for folds in each] for each in models]
        self._plain_M = np.array([np.mean([value for value, _ in each]) for each in scored])
        drawn_MR = np.stack([np.mean([sample_R for _, sample_R in each], axis=0) for each in scored])
        # A resample without a scored class chooses nothing.
        drawn_MR = drawn_MR[:, ~np.isnan(drawn_MR).any(axis=0)]
        self._luck_MR: Floats = drawn_MR - drawn_MR.mean(axis=1, keepdims=True) if drawn_MR.size else drawn_MR

        n_folds = len(targets)
        self._without_MF = np.array(
            [[self._without(each, fold) for fold in range(n_folds if n_folds > 1 else 0)] for each in models]
        )

    def _without(self, trainings: Sequence[Folds], fold: int) -> float:
        """Score of a model on all folds but one."""
        others = [other for other in range(len(trainings[0])) if other != fold]
        return float(
            np.mean([self._scorer.folds([folds[other] for other in others], others) for folds in trainings])
        )

    def on_other_folds(self, among: Sequence[int]) -> float:
        """Cross-validated score where each fold is predicted by the best of some models on the others.

        nan with a single fold, or where no model has a score without one of them.
        """
        without_MF = self._without_MF[np.asarray(among, dtype=np.int64)]
        if not without_MF.size or np.isnan(without_MF).any():
            return float("nan")
        best = [self._models[among[chosen]] for chosen in np.argmax(without_MF, axis=0).tolist()]
        # Each fold by the trainings of the model chosen for it, of which models may have different numbers.
        n_trainings = max(map(len, best))
        return float(
            np.mean(
                [
                    self._scorer.folds([each[training % len(each)][fold] for fold, each in enumerate(best)])
                    for training in range(n_trainings)
                ]
            )
        )

    def expect(self, among: Sequence[int], spread_R: Floats, *, alpha: float = ALPHA) -> Expected:
        """The score to expect of the best of some of the models.

        Args:
            among: indices of the models; the best on all records is the chosen one, the first of equals.
            spread_R: score of the chosen model in each of many resamples, as `Interval.samples`.
            alpha: α, the variance added to that of the luck.
        """
        index: NDArray[np.int64] = np.asarray(among, dtype=np.int64)
        plain_M, luck_MR = self._plain_M[index], self._luck_MR[index]
        best = int(np.argmax(plain_M))
        corrected = centred_interval(_corrected(plain_M, luck_MR, alpha), spread_R)
        return Expected(
            interval=_widened(corrected, _added_variance(plain_M, luck_MR, best, alpha)),
            plain=float(plain_M[best]),
            on_other_folds=self.on_other_folds(among),
            chosen=int(index[best]),
            n_models=len(index),
        )


def _corrected(plain_M: Floats, luck_MR: Floats, alpha: float) -> float:
    """Mean score of what is chosen by S + √α D, by S − D/√α; nan without resamples."""
    if not luck_MR.size:
        return float("nan")
    luck = np.concatenate([luck_MR, -luck_MR], axis=1)
    chosen_R = np.argmax(plain_M[:, None] + np.sqrt(alpha) * luck, axis=0)
    of_chosen_R = luck[chosen_R, np.arange(luck.shape[1])]
    return float((plain_M[chosen_R] - of_chosen_R / np.sqrt(alpha)).mean())


def _added_variance(plain_M: Floats, luck_MR: Floats, best: int, alpha: float) -> float:
    """Variance by which the corrected score is less certain than the plain score of the best, at least 0."""
    n_resamples = luck_MR.shape[1]
    if len(plain_M) < 2 or n_resamples < 2:
        return 0.0
    errors = []
    for resample in range(min(n_resamples, N_OF_ERROR)):
        score_M = plain_M + luck_MR[:, resample]
        others = np.delete(luck_MR, resample, axis=1)
        errors.append(_corrected(score_M, others, alpha) - plain_M[np.argmax(score_M)])
    return max(0.0, float(np.var(errors, ddof=1) - np.var(luck_MR[best], ddof=1)))


def _widened(interval: Interval, variance: float) -> Interval:
    """An interval of the same value and shape, with so much more variance."""
    own = float(np.nanvar(interval.samples)) if len(interval.samples) else 0.0
    if not variance or not own:
        return interval
    middle = float(np.nanmean(interval.samples))
    factor = float(np.sqrt(1 + variance / own))
    return centred_interval(interval.value, middle + factor * (interval.samples - middle), interval.level)
