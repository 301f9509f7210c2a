"""Severity of every SCP-ECG and AHA statement, and which of them correspond: the editable severity.toml."""

import hashlib
import itertools
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from search.data.tables import clean, is_blank
from search.errors import DataError

SEVERITY_FILE: Final = Path(__file__).with_name("severity.toml")
N_LEVELS: Final = 4
"""Levels of severity-4."""
N_TRIAGE: Final = 3
"""Levels of severity-3."""
_HIGHEST_AHA: Final = 599
_HIGHEST_PRIMARY: Final = 199
"""Primary statements come first in the AHA/ACC/HRS list (Mason et al. 2007, table 1)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """One level of severity.

    Attributes:
        name: Class in severity-4.
        triage: Class in severity-3.
        statements: SCP codes of this level.
        aha: AHA numbers of this level.
    """

    name: str
    triage: str
    statements: tuple[str, ...]
    aha: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheme:
    """A map from statements to levels.

    Attributes:
        name: Name in the file.
        source: Where the map comes from.
        review: Who, if anyone, has reviewed it.
        comment: Remarks for users.
        levels: From mild to severe.
        others: The level of AHA numbers that no level lists.
    """

    name: str
    source: str
    review: str
    comment: str
    levels: tuple[Level, ...]
    others: Level

    def level_of_number(self, number: int) -> Level:
        """Level of an AHA number."""
        return next((level for level in self.levels if number in level.aha), self.others)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Severity:
    """The content of severity.toml.

    Attributes:
        path: The file.
        aha: AHA number of every SCP code; None where there is none.
        schemes: All maps of the file by name.
        scheme: The one that the tiers follow.
    """

    path: Path
    aha: Mapping[str, int | None]
    schemes: Mapping[str, Scheme]
    scheme: Scheme

    def spelled(self, code: str) -> str:
        """A code as the file spells it; outer underscores do not count where that leaves no doubt.

        Raises:
            DataError: The file does not have the code.
        """
        if code in self.aha:
            return code
        candidates = [known for known in self.aha if known.strip("_") == code.strip("_")]
        if len(candidates) != 1:
            raise DataError(
                f"statement {code[:40]!r} of scp_statements.csv is not in {self.path}; add it there to "
                "aha.unmapped (or aha.codes) and to a level of every scheme"
            )
        return candidates[0]

    def level_of(self, code: str) -> Level:
        """Level of a statement in the scheme that the tiers follow.

        Raises:
            DataError: See `spelled`.
        """
        spelled = self.spelled(code)
        return next(level for level in self.scheme.levels if spelled in level.statements)

    def primary_of(self, code: str) -> str | None:
        """Number of a statement among the primary AHA statements, None if it is not one of them.

        Raises:
            DataError: See `spelled`.
        """
        number = self.aha[self.spelled(code)]
        return str(number) if number is not None and number <= _HIGHEST_PRIMARY else None

    @property
    def identity(self) -> str:
        """Name of the scheme and eight digits that change with every label it decides."""
        levels = [
            (level.name, level.triage, sorted(level.statements), sorted(level.aha))
            for level in self.scheme.levels
        ]
        decisive = (levels, self.scheme.others.name, sorted(self.aha.items()))
        digest = hashlib.sha256(repr(decisive).encode())
        return f"{self.scheme.name} {digest.hexdigest()[:8]}"


def read_severity(path: Path = SEVERITY_FILE) -> Severity:
    """Read severity.toml and make sure that every statement has one level in every scheme.

    Raises:
        DataError: The file cannot be read or has a mistake; names the first one.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}; put it back") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        # "Cannot overwrite a value" is what a key given twice is called.
        raise DataError(f"{path} is not valid TOML: {error}; correct that line") from error
    try:
        return _severity(path, document)
    except _MistakeError as mistake:
        raise DataError(f"{path}: {mistake}") from mistake


class _MistakeError(Exception):
    """A mistake in the file, with what to do."""


def _severity(path: Path, document: dict[str, Any]) -> Severity:
    _check_entries("the file", document, {"scheme": str, "aha": dict, "schemes": dict})
    aha = _aha(document["aha"])
    schemes = {name: _scheme(name, table, aha) for name, table in document["schemes"].items()}
    chosen = document["scheme"]
    if chosen not in schemes:
        raise _MistakeError(f"there is no scheme {chosen!r}; set scheme to one of {', '.join(schemes)}")
    return Severity(path=path, aha=aha, schemes=schemes, scheme=schemes[chosen])


def _aha(table: dict[str, Any]) -> dict[str, int | None]:
    _check_entries("aha", table, {"source": str, "comment": str, "unmapped": list, "codes": dict})
    for code, number in table["codes"].items():
        if not _is_aha(number):
            raise _MistakeError(
                f"aha.codes: {code} has {number!r}, not an AHA number from 1 to {_HIGHEST_AHA}; "
                "correct it or list the code as unmapped"
            )
    unmapped = _codes("aha.unmapped", table["unmapped"])
    _check_once("aha", [*unmapped, *table["codes"]], "leave it in codes or in unmapped")
    return {**dict.fromkeys(unmapped), **table["codes"]}


