"""Tables of a data set: CSV files read strictly, by one set of rules for every kind of data set.

    encoding    UTF-8, or the one of a byte order mark
    separator   the comma, or else the semicolon, tab or bar that makes a header with the needed columns
    header      the first line; names count without case, spaces and punctuation, and none occurs twice
    rows        as many cells as the header, blank ones at the end apart; rows without any text are skipped
    text        Unicode normal form C, without invisible signs, ordinary spaces only and none at the ends;
                control characters and errors of a spreadsheet (#REF!, ####) are refused
    blank       see `MISSING`
    numbers     a decimal point, no thousands separator
    identifiers see `Table.identifiers`

Whatever breaks a rule is refused in one line with file, line and value.
"""

import codecs
import csv
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self, TextIO

import numpy as np
from numpy.typing import NDArray

from search.data.other_files import N_START, other_file
from search.errors import DataError, one_line

MISSING: Final = frozenset(
    (
        "",
        "nan",
        "na",
        "n/a",
        "#n/a",
        "#na",
        "<na>",
        "nat",
        "null",
        "none",
        "nil",
        "-",
        "--",
        "–",
        "—",
        "?",
        ".",
    )
)
"""Texts that count as a blank cell, in lower case."""

_LONGEST_LINE: Final = 1_000_000
"""Characters; a line of PTB-XL has a thousand, and csv reads no less than a line at once."""
_MAX_INTEGER: Final = 2**53  # beyond it a float no longer holds every integer
_N_HEAD: Final = 10  # lines among which a header that is not the first line is looked for
_N_SHOWN: Final = 3
_SEPARATORS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_ENCODINGS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u3164\uffa0") | frozenset(map(chr, range(0xFE00, 0xFE10)))
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_COMMA_NUMBER: Final = re.compile(r"[+-]?[0-9][0-9.]*,[0-9]+")
_WHOLE: Final = re.compile(r"([0-9]+)\.0*")
_SURELY_WHOLE: Final = re.compile(r"([0-9]+)\.0{0,2}")  # 1.000 may be a thousand
_FRACTION: Final = re.compile(r"[0-9]+\.[0-9]*[1-9][0-9]*")
_SHORTENED: Final = re.compile(r"[0-9](?:[.,][0-9]+)?[eE]\+[0-9]+")
_SCIENTIFIC: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?e[0-9]+")
_HEXADECIMAL: Final = re.compile(r"0x[0-9a-f]{1,15}")
_THOUSANDS: Final = re.compile(r"[0-9]{1,3}(?:[,' ’][0-9]{3})+")
_SPREADSHEET_ERROR: Final = re.compile(
    r"#{2,}|#(?:REF|VALUE|DIV/0|NUM|NULL|SPILL|CALC|BUSY|FIELD|BLOCKED|CONNECT|UNKNOWN|ERROR)!|#NAME\?"
    r"|#GETTING_DATA|Err:[0-9]{3}",
    re.IGNORECASE,
)
_MONTH: Final = "(?:Jan|Feb|Mar|Mrz|Apr|May|Mai|Jun|Jul|Aug|Sept?|Oct|Okt|Nov|Dec|Dez)"
_DAY_AND_MONTH: Final = re.compile(
    rf"[0-9]{{1,2}}(?:-|\. ?){_MONTH}(?:[- ][0-9]{{2,4}})?|{_MONTH}[- ][0-9]{{2}}"
)
"""Dates as spreadsheets write those they have made of `1-3`; 13-1 and 1-13 become the same."""
_DATE: Final = re.compile(r"[0-9]{1,2}([/.])[0-9]{1,2}\1[0-9]{2,4}|[0-9]{4}-[0-9]{2}-[0-9]{2}(?: 00:00:00)?")
_SPREADSHEET_DIGITS: Final = 15  # of a number; zeros follow
_NOBODY: Final = frozenset(
    ("unknown", "unk", "anonymous", "anon", "missing", "not known", "not available", "n.n.", "n. n.")
)
"""Words, in lower case, that many people may be called."""
_NO_NUMBER: Final = re.compile(r"-(?:1|9+)(?:\.0*)?")
"""Numbers that stand for none: pandas' `factorize` counts a missing value as -1, others write -9 or -999."""
_LOOKALIKES: Final = str.maketrans("авеѕіјкмнорстухԁһӏαβεζηικμνορτυχı", "abesijkmhopctyxdhlabezhikmnoptyxi")
"""Cyrillic and Greek letters that look like Latin ones, in lower case or in capitals."""
_PLAIN_NUMBER: Final = re.compile(r"[1-9][0-9]*")
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*")
_EXTENSIONS: Final = (".hea", ".dat", ".mat")


