"""Tables for the terminal, readable however narrow it is."""

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

LEAST_FLEXIBLE = 16
"""Columns of the terminal that a column needs whose text may fold."""


class StackingTable(Table):
    """A table where it fits, else its rows one below the other, a line `name: value` for each cell.

    A column needs the width of its widest cell; one that may wrap or be cut short, at most `LEAST_FLEXIBLE`.

    Args:
        heading: printed above, over the width of the terminal and not, as a `title`, of the table.
        options: those of `rich.table.Table`.
    """

    def __init__(self, *, heading: str = "", **options: Any) -> None:
        super().__init__(**options)
        self._heading = heading

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The one or the other, by the width there is."""
        if self._heading:
            yield Text(self._heading, style="bold")
        if self._needed_width(console, options) <= options.max_width:
            yield from super().__rich_console__(console, options)
        else:
            yield from self._stacked(console, options.max_width)

    def _needed_width(self, console: Console, options: ConsoleOptions) -> int:
        unlimited = options.update(width=10_000)
        between = self.padding[1] + self.padding[3] + (self.box is not None)
        total = 0
        for column in self.columns:
            cells = [column.header, *column.cells]
            widths = [Measurement.get(console, unlimited, cell) for cell in cells]
            widest = max(width.maximum for width in widths)
            is_flexible = column.ratio is not None or not column.no_wrap
            total += min(widest, LEAST_FLEXIBLE) if is_flexible else widest
        return total + between * max(0, len(self.columns) - 1)

    def _stacked(self, console: Console, width: int) -> Iterator[Text]:
        names = [_one_line(_plain(column.header)) for column in self.columns]
        for cells in zip(*(column.cells for column in self.columns), strict=True):
            # The cells that identify the row come first; the others are indented below.
            indent = ""
            for name, cell in zip(names, cells, strict=True):
                if value := _plain(cell).strip():
                    yield from _cell_lines(f"{name}: " if name else "", value, indent, console, width)
                    indent = "  "


def simple_table(heading: str = "", padding: tuple[int, ...] = (0, 1)) -> StackingTable:
    """A table with a line below its head and none around it.

    Args:
        heading: printed above.
        padding: of the cells, as in CSS.
    """
    return StackingTable(
        heading=heading, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=padding
    )


def _cell_lines(name: str, value: str, indent: str, console: Console, width: int) -> Iterator[Text]:
    """A cell on one line, or else what does not fit indented below; an interval stays whole."""
    line = Text(f"{indent}{name}{_one_line(value)}")
    if line.cell_len <= width:
        yield line
        return
    below = f"{indent}  "
    parts = [f"{name}{value.splitlines()[0]}", *value.splitlines()[1:]]
    lines = [each for part in parts for each in Text(part).wrap(console, max(1, width - len(below)))]
    for number, each in enumerate(lines):
        each.rstrip()
        yield Text(below if number else indent) + each


def _plain(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)


def _one_line(text: str) -> str:
    """The lines of a text in one; a word that a hyphen divides is one again."""
    return " ".join(text.replace("-\n", "-").split())
