"""Scores of predictions at the tier trained on and at every tier its labels reach.

Shapes: N record, C class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scores.exclusive import exclusive_metrics
from scores.groups import People
from scores.metrics import N_FREQUENT, all_metrics, auroc, average_precision, cross_validated, macro
from scores.objectives import Objective
from scores.scorers import Scorer, scorer_of
from search.data.dataset import Development
from search.data.folds import cv_folds
from search.data.labels.tiers import Hierarchy
from storage import Predictions, TierPredictions, TierScores


class TierScorers:
    """The objective of a study on the CV folds of its data, tier by tier.

    Args:
        data: all but the sealed fold.
        objective: what the study maximises.
    """

    def __init__(self, data: Development, objective: Objective) -> None:
        self.objective = objective
        self._data = data
        self._folds = cv_folds(data.strat_fold, data.fold_plan)
        self._people = [
            People(
                sex_N=None if data.sex is None else data.sex[fold.validation],
                age_N=None if data.age is None else data.age[fold.validation],
            )
            for fold in self._folds
        ]
        self._known: dict[str, Scorer] = {}

    def of(self, tier: str) -> Scorer:
        """The scorer of a tier, whose folds are in the order of their numbers."""
        if tier not in self._known:
            targets = [self._data.y[tier][fold.validation] for fold in self._folds]
            self._known[tier] = scorer_of(self.objective, targets, self._people)
        return self._known[tier]

    def fold(self, tier: str, number: int, y_NC: NDArray[np.bool_], p_NC: NDArray[np.float32]) -> float:
        """Score of a fold, by its number from 1, on a tier."""
        return self.of(tier).fold(number - 1, y_NC, p_NC)


def project_to(
    hierarchy: Hierarchy, fine: str, coarse: str, p_NC: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Probabilities on a coarser tier, by the rule of that tier (see `search.data.labels.projection`)."""
    return p_NC if fine == coarse else hierarchy.projection(fine, coarse)(p_NC)


def projections(
    hierarchy: Hierarchy,
    label_tier: str,
    target: str,
    y_NC: Mapping[str, NDArray[np.bool_]],
    p_NC: NDArray[np.float32],
) -> dict[str, TierPredictions]:
    """Predictions on the target and the tiers that it refines, for `Predictions.projected`.

    A report has no access to the hierarchy, so predictions are projected here to every tier with intervals.

    Args:
        hierarchy: the tiers and how they project onto each other.
        label_tier: tier of the predictions; left out of the result.
        target: the study's target.
        y_NC: targets of the same records at every tier reached.
        p_NC: probabilities at `label_tier`.
    """
    return {
        tier: TierPredictions(
            classes=hierarchy.classes(tier),
            targets_NC=y_NC[tier],
            probabilities_NC=project_to(hierarchy, label_tier, tier, p_NC),
        )
        for tier in hierarchy.coarser_tiers(target)
        if tier != label_tier
    }


def fold_scores(
    hierarchy: Hierarchy,
    label_tier: str,
    y_NC: Mapping[str, NDArray[np.bool_]],
    p_NC: NDArray[np.float32],
    *,
    scorers: TierScorers | None = None,
    number: int = 1,
) -> dict[str, TierScores]:
    """All metrics of one fold at every tier reached; an exclusive tier has more.

    Args:
        hierarchy: the tiers and how they project onto each other.
        label_tier: tier of the predictions.
        y_NC: targets of the same records at every tier reached.
        p_NC: probabilities at `label_tier`.
        scorers: of an objective that is to be among the metrics.
        number: of the fold, from 1, which only these need.
    """
    found = {}
    for tier in hierarchy.coarser_tiers(label_tier):
        projected_NC = project_to(hierarchy, label_tier, tier, p_NC)
        scores = tier_scores(hierarchy, tier, y_NC[tier], projected_NC)
        if scorers is not None and scorers.objective.key not in scores.metrics:
            value = scorers.fold(tier, number, y_NC[tier], projected_NC)
            scores = replace(scores, metrics={**scores.metrics, scorers.objective.key: value})
        found[tier] = scores
    return found


