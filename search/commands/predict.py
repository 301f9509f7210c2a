"""`python -m search predict`: predictions of an exported model for recordings, or abstentions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.commands.parser import Parser, add_command, add_json, chosen_options, number, print_json, say

if TYPE_CHECKING:
    from rich.console import Console

POLICIES = ("f1", "youden", "sensitivity-90")
"""Policies of `search.export.folder`, which takes time to import."""
N_SHOWN = 5
"""Maximum number of refused recordings that are named; further ones are counted."""


def add_model_and_records(parser: Parser) -> None:
    """Add the arguments for the model and its recordings."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="folder written by export")
    parser.add_argument(
        "records",
        type=Path,
        nargs="+",
        metavar="RECORD",
        help="WFDB record, .csv, .edf or DICOM file, or folder of them",
    )


def add_csv_options(parser: Parser) -> None:
    """Add the options for sampling rate and unit, which a .csv file does not contain."""
    parser.add_argument("--unit", metavar="UNIT", help="unit of .csv files: mV, uV or V")
    parser.add_argument(
        "--rate",
        dest="rate_hz",
        type=number,
        metavar="HZ",
        help="sampling rate of .csv files without a column time",
    )


def add_person_options(parser: Parser) -> None:
    """Add the options for the person of a single recording."""
    parser.add_argument(
        "--age",
        type=number,
        metavar="YEARS",
        help="age of the person of a single recording, if the model uses it",
    )
    parser.add_argument("--sex", choices=("female", "male"), help="sex, likewise")


def add_predict(commands: Any) -> None:
    """Add `predict`."""
    parser = add_command(
        commands,
        "predict",
        "classify recordings with an exported model",
        "predict exported/trial-12 ward3/ --triage",
    )
    parser.set_defaults(command=_predict)
    add_model_and_records(parser)
    add_csv_options(parser)
    parser.add_argument(
        "--policy",
        choices=POLICIES,
        default="f1",
        help="thresholds: largest F1, largest Youden index, or sensitivity of at least .9 (default: f1)",
    )
    parser.add_argument(
        "--confidence",
        type=number,
        default=0.9,
        metavar="C",
        help="share of true labels that label sets are to contain (default: 0.9)",
    )
    parser.add_argument(
        "--aggregate",
        choices=("mean", "max"),
        default="mean",
        help="probability for a long recording: mean or largest over its windows (default: mean)",
    )
    add_person_options(parser)
    parser.add_argument("--triage", action="store_true", help="list urgent recordings first")
    parser.add_argument(
        "--per-day", type=number, metavar="N", help="expected recordings a day, to estimate alarms a day"
    )
    parser.add_argument("--int8", action="store_true", help="use the graph of eight bits")
    parser.add_argument("--csv", action="store_true", help="print a table of all classes and nothing else")
    add_json(parser)


def _predict(chosen: argparse.Namespace, console: Console) -> int:
    from rich.console import Console as Quiet

    from search.errors import UsageError
    from search.predict.predict import PredictOptions, predict
    from search.predict.words import prediction_csv, prediction_document, prediction_view
    from search.watch.progress import progress_bar

    if chosen.json and chosen.csv:
        raise UsageError("--json and --csv exclude each other")
    if chosen.per_day is not None and not 0 < chosen.per_day < float("inf"):
        raise UsageError(f"--per-day is a number above 0, got {chosen.per_day:g}")
    options = chosen_options(chosen, PredictOptions, records=tuple(chosen.records))
    shown = Quiet(quiet=True) if chosen.json or chosen.csv else console
    with progress_bar(shown, "Classifying", 0) as advance:
        found = predict(options, advance)
    if chosen.json:
        print_json(prediction_document(found, per_day=chosen.per_day))
    elif chosen.csv:
        print(prediction_csv(found), end="")  # noqa: T201
    else:
        console.print(prediction_view(found, per_day=chosen.per_day))
    for refused in found.refused[:N_SHOWN]:
        say(f"{refused.name}: {refused.reason}")
    if len(found.refused) > 1:
        n_all = len(found.refused) + len(found.answers)
        rest = "; --json lists all" if len(found.refused) > N_SHOWN else ""
        say(f"{len(found.refused):,} of {n_all:,} recordings are not answered{rest}")
    return 1 if found.refused else 0
