"""Tables that can be read however narrow the terminal is."""

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

LEAST_FLEXIBLE = 16
"""Columns of the terminal that a column needs whose text may fold."""


class StackingTable(Table):
    """A table where it fits, else its rows one below the other, a line `name: value` for each cell.

    A column needs the width of its widest cell; one that may wrap or be cut short, at most `LEAST_FLEXIBLE`.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The one or the other, by the width there is."""
        if self._needed_width(console, options) <= options.max_width:
            yield from super().__rich_console__(console, options)
        else:
            yield from self._stacked()

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

    def _stacked(self) -> Iterator[Text]:
        if self.title:
            yield Text(str(self.title), style="bold")
        names = [_one_line(column.header) for column in self.columns]
        for cells in zip(*(column.cells for column in self.columns), strict=True):
            named = [(name, _one_line(cell)) for name, cell in zip(names, cells, strict=True)]
            # What says which row it is starts it; the other cells are indented below.
            indent = ""
            for name, value in named:
                if value:
                    yield Text(f"{indent}{name}: {value}" if name else f"{indent}{value}")
                    indent = "  "


def _one_line(cell: object) -> str:
    return " ".join((cell.plain if isinstance(cell, Text) else str(cell)).split())
