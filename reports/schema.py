"""The fields of report.json as dataclasses: the contract with programs that read a report.

report.json, the JSON Schema beside it, page, figures, CSV and LaTeX are all made from these classes
(`reports.document` fills them). The docstring of a class or field is its description in the JSON Schema. A
trailing underscore of a name is left out in JSON: `class_` is `class`. Undefined and unknown numbers are
null. Scores are those of the `objective` of the study, from 0 to 1; beside a `score`, `macro_auprc` is the
same number where that is the objective, else null. Durations are seconds; a fold-epoch is one epoch of one
fold.
"""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from reports.published import Anchor
from scores.costs import DEFAULT_COST
from scores.objectives import DEFAULT_OBJECTIVE
from storage.records import TrialState

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA: Literal["ecg-architecture-search/report"] = "ecg-architecture-search/report"
SCHEMA_VERSION: Literal[1] = 1
"""A field may be added, with a default, without a new number; none is renamed, removed or redefined."""

Number = float | None
"""Null where undefined or unknown."""
CONFIG: Mapping[str, Any] = {
    "use_attribute_docstrings": True,
    "alias_generator": lambda name: name.rstrip("_"),
}
"""Configuration of pydantic for reading and writing documents; parts of a document inherit it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A score, or a difference of two, with its bootstrap interval."""

    value: float
    """Score or difference."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""
    level: float
    """Confidence level, for example 0.95."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedRecords:
    """Damaged records that are left out for one reason."""

    reason: str
    """The reason; what differs between the records is written as …."""
    records: Sequence[str]
    """File names of the records."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """The data set."""

    name: str
    """Name of the data set."""
    version: str
    """Version of the data set; `SYNTHETIC` for the demo."""
    fingerprint: str
    """SHA-256 of the content."""
    synthetic: bool
    """True for the demo."""
    rate_hz: int
    """Sampling rate of the signals in hertz."""
    unit: str
    """Unit of a row: record or beat."""
    n_records: int
    """Rows."""
    n_patients: int
    """Patients."""
    n_skipped_records: int
    """Damaged records left out."""
    skipped_records: Sequence[SkippedRecords] = ()
    """The same by reason, the commonest first."""
    left_out: Sequence[str] = ()
    """Everything that is left out of the data and why, in words."""
    subset: str | None = None
    """Requested share or number of records, such as `10%`; null for all."""
    n_outside_subset: int = 0
    """Rows that the subset leaves out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontMember:
    """A trial on the Pareto front of a tier."""

    trial: int
    """Number of the trial."""
    macro_auprc: Number
    """Cross-validated macro-AUPRC on the tier."""
    interval: Interval | None
    """Bootstrap interval of the score; null without out-of-fold predictions."""
    parameters: int
    """Trainable parameters."""
    description: str
    """Architecture in words."""
    cost: int | None = None
    """The second objective of this trial; null in reports written when it was always the parameters."""
    score: Number = None
    """Cross-validated score on the tier; null in reports written when it was always macro-AUPRC."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pick:
    """A member of the front to take, with the reason."""

    trial: int
    """Number of the trial."""
    rule: str
    """Rule by which it was picked, in words."""
    reason: str
    """Reason of the recommendation, in a sentence."""
    expected: Interval | None = None
    """Expected score on other patients, corrected for the choice; null where it is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingNoise:
    """Variation of an architecture's score between trainings with other seeds."""

    deviation: float
    """Standard deviation between two trainings."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end."""
    n_architectures: int
    """Architectures trained more than once."""
    n_trainings: int
    """Trainings of these."""
    expected_by_sampler: Number
    """The same deviation as the sampler had it from single trainings; null where it is not known."""
    seed_variance: Number
    """Variance component of the seed, common to the folds of a training; null with fewer than two folds."""
    fold_variance: Number
    """Variance component of the folds of an architecture."""
    residual_variance: Number
    """Variance component of the training of one fold, beyond that of the seed."""
    words: Sequence[str]
    """The same in sentences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tier:
    """The Pareto front on one label tier."""

    tier: str
    """Name of the tier."""
    n_classes: int | None
    """Classes of the tier."""
    chance: Number
    """Score of guessing: of macro-AUPRC the mean prevalence of the classes with a score."""
    front: Sequence[FrontMember]
    """Pareto front on this tier, by rising cost; scores of tiers cannot be compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LeadFront:
    """The Pareto front on the target among trials with one number of leads."""

    n_leads: int
    """Leads that enter each of its models."""
    front: Sequence[FrontMember]
    """Pareto front among these trials, by rising cost."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Learning curve of one fold."""

    fold: int
    """Fold, from 1."""
    epochs: Sequence[int]
    """Epochs, from 1."""
    macro_auprc: Sequence[Number]
    """Validation macro-AUPRC after each epoch, on the target; empty with another objective."""
    training_loss: Sequence[Number]
    """Mean training loss of each epoch."""
    training_accuracy: Sequence[Number] = ()
    """Accuracy while training, on the tier trained on, at .5 or of the most probable class; as are the next
    four, empty where it was not kept."""
    training_f1: Sequence[Number] = ()
    """Likewise macro-F1."""
    validation_loss: Sequence[Number] = ()
    """Loss that is trained, on the validation part after each epoch."""
    validation_accuracy: Sequence[Number] = ()
    """Accuracy on the validation part after each epoch, on the tier trained on."""
    validation_f1: Sequence[Number] = ()
    """Likewise macro-F1."""
    score: Sequence[Number] = ()
    """Validation score after each epoch, on the target; empty in reports of before there was a choice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A step of an inference."""

    part: str
    """Axis that it comes from: backbone, recurrent, pooling, gate, features, head or label_tier."""
    layer: str
    """The layer in words."""
    channels: int
    """Channels that leave it."""
    samples: int
    """Samples that leave it; 1 behind the pooling over time."""
    parameters: int
    """Trainable parameters."""
    macs: int
    """Multiply–accumulates of one record."""
    live_values: int
    """Values in memory at once while it is computed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layers:
    """An architecture layer by layer."""

    n_leads: int
    """Leads of a record."""
    n_samples: int
    """Samples of a lead."""
    layers: Sequence[Layer]
    """Layers in the order in which they are computed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CloseTrial:
    """A trial looked at closely: its intervals, all metrics and learning curves."""

    trial: int
    """Number of the trial."""
    interval: Interval | None = None
    """Score on the target with its bootstrap interval."""
    frequent: Interval | None = None
    """Macro-AUPRC over classes with at least ten positives."""
    front_share: Number = None
    """Share of the resamples in which the trial is on the front: of patients, and of trainings where trials
    were trained again."""
    expected: Interval | None = None
    """Expected score on other patients, corrected for the choice; members of the front."""
    n_contenders: int | None = None
    """Trials among which it was chosen for that number."""
    on_other_folds: Number = None
    """Check: score of the trial chosen among them on all folds but one, on that one."""
    n_trainings: int = 1
    """Trainings that its scores are means of."""
    total_standard_error: Number = None
    """Standard error of the mean over seeds, folds and patients; null where no trial was trained again."""
    metrics: Mapping[str, Mapping[str, Number]] = field(default_factory=dict)
    """Tier to cross-validated metrics by name; on the target also peak_memory_bytes, the peak of resident
    memory of the process that trained the trial, and peak_gpu_memory_bytes, that of its tensors on a GPU,
    where they are known."""
    curves: Sequence[Curve] = ()
    """Learning curves by fold."""
    layers: Layers | None = None
    """Layers of a member of the front; null for other trials, and where they are not known: of a study with a
    space file, and of studies of before leads and length of the records were kept."""
    problem: str = ""
    """Reason for missing intervals; empty if there are some."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A paired comparison of two trials on the target."""

    trial: int
    """Number of the trial."""
    other: int
    """Number of the trial it is compared with."""
    kind: Literal["next smaller on the front", "rival on the front"]
    """Relation of the other trial to this one."""
    difference: Interval | None
    """Score of the trial less that of the other."""
    p: Number
    """Two-sided p value."""
    p_adjusted: Number
    """p after Benjamini–Hochberg over all comparisons."""
    distinguishable: bool
    """Whether the adjusted p is below .05."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """Two levels of an axis compared."""

    base: str
    """Level compared with, in words."""
    level: str
    """Level in question, in words."""
    words: str
    """The comparison as a sentence."""
    method: Literal["paired", "model", "none"]
    """Paired differences, additive model, or too few trials."""
    difference: Number
    """Difference in score."""
    low: Number
    """Lower end of its 95 % interval."""
    high: Number
    """Upper end."""
    p: Number
    """Two-sided p value."""
    p_adjusted: Number
    """p after Benjamini–Hochberg over all effects."""
    distinguishable: bool
    """Whether the adjusted p is below .05."""
    n: int
    """Sets of pairs, or trials."""
    n_forecasts: int
    """Pruned trials among them, which count with a forecast."""
    parameter_ratio: Number
    """Geometric mean ratio of parameters; null where the study minimises something else."""
    cost_ratio: Number = None
    """Geometric mean ratio of what the study minimises; null in reports of before there was a choice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AxisEffects:
    """Effect of one axis of the search space on the score."""

    axis: str
    """Name of the axis."""
    words: str
    """Name of the axis in words."""
    answer: str
    """The plain answer."""
    effects: Sequence[Effect]
    """Comparisons of its levels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassScore:
    """Average precision of one trial on one class."""

    trial: int
    """Number of the trial."""
    value: Number
    """Cross-validated average precision."""
    interval: Interval | None
    """Bootstrap interval of the score."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassScores:
    """Average precision of the members of the front on one class of the target."""

    class_: str
    """Name of the class."""
    n_positive: Number
    """Positive records over all folds."""
    prevalence: Number
    """Share of positive records."""
    frequent: bool
    """Whether the class has at least ten positives."""
    auprc: Sequence[ClassScore]
    """Members of the front, by rising cost."""


