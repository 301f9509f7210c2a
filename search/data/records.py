"""One WFDB record on disk to one array: its leads in microvolts, or the reason why not.

wfdb reads every signal format; plain interleaved 16-bit files, PTB-XL's own, are read by numpy with
exactly wfdb's result (tested). Nothing in a header is trusted: file names stay inside the record's folder,
and length, rate and number of leads are compared with what is expected, and with the size of the file,
before any sample is read.

Shape suffixes: L lead (in the order of the data set; for `steps_LT` in the order of the file), T time.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from search.data.headers import Header, HeaderReader, Layout, file_size, load_wfdb, one_line
from search.data.leads import LEADS, LeadColumns, columns_of
from search.errors import RecordError

__all__ = ["RECORD_S", "Damage", "RecordError", "RecordReader", "flat_leads", "read_record", "record_path"]

RECORD_S: Final = 10
"""Length of a PTB-XL record in seconds."""

_INVALID = -32_768  # WFDB's "no sample here" in format 16
_ODD_SIGN = re.compile(r"[:\\\0\n]")
_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_BYTES_PER_SAMPLE = {
    **{"8": 1.0, "80": 1.0, "212": 1.5, "310": 4 / 3, "311": 4 / 3},
    **{"16": 2.0, "61": 2.0, "160": 2.0, "24": 3.0, "32": 4.0},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """A record that cannot be used, and why."""

    ecg_id: int
    filename: str
    """Relative to the data set's folder, without extension."""
    reason: str
    """One short line."""

    def __str__(self) -> str:
        return f"{self.ecg_id} ({self.filename}): {self.reason}"


class RecordReader:
    """Reads records of one data set at one rate; safe to share between threads.

    Args:
        root: The folder that record names are relative to.
        rate_hz: The sampling rate that every record must have.
        n_samples: Samples per lead; ten seconds' worth when not given.
        may_be_longer: Whether records may have more, of which the first are taken.
        leads: Leads of the data set, axis L of what is read.
        columns: Finds them among the signals of a file; by name when not given.
    """

    def __init__(
        self,
        root: Path,
        *,
        rate_hz: int,
        n_samples: int | None = None,
        may_be_longer: bool = False,
        leads: tuple[str, ...] = LEADS,
        columns: LeadColumns | None = None,
    ) -> None:
        self.root = root
        self.rate_hz = rate_hz
        self.n_samples = RECORD_S * rate_hz if n_samples is None else n_samples
        self.leads = leads
        self._headers = HeaderReader(
            rate_hz=rate_hz,
            n_samples=self.n_samples,
            may_be_longer=may_be_longer,
            columns=columns or partial(columns_of, leads=leads),
        )

    def read(self, filename: str) -> NDArray[np.int16]:
        """Read one record.

        Args:
            filename: Record name relative to the root, without extension.

        Returns:
            Microvolts, shape (L, n_samples), leads in the order of `leads`.

        Raises:
            RecordError: The record is missing, damaged, flat in every lead or not what was expected.
        """
        _check_inside(filename)
        path = f"{self.root}/{filename}"
        folder = path.rpartition("/")[0]
        try:
            header = self._headers.read(path)
            _check_files(folder, header)
            steps_LT, n_invalid = self._steps(path, folder, header)
        except OSError as error:
            raise RecordError(f"cannot be read: {error.strerror or type(error).__name__}") from error
        if n_invalid:
            raise RecordError(f"{n_invalid:,} invalid samples (not a number)")
        _check_checksums(steps_LT, header.checksums)
        if not header.layout.is_microvolt:
            steps_LT = _to_microvolt(steps_LT, header.layout)
        x_LT = steps_LT.astype(np.int16, copy=False)[header.layout.column, : self.n_samples]
        if len(flat_leads(x_LT, self.leads)) == len(self.leads):
            raise RecordError("flat: every lead is constant")
        return x_LT

    def _steps(self, path: str, folder: str, header: Header) -> tuple[NDArray[Any], int]:
        """Converter values, signals in the order of the file, and how many of them are invalid."""
        if not header.layout.is_plain or len(set(header.files)) > 1:
            return _read_with_wfdb(path)
        values = np.empty((header.layout.n_samples, len(header.files)), dtype="<i2")
        name = header.files[0]
        with open(f"{folder}/{name}", "rb", buffering=0) as file:  # noqa: PTH123 - for every record
            n_bytes = file.readinto(values.data.cast("B"))
        if n_bytes != values.nbytes:
            raise RecordError(f"{name} was cut while it was read")
        n_invalid = int((values == _INVALID).sum()) if values.min() == _INVALID else 0
        return np.ascontiguousarray(values.T), n_invalid


