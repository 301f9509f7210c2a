"""Tables of a study: the front for the terminal, every trial for a spreadsheet."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reports.document import tiers_reached
from reports.front import front_trials
from reports.spread import finite_folds, standard_deviation, standard_error
from reports.words import (
    SYNTHETIC_NOTE,
    count_words,
    data_words,
    direction,
    ending_words,
    recurrent_kind,
    recurrent_layers,
    score_words,
    target_words,
)
from storage.records import StudyRecord, TrialRecord

N_FOLDS = 5
N_RECURRENT_LAYERS = 3
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "=", "+", "-", "@")  # the last four are full width
"""A cell that starts with one of these is run as a formula by spreadsheet programs (OWASP, CSV injection)."""


NO_TRIAL_COLUMNS = ("study", "synthetic", "trial", "state", "on_front", "preset", "macro_auprc", "parameters")
"""Heading of a study without any trial, whose further columns are not known."""


def front_table(study: StudyRecord, trials: Sequence[TrialRecord]) -> RenderableType:
    """The Pareto front for a terminal of 80 columns or more, from few parameters to many.

    Nothing is cut: an architecture in words folds over as many lines as it takes.
    """
    front = front_trials(trials)
    heading = Text(f"Pareto front of study {study.name}, target {target_words(study)}", style="bold")
    parts: list[RenderableType] = [heading, Text(data_words(study))]
    if study.synthetic:
        parts.append(Text(SYNTHETIC_NOTE, style="bold red"))
    if not front:
        return Group(*parts, Text("No trial is complete yet, so there is no front."))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("macro-AUPRC", no_wrap=True)
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("architecture", overflow="fold", ratio=1)
    for trial in front:
        words = trial.description if trial.preset is None else f"{trial.description} (preset {trial.preset})"
        score = score_words(trial.macro_auprc, standard_error(trial))
        table.add_row(str(trial.number), score, f"{trial.parameters:,}", Text(words))
    return Group(*parts, Text(""), table, Text(_error_words(front), style="dim"))


def _error_words(front: Sequence[TrialRecord]) -> str:
    n_folds = {len(finite_folds(trial)) for trial in front} - {0, 1}
    if not n_folds:
        return "No standard error: it takes at least two scored folds."
    folds = count_words(n_folds.pop(), "fold") if len(n_folds) == 1 else "the folds"
    return f"± standard error over {folds} (SD/√n); not a test of one trial against another."


def trials_csv(study: StudyRecord, trials: Sequence[TrialRecord]) -> str:
    """One line per trial in any state, by number; UTF-8 text with a heading.

    Numbers keep all their digits, an empty cell means unknown or undefined. Text that a spreadsheet would
    take for a formula has an apostrophe in front.
    """
    front = {trial.number for trial in front_trials(trials)}
    tiers = [tier for tier in tiers_reached(study, trials) if tier != study.target]
    folds = range(1, max([N_FOLDS, *(fold for trial in trials for fold in trial.fold_scores)]) + 1)
    rows = [
        _front_columns(study, trial, on_front=trial.number in front)
        | _architecture_columns(trial.architecture)
        | {f"macro_auprc_fold_{fold}": trial.fold_scores.get(fold) for fold in folds}
        | {f"macro_auprc_{tier}": trial.tier_scores.get(tier) for tier in tiers}
        | _course_columns(trial)
        for trial in sorted(trials, key=lambda each: each.number)
    ]
    columns = list(dict.fromkeys(column for row in rows for column in row)) or list(NO_TRIAL_COLUMNS)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_cell(column) for column in columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue()


def _front_columns(study: StudyRecord, trial: TrialRecord, *, on_front: bool) -> dict[str, Any]:
    return {
        "study": study.name,
        "synthetic": "SYNTHETIC" if study.synthetic else None,
        "trial": trial.number,
        "state": trial.state,
        "on_front": on_front,
        "preset": trial.preset,
        "macro_auprc": trial.macro_auprc,
        "standard_deviation": standard_deviation(trial),
        "standard_error": standard_error(trial),
        "parameters": trial.parameters,
        "description": trial.description,
        "label_tier": trial.label_tier,
    }


def _architecture_columns(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """Every field of the architecture as a column of its own; recurrent layers by number."""
    layers = recurrent_layers(architecture)
    columns: dict[str, Any] = {
        "recurrent_kind": recurrent_kind(architecture),
        "direction": direction(architecture),
        "n_recurrent_layers": len(layers),
    }
    for index in range(max(N_RECURRENT_LAYERS, len(layers))):
        cell, bidirectional = layers[index] if index < len(layers) else (None, None)
        columns[f"recurrent_{index + 1}_cell"] = cell
        columns[f"recurrent_{index + 1}_bidirectional"] = bidirectional
    others = {key: value for key, value in architecture.items() if key not in {"recurrent", "label_tier"}}
    return columns | {f"architecture_{key}": value for key, value in others.items()}


def _course_columns(trial: TrialRecord) -> dict[str, Any]:
    decision, failure = trial.decision, trial.failure
    return {
        "seconds": trial.seconds,
        "n_epochs_trained": trial.n_epochs_trained,
        "reason": ending_words(trial),
        "rival": None if decision is None else decision.rival,
        "failure_kind": None if failure is None else failure.kind,
        "started_at": trial.started_at,
        "ended_at": trial.ended_at,
        "architecture_hash": trial.architecture_hash,
    }


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    text = " ".join(str(value).splitlines())  # one trial, one line
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA_STARTS) else text
