"""Explanation of a record: the window and class explained, the model's prediction, the map.

Shapes: N window, L lead, T time, C class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.data.recordings.csv_file import CsvOptions
from search.data.recordings.files import find_recordings, open_recording
from search.data.recordings.recording import LeadChoice, Recording, choose_leads
from search.data.signals.people import Person
from search.errors import DataError, RecordError, UsageError
from search.explain.attribution import Attribution, Internals, Method, attribute, captum_attr, internals
from search.explain.beats import beat_leads, beat_truth, plan_beats
from search.explain.networks import Networks, load_networks
from search.explain.truth import Truth, find_truth
from search.export.folder import Policy
from search.predict.answers import TierAnswer, answer_tier
from search.predict.people import asked_of_person, named_person, person_of
from search.predict.tiers import Tier, make_tiers
from search.predict.windows import Plan, Window, plan_windows, windows

BATCH = 64
"""Windows whose probabilities are found at once."""
LEAST_CONFIDENCE = 0.0
"""Confidence without label sets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExplainOptions:
    """The command line of `explain`."""

    model: Path
    records: tuple[Path, ...]
    classes: tuple[str, ...] = ()
    """Classes of the tier trained on; empty for the most probable class of each record."""
    method: Method = "gradcam"
    window: int | None = None
    """Number of a window from 1; None for the one of highest probability."""
    rate_hz: float | None = None
    unit: str | None = None
    policy: Policy = "f1"
    age: float | None = None
    """Years of the person of a single recording."""
    sex: str | None = None
    """`female` or `male`, likewise."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Explanation:
    """Attribution map of one window of a record for one class."""

    record: str
    """Name of the record as given, or the path below the folder given."""
    networks: Networks
    window: int
    """Number, from 1; of a model of beats that of a beat with room for its window."""
    n_windows: int
    was_chosen: bool
    """Whether the window is the one of highest probability of several, not one named by the user."""
    start_s: float
    end_s: float
    rate_hz: float
    """Sampling rate of the recording."""
    native_LT: NDArray[np.int16]
    """Microvolts as recorded."""
    derived: tuple[str, ...]
    """Leads that the recording lacks and that follow from others, as equations."""
    without_gain: tuple[str, ...]
    """Signals used whose gain the file does not state."""
    column: int
    """Column of the class explained."""
    answer: TierAnswer
    """Answer of the tier trained on, for the window."""
    policy: Policy
    attribution: Attribution
    internals: Internals
    truth: Truth | None
    """None where the labels of the record are not known."""

    @property
    def leads(self) -> tuple[str, ...]:
        """Names, axis L."""
        return self.networks.folder.preprocessing.leads

    @property
    def tier(self) -> Tier:
        """The tier trained on."""
        return self.answer.tier

    @property
    def name(self) -> str:
        """The class."""
        return self.tier.names[self.column]

    @property
    def description(self) -> str | None:
        """Description of the class in words."""
        return self.tier.labels.classes[self.column].description

    @property
    def probability(self) -> float:
        """Mean over the members."""
        return float(self.answer.probability_C[self.column])

    @property
    def calibrated(self) -> float | None:
        """Probability after temperature scaling; None where the model has none for the class."""
        value = float(self.answer.calibrated_C[self.column])
        return value if np.isfinite(value) else None

    @property
    def threshold(self) -> float | None:
        """Threshold of the policy; None where the class has none, and for an exclusive tier."""
        value = float(self.tier.threshold_C[self.column])
        return value if np.isfinite(value) and not self.tier.exclusive else None

    @property
    def is_called(self) -> bool:
        """Whether the window has the class by the threshold, of an exclusive tier as the most probable."""
        return bool(self.answer.called_C[self.column])

    @property
    def is_true(self) -> bool | None:
        """Whether the record has the class by its labels; None where they are not known."""
        known = None if self.truth is None else self.truth.classes
        return None if known is None else self.name in known


def explain(options: ExplainOptions) -> list[Explanation]:
    """Carry out `explain`: for each record, each requested class, or the most probable one.

    Raises:
        UsageError: A path does not exist, or the model has no such class, or the record no such window;
            captum is not installed; the model has no Grad-CAM.
        DataError: The model cannot be used, or a record cannot be read, or lacks leads.
    """
    csv = CsvOptions(rate_hz=options.rate_hz, unit=options.unit)
    captum_attr()
    networks = load_networks(options.model)
    tiers = make_tiers(networks.folder.labels, policy=options.policy, confidence=LEAST_CONFIDENCE)
    columns = [_column(name, tiers, options.model) for name in dict.fromkeys(options.classes)]
    found = find_recordings(options.records, with_csv=options.unit is not None)
    person = person_asked_for(options, networks, n_recordings=len(found.paths))
    explanations: list[Explanation] = []
    for path, name in zip(found.paths, found.names, strict=True):
        try:
            opened = open_record(path, name, networks, csv, person)
            explanations += _of_record(opened, tiers[-1], columns, options)
        except RecordError as error:
            raise DataError(f"{name}: {error}") from error
    return explanations


def _column(name: str, tiers: Sequence[Tier], model: Path) -> int:
    """Column of a class in the tier trained on.

    Raises:
        UsageError: There is none of this name.
    """
    trained = tiers[-1]
    if name in trained.names:
        return trained.names.index(name)
    for tier in tiers[:-1]:
        if name in tier.names:
            children = tier.labels.classes[tier.names.index(name)].children
            raise UsageError(
                f"--class {name}: a class of the tier {tier.name}, which follows from those of "
                f"{trained.name}; give one of {', '.join(children)}"
            )
    near = [each for each in trained.names if each.casefold() == name.casefold()]
    advice = f"did you mean {near[0]}?" if near else f"give one of {', '.join(trained.names)}"
    raise UsageError(f"--class {name}: {model} has no such class of the tier {trained.name}; {advice}")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Opened:
    """A recording and how it is cut."""

    path: Path
    name: str
    networks: Networks
    recording: Recording
    leads: LeadChoice
    plan: Plan
    symbols: tuple[str, ...]
    """Annotation of each window, which is a beat then; empty for a model of records."""

    def window(self, number: int) -> Window:
        """The window of a number, from 0."""
        one = Plan(
            starts=(self.plan.starts[number],),
            n_samples=self.plan.n_samples,
            is_shorter=self.plan.is_shorter,
        )
        return next(windows(self.recording, self.leads, one, self.networks.folder.preprocessing))

    def probabilities(self, numbers: Sequence[int]) -> NDArray[np.float64]:
        """Probabilities of the windows of these numbers, shape (N, C); NaN where a window has a problem."""
        found_NC = np.full((len(numbers), len(self.networks.members[0].classes)), np.nan)
        for start in range(0, len(numbers), BATCH):
            batch = {
                row: window.x_LT
                for row, number in enumerate(numbers[start : start + BATCH], start=start)
                if (window := self.window(number)).problem is None
            }
            if batch:
                found_NC[list(batch)] = self.networks.probabilities(np.stack(list(batch.values())))
        return found_NC

    def truth(self, number: int) -> Truth | None:
        """Ground truth of a window by its number, from 0."""
        labels = self.networks.folder.labels
        return (
            beat_truth(self.path, self.symbols[number], labels)
            if self.symbols
            else find_truth(self.path, labels)
        )


def person_asked_for(options: ExplainOptions, networks: Networks, *, n_recordings: int) -> Person:
    """Age and sex from the command line.

    Raises:
        UsageError: As `search.predict.people.named_person`.
    """
    asked = asked_of_person(networks.folder.preprocessing)
    return named_person(options.age, options.sex, asked, n_recordings=n_recordings)


def open_record(path: Path, name: str, networks: Networks, csv: CsvOptions, person: Person) -> Opened:
    """Open a recording and plan its windows: of a model of beats one around every annotated beat.

    Args:
        path: Of the recording.
        name: As the user gave it.
        networks: The model.
        csv: How `.csv` files are read.
        person: Age and sex from the command line.

    Raises:
        RecordError: It cannot be read, lacks leads, or has no annotated beat where the model takes beats.
    """
    preprocessing = networks.folder.preprocessing
    recording = open_recording(path, preprocessing.leads, csv)
    symbols: tuple[str, ...] = ()
    if preprocessing.row == "beat":
        leads = beat_leads(recording.leads, preprocessing.leads)
        plan, symbols = plan_beats(path, recording, preprocessing)
    else:
        leads = choose_leads(recording.leads, preprocessing.leads)
        plan = plan_windows(recording.n_samples, recording.rate_hz, preprocessing)
    return Opened(
        path=path,
        name=name,
        networks=replace(networks, person=person_of(path, person, asked_of_person(preprocessing))),
        recording=recording,
        leads=leads,
        plan=plan,
        symbols=symbols,
    )


def _of_record(
    opened: Opened, tier: Tier, columns: Sequence[int], options: ExplainOptions
) -> list[Explanation]:
    n_windows = len(opened.plan.starts)
    if options.window is not None:
        if not 1 <= options.window <= n_windows:
            noun = "beat" if opened.symbols else "window"
            numbers = f"only {noun} 1" if n_windows == 1 else f"{noun}s 1 to {n_windows:,}"
            raise UsageError(f"--window {options.window}: {opened.name} has {numbers}")
        numbers_asked = [options.window - 1]
    else:
        numbers_asked = list(range(n_windows))
    p_NC = opened.probabilities(numbers_asked)
    if np.isnan(p_NC).all():
        raise RecordError(str(opened.window(numbers_asked[0]).problem))
    found = []
    for column in columns or [class_to_explain(p_NC, tier)]:
        row = int(np.nanargmax(p_NC[:, column]))
        window = opened.window(numbers_asked[row])
        found.append(
            Explanation(
                record=opened.name,
                networks=opened.networks,
                window=numbers_asked[row] + 1,
                n_windows=n_windows,
                was_chosen=options.window is None and n_windows > 1,
                start_s=window.start_s,
                end_s=window.end_s,
                rate_hz=opened.recording.rate_hz,
                native_LT=window.native_LT,
                derived=opened.leads.derived,
                without_gain=opened.recording.without_gain(opened.leads.columns),
                column=column,
                answer=answer_tier(tier, p_NC[row]),
                policy=options.policy,
                attribution=attribute(opened.networks, window.x_LT, column, options.method),
                internals=internals(opened.networks, window.x_LT),
                truth=opened.truth(numbers_asked[row]),
            )
        )
    return found


def class_to_explain(p_NC: NDArray[np.float64], tier: Tier) -> int:
    """Class of the highest probability in any window, among those called there if any is.

    Args:
        p_NC: probabilities of the windows; NaN for windows that cannot be answered.
        tier: tier trained on.
    """
    highest_C = np.nanmax(p_NC, axis=0)
    if tier.exclusive:  # thresholds do not decide there
        return int(np.argmax(highest_C))
    called_C = highest_C >= tier.threshold_C
    return int(np.argmax(np.where(called_C, highest_C, -1.0) if called_C.any() else highest_C))
