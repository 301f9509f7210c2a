"""A stress test from scores to files: changes and order by hand; page, CSV, JSON and figures say the same."""

import csv
import io
import json
from typing import Any

import jsonschema
import numpy as np
import pytest
from numpy.typing import NDArray
from plotly.graph_objects import Figure
from report_records import make_study, make_trial
from rich.console import Console
from sklearn.metrics import average_precision_score

from reports.figures.interactive import plotly_figure
from reports.numbers import whole_percent_words
from reports.schema import json_schema, to_json
from reports.stress.charts import N_DRAWN, drawn_models, stress_charts
from reports.stress.document import stress_document
from reports.stress.page import stress_page
from reports.stress.report import stress_csv, stress_view
from reports.stress.schema import Condition, NotApplied, StressReport
from reports.stress.scores import StressScorer, order_of
from scores.bootstrap import Interval, difference

N_FOLDS, N_RECORDS = 2, 60
NOISY = (
    Condition(disturbance="mains hum", level="12 dB", snr_db=12),
    Condition(disturbance="mains hum", level="−6 dB", snr_db=-6),
)
LOST = Condition(disturbance="lost lead", level="V1")
RNG = np.random.default_rng(5)
Y_FNC = RNG.random((N_FOLDS, N_RECORDS, 3)) < 0.4
PATIENT_FN = np.arange(N_FOLDS * N_RECORDS).reshape(N_FOLDS, N_RECORDS) // 2


def folds(skill: float, seed: int = 1) -> list[tuple[NDArray[np.bool_], NDArray[np.float32]]]:
    """Predictions that are right the more the larger the skill."""
    noise_FNC = np.random.default_rng(seed).random(Y_FNC.shape)
    p_FNC = (noise_FNC + skill * Y_FNC) / (1 + skill)
    return list(zip(Y_FNC, p_FNC.astype(np.float32), strict=True))


@pytest.fixture(scope="module")
def scorer() -> StressScorer:
    return StressScorer(list(Y_FNC), list(PATIENT_FN), n_resamples=100)


def report_of(scorer: StressScorer, n_models: int, **changes: Any) -> StressReport:
    """Models whose order holds under the first condition, and is turned round under the others."""
    skills = {number: 0.3 + 0.2 * number for number in range(n_models)}
    turned = {number: 0.3 - 0.3 * number / max(1, n_models - 1) for number in skills}
    study = make_study(synthetic=changes.pop("synthetic", False))
    given = [(NOISY[0], skills), (NOISY[1], turned), (LOST, turned)]

    def scored(of: dict[int, float]) -> dict[int, Interval]:
        return scorer({number: folds(skill) for number, skill in of.items()})

    scores = changes.pop("scores", None)
    values: dict[str, Any] = {
        "leads": ("I", "V1"),
        "scorer": scorer,
        "undisturbed": scores or scored(skills),
        "disturbed": [(condition, scores or scored(of)) for condition, of in given],
        "not_applied": [NotApplied(disturbance="limb leads reversed", level="RA–LA", reason="none there")],
        "left_out": [],
        "seed": 0,
        "whole_front": n_models > 1,
    }
    trials = [make_trial(number, 0.5, 1_000 * (number + 1)) for number in skills]
    return stress_document(study, trials, **values)


@pytest.fixture(scope="module")
def report(scorer: StressScorer) -> StressReport:
    return report_of(scorer, 3)


def test_scores_are_those_of_scikit_learn(scorer: StressScorer) -> None:
    found = scorer({4: folds(0.5)})[4]
    n_positive_FC = Y_FNC.sum(axis=1)
    score_FC = np.array(
        [[average_precision_score(y_NC[:, c], p_NC[:, c]) for c in range(3)] for y_NC, p_NC in folds(0.5)]
    )
    assert found.value == pytest.approx(np.average(score_FC, axis=0, weights=n_positive_FC).mean())
    assert found.low < found.value < found.high


def test_nothing_changes_where_nothing_is_disturbed(scorer: StressScorer) -> None:
    found = scorer({4: folds(0.5)})[4]
    same = difference(found, scorer({4: folds(0.5)})[4])
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_changes_are_paired(scorer: StressScorer) -> None:
    one, other = scorer({1: folds(0.6)})[1], scorer({1: folds(0.55)})[1]
    found = difference(other, one)
    assert found.value == pytest.approx(other.value - one.value)
    # Both stand on the same draws, which make most of the spread of each.
    assert found.high - found.low < 0.5 * (one.high - one.low)


def interval(value: float, *samples: float) -> Interval:
    return Interval(value=value, low=value, high=value, level=0.95, samples=np.array(samples))


def test_the_order_by_hand() -> None:
    before = {3: interval(0.4, 0.4, 0.4), 1: interval(0.5, 0.5, 0.5), 2: interval(0.6, 0.6, 0.6)}
    # Of the pairs 3–1, 3–2 and 1–2 the last is turned round: tau is (2 − 1) / 3.
    after = {3: interval(0.1, 0.1, 0.1), 1: interval(0.3, 0.2, 0.4), 2: interval(0.2, 0.3, 0.1)}
    found = order_of(before, after)
    assert found.tau == pytest.approx(1 / 3)
    assert found.best == 1
    # Draw by draw 2 scores .3 and .1, 1 scores .2 and .4.
    assert found.best_stays == 0.5
    assert order_of(before, before).tau == 1
    assert order_of(before, before).best_stays == 1


