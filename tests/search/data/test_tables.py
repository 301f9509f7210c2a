"""Tables as people export them: read where there is no doubt, else refused with line, value and cause."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.data.tables import Table, clean, is_blank, label_key, number, read_csv
from search.errors import DataError

TABLE = "name,value\nr1,1\nr2,2\n"


def read(folder: Path, content: str | bytes) -> Table:
    file = folder / "table.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_csv(file, ("name", "value"), remedy="correct the file")


def refusal(folder: Path, content: str | bytes) -> str:
    with pytest.raises(DataError) as error:
        read(folder, content)
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 500
    return message


@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        TABLE.encode("utf-8-sig"),
        TABLE.encode("utf-16"),
        TABLE.encode("utf-32"),
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("\n", "\r"),
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t").encode("utf-16"),
        TABLE.replace(",", "|"),
        "sep=;\n" + TABLE.replace(",", ";"),
        "\n\n" + TABLE + "\n,\n\n",
        ",name,value\n0,r1,1\n1,r2,2\n",
        ",Unnamed: 0,name,value\n0,0,r1,1\n1,1,r2,2\n",
        "name,value,,\nr1,1,,\nr2,2,,\n",
        "name,value\nr1,1,,\nr2,2,\n",
        " Name , VALUE\n r1 , 1\nr2\u00a0,\u200b2\n",
        'name,note,value\nr1,"two\nlines",1\nr2,\0,2\n',
    ],
)
def test_what_leaves_no_doubt_is_read(tmp_path: Path, content: str | bytes) -> None:
    table = read(tmp_path, content)
    assert (table["name"], table["value"]) == (("r1", "r2"), ("1", "2"))
    assert table.integers("value", low=0).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "name,value\nr1,1\nr2,2,3\n",
            "line 3 has 3 cells, the header 2 (comma-separated), '3' is left over",
        ),
        (
            "name;value\nr1;1\nr2;2;;3\n",
            "line 3 has 4 cells, the header 2 (semicolon-separated), '3' is left",
        ),
        ('name,value\n"a\nb",1\nr2\n', "line 4 has 1 cell, the header 2"),
        ("name,value,\nr1,1,x\n", "line 2 has 'x' in a column without a name"),
        ("name,value,value\nr1,1,2\n", "has the column 'value' 2 times; leave one of them"),
        ("name,value,Value\nr1,1,2\n", "has the column value twice ('value' and 'Value')"),
        (TABLE + TABLE, "line 4 repeats the header"),
        ("# made today\n" + TABLE, "the header is in line 2, below '# made today'; remove what is above it"),
        ("name,values\nr1,1\n", "lacks the column value; its header has name, values; correct the file"),
        ("sep=;\n", "is empty"),
        ("name,value\nIsch\ufffdmie,1\n", "name of line 2 is 'Isch\ufffdmie', where U+FFFD was lost"),
        ("name,value\nr\0,1\n", "where U+0000 is a control character"),
        ('name,value\nr1,1\n"r2,2\nr3,3\n', "unexpected end of data, in the row that begins in line 3"),
        ("name,value\nIschämie,1\n".encode("cp1252"), "is not UTF-8 (byte 0xe4, 'ä' in Windows' encoding)"),
        (TABLE.encode("utf-16-le"), "looks like UTF-16 without a byte order mark; save it as UTF-8"),
        (TABLE.encode("utf-16")[:-1], "is not what its byte order mark says"),
        (b"PK\x03\x04 and more", "is a ZIP archive or an Excel workbook; unpack it or save it as CSV"),
        (b"\x1f\x8b and more", "is compressed (gzip); unpack it"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is an Excel workbook of the old kind; save it"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "is a pointer of Git LFS, not the"),
        ("\n<!DOCTYPE html>\n<html><title>403 Forbidden", "is a web page, as servers send instead"),
        (b"\xef\xbb\xbf<html>", "is a web page"),
        (b"ARROW1\0\0", "is a Feather file; save it"),
        (b"SQLite format 3\0", "is an SQLite database; export the table as CSV"),
        (b"\x80\x04\x95\x00", "is a Python pickle; save it"),
        ('[{"record": "a"}]', "is JSON; save the table as CSV"),
        ('{"record": "a"}\n{"record": "b"}', "is JSON; save the table as CSV"),
        ('<table border="1">', "is HTML or XML; save the table as CSV"),
        ("| X | Y |\n|---|---|\n| 1 | 2 |", "is a table drawn with lines of dashes"),
        (" X | Y \n---+---\n 1 | 2 ", "is a table drawn with lines of dashes"),
        ("sep=,\nname;value\n1;2", "line 1 names the separator ',', but the header is separated by ';'"),
        ("name,value\nr1,1\n\x1a", "line 3 holds nothing but Ctrl-Z, as DOS ends a file; remove that line"),
        ("name,value\nr1,1\n\0\0\0", "line 3 holds nothing but NUL, as a file has that was cut off; remove"),
        ("name,value\nr1,1\n#REF!,2\n", "name of line 3 is '#REF!', an error of a spreadsheet"),
        ("name,value\nr1,1\n########,2\n", "name of line 3 is '########', an error of a spreadsheet"),
    ],
)
def test_what_is_in_doubt_is_refused_with_its_cause(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    assert message in refusal(tmp_path, content)


def test_a_pipe_or_a_folder_in_the_place_of_a_table_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name in ("pipe.csv", "folder.csv"):
        with pytest.raises(DataError, match=f"{name} is a folder or a device, not a file; "):
            read_csv(tmp_path / name, ("name",))


def test_a_column_without_a_name_is_found_behind_row_counts(tmp_path: Path) -> None:
    file = tmp_path / "codes.csv"
    for header in (",value", ",,value", ",Unnamed: 0,value", "Unnamed: 0.1,code,value"):
        counted = header.count(",") == 2
        rows = [f"{n}," * counted + f"{code},{n}" for n, code in enumerate(("NORM", "SR"))]
        file.write_text("\n".join([header, *rows]))
        assert read_csv(file, ("", "value"))[""] == ("NORM", "SR")


@pytest.mark.parametrize(
    "word", ["", "NaN", "nan", "NA", "n/a", "#N/A", "<NA>", "NULL", "None", "-", "–", "?"]
)
def test_one_list_of_words_for_nothing(word: str) -> None:
    assert is_blank(clean(f" {word}\u00a0"))


@pytest.mark.parametrize("word", ["0", "no", "normal", "N", "NAN1", "unknown"])
def test_words_that_say_something(word: str) -> None:
    assert not is_blank(word)


def test_text_is_clean() -> None:
    assert clean("\ufeffIscha\u0308mie\u00ad \u2009AV\u200b\u2003") == "Ischämie  AV"


@given(st.text())
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("1.0", 1), ("1.", 1), ("+01", 1), ("1e1", 10), ("1,0", None), ("1_0", None), ("inf", None)],
)
def test_numbers(text: str, value: float | None) -> None:
    assert number(text) == value if value is not None else number(text) != number(text)


def names(*cells: str) -> Table:
    where = tuple(f"line {row}" for row in range(2, len(cells) + 2))
    return Table(path=Path("t.csv"), remedy="", columns={"patient_id": cells}, where=where)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("12", "12.0", "13"), ("12", "12", "13")),
        (("12", "P1", "12.0"), ("12", "P1", "12")),
        (("1.0", "1.1", "1.2"), ("1.0", "1.1", "1.2")),  # site and patient
        (("001", "002", "010"), ("001", "002", "010")),
        (("1-11", "11-1", "111"), ("1-11", "11-1", "111")),
        (("1.000", "2.000"), ("1.000", "2.000")),
        (("2021-03-01", "2021-03-02"), ("2021-03-01", "2021-03-02")),
        (("1234567890123456", "1234567890123450"), ("1234567890123456", "1234567890123450")),
    ],
)
def test_who_is_the_same_patient(cells: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert names(*cells).identifiers("patient_id", "patient") == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("P1", "p1"),
        ("007", "7"),
        ("P007", "P7"),
        ("P 1", "P1"),
        ("P_1", "P-1"),
        ("１2", "12"),
        ("1-01", "1-1"),
        ("1 2", "1_2"),
        ("STRASSE1", "straße1"),
        ("P2", "\u04202"),
        ("\u0391B1", "AB1"),
        ("P\u0663", "P3"),
        ("P\u20111", "P-1"),
        ("1e3", "1000"),
        ("1,000", "1000"),
        ("+5", "5"),
        ("0x10", "16"),
        ("1.000", "1"),
        ("'0012", "12"),
        ('="0012"', "0012"),
    ],
)
def test_who_may_be_the_same_patient_is_for_the_user_to_settle(one: str, other: str) -> None:
    with pytest.raises(DataError) as error:
        names("X", one, other).identifiers("patient_id", "patient")
    message = str(error.value)
    assert (
        f"patient_id {one!r} of line 3 and {other!r} of line 4 may be the same; write each patient" in message
    )


def test_names_that_nearly_agree_are_counted() -> None:
    cells = [f"{letter}{number}" for number in range(5) for letter in "pP"]
    with pytest.raises(DataError, match=r"'p2' of line 6 and 'P2' of line 7 \(and 2 more\) may be the same"):
        names(*cells).identifiers("patient_id", "patient")


@pytest.mark.parametrize("cell", ["1.2E+12", "1,2E+12", "7E+08"])
def test_a_patient_whose_number_a_spreadsheet_has_shortened(cell: str) -> None:
    with pytest.raises(DataError, match="a spreadsheet has shortened the number of the patient"):
        names("1", cell).identifiers("patient_id", "patient")


@pytest.mark.parametrize(
    "cell", ["1-Mar", "01-Mar", "Mar-01", "3-Jan-2024", "01. Mrz", "3/1/2024", "2024-03-01"]
)
def test_a_patient_of_whom_a_spreadsheet_has_made_a_date(cell: str) -> None:
    with pytest.raises(
        DataError, match=f"line 3 is '{cell}', .*: a spreadsheet has probably made a date of it"
    ):
        names("1-13", cell).identifiers("patient_id", "patient")


def test_patients_of_whose_numbers_a_spreadsheet_has_kept_fifteen_digits() -> None:
    with pytest.raises(DataError, match=r"line 3 is '1234567890123450', .* behind the first 15 by zeros"):
        names("17", "1234567890123450", "1234567890123460").identifiers("patient_id", "patient")


@pytest.mark.parametrize("cell", ["", "NA", "nan", "-", "Unknown", "anonymous"])
def test_a_patient_without_a_name(cell: str) -> None:
    with pytest.raises(DataError, match=f"patient_id of line 3 is '{cell}', not the name of a patient"):
        names("1", cell).identifiers("patient_id", "patient")


def test_a_decimal_comma_is_named() -> None:
    with pytest.raises(
        DataError, match=r"is '12,0', not .*: numbers are written with a decimal point, not with"
    ):
        names("12,0").integers("patient_id", low=0)


def test_a_number_that_a_spreadsheet_has_shortened_is_none() -> None:
    with pytest.raises(DataError, match=r"line 2 is '1\.0E\+03', not a whole number from 0 up, in full"):
        names("1.0E+03").integers("patient_id", low=0)


def test_labels_that_nearly_agree_have_one_key() -> None:
    assert label_key("AF") == label_key("a f") == label_key("A_F") == label_key("ＡＦ")
    assert label_key("1") == label_key("1.0") == label_key("01")
    assert label_key("I48.01") != label_key("I48.1")
    assert label_key("ST+") != label_key("ST-")
    assert label_key("AF") == label_key("\u0410F") == label_key("A.F.") == label_key("A-F")
    assert label_key("AV-Block") == label_key("AV Block")
    assert label_key("1-2") != label_key("12")


@pytest.mark.parametrize(
    "cell",
    [
        "ward/r1",
        "./ward/r1",
        "ward//r1",
        "ward/./r1",
        "ward\\r1",
        ".\\ward\\r1.dat",
        "ward/r1.hea",
        "ward/r1.mat",
    ],
)
def test_spellings_of_a_record(tmp_path: Path, cell: str) -> None:
    assert names(cell).record_names("patient_id", tmp_path) == ("ward/r1",)
    assert names(f"{tmp_path}/ward/r1.hea").record_names("patient_id", tmp_path) == ("ward/r1",)


def test_a_record_that_has_an_extension_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "r1.mat.hea").touch()
    assert names("r1.mat").record_names("patient_id", tmp_path) == ("r1.mat",)


def test_accents_in_file_names_are_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "a\u0308.hea").touch()
    assert names("ä").record_names("patient_id", tmp_path) == ("a\u0308",)


@pytest.mark.parametrize("cell", ["", "NA", "..", "a/../b", "/etc/passwd", "C:\\x", "./"])
def test_names_that_are_no_record_below_the_folder(tmp_path: Path, cell: str) -> None:
    with pytest.raises(DataError, match="not a path below the data folder, relative to it"):
        names(cell).record_names("patient_id", tmp_path)
