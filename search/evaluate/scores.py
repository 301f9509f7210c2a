"""What a trained model scores on the sealed fold, or on another data set through shared classes.

Shapes: N record, C class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scores.bootstrap import Interval, macro_interval
from scores.metrics import all_metrics, degenerate_classes
from scores.resampling import Metric
from scores.thresholds import choose_thresholds
from search.data.dataset import Development
from search.evaluate.final_model import FinalModel, Floats
from search.training.scoring import tier_scores

N_RESAMPLES = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class TierResult:
    """Scores of one model on one set of records at one tier."""

    records: str
    """Which records: "fold 9", "fold 10", or the name of a data set."""
    tier: str
    n_records: int
    n_patients: int
    classes: tuple[str, ...]
    """Classes scored: those with a positive and a negative among the records."""
    degenerate: Mapping[str, str]
    """Classes left out of the macro means, each with the reason."""
    macro_auprc: Interval
    macro_auroc: Interval
    metrics: Mapping[str, float]
    """All metrics by name, at thresholds chosen on the validation part; of that part itself, none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unmapped:
    """Classes of the shared tier that only one of two data sets has, with how many records have them."""

    here: Mapping[str, int]
    there: Mapping[str, int]
    n_without: int
    """Records of the other data set none of whose classes is shared."""


def sealed_results(model: FinalModel, sealed: Development) -> tuple[TierResult, ...]:
    """Validation part and sealed fold at every tier reached."""
    data, plan = model.data, model.data.fold_plan
    label = f"{plan.column} {' and '.join(map(str, plan.groups[-1]))}"
    p_sealed_NC = model.predict(sealed)
    results = []
    for tier in data.hierarchy.coarser_tiers(model.label_tier):
        classes = data.hierarchy.classes(tier)
        validation = (data.y[tier][model.validation], model.project(tier, model.p_validation_NC))
        test = (sealed.y[tier], model.project(tier, p_sealed_NC))
        scores = tier_scores(data.hierarchy, tier, *test, choose_thresholds(*validation, "f1"))
        results += [
            _score(label, tier, classes, labels=validation, patient_id=data.patient_id[model.validation]),
            _score(
                plan.sealed_name,
                tier,
                classes,
                labels=test,
                patient_id=sealed.patient_id,
                metrics=scores.metrics,
            ),
        ]
    return tuple(results)


def external_results(model: FinalModel, external: Development, tier: str) -> tuple[TierResult, Unmapped]:
    """Scores on the classes that both data sets have, and those that only one has."""
    data = model.data
    ours, theirs = data.hierarchy.classes(tier), external.hierarchy.classes(tier)
    shared = tuple(name for name in ours if name in theirs)
    columns = [ours.index(name) for name in shared]
    p_NC = model.project(tier, model.predict(external))[:, columns]
    y_NC = external.y[tier][:, [theirs.index(name) for name in shared]]
    unmapped = Unmapped(
        here=_counts(data.y[tier], ours, shared),
        there=_counts(external.y[tier], theirs, shared),
        n_without=int(np.count_nonzero(external.y[tier].any(axis=1) & ~y_NC.any(axis=1))),
    )
    threshold_C = choose_thresholds(
        data.y[tier][model.validation][:, columns],
        model.project(tier, model.p_validation_NC)[:, columns],
        "f1",
    )
    metrics = all_metrics(y_NC, p_NC, threshold_C).overall
    result = _score(
        external.name,
        tier,
        shared,
        labels=(y_NC, p_NC),
        patient_id=external.patient_id,
        metrics=metrics,
    )
    return result, unmapped


def _counts(y_NC: NDArray[np.bool_], classes: tuple[str, ...], shared: tuple[str, ...]) -> dict[str, int]:
    counts = dict(zip(classes, y_NC.sum(axis=0).tolist(), strict=True))
    return {name: n for name, n in counts.items() if name not in shared and n}


def _score(
    records: str,
    tier: str,
    classes: tuple[str, ...],
    *,
    labels: tuple[NDArray[np.bool_], Floats],
    patient_id: NDArray[np.int64],
    metrics: Mapping[str, float] | None = None,
) -> TierResult:
    """Scores of one set of records at one tier; `labels` are targets and probabilities."""
    y_NC, _ = labels
    degenerate = degenerate_classes(classes, [y_NC])

    def interval(metric: Metric) -> Interval:
        random = np.random.default_rng(0)
        return macro_interval(
            [labels], rng=random, metric=metric, patients=[patient_id], n_resamples=N_RESAMPLES
        )

    return TierResult(
        records=records,
        tier=tier,
        n_records=len(y_NC),
        n_patients=len(np.unique(patient_id)),
        classes=tuple(name for name in classes if name not in degenerate),
        degenerate=degenerate,
        macro_auprc=interval("auprc"),
        macro_auroc=interval("auroc"),
        metrics=metrics or {},
    )
