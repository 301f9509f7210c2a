"""Medians with intervals that assume nothing about a distribution, and means by Student's t."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, sem, t

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A median and where that of the distribution lies."""

    median: float
    low: float
    high: float
    n: int

    def text(self, digits: int = 3) -> str:
        """Interval in words: `.972 [.965, .981]`, with a number of decimals."""
        if np.isnan(self.median):
            return "–"
        shown = [f"{value:,.{digits}f}" for value in (self.median, self.low, self.high)]
        return "{} [{}, {}]".format(*shown).replace("inf", "∞")


def median_interval(values: Sequence[float]) -> Interval:
    """The sample median with an interval between two order statistics.

    Whether a value lies below the median is the toss of a coin, so the k-th smallest and the k-th largest of
    n values enclose it with probability 1 − 2 P(Binomial(n, ½) < k) (Conover 1999, section 3.2). k is the
    largest for which that is at least `CONFIDENCE`; below six values there is none, and the interval is the
    range.

    Args:
        values: one of every seed. Infinite ones count as what they are.
    """
    ordered = np.sort(np.array(values, dtype=np.float64))
    n = len(ordered)
    if not n:
        return Interval(median=float("nan"), low=float("nan"), high=float("nan"), n=0)
    ranks = np.arange(1, n // 2 + 1)
    enough = ranks[1 - 2 * binom.cdf(ranks - 1, n, 0.5) >= CONFIDENCE]
    k = int(enough.max()) if len(enough) else 1
    middle = ordered[[(n - 1) // 2, n // 2]]
    median = float(middle[0] if middle[0] == middle[1] else middle.mean())
    return Interval(median=median, low=float(ordered[k - 1]), high=float(ordered[n - k]), n=n)


def t_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and ends of its interval by Student's t; NaN for the ends below two values."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * sem(values))
    return mean, mean - half, mean + half
