"""Openings of the sealed fold for a model, under whatever name and in whatever study of the same data."""

from collections.abc import Iterable

import space
from storage import SealedFoldOpeningRecord, Store, StudyRecord
from storage.errors import UnknownStudyError


def model_identity(architectures: Iterable[space.Architecture]) -> str:
    """Text that is equal for the same model under two names: digests of its members, each once."""
    return "+".join(sorted({architecture.digest for architecture in architectures}))


def openings_for(
    store: Store, study: StudyRecord, model: str, ensemble: str | None = None
) -> list[SealedFoldOpeningRecord]:
    """Openings of the sealed fold of a study's data for a model, oldest first.

    Args:
        store: database, of which every study with the same data counts.
        study: the study.
        model: as of `model_identity`.
        ensemble: name of the ensemble that it is in this study, whose members may have been others before.
    """
    found = []
    for opening in store.sealed_fold_openings(study.name):
        is_ensemble = ensemble is not None and (opening.study, opening.ensemble) == (study.name, ensemble)
        if is_ensemble or model == (opening.model or _model_of_name(store, opening)):
            found.append(opening)
    return found


def _model_of_name(store: Store, opening: SealedFoldOpeningRecord) -> str | None:
    """Model of an opening that was logged by its name alone, as before schema 6."""
    try:
        study = None if opening.study is None else store.study(opening.study)
    except UnknownStudyError:
        return None
    if study is None:
        return None
    if opening.trial is not None:
        digests = {trial.number: trial.architecture_hash for trial in store.trials(study.name)}
        return digests.get(opening.trial)
    name, _, tier = (opening.preset or "").partition("@")
    if name not in space.PRESETS:
        return None
    return space.preset(name, tier or study.target).digest
