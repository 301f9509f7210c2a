"""`python -m search evaluate`: one model, trained once, on the sealed fold or on another data set.

The model of the last CV fold is trained again: on PTB-XL from folds 1 to 8, with fold 9 as validation part,
on which thresholds are chosen.

Shapes: N record, C class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

import space
from reports.bootstrap import Interval, macro_interval
from reports.metrics import all_metrics
from reports.resampling import Metric
from reports.thresholds import choose_thresholds
from search.data.dataset import Development, load_development, load_external, load_sealed
from search.data.folds import cv_folds
from search.data.projection import as_distribution
from search.errors import UsageError
from search.progress import progress_bar
from search.run import CACHE_FOLDER, TRAINING_SETTINGS, locate_data
from search.study import Wish, check_wish
from search.training.scoring import project_to
from search.training.settings import TrainingSettings
from storage import OpeningRecord, Store, StudyRecord, open_store

SHARED_TIER = "aha"
"""Tier through which data sets of different statements meet."""
N_RESAMPLES = 1_000

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateOptions:
    """The command line of `evaluate`."""

    storage: str
    study: str | None = None
    trial: int | None = None
    preset: str | None = None
    data: str | None = None
    external: Path | None = None
    device: str = "auto"


@dataclass(frozen=True, kw_only=True, slots=True)
class TierResult:
    """Scores of one model on one set of records at one tier."""

    records: str
    """Which records: "fold 9", "fold 10", or the name of a data set."""
    tier: str
    n_records: int
    n_patients: int
    classes: tuple[str, ...]
    """Classes scored that have a positive."""
    macro_auprc: Interval
    macro_auroc: Interval
    macro_f1: float
    """At thresholds chosen on the validation part; nan where there are none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unmapped:
    """Classes of the shared tier that only one of two data sets has, with how many records have them."""

    here: Mapping[str, int]
    there: Mapping[str, int]
    n_without: int
    """Records of the other data set none of whose classes is shared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What `evaluate` found."""

    study: StudyRecord
    name: str
    """"trial 12" or "preset cnn"."""
    architecture: space.Architecture
    results: tuple[TierResult, ...]
    n_openings: int | None
    """How often the sealed fold has been opened for this study, this time included; None if it was not."""
    unmapped: Unmapped | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Model:
    """A trained model: what it was trained on and how it predicts."""

    data: Development
    label_tier: str
    validation: NDArray[np.int64]
    """Rows that it was not trained on."""
    p_validation_NC: Floats
    predict: Callable[[Development], Floats]
    """Probabilities of other records on the tier trained on."""

    def project(self, tier: str, p_NC: Floats) -> Floats:
        """Probabilities on a coarser tier."""
        return project_to(self.data.hierarchy, self.label_tier, tier, p_NC)


def evaluate(options: EvaluateOptions, console: Console) -> Evaluation:
    """Carry out `evaluate`.

    Raises:
        SearchError: anything the user has to put right.
    """
    store = open_store(options.storage, create=False)
    study = store.study(options.study) if options.study else store.last_study()
    name, architecture = _model(store, study, options)
    folder = locate_data(options.data)
    with progress_bar(console, "Reading records", 0) as advance:
        data = load_development(
            folder.root,
            rate_hz=study.rate_hz,
            drop_unlabeled_tier=study.target if study.settings["drop_unlabeled"] else None,
            split=study.settings.get("split"),
            skip_damaged=bool(study.skipped_records),
            cache_dir=CACHE_FOLDER,
            progress=advance,
        )
        check_wish(study, Wish(settings={}), data)
        external = None
        if options.external is not None:
            external = load_external(
                options.external, rate_hz=data.rate_hz, cache_dir=CACHE_FOLDER, progress=advance
            )
            tier = _shared_tier(data, external, architecture.label_tier)
    model = _train(architecture, study, data, options.device, console)
    if external is not None:
        result, unmapped = _external(model, external, tier)
        return Evaluation(
            study=study,
            name=name,
            architecture=architecture,
            results=(result,),
            n_openings=None,
            unmapped=unmapped,
        )
    # Written down before a file of the fold is read: a run that dies has opened it all the same.
    opening = store.add_opening(
        OpeningRecord(
            study=study.name,
            trial=options.trial,
            preset=options.preset,
            data_fingerprint=data.fingerprint,
            metrics={},
        )
    )
    split = study.settings.get("split")
    sealed = load_sealed(folder.root, rate_hz=data.rate_hz, split=split, cache_dir=CACHE_FOLDER)
    results = _sealed(model, sealed)
    store.add_opening_metrics(opening, _opening_metrics(results, data.fold_plan.sealed_name))
    return Evaluation(
        study=study,
        name=name,
        architecture=architecture,
        results=results,
        n_openings=len(store.openings(study.name)),
        unmapped=None,
    )


