"""Preparation of a study: data are read, the study is found or made, presets are queued."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from rich.console import Console

import space
from reports.numbers import cost_words, count_words
from reports.study_scorer import groups_words
from reports.words import limits_words
from scores.costs import DEFAULT_COST, LATENCY
from scores.metrics import degenerate_classes, unseen_classes
from scores.objectives import DEFAULT_OBJECTIVE, OBJECTIVES
from scores.scorers import no_groups_words
from search.data.dataset import Development, load_development
from search.data.folds import cv_folds
from search.data.signals.leads import SEPARATOR, lead_choices
from search.data.sources import DataFolder
from search.data.subset import Amount
from search.defaults import CACHE_FOLDER, DEFAULT_SPACE, DEMO_FOLDER, LARGEST_SPACE, NO_PRESETS
from search.errors import DataError, UsageError
from search.models.costs import costs_of
from search.sampler.encoding import SpaceCandidates
from search.study.candidates import candidates_of
from search.study.data import locate_data, make_demo
from search.study.earlier import canonical, dominated_presets, earlier_settings, read_earlier
from search.study.latency import (
    Meter,
    check_machine,
    knows_latency,
    latency_note,
    latency_settings,
    with_latency,
)
from search.study.limits import check_operators, limits_of
from search.study.options import RunOptions
from search.study.space_file import ChosenSpace, as_made, check_space, named_space
from search.study.study import (
    TOLD_BY_NAME,
    as_known_to,
    check_new_name,
    check_requested,
    default_name,
    find_study,
    make_record,
    make_study,
    queue_presets,
    quiet_optuna,
)
from search.study.teacher import (
    canonical_teachers,
    load_teachers,
    make_teachers,
    taught_tiers,
    teacher_axes,
    teacher_words,
)
from search.study.transfer import canonical_initial, find_initial, initial_axes, initial_words, load_initial
from search.training.interface import Trainer
from search.training.scoring import TierScorers
from search.training.settings import TrainingSettings, automatic_batch_size
from search.watch.events import Message
from search.watch.progress import progress_bar
from search.watch.working import working
from storage import Store, StudyRecord, open_store
from storage.records import EARLIER_STUDIES

if TYPE_CHECKING:
    import torch

COUNTING = "Counting the architectures within the limits"
LEAD_DROPOUTS = (0.0, 0.25)
"""Lead dropout of a search among leads."""


_WITHOUT_PEOPLE = (
    "the study was made without age and sex of its records and is continued without them: a new one has them"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A study that can be trained: what `prepare` has found or made."""

    store: Store
    study: StudyRecord
    data: Development
    architectures: space.Space
    messages: tuple[Message, ...] = ()
    """Messages to show before the first trial."""
    meter: Meter | None = None
    """Measures latencies, where the study knows them."""

    @property
    def settings(self) -> TrainingSettings:
        """Training settings of the study."""
        return TrainingSettings.of(self.study.settings)

    def trainers(self, device: torch.device, n_threads: int) -> Callable[[int], Trainer]:
        """A function from a seed to the trainer of the study with it.

        What a study learns from is read once, now.

        Args:
            device: where to train.
            n_threads: cores this process may keep busy.

        Raises:
            DataError: soft targets or an initial model are damaged.
            storage.StorageError: one of them is missing.
        """
        from search.training.trainer import CrossValidation

        teachers, initial = load_teachers(self.store, self.study), load_initial(self.store, self.study)

        def of_seed(seed: int) -> Trainer:
            return CrossValidation(
                self.data,
                self.study.target,
                replace(self.settings, seed=seed),
                device=device,
                n_threads=n_threads,
                cache_dir=CACHE_FOLDER,
                teachers=teachers,
                initial=initial,
                objective=self.study.objective,
            )

        return of_seed


