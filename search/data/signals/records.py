"""One WFDB record on disk to one array: its leads in microvolts, or the reason why not.

Only the samples that are used are read and judged: what follows them in a long record neither costs time and
memory nor makes the record damaged. wfdb decodes every signal format; 16-bit integers, PTB-XL's own format,
are read by numpy with exactly wfdb's result (tested). Nothing in a header is trusted: file names stay inside
the record's folder, and length, rate and number of leads are compared with what is expected, and with the
size of the files, before any sample is read.

Shape suffixes: L lead (in the order of the data set; for `steps_LT` in the order of the header), T time.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from search.data.signals.headers import (
    COMPRESSED,
    GAP,
    WHOLE_SAMPLES,
    Header,
    HeaderReader,
    Layout,
    Segments,
    groups,
    load_wfdb,
    n_bytes_of,
    n_stored,
    one_line,
    stays_below,
)
from search.data.signals.leads import LEADS, LeadColumns, columns_of
from search.errors import RecordError

__all__ = ["RECORD_S", "Damage", "RecordError", "RecordReader", "flat_leads", "read_record", "record_path"]

RECORD_S: Final = 10
"""Length of a PTB-XL record in seconds."""

_MATRIX_FORMATS: Final = {30: "16", 20: "32", 50: "80"}
"""First number of a MAT file of version 4, and the signal format of what it holds."""
_LONGEST_MATRIX_NAME: Final = 64

_INVALID: Final = -32_768
"""WFDB's "no sample here" in format 16."""


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
        n_least: How few samples are enough, `n_samples` when not given. Of a record that has fewer than
            `n_samples`, all are read.
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
        n_least: int | None = None,
        leads: tuple[str, ...] = LEADS,
        columns: LeadColumns | None = None,
    ) -> None:
        self.root = root
        self.rate_hz = rate_hz
        self.n_samples = RECORD_S * rate_hz if n_samples is None else n_samples
        self.leads = leads
        self._may_be_longer = may_be_longer
        self._n_least = self.n_samples if n_least is None else n_least
        self._headers = HeaderReader(rate_hz=rate_hz, columns=columns or partial(columns_of, leads=leads))

    def read(self, filename: str) -> NDArray[np.int16]:
        """Read one record.

        Args:
            filename: Record name relative to the root, without extension.

        Returns:
            Microvolts, shape (L, n_samples), or fewer samples where `n_least` allows it; leads in the order
            of `leads`.

        Raises:
            RecordError: The record is missing, damaged, flat in every lead or not what was expected.
        """
        _check_inside(filename)
        path = f"{self.root}/{filename}"
        folder = path.rpartition("/")[0]
        try:
            header = self._headers.read(path)
            if isinstance(header, Segments):
                x_LT = self._joined(folder, header)
            else:
                n_there = n_stored(folder, header)
                n_used = self._n_used(n_there, max(header.layout.skews))
                x_LT = _microvolts(folder, header, n_there, n_used)
        except OSError as error:
            raise RecordError(f"cannot be read: {error.strerror or type(error).__name__}") from error
        if len(flat_leads(x_LT, self.leads)) == len(self.leads):
            raise RecordError("flat: every lead is constant")
        return x_LT

    def _joined(self, folder: str, record: Segments) -> NDArray[np.int16]:
        """The first samples of a record made of others."""
        parts: list[NDArray[np.int16]] = []
        n_left, per_frame = self.n_samples, 1
        for name, n_frames in record.parts:
            if not n_left:
                break
            if name == GAP:
                raise RecordError("a gap between segments within the part that is used")
            header = self._headers.read(f"{folder}/{name}")
            if isinstance(header, Segments):
                raise RecordError(f"segment {name[:80]} is made of segments itself")
            n_there = n_stored(folder, header)
            if n_there != n_frames * header.layout.per_frame:
                raise RecordError(
                    f"segment {name[:80]} has {n_there:,} samples, the record's header says "
                    f"{n_frames * header.layout.per_frame:,}"
                )
            per_frame = header.layout.per_frame
            parts.append(_microvolts(folder, header, n_there, min(n_there, n_left)))
            n_left -= parts[-1].shape[1]
        self._n_used(sum(n for _, n in record.parts) * per_frame)
        return np.ascontiguousarray(np.concatenate(parts, axis=1))

    def _n_used(self, n_there: int, skew: int = 0) -> int:
        """How many samples of a record are read.

        Raises:
            RecordError: It has too few, or too many.
        """
        if self._n_least <= n_there and (n_there <= self.n_samples or self._may_be_longer):
            return min(n_there, self.n_samples)
        or_more = " or more" if self._may_be_longer else ""
        behind = f" behind a skew of {skew:,}" if skew else ""
        expected = f"{self._n_least:,}{or_more} ({self._n_least / self.rate_hz:g} s)"
        raise RecordError(f"{n_there:,} samples{behind}, expected {expected}")


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
    if not stays_below(filename):
        raise RecordError(f"file name {filename[:80]!r} is not a path inside the data set")


