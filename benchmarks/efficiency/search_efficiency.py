"""Efficiency of searches: every sampler with every pruner, replayed on known worlds.

python benchmarks/efficiency/search_efficiency.py --quick      # a few minutes; the last line is JSON
python benchmarks/efficiency/search_efficiency.py              # writes RESULTS.md and the figure
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

# Before numpy is imported: the work is spread over processes, and threads on top only get in the way.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ[_variable] = "1"
# The benchmarks run from a clone without installing anything of ours.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.efficiency.helpers.efficiency_figure import write_figure
from benchmarks.efficiency.helpers.plan import DEFAULT_SEEDS, QUICK, Measured, Seeds, make_plan, measure
from benchmarks.efficiency.helpers.replay import Search
from benchmarks.efficiency.helpers.summary import asked_for, body, display_name, headline
from benchmarks.efficiency.helpers.timing import measure_times
from benchmarks.helpers.options import add_out, add_workers, positive
from benchmarks.helpers.results import Section, took_words, write_section

TABLES = Path(__file__).resolve().parents[1] / "tables"
FIGURES = Path(__file__).resolve().parents[1] / "figures"
N_FINISHED = (200, 2000)
"""Sizes of study at which a proposal and a decision are timed."""
_PROGRESS_EVERY_S = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parse(given)
    if options.seeds is not None:
        seeds = Seeds.all_of(options.seeds)
    else:
        seeds = QUICK if options.quick else Seeds.all_of(DEFAULT_SEEDS)
    plan = make_plan(options.table, seeds)
    began_s = time.monotonic()
    results = run(plan.searches(), options.workers)
    # When nothing else runs any more, or they would be timed with half a core.
    timings = [measure_times(n_finished) for n_finished in N_FINISHED]
    took = f"{len(results)} searches in {took_words(began_s)}"
    _tell(took)
    print(asked_for(results, plan, timings))
    if not options.quick:
        write_figure(results, plan, FIGURES)
        figure = f"![Hypervolume against trials and fold-epochs]({FIGURES.name}/search_efficiency.svg)"
        tables = ", ".join(display_name(str(table)) for table in options.table) or "none"
        section = Section(
            name="search_efficiency",
            title="Search efficiency",
            command=shlex.join(["python", "benchmarks/efficiency/search_efficiency.py", *given]),
            n=f"{seeds.samplers} seeds; recorded worlds: {tables}; {took} on {options.workers} processes",
            body=f"{figure}\n\n{body(results, plan, timings)}",
        )
        write_section(section, options.out)
        _tell(f"wrote {options.out} and {FIGURES}")
    medians = {name: interval.median for name, interval in headline(results, plan).items()}
    print(json.dumps({name: round(value, 4) for name, value in medians.items()}))
    return 0


def run(searches: Sequence[Search], n_workers: int) -> dict[Search, Measured]:
    """Replay searches in processes; the result is the same whatever their number."""
    found: dict[Search, Measured] = {}
    shown_s = time.monotonic()
    with ProcessPoolExecutor(max_workers=n_workers) as pool:
        running = {pool.submit(measure, search): search for search in searches}
        for done in as_completed(running):
            found[running[done]] = done.result()
            if time.monotonic() - shown_s > _PROGRESS_EVERY_S or len(found) == len(searches):
                shown_s = time.monotonic()
                _tell(f"{len(found)} of {len(searches)} searches")
    return {search: found[search] for search in searches}


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Compare samplers and pruners on recorded and simulated worlds."
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer seeds, a few minutes; writes no file, ends with JSON"
    )
    parser.add_argument(
        "--table",
        type=Path,
        nargs="*",
        default=sorted(TABLES.glob("*.json")),
        metavar="PATH",
        help="recorded worlds (default: all in benchmarks/tables)",
    )
    parser.add_argument(
        "--seeds",
        type=positive,
        metavar="N",
        help=f"seeds of every part (default: {DEFAULT_SEEDS}, with --quick as many as there is time for)",
    )
    add_workers(parser)
    add_out(parser)
    options = parser.parse_args(arguments)
    for table in options.table:
        if not table.is_file():
            parser.error(f"--table {table}: no such file")
    return options


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
