"""`python -m search data`: make, check or download a data set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.commands.parser import add_command, add_json, add_rate, print_json, whole_number

if TYPE_CHECKING:
    from rich.console import Console


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
        "--seed", type=whole_number, default=0, metavar="S", help="other seed, other records (default: 0)"
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
    add_rate(download)


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
    from search.commands.data_text import render
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
