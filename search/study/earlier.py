"""Results of earlier studies (`--learn-from`): read once, when a study is made, and kept with it.

The copy is an artifact that the settings of the study name by its content, so that a continued run and every
other worker learn from the same, and the earlier studies need not be there any more. The sampler takes scores
as further tasks of its Gaussian process, the race takes the shape of learning curves as its prior.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import fmean
from typing import Any

import numpy as np
from scipy.special import ndtr

import space
from reports.numbers import count_words, score_words
from reports.words import data_words
from scores.costs import COSTS, DEFAULT_COST, LATENCY
from scores.objectives import DEFAULT_OBJECTIVE, OBJECTIVES
from search.errors import UsageError
from search.pruner.learning_curves import CurveShape
from search.pruner.race import standing
from search.sampler.encoding import SpaceCandidates
from search.sampler.gaussian_process import MAX_OF_SOURCES, Surrogate
from search.sampler.history import Estimate, most_informative
from search.study.finished_trials import remembered
from storage import (
    StorageError,
    Store,
    StudyRecord,
    UnknownStudyError,
    keep_content,
    load_artifact,
    open_store,
    without_password,
)
from storage.records import ARTIFACT, EARLIER_STUDIES

CERTAIN = 0.01
"""A preset whose chance to reach the front of every earlier study is smaller is not queued."""
MIN_TO_JUDGE = 10
"""Finished trials of a study before it is asked about presets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierTrial:
    """A finished trial of an earlier study."""

    architecture: Mapping[str, Any]
    score: float
    """Score on the target of that study, mean over its trainings; of a pruned trial, extrapolated."""
    standard_error: float
    """Standard error of `score`; 0 for a complete trial."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierStudy:
    """Results kept of an earlier study."""

    name: str
    """Name as the user gave it, without a password."""
    target: str
    data: str
    """Data set in words."""
    epochs: int
    objective: str = DEFAULT_OBJECTIVE
    """First objective of the study."""
    trials: tuple[EarlierTrial, ...]
    shape: CurveShape | None
    """Shape of the learning curves of the study; None where there were too few."""

    def estimates(self, architectures: space.Space, target: str) -> list[Estimate]:
        """Trials of the study that have an architecture of a space, as estimates.

        One that was trained on the target of its study stands for one that is trained on the target of
        this one.
        """
        found = []
        for trial in self.trials:
            params = _params(trial.architecture, self.target, architectures, target)
            if params is not None:
                found.append(Estimate(params=params, score=trial.score, standard_error=trial.standard_error))
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class DominatedPresets:
    """Presets that will not reach the front according to earlier studies, each with the reason."""

    reasons: Mapping[str, str]


def _params(
    stored: Mapping[str, Any], earlier_target: str, architectures: space.Space, target: str
) -> Mapping[str, Any] | None:
    try:
        architecture = space.Architecture.from_dict(stored)
        if architecture.label_tier == earlier_target:
            architecture = replace(architecture, label_tier=target)
        if architecture not in architectures:
            return None
        return architectures.to_params(architecture)
    except space.SpaceError:  # of a space file that is not here
        return None


# ---------------------------------------------------------------------------------------------------------
# Reading


def named(text: str) -> dict[str, tuple[str, str | None]]:
    """Studies that `--learn-from` names: by name without a password, name in its database and URL.

    Raises:
        UsageError: a name is missing or there twice.
    """
    found: dict[str, tuple[str, str | None]] = {}
    for entry in text.split(","):
        name, at, url = entry.strip().partition("@") if "://" in entry else (entry.strip(), "", "")
        if not name or (at and not url):
            raise UsageError(
                f"--learn-from names studies as STUDY or STUDY@URL, with commas between, got {text!r}"
            )
        shown = f"{name}{at}{without_password(url)}"
        if shown in found:
            raise UsageError(f"--learn-from names {shown} twice")
        found[shown] = name, url or None
    return found


def canonical(text: str) -> str:
    """`--learn-from` as a study keeps it: sorted, without passwords."""
    return ",".join(sorted(named(text)))


def read_earlier(text: str, store: Store, own_name: str) -> tuple[EarlierStudy, ...]:
    """The studies that `--learn-from` names, in alphabetical order.

    Raises:
        UsageError: one is missing, named twice, has no complete trial, or is the study that is to learn.
    """
    found = []
    known: dict[tuple[str, datetime | None], str] = {}
    for shown, (name, url) in sorted(named(text).items()):
        with _opened(store, url) as other:
            if name == own_name and other.url == store.url:
                raise UsageError(f"--learn-from {shown}: a study cannot learn from itself")
            try:
                study = other.study(name)
            except UnknownStudyError as unknown:
                raise UsageError(f"--learn-from {shown}: {unknown}") from None
            # Another way to write the URL, or a copy of the database, is the same evidence again.
            same = known.setdefault((study.name, study.created_at), shown)
            if same != shown:
                raise UsageError(
                    f"--learn-from names one study twice, as {same} and as {shown}: name it once"
                )
            found.append(_read(shown, other, study))
    return tuple(found)


@contextmanager
def _opened(store: Store, url: str | None) -> Iterator[Store]:
    if url is None:
        yield store
    else:
        try:
            other = open_store(url, create=False)
        except StorageError as error:
            raise UsageError(f"--learn-from: {error}") from None
        with other:
            yield other


def _read(shown: str, store: Store, study: StudyRecord) -> EarlierStudy:
    records = store.finished(study.name, store.finished_numbers(study.name))
    n_complete = sum(record.score is not None for record in records)
    if not n_complete:
        raise UsageError(
            f"--learn-from {shown}: no trial of that study is complete yet, so there is nothing to learn from"
        )
    n_epochs = int(study.settings["epochs"])
    n_folds = max(fold for record in records for fold, _ in record.curve)
    finished = [remembered(record, n_folds=n_folds, n_epochs=n_epochs) for record in records]
    now = standing(finished)
    repeats = store.repeats(study.name)
    trials = []
    for record, trial in zip(records, finished, strict=True):
        if trial.score is None:
            estimate = now.evidence(trial.curve_FK)
        else:
            again = [each.score for each in repeats.get(record.id, ()) if each.score is not None]
            estimate = (fmean([trial.score, *again]), 0.0)
        if estimate is not None and math.isfinite(estimate[0]):
            trials.append(
                EarlierTrial(architecture=record.architecture, score=estimate[0], standard_error=estimate[1])
            )
    return EarlierStudy(
        name=shown,
        target=study.target,
        data=data_words(study),
        epochs=n_epochs,
        objective=study.objective,
        trials=tuple(trials),
        shape=None if now.model is None else now.model.shape,
    )


# ---------------------------------------------------------------------------------------------------------
# Keeping


def earlier_settings(
    studies: Sequence[EarlierStudy],
    store: Store,
    architectures: space.Space,
    target: str,
    dominated: DominatedPresets,
) -> dict[str, Any]:
    """Settings of a study that name the earlier studies it learns from; their results go into an artifact.

    Raises:
        UsageError: an earlier study has no trial with an architecture of the space.
        storage.StorageError: the artifact cannot be written.
    """
    for each in studies:
        if not each.estimates(architectures, target):
            raise UsageError(
                f"--learn-from {each.name}: none of its {count_words(len(each.trials), 'trial')} has an "
                f"architecture of space {architectures.name}: leave the study out, or choose another --space"
            )
    return {
        ARTIFACT: keep_content(store, _packed(studies), "json"),
        "words": [_words(each, architectures, target) for each in studies],
        "presets_not_queued": dict(dominated.reasons),
    }


def _words(study: EarlierStudy, architectures: space.Space, target: str) -> str:
    used, n = len(study.estimates(architectures, target)), len(study.trials)
    of_space = "" if used == n else f", {used:,} of them in this space"
    other = "" if study.objective == DEFAULT_OBJECTIVE else f" ({OBJECTIVES[study.objective].words})"
    return (
        f"{study.name}: target {study.target}{other}, {study.data}, {count_words(study.epochs, 'epoch')}, "
        f"{count_words(n, 'finished trial')}{of_space}"
    )


def earlier_of(store: Store, study: StudyRecord) -> tuple[EarlierStudy, ...]:
    """The earlier studies that a study learns from; none if it learns from none.

    Raises:
        storage.StorageError: the artifact is missing or damaged.
    """
    kept = study.settings.get(EARLIER_STUDIES)
    return () if kept is None else _unpacked(load_artifact(store, kept[ARTIFACT]))


def _packed(studies: Iterable[EarlierStudy]) -> bytes:
    document = [
        {
            "name": each.name,
            "target": each.target,
            "data": each.data,
            "epochs": each.epochs,
            "objective": each.objective,
            "shape": None
            if each.shape is None
            else [each.shape.between_KK.tolist(), each.shape.within_KK.tolist()],
            "trials": [[dict(t.architecture), t.score, t.standard_error] for t in each.trials],
        }
        for each in studies
    ]
    return json.dumps(document, sort_keys=True, allow_nan=False).encode()


def _unpacked(content: bytes) -> tuple[EarlierStudy, ...]:
    return tuple(
        EarlierStudy(
            name=each["name"],
            target=each["target"],
            data=each["data"],
            epochs=each["epochs"],
            objective=each.get("objective", DEFAULT_OBJECTIVE),
            shape=None
            if each["shape"] is None
            else CurveShape(between_KK=np.array(each["shape"][0]), within_KK=np.array(each["shape"][1])),
            trials=tuple(
                EarlierTrial(architecture=architecture, score=score, standard_error=error)
                for architecture, score, error in each["trials"]
            ),
        )
        for each in json.loads(content)
    )


# ---------------------------------------------------------------------------------------------------------
# Presets


def dominated_presets(
    studies: Sequence[EarlierStudy],
    architectures: space.Space,
    target: str,
    n_outputs: Mapping[str, int],
    presets: Iterable[str],
    *,
    cost: str = DEFAULT_COST,
) -> DominatedPresets:
    """Presets that would reach the front of none of the earlier studies, by a Gaussian process of each.

    Their probability to beat the best trial of the study with no higher cost is below `CERTAIN`.

    Args:
        studies: the earlier ones.
        architectures: of the new study.
        target: of the new study.
        n_outputs: classes of every tier.
        presets: names of the presets that would be queued.
        cost: second objective of the new study; with latency, which is measured later, no preset is ruled
        out.
    """
    if cost == LATENCY:
        return DominatedPresets(reasons={})
    candidates = SpaceCandidates(architectures, n_outputs, cost=cost)
    reasons: dict[str, list[str]] = {name: [] for name in presets}
    for study in studies:
        known = study.estimates(architectures, target)
        if len(known) < MIN_TO_JUDGE:
            return DominatedPresets(reasons={})
        source = candidates.source(known)
        source = source.some(most_informative(source.score_N, source.log_cost_N, MAX_OF_SOURCES, seed=0))
        posterior = Surrogate(candidates.n_features).posterior(source.x_ND, source.score_N, source.extra_sd_N)
        mean_N, sd_N = posterior.predict(source.x_ND)
        for name in list(reasons):
            params = architectures.to_params(space.preset(name, target))
            own = candidates.source([Estimate(params=params, score=0.0, standard_error=0.0)])
            mean, sd = (float(values[0]) for values in posterior.predict(own.x_ND))
            cheaper = np.flatnonzero(source.log_cost_N <= own.log_cost_N[0])
            if not len(cheaper):
                del reasons[name]
                continue
            best = cheaper[int(mean_N[cheaper].argmax())]
            chance = ndtr((mean - mean_N[best]) / max(math.hypot(sd, sd_N[best]), 1e-12))
            if chance >= CERTAIN:
                del reasons[name]
                continue
            reasons[name].append(
                f"{study.name} predicts {score_words(mean, sd)}, and {score_words(float(mean_N[best]))} "
                f"with no more {COSTS[cost].words}"
            )
    return DominatedPresets(reasons={name: "; ".join(why) for name, why in reasons.items()})
