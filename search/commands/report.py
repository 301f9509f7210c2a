"""`python -m search report`: the report of a study, or of several side by side."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.commands.parser import (
    add_command,
    add_json,
    add_study_options,
    names,
    print_json_file,
    say,
    whole_number,
)
from search.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console


def add_report(commands: Any) -> None:
    """Add `report`."""
    parser = add_command(commands, "report", "write the report of a study", "report --study ptb-xl-subclass")
    parser.set_defaults(command=_report)
    add_study_options(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder (default: runs/reports/STUDY)")
    parser.add_argument(
        "--trial",
        type=whole_number,
        metavar="N",
        help="trial to examine class by class (default: the best of the front)",
    )
    parser.add_argument(
        "--studies",
        type=names,
        metavar="A,B,...",
        help="compare studies of one target on the same records, instead of a report of one study",
    )
    add_json(parser)


def _report(chosen: argparse.Namespace, console: Console) -> int:
    if chosen.studies is not None:
        return _compare(chosen, console)
    from reports.report import write_report
    from search.commands.architecture_text import layers_of_trial
    from search.commands.console import working
    from search.watch.dashboard_updates import DashboardUpdates
    from storage import open_store

    with open_store(chosen.storage, create=False) as store, working(console, "Reading the study") as stage:
        files = write_report(
            store,
            chosen.study or store.last_study().name,
            chosen.out,
            trial=chosen.trial,
            layers_of=layers_of_trial,
            stage=stage,
        )
        # The report is written even if the database is read-only.
        DashboardUpdates(store, files.study, lambda event: say(event.text)).attach(files.paths[0])
    if chosen.json:
        print_json_file(files.report_json)
        return 0
    from reports.status import front_table

    console.print(front_table(files.study, files.trials))
    _print_paths(files.folder, files.paths, console)
    for evaluation in files.evaluations.pages:
        console.print(f"{evaluation}: models on held-out records", soft_wrap=True, highlight=False)
    for problem in files.evaluations.problems:
        console.print(problem, soft_wrap=True, highlight=False)
    return 0


def _compare(chosen: argparse.Namespace, console: Console) -> int:
    from reports.studies.report import studies_view, write_studies
    from search.commands.console import working
    from storage import open_store

    for option in ("study", "trial"):
        if getattr(chosen, option) is not None:
            raise UsageError(f"--studies compares fronts: leave --{option} out")
    _check_names(chosen.studies)
    with open_store(chosen.storage, create=False) as store, working(console, "Comparing the studies"):
        files = write_studies(store, chosen.studies, chosen.out)
    if chosen.json:
        print_json_file(files.json)
        return 0
    console.print(studies_view(files.report))
    _print_paths(files.folder, files.paths, console)
    return 0


def _check_names(studies: Sequence[str]) -> None:
    from reports.studies.report import MOST_STUDIES

    named = ",".join(studies)
    if len(studies) < 2 or not all(studies):
        raise UsageError(f"--studies takes the names of at least two studies, such as A,B, got {named!r}")
    twice = [name for place, name in enumerate(studies) if name in studies[:place]]
    if twice:
        raise UsageError(f"--studies names study {twice[0]} twice, got {named!r}")
    if len(studies) > MOST_STUDIES:
        raise UsageError(
            f"--studies: one figure has room for {MOST_STUDIES} studies, got {len(studies)}; name fewer"
        )


def _print_paths(folder: Path, paths: Sequence[Path], console: Console) -> None:
    """Print the paths of the page and of the files beside it."""
    page, *others = paths
    console.print(str(page), soft_wrap=True, highlight=False)
    listed = ", ".join(path.name for path in others if path.suffix not in {".png", ".svg", ".pdf"})
    n_figures = sum(path.suffix == ".png" for path in others)
    console.print(f"{folder}: {listed}; {n_figures} figures as PNG, SVG and PDF", highlight=False)
