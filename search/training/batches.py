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
    teacher_BC: Tensor | None = None
    """Probabilities of the teacher, if there is one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LeadStatistics:
    """Mean and standard deviation of every lead in microvolts, from the training part of a fold only."""

    mean_L: Tensor
    deviation_L: Tensor

    @classmethod
    def of(cls, x_NLT: Tensor, rows: NDArray[np.int64]) -> "LeadStatistics":
        """Statistics of the records `rows` of int16 `x_NLT`, computed where they lie.

        A lead that never moves keeps unit scale.

        Never per record: that would destroy voltage, and with it hypertrophy (LVH) and low voltage.
        """
        sums_2L = torch.zeros(2, x_NLT.shape[1], dtype=torch.float64, device=x_NLT.device)
        for some in torch.split(torch.from_numpy(rows), STATISTICS_CHUNK):
            chunk_BLT = x_NLT[some.to(x_NLT.device)].double()
            # Whole numbers, and their sums as well: the order in which they are added does not matter.
            sums_2L += torch.stack([chunk_BLT.sum(dim=(0, 2)), chunk_BLT.square().sum(dim=(0, 2))])
        mean_L, square_L = sums_2L / (len(rows) * x_NLT.shape[2])
        deviation_L = (square_L - mean_L.square()).clamp(min=0.0).sqrt()
        deviation_L[deviation_L == 0] = 1.0
        return cls(mean_L=mean_L.float(), deviation_L=deviation_L.float())

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
