"""The page of an explanation: one HTML file with the sheet, every lead at full length, and the words."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import matplotlib as mpl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from search.errors import UsageError
from search.explain import words
from search.explain.explain import Explanation
from search.explain.sheet import make_sheet


def save_page(explained: Explanation, path: Path) -> None:
    """Write the page of an explanation, which needs no other file.

    Raises:
        UsageError: The file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("search.explain", "."), autoescape=True, undefined=StrictUndefined
    )
    text = environment.get_template("page.html.j2").render(
        title=words.title(explained),
        record=words.record_words(explained),
        synthetic=words.synthetic_words(explained),
        facts=[
            ("record", explained.record),
            ("window", words.window_words(explained)),
            ("model", words.model_words(explained)),
            ("says", words.probability_words(explained)),
            ("decision", words.decision_words(explained)),
            ("labels", words.truth_words(explained)),
            ("map", words.METHOD_NAMES[explained.attribution.method]),
        ],
        sheets=[
            ("Sheet", _svg(explained, all_leads=False)),
            ("Every lead at full length", _svg(explained, all_leads=True)),
        ],
        legend=words.legend_words(explained),
        notes=words.notes(explained),
    )
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out: {path} cannot be written: {error.strerror or error}") from error


def _svg(explained: Explanation, *, all_leads: bool) -> Markup:
    """The element alone, without the declarations of a file of its own."""
    written = StringIO()
    salt = "all-leads" if all_leads else "sheet"  # ids of two drawings on one page differ
    with mpl.rc_context({"svg.hashsalt": salt}):
        make_sheet(explained, all_leads=all_leads).savefig(written, format="svg", metadata={"Date": None})
    text = written.getvalue()
    return Markup(text[text.index("<svg") :])  # noqa: S704 - drawn here; texts of users are glyphs in it
