"""Tables of an evaluation for other programs: every statistic as CSV, and the tables of papers for LaTeX."""

from collections.abc import Iterator, Mapping
from typing import Any

from reports.cells import csv_text, tex_table, tex_text
from reports.csv_and_latex import paper_table
from reports.evaluation.schema import EvaluationReport, ModelScores, RecordSetScores
from reports.numbers import NOTHING, integer_words, score_words
from reports.schema import Estimate
from reports.words import SYNTHETIC_NOTE
from scores.operating_points import ALARM_RATE

CSV_COLUMNS = (
    *("study", "synthetic", "records", "external", "tier", "model", "parameters", "statistic", "decision"),
    *("class", "value", "low", "high", "level", "n_records", "n_patients", "n_positive", "threshold"),
    *("group",),
)
LEVEL = 0.95
CLASS_HEADINGS = (
    ("precision", "P"),
    ("recall", "R"),
    ("specificity", "Spec"),
    ("f1", "F1"),
    ("auroc", "AUROC"),
    ("auprc", "AP"),
)
"""Statistics of a class, with the headings of LaTeX."""
Row = dict[str, Any]


def evaluation_csv(report: EvaluationReport) -> str:
    """One line for every statistic of every model on every set of records; no class means all together."""
    parameters = {model.name: model.parameters for model in report.models}
    rows = [
        {
            "study": report.study,
            "synthetic": "SYNTHETIC" if report.synthetic else None,
            "records": each.records,
            "external": each.external,
            "tier": each.tier,
            "model": model.model,
            "parameters": parameters[model.model],
            "n_records": each.n_records,
            "n_patients": each.n_patients,
        }
        | row
        for each in report.record_sets
        for model in each.models
        for row in (*_statistics(each, model), *_of_subgroups(each, model.model))
    ]
    return csv_text(rows, CSV_COLUMNS)


def _statistics(each: RecordSetScores, model: ModelScores) -> Iterator[Row]:
    for name, found in model.ranking.items():
        yield _row(name, found)
    for way in model.decisions:
        for name, found in way.scores.items():
            yield _row(name, found, decision=way.decision)
    support = {row.class_: row.n_positive for row in each.classes}
    for row in model.classes:
        about = {"class": row.class_, "n_positive": support[row.class_]}
        decided = {"decision": model.shown, "threshold": row.threshold}
        for name, found in row.scores.items():
            yield _row(name, found, **about, **({} if name in {"auroc", "auprc"} else decided))
        for name, found in row.operating_points.items():
            yield _row(name, found, **about, **(decided if name == ALARM_RATE else {}))
    correlation = model.prevalence_f1
    yield _row(
        "spearman_prevalence_f1",
        Estimate(value=correlation.value, low=correlation.low, high=correlation.high),
        decision=model.shown,
    )
    for calibration in model.calibration:
        yield _row("calibration_error", calibration.error, decision=calibration.words)
        if calibration.class_error is not None:
            yield _row("class_calibration_error", calibration.class_error, decision=calibration.words)
    if model.risk_coverage is not None:
        yield _row("risk_coverage_area", model.risk_coverage.area, decision=model.shown)
        yield _row("risk_of_all", model.risk_coverage.risk_of_all, decision=model.shown)
    for sets in model.sets:
        kind = f"{sets.kind} sets at {sets.confidence:g}"
        yield _row("set_coverage", sets.coverage, decision=kind)
        if sets.coverage_of_positives is not None:
            yield _row("set_coverage_of_positives", sets.coverage_of_positives, decision=kind)
        yield _row("set_undecided", sets.undecided, decision=kind)
        yield _row("set_empty", sets.empty, decision=kind)


def _of_subgroups(each: RecordSetScores, model: str) -> Iterator[Row]:
    """Scores of a model by groups; counts are those of the group."""
    for group in each.subgroups:
        found = group.models.get(model)
        if found is None:
            continue
        counts = {"n_records": group.n_records, "n_patients": group.n_patients}
        where = {"group": f"{group.attribute}: {group.group}", **counts}
        for name, one in found.scores.items():
            yield _row(name, one, **where)
        for name, one in found.differences.items():
            yield _row(f"{name}_less_others", one, **where)


def _row(statistic: str, found: Estimate, **more: Any) -> Row:
    level = None if found.low is None else LEVEL
    values = {"value": found.value, "low": found.low, "high": found.high, "level": level}
    return {"statistic": statistic, **values, **more}


def evaluation_tex(report: EvaluationReport) -> str:
    """All metrics of the models side by side, then a classification report of each, as LaTeX."""
    tables = []
    for each in report.record_sets:
        members = [
            (_name(model, way.decision), _metrics(model, way.scores))
            for model in each.models
            for way in model.decisions
        ]
        tables.append(paper_table(members, caption=_caption(report, each, "All metrics")))
        if each.drawn:
            tables += [_classes_table(report, each, model) for model in each.models]
    return "\n".join(tables)


def _name(model: ModelScores, decision: str) -> str:
    if len(model.decisions) == 1:
        return model.model
    return f"{model.model}, {'.5' if decision == 'half' else 'best F1'}"


def _metrics(model: ModelScores, scores: Mapping[str, Estimate]) -> dict[str, float | None]:
    return {name: found.value for name, found in {**model.ranking, **scores}.items()}


def _classes_table(report: EvaluationReport, each: RecordSetScores, model: ModelScores) -> str:
    """Precision, recall, … and support of every class, with macro and weighted averages."""
    support = {row.class_: row.n_positive for row in each.classes}
    rows = [
        [
            tex_text(row.class_),
            *(_number(row.scores[name].value) for name, _ in CLASS_HEADINGS),
            _count(support[row.class_]),
        ]
        for row in model.classes
    ]
    scores = next(way.scores for way in model.decisions if way.decision == model.shown)
    averages = {**scores, **model.ranking}
    for kind in ("macro", "weighted", "micro"):
        found = [averages.get(f"{kind}_{name}") for name, _ in CLASS_HEADINGS]
        if any(found):
            cells = [_number(None if one is None else one.value) for one in found]
            rows.append([f"{kind} average", *cells, _count(sum(support.values()))])
    return tex_table(
        ["class", *(heading for _, heading in CLASS_HEADINGS), "support"],
        rows,
        alignment="l" + "r" * (len(CLASS_HEADINGS) + 1),
        caption=_caption(report, each, f"Classes as {model.model} recognises them"),
    )


def _number(value: float | None) -> str:
    return tex_text(NOTHING if value is None else score_words(value))


def _count(number: int) -> str:
    return integer_words(number).replace(",", r"\,")


def _caption(report: EvaluationReport, each: RecordSetScores, what: str) -> str:
    synthetic = f" {SYNTHETIC_NOTE}." if report.synthetic else ""
    return (
        f"{what}; {integer_words(each.n_records)} records of {each.records}, tier {each.tier}; "
        f"study {report.study}, {report.data.name}.{synthetic}"
    )
