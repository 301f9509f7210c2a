"""Reading PTB-XL's table: what is accepted, what is refused and in which words."""

from pathlib import Path

import numpy as np
import pytest
from ptbxl_folder import record, write_table
from real_records import ptbxl_folders

from search.data.readers import ptbxl
from search.data.readers.ptbxl import read_catalogue, read_table
from search.errors import DataError


def one_line(error: pytest.ExceptionInfo[DataError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


@pytest.mark.needs_data
def test_full_table_of_version_1_0_3(shared_data: Path) -> None:
    table = read_table(shared_data / "ptb-xl-labels")
    assert table.version == "1.0.3"
    assert not table.synthetic
    assert len(table) == 21_799
    assert len(np.unique(table.patient_id)) == 18_869
    assert np.count_nonzero(table.strat_fold == 10) == 2_198
    assert table.age.max() == 90
    assert table.patient_id[0] == 15709
    assert table.scp_codes[0] == {"NORM": 100.0, "LVOLT": 0.0, "SR": 0.0}
    assert table.filenames[500][0] == "records500/00000/00001_hr"


def test_a_subset_does_not_claim_a_version(ptbxl: Path) -> None:
    assert read_table(ptbxl).version == "unknown"


def test_cells_in_every_accepted_spelling(tmp_path: Path) -> None:
    rows = [
        record(1, patient_id="7", age="300.0", sex="0"),
        record(2, patient_id="8.0", age="", sex="", scp_codes="{'IMI': 15, 'ABQRS': 0.0}"),
        record(3, age="94", sex="1.0"),
        record(4, age="nan", sex="nan", scp_codes="{}"),
    ]
    table = read_table(write_table(tmp_path, rows))
    assert table.patient_id.tolist() == [7, 8, 1003, 1004]
    np.testing.assert_array_equal(table.age, [90, np.nan, 90, np.nan])
    np.testing.assert_array_equal(table.sex, [0, np.nan, 1, np.nan])
    assert table.scp_codes[1] == {"IMI": 15.0, "ABQRS": 0.0}
    assert table.scp_codes[3] == {}
    assert table.filenames[100][2] == "records100/00000/00003_lr"


def test_optional_columns_may_be_absent_and_a_byte_order_mark_present(tmp_path: Path) -> None:
    (tmp_path / "ptbxl_database.csv").write_text(
        "ecg_id,patient_id,scp_codes,strat_fold,filename_lr\r\n\r\n5,6.0,\"{'NORM': 80}\",10,r/00005\r\n",
        encoding="utf-8-sig",
        newline="",
    )
    table = read_table(tmp_path)
    assert table.ecg_id.tolist() == [5]
    assert np.isnan(table.age).all()
    assert np.isnan(table.sex).all()
    assert {name: of.tolist() for name, of in table.groups.items()} == {"device": [""], "site": [""]}
    assert dict(table.filenames) == {100: ("r/00005",)}


def test_devices_without_their_padding_and_sites_as_whole_numbers_are_groups(tmp_path: Path) -> None:
    rows = [record(1, device="CS-12   E", site="2.0"), record(2, device=" ", site=""), record(3, site="Jena")]
    table = read_table(write_table(tmp_path, rows))
    assert table.groups["device"].tolist() == ["CS-12 E", "", "CS-12 E"]
    assert table.groups["site"].tolist() == ["2", "", "Jena"]


def test_version_is_recognised_by_the_number_of_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ptbxl, "RECORDS_OF_VERSION", {"1.0.1": 4, "1.0.2": 3, "1.0.3": 2})
    versions = {}
    for n_records in (5, 4, 3, 2, 1):
        root = write_table(tmp_path / str(n_records), [record(n) for n in range(1, n_records + 1)])
        versions[n_records] = read_table(root).version
    assert versions == {
        5: "unknown",
        4: "1.0.1",
        3: "1.0.2",
        2: "1.0.3",
        1: "unknown",
    }


def test_version_of_a_subset_needs_a_witness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ptbxl, "RECORDS_OF_VERSION", {"1.0.2": 3, "1.0.3": 2})
    named = write_table(tmp_path / "ptb-xl-1.0.3", [record(1)])
    assert read_table(named).version == "1.0.3, subset of 1 records"
    listed = write_table(tmp_path / "listed", [record(1)])
    (listed / "RECORDS").write_text("".join(f"records{rate}/{n}\n" for rate in (100, 500) for n in range(3)))
    assert read_table(listed).version == "1.0.2, subset of 1 records"


