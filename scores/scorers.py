"""The score of an objective on the validation parts of CV folds: as it is, of single folds, in resamples.

A scorer belongs to the records of one tier: their targets and patients decide, once and for all models, which
groups are compared and over which classes.

Shapes: N record, C class, R resample, G group.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scores.bootstrap import Folds, Resampling
from scores.groups import LEAST_POSITIVE, LEAST_RECORDS, People, common_classes
from scores.metrics import cross_validated, macro
from scores.objectives import Objective
from scores.ranking import METRICS, Floats, Metric, has_both


class Scorer(Protocol):
    """An objective on some records."""

    def fold(self, place: int, y_NC: ArrayLike, p_NC: ArrayLike) -> float:
        """Score of one fold; nan where it has none.

        Args:
            place: of the fold, from 0, in the order of the folds.
            y_NC: targets.
            p_NC: probabilities.
        """

    def folds(self, folds: Folds, places: Sequence[int] | None = None) -> float:
        """Cross-validated score; nan where there is none.

        Args:
            folds: (y_NC, p_NC) of each fold.
            places: of the folds, where these are not all.
        """

    def resampled(self, draws: Resampling, folds: Folds) -> tuple[float, Floats]:
        """The score of all folds as it is, and (R,) in each resample."""

    def worst(self, folds: Folds) -> str:
        """The group that the score is of, in words; empty where it is of all records."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MacroScorer:
    """The mean over classes on all records; a `Scorer`."""

    metric: Metric
    """Score of a class."""

    def fold(self, place: int, y_NC: ArrayLike, p_NC: ArrayLike) -> float:
        """Mean over the classes with a positive and a negative."""
        del place
        return macro(METRICS[self.metric](y_NC, p_NC), np.count_nonzero(y_NC, axis=0)).value

    def folds(self, folds: Folds, places: Sequence[int] | None = None) -> float:
        """`metrics.cross_validated`."""
        del places
        return cross_validated(folds, METRICS[self.metric]).value

    def resampled(self, draws: Resampling, folds: Folds) -> tuple[float, Floats]:
        """`Resampling.macro`."""
        return draws.macro(folds, self.metric)

    def worst(self, folds: Folds) -> str:
        """Empty: a macro average has no worst group."""
        del folds
        return ""


