"""Detection of windows unlike the training data of a model, with the first reason found.

Limits of clipping and amplitude were set on 987 records of PTB-XL at 100 Hz: none of them is beyond any.

Shapes: L lead, T time, N window, K feature.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from reports.numbers import digits_words
from search.data.signals.records import flat_leads
from search.export.folder import ModelFolder, Preprocessing

Kind = Literal["flat", "clipped", "amplitude", "rate", "length", "distance"]

LEAST_OF_LEAD: Final = 1 / 20
"""Root mean square of a lead in training deviations below which it has no signal; .12 in PTB-XL at least."""
AMPLITUDES: Final = (1 / 5, 5.0)
"""Range of the root mean square of all leads in training deviations; .39 to 3.9 in PTB-XL."""
CLIPPED_S: Final = 0.08
"""Time that a clipped lead is at exactly its largest or smallest value, in all; .05 s in PTB-XL at most."""
STRETCH_S: Final = 0.02
"""Shortest stretch of that."""
CLIPPED_UV: Final = 500
"""Distance of that value from the median of the lead: a flat line between two beats is not clipped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outside:
    """Reason for which a window counts as unlike the training data."""

    kind: Kind
    words: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainingRange:
    """Distribution of signal properties in a model's training records."""

    leads: tuple[str, ...]
    mean_mv_L: NDArray[np.float64]
    deviation_mv_L: NDArray[np.float64]
    rate_hz: int
    length_s: float

    @classmethod
    def of(cls, preprocessing: Preprocessing) -> "TrainingRange":
        """Averages over the members of a model."""
        return cls(
            leads=preprocessing.leads,
            mean_mv_L=np.mean([member.lead_mean_mv for member in preprocessing.members], axis=0),
            deviation_mv_L=np.mean([member.lead_deviation_mv for member in preprocessing.members], axis=0),
            rate_hz=preprocessing.rate_hz,
            length_s=preprocessing.n_samples / preprocessing.rate_hz,
        )

    def outside(
        self, native_LT: NDArray[np.int16], native_hz: float, filtered_LT: NDArray[np.int16]
    ) -> Outside | None:
        """The first reason why a window is outside, None if its signals are like those of training.

        Args:
            native_LT: Microvolts as recorded.
            native_hz: Their rate.
            filtered_LT: Input of the graph, in microvolts at the rate of the model.
        """
        rms_L = (
            np.sqrt(np.mean((filtered_LT / 1000 - self.mean_mv_L[:, None]) ** 2, axis=1))
            / self.deviation_mv_L
        )
        flat = flat_leads(native_LT, self.leads) or tuple(
            lead for lead, rms in zip(self.leads, rms_L.tolist(), strict=True) if rms < LEAST_OF_LEAD
        )
        if flat:
            return Outside(kind="flat", words=f"{_leads(flat)} {'is' if len(flat) == 1 else 'are'} flat")
        if clipped := clipped_leads(native_LT, native_hz, self.leads):
            return Outside(
                kind="clipped", words=f"{_leads(clipped)} {'is' if len(clipped) == 1 else 'are'} clipped"
            )
        rms = float(np.sqrt(np.mean(rms_L**2)))
        if not AMPLITUDES[0] <= rms <= AMPLITUDES[1]:
            return Outside(
                kind="amplitude",
                words=f"amplitude {digits_words(rms, 2)} times that of training; check the unit",
            )
        if native_hz < self.rate_hz:
            return Outside(
                kind="rate", words=f"sampled at {native_hz:g} Hz, below the {self.rate_hz} Hz of training"
            )
        length_s = filtered_LT.shape[1] / self.rate_hz
        if length_s < self.length_s:
            return Outside(
                kind="length",
                words=f"{length_s:.3g} s long, shorter than the {self.length_s:g} s of training",
            )
        return None


def clipped_leads(x_LT: NDArray[np.int16], rate_hz: float, leads: Sequence[str]) -> tuple[str, ...]:
    """Leads that stay at exactly their largest or smallest value, as at the end of a converter."""
    least = max(2, round(STRETCH_S * rate_hz))
    found = []
    for lead, x_T in zip(leads, x_LT, strict=True):
        for end in (int(x_T.max()), int(x_T.min())):
            is_end_T = x_T == end
            if np.count_nonzero(is_end_T) < CLIPPED_S * rate_hz or abs(end - np.median(x_T)) < CLIPPED_UV:
                continue
            at_end = np.concatenate([[0], is_end_T.astype(np.int8), [0]])
            edges = np.diff(at_end)
            stretch = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
            if stretch[stretch >= least].sum() >= CLIPPED_S * rate_hz:
                found.append(lead)
                break
    return tuple(found)


def distance_ratios(folder: ModelFolder, feature_NK: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """Distance of windows in the features of a model over its threshold: beyond 1 they are unlike training.

    Of several members the median counts.

    Returns:
        Shape (N,); None where the folder has no distances.
    """
    if folder.labels.novelty is None:
        return None
    ratios, start = [], 0
    for member, distance, novelty in zip(
        folder.preprocessing.members, folder.novelty, folder.labels.novelty.members, strict=True
    ):
        ratios.append(distance(feature_NK[:, start : start + member.n_features]) / novelty.threshold)
        start += member.n_features
    median_N: NDArray[np.float64] = np.median(ratios, axis=0)
    return median_N


def far(ratio: float) -> Outside | None:
    """The reason by the distance in features."""
    if ratio <= 1:
        return None
    return Outside(kind="distance", words=f"features {ratio:.2f} times as far from training as the threshold")


def _leads(names: Sequence[str]) -> str:
    return f"{'lead' if len(names) == 1 else 'leads'} {', '.join(names)}"
