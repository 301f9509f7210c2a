"""The content of a report, filled from the evidence; page, figures, CSV and LaTeX are made from it alone.

The fields are documented in `reports.schema`. Nothing depends on when or where the report is made.
"""

import math
from collections.abc import Sequence

from reports import schema
from reports.evaluation.groups import evaluation_groups, page_name, reported_tier
from reports.evidence import Evidence, lead_fronts, tiers_reached
from reports.findings.axes import Axis, level_words
from reports.findings.comparisons import N_RESAMPLES, Intervals, intervals
from reports.findings.compute import hypervolume_history, race_ledger
from reports.findings.effects import Effect, axis_effects
from reports.findings.luck import expectations
from reports.findings.methods import methods
from reports.findings.one_trial import closer_look
from reports.findings.picking import picks
from reports.findings.sentences import axis_answer, effect_words, verdict
from reports.findings.subgroups import SUBGROUP_METHOD
from reports.parts import (
    curve_document,
    data_document,
    finite_scores,
    gain_document,
    interval_document,
    sealed_fold_documents,
    training_noise_document,
)
from reports.published import anchors_of
from reports.schema import Report, finite, score_fields
from reports.words import direction, ending_words, recurrent_kind
from scores.bootstrap import Interval
from scores.costs import DEFAULT_COST
from scores.front import front_trials
from scores.metrics import N_FREQUENT
from scores.objectives import OBJECTIVES
from scores.optimism import Expected
from scores.over_folds import fold_mean, standard_deviation, standard_error
from storage.records import STATES, StudyRecord, TrialRecord


def report_document(evidence: Evidence, *, n_resamples: int = N_RESAMPLES) -> Report:
    """The report of a study."""
    study, trials = evidence.study, evidence.trials
    scored = intervals(evidence, n_resamples=n_resamples)
    effects = axis_effects(trials, study.target)
    expected = expectations(evidence, scored)
    front = [trial.number for trial in front_trials(trials)]
    on_front = set(front)
    look = None if evidence.closer is None else closer_look(study, *evidence.closer)
    return Report(
        study=study.name,
        target=study.target,
        n_classes=len(study.tier_classes.get(study.target, ())) or None,
        space=study.space,
        data=data_document(study),
        settings=study.settings,
        counts={state: sum(trial.state == state for trial in trials) for state in STATES},
        verdict=verdict(evidence, scored, expected, effects),
        front=front,
        picks=picks(evidence, scored, expected),
        tiers=[tier_document(evidence, scored, tier) for tier in tiers_reached(study, trials)],
        close=[
            close_document(evidence, scored, trial, expected.get(trial.number))
            for trial in trials
            if trial.number in evidence.close
        ],
        comparisons=_comparisons(scored),
        axis_effects=[_axis(axis, found, study.cost) for axis, found in effects],
        classes=_classes(evidence, scored),
        closer_look=look,
        hypervolume=hypervolume_history(
            trials,
            at_least=study.settings.get("at_least", OBJECTIVES[study.objective].least),
            smallest=study.settings.get("smallest", 1),
            cost=study.cost,
        ),
        race=race_ledger(study, trials),
        failures=[_failure(trial) for trial in trials if trial.failure is not None],
        anchors=anchors_of(study),
        trials=[
            trial_document(trial, on_front=trial.number in on_front, objective=study.objective)
            for trial in trials
        ],
        provenance=_provenance(evidence),
        methods=methods(evidence, scored, effects, expected)
        | ({"subgroups": SUBGROUP_METHOD} if look is not None and look.subgroups else {}),
        evaluations=_evaluations(evidence),
        gains=[gain_document(gain) for gain in evidence.gains],
        objective=study.objective,
        cost=study.cost,
        lead_fronts=_lead_fronts(evidence, scored),
        training_noise=training_noise_document(trials),
    )


def _evaluations(evidence: Evidence) -> list[schema.EvaluationSummary]:
    pages = {
        number: page_name(group.id)
        for group in evaluation_groups(evidence.evaluations)
        for number in group.ids
    }
    found = []
    for each in evidence.evaluations:
        tier = reported_tier(evidence.study, each)
        number = each.id or 0
        found.append(
            schema.EvaluationSummary(
                evaluation=number,
                model=each.model,
                parameters=each.parameters,
                fit=each.fit,
                n_seeds=len(each.seeds),
                records=each.records,
                external=each.external,
                tier=tier,
                macro_auprc=finite(each.metrics.get(f"{tier}_macro_auprc")),
                macro_auroc=finite(each.metrics.get(f"{tier}_macro_auroc")),
                at=None if each.at is None else each.at.isoformat(),
                page=pages[number],
            )
        )
    return found


