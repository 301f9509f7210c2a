"""Folders of the PhysioNet/CinC Challenges: headers with SNOMED CT codes, signals of any rate and length."""

import ast
import csv
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from cinc_folder import SNOMED, matrix_head, noise, write_challenge, write_header, write_record
from loading import load
from numpy.typing import NDArray
from ptbxl_folder import record, write_table

from search.commands.main import main
from search.data.catalogue import Catalogue
from search.data.check import check
from search.data.dataset import load_development, load_external
from search.data.labels.severity import read_severity
from search.data.readers import snomed
from search.data.signals.headers import load_wfdb
from search.data.signals.leads import LEADS
from search.data.signals.resample import resample
from search.data.signals.sweep import find_damage
from search.data.sources import CINC, OWN, PTBXL, find_data
from search.errors import DamagedRecordsError, DataError, UsageError

READERS = Path(snomed.__file__).parent


def read(root: Path) -> Catalogue:
    return find_data(root).read()


def all_signals(root: Path, rate_hz: int) -> dict[str, NDArray[np.int16]]:
    """Signals of all records, the sealed ones too, by the name of the record."""
    waveforms = read(root).at_rate(rate_hz)
    data = load_external(root, rate_hz=rate_hz, cache_dir=root.parent / "cache")
    names = dict(zip(waveforms.record_id.tolist(), waveforms.names, strict=True))
    return {
        names[number].rpartition("/")[2]: x
        for number, x in zip(data.ecg_id.tolist(), data.x_NLT, strict=True)
    }


def write_few(root: Path, n_records: int = 8, **header: object) -> Path:
    for number in range(1, n_records + 1):
        write_record(root / f"E{number:05d}", noise(number), **header)
    return root


def classes(catalogue: Catalogue, name: str, tier: str) -> set[str]:
    row = [file.rpartition("/")[2] for file in catalogue.at_rate(None).names].index(name)
    present = catalogue.labels(tier)[row]
    return {label for label, there in zip(catalogue.hierarchy.classes(tier), present, strict=True) if there}


@pytest.fixture(scope="module")
def challenge(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, tuple[int, NDArray[np.int16]]]]:
    """The real records of tests/assets in the challenge's layout."""
    folder = tmp_path_factory.mktemp("challenge") / "ptb-xl"
    return folder, write_challenge(folder, Path(__file__).parents[3] / "assets/ptb-xl")


# Signals


@pytest.mark.slow
def test_real_records_are_read_as_wfdb_reads_them(
    challenge: tuple[Path, dict[str, tuple[int, NDArray[np.int16]]]],
) -> None:
    root, written = challenge
    found = all_signals(root, 500)
    assert found.keys() == written.keys()
    for name, (rate_hz, x_LT) in written.items():
        path = next(root.glob(f"*/{name}.hea")).with_suffix("")
        millivolts_TL = load_wfdb().rdrecord(str(path)).p_signal
        np.testing.assert_array_equal(np.rint(millivolts_TL * 1000).astype(np.int16).T, x_LT)
        ten_seconds = x_LT[:, : 10 * rate_hz]
        expected = ten_seconds if rate_hz == 500 else resample(ten_seconds, rate_hz, 500)
        np.testing.assert_array_equal(found[name], expected)
    slow = all_signals(root, 100)
    for name, (rate_hz, x_LT) in written.items():
        np.testing.assert_array_equal(slow[name], resample(x_LT[:, : 10 * rate_hz], rate_hz, 100))


def test_gains_zeros_and_leads_in_another_order_and_case(tmp_path: Path) -> None:
    root = tmp_path / "data"
    x_LT = noise(0) // 5 * 5  # whole steps of 200 per mV
    write_few(root)
    order = np.random.default_rng(1).permutation(12)
    write_record(
        root / "E00009",
        x_LT[order] // 5 + 30,
        leads=[LEADS[index].upper() for index in order],
        layout="16x1+24 200.0(30)/mv 16 0",
    )
    write_record(root / "E00010", x_LT, suffix="dat", layout="16 1000/mV 16 0", year=2020)
    found = all_signals(root, 500)
    np.testing.assert_array_equal(found["E00009"], x_LT)
    np.testing.assert_array_equal(found["E00010"], x_LT)


