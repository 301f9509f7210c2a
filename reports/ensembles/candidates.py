"""Trials that an ensemble can be made of: their predictions on the study's target, from the artifacts.

A trial trained on another tier takes part with its predictions projected onto the target, which were kept
when it was trained. Nothing else of the data is needed.

Shapes: M trials, N records of a fold, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.errors import ReportError
from reports.numbers import count_words
from reports.words import learn_words
from scores.front import front_trials, points_of
from scores.groups import People
from scores.objectives import OBJECTIVES
from scores.scorers import MACRO_AUPRC, Scorer, scorer_of
from storage import ArtifactHolder, StorageError, Store, load_predictions
from storage.records import StudyRecord, TrialRecord

N_BEST = 50
"""Trials with the highest scores that take part, besides those on the front."""
N_REASONS = 5
"""Largest number of reasons for exclusion shown; excluded trials are all named."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Candidates:
    """Trials and predictions for ensembles; every list over folds is in the order of the folds."""

    study: StudyRecord
    trials: tuple[TrialRecord, ...]
    """All trials of the study."""
    members: tuple[TrialRecord, ...]
    """M trials that may take part, the best first."""
    targets: list[NDArray[np.bool_]]
    """(N, C) per fold."""
    predictions: list[NDArray[np.float32]]
    """(M, N, C) per fold."""
    patients: list[NDArray[np.int64]] | None
    """(N,) per fold; None where patients were not kept."""
    left_out: tuple[tuple[int, str], ...]
    """Numbers of the trials that cannot take part, with the reason."""
    scorer: Scorer = MACRO_AUPRC
    """First objective of the study, on these records."""


def load_candidates(store: Store, study_name: str) -> Candidates:
    """Read the best trials of a study and those on its front.

    Raises:
        ReportError: fewer than two of its trials can take part, or there are fewer than two folds.
        storage.StorageError: no such study, or the database cannot be read.
    """
    study, trials = store.study(study_name), tuple(store.trials(study_name))
    learn_words(study)
    found: list[tuple[TrialRecord, list[_Fold]]] = []
    left_out: list[tuple[int, str]] = []
    for trial in _best_trials(trials):
        try:
            folds = [_read(store, fold.predictions, study.target) for fold in store.folds(trial.id)]
            _check(folds, found[0][1] if found else folds)
        except (StorageError, ReportError) as error:
            left_out.append((trial.number, str(error)))
        else:
            found.append((trial, folds))
    _check_enough(study, trials, [trial for trial, _ in found], left_out)
    first = found[0][1]
    if len(first) < 2:
        raise ReportError(
            f"the trials of study {study.name} have one fold: ensembles are judged over two or more"
        )
    patients = [fold.patient_id for fold in first if fold.patient_id is not None]
    return Candidates(
        study=study,
        trials=trials,
        members=tuple(trial for trial, _ in found),
        targets=[fold.targets_NC for fold in first],
        predictions=[np.stack([folds[i].p_NC for _, folds in found]) for i in range(len(first))],
        patients=patients if len(patients) == len(first) else None,
        scorer=scorer_of(
            OBJECTIVES[study.objective], [fold.targets_NC for fold in first], [fold.people for fold in first]
        ),
        left_out=tuple(left_out),
    )


def _best_trials(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The best first; of equals the smaller one, then the older one. The order decides between equals."""
    scores = {point.trial: point.score for point in points_of(trials)}
    ranked = sorted(
        (trial for trial in trials if trial.number in scores),
        key=lambda trial: (-scores[trial.number], trial.cost, trial.number),
    )
    on_front = {trial.number for trial in front_trials(trials)}
    return [trial for rank, trial in enumerate(ranked) if rank < N_BEST or trial.number in on_front]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Fold:
    """Arrays of one fold of one trial; the whole artifact may take many times the memory."""

    ecg_id: NDArray[np.int64]
    patient_id: NDArray[np.int64] | None
    people: People
    targets_NC: NDArray[np.bool_]
    p_NC: NDArray[np.float32]


def _read(store: ArtifactHolder, artifact: str, target: str) -> _Fold:
    predictions = load_predictions(store, artifact)
    found = predictions.on(target)
    if found is None:
        raise ReportError(f"its predictions, on {predictions.tier}, do not have {target}")
    return _Fold(
        ecg_id=predictions.ecg_id,
        patient_id=predictions.patient_id,
        people=People(sex_N=predictions.sex, age_N=predictions.age),
        targets_NC=found.targets_NC,
        p_NC=found.probabilities_NC,
    )


def _check(folds: Sequence[_Fold], first: Sequence[_Fold]) -> None:
    """Make sure that the predictions can be averaged with the first ones; raise ReportError with a reason."""
    if not folds:
        raise ReportError("it has no predictions")
    if len(folds) != len(first):
        raise ReportError(f"it has {len(folds)} folds instead of {len(first)}")
    for fold, other in zip(folds, first, strict=True):
        if not np.array_equal(fold.ecg_id, other.ecg_id):
            raise ReportError("it predicts other records")
        if not np.array_equal(fold.targets_NC, other.targets_NC):
            raise ReportError("its records have other labels")
        if fold.p_NC.shape != fold.targets_NC.shape or not np.all((fold.p_NC >= 0) & (fold.p_NC <= 1)):
            raise ReportError("its predictions are not a number from 0 to 1 for every label")


def left_out_lines(left_out: Sequence[tuple[int, str]]) -> list[str]:
    """Reasons for which trials are left out, a line for each: `trials 3, 5: artifact … is missing`.

    Args:
        left_out: number and reason of every trial left out.
    """
    by_reason: dict[str, list[int]] = {}
    for number, reason in left_out:
        by_reason.setdefault(reason, []).append(number)
    lines = [f"{_named(numbers)}: {reason}" for reason, numbers in list(by_reason.items())[:N_REASONS]]
    rest = [number for numbers in list(by_reason.values())[N_REASONS:] for number in numbers]
    return [*lines, f"{_named(rest)}: for other reasons"] if rest else lines


def _named(numbers: Sequence[int]) -> str:
    return f"trial{'s' if len(numbers) > 1 else ''} {', '.join(map(str, sorted(numbers)))}"


def _check_enough(
    study: StudyRecord,
    trials: Sequence[TrialRecord],
    members: Sequence[TrialRecord],
    left_out: Sequence[tuple[int, str]],
) -> None:
    if len(members) >= 2:
        return
    if left_out:
        n_complete = len(left_out) + len(members)
        raise ReportError(
            f"study {study.name} has no two trials for an ensemble: of its {n_complete} complete trials "
            f"{len(members)} can take part; {'; '.join(left_out_lines(left_out))}"
        )
    n_complete = len(points_of(trials))
    n_pruned = sum(trial.state == "pruned" for trial in trials)
    raise ReportError(
        f"study {study.name} has {count_words(n_complete, 'complete trial')} and {n_pruned} pruned, and an "
        f"ensemble takes two complete ones: train more with `python -m search run --study {study.name}`"
    )
