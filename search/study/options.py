"""Options of `python -m search run`, each declared once for the parser, its help and the run.

Imports nothing that takes time, since the command line is made from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import space
from reports.numbers import count_words
from scores.costs import DEFAULT_COST
from scores.costs import OBJECTIVES as MINIMISED
from scores.objectives import OBJECTIVES
from search.cores import available_cores, cores_each
from search.defaults import (
    DEFAULT_ALPHA,
    DEFAULT_SPACE,
    NO_PRESETS,
    STORAGE_HELP,
    default_storage,
)
from search.errors import UsageError
from search.training.settings import TrainingSettings
from search.workers.share import Share

SPACES_HELP = "; ".join(
    f"{name}: {words}" + (" (default)" if name == DEFAULT_SPACE else "")
    for name, words in space.SPACE_WORDS.items()
)
LEAST_MOST_WORKERS = 64
"""Workers that a machine of few cores may have, too; each takes hundreds of megabytes."""
MOST_HOURS = 10_000
"""More than a year: a larger value is probably in another unit."""
TIERS = "superclass, subclass, diagnostic, all, form, rhythm, aha, severity-4 or severity-3"
"""Tiers of PTB-XL, for help."""


def option(
    words: str,
    *,
    metavar: str | None = None,
    flag: str | None = None,
    is_setting: bool = False,
    choices: tuple[str, ...] | None = None,
    **default: Any,
) -> Any:
    """A field that is an option; `search.commands.parser.add_declared` adds it to a parser.

    Args:
        words: its help.
        metavar: placeholder of its value in the help.
        flag: its name on the command line, by default that of the field.
        is_setting: whether it is a setting of a study, fixed when the study is made.
        choices: the values it may have.
        default: `default` or `default_factory` of the field, by default None.
    """
    parsed = {"help": words, "metavar": metavar, "choices": choices}
    return field(
        **(default or {"default": None}),
        metadata={
            "flag": flag,
            "is_setting": is_setting,
            "parsed": {name: value for name, value in parsed.items() if value is not None},
        },
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """The command line of `run`; None for options not given."""

    trials: int | None = option(
        "finished trials to add to the study (needed without --hours, --until or --presets NAME)", metavar="N"
    )
    hours: float | None = option(
        "stop after H hours as Ctrl-C does: the epoch ends, the next run continues; with or without --trials",
        metavar="H",
    )
    until: str | None = option(
        "stop once the next trial adds less than this share of the hypervolume, such as 0.5%%, with "
        "probability .9, in three proposals in a row; with or without --trials and --hours",
        metavar="SHARE",
    )
    data: str | None = option(
        "folder of a data set (or its table, where the folder could be of several kinds), or the "
        "synthetic demo (default: $PTBXL_DIR, data/ptb-xl, else demo)",
        metavar="DIR|demo",
    )
    target: str | None = option(
        f"tier to score on: {TIERS} (default: subclass); other data sets have tiers of their own",
        metavar="TIER",
    )
    study: str | None = option(
        "study to make or continue (default: named after data and target, such as ptb-xl-subclass)",
        metavar="NAME",
    )
    storage: str = option(STORAGE_HELP, metavar="URL", default_factory=default_storage)
    space: str | None = option(
        f"{SPACES_HELP}; FILE.py: your own, see CONTRIBUTING.md", metavar="NAME|FILE.py"
    )
    presets: tuple[str, ...] | None = option(
        "published systems to train first, or none (default: those of the space; see search space); "
        "without --trials, --hours and --until, only these",
        metavar="NAME,...",
    )
    learn_from: str | None = option(
        "new study: use the results of earlier ones, on another target, fewer records, fewer epochs or other "
        "data; STUDY of this database, or STUDY@URL",
        metavar="STUDY[@URL],...",
    )
    teacher: str | None = option(
        "new study: kept models of another study as teachers, whose probabilities are soft targets beside "
        "the labels; weight and temperature are searched: trial:12@STUDY or ensemble:greedy@STUDY",
        metavar="MODEL@STUDY,...",
        is_setting=True,
    )
    init: str | None = option(
        "new study: kept models of another study as initial weights, frozen or fine-tuned; the front end is "
        "that of the model, the layers behind it are searched: trial:12@STUDY",
        metavar="MODEL@STUDY,...",
        is_setting=True,
    )
    objective: str | None = option(
        "new study: first objective, to be maximised: macro-auprc (default), or worst-group, the AUROC of "
        "the sex or age group that is served worst; see docs/objectives.md",
        choices=tuple(OBJECTIVES),
        is_setting=True,
    )
    cost: str | None = option(
        "new study: second objective, to be minimised: parameters (default), macs, bytes of the weights, "
        "memory (peak of the activations), or latency, measured on this machine; see docs/space.md",
        choices=MINIMISED,
        is_setting=True,
    )
    max: str | None = option(
        "new study: largest costs of an architecture: parameters=250k, macs=20M, bytes, bytes-int8, "
        "memory=256KiB (peak of the activations), memory-int8, latency=10ms; see docs/space.md",
        metavar="COST=LIMIT,...",
    )
    operators: str | None = option(
        "new study: only architectures with these operators: conv, pool, attention, fft, scan, lstm, gru, "
        "cells of a space file",
        metavar="NAME,...",
    )
    device_profile: str | None = option(
        "new study: limits of a device: cortex-m4, cortex-m7, raspberry-pi-5, or a file with flash, ram, "
        "latency, precision and operators",
        metavar="NAME|FILE.toml",
    )
    at_least: float | None = option(
        "smallest useful score: lower ones add nothing to the hypervolume",
        metavar="SCORE",
    )
    smallest: str | None = option(
        "cost, such as 50k parameters, below which a smaller one is no further advantage", metavar="N"
    )
    epochs: int | None = option("epochs of every fold (default: 30)", metavar="E", is_setting=True)
    batch_size: int | None = option(
        "records per step (default: by data set size)", metavar="B", is_setting=True
    )
    learning_rate: float | None = option(
        "peak learning rate (default: 0.005)", metavar="R", flag="--lr", is_setting=True
    )
    rate_hz: int | None = option(
        "sampling rate in Hz (default: the lowest that the data set has; PTB-XL: 100)",
        metavar="HZ",
        flag="--rate",
    )
    split: str | None = option(
        "how folds are made, where a data set has several ways (default: inter-patient); intra-patient "
        "puts beats of one patient on both sides and is for reproducing papers that did so",
        metavar="NAME",
        is_setting=True,
    )
    leads: str | None = option(
        "leads to train on, such as I or I,II,V2; limb: I to aVF; 12: all standard ones; all: all that the "
        "data set has (default); several of these with / between, such as 12/limb/I, are searched",
        metavar="NAME,...[/...]",
        is_setting=True,
    )
    records: str | None = option(
        "new study: train on a subset of the development records: a share such as 10%% or a number such as "
        "2000; whole patients, every class in its proportion, the same on every machine",
        metavar="SHARE|N",
        is_setting=True,
    )
    drop_unlabeled: bool = option("leave out records without a target label", default=False, is_setting=True)
    skip_damaged: bool = option("leave out records that cannot be read", default=False)
    sampler: str = option(
        "front, tpe, nsga2, random or grid (default: front)", metavar="NAME", default="front"
    )
    pruner: str = option(
        "race: stop a trial as soon as it is unlikely to improve the front (default); none: train everything",
        choices=("race", "none"),
        default="race",
    )
    alpha: float = option(
        "share of the improving trials that the race may lose; a larger one prunes earlier "
        f"(default: {DEFAULT_ALPHA})",
        metavar="A",
        default=DEFAULT_ALPHA,
    )
    thaw: bool = option("at the end, finish pruned trials that may still improve the front", default=False)
    cost_aware: bool = option(
        "sampler front: divide the expected gain of a trial by its expected seconds, once ten trials have "
        "been timed (default)",
        default=True,
    )
    workers: int = option("processes on this machine (default: 1)", metavar="W", default=1)
    ray: str | None = option(
        "place the workers on a Ray cluster: its address, auto for the cluster of this machine, local for a "
        "new one for this run",
        metavar="ADDRESS|local",
    )
    cpus_per_worker: float | None = option("with --ray: CPUs of a worker (default: 1)", metavar="C")
    gpus_per_worker: float | None = option(
        "with --ray: GPUs of a worker, a fraction to share one (default: 0)", metavar="G"
    )
    device: str = option("where to train (default: auto)", choices=("auto", "cpu", "cuda"), default="auto")
    seed: int | None = option("seed of sampler and training (default: 0)", metavar="S", is_setting=True)

    def __post_init__(self) -> None:
        """Everything that can be known to be wrong before data are read.

        Raises:
            UsageError: an option has a value that cannot be used.
            storage.DatabaseUrlError: the URL names no database.
        """
        from search.data.subset import Amount
        from search.study.earlier import named
        from search.study.kept_models import TRIAL, parsed
        from search.study.space_file import named_space

        _ = self.share  # can be read
        self._check_limits()
        self._check_end()
        if self.records is not None:
            Amount.parse(self.records)
        if self.learn_from is not None:
            named(self.learn_from)
        if self.teacher is not None:
            parsed("--teacher", self.teacher)
        if self.init is not None:
            parsed("--init", self.init, (TRIAL,))
        if self.space is not None:
            named_space(self.space)  # its presets, too, can then be named
        for name in () if self.presets in (None, NO_PRESETS) else self.presets:
            if name not in space.PRESETS:
                raise UsageError(
                    f"--presets: unknown system {name!r}: choose from {', '.join(space.PRESETS)}, or none"
                )
        self._check_sampler()
        of_training = {each.name for each in fields(TrainingSettings)}
        TrainingSettings(**{name: self.settings[name] for name in of_training & set(self.settings)})
        self._check_storage()

    def _check_limits(self) -> None:
        if self.cost is not None or self.smallest is None:
            self.limits(self.cost or DEFAULT_COST)
            return
        # A continued study fixes the cost: until the study is read, the unit of any cost is accepted.
        problems = []
        for cost in MINIMISED:
            try:
                self.limits(cost)
                return
            except UsageError as error:
                problems.append(error)
        raise problems[0]

    def _check_end(self) -> None:
        if not self.is_search and self.presets in (None, NO_PRESETS):
            raise UsageError(
                "give the number of trials: --trials N, an end: --hours H or --until SHARE, or systems: "
                "--presets NAME,..."
            )
        check_effort(hours=self.hours, trials=self.trials)
        check_workers(self.workers, on_this_machine=self.ray is None)

    def _check_sampler(self) -> None:
        from search.sampler.untried import check_sampler

        check_sampler(self.sampler)
        if self.until_share is not None and self.sampler != "front":
            raise UsageError(
                f"--until needs --sampler front: {self.sampler} does not estimate the gain of a trial"
            )
        if not 0 < self.alpha < 1:
            raise UsageError(f"--alpha is a share between 0 and 1, such as 0.05, got {self.alpha:g}")

    def _check_storage(self) -> None:
        from storage.connection.engine import parse_url, sqlite_file

        url, share = parse_url(self.storage), self.share
        if share is not None and share.address != "local" and sqlite_file(url) is not None:
            raise UsageError(
                f"--ray {share.address} needs a database that all nodes reach, such as --storage "
                "postgresql+psycopg://user@host/database; an SQLite file serves --ray local"
            )

    @property
    def is_search(self) -> bool:
        """Whether architectures are proposed, beyond the systems that are named."""
        return any(each is not None for each in (self.trials, self.hours, self.until))

    @property
    def until_share(self) -> float | None:
        """The share of the hypervolume of `--until`.

        Raises:
            UsageError: it is none.
        """
        from search.study.stopping import parsed_share

        return None if self.until is None else parsed_share(self.until)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the study that the user named."""
        named = {each.name: getattr(self, each.name) for each in fields(self) if each.metadata["is_setting"]}
        return {name: value for name, value in named.items() if value is not None and value is not False}

    def limits(self, cost: str) -> dict[str, Any]:
        """Settings of the study for its limits and its region of interest.

        Args:
            cost: second objective of the study, which determines the unit of `smallest`.

        Raises:
            UsageError: one has a value that cannot be used.
        """
        from search.study.limits import interest_settings, limit_settings

        limited = limit_settings(self.max, self.operators, self.device_profile)
        return limited | interest_settings(self.at_least, self.smallest, cost)

    @property
    def share(self) -> Share | None:
        """Share of a Ray cluster for each worker; None for processes on this machine.

        Raises:
            UsageError: a share has a value that cannot be used, or there is no cluster to have one of.
        """
        shares = {"cpus": self.cpus_per_worker, "gpus": self.gpus_per_worker}
        named = {name: value for name, value in shares.items() if value is not None}
        if self.ray is not None:
            return Share(address=self.ray, **named)
        if named:
            raise UsageError(f"--{next(iter(named))}-per-worker goes with --ray ADDRESS or --ray local")
        return None

    @property
    def n_threads(self) -> int:
        """Cores that a worker may keep busy."""
        return self.share.n_threads if self.share else cores_each(self.workers)


