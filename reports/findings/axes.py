"""The axes along which the architectures of a study differ, read from the architectures themselves.

Whatever field an architecture is stored with is an axis as soon as two trials differ in it, so a new
field of the search space needs nothing here. Only `recurrent`, a list of layers, is taken apart: into depth,
cell and direction. A field that has no value (None) for some choices of another one *follows* that one:
a positive weight has an exponent, focal loss has none.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import space
from reports.words import axis_words, direction, recurrent_kind, recurrent_layers

Level = str | int | float | bool | None
Levels = Mapping[str, Level]

STACK_AXES = ("depth", "cell", "direction")
"""Axes into which `recurrent` is taken apart."""
REFERENCES: Mapping[str, Level] = {
    **{name: axis.reference for name, axis in space.AXES.items() if axis.reference is not None},
    "cell": space.CELLS[str(space.AXES["cell"].reference)].words,
}
"""Level with which other levels are compared; numbers are compared with the next smaller one instead."""
LAYER_WORDS = ("no", "a first", "a second", "a third", "a fourth")


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """One axis of a study."""

    name: str
    words: str
    levels: tuple[Level, ...]
    """Values that occur, without None where the axis follows another; numbers rise."""
    follows: frozenset[str]
    """Axes that decide whether this one has a value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contrast:
    """Two levels of an axis, the second compared with the first."""

    axis: str
    base: Level
    level: Level


def levels_of(architecture: Mapping[str, Any]) -> dict[str, Level]:
    """Level of an architecture on every axis; lists and tables become their text."""
    layers = recurrent_layers(architecture)
    levels: dict[str, Level] = {
        "depth": len(layers),
        "cell": recurrent_kind(architecture) if layers else None,
        "direction": direction(architecture) if layers else None,
    }
    for key, value in architecture.items():
        if key != "recurrent":
            simple = value is None or isinstance(value, str | int | float | bool)
            levels[key] = value if simple else json.dumps(value, sort_keys=True)
    return levels


def find_axes(all_levels: Sequence[Levels]) -> tuple[Axis, ...]:
    """Axes on which at least two levels occur, the recurrent ones first.

    A field that follows another is listed with a single level, too, so that it does not separate pairs.
    """
    names = list(dict.fromkeys([*STACK_AXES, *(name for levels in all_levels for name in levels)]))
    found = {name: {levels.get(name) for levels in all_levels} for name in names}
    axes = []
    for name in names:
        follows = _followed(name, names, found, all_levels) if None in found[name] else frozenset()
        levels = found[name] - {None} if follows else found[name]
        if len(levels) > 1 or follows:
            words = axis_words(name)
            axes.append(Axis(name=name, words=words, levels=_ordered(levels), follows=follows))
    return tuple(axes)


def _followed(
    name: str, names: Iterable[str], found: Mapping[str, set[Level]], all_levels: Sequence[Levels]
) -> frozenset[str]:
    """Axes of which no level occurs both with and without a value of `name`."""
    if found[name] == {None}:
        return frozenset()
    with_value: dict[str, set[Level]] = defaultdict(set)
    without: dict[str, set[Level]] = defaultdict(set)
    for levels in all_levels:
        target = without if levels.get(name) is None else with_value
        for other in levels:
            target[other].add(levels[other])
    return frozenset(
        other
        for other in names
        if other != name and None not in found[other] and not with_value[other] & without[other]
    )


def _ordered(levels: Iterable[Level]) -> tuple[Level, ...]:
    values = list(levels)
    if _are_numbers(values):
        return tuple(sorted(values, key=lambda value: float(value or 0)))
    return tuple(sorted(values, key=lambda value: (value is not None, str(value))))


def _are_numbers(levels: Iterable[Level]) -> bool:
    return all(isinstance(level, int | float) and not isinstance(level, bool) for level in levels)


def contrasts(axis: Axis, all_levels: Sequence[Levels], target: str) -> tuple[Contrast, ...]:
    """Contrasts of an axis: numbers with the next smaller one, others with their reference.

    The reference is that of `REFERENCES`, the study's target for the label tier, no value or False where
    that occurs, and otherwise the commonest level.
    """
    if axis.name not in REFERENCES and _are_numbers(axis.levels):
        pairs = zip(axis.levels, axis.levels[1:], strict=False)
        return tuple(Contrast(axis=axis.name, base=low, level=high) for low, high in pairs)
    preferred = [REFERENCES.get(axis.name), target if axis.name == "label_tier" else None]
    candidates = [level for level in (*preferred, None, False, "none") if level in axis.levels]
    if candidates and not (candidates[0] is None and None not in axis.levels):
        base = candidates[0]
    else:
        counted = [levels.get(axis.name) for levels in all_levels]
        base = max(axis.levels, key=lambda level: (counted.count(level), str(level)))
    return tuple(Contrast(axis=axis.name, base=base, level=level) for level in axis.levels if level != base)


def contrast_words(contrast: Contrast) -> str:
    """The comparison in words: `a second recurrent layer`, `64 units per direction instead of 32`."""
    name, base, level = contrast.axis, contrast.base, contrast.level
    if name == "depth" and isinstance(base, int) and isinstance(level, int) and level == base + 1:
        ordinal = LAYER_WORDS[level] if level < len(LAYER_WORDS) else f"layer {level} as a further"
        return f"{ordinal} recurrent layer"
    if name in {"cell", "direction"}:
        return f"{level} instead of {base} recurrent layers"
    words = axis_words(name)
    return f"{words} {level_words(name, level)} instead of {level_words(name, base)}"


def level_words(axis: str, level: Level) -> str:
    """A level in a sentence."""
    if level is None or level is False:
        return "none"
    if axis == "gate":
        return f"reduction {level}" if level else "none"
    if level is True:
        return "present"
    return f"{level:g}" if isinstance(level, float) else str(level)
