"""python -m search stress, from a study of real records to its page; and what is refused in one line."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import space
import storage
from reports.stress.report import stress_pages
from search.commands.main import main
from search.export.source import average_of_folds

pytestmark = [pytest.mark.usefixtures("same_threads"), pytest.mark.slow]

PTBXL = Path(__file__).parents[2] / "assets" / "ptb-xl"
STRESS = ("stress", "--data", str(PTBXL))
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def arrange(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder, with one small space and one core."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("PTBXL_DIR", raising=False)
    axes = {"depth": (0,), "head_width": (8,), "label_smoothing": (0.0,), "width": (0.0625, 0.125)}
    monkeypatch.setitem(space.SPACES, "tiny", axes)


def take_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the front have both trials: which of two barely trained models is better is luck.

    With seed 2 the smaller one is trained last and joins the front whatever it scores, so that both keep
    their models; it is trained on all statements, the other on the target.
    """

    def both(store: storage.Store, study: storage.StudyRecord) -> list[storage.TrialRecord]:
        return sorted(store.trials(study.name), key=lambda trial: trial.parameters)

    monkeypatch.setattr("search.stress.stress.trials_of_front", both)


@pytest.fixture(scope="module")
def stressed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with a study of two trials on its front and the report of its stress test."""
    folder = tmp_path_factory.mktemp("stressed")
    with pytest.MonkeyPatch.context() as monkeypatch:
        arrange(folder, monkeypatch)
        run = ["run", "--data", str(PTBXL), "--trials", "2", "--epochs", "2", "--device", "cpu"]
        study = ["--space", "tiny", "--target", "superclass", "--presets", "none", "--sampler", "random"]
        assert main([*run, *study, "--study", "s", "--seed", "2"]) == 0
        take_both(monkeypatch)
        assert main([*STRESS, "--front"]) == 0
    return folder, json.loads((folder / "runs/reports/s/stress.json").read_text(encoding="utf-8"))


@pytest.fixture
def here(stressed: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder to work in, without the reports."""
    shutil.copytree(stressed[0], tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "runs/reports")
    arrange(tmp_path, monkeypatch)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *options: str, status: int = 2) -> str:
    """The one line with which a command line is refused."""
    capsys.readouterr()
    assert main([*options]) == status
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_undisturbed_scores_are_those_that_the_study_keeps(stressed: tuple[Path, dict[str, Any]]) -> None:
    folder, report = stressed
    with storage.open_store(f"sqlite:///{folder}/runs/search.db", create=False) as store:
        kept = {trial.number: trial.score for trial in store.trials("s")}
    for model in report["models"]:
        assert model["macro_auprc"] == kept[model["trial"]]
        # The study may be scored in bfloat16 where the processor has it.
        assert model["undisturbed"]["value"] == pytest.approx(kept[model["trial"]], abs=0.02)


def test_every_condition_is_there_once(stressed: tuple[Path, dict[str, Any]]) -> None:
    _, report = stressed
    found = [(each["condition"]["disturbance"], each["condition"]["level"]) for each in report["conditions"]]
    ratios = ("24 dB", "18 dB", "12 dB", "6 dB", "0 dB", "−6 dB")
    kinds = ("baseline wander", "muscle noise", "mains hum", "electrode motion")
    assert found == [
        *((kind, ratio) for kind in kinds for ratio in ratios),
        *(("lost lead", lead) for lead in (*LEADS, "V1–V6")),
        ("limb leads reversed", "RA–LA"),
        *(("gain", level) for level in ("× 0.5", "× 2")),
        *(("resampled", level) for level in ("100 → 50 → 100 Hz", "100 → 500 → 100 Hz")),
    ]
    assert report["not_applied"] == []
    trials = [model["trial"] for model in report["models"]]
    assert all([score["trial"] for score in each["scores"]] == trials for each in report["conditions"])


