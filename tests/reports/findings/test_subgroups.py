"""Scores by sex and age: those of scikit-learn on the records of a group, over classes that all have."""

from typing import Any

import numpy as np
import pytest
import sklearn.metrics as reference
from held_out_samples import CLASSES, held_out, several_labels

from reports.evaluation.document import evaluation_document
from reports.evaluation.schema import RecordSetScores
from reports.evaluation.scores import record_set_scores
from reports.findings.estimates import estimate
from reports.schema import Subgroup
from scores.bootstrap import DIFFERENCE, Sampled

RECORDS = several_labels()
COMMON = ["NORM", "MI", "STTC"]
"""Classes with five positives in every group; RVH has 16 of 400, SEHYP none."""


@pytest.fixture(scope="module")
def scored() -> RecordSetScores:
    return record_set_scores(RECORDS, key="fold-10", n_resamples=200)


def group(scored: RecordSetScores, name: str) -> Subgroup:
    (found,) = (each for each in scored.subgroups if each.group == name)
    return found


@pytest.mark.slow
def test_groups_are_those_that_have_records_and_unknown_ones_are_counted(scored: RecordSetScores) -> None:
    found = [(each.attribute, each.group, each.n_records) for each in scored.subgroups]
    assert found == [
        ("sex", "female", 196),
        ("sex", "male", 196),
        ("sex", "unknown", 8),
        ("age", "under 40", 160),
        ("age", "40 to 59", 80),
        ("age", "60 to 79", 80),
        ("age", "80 and over", 80),
    ]
    assert group(scored, "unknown").models == {}
    assert group(scored, "under 40").n_patients == 80


def test_scores_are_means_over_the_classes_that_every_group_can_score(scored: RecordSetScores) -> None:
    rows = RECORDS.age_N >= 80
    columns = [CLASSES.index(name) for name in COMMON]
    y_NC = RECORDS.targets_NC[rows][:, columns]
    p_NC = RECORDS.outputs["preset cnn"].probabilities_NC[0][rows][:, columns]
    d_NC = p_NC >= RECORDS.outputs["preset cnn"].threshold_C[0][columns]
    found = group(scored, "80 and over")
    assert found.classes == COMMON
    scores = {name: each.value for name, each in found.models["preset cnn"].scores.items()}
    assert scores == pytest.approx(
        {
            "macro_auroc": reference.roc_auc_score(y_NC, p_NC),
            "macro_auprc": reference.average_precision_score(y_NC, p_NC),
            "macro_recall": reference.recall_score(y_NC, d_NC, average="macro"),
            "macro_specificity": reference.recall_score(~y_NC, ~d_NC, average="macro"),
        }
    )


def test_a_difference_is_to_all_others_of_known_sex(scored: RecordSetScores) -> None:
    female, male = (group(scored, name).models["trial 3"] for name in ("female", "male"))
    assert female.differences["macro_auroc"].value == pytest.approx(
        female.scores["macro_auroc"].value - male.scores["macro_auroc"].value
    )
    assert female.differences["macro_auroc"].value == pytest.approx(-male.differences["macro_auroc"].value)
    assert female.p_adjusted["macro_auroc"] == pytest.approx(male.p_adjusted["macro_auroc"])


def test_an_interval_ends_where_the_statistic_does_whatever_its_resamples_are() -> None:
    """Centred, the quantiles .021 and .059 of .02, .04 and .06 lie .019 below and above the value."""
    sample_R = np.array([0.02, 0.04, 0.06])
    difference = estimate(Sampled(np.float64(0.01), sample_R, bounds=DIFFERENCE))
    assert (difference.low, difference.high) == pytest.approx((-0.009, 0.029))
    assert estimate(Sampled(np.float64(0.01), sample_R)).low == 0


def one_sided(**changes: Any) -> RecordSetScores:
    """Probabilities of women are noise."""
    noise = np.random.default_rng(5).random(RECORDS.targets_NC.shape)
    woman_N1 = (RECORDS.sex_N == 1)[:, None]
    outputs = {
        name: type(each)(
            probabilities_NC=tuple(np.where(woman_N1, noise, p_NC) for p_NC in each.probabilities_NC),
            threshold_C=each.threshold_C,
        )
        for name, each in RECORDS.outputs.items()
    }
    return record_set_scores(several_labels(outputs=outputs, **changes), key="a", n_resamples=200)


def test_a_model_that_fails_a_group_is_said_to() -> None:
    found = group(one_sided(), "female").models["trial 3"]
    assert found.differences["macro_auroc"].high < 0
    assert found.p_adjusted["macro_auroc"] < 0.05


@pytest.mark.slow
def test_the_verdict_names_the_group_that_is_served_worst() -> None:
    document = evaluation_document(held_out(RECORDS), n_resamples=100)
    assert any(line.startswith("By sex it serves") for line in document.verdict)
    assert any(line.startswith("By age it serves") for line in document.verdict)


def test_groups_that_are_small_are_counted_only() -> None:
    sex_N = np.where(np.arange(400) < 20, 1.0, 0.0)
    found = record_set_scores(several_labels(sex_N=sex_N, age_N=None), key="a", n_resamples=10)
    assert [(each.group, each.n_records, each.models) for each in found.subgroups] == [
        ("female", 20, {}),
        ("male", 380, {}),
    ]


def test_large_devices_are_groups_and_the_small_ones_are_one_together() -> None:
    device_N = np.array(["A"] * 200 + ["B"] * 100 + ["C"] * 20 + ["D"] * 20 + [""] * 60)
    site_N = np.full(400, "only")
    records = several_labels(sex_N=None, age_N=None, groups_N={"device": device_N, "site": site_N})
    found = record_set_scores(records, key="a", n_resamples=10).subgroups
    assert [(each.attribute, each.group, each.n_records, bool(each.models)) for each in found] == [
        ("device", "A", 200, True),
        ("device", "B", 100, True),
        ("device", "2 others", 40, True),
        ("device", "unknown", 60, False),
    ]


@pytest.mark.slow
def test_no_more_devices_than_six_are_compared_on_their_own() -> None:
    device_N = np.array([f"device {number // 50}" for number in range(400)])
    records = several_labels(sex_N=None, age_N=None, groups_N={"device": device_N})
    found = record_set_scores(records, key="a", n_resamples=10).subgroups
    assert [each.group for each in found] == [*(f"device {number}" for number in range(6)), "2 others"]


def test_without_sex_and_age_there_are_no_groups() -> None:
    found = record_set_scores(several_labels(sex_N=None, age_N=None), key="a", n_resamples=10)
    assert found.subgroups == []