def clean(text: str) -> str:
    """A text in Unicode normal form C, without invisible signs, with ordinary spaces and none at the ends."""
    if text.isascii():
        return text.strip()
    category = unicodedata.category
    visible = (sign for sign in text if category(sign) != "Cf" and sign not in _INVISIBLE)
    spaced = "".join(" " if category(sign) in ("Zs", "Zl", "Zp") else sign for sign in visible)
    return unicodedata.normalize("NFC", spaced).strip()


def is_blank(text: str) -> bool:
    """Whether a clean text is empty or one of the usual words for a missing value."""
    return text.lower() in MISSING


def number(text: str) -> float:
    """The number of a clean text; NaN where it is none."""
    return float(text) if _NUMBER.fullmatch(text) else math.nan


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Table:
    """The N rows of a table.

    Attributes:
        path: The file.
        remedy: What to do about a file that is wrong, for messages.
        columns: Clean cells of the requested columns; optional ones that the file lacks are absent.
        others: Cells, as they are, of the other columns that have a name, rows counted by pandas apart.
        where: Name of each row in messages: "line 7".
    """

    path: Path
    remedy: str
    columns: Mapping[str, tuple[str, ...]]
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    where: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.where)

    def __getitem__(self, column: str) -> tuple[str, ...]:
        return self.columns[column]

    def __contains__(self, column: str) -> bool:
        return column in self.columns

    def column(self, name: str) -> tuple[str, ...]:
        """Cells of an optional column; blank ones where the file lacks it."""
        return self.columns.get(name, ("",) * len(self))

    def named(self, names: Iterable[str]) -> Self:
        """The table with names of its rows in messages before their lines: "record 5 (line 7)"."""
        return replace(
            self, where=tuple(f"{name} ({line})" for name, line in zip(names, self.where, strict=True))
        )

    def bad_cell(self, column: str, row: int, allowed: str, text: str | None = None) -> DataError:
        """The error for a cell: where it is, what it holds (shortened) and what it should hold."""
        text = self.columns[column][row] if text is None else text
        if _COMMA_NUMBER.fullmatch(text):
            allowed = f"{allowed}: numbers are written with a decimal point, not with a comma"
        return DataError(
            f"{self.path}: {column} of {self.where[row]} is {_shown(text)}, not {allowed}; "
            "correct the cell or the row"
        )

    def integers(self, column: str, *, low: int, high: int = _MAX_INTEGER) -> NDArray[np.int64]:
        """Whole numbers, also where they are written as "15709.0", shape (N,).

        Args:
            column: Name of the column.
            low: Smallest value allowed.
            high: Largest value allowed.

        Raises:
            DataError: A cell holds something else; names the first.
        """
        values = np.empty(len(self), dtype=np.int64)
        for row, text in enumerate(self.column(column)):
            value = number(text)
            if _SHORTENED.fullmatch(text) or not (low <= value <= high and value.is_integer()):
                upper = f"to {high}" if high < _MAX_INTEGER else "up"
                raise self.bad_cell(column, row, f"a whole number from {low} {upper}, in full")
            values[row] = int(value)
        return values

    def identifiers(self, column: str, noun: str) -> tuple[str, ...]:
        """Names of patients or records, each written in one way.

        The rule for "the same": texts that are equal once they are clean, and whole numbers that are equal
        whether written `12` or `12.0` (where no cell of the column has another fraction). Names that differ
        only in case, width, alphabet, spaces, punctuation, leading zeros or the way a number is written may
        or may not be the same: the user has to settle that. So it is with what a spreadsheet has made of a
        name: a date, a number cut short.

        Args:
            column: Name of the column.
            noun: What is named, for messages: "patient".

        Raises:
            DataError: A cell is blank, a word or number that many are called, a date, or a number that a
                spreadsheet has cut short, or two names nearly agree.
        """
        cells = self.columns[column]
        only_dates = all(map(_DATE.fullmatch, cells))
        for row, text in enumerate(cells):
            if is_blank(text) or text.lower() in _NOBODY or _NO_NUMBER.fullmatch(text):
                raise self.bad_cell(column, row, f"the name of a {noun}")
            if _DAY_AND_MONTH.fullmatch(text) or (_DATE.fullmatch(text) and not only_dates):
                raise self.bad_cell(
                    column, row, f"the name of a {noun}: a spreadsheet has probably made a date of it"
                )
            if _SHORTENED.fullmatch(text):
                raise self.bad_cell(
                    column, row, f"a name in full: a spreadsheet has shortened the number of the {noun}"
                )
        long = [row for row, text in enumerate(cells) if _n_digits(text) > _SPREADSHEET_DIGITS]
        if long and not any(cells[row][_SPREADSHEET_DIGITS:].strip("0") for row in long):
            raise self.bad_cell(
                column,
                long[0],
                f"a name in full: a spreadsheet has probably replaced all digits of the number of the {noun} "
                f"behind the first {_SPREADSHEET_DIGITS} by zeros",
            )
        if not any(_FRACTION.fullmatch(text) for text in cells):
            cells = tuple(
                _SURELY_WHOLE.sub(r"\1", text) if _SURELY_WHOLE.fullmatch(text) else text for text in cells
            )
        self.check_alike(
            column,
            enumerate(cells),
            key=_identifier_key,
            advice=f"write each {noun} in one way, or give different {noun}s names that differ more",
        )
        return cells

    def check_alike(
        self, column: str, names: Iterable[tuple[int, str]], *, key: Callable[[str], str], advice: str
    ) -> None:
        """Make sure that no two different names have the same key.

        Args:
            column: Name of the column, for messages.
            names: Row and name.
            key: What two names have in common that nearly agree.
            advice: What to do, for messages.

        Raises:
            DataError: Names that differ have the same key.
        """
        rows: dict[str, int] = {}
        for row, name in names:
            rows.setdefault(name, row)
        first: dict[str, str] = {}
        pairs = [(first[alike], name) for name in rows if first.setdefault(alike := key(name), name) != name]
        if not pairs:
            return
        listing = "; ".join(
            f"{_shown(one)} of {self.where[rows[one]]} and {_shown(other)} of {self.where[rows[other]]}"
            for one, other in pairs[:_N_SHOWN]
        )
        more = f" (and {len(pairs) - _N_SHOWN:,} more)" if len(pairs) > _N_SHOWN else ""
        raise DataError(f"{self.path}: {column} {listing}{more} may be the same; {advice}")

    def record_names(self, column: str, root: Path) -> tuple[str, ...]:
        """Records as paths below the data folder with slashes and without extension.

        Leading `./`, backslashes, the extension of a header or signal file, and an absolute path into the
        folder leave no doubt.

        Args:
            column: Name of the column.
            root: The data folder.

        Raises:
            DataError: A cell is no such path.
        """
        names = []
        for row, text in enumerate(self.columns[column]):
            if _PLAIN_PATH.fullmatch(text) and not is_blank(text):  # nearly all of 21,799
                names.append(text)
                continue
            name = "" if is_blank(text) else _record_name(text, root)
            if not _stays_inside(name):
                raise self.bad_cell(column, row, "a path below the data folder, relative to it")
            names.append(name)
        return tuple(names)


