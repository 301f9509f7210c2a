"""`python -m search evaluate`: a model on the sealed fold or on another data set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.commands.parser import (
    add_command,
    add_data_of_study,
    add_device,
    add_json,
    add_space_of_study,
    add_study_options,
    chosen_options,
    print_json,
    whole_number,
)
from search.commands.pick import add_pick_option, picked_trial
from search.training.environment import set_environment

if TYPE_CHECKING:
    from rich.console import Console

    from search.evaluate.evaluate import Evaluated


def add_evaluate(commands: Any) -> None:
    """Add `evaluate`."""
    parser = add_command(
        commands,
        "evaluate",
        "train models anew and open the test fold, or test them on other data",
        "evaluate --front --presets cnn,cnn-bilstm --data /data/ptb-xl",
    )
    parser.set_defaults(command=_evaluate)
    parser.add_argument("--trial", metavar="N[,M]", help="trials whose architectures to train")
    parser.add_argument("--front", action="store_true", help="all trials on the front")
    add_pick_option(parser)
    parser.add_argument(
        "--presets",
        "--preset",
        metavar="a,b",
        help="published systems to train, NAME@TIER on another tier than the target",
    )
    parser.add_argument(
        "--ensemble", metavar="NAME", help="ensemble to train: top2-weighted, greedy, light or front"
    )
    parser.add_argument(
        "--seeds",
        type=whole_number,
        default=1,
        metavar="K",
        help="train each with K seeds, the study's and the next ones (default: %(default)s)",
    )
    parser.add_argument(
        "--fit",
        metavar="1-8|1-9",
        help="folds to train on: 1-8, with fold 9 for validation and thresholds, or 1-9; for data sets with "
        "five folds 1-4 or 1-5 (default: the first)",
    )
    parser.add_argument("--again", action="store_true", help="open the test fold again for the same model")
    add_data_of_study(parser)
    parser.add_argument(
        "--external",
        type=Path,
        metavar="DIR",
        help="test on all records of this data set, on the tiers that both reach, and leave the test fold "
        "sealed",
    )
    parser.add_argument(
        "--tier",
        metavar="TIER",
        help="tier shown in full (default: the target; with --external the finest shared one, if need be)",
    )
    parser.add_argument(
        "--no-page",
        action="store_true",
        help="write no page of the evaluation now; report writes it later",
    )
    parser.add_argument(
        "--list", action="store_true", help="list the evaluations of the study and do nothing else"
    )
    add_space_of_study(parser)
    add_device(parser)
    add_json(parser)
    add_study_options(parser)


def _evaluate(chosen: argparse.Namespace, console: Console) -> int:
    if chosen.list:
        return _list(chosen, console)
    set_environment()
    from rich.console import Console as Quiet

    from search.commands.console import working

    with working(console, "Starting"):
        from search.evaluate.evaluate import EvaluateOptions, evaluate
        from search.evaluate.subjects import Choice
        from search.evaluate.words import evaluation_document, evaluation_view

    quiet_if_json = Quiet(quiet=True) if chosen.json else console
    picked = picked_trial(chosen, quiet_if_json)
    trials = [] if chosen.trial is None else chosen.trial.split(",")
    if picked is not None and str(picked) not in trials:
        trials.append(str(picked))
    choice = Choice(
        trials=",".join(trials) or None,
        front=chosen.front,
        presets=chosen.presets,
        ensemble=chosen.ensemble,
    )
    options = chosen_options(chosen, EvaluateOptions, choice=choice)
    found = evaluate(options, quiet_if_json)
    if chosen.json:
        pages = () if chosen.no_page else _write_pages(chosen.storage, found)
        print_json(evaluation_document(found) | {"pages": [str(page) for page in pages]})
        return 0
    console.print(evaluation_view(found))
    with working(console, "Writing the page"):
        pages = () if chosen.no_page else _write_pages(chosen.storage, found)
    for page in pages:
        console.print(f"Class by class: {page}", soft_wrap=True, highlight=False)
    return 0


def _write_pages(storage: str, found: Evaluated) -> tuple[Path, ...]:
    """Write the pages of the results."""
    from reports.evaluation.report import write_evaluations
    from storage import open_store

    new = {each.evaluation.id for each in found.evidence if each.evaluation.id is not None}
    with open_store(storage, create=False) as store:
        return write_evaluations(store, found.study.name, only=new).pages


def _list(chosen: argparse.Namespace, console: Console) -> int:
    from reports.evaluation.overview import evaluation_table, evaluations_document
    from storage import open_store

    with open_store(chosen.storage, create=False) as store:
        study = store.study(chosen.study) if chosen.study else store.last_study()
        evaluations, openings = store.evaluations(study.name), store.sealed_fold_openings(study.name)
    if chosen.json:
        print_json(evaluations_document(study, evaluations, openings))
    else:
        console.print(evaluation_table(study, evaluations, openings))
    return 0
