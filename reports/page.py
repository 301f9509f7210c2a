"""index.html: the report as one page that needs nothing else, made from the document.

Texts of foreign origin (names of studies, statements, errors) are escaped by the template; the only parts let
through as they are come from this program: style, script, figures. The page's own policy
(Content-Security-Policy) forbids it any request.
"""

import importlib.resources
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from reports.answers import interval_words
from reports.charts import Chart
from reports.closer import DECISION_METRICS
from reports.closer_charts import CLOSER_KEYS
from reports.interactive import escaped, plotly_figure
from reports.words import count_words, duration_words

Document = Mapping[str, Any]
NOTHING = "–"
"""What is not known or not defined."""
N_ROWS = 200
"""Rows of the longest tables; the rest is in trials.csv."""
SECTIONS = (
    ("verdict", "Verdict"),
    ("front", "Pareto front"),
    ("axes", "Axes"),
    ("classes", "Classes"),
    ("closer", "A closer look"),
    ("curves", "Learning curves"),
    ("compute", "Compute"),
    ("failures", "Failures"),
    ("provenance", "Provenance"),
)


def page(document: Document, charts: Sequence[Chart], stills: Mapping[str, bytes], words: Document) -> str:
    """The page as text.

    Args:
        document: see `reports.document`.
        charts: its figures.
        stills: SVG of every figure, by key.
        words: `data_words` and `state_words` of the study.
    """
    by_key = {chart.key: chart for chart in charts}

    def figure(key: str, note: str = "") -> Markup:
        return _figure(by_key[key], stills[key], note) if key in by_key else Markup("")

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(_resource("page.html.j2"))
    return template.render(
        doc=document,
        **words,
        **_tables(document),
        sections=SECTIONS,
        figures=set(by_key),
        closer_keys=[key for key in by_key if key in CLOSER_KEYS],
        figure=figure,
        front_note=_front_note(document),
        tier_figures=[
            (f"front-{tier['tier']}", tier["tier"])
            for tier in document["tiers"][1:]
            if f"front-{tier['tier']}" in by_key
        ],
        score=_score,
        css=Markup(_resource("page.css")),  # noqa: S704 - ours
        js=Markup(_resource("page.js")),  # noqa: S704 - ours
        plotly_js=Markup(_plotly_js()),  # noqa: S704 - of the installed package
        figure_json=_script_json({chart.key: escaped(plotly_figure(chart)) for chart in charts}),
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
    label = f"{chart.title}. {chart.alt}"
    caption = " ".join(part for part in (chart.title + ".", chart.note, note) if part)
    return Markup(
        '<figure id="figure-{key}">'
        '<div class="plot" data-figure="{key}" role="img" aria-label="{label}"></div>'
        '<p class="picked" aria-live="polite"></p>'
        '<div class="still" role="img" aria-label="{label}">{drawing}</div>'
        "<figcaption>{caption}</figcaption></figure>"
    ).format(key=chart.key, label=label, drawing=Markup(drawing), caption=caption)  # noqa: S704 - drawn here


def _front_note(document: Document) -> str:
    notes = ["Pruned trials are faint, at the mean of their finished folds."]
    if any(trial["preset"] for trial in document["trials"]):
        notes.append("Squares mark presets: published architectures, trained here.")
    if any(anchor["macro_auprc"] is not None for anchor in document["anchors"]):
        notes.append("Stars are published scores on fold 10: external, not comparable in detail.")
    notes.append("Choose a point to read its architecture.")
    return " ".join(notes)


def _tables(document: Document) -> dict[str, Any]:
    trials = {trial["trial"]: trial for trial in document["trials"]}
    close = {each["trial"]: each for each in document["close"]}
    front = [trials[number] for number in document["front"]]
    fold_numbers = sorted({int(fold) for trial in front for fold in trial["fold_scores"]})
    front_rows = [_front_row(document, trial, close.get(trial["trial"])) for trial in front]
    return {
        "front_rows": front_rows,
        "knows_memory": any(row["memory"] != NOTHING for row in front_rows),
        "knows_gpu_memory": any(row["gpu_memory"] != NOTHING for row in front_rows),
        "comparison_rows": [_comparison_row(row) for row in document["comparisons"]],
        "effect_rows": [
            _effect_row(axis, row) for axis in document["axis_effects"] for row in axis["effects"]
        ],
        "closer": _closer(document),
        "class_rows": [_class_row(row) for row in document["classes"]],
        "fold_numbers": fold_numbers,
        "fold_rows": [
            {
                "trial": trial["trial"],
                "cells": [_score(trial["fold_scores"].get(str(fold))) for fold in fold_numbers],
                "sd": _score(trial["standard_deviation"]),
            }
            for trial in front
        ],
        "race_rows": [_race_row(row) for row in document["race"]["pruned"][:N_ROWS]],
        "compute_words": _compute_words(document),
        "failure_words": f"{count_words(len(document['failures']), 'trial')} ended early; last reasons.",
        "commands": document["provenance"]["commands"],
    }


def _front_row(
    document: Document, trial: Mapping[str, Any], close: Mapping[str, Any] | None
) -> dict[str, Any]:
    known = close or {"interval": None, "frequent": None, "front_share": None, "metrics": {}}
    metrics = known["metrics"].get(document["target"], {})
    share = known["front_share"]
    plain = _score(trial["macro_auprc"])
    if trial["standard_error"] is not None:
        plain += f" ± {_score(trial['standard_error'])}"
    return {
        "trial": trial["trial"],
        "description": trial["description"],
        "preset": trial["preset"],
        "parameters": f"{trial['parameters']:,}",
        "auprc": interval(known["interval"]) if known["interval"] else plain,
        "frequent": interval(known["frequent"])
        if known["frequent"]
        else _score(metrics.get("macro_auprc_min10")),
        "auroc": _score(metrics.get("macro_auroc")),
        "f1": _score(metrics.get("macro_f1")),
        "front_share": "–" if share is None else f"{share:.0%}",
        "seconds": duration_words(trial["seconds"]),
        "fold_epochs": f"{trial['n_fold_epochs']:,}",
        "memory": memory_words(metrics.get("peak_memory_bytes")),
        "gpu_memory": memory_words(metrics.get("peak_gpu_memory_bytes")),
    }


def memory_words(n_bytes: float | None) -> str:
    """`640 MB`, `1.9 GB`."""
    if n_bytes is None:
        return NOTHING
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 0.9995e9 else f"{n_bytes / 1e6:.0f} MB"


def interval(span: Mapping[str, float] | None, *, signed: bool = False) -> str:
    """An interval of the document in words."""
    return "–" if span is None else interval_words(span["value"], span["low"], span["high"], signed=signed)


def _score(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.3f}".removeprefix("0")


def p_words(p: float | None) -> str:
    """`.03`, `< .001`."""
    if p is None:
        return "–"
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def _comparison_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "difference": interval(row["difference"], signed=True),
        "p": p_words(row["p"]),
        "p_adjusted": p_words(row["p_adjusted"]),
    }


