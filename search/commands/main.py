"""The command line: what can be asked, in one parser; commands import what they need when they run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.commands.data import add_data
from search.commands.evaluate import add_evaluate
from search.commands.output import OutputClosedError, flush_output
from search.commands.parser import (
    SPACES_HELP,
    TIERS,
    Parser,
    add_command,
    add_json,
    add_storage_option,
    add_study_options,
    parse,
    print_json,
    print_json_text,
    whole_number,
)
from search.commands.run import add_run
from search.commands.storage import add_storage
from search.defaults import DEFAULT_SPACE, STORAGE_VARIABLE, default_storage
from search.errors import SearchError, UsageError
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

    from reports.errors import ReportError
    from search.commands.console import make_console
    from storage.errors import DatabaseUrlError, StorageError

    command: Callable[[argparse.Namespace, Console], int] = chosen.command
    try:
        return command(chosen, make_console())
    except DatabaseUrlError as error:
        raise UsageError(f"--storage: {error}") from error
    except (StorageError, ReportError) as error:
        raise SearchError(str(error)) from error


def _warn_of_password(chosen: argparse.Namespace) -> None:
    """A command line is no secret: every user of the machine sees those of all processes."""
    urls = [getattr(chosen, name, None) or "" for name in ("storage", "source", "target")]
    if any(url != default_storage() and _without_passwords(url) != url for url in urls):
        _explain(
            "warning: every user of this machine can read the password on the command line; give it in "
            f"${STORAGE_VARIABLE}, $PGPASSWORD or ~/.pgpass instead",
            0,
        )


def _explain(problem: object, status: int) -> int:
    _say(problem)
    return status


def _say(problem: object) -> None:
    line = _without_passwords(" ".join(str(problem).split()))
    print(f"search: {line}", file=sys.stderr)  # noqa: T201


def _without_passwords(text: str) -> str:
    if "@" not in text and "password=" not in text:
        return text  # importing storage takes half a second
    from storage.connection.passwords import without_passwords

    return without_passwords(text)


def make_parser() -> Parser:
    """All commands with their options."""
    parser = Parser(
        prog="python -m search",
        description="Architecture search for ECG classifiers: macro-AUPRC against parameter count.",
        epilog="example: python -m search run --trials 200 --data /data/ptb-xl",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_run(commands)
    _add_report(commands)
    _add_ensemble(commands)
    add_evaluate(commands)
    _add_status(commands)
    _add_dashboard(commands)
    _add_space(commands)
    add_data(commands)
    add_storage(commands)
    return parser


def _add_report(commands: Any) -> None:
    parser = add_command(commands, "report", "write the report of a study", "report --study ptb-xl-subclass")
    parser.set_defaults(command=_report)
    add_study_options(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder (default: runs/reports/STUDY)")
    parser.add_argument(
        "--trial",
        type=whole_number,
        metavar="N",
        help="trial to look at class by class (default: the best of the front)",
    )
    add_json(parser)


def _report(chosen: argparse.Namespace, console: Console) -> int:
    from reports.report import write_report
    from search.watch.dashboard_updates import Showcase
    from storage import open_store

    with open_store(chosen.storage, create=False) as store:
        files = write_report(store, chosen.study or store.last_study().name, chosen.out, trial=chosen.trial)
        # A database that nobody may write is no reason to write no report.
        Showcase(store, files.study, lambda event: _say(event.text)).attach(files.paths[0])
    if chosen.json:
        print_json_text(files.report_json.read_text(encoding="utf-8").rstrip("\n"))
        return 0
    from reports.terminal import front_table

    console.print(front_table(files.study, files.trials))
    page, *others = files.paths
    console.print(str(page), soft_wrap=True, highlight=False)
    names = ", ".join(path.name for path in others if path.suffix not in {".png", ".svg", ".pdf"})
    n_figures = sum(path.suffix == ".png" for path in others)
    console.print(f"{files.folder}: {names}; {n_figures} figures as PNG, SVG and PDF", highlight=False)
    return 0


def _add_ensemble(commands: Any) -> None:
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
        help="picks of a greedy ensemble, a trial may be picked again (default: %(default)s)",
    )
    add_json(parser)


def _ensemble(chosen: argparse.Namespace, console: Console) -> int:
    from reports.ensembles.candidates import load_candidates
    from reports.ensembles.study import MAX_SIZE, build_ensembles
    from reports.ensembles.text import ensemble_document, ensemble_view
    from storage import open_store

    if not 1 <= chosen.size <= MAX_SIZE:
        raise UsageError(f"--size is a whole number from 1 to {MAX_SIZE}, got {chosen.size}")
    with open_store(chosen.storage, create=False) as store:
        found = build_ensembles(load_candidates(store, chosen.study or store.last_study().name), chosen.size)
    if chosen.json:
        print_json(ensemble_document(found))
    else:
        console.print(ensemble_view(found))
    return 0


def _add_status(commands: Any) -> None:
    parser = add_command(commands, "status", "show what is done, running and best so far", "status --json")
    parser.set_defaults(command=_status)
    add_study_options(parser)
    add_json(parser)


def _status(chosen: argparse.Namespace, console: Console) -> int:
    from reports.status import status, status_view
    from storage import open_store

    with open_store(chosen.storage, create=False) as store:
        found = status(store, chosen.study or store.last_study().name)
    if chosen.json:
        print_json(found.to_json())
    else:
        console.print(status_view(found))
    return 0


def _add_dashboard(commands: Any) -> None:
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
    parser.add_argument("--read-only", action="store_true", help="show everything, let nothing be changed")


def _dashboard(chosen: argparse.Namespace, console: Console) -> int:
    from search.watch.dashboard_server import serve

    return serve(chosen.storage, console, host=chosen.host, port=chosen.port, read_only=chosen.read_only)


def _add_space(commands: Any) -> None:
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
