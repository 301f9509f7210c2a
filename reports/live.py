"""What optuna-dashboard shows of a study while it runs: notes in words, fronts and learning curves.

The figures are those of the report, without what takes long: no intervals, and of many trials those near the
front. Nothing here needs matplotlib, so that a worker can do it beside its training.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from reports.anchors import anchors_of
from reports.charts import Chart
from reports.comparisons import Intervals
from reports.document import (
    anchor_document,
    close_document,
    data_document,
    plain,
    tier_document,
    trial_document,
)
from reports.evidence import Evidence, TrialEvidence, tiers_reached
from reports.front import front_trials
from reports.front_charts import front_chart, tier_chart
from reports.gallery import CURVE_NOTE, N_CURVES, curve_series
from reports.interactive import escaped, plotly_figure
from reports.notes import Standings, standings, study_note, successor_note, trial_note
from reports.spread import fold_mean
from reports.words import count_words
from storage import DashboardContent
from storage.records import EpochRecord, StudyRecord, TierScores, TrialRecord

N_COMPLETE, N_PRUNED = 200, 100
"""Points of a front; the dashboard reads every figure again with every look at the study."""
N_EPOCHS = 40
"""Points of a learning curve."""


class LiveSource(Protocol):
    """The part of `storage.Store` that this needs."""

    def trials(self, study: str, /) -> Sequence[TrialRecord]:
        """All trials of the study, by number."""

    def successors(self, study: str, /) -> Mapping[int, int]:
        """Number of a trial to the number of the one that continues it."""

    def epochs(self, trial_id: int, /) -> Sequence[EpochRecord]:
        """The learning curves of a trial, by its row id."""

    def summary(self, trial_id: int, /) -> Mapping[str, TierScores]:
        """Cross-validated scores of a trial by tier."""


def dashboard_content(store: LiveSource, study: StudyRecord) -> DashboardContent:
    """Notes and figures as they should be now.

    Raises:
        storage.StorageError: the database cannot be read.
    """
    trials = tuple(store.trials(study.name))
    known = standings(study, trials, store.successors(study.name))
    notes = {before: successor_note(number) for before, number in known.successors.items()}
    notes |= {trial.number: trial_note(study, trial, known) for trial in trials}
    return DashboardContent(
        note=study_note(study, trials, known),
        trial_notes=notes,
        figures={chart.key: figure_json(chart) for chart in live_charts(store, study, trials, known)},
    )


def live_charts(
    store: LiveSource, study: StudyRecord, trials: Sequence[TrialRecord], known: Standings
) -> list[Chart]:
    """The front on the target and on every other tier reached, and learning curves."""
    front = front_trials(trials)
    running = [trial for trial in trials if trial.state == "running"]
    close = {
        trial.number: TrialEvidence(
            curve=_thinned(store.epochs(trial.id)), summary=store.summary(trial.id), predictions={}
        )
        for trial in (*front[-N_CURVES:], *running[-N_CURVES:])
    }
    evidence = Evidence(study=study, trials=trials, close=close)
    shown = near_front(trials, known)
    members = {trial.number for trial in front}
    tiers = [tier_document(evidence, Intervals(), tier) for tier in tiers_reached(study, trials)]
    document: dict[str, Any] = {
        "target": study.target,
        "data": data_document(study),
        "trials": [trial_document(trial, on_front=trial.number in members) for trial in shown],
        "front": [trial.number for trial in front],
        "close": [close_document(evidence, Intervals(), trial) for trial in trials if trial.number in close],
        "anchors": [anchor_document(anchor) for anchor in anchors_of(study)],
    }
    document = plain(document)
    n_hidden = sum(trial.state in {"complete", "pruned"} for trial in trials) - len(shown)
    note = f"{count_words(n_hidden, 'trial')} further from the front left out." if n_hidden else ""
    charts: list[Chart | None] = [
        replace(chart, note=note)
        for chart in (front_chart(document), *(tier_chart(document, tier) for tier in plain(tiers)[1:]))
        if chart is not None and chart.series
    ]
    charts.append(_curves(document, [trial.number for trial in front], "front", "of the front"))
    charts.append(_curves(document, [trial.number for trial in running], "running", "of running trials"))
    return [chart for chart in charts if chart is not None]


def near_front(trials: Sequence[TrialRecord], known: Standings) -> list[TrialRecord]:
    """Complete and pruned trials by number: members of any front, presets, and those nearest to the front."""
    members = frozenset[int]().union(*known.members.values())

    def behind(trial: TrialRecord, score: float | None) -> float:
        """How far the staircase at its parameters is above a trial; nothing beats presets and members."""
        if trial.number in members or trial.preset is not None:
            return float("-inf")
        rival = known.rival(trial.parameters)
        if score is None or score != score:  # noqa: PLR0124 - not a number
            return float("inf")
        return -score if rival is None else rival.macro_auprc - score

    complete = [trial for trial in trials if trial.state == "complete"]
    pruned = [trial for trial in trials if trial.state == "pruned" and fold_mean(trial) is not None]
    complete.sort(key=lambda trial: behind(trial, trial.macro_auprc))
    pruned.sort(key=lambda trial: behind(trial, fold_mean(trial)))
    return sorted([*complete[:N_COMPLETE], *pruned[:N_PRUNED]], key=lambda trial: trial.number)


def figure_json(chart: Chart) -> str:
    """A chart as optuna-dashboard takes it: with its title, as wide and high as the card it stands in."""
    figure = plotly_figure(chart)
    layout = figure["layout"]
    del layout["height"]
    title = f"{chart.title}<br>{chart.note}" if chart.note else chart.title
    layout["title"] = {"text": title, "font": {"size": 14}, "x": 0, "xref": "container", "xanchor": "left"}
    layout["margin"] = {"l": 10, "r": 10, "t": 56, "b": 10}
    return json.dumps(_rounded(escaped(figure)), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _curves(document: Mapping[str, Any], numbers: Sequence[int], key: str, whose: str) -> Chart | None:
    series = curve_series(document, numbers)
    if not series:
        return None
    return Chart(
        key=f"curves-{key}",
        title=f"Learning curves {whose}",
        alt="",
        x_label="epoch",
        y_label="macro-AUPRC of a fold",
        series=series,
        synthetic=document["data"]["synthetic"],
        note=CURVE_NOTE,
    )


def _thinned(curve: Sequence[EpochRecord]) -> list[EpochRecord]:
    """At most so many epochs, evenly spread, with the last."""
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
