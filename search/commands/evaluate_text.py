"""What `python -m search evaluate` says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.text import Text

from reports.numbers import interval_words, score_words
from reports.stacking import StackingTable
from reports.words import SYNTHETIC_NOTE, data_words
from scores.bootstrap import Interval
from search.data.folds import INTRA_PATIENT
from search.evaluate.evaluate import Evaluation
from search.evaluate.scores import TierResult, Unmapped
from storage import OpeningRecord

N_SHOWN = 12
"""Classes of a list before it is cut."""


def evaluation_document(found: Evaluation) -> dict[str, Any]:
    """One JSON-ready document."""
    return {
        "study": found.study.name,
        "synthetic": found.is_synthetic,
        "model": found.name,
        "architecture": found.architecture.to_dict(),
        "description": found.architecture.describe(),
        "openings": len(found.openings) or None,
        "opened": [
            {"at": None if each.at is None else each.at.isoformat(), "model": _model_name(each)}
            for each in found.openings
        ],
        "unreadable": len(found.tested_on.skipped),
        "unlabeled_dropped": found.tested_on.n_unlabeled_dropped,
        "results": [
            {
                "records": result.records,
                "tier": result.tier,
                "n_records": result.n_records,
                "n_patients": result.n_patients,
                "classes": list(result.classes),
                "degenerate": dict(result.degenerate),
                "macro_auprc": _ends(result.macro_auprc),
                "macro_auroc": _ends(result.macro_auroc),
                "metrics": {name: _number(value) for name, value in result.metrics.items()},
            }
            for result in found.results
        ],
        "unmapped": None
        if found.unmapped is None
        else {
            "here": dict(found.unmapped.here),
            "there": dict(found.unmapped.there),
            "records_without_shared_class": found.unmapped.n_without,
        },
        "model_file": str(found.model_file),
    }


def _ends(interval: Interval) -> list[float | None]:
    return [_number(value) for value in (interval.value, interval.low, interval.high)]


def _number(value: float) -> float | None:
    """JSON has no word for what is undefined, such as the score of no class."""
    return value if math.isfinite(value) else None


def evaluation_view(found: Evaluation) -> RenderableType:
    """The document for a terminal of 80 columns or more."""
    parts: list[RenderableType] = [
        Text(f"{found.name} of study {found.study.name}, trained once", style="bold"),
        Text(found.architecture.describe()),
        Text(data_words(found.study)),
    ]
    if found.is_synthetic:
        parts.append(Text(SYNTHETIC_NOTE, style="bold red"))
    parts += [Text(""), _table(found), Text(_notes(found), style="dim")]
    parts += _degenerate_lines(found.results)
    if found.tested_on.skipped:
        parts.append(Text(f"{len(found.tested_on.skipped):,} records could not be read and are left out."))
    if found.tested_on.n_unlabeled_dropped:
        parts.append(
            Text(f"{found.tested_on.n_unlabeled_dropped:,} records without a label are left out, as in CV.")
        )
    if found.study.settings.get("split") == INTRA_PATIENT:
        parts.append(Text(f"The split is {INTRA_PATIENT}: validation beats are of patients trained on."))
    if found.openings:
        parts += _opening_lines(found.openings)
    if found.unmapped is not None:
        parts += _unmapped_lines(found.unmapped)
    parts.append(Text(f"Trained model: {_near(found.model_file)}", no_wrap=True, overflow="ignore"))
    return Group(*parts)


def _degenerate_lines(results: Sequence[TierResult]) -> list[Text]:
    """Which classes are left out of the means of a row, and why."""
    lines = []
    for result in results:
        by_reason: dict[str, list[str]] = {}
        for name, reason in result.degenerate.items():
            by_reason.setdefault(reason, []).append(name)
        listed = "; ".join(f"{_named(names)} ({reason})" for reason, names in by_reason.items())
        if listed:
            where = f"{result.records}, {result.tier}"
            lines.append(Text(f"{where}: {len(result.degenerate)} classes left out of the means: {listed}."))
    return lines


def _named(names: Sequence[str]) -> str:
    more = len(names) - N_SHOWN
    return ", ".join(names[:N_SHOWN]) + (f" and {more} more (--json lists all)" if more > 0 else "")


def _opening_lines(openings: Sequence[OpeningRecord]) -> list[Text]:
    times = "once" if len(openings) == 1 else f"{len(openings)} times"
    lines = [Text(f"The test fold has been opened {times} for this study, this time included.")]
    n_hidden = len(openings) - 1 - N_SHOWN
    if n_hidden > 0:
        lines.append(Text(f"  {n_hidden} earlier ones: --json lists all"))
    for earlier in openings[:-1][-N_SHOWN:]:
        when = "" if earlier.at is None else f"{earlier.at:%Y-%m-%d %H:%M} UTC: "
        lines.append(Text(f"  {when}{_model_name(earlier)}"))
    if len(openings) > 1:
        lines.append(Text("Whoever chose a model by what an earlier opening showed must say so."))
    return lines


def _near(path: Path) -> Path:
    """The path from here, if it lies below, so that it is short."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _model_name(opening: OpeningRecord) -> str:
    return f"preset {opening.preset}" if opening.trial is None else f"trial {opening.trial}"


def _table(found: Evaluation) -> StackingTable:
    table = StackingTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for heading in ("records", "tier", "classes", "n", "macro-AUPRC", "macro-AUROC", "F1"):
        is_number = heading in ("classes", "n", "F1")
        table.add_column(
            heading, justify="right" if is_number else "left", no_wrap=heading not in ("records", "tier")
        )
    for result in found.results:
        table.add_row(
            result.records,
            result.tier,
            f"{len(result.classes)}",
            f"{result.n_records:,}",
            _interval_words(result.macro_auprc),
            _interval_words(result.macro_auroc),
            score_words(_f1(result)) if result.metrics else "",
        )
    return table


def _f1(result: TierResult) -> float:
    """Of the most probable class where a record has exactly one."""
    return result.metrics.get("argmax_macro_f1", result.metrics["macro_f1"])


def _interval_words(interval: Interval) -> str:
    return interval_words(interval.value, interval.low, interval.high, between="\n")


def _notes(found: Evaluation) -> str:
    patients = found.results[-1].n_patients
    notes = f"95 % intervals by drawing patients ({patients:,} of the last row)"
    tested = [result.metrics for result in found.results if result.metrics]
    if any("argmax_macro_f1" not in metrics for metrics in tested):
        notes += "; F1 at thresholds chosen on the validation part"
    notes += ". Classes are those with a positive and a negative record."
    for result in found.results:
        if "argmax_accuracy" in result.metrics:
            notes += (
                f" Accuracy of the most probable {result.tier} class on {result.records}: "
                f"{score_words(result.metrics['argmax_accuracy'])}."
            )
    return notes


def _unmapped_lines(unmapped: Unmapped) -> list[Text]:
    lines = [
        Text(f"Only where it was trained: {_listed(unmapped.here)}"),
        Text(f"Only where it was tested: {_listed(unmapped.there)}"),
    ]
    if unmapped.n_without:
        lines.append(Text(f"{unmapped.n_without:,} records tested have none of the shared classes."))
    return lines


def _listed(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{name} ({n:,})" for name, n in ordered[:N_SHOWN])
    more = f" and {len(ordered) - N_SHOWN} more (--json lists all)" if len(ordered) > N_SHOWN else ""
    return f"{shown}{more}" if shown else "nothing"
