"""Tiny folders in PTB-XL's layout, without waveforms."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

STATEMENT_HEADER = (
    "",
    "description",
    "diagnostic",
    "form",
    "rhythm",
    "diagnostic_class",
    "diagnostic_subclass",
)
STATEMENTS = (
    ("NDT", "non-diagnostic T abnormalities", "1.0", "1.0", "", "STTC", "STTC"),
    ("NST_", "non-specific ST changes", "1.0", "1.0", "", "STTC", "NST_"),
    ("NORM", "normal ECG", "1.0", "", "", "NORM", "NORM"),
    ("IMI", "inferior myocardial infarction", "1.0", "", "", "MI", "IMI"),
    ("ILMI", "inferolateral myocardial infarction", "1.0", "", "", "MI", "IMI"),
    ("ASMI", "anteroseptal myocardial infarction", "1.0", "", "", "MI", "AMI"),
    ("1AVB", "first degree AV block", "1.0", "", "", "CD", "_AVB"),
    ("ABQRS", "abnormal QRS", "", "1.0", "", "", ""),
    ("SR", "sinus rhythm", "", "", "1.0", "", ""),
    ("AFIB", "atrial fibrillation", "nan", "nan", "1.0", "nan", "nan"),
)


def record(ecg_id: int, **changes: str) -> dict[str, str]:
    """One row of the table; strat_folds 1 to 10 in turn, one patient each."""
    row = {
        "ecg_id": str(ecg_id),
        "patient_id": f"{1000 + ecg_id}.0",
        "age": "56.0",
        "sex": "1",
        "device": "CS-12   E",
        "scp_codes": "{'NORM': 100.0, 'SR': 0.0}",
        "strat_fold": str((ecg_id - 1) % 10 + 1),
        "filename_lr": f"records100/00000/{ecg_id:05d}_lr",
        "filename_hr": f"records500/00000/{ecg_id:05d}_hr",
    }
    return row | changes


def write_table(folder: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """Write `ptbxl_database.csv` and `scp_statements.csv`; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "ptbxl_database.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    write_statements(folder, STATEMENTS)
    return folder


def write_statements(
    folder: Path, lines: Sequence[Sequence[str]], header: Sequence[str] = STATEMENT_HEADER
) -> None:
    with (folder / "scp_statements.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *lines])