def trial_document(trial: TrialRecord, *, on_front: bool, objective: str) -> schema.Trial:
    """A trial, as in `trials`, of a study with this objective."""
    decision, failure = trial.decision, trial.failure
    return schema.Trial(
        trial=trial.number,
        state=trial.state,
        on_front=on_front,
        preset=trial.preset,
        **score_fields(objective, trial.score),
        mean_of_finished_folds=finite(fold_mean(trial)),
        standard_deviation=finite(standard_deviation(trial)),
        standard_error=finite(standard_error(trial)),
        fold_scores=finite_scores(dict(sorted(trial.fold_scores.items()))),
        tier_scores=finite_scores(dict(sorted(trial.tier_scores.items()))),
        parameters=trial.parameters,
        costs=trial.costs,
        description=trial.description,
        label_tier=trial.label_tier,
        recurrent_kind=recurrent_kind(trial.architecture),
        direction=direction(trial.architecture),
        architecture=trial.architecture,
        architecture_hash=trial.architecture_hash,
        seconds=trial.seconds,
        n_fold_epochs=trial.n_epochs_trained,
        reason=ending_words(trial),
        rival=None if decision is None else decision.rival,
        failure_kind=None if failure is None else failure.kind,
        started_at=None if trial.started_at is None else trial.started_at.isoformat(),
        ended_at=None if trial.ended_at is None else trial.ended_at.isoformat(),
    )


def tier_document(evidence: Evidence, scored: Intervals, tier: str) -> schema.Tier:
    """The front on a tier, as in `tiers`."""
    study = evidence.study
    classes = study.tier_classes.get(tier)
    of_tier = None if tier == study.target else tier
    return schema.Tier(
        tier=tier,
        n_classes=None if classes is None else len(classes),
        chance=_chance(evidence, tier),
        front=[
            _member(study, scored, trial, tier, trial.score if of_tier is None else trial.tier_scores[tier])
            for trial in front_trials(evidence.trials, tier=of_tier)
        ],
    )


def _member(
    study: StudyRecord, scored: Intervals, trial: TrialRecord, tier: str, score: float | None
) -> schema.FrontMember:
    return schema.FrontMember(
        trial=trial.number,
        **score_fields(study.objective, score),
        interval=interval_document(_score(scored, tier, trial.number)),
        parameters=trial.parameters,
        description=trial.description,
        cost=trial.cost,
    )


def _lead_fronts(evidence: Evidence, scored: Intervals) -> list[schema.LeadFront]:
    study = evidence.study
    return [
        schema.LeadFront(
            n_leads=n_leads,
            front=[_member(study, scored, trial, study.target, trial.score) for trial in front],
        )
        for n_leads, front in lead_fronts(study, evidence.trials).items()
    ]


def _score(scored: Intervals, tier: str, number: int) -> Interval | None:
    found = scored.tiers.get(tier, {}).get(number)
    return None if found is None else found.score


def _chance(evidence: Evidence, tier: str) -> float | None:
    """Score of guessing; of macro-AUPRC the mean prevalence of the classes with a positive and a negative."""
    known = OBJECTIVES[evidence.study.objective].chance
    if known is not None:
        return known
    for close in evidence.close.values():
        if tier in close.summary and "n_positive" in close.summary[tier].class_metrics:
            n_records = sum(len(each.ecg_id) for each in close.predictions.values())
            n_records = n_records or evidence.study.n_records
            counts = [n for n in close.summary[tier].class_metrics["n_positive"] if 0 < n < n_records]
            return math.fsum(counts) / len(counts) / n_records if counts and n_records else None
    return None