def _opening_metrics(results: Sequence[TierResult], sealed_name: str) -> dict[str, float]:
    """What is kept of an opening: macro-AUPRC and macro-AUROC of the sealed fold at every tier."""
    metrics = {}
    for result in results:
        if result.records == sealed_name:
            metrics[f"{result.tier}_macro_auprc"] = result.macro_auprc.value
            metrics[f"{result.tier}_macro_auroc"] = result.macro_auroc.value
    return metrics


def _model(store: Store, study: StudyRecord, options: EvaluateOptions) -> tuple[str, space.Architecture]:
    """The architecture to train, and what to call it.

    Raises:
        UsageError: there is no such trial or preset, or not exactly one was named.
    """
    if (options.trial is None) == (options.preset is None):
        raise UsageError("name one model: --trial N or --preset NAME")
    if options.preset is not None:
        try:
            return f"preset {options.preset}", space.preset(options.preset, study.target)
        except space.SpaceError as error:
            raise UsageError(f"--preset: {error}") from error
    for trial in store.trials(study.name):
        if trial.number == options.trial:
            return f"trial {trial.number}", space.Architecture.from_dict(trial.architecture)
    raise UsageError(f"study {study.name} has no trial {options.trial}: see search status")


def _shared_tier(data: Development, external: Development, label_tier: str) -> str:
    """The tier on which a model can be tested on another data set.

    Raises:
        UsageError: there is none, or the signals differ in their leads.
    """
    if external.leads != data.leads:
        raise UsageError(
            f"--external: {external.name} has leads {' '.join(external.leads)}, the model was trained on "
            f"{' '.join(data.leads)}"
        )
    reached = data.hierarchy.coarser_tiers(label_tier)
    if SHARED_TIER in reached and SHARED_TIER in external.hierarchy.tiers:
        return SHARED_TIER
    for tier in reached:
        if tier in external.hierarchy.tiers and set(data.hierarchy.classes(tier)) & set(
            external.hierarchy.classes(tier)
        ):
            return tier
    raise UsageError(
        f"--external: a model trained on {label_tier} reaches tiers {', '.join(reached)}; {external.name} "
        f"has {', '.join(external.hierarchy.tiers)}: choose a trial trained on all"
    )


def _train(
    architecture: space.Architecture, study: StudyRecord, data: Development, device: str, console: Console
) -> _Model:
    """Train the last CV fold."""
    import torch

    from search.training.device import available_cores, choose_device
    from search.training.fold import FoldTraining
    from search.training.material import DeviceData

    chosen = choose_device(device)
    torch.set_num_threads(available_cores())
    fold = cv_folds(data.strat_fold, data.fold_plan)[-1]
    on_device = DeviceData(data, chosen, cache_dir=CACHE_FOLDER)
    settings = TrainingSettings(**{key: study.settings[key] for key in TRAINING_SETTINGS})
    training = FoldTraining(architecture, fold, on_device, settings)
    with progress_bar(console, "Training", settings.epochs) as advance:
        for epoch in range(1, settings.epochs + 1):
            training.run_epoch()
            advance(epoch, settings.epochs)
    exclusive = data.hierarchy.is_exclusive(architecture.label_tier)

    def predict(other: Development) -> Floats:
        p_NC = training.predict_other(on_device.other(architecture, fold, other))
        return as_distribution(p_NC) if exclusive else p_NC

    p_NC = training.predict()
    return _Model(
        data=data,
        label_tier=architecture.label_tier,
        validation=fold.validation,
        p_validation_NC=as_distribution(p_NC) if exclusive else p_NC,
        predict=predict,
    )


