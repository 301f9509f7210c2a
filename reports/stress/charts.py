"""The figures of a stress test: scores against the noise, and changes under all other disturbances."""

import numpy as np

from reports.figures.charts import SYMBOLS, Chart, Series, nth_colour, point_style
from reports.figures.front_charts import score_label
from reports.numbers import cost_phrase, count_words, interval_words
from reports.stress.document import numbers_of, score_of
from reports.stress.schema import StressedModel, StressReport, UnderStress
from reports.words import reported_data_words, slug, target_phrase
from scores.objectives import OBJECTIVES

N_DRAWN = len(SYMBOLS)
"""Largest number of models whose intervals can be distinguished in a figure."""
ASIDE_DB = 0.4
"""Points of different models at one signal-to-noise ratio stand so far from each other."""
OTHERS = "stress-other"


def stress_charts(report: StressReport) -> list[Chart]:
    """A figure for each kind of noise, and one for what is no noise."""
    kinds = dict.fromkeys(
        each.condition.disturbance for each in report.conditions if each.condition.snr_db is not None
    )
    return [*(noise_chart(report, kind) for kind in kinds), others_chart(report)]


def noise_key(kind: str) -> str:
    """Key of the figure of a kind of noise."""
    return f"stress-{slug(kind)}"


def drawn_models(report: StressReport) -> list[StressedModel]:
    """Models that are drawn: the cheapest, the dearest, and some between at even distances."""
    n_models = len(report.models)
    places = np.unique(np.linspace(0, n_models - 1, min(n_models, N_DRAWN)).round().astype(int))
    return [report.models[place] for place in places.tolist()]


def noise_chart(report: StressReport, kind: str) -> Chart:
    """Score of every model against the signal-to-noise ratio of one kind of noise."""
    conditions = [each for each in report.conditions if each.condition.disturbance == kind]
    ratios = [each.condition.snr_db or 0.0 for each in conditions]
    series, models = [], drawn_models(report)
    for place, model in enumerate(models):
        who, colour = _who(model, report), nth_colour(place)
        aside = ASIDE_DB * (place - (len(models) - 1) / 2)
        spans = [numbers_of(score_of(each, model.trial).score) for each in conditions]
        scores = [value for value, _, _ in spans]
        if model.undisturbed is not None:
            series.append(
                Series(
                    name="",
                    group=who,
                    x=[min(ratios) - 1, max(ratios) + 1],
                    y=[model.undisturbed.value] * 2,
                    mode="line",
                    colour=colour,
                    dotted=True,
                )
            )
        at = [ratio + aside for ratio in ratios]
        series.append(Series(name="", group=who, x=at, y=scores, mode="line", colour=colour))
        series.append(
            Series(
                name=who,
                group=who,
                x=at,
                y=scores,
                low=[low for _, low, _ in spans],
                high=[high for _, _, high in spans],
                **point_style(place),
                hover=[_hover(each, model) for each in conditions],
            )
        )
    return Chart(
        key=noise_key(kind),
        title=f"Scores under {kind}",
        subtitle=_subtitle(report),
        alt=(
            f"{OBJECTIVES[report.objective].heading} of {count_words(len(models), 'trial')} at "
            f"signal-to-noise ratios from {max(ratios):g} to {min(ratios):g} dB. The table below has the "
            "numbers."
        ),
        x_label="signal-to-noise ratio (dB), noisier to the left",
        y_label=f"{score_label(report.objective)}, {report.target}",
        series=series,
        synthetic=report.data.synthetic,
        note=f"Dotted: undisturbed. Bars: 95 % bootstrap intervals.{_drawn_words(report, models)}",
    )


def others_chart(report: StressReport) -> Chart:
    """Changes of the score under every disturbance that is no noise."""
    conditions = [each for each in report.conditions if each.condition.snr_db is None]
    series, models = [], drawn_models(report)
    for place, model in enumerate(models):
        spans = [numbers_of(score_of(each, model.trial).change) for each in conditions]
        lane = (place + 0.5) / len(models) - 0.5
        series.append(
            Series(
                name=_who(model, report),
                x=[value for value, _, _ in spans],
                y=[row + 0.8 * lane for row in range(len(conditions))],
                low=[low for _, low, _ in spans],
                high=[high for _, _, high in spans],
                **point_style(place),
                hover=[_hover(each, model) for each in conditions],
            )
        )
    return Chart(
        key=OTHERS,
        title="Changes under other disturbances",
        subtitle=_subtitle(report),
        alt=(
            f"Change of the {OBJECTIVES[report.objective].words} of "
            f"{count_words(len(models), 'trial')} under {count_words(len(conditions), 'disturbance')}. The "
            "table below has the numbers."
        ),
        x_label=f"{OBJECTIVES[report.objective].words} less that on undisturbed records",
        y_label="",
        series=series,
        intervals="x",
        categories=[each.condition.words.removeprefix("resampled ") for each in conditions],
        lanes=len(models),
        zero_line=True,
        synthetic=report.data.synthetic,
        note=f"Bars: 95 % bootstrap intervals, paired over draws of patients.{_drawn_words(report, models)}",
    )


def _who(model: StressedModel, report: StressReport) -> str:
    return f"trial {model.trial} ({cost_phrase(report.cost, model.cost)})"


def _subtitle(report: StressReport) -> str:
    return (
        f"Study {report.study}, target {target_phrase(report.target, report.n_classes)}\n"
        f"{reported_data_words(report.data)}{', SYNTHETIC' if report.data.synthetic else ''}"
    )


def _hover(condition: UnderStress, model: StressedModel) -> str:
    score = score_of(condition, model.trial)
    return (
        f"trial {model.trial}, {condition.condition.words}"
        f"<br>{interval_words(*numbers_of(score.score))}"
        f"<br>change {interval_words(*numbers_of(score.change), signed=True)}"
    )


def _drawn_words(report: StressReport, models: list[StressedModel]) -> str:
    if len(models) == len(report.models):
        return ""
    return f" {len(models)} of {len(report.models)} trials are drawn; the table has all."
