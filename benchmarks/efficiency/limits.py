"""Cost of a limit: the tenth of a space that fits, against a search of that tenth alone.

python benchmarks/efficiency/limits.py              # some minutes; writes its section of RESULTS.md
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

from benchmarks.efficiency.helpers.plan import DEFAULT_SEEDS, LARGE, Measured, round_robin
from benchmarks.efficiency.helpers.replay import Search
from benchmarks.efficiency.helpers.worlds import LIMITS
from benchmarks.efficiency.search_efficiency import run
from benchmarks.helpers.intervals import median_interval
from benchmarks.helpers.options import add_out, add_seeds, add_workers
from benchmarks.helpers.results import Section, markdown_table, tell_and_write, took_words

N_TRIALS = 40
SHOWN = (10, 20, 40)
"""Trials after which the hypervolume is shown."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description="Search within a limit.")
    add_seeds(parser, DEFAULT_SEEDS)
    add_workers(parser)
    add_out(parser)
    options = parser.parse_args(given)
    searches = {
        how: [
            Search(source=f"{source} {how}", seed=seed, sampler="front", pruner="none", n_trials=N_TRIALS)
            for source, seed in round_robin(LARGE, options.seeds)
        ]
        for how in LIMITS
    }
    began_s = time.monotonic()
    found = run([one for world in zip(*searches.values(), strict=True) for one in world], options.workers)
    section = Section(
        name="limits",
        title="A limit that a tenth of the space meets",
        command=shlex.join(["python", "benchmarks/efficiency/limits.py", *given]),
        n=f"{options.seeds} worlds of spaces {', '.join(LARGE)}, {N_TRIALS} trials each, nothing pruned; "
        f"{took_words(began_s, options.workers)}",
        body=body({how: [found[each] for each in of_kind] for how, of_kind in searches.items()}),
    )
    tell_and_write(section, options.out)
    return 0


def body(found: Mapping[str, Sequence[Measured]]) -> str:
    """Hypervolume within the limit, by either search, as Markdown.

    Args:
        found: searches of either kind, on the same worlds in the same order.
    """
    words = dict(
        zip(LIMITS, ("the whole space under the limit", "that tenth as a space of its own"), strict=True)
    )
    shares = {
        how: [[each.share_after(n) for each in of_kind] for n in SHOWN] for how, of_kind in found.items()
    }
    rows = [[words[how], *(median_interval(each).text() for each in shares[how])] for how in LIMITS]
    within, alone = (shares[how] for how in LIMITS)
    differences = [
        median_interval([a - b for a, b in zip(one, other, strict=True)])
        for one, other in zip(within, alone, strict=True)
    ]
    rows.append(["difference on the same world", *(each.text() for each in differences)])
    note = (
        "The limit is the tenth percentile of the parameters of the space. Shares of the hypervolume that is "
        "achievable within it. Asked for: as good under the limit as alone, so that the interval of the "
        "difference contains 0 or lies above it. Intervals are those of a median, between order statistics, "
        "95 % or more."
    )
    return f"{note}\n\n{markdown_table(['', *(f'after {n} trials' for n in SHOWN)], rows)}"


if __name__ == "__main__":
    sys.exit(main())
