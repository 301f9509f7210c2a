"""evaluation-*.html: models on held-out records as one page, made from the document."""

from collections.abc import Mapping, Sequence
from typing import Any

from reports.evaluation.charts import (
    CLASS_SCORES,
    MODEL_KEYS,
    N_FIGURED,
    SIDE_BY_SIDE_KEYS,
    TRUST_KEYS,
    overall,
)
from reports.evaluation.schema import (
    Decision,
    EvaluationReport,
    Model,
    ModelScores,
    RecordSetScores,
)
from reports.evaluation.scores import COMPARED, RANKING_SCORES
from reports.figures.charts import Chart
from reports.numbers import (
    NOTHING,
    count_words,
    duration_words,
    integer_words,
    interval_words,
    p_words,
    percent_words,
    score_words,
    whole_percent_words,
)
from reports.page.layout import render
from reports.page.tables import Table, operating_point_table, signed_words, subgroup_table
from reports.parts import opening_words
from reports.published import TABLE_2, Anchor
from reports.schema import SealedFoldOpening
from reports.words import METRIC_WORDS, estimate_words, reported_data_words, sentence, slug

SEVERAL_LABELS = (
    *("hamming_loss", "macro_f1", "macro_precision", "macro_recall", "macro_specificity"),
    *("macro_balanced_accuracy", "micro_f1", "micro_precision", "micro_recall", "weighted_f1"),
    "subset_accuracy",
)
ONE_LABEL = (
    *("accuracy", "macro_f1", "weighted_f1", "kappa", "quadratic_kappa", "macro_precision", "macro_recall"),
    *("macro_specificity", "weighted_precision", "weighted_recall"),
)
"""Scores of decisions, where a record has several classes or one."""
SHORT_DECISIONS: Mapping[Decision, str] = {"half": "at .5", "f1": "at best F1", "argmax": ""}
N_OPENINGS = 50
"""Openings listed; the JSON file has all."""


def evaluation_page(
    report: EvaluationReport, name: str, charts: Sequence[Chart], stills: Mapping[str, bytes]
) -> str:
    """The page as text.

    Args:
        report: the content.
        name: name of its files, without extension.
        charts: its figures.
        stills: SVG of every figure, by key.
    """
    keys = [chart.key for chart in charts]
    drawn = [each for each in report.record_sets if each.drawn]
    others = [each for each in report.record_sets if not each.drawn]
    training = [key for key in keys if key.startswith("training-")]
    sections = [
        ("verdict", "Verdict"),
        ("models", "Models"),
        *((each.key, _title(each)) for each in drawn),
        *([("tiers", "Other tiers")] if others else []),
        *([("training", "Training")] if training else []),
        ("provenance", "Provenance"),
    ]
    return render(
        "evaluation/page.html.j2",
        charts,
        stills,
        title=f"{report.study}: models on held-out records",
        synthetic=report.synthetic,
        doc=report,
        name=name,
        sections=sections,
        data_words=reported_data_words(report.data),
        models=_models(report.models),
        sets=[_record_set(each, keys, report) for each in drawn],
        others=_others(others) if others else None,
        training=training,
        openings=_opening_lines(report.openings, report.study),
    )


def _title(each: RecordSetScores) -> str:
    return f"{sentence(each.records)}, {each.tier}"


def _models(models: Sequence[Model]) -> Table:
    rows = []
    for model in models:
        epochs = ", ".join(str(each.epochs_trained) for each in model.training) or NOTHING
        seconds = sum(each.seconds for each in model.training)
        rows.append(
            [
                model.name,
                model.description,
                integer_words(model.parameters),
                model.label_tier,
                model.protocol,
                epochs,
                duration_words(seconds) if model.training else NOTHING,
                NOTHING if model.evaluation is None else str(model.evaluation),
            ]
        )
    return Table(
        label="Models",
        caption="From few parameters to many. Epochs are of every network trained, time is of all of them.",
        headings=(
            *("model", "architecture", "parameters", "trained on", "protocol", "epochs", "training"),
            "evaluation",
        ),
        rows=rows,
        words=(1, 4),
    )


