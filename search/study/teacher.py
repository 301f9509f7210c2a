"""Teachers of a study: kept models whose predictions are soft targets beside the labels (`--teacher`).

Knowledge distillation of Hinton, Vinyals & Dean 2015, "Distilling the knowledge in a neural network", section
2: the student learns the labels and, with a weight, the teacher's probabilities at a temperature, both on the
records that it is trained on.

Soft targets of the student of fold f must not depend on the validation part of f. Out-of-fold predictions of
the teacher do not fulfil that: the prediction for a record in the validation part of g comes from the model
of g, which was trained on all the rest, including f's validation part. The teacher of fold f is therefore the
teacher's own model of fold f, which was trained on the same training part as the student, as in the paper,
and predicts its own training records. Of an ensemble, members and weights of fold f are chosen on the other
folds. Both are verified record by record and patient by patient (`search.study.kept_models`), and once more
when a fold is trained (`search.training.soft_targets`). The choice of the teacher's trial by the user, after
a look at the scores, is not corrected for.

Soft targets are made once, when the study is made, and kept beside it; the teacher is not part of the costs
of a student, and its training time is reported once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import space
from search.data.feature_table import load_features
from search.data.folds import cv_folds
from search.defaults import CACHE_FOLDER
from search.errors import UsageError
from search.study.kept_models import (
    KeptFolds,
    ModelSource,
    check_not_borrowed,
    check_unseen,
    kept_folds,
    load_members,
    parsed,
)
from search.training.soft_targets import SoftTargets, by_name, unpacked
from storage import Store, StudyRecord, keep_content, load_artifact
from storage.records import ARTIFACT

if TYPE_CHECKING:
    from search.data.dataset import Development
    from search.training.model_file import KeptModel

TEACHERS = "teachers"
"""Setting of a study with its teachers, by name."""
WEIGHTS, TEMPERATURES = (0.5, 0.9), (1.0, 3.0)
"""Values of `teacher_weight` and `temperature` in a study with a teacher."""

Progress = Callable[[int, int], None]


def canonical_teachers(text: str) -> str:
    """`--teacher` as a study keeps it."""
    return ",".join(map(str, parsed("--teacher", text)))


def teacher_axes(settings: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Values of the axes that a teacher opens; nothing without one."""
    names = tuple(settings.get(TEACHERS, {}))
    if not names:
        return {}
    return {"teacher": (space.NO_MODEL, *names), "teacher_weight": WEIGHTS, "temperature": TEMPERATURES}


def taught_tiers(settings: Mapping[str, Any], tiers: tuple[str, ...]) -> tuple[str, ...]:
    """The tiers that all teachers reach, of those that a model may be trained on."""
    taught = [set(each["tiers"]) for each in settings.get(TEACHERS, {}).values()]
    return tuple(tier for tier in tiers if all(tier in reached for reached in taught))


def teacher_words(study: StudyRecord) -> tuple[str, ...]:
    """Sentences on the teachers of a study."""
    return tuple(each["words"] for each in study.settings.get(TEACHERS, {}).values())


def load_teachers(store: Store, study: StudyRecord) -> dict[str, SoftTargets]:
    """Soft targets of a study, by the value of the axis `teacher`.

    Raises:
        DataError: a file is damaged.
        storage.StorageError: one is missing.
    """
    kept = study.settings.get(TEACHERS, {}).values()
    return by_name([unpacked(load_artifact(store, each[ARTIFACT])) for each in kept])


def make_teachers(
    text: str, store: Store, data: Development, target: str, progress: Progress
) -> dict[str, Any]:
    """Predict the training parts with the teachers, keep the soft targets, and return the settings of the
    study.

    Args:
        text: `--teacher`.
        store: where the teachers are, and the study will be.
        data: records of the study.
        target: its tier.
        progress: called with records answered and to be answered.

    Raises:
        UsageError: there is no such model, or it does not go with the data.
        DataError: a model was trained on records or patients that would validate its student.
        storage.StorageError: the database cannot be read, or its folder not written.
    """
    folds = cv_folds(data.strat_fold, data.fold_plan)
    sources = parsed("--teacher", text)
    n_answers = len(sources) * sum(len(fold.train) for fold in folds)
    found, n_done = {}, 0
    for source in sources:
        kept = kept_folds(store, source)
        _check_data(kept, data)
        check_unseen(kept, data, folds)
        tiers = _tiers(kept, data, target)
        began_s = time.perf_counter()
        ecg_id: dict[int, NDArray[np.int64]] = {}
        probabilities: dict[int, Mapping[str, NDArray[np.float32]]] = {}
        for fold in folds:
            models = load_members(store, kept.members[fold.number])
            for _, model in models:
                _check_inputs(source, model, data)
            ecg_id[fold.number] = data.ecg_id[fold.train]
            probabilities[fold.number] = _answers(models, data, fold.train, tiers)
            n_done += len(fold.train)
            progress(n_done, n_answers)
        targets = SoftTargets(name=str(source), ecg_id=ecg_id, probabilities=probabilities)
        seconds = time.perf_counter() - began_s
        found[str(source)] = {
            ARTIFACT: keep_content(store, targets.packed(), "npz"),
            "tiers": list(tiers),
            "words": _words(kept, tiers, seconds),
            "parameters": sum(trial.parameters for trial in kept.trials),
            "training_seconds": sum(trial.seconds for trial in kept.trials),
            "prediction_seconds": seconds,
        }
    return {TEACHERS: found}


