"""Evaluation pages: numbers as scikit-learn and scipy have them; page, CSV, LaTeX and JSON say the same."""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import sklearn.metrics as reference
from held_out_samples import CLASSES, held_out, one_label, several_labels
from plotly.graph_objects import Figure
from scipy.stats import spearmanr
from storage_samples import evaluation_record, study_record

import storage
from reports.evaluation.charts import evaluation_charts, reliability_chart
from reports.evaluation.csv_and_latex import evaluation_csv, evaluation_tex
from reports.evaluation.document import evaluation_document
from reports.evaluation.evidence import gather_held_out, load_evaluation
from reports.evaluation.groups import evaluation_groups
from reports.evaluation.page import evaluation_page
from reports.evaluation.report import evaluation_contents, write_evaluations
from reports.evaluation.schema import EvaluationReport, RecordSetScores
from reports.evaluation.scores import record_set_scores
from reports.evaluation.side_by_side import evaluated_scores
from reports.figures.charts import Chart
from reports.figures.interactive import plotly_figure
from reports.figures.still import set_style, still_figure
from reports.figures.training_charts import training_curve_charts
from reports.findings.estimates import estimate
from reports.published import ANCHORS, TABLE_2
from reports.schema import Curve, json_schema, to_json, to_json_text
from storage import Predictions, keep_evaluated_predictions

SEVERAL, ONE = several_labels(), one_label()
CNN_NC = SEVERAL.outputs["preset cnn"].probabilities_NC[0]
THRESHOLD_C = SEVERAL.outputs["preset cnn"].threshold_C[0]


@pytest.fixture(scope="module")
def several() -> RecordSetScores:
    return record_set_scores(SEVERAL, key="fold-10", n_resamples=100)


@pytest.fixture(scope="module")
def one() -> RecordSetScores:
    return record_set_scores(ONE, key="georgia", n_resamples=100)


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    return evaluation_document(held_out(SEVERAL, ONE), n_resamples=20)


def test_every_class_scores_as_in_scikit_learn(several: RecordSetScores) -> None:
    decision_NC = CNN_NC >= THRESHOLD_C
    model = several.models[0]
    assert model.shown == "f1"
    for row in model.classes:
        index = CLASSES.index(row.class_)
        y_N, d_N = SEVERAL.targets_NC[:, index], decision_NC[:, index]
        assert row.confusion == reference.confusion_matrix(y_N, d_N, labels=[False, True]).tolist()
        if not y_N.any():
            assert {name for name, found in row.scores.items() if found.value is not None} == {"specificity"}
            continue
        expected = {
            "precision": reference.precision_score(y_N, d_N, zero_division=0),
            "recall": reference.recall_score(y_N, d_N),
            "specificity": reference.recall_score(y_N, d_N, pos_label=False),
            "f1": reference.f1_score(y_N, d_N),
            "auroc": reference.roc_auc_score(y_N, CNN_NC[:, index]),
            "auprc": reference.average_precision_score(y_N, CNN_NC[:, index]),
        }
        assert {name: found.value for name, found in row.scores.items()} == pytest.approx(expected)
    support = {row.class_: row.n_positive for row in several.classes}
    assert support == dict(zip(CLASSES, SEVERAL.targets_NC.sum(axis=0).tolist(), strict=True))
    assert several.left_out == {"SEHYP": "no record has it"}


@pytest.mark.slow
def test_every_class_has_its_operating_points_with_intervals(
    several: RecordSetScores, report: EvaluationReport
) -> None:
    decision_NC = CNN_NC >= THRESHOLD_C
    for row in several.models[0].classes:
        index = CLASSES.index(row.class_)
        points = {name: found.value for name, found in row.operating_points.items()}
        assert points.pop("alarm_rate") == pytest.approx(decision_NC[:, index].mean())
        y_N = SEVERAL.targets_NC[:, index]
        if not y_N.any():
            assert set(points.values()) == {None}
            continue
        rate, sensitivity, _ = reference.roc_curve(y_N, CNN_NC[:, index], drop_intermediate=False)
        assert points["sensitivity_at_specificity_90"] == pytest.approx(sensitivity[rate <= 0.1].max())
        assert points["specificity_at_sensitivity_90"] == pytest.approx(1 - rate[sensitivity >= 0.9].min())
        # A model that finds a share of the positives among a twentieth of the records.
        assert 0 <= points["sensitivity_in_top_5_percent"] <= min(1, 0.05 * len(y_N) / y_N.sum())
    rows = [
        row for row in csv.DictReader(io.StringIO(evaluation_csv(report))) if row["statistic"] == "alarm_rate"
    ]
    assert {row["decision"] for row in rows} <= {"f1", "half", "argmax"}
    assert all(float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in rows if row["low"])