def _record_set(each: RecordSetScores, keys: Sequence[str], report: EvaluationReport) -> dict[str, Any]:
    """A set of records as the template shows it."""
    of_models = {
        model.model: _of(keys, f"{each.key}-{slug(model.model)}", MODEL_KEYS) for model in each.models
    }
    patients = "" if each.n_patients is None else f" of {count_words(each.n_patients, 'patient')}"
    n_left = len(each.models) - N_FIGURED
    anchors = [] if each.external else [one for one in report.anchors if one.tier == each.tier]
    return {
        "key": each.key,
        "title": _title(each),
        "lead": f"{count_words(each.n_records, 'record')}{patients}; "
        f"{count_words(len(each.class_names), 'class', 'classes')}"
        + (", of which a record has exactly one" if each.exclusive else "")
        + (". A data set of its own, which no model was trained on." if each.external else "."),
        "left_out": _left_out(each),
        "notes": each.notes,
        "charts": _of(keys, each.key, SIDE_BY_SIDE_KEYS),
        "knows": _of(keys, each.key, TRUST_KEYS),
        "scores": _scores(each),
        "differences": _differences(each) if each.differences else None,
        "anchors": anchors,
        "table_2": _table_2(anchors),
        "models": [
            {
                "name": model.model,
                "charts": of_models[model.model],
                "classes": _classes(each, model),
                "operating_points": operating_point_table(
                    model.model,
                    count_words(each.n_records, "record"),
                    {row.class_: row.operating_points for row in model.classes},
                ),
                "counts": _counts(each, model),
            }
            for model in each.models
        ],
        "unfigured": f"{count_words(n_left, 'model')} without figures of their own" if n_left > 0 else "",
        "calibration": _calibration(each),
        "coverage": _coverage(each),
        "subgroups": subgroup_table(each.subgroups),
    }


def _of(keys: Sequence[str], prefix: str, wanted: Sequence[str]) -> list[str]:
    return [key for name in wanted if (key := f"{prefix}-{name}") in keys]


def _left_out(each: RecordSetScores) -> str:
    by_reason: dict[str, list[str]] = {}
    for name, reason in each.left_out.items():
        by_reason.setdefault(reason, []).append(name)
    listed = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in by_reason.items())
    n = count_words(len(each.left_out), "class", "classes")
    return f"{n} left out of the means: {listed}." if listed else ""


def _scores(each: RecordSetScores) -> Table:
    """Every score as a row, every model as a column."""
    rows = [
        [METRIC_WORDS[name], *(estimate_words(model.ranking[name]) for model in each.models)]
        for name in RANKING_SCORES
    ]
    if any(model.seed_deviation for model in each.models):
        rows += [
            [
                f"SD over seeds, {METRIC_WORDS[name]}",
                *(score_words(model.seed_deviation.get(name)) for model in each.models),
            ]
            for name in COMPARED
        ]
    wanted = ONE_LABEL if each.exclusive else SEVERAL_LABELS
    for decision, short in SHORT_DECISIONS.items():
        ways = [
            next((way.scores for way in model.decisions if way.decision == decision), None)
            for model in each.models
        ]
        if any(ways):
            rows += [
                [
                    f"{METRIC_WORDS[name]}, {short}" if short else METRIC_WORDS[name],
                    *(estimate_words(None if way is None else way.get(name)) for way in ways),
                ]
                for name in wanted
                if any(way is not None and name in way for way in ways)
            ]
    rows += [
        ["ρ of F1 with prevalence", *(_rho(model) for model in each.models)],
        ["p of ρ", *(p_words(model.prevalence_f1.p) for model in each.models)],
        ["n of ρ, classes", *(str(model.prevalence_f1.n) for model in each.models)],
    ]
    how = (
        "The most probable class is the decision."
        if each.exclusive
        else "Decisions at .5, and at thresholds of best F1 on other records (see Models)."
    )
    return Table(
        label="Scores",
        caption=f"Scores with 95 % intervals, n = {count_words(each.n_records, 'record')}. {how}",
        headings=("score", *(model.model for model in each.models)),
        rows=rows,
    )


def _table_2(anchors: Sequence[Anchor]) -> Table | None:
    """The eleven metrics of the published results that have them, in the rows of `_scores`."""
    found = [anchor for anchor in anchors if anchor.metrics]
    if not found:
        return None
    sources = "; ".join(dict.fromkeys(anchor.source for anchor in found))
    return Table(
        label="Published results, all metrics",
        caption=f"{sources}. Decisions at .5.",
        headings=("score", *(anchor.name for anchor in found)),
        rows=[
            [METRIC_WORDS[name], *(score_words(anchor.metrics.get(name)) for anchor in found)]
            for name in TABLE_2
        ],
    )


def _rho(model: ModelScores) -> str:
    found = model.prevalence_f1
    return interval_words(found.value, found.low, found.high)


def _differences(each: RecordSetScores) -> Table:
    return Table(
        label="Differences between models",
        caption="Paired differences, the model less the other; p adjusted over all pairs.",
        headings=("model", "other", "score", "difference", "p", "adjusted p", "distinguishable"),
        rows=[
            [
                row.model,
                row.other,
                METRIC_WORDS[row.score],
                signed_words(row.difference),
                p_words(row.p),
                p_words(row.p_adjusted),
                "yes" if row.distinguishable else "no",
            ]
            for row in each.differences
        ],
        words=(1, 2),
    )


