"""Limits of a study: largest costs of an architecture, and operators that the device has.

Limits are part of a study: they are resolved to numbers when it is made (`--max`, `--operators`,
`--device-profile`), kept among its settings, and never change.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from importlib import resources
from pathlib import Path
from typing import Any

import space
from reports.numbers import cost_phrases, cost_words
from scores.costs import COSTS, DEFAULT_COST, LATENCY, Unit
from search.errors import UsageError, one_line
from search.models.costs import Costs
from storage.records import StudyRecord

PROFILES_FILE = "device_profiles.toml"
_COUNT_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_BYTE_UNITS = {
    **{"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9},
    **{"KiB": 2**10, "MiB": 2**20, "GiB": 2**30},
}
_TIME_UNITS = {"µs": 1, "μs": 1, "us": 1, "ms": 10**3, "s": 10**6}
_BUILT_IN_OPERATORS = ("conv", "pool", "attention", "fft", "scan")
_UNITS: Mapping[Unit, tuple[Mapping[str, int], str]] = {
    "": (_COUNT_UNITS, "250k, 20M"),
    "bytes": (_BYTE_UNITS, "256KiB, 2MB"),
    "microseconds": (_TIME_UNITS, "10ms, 0.5s"),
}
"""Units of a cost in its own, and examples."""
_PROFILE_KEYS = {"words", "source", "flash", "ram", "latency", "precision", "operators"}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on the costs and operators of an architecture."""

    most: Mapping[str, int]
    """Largest value of a cost of `scores.costs.COSTS`."""
    operators: tuple[str, ...] | None = None
    """Operators that there are; None for all."""

    def __bool__(self) -> bool:
        return bool(self.most) or self.operators is not None

    def complaint(self, costs: Costs) -> str | None:
        """Reason for which a model exceeds the limits, None if it does not."""
        values = costs.to_dict()
        over = [
            f"{cost} {cost_words(cost, values[cost])}, at most {cost_words(cost, self.most[cost])}"
            for cost in self._exceeded(costs)
        ]
        return "; ".join([*over, *self._lacking(costs)]) or None

    def excess(self, costs: Costs) -> str:
        """Costs and operators of a model beyond the limits, `93.7 M MACs, operator lstm`; empty if none."""
        values = costs.to_dict()
        over = cost_phrases({cost: values[cost] for cost in self._exceeded(costs)})
        return ", ".join([*over, *self._lacking(costs)])

    def _exceeded(self, costs: Costs) -> list[str]:
        values = costs.to_dict()
        return [cost for cost, limit in self.most.items() if values[cost] > limit]

    def _lacking(self, costs: Costs) -> list[str]:
        lacking = sorted(costs.operators - set(self.operators)) if self.operators is not None else []
        return [f"operator {', '.join(lacking)}"] if lacking else []


def limits_of(study: StudyRecord) -> Limits:
    """The limits that a study keeps."""
    operators = study.settings.get("operators")
    return Limits(
        most=dict(study.settings.get("max") or {}), operators=None if operators is None else tuple(operators)
    )


def limit_settings(most: str | None, operators: str | None, profile: str | None) -> dict[str, Any]:
    """Settings of a study for its limits; the limits of a profile apply in addition to the others.

    Raises:
        UsageError: an option has a value that cannot be used.
    """
    settings: dict[str, Any] = {}
    chosen = {} if most is None else _parsed_costs(most)
    known = None if operators is None else _parsed_operators("--operators", operators.split(","))
    if profile is not None:
        words, of_profile, offered = _read_profile(profile)
        settings["device_profile"] = words
        chosen = {
            cost: min(each[cost] for each in (chosen, of_profile) if cost in each)
            for cost in COSTS
            if cost in chosen or cost in of_profile
        }
        if offered is not None:
            known = offered if known is None else [name for name in known if name in offered]
    if chosen:
        settings["max"] = {cost: chosen[cost] for cost in COSTS if cost in chosen}
    if known is not None:
        settings["operators"] = known
    return settings


def interest_settings(
    at_least: float | None, smallest: str | None, cost: str = DEFAULT_COST
) -> dict[str, Any]:
    """Settings of a study for the region of interest: lowest useful score, smallest cost that matters.

    Raises:
        UsageError: an option has a value that cannot be used.
    """
    settings: dict[str, Any] = {}
    if at_least is not None:
        if not 0 < at_least < 1:
            raise UsageError(f"--at-least is a score between 0 and 1, such as .70, got {at_least:g}")
        settings["at_least"] = at_least
    if smallest is not None:
        settings["smallest"] = parsed_cost("--smallest", cost, smallest)
    return settings


