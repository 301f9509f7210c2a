"""Tables gone wrong: PTB-XL's, SPH's, one's own, statements and severities, thousands of times."""

import ast
import csv
from pathlib import Path

import numpy as np
import pytest
from fuzzing import cases, damaged, outcome, write
from hypothesis import given
from hypothesis import strategies as st
from ptbxl_folder import STATEMENTS, record, write_statements, write_table
from ptbxl_waveforms import header_text, noise, write_record
from sph_folder import CODES
from sph_folder import write_tables as write_sph_tables

from search.data.catalogue import Catalogue
from search.data.labels.severity import SEVERITY_FILE, read_severity
from search.data.readers import own, ptbxl, sph
from search.data.readers.ptbxl import statement_codes
from search.data.readers.statements import read_statements
from search.data.tables import Table, clean, read_csv
from search.errors import DataError


def check_catalogue(catalogue: Catalogue) -> None:
    """Check the invariants of every catalogue."""
    n = len(catalogue)
    assert n > 0
    assert len(set(catalogue.ecg_id.tolist())) == n
    assert len(catalogue.patient_id) == len(catalogue.statements) == n
    assert set(catalogue.strat_fold.tolist()) <= set(range(1, catalogue.fold_plan.sealed + 1))
    root = catalogue.root.resolve()
    for waveforms in catalogue.waveforms.values():
        assert len(waveforms) == n
        for name in waveforms.names:
            assert (root / name).resolve().is_relative_to(root)
    for tier in catalogue.hierarchy.tiers:
        y_NC = outcome(lambda tier=tier: catalogue.labels(tier))  # type: ignore[misc]
        assert y_NC is None or y_NC.shape == (n, len(catalogue.hierarchy.classes(tier)))


# PTB-XL


@pytest.fixture(scope="module")
def ptbxl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    codes = ["{'NORM': 100.0, 'SR': 0.0}", "{'IMI': 35.0, 'ABQRS': 0.0}", "{}", "{'AFIB': 0}"]
    rows = [record(number, scp_codes=codes[number % len(codes)]) for number in range(1, 12)]
    return write_table(tmp_path_factory.mktemp("ptbxl"), rows)


@pytest.mark.slow
@given(data=st.data())
@cases(300)
def test_ptbxl_database(ptbxl_folder: Path, data: st.DataObject) -> None:
    table = ptbxl_folder / "ptbxl_database.csv"
    whole = table.read_bytes()
    try:
        write(table, data.draw(damaged(whole)))
        catalogue = outcome(lambda: ptbxl.read_catalogue(ptbxl_folder))
        if catalogue is not None:
            check_catalogue(catalogue)
    finally:
        write(table, whole)


LITERALS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8) | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4)
        | st.tuples(inner)
    ),
    max_leaves=6,
)
CODE_CELLS = (
    st.dictionaries(st.sampled_from(["NORM", "SR", "é", ""]), st.floats(0, 100) | st.integers(0, 100)).map(
        repr
    )
    | LITERALS.map(repr)
    | damaged(b"{'NORM': 100.0, 'SR': 0.0}").map(lambda raw: raw.decode("utf-8", "replace"))
    | st.text(max_size=40)
)


def codes_table(cell: str) -> Table:
    return Table(path=Path("table.csv"), remedy="", columns={"scp_codes": (cell,)}, where=("record 1",))


@pytest.mark.slow
@given(CODE_CELLS)
@cases(500)
def test_scp_codes(cell: str) -> None:
    codes = outcome(lambda: statement_codes(codes_table(cell)))
    if codes is not None:
        assert codes[0] == {clean(code): share for code, share in ast.literal_eval(cell).items()}
        assert all(isinstance(code, str) and 0 <= share <= 100 for code, share in codes[0].items())


