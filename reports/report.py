"""Writing the report of a study: page, figures, tables, and the document they are all made from.

All files are made from the database and its artifacts alone, but for links to pages of stress tests that lie
in the folder, and made in memory first; each then replaces its
predecessor in one step, so that a reader never sees half a file. The same database gives the same bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reports.csv_and_latex import effects_csv, front_csv, front_tex, metrics_tex, trials_csv
from reports.document import report_document
from reports.ensembles.averaging import DEFAULT_SIZE
from reports.ensembles.candidates import load_candidates
from reports.ensembles.study import build_ensembles
from reports.ensembles.text import ensemble_entries, score_notes
from reports.errors import ReportError
from reports.evaluation.report import EvaluationPages, write_evaluations
from reports.evidence import Evidence, gather
from reports.figures.gallery import charts
from reports.folder import default_folder, encoded, figure_files, stills, write_files
from reports.numbers import count_words
from reports.page.page import page
from reports.schema import Ensemble, Layers, json_schema_text, report_text
from reports.stress.report import stress_pages
from scores.front import front_trials
from storage import Store
from storage.records import StudyRecord, TrialRecord

Stage = Callable[[str], None]
"""Takes what is done next, in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportFiles:
    """Files written, and the records they were written from."""

    folder: Path
    paths: tuple[Path, ...]
    """The page first, then data and tables, then figures."""
    evaluations: EvaluationPages
    """Pages of evaluations on held-out records, see `reports.evaluation.report`."""
    report_json: Path
    """The report as data; its fields are described in report.schema.json beside it."""
    study: StudyRecord
    trials: tuple[TrialRecord, ...]


def write_report(
    store: Store,
    study_name: str,
    out: Path | None = None,
    *,
    trial: int | None = None,
    layers_of: Callable[[StudyRecord, TrialRecord], Layers | None] | None = None,
    stage: Stage = lambda words: None,
) -> ReportFiles:
    """Write index.html, report.json and its schema, tables (CSV, LaTeX) and figures (PNG, SVG, PDF).

    Args:
        store: where the study is kept.
        study_name: its name.
        out: folder for the files, made if need be; None for `runs/reports/<study>/`.
        trial: the trial to look at more closely; None for the best of the front.
        layers_of: finds the layers of a trial, which the database does not have; None where they are unknown.
            Members of the front are drawn with it.
        stage: is called with what is done next, in words.

    Raises:
        ReportError: the files cannot be written there, or there is nothing of that trial to look at.
        storage.StorageError: no such study, or the database cannot be read.
    """
    evidence = gather(store, study_name, trial)
    if layers_of is not None:
        found = {each.number: layers_of(evidence.study, each) for each in front_trials(evidence.trials)}
        layers = {number: each for number, each in found.items() if each is not None}
        evidence = replace(evidence, layers=layers)
    folder = default_folder(study_name) if out is None else out
    stage("Ensembles")
    ensembles = judged_ensembles(store, study_name)
    paths = write_files(
        folder, report_contents(evidence, ensembles, stress=stress_pages(folder), stage=stage)
    )
    stage("Pages of evaluations")
    return ReportFiles(
        folder=folder,
        paths=paths,
        evaluations=write_evaluations(store, study_name, folder),
        report_json=folder / "report.json",
        study=evidence.study,
        trials=tuple(evidence.trials),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedEnsembles:
    """The ensembles of a study."""

    entries: Sequence[Ensemble]
    """Every kind of ensemble; empty where there can be none."""
    method: str
    """Scores of the ensembles, or the reason why there are none."""


def judged_ensembles(store: Store, study_name: str) -> JudgedEnsembles:
    """Build and score every kind of ensemble of a study; see `reports.ensembles.study`.

    Raises:
        storage.StorageError: no such study, or the database cannot be read.
    """
    try:
        found = build_ensembles(load_candidates(store, study_name), DEFAULT_SIZE)
    except ReportError as error:
        return JudgedEnsembles(entries=(), method=f"There is no ensemble: {error}.")
    return JudgedEnsembles(entries=ensemble_entries(found), method=" ".join(score_notes(found)))


def report_contents(
    evidence: Evidence,
    ensembles: JudgedEnsembles | None = None,
    *,
    stress: Mapping[str, str] | None = None,
    stage: Stage = lambda words: None,
) -> dict[str, bytes]:
    """File name to content; everything is made from the content of report.json alone.

    Args:
        evidence: what the document is made from.
        ensembles: those of the study.
        stress: pages of stress tests to link, see `reports.stress.report.stress_pages`.
        stage: is called with what is done next, in words.
    """
    stage("Intervals, differences and effects")
    report = report_document(evidence)
    if ensembles is not None:
        methods = {**report.methods, "ensembles": ensembles.method}
        report = replace(report, ensembles=ensembles.entries, methods=methods)
    shown = charts(report)
    stage(f"{count_words(len(shown), 'figure')} as PNG, SVG and PDF")
    images = dict(figure_files(report.study, shown))
    texts = {
        "index.html": page(report, shown, stills(images, shown), stress=stress),
        "report.json": report_text(report),
        "report.schema.json": json_schema_text(),
        "trials.csv": trials_csv(report),
        "front.csv": front_csv(report),
        "axis_effects.csv": effects_csv(report),
        "front.tex": front_tex(report),
        "metrics.tex": metrics_tex(report),
    }
    return encoded(texts) | images
