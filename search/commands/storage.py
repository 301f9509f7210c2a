"""`python -m search storage`: move a database."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from search.commands.parser import add_command
from search.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console


def add_storage(commands: Any) -> None:
    """Add `storage` with its action."""
    parser = add_command(
        commands,
        "storage",
        "copy a database, as from SQLite to PostgreSQL",
        "storage copy sqlite:///runs/search.db postgresql+psycopg://user@host/database",
    )
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    copy = add_command(
        actions,
        "copy",
        "copy all studies of a database into an empty one",
        "storage copy sqlite:///runs/search.db postgresql+psycopg://user@host/database",
    )
    copy.set_defaults(command=_copy)
    copy.add_argument("source", metavar="FROM", help="database to read; no trial of it may be running")
    copy.add_argument("target", metavar="TO", help="database to fill; created if it does not exist")


def _copy(chosen: argparse.Namespace, console: Console) -> int:
    from search.watch.progress import progress_bar
    from storage import DatabaseUrlError, copy_database
    from storage.connection.engine import parse_url

    for name, url in (("FROM", chosen.source), ("TO", chosen.target)):
        try:
            parse_url(url)
        except DatabaseUrlError as error:
            raise UsageError(f"{name}: {error}") from error
    with progress_bar(console, "Rows copied and verified", 0) as advance:
        copied = copy_database(chosen.source, chosen.target, progress=advance)
    files = f"{copied.n_artifacts:,} artifacts in {copied.artifacts_folder}; " if copied.n_artifacts else ""
    lines = [
        f"{copied.source} is copied to {copied.target}: {copied.n_studies:,} studies, "
        f"{copied.n_trials:,} trials, {copied.n_rows:,} rows in {copied.n_tables} tables; {files}"
        "row counts and digests of all tables agree",
        f"Next: python -m search run --trials N --storage {copied.url}",
    ]
    if copied.missing_artifacts:
        first, n_missing = copied.missing_artifacts[0], len(copied.missing_artifacts)
        lines.insert(1, f"{n_missing:,} artifacts are not there any more, such as {first}")
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    return 0
