"""`python -m search status`: trials done and running, and the front so far."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from search.commands.parser import (
    add_command,
    add_json,
    add_study_options,
    print_json,
)

if TYPE_CHECKING:
    from rich.console import Console


def add_status(commands: Any) -> None:
    """Add `status`."""
    parser = add_command(commands, "status", "show the progress of a study and its front", "status --json")
    parser.set_defaults(command=_status)
    add_study_options(parser)
    add_json(parser)


def _status(chosen: argparse.Namespace, console: Console) -> int:
    from reports.status import status, status_view
    from storage import open_store

    with open_store(chosen.storage, create=False) as store:
        found = status(store, store.study_or_last(chosen.study).name)
    if chosen.json:
        print_json(found.to_json())
    else:
        console.print(status_view(found))
    return 0
