"""RESULTS.md: one section for every benchmark, each written by its own script and left alone by others."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from search.cores import available_cores
from search.study.provenance import commit

RESULTS = Path(__file__).resolve().parents[1] / "RESULTS.md"
PACKAGES = ("numpy", "scipy", "scikit-learn", "optuna")
_HEADING = "# Benchmark results\n\nEvery section is written by the command it names; see `benchmarks/`.\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """Results of one script."""

    name: str
    """Name of the script, by which the section is found again."""
    title: str
    command: str
    """The exact command."""
    n: str
    """Number of repetitions, in words."""
    body: str
    """Markdown."""
    packages: Sequence[str] = PACKAGES
    """Those whose version matters."""


def write_section(section: Section, path: Path = RESULTS) -> None:
    """Write a section into the file of results, in the place of its predecessor or at the end.

    Raises:
        ValueError: the file has the beginning of the section and not its end.
    """
    begin, end = f"<!-- {section.name}: begin -->", f"<!-- {section.name}: end -->"
    text = path.read_text(encoding="utf-8") if path.exists() else _HEADING
    written = f"{begin}\n{_render(section)}\n{end}"
    before, found, rest = text.partition(begin)
    if not found:
        text = f"{text.rstrip()}\n\n{written}\n"
    else:
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"{path} has {begin} but not {end}: add the line or delete the section")
        text = f"{before}{written}{after}"
    path.write_text(text, encoding="utf-8")


def tell_and_write(section: Section, path: Path) -> None:
    """Print what was measured, and write its section."""
    print(section.body)
    write_section(section, path)


def took_words(began_s: float, n_processes: int | None = None) -> str:
    """Duration of a script in words: `9.9 minutes on 2 processes`.

    Args:
        began_s: monotonic clock at its begin.
        n_processes: where the work is spread over some.
    """
    minutes = f"{(time.monotonic() - began_s) / 60:.1f} minutes"
    return minutes if n_processes is None else f"{minutes} on {n_processes} processes"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown; all columns but the first are aligned to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def dict_table(rows: Iterable[Mapping[str, str]]) -> str:
    """A table of one or more rows, each with its cells by the names of the columns."""
    cells = list(rows)
    return markdown_table(list(cells[0]), [list(row.values()) for row in cells])


def hardware() -> str:
    """Processor, cores this process may use, and memory."""
    try:
        memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        memory = f"{memory_gib:.0f} GiB of memory"
    except (AttributeError, ValueError, OSError):  # not on every platform
        memory = "memory unknown"
    return f"{processor()}, {available_cores()} cores, {memory}"


def versions(packages: Sequence[str]) -> str:
    """Python and packages with their versions."""
    found = [f"Python {platform.python_version()}"]
    for package in packages:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def processor() -> str:
    """Name of the processor of this machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _render(section: Section) -> str:
    facts = [
        f"- Date: {datetime.now(UTC):%Y-%m-%d}",
        f"- Command: `{section.command}`",
        f"- Hardware: {hardware()}",
        f"- Versions: {versions(section.packages)}; commit {commit() or 'unknown'}",
        f"- n: {section.n}",
    ]
    return f"\n## {section.title}\n\n" + "\n".join(facts) + f"\n\n{section.body.strip()}\n"