def prepare(
    options: RunOptions, console: Console, meter: Meter | None = None, *, continued: StudyRecord | None = None
) -> Prepared:
    """Read the data, open the store, and make the study or make sure that it can be continued.

    Args:
        options: the command line.
        console: for progress.
        meter: measures latencies, where a study knows them.
        continued: the study, where it must be there: without `--data` the demo stands only for its own.

    Raises:
        SearchError: anything the user has to put right.
    """
    _check_device(options)
    quiet_optuna()
    folder = locate_data(options.data, continued)
    folder.check(target=options.target, rate_hz=options.rate_hz, split=options.split)
    with ExitStack() as until_prepared:
        store = until_prepared.enter_context(open_store(options.storage))
        if folder.root == DEMO_FOLDER:
            make_demo(console)
        plan = _settle(options, store, folder)
        data = read = _read(options, plan, folder, console)
        if plan.known is not None:
            data = as_known_to(plan.known, data)
            _check_continued(plan.known, options, data)  # other data may not even have its target
        of_data = _about_scores(data, plan)  # data that cannot be split or scored make no study
        study = _find_or_make(options, plan, store, data, meter=meter, console=console)
        data = as_known_to(study, data)
        _check_continued(study, options, data)
        present = _opened(plan.named_space or named_space(study.space), study.settings, data)
        searched = as_made(study, present)
        architectures = _architectures(searched, plan.target, data, study.settings)
        check_machine(study, meter)
        presets, learned = _without_losers(
            study, architectures, _presets(options.presets, architectures, study.target)
        )
        with working(console, COUNTING):
            presets, notes = _within_limits(study, architectures, presets, meter)
        queue_presets(store, study, architectures, presets)
        store.touch(study.name)
        prepared = Prepared(
            store=store,
            study=study,
            data=data,
            architectures=architectures,
            meter=meter if knows_latency(study) else None,
            messages=tuple(
                Message(note)
                for note in (
                    *of_data,
                    None if data is read else _WITHOUT_PEOPLE,
                    _axes_note(searched, present),
                    *teacher_words(study),
                    *initial_words(study),
                    *_flat(architectures, data),
                    latency_note(study),
                    *learned,
                    *notes,
                )
                if note is not None
            ),
        )
        until_prepared.pop_all()  # from here on the store is the caller's
        return prepared


def _check_continued(study: StudyRecord, options: RunOptions, data: Development) -> None:
    """Make sure that a study can be continued with a command line and its data; see `check_requested`."""
    settings = _named_settings(options, data, study.cost)
    check_requested(study, data, target=options.target, settings=settings)


def _check_device(options: RunOptions) -> None:
    """Refuse `--device cuda` on a machine without a GPU before data are read; Ray's nodes may have others."""
    if options.device == "cuda" and options.ray is None:
        from search.training.device import choose_device

        choose_device(options.device)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """Space, data and options of a run: the command line, completed by the study that it names."""

    known: StudyRecord | None
    """The study that the command line names, if it is there."""
    target: str
    objective: str
    named_space: ChosenSpace | None
    """The space that the command line names."""
    space: ChosenSpace
    rate_hz: int | None
    drop_unlabeled: bool
    split: str | None
    leads: str | None
    records: str | None
    usual_split: str


def _settle(options: RunOptions, store: Store, folder: DataFolder) -> _Plan:
    known = find_study(store, options.study) if options.study else None
    target = options.target or (known.target if known else folder.source.default_target)
    asked = named_space(options.space) if options.space else None
    if known is not None:
        check_space(known, asked)
    kept = known.settings if known is not None else {}
    return _Plan(
        known=known,
        target=target,
        objective=options.objective or (known.objective if known else DEFAULT_OBJECTIVE),
        named_space=asked,
        space=asked or named_space(known.space if known else _space_of(options.presets, target)),
        rate_hz=known.rate_hz if known and options.rate_hz is None else options.rate_hz,
        drop_unlabeled=options.drop_unlabeled or bool(kept.get("drop_unlabeled")),
        split=options.split or kept.get("split"),
        leads=options.leads or kept.get("leads"),
        records=options.records or kept.get("records"),
        usual_split=folder.source.splits[0],
    )


def _read(options: RunOptions, plan: _Plan, folder: DataFolder, console: Console) -> Development:
    with progress_bar(console, "Reading records", 0) as advance:
        return load_development(
            folder.path,
            rate_hz=plan.rate_hz,
            drop_unlabeled_tier=plan.target if plan.drop_unlabeled else None,
            split=plan.split,
            leads=plan.leads,
            records=plan.records,
            skip_damaged=options.skip_damaged,
            cache_dir=CACHE_FOLDER,
            progress=advance,
        )