def read_record(
    root: Path, filename: str, *, rate_hz: int, n_samples: int | None = None
) -> NDArray[np.int16]:
    """Read one record; see `RecordReader.read`. For many records keep a `RecordReader`."""
    return RecordReader(root, rate_hz=rate_hz, n_samples=n_samples).read(filename)


def flat_leads(x_LT: NDArray[np.int16], leads: Sequence[str] = LEADS) -> tuple[str, ...]:
    """Name the leads that never change.

    One or a few happen in PTB-XL (an electrode that was off) and are worth a note; all of them are damage.
    """
    suspects = x_LT[:, 0] == x_LT[:, x_LT.shape[1] // 2]  # two samples tell for almost every record
    if not suspects.any():
        return ()
    constant = (x_LT == x_LT[:, :1]).all(axis=1)
    return tuple(lead for lead, dead in zip(leads, constant, strict=True) if dead)


def record_path(root: Path, filename: str) -> Path:
    """Join a record name from the table to the root.

    Raises:
        RecordError: The name leads out of the root. Symbolic links are followed: only who may write to the
            folder can place one, no table and no header can.
    """
    _check_inside(filename)
    return root / filename


def _check_inside(filename: str) -> None:
    if not filename:
        raise RecordError("the table names no file")
    # A colon or backslash means a drive, a URL or another protocol to somebody further down.
    is_odd = _ODD_SIGN.search(filename) is not None
    if is_odd or any(part in ("", ".", "..") for part in filename.split("/")):
        raise RecordError(f"file name {filename[:80]!r} is not a path inside the data set")


def _check_files(folder: str, header: Header) -> None:
    """Every signal file exists and is long enough for what the header promises."""
    formats, offsets = header.layout.formats, header.layout.offsets
    for name in dict.fromkeys(header.files):
        if not _FILE_NAME.fullmatch(name):
            raise RecordError(f"header names the file {name[:80]!r} outside the record's folder")
        size = file_size(f"{folder}/{name}")
        inside = [index for index, file in enumerate(header.files) if file == name]
        # Compressed formats (FLAC) have no fixed size: wfdb finds out.
        bytes_per_frame = sum([_BYTES_PER_SAMPLE.get(formats[index], 0.0) for index in inside])
        n_bytes = max([offsets[index] for index in inside]) + int(bytes_per_frame * header.layout.n_samples)
        if size < n_bytes:
            raise RecordError(f"{name} is truncated: {size:,} of {n_bytes:,} bytes")


def _read_with_wfdb(path: str) -> tuple[NDArray[np.int64], int]:
    wfdb = load_wfdb()
    try:
        record = wfdb.rdrecord(path, physical=False)
        n_invalid = int(np.isnan(record.dac()).sum())
    except Exception as error:  # wfdb raises many kinds, some of them bare
        raise RecordError(f"samples cannot be read: {one_line(error)}") from error
    return record.d_signal.T, n_invalid


def _check_checksums(steps_LT: NDArray[Any], checksums: Sequence[int | None]) -> None:
    """Compare the header's 16-bit sum of each signal with its samples."""
    # 16 bits either way; a view spares a copy.
    unsigned_LT = steps_LT.view(np.uint16) if steps_LT.dtype == np.int16 else steps_LT.astype(np.uint16)
    sums = unsigned_LT.sum(axis=1, dtype=np.uint16)
    for number, (found, stated) in enumerate(zip(sums.tolist(), checksums, strict=True), start=1):
        if stated is not None and found != stated & 0xFFFF:
            raise RecordError(f"samples of signal {number} do not match the header's checksum")


def _to_microvolt(steps_LT: NDArray[Any], layout: Layout) -> NDArray[np.int16]:
    with np.errstate(over="ignore", invalid="ignore"):
        x_LT = np.rint((steps_LT - layout.baseline[:, None]) * layout.uv_per_step[:, None])
    limit = np.iinfo(np.int16).max
    if not (np.abs(x_LT) <= limit).all():  # also catches NaN
        raise RecordError(f"voltages beyond ±{limit / 1000:.1f} mV")
    return x_LT.astype(np.int16)
