"""Comparing studies: page, figures, CSV, and the document that they are all made from."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from reports.cells import csv_text
from reports.evidence import gather
from reports.folder import Written, default_folder, encoded, figure_files, stills, write_files
from reports.numbers import integer_words, percent_words
from reports.schema import json_schema_text, to_json, to_json_text
from reports.studies.charts import studies_charts
from reports.studies.comparison import check_comparable
from reports.studies.document import studies_document, volume_words
from reports.studies.page import studies_page
from reports.studies.schema import StudiesReport
from reports.terminal import simple_table
from reports.words import SYNTHETIC_NOTE, reported_data_words, setting_words
from scores.objectives import OBJECTIVES
from storage import Store

MOST_STUDIES = 8
"""Largest number of distinguishable colours."""
STUDY_COLUMNS = (
    *("study", "synthetic", "target", "hypervolume", "low", "high", "share", "n_front", "n_joint_front"),
    *("n_complete", "n_pruned", "n_fold_epochs", "seconds"),
)
MEMBER_COLUMNS = (
    *("study", "synthetic", "trial", "preset", "score", "low", "high", "standard_error", "cost"),
    *("on_joint_front", "description", "architecture_hash"),
)


def write_studies(store: Store, names: Sequence[str], out: Path | None = None) -> Written[StudiesReport]:
    """Write index.html, studies.json and its schema, tables (CSV) and figures (PNG, SVG, PDF).

    Args:
        store: where the studies are kept.
        names: theirs, at least two.
        out: folder for the files, made if need be; None for one below `runs/reports/`.

    Raises:
        ReportError: they cannot be compared, or the files not written there.
        storage.StorageError: no such study, or the database cannot be read.
    """
    check_comparable([store.study(name) for name in names])  # before predictions are read
    report = studies_document([gather(store, name, with_contenders=False) for name in names])
    folder = default_folder("+".join(names)) if out is None else out
    paths = write_files(folder, studies_contents(report))
    return Written(folder=folder, paths=paths, json=folder / "studies.json", report=report)


def studies_contents(report: StudiesReport) -> dict[str, bytes]:
    """File name to content; everything is made from the content of studies.json alone."""
    shown = studies_charts(report)
    images = dict(figure_files(", ".join(each.study for each in report.studies), shown))
    texts = {
        "index.html": studies_page(report, shown, stills(images, shown)),
        "studies.json": to_json_text(to_json(report)),
        "studies.schema.json": json_schema_text(StudiesReport),
        "studies.csv": studies_csv(report),
        "fronts.csv": fronts_csv(report),
        "settings.csv": settings_csv(report),
    }
    return encoded(texts) | images


def studies_csv(report: StudiesReport) -> str:
    """One line per study."""
    rows = [
        {
            "study": each.study,
            "synthetic": report.data.synthetic,
            "target": report.target,
            "hypervolume": each.hypervolume,
            "low": each.interval and each.interval.low,
            "high": each.interval and each.interval.high,
            "share": each.share,
            "n_front": len(each.front),
            "n_joint_front": sum(member.on_joint_front for member in each.front),
            "n_complete": each.counts["complete"],
            "n_pruned": each.counts["pruned"],
            "n_fold_epochs": each.n_fold_epochs,
            "seconds": each.seconds,
        }
        for each in report.studies
    ]
    return csv_text(rows, STUDY_COLUMNS)


def fronts_csv(report: StudiesReport) -> str:
    """One line per member of a front."""
    score = OBJECTIVES[report.objective].key
    rows = [
        {
            "study": each.study,
            "synthetic": report.data.synthetic,
            score: member.score,
            "low": member.interval and member.interval.low,
            "high": member.interval and member.interval.high,
            **{
                name: getattr(member, name)
                for name in MEMBER_COLUMNS
                if name not in {"study", "synthetic", "score", "low", "high"}
            },
        }
        for each in report.studies
        for member in each.front
    ]
    return csv_text(rows, [score if name == "score" else name for name in MEMBER_COLUMNS])


def settings_csv(report: StudiesReport) -> str:
    """One line per setting that differs, one column per study."""
    names = [each.study for each in report.studies]
    rows = [
        {"setting": each.name, **dict(zip(names, map(setting_words, each.values), strict=True))}
        for each in report.settings
    ]
    return csv_text(rows, ["setting", *names])


def studies_view(report: StudiesReport) -> RenderableType:
    """The comparison for a terminal of 80 columns or more."""
    table = simple_table()
    table.add_column("study", overflow="fold", ratio=1)
    for heading in ("hypervolume", "share", "front", "joint", "fold-epochs"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in report.studies:
        table.add_row(
            Text(each.study),
            volume_words(each.hypervolume, each.interval),
            percent_words(each.share),
            integer_words(len(each.front)),
            integer_words(sum(member.on_joint_front for member in each.front)),
            integer_words(each.n_fold_epochs),
        )
    parts: list[RenderableType] = [
        Text(f"Fronts of {len(report.studies)} studies, target {report.target}", style="bold"),
        Text(reported_data_words(report.data)),
    ]
    if report.data.synthetic:
        parts.append(Text(SYNTHETIC_NOTE, style="bold red"))
    parts += [table, *(Text(sentence) for sentence in report.verdict[1:])]
    if report.settings:
        parts.append(
            Text(
                f"Settings that differ: {', '.join(each.name.replace('_', ' ') for each in report.settings)}"
            )
        )
    return Group(*parts)