def _named_settings(options: RunOptions, data: Development, cost: str) -> dict[str, Any]:
    """Settings that the user named, leads as the data set calls them, amounts in one way of writing.

    Args:
        options: the command line.
        data: as read.
        cost: what the study minimises.
    """
    named = options.settings | options.limits(cost)
    if "leads" in named:
        # A choice of all leads of the study is named as they are, for it is read against the data set.
        every = space.ALL_LEADS if data.lead_subset is None else ",".join(data.lead_subset)
        choices = lead_choices(named["leads"], data.leads)
        named["leads"] = SEPARATOR.join(every if each == space.ALL_LEADS else each for each in choices)
    if "records" in named:
        named["records"] = str(Amount.parse(named["records"]))
    if "teacher" in named:
        named["teacher"] = canonical_teachers(named["teacher"])
    if "init" in named:
        named["init"] = canonical_initial(named["init"])
    if options.learn_from is not None:
        named["learn_from"] = canonical(options.learn_from)
    return named


def _find_or_make(
    options: RunOptions,
    plan: _Plan,
    store: Store,
    data: Development,
    *,
    meter: Meter | None,
    console: Console,
) -> StudyRecord:
    """The study of that name, made with the user's choices and the defaults unless it is there."""
    named = _named_settings(options, data, options.cost or DEFAULT_COST)
    parts = (data.name, plan.target, plan.space.name, plan.records)
    name = options.study or default_name(*parts, named=named)
    study = plan.known or find_study(store, name)
    if study is None and options.study is None:
        study = _named_as_before(store, default_name(*parts), named)
    if study is None:
        check_new_name(name)
        if options.teacher is not None:
            with progress_bar(console, "Asking teachers", 0) as advance:
                named |= make_teachers(options.teacher, store, data, plan.target, advance)
        if options.init is not None:
            named |= find_initial(options.init, store, data)
        searched = _opened(plan.space, named, data)
        architectures = _architectures(searched, plan.target, data, named)
        settings = {
            **TrainingSettings(batch_size=automatic_batch_size(len(data))).to_dict(),
            "drop_unlabeled": plan.drop_unlabeled,
            "split": plan.split or plan.usual_split,
            **named,
            **searched.settings,
            **_earlier(options, architectures, store, data, name=name, console=console),
        }
        record = make_record(name, plan.target, plan.space.name, settings, data)
        record = _with_latency_model(record, architectures, meter, console)
        with working(console, COUNTING):
            _within_limits(record, architectures, (), meter)  # else there is no such study
        study = make_study(store, record)
    check_space(study, plan.named_space)
    return study


def _named_as_before(store: Store, name: str, named: Mapping[str, Any]) -> StudyRecord | None:
    """The study of an earlier version, whose name told no leads or objectives, if it has those asked for."""
    study = find_study(store, name)
    if study is None or any(
        study.settings.get(setting) != named[setting] for setting in TOLD_BY_NAME if setting in named
    ):
        return None
    return study


def _earlier(
    options: RunOptions,
    architectures: space.Space,
    store: Store,
    data: Development,
    *,
    name: str,
    console: Console,
) -> dict[str, Any]:
    """Settings of a new study on the earlier studies that it learns from."""
    if options.learn_from is None:
        return {}
    studies = read_earlier(options.learn_from, store, name)
    target = str(architectures.axes["label_tier"][0])
    n_outputs = {tier: len(data.hierarchy.classes(tier)) for tier in data.hierarchy.tiers}
    # Systems that the user names are trained whatever earlier studies say.
    queued = space.queued_presets(architectures, target) if options.presets is None else ()
    with working(console, "Learning from earlier studies"):
        dominated = dominated_presets(
            studies, architectures, target, n_outputs, queued, cost=options.cost or DEFAULT_COST
        )
    return {EARLIER_STUDIES: earlier_settings(studies, store, architectures, target, dominated)}


