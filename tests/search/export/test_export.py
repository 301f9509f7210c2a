"""python -m search export: a study's models as folders; what is in them agrees with the study."""

import json
import re
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from exported_model import write_model
from ptbxl_waveforms import write_data_set
from report_records import make_study

import search.export
import space
import storage
from reports.ensembles.study import Ensemble, Member
from reports.findings.operating_points import OPERATING_POINT_WORDS
from reports.numbers import score_words
from reports.schema import Estimate, Subgroup
from scores.bootstrap import Interval
from scores.operating_points import ALARM_RATE
from search.commands.main import main
from search.data.dataset import load_development
from search.data.labels.tiers import ORDINAL_TIERS, PTBXL_TIERS
from search.data.readers import cinc, sph
from search.errors import DataError, UsageError
from search.export.card import Evidence, MacroScores, model_card
from search.export.folder import (
    CARD,
    EXAMPLE,
    GRAPH,
    GRAPH_INT8,
    LABELS,
    NOVELTY,
    POLICIES,
    PREPROCESSING,
    WEIGHTS,
    ModelFolder,
    read_folder,
)
from search.export.int8 import check_measurable
from search.export.labels import Fold, TierMeaning, tier_labels
from search.export.runtime import feeds, session
from search.export.source import average_of_folds
from search.export.weights import read_members
from search.training.model_file import mean_probabilities

pytestmark = pytest.mark.usefixtures("same_threads")

CODES = ("{'NORM': 100.0, 'SR': 0.0}", "{'IMI': 100.0}", "{'AFIB': 0.0, 'NORM': 80.0}", "{'1AVB': 100.0}")
N_RECORDS = 160
MODEL = ("--trial", "0", "--out", "model")


