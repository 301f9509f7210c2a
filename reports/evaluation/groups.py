"""Groups of evaluations that share a page.

Evaluations of the same held-out records share a page, whenever they were made, so that a reader sees every
model that was tested on these records. The file name has the number of the group's first evaluation; the page
shows the latest evaluation of each model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from storage.records import Evaluation, StudyRecord

N_MODELS = 12
"""Models of a page; of more the newest are shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationGroup:
    """Evaluations of a study on the same records."""

    id: str
    """Name of their page: the number of the first."""
    shown: Sequence[Evaluation]
    """The newest of each model, oldest first."""
    ids: Sequence[int]
    """Numbers of all, those not shown included."""


def evaluation_groups(evaluations: Sequence[Evaluation]) -> list[EvaluationGroup]:
    """Evaluations by the records that they were made on, in the order of their first."""
    groups: dict[tuple[str, str], list[Evaluation]] = {}
    for each in sorted(evaluations, key=lambda each: each.id or 0):
        groups.setdefault((each.records, each.data_fingerprint), []).append(each)
    found = []
    for members in groups.values():
        newest = {(each.model, each.fit, each.seeds): each for each in members}
        shown = sorted(newest.values(), key=lambda each: each.id or 0)[-N_MODELS:]
        ids = [each.id for each in members if each.id is not None]
        found.append(EvaluationGroup(id=str(ids[0]), shown=shown, ids=ids))
    return found


def page_name(group: str) -> str:
    """File name of the page of a group of evaluations."""
    return f"evaluation-{group}.html"


def reported_tier(study: StudyRecord, evaluation: Evaluation) -> str:
    """The target where it was scored, else the finest tier that was."""
    has_target = f"{study.target}_macro_auprc" in evaluation.metrics
    return study.target if has_target else evaluation.label_tier
