"""Speed of training on a GPU: a plain reference, folds in turn, at once, with and without CUDA graphs.

python benchmarks/gpu/gpu.py                       # ends within 8 minutes on one GPU; writes RESULTS.md
python benchmarks/gpu/gpu.py --no-slices --architectures "small; cnn" --ways "reference fp32; fused, graph"
python benchmarks/gpu/gpu.py --quick --device cpu  # tiny, to see that it runs

Every figure is printed as soon as it is measured, and RESULTS.md holds what was measured so far. A way that
fails, or that takes too long, has its reason in the table; the others are measured all the same.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shlex
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path

# The benchmarks run from a clone without installing anything of ours.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from search.training.environment import set_environment

set_environment()

from benchmarks.gpu.helpers.gpu_records import many_records
from benchmarks.gpu.helpers.gpu_slice import Slice, Sliced, extrapolated_minutes, measure_slice
from benchmarks.gpu.helpers.gpu_ways import WAYS, Speed, measure_way
from benchmarks.helpers.options import add_out, positive
from benchmarks.helpers.results import Section, markdown_table, took_words, write_section
from benchmarks.training.helpers.training_pairs import ARCHITECTURES, TIER
from search.errors import SearchError
from search.models.costs import count_parameters
from search.training.device import choose_device, device_label, why_no_gpu
from search.training.settings import TrainingSettings

PTBXL_RECORDS = 21_799
N_TRIALS = 200
PACKAGES = ("numpy", "torch", "optuna")
ONE_BY_ONE = "reference fp32"
"""Five serial eager runs."""
BUDGET_S = 450
"""Seconds for everything, so that a command that may run for eight minutes is not cut off."""
SHARE_OF_WAYS = 0.6
"""Share of the budget; unused time is left to the slices."""
LONGEST_WAY_S = 75.0
"""One way of one architecture, its process started and its records made."""
ENDING_S = 20.0
"""Seconds for workers of a slice to finish their epoch, and for the file of results."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """Amount of training."""

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
    slices=((1, 6),),
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


@dataclass(kw_only=True, slots=True)
class Measured:
    """Everything that was measured so far."""

    size: Size
    device: str
    speeds: dict[tuple[str, str], Speed] = field(default_factory=dict)
    """Speeds by architecture and way."""
    problems: dict[tuple[str, str], str] = field(default_factory=dict)
    """Reason for a missing speed."""
    slices: list[tuple[Slice, Sliced | str]] = field(default_factory=list)
    """Duration of each slice, or why it is not known."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status: 1 if nothing could be measured."""
    began_s = time.monotonic()
    options = _parse(list(sys.argv[1:] if arguments is None else arguments))
    try:
        device = choose_device(options.device)
    except SearchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    if options.device == "auto" and (advice := why_no_gpu()):
        print(f"WARNING: measuring the CPU, though this machine has a GPU: {advice}", file=sys.stderr)
    size: Size = options.size
    measured = Measured(size=size, device=device_label(device))
    print(measured.device, flush=True)
    ends_s = began_s + options.budget
    watchdog = threading.Timer(options.budget + ENDING_S, _end_by_force)
    watchdog.daemon = True
    watchdog.start()
    for line in _measure(measured, device.type, began_s, ends_s):
        print(line, flush=True)
        if not options.quick:
            write_section(_section(options, body(measured)), options.out)
    watchdog.cancel()
    print(body(measured))
    print(f"took {took_words(began_s)}", file=sys.stderr)
    return 0 if measured.speeds or measured.slices else 1


def _end_by_force() -> None:
    """Something hangs, such as a driver: what was measured is written already."""
    print("the time is up, and a process does not answer: it is killed", file=sys.stderr, flush=True)
    for process in multiprocessing.active_children():
        process.kill()
    os._exit(1)


def _measure(measured: Measured, device: str, began_s: float, ends_s: float) -> Iterator[str]:
    """Measure; yields a line for every figure."""
    size = measured.size
    share = SHARE_OF_WAYS if size.slices else 1.0
    yield from _measure_ways(measured, device, began_s + share * (ends_s - began_s))
    for number, (workers, n_trials) in enumerate(size.slices):
        left_s = ends_s - time.monotonic() - ENDING_S
        chosen = Slice(
            n_records=size.slice_records,
            n_trials=n_trials,
            epochs=size.slice_epochs,
            batch_size=size.batch_size,
            device=device,
            workers=workers,
            seconds=max(1.0, left_s / (len(size.slices) - number)),
        )
        found: Sliced | str
        try:
            found = measure_slice(chosen)
        except Exception as error:  # what was measured before it counts
            found = in_a_line(error)
        measured.slices.append((chosen, found))
        said = found if isinstance(found, str) else f"{found.seconds:.1f} s, {found.n_pruned} pruned"
        yield f"{n_trials} trials by {workers} workers: {said}"


def _measure_ways(measured: Measured, device: str, ends_s: float) -> Iterator[str]:
    """The same way of every architecture, then the next way: what is left out at the end matters least."""
    size = measured.size
    with Measuring(size, device) as measuring:
        for way in size.ways:
            for name in size.architectures:
                left_s = min(ends_s - time.monotonic(), LONGEST_WAY_S)
                found = measuring.measure(name, way, left_s) if left_s > 0 else "the time was up"
                if isinstance(found, str):
                    measured.problems[name, way] = found
                    yield f"{name}, {way}: {found}"
                else:
                    measured.speeds[name, way] = found
                    yield f"{name}, {way}: {'; '.join([f'{found.seconds:.3f} s an epoch', *found.notes])}"