MACRO_AUPRC = MacroScorer(metric="auprc")
"""The usual one."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Attribute:
    """Groups of patients that are compared with one another."""

    name: str
    """`sex` or `age`."""
    groups: Mapping[str, tuple[NDArray[np.bool_], ...]]
    """Group to its records in each fold; groups of at least `LEAST_RECORDS` records, two or more."""
    used_C: NDArray[np.bool_]
    """Classes that every group can score, one or more."""
    too_small: Mapping[str, int]
    """Other groups with a record, by their number of records."""
    n_unknown: int
    """Records of which the attribute is not known."""


class WorstGroupScorer:
    """The lowest of the means over classes by sex and by age group; a `Scorer`.

    Args:
        metric: score of a class.
        targets: y_NC of each fold.
        people: patients of each fold.
    """

    def __init__(self, *, metric: Metric, targets: Sequence[ArrayLike], people: Sequence[People]) -> None:
        self._metric: Metric = metric
        self.attributes = compared_attributes(targets, people)

    def fold(self, place: int, y_NC: ArrayLike, p_NC: ArrayLike) -> float:
        """The lowest mean over the classes that all groups by an attribute can score in this fold."""
        return self.folds([(y_NC, p_NC)], [place])

    def folds(self, folds: Folds, places: Sequence[int] | None = None) -> float:
        """The lowest mean over the classes that all groups by an attribute can score in these folds."""
        return min(self._of_groups(folds, places).values(), default=float("nan"))

    def worst(self, folds: Folds) -> str:
        """Attribute and name of the group with the lowest score, the first of equals."""
        found = self._of_groups(folds, None)
        if not found:
            return ""
        attribute, name = min(found, key=lambda group: found[group])
        return f"{attribute} {name}"

    def _of_groups(self, folds: Folds, places: Sequence[int] | None) -> dict[tuple[str, str], float]:
        """Attribute and name of a group to its score."""
        found: dict[tuple[str, str], float] = {}
        for attribute in self.attributes:
            scores = {
                name: self._of_classes(
                    _restricted(folds, _at(rows, places), attribute.used_C), int(attribute.used_C.sum())
                )
                for name, rows in attribute.groups.items()
            }
            is_scored_C = ~np.isnan(np.stack(list(scores.values()))).any(axis=0)
            if is_scored_C.any():
                found |= {
                    (attribute.name, name): float(score_C[is_scored_C].mean())
                    for name, score_C in scores.items()
                }
        return found

    def _of_classes(self, folds: Folds, n_classes: int) -> Floats:
        if not folds:
            return np.full(n_classes, np.nan)
        return cross_validated(folds, METRICS[self._metric]).per_class

    def resampled(self, draws: Resampling, folds: Folds) -> tuple[float, Floats]:
        """The score as it is, and (R,) in each resample, of the group that is the worst there.

        A resample scores an attribute over the classes that all of its groups can score there.
        """
        mean_GR = [np.full((1, draws.n_resamples), np.nan)]
        for attribute in self.attributes:
            sample_GRC = np.stack(
                [
                    draws.restricted(rows, attribute.used_C).classes(
                        _restricted(folds, rows, attribute.used_C), self._metric
                    )[1]
                    for rows in attribute.groups.values()
                ]
            )
            is_scored_RC = ~np.isnan(sample_GRC).any(axis=0)
            n_scored_R = is_scored_RC.sum(axis=1)
            total_GR = np.where(is_scored_RC, sample_GRC, 0.0).sum(axis=2)
            mean_GR.append(
                np.divide(total_GR, n_scored_R, out=np.full(total_GR.shape, np.nan), where=n_scored_R > 0)
            )
        lowest_R: Floats = np.fmin.reduce(np.concatenate(mean_GR))
        return self.folds(folds), lowest_R


def scorer_of(objective: Objective, targets: Sequence[ArrayLike], people: Sequence[People]) -> Scorer:
    """The scorer of an objective on some records.

    Args:
        objective: what is scored.
        targets: y_NC of each fold.
        people: patients of each fold.
    """
    if objective.by_group:
        return WorstGroupScorer(metric=objective.metric, targets=targets, people=people)
    return MacroScorer(metric=objective.metric)


def compared_attributes(targets: Sequence[ArrayLike], people: Sequence[People]) -> list[Attribute]:
    """Attributes by which at least two groups can be compared on at least one class.

    Groups have `LEAST_RECORDS` records over all folds, and a class has `LEAST_POSITIVE` positives and
    negatives in each of them, of which some fold has both.

    Args:
        targets: y_NC of each fold.
        people: patients of each fold.
    """
    y_FNC = [np.asarray(y_NC, dtype=np.bool_) for y_NC in targets]
    by_fold = [{name: (cells, unknown_N) for name, cells, unknown_N in each.attributes()} for each in people]
    found = []
    for name in by_fold[0]:
        of_folds = [fold[name] for fold in by_fold]
        rows_of = {group: tuple(dict(cells)[group] for cells, _ in of_folds) for group, _ in of_folds[0][0]}
        counts = {group: sum(int(is_in_N.sum()) for is_in_N in rows) for group, rows in rows_of.items()}
        groups = {group: rows for group, rows in rows_of.items() if counts[group] >= LEAST_RECORDS}
        used_C = common_classes(np.concatenate(y_FNC), [np.concatenate(rows) for rows in groups.values()])
        for rows in groups.values():
            pairs = zip(y_FNC, rows, strict=True)
            used_C &= np.any([has_both(y_NC[is_in_N]) for y_NC, is_in_N in pairs], axis=0)
        if len(groups) > 1 and used_C.any():
            found.append(
                Attribute(
                    name=name,
                    groups=groups,
                    used_C=used_C,
                    too_small={group: count for group, count in counts.items() if 0 < count < LEAST_RECORDS},
                    n_unknown=sum(int(unknown_N.sum()) for _, unknown_N in of_folds),
                )
            )
    return found


def _at(rows: tuple[NDArray[np.bool_], ...], places: Sequence[int] | None) -> tuple[NDArray[np.bool_], ...]:
    return rows if places is None else tuple(rows[place] for place in places)


def _restricted(
    folds: Folds, rows: Sequence[NDArray[np.bool_]], used_C: NDArray[np.bool_]
) -> list[tuple[ArrayLike, ArrayLike]]:
    """Some records and classes of each fold, without folds that have none of them."""
    return [
        (np.asarray(y_NC)[is_in_N][:, used_C], np.asarray(p_NC)[is_in_N][:, used_C])
        for (y_NC, p_NC), is_in_N in zip(folds, rows, strict=True)
        if is_in_N.any()
    ]


def no_groups_words() -> str:
    """Requirements for a comparison of groups, in words."""
    return (
        f"two groups by sex or by age of at least {LEAST_RECORDS} records each, with {LEAST_POSITIVE} "
        f"positive and {LEAST_POSITIVE} negative records of the same class in every group"
    )
