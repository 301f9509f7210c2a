"""A folder of WFDB records with records.csv: read as documented, nothing outside it, nobody on both sides."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from cinc_folder import matrix_head
from hypothesis import given
from hypothesis import strategies as st
from loading import load
from ptbxl_waveforms import HEADER_LEADS, header_text, noise, write_record

from search.data.catalogue import Catalogue
from search.data.check import check
from search.data.folds import FIVE_FOLDS, cv_folds
from search.data.grouping import balanced_folds, is_sealed, random_folds
from search.data.signals.leads import LEADS
from search.data.signals.resample import n_resampled, resample
from search.data.signals.sweep import find_damage
from search.data.sources import find_data
from search.errors import DamagedRecordsError, DataError


def write_table(root: Path, rows: Sequence[str], header: str = "record,patient_id,labels") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "records.csv").write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return root


def write_own(root: Path, n_records: int = 12, rate_hz: int = 100) -> Path:
    """Records of as many patients, AF in every third, PVC in every fourth."""
    rows = []
    for number in range(1, n_records + 1):
        labels = [name for name, step in (("AF", 3), ("PVC", 4)) if number % step == 0]
        rows.append(f"ward/{number:03d},P{number:02d},{' ; '.join(labels)}")
        write_record(root, f"ward/{number:03d}", noise(number, rate_hz), rate_hz=rate_hz)
    return write_table(root, rows)


def test_the_documented_example(tmp_path: Path) -> None:
    root = write_own(tmp_path / "My data")
    data = load(root)
    assert (data.name, data.version, data.unit, data.rate_hz) == ("own-my-data", "unversioned", "record", 100)
    assert data.leads == LEADS
    assert data.hierarchy.tiers == ("label",)
    assert data.hierarchy.classes("label") == ("AF", "PVC")
    np.testing.assert_array_equal(data.x_NLT, np.stack([noise(n) for n in data.ecg_id.tolist()]))
    expected_NC = np.stack([data.ecg_id % 3 == 0, data.ecg_id % 4 == 0], axis=1)
    np.testing.assert_array_equal(data.y["label"], expected_NC)
    # Patients that are not numbers are numbered by their first row.
    assert data.patient_id.tolist() == data.ecg_id.tolist()
    report = check(root, find_damage)
    assert report.sound
    assert report.kind == "own records"
    assert report.rows_by_fold[-1] == 12 - len(data) >= 1


def test_age_and_sex_are_optional_columns(tmp_path: Path) -> None:
    root = write_own(tmp_path / "data", n_records=3)
    catalogue = find_data(root).read()
    assert (catalogue.age, catalogue.sex) == (None, None)
    rows = ["ward/001,P1,AF,63,M", "ward/002,P2,,300,female", "ward/003,P3,PVC,,1"]
    catalogue = find_data(write_table(root, rows, "record,patient_id,labels,Age,sex")).read()
    np.testing.assert_array_equal(catalogue.age, np.float32([63, 90, np.nan]))
    np.testing.assert_array_equal(catalogue.sex, np.float32([0, 1, 1]))
    assert not any("not used" in note for note in catalogue.notes)
    write_table(root, ["ward/001,P1,AF,2"], "record,patient_id,labels,sex")
    with pytest.raises(DataError, match=r"sex of line 2 is '2', not 0 or male, 1 or female, or blank"):
        find_data(root).read()


def test_folds_of_the_table_are_used(tmp_path: Path) -> None:
    root = write_own(tmp_path / "data")
    folds = ["1", "2", "3", "4", "5", "test"] * 2
    rows = [f"ward/{n:03d},{n},AF,{fold}" for n, fold in enumerate(folds, start=1)]
    write_table(root, rows, "record,patient_id,labels,fold")
    data = load(root)
    assert data.ecg_id.tolist() == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    assert data.strat_fold.tolist() == [1, 2, 3, 4, 5] * 2
    write_table(root, [*rows[:-1], "ward/012,1,AF,test"], "record,patient_id,labels,fold")
    with pytest.raises(DataError, match=r"^patient 1 \(folds 1, 2, test\)|^patient 1 \(folds 1, test\)"):
        load(root)
    assert check(root).to_json()["patients_in_several_folds"] == [1]


def test_a_patient_on_both_sides_is_named_as_in_the_table(tmp_path: Path) -> None:
    rows = [f"ward/{n:03d},{'Ann' if n > 10 else f'P{n}'},AF,{n % 5 + 1}" for n in range(1, 13)]
    root = write_table(write_own(tmp_path / "data"), rows, "record,patient_id,labels,fold")
    with pytest.raises(
        DataError, match=r"^patient Ann \(folds 2, 3\) would be trained on and scored at once"
    ):
        load(root)
    assert check(root).to_json()["patients_in_several_folds"] == ["Ann"]


def test_patients_are_named_as_in_the_table_if_one_of_them_is_no_number(tmp_path: Path) -> None:
    """A number of one and the row of another would be taken for each other, and change with the rows."""
    rows = ["ward/001,A7,A", "ward/002,12,B", "ward/003,1,A"]
    root = write_own(tmp_path / "data", 3)
    catalogue = read_own(root, rows)
    names = [catalogue.patient_names[number] for number in catalogue.patient_id.tolist()]
    assert names == ["A7", "12", "1"]
    assert read_own(root, [row.replace("A7", "7") for row in rows]).patient_names == {}


def test_leads_and_length_are_those_of_the_first_record(tmp_path: Path) -> None:
    root = write_table(tmp_path / "data", [f"{n},{n},A" for n in range(1, 13)])
    for number in range(1, 13):
        order = ("II", "V5") if number % 2 else ("V5", "II")
        write_record(root, str(number), noise(number)[:2, :500], leads=order)
    long = np.concatenate([noise(5), noise(6)], axis=1)[:2]
    write_record(root, "2", long, leads=("V5", "II"))
    data = load(root)
    assert (data.leads, data.x_NLT.shape[1:]) == (("II", "V5"), (2, 500))
    for row, number in enumerate(data.ecg_id.tolist()):
        steps_LT = long if number == 2 else noise(number)
        expected_LT = steps_LT[:2, :500] if number % 2 else steps_LT[1::-1, :500]
        np.testing.assert_array_equal(data.x_NLT[row], expected_LT)


def test_names_of_leads_that_are_not_standard(tmp_path: Path) -> None:
    root = write_table(tmp_path / "data", [f"{n},{n},A" for n in range(1, 8)])
    for number in range(1, 8):
        write_record(root, str(number), noise(number)[:2], leads=("CH1", "CH2"))
    assert load(root).leads == ("CH1", "CH2")


def test_a_fast_record_can_be_read_at_100_hz(tmp_path: Path) -> None:
    root = write_own(tmp_path / "data", rate_hz=250)
    at_100, at_250 = load(root), load(root, rate_hz=250)
    assert (at_100.rate_hz, at_100.x_NLT.shape[2]) == (100, 1000)
    assert (at_250.rate_hz, at_250.x_NLT.shape[2]) == (250, 2500)
    np.testing.assert_array_equal(at_100.x_NLT[0], resample(np.array(at_250.x_NLT[0]), 250, 100))
    assert at_100.fingerprint != at_250.fingerprint


def test_records_that_differ_from_the_first_are_damaged(tmp_path: Path) -> None:
    root = write_own(tmp_path / "data")
    write_record(root, "ward/002", noise(2)[:, :900])
    write_record(root, "ward/003", noise(3, 500), rate_hz=500)
    write_record(root, "ward/004", noise(4)[:2], leads=("I", "II"))
    (root / "ward/005.dat").unlink()
    report = check(root, find_damage)
    assert [damage.reason.split(",")[0] for damage in report.rates[100].damaged] == [
        "900 samples",
        "sampled at 500 Hz",
        "2 leads",
    ]
    assert "expected 1,000 or more (10 s)" in report.rates[100].damaged[0].reason
    assert report.rates[100].missing_ids == (5,)
    with pytest.raises(DamagedRecordsError, match=r"3 \(ward/003\): sampled at 500 Hz, expected 100 Hz"):
        load(root)
    data = load(root, skip_damaged=True)
    assert {2, 3, 4, 5}.isdisjoint(data.ecg_id.tolist())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["../outside,1,A"], r"record of line 2 is '\.\./outside', not a path below the data folder"),
        (["/etc/passwd,1,A"], "record of line 2 is '/etc/passwd'"),
        (["c:\\x,1,A"], "not a path below the data folder"),
        ([",1,A"], "record of line 2 is ''"),
        (
            ["ward/001,1,A", "ward/001,2,A"],
            "line 2 and line 3 are both of record 'ward/001' and differ in patient_id; correct what is wrong",
        ),
        (["ward/001, ,A"], "patient_id of line 2 is '', not the name of a patient"),
        (["ward/001,1,"], "has no label in any row; fill in the column labels"),
        ([f"ward/001,1,{'x' * 81}"], "labels of line 2 is 'x+…', not short names"),
        (["ward/xyz,1,A"], r"no header in .* can be read \(ward/xyz: xyz.hea is missing\)"),
        (["ward/001"], "line 2 has 1 cell, the header 3 \\(comma-separated\\); correct the file"),
        ([], "has no records below its header; correct the file"),
    ],
)
def test_what_a_table_can_get_wrong(tmp_path: Path, rows: list[str], message: str) -> None:
    root = write_table(write_own(tmp_path / "data", 1), rows)
    with pytest.raises(DataError, match=message) as error:
        load(root)
    assert "\n" not in str(error.value)


def test_a_table_with_other_columns(tmp_path: Path) -> None:
    root = write_table(tmp_path, ["1,2"], "record,labels")
    with pytest.raises(
        DataError,
        match=r"records\.csv lacks the column patient_id; its header has record, labels; correct the file",
    ):
        find_data(root).read()


@pytest.mark.parametrize("fold", ["6", "0.5", "-1", "training", ""])
def test_folds_that_do_not_exist(tmp_path: Path, fold: str) -> None:
    root = write_own(tmp_path / "data", 1)
    write_table(root, [f"ward/001,1,A,{fold}"], "record,patient_id,labels,fold")
    with pytest.raises(DataError, match=f"fold of line 2 is '{fold}', not 1 to 5 or test"):
        load(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (header_text("001", noise(1)[:2], leads=("II", "II")), "leads 'II, II'; name each differently"),
        (header_text("001", noise(1)[:, :50]), "is shorter than a second; take it out of records.csv"),
        (
            header_text("001", noise(1)).replace("12 100 1000", "12 99.5 1000"),
            "99.5 Hz, expected a whole number",
        ),
    ],
)
def test_a_first_header_that_cannot_set_the_others(tmp_path: Path, text: str, message: str) -> None:
    root = write_own(tmp_path / "data", 3)
    (root / "ward/001.hea").write_text(text)
    with pytest.raises(DataError, match=message):
        load(root)


def test_the_header_leads_are_the_standard_ones() -> None:
    assert [lead.upper() for lead in LEADS] == list(HEADER_LEADS)


PATIENTS = st.lists(st.integers(0, 30), min_size=1, max_size=200).map(np.array)


@given(PATIENTS)
def test_a_patient_is_in_one_fold_and_folds_are_balanced(patient_id: np.ndarray) -> None:
    fold = balanced_folds(patient_id)
    assert set(fold.tolist()) <= {1, 2, 3, 4, 5}
    for patient in np.unique(patient_id):
        assert len(np.unique(fold[patient_id == patient])) == 1
    sizes = np.bincount(fold, minlength=6)[1:]
    # Whoever was put last into the largest fold was put into what was the smallest then.
    assert sizes.max() - sizes.min() <= np.bincount(patient_id).max()
    if len(np.unique(patient_id)) >= 5:
        assert sizes.min() > 0
        assert len(cv_folds(fold, FIVE_FOLDS)) == 5


@given(PATIENTS, st.randoms(use_true_random=False))
def test_folds_do_not_depend_on_the_order_of_rows(patient_id: np.ndarray, random: object) -> None:
    order = np.array(random.sample(range(len(patient_id)), len(patient_id)))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(balanced_folds(patient_id)[order], balanced_folds(patient_id[order]))


def test_balanced_folds_by_hand() -> None:
    # 9, 7, 5, 4, 3 open the folds; 2 joins 3, then 1 joins 4 (5 and 5 and 5).
    patient_id = np.repeat([1, 2, 3, 4, 5, 6, 7], [9, 7, 5, 4, 3, 2, 1])
    fold_of = dict(zip(patient_id.tolist(), balanced_folds(patient_id).tolist(), strict=True))
    assert fold_of == {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 5, 7: 4}


@given(st.integers(5, 300))
def test_random_folds_are_equal_and_always_the_same(n_rows: int) -> None:
    fold = random_folds(n_rows)
    sizes = np.bincount(fold, minlength=6)[1:]
    assert sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(fold, random_folds(n_rows))


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=60), st.integers(1, 60))
def test_who_is_sealed_stays_sealed(patients: list[str], n_before: int) -> None:
    sealed = {name for name, shut in zip(patients, is_sealed(patients), strict=True) if shut}
    assert sealed
    earlier = patients[:n_before]
    before = {name for name, shut in zip(earlier, is_sealed(earlier), strict=True) if shut}
    # Only the one who was sealed for want of others may be let out again.
    assert len(before - sealed) <= 1
    assert len(before) == 1 or before <= sealed


def test_about_a_tenth_of_the_patients_is_sealed() -> None:
    assert 80 <= is_sealed([f"patient {number}" for number in range(1_000)]).sum() <= 120


@pytest.mark.parametrize(("from_hz", "to_hz"), [(500, 100), (250, 100), (360, 100), (1000, 100)])
def test_resampling_keeps_slow_waves_and_offsets(from_hz: int, to_hz: int) -> None:
    def wave(rate_hz: int) -> np.ndarray:
        time_s = np.arange(10 * rate_hz) / rate_hz
        return np.rint(np.stack([500 + 1000 * np.sin(2 * np.pi * 5 * time_s), np.full_like(time_s, -700)]))

    resampled = resample(wave(from_hz).astype(np.int16), from_hz, to_hz)
    assert resampled.shape == (2, n_resampled(10 * from_hz, from_hz, to_hz)) == (2, 1000)
    np.testing.assert_allclose(resampled[:, 20:-20], wave(to_hz)[:, 20:-20], atol=6)
    np.testing.assert_allclose(resampled[1], -700, atol=1)


def test_resampling_filters_what_the_new_rate_cannot_show() -> None:
    time_s = np.arange(5000) / 500
    fast_LT = np.rint(1000 * np.sin(2 * np.pi * 90 * time_s))[None].astype(np.int16)
    assert np.abs(resample(fast_LT, 500, 100)[0, 20:-20]).max() < 20


def read_own(root: Path, rows: Sequence[str], header: str = "record,patient_id,labels") -> Catalogue:
    return find_data(write_table(root, rows, header)).read()


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (['"AF, PVC"', "SR"], "write AF;PVC"),
        (['"af, pvc"', "SR"], "write af;pvc"),
        (['"Sinus rhythm,normal"', "AF"], "write Sinus rhythm;normal, or rename it"),
        (['"Sinus rhythm, normal"', "Sinus Rhythm"], "write Sinus rhythm;normal, or rename it"),
        (['"Sinus rhythm, normal"', "normal"], "write Sinus rhythm;normal, or rename it"),
        (['"AF,PVC"', "PVC"], "'AF,PVC', not one label or several with semicolons between: write AF;PVC"),
        (["AF|PVC", "PVC"], "'AF|PVC', not one label .* write AF;PVC"),
        (["AF；PVC", "PVC"], "'AF；PVC', not one label"),
        (["AF/PVC", "AF;PVC"], "'AF/PVC', not one label .* write AF;PVC"),
        (["AF PVC", "AF;PVC"], "'AF PVC', not one label .* write AF;PVC"),
        (["\"['AF', 'PVC']\"", "PVC"], "not labels separated by semicolons, without brackets and quotes"),
        (['"[""AF""]"', "PVC"], "not labels separated by semicolons, without brackets and quotes"),
        (["\"('AF', 'PVC')\"", "PVC"], "not labels separated by semicolons, without brackets and quotes"),
        (["AF\u01c0PVC", "PVC"], "write AF;PVC, or rename it"),
        (["AF and PVC", "AF;PVC"], "write AF;PVC, or rename it"),
        (["AF_PVC", "AF;PVC"], "write AF;PVC, or rename it"),
        *(
            ([f"AF{between}PVC", "AF;PVC"], "write AF;PVC, or rename it")
            for between in (":", ".", " ~ ", "^", "*", "\u00b7", " \u2022 ", "\\", "<br>", "\\n", " With ")
        ),
        (["A-B/C", "A-B;C"], "write A-B;C, or rename it"),
        (["AF &amp; PVC", "PVC"], "'AF &amp; PVC', not text: write & for &amp;"),
        (["0 0 1", "1 0 1"], "'0 0 1', not names: a vector is not read"),
        (["001", "110"], "'001', not names: a vector is not read"),
        (["\u0410F", "AF"], "may be the same; write each label in one way"),
        (["'AF'", "AF"], "labels of line 2 is .*AF.*, not labels without quotes of their own"),
        (
            ["AF", "af"],
            "labels 'AF' of line 2 and 'af' of line 3 may be the same; write each label in one way",
        ),
        (["sinus rhythm", "sinus_rhythm"], "may be the same"),
        (["1", "1.0"], "may be the same"),
        (["nan", "-"], "has no label in any row"),
    ],
)
def test_labels_in_doubt_are_refused(tmp_path: Path, cells: list[str], message: str) -> None:
    root = write_own(tmp_path / "data", 2)
    with pytest.raises(DataError, match=message.replace("|", r"\|").replace("[", r"\[")) as error:
        read_own(root, [f"ward/{n:03d},{n},{cell}" for n, cell in enumerate(cells, start=1)])
    assert "\n" not in str(error.value)


def test_words_for_a_missing_label_are_no_class_and_are_told(tmp_path: Path) -> None:
    root = write_own(tmp_path / "data", 4)
    cells = ("nan", "AF;None", "ST/T change", "")
    catalogue = read_own(root, [f"ward/{n:03d},{n},{cell}" for n, cell in enumerate(cells, start=1)])
    assert catalogue.statements == ((), ("AF",), ("ST/T change",), ())
    assert catalogue.notes == (
        "records whose labels are 'nan' count as records without a label: 1",
        "records with 'None' beside labels, which counts as nothing: 1",
    )


def test_a_qualifier_behind_a_comma_belongs_to_its_label_and_is_told(tmp_path: Path) -> None:
    cells = ('"Sinus rhythm, normal;AF"', '"AV block, first degree, intermittent"', '"Sinus rhythm, slow"')
    rows = [f"ward/{n:03d},{n},{cell}" for n, cell in enumerate(cells, start=1)]
    catalogue = read_own(write_own(tmp_path / "data", 3), rows)
    assert catalogue.statements == (
        ("Sinus rhythm, normal", "AF"),
        ("AV block, first degree, intermittent",),
        ("Sinus rhythm, slow",),
    )
    assert catalogue.notes == (
        "labels with a comma, each of which is one label: 'AV block, first degree, intermittent', "
        "'Sinus rhythm, normal', 'Sinus rhythm, slow'",
    )


def test_invisible_signs_spaces_and_accents_make_no_other_patient_or_label(tmp_path: Path) -> None:
    patients = ("7\u00a0", "\u200b7", "7\ufeff", "8")
    labels = ("Isch\u00e4mie", "Ischa\u0308mie", "Isch\u00e4mie\u200b", "\u2060AF")
    rows = [
        f"ward/{n:03d},{who},{what}" for n, (who, what) in enumerate(zip(patients, labels, strict=True), 1)
    ]
    catalogue = read_own(write_own(tmp_path / "data", 4), rows)
    assert catalogue.patient_id.tolist() == [7, 7, 7, 8]
    assert catalogue.statements == (("Isch\u00e4mie",),) * 3 + (("AF",),)
    with pytest.raises(DataError, match="patient_id '7' of line 2 and '\uff17' of line 3 may be the same"):
        read_own(tmp_path / "data", ["ward/001,7,AF", "ward/002,\uff17,AF"])


def test_records_of_the_challenges_are_read_as_they_come(tmp_path: Path) -> None:
    """Format 16+24 in .mat files at 500 Hz, diagnoses as comments."""
    root = write_own(tmp_path / "data", rate_hz=500)
    for header in (root / "ward").glob("*.hea"):
        content = header.with_suffix(".dat").read_bytes()
        header.with_suffix(".dat").unlink()
        header.with_suffix(".mat").write_bytes(matrix_head(12, len(content) // 24) + content)
        text = header.read_text().replace(".dat 16 ", ".mat 16+24 ")
        header.write_text(text + "#Age: 74\n#Sex: Female\n#Dx: 59118001,426783006\n")
    data = load(root, rate_hz=500)
    for row, number in enumerate(data.ecg_id.tolist()):
        np.testing.assert_array_equal(data.x_NLT[row], noise(number, 500))


def test_a_long_record_in_format_212_without_a_stated_length(tmp_path: Path) -> None:
    root = write_table(tmp_path / "data", [f"{n},{n},A" for n in range(1, 9)])
    steps_LT = np.random.default_rng(0).integers(-500, 500, (3, 10_000))
    first, second = (steps_LT.T.reshape(-1)[start::2] & 0xFFF for start in (0, 1))
    packed = np.stack([first & 0xFF, (first >> 8) | (second >> 8 << 4), second & 0xFF], axis=1)
    for number in range(1, 9):
        (root / f"{number}.dat").write_bytes(packed.astype(np.uint8).tobytes())
        signals = [f"{number}.dat 212 200 12 0 0 0 0 {lead}\n" for lead in ("ECG1", "ECG 2", "ecg_3")]
        (root / f"{number}.hea").write_text(f"{number} 3 128\n" + "".join(signals))
    data = load(root, rate_hz=128)
    assert data.leads == ("ECG1", "ECG 2", "ecg_3")
    # 200 steps per mV are 5 µV a step.
    np.testing.assert_array_equal(data.x_NLT[0], 5 * steps_LT[:, :1280])


def test_rows_of_one_record_are_joined_where_only_their_labels_differ(tmp_path: Path) -> None:
    root = write_own(tmp_path / "data", 3)
    rows = ["ward/001,7,AF", "ward/002,8,SR", "./ward/001.hea,7,PVC", "ward/003,9,", "ward/003,9,AF"]
    catalogue = read_own(root, rows)
    assert catalogue.statements == (("AF", "PVC"), ("SR",), ("AF",))
    assert catalogue.patient_id.tolist() == [7, 8, 9]
    assert catalogue.at_rate(None).names == ("ward/001", "ward/002", "ward/003")
    assert catalogue.notes == ("5 rows of records.csv make 3 records: their labels are joined",)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("ward/001,7,AF,x,1", "line 2 and line 4 are both of record 'ward/001' and are equal; remove one"),
        ("ward/001,8,PVC,x,1", "differ in patient_id; correct what is wrong, or give a record one row"),
        ("ward/001,7,PVC,y,1", "differ in annotator; correct"),
        ("ward/001,7,PVC,x,2", "differ in fold; correct"),
    ],
)
def test_rows_of_one_record_that_contradict_each_other(tmp_path: Path, row: str, message: str) -> None:
    root = write_own(tmp_path / "data", 2)
    with pytest.raises(DataError, match=message):
        read_own(
            root,
            ["ward/001,7,AF,x,1", "ward/002,9,AF,x,2", row],
            "record,patient_id,labels,annotator,fold",
        )


def test_one_patient_in_two_spellings_is_on_one_side(tmp_path: Path) -> None:
    root = write_own(tmp_path / "data", 24)
    rows = [f"ward/{n:03d},{(n + 1) // 2}{'.0' * (n % 2)},AF" for n in range(1, 25)]
    catalogue = read_own(root, rows)
    assert len(set(catalogue.patient_id.tolist())) == 12
    assert check(root).shared_patients == ()
    # Sealing goes by the same names, whichever spelling stands in the row.
    plain = read_own(root, [f"ward/{n:03d},{(n + 1) // 2},AF" for n in range(1, 25)])
    np.testing.assert_array_equal(plain.strat_fold, catalogue.strat_fold)
    with pytest.raises(DataError, match=r"patient_id 'p1' of line 2 and 'P1' of line 3; .* may be the same"):
        read_own(root, [f"ward/{n:03d},{'pP'[(n + 1) % 2]}{(n + 1) // 2},AF" for n in range(1, 25)])


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("record,patient_id,AF,PVC", "ward/001,1,1,0", "AF, PVC are columns of zeros and ones"),
        (
            "record,patient_id,label",
            "ward/001,1,AF",
            "it has label; give the right one",
        ),
        (
            "record,patient_id,labels,split",
            "ward/001,1,AF,test",
            "has the column 'split' but none of the name",
        ),
        ("record,patient_id,labels,is_test", "ward/001,1,AF,0", "has the column 'is_test' but none"),
        ("record,patient_id,labels,Data Split", "ward/001,1,AF,0", "has the column 'Data Split' but none"),
        ("record,patient_id,labels,fold", "ward/001,1,AF,train", "number what is developed on, or remove"),
        ("record,patient_id,labels,fold", "ward/001,1,AF,0", "fold is counted from 0; .* add 1 to each"),
    ],
)
def test_labels_and_folds_in_other_forms(tmp_path: Path, header: str, row: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_own(write_own(tmp_path / "data", 1), [row], header)


def test_a_column_of_train_and_test_is_one_of_folds_under_any_name(tmp_path: Path) -> None:
    root = write_own(tmp_path / "data", 2)
    header = "record,patient_id,labels,use"
    with pytest.raises(DataError, match="has the column 'use' but none of the name fold"):
        read_own(root, ["ward/001,1,AF,train", "ward/002,2,AF,Test"], header)
    catalogue = read_own(root, ["ward/001,1,AF,train", "ward/002,2,AF,routine"], header)
    assert catalogue.notes == ("columns of records.csv that are not used: use",)


def test_signs_within_a_label_are_no_list_where_a_part_is_no_label(tmp_path: Path) -> None:
    rows = ["ward/001,1,ST/T change;A&B", "ward/002,2,ST;A", "ward/003,3,101;R&D;"]
    catalogue = read_own(write_own(tmp_path / "data", 3), rows)
    assert catalogue.statements == (("ST/T change", "A&B"), ("ST", "A"), ("101", "R&D"))


def test_folds_may_be_written_as_decimals_and_their_column_in_capitals(tmp_path: Path) -> None:
    rows = ["ward/001,1,AF,2.0,x", "ward/002,2,AF,TEST,y"]
    catalogue = read_own(write_own(tmp_path / "data", 2), rows, "Record,Patient ID,Labels,Fold,site")
    assert catalogue.strat_fold.tolist() == [2, 6]
    assert catalogue.notes == ("columns of records.csv that are not used: site",)


@pytest.mark.parametrize("n_patients", [1, 2, 4])
def test_too_few_patients_are_the_cause_that_is_told(tmp_path: Path, n_patients: int) -> None:
    root = write_own(tmp_path / "data", 8)
    write_table(root, [f"ward/{n:03d},P{n % n_patients},AF" for n in range(1, 9)])

    def split() -> None:
        data = load(root)
        cv_folds(data.strat_fold, data.fold_plan)

    with pytest.raises(DataError, match="5 CV folds and the test fold need records of at least 6 patients"):
        split()


def test_equal_signals_of_two_patients_are_said(tmp_path: Path) -> None:
    root = write_own(tmp_path / "data")
    for copy in (5, 6):
        write_record(root, f"ward/{copy:03d}", noise(4))
    rows = (root / "records.csv").read_text(encoding="utf-8").replace("ward/006,P06", "ward/006,P05")
    (root / "records.csv").write_text(rows, encoding="utf-8")
    said = "records of different patients with equal signals"
    report = check(root, find_damage)
    assert report.rates[100] is not None
    [note] = report.rates[100].notes
    assert note.startswith(said)
    assert note.endswith(": 1 (ward/004 and ward/005 and ward/006)")
    n_here = np.isin([4, 5, 6], load(root).ecg_id)
    for _ in ("written", "from the cache"):
        assert sum(line.startswith(said) for line in load(root).notes) == (n_here.sum() > 1)
    # Of one patient they are no fault.
    (root / "records.csv").write_text(re.sub("P0[456]", "P04", rows), encoding="utf-8")
    assert check(root, find_damage).rates[100].notes == ()  # type: ignore[union-attr]


def test_a_record_in_another_unit_than_the_others_is_said(tmp_path: Path) -> None:
    root = write_own(tmp_path / "data")
    header = root / "ward/002.hea"
    header.write_text(header.read_text().replace("/mV", "/uV"))
    [note] = check(root, find_damage).rates[100].notes  # type: ignore[union-attr]
    span_mv = np.ptp(noise(2), axis=1).max() / 1000
    assert re.search(rf": 1 \(ward/002: {round(span_mv) / 1000:.3g} mV\)$", note)
    for each in root.glob("ward/*.hea"):
        each.write_text(each.read_text().replace("/mV", "/uV"))
    [note] = check(root, find_damage).rates[100].notes  # type: ignore[union-attr]
    assert note.endswith("check gain and unit of the headers")


@pytest.mark.parametrize(("rate_hz", "is_read"), [(49, False), (50, True)])
def test_a_rate_that_nobody_has_set_is_refused(tmp_path: Path, rate_hz: int, is_read: bool) -> None:
    root = write_own(tmp_path / "data", rate_hz=rate_hz)
    if is_read:
        assert load(root).rate_hz == rate_hz
        return
    with pytest.raises(DataError, match=r"001\.hea: 49 Hz, expected a whole number from 50 up$"):
        find_data(root).read()


def test_a_first_record_that_is_short_makes_all_short_and_is_named(tmp_path: Path) -> None:
    root = write_own(tmp_path / "data")
    catalogue = find_data(root).read()
    first = catalogue.waveforms[100].names[int(np.argmax(catalogue.strat_fold != FIVE_FOLDS.sealed))]
    write_record(root, first, noise(1)[:, :500])
    data = load(root)
    assert data.x_NLT.shape[2] == 500
    assert f"of every record the first 5 s count, all that {first} has" in "\n".join(data.notes)


def test_a_file_whose_name_differs_in_capitals_is_named(tmp_path: Path) -> None:
    root = write_own(tmp_path / "data")
    (root / "ward/007.dat").rename(root / "ward/007.DAT")
    (root / "ward/003.hea").rename(root / "ward/003.HEA")
    report = check(root, find_damage)
    assert not report.sound
    assert report.rates[100].notes == (  # type: ignore[union-attr]
        "files under names with other capitals, to be renamed: 2 (ward/003.HEA for ward/003.hea, "
        "ward/007.DAT for ward/007.dat)",
    )
    with pytest.raises(DamagedRecordsError) as refused:
        load(root)
    assert "007.dat is missing; 007.DAT is there: rename it" in str(refused.value)
    assert "003.hea is missing; 003.HEA is there: rename it" in str(refused.value)
    (root / "records.csv").rename(root / "Records.csv")
    with pytest.raises(DataError, match=r"Records\.csv is not read under this name; write records\.csv$"):
        find_data(root)


def test_headers_that_the_table_does_not_name_are_counted(tmp_path: Path) -> None:
    root = write_own(tmp_path / "data")
    write_record(root, "ward/one", noise(3)[:, :400])
    write_record(root, "ward/two", noise(3)[:, 400:])
    (root / "ward/003.hea").write_text("003/2 12 100 1000\none 400\ntwo 600\n")
    (root / "ward/._001.hea").write_bytes(b"\0\5\x16\7")
    assert check(root, find_damage).notes == ()
    write_record(root, "ward/099", noise(99))
    assert check(root, find_damage).notes == (
        "headers that the table does not name, left out: 1 (ward/099.hea)",
    )


@pytest.mark.parametrize("text", ["-1", "-9", "-999", "-1.0"])
def test_a_number_that_stands_for_no_patient_is_none(tmp_path: Path, text: str) -> None:
    root = write_table(write_own(tmp_path / "data"), [f"ward/001,{text},AF", "ward/002,2,AF"])
    with pytest.raises(DataError, match=f"patient_id of line 2 is '{text}', not the name of a patient"):
        find_data(root).read()


def test_the_numbers_of_records_are_told_from_those_of_another_table(tmp_path: Path) -> None:
    """Numbers are those of rows: a subset keeps them, while a row that moves or comes gives others."""
    root = write_own(tmp_path / "own")
    numbering = load(root).numbering
    assert load(root, records="8").numbering == numbering
    header, *rows = (root / "records.csv").read_text(encoding="utf-8").splitlines()
    others = set()
    for changed in (rows[::-1], rows[1:], [rows[0].replace("P01", "P13"), *rows[1:]]):
        write_table(root, changed, header)
        others.add(load(root).numbering)
    assert len(others | {numbering}) == 4
