"""The tiers of an exported model as arrays: how probabilities, calibration, decisions and sets follow.

Shapes: N window, C class of the tier, M class of the tier trained on.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scores.calibration import calibrate, calibrate_softmax
from scores.ranking import Floats
from search.data.labels.projection import Projection, any_of, sum_of, worst_of
from search.errors import DataError, UsageError
from search.export.folder import Labels, Policy, TierLabels

_RULES: Final = {"any": any_of, "worst": worst_of, "sum": sum_of}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tier:
    """One tier that a model reaches."""

    labels: TierLabels
    projection: Projection | None
    """Projection from the tier trained on; None if it is this one."""
    threshold_C: Floats
    """Thresholds of the chosen policy; infinite where a class has none, so that it is never called."""
    temperature_C: Floats
    """NaN where a class has none."""
    coverage: float | None
    """Guaranteed coverage of the sets, at least the requested one; None without sets."""
    present_C: Floats | None
    """Quantiles with which "present" is in the set, by class where there were enough records."""
    absent_C: Floats | None
    """Quantiles with which "absent" is in the set."""
    is_conditional_C: NDArray[np.bool_]
    """Whether the quantiles are by class."""

    @property
    def name(self) -> str:
        """Name of the tier."""
        return self.labels.name

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(each.name for each in self.labels.classes)

    @property
    def exclusive(self) -> bool:
        """Whether a record has exactly one of them."""
        return self.labels.exclusive

    @property
    def ordinal(self) -> bool:
        """Whether they are ordered from mild to severe."""
        return self.labels.ordinal

    def probabilities(self, p_NM: NDArray[np.float32]) -> Floats:
        """Probabilities of this tier from those of the tier trained on."""
        p_NC = p_NM.astype(np.float64)
        return p_NC if self.projection is None else self.projection(np.clip(p_NC, 0.0, 1.0))

    def calibrate(self, p_NC: Floats) -> Floats:
        """Calibrated probabilities; NaN where a class has no temperature."""
        if self.exclusive:
            temperature = float(self.temperature_C[0])
            return (
                np.full_like(p_NC, math.nan)
                if math.isnan(temperature)
                else calibrate_softmax(p_NC, temperature)
            )
        return calibrate(p_NC, self.temperature_C)


def make_tiers(labels: Labels, *, policy: Policy, confidence: float) -> tuple[Tier, ...]:
    """All tiers of a model, coarse to fine: fewer classes first, the tier trained on last.

    Args:
        labels: Of the model.
        policy: How thresholds were chosen.
        confidence: 1 − δ of the label sets.

    Raises:
        UsageError: No coverage of the model is as high.
        DataError: A class of a coarser tier has children that the tier trained on lacks.
    """
    trained, *coarser = labels.tiers
    ordered = [*sorted(coarser, key=lambda tier: (len(tier.classes), not tier.ordinal)), trained]
    return tuple(_tier(tier, trained, policy, confidence) for tier in ordered)


def _tier(tier: TierLabels, trained: TierLabels, policy: Policy, confidence: float) -> Tier:
    place = None
    if tier.conformal is not None:
        coverages = tier.conformal.coverages
        place = next((i for i, coverage in enumerate(coverages) if coverage >= confidence - 1e-9), None)
        if place is None:
            raise UsageError(
                f"--confidence {confidence:g}: the label sets of this model go up to {coverages[-1]:g}"
            )
    quantiles = None if place is None else _quantiles(tier, place)
    thresholds = [each.thresholds.get(policy) for each in tier.classes]
    return Tier(
        labels=tier,
        projection=None if tier is trained else _projection(tier, trained),
        threshold_C=np.array([math.inf if value is None else value for value in thresholds]),
        temperature_C=np.array(
            [math.nan if each.temperature is None else each.temperature for each in tier.classes]
        ),
        coverage=None if place is None or tier.conformal is None else tier.conformal.coverages[place],
        present_C=None if quantiles is None else np.array([present for present, _, _ in quantiles]),
        absent_C=None if quantiles is None else np.array([absent for _, absent, _ in quantiles]),
        is_conditional_C=np.array([conditional for _, _, conditional in quantiles or ()], dtype=np.bool_),
    )


def _projection(tier: TierLabels, trained: TierLabels) -> Projection:
    rows = {each.name: row for row, each in enumerate(trained.classes)}
    children = np.zeros((len(rows), len(tier.classes)), dtype=np.bool_)
    for column, each in enumerate(tier.classes):
        for child in each.children:
            if child not in rows:
                raise DataError(f"the model is damaged: {child} of {tier.name} is no class of {trained.name}")
            children[rows[child], column] = True
    assert tier.rule is not None
    return Projection(children=children, rule=_RULES[tier.rule])


def _quantiles(tier: TierLabels, place: int) -> list[tuple[float, float, bool]]:
    """Quantiles of "present" and "absent" of each class, and whether they are of the class alone.

    The set of an exclusive tier is one for all classes: quantiles of some classes beside the marginal one for
    the others would guarantee the coverage of neither.
    """
    found = [each.conformal for each in tier.classes]
    if tier.exclusive:
        by_class = all(each is not None and each.present is not None for each in found)
        is_conditional_C = [by_class] * len(found)
    else:
        is_conditional_C = [
            each is not None and each.present is not None and each.absent is not None for each in found
        ]
    quantiles = []
    for each, is_conditional in zip(found, is_conditional_C, strict=True):
        present = absent = None if each is None else each.marginal
        if each is not None and is_conditional:
            present, absent = each.present, each.marginal if tier.exclusive else each.absent
        quantiles.append((_value(present, place), _value(absent, place), is_conditional))
    return quantiles


def _value(quantiles: tuple[float | None, ...] | None, place: int) -> float:
    value = None if quantiles is None else quantiles[place]
    return math.inf if value is None else value
