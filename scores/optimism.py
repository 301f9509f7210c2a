"""The score to expect of the best of many models on other patients.

The best of many trials is partly the luckiest: its cross-validated score is the highest because it is good
and because these patients happen to suit it. Bootstrap bias corrected cross-validation (BBC-CV; Tsamardinos,
Greasidou & Borboudakis 2018, "Bootstrapping the out-of-sample predictions for efficient and accurate
cross-validation", Machine Learning 107) finds out how much of each from the out-of-fold predictions, without
training again: patients are drawn with replacement, the best model is chosen on those drawn, and scored on
those not drawn.

Average precision depends on the number of positives, and the patients left out are fewer: each model's scores
on them are therefore moved so that their mean is its score on all records. What remains is how much a model
that was chosen on some patients falls back on others. For a mean over patients that is exactly as much as its
score on those drawn lies above that on all: both deviations have the variance σ²/n and the covariance −σ²/n.
Average precision of fewer positives falls back by a tenth less; the deviations on patients not drawn are
therefore stretched by the slope of the regression of all models, so that the two are opposite again
(`benchmarks/luck/optimism.py` measures what is left).

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
MOST_STRETCHED = 1.5
"""Bound of a factor that is 1.1 in simulation, for a handful of models of few patients."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Expected:
    """The score to expect of the best of some models on other patients."""

    interval: Interval
    """The corrected score; its spread is that of the chosen model over draws of patients."""
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
        drawn = Resampling(targets, rng=rng, patients=patients, n_resamples=n_resamples, smooth=False)
        left_out = drawn.left_out()
        scored = [
            [
                (self._scorer.resampled(drawn, folds), self._scorer.resampled(left_out, folds))
                for folds in each
            ]
            for each in models
        ]
        self._plain_M = np.array([np.mean([value for (value, _), _ in each]) for each in scored])
        self._drawn_MR = np.stack(
            [np.mean([sample_R for (_, sample_R), _ in each], axis=0) for each in scored]
        )
        other_MR = np.stack([np.mean([sample_R for _, (_, sample_R) in each], axis=0) for each in scored])
        # A resample without a scored class among the drawn or the left out chooses nothing.
        defined_R = ~(np.isnan(self._drawn_MR) | np.isnan(other_MR)).any(axis=0)
        self._drawn_MR, other_MR = self._drawn_MR[:, defined_R], other_MR[:, defined_R]
        mean_M = other_MR.mean(axis=1) if defined_R.any() else np.full(len(models), np.nan)
        deviation_MR = other_MR - mean_M[:, None]
        self._other_MR: Floats = (
            self._plain_M[:, None] + _stretch(self._drawn_MR, deviation_MR) * deviation_MR
        )

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

    def expect(self, among: Sequence[int], spread_R: Floats) -> Expected:
        """The score to expect of the best of some of the models.

        Args:
            among: indices of the models; the best on all records is the chosen one, the first of equals.
            spread_R: score of the chosen model in each of many resamples, as `Interval.samples`.
        """
        index: NDArray[np.int64] = np.asarray(among, dtype=np.int64)
        chosen = int(index[np.argmax(self._plain_M[index])])
        winner_R = np.argmax(self._drawn_MR[index], axis=0)
        value_R = self._other_MR[index[winner_R], np.arange(len(winner_R))]
        value = float(value_R.mean()) if len(value_R) else float("nan")
        return Expected(
            interval=centred_interval(value, spread_R),
            plain=float(self._plain_M[chosen]),
            on_other_folds=self.on_other_folds(among),
            chosen=chosen,
            n_models=len(index),
        )


def _stretch(drawn_MR: Floats, other_MR: Floats) -> float:
    """Factor by which scores on patients not drawn fall back as far as those on patients drawn rise.

    Deviations of the models from their mean in each resample; between 1 and `MOST_STRETCHED`, 1 where models
    do not differ.
    """
    if not drawn_MR.size:
        return 1.0
    drawn, other = _own(drawn_MR), _own(other_MR)
    squares, products = float((drawn * drawn).sum()), float((drawn * other).sum())
    return min(max(1.0, -squares / products), MOST_STRETCHED) if products < 0 else 1.0


def _own(score_MR: Floats) -> Floats:
    """Deviations of every model that the others do not share."""
    deviation_MR = score_MR - score_MR.mean(axis=1, keepdims=True)
    own_MR: Floats = deviation_MR - deviation_MR.mean(axis=0)
    return own_MR
