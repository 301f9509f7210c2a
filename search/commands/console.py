"""The console of all commands."""

import os

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
