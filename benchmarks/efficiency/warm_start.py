"""Savings by `run --learn-from`: searches of simulated worlds after studies of related and unrelated ones.

python benchmarks/efficiency/warm_start.py              # some ten minutes; writes its section of RESULTS.md
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

# Before numpy is imported: the work is spread over processes, and threads on top only get in the way.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ[_variable] = "1"
# The benchmarks run from a clone without installing anything of ours.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.efficiency.helpers.plan import DEFAULT_SEEDS, LARGE, Measured, round_robin
from benchmarks.efficiency.helpers.replay import N_EARLIER_TRIALS, Search
from benchmarks.efficiency.search_efficiency import run
from benchmarks.helpers.intervals import median_interval
from benchmarks.helpers.options import add_out, add_seeds, add_workers, positive
from benchmarks.helpers.results import Section, markdown_table, tell_and_write, took_words

RELATED, UNRELATED = 0.8, 0.0
"""Correlations of the worlds that earlier studies have searched with the one that is searched."""
N_TRIALS = 60
ENOUGH = 0.95
"""Share of the achievable hypervolume that is to be reached."""
EARLY = (10, 20)
"""Trials after which the hypervolume is shown."""

_EARLIER = f"{N_EARLIER_TRIALS} trials of"
CASES: dict[str, tuple[float | None, bool]] = {
    "cold": (None, False),
    f"after {_EARLIER} a related world (ρ {RELATED})": (RELATED, False),
    f"after {_EARLIER} an unrelated world": (UNRELATED, False),
    f"oracle: every true score of the related world (ρ {RELATED})": (RELATED, True),
}
"""Correlation with the earlier world, and whether all of it is known."""
WANTED = dict(zip(CASES, ("", "≤ .5", "≤ 1.1", ""), strict=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description="Search after studies of other worlds.")
    add_seeds(parser, DEFAULT_SEEDS)
    parser.add_argument(
        "--oracle", type=positive, metavar="N", help="worlds of the oracle, the first N (default: all)"
    )
    add_workers(parser)
    add_out(parser)
    options = parser.parse_args(given)
    searches = plan(options.seeds, options.oracle or options.seeds)
    began_s = time.monotonic()
    found = run(list(chain.from_iterable(searches.values())), options.workers)
    measured = {case: [found[each] for each in of_case] for case, of_case in searches.items()}
    section = Section(
        name="warm_start",
        title="Warm start",
        command=shlex.join(["python", "benchmarks/efficiency/warm_start.py", *given]),
        n=f"{options.seeds} worlds of spaces {', '.join(LARGE)}, {N_TRIALS} trials each, nothing pruned; "
        f"{took_words(began_s, options.workers)}",
        body=body(measured),
    )
    tell_and_write(section, options.out)
    return 0


def plan(n_seeds: int, n_oracles: int) -> dict[str, list[Search]]:
    """Searches of every case on the same worlds in the same order, those of the oracle on the first ones."""
    return {
        case: [
            Search(
                source=source,
                seed=seed,
                sampler="front",
                pruner="none",
                n_trials=N_TRIALS,
                earlier=earlier,
                knows_all=knows_all,
            )
            for source, seed in round_robin(LARGE, n_oracles if knows_all else n_seeds)
        ]
        for case, (earlier, knows_all) in CASES.items()
    }


def body(found: Mapping[str, Sequence[Measured]]) -> str:
    """Trials to enough of the hypervolume in every case, as Markdown.

    Args:
        found: searches of every case, on the same worlds in the same order, the cold ones first; a case may
            have fewer worlds.
    """
    # One that never got there counts as one more than were tried.
    trials = {
        case: [min(one.trials_to(ENOUGH), N_TRIALS + 1.0) for one in of_case]
        for case, of_case in found.items()
    }
    cold = next(iter(trials.values()))
    rows = []
    for case, needed in trials.items():
        ratios = [each / alone for each, alone in zip(needed, cold, strict=False)]
        rows.append(
            [
                case,
                median_interval(needed).text(0),
                WANTED[case],
                median_interval(ratios).text(2),
                *(median_interval([one.share_after(n) for one in found[case]]).text() for n in EARLY),
                f"{sum(each <= N_TRIALS for each in needed)} of {len(needed)}",
            ]
        )
    header = ["", f"trials to {ENOUGH:.0%} of the hypervolume", "wanted over cold", "over cold, same world"]
    header += [f"hypervolume after {n}" for n in EARLY] + [f"worlds that got there in {N_TRIALS}"]
    note = (
        "The earlier study is one of the default sampler, of another world of the same space, whose true "
        "scores have the given correlation with those of the searched one over all architectures. The oracle "
        "is told every true score of that world instead: no study of it can say more. How far scores follow "
        "those of the earlier world is learned in each case. A world that is not there yet after "
        f"{N_TRIALS} trials counts as {N_TRIALS + 1}. A ratio below that of the oracle cannot be asked for. "
        "Intervals are those of a median, between order "
        "statistics, 95 % or more."
    )
    return f"{note}\n\n{markdown_table(header, rows)}"


if __name__ == "__main__":
    sys.exit(main())
