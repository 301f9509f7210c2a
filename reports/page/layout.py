"""The layout of all pages: one HTML file that needs nothing else, with its figures drawn twice.

Texts of foreign origin (names of studies, statements, errors) are escaped by the template; the only parts let
through as they are come from this program: style, script, figures. The page's own policy
(Content-Security-Policy) forbids it any request.
"""

import importlib.resources
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from reports.figures.charts import Chart
from reports.figures.interactive import escaped, plotly_figure
from reports.numbers import integer_words, score_words


def render(template: str, charts: Sequence[Chart], stills: Mapping[str, bytes], **variables: Any) -> str:
    """A page as text.

    Args:
        template: path of the template below `reports`; it extends `page/base.html.j2`.
        charts: figures of the page.
        stills: SVG of every figure, by key.
        variables: what else the template needs; `title` and `synthetic` at least.
    """
    by_key = {chart.key: chart for chart in charts}

    def figure(key: str, note: str = "") -> Markup:
        return _figure(by_key[key], stills[key], note) if key in by_key else Markup("")

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, loader=FunctionLoader(_resource)
    )
    return environment.get_template(template).render(
        figures=set(by_key),
        figure=figure,
        score=score_words,
        integer=integer_words,
        css=Markup(_resource("page/page.css")),  # noqa: S704 - ours
        js=Markup(_resource("page/page.js")),  # noqa: S704 - ours
        plotly_js=Markup(_plotly_js()),  # noqa: S704 - of the installed package
        figure_json=_script_json({chart.key: escaped(plotly_figure(chart)) for chart in charts}),
        **variables,
    )


def _resource(name: str) -> str:
    return (importlib.resources.files("reports") / name).read_text(encoding="utf-8")


def _plotly_js() -> str:
    """plotly.js as the Python package ships it; `</script` within it would end the element."""
    text = (importlib.resources.files("plotly") / "package_data" / "plotly.min.js").read_text(
        encoding="utf-8"
    )
    return re.sub(r"</(script)", r"<\\/\1", text, flags=re.IGNORECASE)


def _script_json(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028")):
        text = text.replace(sign, code)
    return Markup(text)  # noqa: S704 - nothing in it can be taken for markup


def _figure(chart: Chart, svg: bytes, note: str) -> Markup:
    """An interactive figure with its still twin, shown in print and without JavaScript."""
    drawing = re.sub(r"^.*?(?=<svg)", "", svg.decode("utf-8"), flags=re.DOTALL)
    # Names within a drawing are its own: two of them on one page must not point into each other.
    drawing = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{chart.key}-", drawing)
    drawing = re.sub(r"<metadata>.*?</metadata>|<title>.*?</title>", "", drawing, flags=re.DOTALL)
    size = re.search(r'viewBox="\S+ \S+ (\S+) (\S+)"', drawing)
    tall = " tall" if size is not None and float(size[2]) > float(size[1]) else ""
    label = f"{chart.title}. {chart.alt}"
    caption = " ".join(part for part in (chart.title + ".", chart.note, note) if part)
    return Markup(
        '<figure id="figure-{key}">'
        '<div class="plot" data-figure="{key}" role="img" aria-label="{label}"></div>'
        '<p class="picked" aria-live="polite"></p>'
        '<div class="still{tall}" role="img" aria-label="{label}">{drawing}</div>'
        "<figcaption>{caption}</figcaption></figure>"
    ).format(key=chart.key, label=label, drawing=Markup(drawing), caption=caption, tall=tall)  # noqa: S704 - drawn here
