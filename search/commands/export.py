"""`python -m search export`: models of a study as folders that work without this program."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.commands.parser import (
    add_command,
    add_json,
    add_space_of_study,
    add_study_options,
    chosen_options,
    print_json,
    say,
    whole_number,
)
from search.commands.pick import add_pick_option, picked_trial
from search.errors import UsageError
from search.training.environment import set_environment

if TYPE_CHECKING:
    from rich.console import Console


def add_export(commands: Any) -> None:
    """Add `export`."""
    parser = add_command(
        commands,
        "export",
        "write models as folders: ONNX graph, weights, thresholds, card",
        "export --trial 12 --out models/trial-12",
    )
    parser.set_defaults(command=_export)
    parser.add_argument("--trial", type=whole_number, metavar="N", help="trial to export")
    parser.add_argument(
        "--front", action="store_true", help="all trials on the front, each in a folder DIR/trial-N"
    )
    add_pick_option(parser)
    parser.add_argument(
        "--ensemble",
        metavar="NAME",
        help="average of trials as built by `search ensemble`: top2-weighted, greedy, light or front",
    )
    parser.add_argument(
        "--evaluation", type=whole_number, metavar="ID", help="models trained by an evaluation"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new or empty folder to write")
    parser.add_argument(
        "--members",
        choices=("cv",),
        default="cv",
        help="models of a trial whose average is exported: those of the CV folds, calibrated on the held-out "
        "predictions of each (default)",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="also quantise to eight bits, and measure size, latency and loss of macro-AUPRC",
    )
    parser.add_argument(
        "--data",
        metavar="DIR|demo",
        help="data of the study, for checks, coarser tiers and novelty (default: as for run)",
    )
    add_space_of_study(parser)
    add_json(parser)
    add_study_options(parser)


def _export(chosen: argparse.Namespace, console: Console) -> int:
    set_environment()
    from rich.console import Console as Quiet

    from search.commands.console import working

    with working(console, "Starting"):
        from search.export.export import ExportOptions, export
        from search.export.words import export_document, export_view

    quiet_if_json = Quiet(quiet=True) if chosen.json else console
    picked = picked_trial(chosen, quiet_if_json)
    if picked is not None and chosen.trial is not None:
        raise UsageError("--pick names a trial as --trial does: leave one out")
    options = chosen_options(chosen, ExportOptions, trial=chosen.trial if picked is None else picked)
    written = export(options, quiet_if_json)
    if chosen.json:
        print_json(export_document(written))
    else:
        console.print(export_view(written))
    for line in written.refused:
        say(f"not exported: {line}")
    return 1 if written.refused else 0
