"""A recording as a DICOM waveform object of an ECG (DICOM PS3.3, C.10.9), by pydicom."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from search.data.recordings.recording import SignalsInMemory
from search.data.signals.headers import file_size, uv_per_unit
from search.data.signals.leads import LEADS, lead_key, usual_lead
from search.errors import RecordError, UsageError

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
    try:
        import pydicom
        from pydicom.errors import InvalidDicomError
    except ImportError:
        raise UsageError("reading DICOM needs pydicom: pip install '.[dicom]'") from None
    file_size(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values outside of the standard, which do no harm here
            dataset = pydicom.dcmread(path)
            groups = list(dataset.get("WaveformSequence", ()))
            if not groups:
                raise RecordError("is a DICOM file without a waveform")
            names = [[_name(channel) for channel in group.ChannelDefinitionSequence] for group in groups]
            keys = {lead_key(lead) for lead in wanted}
            quality = [
                (
                    len(
                        {
                            usual_lead(name) or name
                            for name in of_group
                            if lead_key(name) in keys or usual_lead(name)
                        }
                    ),
                    int(group.NumberOfWaveformSamples),
                )
                for of_group, group in zip(names, groups, strict=True)
            ]
            chosen = quality.index(max(quality))
            group = groups[chosen]
            values_TS = np.asarray(dataset.waveform_array(chosen), dtype=np.float64)
            units = [_unit(channel) for channel in group.ChannelDefinitionSequence]
            rate_hz = float(group.SamplingFrequency)
    except InvalidDicomError:
        raise RecordError("is no DICOM file") from None
    except RecordError:
        raise
    except Exception as error:  # pydicom raises many kinds for a file that is damaged
        raise RecordError(f"cannot be read as DICOM: {' '.join(str(error).split())[:120]}") from error
    scale_S = np.array([math.nan if unit is None else uv_per_unit(unit) for unit in units])
    unscaled = [
        name for name, scale in zip(names[chosen], scale_S.tolist(), strict=True) if math.isnan(scale)
    ]
    if unscaled:
        raise RecordError(f"channel {unscaled[0]!r} has no sensitivity: its samples have no unit")
    return SignalsInMemory(
        rate_hz=rate_hz,
        leads=(*names[chosen], *(f"group {n + 1}" for n in range(len(groups)) if n != chosen)),
        uv_ST=values_TS.T * scale_S[:, None],
    )


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