def close_document(
    evidence: Evidence, scored: Intervals, trial: TrialRecord, expected: Expected | None = None
) -> schema.CloseTrial:
    """A member of a front, or a preset, with all that is known of it."""
    close = evidence.close[trial.number]
    of_target = scored.tiers.get(evidence.study.target, {}).get(trial.number)
    curves = []
    for fold in sorted({epoch.fold for epoch in close.curve}):
        epochs = [epoch for epoch in close.curve if epoch.fold == fold]
        curves.append(curve_document(fold, epochs, objective=evidence.study.objective))
    return schema.CloseTrial(
        trial=trial.number,
        interval=None if of_target is None else interval_document(of_target.score),
        frequent=None if of_target is None else interval_document(of_target.frequent),
        front_share=scored.front_share.get(trial.number),
        expected=None if expected is None else interval_document(expected.interval),
        n_contenders=None if expected is None else expected.n_models,
        on_other_folds=None if expected is None else finite(expected.on_other_folds),
        n_trainings=max(1, len(trial.scores)),
        total_standard_error=_total_standard_error(scored, trial),
        metrics={tier: finite_scores(scores.metrics) for tier, scores in close.summary.items()},
        curves=curves,
        layers=evidence.layers.get(trial.number),
        problem=close.problem,
    )


def _total_standard_error(scored: Intervals, trial: TrialRecord) -> float | None:
    if scored.components is None or trial.number not in scored.patient_variance:
        return None
    variance = scored.components.total(len(trial.scores), scored.patient_variance[trial.number])
    return finite(math.sqrt(variance))


def _comparisons(scored: Intervals) -> list[schema.Comparison]:
    return [
        schema.Comparison(
            trial=each.trial,
            other=each.other,
            kind=each.kind,
            difference=interval_document(each.difference),
            p=finite(each.p),
            p_adjusted=finite(each.p_adjusted),
            distinguishable=each.p_adjusted < 0.05,
        )
        for each in scored.comparisons
    ]


def _axis(axis: Axis, effects: Sequence[Effect], cost: str) -> schema.AxisEffects:
    return schema.AxisEffects(
        axis=axis.name,
        words=axis.words,
        answer=axis_answer(axis, effects),
        effects=[
            schema.Effect(
                base=level_words(axis.name, effect.contrast.base),
                level=level_words(axis.name, effect.contrast.level),
                words=effect_words(effect),
                method=effect.method,
                difference=finite(effect.difference),
                low=finite(effect.low),
                high=finite(effect.high),
                p=finite(effect.p),
                p_adjusted=finite(effect.p_adjusted),
                distinguishable=effect.is_real,
                n=effect.n,
                n_forecasts=effect.n_forecasts,
                parameter_ratio=finite(effect.cost_ratio) if cost == DEFAULT_COST else None,
                cost_ratio=finite(effect.cost_ratio),
            )
            for effect in effects
        ],
    )


def _classes(evidence: Evidence, scored: Intervals) -> list[schema.ClassScores]:
    """Average precision of every class of the target for the members of the front."""
    study = evidence.study
    members = [trial.number for trial in front_trials(evidence.trials) if trial.number in evidence.close]
    columns = {
        number: summary.class_metrics
        for number in members
        if (summary := evidence.close[number].summary.get(study.target)) is not None
        and {"auprc", "n_positive"} <= set(summary.class_metrics)
    }
    if not columns:
        return []
    first = next(iter(columns.values()))
    of_target = scored.tiers.get(study.target, {})
    return [
        schema.ClassScores(
            class_=name,
            n_positive=finite(first["n_positive"][index]),
            prevalence=finite(first["n_positive"][index] / study.n_records) if study.n_records else None,
            frequent=first["n_positive"][index] >= N_FREQUENT,
            auprc=[
                schema.ClassScore(
                    trial=number,
                    value=finite(column["auprc"][index]),
                    interval=interval_document(of_target[number].classes[index])
                    if number in of_target
                    else None,
                )
                for number, column in columns.items()
            ],
        )
        for index, name in enumerate(study.tier_classes[study.target])
    ]


def _failure(trial: TrialRecord) -> schema.Failure:
    failure = trial.failure
    assert failure is not None
    return schema.Failure(
        trial=trial.number,
        state=trial.state,
        description=trial.description,
        kind=failure.kind,
        message=" ".join(failure.message.split()),
        fold=failure.fold,
        epoch=failure.epoch,
    )


def _provenance(evidence: Evidence) -> schema.Provenance:
    workers = [
        schema.Worker(
            command=worker.command,
            device=worker.device,
            versions=dict(sorted(worker.versions.items())),
            commit=worker.commit,
        )
        for worker in evidence.workers
    ]
    created_at = evidence.study.created_at
    return schema.Provenance(
        created_at=None if created_at is None else created_at.isoformat(),
        commands=list(dict.fromkeys(worker.command for worker in evidence.workers)),
        workers=[each for index, each in enumerate(workers) if each not in workers[:index]],
        sealed_fold_openings=sealed_fold_documents(evidence.openings),
    )