def label_key(text: str) -> str:
    """Key shared by labels that look alike or mean the same number.

    Such labels differ in case, width, alphabet, spaces, points and dashes within, or the spelling of a whole
    number.
    """
    text = _in_latin(text)
    if number(text).is_integer():
        return str(int(float(text))) if abs(float(text)) < _MAX_INTEGER else text
    return _without_signs(text, r"[\s_]+|(?<=\w)[.\-]+(?=\w)|(?<=\w)\.+$")


def _identifier_key(text: str) -> str:
    """Key shared by identifiers that look alike or mean the same number.

    Such identifiers differ in case, width, alphabet, spaces, punctuation, leading zeros or the spelling of a
    number, also a hexadecimal one.
    """
    if _PLAIN_NUMBER.fullmatch(text):
        return text
    text = re.sub(r"^\+(?=[0-9])", "", _in_latin(text).strip("='\"’‘´` "))
    if _HEXADECIMAL.fullmatch(text):
        text = str(int(text, 16))
    elif _WHOLE.fullmatch(text):
        text = _WHOLE.sub(r"\1", text)
    elif _SCIENTIFIC.fullmatch(text) and float(text) < _MAX_INTEGER and float(text).is_integer():
        text = str(int(float(text)))
    elif _THOUSANDS.fullmatch(text):
        text = re.sub(r"[^0-9]", "", text)
    text = _without_signs(text, r"[\s_\-./:]+")
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", text)