def parsed_cost(option: str, cost: str, text: str) -> int:
    """A cost with its unit: `250k`, `20M`, `256KiB`, `10ms`.

    Raises:
        UsageError: it is none, or not positive.
    """
    units, example = _UNITS[COSTS[cost].unit]
    found = re.fullmatch(r"\s*([-+]?[0-9.]+(?:e[0-9]+)?)\s*([A-Za-zµμ]*)\s*", text)
    if found is None or found[2] not in units:
        unit = ", ".join(filter(None, units))
        raise UsageError(f"{option}: {cost} is a number such as {example}, got {text!r}; units are {unit}")
    try:
        value = Decimal(found[1]) * units[found[2]]
    except InvalidOperation:
        raise UsageError(f"{option}: {cost} is a number such as {example}, got {text!r}") from None
    if units is _COUNT_UNITS and not found[2] and "." in found[1]:
        raise UsageError(
            f"{option}: {cost} is a whole number, or has a unit, such as {example}, got {text!r}"
        )
    if not 1 <= value < 2**63:
        raise UsageError(
            f"{option}: {cost} is at least 1 and a number that a computer can hold, got {text!r}"
        )
    return int(value)


def _parsed_costs(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in text.split(","):
        cost, equals, value = entry.partition("=")
        if not equals or cost not in COSTS:
            raise UsageError(
                f"--max is COST=LIMIT,… with costs from {', '.join(COSTS)}, such as "
                f"parameters=250k,memory=256KiB, got {entry!r}"
            )
        if cost in found:
            raise UsageError(f"--max names {cost} twice")
        found[cost] = parsed_cost("--max", cost, value)
    return found


def _parsed_operators(option: str, names: list[str]) -> list[str]:
    if not names or not all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names):
        raise UsageError(f"{option} names operators such as conv,pool,gru, got {','.join(names)!r}")
    return sorted(set(names))


def check_operators(operators: Collection[str], of_space: Collection[str]) -> None:
    """Refuse the name of an operator that neither the program nor the space has.

    Raises:
        UsageError: the message lists those there are.
    """
    known = dict.fromkeys((*_BUILT_IN_OPERATORS, *space.CELLS, *of_space))
    for name in operators:
        if name not in known:
            raise UsageError(
                f"--operators or --device-profile: unknown operator {name!r}: choose from {', '.join(known)}"
            )


# ---------------------------------------------------------------------------------------------------------
# Device profiles


def _shipped() -> dict[str, Any]:
    return tomllib.loads(resources.files("search.study").joinpath(PROFILES_FILE).read_text(encoding="utf-8"))


def _read_profile(choice: str) -> tuple[str, dict[str, int], list[str] | None]:
    """Words, limits and operators of a profile of the program, or of a file."""
    shipped = _shipped()
    option = f"--device-profile {choice}"
    if choice in shipped:
        content = shipped[choice]
    elif not choice.endswith(".toml"):
        raise UsageError(
            f"--device-profile: unknown device {choice!r}: choose from {', '.join(shipped)}, or name a file "
            "FILE.toml"
        )
    else:
        try:
            content = tomllib.loads(Path(choice).read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise UsageError(f"{option}: the file cannot be read ({error.strerror})") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{option}: not a TOML file: {one_line(error)}") from error
    if unknown := sorted(content.keys() - _PROFILE_KEYS):
        raise UsageError(
            f"{option}: unknown key {unknown[0]!r}: choose from {', '.join(sorted(_PROFILE_KEYS))}"
        )
    for key in ("words", "source"):
        if not isinstance(content.get(key, ""), str):
            raise UsageError(f"{option}: {key} is a text, got {content[key]!r}")
    precision = content.get("precision", "int8")
    if precision not in ("int8", "fp32"):
        raise UsageError(f"{option}: precision is int8 or fp32, got {precision!r}")
    suffix = "-int8" if precision == "int8" else ""
    keys = {"flash": f"bytes{suffix}", "ram": f"memory{suffix}", "latency": LATENCY}
    limits = {
        cost: parsed_cost(f"{option}, {key}", cost, str(content[key]))
        for key, cost in keys.items()
        if key in content
    }
    operators = content.get("operators")
    if operators is not None:
        if not isinstance(operators, list) or not all(isinstance(name, str) for name in operators):
            raise UsageError(f"{option}: operators are a list of names, got {operators!r}")
        operators = _parsed_operators(option, operators)
    if not limits and operators is None:
        raise UsageError(f"{option}: has neither flash nor ram nor latency nor operators")
    words = content.get("words", Path(choice).stem)
    return f"{words} ({content['source']})" if "source" in content else str(words), limits, operators
