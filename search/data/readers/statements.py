"""The SCP-ECG statements of the data set, from its own `scp_statements.csv`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from search.data.tables import is_blank, read_csv
from search.errors import DataError

STATEMENTS_NAME: Final = "scp_statements.csv"
_CODE: Final = ""  # the column of codes has no name
_KINDS: Final = ("diagnostic", "form", "rhythm")
_YES: Final = frozenset({"1", "1.0", "true"})
_NO: Final = frozenset({"0", "0.0", "false"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """One SCP-ECG statement and its place in the hierarchy.

    Attributes:
        code: SCP code, such as "IMI".
        description: In words.
        diagnostic: Whether it is one of the 44 diagnostic statements.
        form: Whether it is one of the 19 statements on form; four are diagnostic as well.
        rhythm: Whether it is one of the 12 statements on rhythm.
        superclass: Diagnostic superclass, None unless diagnostic.
        subclass: Diagnostic subclass, None unless diagnostic.
    """

    code: str
    description: str
    diagnostic: bool
    form: bool
    rhythm: bool
    superclass: str | None
    subclass: str | None


def read_statements(root: Path) -> tuple[Statement, ...]:
    """Read `scp_statements.csv` of a PTB-XL folder, in file order.

    Raises:
        DataError: The file is missing, lacks a column, repeats a code, or a diagnostic statement has
            no superclass or subclass.
    """
    path = root / STATEMENTS_NAME
    needed = (_CODE, "description", *_KINDS, "diagnostic_class", "diagnostic_subclass")
    table = read_csv(path, needed)
    statements: dict[str, Statement] = {}
    for cells in zip(*table.columns.values(), strict=True):
        row = dict(zip(table.columns, cells, strict=True))
        statement = _parse(path, row)
        if statement.code in statements:
            raise DataError(f"{path}: statement {statement.code!r} occurs twice; remove one of the lines")
        statements[statement.code] = statement
    return tuple(statements.values())


def _parse(path: Path, row: dict[str, str]) -> Statement:
    code = row[_CODE]
    if is_blank(code):
        raise DataError(
            f"{path}: a line has no code ({row['description'][:40]!r}); add it or remove the line"
        )
    diagnostic, form, rhythm = (_flag(path, code, kind, row[kind]) for kind in _KINDS)
    parents = {}
    for column in ("diagnostic_class", "diagnostic_subclass"):
        name = row[column]
        if diagnostic and is_blank(name):
            raise DataError(f"{path}: {code} is diagnostic but its {column} is blank; fill it in")
        parents[column] = name if diagnostic else None
    return Statement(
        code=code,
        description=row["description"],
        diagnostic=diagnostic,
        form=form,
        rhythm=rhythm,
        superclass=parents["diagnostic_class"],
        subclass=parents["diagnostic_subclass"],
    )


def _flag(path: Path, code: str, column: str, text: str) -> bool:
    if text.lower() in _YES:
        return True
    if is_blank(text) or text.lower() in _NO:
        return False
    raise DataError(f"{path}: {column} of {code} is {text[:40]!r}, not 1.0 or blank; correct the cell")
