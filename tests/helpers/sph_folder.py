"""Folders in SPH's layout: metadata.csv, code.csv and one HDF5 file per record."""

import csv
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

CODES = {
    "1": "Normal ECG",
    "22": "Sinus bradycardia",
    "50": "Atrial fibrillation",
    "145": "ST deviation",
    "147": "T-wave abnormality",
    "346": "With a rapid ventricular response",
    "362": "Depression",
    "367": "Inversion",
}


def millivolts(seed: int, n_samples: int = 5000) -> NDArray[np.float16]:
    """Twelve leads within ±2 mV, all different."""
    return np.random.default_rng(seed).uniform(-2, 2, (12, n_samples)).astype(np.float16)


def write_h5(root: Path, ecg_id: str, x_LT: NDArray[np.floating]) -> Path:
    path = root / "records" / f"{ecg_id}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("ecg", data=x_LT)
    return path


def write_tables(root: Path, records: Mapping[str, tuple[str, str]]) -> Path:
    """Tables of records, each with its statements and its patient."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ECG_ID", "AHA_Code", "Patient_ID", "Age", "Sex", "N", "Date"])
        for ecg_id, (codes, patient) in records.items():
            writer.writerow([ecg_id, codes, patient, 55, "M", 5000, "2020-03-04"])
    with (root / "code.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["Code", "Description"], *CODES.items()])
    return root


def write_sph(root: Path, n_records: int = 20) -> Path:
    """Records A00001 and on, of one patient each but for the last two, which share one."""
    codes = ["1", "22;145+362", "50+346", "147+367;145", "22"]
    records = {
        f"A{n:05d}": (codes[n % len(codes)], f"S{min(n, n_records - 1):05d}") for n in range(1, n_records + 1)
    }
    write_tables(root, records)
    for number, ecg_id in enumerate(records, start=1):
        write_h5(root, ecg_id, millivolts(number, 5000 + 100 * number))
    return root
