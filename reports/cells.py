"""Cells of the tables that other programs read: CSV, LaTeX and Markdown."""

import csv
import io
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "=", "+", "-", "@")  # the last four are full width
"""A cell that starts with one of these is run as a formula by spreadsheet programs (OWASP, CSV injection)."""
TEX_SIGNS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "→": r"$\rightarrow$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "±": r"$\pm$",
    "−": r"$-$",
    "×": r"$\times$",
    "–": "--",
    "µ": r"$\mu$",
    "[": "{[}",
    "*": "{*}",
}
"""Signs as LaTeX prints them. A bare [ or * at the start of a row would be an argument of the line end before
it."""
_TEX_LETTERS = frozenset("ßÆæØøŒœŁłı")
_TEX_ACCENTS = frozenset(map(chr, (*range(0x300, 0x305), 0x306, 0x307, 0x308, 0x30A, 0x30B, 0x30C, 0x327)))
_MARKDOWN_SIGNS = re.compile(r"([\\`*_\[\]<>#!|~$&])")
LONGEST_TEXT = 600
"""Characters of a foreign text in Markdown, of which the rest is cut off."""


def csv_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """UTF-8 text with a heading, one line per row.

    Numbers keep all their digits, an empty cell means unknown or undefined. Text that a spreadsheet would
    take for a formula has an apostrophe in front.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(csv_cell(column) for column in columns)
    writer.writerows([csv_cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue()


def csv_cell(value: Any) -> str:
    """A value as text that means the same to every reader."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, int):
        return str(value)
    text = " ".join(str(value).splitlines())  # one trial, one line
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA_STARTS) else text


def tex_text(text: str) -> str:
    """Text escaped for LaTeX, on one line, with ? for what pdflatex cannot print: it has the letters and
    accents of European languages in Latin script."""
    return "".join(TEX_SIGNS.get(sign, sign if _is_known(sign) else "?") for sign in " ".join(text.split()))


def _is_known(sign: str) -> bool:
    if sign.isascii():
        return sign.isprintable()
    base, accent = (*unicodedata.normalize("NFD", sign), "", "")[:2]
    return sign in _TEX_LETTERS or (base.isascii() and accent in _TEX_ACCENTS and sign.isalpha())


def tex_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, alignment: str, caption: str) -> str:
    """A table for `\\input`, ruled with booktabs.

    Args:
        columns: headings, LaTeX already.
        rows: cells, LaTeX already.
        alignment: one letter per column.
        caption: text.
    """
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        f"\\caption{{{tex_text(caption)}}}",
        f"\\begin{{tabular}}{{{alignment}}}",
        "\\toprule",
        " & ".join(columns) + r" \\",
        "\\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def markdown_text(text: str) -> str:
    """Foreign text as one line that Markdown shows as it is: no link, no image, no table cell ends in it."""
    line = " ".join(text.split())
    return _MARKDOWN_SIGNS.sub(r"\\\1", line if len(line) <= LONGEST_TEXT else f"{line[:LONGEST_TEXT]}…")


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, n_texts: int) -> list[str]:
    """Lines of a table.

    Args:
        columns: headings.
        rows: cells.
        n_texts: columns of foreign text, the first ones, which are escaped; the others are numbers, aligned
            at the right.
    """
    alignment = ["---"] * n_texts + ["---:"] * (len(columns) - n_texts)
    escaped = ([*map(markdown_text, row[:n_texts]), *row[n_texts:]] for row in rows)
    return [f"| {' | '.join(cells)} |" for cells in (columns, alignment, *escaped)]
