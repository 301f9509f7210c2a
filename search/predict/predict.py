"""Prediction for many recordings, window by window, in batches, in bounded memory.

Shapes: N window, L lead, T time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from reports.numbers import first_words
from search.data.recordings.csv_file import CsvOptions
from search.data.recordings.files import find_recordings, open_recording
from search.data.recordings.recording import choose_leads
from search.data.signals.people import Person
from search.errors import DataError, RecordError, UsageError
from search.export.folder import Policy
from search.predict.answers import Aggregate, RecordAnswer, WindowAnswer, answer_record, answer_tier, urgency
from search.predict.model import ExportedModel, load_exported
from search.predict.outside import Outside, TrainingRange, distance_ratios, far
from search.predict.people import named_person, person_of
from search.predict.tiers import Tier, make_tiers
from search.predict.windows import Window, plan_windows, windows

BATCH: Final = 64
"""Windows that the graph gets at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictOptions:
    """The command line of `predict`."""

    model: Path
    records: tuple[Path, ...]
    rate_hz: float | None = None
    unit: str | None = None
    policy: Policy = "f1"
    confidence: float = 0.9
    aggregate: Aggregate = "mean"
    triage: bool = False
    int8: bool = False
    age: float | None = None
    """Years of the person of a single recording."""
    sex: str | None = None
    """`female` or `male`, likewise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """A recording that is not answered, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Predictions:
    """Results for the recordings of one call."""

    model: ExportedModel
    tiers: tuple[Tier, ...]
    """Coarse to fine."""
    options: PredictOptions
    answers: tuple[RecordAnswer, ...]
    """Recordings in the order of the command line, or urgent first."""
    refused: tuple[Refused, ...]
    notes: tuple[str, ...]
    """Files in folders that are not read."""


Progress = Callable[[int, int], None]


def predict(options: PredictOptions, progress: Progress) -> Predictions:
    """Carry out `predict`.

    Args:
        options: The command line.
        progress: Called with recordings done and recordings in all; of a single one with windows.

    Raises:
        UsageError: An option has a value that cannot be used, or a path does not exist.
        DataError: The model cannot be used, or none of the recordings can be read.
    """
    if not 0 < options.confidence < 1:
        raise UsageError(f"--confidence is a share between 0 and 1, such as 0.9, got {options.confidence:g}")
    csv = CsvOptions(rate_hz=options.rate_hz, unit=options.unit)
    model = load_exported(options.model, int8=options.int8)
    tiers = make_tiers(model.folder.labels, policy=options.policy, confidence=options.confidence)
    if options.triage and not any(tier.ordinal for tier in tiers):
        raise UsageError(
            f"--triage: the model reaches {', '.join(tier.name for tier in tiers)}, none of which orders "
            "classes by severity: export one trained on all statements, or one of a study with "
            "--target severity-3"
        )
    found = find_recordings(options.records, with_csv=options.unit is not None)
    person = named_person(options.age, options.sex, model.asks_for, n_recordings=len(found.paths))
    answers: list[RecordAnswer] = []
    refused: list[Refused] = []
    asked = _Asked(model=model, tiers=tiers, options=options, csv=csv, person=person, progress=progress)
    for done, answer in enumerate(asked.answers(found.paths, found.names), start=1):
        if isinstance(answer, Refused):
            refused.append(answer)
        else:
            answers.append(answer)
        if len(found.paths) > 1:
            progress(done, len(found.paths))
    if not answers:
        raise DataError(f"no recording can be classified: {first_words([str(each) for each in refused], 1)}")
    if options.triage:
        urgent = [(found_urgency, answer) for answer in answers if (found_urgency := urgency(answer))]
        answers = [answer for _, answer in sorted(urgent, key=lambda pair: pair[0], reverse=True)]
    return Predictions(
        model=model,
        tiers=tiers,
        options=options,
        answers=tuple(answers),
        refused=tuple(refused),
        notes=found.notes,
    )


