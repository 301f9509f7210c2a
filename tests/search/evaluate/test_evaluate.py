"""evaluate: the sealed fold opened once and written down first; another data set through AHA statements."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mitbih_folder import write_database
from ptbxl_waveforms import write_data_set
from rich.console import Console
from sph_folder import write_sph

import space
import storage
from search.commands.main import main
from search.data.dataset import load_development, load_external, load_sealed
from search.data.signals.records import RecordReader
from search.errors import DataError, UsageError
from search.evaluate import evaluate as module
from search.evaluate.evaluate import EvaluateOptions, evaluate
from search.training.model_file import load_model

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
    study = ["--target", "aha", "--presets", "none", "--study", "s", "--sampler", "random"]
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


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """Evaluating takes all cores, which other tests in this process would notice."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def openings() -> list[storage.OpeningRecord]:
    store = storage.open_store(storage.DEFAULT_URL)
    try:
        return store.openings("s")
    finally:
        store.close()


def call(*options: str) -> int:
    return main(["evaluate", "--data", "data", "--device", "cpu", *options])


def document(capsys: pytest.CaptureFixture[str], *options: str) -> Any:
    capsys.readouterr()
    assert call("--json", *options) == 0
    written = capsys.readouterr()
    return json.loads(written.out)


def test_the_sealed_fold_is_opened_and_counted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "--trial", "0")
    assert found["openings"] == 1
    assert [(row["records"], row["n_records"]) for row in found["results"][:2]] == [
        ("strat_fold 9", 4),
        ("fold 10", 4),
    ]
    assert {row["tier"] for row in found["results"]} >= {"aha"}
    (kept,) = openings()
    assert (kept.study, kept.trial, kept.preset) == ("s", 0, None)
    sealed = next(row for row in found["results"] if row["records"] == "fold 10" and row["tier"] == "aha")
    assert kept.metrics["aha_macro_auprc"] == pytest.approx(sealed["macro_auprc"][0])
    before = Path(found["model_file"]).read_bytes()
    assert load_model(before).architecture.to_dict() == found["architecture"]
    assert call("--trial", "0") == 0
    text = capsys.readouterr().out
    assert not Path(found["model_file"]).exists()  # in its place is what was trained now, which is the same
    (now,) = re.findall(r"^Trained model: (runs/artifacts/.*)$", text, flags=re.MULTILINE)
    assert Path(now).read_bytes() == before
    assert "opened 2 times for this study, this time included" in " ".join(text.split())
    assert "UTC: trial 0" in text
    assert sealed["metrics"]["macro_auprc"] == pytest.approx(sealed["macro_auprc"][0])
    assert found["results"][0]["metrics"] == {}
    assert max(map(len, text.splitlines())) <= 80


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
    assert [row["n_records"] for row in found["results"] if row["records"] == "fold 10"] == [3]


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
    assert main(["evaluate", "--trial", "0", "--data", "mit", "--device", "cpu"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "The split is intra-patient: validation beats are of patients trained on." in text
    assert "Accuracy of the most probable aami class on the test fold: " in text
    assert "F1 at thresholds" not in text


def test_another_data_set_through_its_aha_statements(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sph(here / "sph")
    found = document(capsys, "--trial", "0", "--external", "sph")
    assert found["openings"] is None
    assert openings() == []
    (row,) = found["results"]
    assert (row["tier"], row["n_records"]) == ("aha", 20)
    # The statements of PTB-XL's folder have the numbers 1 (NORM), 20, 50, 145 (NST_) and 161, 1AVB has none;
    # SPH's records have 1, 22, 50, 145 and 147, in turn "1", "22;145+362", "50+346", "147+367;145" and "22".
    assert row["classes"] == ["1", "145", "50"]
    assert found["unmapped"]["there"] == {"147": 4, "22": 8}
    assert set(found["unmapped"]["here"]) == {"161", "20"}
    assert found["unmapped"]["records_without_shared_class"] == 4
    assert call("--trial", "0", "--external", "sph") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Only where it was tested: 22 (8), 147 (4)" in text
    assert "4 records tested have none of the shared classes." in text


def test_a_sealed_record_that_cannot_be_read_is_counted(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "data" / "records100" / "00000" / "00010_lr.dat").write_bytes(b"")
    found = document(capsys, "--trial", "0")
    assert found["unreadable"] == 1
    assert found["results"][1]["n_records"] == 3


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
        ([], ["name one model: --trial N or --preset NAME"]),
        (["--trial", "0", "--preset", "small"], ["name one model"]),
        (["--trial", "7"], ["study s has no trial 7"]),
        (["--preset", "vgg"], ["--preset: unknown preset 'vgg'"]),
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
    with pytest.raises(UsageError, match="reaches tiers superclass; sph has aha, statement"):
        module._shared_tier(data, sph, "superclass")


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
    options = EvaluateOptions(storage=storage.DEFAULT_URL, trial=0, data=data, device="cpu")
    found = evaluate(options, Console(quiet=True))
    sealed = [row for row in found.results if row.records == "fold 10"]
    assert sealed[0].n_records == 4
    assert np.isfinite(sealed[0].macro_auprc.value)
