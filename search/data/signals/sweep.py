"""Many records at once: read in parallel, in the order of the rows, with bounded memory.

Threads, not processes: what a first read waits for is the disk. On a cold disk eight threads read a record in
about half the time of one; with all files in memory they only wait for each other and take twice as long,
and processes cost more to start than they save. So one thread reads until it has waited for the disk.
"""

import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from search.data.signals.records import Damage
from search.data.signals.waveforms import Chunk, Waveforms
from search.errors import DataError

Progress = Callable[[int, int], None]
"""Called with the number of rows done and the number of all."""

N_THREADS = 8
N_SHOWN = 5
"""Damaged records that a line names; it counts the others."""
_N_WAITING = 2 * N_THREADS  # parts in memory at most
_IN_MEMORY = 0.5  # share of the time that a thread computes when it does not wait for a disk


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Survey:
    """Findings on the records of a data set."""

    damages: tuple[Damage, ...]
    flat_leads: dict[int, tuple[str, ...]]
    """Record id and names of leads that never change: a note, not an error."""


def sweep(waveforms: Waveforms, progress: Progress | None = None) -> Generator[Chunk, None, None]:
    """Read all rows, part by part.

    Args:
        waveforms: The rows, and no others: nothing else is opened.
        progress: Called after each part, in the calling thread.
    """
    alone, many = (ThreadPoolExecutor(n, thread_name_prefix="read") for n in (1, N_THREADS))
    readers = alone
    waiting: deque[tuple[slice, Future[tuple[Chunk, bool]]]] = deque()
    n_rows = len(waveforms)

    def finished() -> Chunk:
        nonlocal readers
        part, reading = waiting.popleft()
        chunk, has_waited = reading.result()
        if has_waited:
            readers = many
        if progress is not None:
            progress(min(part.stop, n_rows), n_rows)
        return chunk

    try:
        for part in waveforms.parts():
            waiting.append((part, readers.submit(_read, waveforms, part)))
            if len(waiting) >= (_N_WAITING if readers is many else 2):
                yield finished()
        while waiting:
            yield finished()
    finally:
        for executor in (alone, many):
            executor.shutdown(cancel_futures=True)


def _read(waveforms: Waveforms, part: slice) -> tuple[Chunk, bool]:
    """Read a part; returns whether the disk was waited for."""
    began_s, began_processor_s = time.perf_counter(), time.thread_time()
    chunk = waveforms.read(part)
    processor_s = time.thread_time() - began_processor_s
    return chunk, processor_s < _IN_MEMORY * (time.perf_counter() - began_s)


def survey(waveforms: Waveforms, progress: Progress | None = None) -> Survey:
    """Read every record, keep nothing but what is wrong."""
    damages: list[Damage] = []
    flat: dict[int, tuple[str, ...]] = {}
    for chunk in sweep(waveforms, progress):
        damages += chunk.damages
        flat |= chunk.flat_leads
    return Survey(damages=tuple(damages), flat_leads=flat)


def find_damage(waveforms: Waveforms) -> list[Damage]:
    """Records that cannot be read as ECGs, missing files among them."""
    return list(survey(waveforms).damages)


def describe_damages(damages: tuple[Damage, ...]) -> str:
    """The first damages and how many there are besides, on one line."""
    shown = "; ".join(str(damage) for damage in damages[:N_SHOWN])
    rest = len(damages) - N_SHOWN
    return f"{shown}; and {rest:,} more" if rest > 0 else shown


def no_files(waveforms: Waveforms) -> DataError:
    """The error for a data set of which not a single signal file is there."""
    return DataError(
        f"no waveform files at all for --rate {waveforms.rate_hz} in {waveforms.root} "
        f"(looked for {waveforms.files(waveforms.names[0])[0]}); download them or give another --rate"
    )