def test_short_records_are_followed_by_zeros_and_of_long_ones_the_first_ten_seconds_count(
    tmp_path: Path,
) -> None:
    root = write_few(tmp_path / "data")
    five_LT, minutes_LT = noise(20, 2500), noise(21, 257 * 1800)
    write_record(root / "E00020", five_LT)
    write_record(root / "I0001", minutes_LT, rate_hz=257)
    found = all_signals(root, 500)
    np.testing.assert_array_equal(found["E00020"][:, :2500], five_LT)
    assert not found["E00020"][:, 2500:].any()
    np.testing.assert_array_equal(found["I0001"], resample(minutes_LT[:, :2570], 257, 500))
    notes = read(root).notes
    assert "sampled at 257 Hz (1 record), 500 Hz (9 records), read at 100 or 500 Hz" in notes
    assert "records shorter than 10 s, behind which 0 mV follow: 1" in notes
    assert (
        "records longer than 10 s, of up to 1,800 s: 1; their first 10 s count, whatever part their codes "
        "are of"
    ) in notes


def five(path: Path) -> None:
    path.with_suffix(".mat").write_bytes(b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(120_000))


def transposed(path: Path) -> None:
    content = path.with_suffix(".mat").read_bytes()
    path.with_suffix(".mat").write_bytes(matrix_head(5000, 12) + content[24:])


def other_name(path: Path) -> None:
    content = path.with_suffix(".mat").read_bytes()
    path.with_suffix(".mat").write_bytes(matrix_head(12, 5000, name=b"signal\0") + content[24:])


def wide(path: Path) -> None:
    path.with_suffix(".mat").write_bytes(matrix_head(12, 5000, kind=20) + bytes(240_000))


def doubles(path: Path) -> None:
    path.with_suffix(".mat").write_bytes(matrix_head(12, 5000, kind=0) + bytes(480_000))


def cut(path: Path) -> None:
    path.with_suffix(".mat").write_bytes(path.with_suffix(".mat").read_bytes()[:1000])


def gone(path: Path) -> None:
    path.with_suffix(".mat").unlink()


def brief(path: Path) -> None:
    write_record(path.with_suffix(""), noise(3, 2400))


def eleven(path: Path) -> None:
    write_record(path.with_suffix(""), noise(3, n_leads=11), leads=LEADS[:11])


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (five, "E00004.mat is no MAT file of version 4 with a matrix of integers, which WFDB needs"),
        (doubles, "E00004.mat is no MAT file of version 4 with a matrix of integers, which WFDB needs"),
        (transposed, "E00004.mat holds a matrix of 5,000 × 12, the header says 12 × 5,000"),
        (other_name, "E00004.mat holds format 16 from byte 27, the header says format 16 from byte 24"),
        (wide, "E00004.mat holds format 32 from byte 24, the header says format 16 from byte 24"),
        (cut, "E00004.mat is truncated: 1,000 of 120,024 bytes"),
        (gone, "E00004.mat is missing"),
        (brief, "2,400 samples, expected 2,500 or more (5 s)"),
        (eleven, "11 leads, missing V6"),
    ],
)
def test_signals_that_cannot_be_read(
    tmp_path: Path, harm: object, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_few(tmp_path / "data")
    harm(root / "E00004.hea")  # type: ignore[operator]
    with pytest.raises(DamagedRecordsError, match=r"^1 of ") as error:
        load_development(root, rate_hz=500, cache_dir=tmp_path / "cache")
    assert f"4 (E00004): {reason}" in str(error.value)
    assert main(["data", "check", str(root)]) == 1
    assert ("1 missing (4)" if harm is gone else reason) in " ".join(capsys.readouterr().out.split())


def test_headers_without_signals_can_be_checked(tmp_path: Path) -> None:
    for number in range(1, 9):
        write_header(tmp_path / "data" / f"E{number:05d}")
    report = check(tmp_path / "data", find_damage)
    rate = report.rates[500]
    assert rate is not None
    assert (report.n_records, rate.n_present, rate.missing_ids) == (8, 0, tuple(range(1, 9)))
    assert report.tiers["challenge"].occurring() == {"NSR": 8}
    with pytest.raises(DamagedRecordsError, match=r"none of 7 records can be read: .*E00001.mat is missing"):
        load(tmp_path / "data")


# Headers


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("", "its header has no line #Dx"),
        ("#Dx: 426783006\n# Dx: 164889003\n", "its header has 2 lines #Dx"),
        ("#Dx: 426783006,AF\n", "Dx holds 'AF', which is no SNOMED CT code"),
        ("#Dx: 426783006;164889003\n", "Dx holds '426783006;164889003', which is no SNOMED CT code"),
        ("#Dx: 426783006\n#Age: 1\n#Age: 2\n", "its header has 3 lines #Age"),
    ],
)
def test_a_header_that_does_not_tell_the_labels(tmp_path: Path, lines: str, reason: str) -> None:
    root = write_few(tmp_path / "data")
    write_record(root / "E00003", noise(3), dx=None)
    header = root / "E00003.hea"
    header.write_text(header.read_text() + lines)
    (damage,) = read(root).damages
    assert str(damage) == f"3 (E00003): {reason}"
    with pytest.raises(DamagedRecordsError, match=r"1 records cannot be used: 3 \(E00003\): "):
        load(root)
    data = load(root, skip_damaged=True)
    assert 3 not in data.ecg_id


