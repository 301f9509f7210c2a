"""The content of a stress test, filled from the scores of trials under every condition."""

from collections.abc import Sequence

from reports import schema
from reports.numbers import count_words, interval_words, score_words, whole_percent_words
from reports.parts import data_document, interval_document
from reports.schema import Number, finite, score_fields
from reports.stress.schema import (
    Condition,
    NotApplied,
    StressedModel,
    StressedScore,
    StressReport,
    UnderStress,
)
from reports.stress.scores import Order, Scores, StressScorer, order_of
from scores.bootstrap import Interval, difference
from scores.objectives import DEFAULT_OBJECTIVE, OBJECTIVES
from storage.records import StudyRecord, TrialRecord

SAME = 0.0005
"""Difference of two scores that three decimals do not show."""


def stress_document(
    study: StudyRecord,
    trials: Sequence[TrialRecord],
    *,
    leads: Sequence[str],
    scorer: StressScorer,
    undisturbed: Scores,
    disturbed: Sequence[tuple[Condition, Scores]],
    not_applied: Sequence[NotApplied],
    left_out: Sequence[str],
    seed: int,
    whole_front: bool,
) -> StressReport:
    """The document.

    Args:
        study: of the trials.
        trials: from the cheapest to the dearest.
        leads: of the records.
        scorer: that made the scores.
        undisturbed: scores on the records as they are, in the order of `trials`.
        disturbed: scores under every condition.
        not_applied: disturbances that the records cannot have.
        left_out: trials of the front that have no models, with the reason.
        seed: of the disturbances.
        whole_front: whether the whole front was tested.
    """
    order = order_of(undisturbed, undisturbed)
    conditions = [_under_stress(study, condition, undisturbed, scores) for condition, scores in disturbed]
    models = [
        StressedModel(
            trial=trial.number,
            description=trial.description,
            preset=trial.preset,
            cost=trial.cost,
            **score_fields(study.objective, trial.score),
            undisturbed=interval_document(undisturbed[trial.number]),
        )
        for trial in trials
    ]
    return StressReport(
        study=study.name,
        target=study.target,
        n_classes=len(study.tier_classes.get(study.target, ())) or None,
        objective=study.objective,
        cost=study.cost,
        data=data_document(study),
        leads=list(leads),
        seed=seed,
        whole_front=whole_front,
        verdict=_verdict(undisturbed, order, conditions),
        models=models,
        best=order.best,
        best_share=finite(order.best_stays),
        conditions=conditions,
        not_applied=list(not_applied),
        left_out=list(left_out),
        method=_method(study, scorer, models),
    )


def _under_stress(
    study: StudyRecord, condition: Condition, undisturbed: Scores, scores: Scores
) -> UnderStress:
    is_usual = study.objective == DEFAULT_OBJECTIVE
    order = order_of(undisturbed, scores)
    return UnderStress(
        condition=condition,
        scores=[
            StressedScore(
                trial=trial,
                score=interval_document(scores[trial]),
                macro_auprc=interval_document(scores[trial]) if is_usual else None,
                change=interval_document(difference(scores[trial], undisturbed[trial])),
            )
            for trial in undisturbed
        ],
        tau=finite(order.tau),
        best=order.best,
        best_stays=finite(order.best_stays),
    )


def score_of(condition: UnderStress, trial: int) -> StressedScore:
    """The score of a trial under a condition."""
    return next(score for score in condition.scores if score.trial == trial)


def numbers_of(span: schema.Interval | None) -> tuple[Number, Number, Number]:
    """Value and ends of an interval, None where it is undefined."""
    return (None, None, None) if span is None else (span.value, span.low, span.high)


def _verdict(undisturbed: Scores, order: Order, conditions: Sequence[UnderStress]) -> list[str]:
    best = order.best
    if best is None:
        return ["No class of the target has records with and without it in any fold, so there is no score."]
    of_best = [(each.condition, score_of(each, best)) for each in conditions]
    changes = [(condition, score.change) for condition, score in of_best if score.change is not None]
    sentences = [_first_words(best, undisturbed[best], len(undisturbed), order.best_stays)]
    if changes:
        lower = [condition for condition, found in changes if found.high < 0]
        condition, most = min(changes, key=lambda each: each[1].value)
        sentences.append(
            f"{len(lower)} of {count_words(len(changes), 'condition')} lower that score by a change whose "
            "interval lies below zero; the lowest change is "
            f"{interval_words(most.value, most.low, most.high, signed=True)}, {condition.words}."
        )
    return sentences + _order_words(best, conditions)


def _first_words(best: int, score: Interval, n_models: int, share: float | None) -> str:
    words = interval_words(score.value, score.low, score.high)
    if n_models == 1:
        return f"Trial {best} scores {words} on undisturbed records."
    draws = "" if share is None else f" (in {whole_percent_words(share)} of the draws)"
    return f"Trial {best} is the best of {n_models} on undisturbed records{draws}: {words}."


def _order_words(best: int, conditions: Sequence[UnderStress]) -> list[str]:
    """Sentences on whether the order of the trials holds; none for a single trial."""
    ranked = [each for each in conditions if each.tau is not None]
    if not ranked:
        return []
    holds = sum(each.tau == 1 for each in ranked)
    stays = sum(each.best == best for each in ranked)
    least = min(ranked, key=lambda each: (each.tau or 0.0, each.best_stays or 0.0))
    found = [
        f"The order of the trials is the same in {holds} of {count_words(len(ranked), 'condition')} "
        f"(Kendall's tau 1), and trial {best} stays the best in {stays}."
    ]
    if holds < len(ranked):
        share = (
            "" if least.best_stays is None else f" (in {whole_percent_words(least.best_stays)} of the draws)"
        )
        is_best = f"trial {best} is best{share}" if least.best == best else f"trial {least.best} is best"
        found.append(
            f"It changes most with {least.condition.words}: tau {score_words(least.tau)}; {is_best} there."
        )
    return found


def _method(study: StudyRecord, scorer: StressScorer, models: Sequence[StressedModel]) -> str:
    unit = str(study.settings.get("unit", "record"))
    drawn = count_words(scorer.n_patients, "patient")
    return (
        "Out of fold: the model of each CV fold answers the records that it was not trained on, and only "
        f"those are disturbed, n = {count_words(scorer.n_records, unit)} of {drawn}. Cross-validated "
        f"{OBJECTIVES[study.objective].words} on the target; 95 % bootstrap intervals from "
        f"{scorer.n_resamples:,} draws of patients, "
        "the same for all conditions and trials, so that changes and orders are paired. They cover neither "
        "random seeds nor the choice of the trials, and are not adjusted for several comparisons. "
        f"{_agreement_words(models)}Signal-to-noise ratios as in the noise stress test of Moody, Muldrow & "
        "Mark (1984), with noise that is drawn, not recorded."
    )


def _agreement_words(models: Sequence[StressedModel]) -> str:
    """Sentence on the agreement of the undisturbed scores with those of the study."""
    apart = [
        abs(model.undisturbed.value - model.score)
        for model in models
        if model.undisturbed is not None and model.score is not None
    ]
    if not apart:
        return ""
    if max(apart) < SAME:
        return "Undisturbed scores are those that the study keeps. "
    return f"Undisturbed scores differ from those that the study keeps by at most {score_words(max(apart))}. "
