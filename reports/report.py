"""Writing the report of a study: page, figures, tables, and the document they are all made from.

All files are made from the database and its artifacts alone and made in memory first; each then replaces its
predecessor in one step, so that a reader never sees half a file. The same database gives the same bytes.
"""

import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from reports.csv_and_latex import effects_csv, front_csv, front_tex, metrics_tex, trials_csv
from reports.document import report_document
from reports.errors import ReportError
from reports.evidence import Evidence, gather
from reports.figures.charts import Chart
from reports.figures.gallery import charts
from reports.figures.still import set_style, still_figure
from reports.figures.still_shapes import drawable
from reports.page.page import page
from reports.schema import json_schema, report_text
from reports.source import StudySource
from storage.files import write_whole
from storage.records import StudyRecord, TrialRecord

REPORTS = Path("runs/reports")
LONGEST_NAME = 80
PNG_DPI = 300
FORMATS = ("png", "svg", "pdf")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportFiles:
    """Files written, and the records they were written from."""

    folder: Path
    paths: tuple[Path, ...]
    """The page first, then data and tables, then figures."""
    report_json: Path
    """The report as data; its fields are described in report.schema.json beside it."""
    study: StudyRecord
    trials: tuple[TrialRecord, ...]


def write_report(
    store: StudySource, study_name: str, out: Path | None = None, *, trial: int | None = None
) -> ReportFiles:
    """Write index.html, report.json and its schema, tables (CSV, LaTeX) and figures (PNG, SVG, PDF).

    Args:
        store: where the study is kept.
        study_name: its name.
        out: folder for the files, made if need be; None for `runs/reports/<study>/`.
        trial: the trial to look at more closely; None for the best of the front.

    Raises:
        ReportError: the files cannot be written there, or there is nothing of that trial to look at.
        storage.StorageError: no such study, or the database cannot be read.
    """
    evidence = gather(store, study_name, trial)
    folder = default_folder(study_name) if out is None else out
    contents = report_contents(evidence)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_whole(folder / name, content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ReportError(
            f"cannot write the report to {folder}: {reason}; choose another folder with --out"
        ) from error
    return ReportFiles(
        folder=folder,
        paths=tuple(folder / name for name in contents),
        report_json=folder / "report.json",
        study=evidence.study,
        trials=tuple(evidence.trials),
    )


def report_contents(evidence: Evidence) -> dict[str, bytes]:
    """File name to content; everything is made from the content of report.json alone."""
    report = report_document(evidence)
    shown = charts(report)
    images = dict(_images(report.study, shown))
    stills = {chart.key: images[f"{chart.key}.svg"] for chart in shown}
    texts = {
        "index.html": page(report, shown, stills),
        "report.json": report_text(report),
        "report.schema.json": json.dumps(json_schema(), ensure_ascii=False, indent=1) + "\n",
        "trials.csv": trials_csv(report),
        "front.csv": front_csv(report),
        "axis_effects.csv": effects_csv(report),
        "front.tex": front_tex(report),
        "metrics.tex": metrics_tex(report),
    }
    return {name: each.encode("utf-8", "backslashreplace") for name, each in texts.items()} | images


def _images(study: str, shown: list[Chart]) -> Iterator[tuple[str, bytes]]:
    for chart in shown:
        with mpl.rc_context():
            set_style()
            figure = still_figure(chart)
            title = drawable(f"{chart.title}, study {study}")
            for kind in FORMATS:
                yield f"{chart.key}.{kind}", _image(figure, kind, title)
                figure.set_layout_engine("none")  # laid out once for all of them


def _image(figure: Figure, kind: str, title: str) -> bytes:
    metadata: dict[str, dict[str, Any]] = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None, "Title": title},
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None, "Title": title},
    }
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=PNG_DPI, metadata=metadata[kind])
    return content.getvalue()


def default_folder(study_name: str) -> Path:
    """`runs/reports/<study>/`, the name made fit for a folder.

    A name that had to be changed ends in a few digits of its hash, so that two studies never share one.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", study_name).strip(".-")[:LONGEST_NAME]
    if name != study_name or not name:
        digits = hashlib.sha256(study_name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        name = f"{name}-{digits}" if name else digits
    return REPORTS / name
