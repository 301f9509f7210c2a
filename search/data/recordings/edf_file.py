"""A recording as an EDF or EDF+ file (Kemp et al. 1992, Kemp and Olivan 2003), by pyedflib."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.data.recordings.recording import microvolts_and_missing
from search.data.signals.headers import file_size, uv_per_unit
from search.data.signals.leads import lead_key, usual_lead
from search.errors import RecordError, UsageError


class EdfRecording:
    """An EDF file; `Recording`.

    Args:
        path: The file.
        wanted: Leads of the model; only these need the same rate.

    Raises:
        RecordError: It is no EDF file, is discontinuous, or its leads have several rates.
        UsageError: pyedflib is not installed.
    """

    def __init__(self, path: Path, wanted: Sequence[str]) -> None:
        self._path = path
        file_size(path)
        with self._open() as file:
            self.leads = tuple(file.getSignalLabels())
            keys = {lead_key(lead) for lead in wanted}
            used = [
                column
                for column, name in enumerate(self.leads)
                if lead_key(name) in keys or usual_lead(name) is not None
            ] or list(range(len(self.leads)))
            rates = {float(file.getSampleFrequency(column)) for column in used}
            if not rates:
                raise RecordError("has no signals")
            if len(rates) > 1:
                listing = ", ".join(f"{rate:g}" for rate in sorted(rates))
                raise RecordError(f"leads sampled at several rates ({listing} Hz) are not supported")
            self.rate_hz = rates.pop()
            self.n_samples = int(min(file.getNSamples()[column] for column in used))
            self._units = [file.getPhysicalDimension(column).strip() for column in range(len(self.leads))]

    def read(
        self, columns: NDArray[np.intp], start: int, n_samples: int
    ) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        """Some samples of some signals."""
        with self._open() as file:
            return microvolts_and_missing(
                np.stack(
                    [
                        file.readSignal(column, start, n_samples) * uv_per_unit(self._units[column])
                        for column in columns
                    ]
                )
            )

    def _open(self) -> Any:
        try:
            import pyedflib
        except ImportError:
            raise UsageError("reading .edf needs pyedflib: pip install '.[edf]'") from None
        try:
            return pyedflib.EdfReader(str(self._path), annotations_mode=pyedflib.DO_NOT_READ_ANNOTATIONS)
        except OSError as error:
            said = " ".join(str(error).removeprefix(f"{self._path}:").split())
            raise RecordError(f"cannot be read as EDF: {said[:120]}") from error
