"""Headers of WFDB records (header(5) of the WFDB manual): which files make a record, and what is in them.

Parsed here and not by wfdb, whose regular expressions stop at headers that are legal or common (a byte order
mark, a file name with a blank, a gain of "1.0E+03", a date that is none) or read them as something else:
"1E+02" Hz as 1 Hz, "µV" as V. wfdb decodes the samples (`search.data.signals.records`).

PTB-XL's headers differ only in record name, first sample and checksum, so each layout is parsed once and a
record of a known layout costs a regular expression. Both ways give the same (tested).

Nothing in a header is trusted: file names stay inside the record's folder, and every count is compared with
the size of the files.
"""

import itertools
import math
import os
import re
import stat
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from search.data.other_files import other_file, other_file_at
from search.data.signals.leads import LeadColumns, columns_of
from search.errors import RecordError

_MAX_HEADER_BYTES: Final = 131_072  # a PTB-XL header has about 500
_MAX_WORDS: Final = 20  # of a record or file name with blanks
_MAX_COUNT: Final = 10**15  # samples, bytes: more than any file system holds
_LARGEST_BASELINE: Final = 2**31  # beyond every format's samples
_DEFAULT_FS: Final = 250.0  # header(5): where a header states none
LOWEST_HZ: Final = 50
"""Lowest sampling rate of an ECG: a lower one was never set, or comes of times in another unit."""
DEFAULT_GAIN: Final = 200.0
"""Steps per unit where a header states none, or 0 for a signal that was not calibrated (header(5))."""
GAP: Final = "~"
"""Segment without samples."""

_UV_PER_UNIT: Final = {
    **dict.fromkeys(("nv", "nanovolt", "nanovolts"), 1e-3),
    **dict.fromkeys(("uv", "microvolt", "microvolts"), 1.0),
    **dict.fromkeys(("mv", "millivolt", "millivolts"), 1e3),
    **dict.fromkeys(("v", "volt", "volts"), 1e6),
}

COMPRESSED: Final = frozenset({"508", "516", "524"})
"""Formats of FLAC files, whose size does not determine their length."""
WHOLE_SAMPLES: Final = {
    **{"8": (0, 1), "80": (0, 1), "16": (0, 0, 1), "61": (0, 0, 1), "160": (0, 0, 1)},
    **{"24": (0, 0, 0, 1), "32": (0, 0, 0, 0, 1)},
    **{"212": (0, 0, 1, 2), "310": (0, 0, 1, 1, 3), "311": (0, 0, 1, 2, 3)},
}
"""Complete samples after 0, 1, 2 … bytes of a block, for each other format (signal(5))."""

