"""A recording as an EDF, EDF+ or BDF file (Kemp et al. 1992, Kemp and Olivan 2003), by pyedflib."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from search.data.other_files import other_file_at
from search.data.recordings.recording import choose_leads, microvolts_and_missing
from search.data.signals.headers import file_size, uv_per_unit
from search.errors import RecordError, UsageError

FIXED_HEADER: Final = 256
OF_SIGNAL_BEFORE_SAMPLES: Final = 216
"""Bytes that the header has of each signal before its samples in a data record (Kemp et al. 1992)."""


def _check_size(path: Path) -> None:
    """Compare a file with its header, of which pyedflib would complain on standard output.

    What is no header at all is left to pyedflib.

    Raises:
        RecordError: The file is shorter or longer than the data records that its header counts.
    """
    n_bytes = file_size(path)
    if not n_bytes:
        raise RecordError("is empty")
    try:
        with path.open("rb") as file:
            fixed = file.read(FIXED_HEADER)
            n_header, n_records, n_signals = int(fixed[184:192]), int(fixed[236:244]), int(fixed[252:256])
            file.seek(FIXED_HEADER + OF_SIGNAL_BEFORE_SAMPLES * n_signals)
            n_samples = sum(int(file.read(8)) for _ in range(n_signals))
    except ValueError:
        return
    except OSError as error:
        raise RecordError(f"cannot be read: {error.strerror or type(error).__name__}") from error
    wanted = n_header + n_records * n_samples * (3 if fixed[:1] == b"\xff" else 2)
    if n_records >= 0 and n_bytes != wanted:
        problem = "truncated" if n_bytes < wanted else "too long"
        raise RecordError(f"is {problem}: {n_bytes:,} bytes, its header says {wanted:,}")


def open_edf(path: Path) -> Any:
    """A `pyedflib.EdfReader`.

    Raises:
        RecordError: It is no EDF file, or one that pyedflib does not read.
        UsageError: pyedflib is not installed.
    """
    try:
        import pyedflib
    except ImportError:
        raise UsageError("reading .edf needs pyedflib: pip install '.[edf]'") from None
    try:
        return pyedflib.EdfReader(str(path), annotations_mode=pyedflib.DO_NOT_READ_ANNOTATIONS)
    except OSError as error:
        said = " ".join(str(error).removeprefix(f"{path}:").split()).partition(", it might")[0]
        raise RecordError(str(other_file_at(path) or f"cannot be read as EDF: {said[:120]}")) from error


class EdfRecording:
    """An EDF file; `Recording`.

    Args:
        path: The file.
        wanted: Leads of the model; only signals that these are read or derived from need the same rate.

    Raises:
        RecordError: It is no EDF file, is discontinuous, lacks a lead, or its leads have several rates.
        UsageError: pyedflib is not installed.
    """

    def __init__(self, path: Path, wanted: Sequence[str]) -> None:
        self._path = path
        _check_size(path)
        with open_edf(path) as file:
            self.leads = tuple(file.getSignalLabels())
            used = choose_leads(self.leads, wanted).columns.tolist()
            rates = {float(file.getSampleFrequency(column)) for column in used}
            if len(rates) > 1:
                listing = ", ".join(f"{rate:g}" for rate in sorted(rates))
                raise RecordError(f"leads sampled at several rates ({listing} Hz) are not supported")
            self.rate_hz = rates.pop()
            self.n_samples = int(min(file.getNSamples()[column] for column in used))
            self._units = [file.getPhysicalDimension(column).strip() for column in range(len(self.leads))]

    def without_gain(self, columns: NDArray[np.intp]) -> tuple[str, ...]:
        """None: EDF always states the range of a signal."""
        return ()

    def read(
        self, columns: NDArray[np.intp], start: int, n_samples: int
    ) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        """Some samples of some signals."""
        with open_edf(self._path) as file:
            return microvolts_and_missing(
                np.stack(
                    [
                        file.readSignal(column, start, n_samples) * uv_per_unit(self._units[column])
                        for column in columns
                    ]
                )
            )
