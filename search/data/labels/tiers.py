"""Label tiers: one set of statements read at several resolutions, and the projection between them.

Every data set has tiers of its own. Those of PTB-XL:

    all (71) ⊃ diagnostic (44) ⊃ subclass (23) ⊃ superclass (5)
    all (71) ⊃ form (19), all (71) ⊃ rhythm (12), all (71) ⊃ aha (30)
    all (71) ⊃ severity-4 ⊃ severity-3

A record has any number of classes of most tiers: those of its statements. Of an ordinal tier it has exactly
one: the class of its worst statement. The classes of a tier are those that the data set defines (PTB-XL: in
its own `scp_statements.csv`), whether or not they occur, and of an ordinal tier all levels of severity.toml.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from reports.numbers import first_words
from search.data.labels.projection import Projection, any_of, sum_of, worst_of
from search.data.labels.severity import Level, Severity, read_severity
from search.errors import DataError, UsageError


class Coded(Protocol):
    """A statement: what a record can be labelled with at the finest resolution."""

    @property
    def code(self) -> str:
        """Code of the class in the files of the data set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tier:
    """Tier of statements: the class of a statement (None: not in this tier), and the next finer tier.

    The second argument of `class_of` is the `Severity` of the statements, None where a data set has none.
    A tier is exclusive if every row of the data set has exactly one of its classes.
    """

    class_of: Callable[[Any, Any], str | None]
    refined_by: str | None
    exclusive: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class OrdinalTier:
    """Tier of severity: names of levels, the next finer tier, and the level of a statement."""

    name_of: Callable[[Level], str]
    refined_by: str
    level_of: Callable[[Any, Severity], Level]


Tiers = Mapping[str, Tier | OrdinalTier]
"""The tiers of a data set by name."""


def severity_tiers(finest: str, level_of: Callable[[Any, Severity], Level]) -> dict[str, Tier | OrdinalTier]:
    """Both tiers of severity of statements that stand in the tier `finest`."""
    return {
        "severity-4": OrdinalTier(name_of=lambda level: level.name, refined_by=finest, level_of=level_of),
        "severity-3": OrdinalTier(
            name_of=lambda level: level.triage, refined_by="severity-4", level_of=level_of
        ),
    }


# A new tier of PTB-XL is one new entry here.
PTBXL_TIERS: Final[Tiers] = {
    "superclass": Tier(class_of=lambda statement, _: statement.superclass, refined_by="subclass"),
    "subclass": Tier(class_of=lambda statement, _: statement.subclass, refined_by="diagnostic"),
    "diagnostic": Tier(class_of=lambda s, _: s.code if s.diagnostic else None, refined_by="all"),
    "all": Tier(class_of=lambda statement, _: statement.code, refined_by=None),
    "form": Tier(class_of=lambda s, _: s.code if s.form else None, refined_by="all"),
    "rhythm": Tier(class_of=lambda s, _: s.code if s.rhythm else None, refined_by="all"),
    "aha": Tier(class_of=lambda s, severity: severity.primary_of(s.code), refined_by="all"),
    **severity_tiers("all", lambda statement, severity: severity.level_of(statement.code)),
}
ORDINAL_TIERS: Final = frozenset(severity_tiers("", lambda statement, severity: severity.level_of(statement)))
"""Names of the tiers with an order; in every data set these are the tiers of severity."""
GROUP_WORDS: Final[Mapping[tuple[str, str], str]] = {
    ("superclass", "MI"): "myocardial infarction",
    ("superclass", "STTC"): "ST/T changes",
    ("superclass", "CD"): "conduction disturbance",
    ("superclass", "HYP"): "hypertrophy",
    ("subclass", "STTC"): "other ST/T changes",
    ("subclass", "ISCA"): "ischemic in anterior or lateral leads",
}
"""Classes of PTB-XL by tier and name that group more statements than a line can name, in words: superclasses
as in Wagner et al. 2020, subclasses by their statements in scp_statements.csv."""
_N_SHOWN: Final = 5


def check_tier(name: str, tiers: Collection[str]) -> str:
    """`name`, if it is among the tiers of a data set.

    Raises:
        UsageError: It is not; lists those there are.
    """
    if name not in tiers:
        raise UsageError(f"unknown tier {name!r}; choose one of {', '.join(tiers)}")
    return name


