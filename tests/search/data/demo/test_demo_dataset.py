"""The demo as a data set: PTB-XL's layout, labels, patients, folds, and equal bytes for equal seeds."""

import ast
import csv
import hashlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.data.demo import write_demo
from search.data.demo.patients import assign_folds, group_patients
from search.data.demo.plan import PlannedRecord, apportion, plan_records
from search.data.demo.shares import LABEL_NOISE_SHARE, RHYTHMS, SUBCLASS_OF, SUBCLASSES
from search.data.demo.tables import COLUMNS
from search.data.signals.headers import load_wfdb
from search.errors import DataError, UsageError

N_SMALL = 30


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder, n_records=N_SMALL, seed=3, rates_hz=(100, 500))
    return folder


def plan(n_records: int, seed: int = 0) -> list[PlannedRecord]:
    rng = np.random.default_rng(seed)
    records = plan_records(n_records, rng)
    group_patients(records, rng)
    assign_folds(records)
    return records


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "ptbxl_database.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def digest(folder: Path) -> str:
    lines = [
        f"{path.relative_to(folder).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in folder.rglob("*")
        if path.is_file()
    ]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def test_files_lie_where_ptb_xl_has_them(demo: Path) -> None:
    assert {path.name for path in demo.iterdir()} == {
        "README.txt",
        "ptbxl_database.csv",
        "records100",
        "records500",
        "scp_statements.csv",
    }
    assert "SYNTHETIC" in (demo / "README.txt").read_text().splitlines()[0]
    for row in rows_of(demo):
        for column in ("filename_lr", "filename_hr"):
            assert (demo / f"{row[column]}.dat").is_file()
            assert (demo / f"{row[column]}.hea").is_file()


@pytest.mark.parametrize(("column", "rate_hz"), [("filename_lr", 100), ("filename_hr", 500)])
def test_wfdb_reads_what_was_written(demo: Path, column: str, rate_hz: int) -> None:
    name = rows_of(demo)[4][column]

    wfdb = load_wfdb()
    record = wfdb.rdrecord(str(demo / name), physical=False)

    samples = np.fromfile(demo / f"{name}.dat", dtype="<i2").reshape(-1, 12)
    np.testing.assert_array_equal(record.d_signal, samples)
    assert record.fs == rate_hz
    assert record.sig_len == 10 * rate_hz
    assert record.sig_name == ["I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6"]
    assert record.units == ["mV"] * 12
    assert record.adc_gain == [1000.0] * 12
    assert record.checksum == record.calc_checksum()
    assert record.init_value == samples[0].tolist()
    signals_mv, _ = wfdb.rdsamp(str(demo / name))
    np.testing.assert_allclose(signals_mv, samples / 1000)


def test_written_limb_leads_obey_the_identities_exactly(demo: Path) -> None:
    for row in rows_of(demo):
        samples = np.fromfile(demo / f"{row['filename_lr']}.dat", dtype="<i2").reshape(-1, 12).astype(int)
        i, ii, iii, avr, avl, avf = samples.T[:6]
        np.testing.assert_array_equal(iii, ii - i)
        np.testing.assert_array_equal([2 * avr, 2 * avl, 2 * avf], [-i - ii, 2 * i - ii, 2 * ii - i])


def test_layout_equals_the_published_files(demo: Path, ptbxl: Path) -> None:
    with (ptbxl / "ptbxl_database.csv").open(newline="") as file:
        assert tuple(next(csv.reader(file))) == COLUMNS
    assert (demo / "scp_statements.csv").read_bytes() == (ptbxl / "scp_statements.csv").read_bytes()
    published = (ptbxl / "records100/00000/00001_lr.hea").read_text().split()
    written = (demo / "records100/00000/00001_lr.hea").read_text().split("#")[0].split()
    varying = {k for k, (a, b) in enumerate(zip(published, written, strict=True)) if a != b}
    assert varying <= {
        4 + 9 * lead + field for lead in range(12) for field in (5, 6)
    }  # first value, checksum


def test_rows_are_marked_and_filled_as_in_ptb_xl(demo: Path) -> None:
    rows = rows_of(demo)

    assert tuple(rows[0]) == COLUMNS
    assert [row["ecg_id"] for row in rows] == [str(k) for k in range(1, N_SMALL + 1)]
    assert {row["device"] for row in rows} == {"SYNTH"}
    assert all(row["report"].startswith("SYNTHETIC") for row in rows)
    assert all(row["patient_id"].endswith(".0") for row in rows)
    assert {row["validated_by_human"] for row in rows if int(row["strat_fold"]) >= 9} == {"True"}
    for row in rows:
        for code, likelihood in ast.literal_eval(row["scp_codes"]).items():
            assert likelihood in ({0.0, 15.0, 35.0, 50.0, 80.0, 100.0} if code in SUBCLASS_OF else {0.0})


def test_some_ages_are_the_marker_for_ninety_and_over(tmp_path: Path) -> None:
    write_demo(tmp_path, n_records=150)
    assert any(row["age"] == "300.0" for row in rows_of(tmp_path))


