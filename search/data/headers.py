"""Headers of records: read by wfdb, trusted in nothing.

PTB-XL's headers differ only in record name, first sample and checksum, so wfdb parses each layout once and
a record of a known layout costs a regular expression (wfdb: some milliseconds). A header that is not
written exactly like PTB-XL's goes through wfdb itself. Both ways give the same (tested).
"""

import os
import re
import stat
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.data.leads import LeadColumns, columns_of
from search.errors import RecordError

_MAX_HEADER_BYTES = 16_384  # a PTB-XL header has about 500
_MAX_SAMPLES = 20_000_000  # of all signals: 55 minutes of twelve leads at 500 Hz
_LARGEST_BASELINE = 2**31  # beyond every format's samples
_UV_PER_UNIT = {"uv": 1.0, "mv": 1e3, "v": 1e6}
# The two kinds of line in a PTB-XL header; groups of a signal line: file, layout, checksum, layout.
_RECORD_LINE = re.compile(r"[A-Za-z0-9_-]+ ([0-9]+ [0-9]+ [0-9]+)")
_SIGNAL_LINE = re.compile(
    r"^([A-Za-z0-9_-]+\.dat) (16 -?[0-9]+(?:\.[0-9]+)?(?:\(-?[0-9]+\))?(?:/[A-Za-z]+)? [0-9]+ -?[0-9]+)"
    r" -?[0-9]+ (-?[0-9]+) ([0-9]+ [A-Za-z0-9]+)$",
    re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Layout:
    """What headers of one kind have in common; sequences have one entry per signal of the file."""

    column: NDArray[np.intp]
    """Position in the file of each lead of the data set."""
    formats: tuple[str, ...]
    """WFDB's signal formats; "16" is 16-bit integers."""
    offsets: tuple[int, ...]
    """Bytes before the first sample."""
    baseline: NDArray[np.float64]
    """Converter value of 0 mV."""
    uv_per_step: NDArray[np.float64]
    """Microvolts per step of the converter."""
    n_samples: int
    """Samples per signal in the file."""
    is_plain: bool = field(init=False)
    """Interleaved 16-bit integers from the first byte on, as in PTB-XL."""
    is_microvolt: bool = field(init=False)
    """One step is 1 µV and zero is zero, as in PTB-XL: nothing to convert."""

    def __post_init__(self) -> None:
        is_microvolt = not self.baseline.any() and bool((self.uv_per_step == 1).all())
        object.__setattr__(self, "is_plain", set(self.formats) == {"16"} and not any(self.offsets))
        object.__setattr__(self, "is_microvolt", is_microvolt)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Header:
    """One record's header after all checks; sequences have one entry per signal of the file."""

    layout: Layout
    files: tuple[str, ...]
    """Names of signal files, without folder."""
    checksums: tuple[int | None, ...]
    """16-bit sums of the samples; None where the header states none."""


class HeaderReader:
    """Reads the headers of one data set; safe to share between threads.

    Args:
        rate_hz: The sampling rate that every record must have.
        n_samples: Samples per lead that every record must have.
        may_be_longer: Whether a record may have more.
        columns: Finds the leads of the data set among the signals of a file.
    """

    def __init__(
        self,
        *,
        rate_hz: int,
        n_samples: int,
        may_be_longer: bool = False,
        columns: LeadColumns = columns_of,
    ) -> None:
        self._rate_hz = rate_hz
        self._n_samples = n_samples
        self._may_be_longer = may_be_longer
        self._columns = columns
        self._layouts: dict[object, Layout] = {}

    def read(self, path: str) -> Header:
        """Read and check one header.

        Args:
            path: The record without extension; text, because a `Path` takes longer to make than to read.

        Raises:
            RecordError: The header is missing, cannot be parsed or describes something else than expected.
            OSError: The file cannot be read.
        """
        text = _header_text(f"{path}.hea")
        first_line, _, signal_lines = text.partition("\n")
        first = _RECORD_LINE.fullmatch(first_line)
        signals = _SIGNAL_LINE.findall(signal_lines)
        if first is None or not signals or len(signals) <= signal_lines.count("\n"):
            _check_names(signal_lines)
            parsed = _parse(path)
            return Header(
                layout=self._check(parsed), files=tuple(parsed.file_name), checksums=tuple(parsed.checksum)
            )
        files, before, checksums, after = zip(*signals, strict=True)
        kind = (first[1], before, after)
        layout = self._layouts.get(kind)
        if layout is None:
            layout = self._layouts[kind] = self._check(_parse(path))
        return Header(layout=layout, files=files, checksums=tuple(map(int, checksums)))

    def _check(self, parsed: Any) -> Layout:
        """Compare a `wfdb.Record` with what a record of this data set must be."""
        names = [name or "" for name in parsed.sig_name]
        column = self._columns(names)
        if parsed.n_sig != len(names):
            raise RecordError(f"header announces {parsed.n_sig} signals and describes {len(names)}")
        if parsed.fs != self._rate_hz:
            raise RecordError(f"sampled at {parsed.fs:g} Hz, expected {self._rate_hz} Hz")
        if parsed.sig_len is None or not self._is_long_enough(parsed.sig_len):
            found = "an unstated number of" if parsed.sig_len is None else f"{parsed.sig_len:,}"
            or_more = " or more" if self._may_be_longer else ""
            raise RecordError(
                f"{found} samples, expected {self._n_samples:,}{or_more} "
                f"({self._n_samples / self._rate_hz:g} s)"
            )
        if parsed.sig_len * parsed.n_sig > _MAX_SAMPLES:
            raise RecordError(
                f"{parsed.n_sig} signals of {parsed.sig_len:,} samples are too long to read; cut the record"
            )
        if any(n != 1 for n in parsed.samps_per_frame) or any(parsed.skew):
            raise RecordError("leads with several samples per frame or a skew between them are not supported")
        factors = [_UV_PER_UNIT.get((unit or "").casefold(), np.nan) for unit in parsed.units]
        if np.isnan(factors).any():
            unit = parsed.units[int(np.isnan(factors).argmax())] or ""
            raise RecordError(f"unit {unit[:40]!r}, expected mV")
        if any(abs(baseline) > _LARGEST_BASELINE for baseline in parsed.baseline):
            raise RecordError("a lead whose zero no converter can reach")
        gain = np.array(parsed.adc_gain, dtype=np.float64)
        if not (np.isfinite(gain) & (gain != 0)).all():
            raise RecordError("a lead without a usable gain")
        return Layout(
            column=column,
            formats=tuple(parsed.fmt),
            offsets=tuple(offset or 0 for offset in parsed.byte_offset),
            baseline=np.array(parsed.baseline, dtype=np.float64),
            uv_per_step=np.array(factors, dtype=np.float64) / gain,
            n_samples=parsed.sig_len,
        )

    def _is_long_enough(self, n_samples: int) -> bool:
        return n_samples == self._n_samples or (self._may_be_longer and n_samples > self._n_samples)


def file_size(path: str | Path) -> int:
    """Size in bytes of a regular file; a pipe or device would block or never end.

    Raises:
        RecordError: It is missing or no regular file.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - for every record
    except FileNotFoundError:
        raise RecordError(f"{Path(path).name} is missing") from None
    if not stat.S_ISREG(status.st_mode):
        raise RecordError(f"{Path(path).name} is not a file")
    return status.st_size


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


def one_line(error: Exception) -> str:
    """What an exception of wfdb says, on one line."""
    return " ".join(str(error).split())[:120] or type(error).__name__


def parse_header(path: Path) -> Any:
    """A header as wfdb reads it: a `wfdb.Record` with at least one signal.

    Args:
        path: The record without extension.

    Raises:
        RecordError: The header is missing or cannot be parsed.
        OSError: The file cannot be read.
    """
    _, _, signal_lines = _header_text(f"{path}.hea").partition("\n")  # what wfdb should not see
    _check_names(signal_lines)
    return _parse(str(path))


def _header_text(path: str) -> str:
    """Lines of a header, stripped, without comments and blank ones.

    Read before wfdb sees the file, because wfdb drops what is not ASCII without a word, so that µV becomes V.
    """
    size = file_size(path)
    if size > _MAX_HEADER_BYTES:
        raise RecordError(f"{Path(path).name} has {size:,} bytes, too many for a header")
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - for every record
        lines = map(bytes.strip, file.read().splitlines())
    raw = b"\n".join([line for line in lines if line and not line.startswith(b"#")])
    if not raw:
        raise RecordError(f"{Path(path).name} is empty")
    if not raw.isascii() or b"\0" in raw:
        raise RecordError(f"{Path(path).name} is not plain ASCII text")
    return raw.decode("ascii")


def _check_names(signal_lines: str) -> None:
    """Names of signal files before wfdb opens them."""
    for line in signal_lines.split("\n"):
        for name in line.split(maxsplit=1)[:1]:
            if "/" in name or "\\" in name:
                raise RecordError(f"header names the file {name[:80]!r} outside the record's folder")


def _parse(path: str) -> Any:
    """Let wfdb read a header: a `wfdb.Record` whose signal fields are lists of equal length.

    wfdb raises whatever its parser stumbles over (HeaderSyntaxError, ValueError, KeyError, bare Exception),
    so everything is caught.
    """
    wfdb = load_wfdb()
    try:
        parsed = wfdb.rdheader(path)
    except Exception as error:
        raise RecordError(f"header cannot be parsed: {one_line(error)}") from error
    if isinstance(parsed, wfdb.MultiRecord):
        raise RecordError("header describes several segments, expected one")
    if not parsed.n_sig or parsed.sig_name is None:
        raise RecordError("header describes no signals")
    return parsed
