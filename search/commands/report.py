"""`python -m search report`: the report of a study."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.commands.parser import (
    add_command,
    add_json,
    add_study_options,
    print_json_text,
    say,
    whole_number,
)

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
        help="trial to look at class by class (default: the best of the front)",
    )
    add_json(parser)


def _report(chosen: argparse.Namespace, console: Console) -> int:
    from reports.report import write_report
    from search.watch.dashboard_updates import Showcase
    from storage import open_store

    with open_store(chosen.storage, create=False) as store:
        files = write_report(store, chosen.study or store.last_study().name, chosen.out, trial=chosen.trial)
        # A database that nobody may write is no reason to write no report.
        Showcase(store, files.study, lambda event: say(event.text)).attach(files.paths[0])
    if chosen.json:
        print_json_text(files.report_json.read_text(encoding="utf-8").rstrip("\n"))
        return 0
    from reports.terminal import front_table

    console.print(front_table(files.study, files.trials))
    page, *others = files.paths
    console.print(str(page), soft_wrap=True, highlight=False)
    names = ", ".join(path.name for path in others if path.suffix not in {".png", ".svg", ".pdf"})
    n_figures = sum(path.suffix == ".png" for path in others)
    console.print(f"{files.folder}: {names}; {n_figures} figures as PNG, SVG and PDF", highlight=False)
    for evaluation in files.evaluations.pages:
        console.print(f"{evaluation}: models on held-out records", soft_wrap=True, highlight=False)
    for problem in files.evaluations.problems:
        console.print(problem, soft_wrap=True, highlight=False)
    return 0