def _n_digits(text: str) -> int:
    """Digits of a text that is nothing else, or 0."""
    return len(text) if text.isascii() and text.isdigit() else 0


def _in_latin(text: str) -> str:
    """A text in lower case; letters, digits and dashes of other alphabets are what they look like or mean."""
    text = unicodedata.normalize("NFKC", text).casefold()
    if text.isascii():
        return text
    signs = ("-" if unicodedata.category(sign) == "Pd" or sign == "−" else sign for sign in text)
    return "".join(str(unicodedata.decimal(sign, sign)) for sign in signs).translate(_LOOKALIKES)


def _without_signs(text: str, signs: str) -> str:
    """A text without some signs, but for one that keeps two numbers apart: 1-11 is not 11-1."""
    return re.sub(signs, lambda run: "-" if _is_between_digits(text, run) else "", text)


def _is_between_digits(text: str, run: re.Match[str]) -> bool:
    return text[: run.start()][-1:].isdigit() and text[run.end() :][:1].isdigit()


def _record_name(text: str, root: Path) -> str:
    name = text.replace("\\", "/")
    if name.startswith("/") or name[1:2] == ":":
        folders = {f"{folder.as_posix()}/" for folder in (root, root.resolve())}
        name = name.removeprefix(next((folder for folder in folders if name.startswith(folder)), ""))
    if not name.startswith("/"):
        name = "/".join(part for part in name.split("/") if part not in ("", "."))
    extension = next((end for end in _EXTENSIONS if name.lower().endswith(end)), "")
    stem = name[: len(name) - len(extension)]
    if stem != name and stem and not _is_there(root, name):
        name = stem
    if not name.isascii() and not _is_there(root, name):
        # Files copied from a Mac may keep their accents apart.
        apart = unicodedata.normalize("NFD", name)
        name = apart if _is_there(root, apart) else name
    return name


def _is_there(root: Path, name: str) -> bool:
    try:
        return _stays_inside(name) and (root / f"{name}.hea").exists()
    except OSError:  # a name too long for the system
        return False


