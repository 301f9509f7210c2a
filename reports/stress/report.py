"""A stress test: page, figures, CSV and the table for the terminal, all made from the document."""

import re
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from reports.cells import csv_text
from reports.folder import Written, default_folder, encoded, figure_files, stills, write_files
from reports.numbers import count_words, interval_words, score_words
from reports.schema import Interval, Number, json_schema_text, to_json, to_json_text
from reports.stress.charts import stress_charts
from reports.stress.document import numbers_of, score_of
from reports.stress.page import stress_page
from reports.stress.schema import StressReport
from reports.terminal import simple_table
from reports.words import SYNTHETIC_NOTE, reported_data_words, target_phrase
from scores.objectives import OBJECTIVES

PREFIX, SCHEMA_FILE = "stress", "stress.schema.json"
"""Prefix of all file names, and name of the schema that the files share."""
COLUMNS = (
    *("study", "synthetic", "trial", "cost", "disturbance", "level", "snr_db", "score", "low", "high"),
    *("change", "change_low", "change_high", "tau", "best", "best_stays"),
)


def write_stress(report: StressReport, out: Path | None = None) -> Written[StressReport]:
    """Write page, JSON and its schema, CSV and figures (PNG, SVG, PDF), under `file_stem` of the report.

    Args:
        report: the content.
        out: folder for the files, made if need be; None for that of the report of the study.

    Raises:
        ReportError: they cannot be written there.
    """
    folder = default_folder(report.study) if out is None else out
    paths = write_files(folder, stress_contents(report))
    return Written(folder=folder, paths=paths, json=folder / f"{file_stem(report)}.json", report=report)


def stress_contents(report: StressReport) -> dict[str, bytes]:
    """File name to content; everything is made from the content of the JSON file alone."""
    shown = stress_charts(report)
    images = dict(figure_files(report.study, shown))
    stem = file_stem(report)
    texts = {
        f"{stem}.html": stress_page(report, shown, stills(images, shown), stem=stem),
        f"{stem}.json": to_json_text(to_json(report)),
        SCHEMA_FILE: json_schema_text(StressReport),
        f"{stem}.csv": stress_csv(report),
    }
    return encoded(texts) | {stem + name.removeprefix(PREFIX): image for name, image in images.items()}


def file_stem(report: StressReport) -> str:
    """Stem of the file names of a stress test; with one trial it contains the trial's number."""
    return PREFIX if report.whole_front else f"{PREFIX}-trial-{report.models[0].trial}"


def stress_pages(folder: Path) -> dict[str, str]:
    """Pages of stress tests in a folder: name of the file to what was tested, the front first."""
    found = {PREFIX: "the front"} if (folder / f"{PREFIX}.html").is_file() else {}
    trials = [
        int(match[1])
        for path in folder.glob(f"{PREFIX}-trial-*.html")
        if (match := re.fullmatch(rf"{PREFIX}-trial-(\d+)", path.stem))
    ]
    found |= {f"{PREFIX}-trial-{number}": f"trial {number}" for number in sorted(trials)}
    return {f"{stem}.html": words for stem, words in found.items()}


def stress_csv(report: StressReport) -> str:
    """One line per trial and condition, the undisturbed records first."""
    rows = []
    column = OBJECTIVES[report.objective].key
    columns = [column if name == "score" else name for name in COLUMNS]
    for model in report.models:
        same = {
            "study": report.study,
            "synthetic": report.data.synthetic,
            "trial": model.trial,
            "cost": model.cost,
        }
        rows.append(
            {
                **dict.fromkeys(columns),
                **same,
                "disturbance": "none",
                **_columns(column, "low", "high", model.undisturbed),
            }
        )
        for each in report.conditions:
            score = score_of(each, model.trial)
            rows.append(
                {
                    **same,
                    "disturbance": each.condition.disturbance,
                    "level": each.condition.level,
                    "snr_db": each.condition.snr_db,
                    **_columns(column, "low", "high", score.score),
                    **_columns("change", "change_low", "change_high", score.change),
                    "tau": each.tau,
                    "best": each.best,
                    "best_stays": each.best_stays,
                }
            )
    return csv_text(rows, columns)


def _columns(value: str, low: str, high: str, span: Interval | None) -> dict[str, Number]:
    """Value and ends of an interval under the names of their columns."""
    return dict(zip((value, low, high), numbers_of(span), strict=True))


def stress_view(report: StressReport) -> RenderableType:
    """View for a terminal of 80 columns or more: the best undisturbed trial, a line for each condition."""
    number = report.models[-1].trial if report.best is None else report.best
    several = len(report.models) > 1
    heading = f"Study {report.study} under stress, target {target_phrase(report.target, report.n_classes)}"
    parts: list[RenderableType] = [Text(heading, style="bold"), Text(reported_data_words(report.data))]
    if report.data.synthetic:
        parts.append(Text(SYNTHETIC_NOTE, style="bold red"))
    table = simple_table()
    table.add_column("disturbance", no_wrap=True)
    table.add_column(f"trial {number}", justify="right", no_wrap=True)
    table.add_column("change [95 %]", justify="right", no_wrap=True)
    if several:
        table.add_column("tau", justify="right", no_wrap=True)
        table.add_column("best", no_wrap=True)
    for each in report.conditions:
        score = score_of(each, number)
        cells = [
            score_words(numbers_of(score.score)[0]),
            interval_words(*numbers_of(score.change), signed=True),
        ]
        if several:
            top = "–" if each.best is None else f"trial {each.best}"
            cells += [score_words(each.tau), top]
        table.add_row(Text(each.condition.words.replace("resampled ", "")), *cells)
    parts += [Text(""), table, Text("")]
    parts += [Text(sentence) for sentence in report.verdict]
    if report.not_applied:
        parts.append(Text(f"Not applied: {'; '.join(not_applied_words(report))}."))
    if several:
        parts.append(
            Text(
                f"tau: Kendall's, of the scores of {count_words(len(report.models), 'trial')} against those "
                "undisturbed; 1 is the same order.",
                style="dim",
            )
        )
    return Group(*parts, Text(report.method, style="dim"))


def not_applied_words(report: StressReport) -> list[str]:
    """Disturbances that are left out, each with its reason."""
    return [f"{f'{each.disturbance} {each.level}'.strip()} ({each.reason})" for each in report.not_applied]
