"""Several studies side by side: what can be compared, hypervolumes by hand, and all files from a database."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_study import make_worker, open_study
from fake_trainer import FakeTrainer
from report_records import HeldStudy, make_study, make_trial

import space
from reports.errors import ReportError
from reports.evidence import Evidence, gather
from reports.schema import to_json
from reports.studies.comparison import hypervolume_samples
from reports.studies.document import studies_document
from reports.studies.report import studies_contents, write_studies
from reports.studies.schema import StudiesReport
from reports.words import setting_words
from scores.front import Point, Reference, hypervolume

SETTINGS = {"epochs": 6, "batch_size": 128, "learning_rate": 2e-3, "seed": 0}


def evidence(name: str, *scores: tuple[float, int], predicted: bool = False, **changes: Any) -> Evidence:
    """A study with complete trials of these scores and parameters."""
    study = make_study(name=name, **changes)
    trials = [
        make_trial(number, score, parameters, preset="cnn" if number == 0 else None)
        for number, (score, parameters) in enumerate(scores)
    ]
    return gather(HeldStudy(study, trials, predicted=predicted), name)


def compared(*found: Evidence) -> StudiesReport:
    return studies_document(found, n_resamples=50)


def test_hypervolumes_and_the_joint_front_by_hand() -> None:
    report = compared(
        evidence("a", (0.5, 10_000), (0.7, 100_000), (0.4, 50_000)),
        evidence("b", (0.6, 10_000), (0.65, 100_000)),
    )
    # From AUPRC 0 to a million parameters: one unit of log10 each.
    assert (report.reference.macro_auprc, report.reference.parameters) == (0.0, 1e6)
    a, b = report.studies
    assert (a.hypervolume, b.hypervolume) == pytest.approx((0.5 + 0.7, 0.6 + 0.65))
    assert report.joint_hypervolume == pytest.approx(0.6 + 0.7)
    assert (a.share, b.share) == pytest.approx((1.2 / 1.3, 1.25 / 1.3))
    assert [member.on_joint_front for member in a.front] == [False, True]
    assert [member.on_joint_front for member in b.front] == [True, False]
    assert report.verdict[0] == ("Hypervolume, from AUPRC .000 at 1,000,000 parameters: b 1.2500; a 1.2000.")
    assert report.verdict[-1] == "The front of all together has 2 points: 1 of a, 1 of b."
    assert report.differences == []
    assert report.method == "There are no out-of-fold predictions, so there are no intervals."


def test_all_are_measured_from_the_same_corner() -> None:
    small, large = evidence("small", (0.5, 1_000)), evidence("large", (0.5, 2_000_000))
    alone = compared(small, replace(small, study=replace(small.study, name="again")))
    beside = compared(small, large)
    assert alone.reference.parameters == 1e4
    assert beside.reference.parameters == 1e7
    assert beside.studies[0].hypervolume == pytest.approx(0.5 * 4)
    # Scores below count where the studies do not agree on what is of use.
    wanting = evidence("wanting", (0.5, 1_000), settings={**SETTINGS, "at_least": 0.4, "smallest": 10})
    both = replace(wanting, study=replace(wanting.study, name="both"))
    assert compared(wanting, both).reference.macro_auprc == 0.4
    assert compared(wanting, both).studies[0].hypervolume == pytest.approx(0.1)
    assert compared(small, wanting).reference.macro_auprc == 0


def test_what_both_have_is_on_the_joint_front_of_both() -> None:
    report = compared(evidence("a", (0.5, 10_000)), evidence("b", (0.5, 10_000)))
    assert [study.front[0].on_joint_front for study in report.studies] == [True, True]
    assert [study.share for study in report.studies] == [1.0, 1.0]
    assert report.verdict[-1] == (
        "The front of all together has 1 point: 1 of a, 1 of b; what several studies have counts for each."
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_hypervolume_of_a_resample_is_that_of_its_front(seed: int) -> None:
    generator = np.random.default_rng(seed)
    cost = np.sort(generator.integers(100, 2_000_000, 6))
    score_MR = generator.uniform(0.2, 0.9, (6, 5))
    corner = Reference(score=0.4, cost=1e6)
    found = hypervolume_samples(score_MR, [float(each) for each in cost], corner)
    for score_M, area in zip(score_MR.T, found, strict=True):
        points = [
            Point(trial=n, score=float(y), cost=int(p))
            for n, (y, p) in enumerate(zip(score_M, cost, strict=True))
        ]
        assert area == pytest.approx(hypervolume(points, corner), abs=1e-12)


def test_differences_are_paired_over_the_same_patients() -> None:
    first = evidence("first", (0.5, 10_000), (0.7, 100_000), predicted=True)
    twin = replace(first, study=replace(first.study, name="twin"))
    lower = evidence("lower", (0.2, 10_000), (0.3, 100_000), predicted=True)
    report = compared(lower, first, twin)
    same, more = report.differences
    # What is the same in both is the same in every draw of patients.
    assert (same.study, same.other) == ("first", "twin")
    assert (same.difference.value, same.difference.low, same.difference.high) == (0, 0, 0)
    assert not same.distinguishable
    assert (more.study, more.other, more.distinguishable) == ("first", "lower", True)
    volumes = {each.study: each for each in report.studies}
    assert more.difference.value == pytest.approx(volumes["first"].hypervolume - volumes["lower"].hypervolume)
    span = volumes["first"].interval
    assert span is not None
    assert span.low < span.value < span.high
    assert "1,500 records" not in report.method
    assert "50 resamples of" in report.method


def test_only_what_differs_is_listed() -> None:
    changed = {**SETTINGS, "epochs": 12, "max": {"parameters": 250_000}, "space_words": [["CELLS", "x", "y"]]}
    report = compared(
        evidence("a", (0.5, 10_000), settings=SETTINGS),
        evidence("b", (0.6, 10_000), settings=changed, space="paper"),
    )
    assert {each.name: list(each.values) for each in report.settings} == {
        "space": ["wide", "paper"],
        "epochs": [6, 12],
        "max": [None, {"parameters": 250_000}],
    }
    assert compared(evidence("a", (0.5, 10)), evidence("b", (0.5, 10))).settings == []


def test_studies_of_one_space_with_other_axes_say_so() -> None:
    """One of before, which keeps no axes, and one of the same space with others."""
    later = {**SETTINGS, "axes": {**space.FORMER_SPACES["wide"], "dropout": [0.1, 0.5], "kernel": []}}
    report = compared(
        evidence("a", (0.5, 10_000), settings=SETTINGS), evidence("b", (0.6, 10_000), settings=later)
    )
    assert {each.name: list(each.values) for each in report.settings} == {
        "values of dropout": ["0.5", "0.1, 0.5"]
    }


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        ([], "–"),
        (True, "yes"),
        (0.002, "0.002"),
        ({"parameters": 250_000, "memory": 2}, "parameters=250000, memory=2"),
        (["conv", "gru"], "conv, gru"),
        ("inter-patient", "inter-patient"),
    ],
)
def test_values_of_settings_in_words(value: Any, words: str) -> None:
    assert setting_words(value) == words


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "superclass"}, "the one is scored on subclass, the other on superclass"),
        ({"data_fingerprint": "cd" * 32}, "other records .*fingerprint abababab.*fingerprint cdcdcdcd"),
        ({"settings": {"cost": "macs"}}, "the one has parameters as its cost, the other macs"),
        ({"settings": {"split": "intra-patient"}}, "other folds, None and intra-patient"),
        ({"tier_classes": {"subclass": ("A",)}}, "other classes, 23 of them and 1 of them"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ReportError, match=f"studies a and b cannot be compared: .*{message}") as refused:
        compared(evidence("a", (0.5, 10_000)), evidence("b", **changes))
    assert "\n" not in str(refused.value)


def test_studies_without_a_complete_trial_can_be_shown() -> None:
    report = compared(evidence("a"), evidence("b"))
    assert report.verdict == ["No trial of any study is complete yet, so there is nothing to compare."]
    contents = studies_contents(report)
    assert b"No trial is complete yet" in contents["index.html"]
    assert "fronts.png" in contents


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files made from two studies of one database."""
    folder = tmp_path_factory.mktemp("studies")
    database = folder / "search.db"
    for name, n_trials, epochs in (("=first", 3, 2), ("second <b>", 2, 1)):
        store, study = open_study(database, name=name, settings={"epochs": epochs, "seed": 0})
        make_worker(store, study, FakeTrainer(n_epochs=epochs)).work(n_trials)
    write_studies(store, ["=first", "second <b>"], folder / "out")
    return folder / "out"