def test_same_seed_writes_the_same_bytes(demo: Path, tmp_path: Path) -> None:
    write_demo(tmp_path / "again", n_records=N_SMALL, seed=3, rates_hz=(100, 500))
    write_demo(tmp_path / "other", n_records=N_SMALL, seed=4, rates_hz=(100, 500))

    assert digest(tmp_path / "again") == digest(demo)
    assert digest(tmp_path / "other") != digest(demo)


def test_bytes_are_the_same_on_every_machine(tmp_path: Path) -> None:
    """Digest of the records of write_demo(n_records=12), from x86-64 Linux with NumPy 2.4.6."""
    write_demo(tmp_path, n_records=12)
    assert (
        digest(tmp_path / "records100") == "390b7cb308442bc5a559132b0c066c276661ebfe1b68995178b4b97104e6e231"
    )


def test_progress_counts_the_records(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_demo(tmp_path, n_records=4, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("n_records", [1000, 1200])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_subclass_has_twenty_records_in_all_folds(n_records: int, seed: int) -> None:
    records = plan(n_records, seed)

    folds = defaultdict(Counter[int])
    for record in records:
        for name in {SUBCLASS_OF[code] for code in record.written_diagnoses}:
            folds[name][record.fold] += 1
    assert set(folds) == set(SUBCLASSES)
    assert min(sum(counts.values()) for counts in folds.values()) >= 20
    assert all(len(counts) == 10 for counts in folds.values())
    assert {code for record in records for code in record.written_diagnoses} == set(SUBCLASS_OF)


def test_small_demo_has_every_subclass_in_two_folds() -> None:
    folds = defaultdict(set)
    for record in plan(240):
        for name in {SUBCLASS_OF[code] for code in record.written_diagnoses}:
            folds[name].add(record.fold)
    assert set(folds) == set(SUBCLASSES)
    assert min(len(numbers) for numbers in folds.values()) >= 2


def test_patients_stay_in_one_fold_and_folds_are_even() -> None:
    records = plan(1200)

    fold_of = defaultdict(set)
    for record in records:
        fold_of[record.patient].add(record.fold)
    sizes = Counter(record.fold for record in records)
    assert all(len(folds) == 1 for folds in fold_of.values())
    assert len(records) / len(fold_of) == pytest.approx(1.17, abs=0.04)
    assert set(sizes) == set(range(1, 11))
    assert max(sizes.values()) - min(sizes.values()) <= 12


def test_rhythms_occur_where_they_can_and_some_records_have_no_diagnosis() -> None:
    records = plan(1200)

    rhythms = Counter(code for record in records for code in record.rhythms)
    assert set(rhythms) == set(RHYTHMS) | {"SR"}
    assert min(rhythms.values()) >= 15
    assert {record.rhythms[0] for record in records if not record.diagnoses} == {"PACE", "AFIB", "AFLT"}
    assert sum(len(record.diagnoses) == 2 for record in records) > 100
    assert not any({"AFIB", "PACE"} & set(record.rhythms) for record in records if "NORM" in record.diagnoses)


def test_a_few_labels_are_wrong() -> None:
    records = plan(1200)
    wrong = sum(record.diagnoses != record.written_diagnoses for record in records)
    assert wrong / len(records) == pytest.approx(LABEL_NOISE_SHARE, abs=0.01)


@pytest.mark.parametrize("n_records", [1, 2, 11, 60])
def test_any_number_of_records_can_be_planned(n_records: int) -> None:
    records = plan(n_records)
    assert len(records) == n_records
    assert all(record.rhythms and 1 <= record.fold <= 10 for record in records)


def test_apportion_gives_everything_away() -> None:
    assert apportion(10, {"a": 0.5, "b": 0.3, "c": 0.2}) == {"a": 5, "b": 3, "c": 2}
    assert apportion(2, {"a": 0.5, "b": 0.3, "c": 0.2}) == {"a": 1, "b": 1, "c": 0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_records": 0}, "demo of 0 records: ask for 1 to 99999"),
        ({"seed": -1}, "demo seed -1: ask for 0 or more"),
        ({"rates_hz": (250,)}, "demo at 250 Hz: ask for 100, 500 or both"),
        ({"rates_hz": ()}, "demo at no Hz: ask for 100, 500 or both"),
    ],
)
def test_bad_arguments_are_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        write_demo(tmp_path, **arguments)
    assert str(error.value) == message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["ptbxl_database.csv", "scp_statements.csv", "README.txt", "records100/x"])
def test_the_demo_replaces_nothing_but_a_demo(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("of real patients")
    expected = f"holds {name.partition('/')[0]}, which no demo wrote and this one would replace; give another"
    with pytest.raises(DataError, match=expected):
        write_demo(tmp_path, n_records=1)
    assert (tmp_path / name).read_text() == "of real patients"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_demo_takes_the_place_of_an_earlier_one_whole_or_interrupted(tmp_path: Path) -> None:
    write_demo(tmp_path, n_records=2)
    (tmp_path / "ptbxl_database.csv").unlink()
    write_demo(tmp_path, n_records=1, seed=1)
    assert (tmp_path / "ptbxl_database.csv").read_text().count("\n") == 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match=r"^cannot write the demo to .*file: File exists; give a folder"):
        write_demo(blocked, n_records=1)
