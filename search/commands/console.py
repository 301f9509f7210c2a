"""The console of all commands."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

NARROWEST = 20
"""Minimum plausible width of a terminal in columns."""
_USUAL = 80


def make_console() -> Console:
    """Make a console as wide as the terminal, or of 80 columns where the width is not known.

    Markup is off: [red] or [/] in the name of a study, class or folder is printed as it stands.
    """
    console = Console(markup=False, emoji=False)
    if console.width < NARROWEST or (not console.is_terminal and not os.environ.get("COLUMNS")):
        console.width = _USUAL
    return console


@contextmanager
def working(console: Console, words: str) -> Iterator[Callable[[str], None]]:
    """Show in a terminal what a command is doing while it prints nothing; the line is gone afterwards.

    Args:
        console: where to write; nothing is written where it is not a terminal.
        words: what is being done.

    Yields:
        A function that takes other words, for the next stage.
    """
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda words: None
        return
    with console.status(words) as line:
        yield line.update
