"""Ticks for an axis of parameters that people can read: 30 k, 100 k, 1 M."""

import math
from collections.abc import Sequence

MANTISSAS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9))
"""Ladders of tick positions within a decade, from coarse to fine."""
N_TICKS = 4
"""Minimum number of ticks of an axis."""


def parameter_limits(parameters: Sequence[float]) -> tuple[float, float]:
    """Axis limits with a margin of a tenth of the logarithmic range, and of at least a factor of 1.3.

    Without any value the range of the architectures of interest, 10 k to 1 M.
    """
    if not parameters:
        return 1e4, 1e6
    low, high = min(parameters), max(parameters)
    margin = max((high / low) ** 0.1, 1.3)
    return low / margin, high * margin


def parameter_ticks(low: float, high: float) -> list[float]:
    """Positions within the limits: the coarsest ladder that gives enough of them.

    A range too narrow for every ladder gets evenly spaced round numbers.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas in MANTISSAS:
        ticks = [mantissa * 10.0**decade for decade in decades for mantissa in mantissas]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= N_TICKS:
            return inside
    step = 10.0 ** math.floor(math.log10((high - low) / N_TICKS))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 2 * N_TICKS)
    return [step * index for index in range(math.ceil(low / step), math.floor(high / step) + 1)]
