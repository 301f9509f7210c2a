"""`python -m search stress`: models of a study on disturbed records that they were not trained on.

Shapes: N record, L lead, T time, C class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from reports.findings.comparisons import Folds
from reports.folder import Written
from reports.stress.document import stress_document
from reports.stress.report import write_stress
from reports.stress.schema import Condition, StressReport
from reports.stress.scores import StressScorer
from scores.objectives import OBJECTIVES
from search.data.dataset import Development
from search.data.feature_table import features_of_signals
from search.data.folds import Fold, cv_folds
from search.errors import DataError, StudyMismatchError, UsageError
from search.export.source import Exported, average_of_folds, trial_numbered, trials_of_front
from search.stress.disturbances import UNDISTURBED, Disturbance, Records, disturbances, row_keys
from search.study.data import find_development_of
from search.study.space_file import use_space_of
from search.training.scoring import TierScorers, project_to
from search.watch.progress import progress_bar
from storage import Store, StudyRecord, TrialRecord, open_store

ROWS_AT_ONCE = 1_024
"""Records disturbed together; at 500 Hz and twelve leads an array of as many takes 123 MB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StressOptions:
    """The command line of `stress`."""

    storage: str
    study: str | None = None
    trial: int | None = None
    front: bool = False
    data: str | None = None
    space: str | None = None
    """The space file of the study, if it has one."""
    seed: int = 0
    out: Path | None = None


def stress(options: StressOptions, console: Console) -> Written[StressReport]:
    """Carry out `stress`.

    Raises:
        SearchError: anything the user has to put right.
        reports.errors.ReportError: the files cannot be written.
        storage.StorageError: the database or an artifact cannot be read.
    """
    if (options.trial is not None) == options.front:
        raise UsageError("name what to disturb records for: --trial N or --front")
    if options.seed < 0:
        raise UsageError(f"--seed {options.seed}: must be 0 or more")
    with open_store(options.storage, create=False) as store:
        study = store.study_or_last(options.study)
        use_space_of(study, options.space)
        models, left_out = _named_models(store, study, options)
    data = _data_of(study, options.data, console)
    folds = cv_folds(data.strat_fold, data.fold_plan)
    scorer = StressScorer(
        [data.y[study.target][fold.validation] for fold in folds],
        [data.patient_id[fold.validation] for fold in folds],
        scorer=TierScorers(data, OBJECTIVES[study.objective]).of(study.target),
    )
    found, not_applied = disturbances(data.leads, data.rate_hz, seed=options.seed)
    conditions = [UNDISTURBED, *(condition for each in found for condition in each.conditions)]
    as_they_are = Disturbance(conditions=(UNDISTURBED,), disturb=lambda records: iter([records.x_NLT]))
    n_answers = len(conditions) * len(data)
    scores = []
    with progress_bar(console, "Disturbing records", n_answers) as advance:
        n_done = 0

        def answered(n_records: int) -> None:
            nonlocal n_done
            n_done += n_records
            advance(n_done, n_answers)

        for disturbance in (as_they_are, *found):
            answers = _answers(disturbance, models, data, folds=folds, target=study.target, answered=answered)
            scores += [(condition, scorer(predicted)) for condition, predicted in answers]
    (_, undisturbed), *disturbed = scores
    report = stress_document(
        study,
        [trial for trial, _ in models],
        leads=data.leads,
        scorer=scorer,
        undisturbed=undisturbed,
        disturbed=disturbed,
        not_applied=not_applied,
        left_out=left_out,
        seed=options.seed,
        whole_front=options.front,
    )
    return write_stress(report, options.out)


def _data_of(study: StudyRecord, choice: str | None, console: Console) -> Development:
    """The data of a study.

    Raises:
        UsageError: none were named, and those found are not there or others.
        SearchError: data that were named are none, or those of another study.
    """
    try:
        return find_development_of(study, choice, console)
    except (DataError, StudyMismatchError) as error:
        if choice is not None:
            raise
        raise UsageError(
            f"the data of study {study.name} are not at hand: give --data DIR ({error})"
        ) from error


def _named_models(
    store: Store, study: StudyRecord, options: StressOptions
) -> tuple[list[tuple[TrialRecord, Exported]], list[str]]:
    """Trials with their models, from the cheapest, and why others of the front are left out.

    Raises:
        UsageError: there is no such trial, or no model has been kept.
    """
    if options.trial is not None:
        trial = trial_numbered(store, study, options.trial)
        return [(trial, average_of_folds(store, study, trial))], []
    models, left_out = [], []
    for trial in trials_of_front(store, study):
        try:
            models.append((trial, average_of_folds(store, study, trial)))
        except UsageError as error:
            left_out.append(str(error))
    if not models:
        raise UsageError(left_out[0])
    return models, left_out


def _answers(
    disturbance: Disturbance,
    models: Sequence[tuple[TrialRecord, Exported]],
    data: Development,
    *,
    folds: Sequence[Fold],
    target: str,
    answered: Callable[[int], None],
) -> Iterator[tuple[Condition, dict[int, Folds]]]:
    """Out-of-fold predictions of the models on the target under each condition of a disturbance.

    Args:
        disturbance: of the records.
        models: of the CV folds of each trial.
        data: records as they are.
        folds: which records are held out.
        target: tier to project onto.
        answered: called with the number of records that all models have answered.
    """
    keys = row_keys(data.ecg_id)
    parts: list[dict[int, list[list[NDArray[np.float32]]]]] = [
        {trial.number: [[] for _ in folds] for trial, _ in models} for _ in disturbance.conditions
    ]
    for place, fold in enumerate(folds):
        for start in range(0, len(fold.validation), ROWS_AT_ONCE):
            rows = fold.validation[start : start + ROWS_AT_ONCE]
            records = Records(x_NLT=np.asarray(data.x_NLT[rows]), keys=[keys[row] for row in rows])
            for of_condition, x_NLT in zip(parts, disturbance.disturb(records), strict=True):
                f_NK: dict[str, NDArray[np.float32]] = {}
                for trial, exported in models:
                    member = next(each for each in exported.members if each.fold == fold.number)
                    leads = member.kept.architecture.leads
                    entering = replace(data, x_NLT=x_NLT).of_leads(leads)
                    if exported.has_features and leads not in f_NK:
                        f_NK[leads] = features_of_signals(entering, rows, entering.x_NLT)
                    p_NC = member.kept.predict(entering.x_NLT, f_NK.get(leads))
                    of_condition[trial.number][place].append(
                        project_to(data.hierarchy, exported.tier, target, p_NC)
                    )
                answered(len(rows))
    y_FNC = [data.y[target][fold.validation] for fold in folds]
    for condition, of_condition in zip(disturbance.conditions, parts, strict=True):
        yield (
            condition,
            {
                number: [(y_NC, np.concatenate(p_NC)) for y_NC, p_NC in zip(y_FNC, of_folds, strict=True)]
                for number, of_folds in of_condition.items()
            },
        )
