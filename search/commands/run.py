"""`python -m search run`: more trials of a study."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from search.commands.parser import add_command, add_declared, chosen_options
from search.study.options import RunOptions
from search.training.environment import set_environment

if TYPE_CHECKING:
    from rich.console import Console


def add_run(commands: Any) -> None:
    """Add `run`."""
    parser = add_command(
        commands,
        "run",
        "train more trials of a study",
        "run --trials 200 --data /data/ptb-xl --target subclass",
    )
    parser.set_defaults(command=_run)
    add_declared(parser, RunOptions)


def _run(chosen: argparse.Namespace, console: Console) -> int:
    set_environment()
    from search.commands.console import working

    with working(console, "Starting"):
        from search.defaults import CACHE_FOLDER
        from search.export.latency import LatencyMeter
        from search.study.run import run

    return run(chosen_options(chosen, RunOptions), console, LatencyMeter(cache_dir=CACHE_FOLDER))