def test_means_over_classes_are_those_of_scikit_learn_over_classes_that_occur(
    several: RecordSetScores,
) -> None:
    y_NC, p_NC = SEVERAL.targets_NC[:, :4], CNN_NC[:, :4]
    model = several.models[0]
    found = {name: one.value for name, one in model.ranking.items()}
    assert found["macro_auroc"] == pytest.approx(reference.roc_auc_score(y_NC, p_NC, average="macro"))
    assert found["macro_auprc"] == pytest.approx(reference.average_precision_score(y_NC, p_NC))
    pooled = SEVERAL.targets_NC.ravel(), CNN_NC.ravel()
    assert found["micro_auroc"] == pytest.approx(reference.roc_auc_score(*pooled))
    assert found["micro_auprc"] == pytest.approx(reference.average_precision_score(*pooled))
    for way, thresholds in zip(model.decisions, (0.5, THRESHOLD_C[:4]), strict=True):
        decided_NC = p_NC >= thresholds
        for kind in ("macro", "weighted"):
            expected = reference.f1_score(y_NC, decided_NC, average=kind, zero_division=0)
            assert way.scores[f"{kind}_f1"].value == pytest.approx(expected)


def test_a_model_with_two_seeds_has_the_mean_of_its_scores(several: RecordSetScores) -> None:
    scores = [
        reference.average_precision_score(SEVERAL.targets_NC[:, :4], p_NC[:, :4])
        for p_NC in SEVERAL.outputs["trial 3"].probabilities_NC
    ]
    model = several.models[1]
    assert model.ranking["macro_auprc"].value == pytest.approx(np.mean(scores))
    assert model.seed_deviation["macro_auprc"] == pytest.approx(np.std(scores, ddof=1))
    assert several.models[0].seed_deviation == {}


def test_correlation_of_f1_with_prevalence_has_its_p(several: RecordSetScores) -> None:
    model = several.models[0]
    occurring = [row for row in several.classes if row.n_positive]
    f1 = {row.class_: row.scores["f1"].value for row in model.classes}
    expected = spearmanr([row.n_positive for row in occurring], [f1[row.class_] for row in occurring])
    assert (model.prevalence_f1.value, model.prevalence_f1.p, model.prevalence_f1.n) == (
        pytest.approx(expected.statistic),
        pytest.approx(expected.pvalue),
        4,
    )


def test_exclusive_tiers_have_accuracy_kappa_and_a_table_of_all_classes(one: RecordSetScores) -> None:
    true_N, called_N = (
        each.argmax(axis=1) for each in (ONE.targets_NC, ONE.outputs["preset cnn"].probabilities_NC[0])
    )
    (model,) = one.models
    (way,) = model.decisions
    assert way.decision == "argmax"
    assert model.confusion == reference.confusion_matrix(true_N, called_N).tolist()
    expected = {
        "accuracy": reference.accuracy_score(true_N, called_N),
        "macro_f1": reference.f1_score(true_N, called_N, average="macro"),
        "weighted_f1": reference.f1_score(true_N, called_N, average="weighted"),
        "kappa": reference.cohen_kappa_score(true_N, called_N),
        "quadratic_kappa": reference.cohen_kappa_score(true_N, called_N, weights="quadratic"),
    }
    assert {name: way.scores[name].value for name in expected} == pytest.approx(expected)
    assert all(way.scores[name].low < way.scores[name].value < way.scores[name].high for name in expected)
    assert one.n_patients is None


def test_sets_hold_about_as_much_as_they_promise(several: RecordSetScores, one: RecordSetScores) -> None:
    # 400 validation records: the coverage of a class deviates by sqrt(.9 × .1 × 2 / 400) = .02.
    for model in (*several.models, *one.models):
        marginal, *conditional = model.sets
        assert marginal.kind == "marginal"
        assert marginal.coverage.value == pytest.approx(0.9, abs=0.06)
        for each in conditional:
            assert each.coverage.value == pytest.approx(0.9, abs=0.06)
    # Of 400 validation records the rare class has fewer than 30.
    assert [each.n_classes for each in several.models[0].sets] == [5, 3]


