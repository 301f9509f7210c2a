"""A recording as a CSV file: a header row of lead names, then a row for every sample.

    time,I,II,V1        `time` in seconds or `time_ms` in milliseconds; without it the rate is given
    0.000,-0.115,…      decimal points; "nan" where a sample is missing, never a blank

Separated by commas, semicolons or tabs. The file does not contain the unit: the user gives it.
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from search.data.other_files import other_file_at
from search.data.recordings.recording import SignalsInMemory
from search.data.signals.headers import LOWEST_HZ, file_size, uv_per_unit
from search.errors import RecordError, UsageError

HIGHEST_HZ: Final = 1e6
LARGEST_BYTES: Final = 256_000_000
"""Text takes four times as much memory while it is read."""
_TIME_S: Final = frozenset(("time", "t", "time_s", "time (s)", "time [s]", "seconds"))
_TIME_MS: Final = frozenset(("time_ms", "time (ms)", "time [ms]", "milliseconds"))
_UNEVEN: Final = 0.1
"""Share by which steps of time may differ from their mean."""
_ROUNDED_S: Final = 0.00101
"""Times are often rounded to milliseconds: then steps may differ by one, as long as none can be missing."""
_SEPARATORS: Final = (",", ";", "\t")


@dataclass(frozen=True, kw_only=True, slots=True)
class CsvOptions:
    """Facts that a CSV file does not contain: unit and rate.

    Raises:
        UsageError: The rate is no positive number, or the unit is none of voltage.
    """

    rate_hz: float | None = None
    """Sampling rate of files without a column of time."""
    unit: str | None = None
    """Unit of the leads."""

    def __post_init__(self) -> None:
        if self.rate_hz is not None and not 0 < self.rate_hz < HIGHEST_HZ:
            raise UsageError(f"--rate is a number of Hz above 0, got {self.rate_hz:g}")
        if self.unit is not None:
            try:
                uv_per_unit(self.unit)
            except RecordError:
                raise UsageError(f"--unit is mV, uV or V, got {self.unit[:40]!r}") from None


def read_csv_recording(path: Path, options: CsvOptions) -> SignalsInMemory:
    """Read a CSV file.

    Raises:
        RecordError: It is no such table, has a cell that is no number, or its rate or unit is not known.
    """
    if options.unit is None:
        raise RecordError("the unit of its leads is not given; give --unit mV, uV or V")
    size = file_size(path)
    if size > LARGEST_BYTES:
        raise RecordError(
            f"{size / 1e6:,.0f} MB, the most for a .csv is {LARGEST_BYTES / 1e6:,.0f}; write it as WFDB"
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
        names, separator = _header(first)
        values_TS = _values(path, names, separator)
    except UnicodeDecodeError:
        raise RecordError(str(other_file_at(path) or "is not a text file in UTF-8")) from None
    except OSError as error:
        raise RecordError(f"cannot be read: {error.strerror or type(error).__name__}") from error
    times = [column for column, name in enumerate(names) if name.casefold() in _TIME_S | _TIME_MS]
    if len(times) > 1:
        raise RecordError(f"has two columns of time, {names[times[0]]!r} and {names[times[1]]!r}")
    is_lead = [column not in times for column in range(len(names))]
    rate_hz = _rate(names, values_TS, times, options.rate_hz)
    return SignalsInMemory(
        rate_hz=rate_hz,
        leads=tuple(name for name, kept in zip(names, is_lead, strict=True) if kept),
        uv_ST=np.ascontiguousarray(values_TS[:, is_lead].T) * uv_per_unit(options.unit),
    )


def _header(line: str) -> tuple[list[str], str]:
    separator = max(_SEPARATORS, key=line.count)
    names = [name.strip() for name in next(csv.reader([line.rstrip("\r\n")], delimiter=separator), [])]
    if not any(names):
        raise RecordError("is empty, expected a header row of lead names")
    if all(_is_number(name) for name in names):
        raise RecordError(
            f"line 1 has the numbers {line.strip()[:40]!r}, expected a header row of lead names"
        )
    if "" in names:
        raise RecordError(f"column {names.index('') + 1} of line 1 has no name")
    return names, separator


def _values(path: Path, names: list[str], separator: str) -> NDArray[np.float64]:
    """All rows, shape (T, S)."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            file.readline()
            if not file.readline().strip():
                raise RecordError("has no row below its header")
        values_TS = np.loadtxt(
            path, delimiter=separator, skiprows=1, comments=None, quotechar='"', ndmin=2, encoding="utf-8-sig"
        )
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        raise _first_mistake(path, names, separator) or RecordError(
            f"is no table of numbers: {error}"
        ) from None
    if values_TS.shape[1] != len(names):
        raise RecordError(f"line 2 has {values_TS.shape[1]} cells, its header {len(names)}")
    if np.isinf(values_TS).any():
        row, column = np.argwhere(np.isinf(values_TS))[0]
        raise RecordError(f"line {row + 2}: {names[column]} is infinite")
    return values_TS


def _first_mistake(path: Path, names: list[str], separator: str) -> RecordError | None:
    """Error at the first place where a table is not numeric."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=separator)
        next(rows)
        for row in rows:
            if row and len(row) != len(names):
                return RecordError(f"line {rows.line_num} has {len(row)} cells, its header {len(names)}")
            for name, cell in zip(names, row, strict=False):
                if not cell.strip():
                    return RecordError(
                        f"line {rows.line_num}: {name} is blank; write nan for a missing sample"
                    )
                if not _is_number(cell):
                    return RecordError(
                        f"line {rows.line_num}: {name} is {cell[:40]!r}, expected a number like -0.115"
                    )
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _rate(
    names: list[str], values_TS: NDArray[np.float64], times: list[int], given_hz: float | None
) -> float:
    """Sampling rate by the column of time, or as given."""
    if not times:
        if given_hz is None:
            raise RecordError("its sampling rate is not given; add a column time in seconds or give --rate")
        return given_hz
    name = names[times[0]]
    step_T = np.diff(values_TS[:, times[0]]) * (1e-3 if name.casefold() in _TIME_MS else 1.0)
    mean = float(step_T.mean()) if len(step_T) else math.nan
    if not mean > 0:
        raise RecordError(f"column {name} does not rise")
    uneven = np.abs(step_T - mean) > max(_UNEVEN * mean, min(_ROUNDED_S, mean / 2))
    if uneven.any() or np.isnan(step_T).any():
        line = int(np.argmax(uneven | np.isnan(step_T))) + 3
        raise RecordError(f"line {line}: {name} is not evenly spaced, expected steps of {mean:.6g} s")
    rate_hz = 1 / mean
    if rate_hz < LOWEST_HZ and name.casefold() in _TIME_S:
        raise RecordError(
            f"column {name} makes {rate_hz:g} Hz, at least {LOWEST_HZ} are needed; if it counts milliseconds "
            "name it time_ms, if samples leave it out and give --rate"
        )
    # A rate that is whole within the rounding of the first and last time is taken to be whole.
    if abs(rate_hz - round(rate_hz)) <= rate_hz * _ROUNDED_S / (mean * len(step_T)):
        rate_hz = float(round(rate_hz))
    if given_hz is not None and abs(given_hz - rate_hz) > 0.001 * rate_hz:
        raise RecordError(f"column {name} makes {rate_hz:g} Hz, --rate says {given_hz:g}")
    return rate_hz