@pytest.mark.slow
def test_page_data_tables_and_figures_are_written(written: Path) -> None:
    names = {path.name for path in written.iterdir()}
    texts = {"index.html", "studies.json", "studies.schema.json", "studies.csv", "fronts.csv", "settings.csv"}
    figures = {f"{key}.{kind}" for key in ("fronts", "hypervolumes") for kind in ("png", "svg", "pdf")}
    assert names == texts | figures
    document = json.loads((written / "studies.json").read_text(encoding="utf-8"))
    assert [study["study"] for study in document["studies"]] == ["=first", "second <b>"]
    assert document["data"]["synthetic"]
    page = (written / "index.html").read_text(encoding="utf-8")
    assert "<title>SYNTHETIC: " in page
    assert "second &lt;b&gt;" in page
    assert "<b>" not in page.partition('<script type="application/json"')[0]
    for sentence in document["verdict"]:
        assert sentence.replace("<", "&lt;").replace(">", "&gt;") in page


@pytest.mark.slow
def test_tables_have_what_the_document_has(written: Path) -> None:
    document = json.loads((written / "studies.json").read_text(encoding="utf-8"))
    with (written / "studies.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # A spreadsheet would take the first name for a formula.
    assert [row["study"] for row in rows] == ["'=first", "second <b>"]
    assert [float(row["hypervolume"]) for row in rows] == [
        study["hypervolume"] for study in document["studies"]
    ]
    with (written / "fronts.csv").open(encoding="utf-8") as file:
        members = list(csv.DictReader(file))
    assert [int(row["trial"]) for row in members] == [
        member["trial"] for study in document["studies"] for member in study["front"]
    ]
    settings = (written / "settings.csv").read_text(encoding="utf-8").splitlines()
    assert settings == ["setting,'=first,second <b>", "epochs,2,1"]


@pytest.mark.slow
def test_the_schema_describes_the_document(written: Path) -> None:
    schema = json.loads((written / "studies.schema.json").read_text(encoding="utf-8"))
    document = json.loads((written / "studies.json").read_text(encoding="utf-8"))
    assert set(schema["properties"]) == set(document) == set(to_json(compared(evidence("a"), evidence("b"))))
    assert all("description" in field for field in schema["properties"].values())
