"""Parts that several kinds of documents share, made from records of the database."""

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

from reports import schema
from reports.findings.training_noise import (
    components_of,
    deviation_of,
    expected_by_sampler,
    training_noise_words,
)
from reports.numbers import times_words
from reports.schema import finite
from reports.words import left_out_words, skipped_by_reason
from scores.bootstrap import Interval
from scores.objectives import DEFAULT_OBJECTIVE
from storage.records import EpochRecord, GainRecord, SealedFoldOpeningRecord, StudyRecord, TrialRecord

Key = TypeVar("Key", int, str)


def gain_document(gain: GainRecord) -> schema.Gain:
    """Expected gain of one proposal, for the document."""
    return schema.Gain(trial=gain.trial, expected=gain.expected, at_most=gain.at_most)


def data_document(study: StudyRecord) -> schema.Data:
    """The data set of a study."""
    return schema.Data(
        name=study.data_name,
        version=study.data_version,
        fingerprint=study.data_fingerprint,
        synthetic=study.synthetic,
        rate_hz=study.rate_hz,
        unit=str(study.settings.get("unit", "record")),
        n_records=study.n_records,
        n_patients=study.n_patients,
        n_skipped_records=len(study.skipped_records),
        skipped_records=skipped_by_reason(study.skipped_records),
        left_out=left_out_words(study),
        subset=study.settings.get("records"),
        n_outside_subset=int(study.settings.get("n_outside_subset", 0)),
    )


def interval_document(interval: Interval | None) -> schema.Interval | None:
    """An interval, where it is defined."""
    if interval is None or not math.isfinite(interval.low):
        return None
    return schema.Interval(
        value=float(interval.value),
        low=float(interval.low),
        high=float(interval.high),
        level=interval.level,
    )


def training_noise_document(trials: Sequence[TrialRecord]) -> schema.TrainingNoise | None:
    """Variation of scores between trainings; None where no trial was trained again."""
    found, components = deviation_of(trials), components_of(trials)
    if found is None:
        return None
    return schema.TrainingNoise(
        deviation=found.value,
        low=found.low,
        high=found.high,
        n_architectures=found.n_models,
        n_trainings=found.n_trainings,
        expected_by_sampler=expected_by_sampler(trials),
        seed_variance=None if components is None else components.seed,
        fold_variance=None if components is None else components.fold,
        residual_variance=None if components is None else components.residual,
        words=training_noise_words(trials),
    )


def curve_document(
    fold: int, epochs: Sequence[EpochRecord], *, objective: str = DEFAULT_OBJECTIVE
) -> schema.Curve:
    """A learning curve, of scores on this objective."""
    scores = [finite(epoch.score) for epoch in epochs]
    return schema.Curve(
        fold=fold,
        epochs=[epoch.epoch for epoch in epochs],
        score=scores,
        macro_auprc=scores if objective == DEFAULT_OBJECTIVE else [],
        training_loss=[finite(epoch.training_loss) for epoch in epochs],
        **{name: _kept(epochs, name) for name in _SINCE_VERSION_3},
    )


_SINCE_VERSION_3 = (
    "training_accuracy",
    "training_f1",
    "validation_loss",
    "validation_accuracy",
    "validation_f1",
)


def _kept(epochs: Sequence[EpochRecord], name: str) -> list[float | None]:
    """A column of a learning curve; nothing where no epoch has it."""
    found = [finite(getattr(epoch, name)) for epoch in epochs]
    return [] if all(value is None for value in found) else found


def sealed_fold_documents(openings: Sequence[SealedFoldOpeningRecord]) -> list[schema.SealedFoldOpening]:
    """Openings of the sealed fold, as in `provenance`."""
    return [
        schema.SealedFoldOpening(
            trial=opening.trial,
            preset=opening.preset,
            ensemble=opening.ensemble,
            study=opening.study,
            metrics=finite_scores(opening.metrics),
            at=None if opening.at is None else opening.at.isoformat(),
        )
        for opening in openings
    ]


def sealed_fold_words(
    openings: Sequence[schema.SealedFoldOpening | SealedFoldOpeningRecord], study: str, included: str = ""
) -> str:
    """Sentence on the openings of the sealed fold of a study's data.

    Args:
        openings: those for the study and for others of the same data.
        study: name of the study.
        included: which openings for the study have just taken place: `this time included`.
    """
    if not openings:
        return "The test fold has never been opened for this study."
    elsewhere = [each.study for each in openings if each.study not in (None, study)]
    here = len(openings) - len(elsewhere)
    n_others = len(set(elsewhere))
    others = "another study" if n_others == 1 else f"{n_others} other studies"
    of_this = f"{times_words(here)} for this study" + (f", {included}" if included else "") if here else ""
    of_others = f"{times_words(len(elsewhere))} for {others} of the same data" if elsewhere else ""
    between = (", and " if included else " and ") if here and elsewhere else ""
    return f"The test fold has been opened {of_this}{between}{of_others}."


def opening_words(opening: schema.SealedFoldOpening | SealedFoldOpeningRecord, study: str) -> str:
    """Model for which the sealed fold was opened: `trial 3`, `preset cnn of study second`."""
    if opening.trial is not None:
        name = f"trial {opening.trial}"
    elif opening.preset is not None:
        name = f"preset {opening.preset}"
    else:
        name = f"ensemble {opening.ensemble}"
    return name if opening.study in (None, study) else f"{name} of study {opening.study}"


def finite_scores(scores: Mapping[Key, float]) -> dict[Key, float | None]:
    """Scores with None in place of numbers that are not finite."""
    return {key: finite(score) for key, score in scores.items()}
