"""Tables for other programs, made from the report: trials, front and axis effects as CSV, two for LaTeX."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from reports.cells import csv_text, tex_table, tex_text
from reports.numbers import NOTHING, cost_words, score_words
from reports.published import TABLE_2
from reports.schema import CloseTrial, Report, Trial
from reports.words import SYNTHETIC_NOTE, recurrent_layers
from scores.costs import COSTS, DEFAULT_COST, LATENCY_P99, THROUGHPUT
from scores.objectives import OBJECTIVES

N_FOLDS = 5
N_RECURRENT_LAYERS = 3
NO_TRIAL_COLUMNS = ("study", "synthetic", "trial", "state", "on_front", "preset", "score", "parameters")
"""Heading of a study without any trial, whose further columns are not known."""
FRONT_COLUMNS = (
    *("study", "synthetic", "trial", "preset", "description", "parameters", "score", "low", "high"),
    *("level", "macro_auprc_min10", "min10_low", "min10_high", "macro_auroc", "macro_f1", "front_share"),
    *("expected", "expected_low", "expected_high", "n_contenders", "on_other_folds"),
    *("n_trainings", "total_standard_error"),
    *("standard_error", "seconds", "n_fold_epochs", "label_tier", "architecture"),
    *(name.replace("-", "_") for name in (*COSTS, LATENCY_P99, THROUGHPUT) if name != DEFAULT_COST),
    *("minimised", "maximised"),
)
"""Columns of front.csv; that of the score is named after the objective."""
EFFECT_COLUMNS = (
    *("study", "synthetic", "axis", "base", "level", "method", "difference", "low", "high", "p"),
    *("p_adjusted", "distinguishable", "n", "n_forecasts", "parameter_ratio", "cost_ratio", "words"),
)
PAPER_METRICS = tuple(
    (metric, heading, metric != "hamming_loss")
    for metric, heading in zip(
        TABLE_2,
        (
            *(r"Hamming $\downarrow$", "AUROC", "AUPRC", "F1", "P", "R", "BalAcc"),
            *(r"$\mu$F1", r"$\mu$P", r"$\mu$R", "Subset"),
        ),
        strict=True,
    )
)
"""Columns of table 2 of Jafari & Jafari: metric, heading, whether more is better."""


TRIAL_COLUMNS = (
    *("trial", "state", "on_front", "preset", "score", "standard_deviation", "standard_error"),
    *("parameters", "description", "label_tier"),
)
"""Fields of a trial before its architecture; the column of its score is named after the objective."""
LAST_TRIAL_COLUMNS = (
    *("seconds", "n_fold_epochs", "reason", "rival", "failure_kind", "started_at", "ended_at"),
    "architecture_hash",
)


def trials_csv(report: Report) -> str:
    """One line per trial in any state, by number."""
    trials = sorted(report.trials, key=lambda trial: trial.trial)
    n_folds = max([N_FOLDS, *(fold for trial in trials for fold in trial.fold_scores)])
    tiers = [tier.tier for tier in report.tiers[1:]]
    score = OBJECTIVES[report.objective].key
    rows = [
        _study(report)
        | {_named(name, score): getattr(trial, name) for name in TRIAL_COLUMNS}
        | _architecture_columns(trial)
        | {f"{score}_fold_{fold}": trial.fold_scores.get(fold) for fold in range(1, n_folds + 1)}
        | {f"{score}_{tier}": trial.tier_scores.get(tier) for tier in tiers}
        | {name: getattr(trial, name) for name in LAST_TRIAL_COLUMNS}
        | _cost_columns(trial)
        | {"minimised": _column(report.cost), "maximised": score}
        for trial in trials
    ]
    columns = list(dict.fromkeys(column for row in rows for column in row)) or [
        _named(name, score) for name in NO_TRIAL_COLUMNS
    ]
    return csv_text(rows, columns)


def _named(column: str, score: str) -> str:
    return score if column == "score" else column


def _cost_columns(trial: Trial) -> dict[str, int | None]:
    return {
        _column(name): trial.costs.get(name)
        for name in (*COSTS, LATENCY_P99, THROUGHPUT)
        if name != DEFAULT_COST
    }


def _column(cost: str) -> str:
    """Column of a cost, in bytes or microseconds where it has a unit."""
    return cost.replace("-", "_")


def front_csv(report: Report) -> str:
    """One line per member of the front, by rising cost."""
    rows = []
    score = OBJECTIVES[report.objective].key
    for trial, close in _front(report):
        metrics = close.metrics.get(report.target, {})
        span, frequent = close.interval, close.frequent
        rows.append(
            _study(report)
            | {
                _named(name, score): getattr(trial, name, None)
                for name in FRONT_COLUMNS
                if name not in {"study", "synthetic"}
            }
            | {name: getattr(span, name, None) for name in ("low", "high", "level")}
            | {"macro_auprc_min10": frequent.value if frequent else metrics.get("macro_auprc_min10")}
            | {f"min10_{name}": getattr(frequent, name, None) for name in ("low", "high")}
            | {name: metrics.get(name) for name in ("macro_auroc", "macro_f1")}
            | {"expected": getattr(close.expected, "value", None), "n_contenders": close.n_contenders}
            | {f"expected_{name}": getattr(close.expected, name, None) for name in ("low", "high")}
            | {
                name: getattr(close, name)
                for name in ("on_other_folds", "n_trainings", "total_standard_error")
            }
            | _cost_columns(trial)
            | {"minimised": _column(report.cost), "maximised": score}
            | {"front_share": close.front_share, "architecture": json.dumps(trial.architecture)}
        )
    return csv_text(rows, [_named(name, score) for name in FRONT_COLUMNS])


def effects_csv(report: Report) -> str:
    """One line per effect."""
    rows = [
        {name: getattr(effect, name, None) for name in EFFECT_COLUMNS} | _study(report) | {"axis": axis.axis}
        for axis in report.axis_effects
        for effect in axis.effects
    ]
    return csv_text(rows, EFFECT_COLUMNS)


def front_tex(report: Report) -> str:
    """The front as a LaTeX table."""
    rows = []
    for trial, close in _front(report):
        span = close.interval
        interval = NOTHING if span is None else f"[{score_words(span.low)}, {score_words(span.high)}]"
        cost = tex_text(cost_words(report.cost, trial.cost(report.cost))).replace(",", r"\,")
        cells = [tex_text(trial.description), cost, _number(trial.score), tex_text(interval)]
        rows.append([str(trial.trial), *cells])
    return tex_table(
        ["trial", "architecture", COSTS[report.cost].head, OBJECTIVES[report.objective].short, r"95\,\%"],
        rows,
        alignment="rlrrl",
        caption=_caption(
            report,
            f"Pareto front of cross-validated {OBJECTIVES[report.objective].words} against "
            f"{COSTS[report.cost].words}",
        ),
    )


def metrics_tex(report: Report) -> str:
    """All eleven metrics of table 2 of Jafari & Jafari, for the front and the presets; the best is bold."""
    trials = {trial.trial: trial for trial in report.trials}
    members = [
        (trials[close.trial], close.metrics.get(report.target, {}))
        for close in report.close
        if trials[close.trial].on_front or trials[close.trial].preset
    ]
    members.sort(key=lambda member: (member[0].cost(report.cost), member[0].trial))
    return paper_table(
        [(trial.preset or f"trial {trial.trial}", metrics) for trial, metrics in members],
        caption=_caption(report, "All metrics, cross-validated, decisions at a threshold of .5"),
    )


def paper_table(members: Sequence[tuple[str, Mapping[str, float | None]]], *, caption: str) -> str:
    """Table 2 of Jafari & Jafari as LaTeX: a row for each model, the best value of each metric bold.

    Args:
        members: name and metrics of each model.
        caption: text.
    """
    best: dict[str, float | None] = {}
    for metric, _, more in PAPER_METRICS:
        values = [value for _, metrics in members if (value := metrics.get(metric)) is not None]
        best[metric] = (max if more else min)(values, default=None)
    rows = []
    for name, metrics in members:
        cells = [(metrics.get(metric), best[metric]) for metric, _, _ in PAPER_METRICS]
        texts = [_number(value) for value, _ in cells]
        bold = [value is not None and value == top for value, top in cells]
        shown = [rf"\textbf{{{text}}}" if strong else text for text, strong in zip(texts, bold, strict=True)]
        rows.append([tex_text(name), *shown])
    return tex_table(
        ["model", *(heading for _, heading, _ in PAPER_METRICS)],
        rows,
        alignment="l" + "r" * len(PAPER_METRICS),
        caption=caption,
    )


def _study(report: Report) -> dict[str, str | None]:
    return {"study": report.study, "synthetic": "SYNTHETIC" if report.data.synthetic else None}


def _front(report: Report) -> list[tuple[Trial, CloseTrial]]:
    trials = {trial.trial: trial for trial in report.trials}
    close = {each.trial: each for each in report.close}
    return [(trials[number], close.get(number, CloseTrial(trial=number))) for number in report.front]


def _architecture_columns(trial: Trial) -> dict[str, Any]:
    """Every field of the architecture as a column of its own; recurrent layers by number."""
    architecture = trial.architecture
    layers = recurrent_layers(architecture)
    columns: dict[str, Any] = {
        "recurrent_kind": trial.recurrent_kind,
        "direction": trial.direction,
        "n_recurrent_layers": len(layers),
    }
    for index in range(max(N_RECURRENT_LAYERS, len(layers))):
        cell, bidirectional = layers[index] if index < len(layers) else (None, None)
        columns[f"recurrent_{index + 1}_cell"] = cell
        columns[f"recurrent_{index + 1}_bidirectional"] = bidirectional
    others = {key: value for key, value in architecture.items() if key not in {"recurrent", "label_tier"}}
    return columns | {f"architecture_{key}": value for key, value in others.items()}


def _number(value: float | None) -> str:
    return tex_text(score_words(value))


def _caption(report: Report, what: str) -> str:
    synthetic = f" {SYNTHETIC_NOTE}." if report.data.synthetic else ""
    return f"{what}; study {report.study}, target {report.target}, {report.data.name}.{synthetic}"
