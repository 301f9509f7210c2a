"""Ensembles that a command line names, as `search ensemble` builds them."""

from __future__ import annotations

from reports.ensembles.averaging import DEFAULT_SIZE
from reports.ensembles.candidates import load_candidates
from reports.ensembles.study import Ensemble, build_ensembles, choosers
from search.errors import UsageError
from storage import Store, StudyRecord


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
    # Resamples say how good it is in cross-validation, which nobody asks for here.
    built = build_ensembles(load_candidates(store, study.name), DEFAULT_SIZE, n_resamples=1)
    return next(ensemble for ensemble in built.ensembles if ensemble.name == name)