def test_only_the_model_that_has_not_seen_a_record_answers_it(
    stressed: tuple[Path, dict[str, Any]],
) -> None:
    folder, report = stressed
    number = report["models"][0]["trial"]
    with storage.open_store(f"sqlite:///{folder}/runs/search.db", create=False) as store:
        study = store.study("s")
        (trial,) = (each for each in store.trials("s") if each.number == number)
        exported = average_of_folds(store, study, trial)
    ids = [part.predictions.ecg_id for part in exported.held_out]
    # What each model answers is decided by its fold, as these parts are.
    assert sum(map(len, ids)) == len(np.unique(np.concatenate(ids))) == study.n_records
    assert f"n = {study.n_records} records of" in report["method"]


def test_page_tables_and_figures_are_written(stressed: tuple[Path, dict[str, Any]]) -> None:
    folder, report = stressed
    written = {path.name for path in (folder / "runs/reports/s").iterdir()}
    charts = ("baseline-wander", "muscle-noise", "mains-hum", "electrode-motion", "other")
    figures = {f"stress-{name}.{kind}" for name in charts for kind in ("png", "svg", "pdf")}
    assert written == {"stress.html", "stress.json", "stress.schema.json", "stress.csv", *figures}
    page = (folder / "runs/reports/s/stress.html").read_text(encoding="utf-8")
    assert report["verdict"][0] in page


def test_the_same_seed_gives_the_same_document_and_json_is_all_of_the_output(
    here: Path, stressed: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    number = stressed[1]["models"][0]["trial"]
    capsys.readouterr()
    assert main([*STRESS, "--trial", str(number), "--json", "--out", "elsewhere"]) == 0
    printed = json.loads(capsys.readouterr().out)
    file = here / f"elsewhere/stress-trial-{number}.json"
    assert printed == json.loads(file.read_text(encoding="utf-8"))
    # A test of one trial replaces no file of that of the front, and the report links both.
    names = {path.name for path in file.parent.iterdir()} - {"stress.schema.json"}
    assert {name.startswith(f"stress-trial-{number}") for name in names} == {True}
    (file.parent / "stress.html").touch()
    assert stress_pages(file.parent) == {
        "stress.html": "the front",
        f"stress-trial-{number}.html": f"trial {number}",
    }
    assert f'href="stress-trial-{number}.csv"' in file.with_suffix(".html").read_text(encoding="utf-8")
    assert not (here / "runs/reports").exists()
    (model,) = printed["models"]
    assert model == stressed[1]["models"][0]
    for alone, together in zip(printed["conditions"], stressed[1]["conditions"], strict=True):
        assert alone["scores"] == together["scores"][:1]
        assert alone["tau"] is None


def test_what_cannot_be_done_is_refused_in_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = "search: name what to disturb records for: --trial N or --front"
    assert refused(capsys, *STRESS) == expected
    assert refused(capsys, *STRESS, "--trial", "0", "--front") == expected
    assert refused(capsys, *STRESS, "--front", "--seed", "-1") == "search: --seed -1: must be 0 or more"
    assert "has no trial 9" in refused(capsys, *STRESS, "--trial", "9")
    assert "nowhere" in refused(capsys, "stress", "--front", "--data", "nowhere", status=1)
    line = refused(capsys, "stress", "--front")
    assert line == "search: study s was made with ptb-xl: give its folder with --data"


def test_trials_without_their_models_are_refused_or_left_out_by_name(
    here: Path,
    stressed: tuple[Path, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    take_both(monkeypatch)
    first, other = [model["trial"] for model in stressed[1]["models"]]
    kept = storage.kept_models

    def lost(store: storage.Store, study: str, number: int) -> dict[int, str]:
        return {} if number == first else kept(store, study, number)

    monkeypatch.setattr("search.export.source.kept_models", lost)
    expected = f"trial {first} of study s has kept no models"
    assert expected in refused(capsys, *STRESS, "--trial", str(first))
    assert expected in refused(capsys, *STRESS, "--front", status=1)
    report = json.loads((here / "runs/reports/s/stress.json").read_text(encoding="utf-8"))
    assert [model["trial"] for model in report["models"]] == [other]
    assert expected in report["left_out"][0]
    monkeypatch.setattr("search.export.source.kept_models", lambda *_: {})
    assert "has kept no models" in refused(capsys, *STRESS, "--front")
