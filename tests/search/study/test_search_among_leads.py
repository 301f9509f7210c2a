"""A search among leads: a front for each number of leads, from the command line to a recording of one."""

import json
from pathlib import Path

import numpy as np
import pytest
from report_records import write_page_alone

import space
import storage
from search.commands.main import main
from search.data.signals.leads import LEADS, lead_choices
from search.errors import UsageError

AXES: dict[str, tuple[space.Choice, ...]] = {
    "depth": (0,),
    "width": (0.05,),
    "head_width": (8,),
    "head": ("linear",),
    "gate": (0,),
    "loss": ("bce",),
    "label_smoothing": (0.0,),
}
LIMB = LEADS[:6]


@pytest.mark.parametrize(
    ("text", "leads", "choices"),
    [
        ("12/limb/I", LEADS, ("all", "limb", "I")),
        ("V2,I/i", ("I", "V2"), ("all", "I")),
        ("limb / II", LIMB, ("all", "II")),
        ("I,II,V2", ("I", "II", "V2"), ("all",)),
    ],
)
def test_choices_are_values_of_the_axis(text: str, leads: tuple[str, ...], choices: tuple[str, ...]) -> None:
    assert lead_choices(text, leads) == choices


def test_leads_that_are_named_twice_are_one_choice_too_many() -> None:
    with pytest.raises(UsageError, match="--leads 12/I,II/II,I: I,II and II,I are the same leads: name them"):
        lead_choices("12/I,II/II,I", LEADS)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, ptbxl: Path) -> Path:
    """A folder with a study of every trial among twelve leads, the limb leads and lead I."""
    here = tmp_path_factory.mktemp("leads")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("COLUMNS", "80")
        patch.setitem(space.SPACES, "wide", {**space.SPACES["wide"], **AXES})
        assert run(ptbxl, "--trials", "5", "--leads", "12/limb/I") == 0
        # Continued without naming the leads; others are refused.
        assert run(ptbxl, "--trials", "1") == 0
        assert run(ptbxl, "--trials", "1", "--leads", "12/I") != 0
        write_page_alone(patch)
        assert main(["report", "--study", "leads", "--out", "report"]) == 0
    return here


def run(data: Path, *options: str) -> int:
    fixed = ("--epochs", "1", "--device", "cpu", "--target", "superclass", "--presets", "none")
    return main(["run", "--data", str(data), "--study", "leads", "--pruner", "none", *fixed, *options])


@pytest.mark.slow
def test_every_number_of_leads_has_a_front_and_models(
    searched: Path, ptbxl: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(searched)
    write_page_alone(monkeypatch)
    with storage.open_store("sqlite:///runs/search.db", create=False) as store:
        study = store.study("leads")
        trials = {trial.number: trial for trial in store.trials("leads")}
        kept = {number for number in trials if storage.kept_models(store, "leads", number)}
    assert study.settings["leads"] == "all/limb/I"
    assert {trial.architecture["leads"] for trial in trials.values()} == {"all", "limb", "I"}
    (document,) = (searched / "report").rglob("report.json")
    report = json.loads(document.read_text(encoding="utf-8"))
    fronts = {each["n_leads"]: each["front"] for each in report["lead_fronts"]}
    assert list(fronts) == [1, 6, 12]
    for n_leads, front in fronts.items():
        assert front
        leads = {"I": 1, "limb": 6, "all": 12}
        assert {leads[trials[member["trial"]].architecture["leads"]] for member in front} == {n_leads}
        assert all(member["interval"] is not None for member in front)
    # Nothing with fewer leads can be on the front of the single lead: its models are kept.
    assert {member["trial"] for member in fronts[1]} <= kept
    page = (document.parent / "index.html").read_text(encoding="utf-8")
    assert "A front for each number of leads" in page
    assert "Pareto front for each number of leads" in page

    number = fronts[1][0]["trial"]
    assert (
        main(["export", "--study", "leads", "--trial", str(number), "--out", "one", "--data", str(ptbxl)])
        == 0
    )
    preprocessing = json.loads((searched / "one/preprocessing.json").read_text(encoding="utf-8"))
    assert preprocessing["leads"] == ["I"]
    capsys.readouterr()
    record = next((ptbxl / "records100").rglob("*.hea")).with_suffix("")
    assert main(["predict", "one", str(record), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert (
        main(["stress", "--study", "leads", "--trial", str(number), "--data", str(ptbxl), "--out", "s"]) == 0
    )


@pytest.mark.slow
def test_out_of_fold_predictions_of_one_lead_do_not_see_the_others(searched: Path, ptbxl: Path) -> None:
    from search.data.dataset import load_development
    from search.training.model_file import load_model

    with storage.open_store(f"sqlite:///{searched}/runs/search.db", create=False) as store:
        trial = next(
            each
            for each in store.trials("leads")
            if each.architecture["leads"] == "I" and storage.kept_models(store, "leads", each.number)
        )
        fold = store.folds(trial.id)[0]
        predictions = storage.load_predictions(store, fold.predictions)
        artifact = storage.kept_models(store, "leads", trial.number)[fold.fold]
        kept = load_model(storage.load_artifact(store, artifact))
    data = load_development(ptbxl, cache_dir=searched / "cache")
    rows = [data.ecg_id.tolist().index(ecg_id) for ecg_id in predictions.ecg_id.tolist()]
    assert kept.leads == ("I",)
    # Predicted from lead I alone; in training bfloat16 may have been used, of 8 bits.
    p_NC = kept.predict(np.ascontiguousarray(data.x_NLT[rows][:, :1]))
    np.testing.assert_allclose(p_NC, predictions.probabilities_NC, atol=2**-6)
