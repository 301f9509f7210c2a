"""The statements of `scp_statements.csv`."""

from collections import Counter
from pathlib import Path

import pytest
from ptbxl_folder import STATEMENT_HEADER, STATEMENTS, write_statements

from search.data.readers.statements import Statement, read_statements
from search.errors import DataError


def test_the_71_statements_of_ptbxl(ptbxl: Path) -> None:
    statements = read_statements(ptbxl)
    assert len(statements) == 71
    assert Counter(
        kind for s in statements for kind in ("diagnostic", "form", "rhythm") if getattr(s, kind)
    ) == {
        "diagnostic": 44,
        "form": 19,
        "rhythm": 12,
    }
    assert {s.code for s in statements if s.diagnostic and s.form} == {"NDT", "NST_", "DIG", "LNGQT"}
    of_code = {s.code: s for s in statements}
    assert {of_code[code].subclass for code in ("INJAS", "INJAL", "INJLA")} == {"AMI"}
    assert {of_code[code].subclass for code in ("INJIN", "INJIL")} == {"IMI"}
    assert statements[0] == Statement(
        code="NDT",
        description="non-diagnostic T abnormalities",
        diagnostic=True,
        form=True,
        rhythm=False,
        superclass="STTC",
        subclass="STTC",
    )


def test_blank_and_nan_mean_no_and_order_is_kept(tmp_path: Path) -> None:
    write_statements(tmp_path, STATEMENTS)
    statements = read_statements(tmp_path)
    assert [s.code for s in statements] == [line[0] for line in STATEMENTS]
    fibrillation = statements[-1]
    assert (fibrillation.diagnostic, fibrillation.form, fibrillation.rhythm) == (False, False, True)
    assert fibrillation.superclass is None
    assert fibrillation.subclass is None


def test_the_column_of_codes_may_have_any_name(tmp_path: Path) -> None:
    write_statements(tmp_path, STATEMENTS, header=("Unnamed: 0", *STATEMENT_HEADER[1:]))
    assert read_statements(tmp_path)[2].code == "NORM"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lines": [*STATEMENTS, STATEMENTS[0]]}, "statement 'NDT' occurs twice"),
        (
            {"lines": [("IMI", "x", "1.0", "", "", "MI", "")]},
            "IMI is diagnostic but its diagnostic_subclass is blank",
        ),
        (
            {"lines": [("IMI", "x", "1.0", "", "", "nan", "IMI")]},
            "IMI is diagnostic but its diagnostic_class is blank",
        ),
        (
            {"lines": [("IMI", "x", "maybe", "", "", "MI", "IMI")]},
            "diagnostic of IMI is 'maybe', not 1.0 or blank",
        ),
        ({"lines": [("", "nameless", "", "1.0", "", "", "")]}, "a line has no code ('nameless')"),
        ({"lines": []}, "no records below its header"),
        ({"header": (*STATEMENT_HEADER[:3], "shape", *STATEMENT_HEADER[4:])}, "lacks the column form"),
        (
            {"header": STATEMENT_HEADER[1:], "lines": [line[1:] for line in STATEMENTS]},
            "lacks the column (unnamed first column)",
        ),
    ],
)
def test_files_that_are_no_statements(tmp_path: Path, changes: dict, message: str) -> None:
    write_statements(tmp_path, **({"lines": STATEMENTS} | changes))
    with pytest.raises(DataError) as error:
        read_statements(tmp_path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"scp_statements\.csv is missing; take it from the PTB-XL download"):
        read_statements(tmp_path)
