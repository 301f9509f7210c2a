"""Detection of recordings among files, and the readers of each kind."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reports.numbers import counted_words
from search.data.recordings.csv_file import CsvOptions, read_csv_recording
from search.data.recordings.dicom_file import is_dicom, read_dicom_recording
from search.data.recordings.edf_file import EdfRecording
from search.data.recordings.recording import Recording
from search.data.signals.headers import GAP, in_other_letters, read_header
from search.data.signals.records import OpenRecord
from search.errors import RecordError, UsageError

CSV: Final = ".csv"
EDF: Final = (".edf", ".edf+", ".bdf", ".bdf+")
DICOM: Final = (".dcm", ".dicom")
WFDB: Final = ".hea"
_SIGNAL_FILES: Final = (".dat", ".mat", ".flac")
_OTHERS: Final = (*_SIGNAL_FILES, ".csv", ".atr")
"""Ends of files that are surely not DICOM."""
_TEXTS: Final = (".txt", ".md", ".json", ".html", ".pdf", ".png", ".py", ".log")
"""Ends of files that are surely no recordings."""
KINDS: Final = "WFDB, .csv, .edf, .bdf, .dcm"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Recordings of a command line."""

    paths: tuple[Path, ...]
    """One for each recording: of WFDB that of the header."""
    names: tuple[str, ...]
    """Name of each recording: as given, or its path below the folder given."""
    notes: tuple[str, ...]
    """Files of the folder that are not read, one line each."""


def find_recordings(given: Sequence[Path], *, with_csv: bool) -> Found:
    """Recordings by path, and all below folders, in the order of their names.

    A header in a folder that another there names as its segment is no recording of its own.

    Args:
        given: WFDB records with or without extension, other files, folders.
        with_csv: Whether .csv files of folders are recordings; they may be anything.

    Raises:
        UsageError: A path does not exist, or a folder has no recording.
    """
    found: dict[Path, str] = {}
    notes: list[str] = []
    for path in given:
        if path.is_dir():
            inside = _inside(path, with_csv=with_csv, notes=notes)
            if not inside:
                needs = "" if with_csv else "; .csv needs --unit"
                raise UsageError(f"{path} has no recording that this program reads: {KINDS}{needs}")
            for each in inside:
                found.setdefault(each, each.relative_to(path).as_posix())
        else:
            file = _file_of(path)
            found.setdefault(file, str(path))
    names = [name.removesuffix(WFDB) for name in found.values()]
    return Found(paths=tuple(found), names=tuple(names), notes=tuple(notes))


def _file_of(path: Path) -> Path:
    """The file to open for a path that is no folder."""
    suffix = path.suffix.lower()
    header = (
        path
        if suffix == WFDB
        else path.with_suffix(WFDB)
        if suffix in _SIGNAL_FILES
        else path.with_name(f"{path.name}{WFDB}")
    )
    if (
        suffix in (CSV, *EDF, *DICOM)
        or suffix == WFDB
        or (path.is_file() and not header.is_file() and suffix not in _SIGNAL_FILES)
    ):
        if not path.is_file():
            raise UsageError(f"{path} {'is not a file' if path.exists() else 'does not exist'}")
        return path
    if not header.is_file():
        raise UsageError(
            f"{path} does not exist, nor {header.name} beside it: a WFDB record needs its header"
            f"{in_other_letters(header)}"
        )
    return header


def _inside(folder: Path, *, with_csv: bool, notes: list[str]) -> list[Path]:
    """Recordings below a folder."""
    kinds = {WFDB, *EDF, *DICOM} | ({CSV} if with_csv else set())
    left_out: list[Path] = []
    files, segments = [], set()
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            # As macOS puts beside each file of an archive; the index of a DICOM medium.
            if name.startswith(".") or name == "DICOMDIR":
                continue
            path = Path(parent, name)
            suffix = path.suffix.lower()
            if suffix not in kinds and not (suffix not in _OTHERS and is_dicom(path)):
                left_out.append(path)
                continue
            files.append(path)
            if suffix == WFDB:
                segments |= {path.with_name(f"{segment}{WFDB}") for segment in _segments(path)}
    tables = [path for path in left_out if path.suffix.lower() == CSV]
    if tables:
        notes.append(f"{folder}: {len(tables):,} .csv files are not read; give --unit if they are recordings")
    headers = {path.with_suffix("") for path in files if path.suffix.lower() == WFDB}
    others = [
        path.relative_to(folder).as_posix()
        for path in left_out
        if path not in tables and path.with_suffix("") not in headers and path.suffix.lower() not in _TEXTS
    ]
    if others:
        notes.append(f"{folder}: files that are no recordings of {KINDS}, not read: {counted_words(others)}")
    return [path for path in files if path not in segments]


def _segments(header: Path) -> list[str]:
    try:
        return [name for name, _ in read_header(str(header.with_suffix(""))).segments if name != GAP]
    except (RecordError, OSError):
        return []  # the reader reports why


def open_recording(path: Path, wanted: Sequence[str], options: CsvOptions) -> Recording:
    """Open the recording of a file.

    Args:
        path: As in `Found.paths`.
        wanted: Leads of the model.
        options: Facts that a CSV file does not contain.

    Raises:
        RecordError: It is none, or damaged.
        UsageError: The package that reads such files is not installed.
    """
    suffix = path.suffix.lower()
    if suffix == WFDB:
        return OpenRecord(str(path.with_suffix("")))
    if suffix == CSV:
        return read_csv_recording(path, options)
    if suffix in EDF:
        return EdfRecording(path, wanted)
    if suffix in DICOM or is_dicom(path):
        return read_dicom_recording(path, wanted)
    raise RecordError(f"is not a recording that this program reads: {KINDS}")
