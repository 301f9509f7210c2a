"""Where a study stands: what is done, what runs, what is best so far."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from reports.document import data_document
from reports.front import front_trials
from reports.source import STATES, StatusSource
from reports.spread import fold_mean, standard_error
from reports.tables import front_table
from reports.words import count_words, left_out_words, score_words
from storage.records import StudyRecord, TrialRecord, TrialState


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyStatus:
    """A study as it stands at one moment."""

    study: StudyRecord
    counts: Mapping[TrialState, int]
    """Number of trials in each state."""
    trials: tuple[TrialRecord, ...]
    """All trials, by number."""
    devices: tuple[str, ...] = ()
    """What trials were trained on, in words, the first one first."""

    @property
    def front(self) -> tuple[TrialRecord, ...]:
        """Trials on the Pareto front, from few parameters to many."""
        return front_trials(self.trials)

    @property
    def running(self) -> tuple[TrialRecord, ...]:
        """Trials that run now."""
        return tuple(trial for trial in self.trials if trial.state == "running")

    def to_json(self) -> dict[str, Any]:
        """What `status --json` prints; scores as in front.json."""
        return {
            "study": self.study.name,
            "target": self.study.target,
            "space": self.study.space,
            "data": data_document(self.study),
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
            "devices": list(self.devices),
        }


def status(store: StatusSource, study_name: str) -> StudyStatus:
    """Reads where a study stands.

    Counts and trials are two questions of the store: while other processes work on the study, a trial
    that ends between them may be counted before it is seen.

    Raises:
        storage.StorageError: no such study, or the database cannot be read.
    """
    study = store.study(study_name)
    counts = dict(store.counts(study_name))
    devices = dict.fromkeys(worker.device for worker in store.workers(study_name))
    return StudyStatus(
        study=study, counts=counts, trials=tuple(store.trials(study_name)), devices=tuple(devices)
    )


def status_view(status: StudyStatus) -> RenderableType:
    """A status for a terminal of 80 columns or more."""
    counts = ", ".join(f"{status.counts.get(state, 0):,} {state}" for state in STATES)
    parts: list[RenderableType] = [Text(f"Trials: {counts}"), _running(status), _best(status)]
    if status.devices:
        parts.append(Text(f"Trained on: {'; '.join(status.devices)}"))
    parts += [Text(line) for line in left_out_words(status.study)]
    return Group(*parts, Text(""), front_table(status.study, status.trials))


def _running(status: StudyStatus) -> RenderableType:
    if not status.running:
        return Text("Running: nothing")
    return Text(
        "\n".join(
            f"Running: trial {trial.number}  {trial.description}; {_progress(trial)}"
            for trial in status.running
        )
    )


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
