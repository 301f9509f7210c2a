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
    Parsed,
    Segments,
    groups,
    header_of,
    load_wfdb,
    n_bytes_of,
    n_stored,
    read_header,
    stays_below,
)
from search.data.signals.leads import LEADS, LeadColumns, columns_of
from search.errors import RecordError, one_line

__all__ = [
    "RECORD_S",
    "Damage",
    "RecordError",
    "RecordReader",
    "RecordSignals",
    "flat_leads",
]

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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RecordSignals:
    """A record as it is read."""

    x_LT: NDArray[np.int16]
    """Microvolts."""
    without_gain: tuple[str, ...] = ()
    """Leads of which the header states no gain, so that their size is a guess."""


class RecordReader:
    """Reader of the records of one data set at one rate; safe to share between threads.

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

    def read(self, filename: str) -> RecordSignals:
        """Read one record.

        Args:
            filename: Record name relative to the root, without extension.

        Returns:
            Signals of shape (L, n_samples), or with fewer samples where `n_least` allows it; leads in the
            order of `leads`.

        Raises:
            RecordError: The record is missing, damaged, flat in every lead or not what was expected.
        """
        _check_inside(filename)
        path = f"{self.root}/{filename}"
        folder = path.rpartition("/")[0]
        try:
            header = self._headers.read(path)
            if isinstance(header, Segments):
                x_LT, layouts = self._joined(folder, header)
            else:
                n_there = n_stored(folder, header)
                n_used = self._n_used(n_there, max(header.layout.skews))
                x_LT, layouts = _microvolts(folder, header, n_there, n_used), [header.layout]
        except OSError as error:
            raise RecordError(f"cannot be read: {error.strerror or type(error).__name__}") from error
        if len(flat_leads(x_LT, self.leads)) == len(self.leads):
            raise RecordError("flat: every lead is constant")
        return RecordSignals(x_LT=x_LT, without_gain=self._without_gain(layouts))

    def _without_gain(self, layouts: Sequence[Layout]) -> tuple[str, ...]:
        if all(all(layout.states_gain) for layout in layouts):
            return ()
        places = zip(
            self.leads, zip(*(layout.column.tolist() for layout in layouts), strict=True), strict=True
        )
        return tuple(
            lead
            for lead, of_lead in places
            if not all(layout.states_gain[place] for layout, place in zip(layouts, of_lead, strict=True))
        )

    def _joined(self, folder: str, record: Segments) -> tuple[NDArray[np.int16], list[Layout]]:
        """The first samples of a record made of others, and the layouts of these."""
        parts: list[NDArray[np.int16]] = []
        layouts: list[Layout] = []
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
            layouts.append(header.layout)
            parts.append(_microvolts(folder, header, n_there, min(n_there, n_left)))
            n_left -= parts[-1].shape[1]
        self._n_used(sum(n for _, n in record.parts) * per_frame)
        return np.ascontiguousarray(np.concatenate(parts, axis=1)), layouts

    def _n_used(self, n_there: int, skew: int = 0) -> int:
        """Number of samples that are read of a record.

        Raises:
            RecordError: It has too few, or too many.
        """
        if self._n_least <= n_there and (n_there <= self.n_samples or self._may_be_longer):
            return min(n_there, self.n_samples)
        or_more = " or more" if self._may_be_longer else ""
        behind = f" behind a skew of {skew:,}" if skew else ""
        expected = f"{self._n_least:,}{or_more} ({self._n_least / self.rate_hz:g} s)"
        raise RecordError(f"{n_there:,} samples{behind}, expected {expected}")


class OpenRecord:
    """One record of any rate, length and leads, read part by part on request.

    Args:
        path: The record without extension.

    Attributes:
        rate_hz: Sampling rate.
        leads: Names of the signals as in the header.
        n_samples: Samples of each that are there for all of them.

    Raises:
        RecordError: The header is missing or cannot be used, or a file does not match it.
    """

    def __init__(self, path: str) -> None:
        self._folder = path.rpartition("/")[0]
        try:
            parsed = read_header(path)
            self._parts = self._open(parsed) if parsed.segments else [(0, self._n_there(parsed), parsed)]
        except OSError as error:
            raise RecordError(f"cannot be read: {error.strerror or type(error).__name__}") from error
        first = next((part for _, _, part in self._parts if part is not None), None)
        if first is None:
            raise RecordError("header describes gaps alone")
        if not parsed.states_fs:
            raise RecordError("the header states no sampling rate; add it behind the number of signals")
        self.leads = tuple(signal.name for signal in first.signals)
        self.rate_hz = parsed.fs * first.signals[0].per_frame
        self.n_samples = self._parts[-1][1]
        self._headers: dict[int, Header] = {}

    def _open(self, parsed: Parsed) -> list[tuple[int, int, Parsed | None]]:
        """First sample, the one behind the last, and header of every segment; None for a gap."""
        found: list[tuple[int, int, Parsed | None]] = []
        names: tuple[str, ...] | None = None
        per_frame, behind = 1, 0
        headers = [
            None if name == GAP else read_header(f"{self._folder}/{name}") for name, _ in parsed.segments
        ]
        for segment in filter(None, headers):
            if segment.segments:
                raise RecordError("a segment is made of segments itself")
            own = tuple(signal.name for signal in segment.signals)
            if names is not None and own != names:
                raise RecordError(f"segments with different leads: {', '.join(own)[:80]}")
            names, per_frame = own, segment.signals[0].per_frame
        for (name, n_frames), header in zip(parsed.segments, headers, strict=True):
            n_samples = n_frames * per_frame
            if header is not None and self._n_there(header) != n_samples:
                raise RecordError(
                    f"segment {name[:80]} has {self._n_there(header):,} samples, the record's header says "
                    f"{n_samples:,}"
                )
            found.append((behind, behind + n_samples, header))
            behind += n_samples
        return found

    def without_gain(self, columns: NDArray[np.intp]) -> tuple[str, ...]:
        """Names of the signals at `columns` of which a header states no gain: WFDB's default is taken."""
        headers = [parsed for _, _, parsed in self._parts if parsed is not None]
        return tuple(
            self.leads[column]
            for column in columns.tolist()
            if not all(parsed.signals[column].states_gain for parsed in headers)
        )

    def _n_there(self, parsed: Parsed) -> int:
        return n_stored(self._folder, header_of(parsed, np.arange(0)))

    def read(
        self, columns: NDArray[np.intp], start: int, n_samples: int
    ) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        """Read some samples of some signals.

        Args:
            columns: Places of the signals in `leads`.
            start: The first sample.
            n_samples: How many.

        Returns:
            Microvolts, shape (L, n_samples), 0 where one is missing; and where it is in any of the signals,
            shape (n_samples,).

        Raises:
            RecordError: A signal is no voltage, a file cannot be read, or a checksum does not match.
        """
        x_LT = np.zeros((len(columns), n_samples), dtype=np.int16)
        missing_T = np.ones(n_samples, dtype=np.bool_)
        for number, (first, behind, parsed) in enumerate(self._parts):
            begin, end = max(start, first), min(start + n_samples, behind)
            if parsed is None or begin >= end:
                continue
            header = self._headers.get(number)
            if header is None or not np.array_equal(header.layout.column, columns):
                header = self._headers[number] = header_of(parsed, columns)
            try:
                steps_LT, missing_LT = _steps(self._folder, header, begin - first, end - begin)
            except OSError as error:
                raise RecordError(f"cannot be read: {error.strerror or type(error).__name__}") from error
            if (begin, end) == (first, behind) and not any(header.layout.skews):
                _check_checksums(steps_LT, header.checksums)
            place = slice(begin - start, end - start)
            missing_T[place] = False
            if missing_LT is not None:
                steps_LT = np.where(missing_LT, header.layout.baseline.astype(np.int64)[:, None], steps_LT)
                missing_T[place] = missing_LT[columns].any(axis=0)
            x_LT[:, place] = _to_microvolt(steps_LT, header.layout)
        return x_LT, missing_T


