"""Files that are something else than their names say: archives, pointers of Git LFS, pages of a server."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

N_START: Final = 64
"""Bytes at the start of a file that are enough to recognise its kind."""


@dataclass(frozen=True, slots=True)
class OtherFile:
    """Kind of a file and what to do about it, in words."""

    kind: str
    advice: str

    def __str__(self) -> str:
        return f"is {self.kind}; {self.advice}"


_UNPACK: Final = "unpack it"
_LFS: Final = OtherFile("a pointer of Git LFS, not the file itself", "fetch that by `git lfs pull`")
_PAGE: Final = OtherFile("a web page, as servers send instead of a file that they refuse", "fetch it again")
_STARTS: Final = (
    (b"PK\x03\x04", OtherFile("a ZIP archive or an Excel workbook", "unpack it or save it as CSV")),
    (b"\xd0\xcf\x11\xe0", OtherFile("an Excel workbook of the old kind", "save it in the right format")),
    (b"PAR1", OtherFile("a Parquet file", "save it in the right format")),
    (b"ARROW1", OtherFile("a Feather file", "save it in the right format")),
    (b"SQLite format 3\0", OtherFile("an SQLite database", "export the table as CSV")),
    (b"%PDF-", OtherFile("a PDF document", "save it in the right format")),
    *((b"\x80%c\x95" % n, OtherFile("a Python pickle", "save it in the right format")) for n in (4, 5)),
    (b"\x1f\x8b", OtherFile("compressed (gzip)", _UNPACK)),
    (b"BZh", OtherFile("compressed (bzip2)", _UNPACK)),
    (b"\xfd7zXZ", OtherFile("compressed (xz)", _UNPACK)),
    (b"\x28\xb5\x2f\xfd", OtherFile("compressed (Zstandard)", _UNPACK)),
    (b"version https://git-lfs", _LFS),
)
_PAGE_STARTS: Final = (b"<!doctype html", b"<html", b"<?xml", b"<head", b"<error")
_ARCHIVES: Final = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst")


def other_file(start: bytes) -> OtherFile | None:
    """The kind of a file that is no table, record or annotation; None where the start says nothing.

    Args:
        start: Its first bytes.
    """
    for mark, kind in _STARTS:
        if start.startswith(mark):
            return kind
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return _PAGE if text.startswith(_PAGE_STARTS) else None


def other_file_at(path: Path | str) -> OtherFile | None:
    """The kind of a file that could not be read as what its name says; None where the file does not tell."""
    try:
        with Path(path).open("rb") as file:
            return other_file(file.read(N_START))
    except OSError:
        return None


def archives_in(folder: Path) -> str:
    """Words on an archive in a folder, for messages that something is not there; empty without one."""
    try:
        names = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in _ARCHIVES)
    except OSError:
        return ""
    return f"; {names[0]} is there: unpack it" if names else ""
