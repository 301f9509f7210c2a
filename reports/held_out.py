"""Models and the held-out records they were tested on, as plain arrays: what an evaluation page is made from.

Shapes: N record, C class. Predictions of several seeds of a model lie side by side in tuples, one for each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from reports.evaluation_schema import Model
from reports.published import Anchor
from reports.schema import Data
from storage.records import OpeningRecord

Targets = NDArray[np.bool_]
Probabilities = NDArray[np.floating]
Pair = tuple[Targets, Probabilities]
"""Targets and probabilities of the same records and classes."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ModelOutput:
    """Predictions of one model for a set of records."""

    probabilities_NC: tuple[Probabilities, ...]
    """Probabilities of each seed."""
    threshold_C: tuple[NDArray[np.floating], ...]
    """Thresholds of best F1 on other records, for each seed; empty where there were none to choose from."""
    validation: tuple[Pair, ...] = ()
    """Predictions of records that it neither trained on nor is tested on, for each seed, which temperatures
    and conformal sets are fitted to. Empty where there are none."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RecordSet:
    """Held-out records at one tier, with the predictions of every model."""

    records: str
    """Name of the records: "fold 10", or the name of a data set."""
    external: bool
    """Whether they are of another data set than the study's."""
    tier: str
    classes: tuple[str, ...]
    targets_NC: Targets
    patient_N: NDArray[np.int64] | None
    """Patient of each record; None where patients are not known."""
    exclusive: bool
    """Whether a record has exactly one class."""
    ordinal: bool
    """Whether the classes are in their order."""
    drawn: bool
    """Whether every class gets curves and figures; scores alone otherwise."""
    outputs: Mapping[str, ModelOutput]
    """Model to its predictions; without models that do not reach the tier."""
    notes: Sequence[str] = ()
    """Further remarks on these records, one sentence each."""
    age_N: NDArray[np.floating] | None = None
    """Years, 90 for 90 and over, NaN for unknown; None where none is known."""
    sex_N: NDArray[np.floating] | None = None
    """0 male, 1 female, NaN for unknown; None where none is known."""
    groups_N: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    """Origin of each record by attribute, such as `device`; empty text for unknown."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HeldOut:
    """Everything that an evaluation page is made from."""

    id: str
    """Name of the evaluation, fit for the name of a file."""
    study: str
    target: str
    data: Data
    """Data set of the study."""
    synthetic: bool
    """Whether anything comes from generated records."""
    models: Sequence[Model]
    record_sets: Sequence[RecordSet]
    """The most important first."""
    openings: Sequence[OpeningRecord] = ()
    """Openings of the sealed fold for the study, oldest first."""
    anchors: Sequence[Anchor] = field(default_factory=tuple)
