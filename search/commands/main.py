"""The command line: all commands in one parser; each imports its modules when it runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from search.commands.confirm import add_confirm
from search.commands.dashboard import add_dashboard
from search.commands.data import add_data
from search.commands.ensemble import add_ensemble
from search.commands.evaluate import add_evaluate
from search.commands.explain import add_explain
from search.commands.export import add_export
from search.commands.parser import (
    Parser,
    parse,
    say,
    without_passwords,
)
from search.commands.pick import add_pick
from search.commands.predict import add_predict
from search.commands.report import add_report
from search.commands.run import add_run
from search.commands.space import add_space
from search.commands.status import add_status
from search.commands.storage import add_storage
from search.commands.stress import add_stress
from search.defaults import STORAGE_VARIABLE, default_storage
from search.errors import SearchError, UsageError
from search.watch.output import OutputClosedError, flush_output
from search.workers.interrupt import EXIT_STATUS

if TYPE_CHECKING:
    from rich.console import Console


def main(arguments: Sequence[str]) -> int:
    """Carry out a command line; returns the exit status: 0, 1 on a failure, 2 on bad arguments."""
    try:
        status = _carry_out(arguments)
        flush_output()
    except OutputClosedError:
        return 1
    except SearchError as error:
        return _explain(error, error.exit_status)
    except KeyboardInterrupt as stop:
        return _explain(f"stopped by {str(stop) or 'Ctrl-C'}", EXIT_STATUS)
    return status


def _carry_out(arguments: Sequence[str]) -> int:
    try:
        chosen = parse(make_parser(), list(arguments))
    except SystemExit:  # argparse has printed its help
        flush_output()
        raise
    _warn_of_password(chosen)
    try:
        Path.cwd()
    except FileNotFoundError:
        raise SearchError("the current folder is gone; change to one that is there") from None

    from search.commands.console import make_console

    command: Callable[[argparse.Namespace, Console], int] = chosen.command
    try:
        return command(chosen, make_console())
    except SearchError:
        raise
    except Exception as error:
        # Only now: with SQLAlchemy and Optuna, a second that many commands do without.
        from reports.errors import ReportError
        from storage.errors import DatabaseUrlError, StorageError

        if isinstance(error, DatabaseUrlError):
            raise UsageError(f"--storage: {error}") from error
        if isinstance(error, (StorageError, ReportError)):
            raise SearchError(str(error)) from error
        raise


def _warn_of_password(chosen: argparse.Namespace) -> None:
    """Warn of a password on the command line, which every user of the machine can read."""
    urls = [getattr(chosen, name, None) or "" for name in ("storage", "source", "target")]
    if any(url != default_storage() and without_passwords(url) != url for url in urls):
        _explain(
            "warning: every user of this machine can read the password on the command line; give it in "
            f"${STORAGE_VARIABLE}, $PGPASSWORD or ~/.pgpass instead",
            0,
        )


def _explain(problem: object, status: int) -> int:
    say(problem)
    return status


def make_parser() -> Parser:
    """All commands with their options."""
    parser = Parser(
        prog="python -m search",
        description="Architecture search for ECG classifiers: macro-AUPRC against parameter count.",
        epilog="example: python -m search run --trials 200 --data /data/ptb-xl",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_run(commands)
    add_confirm(commands)
    add_report(commands)
    add_pick(commands)
    add_ensemble(commands)
    add_evaluate(commands)
    add_export(commands)
    add_predict(commands)
    add_explain(commands)
    add_stress(commands)
    add_status(commands)
    add_dashboard(commands)
    add_space(commands)
    add_data(commands)
    add_storage(commands)
    return parser