def _microvolts(folder: str, header: Header, n_there: int, n_samples: int) -> NDArray[np.int16]:
    """The first samples of all leads of one record, shape (L, n_samples).

    Args:
        folder: Where the record lies.
        header: Its header.
        n_there: Samples per lead in the files.
        n_samples: How many of them to read.
    """
    layout = header.layout
    steps_LT, n_invalid = _steps(folder, header, n_samples)
    if n_invalid:
        raise RecordError(f"{n_invalid:,} invalid samples (not a number)")
    if n_samples == n_there and not any(layout.skews):
        _check_checksums(steps_LT, header.checksums)
    if not layout.is_microvolt:
        steps_LT = _to_microvolt(steps_LT, layout)
    return steps_LT.astype(np.int16, copy=False)[layout.column]


def _steps(folder: str, header: Header, n_samples: int) -> tuple[NDArray[Any], int]:
    """Converter values, signals in the order of the header, and how many of them are invalid."""
    by_file = list(groups(header))
    if len(by_file) == 1:
        return _steps_of_file(folder, header, by_file[0][1], n_samples)
    parts = [_steps_of_file(folder, header, inside, n_samples) for _, inside in by_file]
    steps_LT = np.empty((len(header.files), n_samples), dtype=np.int64)
    for (_, inside), (of_file_LT, _) in zip(by_file, parts, strict=True):
        steps_LT[inside] = of_file_LT
    return steps_LT, sum(n_invalid for _, n_invalid in parts)


