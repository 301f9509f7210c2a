"""The score that a study maximises, on its kept predictions, and the groups that it compares, in words."""

from collections.abc import Mapping, Sequence

from numpy.typing import ArrayLike

from reports.numbers import count_words
from scores.groups import People
from scores.objectives import OBJECTIVES
from scores.scorers import Attribute, Scorer, WorstGroupScorer, scorer_of
from storage import Predictions
from storage.records import StudyRecord


def study_scorer(
    study: StudyRecord, targets: Sequence[ArrayLike], predictions: Mapping[int, Predictions]
) -> Scorer:
    """The scorer of the objective of a study.

    Args:
        study: with the objective.
        targets: y_NC of each fold.
        predictions: by fold, of any trial: its records and their patients.
    """
    people = [
        People(sex_N=predictions[fold].sex, age_N=predictions[fold].age) for fold in sorted(predictions)
    ]
    return scorer_of(OBJECTIVES[study.objective], targets, people)


def groups_words(scorer: Scorer, *, unit: str = "record") -> list[str]:
    """The groups that are compared, a line for each attribute; none where all records are scored together.

    Args:
        scorer: of a study.
        unit: what a row of its data is.
    """
    if not isinstance(scorer, WorstGroupScorer):
        return []
    return [_attribute_words(each, unit) for each in scorer.attributes]


def _attribute_words(attribute: Attribute, unit: str) -> str:
    counts = {name: sum(int(is_in_N.sum()) for is_in_N in rows) for name, rows in attribute.groups.items()}
    listed = ", ".join(f"{name} (n = {count:,})" for name, count in counts.items())
    n_used, n_all = int(attribute.used_C.sum()), len(attribute.used_C)
    left_out = [
        f"{name} ({count_words(count, unit)}) is too small" for name, count in attribute.too_small.items()
    ]
    if attribute.n_unknown:
        left_out.append(f"{count_words(attribute.n_unknown, unit)} of unknown {attribute.name} in no group")
    rest = f"; {'; '.join(left_out)}" if left_out else ""
    return (
        f"groups by {attribute.name}: {listed}, over the {n_used} of "
        f"{count_words(n_all, 'class', 'classes')} that every group can score{rest}"
    )
