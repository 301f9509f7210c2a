"""Generated records: how they join a batch, and the files in which the trials of a study share them.

Shapes: B batch, M generated record, L lead, T time, C class.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from search.errors import TrainingError
from storage.files import write_whole


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SyntheticRecords:
    """Generated records of the rare classes of a fold at one tier; none where no class is rare."""

    x_MLT: Tensor
    """int16 microvolts, standardised like real ones."""
    y_MC: Tensor
    """Labels as 0 and 1; each is the label vector of a real record."""
    seconds: float
    """Time of their generation, whichever trial uses them now."""

    def __len__(self) -> int:
        return len(self.x_MLT)

    def to(self, device: torch.device) -> SyntheticRecords:
        """The same records on `device`."""
        return SyntheticRecords(x_MLT=self.x_MLT.to(device), y_MC=self.y_MC.to(device), seconds=self.seconds)

    def mix_into(
        self, x_BLT: Tensor, y_BC: Tensor, share: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """A batch of real records with generated ones behind them, drawn with replacement.

        Args:
            x_BLT: int16 microvolts of real records, which all stay.
            y_BC: their labels.
            share: share of generated records in the resulting batch.
            generator: draws them.
        """
        n = n_synthetic(len(x_BLT), share) if len(self) else 0
        if not n:
            return x_BLT, y_BC
        drawn = torch.randint(len(self), (n,), generator=generator, device=generator.device)
        drawn = drawn.to(self.x_MLT.device)
        return torch.cat([x_BLT, self.x_MLT[drawn]]), torch.cat([y_BC, self.y_MC[drawn]])


def n_synthetic(n_real: int, share: float) -> int:
    """Number of generated records that make a `share` of a batch with `n_real` real ones, rounded.

    They come on top: an epoch still sees every real record once, in the same batches, and takes as many steps
    as without them. With a share of one half a batch is twice as large, and an epoch takes twice as long.
    """
    assert 0 <= share < 1
    return round(n_real * share / (1 - share))


def cached(folder: Path, key: Mapping[str, object], make: Callable[[], SyntheticRecords]) -> SyntheticRecords:
    """The generated records of a key, from the folder if they are there, else made and kept there.

    They lie on the CPU, or wherever `make` has left them.

    Args:
        folder: the folder of files, made if need be. A file appears whole or not at all, and one that cannot
            be read is made again.
        key: everything that decides what the records are, as JSON takes it.
        make: generates them.

    Raises:
        TrainingError: the folder cannot be written, or the records could not be generated.
    """
    text = json.dumps(key, sort_keys=True)
    path = folder / f"gan-{hashlib.sha256(text.encode()).hexdigest()[:20]}.safetensors"
    records = _read(path, text)
    if records is None:
        records = make()
        _write(path, text, records)
    return records


def _read(path: Path, key: str) -> SyntheticRecords | None:
    """Synthetic records kept by `_write` under the same key; None if the file is missing or damaged."""
    try:
        tensors = load(path.read_bytes())
        records = SyntheticRecords(
            x_MLT=tensors["x_MLT"], y_MC=tensors["y_MC"].float(), seconds=float(tensors["seconds"])
        )
        is_whole = torch.equal(tensors["digest"], _digest(key, records))
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError):
        return None
    return records if is_whole else None


def _write(path: Path, key: str, records: SyntheticRecords) -> None:
    """Keep records under a key.

    Raises:
        TrainingError: the folder cannot be written.
    """
    records = records.to(torch.device("cpu"))
    tensors = {
        "x_MLT": records.x_MLT.contiguous(),
        "y_MC": records.y_MC.bool(),
        "seconds": torch.tensor(records.seconds, dtype=torch.float64),
        "digest": _digest(key, records),
    }
    try:
        write_whole(path, save(tensors))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        n_bytes = records.x_MLT.numel() * 2
        raise TrainingError(
            "error",
            f"cannot keep generated records in {path.parent}: {reason}; "
            f"it needs {n_bytes / 1e6:,.0f} MB in a folder that can be written",
        ) from error


def _digest(key: str, records: SyntheticRecords) -> Tensor:
    """SHA-256 over the key and everything kept under it, as 32 numbers of one byte."""
    digest = hashlib.sha256(key.encode())
    digest.update(
        f"\n{tuple(records.x_MLT.shape)} {tuple(records.y_MC.shape)} {records.seconds!r}\n".encode()
    )
    digest.update(records.x_MLT.contiguous().numpy().astype("<i2", copy=False).tobytes())
    digest.update(np.packbits(records.y_MC.numpy().astype(bool)).tobytes())
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)
