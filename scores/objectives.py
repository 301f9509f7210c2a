"""Objectives: the score that a study maximises beside its cost, for search, reports and command line.

An objective is a metric of every class (`scores.ranking`) and what becomes of it: the mean over classes on
all records, or on those of the group of patients that is served worst. `scores.scorers` computes it.
Imports nothing that takes time, since the command line is made from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

DEFAULT_OBJECTIVE = "macro-auprc"


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """A score from 0 to 1, of which more is better."""

    name: str
    """Value of `--objective`; with `_` for `-` the metric under which the score is kept."""
    words: str
    """Noun in sentences and head of a column: `macro-AUPRC`."""
    short: str
    """The same where the context says the rest: `AUPRC`."""
    metric: Literal["auprc", "auroc"]
    """Score of a class."""
    by_group: bool
    """Whether the lowest of the scores by sex and by age group counts, not that of all records."""
    chance: float | None
    """Score of guessing; None where it is the prevalence of each class."""
    method: str
    """Method of computation, in sentences."""

    @property
    def key(self) -> str:
        """Name of the metric that is kept of folds and trials, and of the column in CSV."""
        return self.name.replace("-", "_")

    @property
    def heading(self) -> str:
        """The words at the beginning of a sentence or a label."""
        return f"{self.words[0].upper()}{self.words[1:]}"

    @property
    def least(self) -> float:
        """Score from which hypervolume is measured where a study does not say: that of guessing, or 0."""
        return self.chance or 0.0


OBJECTIVES: Mapping[str, Objective] = {
    each.name: each
    for each in (
        Objective(
            name=DEFAULT_OBJECTIVE,
            words="macro-AUPRC",
            short="AUPRC",
            metric="auprc",
            by_group=False,
            chance=None,
            method=(
                "Cross-validated macro-AUPRC: average precision of each class in every fold that has a "
                "positive and a negative, averaged with the number of positives as weight, then the plain "
                "mean over the classes with a score."
            ),
        ),
        Objective(
            name="worst-group",
            words="worst-group AUROC",
            short="worst-group AUROC",
            metric="auroc",
            by_group=True,
            chance=0.5,
            method=(
                "Cross-validated AUROC of the group of patients that is served worst: for every sex and age "
                "group, AUROC of each class among the records of the group in every fold that has a positive "
                "and a negative there, averaged with the number of positives as weight, then the plain mean "
                "over the classes that all groups by the same attribute can score; of these means the "
                "lowest. The score of a fold is the lowest over the classes that all groups can score in "
                "that fold."
            ),
        ),
    )
}
"""Objectives by name."""
