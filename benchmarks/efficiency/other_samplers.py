"""The sampler against others that learn a model, and against random search with the race.

python benchmarks/efficiency/other_samplers.py              # writes its section of RESULTS.md
python benchmarks/efficiency/other_samplers.py --registry ../optunahub-registry       # with AutoSampler

Optuna's GPSampler takes seconds for a proposal: the fewer `--seeds` and `--trials`, the sooner it ends.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# Before numpy is imported: the work is spread over processes, and threads on top only get in the way.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ[_variable] = "1"
# The benchmarks run from a clone without installing anything of ours.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.efficiency.helpers.plan import DEFAULT_RACE, LARGE, Measured, round_robin
from benchmarks.efficiency.helpers.replay import Search
from benchmarks.efficiency.helpers.samplers import AUTO
from benchmarks.efficiency.search_efficiency import run
from benchmarks.helpers.intervals import median_interval
from benchmarks.helpers.options import add_out, add_seeds, add_workers, positive
from benchmarks.helpers.results import Section, markdown_table, tell_and_write, took_words

N_SEEDS = 7
N_TRIALS = 60
PAIRS = (
    ("front", DEFAULT_RACE),
    ("front", "none"),
    ("random", DEFAULT_RACE),
    ("random", "none"),
    ("tpe-multivariate", "none"),
    ("gp", "none"),
)
"""Sampler and pruner; `gp` is Optuna's GPSampler."""
_WORDS = {"gp": "Optuna's GPSampler", AUTO: "OptunaHub's AutoSampler"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description="Compare with samplers that learn a model.")
    add_seeds(parser, N_SEEDS)
    parser.add_argument(
        "--trials",
        type=positive,
        default=N_TRIALS,
        metavar="N",
        help="of every search (default: %(default)s)",
    )
    parser.add_argument(
        "--registry", type=Path, metavar="DIR", help="copy of OptunaHub's registry, for AutoSampler"
    )
    add_workers(parser)
    add_out(parser)
    options = parser.parse_args(given)
    if options.registry is not None and not (options.registry / "package/samplers/auto_sampler").is_dir():
        parser.error(f"--registry {options.registry}: no package/samplers/auto_sampler in it")
    auto = () if options.registry is None else ((f"{AUTO}:{options.registry / 'package'}", "none"),)
    searches = [
        Search(source=source, seed=seed, sampler=sampler, pruner=pruner, n_trials=options.trials)
        for source, seed in round_robin(LARGE, options.seeds)
        for sampler, pruner in (*PAIRS, *auto)
    ]
    began_s = time.monotonic()
    found = run(searches, options.workers)
    section = Section(
        name="other_samplers",
        title="Other samplers",
        command=shlex.join(["python", "benchmarks/efficiency/other_samplers.py", *given]),
        n=f"{options.seeds} worlds of spaces {', '.join(LARGE)}, {options.trials} trials each; "
        f"{took_words(began_s, options.workers)}",
        body=body(found, options.trials),
        packages=("numpy", "scipy", "torch", "optuna", "optunahub"),
    )
    tell_and_write(section, options.out)
    return 0


def body(found: Mapping[Search, Measured], n_trials: int) -> str:
    """Results and costs of every pair, as Markdown."""
    rows = []
    kinds = list(dict.fromkeys((each.sampler, each.pruner) for each in found))
    for sampler, pruner in kinds:
        of_kind = [found[each] for each in found if (each.sampler, each.pruner) == (sampler, pruner)]
        name = sampler.partition(":")[0]
        rows.append(
            [
                f"{_WORDS.get(name, name)}, {pruner}",
                median_interval([each.share_after(n_trials // 2) for each in of_kind]).text(),
                median_interval([each.share_after(n_trials) for each in of_kind]).text(),
                median_interval([each.fold_epoch_share for each in of_kind]).text(),
                median_interval([each.n_unique for each in of_kind]).text(0),
                f"{median_interval([1e3 * each.ask_s for each in of_kind]).median:,.0f}",
                str(len(of_kind)),
            ]
        )
    header = ["", f"hypervolume after {n_trials // 2} trials", f"after {n_trials}", "fold-epochs"]
    header += [f"different of {n_trials}", "ask, ms", "n"]
    note = (
        "Hypervolume is the share of the achievable one; fold-epochs are a share of training every trial to "
        "its end. GPSampler models both objectives (logarithm of the expected hypervolume improvement) and, "
        "of axes that come and go, only those that every trial has had; it does not know the cost beforehand."
    )
    if all(sampler.partition(":")[0] != AUTO for sampler, _ in kinds):
        note += (
            " AutoSampler is not among them: it comes from OptunaHub's registry, needs the package cmaes "
            "and is loaded with `--registry`. Of two objectives and axes with choices its code takes "
            "Optuna's multivariate TPE, which is in the table."
        )
    else:
        note += " Of two objectives and axes with choices AutoSampler takes Optuna's multivariate TPE."
    note += (
        " Intervals are those of a median, between order statistics, 95 % or more; with fewer than six "
        "values, the range."
    )
    return f"{note}\n\n{markdown_table(header, rows)}"


if __name__ == "__main__":
    sys.exit(main())
