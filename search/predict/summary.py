"""Summary of many results: distribution of confidence, and alarm rate of each class.

Shapes: W window, C class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from scores.conformal import Share, share
from search.predict.answers import RecordAnswer, TierAnswer
from search.predict.tiers import Tier

CONFIDENCES: Final = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Edges of the distribution of confidence; the last bin holds 1."""
DAY_S: Final = 86_400
LONG_S: Final = 3_600
"""Recorded time in all from which alarms are counted by the day."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Episode:
    """Windows in a row in which a class is called."""

    class_name: str
    start_s: float
    end_s: float
    highest: float
    """Largest probability."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """Frequency with which a class is predicted."""

    class_name: str
    called: Share
    """Share of recordings."""
    per_day: float | None
    """Alarms in 24 hours; None where neither the recordings a day nor an hour of signal is known."""


def confidence(answer: TierAnswer) -> float:
    """Probability of the least probable decision at a tier; calibrated where a class is.

    Of an exclusive tier the probability of the class called.
    """
    p_C = np.where(np.isnan(answer.calibrated_C), answer.probability_C, answer.calibrated_C)
    if answer.tier.exclusive:
        return float(p_C[answer.called_C].max())
    return float(np.where(answer.called_C, p_C, 1 - p_C).min())


def confidence_distribution(answers: Sequence[RecordAnswer], tier: int) -> tuple[int, ...]:
    """Recordings with a confidence between successive `CONFIDENCES`, at the tier of that number."""
    counts, _ = np.histogram([confidence(answer.tiers[tier]) for answer in answers], bins=CONFIDENCES)
    return tuple(counts.tolist())


def episodes(answer: RecordAnswer, tier: int) -> tuple[Episode, ...]:
    """Episodes of a recording at the tier of that number, in order of their start.

    A window that is not answered ends an episode. Of an ordinal tier the mildest class has none.
    """
    found: list[Episode] = []
    of_tier = answer.tiers[tier].tier
    for column, name in enumerate(of_tier.names):
        if of_tier.ordinal and column == 0:
            continue
        current: Episode | None = None
        for window in answer.windows:
            is_called = window.problem is None and bool(window.tiers[tier].called_C[column])
            if not is_called:
                found += [current] if current is not None else []
                current = None
                continue
            p = float(window.tiers[tier].probability_C[column])
            current = Episode(
                class_name=name,
                start_s=window.start_s if current is None else current.start_s,
                end_s=window.end_s,
                highest=p if current is None else max(p, current.highest),
            )
        found += [current] if current is not None else []
    return tuple(sorted(found, key=lambda episode: (episode.start_s, episode.class_name)))


def alarms(
    answers: Sequence[RecordAnswer], tier: int, of_tier: Tier, recordings_per_day: float | None
) -> tuple[Alarm, ...]:
    """Frequency of each class of a tier among the predictions.

    Alarms a day: where the number of recordings a day is given, the share called times that number; else, of
    an hour of signal or more, episodes in 24 hours of it.

    Args:
        answers: Results of all recordings.
        tier: Number of the tier.
        of_tier: The tier.
        recordings_per_day: How many recordings a day are to be expected.
    """
    called_NC = np.array([answer.tiers[tier].called_C for answer in answers])
    duration_s = sum(answer.duration_s for answer in answers)
    by_class = dict.fromkeys(of_tier.names, 0)
    if recordings_per_day is None and duration_s >= LONG_S:
        for answer in answers:
            for episode in episodes(answer, tier):
                by_class[episode.class_name] += 1
    found = []
    for column, name in enumerate(of_tier.names):
        called = share(called_NC[:, column])
        per_day: float | None = None
        if recordings_per_day is not None:
            per_day = called.value * recordings_per_day
        elif duration_s >= LONG_S and not (of_tier.ordinal and column == 0):
            per_day = by_class[name] * DAY_S / duration_s
        found.append(Alarm(class_name=name, called=called, per_day=per_day))
    return tuple(found)
