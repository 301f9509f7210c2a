"""`python -m search dashboard`: optuna-dashboard on this machine."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from search.commands.parser import (
    add_command,
    add_storage_option,
    whole_number,
)

if TYPE_CHECKING:
    from rich.console import Console


def add_dashboard(commands: Any) -> None:
    """Add `dashboard`."""
    parser = add_command(
        commands, "dashboard", "open optuna-dashboard on this machine", "dashboard --port 8080"
    )
    parser.set_defaults(command=_dashboard)
    add_storage_option(parser)
    parser.add_argument(
        "--host",
        metavar="H",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s, which only this machine reaches)",
    )
    parser.add_argument(
        "--port",
        type=whole_number,
        default=8080,
        metavar="P",
        help="port to listen on (default: %(default)s)",
    )
    parser.add_argument("--read-only", action="store_true", help="show everything, refuse all changes")


def _dashboard(chosen: argparse.Namespace, console: Console) -> int:
    from search.watch.dashboard_server import serve

    return serve(chosen.storage, console, host=chosen.host, port=chosen.port, read_only=chosen.read_only)
