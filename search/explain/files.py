"""Explanations as files: pictures by their suffix, and one JSON document."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.errors import UsageError
from search.explain import comparison, words
from search.explain.comparison import Comparison, make_comparison
from search.explain.explain import Explanation
from search.explain.page import save_comparison_page, save_page
from search.explain.sheet import lead_shares, make_sheet, save_sheet
from search.predict.people import person_document


def save(explained: Explanation | Comparison, path: Path) -> None:
    """Write a sheet or a comparison as PNG, SVG, PDF or HTML, by the suffix; folders above it are made.

    Raises:
        UsageError: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out: {path.parent} cannot be made: {error.strerror or error}") from error
    if path.suffix.lower() != ".html":
        figure = make_comparison(explained) if isinstance(explained, Comparison) else make_sheet(explained)
        save_sheet(figure, path)
    elif isinstance(explained, Comparison):
        save_comparison_page(explained, path)
    else:
        save_page(explained, path)


def paths_of(found: Sequence[Explanation | Comparison], folder: Path, kind: str) -> Sequence[Path]:
    """A file for each explanation in a folder: record, window of several, class and method in its name.

    Records of one name in several folders get theirs from as much of their paths as tells them apart.
    """
    stems = [_stem(explained, n_parts=1) for explained in found]
    if len(set(stems)) < len(stems):
        stems = [_stem(explained, n_parts=None) for explained in found]
    return [folder / f"{stem}.{kind}" for stem in stems]


def _stem(explained: Explanation | Comparison, *, n_parts: int | None) -> str:
    parts = [part for part in Path(explained.record).parts if part not in ("/", "..")]
    name = "-".join(parts if n_parts is None else parts[-n_parts:])
    if isinstance(explained, Comparison):
        what = f"beats-{explained.method}"
    else:
        row = explained.networks.folder.preprocessing.row.replace("record", "window")
        window = f"{row}{explained.window}-" if explained.n_windows > 1 else ""
        what = f"{window}{explained.name}-{explained.attribution.method}"
    return re.sub(r"[^\w.-]+", "_", f"{name}-{what}")


def document(explained: Explanation, path: Path | None) -> dict[str, Any]:
    """JSON document of an explanation: probabilities and decisions of the model, and the whole map."""
    attribution, truth = explained.attribution, explained.truth
    of_leads = explained.leads if attribution.method == "ig" else ("all",)
    completeness = attribution.completeness
    folder = explained.networks.folder
    return {
        "record": explained.record,
        "file": None if path is None else str(path),
        "model": folder.labels.model.name,
        "members": len(explained.networks.members),
        "synthetic": folder.labels.model.synthetic,
        "window": {
            "number": explained.window,
            "of": explained.n_windows,
            "start_s": explained.start_s,
            "end_s": explained.end_s,
            "of_highest_probability": explained.was_chosen,
        },
        "tier": explained.tier.name,
        "class": explained.name,
        "description": explained.description,
        "probability": explained.probability,
        "calibrated": explained.calibrated,
        "policy": explained.policy,
        "threshold": explained.threshold,
        "called": explained.is_called,
        "true": explained.is_true,
        **person_document(explained.networks.person),
        "statements": None if truth is None else list(truth.statements),
        "derived_leads": list(explained.derived),
        "signals_without_gain": list(explained.without_gain),
        "method": attribution.method,
        "rate_hz": folder.preprocessing.rate_hz,
        "attributions": {
            lead: _numbers(values_T) for lead, values_T in zip(of_leads, attribution.values_LT, strict=True)
        },
        "lead_shares": dict(zip(explained.leads, _numbers(lead_shares(explained)), strict=True))
        if attribution.method == "ig"
        else None,
        "completeness": None
        if completeness is None
        else {
            "sum": completeness.total,
            "logit_difference": completeness.difference,
            "steps": completeness.n_steps,
            "is_complete": completeness.is_complete,
        },
        "attention": {each.name: _numbers(each.weights_T) for each in explained.internals.attention},
        "gates": [_numbers(gate_C) for gate_C in explained.internals.gate_MC],
        "notes": list(words.notes(explained)),
    }


def comparison_document(compared: Comparison, path: Path | None) -> dict[str, Any]:
    """JSON document of a comparison."""
    folder = compared.networks.folder
    of_map = compared.leads if compared.method == "ig" else ("all",)
    return {
        "record": compared.record,
        "file": None if path is None else str(path),
        "model": folder.labels.model.name,
        "synthetic": folder.labels.model.synthetic,
        "tier": folder.labels.tiers[0].name,
        "method": compared.method,
        "rate_hz": folder.preprocessing.rate_hz,
        "recorded_hz": compared.rate_hz,
        "qrs_share_of_time": compared.qrs_of_time,
        "classes": [
            {
                "class": group.name,
                "description": group.description,
                "beats": group.n_beats,
                "averaged": group.n_averaged,
                "called": group.n_right,
                "qrs_share_of_map": None if np.isnan(group.qrs_share) else group.qrs_share,
                "map": dict(zip(of_map, _numbers_of(group.map_LT), strict=True)),
                "mean_mv": dict(zip(compared.leads, _numbers_of(group.mean_mv_LT), strict=True)),
            }
            for group in compared.groups
        ],
        "absent": list(compared.absent),
        "notes": comparison.notes(compared),
    }


def _numbers_of(rows: NDArray[np.float64]) -> list[list[float]]:
    return [_numbers(row) for row in rows]


def _numbers(values: NDArray[np.float64]) -> list[float]:
    """Six significant digits, more than float32 gradients have."""
    return [float(f"{value:.6g}") for value in values.tolist()]
