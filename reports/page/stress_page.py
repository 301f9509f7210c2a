"""stress.html: a stress test as one page, made from the document."""

from collections.abc import Mapping, Sequence

from reports.figures.charts import Chart
from reports.figures.stress_charts import OTHERS
from reports.numbers import NOTHING, cost_words, interval_words, score_words, whole_percent_words
from reports.page.layout import render
from reports.stress_document import numbers_of, score_of
from reports.stress_schema import StressedModel, StressReport, UnderStress
from reports.words import reported_data_words, target_phrase
from scores.costs import COSTS
from scores.objectives import OBJECTIVES

SECTIONS = (
    ("verdict", "Verdict"),
    ("noise", "Noise"),
    ("other", "Other disturbances"),
    ("order", "Order of the trials"),
    ("method", "Method"),
)


def stress_page(
    report: StressReport, charts: Sequence[Chart], stills: Mapping[str, bytes], *, stem: str
) -> str:
    """The page as text.

    Args:
        report: the content.
        charts: its figures.
        stills: SVG of every figure, by key.
        stem: what the names of its files begin with.
    """
    several = len(report.models) > 1
    noisy = [each for each in report.conditions if each.condition.snr_db is not None]
    others = [each for each in report.conditions if each.condition.snr_db is None]
    return render(
        "stress.html.j2",
        charts,
        stills,
        title=f"{report.study} under stress",
        synthetic=report.data.synthetic,
        doc=report,
        stem=stem,
        sections=[each for each in SECTIONS if several or each[0] != "order"],
        several=several,
        objective=OBJECTIVES[report.objective],
        cost=COSTS[report.cost].words,
        data_words=reported_data_words(report.data),
        target_words=target_phrase(report.target, report.n_classes),
        leads=", ".join(report.leads),
        noise_figures=[chart.key for chart in charts if chart.key != OTHERS],
        other_figure=OTHERS,
        model_rows=[_model_row(model, report.cost) for model in report.models],
        noise_rows=[_score_row(each, report) for each in noisy],
        other_rows=[_score_row(each, report) for each in others],
        order_rows=[
            {
                "condition": "undisturbed",
                "tau": NOTHING,
                "best": _trial(report.best),
                "stays": whole_percent_words(report.best_share),
            },
            *(_order_row(each) for each in report.conditions),
        ],
    )


def _trial(number: int | None) -> str:
    return NOTHING if number is None else f"trial {number}"


def _model_row(model: StressedModel, cost: str) -> dict[str, str]:
    return {
        "trial": str(model.trial),
        "description": model.description + (f" (preset {model.preset})" if model.preset else ""),
        "cost": cost_words(cost, model.cost),
        "score": interval_words(*numbers_of(model.undisturbed)),
    }


def _score_row(condition: UnderStress, report: StressReport) -> dict[str, object]:
    scores = [score_of(condition, model.trial) for model in report.models]
    return {
        "condition": condition.condition.words,
        "cells": [
            {
                "score": interval_words(*numbers_of(score.score)),
                "change": interval_words(*numbers_of(score.change), signed=True),
            }
            for score in scores
        ],
    }


def _order_row(condition: UnderStress) -> dict[str, str]:
    return {
        "condition": condition.condition.words,
        "tau": score_words(condition.tau),
        "best": _trial(condition.best),
        "stays": whole_percent_words(condition.best_stays),
    }