def _without_losers(
    study: StudyRecord, architectures: space.Space, presets: Sequence[str] | None
) -> tuple[Sequence[str] | None, tuple[str, ...]]:
    """The systems to queue without those that earlier studies rule out, and what is learned, in words."""
    kept = study.settings.get(EARLIER_STUDIES)
    if kept is None:
        return presets, ()
    notes = [f"learning from {words}" for words in kept["words"]]
    if presets is not None:
        return presets, tuple(notes)
    dominated = kept["presets_not_queued"]
    names = space.queued_presets(architectures, study.target)
    notes += [
        f"preset {name} is not queued, --presets {name} trains it: {dominated[name]}"
        for name in names
        if name in dominated
    ]
    return [name for name in names if name not in dominated], tuple(notes)


def _with_latency_model(
    study: StudyRecord, architectures: space.Space, meter: Meter | None, console: Console
) -> StudyRecord:
    """A study that is being made, with what is expected of latencies where it knows them."""
    if not knows_latency(study):
        return study
    assert meter is not None  # commands that make studies bring one
    candidates = _candidates(study, architectures, without_latency=True)
    with progress_bar(console, "Measuring latencies", 0) as advance:
        settings = {**study.settings, **latency_settings(study, candidates, meter, advance)}
    return replace(study, settings=settings)


def _candidates(
    study: StudyRecord, architectures: space.Space, *, without_latency: bool = False
) -> SpaceCandidates:
    """Candidates of a study: the architectures that fit its limits."""
    limits = limits_of(study)
    if without_latency:
        limits = replace(limits, most={cost: limit for cost, limit in limits.most.items() if cost != LATENCY})
    candidates = candidates_of(study, architectures, limits)
    check_operators(limits.operators or (), candidates.operators)
    if not len(candidates):
        least = [f"at least {cost_words(cost, candidates.least(cost))} of {cost}" for cost in limits.most]
        needed = [] if limits.operators is None else [f"operators from {', '.join(candidates.operators)}"]
        raise UsageError(
            f"no architecture of space {architectures.name} is within {limits_words(study.settings)}: they "
            f"need {'; '.join([*least, *needed])}"
        )
    return candidates


def _space_of(presets: tuple[str, ...] | None, target: str) -> str:
    """The usual space of a new study, or the largest if that lacks a system that was asked for."""
    usual = space.Space(DEFAULT_SPACE, (target,))
    named = () if presets in (None, NO_PRESETS) else presets
    return DEFAULT_SPACE if all(space.preset(name, target) in usual for name in named) else LARGEST_SPACE


def _presets(names: tuple[str, ...] | None, architectures: space.Space, target: str) -> Sequence[str] | None:
    """The systems to queue, None for those of the space.

    Raises:
        UsageError: the space of the study does not contain one.
    """
    if names is None:
        return None
    if names == NO_PRESETS:
        return ()
    for name in names:
        if space.preset(name, target) not in architectures:
            if architectures.name == LARGEST_SPACE:
                advice = "it needs what this data set does not have, such as hand-crafted features"
            elif architectures.name.endswith(".py"):
                advice = "give SPACE in the file the values that it has, and choose another --study"
            else:
                advice = f"choose --space {LARGEST_SPACE} and another --study"
            raise UsageError(f"--presets {name}: not in space {architectures.name} of this study: {advice}")
    return names


def _opened(chosen: ChosenSpace, settings: Mapping[str, Any], data: Development) -> ChosenSpace:
    """The space with what the settings of a study add to it: leads to choose from, teachers, initial weights.

    Raises:
        UsageError: the data set has no such leads, or two choices are the same.
    """
    axes = dict(chosen.axes) | teacher_axes(settings)
    leads = settings.get("leads")
    choices = (space.ALL_LEADS,) if leads is None else lead_choices(leads, data.leads)
    if len(choices) > 1:
        axes |= {"leads": choices, "lead_dropout": LEAD_DROPOUTS}
    lead_choices(SEPARATOR.join(map(str, axes["leads"])), data.leads)  # a space file may name others
    axes |= initial_axes(settings, data, axes["leads"])
    return replace(chosen, axes=axes)


def _architectures(
    chosen: ChosenSpace, target: str, data: Development, settings: Mapping[str, Any]
) -> space.Space:
    tiers = taught_tiers(settings, data.hierarchy.training_tiers(target))
    return space.Space(chosen.name, tiers, axes=chosen.axes, inputs=data.inputs)


