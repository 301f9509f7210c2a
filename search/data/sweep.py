"""Many records at once: read in parallel, in the table's order, with bounded memory.

Threads, not processes: what a first read waits for is the disk. On a cold disk eight threads read a record in
about half the time of one; with all files in memory they gain nothing (0.15 ms a record either way), and
processes cost more to start than they save.

Shape suffixes: N record, L lead, T time.
"""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.data.headers import load_wfdb
from search.data.leads import LEADS
from search.data.ptbxl import RecordTable
from search.data.records import Damage, RecordError, RecordReader, flat_leads
from search.errors import DataError, UsageError

Progress = Callable[[int, int], None]
"""Called with the number of records done and the number of all."""

N_THREADS = 8
N_PER_CHUNK = 64  # 1.5 MB at 100 Hz
_N_WAITING = 2 * N_THREADS  # chunks in memory at most


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Chunk:
    """Some successive records of a table."""

    x_NLT: NDArray[np.int16]
    """Microvolts of the records that could be read."""
    damages: tuple[Damage, ...]
    """Those that could not."""
    flat_leads: dict[int, tuple[str, ...]]
    """Record id and names of leads that never change; only records with such leads."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Survey:
    """What is wrong with the records of a table."""

    damages: tuple[Damage, ...]
    flat_leads: dict[int, tuple[str, ...]]
    """Record id and names of leads that never change: a note, not an error."""


def record_names(table: RecordTable, rate_hz: int) -> tuple[str, ...]:
    """Record names of a table at one rate.

    Raises:
        UsageError: The table has no files at this rate.
    """
    names = table.filenames.get(rate_hz)
    if names is None:
        rates = " or ".join(str(rate) for rate in sorted(table.filenames))
        raise UsageError(f"--rate {rate_hz}: {table.root} lists records at {rates} Hz; give one of these")
    return names


def sweep(table: RecordTable, rate_hz: int, progress: Progress | None = None) -> Generator[Chunk, None, None]:
    """Read all records of a table, chunk by chunk.

    Args:
        table: The records, and no others: nothing else is opened.
        rate_hz: Sampling rate.
        progress: Called after each chunk, in the calling thread.

    Raises:
        UsageError: The table has no files at this rate.
    """
    names = record_names(table, rate_hz)
    ids = table.ecg_id.tolist()
    load_wfdb()  # here, not by eight threads at once
    reader = RecordReader(table.root, rate_hz=rate_hz)
    executor = ThreadPoolExecutor(N_THREADS, thread_name_prefix="read")
    waiting: deque[Future[Chunk]] = deque()
    n_done = 0

    def finished() -> Chunk:
        nonlocal n_done
        chunk = waiting.popleft().result()
        n_done += len(chunk.x_NLT) + len(chunk.damages)
        if progress is not None:
            progress(n_done, len(names))
        return chunk

    try:
        for start in range(0, len(names), N_PER_CHUNK):
            part = slice(start, start + N_PER_CHUNK)
            waiting.append(executor.submit(_read_chunk, reader, ids[part], names[part]))
            if len(waiting) >= _N_WAITING:
                yield finished()
        while waiting:
            yield finished()
    finally:
        executor.shutdown(cancel_futures=True)


def _read_chunk(reader: RecordReader, ids: list[int], names: tuple[str, ...]) -> Chunk:
    x_NLT = np.empty((len(names), len(LEADS), reader.n_samples), dtype=np.int16)
    damages: list[Damage] = []
    flat: dict[int, tuple[str, ...]] = {}
    n_read = 0
    for ecg_id, name in zip(ids, names, strict=True):
        try:
            x_NLT[n_read] = reader.read(name)
        except RecordError as error:
            damages.append(Damage(ecg_id=ecg_id, filename=name, reason=str(error)))
            continue
        if leads := flat_leads(x_NLT[n_read]):
            flat[ecg_id] = leads
        n_read += 1
    return Chunk(x_NLT=x_NLT[:n_read], damages=tuple(damages), flat_leads=flat)


def survey(table: RecordTable, rate_hz: int, progress: Progress | None = None) -> Survey:
    """Read every record of a table, keep nothing but what is wrong.

    Raises:
        UsageError: The table has no files at this rate.
    """
    damages: list[Damage] = []
    flat: dict[int, tuple[str, ...]] = {}
    for chunk in sweep(table, rate_hz, progress):
        damages += chunk.damages
        flat |= chunk.flat_leads
    return Survey(damages=tuple(damages), flat_leads=flat)


def find_damage(table: RecordTable, rate_hz: int, progress: Progress | None = None) -> list[Damage]:
    """Records of a table that cannot be read as ECGs, missing files among them.

    Raises:
        UsageError: The table has no files at this rate.
    """
    return list(survey(table, rate_hz, progress).damages)


def describe_damages(damages: tuple[Damage, ...], n_shown: int = 5) -> str:
    """The first damages and how many there are besides, on one line."""
    shown = "; ".join(str(damage) for damage in damages[:n_shown])
    rest = len(damages) - n_shown
    return f"{shown}; and {rest:,} more" if rest > 0 else shown


def no_files(table: RecordTable, rate_hz: int) -> DataError:
    """The error for a table of which not a single file is there."""
    others = [str(rate) for rate in sorted(table.filenames) if rate != rate_hz]
    instead = f" or use --rate {' or '.join(others)}" if others else ""
    return DataError(
        f"no waveform files at all for --rate {rate_hz} in {table.root} "
        f"(looked for {record_names(table, rate_hz)[0]}.hea); download them{instead}"
    )
