"""Folders in the layout of the PhysioNet/CinC Challenges 2020 and 2021."""

import ast
import csv
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.data.signals.headers import load_wfdb
from search.data.signals.leads import LEADS
from search.data.signals.resample import resample

SNOMED = {
    "NORM": "426783006",
    "SR": "426783006",
    "AFIB": "164889003",
    "SBRAD": "426177001",
    "STACH": "427084000",
    "LVH": "164873001",
    "IRBBB": "713426002",
    "CRBBB": "713427006",
    "CLBBB": "164909002",
    "1AVB": "270492004",
    "LAFB": "445118002",
    "PVC": "427172004",
    "IMI": "164865005",
    "ASMI": "164865005",
    "NST_": "55930002",
    "NDT": "164934002",
}
"""Codes that some statements of PTB-XL have in the challenge."""


def write_header(
    path: Path,
    *,
    rate_hz: int = 500,
    n_samples: int = 5000,
    dx: str | None = "426783006",
    age: str = "74",
    sex: str = "Male",
    leads: Sequence[str] = LEADS,
    layout: str = "16x1+24 1000.0(0)/mV 16 0",
    year: int = 2021,
    checksums: Sequence[int] = (),
    first: Sequence[int] = (),
    suffix: str = "mat",
) -> None:
    """A header as the challenge of that year writes it; without a line of diagnoses if `dx` is None."""
    sign = "#" if year == 2020 else "# "
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{path.name} {len(leads)} {rate_hz} {n_samples}"]
    for index, lead in enumerate(leads):
        start = first[index] if first else 0
        checksum = checksums[index] if checksums else 0
        lines.append(f"{path.name}.{suffix} {layout} {start} {checksum} 0 {lead}")
    lines += [f"{sign}Age: {age}", f"{sign}Sex: {sex}"]
    lines += [f"{sign}Dx: {dx}"] if dx is not None else []
    lines += [f"{sign}{field}: Unknown" for field in ("Rx", "Hx", "Sx")]
    path.with_name(f"{path.name}.hea").write_text("\n".join(lines) + "\n", encoding="utf-8")


def matrix_head(n_rows: int, n_columns: int, kind: int = 30, name: bytes = b"val\0") -> bytes:
    """Beginning of a MAT file of version 4, by default of 16-bit integers."""
    return struct.pack("<5i", kind, n_rows, n_columns, 0, len(name)) + name


def write_record(path: Path, steps_LT: NDArray[np.integer], **header: object) -> None:
    """A record of converter values, in format 16 behind the head of a MAT file."""
    n_leads, n_samples = steps_LT.shape
    checksums = [int(total) for total in steps_LT.astype(np.int16).sum(axis=1, dtype=np.int16)]
    options = {"checksums": checksums, "first": steps_LT[:, 0].tolist(), "n_samples": n_samples} | header
    write_header(path, **options)  # type: ignore[arg-type]
    signals = np.ascontiguousarray(steps_LT.T, dtype="<i2").tobytes()
    if options.get("suffix", "mat") == "mat":
        signals = matrix_head(n_leads, n_samples) + signals
    path.with_name(f"{path.name}.{options.get('suffix', 'mat')}").write_bytes(signals)


def noise(seed: int, n_samples: int = 5000, n_leads: int = 12) -> NDArray[np.int16]:
    """Microvolts within ±2 mV, all leads different."""
    return np.random.default_rng(seed).integers(-2000, 2000, (n_leads, n_samples)).astype(np.int16)


def write_challenge(root: Path, ptbxl: Path) -> dict[str, tuple[int, NDArray[np.int16]]]:
    """Real PTB-XL records as the challenge has them, in folders g1 and g2: `HR00001` and so on.

    At 500 Hz where `ptbxl` has them, otherwise resampled from 100 Hz to 257, 500 or 1000 Hz in turn.

    Returns:
        Rate and microvolts of each record.
    """
    written = {}
    with (ptbxl / "ptbxl_database.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for index, row in enumerate(rows):
        name = f"HR{int(row['ecg_id']):05d}"
        if (ptbxl / f"{row['filename_hr']}.dat").is_file():
            rate_hz, x_LT = 500, _microvolts(ptbxl / row["filename_hr"])
        else:
            rate_hz = (257, 500, 1000)[index % 3]
            x_LT = resample(_microvolts(ptbxl / row["filename_lr"]), 100, rate_hz)
        codes = dict.fromkeys(SNOMED[code] for code in ast.literal_eval(row["scp_codes"]) if code in SNOMED)
        year = 2020 + index % 2
        write_record(
            root / f"g{1 + index % 2}" / name,
            x_LT,
            rate_hz=rate_hz,
            dx=",".join(codes),
            age=str(int(float(row["age"]))) if row["age"] else "NaN",
            sex=("Male", "Female")[int(row["sex"])] if year == 2021 else ("M", "F")[int(row["sex"])],
            year=year,
            layout="16+24 1000/mV 16 0" if year == 2020 else "16x1+24 1000.0(0)/mV 16 0",
        )
        written[name] = rate_hz, x_LT
    for folder in (root / "g1", root / "g2"):
        (folder / "RECORDS").write_text("".join(f"{path.stem}\n" for path in sorted(folder.glob("*.hea"))))
    return written


def _microvolts(path: Path) -> NDArray[np.int16]:
    """A PTB-XL record as wfdb reads it: 1,000 steps per mV, so steps are microvolts."""
    values_TL = load_wfdb().rdrecord(str(path), physical=False).d_signal
    return np.ascontiguousarray(values_TL.T.astype(np.int16))