def test_synthetic_records_are_recognised_and_never_mixed(tmp_path: Path) -> None:
    synthetic = [record(n, device="SYNTH") for n in (1, 2)]
    table = read_table(write_table(tmp_path / "demo", synthetic))
    assert table.synthetic
    assert table.version == "SYNTHETIC"
    with pytest.raises(DataError, match=r"mixes 2 synthetic records .* with 1 real"):
        read_table(write_table(tmp_path / "mixed", [*synthetic, record(3)]))


@pytest.mark.parametrize("column", ["ecg_id", "patient_id", "scp_codes", "strat_fold"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    row = record(1)
    del row[column]
    with pytest.raises(DataError, match=f"lacks the column {column}; its header has") as error:
        read_table(write_table(tmp_path, [row]))
    one_line(error)


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("strat_fold", "11", "strat_fold of record 2 (line 3) is '11', not a whole number from 1 to 10"),
        ("strat_fold", "", "strat_fold of record 2 (line 3) is '', not"),
        ("strat_fold", "3.5", "strat_fold of record 2 (line 3) is '3.5', not"),
        ("patient_id", "nan", "patient_id of record 2 (line 3) is 'nan', not the name of a patient"),
        ("patient_id", "1e300", "patient_id of record 2 (line 3) is '1e300', not"),
        ("ecg_id", "two", "ecg_id of line 3 is 'two', not"),
        (
            "ecg_id",
            "1",
            "line 2 and line 3 are both of record 1 and differ in patient_id, strat_fold, filename_lr",
        ),
        ("age", "old", "age of record 2 (line 3) is 'old', not 0 to 120, 300"),
        ("age", "250", "age of record 2 (line 3) is '250', not"),
        ("sex", "2", "sex of record 2 (line 3) is '2', not 0 or male, 1 or female"),
        ("filename_lr", "", "filename_lr of record 2 (line 3) is '', not a path below the data folder"),
        ("filename_lr", "/etc/passwd", "filename_lr of record 2 (line 3) is '/etc/passwd', not"),
        (
            "filename_hr",
            "records500/../../x",
            "filename_hr of record 2 (line 3) is 'records500/../../x', not",
        ),
        ("filename_hr", "..\\x", "filename_hr of record 2 (line 3)"),
        ("filename_hr", "C:x", "filename_hr of record 2"),
        ("filename_hr", "a\nb", "filename_hr of line 3 is 'a\\nb', where U+000A is a control character"),
    ],
)
def test_bad_cells_are_named_with_record_and_value(
    tmp_path: Path, column: str, cell: str, message: str
) -> None:
    rows = [record(1), record(2) | {column: cell}]
    with pytest.raises(DataError) as error:
        read_table(write_table(tmp_path, rows))
    assert message in one_line(error)
    assert "; " in one_line(error)


