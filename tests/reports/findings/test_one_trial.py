"""One trial class by class: decisions without peeking, numbers by hand and by scikit-learn, files, page."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from report_records import (
    HeldStudy,
    failed_trial,
    make_study,
    make_trial,
    pruned_trial,
    small_study,
    write_page_alone,
)
from scipy.stats import spearmanr
from sklearn import metrics as sklearn_metrics

from reports.document import report_document
from reports.errors import ReportError
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
from reports.report import report_contents, write_report
from reports.schema import CloserLook, json_schema, read_report, report_text
from scores.exclusive import EXCLUSIVE_METRICS, exclusive_metrics
from scores.metrics import binary_confusion
from scores.thresholds import Policy
from search.commands.main import main
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
    expected = sklearn_metrics.multilabel_confusion_matrix(y_NC, decided)
    for row in look.classes:
        assert row.confusion == expected[CLASSES.index(row.class_)].tolist()
    for curve in look.curves:
        column = CLASSES.index(curve.class_)
        fpr, tpr, _ = sklearn_metrics.roc_curve(y_NC[:, column], p_NC[:, column], drop_intermediate=False)
        assert len(fpr) <= N_CURVE_POINTS  # nothing is left out
        np.testing.assert_allclose(curve.roc.x, fpr, atol=1e-5)
        np.testing.assert_allclose(curve.roc.y, tpr, atol=1e-5)
        precision, recall, _ = sklearn_metrics.precision_recall_curve(y_NC[:, column], p_NC[:, column])
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


SCHEMA = json_schema()
Pair = tuple[NDArray[np.bool_], NDArray[np.float32]]


def column(y: list[int], p: list[float]) -> Pair:
    return np.array(y, dtype=np.bool_)[:, None], np.array(p, dtype=np.float32)[:, None]


def random_pairs(seed: int, n_folds: int = 4, n_records: int = 40) -> list[Pair]:
    """Scores rounded to two digits, so that some are tied; the third class is missing in some folds."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(n_folds):
        y_NC = rng.random((n_records, 3)) < [0.5, 0.2, 0.04]
        p_NC = np.round(1 / (1 + np.exp(-rng.normal(size=y_NC.shape) - 1.5 * y_NC)), 2)
        pairs.append((y_NC, p_NC.astype(np.float32)))
    return pairs


BY_HAND = [column([1, 0, 0], [0.9, 0.6, 0.1]), column([1, 1, 0, 0], [0.8, 0.3, 0.2, 0.7])]


@pytest.mark.parametrize(
    ("policy", "table"),
    [
        # Fold 2, falling: .8 hit (F1 2/3), .7 alarm (1/2), .3 hit (4/5), .2 alarm (2/3): fold 1 is cut at .3,
        # where .9 and .6 fire. Fold 1 is best at .9: in fold 2 nothing fires.
        ("f1", [[3, 1], [2, 1]]),
        # Youden of fold 2: 1/2 − 0 at .8 and 1 − 1/2 at .3; of equal ones the highest, so only .9 fires.
        ("youden", [[4, 0], [2, 1]]),
        ("half", [[2, 2], [1, 2]]),
    ],
)
def test_decisions_of_each_policy_by_hand(policy: Policy, table: list[list[int]]) -> None:
    y_NC = np.concatenate([y for y, _ in BY_HAND])
    assert binary_confusion(y_NC, decisions_of(BY_HAND, policy)).tolist() == [table]


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["f1", "youden"])
@given(seed=st.integers(0, 10_000), held_out=st.integers(0, 3))
def test_the_truth_about_a_fold_has_no_say_in_its_decisions(policy: Policy, seed: int, held_out: int) -> None:
    pairs = random_pairs(seed)
    rows = slice(40 * held_out, 40 * (held_out + 1))
    before_NC = decisions_of(pairs, policy)[rows]
    pairs[held_out] = (~pairs[held_out][0], pairs[held_out][1])
    assert np.array_equal(decisions_of(pairs, policy)[rows], before_NC)


