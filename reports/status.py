"""Status of a study, and its front in the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from reports.evaluation.overview import evaluation_summary, evaluations_words
from reports.findings.training_noise import training_noise_words
from reports.numbers import cost_phrase, cost_words, count_words, gain_words, score_words
from reports.parts import data_document, gain_document, training_noise_document
from reports.terminal import simple_table
from reports.words import SYNTHETIC_NOTE, aim_words, data_words, learning_words, left_out_words, sentence
from scores.costs import COSTS
from scores.front import front_trials
from scores.objectives import OBJECTIVES
from scores.over_folds import finite_folds, fold_mean, standard_error
from storage import Store
from storage.records import STATES, Evaluation, GainRecord, StudyRecord, TrialRecord, TrialState

_N_REFUSALS = 5
"""Refused trials that are listed; a script may have queued thousands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyStatus:
    """State of a study at one moment."""

    study: StudyRecord
    counts: Mapping[TrialState, int]
    """Number of trials in each state."""
    trials: tuple[TrialRecord, ...]
    """All trials, by number."""
    devices: tuple[str, ...] = ()
    """Devices on which trials were trained, in words, in order of first use."""
    refusals: Mapping[int, str] = field(default_factory=dict)
    """Number of every queued trial that could not be trained, to the reason; they count as failed."""
    not_trained_here: tuple[int, ...] = ()
    """Numbers of finished trials that this program did not train; they count nowhere."""
    gain: GainRecord | None = None
    """Expected gain of the latest proposal; None before a sampler has estimated one."""
    evaluations: tuple[Evaluation, ...] = ()
    """Models trained anew and tested, oldest first."""

    @property
    def front(self) -> tuple[TrialRecord, ...]:
        """Trials on the Pareto front, by rising cost."""
        return front_trials(self.trials)

    @property
    def running(self) -> tuple[TrialRecord, ...]:
        """Trials that run now."""
        return tuple(trial for trial in self.trials if trial.state == "running")

    def to_json(self) -> dict[str, Any]:
        """The document that `status --json` prints."""
        noise = training_noise_document(self.trials)
        return {
            "study": self.study.name,
            "target": self.study.target,
            "space": self.study.space,
            "data": asdict(data_document(self.study)),
            "objective": self.study.objective,
            "cost": self.study.cost,
            "synthetic": self.study.synthetic,
            **{state: int(self.counts.get(state, 0)) for state in STATES},
            "refused": [{"trial": number, "reason": reason} for number, reason in self.refusals.items()],
            "not_trained_here": list(self.not_trained_here),
            "front": [
                {
                    "trial": trial.number,
                    OBJECTIVES[self.study.objective].key: trial.score,
                    "parameters": trial.parameters,
                    "cost": trial.cost,
                    "description": trial.description,
                    "trainings": len(trial.scores),
                }
                for trial in self.front
            ],
            "next_trial": None if self.gain is None else asdict(gain_document(self.gain)),
            "training_noise": None if noise is None else asdict(noise),
            "learning": learning_words(self.study.settings),
            "devices": list(self.devices),
            "evaluations": [evaluation_summary(each) for each in self.evaluations],
        }


def status(store: Store, study_name: str) -> StudyStatus:
    """Read the status of a study.

    Counts and trials are two questions of the store: while other processes work on the study, a trial
    that ends between them may be counted before it is seen.

    Raises:
        storage.StorageError: no such study, or the database cannot be read.
    """
    study = store.study(study_name)
    counts = dict(store.counts(study_name))
    return StudyStatus(
        study=study,
        counts=counts,
        trials=tuple(store.trials(study_name)),
        devices=tuple(dict.fromkeys(worker.device for worker in store.workers(study_name))),
        refusals=dict(store.refusals(study_name)),
        gain=next(iter(store.gains(study_name)[-1:]), None),
        not_trained_here=tuple(store.not_trained_here(study_name)),
        evaluations=tuple(store.evaluations(study_name)),
    )


def status_view(status: StudyStatus) -> RenderableType:
    """A status for a terminal of 80 columns or more."""
    counts = ", ".join(f"{status.counts.get(state, 0):,} {state}" for state in STATES)
    parts: list[RenderableType] = [Text(f"Trials: {counts}"), *_from_outside(status)]
    parts += [_running(status), _best(status)]
    if status.gain is not None:
        words = gain_words(status.gain.expected, status.gain.at_most)
        parts.append(Text(f"Next trial: {words} (as of trial {status.gain.trial})"))
    parts += [Text(line) for line in training_noise_words(status.trials)]
    if status.devices:
        parts.append(Text(f"Trained on: {'; '.join(status.devices)}"))
    if status.evaluations:
        parts.append(Text(evaluations_words(status.evaluations)))
    parts += [Text(sentence(line)) for line in learning_words(status.study.settings)]
    parts += [Text(line) for line in left_out_words(status.study)]
    return Group(*parts, Text(""), front_table(status.study, status.trials))


def _from_outside(status: StudyStatus) -> Iterator[RenderableType]:
    """Lines on queued trials that were refused and on results trained by other programs."""
    for number, reason in list(status.refusals.items())[-_N_REFUSALS:]:
        yield Text(f"Refused: trial {number}, which was queued: {reason}")
    if len(status.refusals) > _N_REFUSALS:
        yield Text(f"and {len(status.refusals) - _N_REFUSALS:,} refused before (all with --json)")
    if status.not_trained_here:
        yield Text(not_trained_here_words(len(status.not_trained_here)))


def not_trained_here_words(n_trials: int) -> str:
    """Sentence on finished trials that another program added to the study."""
    return f"Not trained here: {count_words(n_trials, 'finished trial')}; neither search nor reports use them"


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
    best = status.front[-1]  # the front rises with the cost, so its dearest model scores best
    score = score_words(best.score, standard_error(best))
    return Text(f"Best so far: {score}, trial {best.number}, {cost_phrase(best.cost_name, best.cost)}")


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
    table = simple_table()
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column(OBJECTIVES[study.objective].words, no_wrap=True)
    table.add_column(COSTS[study.cost].head, justify="right", no_wrap=True)
    is_confirmed = any(trial.trained_again for trial in front)
    if is_confirmed:
        table.add_column("trainings", justify="right", no_wrap=True)
    table.add_column("architecture", overflow="fold", ratio=1)
    for trial in front:
        words = trial.description if trial.preset is None else f"{trial.description} (preset {trial.preset})"
        score = score_words(trial.score, standard_error(trial))
        trainings = [str(len(trial.scores))] if is_confirmed else []
        table.add_row(str(trial.number), score, cost_words(study.cost, trial.cost), *trainings, Text(words))
    return Group(*parts, Text(""), table, Text(_error_words(front), style="dim"))


def _error_words(front: Sequence[TrialRecord]) -> str:
    n_folds = {len(finite_folds(trial)) for trial in front} - {0, 1}
    if not n_folds:
        return "No standard error: it takes at least two scored folds."
    folds = count_words(n_folds.pop(), "fold") if len(n_folds) == 1 else "the folds"
    return f"± standard error over {folds} (SD/√n); not a test of one trial against another."
