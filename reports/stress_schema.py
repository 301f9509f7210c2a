"""The fields of stress.json as dataclasses: models of a study on disturbed records.

Page, figures and CSV of the stress test are made from these classes (`reports.stress_document` fills them);
`reports.schema` says how JSON and its schema follow from them. Undefined and unknown numbers are null.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from reports.schema import CONFIG, Data, Interval, Number
from scores.objectives import DEFAULT_OBJECTIVE

STRESS_SCHEMA: Literal["ecg-architecture-search/stress"] = "ecg-architecture-search/stress"
STRESS_SCHEMA_VERSION: Literal[1] = 1
"""A field may be added, with a default, without a new number; none is renamed, removed or redefined."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One way in which the records are disturbed."""

    disturbance: str
    """Kind of disturbance, such as `baseline wander` or `lost lead`."""
    level: str
    """Level or place: `12 dB`, `V1`, `× 2`."""
    snr_db: Number = None
    """Signal-to-noise ratio in decibels; null for what is no noise."""

    @property
    def words(self) -> str:
        """The condition in a phrase."""
        return f"{self.disturbance} {self.level}"


@dataclass(frozen=True, kw_only=True, slots=True)
class StressedModel:
    """A trial whose models, one per CV fold, predict the records that they were not trained on."""

    trial: int
    """Number of the trial."""
    description: str
    """The architecture in words."""
    preset: str | None
    """The published system that it is, if any."""
    cost: float
    """Second objective."""
    macro_auprc: Number
    """Cross-validated macro-AUPRC that the study keeps; null where it maximises something else."""
    undisturbed: Interval | None
    """Score of the kept models on the records as they are, with its bootstrap interval."""
    score: Number = None
    """Cross-validated score that the study keeps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StressedScore:
    """A trial under one condition."""

    trial: int
    """Number of the trial."""
    macro_auprc: Interval | None
    """Cross-validated macro-AUPRC; null where it is undefined, or the study maximises something else."""
    change: Interval | None
    """Score less that on undisturbed records, paired over draws of patients."""
    score: Interval | None = None
    """Cross-validated score; null where it is undefined."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnderStress:
    """All trials under one condition."""

    condition: Condition
    """Description of the disturbance."""
    scores: Sequence[StressedScore]
    """Every trial, in the order of `models`."""
    tau: Number
    """Kendall's tau-b between the scores of the trials undisturbed and disturbed; null for one trial, and
    where all scores are equal."""
    best: int | None
    """Trial with the best score; of equal ones that of least cost."""
    best_stays: Number
    """Share of the draws of patients in which the trial that is best undisturbed is best; null for one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NotApplied:
    """A disturbance that these records cannot have."""

    disturbance: str
    """Kind of disturbance."""
    level: str
    """Level or place; empty for all levels."""
    reason: str
    """Reason of the omission."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StressReport:
    """Trials of a study on disturbed records; page, figures and tables are made from it alone."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = CONFIG
    schema: Literal["ecg-architecture-search/stress"] = STRESS_SCHEMA
    """Kind of document."""
    schema_version: Literal[1] = STRESS_SCHEMA_VERSION
    """A field may be added without a new number; none is renamed, removed or redefined."""
    study: str
    """Name of the study."""
    target: str
    """Label tier on which every trial is scored."""
    n_classes: int | None
    """Classes of the target."""
    cost: str
    """The second objective."""
    data: Data
    """The data set."""
    leads: Sequence[str]
    """Leads of the records."""
    seed: int
    """Seed of the disturbances; with the number of a record it decides its noise."""
    whole_front: bool
    """Whether the trials are the front of the study, as far as they have kept their models."""
    verdict: Sequence[str]
    """The result, sentence by sentence."""
    models: Sequence[StressedModel]
    """The trials, from the cheapest to the dearest."""
    best: int | None
    """Trial with the best score on undisturbed records; of equal ones that of least cost."""
    best_share: Number
    """Share of the draws of patients in which it is best there; null for one trial."""
    conditions: Sequence[UnderStress]
    """Scores under every condition."""
    not_applied: Sequence[NotApplied]
    """Disturbances that are left out, with the reason."""
    left_out: Sequence[str]
    """Trials of the front that are left out, with the reason."""
    method: str
    """Method of scores and intervals, with n."""
    objective: str = DEFAULT_OBJECTIVE
    """The first objective, by which trials are scored."""
