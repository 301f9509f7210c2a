"""Finding a data set by what is in its folder."""

from pathlib import Path

import numpy as np
import pytest
from ptbxl_folder import record, write_table

from search.data import sources
from search.data.sources import find_data
from search.errors import DataError, UsageError


def one_line(error: pytest.ExceptionInfo[DataError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("below", ["", "1.0.3", "physionet.org/files/ptb-xl/1.0.3"])
def test_root_is_found_below_its_parents(tmp_path: Path, below: str) -> None:
    root = write_table(tmp_path / below, [record(1)])
    (root / "records100").mkdir()
    assert find_data(tmp_path).root == root
    assert find_data(root / "ptbxl_database.csv").root == root


def test_root_too_deep_is_not_found(tmp_path: Path) -> None:
    write_table(tmp_path / "a/b/c/d/e", [record(1)])
    with pytest.raises(DataError, match="no data set in") as error:
        find_data(tmp_path)
    assert str(tmp_path) in one_line(error)
    assert find_data(tmp_path / "a").root.name == "e"


def test_a_folder_within_a_data_set_leads_to_that(tmp_path: Path) -> None:
    root = write_table(tmp_path / "ptb-xl", [record(1)])
    (root / "records100/00000").mkdir(parents=True)
    for below in ("records100", "records100/00000"):
        with pytest.raises(DataError, match=f"which is a part of one; give {root}$"):
            find_data(root / below)


def test_an_archive_that_was_not_unpacked_is_named(tmp_path: Path) -> None:
    (tmp_path / "ptb-xl-1.0.3.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"\(own records\); ptb-xl-1.0.3.zip is there: unpack it$"):
        find_data(tmp_path)


def test_annotations_in_capital_letters_are_named(tmp_path: Path) -> None:
    (tmp_path / "101.ATR").write_bytes(b"\0\0")
    with pytest.raises(DataError, match=r"101.ATR is not read under this name; write 101.atr"):
        find_data(tmp_path)


def test_two_data_sets_below_are_listed(tmp_path: Path) -> None:
    for name in ("1.0.1", "1.0.3"):
        write_table(tmp_path / name, [record(1)])
    with pytest.raises(DataError, match="holds 2 data sets") as error:
        find_data(tmp_path)
    assert str(tmp_path / "1.0.1") in one_line(error)
    assert str(tmp_path / "1.0.3") in one_line(error)


def test_the_search_for_a_root_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_FOLDERS", 10)
    for number in range(20):
        (tmp_path / f"{number}").mkdir()
    with pytest.raises(DataError, match="holds more than 10 folders"):
        find_data(tmp_path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent", "absent does not exist; give the folder"),
        ("file", "file is a file, not a folder; give the folder"),
        ("empty", r"no data set in .*one of ptbxl_database.csv \(PTB-XL\), "),
        ("x" * 300, "cannot be opened"),
    ],
)
def test_folders_without_data(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        find_data(tmp_path / path)


def test_rows_are_selected_by_masks_and_row_numbers(tmp_path: Path) -> None:
    catalogue = find_data(write_table(tmp_path, [record(n) for n in range(1, 6)])).read()
    masked = catalogue.select(catalogue.ecg_id > 3)
    assert masked.ecg_id.tolist() == masked.waveforms[100].record_id.tolist() == [4, 5]
    assert masked.waveforms[500].names == ("records500/00000/00004_hr", "records500/00000/00005_hr")
    assert len(masked.statements) == len(masked) == 2
    reversed_rows = catalogue.select(np.array([4, 0]))
    assert reversed_rows.patient_id.tolist() == [1005, 1001]


def test_a_split_that_a_data_set_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--split intra-patient: PTB-XL has inter-patient$"):
        find_data(write_table(tmp_path, [record(1)])).read("intra-patient")


def test_a_folder_of_several_kinds_is_settled_by_the_user(tmp_path: Path) -> None:
    root = write_table(tmp_path / "data", [record(1)])
    (root / "records.csv").write_text("record,patient_id,labels\nr1,1,AF\n")
    for name in ("207.atr", "101.atr"):
        (root / name).touch()
    with pytest.raises(DataError, match="could be 3 kinds of data set; give ") as error:
        find_data(tmp_path)
    table, beats, own = root / "ptbxl_database.csv", root / "101.atr", root / "records.csv"
    assert f"{table} for PTB-XL or {beats} for MIT-BIH or {own} for own records" in one_line(error)
    for path, name in ((table, "PTB-XL"), (beats, "MIT-BIH"), (own, "own records")):
        found = find_data(path)
        assert (found.source.name, found.root, found.path) == (name, root, path)
        # What is handed on leads to the same kind again.
        assert find_data(found.path).source is found.source
    own.unlink()
    with pytest.raises(DataError, match="could be 2 kinds of data set"):
        find_data(root)


def test_both_tables_of_sph_stand_for_it(tmp_path: Path) -> None:
    for name in ("metadata.csv", "code.csv", "records.csv"):
        (tmp_path / name).touch()
    assert (
        find_data(tmp_path / "metadata.csv").source is find_data(tmp_path / "code.csv").source is sources.SPH
    )
    (tmp_path / "code.csv").unlink()
    with pytest.raises(DataError, match="is a file, not a folder"):
        find_data(tmp_path / "metadata.csv")
    assert find_data(tmp_path).source is sources.OWN
