"""MIT-BIH: one second around every beat, fifteen symbols in five classes, nobody on both sides."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from loading import load
from mitbih_folder import N_SAMPLES, signal, write_annotations, write_database, write_signals
from real_records import ASSETS

from search.data.check import check
from search.data.dataset import Development, load_development
from search.data.folds import FIVE_FOLDS, INTRA_PATIENT, cv_folds
from search.data.readers.annotations import read_annotations
from search.data.readers.mitbih import BEATS, DS1, DS2, PACED, RECORDS
from search.data.signals.headers import load_wfdb
from search.data.signals.sweep import find_damage
from search.data.sources import find_data
from search.errors import DamagedRecordsError, DataError, UsageError

wfdb = load_wfdb()

ONE_OF_EACH = {101: "NNNN", 106: "NNN", 108: "NN", 109: "LL", 112: "V", 114: "A"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six records of DS1, one of DS2, the two of one patient, a paced one."""
    beats = {**ONE_OF_EACH, 100: "NV", 201: "aj", 202: "Ae", 102: "//"}
    return write_database(tmp_path_factory.mktemp("mit-bih") / "data", beats)


def test_annotations_that_begin_like_an_archive_are_read(tmp_path: Path) -> None:
    # 8B1F, the start of gzip, is code 34 above a distance of 799 samples: 34 · 1024 + 799.
    (tmp_path / "9.atr").write_bytes(b"\x1f\x8b\0\0")
    assert read_annotations(tmp_path / "9") == [(799, 34)]


def test_the_published_parts() -> None:
    assert (len(DS1), len(DS2), len(PACED), len(RECORDS)) == (22, 22, 4, 48)
    by_class: dict[str, set[str]] = {}
    for beat in BEATS:
        by_class.setdefault(beat.aami, set()).add(beat.code)
    # ANSI/AAMI EC57, as tabulated by de Chazal et al. 2004 (table I).
    assert by_class == {
        "N": set("NLRej"),
        "S": set("AaJS"),
        "V": set("VE"),
        "F": set("F"),
        "Q": set("/fQ"),
    }


def test_a_beat_is_the_second_around_its_peak(root: Path) -> None:
    data = load(root)
    assert (data.name, data.rate_hz, data.unit, data.leads) == ("mit-bih", 360, "beat", ("MLII", "V"))
    assert data.x_NLT.shape == (len(data), 2, 360)
    for row, beat in enumerate(data.ecg_id.tolist()):
        record, sample = divmod(beat, 1_000_000)
        # 200 steps to the millivolt, zero at 1024: 5 µV a step.
        window_LT = 5 * (signal(record)[:, sample - 180 : sample + 180] - 1024)
        np.testing.assert_array_equal(data.x_NLT[row], window_LT)


def test_labels_are_the_annotations(root: Path) -> None:
    data = load(root)
    symbols, classes = data.hierarchy.classes("symbol"), data.hierarchy.classes("aami")
    assert (len(symbols), classes) == (15, ("F", "N", "Q", "S", "V"))
    found = {
        int(beat): (symbols[symbol_C.argmax()], classes[aami_C.argmax()])
        for beat, symbol_C, aami_C in zip(data.ecg_id, data.y["symbol"], data.y["aami"], strict=True)
    }
    assert found[109_000_360] == ("L", "N")
    assert found[114_000_360] == ("A", "S")
    assert found[202_000_720] == ("e", "N")
    assert (data.y["symbol"].sum(axis=1) == 1).all()
    children = data.hierarchy.projection("symbol", "aami").children
    np.testing.assert_array_equal(data.y["symbol"] @ children, data.y["aami"])


