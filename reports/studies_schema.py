"""The fields of studies.json as dataclasses: several studies of one target on the same records.

Page, figures and CSV of the comparison are made from these classes (`reports.studies_document` fills them);
`reports.schema` says how JSON and its schema follow from them. Undefined and unknown numbers are null.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from reports.schema import CONFIG, Corner, Data, HypervolumePoint, Interval, Number
from scores.objectives import DEFAULT_OBJECTIVE
from storage.records import TrialState

STUDIES_SCHEMA: Literal["ecg-architecture-search/studies"] = "ecg-architecture-search/studies"
STUDIES_SCHEMA_VERSION: Literal[1] = 1
"""A field may be added, with a default, without a new number; none is renamed, removed or redefined."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A member of the front of a study."""

    trial: int
    """Number of the trial in its study."""
    macro_auprc: Number
    """Cross-validated macro-AUPRC; null where the studies maximise something else."""
    standard_error: Number
    """Standard error over folds."""
    interval: Interval | None
    """Bootstrap interval over patients; null without predictions."""
    cost: float
    """Second objective."""
    description: str
    """The architecture in words."""
    preset: str | None
    """The published system that it is, if any."""
    architecture_hash: str
    """Digest of the architecture."""
    on_joint_front: bool
    """Whether no trial of any of the studies beats it."""
    score: Number = None
    """Cross-validated score."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedStudy:
    """One of the studies."""

    study: str
    """Name of the study."""
    counts: Mapping[TrialState, int]
    """State to number of trials, every state."""
    n_fold_epochs: int
    """Fold-epochs that its trials were trained for."""
    seconds: float
    """Seconds of training, all workers together."""
    hypervolume: float
    """Hypervolume of the front of the study, in score × log10(cost)."""
    interval: Interval | None
    """Bootstrap interval of the hypervolume over patients; null where a member has no predictions."""
    share: Number
    """Hypervolume as a share of that of the front of all studies together."""
    front: Sequence[Member]
    """Front of the study, from the cheapest member to the dearest."""
    history: Sequence[HypervolumePoint]
    """Hypervolume after every trial that joined the front; the last point is the end of the study."""
    commands: Sequence[str]
    """Commands that made the study."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Hypervolume of one study less that of another."""

    study: str
    """The study with more."""
    other: str
    """The study with less."""
    difference: Interval
    """Paired over draws of patients."""
    distinguishable: bool
    """Whether the interval leaves out zero."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A setting in which the studies differ."""

    name: str
    """Name of the setting."""
    values: Sequence[Any]
    """Values in the order of the studies; null where a study does not have the setting."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudiesReport:
    """Fronts of several studies side by side; page, figures and tables are made from it alone.

    Undefined numbers are null.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = CONFIG
    schema: Literal["ecg-architecture-search/studies"] = STUDIES_SCHEMA
    """Kind of document."""
    schema_version: Literal[1] = STUDIES_SCHEMA_VERSION
    """A field may be added without a new number; none is renamed, removed or redefined."""
    target: str
    """Label tier on which every trial is scored."""
    n_classes: int | None
    """Classes of the target."""
    cost: str
    """The second objective."""
    data: Data
    """The data set, the same of all."""
    reference: Corner
    """Corner from which every hypervolume is measured."""
    joint_hypervolume: float
    """Hypervolume of the front of all studies together."""
    verdict: Sequence[str]
    """The result, sentence by sentence."""
    studies: Sequence[ComparedStudy]
    """The studies, in the order in which they were named."""
    differences: Sequence[Difference]
    """The largest hypervolume against each of the others."""
    settings: Sequence[Setting]
    """Settings in which the studies differ."""
    method: str
    """Method of the intervals, with n."""
    objective: str = DEFAULT_OBJECTIVE
    """The first objective."""
