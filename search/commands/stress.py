"""`python -m search stress`: models of a study on disturbed records."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.commands.parser import (
    add_command,
    add_data_of_study,
    add_json,
    add_space_of_study,
    add_study_options,
    chosen_options,
    print_json_file,
    say,
    whole_number,
)
from search.training.environment import set_environment

if TYPE_CHECKING:
    from rich.console import Console


def add_stress(commands: Any) -> None:
    """Add `stress`."""
    parser = add_command(
        commands,
        "stress",
        "score models on records with noise, lost leads, reversal, gain",
        "stress --front",
    )
    parser.set_defaults(command=_stress)
    parser.add_argument("--trial", type=whole_number, metavar="N", help="trial whose models are scored")
    parser.add_argument(
        "--front", action="store_true", help="all trials on the front, and the stability of their order"
    )
    parser.add_argument(
        "--seed", type=whole_number, default=0, metavar="N", help="seed of the noise (default: 0)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder (default: runs/reports/STUDY)")
    add_data_of_study(parser)
    add_space_of_study(parser)
    add_json(parser)
    add_study_options(parser)


def _stress(chosen: argparse.Namespace, console: Console) -> int:
    set_environment()
    from rich.console import Console as Quiet

    from search.commands.console import working

    with working(console, "Starting"):
        from reports.stress.report import stress_view
        from search.stress.stress import StressOptions, stress

    options = chosen_options(chosen, StressOptions)
    files = stress(options, Quiet(quiet=True) if chosen.json else console)
    if chosen.json:
        print_json_file(files.json)
    else:
        console.print(stress_view(files.report))
        console.print(str(files.paths[0]), soft_wrap=True, highlight=False)
    for line in files.report.left_out:
        say(f"left out: {line}")
    return 1 if files.report.left_out else 0
