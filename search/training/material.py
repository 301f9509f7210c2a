"""What models are trained on, prepared once and shared: signals, targets and features on the device.

Shapes: N record, B batch, L lead, T time, C class, K hand-crafted feature.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import space
from search.data.filters import FILTERS
from search.training.batches import LeadStatistics

if TYPE_CHECKING:
    from search.data.dataset import Development
    from search.data.folds import Fold

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldMaterial:
    """One fold's view of a data set, as an architecture wants it."""

    x_NLT: Tensor
    """Signals of the whole data set, int16 microvolts."""
    statistics: LeadStatistics
    """Of the training part."""
    y_NC: Tensor
    """Targets on the tier trained on, float32 in [0, 1]."""
    f_NK: Tensor | None
    """Hand-crafted features, scaled by the training part, and their flags."""
    rate_hz: int
    seconds: float = 0.0
    """Time that went into synthetic records."""

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Standardised signals and features of some rows."""
        f_BK = None if self.f_NK is None else self.f_NK[rows]
        return self.statistics.standardise(self.x_NLT[rows]), f_BK

    def training_batch(
        self, rows: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Signals, features and targets of a step."""
        x_BLT, f_BK = self.batch(rows)
        return x_BLT, f_BK, self.y_NC[rows]


class DeviceData:
    """A data set without its sealed fold on a device.

    What only some architectures want (filtered signals, soft targets, features) is made when the first of
    them asks for it. Folds ask from threads of their own.

    Args:
        data: all but the sealed fold.
        device: where everything is kept.
    """

    def __init__(self, data: Development, device: torch.device) -> None:
        self.device = device
        self.inputs = data.inputs
        self.patient_id = data.patient_id
        self._data = data
        self._made: dict[Hashable, object] = {}
        self._making = threading.RLock()

    def material(self, architecture: space.Architecture, fold: Fold, rows: NDArray[np.int64]) -> FoldMaterial:
        """What a fold of an architecture is trained on.

        Args:
            architecture: says what it wants.
            fold: its statistics are those of its training part.
            rows: rows of the training part that the weights will see.
        """
        return FoldMaterial(
            x_NLT=self._signals(architecture.filter),
            statistics=self._statistics(architecture.filter, fold),
            y_NC=self._targets(architecture.label_tier),
            f_NK=None,
            rate_hz=self._data.rate_hz,
        )

    def is_exclusive(self, tier: str) -> bool:
        """Whether a record has exactly one class of a tier."""
        return self._data.hierarchy.is_exclusive(tier)

    def _signals(self, filter_name: str) -> Tensor:
        def make() -> Tensor:
            x_NLT = FILTERS[filter_name](np.asarray(self._data.x_NLT), self._data.rate_hz)
            return torch.from_numpy(np.array(x_NLT)).to(self.device)

        return self._once(("signals", filter_name), make)

    def _statistics(self, filter_name: str, fold: Fold) -> LeadStatistics:
        def make() -> LeadStatistics:
            x_NLT = self._signals(filter_name).cpu().numpy()
            return LeadStatistics.of(x_NLT, fold.train).to(self.device)

        return self._once(("statistics", filter_name, fold.number), make)

    def _targets(self, tier: str) -> Tensor:
        return self._once(
            ("targets", tier),
            lambda: torch.from_numpy(self._data.y[tier].astype(np.float32)).to(self.device),
        )

    def _once(self, key: Hashable, make: Callable[[], Value]) -> Value:
        with self._making:
            if key not in self._made:
                self._made[key] = make()
            return cast(Value, self._made[key])