_NUMBER: Final = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_IS_NUMBER: Final = re.compile(_NUMBER)
_FREQUENCY: Final = re.compile(rf"({_NUMBER})(?:/{_NUMBER}(?:\({_NUMBER}\))?)?")
_FORMAT: Final = re.compile(r"([0-9]{1,4})(?:x([0-9]{1,15}))?(?::([0-9]{1,15}))?(?:\+([0-9]{1,15}))?")
_AFTER_FORMAT: Final = re.compile(
    rf"(?:(?P<gain>{_NUMBER})"
    rf"(?:(?P<zero1>[ \t]*\([ \t]*{_NUMBER}[ \t]*\))?(?P<unit>[ \t]*/[^ \t()]*)?"
    rf"|(?P<unit2>[ \t]*/[^ \t()]*)(?P<zero2>[ \t]*\([ \t]*{_NUMBER}[ \t]*\)))"
    r"(?![^ \t])"
    r"(?:[ \t]+(?P<resolution>[+-]?[0-9]+)(?![^ \t])"
    r"(?:[ \t]+(?P<adc_zero>[+-]?[0-9]+)(?![^ \t])"
    r"(?:[ \t]+(?P<initial>[+-]?[0-9]+)(?![^ \t])"
    r"(?:[ \t]+(?P<checksum>[+-]?[0-9]+)(?![^ \t])"
    r"(?:[ \t]+(?P<block>[+-]?[0-9]+)(?![^ \t]))?)?)?)?)?"
    r"(?:[ \t]+(?P<name>[^ \t].*))?)?"
)
_SEGMENT: Final = re.compile(r"([^ \t].*?)[ \t]+([0-9]{1,15})")
_ODD_SIGN: Final = re.compile(r"[:\\\x00-\x1f\x7f]")
# Lines as in most headers; groups of a signal line: file, layout, first sample, checksum,
# layout.
_RECORD_LINE: Final = re.compile(r"[^ /]+ ([0-9]{1,9}) ([0-9]{1,9} [0-9]{1,15})(?: .*)?")
_SIGNAL_LINE: Final = re.compile(
    r"^([^ \n]+) ([0-9]+(?:[x:+][0-9x:+]*)? [^ \n]+ [0-9]+ -?[0-9]+)"
    r" (-?[0-9]{1,11}) (-?[0-9]{1,11}) ([0-9]+ [^ #\n]+)$",
    re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """One signal line; fields that it lacks have the defaults of header(5)."""

    file: str
    """Name of the signal file relative to the record's folder."""
    format: str
    """WFDB's signal format; "16" is 16-bit integers."""
    per_frame: int
    """Samples in a frame."""
    skew: int
    """Frames by which the signal lags behind."""
    offset: int
    """Bytes before the first sample."""
    gain: float
    """Steps of the converter per unit."""
    states_gain: bool
    """Whether the header states it, or leaves it to WFDB's default."""
    baseline: float
    """Converter value of zero."""
    unit: str
    initial: int
    """First sample; format 8 starts from it."""
    checksum: int | None
    """16-bit sum of the samples."""
    name: str
    """Name of the lead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parsed:
    """The content of a header."""

    fs: float
    """Frames per second."""
    states_fs: bool
    """Whether the header states it, or leaves it to WFDB's default."""
    n_frames: int | None
    """Frames of each signal; None if unstated."""
    signals: tuple[Signal, ...]
    """Empty where the record is made of segments."""
    segments: tuple[tuple[str, int], ...]
    """Names of the records that make this one, and how many frames of it each is; usually none."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Layout:
    """Fields shared by headers of one kind; sequences have one entry per signal of the file."""

    column: NDArray[np.intp]
    """Position in the file of each lead of the data set."""
    formats: tuple[str, ...]
    offsets: tuple[int, ...]
    skews: tuple[int, ...]
    per_frame: int
    """Samples in a frame, of every signal."""
    baseline: NDArray[np.float64]
    """Converter value of 0 mV."""
    uv_per_step: NDArray[np.float64]
    """Microvolts per step of the converter."""
    states_gain: tuple[bool, ...]
    """Whether the header states that, or leaves it to WFDB's default."""
    n_frames: int | None
    """Frames in the file; None if unstated."""
    is_microvolt: bool = field(init=False)
    """One step is 1 µV and zero is zero, as in PTB-XL: nothing to convert."""

    def __post_init__(self) -> None:
        is_microvolt = not self.baseline.any() and bool((self.uv_per_step == 1).all())
        object.__setattr__(self, "is_microvolt", is_microvolt)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Header:
    """One record's header after all checks; sequences have one entry per signal."""

    layout: Layout
    files: tuple[str, ...]
    """Names of signal files relative to the record's folder."""
    checksums: tuple[int | None, ...]
    """16-bit sums of the samples; None where the header states none."""
    initials: tuple[int, ...]
    """First samples as the header states them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Segments:
    """A record made of other records in its folder, one after the other."""

    parts: tuple[tuple[str, int], ...]
    """Name and length in frames of each; the name "~" is a gap."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Rate, leads and length of a record."""

    rate_hz: float
    leads: tuple[str, ...]
    """Names as in the header."""
    n_samples: int
    """Samples per lead that are there for all of them."""


class HeaderReader:
    """Reader of the headers of one data set; safe to share between threads.

    Args:
        rate_hz: The sampling rate that every record must have.
        columns: Finds the leads of the data set among the signals of a file.
    """

    def __init__(self, *, rate_hz: int, columns: LeadColumns = columns_of) -> None:
        self._rate_hz = rate_hz
        self._columns = columns
        self._layouts: dict[object, Layout] = {}

    def read(self, path: str) -> Header | Segments:
        """Read and check one header.

        Args:
            path: The record without extension; text, because a `Path` takes longer to make than to read.

        Raises:
            RecordError: The header is missing, cannot be parsed or describes something else than expected.
            OSError: The file cannot be read.
        """
        text = _header_text(f"{path}.hea")
        kind, fields = _kind(text)
        layout = self._layouts.get(kind)
        if kind is None or layout is None:
            parsed = parse(text)
            if parsed.segments:
                return Segments(parts=parsed.segments)
            layout = self._layout(parsed)
            header = _header(parsed, layout)
            if kind is None or header.files != fields[0]:
                return header
            self._layouts[kind] = layout
        files, _, initials, checksums, _ = fields
        return Header(
            layout=layout,
            files=files,
            checksums=tuple(map(int, checksums)),
            initials=tuple(map(int, initials)),
        )

    def _layout(self, parsed: Parsed) -> Layout:
        """Compare a header with what a record of this data set must be."""
        layout = _layout(parsed, self._columns([signal.name for signal in parsed.signals]))
        rate_hz = parsed.fs * layout.per_frame
        if rate_hz != self._rate_hz:
            default = "" if parsed.states_fs else ", WFDB's default: the header states no rate"
            raise RecordError(f"sampled at {rate_hz:g} Hz{default}, expected {self._rate_hz} Hz")
        return layout


class ShapeReader:
    """Reader of rate, leads and length of many records, which parses headers of one kind once."""

    def __init__(self) -> None:
        self._shapes: dict[object, Shape] = {}

    def read(self, path: str) -> tuple[Shape, tuple[str, ...]]:
        """Shape as of `read_shape`, and the comments of the header, without their signs.

        Args:
            path: The record without extension.

        Raises:
            RecordError: See `read_shape`.
            OSError: A file cannot be read.
        """
        lines = _header_lines(f"{path}.hea")
        text = _text_of(lines, f"{path}.hea")
        kind, _ = _kind(text)
        shape = self._shapes.get(kind)
        if kind is None or shape is None:
            parsed = parse(text)
            shape = _shape(path, parsed)
            if kind is not None and parsed.n_frames is not None:  # otherwise the size of its files decides
                self._shapes[kind] = shape
        return shape, _comments_of(lines)


def _layout(parsed: Parsed, column: NDArray[np.intp]) -> Layout:
    signals = parsed.signals
    used = set(column.tolist())
    factors = [
        uv_per_unit(signal.unit) if index in used else math.nan for index, signal in enumerate(signals)
    ]
    if any(abs(signal.baseline) > _LARGEST_BASELINE for signal in signals):
        raise RecordError("a lead whose zero no converter can reach")
    gain = np.array([signal.gain for signal in signals], dtype=np.float64)
    if not np.isfinite(gain).all():
        raise RecordError("a lead without a usable gain")
    return Layout(
        column=column,
        formats=tuple(signal.format for signal in signals),
        offsets=tuple(signal.offset for signal in signals),
        skews=tuple(signal.skew for signal in signals),
        per_frame=_per_frame(signals),
        baseline=np.array([signal.baseline for signal in signals], dtype=np.float64),
        uv_per_step=np.array(factors, dtype=np.float64) / gain,
        states_gain=tuple(signal.states_gain for signal in signals),
        n_frames=parsed.n_frames,
    )


def header_of(parsed: Parsed, column: NDArray[np.intp]) -> Header:
    """The checked header of a record without segments, of whatever rate.

    Args:
        parsed: Content of the header.
        column: Places of the signals that are used.

    Raises:
        RecordError: One of those is no voltage, or signals have several rates.
    """
    return _header(parsed, _layout(parsed, column))


def _header(parsed: Parsed, layout: Layout) -> Header:
    return Header(
        layout=layout,
        files=tuple(signal.file for signal in parsed.signals),
        checksums=tuple(signal.checksum for signal in parsed.signals),
        initials=tuple(signal.initial for signal in parsed.signals),
    )


def _per_frame(signals: Sequence[Signal]) -> int:
    """Samples in a frame: the same number of every signal, or the leads have several rates."""
    numbers = {signal.per_frame for signal in signals}
    if len(numbers) > 1:
        listing = ", ".join(map(str, sorted(numbers)[:5]))
        raise RecordError(f"leads sampled at several rates ({listing} samples per frame) are not supported")
    return numbers.pop()


def uv_per_unit(unit: str) -> float:
    """Microvolts in a unit.

    Raises:
        RecordError: It is no unit of voltage.
    """
    try:
        # Both micro signs, U+00B5 and U+03BC.
        return _UV_PER_UNIT[unit.casefold().replace("\u03bc", "u").replace("\u00b5", "u")]
    except KeyError:
        raise RecordError(f"unit {unit[:40]!r}, expected mV") from None


def _kind(text: str) -> tuple[object, tuple[Any, ...]]:
    """Key shared by headers that differ only in names, first samples and checksums; None if unusual."""
    first_line, _, signal_lines = text.partition("\n")
    first = _RECORD_LINE.fullmatch(first_line)
    signals = _SIGNAL_LINE.findall(signal_lines)
    if first is None or not signals or not int(first[1]) == len(signals) == signal_lines.count("\n") + 1:
        return None, ()
    fields = tuple(zip(*signals, strict=True))
    if not all(map(stays_below, set(fields[0]))):
        return None, ()
    return (first[2], fields[1], fields[4]), fields


# Files


def file_size(path: str | Path) -> int:
    """Size in bytes of a regular file; a pipe or device would block or never end.

    Raises:
        RecordError: It is missing or no regular file.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - for every record
    except FileNotFoundError:
        raise RecordError(f"{Path(path).name} is missing{in_other_letters(Path(path))}") from None
    if not stat.S_ISREG(status.st_mode):
        raise RecordError(f"{Path(path).name} is not a file")
    return status.st_size


def in_other_letters(path: Path) -> str:
    """Words on a file that is there under this name in capital or small letters; empty without one.

    Systems that do not tell them apart open it, and archives come from such systems.
    """
    names = (f"{path.stem}{path.suffix.swapcase()}", path.name.upper(), path.name.lower())
    there = next((name for name in names if path.with_name(name).is_file()), None)
    return "" if there is None else f"; {there} is there: rename it"


def record_files(root: Path | str, name: str) -> tuple[str, ...]:
    """The files that make a record: its header, and what the header names, whether or not it is there.

    Args:
        root: Folder of the data set.
        name: The record relative to it, without extension.

    Returns:
        Names relative to the root, the header first. A header that is missing or cannot be read names no
        other file; reading the record reports the cause.
    """
    files = dict.fromkeys([f"{name}.hea"])
    folder = name.rpartition("/")[0]
    below = f"{folder}/" if folder else ""
    try:
        text = _header_text(f"{root}/{name}.hea")
        _, fields = _kind(text)
        if fields:
            files |= dict.fromkeys(f"{below}{file}" for file in fields[0])
        else:
            parsed = parse(text)
            files |= dict.fromkeys(f"{below}{signal.file}" for signal in parsed.signals)
            for segment, _ in parsed.segments:
                if segment != GAP and f"{below}{segment}.hea" not in files:
                    files |= dict.fromkeys(record_files(root, f"{below}{segment}"))
    except (RecordError, OSError, ValueError, RecursionError):
        pass
    return tuple(files)


def groups(header: Header) -> Iterator[tuple[str, list[int]]]:
    """Signal files in the order of the header, and which signals each holds."""
    by_file: dict[str, list[int]] = {}
    for index, file in enumerate(header.files):
        by_file.setdefault(file, []).append(index)
    yield from by_file.items()


def n_stored(folder: str, header: Header) -> int:
    """Samples per lead that the files of a record hold for all leads.

    As many as the header states, or, where it states none, as fit into the files.

    Raises:
        RecordError: A file is missing or too short for what the header promises.
    """
    layout = header.layout
    n_frames = layout.n_frames
    for name, inside in groups(header):
        formats, offsets = layout.formats, layout.offsets
        first = inside[0]
        if len(inside) > 1 and any(
            formats[index] != formats[first] or offsets[index] != offsets[first] for index in inside
        ):
            raise RecordError(f"{name[:80]} holds signals of several formats or offsets")
        size = file_size(f"{folder}/{name}")
        if formats[first] in COMPRESSED:
            continue  # wfdb finds out
        per_frame = len(inside) * layout.per_frame
        if layout.n_frames is not None:
            n_bytes = offsets[first] + n_bytes_of(formats[first], layout.n_frames * per_frame)
            if size < n_bytes:
                other = other_file_at(f"{folder}/{name}")
                problem = other or f"is truncated: {size:,} of {n_bytes:,} bytes"
                raise RecordError(f"{name[:80]} {problem}")
        else:
            whole = WHOLE_SAMPLES[formats[first]]
            n_blocks, rest = divmod(max(0, size - offsets[first]), len(whole) - 1)
            there = (n_blocks * whole[-1] + whole[rest]) // per_frame
            n_frames = there if n_frames is None else min(n_frames, there)
    if n_frames is None:
        raise RecordError("the header of a FLAC file must state the number of samples")
    return max(0, n_frames - max(layout.skews)) * layout.per_frame


def n_bytes_of(format_: str, n_samples: int) -> int:
    """Bytes that hold so many samples of a format that is not compressed."""
    whole = WHOLE_SAMPLES[format_]
    n_blocks, rest = divmod(n_samples, whole[-1])
    return n_blocks * (len(whole) - 1) + next(n for n, complete in enumerate(whole) if complete >= rest)


def read_shape(path: str) -> Shape:
    """Rate, leads and length of a record, whatever they are.

    Args:
        path: The record without extension.

    Raises:
        RecordError: The header cannot be parsed, or neither it nor the signal files have the length.
        OSError: A file cannot be read.
    """
    return _shape(path, read_header(path))


def read_comments(path: str) -> tuple[str, ...]:
    """Comments of a header, without their signs.

    Raises:
        RecordError: It is missing or no text file.
        OSError: It cannot be read.
    """
    return _comments_of(_header_lines(f"{path}.hea"))


def _shape(path: str, parsed: Parsed) -> Shape:
    folder = path.rpartition("/")[0]
    signals, n_frames = parsed.signals, parsed.n_frames
    if parsed.segments:
        first = next((name for name, _ in parsed.segments if name != GAP), None)
        signals = () if first is None else read_header(f"{folder}/{first}").signals
        if not signals:
            raise RecordError("header describes segments without signals")
    per_frame, names = _per_frame(signals), tuple(signal.name for signal in signals)
    if n_frames is not None:
        n_samples = max(0, n_frames - max(signal.skew for signal in signals)) * per_frame
    else:
        n_samples = n_stored(folder, header_of(parsed, np.arange(len(names))))
    return Shape(rate_hz=parsed.fs * per_frame, leads=names, n_samples=n_samples)


def read_header(path: str) -> Parsed:
    """The content of the header of a record, whatever its rate and leads.

    Args:
        path: The record without extension.

    Raises:
        RecordError: The header is missing or cannot be parsed.
        OSError: It cannot be read.
    """
    return parse(_header_text(f"{path}.hea"))


def load_wfdb() -> Any:
    """The package wfdb, imported late because that takes half a second.

    Quietly, too: importing wfdb 4.3 under pandas 3.1 warns of a deprecation that is wfdb's own affair.
    """
    if "wfdb" not in sys.modules:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import wfdb
    import wfdb

    return wfdb


# Text


def _header_text(path: str) -> str:
    """Lines of a header, stripped, without comments and blank ones."""
    return _text_of(_header_lines(path), path)


def _header_lines(path: str) -> list[bytes]:
    """Lines of a header, stripped."""
    size = file_size(path)
    if size > _MAX_HEADER_BYTES:
        raise RecordError(f"{Path(path).name} has {size:,} bytes, too many for a header")
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - for every record
        raw = file.read()
    if not raw.isascii():
        raw = _as_utf8(raw, path)
    return [line.strip() for line in raw.splitlines()]


def _text_of(lines: Sequence[bytes], path: str) -> str:
    """A header without comments and blank lines.

    Comments are dropped before anything is decoded: they may be in another encoding than the rest.
    """
    raw = b"\n".join([line for line in lines if line and not line.startswith(b"#")])
    if not raw:
        raise RecordError(f"{Path(path).name} is empty")
    text = _decoded(raw)
    if not text.replace("\n", "").replace("\t", "").isprintable():
        text = text.replace("\u00a0", " ")
        if not text.replace("\n", "").replace("\t", "").isprintable():
            raise RecordError(f"{Path(path).name} {other_file_at(path) or 'is not a text file'}")
    return text


def _comments_of(lines: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(_decoded(line.lstrip(b"# \t")) for line in lines if line.startswith(b"#"))


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def _as_utf8(raw: bytes, path: str) -> bytes:
    """Text of a file without byte order mark, decoded as UTF-16 where the mark says so, else as UTF-8."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return raw.decode("utf-16").encode("utf-8")
        except UnicodeError:
            raise RecordError(f"{Path(path).name} is not a text file") from None
    return raw.removeprefix(b"\xef\xbb\xbf")


def parse(text: str) -> Parsed:
    """Parse a header.

    Args:
        text: Its lines without comment lines and blank ones, as in header(5).

    Raises:
        RecordError: It does not follow header(5), or names a file outside the record's folder.
    """
    record_line, *lines = [_without_comment(line) for line in text.split("\n")]
    ways = list(_record_lines(record_line))
    if not ways:
        if (other := other_file(record_line.encode())) is not None:
            raise RecordError(f"header {other}")
        raise RecordError(f"header cannot be parsed: record line {record_line[:60]!r}")
    if not lines:
        raise RecordError("header describes no signals")
    matches = [_SEGMENT.fullmatch(line) for line in lines]
    for n_segments, _, rest in ways:
        if n_segments == len(lines) and all(match and not _is_format(match[2]) for match in matches):
            return _segmented(rest, [(match[1], int(match[2])) for match in matches if match])
    fitting = [rest for _, n_signals, rest in ways if n_signals == len(lines)]
    # As header(5) has it, or, where the record's name has blanks, the one way that agrees with the lines.
    if not fitting or (len(fitting) > 1 and ways[0][1] != len(lines)):
        raise RecordError(f"header announces {ways[0][1]:,} signals and describes {len(lines):,}")
    fs, n_frames = _rate_and_length(fitting[0])
    return Parsed(
        fs=fs,
        states_fs=bool(fitting[0]),
        n_frames=n_frames,
        signals=tuple(map(_signal, lines)),
        segments=(),
    )


def _without_comment(line: str) -> str:
    return re.split(r"[ \t]#", line, maxsplit=1)[0].rstrip()


def _is_format(word: str) -> bool:
    return word in WHOLE_SAMPLES or word in COMPRESSED


def _record_lines(line: str) -> Iterator[tuple[int | None, int, list[str]]]:
    """Ways to read a record line: numbers of segments and of signals, and the words that follow.

    The record's name, which may have blanks, is not needed: the name of the header's file counts.
    """
    words = line.split()
    for position in range(1, min(len(words), _MAX_WORDS)):
        rest = words[position + 1 :]
        if not re.fullmatch(r"[0-9]{1,9}", words[position]) or (rest and not _FREQUENCY.fullmatch(rest[0])):
            continue
        segments = re.search(r"/([0-9]{1,6})$", words[position - 1])
        yield (int(segments[1]) if segments else None), int(words[position]), rest


def _rate_and_length(words: Sequence[str]) -> tuple[float, int | None]:
    """Frames per second and in all; the time and the date that may follow are not needed."""
    fs, n_frames = _DEFAULT_FS, None
    if words:
        frequency = _FREQUENCY.fullmatch(words[0])
        assert frequency is not None
        fs = float(frequency[1])
        if not 0 < fs <= 1e6:
            raise RecordError(f"sampling rate {words[0][:40]!r}, expected a number of Hz")
    # A time (with colons) or a date (with strokes) may stand there instead.
    if len(words) > 1 and (_IS_NUMBER.fullmatch(words[1]) or re.fullmatch(r"[0-9][^:/]*", words[1])):
        stated = float(words[1]) if _IS_NUMBER.fullmatch(words[1]) else math.nan
        if not 0 <= stated < _MAX_COUNT or stated != int(stated):
            raise RecordError(f"number of samples {words[1][:40]!r}, expected a whole number")
        n_frames = int(stated) or None
    return fs, n_frames


def _segmented(words: Sequence[str], segments: Sequence[tuple[str, int]]) -> Parsed:
    fs, n_frames = _rate_and_length(words)
    if segments[0][1] == 0:
        raise RecordError("its segments differ in their leads (variable layout), which is not supported")
    for name, _ in segments:
        if name != GAP and not stays_below(name):
            raise RecordError(f"header names the segment {name[:80]!r} outside the record's folder")
    total = sum(n for _, n in segments)
    if n_frames is not None and n_frames != total:
        raise RecordError(f"segments of {total:,} samples in all, the record line says {n_frames:,}")
    return Parsed(fs=fs, states_fs=bool(words), n_frames=total, signals=(), segments=tuple(segments))


def _signal(line: str) -> Signal:
    """Parse a signal line; the name of the file may have blanks."""
    words = [match.span() for match in re.finditer(r"[^ \t]+", line)][:_MAX_WORDS]
    for (_, end_of_file), (start, stop) in itertools.pairwise(words):
        layout = _FORMAT.fullmatch(line, start, stop)
        if layout is None:
            continue
        file, format_ = line[:end_of_file], str(int(layout[1]))
        has_blank = start != words[1][0]
        if not _is_format(format_):
            if has_blank:
                continue
            raise RecordError(f"signal format {layout[1]!r}, which WFDB does not have")
        rest = _AFTER_FORMAT.fullmatch(line[stop:].lstrip(" \t"))
        # Behind a name with blanks a lone number may be any field: the gain must look like one.
        if rest is None or (has_blank and not (rest["unit"] or rest["zero1"] or rest["unit2"])):
            continue
        if not stays_below(file):
            raise RecordError(f"header names the file {file[:80]!r} outside the record's folder")
        return _signal_of(file, format_, layout, rest)
    raise RecordError(f"header cannot be parsed: signal line {line[:60]!r}")


def _signal_of(file: str, format_: str, layout: re.Match[str], rest: re.Match[str]) -> Signal:
    zero = rest["zero1"] or rest["zero2"]
    unit = (rest["unit"] or rest["unit2"] or "").strip(" \t/")
    adc_zero = _whole(rest["adc_zero"])
    baseline = float(zero.strip(" \t()")) if zero else float(adc_zero or 0)
    checksum = _whole(rest["checksum"])
    gain = float(rest["gain"] or 0)
    per_frame = int(layout[2] or 1)
    if not 0 < per_frame <= 10_000:
        raise RecordError(f"{per_frame:,} samples per frame")
    return Signal(
        file=file,
        format=format_,
        per_frame=per_frame,
        skew=int(layout[3] or 0),
        offset=int(layout[4] or 0),
        gain=gain or DEFAULT_GAIN,
        states_gain=gain != 0,
        baseline=baseline,
        unit=unit or "mV",
        initial=_whole(rest["initial"]) or 0,
        checksum=checksum,
        name=(rest["name"] or "").strip(),
    )


def _whole(text: str | None) -> int | None:
    if text is None:
        return None
    if len(text) > 20:
        raise RecordError(f"the number {text[:40]!r}… in the header is out of range")
    return int(text)


def stays_below(name: str) -> bool:
    """Whether a name means a file in a folder or below it, on every system."""
    # Libraries may take a colon or backslash for a drive, a URL or another protocol.
    if _ODD_SIGN.search(name) or name in ("-", GAP):
        return False
    return not any(part in ("", ".", "..") for part in name.split("/"))