@pytest.mark.parametrize(
    ("rate_hz", "reason"),
    [
        (50, "sampled at 50 Hz, expected a whole number of 100 or more"),
        (499.5, "sampled at 499.5 Hz, expected"),
    ],
)
def test_rates_that_cannot_be_used(tmp_path: Path, rate_hz: float, reason: str) -> None:
    root = write_few(tmp_path / "data")
    write_record(root / "E00003", noise(3), rate_hz=rate_hz)
    (damage,) = read(root).damages
    assert reason in damage.reason


def test_no_usable_header_is_one_line(tmp_path: Path) -> None:
    write_header(tmp_path / "data" / "E00001", dx="AF")
    with pytest.raises(
        DataError, match=r"none of 1 headers can be used; the first is E00001.hea: Dx holds 'AF'"
    ):
        read(tmp_path / "data")


def test_ages_and_sexes_as_both_years_write_them(tmp_path: Path) -> None:
    root = tmp_path / "data"
    people = [
        ("74", "Male"),
        ("NaN", "Unknown"),
        ("Unknown", "F"),
        ("300", "M"),
        ("-1", "Female"),
        ("92", "NaN"),
        ("", "X"),
        ("0.5", "male"),
    ]
    for number, (age, sex) in enumerate(people, start=1):
        write_header(root / f"E{number:05d}", age=age, sex=sex, year=2020 + number % 2)
    catalogue = read(root)
    nan = np.nan
    np.testing.assert_array_equal(catalogue.age, np.float32([74, nan, nan, 90, nan, 90, nan, 0.5]))
    np.testing.assert_array_equal(catalogue.sex, np.float32([0, nan, 1, 0, 1, nan, nan, 0]))
    assert "ages that are none and count as unknown: '-1' (1 record)" in catalogue.notes
    assert "sexes that are none and count as unknown: 'X' (1 record)" in catalogue.notes


def test_a_comment_in_another_encoding_is_no_reason_to_stop(tmp_path: Path) -> None:
    root = write_few(tmp_path / "data")
    header = root / "E00003.hea"
    header.write_bytes(header.read_bytes() + "#Hx: Ischämie\n".encode("cp1252"))
    assert len(read(root)) == 8


# Labels


def test_codes_that_the_challenge_scores_as_one_are_one_class(tmp_path: Path) -> None:
    root = tmp_path / "data"
    codes = [
        "713427006",
        "59118001",
        "284470004",
        "63593006",
        "427172004",
        "17338001",
        "733534002",
        "164909002",
    ]
    for number, code in enumerate(codes, start=1):
        write_header(root / f"E{number:05d}", dx=code)
    catalogue = read(root)
    found = [classes(catalogue, f"E{number:05d}", "challenge") for number in range(1, 9)]
    assert found[::2] == found[1::2] == [{"CRBBB|RBBB"}, {"PAC|SVPB"}, {"PVC|VPB"}, {"CLBBB|LBBB"}]
    assert classes(catalogue, "E00002", "snomed") == {"RBBB"}
    assert len(catalogue.hierarchy.classes("challenge")) == 26
    assert CINC.default_target == "challenge"


