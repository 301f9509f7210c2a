"""The fields of evaluation-*.json as dataclasses: models on held-out records, class by class.

Page, figures, CSV and LaTeX of an evaluation are made from these classes (`reports.evaluation.scores` fills
them); `reports.schema` says how JSON and its schema follow from them. Undefined and unknown numbers are null.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from reports.published import Anchor
from reports.schema import (
    CONFIG,
    ClassCurves,
    Correlation,
    Curve,
    Data,
    Estimate,
    Number,
    SealedFoldOpening,
    Subgroup,
)

EVALUATION_SCHEMA: Literal["ecg-architecture-search/evaluation"] = "ecg-architecture-search/evaluation"
EVALUATION_SCHEMA_VERSION: Literal[1] = 1
"""A field may be added, with a default, without a new number; none is renamed, removed or redefined."""

Decision = Literal["half", "f1", "argmax"]
"""Rule of the decisions, one of `reports.schema.Decision`; thresholds are chosen on other records."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """Training of one network of a model."""

    name: str
    """Network and seed."""
    n_records: int
    """Records trained on."""
    epochs_trained: int
    """Epochs in which weights changed."""
    seconds: float
    """Seconds of training."""
    curve: Curve
    """Epoch by epoch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A model evaluated."""

    name: str
    """Name, unique among the models."""
    description: str
    """Architecture in words, or members of an ensemble."""
    parameters: int
    """Trainable parameters, of all members of an ensemble together."""
    label_tier: str
    """Tier of the labels it was trained on."""
    protocol: str
    """Folds trained on, seeds, and the records that thresholds were chosen on."""
    evaluation: int | None = None
    """Number of the evaluation in the database."""
    at: str | None = None
    """Time of the evaluation, ISO 8601."""
    training: Sequence[Training] = ()
    """Training of the model, where curves were kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassSupport:
    """Number of records with a class."""

    class_: str
    """Name of the class."""
    n_positive: int
    """Positive records: the support."""
    prevalence: float
    """Share of positive records."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelClass:
    """One class as one model recognises it."""

    class_: str
    """Name of the class."""
    threshold: Number
    """Lowest probability that is called positive, with the first seed; null for the most probable class."""
    scores: Mapping[str, Estimate]
    """precision, recall, specificity, f1, auroc, auprc."""
    confusion: Sequence[Sequence[int]]
    """[[true negatives, false positives], [false negatives, true positives]] with the first seed."""
    operating_points: Mapping[str, Estimate] = field(default_factory=dict)
    """sensitivity_at_specificity_90, specificity_at_sensitivity_90, sensitivity_in_top_5_percent (among the
    records of highest probability), and alarm_rate, the share of the records called positive."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionScores:
    """Scores of the decisions made in one way."""

    decision: Decision
    """Rule of the decisions."""
    words: str
    """The same in words."""
    scores: Mapping[str, Estimate]
    """Name to value: macro, micro and weighted means over classes, whole records."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """Records of similar predicted probability."""

    probability: float
    """Mean probability of the records."""
    share: float
    """Share for which it came true."""
    low: float
    """Lower end of its 95 % Clopper–Pearson interval."""
    high: float
    """Upper end."""
    n: int
    """Decisions in the bin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Calibration of the probabilities."""

    words: str
    """raw, or temperature and the records that it was fitted to."""
    error: Estimate
    """Expected calibration error: all classes together, or the most probable class."""
    class_error: Estimate | None
    """Mean over classes of the expected calibration error of each; null for the most probable class."""
    bins: Sequence[Bin]
    """Reliability diagram with the first seed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RiskCoverage:
    """Error of the records answered if only the most confident ones are."""

    risk: str
    """Definition of the error of a record."""
    confidence: str
    """Quantity by which records are ordered."""
    coverage: Sequence[float]
    """Share of records answered."""
    risks: Sequence[float]
    """Mean error of those."""
    area: Estimate
    """Mean risk over all coverages."""
    risk_of_all: Estimate
    """Risk if all records are answered: the area of a random order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SetCoverage:
    """Conformal sets of labels: how often they hold the truth, and how much they leave open."""

    kind: Literal["marginal", "class-conditional"]
    """Promise over all records, or for those with and those without each class."""
    confidence: float
    """Share promised."""
    coverage: Estimate
    """Share of the sets that hold the truth."""
    coverage_of_positives: Estimate | None
    """The same of the sets of classes that a record has; null where a record has one class."""
    undecided: Estimate
    """Share of the sets with more than one label."""
    empty: Estimate
    """Share of the sets that hold none."""
    n_classes: int
    """Classes with enough calibration records."""
    n_calibration: int
    """Records that the quantiles are from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelScores:
    """A model on a set of records."""

    model: str
    """Name of the model."""
    ranking: Mapping[str, Estimate]
    """Scores without a threshold: macro and micro AUPRC and AUROC."""
    decisions: Sequence[DecisionScores]
    """Scores with one, by way of deciding."""
    shown: Decision
    """The way behind classes and figures."""
    seed_deviation: Mapping[str, Number]
    """Standard deviation over seeds of the ranking scores; empty for one seed."""
    classes: Sequence[ModelClass]
    """Every class, frequent ones first."""
    prevalence_f1: Correlation
    """Spearman's correlation of F1 with prevalence."""
    confusion: Sequence[Sequence[int]] | None = None
    """Rows true, columns most probable class; where a record has exactly one class; with the first seed."""
    curves: Sequence[ClassCurves] = ()
    """ROC and precision–recall curves of every class with the first seed."""
    averages: Sequence[ClassCurves] = ()
    """Micro- and macro-average curves with the first seed; of macro there is the ROC alone."""
    calibration: Sequence[Calibration] = ()
    """Scores before and after temperature scaling."""
    risk_coverage: RiskCoverage | None = None
    """Error of the most confident records."""
    sets: Sequence[SetCoverage] = ()
    """Conformal sets; none without calibration records."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelDifference:
    """A paired comparison of two models on the same records."""

    model: str
    """Name of the model."""
    other: str
    """Name of the model it is compared with."""
    score: str
    """Name of the score."""
    difference: Estimate
    """Score of the model less that of the other."""
    p: Number
    """Two-sided p value."""
    p_adjusted: Number
    """p after Benjamini–Hochberg over all pairs of models, on these records and this score."""
    distinguishable: bool
    """Whether the adjusted p is below .05."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordSetScores:
    """All models on one set of records at one tier."""

    key: str
    """Short name of records and tier, used in names of figures."""
    records: str
    """Name of the records: fold 10, or a data set."""
    external: bool
    """Whether they are of another data set than the study's."""
    tier: str
    """Label tier."""
    n_records: int
    """Records."""
    n_patients: int | None
    """Patients; null where they are not known, and records were drawn."""
    exclusive: bool
    """Whether a record has exactly one class."""
    ordinal: bool
    """Whether the classes have an order."""
    drawn: bool
    """Whether figures and curves of every class were made for it."""
    class_names: Sequence[str]
    """Names of the classes, in the order of confusion."""
    left_out: Mapping[str, str]
    """Classes left out of the means, with the reason."""
    classes: Sequence[ClassSupport]
    """Every class, frequent ones first."""
    models: Sequence[ModelScores]
    """Models that reach the tier."""
    differences: Sequence[ModelDifference]
    """Sentences on the differences between models that are real."""
    notes: Sequence[str] = ()
    """Further remarks on these records, one sentence each."""
    subgroups: Sequence[Subgroup] = ()
    """Scores by sex, by age and by origin; none where none of them is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationReport:
    """Models of a study on records that no search has seen; page, figures and tables follow from it alone.

    Undefined numbers are null.
    """

    __pydantic_config__: ClassVar[Mapping[str, object]] = CONFIG
    schema: Literal["ecg-architecture-search/evaluation"] = EVALUATION_SCHEMA
    """Kind of document."""
    schema_version: Literal[1] = EVALUATION_SCHEMA_VERSION
    """A field may be added without a new number; none is renamed, removed or redefined."""
    id: str
    """Name of the evaluation, as in the names of its files."""
    study: str
    """Name of the study."""
    target: str
    """Label tier of the study."""
    data: Data
    """Data set of the study."""
    synthetic: bool
    """Whether anything comes from generated records."""
    verdict: Sequence[str]
    """The result, sentence by sentence."""
    models: Sequence[Model]
    """Models, from few parameters to many."""
    record_sets: Sequence[RecordSetScores]
    """Records and tiers, the most important first."""
    openings: Sequence[SealedFoldOpening]
    """Openings of the sealed fold for the study, oldest first."""
    anchors: Sequence[Anchor]
    """Published results on fold 10; none was trained or scored here."""
    methods: Mapping[str, str]
    """Kind of number to n and method, in words."""
