"""Results for a recording: probabilities, decisions, label sets, and warnings.

Shapes: W window, C class of a tier.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scores.conformal import class_sets, exclusive_sets
from scores.ranking import Floats
from scores.thresholds import decide
from search.data.signals.people import Person
from search.predict.outside import Outside
from search.predict.tiers import Tier

Sets = NDArray[np.bool_]
"""Whether "absent" and whether "present" is in the set of a class, shape (…, C, 2)."""
SetName = Literal["present", "absent", "either", "neither"]
Aggregate = Literal["mean", "max"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TierAnswer:
    """Result at one tier, for a window or for a whole recording."""

    tier: Tier
    probability_C: Floats
    calibrated_C: Floats
    """NaN where a class has no temperature."""
    called_C: NDArray[np.bool_]
    """Classes present by the threshold policy; of an exclusive tier the most probable class."""
    sets: Sets | None
    """None where the model has no label sets."""

    @property
    def called(self) -> tuple[str, ...]:
        """Names of the classes called, most probable first."""
        order = np.argsort(-self.probability_C, kind="stable")
        return tuple(self.tier.names[index] for index in order if self.called_C[index])

    def set_of(self, index: int) -> SetName | None:
        """The label set of one class in a word."""
        if self.sets is None:
            return None
        absent, present = self.sets[index].tolist()
        return "either" if absent and present else "present" if present else "absent" if absent else "neither"

    @property
    def unsure(self) -> tuple[str, ...]:
        """Classes that are undecided at this confidence.

        At an exclusive tier those in the set, unless there is exactly one; all if there is none. Otherwise
        the classes whose set holds both "present" and "absent", or neither.
        """
        if self.sets is None:
            return ()
        present_C = self.sets[:, 1]
        if self.tier.exclusive:
            in_doubt_C = present_C & (present_C.sum() > 1) if present_C.any() else np.ones_like(present_C)
        else:
            in_doubt_C = self.sets[:, 0] == present_C
        return tuple(self.tier.names[index] for index in np.flatnonzero(in_doubt_C))


def answer_tier(tier: Tier, probability_C: Floats) -> TierAnswer:
    """Result from the probabilities of one tier, shape (C,)."""
    if tier.exclusive:
        called_C = np.zeros(len(tier.names), dtype=np.bool_)
        called_C[np.argmax(probability_C)] = True
    else:
        called_C = decide(probability_C, tier.threshold_C)
    return TierAnswer(
        tier=tier,
        probability_C=probability_C,
        calibrated_C=tier.calibrate(probability_C),
        called_C=called_C,
        sets=_sets(tier, probability_C),
    )


def _sets(tier: Tier, probability_C: Floats) -> Sets | None:
    if tier.present_C is None or tier.absent_C is None:
        return None
    if tier.exclusive:
        present_C = exclusive_sets(probability_C, tier.present_C)
        return np.stack([~present_C, present_C], axis=-1)
    present_C, absent_C = class_sets(probability_C, tier.present_C, tier.absent_C)
    return np.stack([absent_C, present_C], axis=-1)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WindowAnswer:
    """Result for one window."""

    start_s: float
    end_s: float
    problem: str | None
    """Reason for which it was not classified."""
    outside: Outside | None
    tiers: tuple[TierAnswer, ...]
    """Coarse to fine; empty where there is a problem."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RecordAnswer:
    """Result for a recording."""

    name: str
    rate_hz: float
    duration_s: float
    derived: tuple[str, ...]
    """Leads found from others, as equations."""
    unused: tuple[str, ...]
    """Other signals of the file."""
    without_gain: tuple[str, ...]
    """Signals used whose gain the file does not state."""
    person: Person
    """Age and sex, where the model uses them; unknown otherwise."""
    windows: tuple[WindowAnswer, ...]
    tiers: tuple[TierAnswer, ...]
    """Answers over the windows that were answered, from the coarsest tier to the finest."""
    share_called: tuple[Floats, ...]
    """Share of classified windows in which each class is predicted, for each tier, shape (C,)."""

    @property
    def answered(self) -> tuple[WindowAnswer, ...]:
        """Windows without a problem."""
        return tuple(window for window in self.windows if window.problem is None)

    @property
    def outside(self) -> Outside | None:
        """The most frequent reason of windows that are outside, where at least half of them are."""
        reasons = [window.outside for window in self.answered if window.outside is not None]
        if 2 * len(reasons) < len(self.answered):
            return None
        kind = Counter(reason.kind for reason in reasons).most_common(1)[0][0]
        return next(reason for reason in reasons if reason.kind == kind)

    @property
    def abstains(self) -> bool:
        """Whether the model abstains: recording unlike the training data, or undecided at the coarsest
        tier."""
        return self.outside is not None or bool(self.tiers[0].unsure)


def answer_record(
    *,
    name: str,
    rate_hz: float,
    duration_s: float,
    derived: tuple[str, ...],
    unused: tuple[str, ...],
    without_gain: tuple[str, ...],
    person: Person,
    windows: tuple[WindowAnswer, ...],
    aggregate: Aggregate,
) -> RecordAnswer:
    """Result for a recording from those of its windows, at least one of which has no problem.

    Args:
        name: Name of the recording.
        rate_hz: Its sampling rate.
        duration_s: Its length.
        derived: Leads found from others.
        unused: Other signals of the file.
        without_gain: Signals used whose gain the file does not state.
        person: Whose it is.
        windows: All of them, in their order.
        aggregate: Mean or largest probability of each class over the windows; an exclusive tier has the mean.
    """
    answered = [window for window in windows if window.problem is None]
    tiers, shares = [], []
    for number, of_first in enumerate(answered[0].tiers):
        p_WC = np.stack([window.tiers[number].probability_C for window in answered])
        is_mean = aggregate == "mean" or of_first.tier.exclusive
        tiers.append(answer_tier(of_first.tier, p_WC.mean(axis=0) if is_mean else p_WC.max(axis=0)))
        shares.append(np.mean([window.tiers[number].called_C for window in answered], axis=0))
    return RecordAnswer(
        name=name,
        rate_hz=rate_hz,
        duration_s=duration_s,
        derived=derived,
        unused=unused,
        without_gain=without_gain,
        person=person,
        windows=windows,
        tiers=tuple(tiers),
        share_called=tuple(shares),
    )


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Urgency:
    """Sort key of triage, rising."""

    level: float
    """Expected level of the finest ordinal tier, from 0 for its mildest class."""
    p_worst: float
    """Probability of its worst class."""
    highest: int
    """Level of that class."""


def urgency(answer: RecordAnswer) -> Urgency | None:
    """Urgency of a recording; None where no tier orders classes by severity."""
    ordinal = [each for each in answer.tiers if each.tier.ordinal]
    if not ordinal:
        return None
    p_C = ordinal[-1].probability_C
    return Urgency(level=float(p_C @ np.arange(len(p_C))), p_worst=float(p_C[-1]), highest=len(p_C) - 1)
