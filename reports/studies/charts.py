"""The figures of a comparison of studies: their fronts, and their hypervolumes against training."""

from reports.figures.charts import Chart, Series, line_style, point_style
from reports.figures.front_charts import score_label
from reports.numbers import cost_phrase, count_words, hypervolume_words, interval_words, score_words
from reports.studies.schema import ComparedStudy, Member, StudiesReport
from reports.words import reported_data_words, target_phrase
from scores.costs import COSTS
from scores.objectives import OBJECTIVES


def studies_charts(report: StudiesReport) -> list[Chart]:
    """Both figures, where there is something to show."""
    charts = [fronts_chart(report)]
    if any(len(each.history) > 1 and each.hypervolume for each in report.studies):
        charts.append(hypervolumes_chart(report))
    return charts


def fronts_chart(report: StudiesReport) -> Chart:
    """The fronts of all studies."""
    right = max((member.cost for each in report.studies for member in each.front), default=1.0)
    series = []
    for place, each in enumerate(report.studies):
        if not each.front:
            continue
        series.append(
            Series(
                name="",
                group=each.study,
                x=[*(member.cost for member in each.front), right],
                y=[*(member.score for member in each.front), each.front[-1].score],
                mode="steps",
                **line_style(place),
            )
        )
        bars = [_bar(member) for member in each.front]
        series.append(
            Series(
                name=each.study,
                group=each.study,
                x=[member.cost for member in each.front],
                y=[member.score for member in each.front],
                low=[low for low, _ in bars],
                high=[high for _, high in bars],
                **point_style(place),
                large=True,
                hover=[_hover(each, member, report.cost) for member in each.front],
                names=[[f"#{member.trial}"] if member.on_joint_front else [] for member in each.front],
            )
        )
    n_shown = sum(bool(each.front) for each in report.studies)
    return Chart(
        key="fronts",
        title=f"Pareto fronts of {count_words(len(report.studies), 'study', 'studies')} on {report.target}",
        subtitle=(
            f"Target {target_phrase(report.target, report.n_classes)}\n{reported_data_words(report.data)}"
            f"{', SYNTHETIC' if report.data.synthetic else ''}"
        ),
        alt=(
            f"{OBJECTIVES[report.objective].heading} against {COSTS[report.cost].words} of the fronts of "
            f"{count_words(n_shown, 'study', 'studies')}. The tables below have their members."
        ),
        x_label=f"{COSTS[report.cost].axis} (logarithmic)",
        y_label=f"{score_label(report.objective)}, {report.target}",
        series=series,
        log_x=True,
        cost_x=report.cost,
        synthetic=report.data.synthetic,
        note=(
            "Numbered trials are on the front of all studies together. Bars: 95 % bootstrap intervals, else "
            "± standard error over folds."
        ),
        message="" if series else "No trial is complete yet, so there is no front.",
    )


def _bar(member: Member) -> tuple[float | None, float | None]:
    if member.interval is not None:
        return member.interval.low, member.interval.high
    if member.standard_error is None or member.score is None:
        return None, None
    return member.score - member.standard_error, member.score + member.standard_error


def _hover(study: ComparedStudy, member: Member, cost: str) -> str:
    span = member.interval
    score = (
        score_words(member.score, member.standard_error)
        if span is None
        else interval_words(span.value, span.low, span.high)
    )
    return (
        f"{study.study}, trial {member.trial}: {score}<br>{cost_phrase(cost, member.cost)}"
        f"<br>{member.description}"
    )


def hypervolumes_chart(report: StudiesReport) -> Chart:
    """Hypervolume of every study against its fold-epochs."""
    short = OBJECTIVES[report.objective].short
    return Chart(
        key="hypervolumes",
        title="Hypervolume against fold-epochs",
        alt="; ".join(
            f"{each.study} reaches {hypervolume_words(each.hypervolume)}" for each in report.studies
        ),
        x_label="fold-epochs trained",
        y_label=f"hypervolume ({short} × decades)",
        series=[
            Series(
                name=each.study,
                x=[float(point.n_fold_epochs) for point in each.history],
                y=[point.hypervolume for point in each.history],
                mode="steps",
                **line_style(place),
                hover=["" if point.trial is None else f"trial {point.trial} joins" for point in each.history],
            )
            for place, each in enumerate(report.studies)
        ],
        synthetic=report.data.synthetic,
        note=(
            f"Area between each front and {short} {report.reference.macro_auprc:g} at "
            f"{cost_phrase(report.cost, report.reference.cost)}, in {short} × "
            f"log10({COSTS[report.cost].words})."
        ),
    )
