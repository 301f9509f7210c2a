"""front.json: the result of a study as one JSON document, schema version 1.

    schema          "ecg-architecture-search/front"
    schema_version  1; a field may be added without a new number, none is renamed, removed or redefined
    study, target, space
                    name of the study, label tier on which every trial is scored, name of the search space
    data            name, version, fingerprint (SHA-256 of the content), synthetic (true for the demo),
                    rate_hz, n_records, n_patients, n_skipped_records
    settings        what every trial shares (epochs, batch size, seed, …)
    trials          number of trials per state: complete, pruned, failed, running, waiting, interrupted
    front           Pareto front on the target, from few parameters to many; each member:
                    trial                number of the trial
                    macro_auprc          cross-validated macro-AUPRC on the target
                    fold_scores          macro-AUPRC per fold, {"1": …}
                    standard_deviation   sample standard deviation (n − 1) over the folds
                    standard_error       standard deviation / √n; not a confidence interval, for the
                                         training sets of the folds overlap
                    parameters           trainable parameters
                    description          the architecture in words
                    architecture         the architecture as data
                    preset               name of the preset or null
                    label_tier           tier the model was trained at
                    seconds              training seconds over all folds
    tiers           per tier reached, the target first: n_classes and front, the Pareto front on that tier
                    (trial, macro_auprc, parameters). Scores of different tiers are not comparable: chance
                    differs between them, and is not known to the database, so it is not given.

Undefined numbers are null. Nothing depends on when or where the document is made.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from reports.front import front_trials, pareto_front, points_of
from reports.source import STATES
from reports.spread import standard_deviation, standard_error
from storage.records import StudyRecord, TrialRecord

SCHEMA = "ecg-architecture-search/front"
SCHEMA_VERSION = 1


def front_document(study: StudyRecord, trials: Sequence[TrialRecord]) -> dict[str, Any]:
    """The document of a study, ready for `json.dumps`; its fields are described above."""
    counts = {state: sum(trial.state == state for trial in trials) for state in STATES}
    document = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "study": study.name,
        "target": study.target,
        "space": study.space,
        "data": data_document(study),
        "settings": study.settings,
        "trials": counts,
        "front": [_member(trial) for trial in front_trials(trials)],
        "tiers": {tier: _tier(study, trials, tier) for tier in tiers_reached(study, trials)},
    }
    return {key: _plain(value) for key, value in document.items()}


def data_document(study: StudyRecord) -> dict[str, Any]:
    """The data set of a study."""
    return {
        "name": study.data_name,
        "version": study.data_version,
        "fingerprint": study.data_fingerprint,
        "synthetic": study.synthetic,
        "rate_hz": study.rate_hz,
        "n_records": study.n_records,
        "n_patients": study.n_patients,
        "n_skipped_records": len(study.skipped_records),
    }


def tiers_reached(study: StudyRecord, trials: Sequence[TrialRecord]) -> list[str]:
    """Tiers with a score in a complete trial: the target, then the others from many classes to few."""
    found = {tier for trial in trials if trial.state == "complete" for tier in trial.tier_scores}
    others = sorted(found - {study.target}, key=lambda tier: (-len(study.tier_classes.get(tier, ())), tier))
    return [study.target, *others]


def to_json_text(document: Mapping[str, Any]) -> str:
    """The document as text with a line break at its end, the same for the same document."""
    return json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _member(trial: TrialRecord) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "macro_auprc": trial.macro_auprc,
        "fold_scores": dict(sorted(trial.fold_scores.items())),
        "standard_deviation": standard_deviation(trial),
        "standard_error": standard_error(trial),
        "parameters": trial.parameters,
        "description": trial.description,
        "architecture": trial.architecture,
        "preset": trial.preset,
        "label_tier": trial.label_tier,
        "seconds": trial.seconds,
    }


def _tier(study: StudyRecord, trials: Sequence[TrialRecord], tier: str) -> dict[str, Any]:
    points = points_of(trials, tier=None if tier == study.target else tier)
    classes = study.tier_classes.get(tier)
    return {
        "n_classes": None if classes is None else len(classes),
        "front": [
            {"trial": point.trial, "macro_auprc": point.macro_auprc, "parameters": point.parameters}
            for point in pareto_front(points)
        ],
    }


def _plain(value: Any) -> Any:
    """Only what JSON knows: undefined numbers become null, keys strings, anything foreign its text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    return str(value)