class Hierarchy:
    """The tiers of one data set.

    Args:
        statements: All statements of the data set.
        severity: Their severity and AHA numbers; of PTB-XL by default those of severity.toml.
        tiers: Its tiers, by default those of PTB-XL. One of them, the finest, is refined by no other; its
            classes are the codes.
        noun: What a statement is called in messages.
        listed_in: The file that lists them.

    Attributes:
        statements: All statements of the data set.
        severity: Their severity and AHA numbers; None where the data set has none.
        tiers: Names of the tiers.
        finest: The tier that keeps all statements apart.

    Raises:
        DataError: A class has two parents, so that tiers do not nest; severity.toml has a mistake or
            lacks a statement.
    """

    def __init__(
        self,
        statements: Sequence[Coded],
        severity: Severity | None = None,
        *,
        tiers: Tiers | None = None,
        noun: str = "SCP code",
        listed_in: str = "scp_statements.csv",
    ) -> None:
        if tiers is None:
            tiers, severity = PTBXL_TIERS, severity or read_severity()
        self.statements: Final = tuple(statements)
        self.severity: Final = severity
        self.tiers: Final = tuple(tiers)
        self._tiers: Final = tiers
        self._noun: Final = noun
        self._listed_in: Final = listed_in
        self._classes: Final = {name: self._find_classes(name) for name in tiers}
        self.finest: Final = next(name for name, tier in tiers.items() if tier.refined_by is None)
        self._column_of_code: Final = {code: column for column, code in enumerate(self._classes[self.finest])}
        self._column_of_stem: Final = self._find_stems()
        for name, tier in tiers.items():
            if tier.refined_by is not None:
                self._check_nesting(tier.refined_by, name)

    def check_tier(self, name: str) -> str:
        """`name`, if it is a tier of this data set.

        Raises:
            UsageError: Unknown tier; the message lists the tiers.
        """
        return check_tier(name, self.tiers)

    def classes(self, tier: str) -> tuple[str, ...]:
        """Class names of a tier in the order of axis C; they need not occur.

        The order is alphabetical, and from mild to severe in an ordinal tier.
        """
        return self._classes[self.check_tier(tier)]

    def is_ordinal(self, tier: str) -> bool:
        """Whether a record has exactly one class of a tier and the classes have an order."""
        return isinstance(self._tiers[self.check_tier(tier)], OrdinalTier)

    def is_exclusive(self, tier: str) -> bool:
        """Whether a record has exactly one class of a tier."""
        found = self._tiers[self.check_tier(tier)]
        return isinstance(found, OrdinalTier) or found.exclusive

    def code(self, name: str) -> str | None:
        """A statement's code as the data set spells it, None if it is not there.

        Copies of PTB-XL exist that drop the underscores of NST_, ISC_ and others; both spellings count.
        """
        column = self._column(name)
        return None if column is None else self._classes[self.finest][column]

    def labels(
        self,
        tier: str,
        statements_per_record: Sequence[Collection[str]],
        *,
        ecg_id: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> NDArray[np.bool_]:
        """Labels of N records at a tier, shape (N, C).

        Every statement of a record counts, whatever its likelihood: 0 means "unknown", not "absent". At an
        ordinal tier each row has a single one, at the worst of them; without a statement it is the mildest.

        Args:
            tier: Name of the tier.
            statements_per_record: Codes of each record (a mapping from code to likelihood will do).
            ecg_id: Record ids, to name the records of an unknown code.

        Raises:
            DataError: A code is none of the statements; names it and its records.
        """
        column_of = self._membership(self.finest, self.check_tier(tier))
        all_NC = np.zeros((len(statements_per_record), len(self._classes[self.finest])), dtype=np.bool_)
        for row, codes in enumerate(statements_per_record):
            for name in codes:
                column = self._column(name)
                if column is None:
                    raise self._unknown_code(name, statements_per_record, ecg_id)
                all_NC[row, column] = True
        y_NC = np.zeros((len(all_NC), len(self._classes[tier])), dtype=np.bool_)
        for fine, coarse in np.argwhere(column_of):
            y_NC[:, coarse] |= all_NC[:, fine]
        return _worst(y_NC) if self.is_ordinal(tier) else y_NC

    def soft_labels(
        self, tier: str, certainty_per_record: Sequence[Mapping[str, float]]
    ) -> NDArray[np.float64]:
        """Probability of every class for N records with uncertain statements, shape (N, C).

        Statements are taken as independent, as in `projection`: a class is there if any of its statements
        is, and of an ordinal tier the class of the worst one.

        Args:
            tier: Name of the tier.
            certainty_per_record: Probability of each statement that a record has, by known codes.
        """
        p_NC = np.zeros((len(certainty_per_record), len(self._classes[self.finest])))
        for row, certainties in enumerate(certainty_per_record):
            for name, certainty in certainties.items():
                column = self._column(name)
                assert column is not None  # `labels` has refused what is unknown
                p_NC[row, column] = certainty
        soft_NC: NDArray[np.float64] = self.projection(self.finest, self.check_tier(tier))(p_NC)
        return soft_NC

    def refines(self, fine: str, coarse: str) -> bool:
        """Whether labels at `fine` determine those at `coarse`; a tier refines itself."""
        self.check_tier(fine)
        return fine in self.training_tiers(coarse)

    def training_tiers(self, target: str) -> tuple[str, ...]:
        """Tiers to train a model for `target` at: itself, then all that refine it, coarse to fine."""
        tiers = [self.check_tier(target)]
        while (finer := self._tiers[tiers[-1]].refined_by) is not None:
            tiers.append(finer)
        return tuple(tiers)

    def coarser_tiers(self, tier: str) -> tuple[str, ...]:
        """The tier itself, then every tier it refines, nearest first."""
        self.check_tier(tier)
        refined = [name for name in self.tiers if self.refines(tier, name)]
        return tuple(sorted(refined, key=lambda name: self.training_tiers(name).index(tier)))

    def projection(self, fine: str, coarse: str) -> Projection:
        """Rule by which probabilities of `coarse` follow from those of `fine`.

        Raises:
            UsageError: `fine` does not refine `coarse`.
        """
        if not self.refines(fine, coarse):
            raise UsageError(
                f"tier {fine} does not determine tier {coarse}; "
                f"use one of {', '.join(self.training_tiers(coarse))}"
            )
        rule = sum_of if self.is_exclusive(fine) else worst_of if self.is_ordinal(coarse) else any_of
        return Projection(children=self._membership(fine, coarse), rule=rule)

    def _find_classes(self, name: str) -> tuple[str, ...]:
        tier = self._tiers[name]
        if isinstance(tier, OrdinalTier):
            return tuple(dict.fromkeys(tier.name_of(level) for level in self._levels()))
        found = {tier.class_of(statement, self.severity) for statement in self.statements}
        return tuple(sorted(label for label in found if label is not None))

    def _class_of(self, name: str, statement: Coded) -> str | None:
        tier = self._tiers[name]
        if isinstance(tier, OrdinalTier):
            assert self.severity is not None
            return tier.name_of(tier.level_of(statement, self.severity))
        return tier.class_of(statement, self.severity)

    def _levels(self) -> tuple[Level, ...]:
        assert self.severity is not None  # a data set with ordinal tiers has it
        return self.severity.scheme.levels

    def _find_stems(self) -> dict[str, int]:
        """Column of each code without its outer underscores, where that leaves no doubt."""
        columns: dict[str, list[int]] = {}
        for code, column in self._column_of_code.items():
            columns.setdefault(code.strip("_"), []).append(column)
        return {stem: candidates[0] for stem, candidates in columns.items() if len(candidates) == 1}

    def _column(self, name: str) -> int | None:
        column = self._column_of_code.get(name)
        return self._column_of_stem.get(name.strip("_")) if column is None else column

    def _membership(self, fine: str, coarse: str) -> NDArray[np.bool_]:
        """Classes of `fine` that are children of a class of `coarse`, shape (C_fine, C_coarse)."""
        matrix = np.zeros((len(self._classes[fine]), len(self._classes[coarse])), dtype=np.bool_)
        for child, parent in self._pairs(fine, coarse):
            if child is not None and parent is not None:
                matrix[self._classes[fine].index(child), self._classes[coarse].index(parent)] = True
        return matrix

    def _pairs(self, fine: str, coarse: str) -> list[tuple[str | None, str | None]]:
        child, parent = self._tiers[fine], self._tiers[coarse]
        if isinstance(child, OrdinalTier) and isinstance(parent, OrdinalTier):
            # Levels belong together whether or not the data set has a statement of each.
            return [(child.name_of(level), parent.name_of(level)) for level in self._levels()]
        return [(self._class_of(fine, item), self._class_of(coarse, item)) for item in self.statements]

    def _check_nesting(self, fine: str, coarse: str) -> None:
        matrix = self._membership(fine, coarse)
        for child, parents in zip(self._classes[fine], matrix, strict=True):
            if parents.sum() > 1:
                names = [self._classes[coarse][column] for column in np.flatnonzero(parents)]
                raise DataError(
                    f"{self._listed_in} puts the {fine} {child} under {' and '.join(names)}; "
                    f"give it one {coarse}"
                )

    def _unknown_code(
        self,
        name: str,
        statements_per_record: Sequence[Collection[str]],
        ecg_id: Sequence[int] | NDArray[np.int64] | None,
    ) -> DataError:
        rows = [row for row, codes in enumerate(statements_per_record) if name in codes]
        where = [f"{row + 1}" if ecg_id is None else f"{ecg_id[row]}" for row in rows]
        noun = "row" if ecg_id is None else "record"
        return DataError(
            f"{self._noun} {name[:40]!r} of {noun} {first_words(where, _N_SHOWN)} is not in "
            f"{self._listed_in}; {self._advice(name)}"
        )

    def _advice(self, name: str) -> str:
        """Advice on an unknown code."""
        alike = [code for code in self._column_of_code if code.casefold() == name.casefold()]
        if alike:
            return f"write {alike[0]}"
        for tier in self.tiers:
            if name in self._classes[tier]:
                children = [fine for fine, coarse in self._pairs(self.finest, tier) if coarse == name]
                shown = ", ".join(sorted(filter(None, children))[:_N_SHOWN])
                return f"it is a class of the tier {tier}: write the statements themselves, such as {shown}"
        return "add a line for it there or correct the code"


def _worst(y_NC: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Only the last class of each row that has a one; the first where none has."""
    at_least_NC = y_NC.copy()
    at_least_NC[:, 0] = True
    worst_N = y_NC.shape[1] - 1 - np.argmax(at_least_NC[:, ::-1], axis=1)
    one_hot_NC: NDArray[np.bool_] = np.eye(y_NC.shape[1], dtype=np.bool_)[worst_N]
    return one_hot_NC
