"""evaluate: the sealed fold opened once and written down first; models side by side; another data set."""

import gc
import json
import re
import shutil
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cinc_folder import write_record as write_challenge_record
from mitbih_folder import write_database
from ptbxl_waveforms import write_data_set
from rich.console import Console
from sph_folder import write_sph
from training_samples import TINY, development

import space
import storage
from reports.document import report_document
from reports.errors import ReportError
from reports.evaluation.evidence import TEST, VALIDATION, load_evaluation
from reports.evaluation.side_by_side import evaluated_scores, paired
from reports.evidence import gather
from scores.ranking import average_precision
from scores.thresholds import choose_thresholds
from search.commands.main import main
from search.data.dataset import load_development, load_external, load_sealed
from search.data.signals.leads import LEADS
from search.data.signals.records import RecordReader
from search.data.signals.resample import resample
from search.errors import DataError, UsageError
from search.evaluate import evaluate as module
from search.evaluate.evaluate import EvaluateOptions, evaluate
from search.evaluate.final_model import FinalTraining, training_protocol
from search.evaluate.other_data import cohorts, shared_tiers, with_leads
from search.evaluate.subjects import ChosenModels, Member, Subject
from search.training.fold import FoldTraining
from search.training.model_file import load_model
from search.training.settings import TrainingSettings

pytestmark = pytest.mark.usefixtures("same_threads")

SMALL = space.Architecture(width=0.125, head_width=16, label_tier="all")
CODES = ("{'NORM': 100.0, 'SR': 0.0}", "{'IMI': 100.0}", "{'AFIB': 0.0, 'NORM': 80.0}", "{'1AVB': 100.0}")


