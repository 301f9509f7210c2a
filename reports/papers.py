"""Tables for other programs, made from the document: trials, front and axis effects as CSV, two for LaTeX."""

import json
from collections.abc import Mapping
from typing import Any

from reports.cells import csv_text, tex_table, tex_text
from reports.words import SYNTHETIC_NOTE, recurrent_layers

Document = Mapping[str, Any]

N_FOLDS = 5
N_RECURRENT_LAYERS = 3
NO_TRIAL_COLUMNS = ("study", "synthetic", "trial", "state", "on_front", "preset", "macro_auprc", "parameters")
"""Heading of a study without any trial, whose further columns are not known."""
FRONT_COLUMNS = (
    *("study", "synthetic", "trial", "preset", "description", "parameters", "macro_auprc", "low", "high"),
    *("level", "macro_auprc_min10", "min10_low", "min10_high", "macro_auroc", "macro_f1", "front_share"),
    *("standard_error", "seconds", "n_fold_epochs", "label_tier", "architecture"),
)
EFFECT_COLUMNS = (
    *("study", "synthetic", "axis", "base", "level", "method", "difference", "low", "high", "p"),
    *("p_adjusted", "distinguishable", "n", "n_forecasts", "parameter_ratio", "words"),
)
PAPER_METRICS = (
    ("hamming_loss", r"Hamming $\downarrow$", False),
    ("macro_auroc", "AUROC", True),
    ("macro_auprc", "AUPRC", True),
    ("macro_f1", "F1", True),
    ("macro_precision", "P", True),
    ("macro_recall", "R", True),
    ("macro_balanced_accuracy", "BalAcc", True),
    ("micro_f1", r"$\mu$F1", True),
    ("micro_precision", r"$\mu$P", True),
    ("micro_recall", r"$\mu$R", True),
    ("subset_accuracy", "Subset", True),
)
"""Columns of table 2 of Jafari & Jafari: metric, heading, whether more is better."""


def trials_csv(document: Document) -> str:
    """One line per trial in any state, by number."""
    trials = sorted(document["trials"], key=lambda trial: int(trial["trial"]))
    n_folds = max([N_FOLDS, *(int(fold) for trial in trials for fold in trial["fold_scores"])])
    tiers = [tier["tier"] for tier in document["tiers"][1:]]
    rows = [
        _study(document)
        | {name: trial[name] for name in ("trial", "state", "on_front", "preset", "macro_auprc")}
        | {name: trial[name] for name in ("standard_deviation", "standard_error", "parameters")}
        | {name: trial[name] for name in ("description", "label_tier")}
        | _architecture_columns(trial)
        | {f"macro_auprc_fold_{fold}": trial["fold_scores"].get(str(fold)) for fold in range(1, n_folds + 1)}
        | {f"macro_auprc_{tier}": trial["tier_scores"].get(tier) for tier in tiers}
        | {name: trial[name] for name in ("seconds", "n_fold_epochs", "reason", "rival", "failure_kind")}
        | {name: trial[name] for name in ("started_at", "ended_at", "architecture_hash")}
        for trial in trials
    ]
    columns = list(dict.fromkeys(column for row in rows for column in row)) or list(NO_TRIAL_COLUMNS)
    return csv_text(rows, columns)


def front_csv(document: Document) -> str:
    """One line per member of the front, from few parameters to many."""
    rows = []
    for trial, close in _front(document):
        metrics = close["metrics"].get(document["target"], {})
        span, frequent = close["interval"] or {}, close["frequent"] or {}
        rows.append(
            _study(document)
            | dict(trial)
            | {name: span.get(name) for name in ("low", "high", "level")}
            | {"macro_auprc_min10": frequent.get("value", metrics.get("macro_auprc_min10"))}
            | {f"min10_{name}": frequent.get(name) for name in ("low", "high")}
            | {name: metrics.get(name) for name in ("macro_auroc", "macro_f1")}
            | {"front_share": close["front_share"], "architecture": json.dumps(trial["architecture"])}
        )
    return csv_text(rows, FRONT_COLUMNS)