class Measuring:
    """A process that measures; after a failure another one, since a broken CUDA context stays broken.

    Use as a context manager.

    Args:
        size: how much is trained.
        device: type of device.
    """

    def __init__(self, size: Size, device: str) -> None:
        self._size = size
        self._device = device
        self._context = multiprocessing.get_context("spawn")
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Measuring:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def measure(self, name: str, way: str, seconds: float) -> Speed | str:
        """The speed of an architecture in a way, or why there is none."""
        if self._pipe is None:
            self._pipe, theirs = self._context.Pipe()
            arguments = (self._size, self._device, theirs)
            self._process = self._context.Process(target=_serve, args=arguments, daemon=True)
            self._process.start()
            theirs.close()
        found: Speed | str
        try:
            self._pipe.send((name, way))
            found = self._pipe.recv() if self._pipe.poll(seconds) else f"not done within {seconds:.0f} s"
        except (EOFError, OSError):
            found = "its process died"
        if isinstance(found, str):
            self._end()
        return found

    def _end(self) -> None:
        if self._process is not None and self._pipe is not None:
            self._pipe.close()
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None


def _serve(size: Size, device: str, pipe: Connection) -> None:
    """Body of a process that measures."""
    warnings.filterwarnings("ignore", "Using padding='same'")  # of the reference
    chosen = choose_device(device)
    data = many_records(size.n_records)
    settings = TrainingSettings(epochs=size.epochs, batch_size=size.batch_size)
    while True:
        try:
            name, way = pipe.recv()
        except EOFError:
            return
        try:
            found: Speed | str = measure_way(
                data, TIER, ARCHITECTURES[name], settings, way=WAYS[way], device=chosen
            )
        except Exception as error:  # whatever it is, the others are to be measured
            found = in_a_line(error)
        pipe.send(found)


def in_a_line(error: Exception) -> str:
    """Kind and first line of an error."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}".removesuffix(": ")


def body(measured: Measured) -> str:
    """Measurements as Markdown."""
    size = measured.size
    parts = [
        f"{measured.device}. An epoch of five folds with their scores on {size.n_records:,} records, batches "
        f"of {size.batch_size}, tier {TIER}; records are SYNTHETIC: the demo's, repeated, with noise. "
        f"Seconds are medians over {size.epochs - 1} epochs after the first; in brackets how many times as "
        "fast as five serial eager runs of `benchmarks/training/helpers/reference.py` in float32, and the "
        "most memory allocated.",
        _table(measured),
    ]
    notes = [f"- {name}, {way}: {problem}." for (name, way), problem in measured.problems.items()]
    notes += [
        f"- {name}, {way}: {note}." for (name, way), speed in measured.speeds.items() for note in speed.notes
    ]
    if notes:
        parts.append("\n".join(notes))
    if measured.slices:
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
        plain = measured.speeds.get((name, ONE_BY_ONE))
        cells = [f"{name}, {count_parameters(ARCHITECTURES[name], n_outputs):,} parameters"]
        for way in measured.size.ways:
            speed = measured.speeds.get((name, way))
            if speed is None:
                cells.append("see below" if (name, way) in measured.problems else "–")
                continue
            ratio = "– ×" if plain is None else f"{plain.seconds / speed.seconds:.2f} ×"
            cells.append(f"{speed.seconds:.3f} s ({ratio}, {speed.memory_bytes / 2**30:.1f} GiB)")
        rows.append(cells)
    return markdown_table(["", *measured.size.ways], rows)


def _slices(measured: Measured) -> str:
    rows = []
    for chosen, found in measured.slices:
        if isinstance(found, str):
            rows.append([f"{chosen.workers}: {found}", *["–"] * 6])
            continue
        as_raced, unpruned = extrapolated_minutes(found, N_TRIALS)
        rows.append(
            [
                str(chosen.workers),
                f"{found.n_trials:.1f}".removesuffix(".0"),
                str(found.n_pruned),
                f"{found.share_trained:.0%}",
                f"{found.seconds:.0f}",
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
        command=shlex.join(["python", "benchmarks/gpu/gpu.py", *options.given]),
        n=f"{FULL.epochs - 1} epochs of each architecture and way; each slice once",
        body=text,
        packages=PACKAGES,
    )


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to train")
    parser.add_argument("--quick", action="store_true", help="tiny, and nothing is written")
    parser.add_argument(
        "--ways",
        type=_some_of(WAYS),
        metavar="NAMES",
        help=f"separated by semicolons (default: all): {'; '.join(WAYS)}",
    )
    parser.add_argument(
        "--architectures",
        type=_some_of(ARCHITECTURES),
        metavar="NAMES",
        help=f"separated by semicolons (default: all): {'; '.join(ARCHITECTURES)}",
    )
    parser.add_argument("--no-slices", action="store_true", help="no slice of a search")
    parser.add_argument(
        "--budget",
        type=positive,
        default=BUDGET_S,
        metavar="S",
        help="seconds for everything (default: %(default)s)",
    )
    add_out(parser)
    options = parser.parse_args(arguments)
    size = QUICK if options.quick else FULL
    options.given = list(arguments)
    options.size = replace(
        size,
        ways=options.ways or size.ways,
        architectures=options.architectures or size.architectures,
        slices=() if options.no_slices else size.slices,
    )
    return options


def _some_of(known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """Type of an option: some names, in the order in which they are given."""

    def names(text: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(name.strip() for name in text.split(";") if name.strip()))
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"unknown {name!r}: choose from {'; '.join(known)}")
        return found

    return names


if __name__ == "__main__":
    sys.exit(main())
