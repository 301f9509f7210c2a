"""Writing an evaluation page: page, figures, CSV, LaTeX, and the document that they are all made from."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from reports.errors import ReportError
from reports.evaluation.charts import evaluation_charts
from reports.evaluation.csv_and_latex import evaluation_csv, evaluation_tex
from reports.evaluation.document import evaluation_document
from reports.evaluation.evidence import PageEvidence, gather_held_out
from reports.evaluation.groups import EvaluationGroup, evaluation_groups, page_name
from reports.evaluation.page import evaluation_page
from reports.evaluation.schema import EvaluationReport
from reports.folder import default_folder, encoded, figure_files, stills, write_files
from reports.schema import json_schema_text, to_json, to_json_text
from scores.side_by_side import N_RESAMPLES
from storage import StorageError, Store

SCHEMA_FILE = "evaluation.schema.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationPages:
    """Pages of the evaluations of a study."""

    pages: tuple[Path, ...]
    """Pages written, and those that were there."""
    problems: tuple[str, ...]
    """Reasons for which others could not be written, a line each."""


def write_evaluations(
    store: Store, study_name: str, out: Path | None = None, *, only: Collection[int] | None = None
) -> EvaluationPages:
    """Write the pages of the evaluations of a study.

    Of each, evaluation-ID.html, .json with its schema, .csv, .tex, and a folder evaluation-ID of figures.

    Args:
        store: where the study is kept.
        study_name: its name.
        out: folder for the files, made if need be; None for `runs/reports/<study>/`.
        only: numbers of evaluations whose pages to write; None for those of all evaluations that are not
            there yet. A page is there if its JSON file shows the same evaluations, and as many openings of
            the sealed fold.

    Raises:
        ReportError: they cannot be written there.
        storage.StorageError: no such study, or predictions of `only` are lost or damaged; those of others
            are among the problems.
    """
    folder = default_folder(study_name) if out is None else out
    pages, problems = [], []
    n_openings = len(store.sealed_fold_openings(study_name))
    for group in evaluation_groups(store.evaluations(study_name)):
        if only is not None and not set(only) & set(group.ids):
            continue
        page = folder / page_name(group.id)
        if only is not None or not _is_written(page, group, n_openings):
            try:
                held = gather_held_out(store, study_name, group)
            except (StorageError, ReportError) as error:
                if only is not None:
                    raise
                problems.append(f"{page} is not written: {error}")
                continue
            write_files(folder, evaluation_contents(held))
        pages.append(page)
    return EvaluationPages(pages=tuple(pages), problems=tuple(problems))


def _is_written(page: Path, group: EvaluationGroup, n_openings: int) -> bool:
    try:
        found = json.loads(page.with_suffix(".json").read_bytes())
        shown = sorted(model["evaluation"] for model in found["models"])
        has_openings = len(found["openings"]) == n_openings
    except (OSError, ValueError, KeyError, TypeError):  # none, or a file of the user's own
        return False
    return page.exists() and has_openings and shown == sorted(each.id or 0 for each in group.shown)


def evaluation_contents(held: PageEvidence, *, n_resamples: int = N_RESAMPLES) -> dict[str, bytes]:
    """File name to content; everything is made from the content of the JSON file alone."""
    report = evaluation_document(held, n_resamples=n_resamples)
    name = page_name(report.id).removesuffix(".html")
    shown = evaluation_charts(report)
    images = dict(figure_files(report.study, shown))
    schema = json_schema_text(EvaluationReport)
    texts = {
        f"{name}.html": evaluation_page(report, name, shown, stills(images, shown)),
        f"{name}.json": to_json_text(to_json(report)),
        SCHEMA_FILE: schema,
        f"{name}.csv": evaluation_csv(report),
        f"{name}.tex": evaluation_tex(report),
    }
    return encoded(texts) | {f"{name}/{each}": content for each, content in images.items()}
