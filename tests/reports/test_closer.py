"""One trial class by class: decisions without peeking, numbers by hand and by scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
from report_records import HeldStudy, make_study, small_study
from scipy.stats import spearmanr
from sklearn.metrics import multilabel_confusion_matrix, precision_recall_curve, roc_curve

from reports.document import report_document
from reports.evidence import TrialEvidence, gather
from reports.figures.interactive import plotly_figure
from reports.figures.one_trial_charts import CLOSER_KEYS, closer_charts
from reports.figures.still import still_figure
from reports.findings.one_trial import (
    DECISION_METRICS,
    N_CURVE_POINTS,
    N_LARGEST,
    REPORTED_POLICIES,
    closer_look,
    decisions_of,
    spearman_interval,
)
from reports.parts import data_document
from scores.exclusive import EXCLUSIVE_METRICS
from storage import Predictions, TierScores

CLASSES = ("A", "B", "C")


def predictions(y_NC: np.ndarray, p_NC: np.ndarray) -> Predictions:
    return Predictions(
        tier="t",
        classes=CLASSES,
        ecg_id=np.arange(len(y_NC)),
        targets_NC=y_NC.astype(bool),
        probabilities_NC=p_NC.astype(np.float32),
    )


def evidence_of(folds: list[tuple[np.ndarray, np.ndarray]], *, exclusive: bool = False) -> TrialEvidence:
    metrics = dict.fromkeys(EXCLUSIVE_METRICS, 0.5) if exclusive else {}
    return TrialEvidence(
        curve=(),
        summary={"t": TierScores(metrics=metrics, class_metrics={})},
        predictions={number: predictions(*fold) for number, fold in enumerate(folds, start=1)},
    )


STUDY = make_study(target="t", tier_classes={"t": CLASSES})


def random_folds(seed: int, n_folds: int = 5, n: int = 40) -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(seed)
    folds = []
    for _ in range(n_folds):
        y_NC = random.random((n, 3)) < (0.5, 0.3, 0.1)
        folds.append((y_NC, np.clip(0.3 * y_NC + random.random((n, 3)) * 0.7, 0, 1)))
    return folds


def test_sex_and_age_of_all_folds_together_make_the_groups() -> None:
    evidence = evidence_of(random_folds(0))
    look = closer_look(STUDY, 0, evidence)
    assert look is not None
    assert look.subgroups == []
    told = {
        fold: replace(
            each,
            sex=np.arange(40, dtype=np.float32) % 2,
            age=np.full(40, 30 if fold == 1 else 70, np.float32),
        )
        for fold, each in evidence.predictions.items()
    }
    look = closer_look(STUDY, 0, replace(evidence, predictions=told))
    assert look is not None
    assert [(each.group, each.n_records, list(each.models)) for each in look.subgroups] == [
        ("female", 100, ["trial 0"]),
        ("male", 100, ["trial 0"]),
        ("under 40", 40, ["trial 0"]),
        ("60 to 79", 160, ["trial 0"]),
    ]


def test_devices_that_every_fold_knows_make_groups() -> None:
    told = {
        fold: replace(
            each,
            groups={"device": np.array(["A", "B"] * 20)}
            | ({"site": np.array(["1"] * 40)} if fold == 1 else {}),
        )
        for fold, each in evidence_of(random_folds(0)).predictions.items()
    }
    look = closer_look(STUDY, 0, replace(evidence_of(random_folds(0)), predictions=told))
    assert look is not None
    assert [(each.attribute, each.group, each.n_records) for each in look.subgroups] == [
        ("device", "A", 100),
        ("device", "B", 100),
    ]


def test_operating_points_are_of_all_folds_together_and_alarms_of_the_decisions_shown() -> None:
    y = np.array([[1, 0, 0], [0, 0, 0], [1, 1, 1]])
    first = np.array([[0.2, 0.1, 0.1], [0.1, 0.1, 0.1], [0.9, 0.9, 0.9]])
    second = np.array([[0.6, 0.1, 0.1], [0.5, 0.1, 0.1], [0.9, 0.9, 0.9]])
    look = closer_look(STUDY, 7, evidence_of([(y, first), (y, second)]))
    assert look is not None
    (of_a,) = [row for row in look.classes if row.class_ == "A"]
    points = {name: each.value for name, each in of_a.operating_points.items()}
    # Of four with A three score above both without it; a threshold at .2 finds all and calls one of the two.
    assert points == {
        "sensitivity_at_specificity_90": 0.75,
        "specificity_at_sensitivity_90": 0.5,
        "sensitivity_in_top_5_percent": 0.0,
        "alarm_rate": pytest.approx(4 / 6),
    }


def test_decisions_by_hand() -> None:
    # Fold 2's best F1 of class A is at .6, fold 1's at .2; each decides for the other.
    y = np.array([[1, 0, 0], [0, 0, 0], [1, 1, 1]])
    first = np.array([[0.2, 0.1, 0.1], [0.1, 0.1, 0.1], [0.9, 0.9, 0.9]])
    second = np.array([[0.6, 0.1, 0.1], [0.5, 0.1, 0.1], [0.9, 0.9, 0.9]])
    pairs = [(y.astype(bool), p.astype(np.float32)) for p in (first, second)]
    assert decisions_of(pairs, "f1")[:, 0].tolist() == [False, False, True, True, True, True]
    assert decisions_of(pairs, "half")[:, 0].tolist() == [False, False, True, True, True, True]
    look = closer_look(STUDY, 7, evidence_of([(y, first), (y, second)]))
    assert look is not None
    assert (look.trial, look.n_records, look.shown) == (7, 6, "f1")
    (of_a,) = [row for row in look.classes if row.class_ == "A"]
    # Four have A, three of them are found; of two without it one is called.
    assert of_a.confusion == [[1, 1], [1, 3]]
    assert (of_a.precision, of_a.recall, of_a.f1) == (0.75, 0.75, 0.75)
    assert [row.class_ for row in look.classes] == ["A", "B", "C"]
    assert [row.policy for row in look.policies] == list(REPORTED_POLICIES)
    assert set(look.policies[0].metrics) == set(DECISION_METRICS)


def test_tables_and_curves_agree_with_scikit_learn() -> None:
    folds = random_folds(2, n=30)
    look = closer_look(STUDY, 0, evidence_of(folds))
    assert look is not None
    y_NC, p_NC = (np.concatenate(part) for part in zip(*folds, strict=True))
    p_NC = p_NC.astype(np.float32)
    decided = decisions_of([(y.astype(bool), p.astype(np.float32)) for y, p in folds], "f1")
    expected = multilabel_confusion_matrix(y_NC, decided)
    for row in look.classes:
        assert row.confusion == expected[CLASSES.index(row.class_)].tolist()
    for curve in look.curves:
        column = CLASSES.index(curve.class_)
        fpr, tpr, _ = roc_curve(y_NC[:, column], p_NC[:, column], drop_intermediate=False)
        assert len(fpr) <= N_CURVE_POINTS  # nothing is left out
        np.testing.assert_allclose(curve.roc.x, fpr, atol=1e-5)
        np.testing.assert_allclose(curve.roc.y, tpr, atol=1e-5)
        precision, recall, _ = precision_recall_curve(y_NC[:, column], p_NC[:, column])
        np.testing.assert_allclose(curve.precision_recall.x, recall[::-1], atol=1e-5)
        np.testing.assert_allclose(curve.precision_recall.y, precision[::-1], atol=1e-5)


def test_spearman_with_its_interval() -> None:
    random = np.random.default_rng(3)
    x = random.normal(size=23)
    y = x + random.normal(size=23)
    y[4] = np.nan
    found = spearman_interval(x, y)
    assert found.n == 22
    value, low, high = found.value, found.low, found.high
    assert isinstance(value, float) and isinstance(low, float) and isinstance(high, float)  # noqa: PT018
    assert value == pytest.approx(spearmanr(np.delete(x, 4), np.delete(y, 4)).statistic)
    half = 1.959964 * np.sqrt((1 + value**2 / 2) / 19)
    assert np.arctanh([low, high]) == pytest.approx(np.arctanh(value) + np.array([-half, half]))
    assert spearman_interval(x[:3], x[:3]).low is None


def test_one_class_a_record() -> None:
    y = np.eye(3)[[0, 0, 1, 2]]
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.1, 0.2, 0.7]])
    look = closer_look(STUDY, 0, evidence_of([(y, p), (y, p)], exclusive=True))
    assert look is not None
    assert look.confusion == [[2, 2, 0], [0, 2, 0], [0, 0, 2]]
    assert [row.policy for row in look.policies] == ["argmax"]
    data = data_document(make_study(settings={"unit": "beat"}))
    keys = [chart.key for chart in closer_charts(look, data)]
    assert "largest-confusion" not in keys
    assert "class-confusion" in keys


@pytest.mark.slow
def test_every_figure_is_drawn_twice() -> None:
    report = report_document(gather(HeldStudy(*small_study(), predicted=True), "example"), n_resamples=20)
    look = report.closer_look
    assert look is not None
    charts = closer_charts(look, report.data)
    assert tuple(chart.key for chart in charts) == CLOSER_KEYS
    for chart in charts:
        assert plotly_figure(chart)["data"]
        still_figure(chart).canvas.draw()
        assert chart.alt
    assert len(look.curves) == N_LARGEST
    best = max((t for t in report.trials if t.on_front), key=lambda trial: trial.macro_auprc or 0.0)
    assert look.trial == best.trial