@pytest.mark.filterwarnings("default")  # as in use; pytest makes errors of warnings
@pytest.mark.parametrize("cell", ["{'NO\\d': 100.0}", "{'A': 1if 1else 2}", "{'A': 0x1for 2}"])
def test_what_python_only_warns_of_is_refused(cell: str, recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(DataError, match="scp_codes of record 1"):
        statement_codes(codes_table(cell))
    assert not list(recwarn)


@pytest.mark.slow
@given(data=st.data())
@cases(300)
def test_scp_statements(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp() / "statements"
    folder.mkdir(exist_ok=True)
    write_statements(folder, STATEMENTS)
    table = folder / "scp_statements.csv"
    write(table, data.draw(damaged(table.read_bytes())))
    statements = outcome(lambda: read_statements(folder))
    if statements is not None:
        assert len({statement.code for statement in statements}) == len(statements)
        for statement in statements:
            assert statement.code.strip()
            assert bool(statement.superclass and statement.subclass) == statement.diagnostic


# One's own records


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("own")
    rows = ["record,patient_id,labels,fold"]
    for number in range(1, 9):
        rows.append(f"ward/{number:03d},P{number},AF;PVC,{number % 5 + 1 if number > 1 else 'test'}")
        write_record(root, f"ward/{number:03d}", noise(number))
    write(root / "records.csv", "\n".join([*rows, ""]).encode())
    return root


@pytest.mark.slow
@given(data=st.data())
@cases(300)
def test_own_records(own_folder: Path, data: st.DataObject) -> None:
    table = own_folder / "records.csv"
    whole = table.read_bytes()
    try:
        write(table, data.draw(damaged(whole)))
        catalogue = outcome(lambda: own.read_catalogue(own_folder))
        if catalogue is not None:
            check_catalogue(catalogue)
            signals = catalogue.at_rate(None)
            outcome(lambda: signals.read(slice(0, 2)))
    finally:
        write(table, whole)


@pytest.mark.slow
@given(damaged(header_text("001", noise(1)).encode()))
@cases(300)
def test_first_header_of_own_records(own_folder: Path, header: bytes) -> None:
    file = own_folder / "ward/001.hea"
    write(file, header)
    catalogue = outcome(lambda: own.read_catalogue(own_folder))
    if catalogue is not None:
        check_catalogue(catalogue)
        for signals in catalogue.waveforms.values():
            chunk = outcome(lambda signals=signals: signals.read(slice(0, 2)))  # type: ignore[misc]
            assert chunk is None or chunk.x_NLT.shape[1:] == (len(signals.leads), signals.n_samples)


# SPH


@pytest.mark.slow
@given(data=st.data())
@cases(400)
def test_sph_tables(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    root = tmp_path_factory.getbasetemp() / "sph"
    records = {f"A{n:05d}": (["1", "22;145+362", "50+346"][n % 3], f"S{n // 2:05d}") for n in range(1, 12)}
    write_sph_tables(root, records)
    name = data.draw(st.sampled_from(["metadata.csv", "code.csv"]))
    write(root / name, data.draw(damaged((root / name).read_bytes())))
    catalogue = outcome(lambda: sph.read_catalogue(root))
    if catalogue is not None:
        check_catalogue(catalogue)
        assert all("+".join(s.split("+")) and s.split("+")[0] for of in catalogue.statements for s in of)
    assert len(CODES) == 8


# severity.toml


@pytest.mark.slow
@given(damaged(SEVERITY_FILE.read_bytes()))
@cases(300)
def test_severity_map(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = write(tmp_path_factory.getbasetemp() / "severity.toml", content)
    severity = outcome(lambda: read_severity(file))
    if severity is not None:
        levels = severity.scheme.levels
        assert len(levels) == 4
        assert sorted(code for level in levels for code in level.statements) == sorted(severity.aha)


# Any CSV file


@pytest.mark.slow
@given(data=st.data())
@cases(300)
def test_cells_of_a_csv_file_come_back(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    cell = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    rows = data.draw(st.lists(st.tuples(cell, cell), min_size=1, max_size=6))
    file = tmp_path_factory.getbasetemp() / "cells.csv"
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
    separator = data.draw(st.sampled_from(",;\t|"))
    with file.open("w", encoding=encoding, newline="") as text:
        csv.writer(text, delimiter=separator).writerows([("a", "b"), *rows])
    found = outcome(lambda: read_csv(file, ("a", "b")))
    if found is not None:
        cleaned = [(clean(one), clean(other)) for one, other in rows]
        assert list(zip(found["a"], found["b"], strict=True)) == [row for row in cleaned if any(row)]


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("ending", ["", "\n"])
def test_a_gigabyte_in_one_field(tmp_path: Path, quote: str, ending: str) -> None:
    file = tmp_path / "records.csv"
    with file.open("wb") as table:
        table.write(f"record,patient_id,labels\nward/1,P1,{quote}".encode())
        table.truncate(1_000_000_000)  # zeros that take no space on the disk
        table.seek(0, 2)
        table.write(f"{quote}{ending}".encode())
    with pytest.raises(DataError) as caught:
        outcome_or_raise(file)
    assert "line 2 has no end within 1,000,000 characters" in str(caught.value)


def outcome_or_raise(file: Path) -> None:
    """Within the same bounds of memory and time, the refusal itself."""
    refusals: list[DataError] = []

    def read() -> None:
        try:
            own.read_catalogue(file.parent)
        except DataError as error:
            refusals.append(error)

    outcome(read)
    raise refusals[0]


def test_a_field_of_many_lines(tmp_path: Path) -> None:
    file = write(
        tmp_path / "records.csv", b'record,patient_id,labels\nward/1,P1,"' + b"AF;\n" * 40_000 + b'"\n'
    )
    with pytest.raises(DataError, match="field larger than field limit"):
        read_csv(file, ("record",))


def test_a_row_of_a_million_cells(tmp_path: Path) -> None:
    file = write(
        tmp_path / "records.csv", b"record,patient_id,labels\nward/1,P1,AF" + b",x" * 1_000_000 + b"\n"
    )
    assert outcome(lambda: read_csv(file, ("record",))) is None


def test_right_numbers_of_ids(ptbxl_folder: Path) -> None:
    """The property above would pass if nothing were ever accepted."""
    catalogue = ptbxl.read_catalogue(ptbxl_folder)
    np.testing.assert_array_equal(catalogue.ecg_id, np.arange(1, 12))