Decision = Literal["half", "f1", "youden", "argmax"]
"""Rule of decisions: thresholds of .5, of best F1, of Youden's index, or the most probable class."""
DECISION_WORDS: Mapping[Decision, str] = {
    "half": "one half",
    "f1": "best F1 of each class",
    "youden": "Youden's index of each class",
    "argmax": "most probable class",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyMetrics:
    """Metrics of the decisions made with one choice of thresholds."""

    policy: Decision
    """Policy by which thresholds are chosen; argmax takes the most probable class instead."""
    words: str
    """The policy in words."""
    metrics: Mapping[str, Number]
    """Metric name to value, all folds together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A statistic with its 95 % interval."""

    value: Number
    """The statistic on the records as they are; of several seeds, the mean."""
    low: Number = None
    """Lower end; null where no resample differs from another."""
    high: Number = None
    """Upper end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OneClass:
    """One class as one trial recognises it, all folds together."""

    class_: str
    """Name of the class."""
    n_positive: int
    """Positive records."""
    prevalence: float
    """Share of positive records."""
    auprc: Number
    """Average precision."""
    auroc: Number
    """Area under the ROC curve."""
    precision: Number
    """Precision."""
    recall: Number
    """Recall."""
    f1: Number
    """F1."""
    confusion: Sequence[Sequence[int]]
    """[[true negatives, false positives], [false negatives, true positives]]."""
    specificity: Number = None
    """Specificity; null in reports of before it was kept."""
    operating_points: Mapping[str, Estimate] = field(default_factory=dict)
    """sensitivity_at_specificity_90, specificity_at_sensitivity_90 and sensitivity_in_top_5_percent, the best
    that some threshold reaches on these records, and alarm_rate, share of the records that are called; empty
    in reports of before they were kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Correlation:
    """A rank correlation with its 95 % interval."""

    value: Number
    """Spearman's ρ."""
    low: Number
    """Lower end."""
    high: Number
    """Upper end."""
    n: int
    """Pairs."""
    p: Number = None
    """Two-sided p value; null where undefined, and in reports of before it was kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Points:
    """Points of a curve."""

    x: Sequence[float]
    """False positive rate, or recall."""
    y: Sequence[float]
    """True positive rate, or precision."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassCurves:
    """ROC and precision–recall curves of one class."""

    class_: str
    """Name of the class."""
    roc: Points
    """False positive rate and true positive rate."""
    precision_recall: Points
    """Recall and precision."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSubgroup:
    """A model on a group of the records."""

    scores: Mapping[str, Estimate]
    """macro_auroc, macro_auprc, and macro_recall and macro_specificity of the decisions shown."""
    differences: Mapping[str, Estimate]
    """macro_auroc and macro_auprc of the group less those of the other groups together."""
    p_adjusted: Mapping[str, Number]
    """Two-sided p of the differences, after Benjamini–Hochberg over the groups of the attribute."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subgroup:
    """Records of one sex, of some ages, or of one origin."""

    attribute: str
    """Attribute that defines the groups: sex, age, or a field of the data set on the origin of records,
    such as device or site."""
    group: str
    """Name of the group; unknown for records of which it is not known."""
    n_records: int
    """Records."""
    n_patients: int | None
    """Patients; null where they are not known."""
    classes: Sequence[str]
    """Classes that scores are means over: those that every compared group can score."""
    models: Mapping[str, ModelSubgroup]
    """Model to scores; empty for the unknown and for groups too small to be compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CloserLook:
    """One trial, class by class, on its out-of-fold predictions."""

    trial: int
    """Number of the trial."""
    n_records: int
    """Rows of all folds."""
    shown: Literal["f1", "argmax"]
    """Policy behind classes and confusion; argmax where a record has exactly one class."""
    policies: Sequence[PolicyMetrics]
    """Thresholds of a fold are chosen on the predictions for the other folds."""
    class_names: Sequence[str]
    """Names of the classes, in the order of confusion."""
    classes: Sequence[OneClass]
    """Every class, frequent ones first."""
    prevalence_f1: Correlation
    """Spearman's correlation of F1 with prevalence, 95 % interval of Bonett & Wright (2000)."""
    confusion: Sequence[Sequence[int]] | None
    """Rows true, columns most probable class; where a record has exactly one class."""
    curves: Sequence[ClassCurves]
    """Curves of the largest classes, over all folds together."""
    subgroups: Sequence[Subgroup] = ()
    """Scores by sex, by age and by origin; none where none of them was kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Corner:
    """Reference point of the hypervolume."""

    macro_auprc: float
    """Worst score that counts, whatever the objective."""
    parameters: Number
    """Largest number of parameters that counts; null where the study minimises something else."""
    cost: Number = None
    """Largest cost that counts; null in reports of before there was a choice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gain:
    """Expected gain of the next trial, in shares of the hypervolume at that time."""

    trial: int
    """Number of the trial that was proposed then."""
    expected: float
    """Largest expected improvement of a remaining architecture."""
    at_most: float
    """Bound that the improvement of the best remaining architecture stays below with probability .9."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HypervolumePoint:
    """Hypervolume after a trial joined the front."""

    trial: int | None
    """Number of the trial; null for the start and the end."""
    n_fold_epochs: int
    """Fold-epochs trained until then, by all trials."""
    seconds: float
    """Seconds of training until then, all workers together."""
    hypervolume: float
    """Area in score × log10(cost)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hypervolume:
    """Hypervolume of the front against training."""

    reference: Corner
    """Corner from which it is measured."""
    points: Sequence[HypervolumePoint]
    """Hypervolume after every trial that joined the front, in the order in which trials ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrunedTrial:
    """A pruned trial with the forecast that stopped it."""

    trial: int
    """Number of the trial."""
    description: str
    """Architecture in words."""
    parameters: int
    """Trainable parameters."""
    n_fold_epochs: int
    """Fold-epochs trained."""
    fold: int | None
    """Fold after which it was stopped."""
    epoch: int | None
    """Epoch of that fold."""
    rival: int | None
    """Trial to beat."""
    needed: Number
    """Score to beat: the rival's."""
    predicted: Number
    """Forecast of the final score."""
    standard_error: Number
    """Standard error of the forecast."""
    probability: Number
    """P(improves the front)."""
    reason: str
    """The decision in words."""
    cost: int | None = None
    """The second objective of this trial; null in reports written when it was always the parameters."""
    score: Number = None
    """Cross-validated score on the tier; null in reports written when it was always macro-AUPRC."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Race:
    """Training saved by pruning."""

    n_complete: int
    """Complete trials."""
    n_pruned: int
    """Pruned trials."""
    fold_epochs_of_a_trial: int | None
    """Fold-epochs of a complete trial."""
    n_fold_epochs_trained: int
    """Fold-epochs of complete and pruned trials."""
    n_fold_epochs_saved: int
    """Fold-epochs that pruned trials would still have taken."""
    share_saved: Number
    """Share of the fold-epochs that the finished trials would have taken."""
    seconds_trained: float
    """Seconds of training of complete and pruned trials."""
    seconds_saved: float
    """Estimate of the seconds that pruned trials would still have taken."""
    pruned: Sequence[PrunedTrial]
    """Every pruned trial with the forecast that stopped it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """The last failure of a trial."""

    trial: int
    """Number of the trial."""
    state: TrialState
    """State of the trial now."""
    description: str
    """Architecture in words."""
    kind: str
    """diverged, out-of-memory, error, interrupted or killed."""
    message: str
    """The message on one line."""
    fold: int | None
    """Fold in which it happened."""
    epoch: int | None
    """Epoch in which it happened."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """A trial in any state."""

    trial: int
    """Number of the trial."""
    state: TrialState
    """State of the trial."""
    on_front: bool
    """Whether it is on the front of the target."""
    preset: str | None
    """Name of the published architecture that it is."""
    macro_auprc: Number
    """Cross-validated macro-AUPRC on the target; complete trials only, and null where the study maximises
    something else."""
    mean_of_finished_folds: Number
    """Plain mean over the finished folds."""
    standard_deviation: Number
    """Sample standard deviation over the finished folds."""
    standard_error: Number
    """SD/√n over folds; not a confidence interval, for training sets overlap."""
    fold_scores: Mapping[int, Number]
    """Fold to its score on the target."""
    tier_scores: Mapping[str, Number]
    """Tier to cross-validated score."""
    parameters: int
    """Trainable parameters."""
    description: str
    """Architecture in words."""
    label_tier: str
    """Tier of the labels it was trained on."""
    recurrent_kind: str
    """none, GRU, LSTM or mixed."""
    direction: Literal["none", "forward", "bidirectional", "mixed"]
    """Direction of the recurrent layers."""
    architecture: Mapping[str, Any]
    """Every field of the architecture."""
    architecture_hash: str
    """Digest of the architecture."""
    seconds: float
    """Seconds of training."""
    n_fold_epochs: int
    """Fold-epochs trained."""
    reason: str
    """Reason of an early end; empty for a trial without one."""
    rival: int | None
    """Trial that the race compared it with last."""
    failure_kind: str | None
    """Kind of its failure."""
    started_at: str | None
    """Start, ISO 8601."""
    ended_at: str | None
    """End, ISO 8601."""
    costs: Mapping[str, int] = field(default_factory=dict)
    """Costs of one inference of one record, known before training: parameters, macs (multiply–accumulates),
    bytes of weights and peak memory of activations in bytes, in fp32 and in int8, and, where the study knows
    it, latency with its 99th percentile in microseconds and throughput in records a second; empty where an
    earlier version began the trial."""
    score: Number = None
    """Cross-validated score on the target; complete trials only, and null in reports of before there was a
    choice of objectives."""

    def cost(self, name: str) -> int:
        """A cost by its name."""
        return self.parameters if name == DEFAULT_COST else self.costs[name]


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """A process that trained trials."""

    command: str
    """Command line of the process."""
    device: str
    """Device it trained on."""
    versions: Mapping[str, str]
    """Package to version."""
    commit: str | None
    """Commit of the program."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedFoldOpening:
    """An opening of the sealed test fold."""

    trial: int | None
    """Number of the trial evaluated."""
    preset: str | None
    """Preset evaluated."""
    metrics: Mapping[str, Number]
    """Metric name to value."""
    at: str | None
    """Time, ISO 8601."""
    ensemble: str | None = None
    """Ensemble evaluated."""
    study: str | None = None
    """Study of the model, this one or another of the same data; None in documents of earlier versions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationSummary:
    """A model trained anew and tested on records that no search has seen."""

    evaluation: int
    """Number of the evaluation."""
    model: str
    """Name of the model."""
    parameters: int
    """Trainable parameters, of all members of an ensemble together."""
    fit: str
    """Folds trained on."""
    n_seeds: int
    """Seeds trained with."""
    records: str
    """Records tested on: the sealed fold, or another data set."""
    external: bool
    """Whether that is another data set."""
    tier: str
    """Tier of the scores."""
    macro_auprc: Number
    """Macro-AUPRC, mean over seeds."""
    macro_auroc: Number
    """Macro-AUROC, mean over seeds."""
    at: str | None
    """Time, ISO 8601."""
    page: str
    """File of the page that shows it, or a newer one of the same model, class by class."""


Ends = tuple[Number, Number]
"""Both ends of a 95 % interval over draws of patients."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EnsembleMember:
    """A trial in an ensemble."""

    trial: int
    """Number of the trial."""
    weight: float
    """Share of the average."""
    parameters: int
    """Trainable parameters."""
    label_tier: str
    """Tier of the labels it was trained on."""
    description: str
    """Architecture in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EnsembleDifference:
    """A paired difference."""

    value: Number
    """Difference in score."""
    interval: Ends
    """Interval of the difference."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ensemble:
    """A weighted average of trials."""

    name: str
    """Kind of ensemble."""
    members: Sequence[EnsembleMember]
    """Members of the ensemble, by falling weight."""
    parameters: int
    """Trainable parameters of all members."""
    macro_auprc: Number
    """Nested score: in each fold, members and weights are those chosen on the other folds; null with another
    objective."""
    interval: Ends
    """Interval of the nested score."""
    difference: EnsembleDifference
    """Nested score minus that of the best trial."""
    in_sample_macro_auprc: Number
    """Chosen and scored on the same folds: optimistic; null where the study maximises something else."""
    on_front: bool | None
    """Whether it is on the joint front; null for an ensemble of one member, which is a trial."""
    cost: int = 0
    """The second objective, of all members together."""
    score: Number = None
    """Nested score; null in reports written when it was always macro-AUPRC."""
    in_sample_score: Number = None
    """Score of an ensemble chosen and scored on the same folds: optimistic; null in the same reports."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Methods and settings of the study."""

    created_at: str | None
    """Time at which the study was made, ISO 8601."""
    commands: Sequence[str]
    """Commands that made the study."""
    workers: Sequence[Worker]
    """Processes that trained, without duplicates."""
    sealed_fold_openings: Sequence[SealedFoldOpening]
    """Openings of the sealed test fold, for this study and for others of the same data."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The whole content of a report; page, figures, CSV and LaTeX are made from it alone.

    Undefined numbers are null.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = CONFIG
    schema: Literal["ecg-architecture-search/report"] = SCHEMA
    """Kind of document."""
    schema_version: Literal[1] = SCHEMA_VERSION
    """A field may be added without a new number; none is renamed, removed or redefined."""
    study: str
    """Name of the study."""
    target: str
    """Label tier on which every trial is scored."""
    n_classes: int | None
    """Classes of the target."""
    space: str
    """Name of the search space."""
    data: Data
    """The data set."""
    settings: Mapping[str, Any]
    """Settings that all trials share: epochs, batch size, seed, …"""
    counts: Mapping[TrialState, int]
    """State to number of trials, every state."""
    verdict: Sequence[str]
    """The verdict, sentence by sentence."""
    front: Sequence[int]
    """Trials on the Pareto front of the target, by rising cost."""
    tiers: Sequence[Tier]
    """Every tier reached, the target first."""
    close: Sequence[CloseTrial]
    """Trials looked at closely: members of the fronts, and presets."""
    comparisons: Sequence[Comparison]
    """Sentences on the differences that are real."""
    axis_effects: Sequence[AxisEffects]
    """Effect of each axis."""
    classes: Sequence[ClassScores]
    """Average precision of every class of the target."""
    closer_look: CloserLook | None
    """One trial, class by class."""
    hypervolume: Hypervolume
    """Hypervolume of the front against training."""
    race: Race
    """Training saved by pruning."""
    failures: Sequence[Failure]
    """The last failure of every trial that has one."""
    anchors: Sequence[Anchor]
    """Published results on fold 10; none was trained or scored here."""
    trials: Sequence[Trial]
    """Every trial, by number."""
    provenance: Provenance
    """Methods and settings of the study."""
    methods: Mapping[str, str]
    """Kind of number to n and method, in words."""
    picks: Sequence[Pick] = ()
    """Member of the front recommended by each rule that applies."""
    evaluations: Sequence[EvaluationSummary] = ()
    """Evaluations on held-out records, oldest first."""
    ensembles: Sequence[Ensemble] = ()
    """Every kind of ensemble; empty where no two trials can be averaged: `methods` has the reason."""
    gains: Sequence[Gain] = ()
    """Expected gain of each proposal, by number of the trial; only for samplers that estimate it."""
    cost: str = DEFAULT_COST
    """Name of the second objective: parameters, macs, bytes, memory or latency, in the units of `costs`."""
    objective: str = DEFAULT_OBJECTIVE
    """Name of the first objective: macro-auprc, or worst-group (AUROC of the worst sex or age group)."""
    lead_fronts: Sequence[LeadFront] = ()
    """A front for each number of leads, few leads first; empty where all trials have the same number."""
    training_noise: TrainingNoise | None = None
    """Variation of scores between trainings; null where no trial was trained again."""


def score_fields(objective: str, value: float | None) -> dict[str, float | None]:
    """Fields of a document that hold a score.

    Args:
        objective: of the study.
        value: on this objective; undefined ones become None.
    """
    score = finite(value)
    return {"score": score, "macro_auprc": score if objective == DEFAULT_OBJECTIVE else None}


def finite(value: float | None) -> float | None:
    """The number as a plain float, or None where it is undefined."""
    return None if value is None or not math.isfinite(value) else float(value)


_ADAPTERS: "dict[type[object], TypeAdapter[Any]]" = {}
"""Kind of document to its reader and writer, made once."""


def _adapter(kind: type[object]) -> "TypeAdapter[Any]":
    if kind not in _ADAPTERS:
        from pydantic import TypeAdapter  # not for workers, which fill documents but write none

        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def to_json(document: object) -> dict[str, Any]:
    """A document (instance of a dataclass with `CONFIG`) as JSON types; undefined numbers are None."""
    found: dict[str, Any] = _adapter(type(document)).dump_python(document, mode="json", by_alias=True)
    return found


def report_text(report: Report) -> str:
    """The text of report.json."""
    return to_json_text(to_json(report))


def read_report(text: str | bytes) -> Report:
    """A report.json of this or an earlier version; unknown fields are ignored.

    Letters that UTF-8 cannot hold (a name may have them escaped) become question marks.

    Raises:
        ValueError: the text is not a report.
    """
    clean = json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "replace")
    found: Report = _adapter(Report).validate_json(clean)
    return found


def json_schema(kind: type[object] = Report) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a document."""
    found = _adapter(kind).json_schema(mode="serialization", by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | found


@functools.cache
def json_schema_text(kind: type[object] = Report) -> str:
    """The same as the text of a file, made once."""
    return json.dumps(json_schema(kind), ensure_ascii=False, indent=1) + "\n"


def to_json_text(document: Mapping[str, Any]) -> str:
    """A JSON document as text, the same for the same document: a line for a field or for an item of a list.

    Indented throughout it would be twice as long, and take ten times as long.
    """

    def one_line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)

    fields = []
    for key, value in document.items():
        items = ",\n".join(f"  {one_line(item)}" for item in value) if isinstance(value, list) else ""
        fields.append(f" {one_line(key)}: " + (f"[\n{items}\n ]" if items else one_line(value)))
    return "{\n" + ",\n".join(fields) + "\n}\n"
