"""Whether generated records of rare classes make a classifier better, fold by fold and seed by seed.

python benchmarks/gan/gan.py --data DIR TIER [--data DIR TIER …] --quick    # two minutes; last line is JSON
python benchmarks/gan/gan.py --data DIR TIER [--data DIR TIER …]            # ten minutes; writes RESULTS.md
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

# Before numpy is imported: the work is spread over processes, and threads on top only get in the way.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ[_variable] = "1"
# The benchmarks run from a clone without installing anything of ours.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.gan.gan_trial import NONE, Outcome, Trial, run
from benchmarks.intervals import median_interval
from benchmarks.options import add_out, add_workers, positive
from benchmarks.results import Section, markdown_table, write_section
from search.errors import SearchError
from search.training.gan.settings import GanSettings

ARMS = (NONE, "gan .25", "gan .5", "repeat .5")
QUICK_ARMS = (NONE, "gan .5")
N_FOLDS = 5
N_EPOCHS, N_QUICK_EPOCHS = 8, 4
N_TRAINING = 3_000
N_QUICK_FOLDS = 2
QUICK_SETTINGS = GanSettings(n_steps=100)

Measured = Mapping[str, Sequence[Outcome]]
"""Outcomes of all folds and seeds, by data set and tier."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status."""
    options = _parse(list(sys.argv[1:] if arguments is None else arguments))
    began_s = time.monotonic()
    try:
        measured = measure(options)
    except SearchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    took = f"{(time.monotonic() - began_s) / 60:.1f} minutes on {options.workers} processes"
    print(f"took {took}\n\n{body(measured)}")
    if not options.quick:
        worlds = " ".join(f"--data {Path(data).name} {tier}" for data, tier in options.data)
        section = Section(
            name="gan",
            title="Generated records of rare classes",
            command=f"python benchmarks/gan/gan.py {worlds} --seeds {options.seeds}",
            n=f"{options.seeds} seeds × {N_FOLDS} folds; {took}",
            body=body(measured),
            packages=("numpy", "scipy", "torch"),
        )
        write_section(section, options.out)
        print(f"wrote {options.out}", file=sys.stderr)
    print(json.dumps(headline(measured)))
    return 0


def measure(options: argparse.Namespace) -> dict[str, list[Outcome]]:
    """Train all arms on all folds with all seeds, in processes.

    Raises:
        SearchError: a data set cannot be read, or a fold cannot be trained.
    """
    trials = {
        f"{Path(data).resolve().name} {tier}": [
            Trial(
                data=Path(data),
                tier=tier,
                seed=seed,
                fold=fold,
                arms=QUICK_ARMS if options.quick else ARMS,
                n_epochs=N_QUICK_EPOCHS if options.quick else N_EPOCHS,
                n_training=N_TRAINING,
                settings=QUICK_SETTINGS if options.quick else GanSettings(),
                cache=options.cache,
            )
            for seed in range(1 if options.quick else options.seeds)
            for fold in range(1, 1 + (N_QUICK_FOLDS if options.quick else N_FOLDS))
        ]
        for data, tier in options.data
    }
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(max_workers=options.workers, mp_context=context) as pool:
        running = {world: [pool.submit(run, trial) for trial in each] for world, each in trials.items()}
        found: dict[str, list[Outcome]] = {}
        for world, each in running.items():
            outcomes = [future.result() for future in each]
            found[world] = [outcome for outcome in outcomes if outcome is not None]
            print(f"{world}: {len(found[world])} of {len(each)} folds have a rare class", file=sys.stderr)
    return found


def body(measured: Measured) -> str:
    """What was found, in Markdown."""
    rows, looks = [], []
    for world, outcomes in measured.items():
        for arm in _arms(outcomes):
            rows.append(
                [
                    f"{world}: {arm}",
                    _differences(outcomes, "macro", arm),
                    _differences(outcomes, "rare", arm),
                    f"{_ratio(outcomes, arm):.2f}",
                    str(len(outcomes)),
                ]
            )
        if outcomes:
            names = sorted({name for each in outcomes for name in each.rare_classes})
            looks.append(
                [
                    f"{world}: {', '.join(names)}",
                    _known([each.generated_auroc for each in outcomes]),
                    _known([each.real_auroc for each in outcomes]),
                    f"{median_interval([each.gan_s for each in outcomes]).median:.1f} s",
                    str(len(outcomes)),
                ]
            )
    return "\n\n".join(
        [
            "Differences to the same classifier, CNN(16) → dense(64), trained with the same seed on the same "
            "fold without additional records: median over folds and seeds with its 95 % interval between "
            "order statistics (below six values, the range). `gan .5`: half of what the classifier sees is "
            "generated; `repeat .5`: half are real records of rare classes once more, drawn like the labels "
            "of the generated ones. Folds of one seed share training records, so that the intervals are a "
            f"little too narrow. At most {N_TRAINING:,} training rows a fold.",
            markdown_table(
                ["additional records", "macro-AUPRC", "AUPRC of rare classes", "× training time", "n"], rows
            ),
            "Does a generated record look like its classes? AUROC of the rare classes by the classifier that "
            "has seen real records only, generated against generated and real against real; .5 is chance. "
            "Nothing is known of a single rare class, which every generated record has.",
            markdown_table(
                ["rare classes", "generated", "real, held out", "GAN per fold", "n"],
                looks,
            ),
        ]
    )


def headline(measured: Measured) -> dict[str, float | None]:
    """Median difference in macro-AUPRC by world and arm; JSON has no number for one that is unknown."""
    return {
        f"{world}: {arm}": round(median, 4) if math.isfinite(median) else None
        for world, outcomes in measured.items()
        for arm in _arms(outcomes)
        for median in [median_interval([each.macro[arm] - each.macro[NONE] for each in outcomes]).median]
    }


def _arms(outcomes: Sequence[Outcome]) -> list[str]:
    return [arm for arm in (outcomes[0].macro if outcomes else ()) if arm != NONE]


def _differences(outcomes: Sequence[Outcome], score: str, arm: str) -> str:
    return _known([getattr(each, score)[arm] - getattr(each, score)[NONE] for each in outcomes])


def _known(values: Sequence[float]) -> str:
    """Median and interval of the values there are, and how many where some are missing."""
    known = [value for value in values if math.isfinite(value)]
    text = median_interval(known).text()
    return text if len(known) == len(values) else f"{text} (n {len(known)})"


def _ratio(outcomes: Sequence[Outcome], arm: str) -> float:
    """Training time of the classifier over that without additional records; the GAN is not in it."""
    return median_interval([each.seconds[arm] / each.seconds[NONE] for each in outcomes]).median


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Do generated records of rare classes help a classifier?")
    parser.add_argument(
        "--data",
        nargs=2,
        action="append",
        required=True,
        metavar=("DIR", "TIER"),
        help="a data set and a label tier; may be given several times",
    )
    parser.add_argument(
        "--quick", action="store_true", help="two folds, few epochs; writes no file, ends with JSON"
    )
    parser.add_argument("--seeds", type=positive, default=2, metavar="N", help="default: %(default)s")
    add_workers(parser)
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/cache"), metavar="DIR", help="default: %(default)s"
    )
    add_out(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
