"""Results of the training benchmark as text and as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from statistics import mean, median, stdev

import torch

from benchmarks.helpers.intervals import median_interval
from benchmarks.helpers.results import markdown_table
from benchmarks.training.helpers.training_pairs import (
    ARCHITECTURES,
    BATCH_SIZE,
    TIER,
    Pair,
    n_samples,
    settings_of,
)
from benchmarks.training.helpers.training_profile import KINDS, MATRIX, REST, Peak, Profile
from search.data.dataset import Development
from search.models.costs import count_parameters
from search.training.device import why_full_precision

CPU = torch.device("cpu")
Pairs = Mapping[tuple[str, bool], Sequence[Pair]]
"""Pairs by architecture and whether the reference had bfloat16."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Measured:
    """Everything that was measured."""

    data: Development
    epochs: int
    pairs: Pairs
    peak: Peak
    profiles: Mapping[str, Profile]
    read_ratios: Sequence[float]
    """Seconds of a loop over wfdb to those of a first read."""


def headline(measured: Measured) -> dict[str, float]:
    """Figures of the last line."""
    found = {
        f"ratio_{name.replace('-', '_')}{'_bf16' if bfloat16 else ''}": median(pair.ratio for pair in each)
        for (name, bfloat16), each in measured.pairs.items()
    }
    found["read_ratio"] = median(measured.read_ratios)
    return {name: round(value, 3) for name, value in found.items()}


def body(measured: Measured) -> str:
    """Measurements as Markdown."""
    synthetic = "SYNTHETIC records. " if measured.data.synthetic else ""
    peak, n_reads = measured.peak, len(measured.read_ratios)
    why = why_full_precision(CPU)
    ours_in = "bfloat16 and float32 mixed" if why is None else f"float32, because {why}"
    in_bfloat16 = f" and {peak.bfloat16 / 1e9:.0f} in bfloat16" if peak.bfloat16 else ""
    return "\n\n".join(
        [
            f"{synthetic}Five folds of {measured.epochs} epochs on {len(measured.data):,} records, "
            f"batches of {BATCH_SIZE}, tier {TIER}, by `CrossValidation` as `search run` uses it and by "
            "`benchmarks/training/helpers/reference.py`, in turn, with a seed for every pair. A ratio is "
            "seconds of the reference by ours in one pair; medians with the interval between order "
            "statistics, the range below six pairs. The processor ratio counts user and system seconds "
            f"instead. Ours computes in {ours_in}.",
            _times(measured),
            "Macro-AUPRC at the end, mean over folds, paired by seed:",
            _scores(measured.pairs),
            f"One core multiplies {MATRIX} × {MATRIX} matrices at {peak.float32 / 1e9:.0f} GFLOPS in float32"
            f"{in_bfloat16}. Where an epoch of ours goes on one core, and which share of the peak in "
            f"{precision(peak.bfloat16 is not None)} its convolutions reach:",
            _profiles(measured.profiles, peak.bfloat16 or peak.float32),
            f"A first read, cache written, is {median_interval(measured.read_ratios).text(1)} times as fast "
            f"as a loop over `wfdb.rdsamp` ({n_reads} pairs, files in memory).",
        ]
    )


def precision(bfloat16: bool) -> str:
    """Precision of the reference, in words."""
    return "bfloat16" if bfloat16 else "float32"


def _times(measured: Measured) -> str:
    count = n_samples(measured.data, settings_of(measured.epochs))
    n_outputs = measured.data.y[TIER].shape[1]
    rows = []
    for (name, bfloat16), each in measured.pairs.items():
        ours_s = median(pair.ours.seconds for pair in each)
        rows.append(
            [
                f"{name}, {precision(bfloat16)}",
                f"{count_parameters(ARCHITECTURES[name], n_outputs, measured.data.inputs):,}",
                f"{ours_s:.1f}",
                f"{median(pair.reference.seconds for pair in each):.1f}",
                f"{count / ours_s:,.0f}",
                median_interval([pair.ratio for pair in each]).text(2),
                median_interval([pair.processor_ratio for pair in each]).text(2),
                str(len(each)),
            ]
        )
    header = (
        "reference in",
        "parameters",
        "ours, s a trial",
        "reference, s a trial",
        "ours, records/s",
        "ratio",
        "processor ratio",
        "n",
    )
    return markdown_table(header, rows)


def _scores(pairs: Pairs) -> str:
    rows = []
    for (name, bfloat16), each in pairs.items():
        gains = [pair.gain for pair in each]
        error = stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else nan
        rows.append(
            [
                f"{name}, {precision(bfloat16)}",
                f"{mean(pair.ours.macro_auprc for pair in each):.4f}",
                f"{mean(pair.reference.macro_auprc for pair in each):.4f}",
                f"{mean(gains):+.4f} ± {error:.4f}",
            ]
        )
    return markdown_table(("reference in", "ours", "reference", "difference ± standard error"), rows)


def _profiles(profiles: Mapping[str, Profile], peak_flops: float) -> str:
    rows = [
        [
            name,
            *(f"{found.shares[kind]:.0%}" for kind in (*KINDS, REST)),
            f"{found.convolution_flops / peak_flops:.0%}",
        ]
        for name, found in profiles.items()
    ]
    return markdown_table(("", *KINDS, REST, "convolutions, of the peak"), rows)