def test_without_validation_records_nothing_is_calibrated_nor_covered() -> None:
    bare = replace(SEVERAL.outputs["preset cnn"], threshold_C=(), validation=())
    found = record_set_scores(replace(SEVERAL, outputs={"preset cnn": bare}), key="k", n_resamples=10)
    (model,) = found.models
    assert (len(model.calibration), model.sets, model.shown) == (1, [], "half")


def test_equal_models_do_not_differ() -> None:
    same = SEVERAL.outputs["preset cnn"]
    found = record_set_scores(replace(SEVERAL, outputs={"a": same, "b": same}), key="k", n_resamples=20)
    assert {(row.difference.value, row.distinguishable) for row in found.differences} == {(0.0, False)}


def test_risk_falls_to_nothing_where_the_certain_records_are_right(one: RecordSetScores) -> None:
    curve = one.models[0].risk_coverage
    assert curve is not None
    p_NC = ONE.outputs["preset cnn"].probabilities_NC[0]
    wrong_N = p_NC.argmax(axis=1) != ONE.targets_NC.argmax(axis=1)
    assert curve.risk_of_all.value == pytest.approx(wrong_N.mean())
    assert curve.risks[-1] == pytest.approx(wrong_N.mean(), abs=1e-6)
    assert curve.area.value < curve.risk_of_all.value


@pytest.mark.slow
def test_json_follows_its_schema(report: EvaluationReport) -> None:
    found = json.loads(to_json_text(to_json(report)))
    jsonschema.validate(found, json_schema(EvaluationReport))
    assert found["record_sets"][0]["models"][0]["classes"][0]["class"] == "NORM"


def test_csv_has_every_statistic_of_every_class(report: EvaluationReport) -> None:
    rows = list(csv.DictReader(io.StringIO(evaluation_csv(report))))
    wanted = [row for row in rows if row["statistic"] == "recall" and row["model"] == "preset cnn"]
    assert [(row["tier"], row["class"]) for row in wanted] == [
        *(("superclass", row.class_) for row in report.record_sets[0].classes),
        *(("severity-3", row.class_) for row in report.record_sets[1].classes),
    ]
    norm = next(row for row in wanted if row["class"] == "NORM")
    assert (norm["n_records"], norm["n_patients"], norm["threshold"]) == ("400", "200", "0.5")
    assert float(norm["low"]) < float(norm["value"]) < float(norm["high"])


def test_latex_has_the_table_of_the_seed_and_a_report_of_every_class(report: EvaluationReport) -> None:
    text = evaluation_tex(report)
    assert text.count("\\begin{table}") == 2 + 2 + 1  # two sets of records; two models, then one
    assert "preset cnn, best F1 &" in text
    assert "macro average &" in text
    assert "400 records of fold 10, tier superclass" in text


def page_of(report: EvaluationReport) -> str:
    charts = evaluation_charts(report)
    return evaluation_page(report, "evaluation-7", charts, {chart.key: b"<svg></svg>" for chart in charts})


def test_page_tells_openings_subset_and_records(report: EvaluationReport) -> None:
    text = page_of(report)
    assert "The test fold has been opened 2 times for this study." in text
    assert "ptb-xl 1.0.3, subset of 987 records" in text
    assert "1 class left out of the means: SEHYP (no record has it)." in text
    assert "Georgia, known statements" in text
    assert "SYNTHETIC" not in text
    assert text.count('<figure id="figure-') == len(evaluation_charts(report))


def test_a_figure_taller_than_wide_has_a_page_of_its_own_in_print(report: EvaluationReport) -> None:
    """At the height of the others its words would be too small to read."""
    first, second, *_ = evaluation_charts(report)
    stills = {
        first.key: b'<svg viewBox="0 0 500 900"></svg>',
        second.key: b'<svg viewBox="0 0 500 300"></svg>',
    }
    text = evaluation_page(report, "evaluation-7", [first, second], stills)
    assert re.findall(r'class="(still[^"]*)"', text) == ["still tall", "still"]


