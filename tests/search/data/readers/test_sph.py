"""SPH: statements with modifiers, the published test set, ten seconds of HDF5."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loading import load
from sph_folder import CODES, millivolts, write_h5, write_sph, write_tables

from search.data.check import check
from search.data.readers.sph import published_test_set
from search.data.signals.leads import LEADS
from search.data.signals.resample import resample
from search.data.signals.sweep import find_damage
from search.data.sources import find_data
from search.errors import DamagedRecordsError, DataError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sph(tmp_path_factory.mktemp("sph") / "data")


def test_ten_seconds_in_microvolts(root: Path) -> None:
    data = load(root, rate_hz=500)
    assert (data.name, data.leads, data.x_NLT.shape[1:]) == ("sph", LEADS, (12, 5000))
    for row, number in enumerate(data.ecg_id.tolist()):
        x_LT = millivolts(number, 5000 + 100 * number)[:, :5000].astype(float)
        np.testing.assert_array_equal(data.x_NLT[row], np.rint(x_LT * 1000))


def test_100_hz_is_the_default(root: Path) -> None:
    slow, fast = load(root), load(root, rate_hz=500)
    assert (slow.rate_hz, slow.x_NLT.shape[1:]) == (100, (12, 1000))
    np.testing.assert_array_equal(slow.x_NLT[0], resample(np.array(fast.x_NLT[0]), 500, 100))


def test_statements_with_and_without_modifiers(root: Path) -> None:
    catalogue = find_data(root).read()
    assert catalogue.hierarchy.tiers == ("aha", "statement", "severity-4", "severity-3")
    # Modifiers (300 to 399) are no statements of their own.
    assert catalogue.hierarchy.classes("aha") == ("1", "145", "147", "22", "50")
    assert set(catalogue.hierarchy.classes("statement")) == {
        *("1", "22", "50", "145", "147", "50+346", "145+362", "147+367")
    }
    row = catalogue.ecg_id.tolist().index(1)
    assert catalogue.statements[row] == ("22", "145+362")

    def classes(tier: str) -> set[str]:
        return {
            name
            for name, there in zip(
                catalogue.hierarchy.classes(tier), catalogue.labels(tier)[row], strict=True
            )
            if there
        }

    assert classes("statement") == {"22", "145+362"}
    assert classes("aha") == {"22", "145"}
    # 145 is Major in the map of Ichli (2025), 22 Minor; the worst counts.
    assert classes("severity-4") == {"major"}
    assert classes("severity-3") == {"non-urgent"}


def test_the_test_set_is_sealed_and_nobody_is_on_both_sides(root: Path) -> None:
    report = check(root, find_damage)
    assert report.sound
    assert report.rows_by_fold[-1] == 4  # a fifth of twenty
    assert report.shared_patients == ()
    data = load(root)
    assert len(data) == 16
    assert {19, 20}.isdisjoint(data.ecg_id.tolist())
    assert set(data.strat_fold.tolist()) == {1, 2, 3, 4, 5}


def test_age_and_sex_are_those_of_the_table(root: Path, tmp_path: Path) -> None:
    data = load(root)
    assert (data.age.tolist(), data.sex.tolist()) == ([55.0] * 16, [0.0] * 16)
    write_tables(tmp_path, {"A00001": ("22", "S1"), "A00002": ("1", "S2")})
    table = tmp_path / "metadata.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:2], lines[2].replace("55,M", "91,F"), ""]))
    catalogue = find_data(tmp_path).read()
    assert (catalogue.age.tolist(), catalogue.sex.tolist()) == ([55.0, 90.0], [0.0, 1.0])
    table.write_text("\n".join([*lines[:2], lines[2].replace("55,M", ",x"), ""]))
    with pytest.raises(DataError, match=r"sex of line 3 is 'x', not 0 or male, 1 or female, or blank"):
        find_data(tmp_path).read()
    table.write_text("\n".join(line.replace(",Age,Sex", ",a,b") for line in [*lines, ""]))
    catalogue = find_data(tmp_path).read()
    assert (catalogue.age, catalogue.sex) == (None, None)


def test_sealed_records_are_never_opened(tmp_path: Path) -> None:
    root = write_sph(tmp_path / "data")
    for ecg_id in ("A00019", "A00020"):
        (root / f"records/{ecg_id}.h5").unlink()
        (root / f"records/{ecg_id}.h5").mkdir()  # opening it would be an error
    assert len(load(root)) == 16


@given(st.lists(st.integers(1, 400), min_size=1, max_size=300))
def test_the_published_rule_is_that_of_pandas(patients: list[int]) -> None:
    # As in the benchmark of Al-Masud & Strodthoff's group: DataFrame.sample with the published seed.
    frame = pandas.DataFrame({"patient": patients})
    several = frame.patient.duplicated(keep=False)
    n_drawn = int(len(frame) * 0.2) - int(several.sum())
    expected = set(frame.index[several])
    if n_drawn > 0:
        expected |= set(frame[~several].sample(n_drawn, random_state=73).index)
    assert set(np.flatnonzero(published_test_set(np.array(patients))).tolist()) == expected


def test_the_number_of_records_tells_whether_it_is_the_published_set(root: Path) -> None:
    report = check(root)
    assert (report.kind, report.version) == ("SPH", "2022, subset of 20 records")
    assert report.notes == ("the test fold follows the published rule, but of 20 records, not of 25,770",)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def text(path: Path) -> None:
    path.write_text("not HDF5")


def other_name(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["signal"] = millivolts(1)


def group(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("ecg")


def outside(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["ecg"] = h5py.ExternalLink("A00002.h5", "/ecg")


def external(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("ecg", (12, 5000), "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def virtual(path: Path) -> None:
    layout = h5py.VirtualLayout((12, 5000), "f4")
    layout[:] = h5py.VirtualSource("A00002.h5", "ecg", (12, 5000))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("ecg", layout)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (Path.unlink, "A00001.h5 is missing"),
        (cut, "cannot be read"),
        (text, "cannot be read"),
        (lambda path: path.write_text("version https://git-lfs.github.com/spec"), "is a pointer of Git LFS"),
        (other_name, 'no data set "ecg"'),
        (group, 'no data set "ecg"'),
        (outside, 'no data set "ecg"'),
        (external, "lies in another file"),
        (virtual, "lies in another file"),
        (lambda path: write(path, millivolts(1)[:8]), r"shape \(8, 5000\), expected 12 leads"),
        (lambda path: write(path, millivolts(1)[0]), r"shape \(5000,\), expected 12 leads"),
        (lambda path: write(path, np.ones((12, 5000), np.int16)), "int16 of shape .* floating-point"),
        (lambda path: write(path, millivolts(1)[:, :4999]), "4,999 samples, expected 5,000 or more"),
        (lambda path: write(path, np.full((12, 5000), np.nan, np.float16)), "60,000 invalid samples"),
        (lambda path: write(path, millivolts(1) * np.float16(20)), r"voltages beyond ±32\.8 mV"),
        (lambda path: write(path, np.ones((12, 5000), np.float16)), "flat: every lead is constant"),
    ],
)
def test_damaged_records(tmp_path: Path, harm: object, reason: str) -> None:
    root = write_sph(tmp_path / "data", 6)
    for ecg_id in ("A00001", "A00002", "A00003"):
        harm(root / f"records/{ecg_id}.h5")  # type: ignore[operator]
    with pytest.raises(DamagedRecordsError, match=reason) as error:
        load(root)
    assert "\n" not in str(error.value)


def write(path: Path, x_LT: np.ndarray) -> None:
    write_h5(path.parent.parent, path.stem, x_LT)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (
            {"A1": ("999", "S1")},
            r"AHA_Code of line 2 is '999', not made of codes in code.csv \('999' is not\)",
        ),
        ({"A1": ("22+999", "S1")}, r"\('999' is not\)"),
        (
            {"A1": ("22;362", "S1")},
            r"not made of statements, each before its modifiers \(362 is",
        ),
        ({"1": ("22", "S1")}, "ECG_ID of line 2 is '1', not a letter and digits"),
        ({"A1": ("22", "../S1")}, "Patient_ID of line 2 is '../S1'"),
        (
            {"A1": ("22", "S1"), "A01": ("22", "S2")},
            "ECG_ID 'A1' of line 2 and 'A01' of line 3 may be the same; write each record in one way",
        ),
        ({}, "has no records below its header; take it from the SPH download"),
    ],
)
def test_tables_that_are_wrong(tmp_path: Path, records: dict[str, tuple[str, str]], message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        find_data(write_tables(tmp_path, records)).read()
    assert "\n" not in str(error.value)


def test_a_code_that_is_no_number(tmp_path: Path) -> None:
    root = write_tables(tmp_path, {"A1": ("22", "S1")})
    with (root / "code.csv").open("a") as file:
        file.write("AFIB,Atrial fibrillation\n")
    with pytest.raises(DataError, match=f"Code of line {len(CODES) + 2} is 'AFIB', not an AHA code"):
        find_data(root).read()


def test_without_h5py_the_way_to_get_it_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match=r"HDF5 files: pip install '\.\[sph\]'"):
        check(root, find_damage)
