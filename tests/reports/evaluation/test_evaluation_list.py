"""Evaluations in a list, and the published results beside them."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console
from storage_samples import evaluation_record, study_record

from reports.evaluation.overview import (
    evaluation_table,
    evaluations_document,
    evaluations_words,
)
from reports.parts import opening_words, sealed_fold_words
from reports.published import ANCHORS, JAFARI, TABLE_2
from storage import SealedFoldOpeningRecord

AT = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
EVALUATIONS = [
    replace(evaluation_record(), id=1, at=AT),
    replace(evaluation_record(), id=2, at=AT, model="preset cnn-gru-bilstm-lstm-jafari", trial=None),
    replace(
        evaluation_record(), id=13, at=AT, records="sph", external=True, label_tier="severity-3", metrics={}
    ),
]
OPENING = SealedFoldOpeningRecord(study="first", trial=3, preset=None, data_fingerprint="ab", metrics={})


def text_of(renderable: object, width: int = 80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


@pytest.mark.parametrize("width", [80, 60])
def test_every_evaluation_is_a_row_that_fits(width: int) -> None:
    text = text_of(evaluation_table(study_record(), EVALUATIONS, [OPENING]), width)
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())
    for fragment in ("trial 3", "1-8", "fold 10", "superclass", ".500", "sph", "05-04 12:30", "opened once"):
        assert fragment in words


def test_without_an_evaluation_it_is_said() -> None:
    text = " ".join(text_of(evaluation_table(study_record(), [], [])).split())
    assert "Study first has no evaluation yet" in text
    assert "never been opened" in text
    assert evaluations_words([]) == ""
    assert (
        sealed_fold_words([OPENING] * 3, "first") == "The test fold has been opened 3 times for this study."
    )
    elsewhere = replace(OPENING, study="second")
    assert sealed_fold_words([elsewhere, OPENING, elsewhere], "first") == (
        "The test fold has been opened once for this study and 2 times for another study of the same data."
    )
    assert sealed_fold_words([elsewhere], "first") == (
        "The test fold has been opened once for another study of the same data."
    )
    now = "this time included"
    assert sealed_fold_words([OPENING], "first", now) == (
        "The test fold has been opened once for this study, this time included."
    )
    assert sealed_fold_words([elsewhere, OPENING], "first", now).endswith(
        "once for this study, this time included, and once for another study of the same data."
    )
    assert opening_words(elsewhere, "first") == "trial 3 of study second"


def test_the_document_has_what_is_undefined_as_null() -> None:
    found = evaluations_document(study_record(), EVALUATIONS, [OPENING])
    assert [each["id"] for each in found["evaluations"]] == [1, 2, 13]
    assert found["evaluations"][0]["metrics"] == {
        "superclass_macro_auprc": 0.5,
        "superclass_macro_auroc": None,
    }
    assert found["openings"] == 1


def test_the_status_names_the_last_ones() -> None:
    many = [replace(EVALUATIONS[0], id=number) for number in range(1, 6)]
    assert evaluations_words(many) == (
        "5 evaluations: 3 (trial 3, fold 10), 4 (trial 3, fold 10), 5 (trial 3, fold 10) and 2 before; "
        "all with search evaluate --list"
    )


def test_table_2_of_the_seed_is_there_in_full() -> None:
    seed = {anchor.name: anchor for anchor in ANCHORS if anchor.source == JAFARI}
    assert len(seed) == 6
    assert all(tuple(anchor.metrics) == TABLE_2 for anchor in seed.values())
    # The abstract's four numbers of the BiLSTM, and the column that the CNN leads.
    found = seed["CNN-BiLSTM"].metrics
    assert (found["hamming_loss"], found["macro_auprc"]) == (0.0338, 0.4715)
    assert (found["micro_f1"], found["subset_accuracy"]) == (0.6979, 0.5723)
    assert max(seed.values(), key=lambda anchor: anchor.metrics["macro_precision"]).name == "CNN"
    assert seed["CNN"].metrics["macro_precision"] == 0.5630
    # F1 is the harmonic mean of its parts where cells are pooled, to rounding.
    for anchor in seed.values():
        p, r = anchor.metrics["micro_precision"], anchor.metrics["micro_recall"]
        assert anchor.metrics["micro_f1"] == pytest.approx(2 * p * r / (p + r), abs=2e-4)
        assert anchor.metrics["macro_auprc"] == anchor.macro_auprc