@dataclass(kw_only=True, slots=True)
class _Waiting:
    """A recording whose windows are not all answered yet."""

    name: str
    rate_hz: float
    duration_s: float
    derived: tuple[str, ...]
    unused: tuple[str, ...]
    n_windows: int
    without_gain: tuple[str, ...] = ()
    person: Person = field(default_factory=Person)
    answered: list[WindowAnswer] = field(default_factory=list)
    refused: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Asked:
    """A model with the tiers and options that it is asked with."""

    model: ExportedModel
    tiers: tuple[Tier, ...]
    options: PredictOptions
    csv: CsvOptions
    person: Person
    """Age and sex from the command line; they precede those of a file."""
    progress: Progress

    def answers(self, paths: Sequence[Path], names: Sequence[str]) -> Iterator[RecordAnswer | Refused]:
        """Result of every recording, in order."""
        training = TrainingRange.of(self.model.folder.preprocessing)
        waiting: list[_Waiting] = []
        batch: list[tuple[_Waiting, Window]] = []

        def run() -> None:
            for (record, _), answer in zip(batch, self._run(batch, training), strict=True):
                record.answered.append(answer)
            batch.clear()
            if len(paths) == 1:
                self.progress(len(record.answered), record.n_windows)

        for path, name in zip(paths, names, strict=True):
            record = _Waiting(name=name, rate_hz=0, duration_s=0, derived=(), unused=(), n_windows=0)
            waiting.append(record)
            for window in self._windows(path, record):
                if window.problem is not None:
                    record.answered.append(_unanswered(window))
                    continue
                if batch and (len(batch) == BATCH or batch[0][1].x_LT.shape != window.x_LT.shape):
                    run()
                batch.append((record, window))
            while waiting and len(waiting[0].answered) == waiting[0].n_windows:
                yield self._finished(waiting.pop(0))
        if batch:
            run()
        for record in waiting:
            yield self._finished(record)

    def _windows(self, path: Path, record: _Waiting) -> Iterator[Window]:
        """Windows of a recording; none where it is refused, with the reason in `record`."""
        preprocessing = self.model.folder.preprocessing
        try:
            recording = open_recording(path, preprocessing.leads, self.csv)
            leads = choose_leads(recording.leads, preprocessing.leads)
            plan = plan_windows(recording.n_samples, recording.rate_hz, preprocessing)
            record.person = person_of(path, self.person, self.model.asks_for)
        except RecordError as error:
            record.refused = str(error)
            return
        record.rate_hz, record.duration_s = recording.rate_hz, recording.n_samples / recording.rate_hz
        record.derived, record.unused = leads.derived, leads.unused
        record.without_gain = recording.without_gain(leads.columns)
        record.n_windows = len(plan.starts)
        yield from windows(recording, leads, plan, preprocessing)

    def _run(
        self, batch: Sequence[tuple[_Waiting, Window]], training: TrainingRange
    ) -> Iterator[WindowAnswer]:
        """Answers of windows of one length, each with its recording."""
        output = self.model(
            np.stack([window.x_LT for _, window in batch]), [record.person for record, _ in batch]
        )
        ratio_N = distance_ratios(self.model.folder, output.features_NK)
        by_tier = [tier.probabilities(output.probabilities_NC) for tier in self.tiers]
        for row, (record, window) in enumerate(batch):
            outside: Outside | None = training.outside(
                window.native_LT, record.rate_hz, output.filtered_NLT[row]
            )
            if outside is None and ratio_N is not None:
                outside = far(float(ratio_N[row]))
            yield WindowAnswer(
                start_s=window.start_s,
                end_s=window.end_s,
                problem=None,
                outside=outside,
                tiers=tuple(
                    answer_tier(tier, of_tier[row]) for tier, of_tier in zip(self.tiers, by_tier, strict=True)
                ),
            )

    def _finished(self, record: _Waiting) -> RecordAnswer | Refused:
        if record.refused is not None:
            return Refused(name=record.name, reason=record.refused)
        ordered = tuple(sorted(record.answered, key=lambda window: window.start_s))
        if all(window.problem is not None for window in ordered):
            return Refused(name=record.name, reason=str(ordered[0].problem))
        return answer_record(
            name=record.name,
            rate_hz=record.rate_hz,
            duration_s=record.duration_s,
            derived=record.derived,
            unused=record.unused,
            without_gain=record.without_gain,
            person=record.person,
            windows=ordered,
            aggregate=self.options.aggregate,
        )


def _unanswered(window: Window) -> WindowAnswer:
    return WindowAnswer(
        start_s=window.start_s, end_s=window.end_s, problem=window.problem, outside=None, tiers=()
    )
