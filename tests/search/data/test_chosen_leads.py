"""Some leads of a data set: chosen by name, part of what makes a study."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cinc_folder import noise, write_record
from mitbih_folder import write_database
from rich.console import Console

import storage
from search.data.check import check
from search.data.dataset import load_development, load_sealed
from search.data.signals.leads import LEADS, chosen_leads
from search.errors import DamagedRecordsError, StudyMismatchError, UsageError
from search.study.options import RunOptions
from search.study.prepare import prepare


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("leads") / "data"
    for number in range(1, 13):
        write_record(
            folder / f"E{number:05d}",
            noise(number, 1000),
            rate_hz=100,
            dx=("426783006", "164889003")[number % 2],
        )
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("I", "I"),
        ("V2,II,I", "I II V2"),
        ("lead avr, v6", "aVR V6"),
        ("limb", "I II III aVR aVL aVF"),
        ("12", " ".join(LEADS)),
        ("All", " ".join(LEADS)),
    ],
)
def test_leads_are_chosen_by_name_in_the_order_of_the_data_set(text: str, names: str) -> None:
    assert [LEADS[column] for column in chosen_leads(text, LEADS)] == names.split()


@pytest.mark.parametrize(
    ("text", "leads", "problem"),
    [
        ("V7", LEADS, "--leads V7: there is no lead 'V7': name some of I,II,III,aVR,"),
        ("I,", LEADS, "--leads I,: there is no lead '': name some of "),
        ("", LEADS, "there is no lead ''"),
        ("I,II,i", LEADS, "--leads I,II,i: I is named twice: name each lead once"),
        ("limb", ("MLII", "V1"), "lead 'I': name some of MLII,V1, or 12 or limb or all"),
    ],
)
def test_leads_that_are_not_there(text: str, leads: tuple[str, ...], problem: str) -> None:
    with pytest.raises(UsageError) as error:
        chosen_leads(text, leads)
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


def test_signals_of_some_leads_are_rows_of_all(root: Path, tmp_path: Path) -> None:
    for load in (load_development, load_sealed):
        every = load(root, rate_hz=100, cache_dir=tmp_path)
        some = load(root, rate_hz=100, leads="V2,I", cache_dir=tmp_path)
        assert some.leads == some.lead_subset == ("I", "V2")
        np.testing.assert_array_equal(some.x_NLT, every.x_NLT[:, [0, 7]])
        np.testing.assert_array_equal(some.ecg_id, every.ecg_id)
        assert some.fingerprint != every.fingerprint
        assert some.inputs == replace(every.inputs, n_leads=2)
        assert "leads used: I, V2, 2 of 12" in some.notes
        assert load(root, rate_hz=100, leads="12", cache_dir=tmp_path).fingerprint == every.fingerprint


def test_a_record_that_is_flat_in_all_of_them_is_damaged(root: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for number in range(1, 13):
        x_LT = noise(number, 1000)
        x_LT[:1] = 0 if number == 4 else x_LT[:1]
        write_record(data / f"E{number:05d}", x_LT, rate_hz=100)
    whole = load_development(data, cache_dir=tmp_path / "cache")
    assert whole.flat_leads == {4: ("I",)}
    with pytest.raises(DamagedRecordsError, match=r"4 \(E00004\): flat: I never changes"):
        load_development(data, leads="I", cache_dir=tmp_path / "cache")
    left = load_development(data, leads="I", skip_damaged=True, cache_dir=tmp_path / "cache")
    assert len(left) == len(whole) - 1
    assert load_development(data, leads="I,II", cache_dir=tmp_path / "cache").flat_leads == {4: ("I",)}
    assert load_development(data, leads="V1", cache_dir=tmp_path / "cache").flat_leads == {}
    assert check(data).n_records == 12


def test_beats_of_one_lead(tmp_path: Path) -> None:
    write_database(tmp_path / "mit", {101: "NV" * 20, 106: "NNA" * 10, 100: "NVA" * 5})
    every = load_development(tmp_path / "mit", cache_dir=tmp_path / "cache")
    first = load_development(tmp_path / "mit", leads=every.leads[0], cache_dir=tmp_path / "cache")
    np.testing.assert_array_equal(first.x_NLT, every.x_NLT[:, :1])


@pytest.mark.slow
def test_leads_are_part_of_a_study(root: Path, here: Path) -> None:
    def study(leads: str | None, name: str) -> storage.StudyRecord:
        options = RunOptions(trials=1, data=str(root), leads=leads, study=name, presets=("none",))
        prepared = prepare(options, Console(quiet=True))
        with prepared.store:
            assert len(prepared.data.leads) == (2 if name == "two" else 12)
            assert prepared.architectures.inputs.n_leads == len(prepared.data.leads)
            return prepared.study

    assert study("II,I", "two").settings["leads"] == "I,II"
    # Continued without naming them, or by the same in another order.
    assert study(None, "two").settings["data_notes"][-1] == "leads used: I, II, 2 of 12"
    assert study("i,ii", "two").settings["leads"] == "I,II"
    for leads, asked in (("V1,V2", "V1,V2"), ("12", "all")):
        with pytest.raises(StudyMismatchError, match=f"with --leads I,II, not {asked}: leave --leads out"):
            study(leads, "two")
    assert "leads" not in study(None, "twelve").settings
    assert study("all", "twelve").name == study("12", "twelve").name == "twelve"
    with pytest.raises(StudyMismatchError, match="was made with --leads all, not I,II: leave --leads out"):
        study("I,II", "twelve")
