"""Line in a terminal that says what a silent command is doing; imports nothing that takes time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console


@contextmanager
def working(console: Console, words: str) -> Iterator[Callable[[str], None]]:
    """Show what is being done, until it is done.

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
