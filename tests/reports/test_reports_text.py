"""Tables, status and documents: exact text at 80 columns, and what the text must not do."""

import csv
import io
import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_records import (
    SUBCLASSES,
    HeldStudy,
    failed_trial,
    large_study,
    make_architecture,
    make_study,
    make_trial,
    pruned_trial,
    small_study,
)
from rich.cells import cell_len
from rich.console import Console, RenderableType

import space
from reports.cells import FORMULA_STARTS, markdown_table
from reports.csv_and_latex import trials_csv as csv_of_report
from reports.document import report_document
from reports.evidence import gather, tiers_reached
from reports.numbers import bytes_words, digits_words, latency_words, parameter_words
from reports.schema import read_report, report_text, to_json_text
from reports.status import front_table, status, status_view
from reports.words import direction, ending_words, recurrent_kind, stack_words, width_words
from scores.front import front_trials
from scores.over_folds import fold_mean, standard_deviation, standard_error
from storage.records import StudyRecord, TrialRecord

GOLDEN = Path(__file__).parents[1] / "golden"
HEADER = "# made by: UPDATE_GOLDEN=1 pytest tests/reports/test_reports_text.py\n"
SYNTHETIC_STUDY = make_study(
    name="demo",
    target="superclass",
    data_name="demo",
    data_version="SYNTHETIC",
    synthetic=True,
    n_records=1080,
    n_patients=1000,
)


def terminal_text(view: RenderableType) -> str:
    """Text of a terminal of 80 columns, without colours and spaces at line ends."""
    console = Console(width=80, file=io.StringIO(), color_system=None, legacy_windows=False)
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return "".join(line.rstrip() + "\n" for line in console.file.getvalue().splitlines())


def table_of(study: StudyRecord, trials: list[TrialRecord]) -> str:
    return terminal_text(front_table(study, trials))


def status_of(study: StudyRecord, trials: list[TrialRecord]) -> str:
    return terminal_text(status_view(status(HeldStudy(study, trials), study.name)))


def json_of(study: StudyRecord, trials: list[TrialRecord]) -> str:
    return report_text(report_document(gather(HeldStudy(study, trials), study.name), n_resamples=50))


def trials_csv(study: StudyRecord, trials: list[TrialRecord]) -> str:
    return csv_of_report(read_report(json_of(study, trials)))


def status_json_of(study: StudyRecord, trials: list[TrialRecord]) -> str:
    return to_json_text(status(HeldStudy(study, trials), study.name).to_json())


EXAMPLE = small_study()
DEMO = (SYNTHETIC_STUDY, [make_trial(0, 0.61, 43_210), make_trial(1, state="running")])


@pytest.mark.parametrize(
    ("name", "make", "content"),
    [
        ("front_table", table_of, EXAMPLE),
        ("front_table_synthetic", table_of, DEMO),
        ("front_table_empty", table_of, (make_study(), [pruned_trial(0, [0.3])])),
        ("status", status_of, EXAMPLE),
        ("status_synthetic", status_of, DEMO),
        ("status_empty", status_of, (make_study(), [])),
        ("status_json", status_json_of, EXAMPLE),
        ("json", json_of, EXAMPLE),
        ("trials_csv", trials_csv, EXAMPLE),
    ],
)
def test_text_is_as_agreed(
    name: str,
    make: Callable[[StudyRecord, list[TrialRecord]], str],
    content: tuple[StudyRecord, list[TrialRecord]],
) -> None:
    text = make(*content)
    path = GOLDEN / f"report_{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(HEADER + text, encoding="utf-8", newline="\n")
    assert path.read_text(encoding="utf-8") == HEADER + text


@pytest.mark.parametrize("content", [EXAMPLE, DEMO, large_study(60)])
def test_terminal_text_keeps_within_80_columns_and_cuts_nothing(
    content: tuple[StudyRecord, list[TrialRecord]],
) -> None:
    for text in (table_of(*content), status_of(*content)):
        assert max(cell_len(line) for line in text.splitlines()) <= 80
        assert "…" not in text
    words = "".join(table_of(*content).split())
    for member in front_trials(content[1]):
        assert "".join(member.description.split())[-20:] in words or member.preset


def test_markup_in_names_is_text() -> None:
    study, trials = make_study(name="[red]x[/red]"), [make_trial(0, 0.4, description="[bold] CNN [/nothing]")]
    assert "study [red]x[/red]," in table_of(study, trials)
    assert "[bold] CNN [/nothing]" in status_of(study, trials)


