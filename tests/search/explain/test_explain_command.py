"""`python -m search explain`: sheets, their layout, and every mistake in one line."""

import json
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from command_line import call
from explained_model import SMALL, make_network, synthesise, with_recurrence, write_networks
from real_records import ASSETS

from search.data.features.names import FEATURES
from search.data.signals.leads import LEADS
from search.explain.sheet import GAINS, rows_of, segments_of
from search.explain.truth import find_truth
from search.export.folder import read_folder

RECORD = ASSETS / "ptb-xl" / "records100" / "00000" / "00001_lr"
RECORD_500 = ASSETS / "ptb-xl" / "records500" / "00000" / "00001_hr"


@dataclass(frozen=True, kw_only=True)
class Made:
    """Results of one call."""

    out: str
    document: list[dict]
    folder: Path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    architecture = with_recurrence()
    models = [make_network(architecture, seed=seed) for seed in range(2)]
    return write_networks(tmp_path_factory.mktemp("model"), models, architecture)


@pytest.fixture(scope="module")
def two_leads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = make_network(n_leads=2)
    return write_networks(tmp_path_factory.mktemp("two"), [network], leads=("MLII", "V1"), synthetic=False)


@pytest.fixture(scope="module")
def explained(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two classes of a record by integrated gradients, as pages in a folder."""
    folder = tmp_path_factory.mktemp("out")
    arguments = ("--class", "WPW", "--class", "NORM", "--method", "ig", "--out", str(folder))
    ended = call("explain", str(model), str(RECORD), *arguments, "--format", "html", "--json")
    assert (ended.status, ended.err) == (0, "")
    return Made(out=ended.out, document=json.loads(ended.out), folder=folder)


@pytest.mark.slow
def test_the_document_has_the_map_and_what_the_model_says(explained: Made) -> None:
    wpw, norm = explained.document
    assert (wpw["class"], norm["class"]) == ("WPW", "NORM")
    assert wpw["called"] == (wpw["probability"] >= 0.5)
    assert norm["threshold"] is None
    assert not norm["called"]
    assert list(wpw["attributions"]) == list(LEADS)
    total = sum(sum(values) for values in wpw["attributions"].values())
    # Values are written with six digits of each of 12,000.
    assert total == pytest.approx(wpw["completeness"]["sum"], abs=1e-3)
    assert wpw["completeness"]["is_complete"]
    assert sum(wpw["lead_shares"].values()) == pytest.approx(1, abs=1e-4)
    assert [len(gate) for gate in wpw["gates"]] == [8, 8]
    assert len(wpw["attention"]["attention pooling"]) == 1000


def test_statements_of_the_record_are_found_in_its_data_set(explained: Made) -> None:
    (first, _) = explained.document
    assert first["statements"] == ["NORM", "LVOLT", "SR"]
    # The tier of the model has other classes than PTB-XL's: what is true of them is not known.
    assert first["true"] is None


def test_a_page_needs_no_other_file_and_says_synthetic(explained: Made) -> None:
    paths = sorted(path.name for path in explained.folder.iterdir())
    assert paths == ["00001_lr-NORM-ig.html", "00001_lr-WPW-ig.html"]
    text = (explained.folder / paths[0]).read_text(encoding="utf-8")
    assert "SYNTHETIC" in text
    assert "map of the model, not of the disease" in text
    assert text.count("<svg") == 2
    assert not re.search(r'(?:src|href)="(?!#|data:)', text)


@pytest.mark.slow
def test_sheets_are_a4_at_true_scale(model: Path, tmp_path: Path) -> None:
    for kind in ("pdf", "svg", "png"):
        out = tmp_path / f"sheet.{kind}"
        ended = call("explain", str(model), str(RECORD_500), "--class", "WPW", "--out", str(out))
        assert (ended.status, ended.err) == (0, "")
        content = out.read_bytes()
        if kind == "pdf":
            box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+)", content)
            assert box is not None
            # Points of 1/72 inch.
            assert [float(side) * 25.4 / 72 for side in box.groups()] == pytest.approx([297, 210], abs=0.01)
        elif kind == "png":
            width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
            assert width / height == pytest.approx(297 / 210, rel=1e-3)


def test_twelve_leads_stand_in_three_rows_of_four_above_a_rhythm_strip() -> None:
    rows = segments_of(LEADS, 10.0, all_leads=False)
    names = [[LEADS[segment.lead] for segment in row] for row in rows]
    assert names == [["I", "aVR", "V1", "V4"], ["II", "aVL", "V2", "V5"], ["III", "aVF", "V3", "V6"], ["II"]]
    assert [(s.start_s, s.end_s) for s in rows[0]] == [(0, 2.5), (2.5, 5), (5, 7.5), (7.5, 10)]
    # 2.5 s at 25 mm/s.
    assert np.diff([segment.left_mm for segment in rows[0]]).tolist() == [62.5, 62.5, 62.5]


def test_other_leads_stand_in_rows_and_long_windows_in_lines_of_ten_seconds() -> None:
    assert [[s.lead for s in row] for row in segments_of(("MLII", "V1"), 10.0, all_leads=False)] == [[0], [1]]
    rows = segments_of(LEADS, 25.0, all_leads=False)
    assert len(rows) == 36
    assert [(row[0].start_s, row[0].end_s) for row in rows[:3]] == [(0, 10), (10, 20), (20, 25)]
    assert len(segments_of(LEADS, 10.0, all_leads=True)) == 12


def test_the_gain_is_halved_where_the_rows_would_not_fit() -> None:
    rows = segments_of(LEADS, 10.0, all_leads=False)
    small, large = np.zeros((12, 1000)), np.zeros((12, 1000))
    small[:, 100], large[:, ::50] = 1.0, 4.0
    needed, gain = rows_of(rows, small, 100)
    assert gain == GAINS[0]
    # Above the line in the first quarter 1 mV and the name of the lead, below it the least.
    assert needed[0] == (14.5, 5.0)
    assert rows_of(rows, large, 100)[1] == GAINS[1]


def test_a_long_record_is_explained_in_the_window_of_highest_probability(two_leads: Path) -> None:
    record = str(ASSETS / "mit-bih" / "223")
    best = call("explain", str(two_leads), record, "--class", "WPW", "--json").document()[0]
    assert (best["window"]["of"], best["window"]["of_highest_probability"]) == (18, True)
    number = best["window"]["number"]
    assert best["window"]["start_s"] == pytest.approx(10 * (number - 1), abs=0.1)
    assert not best["synthetic"]
    other = 1 if number != 1 else 2
    asked = call("explain", str(two_leads), record, "--class", "WPW", "--window", str(other), "--json")
    (found,) = asked.document()
    assert found["window"]["number"] == other
    assert not found["window"]["of_highest_probability"]
    assert found["probability"] <= best["probability"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--class", "LBBB"), "has no such class of the tier all; give one of AFIB, CLBBB"),
        (("--class", "wpw"), "did you mean WPW?"),
        (("--class", "CD"), "a class of the tier superclass"),
        (("--window", "2"), "has only window 1"),
        (("--window", "0"), "has only window 1"),
        (("--class", "WPW", "--class", "NORM", "--out", "one.png"), "is one file for 2 sheets"),
        (("--method", "lime"), "invalid choice"),
        (("--rate", "-1"), "--rate is a number of Hz above 0"),
        (("--unit", "furlong"), "--unit is mV, uV or V"),
        (("--out", "sheet.jpg"), "sheet.jpg is a file; give a folder, or a file of kind .png"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(model: Path, arguments: tuple[str, ...], words: str) -> None:
    ended = call("explain", str(model), str(RECORD), *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.count("\n") == 1
    assert words in ended.err


def test_a_wrong_folder_or_record_is_told_in_one_line(model: Path, tmp_path: Path) -> None:
    short = tmp_path / "limbs.csv"
    x_LT = synthesise("NORM", 1)[:2] / 1000
    np.savetxt(short, x_LT.T, delimiter=",", header="I,II", comments="")
    for arguments, words in (
        ((str(tmp_path), str(RECORD)), "has no model.onnx"),
        ((str(model), str(tmp_path / "none")), "does not exist"),
        ((str(model), str(short), "--unit", "mV", "--rate", "100"), "lacks leads V1"),
    ):
        ended = call("explain", *arguments)
        assert ended.status in (1, 2)
        assert ended.out == ""
        assert ended.err.count("\n") == 1
        assert words in ended.err


def test_captum_that_is_missing_is_told_in_one_line(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "captum", None)
    ended = call("explain", str(model), str(RECORD))
    assert (ended.status, ended.err) == (2, "search: explain needs captum: pip install '.[explain]'\n")


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    folder = write_networks(tmp_path / "model", [make_network(), make_network(seed=1)], SMALL)
    other = write_networks(tmp_path / "other", [make_network()], SMALL)
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    ended = call("explain", str(folder), str(RECORD))
    assert ended.status == 1
    assert "the weights are of another model" in ended.err


def test_the_true_label_is_that_of_the_tables_with_the_fold_of_the_record(model: Path) -> None:
    labels = read_folder(model).labels
    names = ("CD", "HYP", "MI", "NORM", "STTC")
    first = labels.tiers[0]
    tier = replace(
        first, name="superclass", classes=tuple(replace(first.classes[0], name=name) for name in names)
    )
    trained_on_it = replace(labels, model=replace(labels.model, data_name="ptb-xl"), tiers=(tier,))
    truth = find_truth(RECORD.with_suffix(".hea"), trained_on_it)
    assert truth is not None
    assert truth.classes == {"NORM"}
    assert truth.fold_words == "strat_fold 3: the model may have been trained on this record"
    of_another = find_truth(RECORD.with_suffix(".hea"), replace(labels, tiers=(tier,)))
    assert of_another is not None
    assert of_another.fold_words is None
    assert find_truth(ASSETS / "mit-bih" / "223.hea", labels) is None


@pytest.mark.slow
def test_a_model_that_asks_for_the_person_is_told_as_predict_tells_it(tmp_path: Path) -> None:
    """A record of PTB-XL whose header says nothing; the same record with comments; the command line first."""
    architecture = replace(SMALL, features=True)
    network = make_network(architecture, n_features=2 * len(FEATURES))
    asking = write_networks(tmp_path / "asking", [network], architecture)
    folder = tmp_path / "some" / "where" / "deep"  # labels are looked for in the folders above
    folder.mkdir(parents=True)
    for suffix in (".hea", ".dat"):
        shutil.copy(RECORD.with_suffix(suffix), folder)
    told = folder / RECORD.with_suffix(".hea").name
    with told.open("a", encoding="utf-8") as file:
        file.write("#Age: 54\n#Sex: Male\n")

    def said(record: Path, *options: str) -> tuple[float, object, object]:
        ended = call("explain", str(asking), str(record), "--class", "WPW", "--json", *options)
        (found,) = ended.document()
        return found["probability"], found["age"], found["sex"]

    unknown, by_header = said(RECORD), said(told)
    assert unknown[1:] == (None, None)
    assert by_header[1:] == (54, "male")
    assert said(RECORD, "--age", "54", "--sex", "male") == by_header
    young = said(told, "--age", "2")  # other features are far off, and clipped
    assert young[1:] == (2, "male")
    assert len({unknown[0], by_header[0], young[0]}) == 3
    (predicted,) = call("predict", str(asking), str(told), "--json").document()["records"]
    wpw = predicted["tiers"]["all"]["probability"]["WPW"]
    # The graph computes in float32.
    assert by_header[0] == pytest.approx(wpw, abs=1e-5)


def test_a_person_is_refused_where_the_model_does_not_ask(model: Path) -> None:
    ended = call("explain", str(model), str(RECORD), "--age", "54")
    assert ended.status == 2
    assert ended.err == "search: --age: the model uses neither age nor sex; leave --age out\n"