def arrange(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder, with one small preset and one core."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("PTBXL_DIR", raising=False)
    small = {"small": space.Preset(source="", summary="", architecture=SMALL)}
    monkeypatch.setattr("space.PRESETS", small)
    monkeypatch.setitem(
        space.SPACES, "tiny", {"width": (0.125,), "head_width": (16,), "label_smoothing": (0.0,)}
    )
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with records, and a study of one small trial trained on the finest tier."""
    folder = tmp_path_factory.mktemp("trained")
    write_data_set(
        folder / "data",
        n_records=40,
        scp_codes={number: CODES[number % len(CODES)] for number in range(1, 41)},
    )
    run = ["run", "--data", "data", "--trials", "1", "--epochs", "1", "--device", "cpu", "--space", "tiny"]
    study = ["--target", "all", "--presets", "none", "--study", "s", "--sampler", "random"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        arrange(folder, monkeypatch)
        assert main([*run, *study]) == 0
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder to work in."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    arrange(tmp_path, monkeypatch)
    return tmp_path


def openings() -> list[storage.SealedFoldOpeningRecord]:
    store = storage.open_store(storage.DEFAULT_URL)
    try:
        return store.sealed_fold_openings("s")
    finally:
        store.close()


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert main([*arguments]) == 0
    return json.loads(capsys.readouterr().out)


def call(*options: str) -> int:
    return main(["evaluate", "--data", "data", "--device", "cpu", "--no-page", *options])


def document(capsys: pytest.CaptureFixture[str], *options: str) -> Any:
    capsys.readouterr()
    assert call("--json", *options) == 0
    written = capsys.readouterr()
    return json.loads(written.out)


def part_of(found: Any, model: int, part: str, tier: str) -> Any:
    (result,) = [
        row for row in found["evaluations"][model]["results"] if (row["part"], row["tier"]) == (part, tier)
    ]
    return result


def test_nothing_of_a_training_stays_in_memory_but_the_file_of_its_model() -> None:
    data = development()
    training = FinalTraining(
        data,
        training_protocol(data, None),
        TrainingSettings(epochs=1, batch_size=16),
        target="superclass",
        device="cpu",
        console=Console(quiet=True),
        teachers={},
        initial={},
    )
    made: list[weakref.ref[FoldTraining]] = []

    class Noted(FoldTraining):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(weakref.ref(self))

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("search.training.fold.FoldTraining", Noted)
        model = training.train("small", TINY, 0)
    gc.collect()
    assert [each() for each in made] == [None]
    rows = training_protocol(data, None).fold.validation
    np.testing.assert_allclose(model.predict(data)[rows], model.p_validation_NC, atol=1e-6)


def test_the_sealed_fold_is_opened_and_counted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "--trial", "0")
    assert found["openings"] == 1
    (model,) = found["evaluations"]
    assert [(row["part"], row["records"], row["n_records"]) for row in model["results"][:2]] == [
        ("validation", "strat_fold 9", 4),
        ("test", "fold 10", 4),
    ]
    assert {row["tier"] for row in model["results"]} >= {"aha", "severity-3"}
    (kept,) = openings()
    assert (kept.study, kept.trial, kept.preset) == ("s", 0, None)
    sealed = part_of(found, 0, "test", "aha")
    assert kept.metrics["aha_macro_auprc"] == pytest.approx(sealed["metrics"]["macro_auprc"][0])
    (file,) = model["model_files"]
    assert load_model(Path(file).read_bytes()).architecture.to_dict() == model["architectures"][0]
    # Once more only if that is asked for; the model is the same to the last bit.
    capsys.readouterr()
    assert call("--trial", "0") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "fold 10 has been opened before for trial 0 (once): give --again" in line
    assert len(openings()) == 1
    assert call("--trial", "0", "--again") == 0
    text = capsys.readouterr().out
    (now,) = re.findall(r"^  (runs/artifacts/.*)$", text, flags=re.MULTILINE)
    assert Path(now).read_bytes() == Path(file).read_bytes()
    assert "opened 2 times for this study, this time included" in " ".join(text.split())
    assert "UTC: trial 0" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.slow
def test_several_models_are_side_by_side_and_kept(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trial 0 and a preset, two seeds each, trained on all folds but the sealed one and then without one."""
    capsys.readouterr()
    assert call("--trial", "0", "--presets", "small", "--front", "--seeds", "2") == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for fragment in (
        "Hamming loss",
        "subset accuracy",
        "Paired differences, macro-AUPRC",
        "Paired differences, micro-F1",
        "seeds 0 to 1",
        "opened 2 times",
    ):
        assert fragment in " ".join(text.split())
    assert re.search(r"^preset small +trial 0 +[+−]?\.", text, flags=re.MULTILINE)  # a row, not stacked
    with storage.open_store(storage.DEFAULT_URL) as store:
        trial, preset = store.evaluations("s")
        assert (trial.model, preset.model, preset.preset) == ("trial 0", "preset small", "small")
        assert (trial.fit, trial.seeds, trial.thresholds_from) == ("1-8", (0, 1), "strat_fold 9")
        assert [model.seed for model in trial.models] == [0, 1]
        for model in trial.models:
            (epoch,) = model.curve  # the study has one
            assert (epoch.fold, epoch.epoch, model.epochs_trained, model.n_training) == (5, 1, 1, 32)
            assert np.isfinite([epoch.training_loss, epoch.validation_loss, epoch.validation_accuracy]).all()
        # What was kept says what the model in the file says of these records.
        first, second = (storage.load_predictions(store, file) for file in trial.predictions["test"])
        assert not np.array_equal(first.probabilities_NC, second.probabilities_NC)
        sealed = load_sealed(here / "data", rate_hz=100, cache_dir=here / "c")
        content = (store.artifacts_folder / trial.models[0].file).read_bytes()
        assert first.ecg_id.tolist() == sealed.ecg_id.tolist()
        assert (first.age.tolist(), first.sex.tolist()) == (sealed.age.tolist(), sealed.sex.tolist())
        assert load_model(content).predict(np.array(sealed.x_NLT)) == pytest.approx(
            first.probabilities_NC, abs=1e-5
        )
        predictions = [p.on("aha") for p in (first, second)]
        values = [np.nanmean(average_precision(p.targets_NC, p.probabilities_NC)) for p in predictions if p]
        assert trial.metrics["aha_macro_auprc"] == pytest.approx(np.mean(values))
        validation = storage.load_predictions(store, trial.predictions["validation"][1]).on("aha")
        assert validation is not None
        expected = choose_thresholds(validation.targets_NC, validation.probabilities_NC, "f1")
        assert trial.thresholds["aha"][1] == tuple(expected.tolist())
        evidence = [load_evaluation(store, each) for each in (trial, preset)]
    scores = evaluated_scores(evidence, TEST, "aha", n_resamples=20)
    auprc = [each for each in paired(scores) if each.metric == "macro_auprc"]
    assert [each.sampled.value for each in auprc] == [
        scores[1].half["macro_auprc"].value - scores[0].half["macro_auprc"].value
    ]
    with pytest.raises(ReportError, match="different records"):
        paired([*scores, *evaluated_scores(evidence, VALIDATION, "aha", n_resamples=20)])
    # Later commands know them.
    listed = command(capsys, "evaluate", "--list", "--json")
    assert [(each["id"], each["model"]) for each in listed["evaluations"]] == [
        (trial.id, "trial 0"),
        (preset.id, "preset small"),
    ]
    assert listed["openings"] == 2
    assert [each["model"] for each in command(capsys, "status", "--json")["evaluations"]] == [
        "trial 0",
        "preset small",
    ]
    assert main(["status"]) == 0
    assert "2 evaluations: " in capsys.readouterr().out


@pytest.mark.slow
def test_nothing_validates_what_is_trained_on_all_folds(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(capsys, "--trial", "0", "--fit", "1-9")
    (model,) = found["evaluations"]
    assert (model["fit"], model["thresholds_from"]) == ("1-9", "out-of-fold predictions of trial 0")
    assert {row["part"] for row in model["results"]} == {"test"}
    with storage.open_store(storage.DEFAULT_URL) as store:
        (kept,) = store.evaluations("s")
        (only,) = kept.models
        assert (only.n_training, only.curve[0].fold) == (36, 0)
        assert np.isnan([only.curve[0].validation_loss, only.curve[0].score]).all()
        trial = store.trials("s")[0]
        folds = [
            storage.load_predictions(store, fold.predictions).on("aha") for fold in store.folds(trial.id)
        ]
        y_NC = np.concatenate([fold.targets_NC for fold in folds if fold is not None])
        p_NC = np.concatenate([fold.probabilities_NC for fold in folds if fold is not None])
        assert len(y_NC) == 36
        assert kept.thresholds["aha"] == (tuple(choose_thresholds(y_NC, p_NC, "f1").tolist()),)


@pytest.mark.slow
def test_an_ensemble_is_the_weighted_average_of_its_members(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", "--data", "data", "--trials", "2", "--epochs", "1", "--device", "cpu", "--space", "pair"]
    study = ["--target", "aha", "--presets", "none", "--study", "e", "--sampler", "grid", "--pruner", "none"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        axes = {"width": (0.125,), "head_width": (16, 32), "label_smoothing": (0.0,), "depth": (0,)}
        monkeypatch.setitem(space.SPACES, "pair", axes | {"gate": (0,), "loss": ("bce",)})
        assert main([*run, *study]) == 0
    ensemble = ChosenModels(ensemble="front")
    member_of = [
        Member(name=f"trial {n}", weight=weight, architecture=SMALL, trial=None)
        for n, weight in ((0, 0.25), (1, 0.75))
    ]
    monkeypatch = pytest.MonkeyPatch()
    # The front of such a study has one member or two, as it happens: its weights are given here.
    subject = Subject(name="ensemble front", members=tuple(member_of), ensemble="front")
    monkeypatch.setattr(module, "subjects", lambda store, study, choice: ([subject], []))
    try:
        options = EvaluateOptions(
            storage=storage.DEFAULT_URL, study="e", choice=ensemble, data="data", device="cpu"
        )
        found = evaluate(options, Console(quiet=True))
    finally:
        monkeypatch.undo()
    (evidence,) = found.evidence
    assert (evidence.evaluation.label_tier, evidence.evaluation.ensemble) == ("aha", "front")
    assert [model.weight for model in evidence.evaluation.models] == [0.25, 0.75]
    # Both members are the same model here, so that the average is what one of them says.
    (kept,) = evidence.parts[TEST]
    content = found.files[evidence.evaluation.id or 0][0].read_bytes()
    sealed = load_sealed(here / "data", rate_hz=100, cache_dir=here / "c")
    single = load_model(content).predict(np.array(sealed.x_NLT))
    projected = sealed.hierarchy.projection("all", "aha")(single)
    assert kept.probabilities_NC == pytest.approx(projected, abs=1e-5)
    assert [opening.ensemble for opening in found.openings] == ["front"]


def test_an_opening_is_written_down_before_a_file_is_read(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*arguments: object, **options: object) -> None:
        assert len(openings()) == 1
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "load_sealed", die)
    assert call("--trial", "0") == 130
    assert len(openings()) == 1
    assert not openings()[0].metrics


def test_only_the_sealed_loader_reads_the_sealed_fold(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue_rows = {"development": 36, "sealed": 4, "external": 40}
    read: list[str] = []
    original = RecordReader.read

    def note(self: RecordReader, filename: str) -> Any:
        read.append(filename)
        return original(self, filename)

    monkeypatch.setattr(RecordReader, "read", note)
    sealed_files = {f"records100/00000/{number:05d}_lr" for number in (10, 20, 30, 40)}
    load_development(here / "data", cache_dir=here / "a")
    assert len(set(read)) == catalogue_rows["development"]
    assert not set(read) & sealed_files
    read.clear()
    load_sealed(here / "data", rate_hz=100, cache_dir=here / "b")
    assert set(read) == sealed_files
    read.clear()
    assert len(load_external(here / "data", rate_hz=100, cache_dir=here / "c")) == catalogue_rows["external"]


@pytest.mark.slow
def test_rows_without_a_label_are_left_out_as_in_the_search(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Every tenth record is in fold 10; a rhythm has no superclass. Each fold holds records of both classes.
    codes = {number: CODES[number // 10 % 2] for number in range(1, 41)} | {20: "{'AFIB': 0.0}"}
    shutil.rmtree(here / "data")
    write_data_set(here / "data", n_records=40, scp_codes=codes)
    run = ["run", "--data", "data", "--trials", "1", "--epochs", "1", "--device", "cpu", "--space", "tiny"]
    study = ["--target", "superclass", "--presets", "none", "--study", "t", "--sampler", "random"]
    assert main([*run, *study, "--drop-unlabeled"]) == 0
    found = document(capsys, "--trial", "0", "--study", "t")
    assert found["unlabeled_dropped"] == 1
    assert part_of(found, 0, "test", "superclass")["n_records"] == 3


@pytest.mark.slow
def test_beats_of_the_intra_patient_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_database(tmp_path / "mit", {101: "NV" * 20, 106: "NNA" * 10, 100: "NVA" * 5})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setitem(space.SPACES, "tiny", {"width": (0.125,), "head_width": (16,), "depth": (0,)})
    run = ["run", "--data", "mit", "--trials", "1", "--epochs", "1", "--device", "cpu", "--space", "tiny"]
    assert main([*run, "--presets", "none", "--split", "intra-patient", "--sampler", "random"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "--trial", "0", "--data", "mit", "--device", "cpu", "--no-page"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "The split is intra-patient: validation beats are of patients trained on." in text
    assert "the test fold, aami, at a threshold of .5" in text
    assert "macro-F1 (argmax)" in text


@pytest.mark.slow
def test_another_data_set_on_every_tier_that_both_reach(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sph(here / "sph")
    found = document(capsys, "--trial", "0", "--external", "sph")
    assert found["openings"] is None
    assert openings() == []
    (model,) = found["evaluations"]
    assert model["external"]
    assert {row["tier"] for row in model["results"]} == {"aha", "severity-4", "severity-3"}
    row = part_of(found, 0, "test", "aha")
    assert row["n_records"] == 20
    # The statements of PTB-XL's folder have the numbers 1 (NORM), 20, 50, 145 (NST_) and 161, 1AVB has none;
    # SPH's records have 1, 22, 50, 145 and 147, in turn "1", "22;145+362", "50+346", "147+367;145" and "22".
    assert row["classes"] == ["1", "145", "50"]
    (only,) = found["unmapped"]
    assert only["there"] == {"147": 4, "22": 8}
    assert set(only["here"]) == {"161", "20"}
    assert only["records_without_shared_class"] == 4
    # NST_ is a statement of the hierarchy and of no record: what is known are 1 and 50.
    assert found["cohorts"] == {"tier": "aha", "known": 8, "unseen": 12, "without_statement": 0}
    severity = part_of(found, 0, "unseen", "severity-3")
    assert severity["n_records"] == 12
    assert {"argmax_accuracy", "quadratic_kappa", "argmax_macro_f1"} <= set(severity["metrics"])
    with storage.open_store(storage.DEFAULT_URL) as store:
        (kept,) = store.evaluations("s")
        assert (kept.records, kept.opening, kept.label_tier) == ("sph", None, "aha")
        known = storage.load_predictions(store, kept.predictions["known"][0])
        assert known.targets_NC[:, [known.classes.index(name) for name in ("1", "50")]].any(axis=1).all()
    presets = "small@severity-3,small@severity-4"
    assert call("--trial", "0", "--presets", presets, "--external", "sph", "--tier", "severity-3") == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    text = " ".join(text.split())
    assert "Label tiers trained on: quadratic kappa on severity-3" in text
    assert "trained on inside outside known unseen" in text
    assert "By aha, 8 records with a statement trained on, 12 with unseen ones only, 0 without any." in text


def write_other_hospital(root: Path) -> dict[str, np.ndarray]:
    """Twelve records of a challenge folder: rates, lengths, orders of leads and headers of both years.

    Returns:
        Microvolts of each record in the order of `LEADS` at its rate.
    """
    codes = (
        "426783006",  # SR, which PTB-XL's records have
        "164889003,59118001",  # AFIB, and a right bundle branch block, which they lack
        "59118001",
        "39732003",  # left axis deviation: AHA 121, nothing in PTB-XL
        "",
        "270492004,123456789",  # 1AVB, and a code of nobody's
    )
    rng = np.random.default_rng(5)
    written = {}
    for number in range(12):
        rate_hz, seconds = ((500, 10), (1000, 38), (500, 6), (257, 40))[number % 4]
        x_LT = rng.integers(-900, 900, (12, rate_hz * seconds)).astype(np.int16)
        order = rng.permutation(12) if number else np.arange(12)
        name = ("E", "S", "A", "I")[number % 4] + f"{number + 1:04d}"
        write_challenge_record(
            root / f"g{1 + number % 2}" / name,
            x_LT[order],
            leads=[LEADS[index].upper() if number % 3 else LEADS[index] for index in order],
            rate_hz=rate_hz,
            dx=codes[number % len(codes)],
            age=("74", "NaN", "")[number % 3],
            sex=("Male", "F", "Unknown")[number % 3],
            year=2020 + number % 2,
        )
        written[name] = x_LT
    return written


@pytest.mark.slow
def test_a_model_of_ptb_xl_is_tested_on_a_challenge_folder(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_other_hospital(here / "training" / "hospital")
    found = document(capsys, "--trial", "0", "--presets", "small@severity-3", "--external", "training")
    assert found["openings"] is None
    trial, coarse = found["evaluations"]
    assert {row["tier"] for row in coarse["results"]} == {"severity-3"}
    tiers = {row["tier"] for row in trial["results"]}
    assert tiers == {
        *("all", "diagnostic", "subclass", "superclass", "form", "rhythm", "aha", "severity-4", "severity-3")
    }
    assert set(part_of(found, 0, "test", "all")["classes"]) == {"SR", "AFIB", "1AVB"}
    assert found["cohorts"] == {"tier": "all", "known": 6, "unseen": 4, "without_statement": 2}
    unmapped = {each["tier"]: each for each in found["unmapped"]}
    assert unmapped["all"]["there"] == {"CRBBB": 4}
    assert unmapped["all"]["records_without_shared_class"] == 2
    notes = " ".join(found["notes"])
    for said in (
        "sampled at 257 Hz (3 records), 500 Hz (6 records), 1000 Hz (3 records)",
        "records shorter than 10 s, behind which 0 mV follow: 3",
        "records whose Dx is empty or unknown, which count as records without a label: 2",
        "codes without a PTB-XL statement (records): LAD (2), 123456789 (2)",
    ):
        assert said in notes
    with storage.open_store(storage.DEFAULT_URL) as store:
        kept, _ = store.evaluations("s")
        (file,) = kept.predictions["test"]
        predictions = storage.load_predictions(store, file)
        severity = predictions.on("severity-3")
        assert severity is not None
        # SR and no statement; the axis and 1AVB; both kinds with a bundle branch block.
        counts = dict(zip(severity.classes, severity.targets_NC.sum(axis=0).tolist(), strict=True))
        assert counts == {"benign": 4, "non-urgent": 4, "urgent": 4}
        content = (store.artifacts_folder / kept.models[0].file).read_bytes()
    # Leads of every record reach the model in its own order, at its rate, from the first ten seconds.
    model = load_model(content)
    names = sorted(written, key=lambda name: ("g1/" if int(name[1:]) % 2 else "g2/") + name)
    x_NLT = np.zeros((12, 12, 1000), dtype=np.int16)
    for row, name in enumerate(names):
        rate_hz = {"E": 500, "S": 1000, "A": 500, "I": 257}[name[0]]
        x_LT = resample(written[name][:, : 10 * rate_hz], rate_hz, 100)
        x_NLT[row, :, : x_LT.shape[1]] = x_LT
    assert [lead.casefold() for lead in model.leads] == [lead.casefold() for lead in LEADS]
    projected = load_development(here / "data", cache_dir=here / "a").hierarchy.projection(
        "all", "severity-3"
    )
    np.testing.assert_allclose(severity.probabilities_NC, projected(model.predict(x_NLT)), atol=1e-5)
    assert call("--presets", "small,small@severity-3", "--external", "training", "--tier", "severity-3") == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    text = " ".join(text.split())
    assert "Label tiers trained on: accuracy on severity-3" in text
    assert "By all, 6 records with a statement trained on, 4 with unseen ones only, 2 without any." in text


def test_leads_in_another_order_are_put_in_that_of_the_model(here: Path) -> None:
    data = load_development(here / "data", cache_dir=here / "a")
    order = list(range(12))[::-1]
    extra = np.concatenate([np.asarray(data.x_NLT)[:, order], np.asarray(data.x_NLT)[:, :1]], axis=1)
    names = tuple(data.leads[column].lower() for column in order)
    other = replace(data, leads=(*names, "V9"), x_NLT=extra)
    found = with_leads(other, data.leads, data.name)
    assert found.leads == data.leads
    assert np.array_equal(found.x_NLT, data.x_NLT)
    assert found.notes[-1] == "leads V9 are not used: the model was not trained on them"
    assert with_leads(data, data.leads, data.name) is data
    with pytest.raises(UsageError, match=r"ptb-xl has leads .* and lacks V6, which the model was trained on"):
        with_leads(replace(data, leads=(*data.leads[:-1], "V9")), data.leads, data.name)
    with pytest.raises(UsageError, match="has lead I twice"):
        with_leads(replace(data, leads=("I", "i", *data.leads[1:11], "V6"), x_NLT=extra), data.leads, "x")


def test_a_statement_without_a_training_record_is_not_known(here: Path) -> None:
    write_sph(here / "sph")
    data = load_development(here / "data", cache_dir=here / "a")
    sph = load_external(here / "sph", rate_hz=100, cache_dir=here / "b")
    found = cohorts(data, sph, np.arange(len(data)))
    assert found is not None
    assert (int(found.known_N.sum()), int(found.unseen_N.sum())) == (8, 12)
    without_50 = np.flatnonzero(~data.y["aha"][:, data.hierarchy.classes("aha").index("50")])
    found = cohorts(data, sph, without_50)
    assert found is not None
    assert (int(found.known_N.sum()), int(found.unseen_N.sum())) == (4, 16)


@pytest.mark.slow
def test_a_sealed_record_that_cannot_be_read_is_counted(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "data" / "records100" / "00000" / "00010_lr.dat").write_bytes(b"")
    found = document(capsys, "--trial", "0")
    assert found["unreadable"] == 1
    assert part_of(found, 0, "test", "aha")["n_records"] == 3


def test_external_is_no_way_into_the_sealed_fold(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = here / "copy"
    shutil.copytree(here / "data", copy)
    capsys.readouterr()
    for folder in ("data", "copy"):
        assert call("--trial", "0", "--external", folder) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "36 of its signals are among those trained on" in line
    # A copy of the sealed fold alone has no signal in common, and is refused all the same.
    rows = [number for number in range(1, 41) if number % 10 == 0]
    lines = (copy / "ptbxl_database.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (copy / "ptbxl_database.csv").write_text(
        "".join([lines[0], *(lines[row] for row in rows)]), encoding="utf-8"
    )
    assert call("--trial", "0", "--external", "copy") == 2
    assert "the same data set" in capsys.readouterr().err
    assert openings() == []


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        ([], ["name what to evaluate: --trial N[,M], --front, --presets a,b or --ensemble NAME"]),
        (["--trial", "7"], ["study s has no trial 7"]),
        (["--trial", "0,one"], ["--trial: 'one' is not the number of a trial"]),
        (["--trial", "0,,1"], ["--trial: '0,,1' has an empty name"]),
        (["--preset", "vgg"], ["--presets: unknown preset 'vgg'"]),
        (
            ["--presets", "small@vast"],
            ["--presets small@vast: unknown tier 'vast'; choose one of superclass"],
        ),
        (["--ensemble", "best"], ["--ensemble: unknown ensemble 'best': choose from top2-weighted"]),
        (["--ensemble", "greedy"], ["an ensemble takes two complete ones"]),
        (["--trial", "0", "--seeds", "0"], ["--seeds is a whole number from 1 to 99, got 0"]),
        (["--trial", "0", "--fit", "1-7"], ["--fit is 1-8", "or 1-9 on ptb-xl, got '1-7'"]),
        (["--trial", "0", "--tier", "aami"], ["--tier aami: trial 0 reaches", "severity-3"]),
        (["--trial", "0", "--external", "nowhere"], ["nowhere"]),
        (["--trial", "0", "--study", "t"], ["t"]),
    ],
)
def test_mistakes_are_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], options: list[str], fragments: list[str]
) -> None:
    capsys.readouterr()
    assert call(*options) in (1, 2)
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert all(fragment in line for fragment in fragments)
    assert openings() == []


def test_models_without_a_shared_tier_are_refused(here: Path) -> None:
    data = load_development(here / "data", cache_dir=here / "a")
    write_sph(here / "sph")
    sph = load_external(here / "sph", rate_hz=100, cache_dir=here / "b")
    with pytest.raises(
        UsageError,
        match=r"reaches tiers superclass; sph has aha, .*: choose a model trained on all, which reaches aha",
    ):
        shared_tiers(data, sph, "superclass", None)
    with pytest.raises(
        UsageError, match="--tier form: a model trained on all and sph share aha, severity-4, sev"
    ):
        shared_tiers(data, sph, "all", "form")


def test_a_data_set_without_a_sealed_fold_has_nothing_to_open(tmp_path: Path) -> None:
    folds = {number: str(number % 9 + 1) for number in range(1, 21)}
    write_data_set(tmp_path / "data", strat_fold=folds)
    with pytest.raises(DataError, match="nothing to test on in fold 10"):
        load_sealed(tmp_path / "data", rate_hz=100, cache_dir=tmp_path / "c")


@pytest.mark.slow
def test_real_records(
    ptbxl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(space.SPACES, "tiny", {"width": (0.125,), "head_width": (16,), "depth": (0,)})
    data = str(ptbxl)
    run = ["run", "--data", data, "--trials", "1", "--epochs", "1", "--space", "tiny", "--device", "cpu"]
    assert main([*run, "--target", "superclass", "--presets", "none", "--sampler", "random"]) == 0
    options = EvaluateOptions(
        storage=storage.DEFAULT_URL, choice=ChosenModels(trials="0"), data=data, device="cpu"
    )
    found = evaluate(options, Console(quiet=True))
    (sealed,) = found.scores(TEST, "superclass")
    assert sealed.n_records == 4
    assert np.isfinite(sealed.half["macro_auprc"].value)


@pytest.mark.slow
def test_an_evaluation_ends_with_its_page_which_the_report_links(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "reports.evaluation.report.figure_files",
        lambda study, shown: ((f"{chart.key}.svg", b"<svg></svg>") for chart in shown),
    )  # figures for print have tests of their own
    assert main(["evaluate", "--data", "data", "--device", "cpu", "--trial", "0"]) == 0
    page = Path("runs/reports/s/evaluation-1.html")
    assert f"Class by class: {page}" in capsys.readouterr().out
    assert "A closer look: trial 0" in page.read_text(encoding="utf-8")
    with storage.open_store(storage.DEFAULT_URL) as store:
        (summary,) = report_document(gather(store, "s"), n_resamples=10).evaluations
    assert (summary.page, summary.model, summary.records) == (page.name, "trial 0", "fold 10")
