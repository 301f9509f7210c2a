"""Options that several benchmarks have."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.helpers.results import RESULTS
from search.cores import available_cores


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add `--out`, the file of results."""
    parser.add_argument(
        "--out", type=Path, default=RESULTS, metavar="FILE", help="results (default: %(default)s)"
    )


def add_seeds(parser: argparse.ArgumentParser, default: int) -> None:
    """Add `--seeds`, a number of simulated worlds."""
    parser.add_argument(
        "--seeds", type=positive, default=default, metavar="N", help="worlds (default: %(default)s)"
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add `--workers`, a number of processes."""
    parser.add_argument(
        "--workers",
        type=positive,
        default=available_cores(),
        metavar="N",
        help="processes (default: cores)",
    )


def positive(text: str) -> int:
    """Type of an option: a whole number from 1 up."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return value