@pytest.mark.parametrize("make", [table_of, status_of, trials_csv, json_of, status_json_of])
def test_synthetic_is_said_of_the_demo_and_of_nothing_else(
    make: Callable[[StudyRecord, list[TrialRecord]], str],
) -> None:
    words = make(*DEMO)
    assert "SYNTHETIC" in words
    assert "SYNTHETIC" not in make(*EXAMPLE).replace('"synthetic"', "")


def test_status_json_has_the_promised_keys() -> None:
    document = status(HeldStudy(*EXAMPLE), "example").to_json()
    states = ["complete", "pruned", "failed", "running", "waiting", "interrupted"]
    outside = ["refused", "not_trained_here"]
    assert list(document) == [
        "study",
        "target",
        "space",
        "data",
        "objective",
        "cost",
        "synthetic",
        *states,
        *outside,
        "front",
        "next_trial",
        "training_noise",
        "learning",
        "devices",
        "evaluations",
    ]
    assert [document[state] for state in states] == [4, 1, 1, 1, 1, 0]
    assert [list(member) for member in document["front"]] == [
        ["trial", "macro_auprc", "parameters", "cost", "description", "trainings"]
    ] * 3


def test_undefined_numbers_are_null_and_the_document_is_strict_json() -> None:
    trial = make_trial(0, 0.4, fold_scores={1: math.nan, 2: 0.5}, tier_scores={"superclass": math.nan})
    study = make_study(settings={"clip": math.inf, "nested": {"rates": (1.0, math.nan)}})
    document = json.loads(json_of(study, [trial]), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert document["trials"][0]["fold_scores"] == {"1": None, "2": 0.5}
    assert document["trials"][0]["standard_error"] is None
    assert document["settings"] == {"clip": None, "nested": {"rates": [1.0, None]}}
    assert document["tiers"][1]["front"] == []


def test_tiers_come_from_many_classes_to_few_after_the_target() -> None:
    study = make_study(tier_classes={"all": SUBCLASSES * 3, "subclass": SUBCLASSES, "superclass": ("A", "B")})
    trials = [
        make_trial(0, 0.4, tier_scores={"superclass": 0.6, "unheard-of": 0.5, "all": 0.3, "subclass": 0.4})
    ]
    assert tiers_reached(study, trials) == ["subclass", "all", "superclass", "unheard-of"]


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_one_row_per_trial_in_any_state_with_every_digit() -> None:
    study, trials = EXAMPLE
    rows = read_csv(trials_csv(study, list(reversed(trials))))
    assert [int(row["trial"]) for row in rows] == list(range(8))
    assert [row["state"] for row in rows] == [trial.state for trial in trials]
    assert float(rows[2]["macro_auprc_fold_1"]) == trials[2].fold_scores[1]
    assert rows[3]["architecture_width"] == "0.5"
    assert (rows[5]["recurrent_2_cell"], rows[5]["recurrent_2_bidirectional"]) == ("lstm", "true")
    assert rows[4]["reason"].startswith("after 3 folds")
    assert rows[5]["reason"] == "diverged: loss is NaN in fold 2, epoch 3"


def test_csv_of_a_study_without_trials_is_a_heading() -> None:
    assert trials_csv(make_study(), []).startswith("study,synthetic,trial,state,")
    assert read_csv(trials_csv(make_study(), [])) == []


@given(st.text(st.sampled_from("=+-@\t\r\n =,\"';x1"), max_size=12))
def test_no_cell_of_text_starts_a_formula(text: str) -> None:
    trials = [make_trial(0, 0.4, preset=text), failed_trial(1, message=text)]
    trials[1] = make_trial(1, description=text, label_tier=text, architecture=make_architecture(loss=text))
    rows = read_csv(trials_csv(make_study(name=text), trials))
    assert len(rows) == 2
    for row in rows:
        for column, cell in row.items():
            assert not cell.lstrip(" ").startswith(FORMULA_STARTS), column


def test_a_negative_number_stays_a_number() -> None:
    trial = make_trial(0, 0.4, architecture=make_architecture(exponent=-0.5))
    assert read_csv(trials_csv(make_study(), [trial]))[0]["architecture_exponent"] == "-0.5"


def test_spread_over_folds_worked_by_hand() -> None:
    trial = make_trial(0, 0.4, fold_scores={2: 0.3, 1: 0.1, 3: 0.5, 4: math.nan})
    assert fold_mean(trial) == pytest.approx(0.3)
    assert standard_deviation(trial) == pytest.approx(0.2)
    assert standard_error(trial) == pytest.approx(0.2 / math.sqrt(3))
    alone = make_trial(0, 0.4, fold_scores={1: 0.4})
    assert standard_error(alone) is None
    assert "No standard error" in table_of(make_study(), [alone])
    assert fold_mean(make_trial(0, 0.4, fold_scores={})) is None


@pytest.mark.parametrize(
    ("stack", "kind", "ways", "words"),
    [
        ((), "none", "none", "CNN"),
        ((("gru", False),), "GRU", "forward", "GRU(64)"),
        ((("lstm", True),), "LSTM", "bidirectional", "BiLSTM(64)"),
        ((("lstm", False), ("lstm", True)), "LSTM", "mixed", "LSTM→BiLSTM(64)"),
        ((("gru", True), ("lstm", True)), "mixed", "bidirectional", "BiGRU→BiLSTM(64)"),
        ((("mamba", False),), "MAMBA", "forward", "MAMBA(64)"),
    ],
)
def test_architectures_in_words(
    stack: tuple[tuple[str, bool], ...], kind: str, ways: str, words: str
) -> None:
    architecture = make_architecture(stack, hidden_size=64, gate=16)
    assert recurrent_kind(architecture) == kind
    assert direction(architecture) == ways
    assert stack_words(architecture) == words
    assert width_words(architecture) == "dense 512, gate/16"


@pytest.mark.parametrize(
    ("name", "kind", "ways", "words"),
    [
        ("cnn", "none", "none", "CNN"),
        ("cnn-bilstm", "LSTM", "bidirectional", "BiLSTM(128)"),
        ("cnn-gru-bilstm-lstm", "mixed", "mixed", "GRU→BiLSTM→LSTM(128)"),
    ],
)
def test_architectures_of_the_space_are_understood(name: str, kind: str, ways: str, words: str) -> None:
    architecture = space.preset(name, "subclass").to_dict()
    assert (recurrent_kind(architecture), direction(architecture)) == (kind, ways)
    assert stack_words(architecture) == words
    row = read_csv(trials_csv(make_study(), [make_trial(0, 0.4, architecture=architecture)]))[0]
    assert row["n_recurrent_layers"] == str(len(architecture["recurrent"]))
    assert {f"architecture_{key}" for key in architecture} - set(row) == {
        "architecture_recurrent",
        "architecture_label_tier",
    }


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        *((950, "950"), (999.96, "1 k"), (30_000, "30 k"), (528_983, "529 k"), (999_960, "1 M")),
        *((1_500_000, "1.5 M"), (2e9, "2 G")),
    ],
)
def test_parameters_in_words(parameters: float, words: str) -> None:
    assert parameter_words(parameters) == words


