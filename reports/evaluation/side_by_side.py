"""Scores of stored evaluations side by side, with intervals, and their paired differences.

All numbers are computed from the stored labels and probabilities, so that a later report agrees with the
output of `search evaluate`. Shapes: N record, C class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reports.errors import ReportError
from scores.bootstrap import Interval
from scores.metrics import degenerate_classes
from scores.side_by_side import N_RESAMPLES, Difference, ResampledRecords, differences, scored, seed_deviation
from storage import ArtifactHolder, Evaluation, Predictions, TierPredictions, load_predictions

TEST, VALIDATION, KNOWN, UNSEEN = "test", "validation", "known", "unseen"
"""Parts of an evaluation, see `storage.Evaluation.predictions`."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EvaluationEvidence:
    """An evaluation with its labels and probabilities."""

    evaluation: Evaluation
    parts: Mapping[str, tuple[Predictions, ...]]
    """Part to predictions, one for each seed."""

    def on(self, part: str, tier: str) -> tuple[TierPredictions, ...]:
        """Predictions of a part on a tier by seed; none where there is no such part or tier."""
        found = [predictions.on(tier) for predictions in self.parts.get(part, ())]
        return tuple(each for each in found if each is not None)

    @property
    def tiers(self) -> tuple[str, ...]:
        """Tiers of the predictions, the tier trained on first."""
        first = self.parts[TEST][0]
        return (first.tier, *first.projected)


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
    half: Mapping[str, Interval]
    """Metrics at a threshold of .5, mean over seeds."""
    chosen: Mapping[str, Interval]
    """The same at thresholds of `Evaluation.thresholds_from`; empty where there are none, and on the
    validation part, where they were chosen."""
    seed_deviation: float
    """Standard deviation of macro-AUPRC over seeds; NaN with a single one."""


def load_evaluation(store: ArtifactHolder, evaluation: Evaluation) -> EvaluationEvidence:
    """Read the predictions of an evaluation.

    Raises:
        storage.StorageError: a file is missing or damaged.
    """
    return EvaluationEvidence(
        evaluation=evaluation,
        parts={
            part: tuple(load_predictions(store, artifact) for artifact in artifacts)
            for part, artifacts in evaluation.predictions.items()
        },
    )


def evaluated_scores(
    evidence: Sequence[EvaluationEvidence], part: str, tier: str, *, n_resamples: int = N_RESAMPLES
) -> list[EvaluatedScores]:
    """Scores of every evaluation that has such a part at such a tier.

    Evaluations of the same records share their resamples, so that `paired` can subtract them.
    """
    drawn: dict[bytes, ResampledRecords] = {}
    found = []
    for each in evidence:
        of_seeds = each.on(part, tier)
        if not of_seeds or not len(of_seeds[0].targets_NC):
            continue
        predictions = each.parts[part][0]
        y_NC, patient_N = of_seeds[0].targets_NC, predictions.patient_id
        key = predictions.ecg_id.tobytes() + np.packbits(y_NC).tobytes()
        if key not in drawn:
            drawn[key] = ResampledRecords.of(y_NC, patient_N, n_resamples)
        n_patients = len(y_NC) if patient_N is None else len(np.unique(patient_N))
        found.append(_scores(each, part, tier, drawn[key], n_patients))
    return found


def _scores(
    evidence: EvaluationEvidence, part: str, tier: str, held: ResampledRecords, n_patients: int
) -> EvaluatedScores:
    evaluation, of_seeds = evidence.evaluation, evidence.on(part, tier)
    probabilities = [each.probabilities_NC for each in of_seeds]
    exclusive, ordinal = tier in evaluation.exclusive_tiers, tier in evaluation.ordinal_tiers
    degenerate = degenerate_classes(of_seeds[0].classes, [held.y_NC])
    has_thresholds = bool(evaluation.thresholds_from) and tier in evaluation.thresholds and part != VALIDATION
    return EvaluatedScores(
        evaluation=evaluation,
        part=part,
        tier=tier,
        n_records=len(held.y_NC),
        n_patients=n_patients,
        classes=tuple(name for name in of_seeds[0].classes if name not in degenerate),
        degenerate=degenerate,
        half=scored(held, probabilities, [0.5] * len(probabilities), exclusive=exclusive, ordinal=ordinal),
        chosen=scored(held, probabilities, evaluation.thresholds[tier]) if has_thresholds else {},
        seed_deviation=seed_deviation(held, probabilities, "macro_auprc"),
    )


def paired(found: Sequence[EvaluatedScores]) -> list[Difference]:
    """Paired differences of all pairs, at .5 where a threshold is needed; see `scores.side_by_side`.

    Raises:
        ReportError: they are not of the same records.
    """
    if len({(each.part, each.tier, each.n_records, each.evaluation.data_fingerprint) for each in found}) > 1:
        raise ReportError("evaluations of different records cannot be compared")
    return differences([each.half for each in found])
