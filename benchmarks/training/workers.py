"""Gain by more cores and workers on one machine: trials per hour of one worker and of one for every core.

python benchmarks/training/workers.py      # some ten minutes on two cores; writes its section of RESULTS.md

Every run is `python -m search run` as a user starts it, kept to some of the cores (Linux).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# The benchmarks run from a clone without installing anything of ours.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import storage
from benchmarks.helpers.intervals import median_interval
from benchmarks.helpers.options import add_out, positive
from benchmarks.helpers.results import Section, dict_table, write_section
from reports.numbers import count_words
from search.data.demo import write_demo

ROOT = Path(__file__).resolve().parents[2]
N_RECORDS = 300
PRESETS = ("cnn", "cnn-ungated", "cnn-gru", "cnn-gru-ungated")
"""Pairs of about the same size, so that two workers end together."""
N_EPOCHS = 2
STUDY = "workers"
PACKAGES = ("torch", "numpy", "optuna")
_ON_CORES = """
import os, sys
os.sched_setaffinity(0, {int(core) for core in sys.argv[1].split(",")})
from search.commands.main import main
sys.exit(main(sys.argv[2:]))
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """So many workers on so many cores."""

    n_workers: int
    n_cores: int

    def __str__(self) -> str:
        return f"{count_words(self.n_workers, 'worker')} on {count_words(self.n_cores, 'core')}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status."""
    options = _parse(list(sys.argv[1:] if arguments is None else arguments))
    if not hasattr(os, "sched_setaffinity"):
        print("error: only Linux keeps a process to some of the cores", file=sys.stderr)
        return 1
    cores = sorted(os.sched_getaffinity(0))
    settings = [Setting(1, 1), Setting(1, len(cores)), Setting(len(cores), len(cores))]
    per_hour: dict[Setting, list[float]] = {setting: [] for setting in settings}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "demo"
        write_demo(data, n_records=N_RECORDS)
        trials_per_hour(Setting(len(cores), len(cores)), cores, data, Path(folder) / "warm")
        for number in range(options.times):
            for setting in settings:
                found = trials_per_hour(setting, cores, data, Path(folder) / f"{number}-{setting}")
                per_hour[setting].append(found)
                print(f"{setting}: {found:.0f} trials an hour", file=sys.stderr, flush=True)
    text = body(per_hour)
    print(text)
    section = Section(
        name="workers",
        title="Workers and cores (SYNTHETIC records)",
        command=f"python benchmarks/training/workers.py --times {options.times}",
        n=f"{options.times} runs of each, in turn",
        body=text,
        packages=PACKAGES,
    )
    write_section(section, options.out)
    return 0


def trials_per_hour(setting: Setting, cores: Sequence[int], data: Path, folder: Path) -> float:
    """Trials an hour in a run of all presets, from the start of the first to the end of the last."""
    folder.mkdir()
    url = f"sqlite:///{folder / 'search.db'}"
    command = (
        *("run", "--data", str(data), "--storage", url, "--study", STUDY, "--presets", ",".join(PRESETS)),
        *("--target", "superclass", "--epochs", str(N_EPOCHS), "--pruner", "none"),
        *("--workers", str(setting.n_workers)),
    )
    chosen = ",".join(str(core) for core in cores[: setting.n_cores])
    subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _ON_CORES, chosen, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )
    with storage.open_store(url) as store:
        trials = store.trials(STUDY)
    starts = [trial.started_at for trial in trials if trial.started_at]
    ends = [trial.ended_at for trial in trials if trial.ended_at]
    return 3600 * len(trials) / (max(ends) - min(starts)).total_seconds()


def body(per_hour: dict[Setting, list[float]]) -> str:
    """The table with its result in words, as Markdown."""
    first = next(iter(per_hour.values()))
    rows = [
        {
            "": str(setting),
            "trials an hour": median_interval(found).text(0),
            "by one worker on one core": median_interval(
                [one / other for one, other in zip(found, first, strict=True)]
            ).text(2),
        }
        for setting, found in per_hour.items()
    ]
    presets = ", ".join(f"`{name}`" for name in PRESETS)
    return (
        f"{presets} on {N_RECORDS} synthetic records, {N_EPOCHS} epochs of five folds each; medians "
        "with ranges, ratios of runs in turn. One worker uses every core it has, by training "
        "folds side by side; more workers pay on further machines and GPUs.\n\n"
        f"{dict_table(rows)}"
    )


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--times", type=positive, default=5, metavar="N", help="runs of each (default: %(default)s)"
    )
    add_out(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
