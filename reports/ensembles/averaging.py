"""Weighted averages of models: chosen on out-of-fold predictions, and judged on folds not used to choose.

The score of an ensemble on the predictions by which its members and weights were chosen is optimistic.
`nested` therefore chooses on all folds but one and scores the held-out one. One optimism remains: the models
themselves come from a search that used every fold.

`top2_weighted` is a reading of "Deep Neural Network Architectures for Electrocardiogram Classification: A
Comprehensive Evaluation" (arXiv:2602.17701). Its abstract speaks of the fusion of complementary
architectures, an account of it (Avetisyan 2026) of "selecting the top two predictions from each model and
weighting them accordingly". Taken literally, each model keeps the two most probable classes of a record and
all others become 0. For multi-label records that ties most records of a class at the bottom of its ranking
and destroys average precision; here the two are therefore the best two models, as the name suggests.

Shapes: F folds, M models, N records (differs between folds), C classes, P positives of a class.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scores.front import Point, pareto_front
from scores.metrics import macro, weighted_mean
from scores.ranking import Floats
from scores.scorers import MACRO_AUPRC, Scorer

Predictions = NDArray[np.float32]
Chooser = Callable[["Pool", Sequence[int]], Floats]
"""Function from models and the folds to choose on to (M,) weights that sum to 1."""

DEFAULT_SIZE = 10
GRID = 20
"""Steps of the weights of `top2_weighted`."""


def weighted_average(
    probabilities: Sequence[Predictions] | Predictions, weights: Sequence[float] | Floats
) -> Predictions:
    """Average in single precision; members are added in their own order, and rounding does not exceed 1.

    Args:
        probabilities: those of each member, of one shape.
        weights: share of each member; they sum to 1. Members without weight are skipped.
    """
    total = np.zeros_like(probabilities[0], dtype=np.float32)
    for p, weight in zip(probabilities, weights, strict=True):
        if weight:
            total += np.float32(weight) * p
    return np.minimum(total, np.float32(1), out=total)


class Pool:
    """Models that predict the same records, fold by fold, with a cache of scores.

    The nested runs of a chooser and its run on all folds need many of the same averages, and a score over
    several folds is computed from scores of single folds: each is computed once.

    Args:
        folds: per fold the targets (N, C) and the predictions of every model (M, N, C), from 0 to 1.
        cost_M: of every model.
        adds: whether the cost of several models is the sum of theirs; else it is the largest.
        scorer: what averages are chosen by; macro-AUPRC by default.

    Raises:
        ValueError: the shapes do not belong together, or a prediction is not a number from 0 to 1.
    """

    def __init__(
        self,
        folds: Sequence[tuple[ArrayLike, Predictions]],
        cost_M: Sequence[int],
        *,
        adds: bool = True,
        scorer: Scorer = MACRO_AUPRC,
    ) -> None:
        self._scorer = scorer
        self.cost_M = np.asarray(cost_M, dtype=np.int64)
        self._adds = adds
        self.folds = range(len(folds))
        for y_NC, p_MNC in folds:
            expected = (len(self.cost_M), *np.shape(y_NC))
            if p_MNC.shape != expected:
                raise ValueError(f"expected predictions {expected}, got {p_MNC.shape}")
        self._folds = [_Fold(np.asarray(y_NC, dtype=np.bool_), p_MNC) for y_NC, p_MNC in folds]
        self._n_positive_FC = np.array([fold.n_positive_C for fold in self._folds])
        self._known: dict[tuple[int, bytes], Floats] = {}

    @property
    def models(self) -> Floats:
        """(M, M) the weights of every model alone."""
        return np.eye(len(self.cost_M))

    def score(self, weight_M: Floats, folds: Sequence[int]) -> float:
        """Cross-validated score of the weighted average over some of the folds."""
        chosen = list(folds)
        if self._scorer != MACRO_AUPRC:  # which has a faster way
            return self._scorer.folds([self.blended(weight_M, fold) for fold in chosen], chosen)
        n_positive_FC = self._n_positive_FC[chosen]
        score_FC = [self._average_precision(fold, weight_M) for fold in chosen]
        return macro(weighted_mean(score_FC, n_positive_FC), n_positive_FC.sum(axis=0)).value

    def blended(self, weight_M: Floats, fold: int) -> tuple[NDArray[np.bool_], Predictions]:
        """Targets (N, C) of a fold and the weighted average of the predictions."""
        return self._folds[fold].positive_CN.T, self._folds[fold].blend(weight_M).T

    def cost(self, weight_M: Floats) -> int:
        """Cost of all models with a weight, each counted once."""
        of_members = self.cost_M[weight_M > 0]
        return int(of_members.sum() if self._adds else of_members.max())

    def _average_precision(self, fold: int, weight_M: Floats) -> Floats:
        key = (fold, weight_M.tobytes())
        if key not in self._known:
            self._known[key] = self._folds[fold].average_precision(weight_M)
        return self._known[key]


class _Fold:
    """One fold, laid out for scoring many averages of its predictions."""

    def __init__(self, y_NC: NDArray[np.bool_], p_MNC: Predictions) -> None:
        if not np.all((p_MNC >= 0) & (p_MNC <= 1)):
            raise ValueError("predictions must be numbers from 0 to 1")
        self.positive_CN = np.ascontiguousarray(y_NC.T)
        self.n_positive_C = np.count_nonzero(self.positive_CN, axis=1)
        self._end_C = np.cumsum(self.n_positive_C)
        self._p_MCN = np.ascontiguousarray(p_MNC.transpose(0, 2, 1), dtype=np.float32)

    def blend(self, weight_M: Floats) -> Predictions:
        """The weighted average, (C, N)."""
        return weighted_average(self._p_MCN, weight_M)

    def average_precision(self, weight_M: Floats) -> Floats:
        """(C,) the numbers of `ranking.average_precision`, in a quarter of its time.

        The precision at a positive is the share of positives among the records that score at least as much.
        Both counts follow from sorted values, so that no order of records is needed.
        """
        p_CN = self.blend(weight_M)
        positive_P = p_CN[self.positive_CN]  # class after class
        negative_CN = np.where(self.positive_CN, np.float32(np.inf), p_CN)  # positives go to the end
        negative_CN.sort(axis=1)
        score_C = np.full(len(p_CN), np.nan)
        for index in np.flatnonzero((self.n_positive_C > 0) & (self.n_positive_C < p_CN.shape[1])):
            end, n_positive = self._end_C[index], self.n_positive_C[index]
            mine_P = positive_P[end - n_positive : end]
            mine_P.sort()
            negative_N = negative_CN[index, : p_CN.shape[1] - n_positive]
            # Methods: with few records the functions of the same names would take most of the time.
            tp_P = n_positive - mine_P.searchsorted(mine_P)
            fp_P = len(negative_N) - negative_N.searchsorted(mine_P)
            score_C[index] = (tp_P / (tp_P + fp_P)).sum() / n_positive
        return score_C


def best_single(pool: Pool, folds: Sequence[int]) -> Floats:
    """All weight on the model with the highest score; the first of equals."""
    return _best(pool, folds, pool.models)


def top2_weighted(pool: Pool, folds: Sequence[int]) -> Floats:
    """The two best models, weighted w and 1 − w with the best w of 0, .05, …, 1; of equals the largest w."""
    alone = [pool.score(weight_M, folds) for weight_M in pool.models]
    first_M, second_M = pool.models[np.argsort(-np.array(alone), kind="stable")[:2]]
    steps = range(GRID, -1, -1)
    return _best(pool, folds, [(step * first_M + (GRID - step) * second_M) / GRID for step in steps])


def greedy(pool: Pool, folds: Sequence[int], size: int = DEFAULT_SIZE) -> Floats:
    """Forward selection with replacement (Caruana et al. 2004, section 2), from nothing up to `size` picks.

    The best of all steps is kept, so that the result is never worse on `folds` than the best single model.

    Raises:
        ValueError: `size` is below 1.
    """
    return _forward(pool, folds, size, range(len(pool.models)), None)


def light(pool: Pool, folds: Sequence[int], size: int = DEFAULT_SIZE) -> Floats:
    """Several small models instead of one large one: `greedy` without exceeding the best single model.

    Members have at most half the cost of the best model each and no more than its cost together, so that
    there is room for two. Where no model is that small, the best one stays alone.

    Raises:
        ValueError: `size` is below 1.
    """
    best_M = best_single(pool, folds)
    budget = pool.cost(best_M)
    small = np.flatnonzero(2 * pool.cost_M <= budget).tolist()
    return _forward(pool, folds, size, small, budget) if small else best_M


def front(pool: Pool, folds: Sequence[int]) -> Floats:
    """The plain average of the models on the Pareto front."""
    points = [
        Point(trial=index, score=pool.score(weight_M, folds), cost=int(cost))
        for index, (weight_M, cost) in enumerate(zip(pool.models, pool.cost_M, strict=True))
    ]
    return _shares(pool, [point.trial for point in pareto_front(points)])


def nested(pool: Pool, choose: Chooser) -> list[tuple[NDArray[np.bool_], Predictions]]:
    """Targets and predictions of every fold, blended with weights chosen on the other folds.

    Raises:
        ValueError: there are fewer than two folds.
    """
    if len(pool.folds) < 2:
        raise ValueError(f"nested evaluation needs at least two folds, not {len(pool.folds)}")
    return [
        pool.blended(choose(pool, [fold for fold in pool.folds if fold != held_out]), held_out)
        for held_out in pool.folds
    ]


def _forward(
    pool: Pool, folds: Sequence[int], size: int, models: Sequence[int], budget: int | None
) -> Floats:
    if size < 1:
        raise ValueError(f"an ensemble has at least one member, not {size}")
    picks: list[int] = []
    steps: list[Floats] = []
    for _ in range(size):
        tried = [_shares(pool, [*picks, model]) for model in models]
        allowed = [budget is None or pool.cost(weight_M) <= budget for weight_M in tried]
        scores = [
            pool.score(weight_M, folds) if fits else -np.inf
            for weight_M, fits in zip(tried, allowed, strict=True)
        ]
        best = int(np.argmax(scores))
        picks.append(models[best])
        steps.append(tried[best])
    return _best(pool, folds, steps)


def _shares(pool: Pool, picks: Sequence[int]) -> Floats:
    count_M: Floats = np.bincount(picks, minlength=len(pool.cost_M)) / len(picks)
    return count_M


def _best(pool: Pool, folds: Sequence[int], candidates: Sequence[Floats] | Floats) -> Floats:
    scores = [pool.score(weight_M, folds) for weight_M in candidates]
    best_M: Floats = candidates[int(np.argmax(scores))]
    return best_M
