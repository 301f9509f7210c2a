"""How fast trials train on a GPU: a plain reference, folds in turn, at once, with and without CUDA graphs.

python benchmarks/gpu.py                              # under 8 minutes on one GPU; writes RESULTS.md
python benchmarks/gpu.py --quick --device cpu         # tiny, to see that it runs
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

# The benchmarks run from a clone without installing anything of ours.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.gpu_records import many_records
from benchmarks.gpu_slice import Slice, Sliced, extrapolated_minutes, measure_slice
from benchmarks.gpu_ways import WAYS, Speed, measure_way
from benchmarks.options import add_out
from benchmarks.results import Section, markdown_table, write_section
from benchmarks.training_pairs import ARCHITECTURES, TIER
from search.errors import SearchError
from search.models.parameters import count_parameters
from search.training.device import choose_device, device_label
from search.training.settings import TrainingSettings

PTBXL_RECORDS = 21_799
N_TRIALS = 200
PACKAGES = ("numpy", "torch", "optuna")
ONE_BY_ONE = "reference fp32"
"""Five serial eager runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How much is trained."""

    n_records: int
    batch_size: int
    epochs: int
    ways: tuple[str, ...]
    architectures: tuple[str, ...]
    slices: tuple[tuple[int, int], ...]
    """Workers and trials."""
    slice_records: int
    slice_epochs: int


FULL = Size(
    n_records=5_400,
    batch_size=128,
    epochs=4,
    ways=tuple(WAYS),
    architectures=tuple(ARCHITECTURES),
    slices=((1, 12), (2, 12)),
    slice_records=PTBXL_RECORDS,
    slice_epochs=30,
)
QUICK = Size(
    n_records=90,
    batch_size=16,
    epochs=2,
    ways=tuple(WAYS),
    architectures=("small",),
    slices=((1, 2),),
    slice_records=90,
    slice_epochs=2,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Everything that was measured."""

    size: Size
    device: str
    speeds: Mapping[tuple[str, str], Speed]
    """By architecture and way."""
    problems: Mapping[tuple[str, str], str]
    slices: Sequence[tuple[Slice, Sliced]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status."""
    options = _parse(list(sys.argv[1:] if arguments is None else arguments))
    warnings.filterwarnings("ignore", "Using padding='same'")  # of the reference
    try:
        device = choose_device(options.device)
    except SearchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    size = QUICK if options.quick else FULL
    began_s = time.monotonic()
    speeds, problems = _measure_ways(size, device)
    measured = Measured(
        size=size,
        device=device_label(device),
        speeds=speeds,
        problems=problems,
        slices=[_measure_slice(size, device, workers, n_trials) for workers, n_trials in size.slices],
    )
    text = body(measured)
    print(text)
    _tell(f"took {(time.monotonic() - began_s) / 60:.1f} minutes")
    if not options.quick:
        write_section(_section(options, text), options.out)
        _tell(f"wrote {options.out}")
    return 0


def _measure_ways(
    size: Size, device: torch.device
) -> tuple[dict[tuple[str, str], Speed], dict[tuple[str, str], str]]:
    """Speeds, and of what did not work the reason."""
    data = many_records(size.n_records)
    settings = TrainingSettings(epochs=size.epochs, batch_size=size.batch_size)
    speeds: dict[tuple[str, str], Speed] = {}
    problems: dict[tuple[str, str], str] = {}
    for name in size.architectures:
        for way in size.ways:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always", RuntimeWarning)
                speed = measure_way(data, TIER, ARCHITECTURES[name], settings, way=WAYS[way], device=device)
            complaints = [str(each.message) for each in said if each.category is RuntimeWarning]
            if complaints:  # a way that fell back on another one
                problems[name, way] = complaints[0]
            speeds[name, way] = speed
            _tell(f"{name}, {way}: {speed.seconds:.3f} s an epoch{'; '.join(['', *complaints])}")
    return speeds, problems


def _measure_slice(size: Size, device: torch.device, workers: int, n_trials: int) -> tuple[Slice, Sliced]:
    chosen = Slice(
        n_records=size.slice_records,
        n_trials=n_trials,
        epochs=size.slice_epochs,
        batch_size=size.batch_size,
        device=device.type,
        workers=workers,
    )
    sliced = measure_slice(chosen)
    _tell(f"{n_trials} trials by {workers} workers: {sliced.seconds:.1f} s, {sliced.n_pruned} pruned")
    return chosen, sliced


def body(measured: Measured) -> str:
    """What was measured, in Markdown."""
    size = measured.size
    parts = [
        f"{measured.device}. An epoch of five folds with their scores on {size.n_records:,} records, batches "
        f"of {size.batch_size}, tier {TIER}; records are SYNTHETIC: the demo's, repeated, with noise. "
        f"Seconds are medians over {size.epochs - 1} epochs after the first; in brackets how many times as "
        "fast as five serial eager runs of `benchmarks/reference.py` in float32, and the most memory "
        "allocated.",
        _table(measured),
    ]
    parts += [f"- {name}, {way}: {problem}." for (name, way), problem in measured.problems.items()]
    parts.append(
        f"A slice of a search with the race at the size of PTB-XL ({size.slice_records:,} records, "
        f"{size.slice_epochs} epochs, space wide, no presets), and {N_TRIALS} trials at its rate:"
    )
    parts.append(_slices(measured))
    return "\n\n".join(parts)


def _table(measured: Measured) -> str:
    n_outputs = 5  # superclasses
    rows = []
    for name in measured.size.architectures:
        plain = measured.speeds[name, ONE_BY_ONE].seconds
        cells = [f"{name}, {count_parameters(ARCHITECTURES[name], n_outputs):,} parameters"]
        for way in measured.size.ways:
            speed = measured.speeds[name, way]
            cells.append(
                f"{speed.seconds:.3f} s ({plain / speed.seconds:.2f} ×, {speed.memory_bytes / 2**30:.1f} GiB)"
            )
        rows.append(cells)
    return markdown_table(["", *measured.size.ways], rows)


def _slices(measured: Measured) -> str:
    rows = []
    for chosen, sliced in measured.slices:
        as_raced, unpruned = extrapolated_minutes(sliced, chosen, N_TRIALS)
        rows.append(
            [
                str(chosen.workers),
                str(chosen.n_trials),
                str(sliced.n_pruned),
                f"{sliced.share_trained:.0%}",
                f"{sliced.seconds:.0f}",
                f"{as_raced:.0f} min",
                f"{unpruned:.0f} min",
            ]
        )
    header = ["workers", "trials", "pruned", "epochs trained", "seconds", f"{N_TRIALS} trials", "none pruned"]
    return markdown_table(header, rows)


def _section(options: argparse.Namespace, text: str) -> Section:
    return Section(
        name="gpu",
        title="Training on a GPU",
        command=f"python benchmarks/gpu.py --device {options.device}",
        n=f"{FULL.epochs - 1} epochs of each architecture and way; each slice once",
        body=text,
        packages=PACKAGES,
    )


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to train")
    parser.add_argument("--quick", action="store_true", help="tiny, and nothing is written")
    add_out(parser)
    return parser.parse_args(arguments)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