def test_all_tiers_of_a_record(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_header(root / "E00001", dx="59118001,164889003, 59118001")
    write_header(root / "E00002", dx="164865005")  # an infarction, nobody says where
    write_header(root / "E00003", dx="39732003")  # left axis deviation: AHA 121, nothing in PTB-XL
    write_header(root / "E00004", dx="84114007,123456789")  # heart failure, and a code of nobody's
    write_header(root / "E00005", dx="")
    write_header(root / "E00006", dx="Unknown")
    catalogue = read(root)

    def of(name: str, *tiers: str) -> list[set[str]]:
        return [classes(catalogue, name, tier) for tier in tiers]

    tiers = (
        "snomed",
        "challenge",
        "all",
        "diagnostic",
        "subclass",
        "superclass",
        "rhythm",
        "aha",
        "severity-4",
    )
    assert of("E00001", *tiers) == [
        *({"RBBB", "AF"}, {"CRBBB|RBBB", "AF"}, {"CRBBB", "AFIB"}, {"CRBBB"}, {"CRBBB"}, {"CD"}),
        *({"AFIB"}, {"106", "50"}, {"critical"}),
    ]
    assert of("E00002", *tiers) == [{"MI"}, set(), set(), set(), set(), {"MI"}, set(), set(), {"major"}]
    assert of("E00003", "snomed", "challenge", "all", "aha", "severity-4") == [
        *({"LAD"}, {"LAD"}, set(), {"121"}, {"major"})
    ]
    # What no table has is of the level of all others, as with SPH's statements.
    assert of("E00004", "snomed", "superclass", "aha", "severity-4") == [
        *({"HF", "123456789"}, set(), set(), {"major"})
    ]
    assert of("E00005", "snomed", "severity-4") == of("E00006", "snomed", "severity-4") == [set(), {"normal"}]
    for note in (
        "records whose Dx is empty or unknown, which count as records without a label: 2",
        "codes without a PTB-XL statement (records): MI (1), LAD (1), HF (1), 123456789 (1)",
        "of these, without a superclass and an AHA statement as well, so that their severity is that of all "
        "others, major: HF (1), 123456789 (1)",
        "records with codes, but none that has a class at tier challenge: 2",
        "records with codes, but none that has a class at tier superclass: 2",
    ):
        assert note in catalogue.notes
    assert any(note.endswith("snomed all the same (records): 123456789 (1)") for note in catalogue.notes)


def test_a_finer_tier_decides_the_coarser_ones(tmp_path: Path) -> None:
    write_header(tmp_path / "data" / "E00001")
    hierarchy = read(tmp_path / "data").hierarchy
    assert hierarchy.training_tiers("challenge") == ("challenge", "snomed")
    assert hierarchy.training_tiers("subclass") == ("subclass", "diagnostic", "all", "snomed")
    # Some codes tell a superclass and nothing finer.
    assert hierarchy.training_tiers("superclass") == ("superclass", "snomed")
    every = [[finding.code] for finding in snomed.findings().values()]
    y_NC = hierarchy.labels("snomed", every).astype(np.float64)
    for tier in hierarchy.tiers:
        projected = hierarchy.projection("snomed", tier)(y_NC)
        np.testing.assert_array_equal(projected > 0.5, hierarchy.labels(tier, every))


# The tables


def rows(name: str) -> list[dict[str, str]]:
    with (READERS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_equivalences_are_those_of_the_notes_beside_the_codes() -> None:
    found = snomed.findings()
    noted = [row for row in rows("challenge-2021/dx_mapping_scored.csv") if row["Notes"]]
    assert len(noted) == 8
    for row in noted:
        one, other = (word.strip(".") for word in row["Notes"].split() if word.strip(".").isdigit())
        assert found[one].challenge == found[other].challenge
    assert len({finding.challenge for finding in found.values()} - {None}) == 26
    assert sum(finding.challenge is not None for finding in found.values()) == 30


def test_every_row_of_the_map_has_its_sources() -> None:
    named = {
        row["SNOMEDCTCode"]: row
        for name in ("scored", "unscored")
        for row in rows(f"challenge-2021/dx_mapping_{name}.csv")
    }
    mapped = rows("snomed.csv")
    assert len({row["snomed"] for row in mapped}) == len(mapped) == 105
    severity = read_severity()
    statement_of = {row["snomed"]: row["scp"] for row in mapped}
    for row in mapped:
        assert named[row["snomed"]]["Abbreviation"] == row["abbreviation"]
        assert not (row["scp"] and row["superclass"])
        assert bool(row["scp"] or row["superclass"]) == bool(row["source"])
        assert row["source"] in ("", "counts", "name", "kind", "equivalence")
        assert row["aha_source"] in ("", "Leinonen", "PTB-XL", "Mason")
        assert bool(row["aha"]) == bool(row["aha_source"])
        if row["source"] == "equivalence":
            group = snomed.findings()[row["snomed"]].challenge
            same = [code for code, finding in snomed.findings().items() if finding.challenge == group]
            assert {statement_of[code] for code in same} == {row["scp"]}
        if row["aha_source"] == "PTB-XL":
            assert severity.primary_of(row["scp"]) == row["aha"]
        if row["scp"] and not row["aha"]:
            assert severity.primary_of(row["scp"]) is None


def test_the_documentation_counts_the_sources_of_the_map() -> None:
    text = (READERS.parents[2] / "docs/data.md").read_text(encoding="utf-8")
    told = {name: int(n) for name, n in re.findall(r"^\| `([\w-]+)` \| (\d+) \|", text, re.MULTILINE)}
    mapped = rows("snomed.csv")
    found = Counter(row[column] for row in mapped for column in ("source", "aha_source") if row[column])
    assert told == found


@pytest.mark.needs_data
@pytest.mark.parametrize("ptbxl", ["ptb-xl-labels"], indirect=True)
def test_what_rests_on_counts_agrees_with_ptb_xl(ptbxl: Path) -> None:
    with (ptbxl / "ptbxl_database.csv").open(encoding="utf-8", newline="") as file:
        n_of = Counter(code for row in csv.DictReader(file) for code in ast.literal_eval(row["scp_codes"]))
    n_there = {
        row["SNOMEDCTCode"]: int(row["PTB_XL"])
        for name in ("scored", "unscored")
        for row in rows(f"challenge-2021/dx_mapping_{name}.csv")
    }
    counted = [row for row in rows("snomed.csv") if row["source"] == "counts"]
    assert len(counted) == 37
    for row in counted:
        # The challenge has the 21,837 records of version 1.0.1, of which 1.0.3 withdrew 38.
        assert 0 <= n_there[row["snomed"]] - n_of[row["scp"]] <= 4, row


# Folders


def test_folders_below_are_one_data_set(challenge: tuple[Path, object]) -> None:
    root, _ = challenge
    for path in (root, root.parent):
        found = find_data(path)
        assert (found.source, found.root) == (CINC, root)
    assert find_data(root / "g1").root == root / "g1"
    assert find_data(next((root / "g1").glob("*.hea"))).root == root / "g1"
    catalogue = read(root)
    assert (catalogue.name, len(catalogue)) == ("cinc-ptb-xl", 40)
    assert catalogue.version == "40 records with names of PTB-XL"
    assert (
        "several records of one person are known to be in databases of such names: PTB-XL has "
        in " ".join(catalogue.notes)
    )


def test_another_data_set_beside_it_leaves_the_choice_to_the_user(tmp_path: Path) -> None:
    for name in ("georgia/g1/E00001", "georgia/g2/E00002", "ptb/g1/S0001"):
        write_header(tmp_path / name)
    assert find_data(tmp_path).root == tmp_path
    real = write_table(tmp_path / "ptb-xl", [record(1)])
    with pytest.raises(DataError, match="holds 3 data sets") as error:
        find_data(tmp_path)
    for folder in (real, tmp_path / "georgia", tmp_path / "ptb/g1"):
        assert str(folder) in str(error.value)
        assert find_data(folder).root == folder
    assert find_data(real).source is PTBXL


def test_a_table_of_ones_own_beside_the_headers_is_another_kind(tmp_path: Path) -> None:
    write_few(tmp_path)
    (tmp_path / "records.csv").write_text("record,patient_id,labels\nE00001,1,AF\n")
    with pytest.raises(DataError, match="could be 2 kinds of data set; give ") as error:
        find_data(tmp_path)
    first, own = tmp_path / "E00001.hea", tmp_path / "records.csv"
    assert f"{first} for CinC 2020/2021 or {own} for own records" in str(error.value)
    assert (find_data(first).source, find_data(own).source) == (CINC, OWN)


def test_headers_without_diagnoses_are_no_data_set(tmp_path: Path) -> None:
    write_header(tmp_path / "a", dx=None)
    with pytest.raises(DataError, match=r"no data set in .*headers with a line #Dx \(CinC 2020/2021\)"):
        find_data(tmp_path)


def test_two_records_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("2020/E00001", "2021/E00001", "2021/E00002"):
        write_header(tmp_path / name)
    with pytest.raises(
        DataError, match=r"2020/E00001.hea and 2021/E00001.hea are records of one name; if one"
    ):
        read(tmp_path)
    assert len(read(tmp_path / "2021")) == 2


def test_a_link_to_a_folder_above_is_not_followed_twice(tmp_path: Path) -> None:
    write_header(tmp_path / "data/g1/E00001")
    (tmp_path / "data/g1/again").symlink_to(tmp_path / "data")
    assert len(read(tmp_path / "data")) == 1


def test_a_folder_that_cannot_be_opened_is_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("g1/E00001", "g2/E00002"):
        write_header(tmp_path / name)
    scandir = os.scandir

    def refuse(path: str) -> object:  # root may open every folder
        if str(path).endswith("g2"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    folder = find_data(tmp_path)
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match="g2 cannot be opened: Permission denied; make it readable"):
        folder.read()


def test_records_that_a_list_names_and_nobody_has(tmp_path: Path) -> None:
    for name in ("g1/E00001", "g1/E00002", "g2/E00003"):
        write_header(tmp_path / name)
    (tmp_path / "RECORDS").write_text("g1/\ng2/\n")
    (tmp_path / "g1/RECORDS").write_text("E00001\nE00002\nE00004\n")
    assert "records that a file RECORDS lists without a header here: 1 (g1/E00004)" in read(tmp_path).notes


# People


def test_every_record_is_a_patient_unless_a_table_tells(tmp_path: Path) -> None:
    root = write_few(tmp_path / "data", 30)
    catalogue = read(root)
    assert len(set(catalogue.patient_id.tolist())) == 30
    assert set(catalogue.strat_fold.tolist()) == {1, 2, 3, 4, 5, 6}
    assert catalogue.notes[0].startswith(
        "no header names a patient: every record counts as a patient of its own"
    )
    (root / "patients.csv").write_text("record,patient_id\nE00001,7\nE00030,7\nE00002,E00003\nE09999,8\n")
    catalogue = read(root)
    assert catalogue.notes[0] == (
        "patients of 3 records are those of patients.csv; the other 27 records count as patients of their own"
    )
    assert catalogue.notes[1] == "records of patients.csv without a header here: 1 (E09999)"
    assert len(set(catalogue.patient_id.tolist())) == 29
    assert catalogue.patient_id[0] == catalogue.patient_id[29]
    # A patient whose id is the name of another record is not that record.
    assert catalogue.patient_id[1] != catalogue.patient_id[2]
    assert check(root).shared_patients == ()


def test_patients_of_headers_with_folder_and_ending(tmp_path: Path) -> None:
    root = write_few(tmp_path / "data")
    (root / "patients.csv").write_text("record,patient_id\nE00001.hea,7\nE00002.mat,7\n")
    assert read(root).notes[0].startswith("patients of 2 records are those of patients.csv")


def test_a_table_of_patients_of_other_records_is_refused(tmp_path: Path) -> None:
    root = write_few(tmp_path / "data")
    (root / "patients.csv").write_text("record,patient_id\nJS00001,7\n")
    with pytest.raises(DataError, match="none of its records has a header here, the first is 'JS00001'"):
        read(root)


def test_a_record_of_two_patients_is_refused(tmp_path: Path) -> None:
    root = write_few(tmp_path / "data")
    (root / "patients.csv").write_text("record,patient_id\nE00001,7\nE00001,8\n")
    with pytest.raises(DataError, match="of line 3 is 'E00001', not once; it is of patient 7 as well"):
        read(root)


def test_sealed_records_are_never_opened(tmp_path: Path) -> None:
    root = write_few(tmp_path / "data", 20)
    catalogue = read(root)
    sealed = catalogue.select(catalogue.strat_fold == 6).at_rate(None).names
    assert sealed
    for name in sealed:
        (root / f"{name}.mat").unlink()
        (root / f"{name}.mat").mkdir()  # opening it would be an error
    assert len(load(root)) == 20 - len(sealed)


# Searching


@pytest.mark.slow
def test_a_study_is_run_and_says_what_it_left_out(
    challenge: tuple[Path, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, _ = challenge
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("space.PRESETS", {})
    monkeypatch.setitem(
        __import__("space").SPACES, "tiny", {"width": (0.125,), "head_width": (16, 32), "depth": (0,)}
    )
    run = ["run", "--data", str(root), "--trials", "2", "--epochs", "1", "--device", "cpu", "--space", "tiny"]
    assert main([*run, "--presets", "none", "--sampler", "random", "--leads", "ii,v2"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "cinc-ptb-xl" in out
    assert "no header names a patient" in out
    assert "leads used: II, V2, 2 of 12" in out
    assert main(["status", "--json"]) == 0
    status = capsys.readouterr().out
    assert '"challenge"' in status
    assert main(["evaluate", "--trial", "0", "--data", str(root), "--device", "cpu", "--no-page"]) == 0
    assert "challenge" in capsys.readouterr().out


def test_the_challenges_copy_of_ptb_xl_is_no_test_of_a_model_trained_on_ptb_xl(
    challenge: tuple[Path, object], tmp_path: Path
) -> None:
    from search.evaluate.other_data import check_foreign

    root, _ = challenge
    copy = load_external(root, rate_hz=100, cache_dir=tmp_path)
    ptbxl = load_development(Path(__file__).parents[3] / "assets/ptb-xl", cache_dir=tmp_path)
    for data, external in ((ptbxl, copy), (copy, ptbxl)):
        with pytest.raises(UsageError, match="the same data set; give another data set"):
            check_foreign(data, external, root)


def test_real_codes_reach_the_tiers_of_ptb_xl(challenge: tuple[Path, object]) -> None:
    root, _ = challenge
    catalogue = read(root)
    with (Path(__file__).parents[3] / "assets/ptb-xl/ptbxl_database.csv").open(newline="") as file:
        of_record = {
            f"HR{int(row['ecg_id']):05d}": ast.literal_eval(row["scp_codes"]) for row in csv.DictReader(file)
        }
    same = {
        code
        for code in SNOMED
        if code in {finding.scp.code for finding in snomed.findings().values() if finding.scp}
    }
    assert {"AFIB", "IRBBB", "1AVB"} <= same
    for name, codes in of_record.items():
        expected = {code for code in codes if code in same - {"TAB_"}}
        assert expected <= classes(catalogue, name, "all")


def test_files_that_would_be_left_out_are_said(tmp_path: Path) -> None:
    root = write_few(tmp_path / "data")
    for number in range(1, 6):  # of an archive made on macOS
        (root / f"._E{number:05d}.hea").write_bytes(b"\0\5\x16\7Mac OS X")
    assert not any("without a header" in note for note in read(root).notes)
    (root / "E00003.hea").unlink()
    (root / "E00004.hea").rename(root / "E00004.HEA")
    catalogue = read(root)
    assert [str(damage) for damage in catalogue.damages] == [
        "3 (E00004): E00004.hea is missing; E00004.HEA is there: rename it"
    ]
    assert "signal files without a header: 1 (E00003.mat)" in catalogue.notes
    (root / "Patients.csv").write_text("record,patient_id\nE00001,7\n")
    with pytest.raises(
        DataError, match=r"Patients\.csv is not read under this name; rename it patients\.csv"
    ):
        read(root)


def test_diagnoses_that_go_on_in_another_line_are_not_cut_off(tmp_path: Path) -> None:
    root = write_few(tmp_path / "data")
    header = root / "E00002.hea"
    header.write_text(header.read_text().replace("426783006", "426783006,\n# 164889003"))
    [damage] = read(root).damages
    assert damage.reason == "its header has diagnoses in a line of their own, behind #Dx"
