"""The front of a study as a table for the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.text import Text

from reports.numbers import cost_words, count_words, score_words
from reports.stacking import StackingTable
from reports.words import SYNTHETIC_NOTE, aim_words, data_words
from scores.costs import COSTS
from scores.front import front_trials
from scores.objectives import OBJECTIVES
from scores.over_folds import finite_folds, standard_error
from storage.records import StudyRecord, TrialRecord


def front_table(study: StudyRecord, trials: Sequence[TrialRecord]) -> RenderableType:
    """The Pareto front for a terminal of 80 columns or more, by rising cost.

    Nothing is cut: an architecture in words folds over as many lines as it takes.
    """
    front = front_trials(trials)
    heading = Text(f"Pareto front of study {study.name}, {aim_words(study)}", style="bold")
    parts: list[RenderableType] = [heading, Text(data_words(study))]
    if study.synthetic:
        parts.append(Text(SYNTHETIC_NOTE, style="bold red"))
    if not front:
        return Group(*parts, Text("No trial is complete yet, so there is no front."))
    table = StackingTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column(OBJECTIVES[study.objective].words, no_wrap=True)
    table.add_column(COSTS[study.cost].head, justify="right", no_wrap=True)
    is_confirmed = any(trial.trained_again for trial in front)
    if is_confirmed:
        table.add_column("trainings", justify="right", no_wrap=True)
    table.add_column("architecture", overflow="fold", ratio=1)
    for trial in front:
        words = trial.description if trial.preset is None else f"{trial.description} (preset {trial.preset})"
        score = score_words(trial.macro_auprc, standard_error(trial))
        trainings = [str(len(trial.scores))] if is_confirmed else []
        table.add_row(str(trial.number), score, cost_words(study.cost, trial.cost), *trainings, Text(words))
    return Group(*parts, Text(""), table, Text(_error_words(front), style="dim"))


def _error_words(front: Sequence[TrialRecord]) -> str:
    n_folds = {len(finite_folds(trial)) for trial in front} - {0, 1}
    if not n_folds:
        return "No standard error: it takes at least two scored folds."
    folds = count_words(n_folds.pop(), "fold") if len(n_folds) == 1 else "the folds"
    return f"± standard error over {folds} (SD/√n); not a test of one trial against another."
