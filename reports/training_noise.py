"""The luck of the training, from trials that were trained again: in words for terminal and report."""

from collections.abc import Sequence

import numpy as np

from reports.numbers import count_words, interval_words, score_words
from scores.variance_components import Components, Deviation, training_deviation, variance_components
from storage.records import TrialRecord


def components_of(trials: Sequence[TrialRecord]) -> Components | None:
    """Variance components of the trials that were trained again; None where none was."""
    models = []
    for trial in trials:
        trainings = trial.training_fold_scores
        folds = sorted(set.intersection(*(set(each) for each in trainings))) if len(trainings) > 1 else []
        if folds:
            models.append(np.array([[each[fold] for fold in folds] for each in trainings]))
    return variance_components(models)


def deviation_of(trials: Sequence[TrialRecord]) -> Deviation | None:
    """Standard deviation between two trainings of one architecture; None where none was trained again."""
    return training_deviation([trial.scores for trial in trials])


def expected_by_sampler(trials: Sequence[TrialRecord]) -> float | None:
    """Standard deviation that the sampler estimated from single trainings when the latest repeat began."""
    known = [
        (repeat.id, repeat.sampler_noise_sd)
        for trial in trials
        for repeat in trial.repeats
        if repeat.sampler_noise_sd is not None
    ]
    return max(known)[1] if known else None


def training_noise_words(trials: Sequence[TrialRecord]) -> list[str]:
    """Sentences on the variation between trainings and its estimate; empty where none was repeated."""
    found = deviation_of(trials)
    if found is None:
        return []
    spread = interval_words(found.value, found.low, found.high)
    words = (
        f"Between trainings with other seeds scores have a standard deviation of {spread}, over "
        f"{count_words(found.n_trainings, 'training')} of {count_words(found.n_models, 'architecture')}"
    )
    expected = expected_by_sampler(trials)
    if expected is not None:
        judged = "within" if found.low <= expected <= found.high else "outside"
        words += f"; the sampler expected {score_words(expected)}, {judged} that interval"
    n_failed = sum(each.failure is not None for trial in trials for each in trial.repeats)
    failed = [f"{count_words(n_failed, 'repeat')} failed."] if n_failed else []
    return [f"{words}.", *failed]