def _axes_note(searched: ChosenSpace, present: ChosenSpace) -> str | None:
    """Note on axes that a new study of the same space would search otherwise."""
    differing = [name for name in present.axes if present.axes[name] != searched.axes.get(name)]
    if not differing:
        return None
    return (
        f"the study goes on with the axes it was made with; a new --study of space {present.name} has other "
        f"values of {', '.join(differing)}"
    )


def _within_limits(
    study: StudyRecord, architectures: space.Space, presets: Sequence[str] | None, meter: Meter | None
) -> tuple[Sequence[str] | None, tuple[str, ...]]:
    """The systems that fit, and what the limits of the study leave, in words.

    Raises:
        UsageError: nothing fits, or an operator does not exist.
    """
    limits = limits_of(study)
    if not limits:
        return presets, ()
    n_outputs = len(study.tier_classes[study.target])
    candidates = _candidates(study, architectures)
    words = limits_words(study.settings)
    names = space.queued_presets(architectures, study.target) if presets is None else presets
    fitting, beyond = [], []
    for name in names:
        preset = space.preset(name, study.target)
        costs = costs_of(preset, n_outputs, architectures.inputs)
        if knows_latency(study) and meter is not None:
            costs, _ = with_latency(costs, meter, preset, n_outputs, architectures.inputs)
        if over := limits.excess(costs):
            beyond.append(f"{name} ({over})")
        else:
            fitting.append(name)
    notes = [f"{words}: {len(candidates):,} of {len(architectures):,} architectures are within"]
    if beyond:
        notes.append(f"presets that do not fit are skipped: {', '.join(beyond)}")
    return fitting, tuple(notes)


def _about_scores(data: Development, plan: _Plan) -> list[str]:
    """Notes on the classes and records of the target that scores are computed on, where these are not all.

    Raises:
        DataError: there are none.
    """
    classes = data.hierarchy.classes(plan.target)
    folds = [data.y[plan.target][fold.validation] for fold in cv_folds(data.strat_fold, data.fold_plan)]
    left_out = _left_out(plan.target, classes, folds)
    objective = OBJECTIVES[plan.objective]
    if not objective.by_group:
        notes = [] if left_out is None else [f"{objective.words} leaves out {left_out}"]
        n_positive_FC = np.stack([y_NC.sum(axis=0) for y_NC in folds])
        if unseen := unseen_classes(classes, n_positive_FC, [len(y_NC) for y_NC in folds]):
            notes.append(
                f"{objective.words} counts {len(unseen)} of {len(classes)} {plan.target} classes that one CV "
                f"fold alone has, scored by models that never saw one: {', '.join(unseen)}"
            )
        return notes
    scorer = TierScorers(data, objective).of(plan.target)
    lines = groups_words(scorer, unit=data.unit)
    if not lines:
        unknown = [name for name in ("sex", "age") if getattr(data, name) is None]
        why = f"; the data do not say {' or '.join(unknown)}" if unknown else ""
        raise DataError(
            f"--objective {objective.name} compares {no_groups_words()}, and target {plan.target} of "
            f"{data.name} has none{why}: choose another --target, more records, or --objective "
            f"{DEFAULT_OBJECTIVE}"
        )
    return [f"{objective.words}: {line}" for line in lines]


def _left_out(target: str, classes: Sequence[str], folds: Sequence[ArrayLike]) -> str | None:
    """Line on the classes of the target that cannot be scored; None if there are none.

    Raises:
        DataError: there is no other class.
    """
    found = degenerate_classes(classes, folds)
    listed = ", ".join(f"{name} ({reason})" for name, reason in found.items())
    if len(found) == len(classes):
        raise DataError(
            f"no class of target {target} can be scored: {listed}; choose another --target, or data in which "
            "some records have a class and some have not"
        )
    return f"{len(found)} of {len(classes)} {target} classes: {listed}" if found else None


def _flat(architectures: space.Space, data: Development) -> Iterator[str]:
    """Note on choices of leads that are flat in some records, which stay so that scores are paired."""
    for leads in architectures.axes["leads"]:
        names = set(data.leads_of(str(leads)))
        n_flat = sum(names <= set(flat) for flat in data.flat_leads.values())
        if n_flat:
            words = ", ".join(lead for lead in data.leads if lead in names)
            yield (
                f"{count_words(n_flat, 'record')} without a signal in {words}: models with only these leads "
                "have no signal in these records"
            )