@pytest.mark.parametrize("policy", ["f1", "youden"])
@given(seed=st.integers(0, 10_000), held_out=st.integers(0, 3))
def test_predictions_for_a_fold_have_no_say_in_its_thresholds(
    policy: Policy, seed: int, held_out: int
) -> None:
    """Whatever else is predicted in the fold, a record with the same score is decided the same way."""
    pairs = random_pairs(seed)
    rows = slice(40 * held_out, 40 * held_out + 20)
    before_NC = decisions_of(pairs, policy)[rows]
    y_NC, p_NC = pairs[held_out]
    pairs[held_out] = (y_NC, np.concatenate([p_NC[:20], 1 - p_NC[20:] ** 2]))
    assert np.array_equal(decisions_of(pairs, policy)[rows], before_NC)


def test_other_folds_do_have_a_say() -> None:
    before = decisions_of(BY_HAND, "f1")[:3, 0].tolist()
    changed = [BY_HAND[0], column([1, 1, 0, 0], [0.8, 0.75, 0.2, 0.7])]
    assert (before, decisions_of(changed, "f1")[:3, 0].tolist()) == (
        [True, True, False],
        [True, False, False],
    )


@pytest.mark.parametrize(("first", "value"), [(range(3), 1.0), (range(5), 1.0), ([1, 1, 1, 1, 1], None)])
def test_a_correlation_without_an_end_has_no_interval(first: Any, value: float | None) -> None:
    found = spearman_interval(np.array(first, dtype=float), np.arange(float(len(first))))
    assert found.value == (None if value is None else pytest.approx(value))
    assert (found.low, found.high) == (None, None)


def look_at(store: HeldStudy, trial: int | None = None) -> CloserLook | None:
    text = report_text(report_document(gather(store, "example", trial), n_resamples=20))
    jsonschema.validate(json.loads(text), SCHEMA)
    report = read_report(text)
    assert {chart.key for chart in closer_charts(report.closer_look, report.data)} <= set(CLOSER_KEYS)
    return report.closer_look


@pytest.mark.slow
def test_the_best_of_the_front_is_looked_at_unless_another_is_asked_for() -> None:
    store = HeldStudy(*small_study(), predicted=True)
    look = look_at(store)
    assert look is not None
    best = max(store.trials("example"), key=lambda trial: trial.score or 0)
    assert look.trial == best.number
    assert [row.policy for row in look.policies] == ["half", "f1", "youden"]
    for row in look.classes:
        assert sum(map(sum, row.confusion)) == look.n_records == 300
        assert sum(row.confusion[1]) == row.n_positive
    half = look.policies[0].metrics  # nothing is chosen there, so these are the scores of the study
    kept = store.summary(best.id)["subclass"].metrics
    assert half == {name: pytest.approx(kept[name]) for name in half}
    assert getattr(look_at(store, 0), "trial", None) == 0


class Beats(HeldStudy):
    """Every record has exactly one class, and the database knows it."""

    # Private: what the fake store of the helpers draws for a fold.
    def _fold(self, trial: Any, fold: int) -> tuple[Any, Any]:
        _, p_NC = super()._fold(trial, fold)
        own = np.random.default_rng(fold).integers(0, p_NC.shape[1], len(p_NC))
        y_NC = np.eye(p_NC.shape[1], dtype=np.bool_)[own]
        return y_NC, (0.5 * p_NC + 0.3 * y_NC).astype(np.float32)

    def summary(self, trial_id: int) -> dict[str, TierScores]:
        (found,) = super().summary(trial_id).values()
        metrics = {**found.metrics, "argmax_accuracy": 0.5}
        return {"subclass": TierScores(metrics=metrics, class_metrics=found.class_metrics)}


@pytest.mark.slow
def test_exclusive_targets_have_one_confusion_matrix() -> None:
    store = Beats(*small_study(), predicted=True, n_records=90)
    evidence = gather(store, "example")
    look = look_at(store)
    assert look is not None
    assert evidence.closer is not None
    folds = [each.on("subclass") for each in evidence.closer[1].predictions.values()]
    y_NC = np.concatenate([each.targets_NC for each in folds if each is not None])
    p_NC = np.concatenate([each.probabilities_NC for each in folds if each is not None])
    expected = sklearn_metrics.confusion_matrix(y_NC.argmax(1), p_NC.argmax(1), labels=range(23))
    assert look.confusion == expected.tolist()
    assert [row.policy for row in look.policies] == ["argmax"]
    f1 = exclusive_metrics(y_NC, p_NC, ordinal=False).overall["argmax_macro_f1"]
    assert look.policies[0].metrics["macro_f1"] == pytest.approx(f1)
    keys = [chart.key for chart in closer_charts(look, data_document(evidence.study))]
    assert keys == [key for key in CLOSER_KEYS if key != "largest-confusion"]


