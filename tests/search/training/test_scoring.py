"""Scores of a fold and of a finished trial at every tier reached, against hand numbers and scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics as reference
from training_samples import HIERARCHY

from scores.exclusive import ORDINAL_METRICS
from scores.scorers import MACRO_AUPRC
from search.training.scoring import cross_validated_scores, fold_scores, project_to
from storage import Predictions

DIAGNOSTIC = HIERARCHY.classes("diagnostic")
"""ASMI, ILMI, IMI, LVH, NORM."""


def targets(rows: list[set[str]]) -> dict[str, np.ndarray]:
    return {tier: HIERARCHY.labels(tier, rows) for tier in ("all", "diagnostic", "subclass", "superclass")}


def random_fold(seed: int, n_records: int = 40) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = [{code for code in DIAGNOSTIC if rng.random() < 0.3} for _ in range(n_records)]
    y_NC = targets(rows)
    p_NC = np.clip(0.35 * y_NC["diagnostic"] + rng.random((n_records, len(DIAGNOSTIC))) * 0.6, 0, 1)
    return y_NC, p_NC.astype(np.float32)


def predictions(y_NC: np.ndarray, p_NC: np.ndarray) -> Predictions:
    return Predictions(
        tier="diagnostic",
        classes=DIAGNOSTIC,
        ecg_id=np.arange(len(p_NC)),
        targets_NC=y_NC,
        probabilities_NC=p_NC,
    )


# ---------------------------------------------------------------------------------------------------------
# Projection


def test_projection_by_hand() -> None:
    assert DIAGNOSTIC == ("ASMI", "ILMI", "IMI", "LVH", "NORM")
    p_NC = np.array([[0.5, 0.2, 0.1, 0.9, 0.0]], dtype=np.float32)
    subclass = project_to(HIERARCHY, "diagnostic", "subclass", p_NC)
    assert HIERARCHY.classes("subclass") == ("AMI", "IMI", "LVH", "NORM")
    np.testing.assert_allclose(subclass, [[0.5, 1 - 0.8 * 0.9, 0.9, 0.0]], rtol=1e-6)
    superclass = project_to(HIERARCHY, "diagnostic", "superclass", p_NC)
    assert HIERARCHY.classes("superclass") == ("HYP", "MI", "NORM")
    np.testing.assert_allclose(superclass, [[0.9, 1 - 0.5 * 0.8 * 0.9, 0.0]], rtol=1e-6)
    assert superclass.dtype == np.float32


def test_a_tier_projects_onto_itself_unchanged() -> None:
    _, p_NC = random_fold(0)
    assert project_to(HIERARCHY, "diagnostic", "diagnostic", p_NC) is p_NC


def test_projecting_in_steps_is_projecting_at_once() -> None:
    _, p_NC = random_fold(1)
    stepwise = project_to(
        HIERARCHY, "subclass", "superclass", project_to(HIERARCHY, "diagnostic", "subclass", p_NC)
    )
    np.testing.assert_allclose(stepwise, project_to(HIERARCHY, "diagnostic", "superclass", p_NC), rtol=1e-5)


# ---------------------------------------------------------------------------------------------------------
# One fold


def test_macro_auprc_is_the_mean_over_classes_with_a_positive() -> None:
    y_NC = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=bool)
    p_NC = np.array([[0.9, 0.1, 0.5], [0.8, 0.2, 0.5], [0.3, 0.3, 0.5], [0.1, 0.4, 0.5]], dtype=np.float32)
    # Ranks of positives: 1 and 3; 3; the third class has none and does not count.
    assert MACRO_AUPRC.fold(0, y_NC, p_NC) == pytest.approx(((1 + 2 / 3) / 2 + 1 / 3) / 2)


def test_a_fold_is_scored_at_every_tier_its_labels_reach() -> None:
    y_NC, p_NC = random_fold(2)
    scores = fold_scores(HIERARCHY, "diagnostic", y_NC, p_NC)
    assert list(scores) == ["diagnostic", "subclass", "superclass"]
    for tier, score in scores.items():
        projected = project_to(HIERARCHY, "diagnostic", tier, p_NC)
        expected = reference.average_precision_score(y_NC[tier], projected, average="macro")
        assert score.metrics["macro_auprc"] == pytest.approx(expected, abs=1e-9)
        expected = reference.roc_auc_score(y_NC[tier], projected, average="macro")
        assert score.metrics["macro_auroc"] == pytest.approx(expected, abs=1e-9)
        expected = reference.f1_score(y_NC[tier], projected > 0.5, average="macro", zero_division=0)
        assert score.metrics["macro_f1"] == pytest.approx(expected, abs=1e-9)
        assert score.class_metrics["n_positive"] == tuple(y_NC[tier].sum(axis=0).astype(float))
        assert {len(values) for values in score.class_metrics.values()} == {len(HIERARCHY.classes(tier))}
        assert all(type(value) is float for values in score.class_metrics.values() for value in values)


SEVERE_ROWS = [{"NORM"}, {"SR", "NORM"}, {"IMI"}, {"IMI", "LVH"}, {"NORM", "ASMI"}, set()]
"""Normal, normal, major, critical, major, normal."""


def severities(rows: list[set[str]]) -> dict[str, np.ndarray]:
    return {tier: HIERARCHY.labels(tier, rows) for tier in ("severity-4", "severity-3")}


def test_severity_has_ordinal_scores_and_the_others_have_not() -> None:
    found = {}
    for tier in ("superclass", "aha", "severity-4"):
        y_NC = {coarser: HIERARCHY.labels(coarser, SEVERE_ROWS) for coarser in HIERARCHY.coarser_tiers(tier)}
        found |= fold_scores(HIERARCHY, tier, y_NC, y_NC[tier].astype(np.float32))
    assert list(found) == ["superclass", "aha", "severity-4", "severity-3"]
    for tier, score in found.items():
        columns = [name for name in score.class_metrics if name.startswith("predicted_")]
        if HIERARCHY.is_ordinal(tier):
            assert columns == [f"predicted_{name}" for name in HIERARCHY.classes(tier)]
            assert set(ORDINAL_METRICS) < set(score.metrics)
        else:
            assert columns == []
            assert not set(ORDINAL_METRICS) & set(score.metrics)


def test_confusion_of_severity_by_hand() -> None:
    y_NC = severities(SEVERE_ROWS)
    called = np.array([0, 2, 2, 3, 3, 1])
    p_NC = np.full((6, 4), 0.1, dtype=np.float32)
    p_NC[np.arange(6), called] = 0.7
    scores = fold_scores(HIERARCHY, "severity-4", y_NC, p_NC)
    four, three = scores["severity-4"], scores["severity-3"]
    # Rows: true normal, minor, major, critical.
    assert four.class_metrics["predicted_normal"] == (1, 0, 0, 0)
    assert four.class_metrics["predicted_minor"] == (1, 0, 0, 0)
    assert four.class_metrics["predicted_major"] == (1, 0, 1, 0)
    assert four.class_metrics["predicted_critical"] == (0, 0, 1, 1)
    assert four.metrics["argmax_accuracy"] == pytest.approx(3 / 6)
    assert three.class_metrics["predicted_non-urgent"] == (2, 1, 0)
    assert three.metrics["argmax_accuracy"] == pytest.approx(3 / 6)
    true, found = y_NC["severity-3"].argmax(axis=1), [0, 1, 1, 2, 2, 1]
    kappa = reference.cohen_kappa_score(true, found, weights="quadratic")
    assert three.metrics["quadratic_kappa"] == pytest.approx(kappa)


def test_confusion_of_a_trial_is_that_of_all_its_folds() -> None:
    rng = np.random.default_rng(8)
    y_NC = severities(SEVERE_ROWS)
    p_NC = [rng.dirichlet(np.ones(4), 6).astype(np.float32) for _ in range(2)]
    folds = [predictions(y_NC["severity-4"], p) for p in p_NC]
    scores = cross_validated_scores(
        HIERARCHY, "severity-4", {tier: [y, y] for tier, y in y_NC.items()}, folds
    )
    for tier, score in scores.items():
        alone = [fold_scores(HIERARCHY, "severity-4", y_NC, p)[tier].class_metrics for p in p_NC]
        for name in HIERARCHY.classes(tier):
            column = f"predicted_{name}"
            assert score.class_metrics[column] == tuple(np.add(alone[0][column], alone[1][column]))


def test_a_model_trained_on_the_target_reaches_only_coarser_tiers() -> None:
    y_NC, p_NC = random_fold(3)
    projected = project_to(HIERARCHY, "diagnostic", "superclass", p_NC)
    assert list(fold_scores(HIERARCHY, "superclass", y_NC, projected)) == ["superclass"]


# ---------------------------------------------------------------------------------------------------------
# A finished trial


def test_cross_validated_score_by_hand() -> None:
    """Per class the folds' average precisions weighted by positives, then the plain mean over classes."""
    # HYP, MI, NORM. Fold 1: MI has ranks 1 and 3; NORM rank 2; HYP none. Fold 2: MI rank 2; NORM rank 1.
    first_rows = [{"IMI"}, {"NORM"}, {"ASMI"}]
    second_rows = [{"NORM"}, {"IMI"}]
    first = np.array([[0.2, 0.9, 0.1], [0.2, 0.8, 0.4], [0.2, 0.3, 0.6]], dtype=np.float32)
    second = np.array([[0.2, 0.7, 0.9], [0.2, 0.6, 0.1]], dtype=np.float32)
    y_NC = [targets(rows)["superclass"] for rows in (first_rows, second_rows)]
    folds = [predictions(y, p) for y, p in zip(y_NC, (first, second), strict=True)]
    scores = cross_validated_scores(HIERARCHY, "superclass", {"superclass": y_NC}, folds)

    infarction = (2 * (1 + 2 / 3) / 2 + 1 * 1 / 2) / 3
    normal = (1 * 1 / 2 + 1 * 1) / 2
    result = scores["superclass"]
    assert list(scores) == ["superclass"]
    assert result.metrics["macro_auprc"] == pytest.approx((infarction + normal) / 2)
    assert result.metrics["n_undefined_classes"] == 1
    np.testing.assert_allclose(result.class_metrics["auprc"], [np.nan, infarction, normal])
    assert result.class_metrics["n_positive"] == (0.0, 3.0, 2.0)
    assert np.isnan(result.metrics["macro_auprc_min10"])
    # At .5 the pooled decisions are MI, MI, NORM, MI and NORM, MI for five records.
    assert result.metrics["micro_precision"] == pytest.approx(3 / 6)
    assert result.metrics["micro_recall"] == pytest.approx(3 / 5)