def tier_scores(
    hierarchy: Hierarchy,
    tier: str,
    y_NC: NDArray[np.bool_],
    p_NC: NDArray[np.float32],
) -> TierScores:
    """All metrics of some records at one tier, at a threshold of .5; an exclusive tier has more.

    Args:
        hierarchy: tiers of the data set, with which of them are exclusive.
        tier: tier of the classes.
        y_NC: targets.
        p_NC: probabilities.
    """
    result = all_metrics(y_NC, p_NC)
    exclusive = _exclusive(hierarchy, tier, y_NC, p_NC)
    return TierScores(
        metrics={**result.overall, **exclusive.metrics},
        class_metrics={**_per_class(result.per_class, result.n_positive), **exclusive.class_metrics},
    )


def cross_validated_scores(
    hierarchy: Hierarchy,
    label_tier: str,
    y_NC: Mapping[str, Sequence[NDArray[np.bool_]]],
    folds: Sequence[Predictions],
    *,
    scorers: TierScorers | None = None,
) -> dict[str, TierScores]:
    """Scores of a finished trial at every tier reached.

    `macro_auprc`, `macro_auroc` and their columns per class are cross-validated: per class the mean over
    folds with a positive and a negative, weighted by positives, then the plain mean over classes.
    The metrics that need a threshold and those of `scores.exclusive` are computed on the out-of-fold
    predictions of all folds together.

    Args:
        hierarchy: the tiers and how they project onto each other.
        label_tier: tier of the predictions.
        y_NC: targets per tier reached and fold.
        folds: predictions per fold, in the same order.
        scorers: of an objective that is to be among the metrics.
    """
    scores = {}
    for tier in hierarchy.coarser_tiers(label_tier):
        p_NC = [project_to(hierarchy, label_tier, tier, fold.probabilities_NC) for fold in folds]
        pairs = list(zip(y_NC[tier], p_NC, strict=True))
        pooled_y_NC, pooled_p_NC = np.concatenate(y_NC[tier]), np.concatenate(p_NC)
        pooled = all_metrics(pooled_y_NC, pooled_p_NC)
        exclusive = _exclusive(hierarchy, tier, pooled_y_NC, pooled_p_NC)
        auprc, area = cross_validated(pairs, average_precision), cross_validated(pairs, auroc)
        frequent = macro(auprc.per_class, auprc.n_positive, min_positive=N_FREQUENT)
        per_class = pooled.per_class | {"auprc": auprc.per_class, "auroc": area.per_class}
        scores[tier] = TierScores(
            metrics={
                **pooled.overall,
                **exclusive.metrics,
                "macro_auprc": auprc.value,
                "macro_auroc": area.value,
                "macro_auprc_min10": frequent.value,
                "n_undefined_classes": float(len(auprc.undefined)),
            },
            class_metrics={**_per_class(per_class, pooled.n_positive), **exclusive.class_metrics},
        )
        if scorers is not None and scorers.objective.key not in scores[tier].metrics:
            value = scorers.of(tier).folds(pairs)
            metrics = {**scores[tier].metrics, scorers.objective.key: value}
            scores[tier] = replace(scores[tier], metrics=metrics)
    return scores


def _exclusive(
    hierarchy: Hierarchy, tier: str, y_NC: NDArray[np.bool_], p_NC: NDArray[np.float32]
) -> TierScores:
    """Additional metrics of an exclusive tier; empty for other tiers.

    The confusion matrix is kept as columns per true class, one for each class predicted: `predicted_normal`.
    """
    if not hierarchy.is_exclusive(tier):
        return TierScores(metrics={}, class_metrics={})
    scores = exclusive_metrics(y_NC, p_NC, ordinal=hierarchy.is_ordinal(tier))
    columns = zip(hierarchy.classes(tier), scores.confusion.T.astype(float), strict=True)
    return TierScores(
        metrics=scores.overall,
        class_metrics={f"predicted_{name}": tuple(column_C.tolist()) for name, column_C in columns},
    )


def _per_class(
    per_class: Mapping[str, NDArray[np.float64]], n_positive: NDArray[np.int64]
) -> dict[str, tuple[float, ...]]:
    columns = {name: tuple(values.tolist()) for name, values in per_class.items()}
    return columns | {"n_positive": tuple(n_positive.astype(float).tolist())}
