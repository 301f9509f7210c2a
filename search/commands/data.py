"""`python -m search data`: make, check or download a data set."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from search.commands.parser import add_command, add_json, add_rate, print_json, whole_number

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from search.data.check import DataReport
    from search.data.signals.records import Damage

_N_SHOWN: Final = 10
"""Damaged records that are listed."""


def add_data(commands: Any) -> None:
    """Add `data` with its three actions."""
    parser = add_command(commands, "data", "make, check or download a data set", "data check /data/ptb-xl")
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    demo = add_command(actions, "demo", "write synthetic records in PTB-XL's layout", "data demo /tmp/demo")
    demo.set_defaults(command=_data_demo)
    demo.add_argument("folder", type=Path, metavar="DIR", help="folder to make")
    demo.add_argument(
        "--records", type=whole_number, default=500, metavar="N", help="number of records (default: 500)"
    )
    demo.add_argument(
        "--seed", type=whole_number, default=0, metavar="S", help="seed of the records (default: 0)"
    )
    add_rate(demo)
    check = add_command(
        actions, "check", "verify a data set and count its labels", "data check /data/ptb-xl --json"
    )
    check.set_defaults(command=_data_check)
    check.add_argument("folder", type=Path, metavar="DIR", help="folder of the data set, or one above it")
    add_json(check)
    download = add_command(
        actions, "download", "fetch and verify a data set", "data download ptb-xl data/ptb-xl"
    )
    download.set_defaults(command=_data_download)
    download.add_argument("name", metavar="NAME", help="ptb-xl")
    download.add_argument("folder", type=Path, metavar="DIR", help="folder to fill; a second call resumes")
    add_rate(download, "sampling rate in Hz: 100 (0.5 GB), or 500 for both rates (default: 100)")


def _data_demo(chosen: argparse.Namespace, console: Console) -> int:
    from search.data.demo import write_demo
    from search.watch.progress import progress_bar

    with progress_bar(console, "Making SYNTHETIC records", chosen.records) as advance:
        write_demo(
            chosen.folder,
            n_records=chosen.records,
            seed=chosen.seed,
            rates_hz=(chosen.rate,),
            progress=advance,
        )
    console.print(f"{chosen.records:,} SYNTHETIC records in {chosen.folder}", soft_wrap=True, highlight=False)
    return 0


def _data_check(chosen: argparse.Namespace, console: Console) -> int:
    from search.data.check import check
    from search.data.signals.sweep import find_damage

    report = check(chosen.folder, find_damage)
    if chosen.json:
        print_json(report.to_json())
    else:
        render(report, console)
    return 0 if report.sound else 1


def _data_download(chosen: argparse.Namespace, console: Console) -> int:
    from search.data.download import download
    from search.watch.progress import progress_bar

    rates = (100,) if chosen.rate == 100 else (100, 500)
    with progress_bar(console, "Fetching files", 0) as advance:
        fetched = download(chosen.name, chosen.folder, rates_hz=rates, progress=advance)
    console.print(
        f"{fetched.n_files:,} files in {fetched.folder}, all verified, {fetched.n_fetched:,} fetched now",
        soft_wrap=True,
        highlight=False,
    )
    return 0


def render(report: DataReport, console: Console, *, tier: str | None = None) -> None:
    """Print the report, laid out for 80 columns or more.

    Args:
        report: What `check` returned.
        console: Where to print.
        tier: Tier whose classes are listed by fold; the default target of the data set if not given.

    Raises:
        UsageError: The data set has no such tier.
    """
    from rich.text import Text

    from search.data.labels.tiers import check_tier

    tier = check_tier(tier or report.default_target, report.tiers)
    mark = Text("SYNTHETIC  " if report.synthetic else "", style="bold red")
    console.print(mark.append(f"{report.kind}, version {report.version}", style="not bold default"))
    beats = "" if report.unit == "record" else f"{report.n_rows:,} {report.unit}s in "
    console.print(f"{beats}{report.n_records:,} records of {report.n_patients:,} patients", highlight=False)
    console.print(str(report.root), highlight=False, soft_wrap=True)
    for table in (
        _tier_table(report),
        *_severity_tables(report),
        _fold_table(report),
        _ones_table(report),
        _class_table(report, tier),
    ):
        console.print()
        console.print(table)
    console.print()
    lines = (
        *_waveform_lines(report),
        *_label_lines(report),
        *_class_lines(report, tier),
        *_patient_lines(report),
    )
    for line in (*lines, *_severity_lines(report), *report.notes):
        console.print(line, highlight=False)


def _table(title: str, *headers: str) -> Table:
    from reports.terminal import StackingTable

    table = StackingTable(heading=title, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, header in enumerate(headers):
        table.add_column(header, justify="left" if index == 0 else "right", no_wrap=True)
    return table


def _tier_table(report: DataReport) -> Table:
    sealed = report.plan.sealed_name.removeprefix("the ")
    of_sealed = (f"{sealed}:\nones", f"{sealed}:\nunlabelled")
    table = _table("Labels by tier", "tier", "classes", "occur", "ones", "unlabelled", *of_sealed)
    for name, counts in report.tiers.items():
        numbers = (
            len(counts.classes),
            len(counts.occurring()),
            counts.positives.sum(),
            counts.unlabelled.sum(),
            counts.positives[-1].sum(),
            counts.unlabelled[-1],
        )
        table.add_row(name, *(f"{number:,}" for number in numbers))
    return table


def _severity_tables(report: DataReport) -> list[Table]:
    """The table of severity, where the data set has such tiers."""
    ordinal = {name: counts for name, counts in report.tiers.items() if counts.ordinal}
    if not ordinal:
        return []
    sealed_name = report.plan.sealed_name.removeprefix("the ")
    table = _table("Records by severity", "tier", "level", "records", sealed_name)
    for name, counts in ordinal.items():
        numbers = zip(counts.positives.sum(axis=0), counts.positives[-1], strict=True)
        for level, (everywhere, sealed) in zip(counts.classes, numbers, strict=True):
            table.add_row(name, level, f"{everywhere:,}", f"{sealed:,}")
    return [table]


def _fold_table(report: DataReport) -> Table:
    plan = report.plan
    table = _table(
        f"{report.unit.capitalize()}s by {plan.column}", "fold", "CV", f"{report.unit}s", "patients"
    )
    group_of = {fold: str(group) for group, folds in enumerate(plan.groups, start=1) for fold in folds}
    for row, label in enumerate(plan.labels):
        numbers = (report.rows_by_fold[row], report.patients_by_fold[row])
        table.add_row(label, group_of.get(row + 1, "test"), *(f"{number:,}" for number in numbers))
    return table


def _ones_table(report: DataReport) -> Table:
    # Every record has one level of an ordinal tier, whatever its fold.
    tiers = {name: counts for name, counts in report.tiers.items() if not counts.ordinal}
    table = _table(f"Ones by {report.plan.column}", "fold", *tiers)
    for row, label in enumerate(report.plan.labels):
        ones = (counts.positives[row].sum() for counts in tiers.values())
        table.add_row(label, *(f"{number:,}" for number in ones))
    return table


def _class_table(report: DataReport, tier: str) -> Table:
    import numpy as np

    counts = report.tiers[tier]
    table = _table(f"Positives by {tier} and {report.plan.column}", tier, "all", *report.plan.labels)
    order = np.argsort(-counts.positives.sum(axis=0), kind="stable")
    for column in order:
        by_fold = counts.positives[:, column]
        table.add_row(counts.classes[column], *(f"{number:,}" for number in (by_fold.sum(), *by_fold)))
    return table


def _waveform_lines(report: DataReport) -> list[str]:
    from search.data.other_files import archives_in

    if not report.has_waveforms:
        return [f"no waveforms: labels only{archives_in(report.root)}"]
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
        lines += [*_damage_lines(rate.damaged), *(f"    {note}" for note in rate.notes)]
    return lines


def _label_lines(report: DataReport) -> list[str]:
    unreadable = report.unlabelled_records
    if not unreadable:
        return []
    return [f"{len(unreadable):,} records whose labels cannot be read", *_damage_lines(unreadable)]


def _class_lines(report: DataReport, tier: str) -> list[str]:
    """Lines on classes of a tier that cannot be learnt or scored, and on empty CV folds."""
    counts, lines = report.tiers[tier], []
    if len(counts.occurring()) == 1:
        lines.append(f"{tier} has one class only: {next(iter(counts.occurring()))}")
    for names, words in (
        (counts.never_occurring(), "without a positive, left out of macro means"),
        (
            counts.in_every_row(report.n_rows),
            f"that every {report.unit} has, so that nothing tells them apart",
        ),
        (counts.in_one_row(), f"with a single {report.unit}"),
        (report.unseen_classes(tier), "that one CV fold alone has, scored by models that never saw one"),
        (counts.only_sealed(), f"that only {report.plan.sealed_name} has, so that none can be learned"),
    ):
        if names:
            lines.append(f"classes {words}: {len(names):,} ({_few(names)})")
    if report.empty_groups:
        empty = ", ".join(map(str, report.empty_groups))
        lines.append(f"CV folds without a {report.unit}, so that no search can be run: {empty}")
    return lines


def _damage_lines(damages: Sequence[Damage]) -> list[str]:
    lines = [f"    {damage.ecg_id}  {damage.filename}: {damage.reason}" for damage in damages[:_N_SHOWN]]
    if len(damages) > _N_SHOWN:
        lines.append(f"    and {len(damages) - _N_SHOWN:,} more (--json lists all)")
    return lines


def _patient_lines(report: DataReport) -> list[str]:
    sealed = report.plan.sealed_name
    if not report.shared_patients:
        return [f"no patient is in two CV folds, or in {sealed} and elsewhere"]
    shared = report.shared_patients
    return [f"patients in two CV folds, or in {sealed} and elsewhere: {len(shared):,} ({_few(shared)})"]


def _severity_lines(report: DataReport) -> list[str]:
    scheme = report.severity_map
    return [] if scheme is None else [f"severity by the map {scheme.name}: {scheme.review}"]


def _few(identifiers: Sequence[int | str]) -> str:
    from reports.numbers import first_words

    return first_words([str(each) for each in identifiers], 5, note=" (--json lists all)")