def test_cross_validated_scores_equal_scikit_learn() -> None:
    cases = [random_fold(seed, n_records) for seed, n_records in ((4, 40), (5, 60), (6, 25))]
    tiers = HIERARCHY.coarser_tiers("diagnostic")
    y_NC = {tier: [y[tier] for y, _ in cases] for tier in tiers}
    folds = [predictions(y["diagnostic"], p) for y, p in cases]
    scores = cross_validated_scores(HIERARCHY, "diagnostic", y_NC, folds)
    assert tuple(scores) == tiers
    for tier in tiers:
        p_NC = [project_to(HIERARCHY, "diagnostic", tier, p) for _, p in cases]
        weights = np.array([y.sum(axis=0) for y in y_NC[tier]])
        for column, metric in (
            ("auprc", reference.average_precision_score),
            ("auroc", reference.roc_auc_score),
        ):
            per_fold = np.array([metric(y, p, average=None) for y, p in zip(y_NC[tier], p_NC, strict=True)])
            expected = np.average(per_fold, axis=0, weights=weights)
            np.testing.assert_allclose(scores[tier].class_metrics[column], expected, atol=1e-9)
            assert scores[tier].metrics[f"macro_{column}"] == pytest.approx(expected.mean(), abs=1e-9)
        pooled_y, pooled_d = np.concatenate(y_NC[tier]), np.concatenate(p_NC) > 0.5
        expected = reference.f1_score(pooled_y, pooled_d, average="micro")
        assert scores[tier].metrics["micro_f1"] == pytest.approx(expected, abs=1e-9)
        assert scores[tier].metrics["subset_accuracy"] == pytest.approx(
            reference.accuracy_score(pooled_y, pooled_d), abs=1e-9
        )
        assert scores[tier].metrics["n_undefined_classes"] == 0


def test_one_fold_scores_alike_alone_and_cross_validated() -> None:
    y_NC, p_NC = random_fold(7)
    tiers = HIERARCHY.coarser_tiers("diagnostic")
    alone = fold_scores(HIERARCHY, "diagnostic", y_NC, p_NC)
    summary = cross_validated_scores(
        HIERARCHY,
        "diagnostic",
        {tier: [y_NC[tier]] for tier in tiers},
        [predictions(y_NC["diagnostic"], p_NC)],
    )
    for tier in tiers:
        for name, value in alone[tier].metrics.items():
            assert summary[tier].metrics[name] == pytest.approx(value, nan_ok=True), name
