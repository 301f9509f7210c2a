"""Tiny folders in PTB-XL's layout, with waveforms, written without wfdb and without our reader."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ptbxl_folder import record, write_table

HEADER_LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")


def noise(seed: int, rate_hz: int = 100) -> NDArray[np.int16]:
    """Twelve leads of ten seconds, all different."""
    return np.random.default_rng(seed).integers(-2000, 2000, (12, 10 * rate_hz)).astype(np.int16)


def header_text(
    name: str,
    steps_LT: NDArray[np.int16],
    *,
    rate_hz: int = 100,
    leads: Sequence[str] = HEADER_LEADS,
    gain: str = "1000.0(0)/mV",
    n_samples: int | None = None,
) -> str:
    """A header as PTB-XL writes it."""
    n_samples = steps_LT.shape[1] if n_samples is None else n_samples
    lines = [f"{name} {len(leads)} {rate_hz} {n_samples}"]
    for lead, steps in zip(leads, steps_LT, strict=True):
        checksum = int(steps.astype(np.int64).sum()) % 65_536
        lines.append(f"{name}.dat 16 {gain} 16 0 {steps[0]} {checksum} 0 {lead}")
    return "\n".join(lines) + "\n"


def write_record(root: Path, filename: str, steps_LT: NDArray[np.int16], **header: object) -> None:
    """Write `filename`.hea and .dat; keyword arguments go to `header_text`."""
    path = root / filename
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}.hea").write_text(header_text(path.name, steps_LT, **header))  # type: ignore[arg-type]
    path.with_name(f"{path.name}.dat").write_bytes(steps_LT.T.astype("<i2").tobytes())


def write_data_set(root: Path, n_records: int = 20, **changes: Mapping[int, str]) -> Path:
    """Table, statements and 100 Hz waveforms; two records in each strat_fold.

    Args:
        root: Folder to make.
        n_records: Records, with ids from 1.
        changes: For a column, other values of some ids.
    """
    rows = [
        record(ecg_id, **{column: by_id[ecg_id] for column, by_id in changes.items() if ecg_id in by_id})
        for ecg_id in range(1, n_records + 1)
    ]
    write_table(root, rows)
    for row in rows:
        write_record(root, row["filename_lr"], noise(int(row["ecg_id"])))
    return root
