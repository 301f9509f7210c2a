"""The data set on the device: one gather per batch, standardised there.

Shapes: N record, B batch, L lead, T time, C class, K hand-crafted feature. Signals rest as int16 microvolts
(523 MB for all of PTB-XL at 100 Hz) and become float32 in units of the training part's standard deviation.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

STATISTICS_CHUNK = 2_048
"""Records at a time when statistics are computed, to bound memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Records of one step of the optimiser."""

    x_BLT: Tensor
    """Standardised signals."""
    y_BC: Tensor
    """Targets in [0, 1]."""
    f_BK: Tensor | None = None
    """Scaled features and flags of missing ones, if they are wanted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LeadStatistics:
    """Mean and standard deviation of every lead in microvolts, from the training part of a fold only."""

    mean_L: Tensor
    deviation_L: Tensor

    @classmethod
    def of(cls, x_NLT: NDArray[np.int16], rows: NDArray[np.int64]) -> "LeadStatistics":
        """Statistics of the records `rows` of `x_NLT`; a lead that never moves keeps unit scale.

        Never per record: that would destroy voltage, and with it hypertrophy (LVH) and low voltage.
        """
        n_leads = x_NLT.shape[1]
        total, squares = np.zeros(n_leads), np.zeros(n_leads)
        for start in range(0, len(rows), STATISTICS_CHUNK):
            chunk_BLT = x_NLT[rows[start : start + STATISTICS_CHUNK]].astype(np.float64)
            total += chunk_BLT.sum(axis=(0, 2))
            squares += np.square(chunk_BLT).sum(axis=(0, 2))
        n_values = len(rows) * x_NLT.shape[2]
        mean = total / n_values
        deviation = np.sqrt(np.maximum(squares / n_values - mean**2, 0.0))
        deviation[deviation == 0] = 1.0
        return cls(
            mean_L=torch.from_numpy(mean.astype(np.float32)),
            deviation_L=torch.from_numpy(deviation.astype(np.float32)),
        )

    def to(self, device: torch.device) -> "LeadStatistics":
        """The same statistics on `device`."""
        return LeadStatistics(mean_L=self.mean_L.to(device), deviation_L=self.deviation_L.to(device))

    def standardise(self, x_BLT: Tensor) -> Tensor:
        """Microvolts to standard deviations from the mean, per lead."""
        return (x_BLT.float() - self.mean_L[:, None]) / self.deviation_L[:, None]


def shuffled_batches(rows: Tensor, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Every row once in random order, in full batches but for the last two, which share what is left.

    So no tiny last batch upsets the batch norm, and folds with different numbers of rows have batches of the
    same size, which can be trained at once.
    """
    order = rows[torch.randperm(len(rows), generator=generator).to(rows.device)]
    n = n_batches(len(rows), batch_size)
    n_full = max(0, n - 2)
    for number in range(n_full):
        yield order[number * batch_size : (number + 1) * batch_size]
    yield from torch.tensor_split(order[n_full * batch_size :], n - n_full)


def n_batches(n_rows: int, batch_size: int) -> int:
    """Optimiser steps in an epoch over `n_rows` records; a batch holds at least two."""
    return max(1, min(-(-n_rows // batch_size), n_rows // 2))
