"""The evaluations of a study in one table, and how often its sealed fold was opened."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from reports.evaluation.groups import reported_tier
from reports.numbers import count_words, score_words
from reports.parts import sealed_fold_words
from reports.schema import finite
from reports.terminal import simple_table
from storage.records import Evaluation, SealedFoldOpeningRecord, StudyRecord


def evaluation_table(
    study: StudyRecord, evaluations: Sequence[Evaluation], openings: Sequence[SealedFoldOpeningRecord]
) -> RenderableType:
    """The evaluations for a terminal of 80 columns or more, oldest first."""
    if not evaluations:
        return Group(
            Text(
                f"Study {study.name} has no evaluation yet: `python -m search evaluate --front` makes some."
            ),
            Text(sealed_fold_words(openings, study.name)),
        )
    table = simple_table(f"Evaluations of study {study.name}")
    for heading in ("id", "model", "fit", "seeds", "tested on", "tier", "AUPRC", "AUROC", "at (UTC)"):
        is_number = heading in {"id", "seeds"}
        table.add_column(
            heading,
            justify="right" if is_number else "left",
            no_wrap=heading not in {"model", "tested on", "tier"},
        )
    for each in evaluations:
        tier = reported_tier(study, each)
        table.add_row(
            str(each.id),
            each.model,
            each.fit,
            str(len(each.seeds)),
            each.records,
            tier,
            score_words(each.metrics.get(f"{tier}_macro_auprc")),
            score_words(each.metrics.get(f"{tier}_macro_auroc")),
            "" if each.at is None else f"{each.at:%m-%d %H:%M}",
        )
    return Group(table, Text(sealed_fold_words(openings, study.name)))


def evaluations_document(
    study: StudyRecord, evaluations: Sequence[Evaluation], openings: Sequence[SealedFoldOpeningRecord]
) -> dict[str, Any]:
    """One JSON-ready document."""
    return {
        "study": study.name,
        "openings": len(openings),
        "evaluations": [evaluation_summary(each) for each in evaluations],
    }


def evaluation_summary(each: Evaluation) -> dict[str, Any]:
    """Summary of an evaluation, without models and predictions."""
    return {
        "id": each.id,
        "model": each.model,
        "trial": each.trial,
        "preset": each.preset,
        "ensemble": each.ensemble,
        "parameters": each.parameters,
        "label_tier": each.label_tier,
        "fit": each.fit,
        "seeds": list(each.seeds),
        "records": each.records,
        "external": each.external,
        "synthetic": each.synthetic,
        "thresholds_from": each.thresholds_from or None,
        "metrics": {name: finite(value) for name, value in each.metrics.items()},
        "at": None if each.at is None else each.at.isoformat(),
    }


def evaluations_words(evaluations: Sequence[Evaluation]) -> str:
    """One line for the status of a study; empty without any."""
    if not evaluations:
        return ""
    listed = ", ".join(f"{each.id} ({each.model}, {each.records})" for each in evaluations[-3:])
    more = f" and {len(evaluations) - 3} before" if len(evaluations) > 3 else ""
    return f"{count_words(len(evaluations), 'evaluation')}: {listed}{more}; all with search evaluate --list"
