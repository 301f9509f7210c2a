"""The command line: what can be asked, in one parser; commands import what they need when they run."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

DEFAULT_STORAGE = "sqlite:///runs/search.db"
_TIERS = "superclass, subclass, diagnostic, all, form or rhythm"


def main(arguments: Sequence[str]) -> int:
    """Carry out a command line; returns the exit status: 0, 1 on a failure, 2 on bad arguments."""
    parser = make_parser()
    chosen = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace, Console], int] = chosen.command
    from rich.console import Console

    from reports.errors import ReportError
    from search.errors import SearchError
    from storage.errors import StorageError

    try:
        return command(chosen, Console())
    except SearchError as error:
        return _explain(error, error.exit_status)
    except (StorageError, ReportError) as error:
        return _explain(error, 1)
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        return _explain("stopped by Ctrl-C", 130)


def _explain(problem: object, status: int) -> int:
    print(f"search: {problem}", file=sys.stderr)  # noqa: T201
    return status


def make_parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    parser = argparse.ArgumentParser(
        prog="python -m search",
        description="Architecture search for ECG classifiers: macro-AUPRC against parameter count.",
        epilog="example: python -m search run --trials 200 --data /data/ptb-xl",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_report(commands)
    _add_status(commands)
    _add_dashboard(commands)
    _add_space(commands)
    _add_data(commands)
    return parser


def _add(commands: Any, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example: python -m search {example}",
    )
    return added


def _add_study_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", metavar="NAME", help="study (default: the one last touched)")
    _add_storage(parser)


def _add_storage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--storage", metavar="URL", default=DEFAULT_STORAGE, help="database (default: %(default)s)"
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")


def _add_run(commands: Any) -> None:
    parser = _add(
        commands,
        "run",
        "train more trials of a study",
        "run --trials 200 --data /data/ptb-xl --target subclass",
    )
    parser.set_defaults(command=_run)
    parser.add_argument(
        "--trials", type=int, required=True, metavar="N", help="finished trials to add to the study"
    )
    parser.add_argument(
        "--data",
        metavar="DIR|demo",
        help="PTB-XL's folder, or the synthetic demo (default: $PTBXL_DIR, data/ptb-xl, else demo)",
    )
    parser.add_argument("--target", metavar="TIER", help=f"tier to score on: {_TIERS} (default: subclass)")
    parser.add_argument("--study", metavar="NAME", help="study to make or continue (default: DATA-TARGET)")
    _add_storage(parser)
    parser.add_argument("--space", metavar="NAME", help="wide or paper (default: wide)")
    parser.add_argument("--epochs", type=int, metavar="E", help="epochs of every fold (default: 30)")
    parser.add_argument(
        "--batch-size", type=int, metavar="B", help="records per step (default: by data set size)"
    )
    parser.add_argument("--lr", type=float, metavar="R", help="peak learning rate (default: 0.005)")
    parser.add_argument(
        "--rate", type=int, choices=(100, 500), default=100, help="sampling rate in Hz (default: 100)"
    )
    parser.add_argument(
        "--drop-unlabeled", action="store_true", help="leave out records without a target label"
    )
    parser.add_argument(
        "--skip-damaged", action="store_true", help="go on without records that cannot be read"
    )
    parser.add_argument(
        "--sampler", metavar="NAME", default="tpe", help="tpe, nsga2, random or grid (default: tpe)"
    )
    parser.add_argument(
        "--pruner",
        choices=("race", "none"),
        default="race",
        help="race: after each fold from the third on, stop a trial that trails the best one with at most as "
        "many parameters by more than two standard errors (default); none: train everything",
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="W", help="processes on this machine (default: 1)"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto")
    parser.add_argument("--seed", type=int, metavar="S", help="seed of sampler and training (default: 0)")


def _run(chosen: argparse.Namespace, console: Console) -> int:
    from search.run import RunOptions, run

    settings = {
        "epochs": chosen.epochs,
        "batch_size": chosen.batch_size,
        "learning_rate": chosen.lr,
        "seed": chosen.seed,
        "drop_unlabeled": chosen.drop_unlabeled or None,
    }
    options = RunOptions(
        trials=chosen.trials,
        data=chosen.data,
        storage=chosen.storage,
        study=chosen.study,
        target=chosen.target,
        space=chosen.space,
        rate_hz=chosen.rate,
        skip_damaged=chosen.skip_damaged,
        sampler=chosen.sampler,
        pruner=chosen.pruner,
        workers=chosen.workers,
        device=chosen.device,
        settings={name: value for name, value in settings.items() if value is not None},
    )
    return run(options, console)


def _add_report(commands: Any) -> None:
    parser = _add(commands, "report", "write the Pareto report of a study", "report --study ptb-xl-subclass")
    parser.set_defaults(command=_report)
    _add_study_options(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder (default: runs/reports/STUDY)")
    _add_json(parser)


def _report(chosen: argparse.Namespace, console: Console) -> int:
    from reports.report import write_report
    from storage import open_store

    store = open_store(chosen.storage, create=False)
    files = write_report(store, chosen.study or store.last_study().name, chosen.out)
    if chosen.json:
        print(files.front_json.read_text(encoding="utf-8"))  # noqa: T201
        return 0
    from reports.tables import front_table

    console.print(front_table(files.study, files.trials))
    for path in (files.front_png, files.front_svg, files.trials_csv, files.front_json):
        console.print(str(path), soft_wrap=True, highlight=False)
    return 0


def _add_status(commands: Any) -> None:
    parser = _add(commands, "status", "show what is done, running and best so far", "status --json")
    parser.set_defaults(command=_status)
    _add_study_options(parser)
    _add_json(parser)


def _status(chosen: argparse.Namespace, console: Console) -> int:
    from reports.status import status, status_view
    from storage import open_store

    store = open_store(chosen.storage, create=False)
    found = status(store, chosen.study or store.last_study().name)
    if chosen.json:
        _print_json(found.to_json())
    else:
        console.print(status_view(found))
    return 0


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))  # noqa: T201


def _add_dashboard(commands: Any) -> None:
    parser = _add(commands, "dashboard", "open optuna-dashboard on this machine", "dashboard --port 8080")
    parser.set_defaults(command=_dashboard)
    _add_storage(parser)
    parser.add_argument(
        "--port", type=int, default=8080, metavar="P", help="port on 127.0.0.1 (default: 8080)"
    )


def _dashboard(chosen: argparse.Namespace, console: Console) -> int:
    from search.dashboard import serve

    return serve(chosen.storage, chosen.port, console)


def _add_space(commands: Any) -> None:
    parser = _add(commands, "space", "list axes, size and presets of a search space", "space --space paper")
    parser.set_defaults(command=_space)
    parser.add_argument("--space", metavar="NAME", default="wide", help="wide or paper (default: wide)")
    parser.add_argument("--target", metavar="TIER", default="subclass", help=f"{_TIERS} (default: subclass)")
    _add_json(parser)


def _space(chosen: argparse.Namespace, console: Console) -> int:
    from search.space_text import space_document, space_view

    document = space_document(chosen.space, chosen.target)
    if chosen.json:
        _print_json(document)
    else:
        console.print(space_view(document))
    return 0


def _add_data(commands: Any) -> None:
    parser = _add(commands, "data", "make, check or download a data set", "data check /data/ptb-xl")
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    demo = _add(actions, "demo", "write synthetic records in PTB-XL's layout", "data demo /tmp/demo")
    demo.set_defaults(command=_data_demo)
    demo.add_argument("folder", type=Path, metavar="DIR", help="folder to make")
    demo.add_argument(
        "--records", type=int, default=1200, metavar="N", help="number of records (default: 1200)"
    )
    demo.add_argument("--seed", type=int, default=0, metavar="S", help="default: 0")
    demo.add_argument(
        "--rate", type=int, choices=(100, 500), default=100, help="sampling rate in Hz (default: 100)"
    )
    check = _add(actions, "check", "verify a data set and count its labels", "data check /data/ptb-xl --json")
    check.set_defaults(command=_data_check)
    check.add_argument("folder", type=Path, metavar="DIR", help="folder of the data set, or one above it")
    _add_json(check)
    download = _add(actions, "download", "fetch and verify a data set", "data download ptb-xl data/ptb-xl")
    download.set_defaults(command=_data_download)
    download.add_argument("name", metavar="NAME", help="ptb-xl")
    download.add_argument("folder", type=Path, metavar="DIR", help="folder to fill; a second call resumes")
    download.add_argument(
        "--rate", type=int, choices=(100, 500), default=100, help="sampling rate in Hz (default: 100)"
    )


def _data_demo(chosen: argparse.Namespace, console: Console) -> int:
    from search.data.demo import write_demo
    from search.progress import progress_bar

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
    from search.data.check_text import render
    from search.data.sweep import find_damage

    report = check(chosen.folder, find_damage)
    if chosen.json:
        _print_json(report.to_json())
    else:
        render(report, console)
    return 0 if report.sound else 1


def _data_download(chosen: argparse.Namespace, console: Console) -> int:
    from search.data.download import download
    from search.progress import progress_bar

    rates = (100,) if chosen.rate == 100 else (100, 500)
    with progress_bar(console, "Fetching files", 0) as advance:
        fetched = download(chosen.name, chosen.folder, rates_hz=rates, progress=advance)
    console.print(
        f"{fetched.n_files:,} files in {fetched.folder}, all verified, {fetched.n_fetched:,} fetched now",
        soft_wrap=True,
        highlight=False,
    )
    return 0
