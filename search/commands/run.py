"""`python -m search run`: more trials of a study."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from search.commands.parser import (
    SPACES_HELP,
    TIERS,
    add_command,
    add_storage_option,
    number,
    whole_number,
)
from search.defaults import DEFAULT_ALPHA
from search.errors import UsageError
from search.training.environment import set_environment

if TYPE_CHECKING:
    from rich.console import Console

    from search.workers.share import Share


def add_run(commands: Any) -> None:
    """Add `run`."""
    parser = add_command(
        commands,
        "run",
        "train more trials of a study",
        "run --trials 200 --data /data/ptb-xl --target subclass",
    )
    parser.set_defaults(command=_run)
    parser.add_argument(
        "--trials",
        type=whole_number,
        metavar="N",
        help="finished trials to add to the study (needed without --presets NAME)",
    )
    parser.add_argument(
        "--data",
        metavar="DIR|demo",
        help="folder of a data set (or its table, where the folder could be of several kinds), or the "
        "synthetic demo (default: $PTBXL_DIR, data/ptb-xl, else demo)",
    )
    parser.add_argument(
        "--target",
        metavar="TIER",
        help=f"tier to score on: {TIERS} (default: subclass); other data sets have tiers of their own",
    )
    parser.add_argument(
        "--study",
        metavar="NAME",
        help="study to make or continue (default: named after data and target, such as ptb-xl-subclass)",
    )
    add_storage_option(parser)
    parser.add_argument(
        "--space",
        metavar="NAME|FILE.py",
        help=f"{SPACES_HELP}; FILE.py: your own, see CONTRIBUTING.md",
    )
    parser.add_argument(
        "--presets",
        metavar="NAME,...",
        help="published systems to train first, or none (default: those of the space; see search space); "
        "without --trials, only these",
    )
    parser.add_argument(
        "--max",
        metavar="COST=LIMIT,...",
        help="propose nothing that costs more, of a new study: parameters=250k, macs=20M, bytes, bytes-int8, "
        "memory=256KiB (peak of the activations), memory-int8; see docs/space.md",
    )
    parser.add_argument(
        "--operators",
        metavar="NAME,...",
        help="propose nothing that needs another operator: conv, pool, attention, fft, lstm, gru, cells of a "
        "space file",
    )
    parser.add_argument(
        "--device-profile",
        metavar="NAME|FILE.toml",
        help="limits of a device: cortex-m4, cortex-m7, raspberry-pi-5, or a file with flash, ram, precision "
        "and operators",
    )
    parser.add_argument(
        "--at-least",
        type=number,
        metavar="SCORE",
        help="macro-AUPRC below which a model is of no use: scores below add nothing to the hypervolume",
    )
    parser.add_argument(
        "--smallest",
        metavar="N",
        help="parameters, such as 50k, below which fewer are worth nothing more",
    )
    parser.add_argument("--epochs", type=whole_number, metavar="E", help="epochs of every fold (default: 30)")
    parser.add_argument(
        "--batch-size", type=whole_number, metavar="B", help="records per step (default: by data set size)"
    )
    parser.add_argument("--lr", type=number, metavar="R", help="peak learning rate (default: 0.005)")
    parser.add_argument(
        "--rate",
        type=whole_number,
        metavar="HZ",
        help="sampling rate in Hz (default: the lowest that the data set has; PTB-XL: 100)",
    )
    parser.add_argument(
        "--split",
        metavar="NAME",
        help="how folds are made, where a data set has several ways (default: inter-patient); intra-patient "
        "puts beats of one patient on both sides and is for reproducing papers that did so",
    )
    parser.add_argument(
        "--drop-unlabeled", action="store_true", help="leave out records without a target label"
    )
    parser.add_argument(
        "--skip-damaged", action="store_true", help="go on without records that cannot be read"
    )
    parser.add_argument(
        "--sampler",
        metavar="NAME",
        default="front",
        help="front, tpe, nsga2, random or grid (default: front)",
    )
    parser.add_argument(
        "--pruner",
        choices=("race", "none"),
        default="race",
        help="race: stop a trial as soon as it is unlikely to improve the front (default); none: train "
        "everything",
    )
    parser.add_argument(
        "--alpha",
        type=number,
        default=DEFAULT_ALPHA,
        metavar="A",
        help="share of the trials that would improve the front which the race may lose; more prunes earlier "
        f"(default: {DEFAULT_ALPHA})",
    )
    parser.add_argument(
        "--thaw",
        action="store_true",
        help="at the end, train pruned trials that may improve the front after all to their end",
    )
    parser.add_argument(
        "--cost-aware",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="sampler front: weigh what a trial may bring against the seconds it takes, once ten trials have "
        "been timed (default)",
    )
    parser.add_argument(
        "--workers", type=whole_number, default=1, metavar="W", help="processes on this machine (default: 1)"
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS|local",
        help="place the workers on a Ray cluster: its address, auto for the one this machine belongs to, "
        "local for one made for this run",
    )
    parser.add_argument(
        "--cpus-per-worker", type=number, metavar="C", help="with --ray: CPUs of a worker (default: 1)"
    )
    parser.add_argument(
        "--gpus-per-worker",
        type=number,
        metavar="G",
        help="with --ray: GPUs of a worker, a fraction to share one (default: 0)",
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to train (default: auto)"
    )
    parser.add_argument(
        "--seed", type=whole_number, metavar="S", help="seed of sampler and training (default: 0)"
    )


def _run(chosen: argparse.Namespace, console: Console) -> int:
    set_environment()
    from search.study.limits import interest_settings, limit_settings
    from search.study.run import RunOptions, run

    settings = {
        "epochs": chosen.epochs,
        "batch_size": chosen.batch_size,
        "learning_rate": chosen.lr,
        "seed": chosen.seed,
        "drop_unlabeled": chosen.drop_unlabeled or None,
        "split": chosen.split,
    }
    options = RunOptions(
        trials=chosen.trials,
        presets=None if chosen.presets is None else tuple(chosen.presets.split(",")),
        data=chosen.data,
        storage=chosen.storage,
        study=chosen.study,
        target=chosen.target,
        space=chosen.space,
        rate_hz=chosen.rate,
        skip_damaged=chosen.skip_damaged,
        sampler=chosen.sampler,
        pruner=chosen.pruner,
        alpha=chosen.alpha,
        thaw=chosen.thaw,
        cost_aware=chosen.cost_aware,
        workers=chosen.workers,
        ray=_share(chosen),
        device=chosen.device,
        settings={name: value for name, value in settings.items() if value is not None},
        limits=limit_settings(chosen.max, chosen.operators, chosen.device_profile)
        | interest_settings(chosen.at_least, chosen.smallest),
    )
    return run(options, console)


def _share(chosen: argparse.Namespace) -> Share | None:
    from search.workers.share import Share

    shares = {"cpus": chosen.cpus_per_worker, "gpus": chosen.gpus_per_worker}
    named = {name: value for name, value in shares.items() if value is not None}
    if chosen.ray is not None:
        return Share(address=chosen.ray, **named)
    if named:
        raise UsageError(f"--{next(iter(named))}-per-worker goes with --ray ADDRESS or --ray local")
    return None
