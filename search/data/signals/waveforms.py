"""Signals of a data set that are yet to be read: which files, which rows, which leads.

Shape suffixes: N row, L lead, T time.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from search.data.signals.headers import load_wfdb, record_files
from search.data.signals.records import Damage, RecordReader, RecordSignals, flat_leads
from search.data.signals.resample import n_resampled, resample
from search.errors import RecordError

Rows = NDArray[np.bool_] | NDArray[np.int64]
"""A boolean mask of all rows, or row numbers in the order wanted."""

N_PER_PART: Final = 64  # 1.5 MB at 100 Hz


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Chunk:
    """Some successive rows of a data set."""

    x_NLT: NDArray[np.int16]
    """Microvolts of the rows whose record could be read."""
    damages: tuple[Damage, ...]
    """Records that could not."""
    flat_leads: dict[int, tuple[str, ...]]
    """Record id and names of leads that never change; only records with such leads."""
    without_gain: dict[int, tuple[str, ...]]
    """Record id and names of leads without a gain in the header; only records with such leads."""


class Waveforms(Protocol):
    """Signals of the rows of a data set at one rate.

    A row is a record or a part of one. Rows of one record follow one another.
    """

    @property
    def root(self) -> Path:
        """The folder that names are relative to."""

    @property
    def rate_hz(self) -> int:
        """Sampling rate of what `read` returns."""

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the leads, axis L."""

    @property
    def n_samples(self) -> int:
        """Samples per lead, axis T."""

    @property
    def record_id(self) -> NDArray[np.int64]:
        """Record of each row, shape (N,)."""

    @property
    def names(self) -> tuple[str, ...]:
        """Name of that record relative to the root, without extension, for each row."""

    @property
    def recipe(self) -> str:
        """Settings besides the files that determine the array: part of the key of the cache."""

    def __len__(self) -> int:
        """Number of rows."""

    def files(self, name: str) -> tuple[str, ...]:
        """The files that make the record of that name, there or not, relative to the root; at least one.

        The only definition by which a record is there, or has changed.
        """

    def select(self, rows: Rows) -> Self:
        """Signals of some rows."""

    def parts(self) -> Iterable[slice]:
        """Successive rows that are read together, all rows in their order; called once before `read`."""

    def read(self, part: slice) -> Chunk:
        """Read the rows of one part; called from several threads."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordFiles:
    """One row per record, read by a function from its name; `Waveforms`.

    Attributes:
        prepare: Called once before anything is read, by one thread.
        read_one: Signals of the record of that name, shape (L, T); raises `RecordError`.
        files_of: Names of the files that make the record of that name.
    """

    root: Path
    rate_hz: int
    leads: tuple[str, ...]
    n_samples: int
    record_id: NDArray[np.int64]
    names: tuple[str, ...]
    recipe: str
    prepare: Callable[[], object]
    read_one: Callable[[str], RecordSignals]
    files_of: Callable[[str], tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.names)

    def files(self, name: str) -> tuple[str, ...]:
        """The files that make the record of that name."""
        return self.files_of(name)

    def select(self, rows: Rows) -> Self:
        """Signals of some rows."""
        chosen = np.arange(len(self))[rows]
        return replace(self, record_id=self.record_id[chosen], names=tuple(self.names[row] for row in chosen))

    def parts(self) -> Iterable[slice]:
        """Parts of `N_PER_PART` records."""
        self.prepare()
        return [slice(start, start + N_PER_PART) for start in range(0, len(self), N_PER_PART)]

    def read(self, part: slice) -> Chunk:
        """Read the records of one part."""
        ids, names = self.record_id[part].tolist(), self.names[part]
        x_NLT = np.empty((len(names), len(self.leads), self.n_samples), dtype=np.int16)
        damages: list[Damage] = []
        flat: dict[int, tuple[str, ...]] = {}
        without_gain: dict[int, tuple[str, ...]] = {}
        n_read = 0
        for record_id, name in zip(ids, names, strict=True):
            try:
                record = self.read_one(name)
            except RecordError as error:
                damages.append(Damage(ecg_id=record_id, filename=name, reason=str(error)))
                continue
            x_NLT[n_read] = record.x_LT
            if leads := flat_leads(x_NLT[n_read], self.leads):
                flat[record_id] = leads
            if record.without_gain:
                without_gain[record_id] = record.without_gain
            n_read += 1
        return Chunk(x_NLT=x_NLT[:n_read], damages=tuple(damages), flat_leads=flat, without_gain=without_gain)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SomeLeads:
    """Some leads of other signals; `Waveforms`.

    Attributes:
        signals: The signals with all leads.
        columns: Which of their leads, ascending.
    """

    signals: Waveforms
    columns: NDArray[np.intp]

    @property
    def root(self) -> Path:
        """The folder that names are relative to."""
        return self.signals.root

    @property
    def rate_hz(self) -> int:
        """Sampling rate of what `read` returns."""
        return self.signals.rate_hz

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the leads, axis L."""
        return tuple(self.signals.leads[column] for column in self.columns)

    @property
    def n_samples(self) -> int:
        """Samples per lead, axis T."""
        return self.signals.n_samples

    @property
    def record_id(self) -> NDArray[np.int64]:
        """Record of each row, shape (N,)."""
        return self.signals.record_id

    @property
    def names(self) -> tuple[str, ...]:
        """Name of that record relative to the root, without extension, for each row."""
        return self.signals.names

    @property
    def recipe(self) -> str:
        """Settings besides the files that determine the array."""
        return f"{self.signals.recipe}leads {', '.join(self.leads)}\n"

    def __len__(self) -> int:
        return len(self.signals)

    def files(self, name: str) -> tuple[str, ...]:
        """The files that make the record of that name."""
        return self.signals.files(name)

    def select(self, rows: Rows) -> Self:
        """Signals of some rows."""
        return replace(self, signals=self.signals.select(rows))

    def parts(self) -> Iterable[slice]:
        """Successive rows that are read together."""
        return self.signals.parts()

    def read(self, part: slice) -> Chunk:
        """Read the rows of one part. A record that is flat in all of these leads in every row is damaged."""
        chunk = self.signals.read(part)
        ids, names = self.record_id[part], self.names[part]
        name_of = dict(zip(ids.tolist(), names, strict=True))
        read = ids[~np.isin(ids, [damage.ecg_id for damage in chunk.damages])]
        x_NLT = np.ascontiguousarray(chunk.x_NLT[:, self.columns])
        is_flat = np.array(
            [len(flat_leads(x_LT, self.leads)) == len(self.leads) for x_LT in x_NLT], dtype=bool
        )
        flat_ids = [number for number in np.unique(read).tolist() if is_flat[read == number].all()]
        reason = f"flat: {' and '.join(self.leads)} never change{'s' * (len(self.leads) == 1)}"
        damages = [Damage(ecg_id=number, filename=name_of[number], reason=reason) for number in flat_ids]

        def of_these(found: Mapping[int, tuple[str, ...]]) -> dict[int, tuple[str, ...]]:
            return {
                number: kept
                for number, leads in found.items()
                if number not in flat_ids and (kept := tuple(lead for lead in leads if lead in self.leads))
            }

        return Chunk(
            x_NLT=x_NLT[~np.isin(read, flat_ids)],
            damages=(*chunk.damages, *damages),
            flat_leads=of_these(chunk.flat_leads),
            without_gain=of_these(chunk.without_gain),
        )


def wfdb_records(
    reader: RecordReader, record_id: NDArray[np.int64], names: tuple[str, ...], recipe: str = ""
) -> RecordFiles:
    """Signals of WFDB records: headers, and the signal files that they name."""
    return RecordFiles(
        root=reader.root,
        rate_hz=reader.rate_hz,
        leads=reader.leads,
        n_samples=reader.n_samples,
        record_id=record_id,
        names=names,
        recipe=recipe,
        prepare=load_wfdb,
        read_one=reader.read,
        files_of=partial(record_files, reader.root),
    )


def at_lower_rate(records: RecordFiles, rate_hz: int) -> RecordFiles:
    """The same records, resampled as they are read."""

    def read_one(name: str) -> RecordSignals:
        record = records.read_one(name)
        return replace(record, x_LT=resample(record.x_LT, records.rate_hz, rate_hz))

    return replace(
        records,
        rate_hz=rate_hz,
        n_samples=n_resampled(records.n_samples, records.rate_hz, rate_hz),
        recipe=f"{records.recipe}from {records.rate_hz} Hz\n",
        read_one=read_one,
    )
