"""`data check` in words: the report as tables that read well from 80 columns on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from search.data.check import N_FOLDS, DataReport
from search.data.folds import CV_GROUPS, SEALED_FOLD
from search.data.tiers import check_tier

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_N_SHOWN: Final = 10


def render(report: DataReport, console: "Console", *, tier: str = "subclass") -> None:
    """Print the report; reads well from 80 columns on.

    Args:
        report: What `check` returned.
        console: Where to print.
        tier: Tier whose classes are listed by fold.
    """
    check_tier(tier)
    mark = "[bold red]SYNTHETIC[/]  " if report.synthetic else ""
    console.print(f"{mark}version {report.version}", highlight=False)
    console.print(f"{report.n_records:,} records of {report.n_patients:,} patients", highlight=False)
    console.print(str(report.root), highlight=False, markup=False, soft_wrap=True)
    for table in (
        _tier_table(report),
        _severity_table(report),
        _fold_table(report),
        _ones_table(report),
        _class_table(report, tier),
    ):
        console.print()
        console.print(table)
    console.print()
    for line in (*_waveform_lines(report), *_patient_lines(report), _severity_line(report)):
        console.print(line, highlight=False, markup=False)


def _table(title: str, *headers: str) -> "Table":
    from rich.table import Table

    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for index, header in enumerate(headers):
        table.add_column(header, justify="left" if index == 0 else "right", no_wrap=True)
    return table


def _tier_table(report: DataReport) -> "Table":
    table = _table(
        "Labels by tier", "tier", "classes", "occur", "ones", "unlabelled", "fold 10: ones", "unlabelled"
    )
    for name, counts in report.tiers.items():
        numbers = (
            len(counts.classes),
            len(counts.occurring()),
            counts.positives.sum(),
            counts.unlabelled.sum(),
            counts.positives[SEALED_FOLD - 1].sum(),
            counts.unlabelled[SEALED_FOLD - 1],
        )
        table.add_row(name, *(f"{number:,}" for number in numbers))
    return table


def _severity_table(report: DataReport) -> "Table":
    table = _table("Records by severity", "tier", "level", "records", "fold 10")
    for name, counts in report.tiers.items():
        if counts.ordinal:
            numbers = zip(counts.positives.sum(axis=0), counts.positives[SEALED_FOLD - 1], strict=True)
            for level, (everywhere, sealed) in zip(counts.classes, numbers, strict=True):
                table.add_row(name, level, f"{everywhere:,}", f"{sealed:,}")
    return table


def _fold_table(report: DataReport) -> "Table":
    table = _table("Records by strat_fold", "fold", "CV", "records", "patients")
    group_of = {fold: str(group) for group, folds in enumerate(CV_GROUPS, start=1) for fold in folds}
    for row in range(N_FOLDS):
        numbers = (report.records_by_fold[row], report.patients_by_fold[row])
        fold = row + 1
        table.add_row(str(fold), group_of.get(fold, "test"), *(f"{number:,}" for number in numbers))
    return table


def _ones_table(report: DataReport) -> "Table":
    # Every record has one level of an ordinal tier, which says nothing of a fold.
    tiers = {name: counts for name, counts in report.tiers.items() if not counts.ordinal}
    table = _table("Ones by strat_fold", "fold", *tiers)
    for row in range(N_FOLDS):
        ones = (counts.positives[row].sum() for counts in tiers.values())
        table.add_row(str(row + 1), *(f"{number:,}" for number in ones))
    return table


def _class_table(report: DataReport, tier: str) -> "Table":
    counts = report.tiers[tier]
    table = _table(f"Positives by {tier} and strat_fold", tier, "all", *map(str, range(1, N_FOLDS + 1)))
    order = np.argsort(-counts.positives.sum(axis=0), kind="stable")
    for column in order:
        by_fold = counts.positives[:, column]
        table.add_row(counts.classes[column], *(f"{number:,}" for number in (by_fold.sum(), *by_fold)))
    return table


def _waveform_lines(report: DataReport) -> list[str]:
    if not report.has_waveforms:
        return ["no waveforms: labels only"]
    lines = []
    for rate_hz, rate in report.rates.items():
        if rate is None:
            lines.append(f"{rate_hz} Hz: no waveforms")
            continue
        missing = (
            f", {len(rate.missing_ids):,} missing ({_few(rate.missing_ids)})" if rate.missing_ids else ""
        )
        damaged = f"{len(rate.damaged):,} damaged" if report.damage_sought else "signals not read"
        lines.append(f"{rate_hz} Hz: {rate.n_present:,} records{missing}, {damaged}")
        for record in rate.damaged[:_N_SHOWN]:
            lines.append(f"    {record.ecg_id}  {record.filename}: {record.reason}")
        if len(rate.damaged) > _N_SHOWN:
            lines.append(f"    and {len(rate.damaged) - _N_SHOWN:,} more (--json lists all)")
    return lines


def _patient_lines(report: DataReport) -> list[str]:
    if not report.shared_patients:
        return ["no patient is in two CV folds, or in fold 10 and elsewhere"]
    shared = report.shared_patients
    return [f"patients in two CV folds, or in fold 10 and elsewhere: {len(shared):,} ({_few(shared)})"]


def _severity_line(report: DataReport) -> str:
    return f"severity by the map {report.severity_map.name}: {report.severity_map.review}"


def _few(identifiers: Sequence[int]) -> str:
    more = ", …" if len(identifiers) > 5 else ""
    return ", ".join(map(str, identifiers[:5])) + more
