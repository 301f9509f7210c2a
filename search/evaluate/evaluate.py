"""`python -m search evaluate`: one model, trained once, on the sealed fold or on another data set.

Thresholds are chosen on the validation part of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

import space
from search.data.dataset import Development, has_sealed, load_development, load_external, load_sealed
from search.defaults import CACHE_FOLDER
from search.errors import UsageError
from search.evaluate.final_model import train_final
from search.evaluate.scores import TierResult, Unmapped, external_results, sealed_results
from search.study.run import locate_data
from search.study.space_file import use_space_of
from search.study.study import Wish, check_wish
from search.watch.progress import progress_bar
from storage import OpeningRecord, Store, StudyRecord, attach_to_study, open_store

SHARED_TIER = "aha"
"""Tier through which data sets of different statements meet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateOptions:
    """The command line of `evaluate`."""

    storage: str
    study: str | None = None
    trial: int | None = None
    preset: str | None = None
    data: str | None = None
    external: Path | None = None
    space: str | None = None
    """The space file of the study, if it has one."""
    device: str = "auto"


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What `evaluate` found."""

    study: StudyRecord
    name: str
    """"trial 12" or "preset cnn"."""
    architecture: space.Architecture
    results: tuple[TierResult, ...]
    tested_on: Development
    """The sealed fold or the other data set."""
    openings: tuple[OpeningRecord, ...]
    """Those of the sealed fold for this study, this one last; none if it stayed sealed."""
    unmapped: Unmapped | None
    model_file: Path
    """Where the trained model is kept."""

    @property
    def is_synthetic(self) -> bool:
        """Whether anything shown comes from generated records."""
        return self.study.synthetic or self.tested_on.synthetic


def evaluate(options: EvaluateOptions, console: Console) -> Evaluation:
    """Carry out `evaluate`.

    Raises:
        SearchError: anything the user has to put right.
    """
    with open_store(options.storage, create=False) as store:
        return _evaluate(store, options, console)


def _evaluate(store: Store, options: EvaluateOptions, console: Console) -> Evaluation:
    study = store.study(options.study) if options.study else store.last_study()
    use_space_of(study, options.space)
    name, architecture = _model(store, study, options)
    folder = locate_data(options.data)
    split, leads = study.settings.get("split"), study.settings.get("leads")
    drop = study.target if study.settings["drop_unlabeled"] else None
    with progress_bar(console, "Reading records", 0) as advance:
        data = load_development(
            folder.path,
            rate_hz=study.rate_hz,
            drop_unlabeled_tier=drop,
            split=split,
            leads=leads,
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
            _check_foreign(data, external, options.external)
            tier = _shared_tier(data, external, architecture.label_tier)
        elif not has_sealed(folder.path, split):
            raise UsageError(f"{folder.root} has nothing in {data.fold_plan.sealed_name}: nothing to open")
    model = train_final(architecture, study, data, options.device, console)
    file_name = f"model-{name.replace(' ', '-')}-final.safetensors"
    artifact = attach_to_study(store, study.name, file_name, model.file, "application/octet-stream")
    if external is not None:
        result, unmapped = external_results(model, external, tier)
        return Evaluation(
            study=study,
            name=name,
            architecture=architecture,
            results=(result,),
            tested_on=external,
            openings=(),
            unmapped=unmapped,
            model_file=store.artifacts_folder / artifact,
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
    sealed = load_sealed(
        folder.path,
        rate_hz=data.rate_hz,
        drop_unlabeled_tier=drop,
        split=split,
        leads=leads,
        cache_dir=CACHE_FOLDER,
    )
    results = sealed_results(model, sealed)
    store.add_opening_metrics(opening, _opening_metrics(results, data.fold_plan.sealed_name))
    return Evaluation(
        study=study,
        name=name,
        architecture=architecture,
        results=results,
        tested_on=sealed,
        openings=tuple(store.openings(study.name)),
        unmapped=None,
        model_file=store.artifacts_folder / artifact,
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


def _check_foreign(data: Development, external: Development, path: Path) -> None:
    """Make sure that `--external` is not a way into the sealed fold, nor to records trained on.

    Raises:
        UsageError: it is the data set of the study, or shares a signal with it.
    """
    trained_on = {hash(x_LT.tobytes()) for x_LT in data.x_NLT}
    n_shared = sum(hash(x_LT.tobytes()) in trained_on for x_LT in external.x_NLT)
    if n_shared or data.shares_records_with(external):
        shared = (
            f"{n_shared:,} of its signals are among those trained on" if n_shared else "the same data set"
        )
        raise UsageError(
            f"--external {path}: {shared}; give another data set, or leave --external out to open "
            f"{data.fold_plan.sealed_name}"
        )


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
