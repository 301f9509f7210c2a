"""Cells of the tables that other programs read: CSV and LaTeX."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
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
}


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
    """Text escaped for LaTeX, on one line, with ? for characters that pdflatex cannot print."""
    return "".join(TEX_SIGNS.get(sign, sign if _is_known(sign) else "?") for sign in " ".join(text.split()))


def _is_known(sign: str) -> bool:
    return sign.isprintable() if sign.isascii() else sign.isalpha()


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