def test_table_2_of_the_seed_stands_beside_the_models(report: EvaluationReport) -> None:
    """Hamming loss and macro-AUPRC of the CNN and of CNN-BiLSTM, as the paper has them, marked external."""
    anchors = tuple(replace(anchor, tier="superclass") for anchor in ANCHORS if anchor.tier == "subclass")
    page = evaluation_page(replace(report, anchors=anchors), "evaluation-7", [], {})
    _, _, table = page.partition("Published results, all metrics")
    rows = {
        words.partition("</th>")[0]: re.findall(r"<td>(.*?)</td>", words)
        for words in table.partition("</table>")[0].split('<th scope="row">')[1:]
    }
    assert len(rows) == len(TABLE_2)
    assert (rows["Hamming loss"][0], rows["macro AUPRC"][3]) == (".034", ".471")
    assert "external" in page
    assert "Published results, all metrics" not in evaluation_page(report, "evaluation-7", [], {})


def test_reliability_of_several_models_is_a_line_for_each(
    several: RecordSetScores, one: RecordSetScores
) -> None:
    """Intervals of several would hide one another; of one both raw and calibrated are drawn with them."""
    chart = reliability_chart(several)
    assert chart is not None
    *models, exact = chart.series
    assert [series.name.split(", ")[0] for series in models] == [model.model for model in several.models]
    assert not any(series.low or series.dashed for series in models)
    assert exact.name == "exact"
    chart = reliability_chart(one)
    assert chart is not None
    raw, calibrated, _ = chart.series
    assert (raw.dashed, calibrated.dashed) == (True, False)
    assert len(raw.low) == len(raw.x)


def test_no_two_networks_share_a_colour() -> None:
    curve = Curve(fold=1, epochs=[1, 2], macro_auprc=[], training_loss=[0.5, 0.4], validation_loss=[0.6, 0.5])
    (chart,) = training_curve_charts({f"seed {seed}": curve for seed in range(9)}, "trial 3")
    looks = {(series.colour, series.dashed) for series in chart.series}
    assert len(looks) == len(chart.series) == 16
    assert chart.note.endswith("The first 8 of 9 networks.")


def test_synthetic_records_are_said_everywhere() -> None:
    found = evaluation_document(held_out(ONE, synthetic=True), n_resamples=10)
    assert all(chart.synthetic for chart in evaluation_charts(found))
    assert page_of(found).count("SYNTHETIC") > 12
    assert "SYNTHETIC" in evaluation_tex(found)
    assert "SYNTHETIC" in evaluation_csv(found)


def test_every_figure_can_be_drawn_for_the_page(report: EvaluationReport) -> None:
    charts = evaluation_charts(report)
    assert len({chart.key for chart in charts}) == len(charts)
    for chart in charts:
        Figure(plotly_figure(chart))  # raises on a property that does not exist


def figures(report: EvaluationReport) -> Iterator[Chart]:
    """One figure of every kind."""
    seen = set()
    for chart in evaluation_charts(report):
        kind = chart.title.split(",")[0]
        if kind not in seen:
            seen.add(kind)
            yield chart


@pytest.mark.slow
def test_every_kind_of_figure_can_be_drawn_for_print(report: EvaluationReport) -> None:
    import matplotlib as mpl

    for chart in figures(report):
        with mpl.rc_context():
            set_style()
            still_figure(chart).canvas.draw()


def test_evaluations_of_the_same_records_share_a_page() -> None:
    first, second, again, other = (
        evaluation_record(id=number, model=model, trial=None, records=records)
        for number, model, records in (
            (3, "trial 1", "fold 10"),
            (4, "trial 2", "fold 10"),
            (6, "trial 1", "fold 10"),
            (5, "trial 1", "sph"),
        )
    )
    found = evaluation_groups([first, second, again, other])
    assert [(each.id, [one.id for one in each.shown], each.ids) for each in found] == [
        ("3", [4, 6], [3, 4, 6]),
        ("5", [5], [5]),
    ]


