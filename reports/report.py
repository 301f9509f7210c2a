"""Writes the report of a study: the figure, the table of all trials, the front as data.

All files are made from the database alone and made in memory first; each then replaces its predecessor in
one step, so that a reader never sees half a file. The same database gives the same bytes.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from reports.document import front_document, to_json_text
from reports.errors import ReportError
from reports.figure import draw_front
from reports.source import StudySource
from reports.tables import trials_csv
from storage.records import StudyRecord, TrialRecord

REPORTS = Path("runs/reports")
LONGEST_NAME = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportFiles:
    """What was written, and the records it was written from."""

    folder: Path
    front_png: Path
    """Figure at 300 dots per inch."""
    front_svg: Path
    trials_csv: Path
    """One line per trial."""
    front_json: Path
    """The front as data; its fields are described in `reports.document`."""
    study: StudyRecord
    trials: tuple[TrialRecord, ...]


def write_report(store: StudySource, study_name: str, out: Path | None = None) -> ReportFiles:
    """Writes front.png, front.svg, trials.csv and front.json.

    Args:
        store: where the study is kept.
        study_name: its name.
        out: folder for the files, made if need be; None for `runs/reports/<study>/`.

    Raises:
        ReportError: the files cannot be written there.
        storage.StorageError: no such study, or the database cannot be read.
    """
    study, trials = store.study(study_name), tuple(store.trials(study_name))
    folder = default_folder(study_name) if out is None else out
    images = draw_front(study, trials)
    contents = {
        "front.png": images.png,
        "front.svg": images.svg,
        "trials.csv": trials_csv(study, trials).encode("utf-8", "backslashreplace"),
        "front.json": to_json_text(front_document(study, trials)).encode("utf-8", "backslashreplace"),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            _replace(folder / name, content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ReportError(
            f"cannot write the report to {folder}: {reason}; choose another folder with --out"
        ) from error
    return ReportFiles(
        folder=folder,
        front_png=folder / "front.png",
        front_svg=folder / "front.svg",
        trials_csv=folder / "trials.csv",
        front_json=folder / "front.json",
        study=study,
        trials=trials,
    )


def default_folder(study_name: str) -> Path:
    """`runs/reports/<study>/`, the name made fit for a folder.

    A name that had to be changed ends in a few digits of its hash, so that two studies never share one.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", study_name).strip(".-")[:LONGEST_NAME]
    if name != study_name or not name:
        digits = hashlib.sha256(study_name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        name = f"{name}-{digits}" if name else digits
    return REPORTS / name


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
