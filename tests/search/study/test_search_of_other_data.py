"""A search on data that are not PTB-XL, from the files to the front; each with one small architecture."""

import json
from pathlib import Path

import pytest
import torch
from mitbih_folder import write_database
from ptbxl_waveforms import noise, write_data_set, write_record

import space
import storage
from reports.words import data_words
from search.commands.main import main
from search.data.dataset import Development
from search.models.costs import count_parameters
from search.models.hybrid import build_model, n_parameters

SMALL = space.Architecture(width=0.25, head_width=64)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, a plain console, one small preset, one core."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("PTBXL_DIR", raising=False)
    small = space.Preset(source="", summary="", architecture=SMALL)
    monkeypatch.setattr("space.PRESETS", {"small": small})
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


def run(*options: str) -> int:
    return main(["run", "--data", "data", "--trials", "1", "--epochs", "1", "--device", "cpu", *options])


def write_beats(here: Path) -> None:
    symbols = {101: "NVN", 106: "NVA", 108: "NVA", 109: "LVN", 112: "VNA", 114: "AVN"}
    write_database(here / "data", {record: beats * 4 for record, beats in symbols.items()})


@pytest.mark.slow
def test_beats_of_two_leads(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_beats(here)
    assert run() == 0
    printed = capsys.readouterr().out
    assert "72 beats" in printed
    store = storage.open_store("sqlite:///runs/search.db", create=False)
    study = store.study("mit-bih-aami")
    assert (study.target, study.rate_hz, study.n_records, study.n_patients) == ("aami", 360, 72, 6)
    assert study.tier_classes["aami"] == ("F", "N", "Q", "S", "V")
    assert data_words(study) == "mit-bih 1.0.0, subset of 6 records, 72 beats of 6 patients at 360 Hz"
    (trial,) = store.trials("mit-bih-aami")
    assert trial.state == "complete"
    architecture = space.Architecture.from_dict(trial.architecture)
    model = build_model(architecture, 5, generator=torch.Generator(), inputs=space.Inputs(n_leads=2))
    assert trial.parameters == n_parameters(model)
    assert trial.parameters == count_parameters(architecture, 5, space.Inputs(n_leads=2))
    assert trial.score is not None
    assert 0 < trial.score <= 1


@pytest.mark.slow
def test_the_split_belongs_to_the_study(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_beats(here)
    assert run("--split", "intra-patient", "--study", "mixed") == 0
    assert "mit-bih-intra-patient" in capsys.readouterr().out
    assert run("--study", "mixed") == 0  # without being named again
    assert run("--study", "mixed", "--split", "inter-patient") == 1
    assert "study mixed was made with --split intra-patient, not inter-patient" in capsys.readouterr().err


@pytest.mark.slow
def test_a_study_is_continued_with_its_axes_when_the_space_has_got_others(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = {"width": (0.125,), "head_width": (16,), "depth": (0,), "gate": (0, 4)}
    monkeypatch.setitem(space.SPACES, "tiny", axes)
    write_beats(here)
    options = ("--space", "tiny", "--study", "s", "--presets", "none", "--sampler", "random")
    assert run(*options) == 0
    assert "the axes it was made with" not in capsys.readouterr().out
    monkeypatch.setitem(space.SPACES, "tiny", {**axes, "gate": (0, 4, 16), "dropout": (0.1, 0.25)})
    assert run(*options) == 0
    assert "a new --study of space tiny has other values of gate, dropout" in capsys.readouterr().out
    trials = storage.open_store("sqlite:///runs/search.db", create=False).trials("s")
    assert [trial.state for trial in trials] == ["complete", "complete"]
    assert {trial.architecture["dropout"] for trial in trials} == {0.5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "subclass"], "unknown tier 'subclass'; choose one of aami, symbol"),
        (["--rate", "100"], "--rate 100: records of MIT-BIH can be read at 360 Hz"),
        (["--split", "random"], "--split random: MIT-BIH has inter-patient and intra-patient"),
    ],
)
def test_what_the_data_do_not_have(
    here: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    write_beats(here)
    assert run(*options) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_records_of_ones_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["record,patient_id,labels,fold"]
    for number in range(1, 31):
        rows.append(f"r{number},{number},{'AF;' * (number % 2)}{'PVC' * (number % 3 > 0)},{number % 5 + 1}")
        write_record(here / "data", f"r{number}", noise(number)[:3, :500], leads=("I", "II", "V1"))
    (here / "data/records.csv").write_text("\n".join(rows))
    assert main(["data", "check", "data", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["kind"], document["records"], document["sound"]) == ("own records", 30, True)
    assert document["tiers"]["label"]["classes"] == {"AF": 15, "PVC": 20}
    assert run() == 0
    store = storage.open_store("sqlite:///runs/search.db", create=False)
    study = store.study("own-data-label")
    (trial,) = store.trials(study.name)
    assert trial.parameters == count_parameters(SMALL, 2, space.Inputs(n_leads=3))


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [True, False])
def test_features_are_computed_before_any_trial(
    here: Path, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    axes = {
        "width": (0.25,),
        "head_width": (64,),
        "depth": (0,),
        "features": (False, True) if wanted else (False,),
    }
    monkeypatch.setitem(space.SPACES, "tiny", axes)
    computed: list[int] = []

    def note(data: Development, **options: object) -> None:
        assert options["progress"] is not None
        assert not storage.open_store("sqlite:///runs/search.db").trials("s")
        computed.append(len(data))

    monkeypatch.setattr("search.study.run.load_features", note)
    infarctions = dict.fromkeys(range(1, 21, 3), "{'IMI': 100.0}")  # so that there is a class to score
    write_data_set(here / "data", n_records=20, scp_codes=infarctions)
    assert run("--space", "tiny", "--presets", "none", "--study", "s", "--sampler", "random") == 0
    assert computed == [18] * wanted
