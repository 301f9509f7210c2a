"""The score to expect of the best of many models on other patients.

The best of many trials is partly the luckiest: its cross-validated score is the highest because it is good
and because these patients happen to suit it. Bootstrap bias corrected cross-validation (BBC-CV; Tsamardinos,
Greasidou & Borboudakis 2018, "Bootstrapping the out-of-sample predictions for efficient and accurate
cross-validation", Machine Learning 107) finds out how much of each from the out-of-fold predictions, without
training again: patients are drawn with replacement, the best model is chosen on those drawn, and scored on
those not drawn.

Average precision depends on the number of positives, and the patients left out are fewer: each model's scores
on them are therefore moved so that their mean is its score on all records. What remains is how much a model
that was chosen on some patients falls back on others.

What is corrected is the luck of the patients. Another training of the same architecture has another luck,
which takes other seeds to find out.

Shapes: M model, R resample.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scores.bootstrap import Folds, Interval, Resampling, centred_interval
from scores.ranking import Floats

N_RESAMPLES = 200
"""Resamples in which a best model is chosen; the mean over them has a standard error below .001."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Expected:
    """The score to expect of the best of some models on other patients."""

    interval: Interval
    """The corrected score; its spread is that of the chosen model over draws of patients."""
    plain: float
    """The cross-validated score of the model that is chosen on all records."""
    chosen: int
    """Index of that model."""
    n_models: int
    """Models among which it was chosen."""


class Choice:
    """Models of the same records, to choose from again and again.

    Args:
        models: (y_NC, p_NC) of each fold, for every model; at least one model.
        patients: patient of each record, fold by fold; None draws records independently.
        rng: source of randomness.
        n_resamples: R.

    Raises:
        ValueError: the models do not predict the same records.
    """

    def __init__(
        self,
        models: Sequence[Folds],
        *,
        rng: np.random.Generator,
        patients: Sequence[ArrayLike] | None = None,
        n_resamples: int = N_RESAMPLES,
    ) -> None:
        targets = [y_NC for y_NC, _ in models[0]]
        drawn = Resampling(targets, rng=rng, patients=patients, n_resamples=n_resamples, smooth=False)
        left_out = drawn.left_out()
        scored = [(drawn.macro(folds), left_out.macro(folds)) for folds in models]
        self._plain_M = np.array([value for (value, _), _ in scored])
        self._drawn_MR = np.stack([sample_R for (_, sample_R), _ in scored])
        other_MR = np.stack([sample_R for _, (_, sample_R) in scored])
        # A resample without a scored class among the drawn or the left out chooses nothing.
        defined_R = ~(np.isnan(self._drawn_MR) | np.isnan(other_MR)).any(axis=0)
        self._drawn_MR, other_MR = self._drawn_MR[:, defined_R], other_MR[:, defined_R]
        mean_M = other_MR.mean(axis=1) if defined_R.any() else np.full(len(models), np.nan)
        self._other_MR: Floats = other_MR - (mean_M - self._plain_M)[:, None]

    def expect(self, among: Sequence[int], spread_R: Floats, *, level: float = 0.95) -> Expected:
        """The score to expect of the best of some of the models.

        Args:
            among: indices of the models; the best on all records is the chosen one, the first of equals.
            spread_R: score of the chosen model in each of many resamples, as `Interval.samples`.
            level: share of the resamples inside the interval.
        """
        index: NDArray[np.int64] = np.asarray(among, dtype=np.int64)
        chosen = int(index[np.argmax(self._plain_M[index])])
        winner_R = np.argmax(self._drawn_MR[index], axis=0)
        value_R = self._other_MR[index[winner_R], np.arange(len(winner_R))]
        value = float(value_R.mean()) if len(value_R) else float("nan")
        return Expected(
            interval=centred_interval(value, spread_R, level),
            plain=float(self._plain_M[chosen]),
            chosen=chosen,
            n_models=len(index),
        )