def _sealed(model: _Model, sealed: Development) -> tuple[TierResult, ...]:
    """Validation part and sealed fold at every tier reached."""
    plan = model.data.fold_plan
    label = f"{plan.column} {' and '.join(map(str, plan.groups[-1]))}"
    p_sealed_NC = model.predict(sealed)
    results = []
    for tier in model.data.hierarchy.coarser_tiers(model.label_tier):
        classes = model.data.hierarchy.classes(tier)
        y_NC = model.data.y[tier][model.validation]
        p_NC = model.project(tier, model.p_validation_NC)
        patients = model.data.patient_id[model.validation]
        results += [
            _score(label, tier, classes, labels=(y_NC, p_NC), patient_id=patients),
            _score(
                plan.sealed_name,
                tier,
                classes,
                labels=(sealed.y[tier], model.project(tier, p_sealed_NC)),
                patient_id=sealed.patient_id,
                thresholds=choose_thresholds(y_NC, p_NC, "f1"),
            ),
        ]
    return tuple(results)


def _external(model: _Model, external: Development, tier: str) -> tuple[TierResult, Unmapped]:
    """Scores on the classes that both data sets have, and those that only one has."""
    ours, theirs = model.data.hierarchy.classes(tier), external.hierarchy.classes(tier)
    shared = tuple(name for name in ours if name in theirs)
    p_NC = model.project(tier, model.predict(external))[:, [ours.index(name) for name in shared]]
    y_NC = external.y[tier][:, [theirs.index(name) for name in shared]]
    unmapped = Unmapped(
        here=_counts(model.data.y[tier], ours, shared),
        there=_counts(external.y[tier], theirs, shared),
        n_without=int(np.count_nonzero(external.y[tier].any(axis=1) & ~y_NC.any(axis=1))),
    )
    result = _score(external.name, tier, shared, labels=(y_NC, p_NC), patient_id=external.patient_id)
    return result, unmapped


def _counts(y_NC: NDArray[np.bool_], classes: tuple[str, ...], shared: tuple[str, ...]) -> dict[str, int]:
    counts = dict(zip(classes, y_NC.sum(axis=0).tolist(), strict=True))
    return {name: n for name, n in counts.items() if name not in shared and n}


def _score(
    records: str,
    tier: str,
    classes: tuple[str, ...],
    *,
    labels: tuple[NDArray[np.bool_], Floats],
    patient_id: NDArray[np.int64],
    thresholds: NDArray[np.float64] | None = None,
) -> TierResult:
    """Scores of one set of records at one tier; `labels` are targets and probabilities."""
    y_NC, p_NC = labels

    def interval(metric: Metric) -> Interval:
        random = np.random.default_rng(0)
        return macro_interval(
            [labels], rng=random, metric=metric, patients=[patient_id], n_resamples=N_RESAMPLES
        )

    f1 = float("nan")
    if thresholds is not None:
        f1 = all_metrics(y_NC, p_NC, thresholds).overall["macro_f1"]
    return TierResult(
        records=records,
        tier=tier,
        n_records=len(y_NC),
        n_patients=len(np.unique(patient_id)),
        classes=tuple(name for name, n in zip(classes, y_NC.sum(axis=0), strict=True) if n),
        macro_auprc=interval("auprc"),
        macro_auroc=interval("auroc"),
        macro_f1=f1,
    )
