"""Meaning of a model's outputs: thresholds, temperatures, quantiles, from held-out predictions.

Shapes: N record, C class, Q coverage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scores.calibration import (
    calibrate,
    calibrate_softmax,
    expected_calibration_error,
    fit_softmax_temperature,
    fit_temperatures,
)
from scores.conformal import class_quantiles, exclusive_quantiles
from scores.thresholds import choose_thresholds
from search.data.labels.projection import Projection, any_of, sum_of, worst_of
from search.data.labels.tiers import GROUP_WORDS, Hierarchy
from search.export.folder import (
    POLICIES,
    ClassConformal,
    ClassLabel,
    Conformal,
    Rule,
    TierLabels,
)

COVERAGES = (*(round(0.5 + step / 100, 2) for step in range(50)), 0.995, 0.999)
"""1 − δ for which quantiles are written: .50, .51, … .99, .995, .999."""
MIN_POSITIVE = 10
"""Records with a class, and without it, from which a temperature of its own is fitted."""
MOST_DESCRIBED = 3
"""Statements whose words together describe a class; those of a superclass would fill a page."""
_RULES: Mapping[object, Rule] = {any_of: "any", worst_of: "worst", sum_of: "sum"}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fold:
    """Labels and probabilities of the held-out records of a fold."""

    y_NC: NDArray[np.bool_]
    p_NC: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TierMeaning:
    """Names of a tier, and how it follows from the one trained on."""

    name: str
    exclusive: bool
    rule: Rule | None
    classes: tuple[str, ...]
    children: tuple[tuple[str, ...], ...]
    descriptions: Mapping[str, str]
    ordinal: bool


def all_tiers(
    trained_on: TierMeaning, hierarchy: Hierarchy | None, folds: Sequence[Fold]
) -> tuple[TierLabels, ...]:
    """The tier trained on and every coarser one.

    Args:
        trained_on: the tier of the predictions.
        hierarchy: of the data set; None where it is not at hand, and the tier is alone then.
        folds: held-out predictions.
    """
    found = [tier_labels(trained_on, folds)]
    if hierarchy is None:
        return tuple(found)
    for coarse in hierarchy.coarser_tiers(trained_on.name)[1:]:
        projection = hierarchy.projection(trained_on.name, coarse)
        classes = hierarchy.classes(coarse)
        meaning = TierMeaning(
            name=coarse,
            exclusive=hierarchy.is_exclusive(coarse),
            rule=_RULES[projection.rule],
            classes=classes,
            children=tuple(
                tuple(name for name, is_child in zip(trained_on.classes, column, strict=True) if is_child)
                for column in projection.children.T
            ),
            descriptions=class_descriptions(hierarchy, coarse),
            ordinal=hierarchy.is_ordinal(coarse),
        )
        found.append(tier_labels(meaning, projected(projection, folds)))
    return tuple(found)


def projected(projection: Projection, folds: Sequence[Fold]) -> list[Fold]:
    """Held-out predictions on a coarser tier.

    A projection of labels, which are certain, is the labels of the coarser tier.
    """
    return [
        Fold(y_NC=projection(each.y_NC.astype(np.float64)) > 0.5, p_NC=projection(each.p_NC))
        for each in folds
    ]


def class_descriptions(hierarchy: Hierarchy, tier: str) -> dict[str, str]:
    """Classes of a tier in words: of the group, of the statement of that name, or of a few statements."""
    words = {item.code: getattr(item, "description", "") for item in hierarchy.statements}
    finest = hierarchy.classes(hierarchy.finest)
    found = {}
    children = hierarchy.projection(hierarchy.finest, tier).children
    for name, column in zip(hierarchy.classes(tier), children.T, strict=True):
        members = [finest[index] for index in np.flatnonzero(column)]
        own = GROUP_WORDS.get((tier, name)) or words.get(name)
        texts = [own] if own else [words.get(code, "") for code in members]
        if any(texts) and len(texts) <= MOST_DESCRIBED:
            found[name] = "; ".join(filter(None, texts))
    return found


def tier_labels(meaning: TierMeaning, folds: Sequence[Fold]) -> TierLabels:
    """A tier with statistics from held-out predictions; a class without a record gets no numbers."""
    y_NC = np.concatenate([each.y_NC for each in folds])
    p_NC = np.concatenate([each.p_NC for each in folds])
    n_positive_C = np.count_nonzero(y_NC, axis=0)
    threshold = {policy: choose_thresholds(y_NC, p_NC, policy) for policy in POLICIES}
    fit = _softmax_temperatures if meaning.exclusive else _sigmoid_temperatures
    temperature_C = fit(y_NC, p_NC)
    conformal = _exclusive_conformal(y_NC, p_NC) if meaning.exclusive else _class_conformal(y_NC, p_NC)
    classes = tuple(
        ClassLabel(
            name=name,
            description=meaning.descriptions.get(name),
            children=meaning.children[index],
            n_positive=int(n_positive_C[index]),
            thresholds={
                policy: float(threshold[policy][index]) if n_positive_C[index] else None
                for policy in POLICIES
            },
            temperature=_known(temperature_C[index]),
            conformal=conformal[index],
        )
        for index, name in enumerate(meaning.classes)
    )
    return TierLabels(
        name=meaning.name,
        exclusive=meaning.exclusive,
        rule=meaning.rule,
        classes=classes,
        n_records=len(y_NC),
        calibration_error=_calibration_error(y_NC, p_NC, exclusive=meaning.exclusive),
        calibration_error_calibrated=_calibrated_error(folds, exclusive=meaning.exclusive),
        conformal=Conformal(coverages=COVERAGES, n_records=len(y_NC)),
        ordinal=meaning.ordinal,
    )


def _sigmoid_temperatures(y_NC: NDArray[np.bool_], p_NC: NDArray[np.float32]) -> NDArray[np.float64]:
    """One for every class; nan where a record that has it, or has it not, is too rare."""
    n_positive_C = np.count_nonzero(y_NC, axis=0)
    enough_C = np.minimum(n_positive_C, len(y_NC) - n_positive_C) >= MIN_POSITIVE
    return np.where(enough_C, fit_temperatures(y_NC, p_NC), np.nan)


def _softmax_temperatures(y_NC: NDArray[np.bool_], p_NC: NDArray[np.float32]) -> NDArray[np.float64]:
    """Temperature of the tier, repeated for every class."""
    return np.full(y_NC.shape[1], fit_softmax_temperature(y_NC, p_NC))


def _calibration_error(y_NC: NDArray[np.bool_], p_NC: NDArray[np.floating], *, exclusive: bool) -> float:
    """Mean over classes that occur; of an exclusive tier that of the most probable class."""
    if exclusive:
        first_N = np.argmax(p_NC, axis=1)
        rows = np.arange(len(p_NC))
        return expected_calibration_error(y_NC[rows, first_N], p_NC[rows, first_N])
    errors = [
        expected_calibration_error(y_NC[:, index], p_NC[:, index])
        for index in np.flatnonzero(y_NC.any(axis=0))
    ]
    return float(np.mean(errors)) if errors else math.nan


def _calibrated_error(folds: Sequence[Fold], *, exclusive: bool) -> float | None:
    """The same with each fold calibrated by temperatures of the others; None with fewer than two folds."""
    if len(folds) < 2:
        return None
    calibrated = []
    for held_out in folds:
        others = [each for each in folds if each is not held_out]
        y_NC = np.concatenate([each.y_NC for each in others])
        p_NC = np.concatenate([each.p_NC for each in others])
        if exclusive:
            calibrated.append(calibrate_softmax(held_out.p_NC, fit_softmax_temperature(y_NC, p_NC)))
        else:
            temperature_C = np.nan_to_num(_sigmoid_temperatures(y_NC, p_NC), nan=1.0)
            calibrated.append(calibrate(held_out.p_NC, temperature_C))
    y_NC = np.concatenate([each.y_NC for each in folds])
    return _calibration_error(y_NC, np.concatenate(calibrated), exclusive=exclusive)


def _class_conformal(y_NC: NDArray[np.bool_], p_NC: NDArray[np.float32]) -> list[ClassConformal]:
    found = class_quantiles(y_NC, p_NC, COVERAGES)
    return [
        ClassConformal(
            marginal=_finite(found.marginal_QC[:, index]),
            present=_finite(found.present_QC[:, index]) if is_conditional else None,
            absent=_finite(found.absent_QC[:, index]) if is_conditional else None,
        )
        for index, is_conditional in enumerate(found.is_conditional_C)
    ]


def _exclusive_conformal(y_NC: NDArray[np.bool_], p_NC: NDArray[np.float32]) -> list[ClassConformal]:
    found = exclusive_quantiles(y_NC, p_NC, COVERAGES)
    return [
        ClassConformal(
            marginal=_finite(found.marginal_Q),
            present=None if np.isnan(quantile_Q).all() else _finite(quantile_Q),
            absent=None,
        )
        for quantile_Q in found.conditional_QC.T
    ]


def _finite(quantile_Q: NDArray[np.float64]) -> tuple[float | None, ...]:
    """None for infinity."""
    return tuple(_known(value) for value in quantile_Q)


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
