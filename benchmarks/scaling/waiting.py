"""Waiting times of a user besides training: start, a large data set, the next trial.

python benchmarks/scaling/waiting.py --quick      # a minute or two; the last line is JSON
python benchmarks/scaling/waiting.py              # 5,000 trials; writes RESULTS.md
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# The benchmarks run from a clone without installing anything of ours.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.helpers.options import add_out
from benchmarks.helpers.results import Section, markdown_table, write_section
from benchmarks.scaling.helpers.waiting_measures import (
    N_RECORDS,
    Waited,
    measure_caching,
    measure_trials,
    time_first_step,
    time_help,
    time_warm_start,
    write_large,
)
from search.data.demo import write_demo

N_TRIALS, N_QUICK_TRIALS = 5_000, 400
N_TIMES = 5
N_DEMO_RECORDS = 500
GOALS = {
    "help_s": 0.5,
    "first_step_s": 6.0,
    "warm_start_s": 1.0,
    "caching_memory": 1.3,
    "growth": 1.5,
}
_WORDS = {
    "help_s": "`search --help`, s",
    "help_processor_s": "… processor seconds",
    "first_step_s": f"`search run` to its first step, {N_DEMO_RECORDS} records in the cache, s",
    "first_step_processor_s": "… processor seconds",
    "warm_start_s": f"opening {N_RECORDS:,} records that are in the cache, s",
    "warm_start_processor_s": "… processor seconds",
    "caching_memory": f"memory for the array and caching it, {N_RECORDS:,} records, by the size of the array",
    "growth": "last 100 trials to first 100, processor seconds without training and sampler",
    "trial_s": "a trial without training and sampler, mean of all, processor seconds",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status."""
    options = _parse(list(sys.argv[1:] if arguments is None else arguments))
    n_trials = N_QUICK_TRIALS if options.quick else N_TRIALS
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), n_trials)
    rows = [
        [_WORDS[name], f"{value:.2f}", f"{GOALS[name]:g}" if name in GOALS else "–"]
        for name, value in found.items()
    ]
    text = (
        "SYNTHETIC records. Processor seconds are user and system time: other programs hardly change it.\n\n"
        f"{markdown_table(('', 'measured', 'goal: at most'), rows)}"
    )
    print(text)
    if not options.quick:
        section = Section(
            name="waiting",
            title="Everything else a user waits for",
            command="python benchmarks/scaling/waiting.py",
            n=f"medians of {N_TIMES}; one study of {n_trials:,} trials with the race and the random sampler",
            body=text,
            packages=("numpy", "optuna", "sqlalchemy", "torch"),
        )
        write_section(section, options.out)
    print(json.dumps({name: round(value, 4) for name, value in found.items()}))
    return 0


def measure(folder: Path, n_trials: int) -> dict[str, float]:
    """All of it; files go to a folder."""
    found = _waited("help", [time_help() for _ in range(N_TIMES)])
    write_demo(folder / "demo", n_records=N_DEMO_RECORDS)
    time_first_step(folder / "demo", folder)  # fills the cache
    found |= _waited("first_step", [time_first_step(folder / "demo", folder) for _ in range(N_TIMES)])
    write_large(folder)
    large, cache = folder / "large", folder / "cache"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as alone:
        found["caching_memory"] = 1 + alone.submit(measure_caching, large, cache).result()
    time_warm_start(large, cache)  # fills the cache: without the sealed fold it is another entry
    found |= _waited("warm_start", [time_warm_start(large, cache) for _ in range(N_TIMES)])
    seconds = measure_trials(n_trials)
    found["growth"] = float(seconds[-100:].mean() / seconds[:100].mean())
    found["trial_s"] = float(seconds.mean())
    return found


def _waited(name: str, each: Sequence[Waited]) -> dict[str, float]:
    return {
        f"{name}_s": median(waited.seconds for waited in each),
        f"{name}_processor_s": median(waited.processor_s for waited in each),
    }


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer trials; writes no file, ends with JSON")
    add_out(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
