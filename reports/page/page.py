"""index.html: the report of a study as one page, made from the document."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from reports.figures.architecture_drawing import PART_WORDS, architecture_svg, shape_words
from reports.figures.charts import Chart
from reports.figures.front_charts import bars_words, ensemble_members_words
from reports.figures.gallery import TRAINING_KEY, scored_on
from reports.figures.one_trial_charts import CLOSER_KEYS
from reports.findings.one_trial import DECISION_METRICS
from reports.findings.subgroups import served_worst
from reports.numbers import (
    NOTHING,
    cost_words,
    count_words,
    duration_words,
    gain_words,
    integer_words,
    interval_words,
    memory_words,
    p_words,
    percent_words,
    ratio_words,
    score_words,
    whole_percent_words,
)
from reports.page.layout import render
from reports.page.tables import Table, operating_point_table, subgroup_table
from reports.parts import sealed_fold_words
from reports.schema import (
    AxisEffects,
    ClassScores,
    CloseTrial,
    Comparison,
    Effect,
    Ensemble,
    EvaluationSummary,
    Interval,
    Layers,
    LeadFront,
    PrunedTrial,
    Report,
    Trial,
)
from reports.words import counts_words, learning_words, limits_words, reported_data_words, setting_words
from scores.costs import COSTS, LATENCY, LATENCY_P99, THROUGHPUT
from scores.objectives import DEFAULT_OBJECTIVE, OBJECTIVES

Row = Mapping[str, str]
"""Cells of a row of a table, as text, by the names that the template gives them."""
TOLD_APART = ("axes", "data_notes", "earlier_studies")
"""Settings that the page shows elsewhere."""
N_ROWS = 200
"""Rows of the longest tables; the rest is in trials.csv."""
SECTIONS = (
    ("verdict", "Verdict"),
    ("front", "Pareto front"),
    ("axes", "Axes"),
    ("classes", "Classes"),
    ("closer", "A closer look"),
    ("curves", "Learning curves"),
    ("compute", "Compute"),
    ("evaluations", "Held-out records"),
    ("failures", "Failures"),
    ("provenance", "Provenance"),
)


def page(
    report: Report,
    charts: Sequence[Chart],
    stills: Mapping[str, bytes],
    *,
    stress: Mapping[str, str] | None = None,
) -> str:
    """The page as text.

    Args:
        report: the content.
        charts: its figures.
        stills: SVG of every figure, by key.
        stress: pages of stress tests beside it, with what was tested.
    """
    keys = {chart.key for chart in charts}
    return render(
        "page/page.html.j2",
        charts,
        stills,
        title=f"{report.study}: report of an architecture search",
        synthetic=report.data.synthetic,
        doc=report,
        stress=stress or {},
        learning=learning_words(report.settings),
        data_words=reported_data_words(report.data),
        state_words=counts_words(report.counts),
        **_tables(report),
        sections=[each for each in SECTIONS if each[0] != "evaluations" or report.evaluations],
        training_keys=[chart.key for chart in charts if chart.key.startswith(TRAINING_KEY)],
        closer_keys=[chart.key for chart in charts if chart.key in CLOSER_KEYS],
        front_note=_front_note(report),
        sealed_fold_words=sealed_fold_words(report.provenance.sealed_fold_openings, report.study),
        tier_table=_tier_table(report),
        settings_words=_settings_words(report.settings),
        tier_figures=[
            (f"front-{tier.tier}", tier.tier) for tier in report.tiers[1:] if f"front-{tier.tier}" in keys
        ],
    )


def _front_note(report: Report) -> str:
    notes = [f"Bars: {bars_words(report)}."] if report.counts.get("complete") else []
    notes.append("Pruned trials are faint, at the mean of their finished folds.")
    if any(trial.preset for trial in report.trials):
        notes.append("Rings mark presets: published architectures, trained here.")
    is_published = report.objective == DEFAULT_OBJECTIVE
    if is_published and any(anchor.macro_auprc is not None for anchor in report.anchors):
        notes.append("Stars are published scores on fold 10: external, not comparable in detail.")
    if any(each.on_front is not None for each in report.ensembles):
        notes.append(
            "Crosses mark ensembles, averages of trials with the parameters of all members together, scored "
            "in each fold with members and weights chosen on the others."
        )
    if limits := limits_words(report.settings):
        notes.append(f"The study was limited to {limits}: nothing beyond was tried.")
    notes.append("Choose a point to read its architecture.")
    return " ".join(notes)


def _tables(report: Report) -> dict[str, Any]:
    """Variables of the template: rows of the tables, and sentences."""
    trials = {trial.trial: trial for trial in report.trials}
    close = {each.trial: each for each in report.close}
    front = [trials[number] for number in report.front]
    fold_numbers = sorted({fold for trial in front for fold in trial.fold_scores})
    front_rows = [
        _front_row(report, trial, close.get(trial.trial, CloseTrial(trial=trial.trial))) for trial in front
    ]
    return {
        "front_rows": front_rows,
        "objective": OBJECTIVES[report.objective],
        "cost": COSTS[report.cost],
        "has_other_objective": report.objective != DEFAULT_OBJECTIVE,
        "tells_frequent": any(row["frequent"] != row["score"] for row in front_rows),
        "trial_table": _trial_table(report),
        "knows_latency": any(row["latency"] != NOTHING for row in front_rows),
        "knows_trainings": report.training_noise is not None,
        "knows_throughput": any(THROUGHPUT in trial.costs for trial in front),
        "knows_costs": any(row["macs"] != NOTHING for row in front_rows),
        "drawings": [
            {"trial": trial.trial, "description": trial.description, **_drawing(trial, layers)}
            for trial in front
            if trial.trial in close and (layers := close[trial.trial].layers) is not None
        ],
        "cost_rows": [_cost_row(trial) for trial in _with_costs(report)],
        "knows_memory": any(row["training_memory"] != NOTHING for row in front_rows),
        "knows_gpu_memory": any(row["gpu_memory"] != NOTHING for row in front_rows),
        "lead_rows": [row for each in report.lead_fronts for row in _lead_rows(each, report.cost)],
        "ensemble_rows": [_ensemble_row(each) for each in report.ensembles],
        "comparison_rows": [_comparison_row(row) for row in report.comparisons],
        "effect_rows": [_effect_row(axis, row) for axis in report.axis_effects for row in axis.effects],
        "closer": _closer(report),
        "class_rows": [_class_row(row) for row in report.classes],
        "evaluation_rows": [_evaluation_row(row) for row in report.evaluations],
        "fold_numbers": fold_numbers,
        "fold_rows": [
            {
                "trial": trial.trial,
                "cells": [score_words(trial.fold_scores.get(fold)) for fold in fold_numbers],
                "sd": score_words(trial.standard_deviation),
            }
            for trial in front
        ],
        "race_rows": [_race_row(row, report.cost) for row in report.race.pruned[:N_ROWS]],
        "compute_words": f"{_compute_words(report)} {_gain_words(report)}".rstrip(),
        "failure_words": f"{count_words(len(report.failures), 'trial')} ended early; last reasons.",
        "commands": report.provenance.commands,
    }


def _front_row(report: Report, trial: Trial, close: CloseTrial) -> Row:
    metrics = close.metrics.get(report.target, {})
    score = score_words(trial.score, trial.standard_error)
    frequent = score_words(metrics.get("macro_auprc_min10"))
    return {
        "trial": str(trial.trial),
        "description": trial.description,
        "preset": trial.preset or "",
        "parameters": integer_words(trial.parameters),
        **{cost: cost_words(cost, trial.costs.get(cost)) for cost in ("macs", "bytes", "memory")},
        "latency": cost_words(LATENCY, trial.costs.get(LATENCY)),
        "latency_p99": cost_words(LATENCY, trial.costs.get(LATENCY_P99)),
        "throughput": integer_words(trial.costs.get(THROUGHPUT)),
        "score": interval(close.interval) if close.interval else score,
        "auprc": score_words(metrics.get("macro_auprc")),
        "expected": interval(close.expected) if close.expected else NOTHING,
        "n_trainings": integer_words(close.n_trainings),
        "total_standard_error": score_words(close.total_standard_error),
        "frequent": interval(close.frequent) if close.frequent else frequent,
        "auroc": score_words(metrics.get("macro_auroc")),
        "f1": score_words(metrics.get("macro_f1")),
        "front_share": whole_percent_words(close.front_share),
        "seconds": duration_words(trial.seconds),
        "fold_epochs": integer_words(trial.n_fold_epochs),
        "training_memory": memory_words(metrics.get("peak_memory_bytes")),
        "gpu_memory": memory_words(metrics.get("peak_gpu_memory_bytes")),
    }


def _settings_words(settings: Mapping[str, Any]) -> str:
    """Settings of a study but those that have lines of their own, with their names."""
    return "; ".join(
        f"{name} {setting_words(value)}" for name, value in settings.items() if name not in TOLD_APART
    )


def _tier_table(report: Report) -> Table | None:
    """The best trial on every other tier that a trial reaches; None where there are none."""
    scored = {tier.tier: scored_on(report, tier.tier) for tier in report.tiers[1:]}
    trials = {trial.trial: trial for trial in report.trials}
    rows = []
    for tier in report.tiers[1:]:
        if not tier.front or not scored[tier.tier]:
            continue
        best = tier.front[-1]
        rows.append(
            [
                tier.tier,
                integer_words(tier.n_classes),
                score_words(tier.chance),
                str(len(scored[tier.tier])),
                str(len(tier.front)),
                str(best.trial),
                score_words(best.score) if best.interval is None else interval(best.interval),
                cost_words(report.cost, trials[best.trial].cost(report.cost)),
                trials[best.trial].label_tier,
            ]
        )
    if not rows:
        return None
    return Table(
        label="Other tiers",
        caption="The same trials scored on other label tiers, which those reach that are trained on them or "
        "on a finer one. Scores of tiers are not comparable: each has its own classes and its own score of "
        "guessing. Fronts of two trials or more follow as figures.",
        headings=(
            *("tier", "classes", "guessing", "trials", "on its front", "best trial"),
            *(OBJECTIVES[report.objective].short, COSTS[report.cost].head, "trained on"),
        ),
        rows=rows,
    )


def _trial_table(report: Report) -> Table:
    """All trials, the best first, those without a score last."""
    unscored = float("-inf")
    order = sorted(
        report.trials,
        key=lambda trial: (-(unscored if trial.score is None else trial.score), trial.trial),
    )
    knows_latency = any(LATENCY in trial.costs for trial in report.trials)
    costs = ["parameters", "macs", "bytes", "memory", *([LATENCY] if knows_latency else [])]
    return Table(
        label="All trials",
        caption="Every trial, the best first; those without a score follow by number, with the mean of the "
        "folds they finished in brackets. ± is the standard error over folds (SD/√n)."
        + (f" The first {N_ROWS} of {len(order):,}; all are in trials.csv." if len(order) > N_ROWS else ""),
        headings=(
            *("trial", "architecture", OBJECTIVES[report.objective].short),
            *(COSTS[cost].head for cost in costs),
            *("fold-epochs", "training", "state"),
        ),
        rows=[
            [
                str(trial.trial),
                trial.description + (f" (preset {trial.preset})" if trial.preset else ""),
                _score_or_folds(trial),
                *(cost_words(cost, _cost_of(trial, cost)) for cost in costs),
                integer_words(trial.n_fold_epochs),
                duration_words(trial.seconds),
                "on the front" if trial.on_front else trial.state,
            ]
            for trial in order[:N_ROWS]
        ],
        words=(1,),
    )


def _score_or_folds(trial: Trial) -> str:
    if trial.score is not None:
        return score_words(trial.score, trial.standard_error)
    return (
        NOTHING if trial.mean_of_finished_folds is None else f"({score_words(trial.mean_of_finished_folds)})"
    )


def _cost_of(trial: Trial, cost: str) -> int | None:
    return trial.parameters if cost == "parameters" else trial.costs.get(cost)


def _drawing(trial: Trial, layers: Layers) -> dict[str, Any]:
    """The drawing of an architecture, and its layers as a table."""
    return {
        "svg": Markup(architecture_svg(trial.description, layers)),  # noqa: S704 - drawn here, words escaped
        "table": Table(
            label=f"Layers of trial {trial.trial}",
            caption=f"Layers of trial {trial.trial} with the shape that leaves each, channels × samples.",
            headings=("part", "layer", "shape", "parameters", "MACs"),
            rows=[
                [
                    PART_WORDS[layer.part],
                    layer.layer,
                    shape_words(layer),
                    integer_words(layer.parameters),
                    cost_words("macs", layer.macs),
                ]
                for layer in layers.layers
            ],
            words=(1,),
        ),
    }


def _ensemble_row(each: Ensemble) -> Row:
    difference = each.difference
    return {
        "name": each.name,
        "members": ensemble_members_words(each),
        "parameters": integer_words(each.parameters),
        "score": interval_words(each.score, *each.interval),
        "difference": interval_words(difference.value, *difference.interval, signed=True),
        "in_sample": score_words(each.in_sample_score),
        "on_front": "a trial" if each.on_front is None else "yes" if each.on_front else "no",
    }


def _lead_rows(each: LeadFront, cost: str) -> list[Row]:
    return [
        {
            "leads": integer_words(each.n_leads),
            "trial": str(member.trial),
            "description": member.description,
            "cost": cost_words(cost, member.cost),
            "score": score_words(member.score)
            if member.interval is None
            else interval_words(member.interval.value, member.interval.low, member.interval.high),
        }
        for member in each.front
    ]


def _with_costs(report: Report) -> list[Trial]:
    """Presets and members of the front whose costs are kept, by rising cost."""
    shown = [trial for trial in report.trials if trial.costs and (trial.preset or trial.on_front)]
    return sorted(shown, key=lambda trial: (trial.cost(report.cost), trial.trial))


def _cost_row(trial: Trial) -> Row:
    return {
        "trial": str(trial.trial),
        "description": trial.preset or trial.description,
        **{cost: cost_words(cost, trial.costs.get(cost)) for cost in COSTS},
        "latency_p99": cost_words(LATENCY, trial.costs.get(LATENCY_P99)),
        "throughput": integer_words(trial.costs.get(THROUGHPUT)),
    }


def interval(span: Interval | None, *, signed: bool = False) -> str:
    """An interval of the report in words."""
    return NOTHING if span is None else interval_words(span.value, span.low, span.high, signed=signed)


def _comparison_row(row: Comparison) -> Row:
    return {
        "trial": str(row.trial),
        "other": str(row.other),
        "kind": row.kind,
        "difference": interval(row.difference, signed=True),
        "p": p_words(row.p),
        "p_adjusted": p_words(row.p_adjusted),
        "distinguishable": "yes" if row.distinguishable else "no",
    }


def _effect_row(axis: AxisEffects, row: Effect) -> Row:
    return {
        "axis": axis.words,
        "base": row.base,
        "level": row.level,
        "difference": interval_words(row.difference, row.low, row.high, signed=True),
        "p_adjusted": p_words(row.p_adjusted),
        "method": {"paired": "paired", "model": "model-adjusted", "none": "too few trials"}[row.method],
        "n": count_words(row.n, "pair" if row.method == "paired" else "trial"),
        "ratio": ratio_words(row.parameter_ratio if row.cost_ratio is None else row.cost_ratio),
    }


def _class_row(row: ClassScores) -> Row:
    values = [cell.value for cell in row.auprc if cell.value is not None]
    best = row.auprc[-1]
    return {
        "name": row.class_,
        "n_positive": integer_words(row.n_positive),
        "prevalence": percent_words(row.prevalence),
        "best": interval(best.interval) if best.interval else score_words(best.value),
        "range": f"{score_words(min(values))} – {score_words(max(values))}" if values else NOTHING,
    }


def _closer(report: Report) -> dict[str, Any] | None:
    """The trial looked at more closely: its name, and its metrics by the choice of thresholds."""
    look = report.closer_look
    if look is None:
        return None
    trial = next(each for each in report.trials if each.trial == look.trial)
    return {
        "trial": look.trial,
        "description": trial.description,
        "n": count_words(look.n_records, report.data.unit),
        "is_argmax": look.shown == "argmax",
        "subgroups": subgroup_table(look.subgroups),
        "served_worst": served_worst(look.subgroups, f"trial {look.trial}"),
        "operating_points": operating_point_table(
            f"trial {look.trial}",
            f"{count_words(look.n_records, report.data.unit)}, out of fold",
            {row.class_: row.operating_points for row in look.classes},
        )
        if all(row.operating_points for row in look.classes)
        else None,
        "rows": [
            {"words": row.words, "cells": [score_words(row.metrics[name]) for name in DECISION_METRICS]}
            for row in look.policies
        ],
    }


def _evaluation_row(row: EvaluationSummary) -> Row:
    return {
        "evaluation": str(row.evaluation),
        "model": row.model,
        "parameters": integer_words(row.parameters),
        "fit": row.fit,
        "seeds": str(row.n_seeds),
        "records": row.records + (" (external)" if row.external else ""),
        "tier": row.tier,
        "auprc": score_words(row.macro_auprc),
        "auroc": score_words(row.macro_auroc),
        "at": "" if row.at is None else row.at[:16].replace("T", " "),
        "page": row.page,
    }


def _race_row(row: PrunedTrial, cost: str) -> Row:
    return {
        "trial": str(row.trial),
        "description": row.description,
        "cost": cost_words(cost, row.parameters if row.cost is None else row.cost),
        "step": NOTHING if row.fold is None else f"{row.fold}, {row.epoch}",
        "rival": NOTHING if row.rival is None else str(row.rival),
        "needed": score_words(row.needed),
        "predicted": score_words(row.predicted, row.standard_error),
        "probability": p_words(row.probability),
        "fold_epochs": integer_words(row.n_fold_epochs),
    }


def _gain_words(report: Report) -> str:
    if not report.gains:
        return ""
    last = report.gains[-1]
    return (
        f"As of trial {last.trial}, the next trial is {gain_words(last.expected, last.at_most)} "
        "(probability .9)."
    )


def _compute_words(report: Report) -> str:
    race = report.race
    if not race.n_complete and not race.n_pruned:
        return "No trial has finished yet."
    words = (
        f"{count_words(race.n_fold_epochs_trained, 'fold-epoch')} in {duration_words(race.seconds_trained)} "
        f"of training by {race.n_complete:,} complete and {race.n_pruned:,} pruned trials."
    )
    if not race.n_pruned:
        return f"{words} Nothing was pruned."
    saved = "an unknown share" if race.share_saved is None else whole_percent_words(race.share_saved)
    return (
        f"{words} Pruning saved {saved} of the fold-epochs that these trials would have taken "
        f"({integer_words(race.n_fold_epochs_saved)}, about {duration_words(race.seconds_saved)})."
    )
