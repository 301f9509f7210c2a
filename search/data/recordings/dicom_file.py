"""A recording as a DICOM waveform object of an ECG (DICOM PS3.3, C.10.9), by pydicom."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from search.data.other_files import other_file_at
from search.data.recordings.recording import SignalsInMemory, choose_leads
from search.data.signals.headers import file_size, uv_per_unit
from search.data.signals.leads import LEADS, lead_key, usual_lead
from search.errors import RecordError, UsageError, one_line

_NUMBERED: Final = {
    **dict(zip((1, 2, 3, 4, 5, 6, 7, 8), ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"), strict=True)),
    **dict(zip((61, 62, 63, 64), ("III", "aVR", "aVL", "aVF"), strict=True)),
}
"""Leads by their numbers in SCP-ECG and MDC (DICOM PS3.16, CID 3001): codes such as 5.6.3-9-61 and 2:61."""


def read_dicom_recording(path: Path, wanted: Sequence[str]) -> SignalsInMemory:
    """Read the group of channels that has most of the leads, and of several such groups the longest.

    Twelve-lead objects often hold a second group, of median beats.

    Args:
        path: The file.
        wanted: Leads of the model.

    Raises:
        RecordError: It is no DICOM file, has no waveform, or a channel has no scale.
        UsageError: pydicom is not installed.
    """
    file_size(path)
    with opened_dicom(path) as dataset:
        groups = list(dataset.get("WaveformSequence", ()))
        if not groups:
            raise RecordError("is a DICOM file without a waveform")
        names = [
            [_name(channel) for channel in group.get("ChannelDefinitionSequence", ())] for group in groups
        ]
        quality = [
            (
                len({_lead(name, wanted) for name in of_group} - {None}),
                int(_stated(group, "NumberOfWaveformSamples")),
            )
            for of_group, group in zip(names, groups, strict=True)
        ]
        chosen = quality.index(max(quality))
        group = groups[chosen]
        _check_joined(names, chosen, wanted)
        rate_hz = float(_stated(group, "SamplingFrequency"))
        values_TS = _values(dataset, chosen)
        uv_S = [
            _uv_per_unit(name, channel, wanted)
            for name, channel in zip(names[chosen], group.ChannelDefinitionSequence, strict=True)
        ]
    return SignalsInMemory(
        rate_hz=rate_hz,
        leads=(*names[chosen], *(f"group {n + 1}" for n in range(len(groups)) if n != chosen)),
        uv_ST=values_TS.T * np.array(uv_S)[:, None],
    )


@contextmanager
def opened_dicom(path: Path, tags: Sequence[str] | None = None) -> Iterator[Any]:
    """Content of a DICOM file, for a context in which what pydicom raises is a RecordError.

    Args:
        path: The file.
        tags: Those to read; all if not given.

    Raises:
        RecordError: It is no DICOM file or damaged.
        UsageError: pydicom is not installed.
    """
    try:
        import pydicom
        from pydicom.errors import InvalidDicomError
    except ImportError:
        raise UsageError("reading DICOM needs pydicom: pip install '.[dicom]'") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values outside of the standard, which do no harm here
            yield pydicom.dcmread(path, specific_tags=None if tags is None else list(tags))
    except InvalidDicomError:
        raise RecordError(str(other_file_at(path) or "is no DICOM file")) from None
    except RecordError:
        raise
    except Exception as error:  # pydicom raises many kinds for a file that is damaged
        raise RecordError(f"cannot be read as DICOM: {one_line(error)}") from error


def _lead(name: str, wanted: Sequence[str]) -> str | None:
    """The lead that a channel is; None for other signals."""
    by_key = {lead_key(lead): lead for lead in wanted}
    return by_key.get(lead_key(name)) or usual_lead(name)


def _check_joined(names: Sequence[Sequence[str]], chosen: int, wanted: Sequence[str]) -> None:
    """Refuse leads that lie in several groups: these may have other rates and begin at other times."""
    try:
        choose_leads(names[chosen], wanted)
    except RecordError:
        there = [{_lead(name, wanted) for name in of_group} for of_group in names]
        if not set(wanted) <= there[chosen] and set(wanted) <= set().union(*there):
            listing = "; ".join(", ".join(of_group) for of_group in names)
            raise RecordError(
                f"its leads lie in several groups of channels, which is not supported: {listing[:120]}"
            ) from None


_LINEAR: Final = {"SB": 1, "UB": 1, "SS": 2, "US": 2, "SL": 4, "UL": 4}
"""Sample interpretations that are whole numbers, and their bytes; others are compressed by A-law or µ-law."""


def _stated(group: Any, field: str) -> Any:
    """A value that a group of channels must state once."""
    value = group.get(field)
    if value is None or not isinstance(value, (int, float, str)):
        raise RecordError(f"lacks {field}, or states several")
    return value


def _values(dataset: Any, chosen: int) -> NDArray[np.float64]:
    """Values of a group in the units of its channels, NaN for padding, shape (T, S)."""
    group = dataset.WaveformSequence[chosen]
    kind = str(_stated(group, "WaveformSampleInterpretation"))
    if kind not in _LINEAR:
        raise RecordError(f"samples of kind {kind} (A-law or µ-law) are not supported")
    n_samples = int(_stated(group, "NumberOfWaveformSamples"))
    n_channels = int(_stated(group, "NumberOfWaveformChannels"))
    n_described = len(group.get("ChannelDefinitionSequence", ()))
    if n_channels != n_described:
        raise RecordError(f"states {n_channels} channels and describes {n_described}")
    n_bytes, n_there = n_samples * n_channels * _LINEAR[kind], len(group.WaveformData)
    if not n_bytes <= n_there <= n_bytes + 1:  # an even number
        raise RecordError(f"has {n_there:,} bytes of samples, its header says {n_bytes:,}")
    little = np.dtype(f"<{'i' if kind[0] == 'S' else 'u'}{_LINEAR[kind]}")
    stored = little
    if not dataset.original_encoding[1]:  # pydicom takes samples for little-endian
        stored = little.newbyteorder(">")
        group.WaveformData = np.frombuffer(group.WaveformData[:n_bytes], stored).astype(little).tobytes()
    values_TS = np.asarray(dataset.waveform_array(chosen), dtype=np.float64)
    padding = group.get("WaveformPaddingValue")
    if padding is not None:
        [no_sample] = np.frombuffer(bytes(padding)[: stored.itemsize], stored)
        steps = np.frombuffer(group.WaveformData[:n_bytes], little)
        values_TS = np.where(steps.reshape(values_TS.shape) == no_sample, np.nan, values_TS)
    return values_TS


def _uv_per_unit(name: str, channel: Any, wanted: Sequence[str]) -> float:
    """Microvolts in the unit of a channel; NaN for one that is no lead and has none."""
    unit = _unit(channel)
    try:
        if unit is None:
            raise RecordError(f"channel {name!r} has no sensitivity: its samples have no unit")
        return uv_per_unit(unit)
    except RecordError:
        if _lead(name, wanted) is None:
            return math.nan
        raise


def _name(channel: Any) -> str:
    """Name of the lead of a channel: by its code, else its label."""
    source = channel.get("ChannelSourceSequence") or [{}]
    value, meaning = str(source[0].get("CodeValue", "")), str(source[0].get("CodeMeaning", ""))
    number = value.rpartition("-" if "-" in value else ":")[2]
    if value.startswith(("5.6.3-9-", "2:")) and number.isdecimal() and int(number) in _NUMBERED:
        return _NUMBERED[int(number)]
    for name in (meaning, str(channel.get("ChannelLabel", ""))):
        if usual_lead(name) in LEADS:
            return name
    return meaning or str(channel.get("ChannelLabel", ""))


def _unit(channel: Any) -> str | None:
    """Unit of the values that pydicom makes; None where the channel states no sensitivity."""
    units = channel.get("ChannelSensitivityUnitsSequence")
    return str(units[0].CodeValue) if channel.get("ChannelSensitivity") is not None and units else None


def is_dicom(path: Path) -> bool:
    """Whether a file is one of DICOM; those of archives often have no extension."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False