def _stays_inside(name: str) -> bool:
    """Whether a file name is relative, on every system, and stays below the folder it is joined to."""
    return (
        name.isprintable()
        and not name.startswith("/")
        and "\\" not in name
        and name[1:2] != ":"
        and not {"", "..", "."} & set(name.split("/"))
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…")


def read_csv(
    path: Path,
    needed: Sequence[str],
    optional: Sequence[str] = (),
    *,
    remedy: str = "take it from the PTB-XL download",
    quoting: str = "put quotes around a cell that holds the separator",
) -> Table:
    """Read the named columns of a CSV file, row order kept.

    Args:
        path: The file.
        needed: Columns that must be there. "" is the first column without a name of its own among the
            needed ones (pandas writes its index without a name), row counts before it apart.
        optional: Columns that are left out of the result where the file lacks them.
        remedy: What to do about a file that is wrong, for messages.
        quoting: What to do about a row with too many cells, for messages.

    Raises:
        DataError: The file cannot be opened or decoded, is empty or malformed, lacks a column or has one
            twice, or a row has more or fewer cells than the header.
    """
    try:
        encoding = _encoding(path, remedy)
        with path.open(encoding=encoding, newline="") as file:
            wanted = _File(path=path, remedy=remedy, quoting=quoting)
            raw = _read(wanted, _lines(wanted, file), needed)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; {remedy}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}; check its permissions") from error
    except UnicodeError as error:
        raise DataError(_undecodable(path, error, remedy)) from error
    except csv.Error as error:
        raise DataError(f"{path} is not a readable CSV file: {error}; {remedy}") from error
    position = _positions(path, raw, needed, optional)
    columns = {name: tuple(clean(row[index]) for row in raw.rows) for name, index in position.items()}
    others = {
        name: tuple(row[index] for row in raw.rows)
        for index, name in enumerate(raw.header)
        if index not in position.values() and name and not _is_count(raw, index)
    }
    where = tuple(f"line {number:,}" for number in raw.lines)
    table = Table(path=path, remedy=remedy, columns=columns, others=others, where=where)
    _check_cells(table)
    return table


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    """The file, what to do if it is wrong, and what to do about a row with too many cells."""

    path: Path
    remedy: str
    quoting: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Raw:
    """Header, rows as wide as it, and the line that each row begins in."""

    header: list[str]
    rows: list[list[str]]
    lines: list[int]


def _encoding(path: Path, remedy: str) -> str:
    if path.exists() and not path.is_file():  # a pipe would block
        raise DataError(f"{path} is a folder or a device, not a file; {remedy}")
    with path.open("rb") as file:
        start = file.read(N_START)
    if (other := other_file(start)) is not None:
        raise DataError(f"{path} {other}")
    for mark, encoding in _ENCODINGS:
        if start.startswith(mark):
            return encoding
    if start[1:2] == b"\0" or start[:1] == b"\0":
        raise DataError(f"{path} looks like UTF-16 without a byte order mark; save it as UTF-8")
    return "utf-8-sig"


def _undecodable(path: Path, error: UnicodeError, remedy: str) -> str:
    if not isinstance(error, UnicodeDecodeError) or not error.encoding.startswith("utf-8"):
        return f"{path} is not what its byte order mark says ({one_line(error)}); save it as UTF-8"
    byte = error.object[error.start : error.start + 1]
    sign = byte.decode("cp1252", "replace")
    windows = f", {sign!r} in Windows' encoding" if sign.isprintable() and sign != "\ufffd" else ""
    return f"{path} is not UTF-8 (byte 0x{byte.hex()}{windows}); save it as UTF-8 or {remedy}"


def _lines(wanted: _File, file: TextIO) -> Iterator[str]:
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if len(line) == _LONGEST_LINE:
            raise DataError(
                f"{wanted.path}: line {number:,} has no end within {_LONGEST_LINE:,} characters; "
                f"{wanted.remedy}"
            )
        if (text := line.strip()) and not text.strip("\0\x1a"):
            kind = "Ctrl-Z, as DOS ends a file" if "\x1a" in text else "NUL, as a file has that was cut off"
            raise DataError(f"{wanted.path}: line {number:,} holds nothing but {kind}; remove that line")
        yield line


