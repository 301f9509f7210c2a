"""Models on held-out records, class by class: every statistic with its interval, and differences in pairs.

All models are scored on the same draws of patients. Thresholds, temperatures and conformal quantiles come
from other records than those scored. Statistics of several seeds are means over them; curves, confusion and
reliability diagrams are of the first. Shapes: N record, C class, R resample.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reports.evaluation.schema import (
    Bin,
    Calibration,
    ClassSupport,
    Decision,
    DecisionScores,
    ModelClass,
    ModelDifference,
    ModelScores,
    RecordSetScores,
    RiskCoverage,
    SetCoverage,
)
from reports.findings.estimates import estimate
from reports.findings.one_trial import class_curves, confusion_of, spearman_interval
from reports.findings.operating_points import class_operating_points
from reports.findings.record_set import ModelOutput, Pair, Probabilities, RecordSet, Targets
from reports.findings.subgroups import subgroups
from reports.schema import DECISION_WORDS, ClassCurves, Points, Subgroup, finite
from scores.bootstrap import Sampled, mean_of, mean_of_seeds
from scores.calibration import (
    calibrate,
    calibrate_softmax,
    fit_softmax_temperature,
    fit_temperatures,
    reliability,
    risk_coverage,
)
from scores.conformal import class_quantiles, class_sets, exclusive_quantiles, exclusive_sets, sets_hold
from scores.metrics import binary_confusion, degenerate_classes
from scores.ranking import roc_curve
from scores.resampling import Weights
from scores.side_by_side import (
    N_RESAMPLES,
    ResampledRecords,
    SampledScores,
    decision_scores,
    differences,
    most_probable_scores,
    ranking_scores,
)
from scores.thresholds import decide, most_probable
from scores.weighted_calibration import weighted_calibration_error, weighted_risk_area

CONFIDENCE = 0.9
"""Nominal coverage of conformal sets."""
RANKING_SCORES = ("macro_auprc", "macro_auprc_min10", "macro_auroc", "micro_auprc", "micro_auroc")
CLASS_SCORES = ("precision", "recall", "specificity", "f1", "auroc", "auprc")
COMPARED = ("macro_auprc", "macro_auroc")
"""Scores whose differences are tested."""
MICRO_NAME, MACRO_NAME = "micro-average", "macro-average"
N_GRID = 201
"""Points of an averaged curve and of risk against coverage."""


def record_set_scores(records: RecordSet, *, key: str, n_resamples: int = N_RESAMPLES) -> RecordSetScores:
    """Scores of all models on a set of records.

    Args:
        records: the records and the models' predictions for them.
        key: short name for the names of figures.
        n_resamples: R.
    """
    y_NC = records.targets_NC
    held = ResampledRecords.of(y_NC, records.patient_N, n_resamples)
    n_positive_C = y_NC.sum(axis=0)
    order = np.argsort(-n_positive_C, kind="stable")
    ranking = {
        name: ranking_scores(held, output.probabilities_NC, micro=True)
        for name, output in records.outputs.items()
    }
    return RecordSetScores(
        key=key,
        records=records.records,
        external=records.external,
        tier=records.tier,
        n_records=len(y_NC),
        n_patients=None if records.patient_N is None else len(np.unique(records.patient_N)),
        exclusive=records.exclusive,
        ordinal=records.ordinal,
        drawn=records.drawn,
        class_names=records.classes,
        left_out=degenerate_classes(records.classes, [y_NC]),
        classes=[
            ClassSupport(
                class_=records.classes[index],
                n_positive=int(n_positive_C[index]),
                prevalence=float(n_positive_C[index] / len(y_NC)),
            )
            for index in order
        ],
        models=[
            _model(name, records, held, output, ranking[name]) for name, output in records.outputs.items()
        ],
        differences=_differences(ranking),
        subgroups=_subgroups(records, held.weight_NR) if records.drawn else (),
        notes=records.notes,
    )


def _subgroups(records: RecordSet, weight_NR: Weights) -> list[Subgroup]:
    decided = {}
    for name, output in records.outputs.items():
        *_, decided[name] = _ways(records, output).values()
    return subgroups(records, decided, weight_NR)


def _model(
    name: str, records: RecordSet, held: ResampledRecords, output: ModelOutput, ranking: SampledScores
) -> ModelScores:
    y_NC, p_NC, weight_NR = records.targets_NC, output.probabilities_NC[0], held.weight_NR
    calibrated = _calibrated(records, output)
    ways = _ways(records, output)
    shown: Decision = next(reversed(ways))
    scored = {
        way: most_probable_scores(held, output.probabilities_NC, ordinal=records.ordinal)
        if way == "argmax"
        else decision_scores(held, decided)
        for way, decided in ways.items()
    }
    classes = {**ranking.classes, **scored[shown].classes}
    points = class_operating_points(y_NC, output.probabilities_NC, ways[shown], weight_NR)
    tables = binary_confusion(y_NC, ways[shown][0])
    n_positive_C = y_NC.sum(axis=0)
    f1_C = np.where(n_positive_C > 0, classes["f1"].value, np.nan)
    return ModelScores(
        model=name,
        ranking={score: estimate(ranking.overall[score]) for score in RANKING_SCORES},
        decisions=[
            DecisionScores(
                decision=way,
                words=DECISION_WORDS[way] + (" on other records" if way == "f1" else ""),
                scores={score: estimate(each) for score, each in found.overall.items()},
            )
            for way, found in scored.items()
        ],
        shown=shown,
        seed_deviation={
            score: finite(ranking.seed_deviation[score]) for score in RANKING_SCORES if ranking.seed_deviation
        },
        classes=[
            ModelClass(
                class_=records.classes[index],
                threshold=_threshold(output, shown, index),
                scores={score: estimate(classes[score], index) for score in CLASS_SCORES},
                confusion=tables[index].tolist(),
                operating_points={name: estimate(each, index) for name, each in points.items()},
            )
            for index in np.argsort(-n_positive_C, kind="stable")
        ],
        prevalence_f1=spearman_interval(n_positive_C.astype(np.float64), f1_C),
        confusion=confusion_of(y_NC, p_NC) if records.exclusive else None,
        curves=class_curves(records.classes, y_NC, p_NC) if records.drawn else (),
        averages=_averages(y_NC, p_NC),
        calibration=_calibration(records, output, calibrated, weight_NR),
        risk_coverage=_risk_coverage(records, output, calibrated, ways[shown], weight_NR),
        sets=_sets(records, output, weight_NR),
    )


def _ways(records: RecordSet, output: ModelOutput) -> dict[Decision, list[Targets]]:
    """Decisions of each seed by decision rule; the last rule is the one shown."""
    if records.exclusive:
        return {"argmax": [most_probable(p_NC) for p_NC in output.probabilities_NC]}
    return threshold_decisions(output)


def threshold_decisions(output: ModelOutput) -> dict[Decision, list[Targets]]:
    """Decisions of each seed at .5 and, where there are any, at the chosen thresholds."""
    ways: dict[Decision, list[Targets]] = {"half": [decide(p_NC) for p_NC in output.probabilities_NC]}
    if output.threshold_C:
        ways["f1"] = [
            decide(p_NC, threshold_C)
            for p_NC, threshold_C in zip(output.probabilities_NC, output.threshold_C, strict=True)
        ]
    return ways


def _threshold(output: ModelOutput, way: Decision, index: int) -> float | None:
    if way == "argmax":
        return None
    return 0.5 if way == "half" else float(output.threshold_C[0][index])


def _differences(ranking: Mapping[str, SampledScores]) -> list[ModelDifference]:
    """Paired differences of all pairs of models, the later minus the earlier."""
    names = list(ranking)
    found = differences([{score: each.overall[score] for score in COMPARED} for each in ranking.values()])
    return [
        ModelDifference(
            model=names[row.first],
            other=names[row.second],
            score=row.metric,
            difference=estimate(row.sampled),
            p=finite(row.p),
            p_adjusted=finite(row.p_adjusted),
            distinguishable=row.p_adjusted < 0.05,
        )
        for row in found
    ]


def _averages(y_NC: Targets, p_NC: Probabilities) -> list[ClassCurves]:
    """Curves of all decisions as of one class, and the mean ROC curve of the classes."""
    micro = class_curves([MICRO_NAME], y_NC.reshape(-1, 1), p_NC.reshape(-1, 1))
    grid = np.linspace(0, 1, N_GRID)
    height = [
        # Of several points at one false positive rate the highest counts.
        np.interp(grid, curve.x, np.maximum.accumulate(curve.y))
        for curve in (
            roc_curve(y_N, p_N) for y_N, p_N in zip(y_NC.T, p_NC.T, strict=True) if 0 < y_N.sum() < len(y_N)
        )
    ]
    if not height:
        return micro
    mean = np.concatenate([[0.0], np.mean(height, axis=0)])
    roc = Points(x=[0.0, *grid.round(5).tolist()], y=mean.round(5).tolist())
    return [*micro, ClassCurves(class_=MACRO_NAME, roc=roc, precision_recall=Points(x=(), y=()))]


def _calibrated(records: RecordSet, output: ModelOutput) -> list[Probabilities]:
    """Probabilities of each seed after temperature scaling on the validation records."""
    found: list[Probabilities] = []
    for p_NC, validation in zip(output.probabilities_NC, output.validation, strict=False):
        if records.exclusive:
            found.append(calibrate_softmax(p_NC, fit_softmax_temperature(*validation)))
        else:
            found.append(calibrate(p_NC, fit_temperatures(*validation)))
    return found


def _calibration(
    records: RecordSet, output: ModelOutput, calibrated: Sequence[Probabilities], weight_NR: Weights
) -> list[Calibration]:
    kinds: list[tuple[str, Sequence[Probabilities]]] = [("raw", output.probabilities_NC)]
    if calibrated:
        n = len(output.validation[0][0])
        kinds.append((f"temperature fitted to {n:,} validation records", calibrated))
    return [_one_calibration(records, words, of_seeds, weight_NR) for words, of_seeds in kinds]


def _one_calibration(
    records: RecordSet, words: str, of_seeds: Sequence[Probabilities], weight_NR: Weights
) -> Calibration:
    errors, class_errors = [], []
    for p_NC in of_seeds:
        y, p = _claims(records, p_NC)
        errors.append(_calibration_error(y, p, weight_NR))
        if not records.exclusive:
            of_classes = [
                _calibration_error(y_N[:, None], p_N[:, None], weight_NR)
                for y_N, p_N in zip(y.T, p.T, strict=True)
                if y_N.any()
            ]
            if of_classes:
                class_errors.append(mean_of(of_classes))
    y, p = _claims(records, of_seeds[0])
    shown = reliability(y.ravel(), p.ravel())
    mean = mean_of(errors)
    return Calibration(
        words=words,
        error=estimate(mean),
        class_error=estimate(mean_of(class_errors)) if class_errors else None,
        bins=[
            Bin(probability=float(probability), share=each.value, low=each.low, high=each.high, n=each.n)
            for probability, each in zip(shown.probability_B, shown.share_B, strict=True)
        ],
    )


def _calibration_error(y_NC: Targets, p_NC: Probabilities, weight_NR: Weights) -> Sampled:
    once_N1 = np.ones((len(y_NC), 1), dtype=np.float32)
    return Sampled(
        weighted_calibration_error(y_NC, p_NC, once_N1)[0],
        weighted_calibration_error(y_NC, p_NC, weight_NR),
    )


def _claims(records: RecordSet, p_NC: Probabilities) -> tuple[Targets, Probabilities]:
    """Outcomes with their predicted probabilities: of every class, or of the most probable class alone."""
    if not records.exclusive:
        return records.targets_NC, np.clip(p_NC, 0, 1)
    hit_N = records.targets_NC[np.arange(len(p_NC)), np.argmax(p_NC, axis=1)]
    return hit_N[:, None], np.clip(p_NC.max(axis=1), 0, 1)[:, None]


def _risk_coverage(
    records: RecordSet,
    output: ModelOutput,
    calibrated: Sequence[Probabilities],
    decided: Sequence[Targets],
    weight_NR: Weights,
) -> RiskCoverage:
    """Risk on the most certain records, by coverage."""
    areas, totals = [], []
    curves = []
    for seed, d_NC in enumerate(decided):
        p_NC = calibrated[seed] if calibrated else output.probabilities_NC[seed]
        wrong_NC = records.targets_NC != d_NC
        if records.exclusive:
            error_N, confidence_N = wrong_NC.any(axis=1).astype(np.float64), p_NC.max(axis=1)
        else:
            error_N, confidence_N = wrong_NC.mean(axis=1), np.maximum(p_NC, 1 - p_NC).mean(axis=1)
        curve = risk_coverage(error_N, confidence_N)
        curves.append(curve)
        area_R = weighted_risk_area(error_N, confidence_N, weight_NR)
        areas.append(Sampled(np.float64(curve.area), area_R))
        totals.append(_share(error_N[:, None], weight_NR))
    first = curves[0]
    places = np.unique(np.linspace(0, len(first.risk_K) - 1, N_GRID).round().astype(int))
    return RiskCoverage(
        risk="wrong class" if records.exclusive else "share of wrong classes",
        confidence="probability of the most probable class"
        if records.exclusive
        else "mean over classes of the probability of the likelier answer",
        coverage=first.coverage_K[places].round(5).tolist(),
        risks=first.risk_K[places].round(6).tolist(),
        area=estimate(mean_of(areas)),
        risk_of_all=estimate(mean_of(totals)),
    )


def _share(hit_NC: NDArray[Any], weight_NR: Weights, of_NC: Targets | None = None) -> Sampled:
    """Weighted share of the cells that are true, of all cells or of some; weights are those of records."""
    of = np.ones(hit_NC.shape) if of_NC is None else of_NC.astype(np.float64)
    hit_N, n_N = (hit_NC * of).sum(axis=1), of.sum(axis=1)
    weight_RN = weight_NR.T.astype(np.float64)
    total, total_R = n_N.sum(), weight_RN @ n_N
    return Sampled(
        np.float64(hit_N.sum() / total if total else np.nan),
        np.divide(weight_RN @ hit_N, total_R, out=np.full(len(total_R), np.nan), where=total_R > 0),
    )


def _sets(records: RecordSet, output: ModelOutput, weight_NR: Weights) -> list[SetCoverage]:
    if not output.validation:
        return []
    of_kind = _exclusive_sets if records.exclusive else _class_sets
    kinds: tuple[Literal["marginal", "class-conditional"], ...] = ("marginal", "class-conditional")
    found = []
    for kind in kinds:
        seeds, n_classes = [], 0
        for p_NC, validation in zip(output.probabilities_NC, output.validation, strict=True):
            scores, n_classes = of_kind(records.targets_NC, p_NC, validation, kind, weight_NR)
            seeds.append(scores)
        if not n_classes:
            continue
        mean = mean_of_seeds(seeds)
        positives = mean.get("positives")
        found.append(
            SetCoverage(
                kind=kind,
                confidence=CONFIDENCE,
                coverage=estimate(mean["coverage"]),
                coverage_of_positives=None if positives is None else estimate(positives),
                undecided=estimate(mean["undecided"]),
                empty=estimate(mean["empty"]),
                n_classes=n_classes,
                n_calibration=len(output.validation[0][0]),
            )
        )
    return found


def _class_sets(
    y_NC: Targets, p_NC: Probabilities, validation: Pair, kind: str, weight_NR: Weights
) -> tuple[dict[str, Sampled], int]:
    """Sets of "present", "absent", both or neither for every class with enough calibration records."""
    quantiles = class_quantiles(*validation, [CONFIDENCE])
    if kind == "marginal":
        present_C = absent_C = quantiles.marginal_QC[0]
        used_C = np.isfinite(present_C)
    else:
        present_C, absent_C = quantiles.present_QC[0], quantiles.absent_QC[0]
        used_C = quantiles.is_conditional_C
    if not used_C.any():
        return {}, 0
    y, p = y_NC[:, used_C], p_NC[:, used_C]
    present_NC, absent_NC = class_sets(p, present_C[used_C], absent_C[used_C])
    held_NC = sets_hold(y, present_NC, absent_NC)
    return {
        "coverage": _share(held_NC, weight_NR),
        "positives": _share(held_NC, weight_NR, y),
        "undecided": _share(present_NC & absent_NC, weight_NR),
        "empty": _share(np.logical_not(present_NC | absent_NC), weight_NR),
    }, int(used_C.sum())


def _exclusive_sets(
    y_NC: Targets, p_NC: Probabilities, validation: Pair, kind: str, weight_NR: Weights
) -> tuple[dict[str, Sampled], int]:
    """Conformal set of classes for every record."""
    quantiles = exclusive_quantiles(*validation, [CONFIDENCE])
    if kind == "marginal":
        quantile_C = np.full(y_NC.shape[1], quantiles.marginal_Q[0])
    else:
        quantile_C = quantiles.conditional_QC[0]
    n_classes = int(np.isfinite(quantile_C).sum())
    if n_classes < y_NC.shape[1]:  # a set must be able to hold any class
        return {}, 0
    set_NC = exclusive_sets(p_NC, quantile_C)
    size_N = set_NC.sum(axis=1)
    return {
        "coverage": _share(np.any(set_NC & y_NC, axis=1)[:, None], weight_NR),
        "undecided": _share(np.greater(size_N, 1)[:, None], weight_NR),
        "empty": _share(np.equal(size_N, 0)[:, None], weight_NR),
    }, n_classes
