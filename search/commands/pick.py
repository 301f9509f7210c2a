"""`python -m search pick`: one model of the front, with the reason."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from search.commands.parser import add_command, add_json, add_study_options, number, print_json

if TYPE_CHECKING:
    from rich.console import Console


def add_pick(commands: Any) -> None:
    """Add `pick`."""
    parser = add_command(
        commands, "pick", "pick one model of the front, with the reason", "pick --within .01"
    )
    parser.set_defaults(command=_pick)
    add_study_options(parser)
    rule = parser.add_mutually_exclusive_group()
    rule.add_argument(
        "--within",
        type=number,
        default=0.01,
        metavar="D",
        help="the smallest that is not distinguishably worse than the best by more than D macro-AUPRC "
        "(default: .01)",
    )
    rule.add_argument("--knee", action="store_true", help="where more parameters begin to buy little")
    add_json(parser)


def _pick(chosen: argparse.Namespace, console: Console) -> int:
    from reports.evidence import gather
    from reports.findings.picking import knee, pick, within
    from storage import open_store

    rule = knee if chosen.knee else within(chosen.within)
    with open_store(chosen.storage, create=False) as store:
        study = chosen.study or store.last_study().name
        found = pick(gather(store, study), rule)
    if chosen.json:
        print_json({"study": study, **asdict(found)})
    else:
        console.print(f"study {study}: {found.reason}", highlight=False, markup=False)
    return 0
