"""Ensembles that a command line names, as `search ensemble` builds them."""

from __future__ import annotations

from collections.abc import Collection

from reports.ensembles.averaging import DEFAULT_SIZE, Pool
from reports.ensembles.candidates import load_candidates
from reports.ensembles.study import Ensemble, build_ensembles, choosers
from scores.costs import COSTS
from search.errors import UsageError
from storage import Store, StudyRecord, TrialRecord


def named_ensemble(store: Store, study: StudyRecord, name: str) -> Ensemble:
    """Members and weights of an ensemble, chosen on all folds; its scores are left to `search ensemble`.

    Raises:
        UsageError: there is no such kind of ensemble.
        reports.ReportError: the study has not enough complete trials for one.
        storage.StorageError: the database cannot be read.
    """
    kinds = choosers(DEFAULT_SIZE)
    if name not in kinds:
        raise UsageError(f"--ensemble: unknown ensemble {name!r}: choose from {', '.join(kinds)}")
    # Resamples estimate its cross-validated score, which is not needed here.
    built = build_ensembles(load_candidates(store, study.name), DEFAULT_SIZE, n_resamples=1)
    return next(ensemble for ensemble in built.ensembles if ensemble.name == name)


def ensemble_names() -> tuple[str, ...]:
    """Every kind of ensemble."""
    return tuple(choosers(DEFAULT_SIZE))


def nested_ensemble(
    store: Store, study: StudyRecord, name: str, among: Collection[int]
) -> dict[int, list[tuple[TrialRecord, float]]]:
    """Members and weights of an ensemble for every fold, chosen on the other folds alone.

    Args:
        store: where the study is kept.
        study: its record.
        name: one of `ensemble_names`.
        among: numbers of the trials that may be members.

    Raises:
        UsageError: fewer than two trials may be.
        reports.ReportError: the study has not enough complete trials for an ensemble.
        storage.StorageError: the database cannot be read.
    """
    candidates = load_candidates(store, study.name)
    places = [place for place, trial in enumerate(candidates.members) if trial.number in among]
    if len(places) < 2:
        raise UsageError(
            f"ensemble:{name}@{study.name} takes two trials that have kept their models and can be averaged, "
            f"that study has {len(places)}: name a trial"
        )
    trials = [candidates.members[place] for place in places]
    pool = Pool(
        [
            (y_NC, p_MNC[places])
            for y_NC, p_MNC in zip(candidates.targets, candidates.predictions, strict=True)
        ],
        [trial.cost for trial in trials],
        adds=COSTS[study.cost].adds,
        scorer=candidates.scorer,
    )
    found = {}
    for place, fold in enumerate(store.folds(trials[0].id)):
        weight_M = choosers(DEFAULT_SIZE)[name](pool, [other for other in pool.folds if other != place])
        found[fold.fold] = [
            (trial, float(weight)) for trial, weight in zip(trials, weight_M, strict=True) if weight > 0
        ]
    return found