def flat_leads(x_LT: NDArray[np.int16], leads: Sequence[str] = LEADS) -> tuple[str, ...]:
    """Name the leads that never change.

    One or a few happen in PTB-XL (an electrode that was off) and are worth a note; all of them are damage.
    """
    suspects = x_LT[:, 0] == x_LT[:, x_LT.shape[1] // 2]  # two samples decide for almost every record
    if not suspects.any():
        return ()
    constant = (x_LT == x_LT[:, :1]).all(axis=1)
    return tuple(lead for lead, dead in zip(leads, constant, strict=True) if dead)


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
    steps_LT, missing_LT = _steps(folder, header, 0, n_samples)
    if missing_LT is not None:
        raise RecordError(f"{missing_LT.sum():,} invalid samples (not a number)")
    if n_samples == n_there and not any(header.layout.skews):
        _check_checksums(steps_LT, header.checksums)
    return _to_microvolt(steps_LT, header.layout)


def _steps(
    folder: str, header: Header, start: int, n_samples: int
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Converter values, signals in the order of the header, and which of them are invalid, if any.

    Args:
        folder: Where the record lies.
        header: Its header.
        start: Samples per lead before the first one read.
        n_samples: How many to read.
    """
    by_file = list(groups(header))
    if len(by_file) == 1:
        return _steps_of_file(folder, header, by_file[0][1], start, n_samples)
    parts = [_steps_of_file(folder, header, inside, start, n_samples) for _, inside in by_file]
    steps_LT = np.empty((len(header.files), n_samples), dtype=np.int64)
    missing_LT = np.zeros(steps_LT.shape, dtype=np.bool_)
    for (_, inside), (of_file_LT, missing_of_file_LT) in zip(by_file, parts, strict=True):
        steps_LT[inside] = of_file_LT
        if missing_of_file_LT is not None:
            missing_LT[inside] = missing_of_file_LT
    return steps_LT, missing_LT if missing_LT.any() else None


def _steps_of_file(
    folder: str, header: Header, inside: Sequence[int], start: int, n_samples: int
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """The same for the signals inside one signal file."""
    layout = header.layout
    name, format_ = header.files[inside[0]], layout.formats[inside[0]]
    if name.lower().endswith(".mat"):
        _check_matrix(f"{folder}/{name}", header, inside)
    skews = [layout.skews[index] for index in inside]
    first, n_before = divmod(start, layout.per_frame)
    n_frames = -(-(n_before + n_samples) // layout.per_frame) + max(skews)
    if format_ == "16" and layout.per_frame == 1:
        values_TL = np.empty((n_frames, len(inside)), dtype="<i2")
        offset = layout.offsets[inside[0]] + first * values_TL.strides[0]
        _read_into(values_TL.data.cast("B"), f"{folder}/{name}", offset)
        signals: NDArray[Any] | list[NDArray[Any]] = values_TL.T
        invalid: int | None = _INVALID
    else:
        signals = _decoded(folder, header, inside, first, n_frames)
        invalid = load_wfdb().io._signal.INVALID_SAMPLE_VALUE[format_]
    if n_before or any(skews):
        starts = [n_before + skew * layout.per_frame for skew in skews]
        signals = [signal[start:] for signal, start in zip(signals, starts, strict=True)]
    if isinstance(signals, np.ndarray):
        steps_LT = np.ascontiguousarray(signals)
    else:
        steps_LT = np.stack([signal[:n_samples] for signal in signals])
    is_clean = invalid is None or steps_LT.min() != invalid
    return steps_LT, None if is_clean else steps_LT == invalid


_MATRIX_KINDS = range(0, 60, 10)
"""First number of a MAT file of version 4 whose numbers are little-endian, from double precision to bytes."""
_MATLAB_5 = b"MATLAB"
"""Text at the head of a MAT file of version 5."""


def _check_matrix(path: str, header: Header, inside: Sequence[int]) -> None:
    """Make sure that samples lie in a MAT file at the offset in the header, as in files written by WFDB.

    A MAT file of version 4 (MATLAB's MAT-File Format, "Level 4 MAT-files") is 20 bytes, the name of a matrix
    and its columns. The first number says how values are kept: 30 as 16-bit and 20 as 32-bit integers,
    50 as bytes.
    """
    name, layout = Path(path).name, header.layout
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - for every record
        head = file.read(20)
    kind, n_rows, n_columns, is_complex, n_name = struct.unpack("<5i", head.ljust(20, b"\xff"))
    format_, offset = layout.formats[inside[0]], layout.offsets[inside[0]]
    is_matrix = kind in _MATRIX_KINDS and min(n_rows, n_columns) > 0 and is_complex in (0, 1)
    if not head.startswith(_MATLAB_5) and not (is_matrix and 0 < n_name <= _LONGEST_MATRIX_NAME):
        return  # no MAT file but for its name, which WFDB leaves to the writer
    if kind not in _MATRIX_FORMATS or is_complex:
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


def _decoded(
    folder: str, header: Header, inside: Sequence[int], first: int, n_frames: int
) -> list[NDArray[Any]]:
    """Samples of the signals in one file from frame `first` on, as wfdb decodes them.

    By the function that `wfdb.rdrecord` calls for each signal file: `rdrecord` itself would parse the header
    again, and confuses signals whose files alternate.
    """
    layout, wfdb = header.layout, load_wfdb()
    name, format_, offset = header.files[inside[0]], layout.formats[inside[0]], layout.offsets[inside[0]]
    samples: NDArray[Any] | None = None
    n_skipped = 0
    if format_ not in COMPRESSED:
        # Whole blocks of samples: what would lie behind the end of the file is 0, and cut off by the caller.
        per_frame, n_per_block = len(inside) * layout.per_frame, WHOLE_SAMPLES[format_][-1]
        # Format 8 holds differences from the first sample on.
        n_skipped = first if format_ == "8" else first % n_per_block
        first, n_frames = first - n_skipped, n_frames + n_skipped
        n_wanted = n_frames * per_frame
        n_decoded = -(-n_frames // n_per_block) * n_per_block
        raw = bytearray(n_bytes_of(format_, n_decoded * per_frame))
        offset += n_bytes_of(format_, first * per_frame)
        _read_into(memoryview(raw)[: n_bytes_of(format_, n_wanted)], f"{folder}/{name}", offset)
        samples = np.frombuffer(raw, dtype=wfdb.io._signal.DATA_LOAD_TYPES[format_])
        offset, first, n_frames = 0, 0, n_decoded
    try:
        signals = wfdb.io._signal._rd_dat_signals(
            file_name=name,
            dir_name=folder,
            pn_dir=None,
            fmt=format_,
            n_sig=len(inside),
            sig_len=first + n_frames,
            byte_offset=offset,
            samps_per_frame=[layout.per_frame] * len(inside),
            skew=[0] * len(inside),
            init_value=[header.initials[index] for index in inside],
            sampfrom=first,
            sampto=first + n_frames,
            no_file=samples is not None,
            sig_data=samples,
        )
    except Exception as error:  # wfdb raises many kinds, some of them bare
        raise RecordError(f"samples cannot be read: {one_line(error)}") from error
    return [signal[n_skipped * layout.per_frame :] for signal in signals]


def _check_checksums(steps_LT: NDArray[Any], checksums: Sequence[int | None]) -> None:
    """Compare the header's 16-bit sum of each signal with its samples."""
    # 16 bits either way; a view spares a copy.
    unsigned_LT = steps_LT.view(np.uint16) if steps_LT.dtype == np.int16 else steps_LT.astype(np.uint16)
    sums = unsigned_LT.sum(axis=1, dtype=np.uint16)
    for number, (found, stated) in enumerate(zip(sums.tolist(), checksums, strict=True), start=1):
        if stated and found != stated & 0xFFFF:  # many programs write 0 for "not computed"
            raise RecordError(f"samples of signal {number} do not match the header's checksum")


def _to_microvolt(steps_LT: NDArray[Any], layout: Layout) -> NDArray[np.int16]:
    """The leads of the data set, in its order."""
    steps_LT = steps_LT[layout.column]
    if layout.is_microvolt and steps_LT.dtype == np.int16:
        return steps_LT
    baseline_L, uv_per_step_L = layout.baseline[layout.column], layout.uv_per_step[layout.column]
    with np.errstate(over="ignore", invalid="ignore"):
        x_LT = (steps_LT - baseline_L[:, None]) * uv_per_step_L[:, None]
    return whole_microvolts(x_LT)


def whole_microvolts(x_LT: NDArray[np.floating[Any]]) -> NDArray[np.int16]:
    """Microvolts as whole numbers.

    Raises:
        RecordError: A voltage is beyond what 16 bits hold, or not a number.
    """
    rounded_LT = np.rint(x_LT)
    limit = np.iinfo(np.int16).max
    if not (np.abs(rounded_LT) <= limit).all():  # also catches NaN
        raise RecordError(f"voltages beyond ±{limit / 1000:.1f} mV")
    x_uv_LT: NDArray[np.int16] = rounded_LT.astype(np.int16)
    return x_uv_LT
