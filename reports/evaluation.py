"""Writing an evaluation page: page, figures, CSV, LaTeX, and the document that they are all made from."""

import json
from collections.abc import Collection
from pathlib import Path

from reports.evaluation_document import evaluation_document
from reports.evaluation_evidence import EvaluationGroup, evaluation_groups, gather_held_out
from reports.evaluation_schema import EvaluationReport
from reports.evaluation_tables import evaluation_csv, evaluation_tex
from reports.figures.evaluation_charts import evaluation_charts
from reports.folder import default_folder, figure_files, write_files
from reports.held_out import HeldOut
from reports.page.evaluation_page import evaluation_page
from reports.schema import json_schema, to_json, to_json_text
from reports.source import StudySource
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


def write_evaluations(
    store: StudySource, study_name: str, out: Path | None = None, *, new: Collection[int] = ()
) -> dict[int, Path]:
    """Write the pages of the evaluations of a study that are not there yet.

    A page is there if its JSON file shows the same evaluations, and as many openings of the sealed fold.

    Args:
        store: where the study is kept.
        study_name: its name.
        out: folder for the files, made if need be; None for `runs/reports/<study>/`.
        new: numbers of evaluations whose pages are written in any case.

    Returns:
        Number of every evaluation to the page that shows it or a newer one of the same model.

    Raises:
        ReportError: they cannot be written there.
        storage.StorageError: no such study, or predictions are lost or damaged.
    """
    folder = default_folder(study_name) if out is None else out
    pages = {}
    n_openings = len(store.openings(study_name))
    for group in evaluation_groups(store.evaluations(study_name)):
        page = folder / f"{file_name(group.id)}.html"
        if set(new) & set(group.ids) or not _is_written(page, group, n_openings):
            write_evaluation(gather_held_out(store, study_name, group), folder)
        pages |= dict.fromkeys(group.ids, page)
    return pages


def _is_written(page: Path, group: EvaluationGroup, n_openings: int) -> bool:
    try:
        found = json.loads(page.with_suffix(".json").read_bytes())
        shown = sorted(model["evaluation"] for model in found["models"])
        has_openings = len(found["openings"]) == n_openings
    except (OSError, ValueError, KeyError, TypeError):  # none, or a file of the user's own
        return False
    return page.exists() and has_openings and shown == sorted(each.id or 0 for each in group.shown)


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
