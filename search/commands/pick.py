"""`python -m search pick`, and `--pick` of other commands: one model of the front, with the reason."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from search.commands.parser import Parser, add_command, add_json, add_study_options, number, print_json
from search.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from reports.findings.picking import Rule
    from reports.schema import Pick


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
        type=difference,
        default=0.01,
        metavar="D",
        help="the smallest model that is not distinguishably worse than the best by more than D in score "
        "(default: .01)",
    )
    rule.add_argument("--knee", action="store_true", help="the model beyond which parameters gain little")
    add_json(parser)


def add_pick_option(parser: Parser) -> None:
    """Add `--pick` to a command that takes trials."""
    parser.add_argument(
        "--pick",
        metavar="RULE",
        help="the trial chosen by search pick: knee, or within=D such as within=.01",
    )


def difference(text: str) -> float:
    """Type of an option: a difference of scores, from 0 to below 1."""
    value = number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(
            f"is a difference of scores from 0 to below 1, such as .01, got {value:g}"
        )
    return value


def _pick(chosen: argparse.Namespace, console: Console) -> int:
    from reports.findings.picking import knee, within

    study, found = _picked(chosen, knee if chosen.knee else within(chosen.within))
    if chosen.json:
        print_json({"study": study, **asdict(found)})
    else:
        console.print(f"study {study}: {found.reason}", highlight=False, markup=False)
    return 0


def picked_trial(chosen: argparse.Namespace, console: Console) -> int | None:
    """Number of the trial that `--pick` selects, None without `--pick`; prints the reason.

    Raises:
        UsageError: there is no such rule.
        reports.errors.ReportError: the rule cannot tell.
    """
    if chosen.pick is None:
        return None
    from reports.findings.picking import knee, within

    name, _, margin = chosen.pick.partition("=")
    try:
        rule = within(difference(margin)) if name == "within" else {"knee": knee}[chosen.pick]
    except (KeyError, argparse.ArgumentTypeError):
        raise UsageError(
            f"--pick: unknown rule {chosen.pick!r}: choose knee, or within=D such as within=.01"
        ) from None
    _, found = _picked(chosen, rule)
    console.print(found.reason, highlight=False, markup=False)
    return found.trial


def _picked(chosen: argparse.Namespace, rule: Rule) -> tuple[str, Pick]:
    from reports.evidence import gather
    from reports.findings.picking import pick
    from storage import open_store

    with open_store(chosen.storage, create=False) as store:
        study = store.study_or_last(chosen.study).name
        return study, pick(gather(store, study), rule)
