"""Transfer: models that begin with the weights of a kept one, frozen or fine-tuned (`--init`).

Fold f begins with the model of fold f of the trial that is named. If that is of the same data set, it was
trained on everything but the validation part of its own f, and `search.study.kept_models` makes sure, record
by record and patient by patient, that nothing of it validates fold f here. Of another data set every record
is new, unless one of the two contains the other.

What follows the front end is searched; the front end itself is that of the model. A trial whose whole network
and classes are those of the model takes over all weights, any other those of the front end.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

import space
from search.data.folds import cv_folds
from search.errors import UsageError
from search.study.kept_models import (
    TRIAL,
    KeptFolds,
    ModelSource,
    check_not_borrowed,
    check_unseen,
    kept_folds,
    parsed,
)
from search.training.initial_weights import InitialWeights
from storage import Store, StudyRecord, load_artifact, load_predictions

if TYPE_CHECKING:
    from search.data.dataset import Development
    from search.training.model_file import KeptModel

INITIAL = "initial"
"""Setting of a study with its initial models, by name."""
CONTAINS = "contains"
"""Setting of a study of several data sets together, with their names."""
FRONT_END_AXES = ("backbone", "width", "kernel", "stride")
_OF_SEVERAL = "cinc"
"""Name of a data set made of several others, which studies older than `CONTAINS` do not list."""


def canonical_initial(text: str) -> str:
    """`--init` as a study keeps it."""
    return ",".join(map(str, parsed("--init", text, (TRIAL,))))


def initial_axes(settings: Mapping[str, Any], data: Development, leads: tuple[Any, ...]) -> dict[str, Any]:
    """Values of the axes that models to begin with open, and of those that they fix; nothing without one.

    Args:
        settings: of the study.
        data: its records.
        leads: values of the axis `leads` without these models.

    Raises:
        UsageError: no choice of leads is that of the models.
    """
    kept = settings.get(INITIAL, {})
    if not kept:
        return {}
    front_end = next(iter(kept.values()))["front_end"]
    names = tuple(next(iter(kept.values()))["leads"])
    same = [value for value in leads if data.leads_of(str(value)) == names]
    if not same:
        listed = ",".join(names)
        raise UsageError(f"--init {next(iter(kept))}: it has leads {listed}: give --leads {listed}")
    fixed = {name: (value,) if value is not None else () for name, value in front_end.items()}
    return {"init": (space.NO_MODEL, *kept), "frozen": (False, True), "leads": (same[0],), **fixed}


def initial_words(study: StudyRecord) -> tuple[str, ...]:
    """Sentences on the models whose weights a study begins with."""
    return tuple(each["words"] for each in study.settings.get(INITIAL, {}).values())


def load_initial(store: Store, study: StudyRecord) -> dict[str, InitialWeights]:
    """Initial models by the value of the axis `init`; a model is read when a fold needs it.

    Raises:
        storage.StorageError: predictions, by which a model's held-out records are known, are missing.
    """
    found = {}
    for name, kept in study.settings.get(INITIAL, {}).items():
        trained_on = None
        if kept["held_out"] is not None:
            held_out = {
                int(fold): load_predictions(store, artifact).ecg_id
                for fold, artifact in kept["held_out"].items()
            }
            trained_on = {
                fold: np.concatenate([ids for other, ids in held_out.items() if other != fold])
                for fold in held_out
            }
        found[name] = InitialWeights(
            name=name,
            read={int(fold): partial(_read, store, artifact) for fold, artifact in kept["models"].items()},
            trained_on=trained_on,
        )
    return found


def _read(store: Store, artifact: str) -> KeptModel:
    from search.training.model_file import load_model

    return load_model(load_artifact(store, artifact))


def find_initial(text: str, store: Store, data: Development) -> dict[str, Any]:
    """Look whether models can be begun with, and return the settings of the study.

    Args:
        text: `--init`.
        store: where they are, and the study will be.
        data: records of the study.

    Raises:
        UsageError: there is no such model, or it does not go with the data or with another one named.
        DataError: a model was trained on records or patients that validate a fold.
        storage.StorageError: the database cannot be read.
    """
    found: dict[str, Any] = {}
    for source in parsed("--init", text, (TRIAL,)):
        kept = kept_folds(store, source)
        (trial,) = kept.trials
        is_same = _check_data(kept, data)
        if is_same:
            check_unseen(kept, data, cv_folds(data.strat_fold, data.fold_plan))
        model = _read(store, kept.members[min(kept.members)][0].artifact)
        _check_inputs(source, model, data)
        front_end = {name: getattr(model.architecture, name) for name in FRONT_END_AXES}
        described = space.Architecture(**front_end, head="linear").describe().split(" → ")[0]
        for other in found.values():
            if (other["front_end"], other["leads"]) != (front_end, list(model.leads)):
                raise UsageError(
                    f"--init {source}: its front end or leads differ from those of {next(iter(found))}: "
                    "begin with models of one front end"
                )
        folds = store.folds(trial.id)
        found[str(source)] = {
            "models": {str(fold): members[0].artifact for fold, members in kept.members.items()},
            "held_out": {str(fold.fold): fold.predictions for fold in folds} if is_same else None,
            "front_end": front_end,
            "leads": list(model.leads),
            "words": (
                f"begins with {source}, trained on {kept.study.data_name}: its front end, {described}, is "
                "that of all trials"
            ),
        }
    return {INITIAL: found}


def _check_data(kept: KeptFolds, data: Development) -> bool:
    """Whether a model is of the same data set.

    Raises:
        UsageError: one of two data sets may hold records of the other, or what the model learned from.
    """
    study = kept.study
    if study.data_name == data.name:
        check_not_borrowed(kept, data)
        return True
    contained = study.settings.get(CONTAINS, ())
    is_unknown = CONTAINS not in study.settings and study.data_name.startswith(_OF_SEVERAL)
    shared = {study.data_name, *contained} & {data.name, *data.contains}
    if shared or is_unknown:
        raise UsageError(
            f"{kept.source.option} {kept.source}: {study.data_name} and {data.name} may hold the same "
            "records under other names, so that leaks cannot be ruled out: name one of other data"
        )
    check_not_borrowed(kept, data)
    return False


def _check_inputs(source: ModelSource, model: KeptModel, data: Development) -> None:
    if model.rate_hz != data.rate_hz:
        raise UsageError(
            f"{source.option} {source}: it was trained at {model.rate_hz} Hz, records of this study have "
            f"{data.rate_hz}: give --rate {model.rate_hz}"
        )
    lacking = [lead for lead in model.leads if lead not in data.leads]
    if lacking:
        raise UsageError(
            f"{source.option} {source}: it needs leads {', '.join(lacking)}, which {data.name} does not have"
        )