def _effect_row(axis: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    known = row["difference"] is not None
    span = {"value": row["difference"], "low": row["low"], "high": row["high"]} if known else None
    ratio = row["parameter_ratio"]
    return {
        "axis": axis["words"],
        "base": row["base"],
        "level": row["level"],
        "difference": interval(span, signed=True),
        "p_adjusted": p_words(row["p_adjusted"]),
        "method": {"paired": "paired", "model": "model-adjusted", "none": "too few trials"}[row["method"]],
        "n": f"{row['n']:,} {'pairs' if row['method'] == 'paired' else 'trials'}",
        "ratio": "–" if ratio is None else f"× {ratio:.2f}",
    }


def _class_row(row: Mapping[str, Any]) -> dict[str, Any]:
    values = [cell["value"] for cell in row["auprc"] if cell["value"] is not None]
    best = row["auprc"][-1]
    prevalence = row["prevalence"]
    return {
        "name": row["class"],
        "n_positive": "–" if row["n_positive"] is None else f"{row['n_positive']:,.0f}",
        "prevalence": "–" if prevalence is None else f"{prevalence:.2%}",
        "best": interval(best["interval"]) if best["interval"] else _score(best["value"]),
        "range": f"{_score(min(values))} – {_score(max(values))}" if values else "–",
    }


def _closer(document: Document) -> dict[str, Any] | None:
    """The trial looked at more closely: its name, and its metrics by the choice of thresholds."""
    look = document["closer_look"]
    if look is None:
        return None
    trial = next(each for each in document["trials"] if each["trial"] == look["trial"])
    return {
        "trial": look["trial"],
        "description": trial["description"],
        "n": count_words(look["n_records"], str(document["data"]["unit"])),
        "is_argmax": look["shown"] == "argmax",
        "rows": [
            {"words": row["words"], "cells": [_score(row["metrics"][name]) for name in DECISION_METRICS]}
            for row in look["policies"]
        ],
    }


def _race_row(row: Mapping[str, Any]) -> dict[str, Any]:
    error = row["standard_error"]
    known = row["fold"] is not None
    return {
        **row,
        "parameters": f"{row['parameters']:,}",
        "step": f"{row['fold']}, {row['epoch']}" if known else "–",
        "rival": "–" if row["rival"] is None else row["rival"],
        "needed": _score(row["needed"]),
        "predicted": _score(row["predicted"]) + ("" if error is None else f" ± {_score(error)}"),
        "probability": p_words(row["probability"]),
        "fold_epochs": f"{row['n_fold_epochs']:,}",
    }


def _compute_words(document: Document) -> str:
    race = document["race"]
    if not race["n_complete"] and not race["n_pruned"]:
        return "No trial has finished yet."
    words = (
        f"{race['n_fold_epochs_trained']:,} fold-epochs in {duration_words(race['seconds_trained'])} of "
        f"training by {race['n_complete']:,} complete and {race['n_pruned']:,} pruned trials."
    )
    if not race["n_pruned"]:
        return f"{words} Nothing was pruned."
    share = race["share_saved"]
    saved = "an unknown share" if share is None else f"{share:.0%}"
    return (
        f"{words} The race saved {saved} of the fold-epochs that these trials would have taken "
        f"({race['n_fold_epochs_saved']:,}, about {duration_words(race['seconds_saved'])})."
    )
