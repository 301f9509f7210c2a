"""Columns of a CSV file as text, with every way a file can be wrong told in one line."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TextIO

from search.errors import DataError

_LONGEST_LINE: Final = 1_000_000
"""Characters; a line of PTB-XL has a thousand, and csv asks for no less than a line at once."""


def read_columns(
    path: Path,
    needed: Sequence[str],
    optional: Sequence[str] = (),
    *,
    remedy: str = "take it from the PTB-XL download",
) -> dict[str, list[str]]:
    """The named columns of a UTF-8 CSV file, one string per row, row order kept.

    Args:
        path: The file; a byte order mark and blank lines are accepted.
        needed: Columns that must be there. "" is the first column if it has no name of its own among
            the needed ones (pandas writes its index without a name).
        optional: Columns that are left out of the result where the file lacks them.
        remedy: What to do about a file that is wrong, for messages.

    Raises:
        DataError: The file cannot be opened, is empty, is not UTF-8, is malformed or lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(_lines(path, file, remedy))
            position = _positions(path, next(reader, []), needed, optional, remedy)
            names = tuple(position)
            picked = list(_pick(path, reader, tuple(position.values()), remedy))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; {remedy}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}; check its permissions") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 (byte 0x{error.object[error.start]:02x}); save it as UTF-8 or {remedy}"
        ) from error
    except csv.Error as error:
        raise DataError(f"{path} is not a readable CSV file: {error}; {remedy}") from error
    if not picked:
        raise DataError(f"{path} has no records below its header; {remedy}")
    return {name: list(cells) for name, cells in zip(names, zip(*picked, strict=True), strict=True)}


def _lines(path: Path, file: TextIO, remedy: str) -> Iterator[str]:
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if len(line) == _LONGEST_LINE:
            raise DataError(
                f"{path}: line {number:,} has no end within {_LONGEST_LINE:,} characters; {remedy}"
            )
        yield line


def _positions(
    path: Path, header: list[str], needed: Sequence[str], optional: Sequence[str], remedy: str
) -> dict[str, int]:
    if not any(cell.strip() for cell in header):
        raise DataError(f"{path} is empty; {remedy}")
    found = {name.strip(): index for index, name in reversed(list(enumerate(header)))}
    if "" in needed and header[0].strip() not in needed:
        found[""] = 0
    missing = [name or "(unnamed first column)" for name in needed if name not in found]
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        raise DataError(f"{path} lacks the {noun} {', '.join(missing)}; {remedy}")
    return {name: found[name] for name in (*needed, *optional) if name in found}


def _pick(
    path: Path, reader: "Iterator[list[str]]", positions: tuple[int, ...], remedy: str
) -> Iterator[list[str]]:
    last = max(positions)
    for number, row in enumerate(reader, start=1):
        if not row:
            continue
        if len(row) <= last:
            raise DataError(
                f"{path}: data row {number} has {len(row)} cells, {last + 1} are needed; {remedy}"
            )
        yield [row[position] for position in positions]