def test_ds2_is_sealed_but_for_the_patient_of_201(root: Path) -> None:
    data = load(root)
    assert sorted(set((data.ecg_id // 1_000_000).tolist())) == [*ONE_OF_EACH, 201, 202]
    both = np.isin(data.ecg_id // 1_000_000, [201, 202])
    assert set(data.patient_id[both].tolist()) == {201}
    assert len(set(data.strat_fold[both].tolist())) == 1
    report = check(root)
    assert report.to_json()["folds"]["test"]["beats"] == 2
    assert report.notes == (
        "paced records left out: 102",
        "record 202 is in the development part: its patient is that of record 201",
    )


def test_signals_of_ds2_are_never_opened(tmp_path: Path) -> None:
    root = write_database(tmp_path / "data", ONE_OF_EACH)
    write_annotations(root, 100, [(360, "N")])
    for name in ("100.dat", "100.hea"):
        (root / name).mkdir()  # opening it would be an error
    assert 100 not in load(root).ecg_id // 1_000_000
    assert 100 not in load(root, split=INTRA_PATIENT).ecg_id // 1_000_000


def test_nobody_is_on_both_sides_unless_that_was_asked_for(root: Path) -> None:
    data = load(root)
    for fold in cv_folds(data.strat_fold, data.fold_plan):
        assert not np.intersect1d(data.patient_id[fold.train], data.patient_id[fold.validation]).size
    mixed = load(root, split=INTRA_PATIENT)
    assert mixed.name == "mit-bih-intra-patient"
    assert mixed.fingerprint != data.fingerprint
    assert mixed.ecg_id.tolist() == data.ecg_id.tolist()
    assert any(
        np.intersect1d(mixed.patient_id[fold.train], mixed.patient_id[fold.validation]).size
        for fold in cv_folds(mixed.strat_fold, FIVE_FOLDS)
    )
    with pytest.raises(UsageError, match=r"^--split random: MIT-BIH has inter-patient and intra-patient$"):
        load(root, split="random")


def test_beats_at_the_ends_and_other_annotations_are_left_out(tmp_path: Path) -> None:
    root = write_database(tmp_path / "data", ONE_OF_EACH)
    marks = [(18, "+"), (179, "N"), (180, "V"), (500, "~"), (900, "x"), (649_820, "F"), (649_821, "N")]
    write_annotations(root, 101, marks)
    data = load(root)
    of_101 = data.ecg_id[data.ecg_id // 1_000_000 == 101] % 1_000_000
    assert of_101.tolist() == [180, 649_820]
    np.testing.assert_array_equal(data.x_NLT[0, 0], 5 * (signal(101)[0, :360] - 1024))
    np.testing.assert_array_equal(data.x_NLT[1, 1], 5 * (signal(101)[1, -360:] - 1024))
    assert check(root).notes == ("beats too close to an end of their record, left out: 2",)


def test_mlii_comes_first_wherever_the_file_has_it(tmp_path: Path) -> None:
    root = write_database(tmp_path / "data", ONE_OF_EACH)
    write_signals(root, 114, signal(114), leads=("V5", "MLII"))
    data = load(root)
    row = data.ecg_id.tolist().index(114_000_360)
    np.testing.assert_array_equal(data.x_NLT[row, 0], 5 * (signal(114)[1, 180:540] - 1024))
    np.testing.assert_array_equal(data.x_NLT[row, 1], 5 * (signal(114)[0, 180:540] - 1024))


def damage_annotations(root: Path) -> str:
    (root / "109.atr").write_bytes(b"\x00\xec")  # a skip without its interval
    return "annotations are truncated: there is no end mark"


def annotate_another_record(root: Path) -> str:
    write_annotations(root, 109, [(360, "L"), (650_000, "V")])
    return "a beat at sample 650,000 of 650,000: annotations of another record?"


def point_to_annotations(root: Path) -> str:
    (root / "109.atr").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a")
    return "109.atr is a pointer of Git LFS"


def lose_annotations(root: Path) -> str:
    (root / "109.atr").unlink()
    return r"109 \(109\): 109.atr is missing"


def lose_signals(root: Path) -> str:
    (root / "109.dat").unlink()
    return r"109 \(109\): 109.dat is missing"


def cut_signals(root: Path) -> str:
    (root / "109.dat").write_bytes((root / "109.dat").read_bytes()[:-3])
    return "109.dat is truncated: 1,949,997 of 1,950,000 bytes"


def rename_lead(root: Path) -> str:
    write_signals(root, 109, signal(109), leads=("V1", "V2"))
    return "leads V1, V2, expected MLII and a precordial one"


def shorten(root: Path) -> str:
    write_signals(root, 109, signal(109)[:, :1000])
    return r"1,000 samples, expected 650,000 \(1805.56 s\)"


def repeat_beat(root: Path) -> str:
    write_annotations(root, 109, [(360, "L"), (360, "V")])
    return "two beats at one sample"


@pytest.mark.parametrize(
    "harm",
    [
        *(damage_annotations, annotate_another_record, point_to_annotations, lose_annotations, lose_signals),
        *(cut_signals, rename_lead, shorten, repeat_beat),
    ],
)
def test_damaged_records_are_named_and_can_be_left_out(tmp_path: Path, harm: object) -> None:
    root = write_database(tmp_path / "data", ONE_OF_EACH)
    message = harm(root)  # type: ignore[operator]
    with pytest.raises(DamagedRecordsError, match=message) as error:
        load(root)
    assert "\n" not in str(error.value)
    data = load(root, skip_damaged=True)
    assert [damage.ecg_id for damage in data.skipped] == [109]
    assert 109 not in data.ecg_id // 1_000_000
    assert len(data) == len(data.x_NLT) == len(data.y["symbol"]) == 11
    assert not check(root, find_damage).sound


def test_nothing_annotated(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no annotated beat in a record without a pacemaker"):
        load(write_database(tmp_path / "data", {102: "//"}))


def test_too_few_patients_for_five_folds_are_told(tmp_path: Path) -> None:
    data = load(write_database(tmp_path / "data", {101: "NNN", 106: "VV"}))
    with pytest.raises(DataError, match="nothing in fold 3, so CV fold 3 is empty"):
        cv_folds(data.strat_fold, data.fold_plan)


@pytest.mark.slow
@pytest.mark.needs_data
def test_all_beats_of_twelve_real_records(shared_data: Path, tmp_path: Path) -> None:
    report = check(shared_data / "mit-bih", find_damage)
    assert report.sound
    assert (report.n_rows, report.n_records, report.n_patients) == (26_992, 12, 12)
    # Symbols as wfdb's own annotation reader counts them, without the twelve beats at the ends.
    assert report.tiers["symbol"].occurring() == {
        **{"A": 795, "E": 105, "F": 394, "J": 3, "L": 3_947, "N": 16_538, "Q": 4, "R": 2_250, "S": 2},
        **{"V": 2_935 - 105, "a": 98, "e": 16, "j": 10},
    }
    data = load_development(shared_data / "mit-bih", cache_dir=tmp_path)
    assert data.x_NLT.shape == (26_992, 2, 360)
    assert share_of_peaks_in_the_middle(data) > 0.9


def write_half_hours(folder: Path) -> Path:
    """Write the three minutes of tests/assets at the start of records as long as MIT-BIH's; the rest is flat.

    The reader takes records of the published length alone: another one is a truncated file.
    """
    folder.mkdir()
    for header in sorted((ASSETS / "mit-bih").glob("*.hea")):
        record = wfdb.rdrecord(str(header.with_suffix("")), physical=False)
        steps_LT = np.full((2, N_SAMPLES), 1024, dtype=np.int16)
        steps_LT[:, : record.sig_len] = record.d_signal.T
        write_signals(folder, int(header.stem), steps_LT, leads=record.sig_name)
        annotations = header.with_suffix(".atr")
        (folder / annotations.name).write_bytes(annotations.read_bytes())
    return folder


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")  # of wfdb 4.3 under pandas 3
def test_beats_of_real_records(tmp_path: Path) -> None:
    root = write_half_hours(tmp_path / "data")
    symbols: Counter[str] = Counter()
    for record in ("114", "223"):
        marked = wfdb.rdann(str(ASSETS / "mit-bih" / record), "atr")
        symbols += Counter(s for at, s in zip(marked.sample, marked.symbol, strict=True) if at >= 180)
    beats = {symbol: n for symbol, n in symbols.items() if symbol not in "+~"}
    assert set(beats) == {"N", "A", "V", "F", "J", "e"}
    report = check(root, find_damage)
    assert report.sound
    assert (report.n_rows, report.n_records, report.n_patients) == (sum(beats.values()), 2, 2)
    assert report.tiers["symbol"].occurring() == beats
    assert report.tiers["aami"].occurring() == {
        "N": beats["N"] + beats["e"],
        "S": beats["A"] + beats["J"],
        "V": beats["V"],
        "F": beats["F"],
    }
    assert share_of_peaks_in_the_middle(load_development(root, cache_dir=tmp_path)) > 0.9


def share_of_peaks_in_the_middle(data: Development) -> float:
    """Normal beats whose largest deflection of MLII lies within 50 ms of the annotated point, the R peak."""
    normal = data.y["symbol"][:, data.hierarchy.classes("symbol").index("N")]
    x_NT = data.x_NLT[normal, 0].astype(float)
    deflection_NT = np.abs(x_NT - np.median(x_NT, axis=1, keepdims=True))
    return float(np.mean(np.abs(deflection_NT.argmax(axis=1) - 180) <= 18))


def test_the_data_set_is_found_by_any_of_its_records(root: Path) -> None:
    assert find_data(root.parent).source.name == "MIT-BIH"
