"""Terminal output of `python -m search export`."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from reports.numbers import count_words, interval_words
from reports.schema import finite
from reports.words import SYNTHETIC_NOTE, data_words
from scores.bootstrap import Interval
from search.export.card import int8_lines
from search.export.export import Written, WrittenFolder
from search.export.int8 import Int8


def export_document(written: Written) -> dict[str, Any]:
    """One JSON-ready document."""
    return {
        "study": written.study.name,
        "synthetic": written.study.synthetic,
        "models": [_document(each) for each in written.folders],
        "refused": list(written.refused),
    }


def _document(folder: WrittenFolder) -> dict[str, Any]:
    return {
        "folder": str(folder.path),
        "name": folder.labels.model.name,
        "description": folder.labels.model.description,
        "parameters": folder.labels.model.parameters,
        "members": len(folder.preprocessing.members),
        "tiers": [tier.name for tier in folder.labels.tiers],
        "bytes": folder.n_bytes,
        "macro_auprc": _interval(folder.evidence.macro.auprc),
        "coarser_macro_auprc": {
            tier: _interval(found.auprc) for tier, found in folder.evidence.coarser.items()
        },
        "novelty": folder.labels.novelty is not None,
        "checked": folder.evidence.checked,
        "notes": list(folder.evidence.notes),
        "int8": None if folder.int8 is None else _int8_document(folder.int8),
    }


def _int8_document(int8: Int8) -> dict[str, Any]:
    return {
        "bytes": len(int8.content),
        "macro_auprc": finite(int8.macro_auprc),
        "macro_auprc_float": finite(int8.macro_auprc_float),
        "difference": _interval(int8.difference),
        "records": int8.n_records,
        "classes": int8.n_classes,
        "ruined": int8.is_ruined,
        "latency_ms": {"median": int8.latency.median_ms, "p99": int8.latency.p99_ms},
        "latency_float_ms": {"median": int8.latency_float.median_ms, "p99": int8.latency_float.p99_ms},
    }


def _interval(found: Interval) -> dict[str, float | None]:
    return {"value": finite(found.value), "low": finite(found.low), "high": finite(found.high)}


def export_view(written: Written) -> RenderableType:
    """The same for a terminal."""
    lines: list[RenderableType] = [Text(f"Models of study {written.study.name}", style="bold")]
    lines.append(Text(data_words(written.study)))
    if written.study.synthetic:
        lines.append(Text(SYNTHETIC_NOTE, style="bold"))
    for folder in written.folders:
        lines += ["", Text(f"{folder.path}/", overflow="fold")]
        lines += [Padding(Text(line), (0, 0, 0, 2)) for line in _lines(folder)]
    return Group(*lines)


def _lines(folder: WrittenFolder) -> list[str]:
    labels, evidence = folder.labels, folder.evidence
    tier, n_members = labels.tiers[0], len(folder.preprocessing.members)
    score = evidence.macro.auprc
    average = "one model" if n_members == 1 else f"average of {n_members} models"
    lines = [
        f"{labels.model.name}: {labels.model.description}",
        f"{average}, {folder.n_bytes / 1e6:.1f} MB; macro-AUPRC "
        f"{interval_words(score.value, score.low, score.high)} on {tier.n_records:,} held-out records "
        f"({evidence.macro.n_classes} classes of {tier.name})",
    ]
    for name, found in evidence.coarser.items():
        target = ", the target of the study" if name == evidence.study.target else ""
        lines.append(
            f"on {name}{target}: "
            f"{interval_words(found.auprc.value, found.auprc.low, found.auprc.high)} "
            f"({count_words(found.n_classes, 'class', 'classes')})"
        )
    lines.append(evidence.checked)
    if folder.int8 is not None:
        lines += [line.replace("`", "") for line in int8_lines(folder.int8)]
    lines += [f"NOTE: {note}" for note in evidence.notes]
    return lines
