"""Status of a study: counts, running trials, best trial so far."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reports.document import data_document
from reports.front import front_trials
from reports.numbers import count_words, score_words
from reports.source import STATES, StatusSource
from reports.spread import fold_mean, standard_error
from reports.tables import front_table
from storage.records import StudyRecord, TrialRecord, TrialState


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyStatus:
    """State of a study at one moment."""

    study: StudyRecord
    counts: Mapping[TrialState, int]
    """Number of trials in each state."""
    trials: tuple[TrialRecord, ...]
    """All trials, by number."""

    @property
    def front(self) -> tuple[TrialRecord, ...]:
        """Trials on the Pareto front, from few parameters to many."""
        return front_trials(self.trials)

    @property
    def running(self) -> tuple[TrialRecord, ...]:
        """Trials that run now."""
        return tuple(trial for trial in self.trials if trial.state == "running")

    def to_json(self) -> dict[str, Any]:
        """The document that `status --json` prints."""
        return {
            "study": self.study.name,
            "target": self.study.target,
            "space": self.study.space,
            "data": asdict(data_document(self.study)),
            "synthetic": self.study.synthetic,
            **{state: int(self.counts.get(state, 0)) for state in STATES},
            "front": [
                {
                    "trial": trial.number,
                    "macro_auprc": trial.macro_auprc,
                    "parameters": trial.parameters,
                    "description": trial.description,
                }
                for trial in self.front
            ],
        }


def status(store: StatusSource, study_name: str) -> StudyStatus:
    """Read the status of a study.

    Counts and trials are two questions of the store: while other processes work on the study, a trial
    that ends between them may be counted before it is seen.

    Raises:
        storage.StorageError: no such study, or the database cannot be read.
    """
    study = store.study(study_name)
    counts = dict(store.counts(study_name))
    return StudyStatus(study=study, counts=counts, trials=tuple(store.trials(study_name)))


def status_view(status: StudyStatus) -> RenderableType:
    """A status for a terminal of 80 columns or more."""
    counts = ", ".join(f"{status.counts.get(state, 0):,} {state}" for state in STATES)
    parts: list[RenderableType] = [Text(f"Trials: {counts}"), _running(status), _best(status), Text("")]
    return Group(*parts, front_table(status.study, status.trials))


def _running(status: StudyStatus) -> RenderableType:
    if not status.running:
        return Text("Running: nothing")
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for trial in status.running:
        table.add_row(
            Text(f"Running: trial {trial.number}"), Text(f"{trial.description}; {_progress(trial)}")
        )
    return table


def _progress(trial: TrialRecord) -> str:
    mean = fold_mean(trial)
    if mean is None:
        return "no fold finished yet"
    return f"{count_words(len(trial.fold_scores), 'fold')} finished, mean {score_words(mean)}"


def _best(status: StudyStatus) -> RenderableType:
    if not status.front:
        return Text("Best so far: no complete trial yet")
    best = status.front[-1]  # the front rises with the parameters, so its largest model scores best
    score = score_words(best.macro_auprc, standard_error(best))
    return Text(f"Best so far: {score}, trial {best.number}, {count_words(best.parameters, 'parameter')}")
