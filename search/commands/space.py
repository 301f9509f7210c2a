"""`python -m search space`: axes, size and presets of a search space."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from search.commands.parser import (
    SPACES_HELP,
    TIERS,
    add_command,
    add_json,
    print_json,
)
from search.defaults import DEFAULT_SPACE

if TYPE_CHECKING:
    from rich.console import Console


def add_space(commands: Any) -> None:
    """Add `space`."""
    parser = add_command(
        commands, "space", "list axes, size and presets of a search space", "space --space paper"
    )
    parser.set_defaults(command=_space)
    parser.add_argument(
        "--space",
        metavar="NAME|FILE.py",
        default=DEFAULT_SPACE,
        help=f"{SPACES_HELP}; FILE.py: your own, which is checked",
    )
    parser.add_argument("--target", metavar="TIER", default="subclass", help=f"{TIERS} (default: subclass)")
    add_json(parser)


def _space(chosen: argparse.Namespace, console: Console) -> int:
    from search.commands.space_text import space_document, space_view

    document = space_document(chosen.space, chosen.target)
    if chosen.json:
        print_json(document)
    else:
        console.print(space_view(document))
    return 0
