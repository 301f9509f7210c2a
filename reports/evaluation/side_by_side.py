"""Scores of evaluations side by side as the terminal and `--json` list them, and their paired differences.

They are those of `scores.side_by_side`, as on an evaluation page. Shapes: N record, C class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reports.errors import ReportError
from reports.evaluation.evidence import VALIDATION, EvaluationEvidence, record_sets
from reports.evaluation.schema import Decision
from reports.evaluation.scores import threshold_decisions
from reports.findings.record_set import ModelOutput, RecordSet
from reports.published import TABLE_2
from scores.bootstrap import Sampled
from scores.metrics import degenerate_classes
from scores.side_by_side import (
    N_RESAMPLES,
    Difference,
    ResampledRecords,
    decision_scores,
    differences,
    most_probable_scores,
    ranking_scores,
)
from storage import Evaluation

RANKED = ("macro_auprc", "macro_auroc")
DECIDED = (*(name for name in TABLE_2 if name not in RANKED), "macro_specificity", "weighted_f1")
"""Metrics of decisions; with `RANKED` the eleven of table 2 of Jafari & Jafari, and two more."""
MOST_PROBABLE = {
    "argmax_accuracy": "accuracy",
    "argmax_macro_f1": "macro_f1",
    "argmax_weighted_f1": "weighted_f1",
    "quadratic_kappa": "quadratic_kappa",
}
"""Metrics of the most probable class, with their names among its decisions; kappa where there is an order."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EvaluatedScores:
    """Scores of one evaluation on one part of the records at one tier."""

    evaluation: Evaluation
    part: str
    tier: str
    n_records: int
    n_patients: int
    classes: tuple[str, ...]
    """Classes scored: those with a positive and a negative record."""
    degenerate: Mapping[str, str]
    """Classes left out of the macro means, each with the reason."""
    half: Mapping[str, Sampled]
    """Metrics at a threshold of .5, mean over seeds."""
    chosen: Mapping[str, Sampled]
    """The same at thresholds of `Evaluation.thresholds_from`; empty where there are none, and on the
    validation part, where they were chosen."""
    seed_deviation: float
    """Standard deviation of macro-AUPRC over seeds; NaN with a single one."""


def evaluated_scores(
    evidence: Sequence[EvaluationEvidence], part: str, tier: str, *, n_resamples: int = N_RESAMPLES
) -> list[EvaluatedScores]:
    """Scores of every evaluation that has such a part at such a tier.

    Evaluations of the same records share their resamples, so that `paired` can subtract them.
    """
    by_model = {each.evaluation.model: each for each in evidence}
    found = {}
    for records in record_sets(by_model, part, tier, drawn=False):
        held = ResampledRecords.of(records.targets_NC, records.patient_N, n_resamples)
        for model, output in records.outputs.items():
            found[model] = _scores(by_model[model].evaluation, part, records, held, output)
    return [found[model] for model in by_model if model in found]


def _scores(
    evaluation: Evaluation, part: str, records: RecordSet, held: ResampledRecords, output: ModelOutput
) -> EvaluatedScores:
    ranking = ranking_scores(held, output.probabilities_NC)
    ranked = {name: ranking.overall[name] for name in RANKED}

    def with_decided(way: Decision) -> dict[str, Sampled]:
        found = decision_scores(held, decisions[way]).overall
        return ranked | {name: found[name] for name in DECIDED}

    decisions = threshold_decisions(output)
    has_chosen = "f1" in decisions and part != VALIDATION
    half = with_decided("half")
    if records.exclusive:
        most_probable = most_probable_scores(held, output.probabilities_NC, ordinal=records.ordinal).overall
        half |= {name: most_probable[same] for name, same in MOST_PROBABLE.items() if same in most_probable}
    degenerate = degenerate_classes(records.classes, [records.targets_NC])
    n_records, patient_N = len(records.targets_NC), records.patient_N
    return EvaluatedScores(
        evaluation=evaluation,
        part=part,
        tier=records.tier,
        n_records=n_records,
        n_patients=n_records if patient_N is None else len(np.unique(patient_N)),
        classes=tuple(name for name in records.classes if name not in degenerate),
        degenerate=degenerate,
        half=half,
        chosen=with_decided("f1") if has_chosen else {},
        seed_deviation=ranking.seed_deviation.get("macro_auprc", float("nan")),
    )


def paired(found: Sequence[EvaluatedScores]) -> list[Difference]:
    """Paired differences of all pairs, at .5 where a threshold is needed; see `scores.side_by_side`.

    Raises:
        ReportError: they are not of the same records.
    """
    if len({(each.part, each.tier, each.n_records, each.evaluation.data_fingerprint) for each in found}) > 1:
        raise ReportError("evaluations of different records cannot be compared")
    return differences([each.half for each in found])