def arrange(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder, with one small space and one core."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("PTBXL_DIR", raising=False)
    axes = {"width": (0.0625,), "head_width": (8,), "label_smoothing": (0.0,), "filter": ("bandpass",)}
    monkeypatch.setitem(space.SPACES, "tiny", {**axes, "depth": (0,)})
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with records, a study of one trial trained on the finest tier, and its export in `model`."""
    folder = tmp_path_factory.mktemp("exported")
    codes = {number: CODES[number % len(CODES)] for number in range(1, N_RECORDS + 1)}
    sexes = {number: str(number // len(CODES) % 2) for number in codes}
    write_data_set(folder / "data", n_records=N_RECORDS, scp_codes=codes, sex=sexes)
    run = ["run", "--data", "data", "--trials", "1", "--epochs", "1", "--device", "cpu", "--space", "tiny"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        arrange(folder, monkeypatch)
        study = ["--target", "severity-3", "--presets", "none", "--study", "s", "--sampler", "random"]
        assert main([*run, *study]) == 0
        assert main(["export", "--data", "data", "--int8", *MODEL]) == 0
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder to work in, without the exported model."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "model")
    arrange(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture(scope="module")
def model(trained: Path) -> ModelFolder:
    return read_folder(trained / "model")


def kept_predictions(trained: Path) -> list[storage.Predictions]:
    with storage.open_store(f"sqlite:///{trained}/runs/search.db", create=False) as store:
        (trial,) = store.trials("s")
        return [storage.load_predictions(store, fold.predictions) for fold in store.folds(trial.id)]


def refused(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """The one line with which a command line is refused."""
    capsys.readouterr()
    assert main(["export", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_folder_has_all_that_is_promised(trained: Path) -> None:
    names = {path.name for path in (trained / "model").iterdir()}
    assert names == {GRAPH, GRAPH_INT8, WEIGHTS, PREPROCESSING, LABELS, NOVELTY, CARD, EXAMPLE}
    assert [path.name for path in trained.iterdir() if path.name.endswith(".part")] == []


def test_the_graph_answers_as_its_members_in_pytorch_do(trained: Path, model: ModelFolder) -> None:
    members = read_members(model.path)
    data = load_development(trained / "data", cache_dir=trained / "cache")
    x_NLT = np.asarray(data.x_NLT[:8])  # not filtered here: any signal will do
    weights = [member.weight for member in model.preprocessing.members]
    assert sum(weights) == pytest.approx(1)
    (fed,) = feeds(x_NLT, None)
    p_NC, z_NC, feature_NK = session((model.path / GRAPH).read_bytes()).run(None, fed)
    wanted_NC = mean_probabilities(members, weights, torch.from_numpy(x_NLT.copy()), None)
    np.testing.assert_allclose(p_NC, wanted_NC, atol=1e-5)
    assert feature_NK.shape[1] == sum(member.n_features for member in model.preprocessing.members)
    assert z_NC.shape == p_NC.shape == (8, len(model.labels.tiers[0].classes))


def test_preprocessing_is_that_of_training(model: ModelFolder) -> None:
    found = model.preprocessing
    assert (found.rate_hz, found.n_samples, found.any_length, found.unit) == (100, 1000, True, "mV")
    assert found.leads[:4] == ("I", "II", "III", "aVR")
    assert found.filter.name == "bandpass"
    assert found.filter.parameters["band_hz"] == (0.5, 45.0)
    assert [member.fold for member in found.members] == [1, 2, 3, 4, 5]
    for member, kept in zip(found.members, read_members(model.path), strict=True):
        np.testing.assert_allclose(
            member.lead_mean_mv, kept.statistics.mean_L.double().numpy() / 1000, rtol=1e-12
        )


def test_labels_are_calibrated_on_the_held_out_predictions_kept(trained: Path, model: ModelFolder) -> None:
    folds = kept_predictions(trained)
    y_NC = np.concatenate([fold.targets_NC for fold in folds])
    p_NC = np.concatenate([fold.probabilities_NC for fold in folds])
    tier = model.labels.tiers[0]
    assert (tier.name, tier.rule, tier.n_records) == (folds[0].tier, None, len(y_NC))
    for index, label in enumerate(tier.classes):
        n_positive = int(y_NC[:, index].sum())
        assert label.n_positive == n_positive
        assert set(label.thresholds) == set(POLICIES)
        if not n_positive:
            assert set(label.thresholds.values()) == {None}
            continue
        threshold = label.thresholds["sensitivity-90"]
        assert threshold is not None
        called = p_NC[:, index] >= threshold
        assert called[y_NC[:, index]].mean() >= 0.9
        # The next higher score would miss too many.
        assert (p_NC[y_NC[:, index], index] > threshold).mean() < 0.9
        assert label.temperature is None or n_positive >= 10


def test_coarser_tiers_follow_from_the_one_trained_on(trained: Path, model: ModelFolder) -> None:
    data = load_development(trained / "data", cache_dir=trained / "cache")
    fine, *coarser = model.labels.tiers
    assert [tier.name for tier in (fine, *coarser)] == list(data.hierarchy.coarser_tiers(fine.name))
    order = np.concatenate([np.flatnonzero(data.strat_fold == fold) for fold in range(1, 10)])
    for tier in coarser:
        expected = data.y[tier.name][order].sum(axis=0).tolist()
        assert [label.n_positive for label in tier.classes] == expected
        children = {name for label in tier.classes for name in label.children}
        assert children <= {label.name for label in fine.classes}
        assert tier.exclusive == (tier.rule == "worst") == tier.ordinal


def test_scores_on_coarser_tiers_are_those_of_the_study(trained: Path) -> None:
    with storage.open_store(f"sqlite:///{trained}/runs/search.db", create=False) as store:
        (trial,) = store.trials("s")
    card = (trained / "model" / CARD).read_text(encoding="utf-8")
    found = re.search(r"\n\| severity-3, the target of the study \| 3 \| [^|]* \| (\.\d+|1\.000) \[", card)
    assert found is not None
    assert trial.score is not None
    assert float(found[1]) == pytest.approx(trial.score, abs=5.1e-4)  # printed with three decimals


def test_a_class_of_many_statements_has_words_of_its_own(trained: Path, model: ModelFolder) -> None:
    words = {
        label.name: label.description
        for tier in model.labels.tiers
        if tier.name == "superclass"
        for label in tier.classes
    }
    assert words["MI"] == "myocardial infarction"
    assert words["STTC"] == "ST/T changes"


def test_familiar_records_are_within_the_threshold_of_novelty(model: ModelFolder) -> None:
    assert model.labels.novelty is not None
    assert len(model.novelty) == len(model.labels.novelty.members) == 5
    for member, distance in zip(model.labels.novelty.members, model.novelty, strict=True):
        assert member.n_records == N_RECORDS * 9 // 10
        assert distance(distance.mean_K[None]) < member.threshold


def test_the_card_says_what_the_model_is_and_is_not(trained: Path, model: ModelFolder) -> None:
    card = (trained / "model" / CARD).read_text(encoding="utf-8")
    head = card.split("---")[1]
    assert "library_name: onnx" in head
    assert "model-index:" in head
    for said in (
        "**Not a medical device.**",
        "A subset of PTB-XL",
        "strat_fold 1 and 2",
        "macro-AUPRC | ",
        "[",
    ):
        assert said in card
    assert "The test fold has not been opened" in card
    assert "of their average" not in card
    assert "Eight bits" in card
    points = card.split("## Clinical operating points")[1].split("\n## ")[0]
    assert points.count("\n| ") == 2 + len(model.labels.tiers[0].classes)
    groups = card.split("## Groups of patients")[1].split("\n## ")[0]
    assert re.search(r"\nBy sex it serves “(fe)?male” worst: macro-AUROC ", groups)
    assert re.search(r"\n\| sex: female \| 72 \| 72 \| \.\d+ \[", groups)
    assert "\n| age: 40 to 59 | 144 | 144 | – | " in groups
    assert re.search(r"One ECG takes [\d.]+ [mµ]?s \(99th percentile [\d.]+ [mµ]?s\) on one thread of ", card)


CHALLENGE_CLASSES = ("CLBBB|LBBB", "PVC|VPB", "AF", "*")


def card_of(folder: Path, **changes: object) -> str:
    """Card of a small model with classes of the CinC challenge."""
    model = read_folder(write_model(folder))
    trained, *coarser = model.labels.tiers
    classes = tuple(
        replace(label, name=name) for label, name in zip(trained.classes, CHALLENGE_CLASSES, strict=True)
    )
    macro = MacroScores(auprc=INTERVAL, auroc=INTERVAL, n_classes=4)
    subgroup = Subgroup(attribute="device", group="A|B", n_records=20, n_patients=None, classes=(), models={})
    values: dict[str, object] = {
        "study": make_study(),
        "held_out": "some records",
        "is_cross_validated": True,
        "test": "",
        "expected": "",
        "trainings": "",
        "folds": ("strat_fold 1",),
        "macro": macro,
        "coarser": {tier.name: macro for tier in coarser},
        "per_class": dict.fromkeys(CHALLENGE_CLASSES, (0.5, 0.6)),
        "groups": (subgroup,),
        "operating_points": dict.fromkeys(CHALLENGE_CLASSES, OPERATING_POINTS),
        "openings": (),
        "checked": "",
        "speed": "",
        "int8": None,
        "notes": (),
        "parameters": (52,),
    }
    labels = replace(model.labels, tiers=(replace(trained, classes=classes), *coarser))
    return model_card(model.preprocessing, labels, Evidence(**(values | changes)))


INTERVAL = Interval(value=0.5, low=0.4, high=0.6, level=0.95, samples=np.full(1, 0.5))
OPERATING_POINTS = dict.fromkeys(
    (*(score for _, score in OPERATING_POINT_WORDS), ALARM_RATE), Estimate(value=0.5, low=0.4, high=0.6)
)


def test_every_row_of_a_table_of_the_card_has_a_cell_for_every_heading(tmp_path: Path) -> None:
    tables: list[list[str]] = [[]]
    for line in card_of(tmp_path).splitlines():
        if line.startswith("|"):
            tables[-1].append(line)
        elif tables[-1]:
            tables.append([])
    assert [len(table) for table in tables if table] == [4, 6, 6, 3, 4]
    for table in filter(None, tables):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table}) == 1


def test_the_card_says_the_sizes_of_members_and_the_records_of_the_scores(tmp_path: Path) -> None:
    card = card_of(tmp_path / "a")
    assert "One model with 52 parameters." in card
    assert 'split: "held-out parts of cross-validation, subclass"' in card
    card = card_of(tmp_path / "b", parameters=(25_173, 609_229), is_cross_validated=False)
    assert 'split: "validation part, subclass"' in card
    assert "25,173 to 609,229 parameters" in card


def test_a_class_that_every_record_has_keeps_its_thresholds() -> None:
    y_NC = np.array([[True, False], [True, True], [True, False]])
    p_NC = np.array([[0.9, 0.1], [0.8, 0.7], [0.95, 0.2]], dtype=np.float32)
    meaning = TierMeaning(
        name="all", exclusive=False, rule=None, classes=("A", "B"), children=((), ()), descriptions={},
        ordinal=False,
    )  # fmt: skip
    first, second = tier_labels(meaning, [Fold(y_NC=y_NC, p_NC=p_NC)]).classes
    assert first.thresholds["f1"] == pytest.approx(0.8)
    assert second.thresholds["f1"] == pytest.approx(0.7)
    absent = tier_labels(meaning, [Fold(y_NC=y_NC[::2], p_NC=p_NC[::2])]).classes[1]
    assert set(absent.thresholds.values()) == {None}


def test_a_tier_of_severity_has_its_order_without_the_data() -> None:
    names = {name for tiers in (PTBXL_TIERS, cinc.TIERS, sph.TIERS) for name in tiers}
    assert {name for name in names if name in ORDINAL_TIERS} == {"severity-3", "severity-4"}


@pytest.mark.parametrize(("exclusive", "starred"), [(True, ["B"]), (False, ["A", "C"])])
def test_the_example_stars_what_predict_would_call(
    exclusive: bool,
    starred: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = write_model(tmp_path / "model", leads=("I",), n_samples=100)
    document = json.loads((model / LABELS).read_text())
    classes = [
        {"name": name, "thresholds": {"f1": least}} for name, least in (("A", 0), ("B", None), ("C", 0.1))
    ]
    document["tiers"][0] |= {"exclusive": exclusive, "classes": classes}
    (model / LABELS).write_text(json.dumps(document))
    shutil.copyfile(search.export.__path__[0] + "/example.py", model / EXAMPLE)
    (tmp_path / "r.hea").touch()
    record = SimpleNamespace(sig_name=["I"], fs=100, units=["mV"], p_signal=np.ones((100, 1)))
    answer = SimpleNamespace(run=lambda names, fed: [np.float32([[0.2, 0.6, 0.2]])])
    monkeypatch.setattr("wfdb.rdrecord", lambda name: record)
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda path: answer)
    monkeypatch.setattr("sys.argv", ["example.py", str(tmp_path / "r")])
    runpy.run_path(str(model / EXAMPLE))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines if "*" in line] == starred


@pytest.mark.slow
def test_the_example_runs_without_this_program(trained: Path, tmp_path: Path) -> None:
    example = trained / "model" / EXAMPLE
    text = example.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    imported = {line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imported == {"json", "sys", "pathlib", "numpy", "onnxruntime", "wfdb", "scipy"}
    record = next((trained / "data").rglob("*_lr.hea")).with_suffix("")
    answer = subprocess.run(
        [sys.executable, "-I", str(example), str(record)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    printed = {line.split()[-1]: float(line.split()[0]) for line in answer.stdout.splitlines()}
    model = read_folder(trained / "model")
    data = load_development(trained / "data", cache_dir=tmp_path / "cache")
    from search.data.signals.filters import bandpass

    number = int(record.name.split("_")[0])
    x_NLT = bandpass(np.asarray(data.x_NLT[data.ecg_id == number]), 100)
    (fed,) = feeds(x_NLT, None)
    (p_NC,) = session((model.path / GRAPH).read_bytes()).run(["probabilities"], fed)
    for name, p in zip((label.name for label in model.labels.tiers[0].classes), p_NC[0], strict=True):
        assert printed[name] == pytest.approx(p, abs=6e-4)  # printed with three decimals


@pytest.mark.slow
def test_eight_bits_are_measured(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["export", "--data", "data", "--int8", "--json", *MODEL]) == 0
    (found,) = json.loads(capsys.readouterr().out)["models"]
    int8 = found["int8"]
    assert int8["bytes"] == (here / "model" / GRAPH_INT8).stat().st_size
    assert int8["records"] == N_RECORDS * 9 // 10 - N_RECORDS * 9 // 10 // 4
    low, value, high = (int8["difference"][key] for key in ("low", "value", "high"))
    assert low <= value <= high
    assert value == pytest.approx(int8["macro_auprc"] - int8["macro_auprc_float"])
    assert int8["ruined"] == (value <= -0.05)
    assert 0 < int8["latency_ms"]["median"] <= int8["latency_ms"]["p99"]


def test_eight_bits_are_those_of_convolutions_and_dense_layers_inside(trained: Path) -> None:
    graph = onnx.load(trained / "model" / GRAPH_INT8).graph
    made_by = {output: node for node in graph.node for output in node.output}

    def is_quantised(node: onnx.NodeProto) -> bool:
        source = made_by.get(node.input[1])
        return source is not None and source.op_type == "DequantizeLinear"

    of_member = [node for node in graph.node if node.name.startswith("member1/")]
    convolutions = [is_quantised(node) for node in of_member if node.op_type == "Conv"]
    dense = [is_quantised(node) for node in of_member if node.op_type == "Gemm"]
    assert convolutions == [False, True, True]  # the first one sees the signal
    assert dense == [True] * (len(dense) - 1) + [False]  # the last one gives the logits
    assert [each.name for each in graph.output] == ["probabilities", "logits", "features"]


@pytest.mark.slow
def test_the_front_is_exported_into_a_folder_for_each_trial(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "--data", "data", "--front", "--out", "models"]) == 0
    assert [path.name for path in (here / "models").iterdir()] == ["trial-0"]
    assert read_folder(here / "models/trial-0").labels.model.trial == 0
    said = capsys.readouterr().out
    assert "onnxruntime and PyTorch differ by at most" in said
    assert "on severity-3, the target of the study: " in said


@pytest.mark.slow
def test_models_of_an_evaluation_are_exported_and_calibrated_on_its_validation_part(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate = ["evaluate", "--data", "data", "--device", "cpu", "--no-page", "--trial", "0"]
    assert main([*evaluate, "--seeds", "2"]) == 0
    assert main(["export", "--data", "data", "--evaluation", "1", "--out", "model"]) == 0
    found = read_folder(here / "model")
    assert found.labels.model.evaluation == 1
    assert [(member.fold, member.weight) for member in found.preprocessing.members] == [(None, 0.5)] * 2
    # Fold 9 of nine validates: a ninth of the records, too few for a quantile of .99.
    assert found.labels.tiers[0].n_records == N_RECORDS // 10
    assert found.labels.novelty is None
    card = (here / "model" / CARD).read_text(encoding="utf-8")
    assert "On fold 10, on which nothing was chosen, macro-AUPRC is" in card
    assert "NOTE: no novelty: 16 held-out records" in " ".join(capsys.readouterr().out.split())
    assert "evaluation 1 is of study s, not other" in refused(
        capsys, "--data", "data", "--evaluation", "1", "--study", "other", "--out", "m"
    )
    assert main([*evaluate, "--fit", "1-9", "--again"]) == 0
    assert "evaluation 2 was trained on folds 1-9: no records are left" in refused(
        capsys, "--data", "data", "--evaluation", "2", "--out", "m"
    )


@pytest.mark.slow
def test_a_study_of_some_leads_is_exported_with_its_records(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", "--data", "data", "--trials", "1", "--epochs", "1", "--device", "cpu", "--space", "tiny"]
    study = ["--target", "superclass", "--presets", "none", "--study", "wearable", "--leads", "II,I"]
    assert main([*run, *study]) == 0
    assert main(["export", "--data", "data", "--study", "wearable", *MODEL]) == 0
    found = read_folder(here / "model")
    assert found.preprocessing.leads == ("I", "II")
    assert found.labels.novelty is not None
    record = next((here / "data").rglob("*_lr.hea")).with_suffix("")
    capsys.readouterr()
    assert main(["predict", "model", str(record), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["records"]
    assert len(answer["unused_signals"]) == 10


@pytest.fixture(scope="module")
def two_trials(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records, and a study of two trials on lead II, the larger one first and with hand-crafted features.

    The smaller one is on the front whatever it scores, so that both have kept their models.
    """
    folder = tmp_path_factory.mktemp("two")
    shutil.copytree(trained / "data", folder / "data")
    with pytest.MonkeyPatch.context() as monkeypatch:
        arrange(folder, monkeypatch)
        axes = {**space.SPACES["tiny"], "filter": ("none",), "features": (True, False)}
        monkeypatch.setitem(space.SPACES, "tiny", axes)
        run = ["run", "--data", "data", "--trials", "2", "--epochs", "1", "--device", "cpu", "--leads", "II"]
        study = ["--space", "tiny", "--target", "all", "--presets", "none", "--sampler", "grid"]
        assert main([*run, *study, "--pruner", "none", "--study", "e"]) == 0
    with storage.open_store(f"sqlite:///{folder}/runs/search.db", create=False) as store:
        first, second = store.trials("e")
        assert first.architecture["features"]
        assert second.parameters < first.parameters
    return folder


def ensemble_of(store: storage.Store, *weights: float) -> Ensemble:
    members = [
        Member(trial=trial, weight=weight) for trial, weight in zip(store.trials("e"), weights, strict=True)
    ]
    none = Interval(value=np.nan, low=np.nan, high=np.nan, level=0.95, samples=np.empty(0))
    return Ensemble(
        name="greedy",
        members=tuple(members[::-1]),
        parameters=0,
        cost=0,
        score=none,
        in_sample=np.nan,
        difference=none,
    )


@pytest.mark.slow
def test_an_ensemble_is_the_average_of_the_models_of_its_trials(
    two_trials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two trials of which one takes features, and the other is first."""
    arrange(two_trials, monkeypatch)
    out = str(tmp_path / "greedy")
    # Which trials a kind of ensemble takes is a matter of chance here: weights are given.
    monkeypatch.setattr(
        "search.export.export.named_ensemble", lambda store, study, name: ensemble_of(store, 0.25, 0.75)
    )
    assert main(["export", "--data", "data", "--ensemble", "greedy", "--out", out]) == 0
    found = read_folder(tmp_path / "greedy")
    assert found.labels.model.name == "ensemble greedy of e"
    assert found.labels.model.description == "0.75 × trial 1 + 0.25 × trial 0"
    assert found.preprocessing.leads == ("II",)
    assert len(found.preprocessing.features) > 0
    members = [(member.trial, member.fold, member.weight) for member in found.preprocessing.members]
    assert members == [
        *((1, fold, pytest.approx(0.15)) for fold in range(1, 6)),
        *((0, fold, pytest.approx(0.05)) for fold in range(1, 6)),
    ]
    # What it says of held-out records is the weighted average of what its trials said of them.
    with storage.open_store(storage.DEFAULT_URL, create=False) as store:
        folds = [store.folds(trial.id) for trial in store.trials("e")]
        p_0, p_1 = (
            np.concatenate(
                [storage.load_predictions(store, each.predictions).probabilities_NC for each in of]
            )
            for of in folds
        )
        y_NC = np.concatenate(
            [storage.load_predictions(store, each.predictions).targets_NC for each in folds[0]]
        )
    for index, label in enumerate(found.labels.tiers[0].classes):
        if label.n_positive:
            p_N = 0.25 * p_0[:, index] + 0.75 * p_1[:, index]
            threshold = label.thresholds["sensitivity-90"]
            assert threshold is not None
            assert (p_N[y_NC[:, index]] >= threshold - 1e-6).mean() >= 0.9
    card = (tmp_path / "greedy" / CARD).read_text(encoding="utf-8")
    assert "each predicted by the 2 members, one of each trial, that were not trained on its fold." in card
    assert "scores are optimistic" in card
    # Features of one trial are not those of the other: each has its own threshold of novelty.
    assert found.labels.novelty is not None
    thresholds = [member.threshold for member in found.labels.novelty.members]
    assert len(set(thresholds[:5])) == len(set(thresholds[5:])) == 1
    assert thresholds[0] != thresholds[5]


@pytest.mark.slow
def test_an_ensemble_that_cannot_be_exported_is_one_line(
    two_trials: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arrange(two_trials, monkeypatch)
    ensemble = ("--data", "data", "--ensemble", "greedy", "--out", "m")
    monkeypatch.setattr(
        "search.export.export.named_ensemble", lambda store, study, name: ensemble_of(store, 0.5, 0.5)
    )
    kept = storage.kept_models
    monkeypatch.setattr(
        "search.export.source.kept_models",
        lambda store, study, number: {} if number == 0 else kept(store, study, number),
    )
    line = refused(capsys, *ensemble)
    assert line.startswith("search: ensemble greedy: trial 0 of study e has kept no models: ")
    assert line.endswith(
        "`python -m search evaluate --ensemble greedy` trains its members, for export --evaluation"
    )

    def two_tiers(store: storage.Store, *_: object) -> Ensemble:
        found = ensemble_of(store, 0.5, 0.5)
        first, second = found.members
        coarse = {**second.trial.architecture, "label_tier": "subclass"}
        other = replace(second, trial=replace(second.trial, architecture=coarse, label_tier="subclass"))
        return replace(found, members=(first, other))

    monkeypatch.setattr("search.export.export.named_ensemble", two_tiers)
    assert "ensemble greedy: its members differ in their label tier (all, subclass)" in refused(
        capsys, *ensemble
    )


def test_an_evaluation_that_is_not_there_is_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["export", "--evaluation", "7", "--out", "m"]) == 1
    assert "has no evaluation 7: run `python -m search evaluate` first" in capsys.readouterr().err


@pytest.mark.slow
def test_without_the_data_a_line_says_what_is_left_out(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.move(here / "data", here / "elsewhere")
    assert main(["export", *MODEL]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "NOTE: the data of the study are not at hand" in said
    assert "give --data DIR" in said
    found = read_folder(here / "model")
    assert found.labels.novelty is None
    assert found.novelty == ()
    assert len(found.labels.tiers) == 1


def test_a_trial_that_kept_no_models_says_what_to_do(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.export.source.kept_models", lambda store, study, number: {})
    line = refused(capsys, *MODEL)
    assert line.startswith("search: trial 0 of study s has kept no models: models are kept of trials that")
    monkeypatch.setattr("search.export.source.kept_models", lambda store, study, number: {1: "a", 2: "b"})
    assert "has kept no model of fold 3, 4, 5:" in refused(capsys, *MODEL)


def test_a_trial_that_joined_the_front_by_confirming_says_why_it_has_no_models(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with storage.open_store(f"sqlite:///{here}/runs/search.db", create=False) as store:
        (trial,) = (each for each in store.trials("s") if each.number == 0)
        again = store.add_repeat(trial.id, 1, worker=1, sampler_noise_sd=None)
        store.add_repeat_scores(again, 0.9, {})
        (trial,) = (each for each in store.trials("s") if each.number == 0)
        first, mean = map(score_words, (trial.scores[0], trial.score))
        study = store.study("s")
        said = average_of_folds(store, study, trial).trainings
    assert said == (
        "The trial was trained 2 times: models and results here are of the first training. The mean over "
        f"all, which `search pick` shows, is {mean} (macro-AUPRC on {study.target}; first training {first})."
    )
    monkeypatch.setattr("search.export.source.kept_models", lambda store, study, number: {})
    line = refused(capsys, *MODEL)
    assert "joined it only later, by the mean of the trainings of confirm" in line
    assert "`python -m search evaluate --study s --trial 0`" in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--trial", "7", "--out", "m"), "study s has no trial 7: see search status"),
        (("--out", "m"), "name what to export: --trial N, --front, --ensemble NAME or --evaluation ID"),
        (
            ("--trial", "0", "--front", "--out", "m"),
            "name what to export: --trial N, --front, --ensemble NAME or --evaluation ID",
        ),
        (("--ensemble", "best", "--out", "m"), "--ensemble: unknown ensemble 'best': choose from top2-"),
        (("--trial", "0", "--out", "data"), "--out data: the folder is not empty; name a new one"),
        (("--trial", "0"), "the following arguments are required: --out"),
        (("--trial", "0", "--out", "m", "--members", "best"), "--members: invalid choice: 'best'"),
    ],
)
def test_bad_input_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    assert said in refused(capsys, "--data", "data", *options)
    assert not (here / "m").exists()


def test_eight_bits_need_the_data(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.move(here / "data", here / "elsewhere")
    assert "--int8 is calibrated and measured on the records" in refused(capsys, "--int8", *MODEL)


def test_eight_bits_need_records_that_can_measure_the_loss() -> None:
    only_positive, mixed = np.array([[True], [True]]), np.array([[True], [False]])
    check_measurable([only_positive, mixed], 4)
    with pytest.raises(UsageError, match="among the 2 that do not determine ranges, no fold has both"):
        check_measurable([only_positive], 2)
    with pytest.raises(UsageError, match="leave out --int8"):
        check_measurable([], 0)


def test_artifacts_that_were_moved_away_are_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.move(here / "runs/artifacts", here / "away")
    capsys.readouterr()
    assert main(["export", "--data", "data", *MODEL]) == 1
    assert "is missing in" in capsys.readouterr().err
    assert not (here / "model").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (PREPROCESSING, None, "is missing: export the model again"),
        (PREPROCESSING, '{"format": 1}', "is damaged: rate_hz: Field required"),
        (LABELS, "{", "is damaged: "),
        (LABELS, '{"format": 99}', "is of format 99, this version reads 1: update it"),
        (NOVELTY, "nothing", "is damaged: "),
        (NOVELTY, None, "is missing: export the model again"),
    ],
)
def test_a_damaged_folder_is_one_line(
    trained: Path, tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    folder = shutil.copytree(trained / "model", tmp_path / "copy")
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=said.replace("{", r"\{")) as raised:
        read_folder(folder)
    assert "\n" not in str(raised.value)


def test_a_folder_of_something_else_is_a_wrong_argument(trained: Path) -> None:
    with pytest.raises(UsageError, match=f"has no {GRAPH}: give a folder that"):
        read_folder(trained / "data")
    with pytest.raises(UsageError, match="is no folder"):
        read_folder(trained / "nowhere")


def test_weights_that_are_damaged_are_one_line(trained: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trained / "model", tmp_path / "copy")
    (folder / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(DataError, match="is damaged"):
        read_members(folder)


@pytest.mark.slow
def test_a_folder_is_read_without_torch(trained: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from search.export.folder import read_folder; "
        f"read_folder(Path({str(trained / 'model')!r})); print('torch' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "False"
