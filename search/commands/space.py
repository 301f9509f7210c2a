"""`python -m search space`: axes, size and presets of a search space, or one architecture layer by layer."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from search.commands.parser import (
    SPACES_HELP,
    TIERS,
    add_command,
    add_json,
    add_study_options,
    print_json,
    whole_number,
)
from search.defaults import DEFAULT_SPACE
from search.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console


DEFAULT_TARGET, DEFAULT_RATE_HZ = "subclass", 100


def add_space(commands: Any) -> None:
    """Add `space`."""
    parser = add_command(
        commands,
        "space",
        "show a search space, or the layers of one model",
        "space --show cnn-lstm",
    )
    parser.set_defaults(command=_space)
    parser.add_argument(
        "--space",
        metavar="NAME|FILE.py",
        help=f"{SPACES_HELP}; FILE.py: your own, which is checked",
    )
    parser.add_argument("--target", metavar="TIER", help=f"{TIERS} (default: {DEFAULT_TARGET})")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--show",
        metavar="PRESET",
        help="layers of a published system with output shapes, parameters and MACs, and what it costs",
    )
    shown.add_argument("--trial", type=whole_number, metavar="N", help="the same of a trial of --study")
    parser.add_argument(
        "--rate",
        type=whole_number,
        metavar="HZ",
        help=f"sampling rate of the ten seconds that costs are of (default: {DEFAULT_RATE_HZ})",
    )
    add_study_options(parser)
    add_json(parser)


def _space(chosen: argparse.Namespace, console: Console) -> int:
    document: dict[str, Any]
    target, rate_hz = chosen.target or DEFAULT_TARGET, chosen.rate or DEFAULT_RATE_HZ
    if rate_hz < 1:
        raise UsageError(f"--rate is a positive number of Hz, got {rate_hz}")
    if chosen.trial is not None:
        for option in ("target", "rate"):
            if getattr(chosen, option) is not None:
                raise UsageError(f"--{option} of a trial is that of its study: leave it out with --trial")
        from search.commands.architecture_text import architecture_view, trial_document
        from storage import open_store

        with open_store(chosen.storage, create=False) as store:
            document = trial_document(store, chosen.study, chosen.trial, chosen.space)
        view = architecture_view
    elif chosen.show is not None:
        from search.commands.architecture_text import architecture_view, preset_document

        document = preset_document(chosen.show, target, rate_hz, chosen.space)
        view = architecture_view
    else:
        if chosen.study is not None:
            raise UsageError("--study goes with --trial N: a space is no study's")
        from search.commands.space_text import space_document, space_view

        document, view = space_document(chosen.space or DEFAULT_SPACE, target, rate_hz), space_view
    if chosen.json:
        print_json(document)
    else:
        console.print(view(document))
    return 0