def check_effort(*, hours: float | None = None, **counts: int | None) -> None:
    """Refuse limits of a run that cannot be used; None is no limit.

    Args:
        hours: `--hours`.
        counts: options that are whole numbers, by name.

    Raises:
        UsageError: names the option and the value.
    """
    for name, value in counts.items():
        if value is not None and value < 1:
            raise UsageError(f"--{name} is a whole number from 1 up, got {value}")
    if hours is not None and not 0 < hours <= MOST_HOURS:
        raise UsageError(
            f"--hours is a number above 0, such as 8 or 0.5, at most {MOST_HOURS:,}, got {hours:g}"
        )


def check_workers(n_workers: int, *, on_this_machine: bool = True) -> None:
    """Refuse a number of workers below 1, or of more processes than the machine can hold.

    Raises:
        UsageError: says how many it can hold.
    """
    check_effort(workers=n_workers)
    n_cores = available_cores()
    most = max(LEAST_MOST_WORKERS, 4 * n_cores)
    if on_this_machine and n_workers > most:
        raise UsageError(
            f"--workers {n_workers:,}: at most {most} here, on {count_words(n_cores, 'core')}: every worker "
            "is a process that trains, so one a core is enough"
        )


def flag(name: str) -> str:
    """The option of `run` that is a field of `RunOptions`, such as `--lr`."""
    declared = {each.name: each.metadata["flag"] for each in fields(RunOptions)}
    return declared[name] or f"--{name.replace('_', '-')}"