def _scheme(name: str, table: Any, aha: Mapping[str, int | None]) -> Scheme:
    where = f"scheme {name}"
    if not isinstance(table, dict):
        raise _MistakeError(f"{where} is {table!r}, not a table; write [schemes.{name}]")
    _check_entries(
        where, table, {"source": str, "review": str, "comment": str, "others": str, "levels": list}
    )
    levels = tuple(_level(where, number, level) for number, level in enumerate(table["levels"], start=1))
    _check_order(where, levels)
    listed = [code for level in levels for code in level.statements]
    _check_once(where, listed, "leave it in one level")
    names = ", ".join(level.name for level in levels)
    if unknown := sorted(set(listed) - set(aha)):
        raise _MistakeError(
            f"{where} has the unknown code {unknown[0]!r}; correct it, or add it to aha as well"
        )
    if missing := sorted(set(aha) - set(listed)):
        raise _MistakeError(f"{where} lacks the code {missing[0]!r}; add it to one of the levels {names}")
    _check_once(where, [str(number) for level in levels for number in level.aha], "leave it in one level")
    others = [level for level in levels if level.name == table["others"]]
    if not others:
        raise _MistakeError(f"{where}: others is {table['others']!r}; set it to one of the levels {names}")
    scheme = Scheme(
        name=name,
        source=table["source"],
        review=table["review"],
        comment=table["comment"].strip(),
        levels=levels,
        others=others[0],
    )
    _check_agreement(where, scheme, aha)
    return scheme


def _check_agreement(where: str, scheme: Scheme, aha: Mapping[str, int | None]) -> None:
    """A statement and the primary AHA number it corresponds to are of one level."""
    for level in scheme.levels:
        for code in level.statements:
            number = aha[code]
            if number is None or number > _HIGHEST_PRIMARY:
                continue
            other = scheme.level_of_number(number).name
            if other != level.name:
                raise _MistakeError(
                    f"{where} has {code} in {level.name} and its AHA number {number} in {other}; "
                    "put both into one level"
                )


def _level(where: str, number: int, table: Any) -> Level:
    where = f"{where}, level {number}"
    if not isinstance(table, dict):
        raise _MistakeError(f"{where} is {table!r}, not a table with name, triage, aha and statements")
    _check_entries(where, table, {"name": str, "triage": str, "aha": list, "statements": list})
    if wrong := [value for value in table["aha"] if not _is_aha(value)]:
        raise _MistakeError(
            f"{where}: aha has {wrong[0]!r}, not an AHA number from 1 to {_HIGHEST_AHA}; correct it"
        )
    return Level(
        name=table["name"],
        triage=table["triage"],
        statements=tuple(_codes(f"{where}, statements", table["statements"])),
        aha=tuple(table["aha"]),
    )


def _check_order(where: str, levels: tuple[Level, ...]) -> None:
    """Four levels with names of their own, in three triage levels without one inside another."""
    names, triage = [level.name for level in levels], [level.triage for level in levels]
    if len(levels) != N_LEVELS:
        raise _MistakeError(f"{where} has {len(levels)} levels; severity-4 needs {N_LEVELS}")
    _check_once(where, names, "give each level a name of its own")
    if len(set(triage)) != N_TRIAGE:
        raise _MistakeError(
            f"{where} has {len(set(triage))} different triage levels ({', '.join(dict.fromkeys(triage))}); "
            f"severity-3 needs {N_TRIAGE}"
        )
    if sum(before != after for before, after in itertools.pairwise(triage)) != N_TRIAGE - 1:
        raise _MistakeError(
            f"{where}: triage goes {', '.join(triage)}; levels of the same triage must follow each other"
        )


def _check_entries(where: str, table: dict[str, Any], types: Mapping[str, type]) -> None:
    words: dict[type, str] = {str: "a text", list: "a list", dict: "a table"}
    for entry in table:
        if entry not in types:
            raise _MistakeError(f"{where} has the unknown entry {entry!r}; it may have {', '.join(types)}")
    for entry, wanted in types.items():
        if entry not in table:
            raise _MistakeError(f"{where} lacks the entry {entry!r}; add it")
        if not isinstance(table[entry], wanted) or table[entry] == "":
            raise _MistakeError(f"{where}: {entry} is {table[entry]!r}, not {words[wanted]}; correct it")


def _is_aha(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= _HIGHEST_AHA


def _codes(where: str, values: list[Any]) -> list[str]:
    for value in values:
        if not isinstance(value, str) or is_blank(value) or value != clean(value):
            raise _MistakeError(f"{where} has {value!r}, which is not an SCP code; write it in quotes")
    return values


def _check_once(where: str, names: list[str], advice: str) -> None:
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise _MistakeError(f"{where} has {name!r} {'twice' if count == 2 else f'{count} times'}; {advice}")
