"""The content of an evaluation page, filled from arrays; page, figures, CSV and LaTeX are made from it alone.

The fields are documented in `reports.evaluation.schema`. Nothing depends on when or where it is made.
"""

from collections.abc import Sequence

from reports.evaluation.evidence import PageEvidence
from reports.evaluation.schema import EvaluationReport, ModelScores, RecordSetScores
from reports.evaluation.scores import record_set_scores
from reports.findings.subgroups import SUBGROUP_METHOD, served_worst
from reports.numbers import (
    count_words,
    equation_words,
    interval_words,
    percent_words,
    score_words,
    whole_percent_words,
)
from reports.parts import sealed_fold_documents, sealed_fold_words
from reports.schema import SealedFoldOpening
from reports.words import sentence, slug
from scores.metrics import N_FREQUENT
from scores.side_by_side import N_RESAMPLES


def evaluation_document(held: PageEvidence, *, n_resamples: int = N_RESAMPLES) -> EvaluationReport:
    """The report of models on held-out records."""
    models = sorted(held.models, key=lambda model: (model.parameters, model.name))
    sets = [
        record_set_scores(records, key=slug(f"{records.records}-{records.tier}"), n_resamples=n_resamples)
        for records in held.record_sets
    ]
    openings = sealed_fold_documents(held.openings)
    return EvaluationReport(
        id=held.id,
        study=held.study,
        target=held.target,
        data=held.data,
        synthetic=held.synthetic,
        verdict=[*(_verdict(sets[0]) if sets else ()), *_openings(openings, held.study)],
        models=models,
        record_sets=sets,
        openings=openings,
        anchors=held.anchors,
        methods=_methods(sets, n_resamples, held),
    )


def _verdict(each: RecordSetScores) -> list[str]:
    best = max(each.models, key=lambda model: model.ranking["macro_auprc"].value or 0.0)
    patients = "" if each.n_patients is None else f" of {count_words(each.n_patients, 'patient')}"
    where = f"{count_words(each.n_records, 'record')}{patients}, {each.records}"
    n_scored = len(each.class_names) - len(each.left_out)
    scores = (
        f"macro-AUPRC {_words(best, 'macro_auprc')} and macro-AUROC {_words(best, 'macro_auroc')} over "
        f"{count_words(n_scored, 'class', 'classes')} of tier {each.tier} ({where})"
    )
    lines = [
        f"{sentence(best.model)} has the highest macro-AUPRC of {len(each.models)} models: {scores}."
        if len(each.models) > 1
        else f"{sentence(best.model)} reaches {scores}."
    ]
    lines += _lead(each, best)
    if all(row.n_positive < N_FREQUENT for row in each.classes):
        lines.append(
            f"No class has {N_FREQUENT} positive records here: intervals and differences say little."
        )
    lines += served_worst(each.subgroups, best.model)
    marginal = next((one for one in best.sets if one.kind == "marginal"), None)
    if marginal is not None:
        lines.append(
            f"Its conformal sets at {whole_percent_words(marginal.confidence)} contain the true label in "
            f"{_share_words(marginal.coverage.value)} of cases; "
            f"{_share_words(marginal.undecided.value)} of them are undecided."
        )
    return lines


def _share_words(share: float | None) -> str:
    return "an unknown share" if share is None else percent_words(share)


def _words(model: ModelScores, score: str) -> str:
    found = model.ranking[score]
    return interval_words(found.value, found.low, found.high)


def _lead(each: RecordSetScores, best: ModelScores) -> list[str]:
    """Whether the best model is better than the next, and how many pairs differ at all."""
    found = [row for row in each.differences if row.score == "macro_auprc"]
    if not found:
        return []
    others = sorted(
        (model for model in each.models if model is not best),
        key=lambda model: model.ranking["macro_auprc"].value or 0.0,
    )
    second = others[-1]
    row = next(row for row in found if {row.model, row.other} == {best.model, second.model})
    sign = 1 if row.model == best.model else -1
    value = None if row.difference.value is None else sign * row.difference.value
    is_real = "is distinguishable" if row.distinguishable else "is not distinguishable"
    n_real = sum(one.distinguishable for one in found)
    return [
        f"Its lead over {second.model}, {score_words(value, signed=True)}, {is_real} from zero "
        f"({equation_words('adjusted p', row.p_adjusted)})"
        + (f"; {n_real} of {len(found)} pairs of models differ distinguishably." if len(found) > 1 else ".")
    ]


def _openings(openings: Sequence[SealedFoldOpening], study: str) -> list[str]:
    if not openings:
        return []
    more = " A model chosen by results of an earlier opening must be reported as such."
    return [sealed_fold_words(openings, study) + (more if len(openings) > 1 else "")]


def _methods(sets: Sequence[RecordSetScores], n_resamples: int, held: PageEvidence) -> dict[str, str]:
    """Method and n of every kind of number, without anything that did not take place."""
    unknown = sorted({each.records for each in sets if each.n_patients is None})
    drawn = "patients, each with all of its records" + (
        f" (of records for {', '.join(unknown)}, whose patients are not known)," if unknown else ","
    )
    methods = {
        "intervals": (
            f"95 % bootstrap intervals: {n_resamples:,} resamples of {drawn} by gamma weights, which keep "
            "rare classes in every resample; centred on the score, and ended where a score ends. A statistic "
            "that is the same in every resample has no interval. All models are scored on the same "
            "resamples. Models are taken as they are: intervals do not cover another training."
        ),
        "classes": (
            "A class without a positive or without a negative record is named and left out of every mean; "
            f"“≥ {N_FREQUENT} positives” leaves out rarer classes as well. Micro averages take every record "
            "and class as one decision."
        ),
        "differences": (
            "Differences are paired, on the same resamples of patients; p is two-sided and adjusted by "
            "Benjamini & Hochberg (1995) over all pairs of models on the same records, tier and score."
        ),
        "calibration": (
            "Expected calibration error over 15 bins (Guo et al. 2017). Temperatures are fitted to "
            "validation records, one for each class, or one for all where a record has exactly one class."
        ),
        "sets": (
            "Split conformal sets (Angelopoulos & Bates 2023): quantiles from the same validation records. "
            "Marginal: for each class over all records; class-conditional: for those with and for those "
            "without each class that has 30 of either kind. Of an exclusive tier a record has one set, "
            "marginal over all records. The promise is for records of the same population."
        ),
    }
    if any(each.subgroups for each in sets):
        methods["subgroups"] = SUBGROUP_METHOD
    if any(len(model.training) > 1 for model in held.models):
        methods["seeds"] = (
            "Statistics of a model with several seeds are means over them; confusion, curves and reliability "
            "diagrams are of the first."
        )
    return methods
