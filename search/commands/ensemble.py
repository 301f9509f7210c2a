"""`python -m search ensemble`: averages of the trials of a study."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from search.commands.parser import (
    add_command,
    add_json,
    add_study_options,
    print_json,
    whole_number,
)
from search.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console


def add_ensemble(commands: Any) -> None:
    """Add `ensemble`."""
    parser = add_command(
        commands,
        "ensemble",
        "average the trials of a study, from their stored predictions",
        "ensemble --study ptb-xl-subclass",
    )
    parser.set_defaults(command=_ensemble)
    add_study_options(parser)
    parser.add_argument(
        "--size",
        type=whole_number,
        default=10,
        metavar="K",
        help="picks of a greedy ensemble; a trial may be picked again (default: %(default)s)",
    )
    add_json(parser)


def _ensemble(chosen: argparse.Namespace, console: Console) -> int:
    from reports.ensembles.candidates import load_candidates
    from reports.ensembles.study import MAX_SIZE, build_ensembles
    from reports.ensembles.text import ensemble_document, ensemble_view
    from search.commands.console import working
    from storage import open_store

    if not 1 <= chosen.size <= MAX_SIZE:
        raise UsageError(f"--size is a whole number from 1 to {MAX_SIZE}, got {chosen.size}")
    with open_store(chosen.storage, create=False) as store, working(console, "Averaging trials"):
        found = build_ensembles(load_candidates(store, chosen.study or store.last_study().name), chosen.size)
    if chosen.json:
        print_json(ensemble_document(found))
    else:
        console.print(ensemble_view(found))
    return 0
