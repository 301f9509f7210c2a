"""The console of all commands."""

import os

from rich.console import Console

NARROWEST = 20
"""Columns below which a width is taken for a mistake."""
_USUAL = 80


def make_console() -> Console:
    """The console: of the terminal's width, or of 80 columns where that is not known.

    Names of studies, classes and folders are texts: [red] in one is no colour and [/] no mistake.
    """
    console = Console(markup=False, emoji=False)
    if console.width < NARROWEST or (not console.is_terminal and not os.environ.get("COLUMNS")):
        console.width = _USUAL
    return console