def test_of_equal_scores_the_cheapest_is_best_and_there_is_no_order() -> None:
    same = {3: interval(0.4, 0.4), 1: interval(0.4, 0.4)}
    found = order_of(same, same)
    assert (found.tau, found.best, found.best_stays) == (None, 3, 1.0)


def test_one_trial_has_no_order() -> None:
    found = order_of({3: interval(0.4, 0.4)}, {3: interval(0.2, 0.2)})
    assert (found.tau, found.best, found.best_stays) == (None, 3, None)


def test_the_document_tells_whether_the_order_holds(report: StressReport) -> None:
    assert [each.tau for each in report.conditions] == [1, -1, -1]
    assert [each.best for each in report.conditions] == [2, 0, 0]
    assert report.best == 2
    share = whole_percent_words(report.best_share)
    assert report.verdict[0].startswith(
        f"Trial 2 is the best of 3 on undisturbed records (in {share} of the draws): ."
    )
    assert report.verdict[1].startswith(
        "2 of 3 conditions lower that score by a change whose interval lies below"
    )
    assert report.verdict[2] == (
        "The order of the trials is the same in 1 of 3 conditions (Kendall's tau 1), and trial 2 stays the "
        "best in 1."
    )
    assert report.verdict[3].startswith("It changes most with mains hum −6 dB: tau −1.000; trial 0 is best")
    assert "n = 120 records of 60 patients" in report.method


def test_a_class_that_never_occurs_leaves_no_score_and_no_number() -> None:
    nothing = StressScorer([np.zeros((4, 1), bool)], [np.arange(4)], n_resamples=10)
    scores = nothing({0: [(np.zeros((4, 1), bool), np.full((4, 1), 0.5, np.float32))]})
    found = report_of(nothing, 1, scores=scores)
    assert found.verdict == [
        "No class of the target has records with and without it in any fold, so there is no score."
    ]
    jsonschema.validate(json.loads(json.dumps(to_json(found))), json_schema(StressReport))
    assert stress_charts(found)
    Console(file=io.StringIO()).print(stress_view(found))


def test_json_follows_its_schema_and_csv_says_the_same(report: StressReport) -> None:
    jsonschema.validate(json.loads(json.dumps(to_json(report))), json_schema(StressReport))
    rows = list(csv.DictReader(io.StringIO(stress_csv(report))))
    assert len(rows) == 3 * (1 + len(report.conditions))
    assert [row["disturbance"] for row in rows[:4]] == ["none", "mains hum", "mains hum", "lost lead"]
    change_of_first = report.conditions[1].scores[0].change
    assert change_of_first is not None
    assert float(rows[2]["change"]) == change_of_first.value
    assert rows[3]["snr_db"] == ""


def test_figures_show_what_the_document_has(report: StressReport) -> None:
    hum, others = stress_charts(report)
    assert (hum.key, others.key) == ("stress-mains-hum", "stress-other")
    points = [series for series in hum.series if series.name]
    assert len(points) == 3
    assert [series.y for series in points] == [
        [
            each.scores[place].macro_auprc and each.scores[place].macro_auprc.value
            for each in report.conditions[:2]
        ]
        for place in range(3)
    ]
    assert others.categories == ["lost lead V1"]
    for chart in (hum, others):
        Figure(plotly_figure(chart))


def test_a_large_front_is_drawn_in_part_and_says_so(scorer: StressScorer) -> None:
    report = report_of(scorer, 7)
    assert len(drawn_models(report)) == N_DRAWN
    assert [model.trial for model in drawn_models(report)][:: N_DRAWN - 1] == [0, 6]
    for chart in stress_charts(report):
        assert chart.note.endswith("5 of 7 trials are drawn; the table has all.")


def test_the_page_has_everything_and_says_what_does_not_apply(report: StressReport) -> None:
    charts = stress_charts(report)
    page = stress_page(
        report, charts, dict.fromkeys([chart.key for chart in charts], b"<svg></svg>"), stem="stress"
    )
    for words in (
        *report.verdict[:1],
        "Not applied: limb leads reversed RA–LA (none there).",
        "Order of the trials",
        "stays best",
        "lost lead V1",
    ):
        assert words in page
    assert "SYNTHETIC" not in page.split("<script")[0]


def test_one_trial_is_told_without_an_order_and_a_demo_as_synthetic(scorer: StressScorer) -> None:
    report = report_of(scorer, 1, synthetic=True)
    charts = stress_charts(report)
    assert all(chart.synthetic for chart in charts)
    page = stress_page(
        report, charts, dict.fromkeys([chart.key for chart in charts], b"<svg></svg>"), stem="stress"
    )
    assert "Order of the trials" not in page
    assert "<strong>SYNTHETIC</strong>" in page
    output = io.StringIO()
    Console(file=output, width=80).print(stress_view(report))
    assert "tau" not in output.getvalue()
    assert "SYNTHETIC demo data" in output.getvalue()


def test_the_terminal_has_a_line_for_every_condition_within_80_columns(report: StressReport) -> None:
    output = io.StringIO()
    Console(file=output, width=80).print(stress_view(report))
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith(("mains hum", "lost lead")) for line in lines) == 3
    assert any(line.startswith("Not applied: limb leads reversed RA–LA (none there).") for line in lines)