def kept(store: storage.Store, part: str) -> str:
    """Predictions of five records on three classes and two coarser ones."""
    rng = np.random.default_rng(len(part))
    y_NC = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0]], dtype=np.bool_)
    p_NC = rng.random((5, 3)).astype(np.float32)
    return keep_evaluated_predictions(
        store,
        "first",
        part,
        Predictions(
            tier="superclass",
            classes=("CD", "MI", "NORM"),
            ecg_id=np.arange(5),
            targets_NC=y_NC,
            probabilities_NC=p_NC,
            patient_id=np.array([1, 1, 2, 3, 4]),
        ),
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[storage.Store]:
    with storage.open_store(f"sqlite:///{tmp_path}/s.db") as opened:
        opened.add_study(study_record(target="superclass"))
        opened.optuna_study("first")
        yield opened


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures for print take a second each, and have tests of their own."""
    monkeypatch.setattr(
        "reports.evaluation.report.figure_files",
        lambda study, shown: ((f"{chart.key}.svg", b"<svg></svg>") for chart in shown),
    )


@pytest.mark.usefixtures("without_figures")
def test_files_of_an_evaluation() -> None:
    output = {"preset cnn": ONE.outputs["preset cnn"]}
    contents = evaluation_contents(held_out(replace(ONE, outputs=output)), n_resamples=10)
    names = list(contents)
    assert names[:5] == [
        "evaluation-7.html",
        "evaluation-7.json",
        "evaluation.schema.json",
        "evaluation-7.csv",
        "evaluation-7.tex",
    ]
    assert "evaluation-7/georgia-known-statements-severity-3-preset-cnn-roc.svg" in names


@pytest.mark.usefixtures("without_figures")
def test_pages_are_made_from_the_database(store: storage.Store, tmp_path: Path) -> None:
    parts = {part: (kept(store, f"{part}-0"), kept(store, f"{part}-1")) for part in ("test", "validation")}
    number = store.add_evaluation(evaluation_record(predictions=parts))
    (group,) = evaluation_groups(store.evaluations("first"))
    held = gather_held_out(store, "first", group)
    (records,) = held.record_sets
    assert (records.records, records.tier, records.classes, len(records.targets_NC)) == (
        "fold 10",
        "superclass",
        ("CD", "MI", "NORM"),
        5,
    )
    output = records.outputs["trial 3"]
    assert (len(output.probabilities_NC), len(output.validation)) == (2, 2)
    assert [threshold_C.tolist() for threshold_C in output.threshold_C] == [
        [0.5, 0.25, 0.125],
        [0.5, 0.5, 0.0],
    ]
    assert held.synthetic
    found = write_evaluations(store, "first", tmp_path / "pages")
    assert found.pages == (tmp_path / "pages" / f"evaluation-{number}.html",)
    text = found.pages[0].read_text(encoding="utf-8")
    assert "trained on folds 1-8, seeds 0, 1; thresholds from fold 9" in text
    assert "No class has 10 positive records here" in text


def test_terminal_and_page_have_the_same_numbers(store: storage.Store) -> None:
    """Ranking scores and those of decisions at both thresholds, with intervals that end where scores end."""
    parts = {part: (kept(store, f"{part}-0"), kept(store, f"{part}-1")) for part in ("test", "validation")}
    store.add_evaluation(evaluation_record(predictions=parts))
    (group,) = evaluation_groups(store.evaluations("first"))
    (records,) = gather_held_out(store, "first", group).record_sets
    (page,) = record_set_scores(records, key="k", n_resamples=20).models
    evidence = [load_evaluation(store, each) for each in group.shown]
    (terminal,) = evaluated_scores(evidence, "test", "superclass", n_resamples=20)
    of_page = [{**page.ranking, **way.scores} for way in page.decisions]
    for shown, wanted in zip((terminal.half, terminal.chosen), of_page, strict=True):
        found = {name: estimate(each) for name, each in shown.items()}
        assert found == {name: wanted[name] for name in found}


@pytest.mark.usefixtures("without_figures")
def test_a_page_that_is_there_is_left_alone_and_lost_predictions_are_told(
    store: storage.Store, tmp_path: Path
) -> None:
    store.add_evaluation(evaluation_record(predictions={"test": (kept(store, "a"), kept(store, "b"))}))
    lost = store.add_evaluation(
        evaluation_record(predictions={"test": ("lost", "lost")}, records="sph", external=True)
    )
    predictions = {"test": (kept(store, "c"),)}
    torn = store.add_evaluation(evaluation_record(predictions=predictions, seeds=(0,), records="other"))
    first = write_evaluations(store, "first", tmp_path)
    (page,) = first.pages
    (problem, damage) = first.problems
    assert f"evaluation-{lost}.html is not written: " in problem
    assert (
        f"evaluation {torn} has thresholds of 2 seeds and predictions of 1: the database is damaged" in damage
    )
    page.write_text("mine", encoding="utf-8")
    write_evaluations(store, "first", tmp_path)
    assert page.read_text(encoding="utf-8") == "mine"
    with pytest.raises(storage.StorageError):
        write_evaluations(store, "first", tmp_path, only=[lost])