def _check_data(kept: KeptFolds, data: Development) -> None:
    study = kept.study
    if (study.data_name, study.data_version) != (data.name, data.version):
        raise UsageError(
            f"{kept.source.option} {kept.source}: that study is of {study.data_name} {study.data_version}, "
            f"this one of {data.name} {data.version}: a teacher is trained on the same data set"
        )
    check_not_borrowed(kept, data)


def _check_inputs(source: ModelSource, model: KeptModel, data: Development) -> None:
    lacking = [lead for lead in model.leads if lead not in data.leads]
    if lacking:
        raise UsageError(
            f"{source.option} {source}: it needs leads {', '.join(lacking)}, which this study does not have: "
            f"name them among the choices, such as --leads {','.join(model.leads)}/{','.join(data.leads)}"
        )
    shape = (data.rate_hz, data.x_NLT.shape[2])
    if (model.rate_hz, model.n_samples) != shape:
        raise UsageError(
            f"{source.option} {source}: it needs {model.n_samples} samples at {model.rate_hz} Hz, records of "
            f"this study have {shape[1]} at {shape[0]} Hz: give --rate {model.rate_hz}"
        )


def _tiers(kept: KeptFolds, data: Development, target: str) -> tuple[str, ...]:
    """Tiers that a student may be trained on and that all members reach with the classes of the data.

    Raises:
        UsageError: the target is not among them.
    """
    trained = [trial.label_tier for trial in kept.trials]
    found = []
    for tier in data.hierarchy.training_tiers(target):
        has_classes = kept.study.tier_classes.get(tier) == data.hierarchy.classes(tier)
        if has_classes and all(data.hierarchy.refines(own, tier) for own in trained):
            found.append(tier)
    if target not in found:
        raise UsageError(
            f"{kept.source.option} {kept.source}: trained on {', '.join(sorted(set(trained)))}, it does "
            f"not predict the target {target} with these classes"
        )
    return tuple(found)


def _answers(
    models: list[tuple[float, KeptModel]], data: Development, rows: NDArray[np.int64], tiers: tuple[str, ...]
) -> dict[str, NDArray[np.float32]]:
    """The weighted average of some models on each tier."""
    sums: dict[str, NDArray[np.float64]] = {}
    for weight, model in models:
        entering = data.of_leads(",".join(model.leads))
        f_NK = None
        if model.scaling is not None:
            f_NK = load_features(entering, cache_dir=CACHE_FOLDER)[rows]
        p_NC = model.predict(np.asarray(entering.x_NLT[rows]), f_NK)
        for tier in tiers:
            own = model.architecture.label_tier
            on_tier = p_NC if own == tier else data.hierarchy.projection(own, tier)(p_NC)
            sums[tier] = sums.get(tier, 0.0) + weight * on_tier.astype(np.float64)
    total = sum(weight for weight, _ in models)
    return {tier: (each / total).astype(np.float32) for tier, each in sums.items()}


def _words(kept: KeptFolds, tiers: tuple[str, ...], seconds: float) -> str:
    from reports.numbers import count_words, duration_words, integer_words

    trials = kept.trials
    of = f" of {count_words(len(trials), 'trial')}" if len(trials) > 1 else ""
    spent = duration_words(sum(trial.seconds for trial in trials) + seconds)
    return (
        f"teacher {kept.source}{of}: {integer_words(sum(trial.parameters for trial in trials))} parameters, "
        f"{spent} for training and predictions, counted here once; students are trained on {', '.join(tiers)}"
    )
