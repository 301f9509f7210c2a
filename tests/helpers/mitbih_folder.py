"""Records in the layout of the MIT-BIH Arrhythmia Database, written without wfdb and without our reader."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

N_SAMPLES = 650_000
CODES = {
    **{"N": 1, "L": 2, "R": 3, "a": 4, "V": 5, "F": 6, "J": 7, "A": 8, "S": 9, "E": 10, "j": 11, "/": 12},
    **{"Q": 13, "~": 14, "|": 16, "+": 28, "!": 31, "e": 34, "x": 37, "f": 38},
}
"""Annotation codes of WFDB's ecgcodes.h."""


def signal(seed: int) -> NDArray[np.int16]:
    """Two leads of eleven-bit converter values around 1024, all different, shape (2, T)."""
    return np.random.default_rng(seed).integers(900, 1150, (2, N_SAMPLES)).astype(np.int16)


def write_signals(
    folder: Path, record: int, steps_LT: NDArray[np.int16], leads: Sequence[str] = ("MLII", "V1")
) -> None:
    """Header and samples in format 212: two samples of twelve bits in three bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    first, second = (steps_LT[row].astype(np.uint16) & 0xFFF for row in range(2))
    packed = np.stack([first & 0xFF, (first >> 8) | ((second >> 8) << 4), second & 0xFF], axis=1)
    (folder / f"{record}.dat").write_bytes(packed.astype(np.uint8).tobytes())
    lines = [f"{record} 2 360 {steps_LT.shape[1]}"]
    for lead, steps in zip(leads, steps_LT, strict=True):
        checksum = int(steps.astype(np.int64).sum()) % 65_536
        lines.append(f"{record}.dat 212 200 11 1024 {steps[0]} {checksum} 0 {lead}")
    (folder / f"{record}.hea").write_text("\n".join([*lines, "# 75 F 1011 654 x1", ""]))


def write_annotations(folder: Path, record: int, annotations: Sequence[tuple[int, str]]) -> None:
    """Annotations in MIT format: ten bits of interval below six bits of code, long intervals by a skip."""
    folder.mkdir(parents=True, exist_ok=True)
    words, last = [], 0
    for sample, symbol in annotations:
        interval = sample - last
        if interval > 1023:
            words += [59 << 10, interval >> 16, interval & 0xFFFF]
            interval = 0
        words.append(CODES[symbol] << 10 | interval)
        last = sample
    (folder / f"{record}.atr").write_bytes(np.array([*words, 0], dtype="<u2").tobytes())


def write_database(folder: Path, beats: Mapping[int, str]) -> Path:
    """Records with one beat a second, whose symbols are given; returns the folder."""
    for record, symbols in beats.items():
        write_signals(folder, record, signal(record))
        write_annotations(folder, record, [(360 * (n + 1), symbol) for n, symbol in enumerate(symbols)])
    return folder