def effects_csv(document: Document) -> str:
    """One line per effect."""
    rows = [
        _study(document) | effect | {"axis": axis["axis"]}
        for axis in document["axis_effects"]
        for effect in axis["effects"]
    ]
    return csv_text(rows, EFFECT_COLUMNS)


def front_tex(document: Document) -> str:
    """The front as a LaTeX table."""
    rows = []
    for trial, close in _front(document):
        span = close["interval"]
        interval = "--" if span is None else f"[{_number(span['low'])}, {_number(span['high'])}]"
        score, parameters = _number(trial["macro_auprc"]), f"{trial['parameters']:,}".replace(",", r"\,")
        rows.append([str(trial["trial"]), tex_text(trial["description"]), parameters, score, interval])
    return tex_table(
        ["trial", "architecture", "parameters", "AUPRC", r"95\,\%"],
        rows,
        alignment="rlrrl",
        caption=_caption(document, "Pareto front of cross-validated macro-AUPRC against parameters"),
    )


def metrics_tex(document: Document) -> str:
    """All eleven metrics of table 2 of Jafari & Jafari, for the front and the presets; the best is bold."""
    trials = {trial["trial"]: trial for trial in document["trials"]}
    members = [
        (trials[close["trial"]], close["metrics"].get(document["target"], {}))
        for close in document["close"]
        if trials[close["trial"]]["on_front"] or trials[close["trial"]]["preset"]
    ]
    members.sort(key=lambda member: (member[0]["parameters"], member[0]["trial"]))
    best = {}
    for metric, _, more in PAPER_METRICS:
        values = [metrics[metric] for _, metrics in members if metrics.get(metric) is not None]
        best[metric] = (max if more else min)(values, default=None)
    rows = []
    for trial, metrics in members:
        name = trial["preset"] or f"trial {trial['trial']}"
        cells = [(metrics.get(metric), best[metric]) for metric, _, _ in PAPER_METRICS]
        texts = [_number(value) for value, _ in cells]
        bold = [value is not None and value == top for value, top in cells]
        shown = [rf"\textbf{{{text}}}" if strong else text for text, strong in zip(texts, bold, strict=True)]
        rows.append([tex_text(name), *shown])
    return tex_table(
        ["model", *(heading for _, heading, _ in PAPER_METRICS)],
        rows,
        alignment="l" + "r" * len(PAPER_METRICS),
        caption=_caption(document, "All metrics, cross-validated, decisions at a threshold of .5"),
    )


def _study(document: Document) -> dict[str, Any]:
    return {
        "study": document["study"],
        "synthetic": "SYNTHETIC" if document["data"]["synthetic"] else None,
    }


def _front(document: Document) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    trials = {trial["trial"]: trial for trial in document["trials"]}
    close = {each["trial"]: each for each in document["close"]}
    nothing: dict[str, Any] = {"interval": None, "frequent": None, "front_share": None, "metrics": {}}
    return [(trials[number], close.get(number, nothing)) for number in document["front"]]


def _architecture_columns(trial: Mapping[str, Any]) -> dict[str, Any]:
    """Every field of the architecture as a column of its own; recurrent layers by number."""
    architecture = trial["architecture"]
    layers = recurrent_layers(architecture)
    columns: dict[str, Any] = {
        "recurrent_kind": trial["recurrent_kind"],
        "direction": trial["direction"],
        "n_recurrent_layers": len(layers),
    }
    for index in range(max(N_RECURRENT_LAYERS, len(layers))):
        cell, bidirectional = layers[index] if index < len(layers) else (None, None)
        columns[f"recurrent_{index + 1}_cell"] = cell
        columns[f"recurrent_{index + 1}_bidirectional"] = bidirectional
    others = {key: value for key, value in architecture.items() if key not in {"recurrent", "label_tier"}}
    return columns | {f"architecture_{key}": value for key, value in others.items()}


def _number(value: float | None) -> str:
    return "--" if value is None else f"{value:.4f}".removeprefix("0")


def _caption(document: Document, what: str) -> str:
    data = document["data"]
    synthetic = f" {SYNTHETIC_NOTE}." if data["synthetic"] else ""
    return f"{what}; study {document['study']}, target {document['target']}, {data['name']}.{synthetic}"