@pytest.mark.parametrize(
    "cell",
    [
        "",
        "NORM",
        "['NORM']",
        "{'NORM'}",
        "{'NORM': 100.0",
        "{1: 2}",
        "{'NORM': 'yes'}",
        "{'NORM': None}",
        "{'NORM': True}",
        "{'NORM': -1}",
        "{'NORM': 101}",
        "{'NORM': 1e999}",
        "{'NORM': 1j}",
        "{[]: 1}",
        "{'NORM': __import__('pathlib').Path('touched').touch()}",
        "__import__('pathlib').Path('touched').touch()",
        "{'NORM': 9 ** 9 ** 9}",
        "{'A' * 10 ** 10: 1}",
        "(" * 3_000,
        "-" * 3_000 + "1",
        "[" * 150 + "]" * 150,
        "{'NORM': " + "9" * 3_000 + "}",
        "{" + "'NORM': 0, " * 10_000 + "}",
        "{'\\d': 'x'}",
    ],
)
def test_hostile_statement_cells_are_refused_and_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str
) -> None:
    monkeypatch.chdir(tmp_path)
    root = write_table(tmp_path / "data", [record(1), record(2, scp_codes=cell)])
    with pytest.raises(DataError, match=r"scp_codes of record 2 \(line 3\) is ") as error:
        read_table(root)
    assert "correct the cell" in one_line(error)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"ecg_id,patient_id,scp_codes,strat_fold,filename_lr\n", "no records below its header"),
        (
            b"ecg_id,patient_id,scp_codes,strat_fold,filename_lr\n1,2\n",
            "line 2 has 2 cells, the header 5",
        ),
        (
            b"ecg_id;patient_id;scp_codes\n1;2;3\n",
            "lacks the column strat_fold; its header has ecg_id, patient_id, scp_codes",
        ),
        (b"ecg_id,patient_id,scp_codes,strat_fold\n1,2,{},3\n", "lacks file names"),
        (
            b"ecg_id,report\n1,\xe4rzt\n",
            "is not UTF-8 (byte 0xe4, 'ä' in Windows' encoding); save it as UTF-8",
        ),
        (b'ecg_id,report\n1,"' + b"x" * 200_000 + b'"\n', "is not a readable CSV file"),
    ],
)
def test_files_that_are_no_table(tmp_path: Path, content: bytes, message: str) -> None:
    root = write_table(tmp_path, [record(1)])
    if b"report" in content:
        content = content.replace(b"ecg_id", b"ecg_id,patient_id,scp_codes,strat_fold,filename_lr")
        content = content.replace(b"\n1,", b"\n1,2,{},3,x,")
    (root / "ptbxl_database.csv").write_bytes(content)
    with pytest.raises(DataError) as error:
        read_table(root)
    assert message in one_line(error)


def test_a_folder_in_place_of_the_table(tmp_path: Path) -> None:
    (tmp_path / "ptbxl_database.csv").mkdir()
    with pytest.raises(DataError, match="is a folder or a device, not a file"):
        read_table(tmp_path)
    with pytest.raises(DataError, match="is missing"):
        read_table(tmp_path / "absent")


def test_diagnostic_statements_are_as_certain_as_their_likelihood(tmp_path: Path) -> None:
    codes = ("{'IMI': 35.0, 'AFIB': 0.0}", "{'NORM': 100.0}", "{'NST': 50.0}", "{'1AVB': 0.0}")
    write_table(tmp_path, [record(number, scp_codes=text) for number, text in enumerate(codes, start=1)])
    catalogue = read_catalogue(tmp_path)
    soft_NC = catalogue.soft_labels("all")
    column = {code: number for number, code in enumerate(catalogue.hierarchy.classes("all"))}
    assert soft_NC.dtype == np.float32
    assert soft_NC[0, column["IMI"]] == np.float32(0.35)
    assert soft_NC[0, column["AFIB"]] == soft_NC[1, column["NORM"]] == soft_NC[3, column["1AVB"]] == 1
    assert soft_NC[2, column["NST_"]] == 0.5
    assert np.count_nonzero(soft_NC) == catalogue.labels("all").sum() == 5


@ptbxl_folders
def test_soft_labels_of_real_records(ptbxl: Path) -> None:
    catalogue = read_catalogue(ptbxl)
    hard_NC, soft_NC = catalogue.labels("subclass"), catalogue.soft_labels("subclass")
    np.testing.assert_array_equal(soft_NC > 0, hard_NC)
    assert np.unique(soft_NC[:, 0]).size > 1
    unsure = (hard_NC & (soft_NC < 1)).any(axis=1).mean()
    assert 0.1 < unsure < 0.6


def plain(folder: Path, *changes: dict[str, str]) -> ptbxl.RecordTable:
    return read_table(write_table(folder, [record(n, **change) for n, change in enumerate(changes, start=1)]))


@pytest.mark.parametrize(
    "cell",
    [
        '{"NORM": 100.0, "SR": 0}',
        "{'NORM': np.float64(100.0), 'SR': numpy.int64(0)}",
        "{'NORM ': 100.0, '\u00a0SR': 0.0}",
    ],
)
def test_statements_in_other_spellings(tmp_path: Path, cell: str) -> None:
    assert plain(tmp_path, {"scp_codes": cell}).scp_codes == ({"NORM": 100.0, "SR": 0.0},)


