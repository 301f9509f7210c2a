"""Numbers in words, the same in the terminal, on the page, in figures, tables and notes.

Scores, their errors and differences have three decimals and no leading zero, as the literature prints them:
with some thousand test records the third decimal is already within the noise. CSV and JSON keep all digits
and do not come here. `NOTHING` stands for what is unknown or undefined.
"""

import math
from collections.abc import Mapping, Sequence

from scores.costs import COSTS

NOTHING = "–"
LEAST_P = 0.001
"""Probabilities below this are printed as smaller than it."""


def score_words(score: float | None, error: float | None = None, *, signed: bool = False) -> str:
    """A score, an error or a difference: `.691`, `.691 ± .012`, `−.004`, with `signed` also `+.021`."""
    if score is None or not math.isfinite(score):
        return NOTHING
    digits = f"{abs(score):.3f}"
    sign = "" if float(digits) == 0 else "−" if score < 0 else "+" if signed else ""
    words = sign + digits.removeprefix("0")
    return words if error is None or not math.isfinite(error) else f"{words} ± {score_words(error)}"


def interval_words(
    value: float | None, low: float | None, high: float | None, *, signed: bool = False, between: str = " "
) -> str:
    """`.691 [.672, .710]`, with `between` after the value; the value alone without an interval."""
    words = score_words(value, signed=signed)
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return words
    return f"{words}{between}[{score_words(low)}, {score_words(high)}]"


def p_words(p: float | None) -> str:
    """A p value or a probability: `.030`, `< .001`."""
    if p is None or not math.isfinite(p):
        return NOTHING
    return f"< {score_words(LEAST_P)}" if p < LEAST_P else score_words(p)


def equation_words(name: str, p: float | None) -> str:
    """A named probability: `P = .030`, `P < .001`."""
    words = p_words(p)
    return f"{name} {words}" if words.startswith("<") else f"{name} = {words}"


def hypervolume_words(area: float) -> str:
    """A hypervolume or a gain of it, in AUPRC × decades: `.0123`, `1.2042`."""
    return f"{area:.4f}".removeprefix("0")


def percent_words(share: float | None) -> str:
    """A share with three significant digits: `12 %`, `0.3 %`."""
    return NOTHING if share is None or not math.isfinite(share) else f"{float(f'{100 * share:.3g}'):g} %"


def gain_words(expected: float, at_most: float) -> str:
    """Gain expected of a trial, in shares: `expected to add 0.41 % to the hypervolume, at most 1.2 %`."""
    expected, at_most = (float(f"{share:.2g}") for share in (expected, at_most))
    return f"expected to add {percent_words(expected)} to the hypervolume, at most {percent_words(at_most)}"


def whole_percent_words(share: float | None) -> str:
    """A share to the nearest percent: `12 %`."""
    return NOTHING if share is None or not math.isfinite(share) else f"{100 * share:.0f} %"


def integer_words(number: float | None) -> str:
    """`21,799`."""
    return NOTHING if number is None or not math.isfinite(number) else f"{number:,.0f}"


def count_words(number: int, noun: str, plural: str = "") -> str:
    """`1 record`, `21,799 records`."""
    return f"{integer_words(number)} {noun if number == 1 else plural or noun + 's'}"


def times_words(number: int) -> str:
    """`once`, `3 times`."""
    return "once" if number == 1 else f"{number} times"


def first_words(items: Sequence[str], most: int, *, between: str = ", ", note: str = "") -> str:
    """The first of some items: `a, b, c and 31 more`, and a note behind that where not all are named."""
    more = len(items) - most
    return between.join(items[:most]) + (f" and {more:,} more{note}" if more > 0 else "")


def counted_words(items: Sequence[str], most: int = 5, *, between: str = ", ") -> str:
    """Number of some items, and the first of them: `36 (a, b, c, …)`."""
    return f"{len(items):,} ({between.join([*items[:most], *['…'] * (len(items) > most)])})"


def ratio_words(ratio: float | None) -> str:
    """`× 1.24`."""
    return NOTHING if ratio is None or not math.isfinite(ratio) else f"× {ratio:.2f}"


def digits_words(value: float, digits: int = 3) -> str:
    """A number from .0001 up with some significant digits and no exponent: `0.0123`, `1.24`, `86,400`."""
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 1000 else f"{rounded:g}"


def parameter_words(parameters: float) -> str:
    """A number of parameters as on an axis: 950, 30 k, 1.5 M."""
    for unit, word in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if parameters >= 0.99995 * unit:
            return f"{parameters / unit:.4g}{word}"
    return f"{parameters:.4g}"


def memory_words(n_bytes: float | None) -> str:
    """`640 MB`, `1.9 GB`."""
    if n_bytes is None or not math.isfinite(n_bytes):
        return NOTHING
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 0.9995e9 else f"{n_bytes / 1e6:.0f} MB"


def cost_words(cost: str, value: float | None) -> str:
    """A cost of `scores.costs.COSTS` with its unit: `12,345`, `93.7 M`, `256 KiB`."""
    if value is None or not math.isfinite(value):
        return NOTHING
    unit = COSTS[cost].unit
    if unit == "bytes":
        return bytes_words(value)
    if unit == "microseconds":
        return latency_words(value)
    return integer_words(value) if cost == "parameters" else parameter_words(float(f"{value:.3g}"))


def cost_phrase(cost: str, value: float | None) -> str:
    """A cost in a sentence: `12,345 parameters`, `93.7 M MACs`, `256 KiB of memory`, `1.24 ms of latency`."""
    words = COSTS[cost].words
    if value == 1 and not COSTS[cost].unit:
        words = words.removesuffix("s")
    return f"{cost_words(cost, value)} {'of ' if COSTS[cost].unit else ''}{words}"


def cost_phrases(values: Mapping[str, float]) -> list[str]:
    """`cost_phrase` of several costs; `fp32` is said where one in int8 stands among them."""
    has_int8 = any(cost.endswith("-int8") for cost in values)
    return [
        cost_phrase(cost, value) + (" (fp32)" if has_int8 and f"{cost}-int8" in COSTS else "")
        for cost, value in values.items()
    ]


def cost_tick_words(cost: str, value: float) -> str:
    """A cost at an axis, whose ticks are powers of ten: `30 k`, `2 MB`, `5 ms`."""
    unit = COSTS[cost].unit
    if unit == "microseconds":
        return latency_words(value)
    if unit == "bytes":
        return parameter_words(value) + ("B" if value >= 1e3 else " B")
    return parameter_words(value)


def latency_words(microseconds: float) -> str:
    """`95 µs`, `1.24 ms`, `2.5 s`."""
    for size, unit in ((1e6, "s"), (1e3, "ms")):
        if microseconds >= 0.9995 * size:
            return f"{digits_words(microseconds / size)} {unit}"
    return f"{microseconds:.0f} µs"


def bytes_words(n_bytes: float) -> str:
    """`640 B`, `96 KiB`, `1.83 MiB`: powers of 1024, as memories of devices are made."""
    for exponent, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if n_bytes >= 1024**exponent:
            number = n_bytes / 1024**exponent
            return f"{digits_words(number) if number < 999.5 else integer_words(number)} {unit}"
    return f"{n_bytes:.0f} B"


def duration_words(seconds: float) -> str:
    """The two largest units of a duration: `12 s`, `3 min 12 s`, `1 h 4 min`, `2 d 3 h`."""
    minutes, second = divmod(max(0, round(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour} h"
    if hours:
        return f"{hours} h {minute} min"
    return f"{minutes} min {second} s" if minutes else f"{second} s"
