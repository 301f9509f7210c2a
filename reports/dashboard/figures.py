"""Content of optuna-dashboard while a study runs: notes in words, fronts and learning curves.

The figures are those of the report, without what takes long: no intervals, and of many trials those near the
front. Nothing here needs matplotlib, so that a worker can do it beside its training.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from reports.dashboard.notes import Standings, standings, study_note, successor_note, trial_note
from reports.document import close_document, tier_document, trial_document
from reports.evidence import Evidence, TrialEvidence, tiers_reached
from reports.figures.charts import Chart
from reports.figures.front_charts import Fronts, front_chart, tier_chart
from reports.figures.gallery import CURVE_NOTE, N_CURVES, curve_series
from reports.figures.interactive import escaped, plotly_figure
from reports.findings.comparisons import Intervals
from reports.parts import data_document
from reports.published import anchors_of
from scores.objectives import OBJECTIVES
from scores.over_folds import fold_mean
from storage import DashboardContent, Store
from storage.records import EpochRecord, StudyRecord, TrialRecord

N_COMPLETE, N_PRUNED = 200, 100
"""Points of a front; the dashboard reads every figure again with every look at the study."""
N_NOTES = 500
"""Maximum number of trials with a note: for each trial that it shows the dashboard goes through all
attributes of the study, so that 2,000 notes made a page that took .7 s without them take 6 s."""
N_EPOCHS = 40
"""Points of a learning curve."""


def dashboard_content(store: Store, study: StudyRecord) -> DashboardContent:
    """Notes and figures of the present state.

    Raises:
        storage.StorageError: the database cannot be read.
    """
    trials = tuple(store.trials(study.name))
    known = standings(study, trials, store.successors(study.name))
    return DashboardContent(
        note=study_note(study, trials, known),
        trial_notes=_trial_notes(study, trials, known),
        figures={chart.key: figure_json(chart) for chart in live_charts(store, study, trials, known)},
    )


def _trial_notes(study: StudyRecord, trials: Sequence[TrialRecord], known: Standings) -> dict[int, str]:
    """Notes on the members of fronts, on presets, and on the newest of the others."""
    by_number = {trial.number: trial for trial in trials}
    first = {trial.number for trial in trials if trial.preset is not None}.union(*known.members.values())
    numbers = by_number.keys() | known.successors.keys()
    ranked = sorted(numbers, key=lambda number: (number not in first, -number))
    return {
        number: trial_note(study, by_number[number], known)
        if number in by_number
        else successor_note(known.successors[number])
        for number in ranked[:N_NOTES]
    }


def live_charts(
    store: Store, study: StudyRecord, trials: Sequence[TrialRecord], known: Standings
) -> list[Chart]:
    """The front on the target and on every other tier reached, and learning curves."""
    front = [point.trial for point in known.front]
    running = [trial.number for trial in trials if trial.state == "running"]
    followed = {*front[-N_CURVES:], *running[-N_CURVES:]}
    close = {
        trial.number: TrialEvidence(
            curve=_thinned(store.epochs(trial.id)), summary=store.summary(trial.id), predictions={}
        )
        for trial in trials
        if trial.number in followed
    }
    evidence = Evidence(study=study, trials=trials, close=close)
    placed = [trial for trial in trials if _score(trial) is not None]
    shown = near_front(placed, known)
    report = Fronts(
        target=study.target,
        data=data_document(study),
        tiers=[tier_document(evidence, Intervals(), tier) for tier in tiers_reached(study, trials)],
        trials=[
            trial_document(trial, on_front=trial.number in front, objective=study.objective)
            for trial in shown
        ],
        close=[close_document(evidence, Intervals(), each) for each in trials if each.number in close],
        anchors=anchors_of(study),
        objective=study.objective,
        cost=study.cost,
    )
    fronts = [front_chart(report), *(tier_chart(report, tier) for tier in report.tiers[1:])]
    note = f"{len(shown)} of {len(placed):,} trials, those nearest to it." if len(shown) < len(placed) else ""
    charts = [replace(chart, note=note) for chart in fronts if chart is not None and chart.series]
    charts += _curves(report, front, "front", "of the front")
    charts += _curves(report, running, "running", "of running trials")
    return charts


def near_front(placed: Sequence[TrialRecord], known: Standings) -> list[TrialRecord]:
    """Complete and pruned trials by number: members of any front, presets, and those nearest to the front."""
    members = frozenset[int]().union(*known.members.values())

    def behind(trial: TrialRecord) -> float:
        """Distance of a trial below the staircase at its cost; members and presets come first."""
        if trial.number in members or trial.preset is not None:
            return -math.inf
        rival = known.rival(trial.cost)
        return (0.0 if rival is None else rival.score) - (_score(trial) or 0.0)

    complete = sorted((trial for trial in placed if trial.state == "complete"), key=behind)
    pruned = sorted((trial for trial in placed if trial.state == "pruned"), key=behind)
    return sorted([*complete[:N_COMPLETE], *pruned[:N_PRUNED]], key=lambda trial: trial.number)


def _score(trial: TrialRecord) -> float | None:
    """Height of a trial in a figure: its score, or the mean of its finished folds if it was pruned."""
    score = trial.score if trial.state == "complete" else None
    score = fold_mean(trial) if trial.state == "pruned" else score
    return score if score is not None and math.isfinite(score) else None


def figure_json(chart: Chart) -> str:
    """A chart as optuna-dashboard takes it: with its title, as wide and high as the card it stands in."""
    figure = plotly_figure(chart)
    layout = figure["layout"]
    del layout["height"]
    note = f"<br><sup>{chart.note}</sup>" if chart.note else ""
    layout["title"] = {"text": chart.title, "font": {"size": 16}, "x": 0.02}
    layout["margin"] = {"l": 10, "r": 10, "t": 60, "b": 10}
    layout["legend"] |= {"font": {"size": 10}, "entrywidth": 0}
    for axis in ("xaxis", "yaxis"):
        layout[axis]["title"]["font"] = {"size": 12}
    figure = escaped(figure)
    figure["layout"]["title"]["text"] += note
    return json.dumps(_rounded(figure), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _curves(report: Fronts, numbers: Sequence[int], key: str, whose: str) -> list[Chart]:
    """One chart, none where there is no curve."""
    series = curve_series(report, numbers)
    chart = Chart(
        key=f"curves-{key}",
        title=f"Learning curves {whose}",
        alt="",
        x_label="epoch",
        y_label=f"{OBJECTIVES[report.objective].words} of a fold",
        series=series,
        synthetic=report.data.synthetic,
        note=CURVE_NOTE,
    )
    return [chart] if series else []


def _thinned(curve: Sequence[EpochRecord]) -> list[EpochRecord]:
    """Up to `N_EPOCHS` epochs, evenly spread, the last one among them."""
    last = max((epoch.epoch for epoch in curve), default=0)
    if last <= N_EPOCHS:
        return list(curve)
    kept = {round(last * place / N_EPOCHS) for place in range(1, N_EPOCHS + 1)}
    return [epoch for epoch in curve if epoch.epoch in kept]


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value
