"""`python -m search evaluate`: a model on the sealed fold or on another data set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.commands.parser import add_command, add_json, add_study_options, print_json, whole_number
from search.training.environment import set_environment

if TYPE_CHECKING:
    from rich.console import Console


def add_evaluate(commands: Any) -> None:
    """Add `evaluate`."""
    parser = add_command(
        commands,
        "evaluate",
        "train one model and open the test fold, or test it on other data",
        "evaluate --trial 12 --data /data/ptb-xl",
    )
    parser.set_defaults(command=_evaluate)
    parser.add_argument("--trial", type=whole_number, metavar="N", help="trial whose architecture to train")
    parser.add_argument("--preset", metavar="NAME", help="published system to train instead")
    parser.add_argument("--data", metavar="DIR|demo", help="data of the study (default: as for run)")
    parser.add_argument(
        "--external",
        type=Path,
        metavar="DIR",
        help="test on all records of this data set, through AHA statements, and leave the test fold sealed",
    )
    parser.add_argument("--space", metavar="FILE.py", help="space file, where the study was made with one")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to train (default: auto)"
    )
    add_json(parser)
    add_study_options(parser)


def _evaluate(chosen: argparse.Namespace, console: Console) -> int:
    set_environment()
    from rich.console import Console as Quiet

    from search.commands.evaluate_text import evaluation_document, evaluation_view
    from search.evaluate.evaluate import EvaluateOptions, evaluate

    options = EvaluateOptions(
        storage=chosen.storage,
        study=chosen.study,
        trial=chosen.trial,
        preset=chosen.preset,
        data=chosen.data,
        external=chosen.external,
        space=chosen.space,
        device=chosen.device,
    )
    found = evaluate(options, Quiet(quiet=True) if chosen.json else console)
    if chosen.json:
        print_json(evaluation_document(found))
    else:
        console.print(evaluation_view(found))
    return 0