def _read(file: _File, lines: Iterator[str], needed: Sequence[str]) -> _Raw:
    head = [line for _, line in zip(range(_N_HEAD), lines, strict=False)]
    n_before, separator = _find_header(file, head, needed)
    reader = csv.reader(_chained(head[n_before:], lines), delimiter=separator, strict=True)
    header = [clean(name) for name in next(reader)]
    raw = _Raw(header=header, rows=[], lines=[])
    _check_header(file.path, header)
    begins = n_before + reader.line_num + 1
    for row in _parsed(file, reader, n_before):
        line, begins = begins, n_before + reader.line_num + 1
        if not any(cell.strip() for cell in row):
            continue
        _check_row(file, raw.header, row, line, separator)
        raw.rows.append(row)
        raw.lines.append(line)
    if not raw.rows:
        raise DataError(f"{file.path} has no records below its header; {file.remedy}")
    return raw


def _parsed(file: _File, reader: Any, n_before: int) -> Iterator[list[str]]:
    """The rows, or where the file stops being one that can be read."""
    begins = n_before + reader.line_num + 1
    try:
        for row in reader:
            yield row
            begins = n_before + reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{file.path} is not a readable CSV file: {error}, in the row that begins in line {begins:,} (a "
            f"quote that is not closed?); {file.remedy}"
        ) from error


def _chained(head: list[str], lines: Iterator[str]) -> Iterator[str]:
    yield from head
    yield from lines


def _find_header(file: _File, head: list[str], needed: Sequence[str]) -> tuple[int, str]:
    """Number of lines before the header, and the separator.

    Raises:
        DataError: The first line that holds text lacks a needed column.
    """
    with_text = [number for number, line in enumerate(head) if clean(line)]
    separators = tuple(_SEPARATORS)
    stated = re.fullmatch(r"sep=(.)", clean(head[with_text[0]])) if with_text else None
    if stated:
        separators = (stated[1],)  # Excel's way to name the separator
        with_text.pop(0)
    if not with_text or not any(clean(head[with_text[0]]).strip("".join(separators))):
        raise DataError(f"{file.path} is empty; {file.remedy}")
    first = with_text[0]
    _check_kind(file, [head[number] for number in with_text[:2]])
    for number in with_text:
        for separator in separators:
            if _lacks(head[number], separator, needed):
                continue
            if number != first:
                raise DataError(
                    f"{file.path}: the header is in line {number + 1}, below {_shown(clean(head[first]))}; "
                    "remove what is above it"
                )
            return first, separator
    others = [sign for sign in _SEPARATORS if not _lacks(head[first], sign, needed)]
    if stated and others:
        raise DataError(
            f"{file.path}: line {first} names the separator {stated[1]!r}, but the header is separated by "
            f"{others[0]!r}; correct or remove that line"
        )
    separator = min(separators, key=lambda sign: len(_lacks(head[first], sign, needed)))
    missing = [name or "(unnamed first column)" for name in _lacks(head[first], separator, needed)]
    noun = "column" if len(missing) == 1 else "columns"
    found = [clean(name)[:30] for name in _cells(head[first], separator)]
    listing = ", ".join(found[:10]) + (", …" if len(found) > 10 else "")
    raise DataError(
        f"{file.path} lacks the {noun} {', '.join(missing)}; its header has {listing[:200]}; {file.remedy}"
    )


def _check_kind(file: _File, first: Sequence[str]) -> None:
    """Make sure that the first two lines with text are not those of another kind of file.

    Raises:
        DataError: They are.
    """
    line = clean(first[0])
    kind = ""
    if re.match(r"\{\s*$|\[\s*$|\{\s*\"|\[\s*[\[{]", line):
        kind = "JSON"
    elif re.match(r"<\w", line):
        kind = "HTML or XML"
    elif first[1:] and re.fullmatch(r"[\s|+:=-]*-{2,}[\s|+:=-]*", first[1]):
        kind = "a table drawn with lines of dashes"
    if kind:
        raise DataError(
            f"{file.path} is {kind}; save the table as CSV, with a header and a row for each record"
        )


def _cells(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator), [])


def _lacks(line: str, separator: str, needed: Sequence[str]) -> list[str]:
    """The needed columns that a line does not name."""
    header = [clean(name) for name in _cells(line, separator)]
    keys = {_column_key(name) for name in header}
    missing = [name for name in needed if name and _column_key(name) not in keys]
    if "" in needed and (not header or _column_key(header[0]) in set(map(_column_key, filter(None, needed)))):
        missing.insert(0, "")
    return missing


