"""Speed of trials on this processor, against a well-written plain PyTorch loop.

python benchmarks/training/training.py --data DIR --quick    # some minutes; the last line is JSON
python benchmarks/training/training.py --data DIR            # some 25 minutes; writes RESULTS.md
python benchmarks/training/training.py --only cnn-bilstm --pairs 15  # one architecture alone
python benchmarks/training/training.py --beside-busy     # while another program takes a core
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

# The benchmarks run from a clone without installing anything of ours.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.helpers.options import add_out, positive
from benchmarks.helpers.results import Section, processor, took_words, write_section
from benchmarks.training.helpers.reading import measure_reading
from benchmarks.training.helpers.training_pairs import (
    ARCHITECTURES,
    Pair,
    Sides,
    busy_program,
    load,
    settings_of,
    subset,
)
from benchmarks.training.helpers.training_profile import measure_peak, measure_profile
from benchmarks.training.helpers.training_text import Measured, body, headline, precision
from search.data.dataset import Development
from search.data.demo import write_demo
from search.errors import SearchError
from search.training.device import has_fast_bfloat16

SAMPLE = Path(__file__).resolve().parents[3] / "shared" / "data" / "ptb-xl-sample"
N_DEMO_RECORDS = 500
N_READINGS = 5
N_WARMING = 60
PACKAGES = ("numpy", "scikit-learn", "torch", "wfdb")


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """Amount of training."""

    n_records: int
    epochs: int
    """Even: on two cores the epochs of five folds would leave one idle in the last, of two or of thirty."""
    n_pairs: int
    architectures: tuple[str, ...]
    bfloat16: tuple[str, ...]
    """Architectures also trained beside the reference with autocast switched on, where bfloat16 is native."""


FULL = Size(
    n_records=300,
    epochs=2,
    n_pairs=5,
    architectures=tuple(ARCHITECTURES),
    bfloat16=("cnn", "cnn-bilstm"),
)
QUICK = Size(
    n_records=150, epochs=2, n_pairs=3, architectures=("cnn", "cnn-bilstm", "small"), bfloat16=("cnn",)
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status."""
    options = _parse(list(sys.argv[1:] if arguments is None else arguments))
    size = _size(options)
    began_s = time.monotonic()
    try:
        folder = _folder(options)
        whole = load(folder, options.cache)
    except SearchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    data = subset(whole, size.n_records)
    measured = Measured(
        data=data,
        epochs=size.epochs,
        read_ratios=measure_reading(folder, N_READINGS),
        pairs=measure(folder, options.cache, size, beside_busy=options.beside_busy),
        peak=measure_peak(),
        profiles={
            name: measure_profile(data, ARCHITECTURES[name], settings_of(4)) for name in size.architectures
        },
    )
    text = body(measured)
    print(text)
    _tell(f"took {took_words(began_s)}")
    if size == FULL:
        write_section(section(options, data, size, text), options.out)
        _tell(f"wrote {options.out}")
    print(json.dumps(headline(measured)))
    return 0


def measure(
    folder: Path, cache: Path, size: Size, *, beside_busy: bool = False
) -> dict[tuple[str, bool], list[Pair]]:
    """Train all pairs; every architecture once before anything is timed."""
    found: dict[tuple[str, bool], list[Pair]] = {}
    # Emulated, autocast makes the reference several times slower: no user would switch it on.
    autocast = size.bfloat16 if has_fast_bfloat16(torch.device("cpu")) else ()
    with Sides(folder, cache) as sides, busy_program() if beside_busy else nullcontext():
        for name in size.architectures:
            sides.measure_pair(name, settings_of(1), n_records=N_WARMING)
            for seed in range(size.n_pairs):
                for bfloat16 in (False, True) if name in autocast else (False,):
                    pair = sides.measure_pair(
                        name,
                        settings_of(size.epochs, seed),
                        n_records=size.n_records,
                        bfloat16=bfloat16,
                        ours_first=bool(seed % 2),
                    )
                    found.setdefault((name, bfloat16), []).append(pair)
                    _tell(
                        f"{name}, {precision(bfloat16)}: {pair.ours.seconds:.1f} s for "
                        f"{pair.reference.seconds:.1f} s, {pair.ratio:.2f} "
                        f"(processor {pair.processor_ratio:.2f})"
                    )
    return found


def _size(options: argparse.Namespace) -> Size:
    """Size of the benchmark, from the options."""
    size = QUICK if options.quick else FULL
    if options.pairs:
        size = replace(size, n_pairs=options.pairs)
    if options.only:
        size = replace(size, architectures=(options.only,))
    return size


def _folder(options: argparse.Namespace) -> Path:
    """The data set of the options, the sample if it is there, else the demo."""
    if options.data is not None:
        return Path(options.data)
    if SAMPLE.is_dir():
        return SAMPLE
    folder = Path(options.cache) / "demo"
    if not folder.exists():
        write_demo(folder, n_records=N_DEMO_RECORDS)
    return folder


def section(options: argparse.Namespace, data: Development, size: Size, text: str) -> Section:
    """A section of this processor's; those of others stay."""
    name = f" --data {Path(options.data).name}" if options.data else ""
    beside = " beside a busy program" if options.beside_busy else ""
    # Processors of one name differ in it, and so do virtual machines on one processor.
    without = "" if has_fast_bfloat16(torch.device("cpu")) else " without bfloat16"
    on = f"on {processor()}{without}{beside}"
    return Section(
        name=f"training {on}",
        title=f"Training {on}, {data.name}{' (SYNTHETIC)' if data.synthetic else ''}",
        command=f"python benchmarks/training/training.py{name}{' --beside-busy' if beside else ''}",
        n=f"{size.n_pairs} pairs of each architecture",
        body=text,
        packages=PACKAGES,
    )


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", metavar="DIR", help="data set (default: the sample beside, else the demo)")
    parser.add_argument(
        "--quick", action="store_true", help="few records and architectures; writes no file, ends with JSON"
    )
    parser.add_argument(
        "--only", choices=tuple(ARCHITECTURES), help="this architecture alone; writes no file"
    )
    parser.add_argument(
        "--pairs", type=positive, metavar="N", help="trials of each by both sides; writes no file"
    )
    parser.add_argument(
        "--beside-busy",
        action="store_true",
        help="while another program computes without end, beside both sides; in a section of its own",
    )
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/cache"), metavar="DIR", help="signals (default: %(default)s)"
    )
    add_out(parser)
    return parser.parse_args(arguments)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
