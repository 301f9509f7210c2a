"""`python -m search confirm`: members of the front trained again with other seeds."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from search.commands.parser import (
    add_command,
    add_data_of_study,
    add_device,
    add_space_of_study,
    add_study_options,
    chosen_options,
    number,
    whole_number,
)
from search.training.environment import set_environment

if TYPE_CHECKING:
    from rich.console import Console


def add_confirm(commands: Any) -> None:
    """Add `confirm`."""
    parser = add_command(
        commands,
        "confirm",
        "train members of the front again with other seeds",
        "confirm --seeds 3 --hours 8",
    )
    parser.set_defaults(command=_confirm)
    parser.add_argument(
        "--seeds",
        type=whole_number,
        default=2,
        metavar="K",
        help="additional trainings of every member, each with another seed (default: 2)",
    )
    parser.add_argument(
        "--within-noise",
        action="store_true",
        help="also train trials within two standard errors of the front, by the paired difference over folds",
    )
    parser.add_argument("--trials", type=whole_number, metavar="N", help="trainings in this run at most")
    parser.add_argument(
        "--hours", type=number, metavar="H", help="stop after H hours; the same command continues"
    )
    parser.add_argument(
        "--workers",
        type=whole_number,
        default=1,
        metavar="W",
        help="processes on this machine (default: 1); several commands may confirm a study, too",
    )
    add_data_of_study(parser)
    add_space_of_study(parser)
    add_device(parser)
    add_study_options(parser)


def _confirm(chosen: argparse.Namespace, console: Console) -> int:
    set_environment()
    from search.commands.console import working

    with working(console, "Starting"):
        from search.study.confirm import ConfirmOptions, confirm

    return confirm(chosen_options(chosen, ConfirmOptions), console)
