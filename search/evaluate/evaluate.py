"""`python -m search evaluate`: models trained anew, on the sealed fold or on another data set.

Every model is kept as soon as it has been tested, with labels and probabilities; all output is computed from
these. Thresholds are chosen on the validation part or, without one, on out-of-fold predictions of the same
architecture.

Shapes: N record, C class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from reports.evaluation.evidence import (
    KNOWN,
    TEST,
    UNSEEN,
    VALIDATION,
    EvaluationEvidence,
    load_evaluation,
)
from reports.evaluation.side_by_side import EvaluatedScores, evaluated_scores
from reports.numbers import times_words
from reports.words import slug
from scores.exclusive import exclusive_metrics
from scores.metrics import all_metrics
from scores.thresholds import choose_thresholds
from search.data.dataset import Development, has_sealed, load_external, load_sealed
from search.data.sources import DataFolder
from search.defaults import CACHE_FOLDER
from search.errors import UsageError
from search.evaluate.final_model import FinalModel, FinalTraining, Floats, TrainingProtocol, training_protocol
from search.evaluate.other_data import (
    Cohorts,
    SharedTier,
    Unmapped,
    check_foreign,
    cohorts,
    shared_tiers,
    unmapped,
    with_leads,
)
from search.evaluate.subjects import ChosenModels, Member, Subject, check_inputs, earlier_openings, subjects
from search.models.costs import count_parameters
from search.study.data import dropped_tier, load_development_of, locate_data, split_of
from search.study.provenance import commit
from search.study.space_file import use_space_of
from search.study.teacher import load_teachers
from search.study.transfer import load_initial
from search.training.settings import TrainingSettings
from search.watch.progress import progress_bar
from storage import (
    EvaluatedModel,
    Evaluation,
    Predictions,
    SealedFoldOpeningRecord,
    Store,
    StudyRecord,
    TierPredictions,
    keep_evaluated_model,
    keep_evaluated_predictions,
    load_predictions,
    open_store,
)

MAX_SEEDS = 99


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateOptions:
    """The command line of `evaluate`."""

    storage: str
    study: str | None = None
    choice: ChosenModels
    seeds: int = 1
    fit: str | None = None
    again: bool = False
    tier: str | None = None
    data: str | None = None
    external: Path | None = None
    space: str | None = None
    """The space file of the study, if it has one."""
    device: str = "auto"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Evaluated:
    """Result of `evaluate`."""

    study: StudyRecord
    tier: str
    """Tier whose metrics are all listed."""
    evidence: tuple[EvaluationEvidence, ...]
    """One for each model, in the order in which they were named."""
    tested_on: Development
    """The sealed fold or the other data set."""
    validation_name: str
    """Name of the validation part such as `strat_fold 9`; empty if there is none."""
    openings: tuple[SealedFoldOpeningRecord, ...]
    """Openings of the sealed fold for this study, the present one last; none if the fold stayed sealed."""
    unmapped: tuple[Unmapped, ...] = ()
    """Classes and cohorts of every tier of statements shared with another data set."""
    cohorts: Cohorts | None = None
    """Cohorts of another data set, where statements can be compared."""
    notes: tuple[str, ...] = ()
    files: Mapping[int, tuple[Path, ...]] = field(default_factory=dict)
    """Id of an evaluation to its trained models."""
    _scored: dict[tuple[str, str], list[EvaluatedScores]] = field(default_factory=dict)

    def scores(self, part: str, tier: str) -> list[EvaluatedScores]:
        """Scores of all models that have a part of the records and a tier, computed once."""
        if (part, tier) not in self._scored:
            self._scored[part, tier] = evaluated_scores(self.evidence, part, tier)
        return self._scored[part, tier]

    @property
    def is_synthetic(self) -> bool:
        """Whether anything shown comes from generated records."""
        return self.study.synthetic or self.tested_on.synthetic


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Tested:
    """Probabilities of one seed of a subject by tier: of the records tested on and of the validation part."""

    models: tuple[FinalModel, ...]
    test: Mapping[str, Floats]
    validation: Mapping[str, Floats]


def evaluate(options: EvaluateOptions, console: Console) -> Evaluated:
    """Carry out `evaluate`.

    Raises:
        SearchError: anything the user has to put right.
    """
    if not 1 <= options.seeds <= MAX_SEEDS:
        raise UsageError(f"--seeds is a whole number from 1 to {MAX_SEEDS}, got {options.seeds}")
    with open_store(options.storage, create=False) as store:
        return _EvaluationRun(store, options, console).evaluate()


class _EvaluationRun:
    """One call of `evaluate`."""

    def __init__(self, store: Store, options: EvaluateOptions, console: Console) -> None:
        self._store = store
        self._options = options
        self._console = console
        self._study = store.study_or_last(options.study)
        use_space_of(self._study, options.space)
        self._subjects, self._notes = subjects(store, self._study, options.choice)
        self._folder: DataFolder = locate_data(options.data, self._study)
        self._sealed: Development | None = None

    def evaluate(self) -> Evaluated:
        data, external = self._read()
        check_inputs(self._subjects, data)
        chosen = training_protocol(data, self._options.fit)
        tiers = {each.name: self._tiers(data, external, each) for each in self._subjects}
        tier = self._tier_shown(tiers)
        if external is None:
            self._check_openings(data)
        settings = TrainingSettings.of(self._study.settings)
        training = FinalTraining(
            data,
            chosen,
            settings,
            target=self._study.target,
            device=self._options.device,
            console=self._console,
            teachers=load_teachers(self._store, self._study),
            initial=load_initial(self._store, self._study),
        )
        seeds = tuple(range(settings.seed, settings.seed + self._options.seeds))
        split = None if external is None else cohorts(data, external, chosen.fold.train)
        kept = []
        for subject in self._subjects:
            models = {
                seed: tuple(
                    training.train(member.name, member.architecture, seed) for member in subject.members
                )
                for seed in seeds
            }
            opening = None if external is not None else self._open(subject, data)
            tested_on = external or self._load_sealed(data)
            tested = {
                seed: _test(subject, models[seed], tested_on, tiers[subject.name], chosen) for seed in seeds
            }
            evaluation = self._keep(
                subject,
                tested,
                _TestSetup(
                    data=data,
                    tested_on=tested_on,
                    chosen=chosen,
                    tiers=tiers[subject.name],
                    cohorts=split,
                    opening=opening,
                    device=training.device,
                ),
            )
            kept.append(load_evaluation(self._store, evaluation))
        tested_on = external or self._load_sealed(data)
        shared = [] if external is None else [each for each in _by_name(tiers) if not _is_ordinal(data, each)]
        return Evaluated(
            study=self._study,
            tier=tier,
            evidence=tuple(kept),
            tested_on=tested_on,
            validation_name=chosen.validation_name,
            openings=()
            if external is not None
            else tuple(self._store.sealed_fold_openings(self._study.name)),
            unmapped=tuple(unmapped(data, tested_on, tier) for tier in shared),
            cohorts=split,
            notes=tuple(self._notes),
            files={
                each.evaluation.id or 0: tuple(
                    self._store.artifacts_folder / model.file for model in each.evaluation.models
                )
                for each in kept
            },
        )

    def _read(self) -> tuple[Development, Development | None]:
        options, study = self._options, self._study
        with progress_bar(self._console, "Reading records", 0) as advance:
            data = load_development_of(study, self._folder, advance)
            if options.external is None:
                if not has_sealed(self._folder.path, split_of(study)):
                    raise UsageError(
                        f"{self._folder.root} has nothing in {data.fold_plan.sealed_name}: nothing to open"
                    )
                return data, None
            external = load_external(
                options.external, rate_hz=data.rate_hz, cache_dir=CACHE_FOLDER, progress=advance
            )
        external = with_leads(external, data.leads, data.name)
        check_foreign(data, external, options.external)
        return data, external

    def _tiers(
        self, data: Development, external: Development | None, subject: Subject
    ) -> tuple[SharedTier, ...]:
        """Tiers that a subject reaches; with another data set, those that it has as well."""
        finest = self._study.target if subject.ensemble else subject.members[0].architecture.label_tier
        if external is not None:
            return shared_tiers(data, external, finest, self._options.tier)
        reached = data.hierarchy.coarser_tiers(finest)
        if self._options.tier is not None and self._options.tier not in reached:
            raise UsageError(f"--tier {self._options.tier}: {subject.name} reaches {', '.join(reached)}")
        columns = {tier: tuple(range(len(data.hierarchy.classes(tier)))) for tier in reached}
        return tuple(
            SharedTier(
                name=tier, classes=data.hierarchy.classes(tier), here=columns[tier], there=columns[tier]
            )
            for tier in reached
        )

    def _tier_shown(self, tiers: Mapping[str, Sequence[SharedTier]]) -> str:
        """Tier shown in full: the one of `--tier`, the target, else the finest that all models have.

        Raises:
            UsageError: models share no tier, so that they cannot be compared.
        """
        common = [
            tier.name
            for tier in next(iter(tiers.values()))
            if all(tier.name in {each.name for each in of_subject} for of_subject in tiers.values())
        ]
        if not common:
            reached = "; ".join(
                f"{name}: {', '.join(tier.name for tier in of_subject)}" for name, of_subject in tiers.items()
            )
            raise UsageError(f"these models have no tier in common ({reached}): evaluate them one by one")
        if self._options.tier is not None:
            return self._options.tier
        return self._study.target if self._study.target in common else common[0]

    def _check_openings(self, data: Development) -> None:
        """Refuse to open the sealed fold again for a model, unless the user insists with `--again`."""
        earlier = earlier_openings(self._store, self._study, self._subjects)
        if not earlier or self._options.again:
            return
        listed = ", ".join(
            f"{name} ({times_words(len(openings))}{self._for_others(openings)})"
            for name, openings in earlier.items()
        )
        raise UsageError(
            f"{data.fold_plan.sealed_name} has been opened before for {listed}: give --again to open it once "
            "more, which every report will show"
        )

    def _for_others(self, openings: Sequence[SealedFoldOpeningRecord]) -> str:
        others = dict.fromkeys(each.study for each in openings if each.study not in (None, self._study.name))
        return f", for study {' and '.join(map(str, others))} of the same data" if others else ""

    def _open(self, subject: Subject, data: Development) -> int:
        """Written down before a file of the fold is read: a run that dies has opened it all the same."""
        return self._store.add_sealed_fold_opening(
            SealedFoldOpeningRecord(
                study=self._study.name,
                trial=subject.trial,
                preset=subject.preset,
                ensemble=subject.ensemble,
                data_fingerprint=data.fingerprint,
                metrics={},
                model=subject.identity,
            )
        )

    def _load_sealed(self, data: Development) -> Development:
        if self._sealed is None:
            sealed = load_sealed(
                self._folder.path,
                rate_hz=self._study.rate_hz,
                drop_unlabeled_tier=dropped_tier(self._study),
                split=split_of(self._study),
                leads=self._study.settings.get("leads"),
                cache_dir=CACHE_FOLDER,
            )
            is_without = data.age is None and data.sex is None  # then models have not learned from them
            self._sealed = sealed.without_people() if is_without else sealed
        return self._sealed

    def _keep(self, subject: Subject, tested: Mapping[int, _Tested], setting: _TestSetup) -> Evaluation:
        """Keep models, predictions and the evaluation, whose row is written last."""
        data, tested_on = setting.data, setting.tested_on
        thresholds, thresholds_from = self._thresholds(subject, tested, setting)
        exclusive, ordinal = _exclusive(setting), _ordinal(setting)
        metrics = _metrics(tested, setting, exclusive, ordinal)
        if setting.opening is not None:
            self._store.add_sealed_fold_metrics(
                setting.opening,
                {
                    name: value
                    for name, value in metrics.items()
                    if name.endswith(("_macro_auprc", "_macro_auroc"))
                },
            )
        records = tested_on.name if setting.opening is None else data.fold_plan.sealed_name
        evaluation = Evaluation(
            study=self._study.name,
            model=subject.name,
            trial=subject.trial,
            preset=subject.preset,
            ensemble=subject.ensemble,
            parameters=sum(_parameters(member, data) for member in subject.members),
            label_tier=setting.tiers[0].name,
            fit=setting.chosen.fit,
            seeds=tuple(tested),
            records=records,
            external=setting.opening is None,
            data_name=tested_on.name,
            data_version=tested_on.version,
            data_fingerprint=tested_on.fingerprint,
            synthetic=self._study.synthetic or tested_on.synthetic,
            exclusive_tiers=exclusive,
            ordinal_tiers=ordinal,
            predictions=self._keep_predictions(subject, tested, setting, records),
            thresholds=thresholds,
            thresholds_from=thresholds_from,
            metrics=metrics,
            opening=setting.opening,
            device=setting.device,
            commit=commit(),
            models=tuple(
                self._keep_model(member, seed, model, setting)
                for seed, each in tested.items()
                for member, model in zip(subject.members, each.models, strict=True)
            ),
        )
        return self._store.evaluation(self._store.add_evaluation(evaluation))

    def _keep_model(
        self, member: Member, seed: int, model: FinalModel, setting: _TestSetup
    ) -> EvaluatedModel:
        name = f"model-{slug(member.name)}-folds-{setting.chosen.fit}-seed-{seed}"
        return EvaluatedModel(
            name=member.name,
            weight=member.weight,
            seed=seed,
            architecture=member.architecture.to_dict(),
            parameters=_parameters(member, setting.data),
            label_tier=member.architecture.label_tier,
            n_training=model.n_training,
            epochs_trained=len(model.curve),
            seconds=sum(epoch.seconds for epoch in model.curve),
            file=keep_evaluated_model(self._store, self._study.name, name, model.file),
            curve=model.curve,
        )

    def _keep_predictions(
        self, subject: Subject, tested: Mapping[int, _Tested], setting: _TestSetup, records: str
    ) -> dict[str, tuple[str, ...]]:
        """Part to artifact ids by seed."""
        tested_on, validation = setting.tested_on, setting.chosen.fold.validation
        parts: dict[str, tuple[Development, NDArray[np.int64], bool]] = {
            TEST: (tested_on, np.arange(len(tested_on)), True)
        }
        if len(validation):
            parts[VALIDATION] = (setting.data, validation, False)
        if setting.cohorts is not None:
            parts[KNOWN] = (tested_on, np.flatnonzero(setting.cohorts.known_N), True)
            parts[UNSEEN] = (tested_on, np.flatnonzero(setting.cohorts.unseen_N), True)
        kept: dict[str, tuple[str, ...]] = {}
        for part, (source, rows, is_tested) in parts.items():
            files = []
            for seed, each in tested.items():
                p = {
                    name: p_NC[rows] if is_tested else p_NC
                    for name, p_NC in (each.test if is_tested else each.validation).items()
                }
                name = f"predictions-{slug(subject.name)}-{slug(records)}-{part}-seed-{seed}"
                predictions = _predictions(source, rows, setting.tiers, p, theirs=is_tested)
                files.append(keep_evaluated_predictions(self._store, self._study.name, name, predictions))
            kept[part] = tuple(files)
        return kept

    def _thresholds(
        self, subject: Subject, tested: Mapping[int, _Tested], setting: _TestSetup
    ) -> tuple[dict[str, tuple[tuple[float, ...], ...]], str]:
        """Tier to thresholds by seed, and the records that they were chosen on in words."""
        validation = setting.chosen.fold.validation
        found: dict[str, tuple[tuple[float, ...], ...]] = {}
        if len(validation):
            for tier in setting.tiers:
                y_NC = setting.data.y[tier.name][validation][:, list(tier.here)]
                found[tier.name] = tuple(
                    tuple(choose_thresholds(y_NC, each.validation[tier.name], "f1").tolist())
                    for each in tested.values()
                )
            return found, setting.chosen.validation_name
        for tier in setting.tiers:
            pairs = self._out_of_fold(subject, tier)
            if pairs is not None:
                chosen_C = tuple(choose_thresholds(*pairs, "f1").tolist())
                found[tier.name] = (chosen_C,) * len(tested)
        if not found:
            return {}, ""
        trials = dict.fromkeys(
            f"trial {member.trial.number}" for member in subject.members if member.trial is not None
        )
        return found, f"out-of-fold predictions of {', '.join(trials)}"

    def _out_of_fold(self, subject: Subject, tier: SharedTier) -> tuple[NDArray[np.bool_], Floats] | None:
        """Targets and blended probabilities of cross-validation on a tier; None where they were not kept."""
        targets: list[NDArray[np.bool_]] = []
        of_members: list[Floats] = []
        for member in subject.members:
            if member.trial is None:
                return None
            folds = [
                load_predictions(self._store, fold.predictions).on(tier.name)
                for fold in self._store.folds(member.trial.id)
            ]
            of_tier = [fold for fold in folds if fold is not None]
            if not folds or len(of_tier) < len(folds):
                return None
            targets = [fold.targets_NC for fold in of_tier]
            of_members.append(np.concatenate([fold.probabilities_NC for fold in of_tier]))
        columns = list(tier.here)
        return np.concatenate(targets)[:, columns], subject.average(of_members)[:, columns]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _TestSetup:
    """All that a subject is tested with."""

    data: Development
    tested_on: Development
    chosen: TrainingProtocol
    tiers: tuple[SharedTier, ...]
    cohorts: Cohorts | None
    opening: int | None
    """None for another data set."""
    device: str


def _test(
    subject: Subject,
    models: tuple[FinalModel, ...],
    tested_on: Development,
    tiers: Sequence[SharedTier],
    chosen: TrainingProtocol,
) -> _Tested:
    """Weighted averages of the members on every tier, on classes that both sides have."""
    p_test = [model.predict(tested_on) for model in models]

    def blended(p_of_models: Sequence[Floats]) -> dict[str, Floats]:
        return {
            tier.name: subject.average(
                [model.project(tier.name, p_NC) for model, p_NC in zip(models, p_of_models, strict=True)]
            )[:, list(tier.here)]
            for tier in tiers
        }

    validation = blended([model.p_validation_NC for model in models]) if len(chosen.fold.validation) else {}
    return _Tested(models=models, test=blended(p_test), validation=validation)


def _predictions(
    source: Development,
    rows: NDArray[np.int64],
    tiers: Sequence[SharedTier],
    p: Mapping[str, Floats],
    *,
    theirs: bool,
) -> Predictions:
    """Labels and probabilities of some records; `theirs` says whose columns the labels have."""
    own, *projected = [
        TierPredictions(
            classes=tier.classes,
            targets_NC=source.y[tier.name][rows][:, list(tier.there if theirs else tier.here)],
            probabilities_NC=p[tier.name],
        )
        for tier in tiers
    ]
    return Predictions(
        tier=tiers[0].name,
        classes=own.classes,
        ecg_id=source.ecg_id[rows],
        targets_NC=own.targets_NC,
        probabilities_NC=own.probabilities_NC,
        patient_id=source.patient_id[rows],
        age=None if source.age is None else source.age[rows],
        sex=None if source.sex is None else source.sex[rows],
        groups={name: group_N[rows] for name, group_N in source.groups.items()},
        projected={tier.name: each for tier, each in zip(tiers[1:], projected, strict=True)},
    )


def _exclusive(setting: _TestSetup) -> tuple[str, ...]:
    """Tiers of which every record has exactly one of the classes that both sides have."""
    validation = setting.chosen.fold.validation
    return tuple(
        tier.name
        for tier in setting.tiers
        if setting.data.hierarchy.is_exclusive(tier.name)
        and (setting.tested_on.y[tier.name][:, list(tier.there)].sum(axis=1) == 1).all()
        and (setting.data.y[tier.name][validation][:, list(tier.here)].sum(axis=1) == 1).all()
    )


def _ordinal(setting: _TestSetup) -> tuple[str, ...]:
    return tuple(tier for tier in _exclusive(setting) if setting.data.hierarchy.is_ordinal(tier))


def _metrics(
    tested: Mapping[int, _Tested], setting: _TestSetup, exclusive: Sequence[str], ordinal: Sequence[str]
) -> dict[str, float]:
    """Mean over seeds on the test part; at .5 where a threshold is needed."""
    metrics: dict[str, float] = {}
    for tier in setting.tiers:
        y_NC = setting.tested_on.y[tier.name][:, list(tier.there)]
        of_seeds = []
        for each in tested.values():
            found = all_metrics(y_NC, each.test[tier.name]).overall
            if tier.name in exclusive:
                found |= exclusive_metrics(y_NC, each.test[tier.name], ordinal=tier.name in ordinal).overall
            of_seeds.append(found)
        metrics |= {
            f"{tier.name}_{name}": float(np.mean([found[name] for found in of_seeds])) for name in of_seeds[0]
        }
    return metrics


def _parameters(member: Member, data: Development) -> int:
    n_classes = len(data.hierarchy.classes(member.architecture.label_tier))
    return count_parameters(member.architecture, n_classes, data.inputs)


def _by_name(tiers: Mapping[str, Sequence[SharedTier]]) -> list[SharedTier]:
    """Every tier of any subject, once."""
    return list({tier.name: tier for of_subject in tiers.values() for tier in of_subject}.values())


def _is_ordinal(data: Development, tier: SharedTier) -> bool:
    return data.hierarchy.is_ordinal(tier.name)
