"""What `python -m search evaluate` says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reports.bootstrap import Interval
from reports.words import SYNTHETIC_NOTE, data_words
from search.evaluate import Evaluation, Unmapped

N_SHOWN = 12
"""Classes of a list before it is cut."""


def evaluation_document(found: Evaluation) -> dict[str, Any]:
    """One JSON-ready document."""
    return {
        "study": found.study.name,
        "synthetic": found.study.synthetic,
        "model": found.name,
        "architecture": found.architecture.to_dict(),
        "description": found.architecture.describe(),
        "openings": found.n_openings,
        "results": [
            {
                "records": result.records,
                "tier": result.tier,
                "n_records": result.n_records,
                "n_patients": result.n_patients,
                "classes": list(result.classes),
                "macro_auprc": _ends(result.macro_auprc),
                "macro_auroc": _ends(result.macro_auroc),
                "macro_f1": None if math.isnan(result.macro_f1) else result.macro_f1,
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
    }


def _ends(interval: Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]


def evaluation_view(found: Evaluation) -> RenderableType:
    """The document for a terminal of 80 columns or more."""
    parts: list[RenderableType] = [
        Text(f"{found.name} of study {found.study.name}, trained once", style="bold"),
        Text(found.architecture.describe()),
        Text(data_words(found.study)),
    ]
    if found.study.synthetic:
        parts.append(Text(SYNTHETIC_NOTE, style="bold red"))
    parts += [Text(""), _table(found), Text(_notes(found), style="dim")]
    if found.n_openings is not None:
        times = "once" if found.n_openings == 1 else f"{found.n_openings} times"
        parts.append(Text(f"The test fold has been opened {times} for this study, this time included."))
    if found.unmapped is not None:
        parts += _unmapped_lines(found.unmapped)
    return Group(*parts)


def _table(found: Evaluation) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("records", "tier", "classes", "n", "macro-AUPRC", "macro-AUROC", "F1"):
        table.add_column(heading, justify="right" if heading in ("classes", "n", "F1") else "left")
    for result in found.results:
        table.add_row(
            result.records,
            result.tier,
            f"{len(result.classes)}",
            f"{result.n_records:,}",
            _interval_words(result.macro_auprc),
            _interval_words(result.macro_auroc),
            "" if math.isnan(result.macro_f1) else f"{result.macro_f1:.3f}",
        )
    return table


def _interval_words(interval: Interval) -> str:
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _notes(found: Evaluation) -> str:
    patients = found.results[-1].n_patients
    notes = f"95 % intervals by drawing patients ({patients:,} of the last row)"
    if any(not math.isnan(result.macro_f1) for result in found.results):
        notes += "; F1 at thresholds chosen on the validation part"
    return notes + ". Classes are those with a positive."


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
    more = f" and {len(ordered) - N_SHOWN} more" if len(ordered) > N_SHOWN else ""
    return f"{shown}{more}" if shown else "nothing"
