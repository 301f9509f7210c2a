"""One trial class by class: decisions, confusion and curves (Jafari & Jafari, section 3).

Thresholds for the records of a fold are chosen on the out-of-fold predictions of the other folds, never on
those they are applied to. Shapes: N record, C class.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reports import schema
from reports.evidence import TrialEvidence
from reports.findings.estimates import estimate
from reports.findings.operating_points import class_operating_points
from reports.findings.record_set import ModelOutput, RecordSet
from reports.findings.subgroups import subgroups
from reports.schema import DECISION_WORDS, Decision, finite
from scores.bootstrap import Sampled
from scores.exclusive import EXCLUSIVE_METRICS
from scores.metrics import all_metrics, binary_confusion, decision_metrics, spearman
from scores.ranking import Curve, auroc, average_precision, precision_recall_curve, roc_curve
from scores.side_by_side import ResampledRecords
from scores.thresholds import Policy, choose_thresholds, decide, most_probable
from storage.artifacts import Predictions
from storage.records import StudyRecord

REPORTED_POLICIES: tuple[Literal["half", "f1", "youden"], ...] = ("half", "f1", "youden")
"""Choices of thresholds that a report compares; an exported model has others as well."""
SHOWN_POLICY: Literal["f1"] = "f1"
"""The thresholds behind the figures."""
DECISION_METRICS = (
    *("macro_f1", "micro_f1", "macro_precision", "macro_recall", "macro_balanced_accuracy"),
    *("subset_accuracy", "hamming_loss"),
)
N_LARGEST = 6
"""Classes with a confusion matrix and curves of their own, as in Jafari & Jafari."""
N_CURVE_POINTS = 200
N_RESAMPLES = 400
"""Resamples behind the intervals of groups and operating points."""

ROUNDING = 1e-9
"""A rank correlation nearer to ±1 than this is one."""

Decided = NDArray[np.bool_]
Pair = tuple[NDArray[np.bool_], NDArray[np.float32]]
"""Targets and probabilities of a fold."""


def closer_look(study: StudyRecord, number: int, trial: TrialEvidence) -> schema.CloserLook | None:
    """Results of the trial class by class; None without out-of-fold predictions on the target."""
    pairs = pairs_of(study, trial)
    if len(pairs) < 2:
        return None
    y_NC = np.concatenate([y for y, _ in pairs])
    p_NC = np.concatenate([p for _, p in pairs])
    summary = trial.summary.get(study.target)
    is_exclusive = summary is not None and EXCLUSIVE_METRICS[0] in summary.metrics
    if is_exclusive:
        decisions: dict[Decision, Decided] = {"argmax": most_probable(p_NC)}
    else:
        decisions = {policy: decisions_of(pairs, policy) for policy in REPORTED_POLICIES}
    shown: Literal["f1", "argmax"] = "argmax" if is_exclusive else SHOWN_POLICY
    names = study.tier_classes[study.target]
    records = pooled_records(
        f"trial {number}",
        study.target,
        names,
        [trial.predictions[fold] for fold in sorted(trial.predictions)],
    )
    weight_NR = ResampledRecords.of(y_NC, records.patient_N, N_RESAMPLES).weight_NR
    points = class_operating_points(y_NC, [p_NC], [decisions[shown]], weight_NR)
    return schema.CloserLook(
        trial=number,
        n_records=len(y_NC),
        shown=shown,
        policies=[
            schema.PolicyMetrics(policy=name, words=DECISION_WORDS[name], metrics=_metrics(y_NC, found))
            for name, found in decisions.items()
        ],
        class_names=names,
        classes=_classes(names, y_NC, p_NC, decisions[shown], points),
        prevalence_f1=_correlation(y_NC, decisions[shown]),
        confusion=confusion_of(y_NC, p_NC) if is_exclusive else None,
        curves=_curves(names, y_NC, p_NC),
        subgroups=subgroups(records, {f"trial {number}": [decisions[shown]]}, weight_NR),
    )


def pooled_records(model: str, tier: str, classes: Sequence[str], parts: Sequence[Predictions]) -> RecordSet:
    """The held-out records of all folds together, with the predictions of a model.

    Args:
        model: its name.
        tier: that is scored; every part has predictions on it.
        classes: of the tier.
        parts: held-out predictions, fold by fold.
    """
    on_tier = [found for each in parts if (found := each.on(tier)) is not None]
    patients = [each.patient_id for each in parts if each.patient_id is not None]
    ages = [each.age for each in parts if each.age is not None]
    sexes = [each.sex for each in parts if each.sex is not None]
    return RecordSet(
        records="out of fold",
        external=False,
        tier=tier,
        classes=tuple(classes),
        targets_NC=np.concatenate([each.targets_NC for each in on_tier]),
        patient_N=np.concatenate(patients) if len(patients) == len(parts) else None,
        exclusive=False,
        ordinal=False,
        drawn=False,
        outputs={
            model: ModelOutput(
                probabilities_NC=(np.concatenate([each.probabilities_NC for each in on_tier]),),
                threshold_C=(),
            )
        },
        age_N=np.concatenate(ages) if len(ages) == len(parts) else None,
        sex_N=np.concatenate(sexes) if len(sexes) == len(parts) else None,
        groups_N={
            name: np.concatenate([each.groups[name] for each in parts])
            for name in parts[0].groups
            if all(name in each.groups for each in parts)
        },
    )


def pairs_of(study: StudyRecord, trial: TrialEvidence) -> list[Pair]:
    """Out-of-fold targets and probabilities on the target, fold by fold; empty if a fold lacks them."""
    found = [trial.predictions[fold].on(study.target) for fold in sorted(trial.predictions)]
    return [(each.targets_NC, each.probabilities_NC) for each in found if each is not None] * all(
        each is not None for each in found
    )


def decisions_of(pairs: Sequence[Pair], policy: Policy) -> Decided:
    """Decisions on the records of each fold, at thresholds chosen on the other folds."""
    decided = []
    for fold, (_, p_NC) in enumerate(pairs):
        others = [pair for other, pair in enumerate(pairs) if other != fold]
        threshold_C = choose_thresholds(
            np.concatenate([y for y, _ in others]), np.concatenate([p for _, p in others]), policy
        )
        decided.append(decide(p_NC, threshold_C))
    return np.concatenate(decided)


def spearman_interval(first_C: NDArray[Any], second_C: NDArray[Any]) -> schema.Correlation:
    """Spearman's ρ with its 95 % interval (Bonett & Wright 2000: variance of z (1 + ρ²/2) / (n − 3)) and p.

    There is no interval for fewer than four classes, nor for ρ = ±1, whose z is infinite.
    """
    used_C = np.isfinite(first_C) & np.isfinite(second_C)
    (rho, p), n = spearman(first_C, second_C), int(used_C.sum())
    low, high = None, None
    if n >= 4 and abs(rho) <= 1 - ROUNDING:
        half = 1.959964 * math.sqrt((1 + rho**2 / 2) / (n - 3))
        low, high = (math.tanh(math.atanh(rho) + side * half) for side in (-1, 1))
    return schema.Correlation(value=finite(rho), low=low, high=high, n=n, p=finite(p))


def _metrics(y_NC: Decided, decided_NC: Decided) -> dict[str, float | None]:
    found = all_metrics(y_NC, decided_NC.astype(np.float64), 0.5).overall
    return {name: finite(found[name]) for name in DECISION_METRICS}


def _classes(
    names: Sequence[str],
    y_NC: Decided,
    p_NC: NDArray[np.float32],
    decided_NC: Decided,
    points: Mapping[str, Sampled],
) -> list[schema.OneClass]:
    """Scores and confusion table of every class, the most frequent first."""
    columns = {"auprc": average_precision(y_NC, p_NC), "auroc": auroc(y_NC, p_NC)}
    columns |= decision_metrics(y_NC, decided_NC)
    tables = binary_confusion(y_NC, decided_NC)
    n_positive_C = y_NC.sum(axis=0)
    return [
        schema.OneClass(
            class_=names[index],
            n_positive=int(n_positive_C[index]),
            prevalence=float(n_positive_C[index] / len(y_NC)),
            auprc=finite(columns["auprc"][index]),
            auroc=finite(columns["auroc"][index]),
            precision=finite(columns["precision"][index]),
            recall=finite(columns["recall"][index]),
            f1=finite(columns["f1"][index]),
            confusion=tables[index].tolist(),
            specificity=finite(columns["specificity"][index]),
            operating_points={name: estimate(each, index) for name, each in points.items()},
        )
        for index in np.argsort(-n_positive_C, kind="stable")
    ]


def _correlation(y_NC: Decided, decided_NC: Decided) -> schema.Correlation:
    """Rank correlation of F1 with prevalence over the classes that occur."""
    n_positive_C = y_NC.sum(axis=0)
    f1_C = np.where(n_positive_C > 0, decision_metrics(y_NC, decided_NC)["f1"], np.nan)
    return spearman_interval(n_positive_C.astype(np.float64), f1_C)


def confusion_of(y_NC: Decided, p_NC: NDArray[np.floating]) -> list[list[int]]:
    """Records by true class (rows) and most probable class (columns)."""
    from sklearn.metrics import confusion_matrix  # a second; a status needs no such table

    classes = np.arange(y_NC.shape[1])
    counts = confusion_matrix(np.argmax(y_NC, axis=1), np.argmax(p_NC, axis=1), labels=classes)
    rows: list[list[int]] = counts.tolist()
    return rows


def _curves(names: Sequence[str], y_NC: Decided, p_NC: NDArray[np.float32]) -> list[schema.ClassCurves]:
    """ROC and precision–recall curves of the largest classes, over the records of all folds together."""
    largest = np.argsort(-y_NC.sum(axis=0), kind="stable")[:N_LARGEST]
    return class_curves([names[index] for index in largest], y_NC[:, largest], p_NC[:, largest])


def class_curves(names: Sequence[str], y_NC: Decided, p_NC: NDArray[np.floating]) -> list[schema.ClassCurves]:
    """ROC and precision–recall curves of every class that has a positive and a negative record."""
    return [
        schema.ClassCurves(
            class_=name,
            roc=_points(roc_curve(y_N, p_N)),
            precision_recall=_points(precision_recall_curve(y_N, p_N)),
        )
        for name, y_N, p_N in zip(names, y_NC.T, p_NC.T, strict=True)
        if 0 < y_N.sum() < len(y_N)
    ]


def _points(curve: Curve) -> schema.Points:
    """Thin a curve to a few hundred points, keeping both ends."""
    places = np.unique(np.linspace(0, len(curve.x) - 1, N_CURVE_POINTS).round().astype(int))
    return schema.Points(x=curve.x[places].round(5).tolist(), y=curve.y[places].round(5).tolist())
