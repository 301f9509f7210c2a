"""Signals as the GAN learns them: eight of the twelve standard leads, at about 100 Hz.

Shapes: B batch, K independent lead, L lead, T time, S time at the reduced rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from search.data.signals.leads import LEADS
from search.training.batches import LeadStatistics

RATE_HZ = 100
"""Approximate rate of generated signals: that of PTB-XL, and sufficient for the waves of an ECG."""
_DERIVED: Final = {
    "III": {"II": 1.0, "I": -1.0},
    "aVR": {"I": -0.5, "II": -0.5},
    "aVL": {"I": 1.0, "II": -0.5},
    "aVF": {"II": 1.0, "I": -0.5},
}
"""Einthoven's and Goldberger's leads from I and II, in microvolts (Malmivuo & Plonsey 1995, chapter 15)."""
_INT16: Final = torch.iinfo(torch.int16)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reduction:
    """Signals as the GAN sees them, and the way back."""

    independent: tuple[int, ...]
    """Places on axis L of the leads that are generated."""
    weight_LK: Tensor
    """All leads in microvolts are these sums of the independent ones."""
    factor: int
    """Samples that are averaged into one."""
    n_samples: int
    """Length of a signal at its own rate."""
    statistics: LeadStatistics
    """Statistics of all leads."""

    @classmethod
    def of(
        cls, leads: Sequence[str], n_samples: int, rate_hz: float, statistics: LeadStatistics
    ) -> Reduction:
        """The eight of the twelve standard leads, in whatever order; of other leads every one.

        Args:
            leads: names of axis L.
            n_samples: length of a signal.
            rate_hz: sampling rate of the signals.
            statistics: statistics of the same leads.
        """
        derived = _DERIVED if set(leads) == set(LEADS) else {}
        independent = tuple(place for place, lead in enumerate(leads) if lead not in derived)
        weight_LK = torch.zeros(len(leads), len(independent))
        for place, lead in enumerate(leads):
            for source, weight in derived.get(lead, {lead: 1.0}).items():
                weight_LK[place, independent.index(leads.index(source))] = weight
        return cls(
            independent=independent,
            weight_LK=weight_LK.to(statistics.mean_L.device),
            factor=max(1, round(rate_hz / RATE_HZ)),
            n_samples=n_samples,
            statistics=statistics,
        )

    def project(self, x_BLT: Tensor) -> Tensor:
        """Microvolts of all leads to standard deviations of the independent ones, `x_BKS`."""
        x_BKT = self.statistics.standardise(x_BLT)[:, list(self.independent)]
        return F.avg_pool1d(x_BKT, self.factor, ceil_mode=True)

    def restore(self, x_BKS: Tensor) -> Tensor:
        """Standard deviations of the independent leads to microvolts of all, int16 `x_BLT`.

        The independent leads are rounded before the others are derived, so that III = II − I holds to the
        last microvolt, and the leads with a half in their definition hold to half of one.
        """
        places = list(self.independent)
        mean_K, deviation_K = self.statistics.mean_L[places], self.statistics.deviation_L[places]
        if self.factor > 1:
            x_BKS = F.interpolate(x_BKS, scale_factor=self.factor, mode="linear")
        x_BKT = (x_BKS[:, :, : self.n_samples] * deviation_K[:, None] + mean_K[:, None]).round()
        x_BLT = torch.einsum("lk,bkt->blt", self.weight_LK, x_BKT).round()
        return x_BLT.clamp(_INT16.min, _INT16.max).to(torch.int16)
