"""index.html of a comparison: several studies as one page, made from the document."""

from collections.abc import Mapping, Sequence

from reports.figures.charts import Chart
from reports.numbers import (
    cost_words,
    duration_words,
    hypervolume_words,
    integer_words,
    interval_words,
    percent_words,
    score_words,
)
from reports.page.layout import render
from reports.studies.document import volume_words
from reports.studies.schema import ComparedStudy, Member, StudiesReport
from reports.words import counts_words, reported_data_words, setting_words, target_phrase
from scores.costs import COSTS
from scores.objectives import OBJECTIVES

SECTIONS = (
    ("verdict", "Verdict"),
    ("fronts", "Fronts"),
    ("members", "Members"),
    ("settings", "Settings that differ"),
)


def studies_page(report: StudiesReport, charts: Sequence[Chart], stills: Mapping[str, bytes]) -> str:
    """The page as text.

    Args:
        report: the content.
        charts: its figures.
        stills: SVG of every figure, by key.
    """
    names = [each.study for each in report.studies]
    return render(
        "studies/page.html.j2",
        charts,
        stills,
        title=f"{', '.join(names[:-1])} and {names[-1]}",
        synthetic=report.data.synthetic,
        doc=report,
        sections=SECTIONS,
        objective=OBJECTIVES[report.objective],
        cost=COSTS[report.cost].words,
        data_words=reported_data_words(report.data),
        target_words=target_phrase(report.target, report.n_classes),
        joint=hypervolume_words(report.joint_hypervolume),
        study_rows=[_study_row(each) for each in report.studies],
        difference_rows=[
            {
                "study": each.study,
                "other": each.other,
                "difference": volume_words(each.difference.value, each.difference, signed=True),
                "distinguishable": "yes" if each.distinguishable else "no",
            }
            for each in report.differences
        ],
        member_rows=[
            _member_row(each, member, report.cost) for each in report.studies for member in each.front
        ],
        setting_rows=[
            {"name": each.name.replace("_", " "), "cells": [setting_words(value) for value in each.values]}
            for each in report.settings
        ],
    )


def _study_row(study: ComparedStudy) -> dict[str, str]:
    return {
        "study": study.study,
        "hypervolume": volume_words(study.hypervolume, study.interval),
        "share": percent_words(study.share),
        "n_front": integer_words(len(study.front)),
        "n_joint": integer_words(sum(member.on_joint_front for member in study.front)),
        "trials": counts_words(study.counts),
        "fold_epochs": integer_words(study.n_fold_epochs),
        "seconds": duration_words(study.seconds),
    }


def _member_row(study: ComparedStudy, member: Member, cost: str) -> dict[str, str]:
    span = member.interval
    return {
        "study": study.study,
        "trial": str(member.trial),
        "description": member.description + (f" (preset {member.preset})" if member.preset else ""),
        "cost": cost_words(cost, member.cost),
        "score": (
            score_words(member.score, member.standard_error)
            if span is None
            else interval_words(span.value, span.low, span.high)
        ),
        "joint": "yes" if member.on_joint_front else "no",
    }
