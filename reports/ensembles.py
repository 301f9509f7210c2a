"""Weighted averages of models: chosen on out-of-fold predictions, and judged on folds not used to choose.

Members and weights picked on some predictions look better on those than they are. `nested` therefore chooses
on all folds but one and scores the held-out one. Predictions are on one common set of classes.

Shapes: F folds (a sequence, records differ), M models, N records, C classes.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reports.metrics import cross_validated_auprc
from reports.ranking import Floats

Folds = Sequence[tuple[NDArray[np.bool_], Floats]]
"""Per fold the targets (N, C) and the predictions of every model (M, N, C)."""
Chooser = Callable[[Folds], Floats]
"""Takes folds to choose on, returns (M,) weights that sum to 1."""


def blended(folds: Folds, weight_M: Floats) -> list[tuple[ArrayLike, ArrayLike]]:
    """Targets and weighted average of the predictions, fold by fold."""
    return [(y_NC, np.tensordot(weight_M, p_MNC, axes=1)) for y_NC, p_MNC in folds]


def score(folds: Folds, weight_M: Floats) -> float:
    """CV macro-AUPRC of the weighted average."""
    return cross_validated_auprc(blended(folds, weight_M)).value


def best_single(folds: Folds) -> Floats:
    """All weight on the model with the highest score; the first of equals."""
    models = np.eye(_n_models(folds))
    best: Floats = models[int(np.argmax([score(folds, weight_M) for weight_M in models]))]
    return best


def top2_weighted(folds: Folds) -> Floats:
    """The two best models, weighted w and 1 − w with the best w of 0, .05, …, 1; of equals the largest w."""
    models = np.eye(_n_models(folds))
    if len(models) == 1:
        return best_single(folds)
    alone = [score(folds, weight_M) for weight_M in models]
    first, second = np.argsort(-np.array(alone), kind="stable")[:2]
    grid = [(step * models[first] + (20 - step) * models[second]) / 20 for step in range(20, -1, -1)]
    best: Floats = grid[int(np.argmax([score(folds, weight_M) for weight_M in grid]))]
    return best


def greedy(folds: Folds, size: int = 10) -> Floats:
    """Forward selection with replacement (Caruana et al. 2004, section 2), from nothing up to `size` picks.

    The best of all steps is kept, so that the result is never worse on `folds` than the best single model.

    Raises:
        ValueError: `size` is below 1.
    """
    if size < 1:
        raise ValueError(f"an ensemble has at least one member, not {size}")
    models = np.eye(_n_models(folds))
    picks_M = np.zeros(len(models))
    steps: list[tuple[float, Floats]] = []
    for picked in range(1, size + 1):
        candidates = [(picks_M + model_M) / picked for model_M in models]
        scores = [score(folds, weight_M) for weight_M in candidates]
        best = int(np.argmax(scores))
        picks_M = picks_M + models[best]
        steps.append((scores[best], candidates[best]))
    return max(steps, key=lambda step: step[0])[1]


def nested(folds: Folds, choose: Chooser) -> list[tuple[ArrayLike, ArrayLike]]:
    """Targets and predictions of every fold, blended with weights chosen on the other folds.

    Scored by `reports.bootstrap.macro_interval`, and against a single model by `macro_difference`.

    Raises:
        ValueError: there are fewer than two folds.
    """
    if len(folds) < 2:
        raise ValueError(f"nested evaluation needs at least two folds, not {len(folds)}")
    out: list[tuple[ArrayLike, ArrayLike]] = []
    for held_out, fold in enumerate(folds):
        others = [other for index, other in enumerate(folds) if index != held_out]
        out.extend(blended([fold], choose(others)))
    return out


def _n_models(folds: Folds) -> int:
    return len(folds[0][1])