def _steps_of_file(
    folder: str, header: Header, inside: Sequence[int], n_samples: int
) -> tuple[NDArray[Any], int]:
    """The same for the signals inside one signal file."""
    layout = header.layout
    name, format_ = header.files[inside[0]], layout.formats[inside[0]]
    if name.lower().endswith(".mat"):
        _check_matrix(f"{folder}/{name}", header, inside)
    skews = [layout.skews[index] for index in inside]
    n_frames = -(-n_samples // layout.per_frame) + max(skews)
    if format_ == "16" and layout.per_frame == 1:
        values_TL = np.empty((n_frames, len(inside)), dtype="<i2")
        _read_into(values_TL.data.cast("B"), f"{folder}/{name}", layout.offsets[inside[0]])
        signals: NDArray[Any] | list[NDArray[Any]] = values_TL.T
        invalid: int | None = _INVALID
    else:
        signals = _decoded(folder, header, inside, n_frames)
        invalid = load_wfdb().io._signal.INVALID_SAMPLE_VALUE[format_]
    if any(skews):
        starts = [skew * layout.per_frame for skew in skews]
        signals = [signal[start:] for signal, start in zip(signals, starts, strict=True)]
    if isinstance(signals, np.ndarray):
        steps_LT = np.ascontiguousarray(signals)
    else:
        steps_LT = np.stack([signal[:n_samples] for signal in signals])
    is_clean = invalid is None or steps_LT.min() != invalid
    return steps_LT, 0 if is_clean else int((steps_LT == invalid).sum())


def _check_matrix(path: str, header: Header, inside: Sequence[int]) -> None:
    """Make sure that samples stand in a MAT file where the header says, as in those that WFDB writes.

    A MAT file of version 4 (MATLAB's MAT-File Format, "Level 4 MAT-files") is 20 bytes, the name of a matrix
    and its columns. The first number says how values are kept: 30 as 16-bit and 20 as 32-bit integers,
    50 as bytes.
    """
    name, layout = Path(path).name, header.layout
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - for every record
        head = file.read(20)
    kind, n_rows, n_columns, is_complex, n_name = struct.unpack("<5i", head.ljust(20, b"\xff"))
    format_, offset = layout.formats[inside[0]], layout.offsets[inside[0]]
    if kind not in _MATRIX_FORMATS or is_complex or not 0 < n_name <= _LONGEST_MATRIX_NAME:
        raise RecordError(
            f"{name[:80]} is no MAT file of version 4 with a matrix of integers, which WFDB needs"
        )
    if _MATRIX_FORMATS[kind] != format_ or offset != 20 + n_name:
        raise RecordError(
            f"{name[:80]} holds format {_MATRIX_FORMATS[kind]} from byte {20 + n_name}, the header says "
            f"format {format_} from byte {offset}"
        )
    n_values = len(inside) * layout.per_frame
    if n_rows != n_values or n_columns < (layout.n_frames or 0):
        raise RecordError(
            f"{name[:80]} holds a matrix of {n_rows:,} × {n_columns:,}, the header says {n_values:,} × "
            f"{layout.n_frames or n_columns:,}"
        )


def _read_into(buffer: memoryview, path: str, offset: int) -> None:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - for every record
        if offset:
            file.seek(offset)
        n_bytes = file.readinto(buffer)
    if n_bytes != len(buffer):
        raise RecordError(f"{Path(path).name} was cut while it was read")


def _decoded(folder: str, header: Header, inside: Sequence[int], n_frames: int) -> list[NDArray[Any]]:
    """First samples of the signals in one file, as wfdb decodes them.

    By the function that `wfdb.rdrecord` calls for each signal file: `rdrecord` itself would parse the header
    again, and confuses signals whose files alternate.
    """
    layout, wfdb = header.layout, load_wfdb()
    name, format_, offset = header.files[inside[0]], layout.formats[inside[0]], layout.offsets[inside[0]]
    samples: NDArray[Any] | None = None
    if format_ not in COMPRESSED:
        # Whole blocks of samples: what would lie behind the end of the file is 0, and cut off by the caller.
        n_wanted = n_frames * len(inside) * layout.per_frame
        n_per_block = WHOLE_SAMPLES[format_][-1]
        n_decoded = -(-n_frames // n_per_block) * n_per_block
        raw = bytearray(n_bytes_of(format_, n_decoded * len(inside) * layout.per_frame))
        _read_into(memoryview(raw)[: n_bytes_of(format_, n_wanted)], f"{folder}/{name}", offset)
        samples = np.frombuffer(raw, dtype=wfdb.io._signal.DATA_LOAD_TYPES[format_])
        offset, n_frames = 0, n_decoded
    try:
        return list(
            wfdb.io._signal._rd_dat_signals(
                file_name=name,
                dir_name=folder,
                pn_dir=None,
                fmt=format_,
                n_sig=len(inside),
                sig_len=n_frames,
                byte_offset=offset,
                samps_per_frame=[layout.per_frame] * len(inside),
                skew=[0] * len(inside),
                init_value=[header.initials[index] for index in inside],
                sampfrom=0,
                sampto=n_frames,
                no_file=samples is not None,
                sig_data=samples,
            )
        )
    except Exception as error:  # wfdb raises many kinds, some of them bare
        raise RecordError(f"samples cannot be read: {one_line(error)}") from error


def _check_checksums(steps_LT: NDArray[Any], checksums: Sequence[int | None]) -> None:
    """Compare the header's 16-bit sum of each signal with its samples."""
    # 16 bits either way; a view spares a copy.
    unsigned_LT = steps_LT.view(np.uint16) if steps_LT.dtype == np.int16 else steps_LT.astype(np.uint16)
    sums = unsigned_LT.sum(axis=1, dtype=np.uint16)
    for number, (found, stated) in enumerate(zip(sums.tolist(), checksums, strict=True), start=1):
        if stated and found != stated & 0xFFFF:  # many programs write 0 for "not computed"
            raise RecordError(f"samples of signal {number} do not match the header's checksum")


def _to_microvolt(steps_LT: NDArray[Any], layout: Layout) -> NDArray[np.int16]:
    with np.errstate(over="ignore", invalid="ignore"):
        x_LT = np.rint((steps_LT - layout.baseline[:, None]) * layout.uv_per_step[:, None])
    limit = np.iinfo(np.int16).max
    if not (np.abs(x_LT) <= limit).all():  # also catches NaN
        raise RecordError(f"voltages beyond ±{limit / 1000:.1f} mV")
    return x_LT.astype(np.int16)
