"""Many records at once: read in parallel, in the order of the rows, with bounded memory.

Threads, not processes: what a first read waits for is the disk. On a cold disk eight threads read a record in
about half the time of one; with all files in memory they only wait for each other and take twice as long,
and processes cost more to start than they save. So one thread reads until it has waited for the disk.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.numbers import counted_words, digits_words
from search.data.other_files import archives_in
from search.data.signals.headers import DEFAULT_GAIN
from search.data.signals.records import Damage
from search.data.signals.waveforms import Chunk, Waveforms
from search.errors import DataError

Progress = Callable[[int, int], None]
"""Called with the number of rows done and the number of all."""

N_THREADS = 8
N_SHOWN = 5
"""Records that a line names; it counts the others."""
_N_WAITING = 2 * N_THREADS  # parts in memory at most
FAR = 20.0
"""Factor between the span of a record and the usual one beyond which its unit is in doubt: units differ by a
thousand, gains by five and more; records of PTB-XL by four."""
PLAUSIBLE_MV = (0.1, 30.0)
"""Usual span of the largest lead; 1 to 4 mV in data sets of adults."""
_IN_MEMORY = 0.5  # share of the time that a thread computes when it does not wait for a disk


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Survey:
    """Findings on the records of a data set."""

    damages: tuple[Damage, ...]
    flat_leads: dict[int, tuple[str, ...]]
    """Record id and names of leads that never change: a note, not an error."""
    without_gain: dict[int, tuple[str, ...]]
    """Record id and names of leads without a gain in the header, so that their size is a guess."""
    twins: tuple[tuple[int, ...], ...]
    """Ids of records with equal signals, at least two in each."""
    spans_mv: dict[int, float]
    """Record id and largest span of a lead in mV of records that the others are far from."""
    typical_mv: float
    """Median of those spans over all records; 0 without a record."""

    def notes(self, waveforms: Waveforms, patient_id: NDArray[np.int64]) -> Iterator[str]:
        """Possible faults of records that can be read, one line for each kind.

        Args:
            waveforms: The rows that were read.
            patient_id: Patient of each row, shape (N,); equal signals of one patient are no fault.
        """
        names = dict(zip(waveforms.record_id.tolist(), waveforms.names, strict=True))
        patients = dict(zip(waveforms.record_id.tolist(), patient_id.tolist(), strict=True))
        shared = [of_one for of_one in self.twins if len({patients[number] for number in of_one}) > 1]
        if shared:
            pairs = [" and ".join(names[number] for number in of_one) for of_one in shared]
            listing = counted_words(pairs, N_SHOWN, between="; ")
            yield (
                f"records of different patients with equal signals, so that one may be scored by a model "
                f"that was trained on the other: {listing}"
            )
        if self.without_gain:
            leads = [f"{names[number]}: {', '.join(found)}" for number, found in self.without_gain.items()]
            listing = counted_words(leads, N_SHOWN, between="; ")
            yield (
                f"records whose header states no gain, or 0, read with WFDB's default of {DEFAULT_GAIN:g} "
                f"steps per unit: {listing}"
            )
        if self.spans_mv:
            spans = [f"{names[number]}: {digits_words(span)} mV" for number, span in self.spans_mv.items()]
            listing = counted_words(spans, N_SHOWN, between="; ")
            yield (
                f"records whose largest lead spans {FAR:g} times less or more than the usual "
                f"{digits_words(self.typical_mv)} mV, perhaps in another unit: {listing}"
            )
        low, high = PLAUSIBLE_MV
        if self.typical_mv and not low <= self.typical_mv <= high:
            yield (
                f"half of the records span less than {digits_words(self.typical_mv)} mV in every lead, "
                f"expected {low:g} to {high:g} mV: check gain and unit of the headers"
            )


class Surveyor:
    """Collector of findings from chunks."""

    def __init__(self) -> None:
        self._damages: list[Damage] = []
        self._flat: dict[int, tuple[str, ...]] = {}
        self._without_gain: dict[int, tuple[str, ...]] = {}
        self._digests: list[bytes] = []
        self._spans_uv: list[NDArray[np.int64]] = []

    def add(self, chunk: Chunk) -> None:
        """Take in the next chunk, in the order of the rows."""
        self._damages += chunk.damages
        self._flat |= chunk.flat_leads
        self._without_gain |= chunk.without_gain
        x_NLT = np.ascontiguousarray(chunk.x_NLT)
        self._digests += [hashlib.blake2b(x_LT.data, digest_size=16).digest() for x_LT in x_NLT]
        if len(x_NLT):
            span_NL = x_NLT.max(axis=2).astype(np.int64) - x_NLT.min(axis=2)
            self._spans_uv.append(span_NL.max(axis=1))

    def survey(self, record_id: NDArray[np.int64]) -> Survey:
        """The findings.

        Args:
            record_id: Record of each row, shape (N,).
        """
        damaged = [damage.ecg_id for damage in self._damages]
        ids = record_id[~np.isin(record_id, damaged)].tolist()
        of_digest: dict[bytes, dict[int, None]] = {}
        for number, digest in zip(ids, self._digests, strict=True):
            of_digest.setdefault(digest, {})[number] = None
        spans: dict[int, float] = {}
        for number, span_uv in zip(ids, np.concatenate([[], *self._spans_uv]).tolist(), strict=True):
            spans[number] = max(spans.get(number, 0.0), span_uv / 1000)
        typical = float(np.median(list(spans.values()))) if spans else 0.0
        return Survey(
            damages=tuple(self._damages),
            flat_leads=self._flat,
            without_gain=self._without_gain,
            twins=tuple(tuple(numbers) for numbers in of_digest.values() if len(numbers) > 1),
            spans_mv={
                number: span for number, span in spans.items() if not typical / FAR < span < typical * FAR
            },
            typical_mv=typical,
        )


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


def find_damage(waveforms: Waveforms, progress: Progress | None = None) -> Survey:
    """Read every record and keep nothing but what is wrong with it."""
    surveyor = Surveyor()
    for chunk in sweep(waveforms, progress):
        surveyor.add(chunk)
    return surveyor.survey(waveforms.record_id)


def describe_damages(damages: tuple[Damage, ...]) -> str:
    """The first damages and how many there are besides, on one line."""
    shown = "; ".join(str(damage) for damage in damages[:N_SHOWN])
    rest = len(damages) - N_SHOWN
    return f"{shown}; and {rest:,} more" if rest > 0 else shown


def no_files(waveforms: Waveforms) -> DataError:
    """The error for a data set of which not a single signal file is there, or can be seen."""
    first = waveforms.files(waveforms.names[0])[0]
    try:
        (waveforms.root / first).stat()
    except PermissionError as error:
        return DataError(
            f"{waveforms.root / first} cannot be opened: {error.strerror}; check the permissions there"
        )
    except (OSError, ValueError):
        pass
    return DataError(
        f"no waveform files at all for --rate {waveforms.rate_hz} in {waveforms.root} "
        f"(looked for {first}); download them or give another --rate"
        f"{archives_in(waveforms.root)}"
    )
