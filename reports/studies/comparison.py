"""Several studies side by side: comparability, hypervolumes, and differing settings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

import space
from reports.errors import ReportError
from reports.evidence import Evidence
from reports.findings.comparisons import N_RESAMPLES, Intervals, intervals
from reports.words import data_words
from scores.bootstrap import Interval, centred_interval, centred_samples
from scores.front import Reference, front_trials
from scores.objectives import OBJECTIVES
from scores.ranking import Floats
from storage.records import StudyRecord, TrialRecord, WorkerRecord

_NOT_SETTINGS = {
    "axes",
    "space_words",
    "inputs",
    "unit",
    "n_unlabeled_dropped",
    "data_notes",
    "teachers",
    "initial",
    "contains",
    "numbering",
    "record_details",
}
"""Stored settings that follow from other settings or from the data."""


def check_comparable(studies: Sequence[StudyRecord]) -> None:
    """Refuse studies whose scores or costs do not mean the same.

    Raises:
        ReportError: the message says what differs between which two.
    """
    first = studies[0]
    for other in studies[1:]:
        both = f"studies {first.name} and {other.name} cannot be compared:"
        if other.target != first.target:
            raise ReportError(
                f"{both} the one is scored on {first.target}, the other on {other.target}; name studies of "
                "one target"
            )
        if other.objective != first.objective:
            raise ReportError(
                f"{both} the one maximises {OBJECTIVES[first.objective].words}, the other "
                f"{OBJECTIVES[other.objective].words}; name studies of one objective"
            )
        if other.cost != first.cost:
            raise ReportError(
                f"{both} the one has {first.cost} as its cost, the other {other.cost}; name studies "
                "of one cost"
            )
        if other.data_fingerprint != first.data_fingerprint:
            raise ReportError(
                f"{both} they have other records ({_data(first)}; {_data(other)}); name studies of the same "
                "records, leads and sampling rate"
            )
        for name, value in (
            ("split", lambda study: study.settings.get("split")),
            ("classes", lambda study: tuple(study.tier_classes.get(study.target, ()))),
        ):
            if value(other) != value(first):
                raise ReportError(
                    f"{both} they have other {'folds' if name == 'split' else name}, "
                    f"{_in_short(value(first))} and {_in_short(value(other))}"
                )


def _data(study: StudyRecord) -> str:
    return f"{data_words(study)}, fingerprint {study.data_fingerprint[:8]}"


def _in_short(value: Any) -> str:
    return f"{len(value)} of them" if isinstance(value, tuple) else str(value)


def common(studies: Sequence[StudyRecord], setting: str, otherwise: Any) -> Any:
    """Value of a setting if it is the same in all studies, else a neutral one."""
    values = [study.settings.get(setting, otherwise) for study in studies]
    return values[0] if all(value == values[0] for value in values) else otherwise


def front_intervals(evidence: Evidence, *, n_resamples: int = N_RESAMPLES) -> Intervals:
    """Bootstrap the members of the front of a study, with the same draws of patients for every study."""
    on_front = {trial.number for trial in front_trials(evidence.trials)}
    close = {number: each for number, each in evidence.close.items() if number in on_front}
    return intervals(replace(evidence, close=close), n_resamples=n_resamples)


def hypervolume_interval(
    value: float,
    front: Sequence[TrialRecord],
    scored: Mapping[int, Interval],
    costs: Sequence[float],
    reference: Reference,
) -> Interval | None:
    """Interval of the hypervolume of a front over draws of patients, for fixed members.

    Args:
        value: the hypervolume.
        front: members, from the cheapest to the dearest.
        scored: their scores by number of the trial.
        costs: their costs.
        reference: corner.

    Returns:
        None where there is no front, or a member has no interval.
    """
    if not front or any(trial.number not in scored for trial in front):
        return None
    sample_MR = np.stack([centred_samples(scored[trial.number]) for trial in front])
    return centred_interval(value, hypervolume_samples(sample_MR, costs, reference), bounds=(0.0, math.inf))


def hypervolume_samples(score_MR: Floats, costs: Sequence[float], reference: Reference) -> Floats:
    """Hypervolume of the non-dominated models in every resample. Shape (R,).

    Args:
        score_MR: scores, models from the cheapest to the dearest.
        costs: ascending.
        reference: corner.
    """
    edges = np.log10(np.minimum([*costs, reference.cost], reference.cost))
    width_M = np.array([right - left for left, right in pairwise(edges)])
    height_MR = np.maximum(np.maximum.accumulate(score_MR, axis=0) - reference.score, 0.0)
    area_R: Floats = width_M @ height_MR
    return area_R


def differing_settings(
    studies: Sequence[StudyRecord], workers: Sequence[Sequence[WorkerRecord]]
) -> list[tuple[str, list[Any]]]:
    """Settings that are not the same in all studies: name to values, study by study."""
    rows: dict[str, list[Any]] = {"space": [study.space for study in studies]}
    names = dict.fromkeys(name for study in studies for name in study.settings if name not in _NOT_SETTINGS)
    for name in names:
        rows[name] = [study.settings.get(name) for study in studies]
    if len({study.space for study in studies}) == 1:
        rows |= _values_of_axes(studies)
    rows["device"] = [_listed(each.device for each in found) for found in workers]
    rows["commit"] = [_listed(each.commit for each in found) for found in workers]
    return [(name, values) for name, values in rows.items() if any(each != values[0] for each in values)]


def _values_of_axes(studies: Sequence[StudyRecord]) -> dict[str, list[Any]]:
    """Values of every axis, study by study: a space of one name is not the same in all versions."""
    kept = [study.settings.get("axes") or space.FORMER_SPACES.get(study.space, {}) for study in studies]
    rows: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for axes in kept for name in axes):
        values = [axes.get(name, space.PUBLISHED.get(name, ())) for axes in kept]
        rows[f"values of {name}"] = [", ".join(map(str, each)) or "the usual one" for each in values]
    return rows


def _listed(values: Any) -> str | None:
    return "; ".join(dict.fromkeys(str(value) for value in values if value)) or None