@pytest.mark.parametrize("cell", ["{'NORM': 100.0, 'NORM': 0.0}", "{'NORM': 100.0, 'NORM ': 0.0}", "nan"])
def test_a_code_has_one_likelihood(tmp_path: Path, cell: str) -> None:
    with pytest.raises(DataError, match=r"scp_codes of record 1 \(line 2\) is .*, each code once"):
        plain(tmp_path, {"scp_codes": cell})


def test_sex_in_words_and_missing_values(tmp_path: Path) -> None:
    changes = [{"sex": sex, "age": "NA"} for sex in ("M", "female", "F", "N/A", "Male")]
    table = plain(tmp_path, *changes)
    np.testing.assert_array_equal(table.sex, [0, 1, 1, np.nan, 0])
    assert np.isnan(table.age).all()


def test_columns_in_other_spellings_and_separators(tmp_path: Path) -> None:
    root = write_table(tmp_path, [record(1), record(2)])
    expected = read_table(root)
    text = (root / "ptbxl_database.csv").read_text()
    for other in (
        text.replace("ecg_id,patient_id", "ECG_ID, Patient ID"),
        text.replace(",", ";").replace("100.0; ", "100.0, ").encode("utf-16"),
    ):
        (root / "ptbxl_database.csv").write_bytes(other if isinstance(other, bytes) else other.encode())
        table = read_table(root)
        assert table.scp_codes == expected.scp_codes
        assert table.patient_id.tolist() == expected.patient_id.tolist()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [record(1), record(1, scp_codes="{'IMI': 50.0}")],
            "line 2 and line 3 are both of record 1 and differ in scp_codes; give a record one row with all",
        ),
        (
            [record(1), record(1)],
            "line 2 and line 3 are both of record 1 and are equal; remove one of them",
        ),
        (
            [record(1), record(2, filename_lr="./records100/00000/00001_lr.hea")],
            "record 1 (line 2) and record 2 (line 3) name one file, 'records100/00000/00001_lr', in filename",
        ),
        (
            [record(1, strat_fold="0"), record(2, strat_fold="9")],
            "strat_fold goes from 0 to 9; folds of PTB-XL are 1 to 10",
        ),
        (
            [record(1, patient_id="007"), record(2, patient_id="7.0")],
            "patient_id '007' of record 1 (line 2) and '7' of",
        ),
        ([record(1, age="56,0")], "with a decimal point, not with a comma"),
    ],
)
def test_rows_that_contradict_each_other(tmp_path: Path, rows: list[dict[str, str]], message: str) -> None:
    with pytest.raises(DataError) as error:
        read_table(write_table(tmp_path, rows))
    assert message in one_line(error)


def test_one_patient_written_as_decimal_and_as_whole_number(tmp_path: Path) -> None:
    assert plain(tmp_path, {"patient_id": "12"}, {"patient_id": "12.0"}).patient_id.tolist() == [12, 12]


def test_the_rate_of_the_files_at_hand_is_named_if_the_table_has_the_other(tmp_path: Path) -> None:
    rows = [{key: value for key, value in record(1).items() if key != "filename_lr"}]
    root = write_table(tmp_path, rows)
    assert list(read_table(root).filenames) == [500]
    (root / "records100").mkdir()
    with pytest.raises(
        DataError, match="names no files at 100 Hz, those that are there: its column filename_lr"
    ):
        read_table(root)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("norm", "is not in scp_statements.csv; write NORM"),
        (
            "MI",
            "it is a class of the tier superclass: write the statements themselves, such as ASMI, ILMI, IMI",
        ),
        ("XYZ", "add a line for it there or correct the code"),
    ],
)
def test_an_unknown_code_comes_with_the_nearest_known_one(tmp_path: Path, code: str, advice: str) -> None:
    catalogue = read_catalogue(write_table(tmp_path, [record(1, scp_codes=f"{{'{code}': 100.0}}")]))
    with pytest.raises(DataError, match=advice):
        catalogue.labels("all")