class Damaged(HeldStudy):
    """One prediction of every fold is no number."""

    def open_reader(self, artifact_id: str) -> io.BytesIO:
        arrays = dict(np.load(super().open_reader(artifact_id)))
        arrays["probabilities_NC"][0, 0] = np.nan
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **arrays)
        content.seek(0)
        return content


def test_predictions_that_are_no_numbers_stop_no_report() -> None:
    store = Damaged(*small_study(), predicted=True)
    assert look_at(store) is None
    with pytest.raises(ReportError, match="--trial 0: its predictions are not all finite numbers"):
        gather(store, "example", 0)


@pytest.mark.parametrize(
    "trials",
    [
        [],
        [pruned_trial(0, [0.3, 0.2])],
        [failed_trial(0)],
        pytest.param([make_trial(0, 0.5, fold_scores={1: 0.5})], marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("page_alone")
def test_studies_without_anything_to_look_at(trials: list[Any], tmp_path: Path) -> None:
    store = HeldStudy(make_study(), trials, predicted=True)
    assert look_at(store) is None
    page = write_report(store, "example", tmp_path).paths[0].read_text(encoding="utf-8")
    assert "A closer look" in page


@pytest.mark.slow
@pytest.mark.usefixtures("page_alone")
def test_figures_are_files_and_synthetic_ones_say_so(tmp_path: Path) -> None:
    study, trials = small_study()
    store = HeldStudy(make_study(synthetic=True, data_name="demo"), trials, predicted=True)
    write_report(store, study.name, tmp_path, trial=2)
    for key in CLOSER_KEYS:
        assert (tmp_path / f"{key}.svg").stat().st_size
    report = read_report((tmp_path / "report.json").read_bytes())
    assert report.closer_look is not None
    assert report.closer_look.trial == 2
    assert all(chart.synthetic for chart in closer_charts(report.closer_look, report.data))


@pytest.mark.slow
@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.usefixtures("page_alone")
def test_few_classes_of_a_demo_leave_room_for_their_figures(n_classes: int) -> None:
    """Warnings are errors: matplotlib warns of axes that have no room left."""
    study = make_study(
        synthetic=True,
        tier_classes={"subclass": tuple("ABCDE"[:n_classes]), "superclass": ("X", "Y")},
        settings={"unit": "beat"},
    )
    contents = report_contents(gather(Beats(study, [make_trial(0, 0.6)], predicted=True), "example"))
    assert {"class-distribution.svg", "class-confusion.svg"} < contents.keys()
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", contents["index.html"].decode())
    assert any("How many beats have each class. 300 beats of all folds." in text for text in captions)


def test_a_trial_that_is_no_number_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--trial", "best"]) == 2
    assert "'best' is not a whole number" in capsys.readouterr().err


@pytest.fixture(scope="module")
def small_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the small study."""
    with pytest.MonkeyPatch.context() as patch:
        write_page_alone(patch)
        folder = tmp_path_factory.mktemp("small")
        return write_report(HeldStudy(*small_study(), predicted=True), "example", folder).paths[0]


@pytest.mark.slow
@pytest.mark.needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_on_a_phone(browser: Any, small_page: Path, scheme: str) -> None:
    """Words of a wheel are not cut, bars have no words in them, and nothing is white in the dark."""
    page = browser.new_page(viewport={"width": 400, "height": 900}, color_scheme=scheme)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(small_page.as_uri())
    page.locator("#figure-radar .angularaxistick text").first.wait_for()
    frame = page.locator("#figure-radar .plot").bounding_box()
    for tick in page.locator("#figure-radar .angularaxistick text").all():
        box = tick.bounding_box()
        assert frame["x"] <= box["x"] <= box["x"] + box["width"] <= frame["x"] + frame["width"]
        assert frame["y"] <= box["y"] <= box["y"] + box["height"] <= frame["y"] + frame["height"]
    assert page.locator("#figure-class-metrics .bars path").count() == 3 * 23
    assert page.locator("#figure-class-metrics .bars text").count() == 0
    assert (
        page.evaluate("document.querySelector('#figure-radar .plot').layout.polar.bgcolor") == "rgba(0,0,0,0)"
    )
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    page.close()
    assert complaints == []