def _classes(each: RecordSetScores, model: ModelScores) -> Table:
    support = {row.class_: row for row in each.classes}
    rows = [
        [
            row.class_,
            integer_words(support[row.class_].n_positive),
            percent_words(support[row.class_].prevalence),
            *(estimate_words(row.scores[name]) for _, name in CLASS_SCORES),
        ]
        for row in model.classes
    ]
    shown = next(way.scores for way in model.decisions if way.decision == model.shown)
    scored = {**shown, **model.ranking}
    total = sum(row.n_positive for row in each.classes)
    for kind in ("macro", "weighted", "micro"):
        cells = [scored.get(f"{kind}_{name}") for _, name in CLASS_SCORES]
        if any(cell is not None for cell in cells):
            rows.append([f"{kind} average", integer_words(total), "", *map(estimate_words, cells)])
    return Table(
        label=f"Classes, {model.model}",
        caption=f"Classes as {model.model} recognises them, frequent ones first. Support: positive records "
        f"of {integer_words(each.n_records)}.",
        headings=("class", "support", "prevalence", *(words for words, _ in CLASS_SCORES)),
        rows=rows,
    )


def _counts(each: RecordSetScores, model: ModelScores) -> Table:
    rows = [
        [
            row.class_,
            *([] if model.shown == "argmax" else [score_words(row.threshold)]),
            *(integer_words(count) for line in row.confusion for count in line),
        ]
        for row in model.classes
    ]
    return Table(
        label=f"Decisions, {model.model}",
        caption=f"Decisions of {model.model} on {count_words(each.n_records, 'record')}.",
        headings=(
            *("class", *([] if model.shown == "argmax" else ["threshold"])),
            *("true negatives", "false positives", "false negatives", "true positives"),
        ),
        rows=rows,
    )


def _calibration(each: RecordSetScores) -> Table:
    rows = []
    for model in each.models:
        for row in model.calibration:
            risk = model.risk_coverage
            rows.append(
                [
                    model.model,
                    row.words,
                    estimate_words(row.error),
                    estimate_words(row.class_error),
                    estimate_words(None if risk is None else risk.area)
                    if row is model.calibration[-1]
                    else "",
                    estimate_words(None if risk is None else risk.risk_of_all)
                    if row is model.calibration[-1]
                    else "",
                ]
            )
    what = "the most probable class" if each.exclusive else "all classes together"
    return Table(
        label="Calibration",
        caption=f"Expected calibration error (ECE) of {what}, and area under risk against coverage; the risk "
        "of all is the area that a random order has.",
        headings=(
            "model",
            "probabilities",
            "ECE",
            "ECE, mean of classes",
            "risk–coverage area",
            "risk of all",
        ),
        rows=rows,
        words=(1,),
    )


def _coverage(each: RecordSetScores) -> Table | None:
    rows = [
        [
            model.model,
            row.kind,
            whole_percent_words(row.confidence),
            estimate_words(row.coverage),
            estimate_words(row.coverage_of_positives),
            estimate_words(row.undecided),
            estimate_words(row.empty),
            str(row.n_classes),
            integer_words(row.n_calibration),
        ]
        for model in each.models
        for row in model.sets
    ]
    if not rows:
        return None
    return Table(
        label="Conformal sets",
        caption="Conformal sets: the share promised to hold the truth, and the share that does.",
        headings=(
            *("model", "promise", "promised", "covered", "covered, positives", "left open", "empty"),
            *("classes", "calibration records"),
        ),
        rows=rows,
        words=(1,),
    )


def _others(sets: Sequence[RecordSetScores]) -> Table:
    """The most important scores of the sets that have no figures."""
    rows = []
    for each in sets:
        for model in each.models:
            accuracy = overall(model, "accuracy")
            rows.append(
                [
                    _title(each),
                    model.model,
                    str(len(each.class_names) - len(each.left_out)),
                    integer_words(each.n_records),
                    estimate_words(model.ranking["macro_auprc"]),
                    estimate_words(model.ranking["macro_auroc"]),
                    estimate_words(model.ranking["micro_auroc"]),
                    estimate_words(overall(model, "macro_f1")),
                    estimate_words(accuracy),
                    estimate_words(model.calibration[-1].error),
                ]
            )
    return Table(
        label="Other tiers",
        caption="The same models at other tiers that their labels reach. Scores of tiers cannot be compared. "
        "The CSV and JSON files have every class.",
        headings=(
            *("records and tier", "model", "classes", "n", "macro AUPRC", "macro AUROC", "micro AUROC"),
            *("macro F1", "accuracy", "ECE"),
        ),
        rows=rows,
        words=(1,),
    )


def _opening_lines(openings: Sequence[SealedFoldOpening], study: str) -> list[str]:
    """The latest openings of the sealed fold, oldest first."""
    lines = []
    for number, opening in enumerate(openings, start=1):
        when = "" if opening.at is None else f"{opening.at[:16].replace('T', ' ')} UTC"
        lines.append(f"{number}. {when} {opening_words(opening, study)}".strip())
    return lines[-N_OPENINGS:]
