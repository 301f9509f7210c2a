"""The page of an explanation: one HTML file with the sheet, every lead at full length, and the words."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import matplotlib as mpl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from search.errors import UsageError
from search.explain import words
from search.explain.comparison import Comparison, group_words, make_comparison, notes, share_words
from search.explain.explain import Explanation
from search.explain.sheet import make_sheet


def save_page(explained: Explanation, path: Path) -> None:
    """Write the page of an explanation, which needs no other file.

    Raises:
        UsageError: The file cannot be written.
    """
    _save(
        path,
        title=words.title(explained),
        record=words.record_words(explained.record),
        synthetic=words.synthetic_words(explained.networks),
        facts=[
            ("record", explained.record),
            ("window", words.window_words(explained)),
            ("model", words.model_words(explained.networks)),
            ("says", words.probability_words(explained)),
            ("decision", words.decision_words(explained)),
            ("labels", words.truth_words(explained)),
            ("map", words.METHOD_NAMES[explained.attribution.method]),
        ],
        sheets=[
            ("Sheet", _svg(make_sheet(explained), "sheet")),
            ("Every lead at full length", _svg(make_sheet(explained, all_leads=True), "all-leads")),
        ],
        legend=words.legend_words(explained),
        notes=words.notes(explained),
    )


def save_comparison_page(compared: Comparison, path: Path) -> None:
    """Write the page of a comparison of beats, likewise.

    Raises:
        UsageError: The file cannot be written.
    """
    _save(
        path,
        title="Normal against abnormal beats",
        record=words.record_words(compared.record),
        synthetic=words.synthetic_words(compared.networks),
        facts=[
            ("record", compared.record),
            ("model", words.model_words(compared.networks)),
            ("map", words.METHOD_NAMES[compared.method]),
            *(
                (f"class {group.name}", f"{group_words(group)}; {share_words(group, compared.qrs_of_time)}")
                for group in compared.groups
            ),
        ],
        sheets=[("Beats", _svg(make_comparison(compared), "beats"))],
        legend=f"mean {words.METHOD_NAMES[compared.method]} of the beats of each class",
        notes=notes(compared),
    )


def _save(path: Path, **contents: object) -> None:
    """Write the template filled with contents."""
    environment = Environment(
        loader=PackageLoader("search.explain", "."), autoescape=True, undefined=StrictUndefined
    )
    text = environment.get_template("page.html.j2").render(contents)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out: {path} cannot be written: {error.strerror or error}") from error


def _svg(figure: Figure, salt: str) -> Markup:
    """The element alone, without the declarations of a file of its own; ids differ by the salt."""
    written = StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(written, format="svg", metadata={"Date": None})
    text = written.getvalue()
    return Markup(text[text.index("<svg") :])  # noqa: S704 - drawn here; texts of users are glyphs in it
