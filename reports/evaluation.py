"""Writing an evaluation page: page, figures, CSV, LaTeX, and the document that they are all made from."""

import json
from pathlib import Path

from reports.evaluation_document import evaluation_document
from reports.evaluation_schema import EvaluationReport
from reports.evaluation_tables import evaluation_csv, evaluation_tex
from reports.figures.evaluation_charts import evaluation_charts
from reports.folder import default_folder, figure_files, write_files
from reports.held_out import HeldOut
from reports.page.evaluation_page import evaluation_page
from reports.schema import json_schema, to_json, to_json_text
from scores.side_by_side import N_RESAMPLES

SCHEMA_FILE = "evaluation.schema.json"


def write_evaluation(held: HeldOut, out: Path | None = None) -> tuple[Path, ...]:
    """Write evaluation-ID.html, .json with its schema, .csv, .tex, and a folder evaluation-ID of figures.

    Args:
        held: the models and what they say of held-out records.
        out: folder for the files, made if need be; None for `runs/reports/<study>/`.

    Returns:
        The files written, the page first.

    Raises:
        ReportError: they cannot be written there.
    """
    return write_files(default_folder(held.study) if out is None else out, evaluation_contents(held))


def evaluation_contents(held: HeldOut, *, n_resamples: int = N_RESAMPLES) -> dict[str, bytes]:
    """File name to content; everything is made from the content of the JSON file alone."""
    report = evaluation_document(held, n_resamples=n_resamples)
    name = file_name(report.id)
    shown = evaluation_charts(report)
    images = dict(figure_files(report.study, shown))
    stills = {chart.key: images[f"{chart.key}.svg"] for chart in shown}
    schema = json.dumps(json_schema(EvaluationReport), ensure_ascii=False, indent=1) + "\n"
    texts = {
        f"{name}.html": evaluation_page(report, name, shown, stills),
        f"{name}.json": to_json_text(to_json(report)),
        SCHEMA_FILE: schema,
        f"{name}.csv": evaluation_csv(report),
        f"{name}.tex": evaluation_tex(report),
    }
    files = {each: text.encode("utf-8", "backslashreplace") for each, text in texts.items()}
    return files | {f"{name}/{each}": content for each, content in images.items()}


def file_name(evaluation: str) -> str:
    """Name of the files of an evaluation, without extension."""
    return f"evaluation-{evaluation}"