def _column_key(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign.isalnum())


def _check_header(path: Path, header: Sequence[str]) -> None:
    named = Counter(filter(None, header))
    name, count = named.most_common(1)[0]
    if count > 1:
        raise DataError(f"{path} has the column {_shown(name)} {count} times; leave one of them")


def _check_row(file: _File, header: Sequence[str], row: list[str], line: int, separator: str) -> None:
    """Cut blank cells off the end; refuse a row that is wider or narrower than the header.

    Raises:
        DataError: The row does not fit, repeats the header, or has a cell in a column without a name.
    """
    n_columns = len(header)
    while len(row) > n_columns and not row[-1].strip():
        row.pop()
    if len(row) != n_columns:
        left_over = (
            f", {_shown(next(filter(None, map(clean, row[n_columns:]))))} is left over"
            if len(row) > n_columns
            else ""
        )
        advice = file.quoting if left_over else file.remedy
        raise DataError(
            f"{file.path}: line {line:,} has {len(row):,} cell{'s' * (len(row) != 1)}, the header "
            f"{n_columns:,} ({_SEPARATORS.get(separator, separator)}-separated){left_over}; {advice}"
        )
    if row[-1].strip() == header[-1] and [clean(cell) for cell in row] == header:
        raise DataError(f"{file.path}: line {line:,} repeats the header; join tables without it")
    first_named = next(index for index, name in enumerate(header) if name)
    for name, cell in zip(header[first_named:], row[first_named:], strict=True):
        if not name and clean(cell):
            raise DataError(
                f"{file.path}: line {line:,} has {_shown(clean(cell))} in a column without a name; "
                f"{file.quoting}, or name the column"
            )


def _is_count(raw: _Raw, index: int) -> bool:
    """Whether a column that pandas left without a name counts the rows."""
    if not re.fullmatch(r"(Unnamed: [0-9.]+)?", raw.header[index]):
        return False
    values = [number(clean(row[index])) for row in raw.rows]
    return values in ([float(row) for row in range(len(values))], [row + 1.0 for row in range(len(values))])


def _positions(path: Path, raw: _Raw, needed: Sequence[str], optional: Sequence[str]) -> dict[str, int]:
    """Index of each requested column that the file has."""
    found: dict[str, int] = {}
    for wanted in filter(None, (*needed, *optional)):
        same = [index for index, name in enumerate(raw.header) if _column_key(name) == _column_key(wanted)]
        if len(same) > 1:
            names = " and ".join(repr(raw.header[index]) for index in same[:_N_SHOWN])
            raise DataError(f"{path} has the column {wanted} twice ({names}); leave one of them")
        if same:
            found[wanted] = same[0]
    if "" in needed:
        leading = range(min(found.values()))
        found[""] = next((index for index in leading if not _is_count(raw, index)), 0)
    return {name: found[name] for name in (*needed, *optional) if name in found}


def _check_cells(table: Table) -> None:
    """Refuse what no cell should hold: control characters, what a conversion has lost, and errors."""
    for column, cells in table.columns.items():
        for row, text in enumerate(cells):
            if _SPREADSHEET_ERROR.fullmatch(text):
                raise DataError(
                    f"{table.path}: {column or 'code'} of {table.where[row]} is {_shown(text)}, an error of "
                    f"a spreadsheet or a column too narrow to be written; {table.remedy}"
                )
            if text.isprintable() and "\ufffd" not in text:
                continue
            sign = next(sign for sign in text if not sign.isprintable() or sign == "\ufffd")
            kind = "was lost in a conversion" if sign == "\ufffd" else "is a control character"
            raise DataError(
                f"{table.path}: {column or 'code'} of {table.where[row]} is {_shown(text)}, where "
                f"U+{ord(sign):04X} {kind}; {table.remedy}"
            )