def test_no_number_is_printed_with_an_exponent() -> None:
    assert [digits_words(value) for value in (0, 0.01234, 1.0, 999.4, 999.5, 86_449)] == (
        ["0", "0.0123", "1", "999", "1,000", "86,400"]
    )
    assert [digits_words(99.6, 2), digits_words(86_400, 4)] == ["100", "86,400"]
    assert [latency_words(each) for each in (999.4, 999.6, 999_400, 999_600, 2e9)] == (
        ["999 µs", "1 ms", "999 ms", "1 s", "2,000 s"]
    )
    assert [bytes_words(1024 * each) for each in (1.5, 999.4, 999.6, 1023, 1024)] == (
        ["1.5 KiB", "999 KiB", "1,000 KiB", "1,023 KiB", "1 MiB"]
    )


def test_foreign_text_in_a_markdown_table_is_one_cell() -> None:
    lines = markdown_table(
        ("class", "score"), [("CLBBB|LBBB", ".691 [.672, .710]"), ("[AF]\n", "–")], n_texts=1
    )
    assert lines == [
        "| class | score |",
        "| --- | ---: |",
        r"| CLBBB\|LBBB | .691 [.672, .710] |",
        r"| \[AF\] | – |",
    ]


def test_why_a_trial_ended_is_one_line() -> None:
    assert ending_words(failed_trial(0, message="out\nof   memory")) == "diverged: out of memory"
    assert ending_words(make_trial(0, 0.4)) == ""


def test_what_a_study_learns_from_is_said_by_status_and_page() -> None:
    study, trials = EXAMPLE
    earlier = {
        "artifact": "a",
        "words": ["evening: target superclass, ptb-xl, 5 epochs, 12 finished trials"],
        "presets_not_queued": {"cnn-lstm": "evening predicts .50, and .70 with no more parameters"},
    }
    learning = replace(study, settings={**study.settings, "earlier_studies": earlier})
    words = " ".join(status_of(learning, trials).split())
    assert "Learns from evening: target superclass, ptb-xl, 5 epochs, 12 finished trials" in words
    assert "Preset cnn-lstm is not queued: evening predicts .50" in words
    assert "Learns from" not in status_of(study, trials)
