"""Records: one small dataclass per fact, free of any database library.

States of a trial, and the only moves between them:

    waiting ──> running ──> complete      all folds trained and scored
                   ├──────> pruned        stopped by the race; its decision is stored
                   ├──────> failed        a fold could not be trained; its failure is stored
                   └──────> interrupted   stopped by the user or killed; queued again as a new trial

A trial that continues an interrupted one takes over its row, its finished folds and its curve, so that
an architecture has exactly one row in a study.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import nan
from typing import Any, Literal

ARTIFACT = "artifact"
"""Key under which a setting of a study names an artifact, which is copied with the study."""
EARLIER_STUDIES = "earlier_studies"
"""Setting of a study that learns from others: the artifact with what they found, and what it is in words."""
NUMBERING = "numbering"
"""Setting that identifies the numbers of records and patients, where they are those of rows or files."""

MACRO_AUPRC = "macro-auprc"
"""The first objective of studies made before there was a choice."""
PARAMETERS = "parameters"
"""The cost that is a column of every trial; others are attributes."""


def score_metric(settings: Mapping[str, Any]) -> str:
    """Name under which the score of the first objective is kept, from the settings of a study."""
    return str(settings.get("objective", MACRO_AUPRC)).replace("-", "_")


def minimised_cost(settings: Mapping[str, Any]) -> str:
    """Name of the cost that is the second objective, from the settings of a study."""
    return str(settings.get("cost", PARAMETERS))


TrialState = Literal["waiting", "running", "complete", "pruned", "failed", "interrupted"]
STATES: tuple[TrialState, ...] = ("complete", "pruned", "failed", "running", "waiting", "interrupted")
"""Every state of a trial, in the order of the tables."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRecord:
    """A study: space, data and settings. Never changes once written."""

    name: str
    target: str
    """Label tier on which every trial is scored."""
    space: str
    """Name of the search space, `wide` or `paper`."""
    data_name: str
    data_version: str
    data_fingerprint: str
    """SHA-256 of the content of the data set, independent of where it lies."""
    synthetic: bool
    rate_hz: int
    n_records: int
    n_patients: int
    settings: Mapping[str, Any]
    """Training settings every trial shares (epochs, batch size, learning rate, seed, …)."""
    tier_classes: Mapping[str, tuple[str, ...]]
    """Class names of every tier, in column order."""
    skipped_records: tuple[Mapping[str, Any], ...] = ()
    """Damaged records left out: ecg_id, filename, reason."""
    created_at: datetime | None = None
    touched_at: datetime | None = None

    @property
    def cost(self) -> str:
        """Name of the second objective; parameters in studies made before there was a choice."""
        return minimised_cost(self.settings)

    @property
    def n_classes(self) -> dict[str, int]:
        """Number of classes of every tier, which is that of the outputs of a model trained on it."""
        return {tier: len(classes) for tier, classes in self.tier_classes.items()}

    @property
    def objective(self) -> str:
        """Name of the first objective; studies made before there was a choice do not say."""
        return str(self.settings.get("objective", MACRO_AUPRC))


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerRecord:
    """A process that trains trials: where it ran and with what software."""

    host: str
    process_id: int
    process_started_at: float
    """Start time of the process in clock ticks since boot, which distinguishes a reused process id."""
    device: str
    command: str
    versions: Mapping[str, str]
    commit: str | None
    process_namespace: str | None = None
    """Boot and namespaces within which the process id is unique; None where not known."""
    precision: str | None = None
    """Precision in which models compute, such as `bfloat16`; None for workers of earlier versions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochRecord:
    """One point of a learning curve."""

    fold: int
    epoch: int
    """Counted from 1."""
    training_loss: float
    score: float
    """Score on the validation part of the fold, on the study's target tier."""
    seconds: float
    training_accuracy: float = nan
    """While training, on the tier trained on, over the batches as they were seen (augmented, with dropout):
    the share of right cells at a threshold of .5, of an exclusive tier that of right records. NaN, as are
    the next four, for epochs of before they were kept."""
    training_f1: float = nan
    """Likewise the macro-F1 at .5, of an exclusive tier that of the most probable class."""
    validation_loss: float = nan
    """Loss that is trained, on the validation part of the fold."""
    validation_accuracy: float = nan
    validation_f1: float = nan


@dataclass(frozen=True, kw_only=True, slots=True)
class TierScores:
    """Scores on one tier: numbers for the whole tier and columns of numbers per class."""

    metrics: Mapping[str, float]
    """Metric name to value, for example `macro_auprc`; NaN where undefined."""
    class_metrics: Mapping[str, tuple[float, ...]]
    """Metric name to one value per class of the tier; `n_positive` is one of them. NaN where undefined."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldRecord:
    """A fold trained to its end."""

    fold: int
    n_training: int
    n_validation: int
    seconds: float
    scores: Mapping[str, TierScores]
    """Tier name to scores on the validation part of the fold."""
    predictions: str
    """Artifact id of the out-of-fold predictions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RepeatFoldRecord:
    """A fold of a repeat, trained to its end."""

    fold: int
    score: float
    """Score on the target."""
    n_training: int
    n_validation: int
    seconds: float
    """Training seconds in the run that finished it."""
    predictions: str
    """Artifact id of the out-of-fold predictions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RepeatRecord:
    """Another training of a complete trial's architecture, with a seed of its own."""

    id: int
    trial_id: int
    """Row id of the trial."""
    seed: int
    sampler_noise_sd: float | None
    """Standard deviation between two trainings, as the sampler had it from single ones; None if unknown."""
    score: float | None
    """Cross-validated score on the target; None until all folds are trained."""
    tier_scores: Mapping[str, float]
    """Tier name to cross-validated score; empty until all folds are trained."""
    failure: str | None
    """Reason for a missing score; None with a score."""
    folds: tuple[RepeatFoldRecord, ...] = ()
    """Finished folds, by number."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it is left to train."""
        return self.score is not None or self.failure is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningRepeatRecord:
    """A repeat that a worker has begun and neither ended nor put down."""

    id: int
    trial: int
    """Number of the trial."""
    trial_id: int
    """Row id of the trial."""
    seed: int
    worker: WorkerRecord | None
    """Worker that trains it; None for one that is forgotten."""
    silent_s: float
    """Seconds since its last sign of life, by the clock of the database."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GainRecord:
    """Gain over the front expected of the best untried architecture when a trial was proposed."""

    trial: int
    """Number of that trial."""
    expected: float
    """Largest expected improvement, as a share of the hypervolume at that time."""
    at_most: float
    """Upper bound of the improvement, as such a share."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionRecord:
    """A decision of the race at one rung, with its grounds."""

    fold: int
    """0 for the forecast before the first fold."""
    epoch: int
    rival: int | None
    """Trial number of the rival on the staircase."""
    needed: float
    """Score to beat: the rival's."""
    predicted: float
    standard_error: float
    pruned: bool
    reason: str
    """The decision in words."""
    probability: float | None = None
    """P(improves the front)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedRecord:
    """A complete or pruned trial as the race and the sampler see it."""

    id: int
    """Row id; stays when the trial is thawed."""
    number: int
    """Optuna's trial number."""
    architecture: Mapping[str, Any]
    cost: int
    """Second objective of the study."""
    score: float | None
    """Final score; None if the trial was pruned."""
    curve: Mapping[tuple[int, int], float]
    """Score on the target by fold and epoch."""
    seconds_per_epoch: float
    """Seconds per epoch of a fold trained to its end, the first epoch once; NaN if none has ended."""
    finished_folds: frozenset[int]
    decisions: tuple[DecisionRecord, ...]
    """Decisions of the race, oldest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureRecord:
    """Early end of a trial or of an attempt at it, with the reason; failures are data."""

    kind: str
    """`diverged`, `out-of-memory`, `error`, `interrupted` or `killed`."""
    message: str
    traceback: str = ""
    fold: int | None = None
    epoch: int | None = None
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class UnfinishedRecord:
    """A trial that runs, or that ended without a result and without a reason that will last."""

    id: int | None
    """Row id of the trial; None for one that runs and has no architecture yet."""
    number: int
    """Number of the Optuna trial that trained it last."""
    is_running: bool
    """Whether it is running in Optuna's tables; its worker may be dead."""
    is_explained: bool
    """Whether a failure of this attempt is kept: `interrupted` or `killed`, since others last."""
    worker: WorkerRecord | None
    """Worker that trained it last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedFoldOpeningRecord:
    """One opening of the sealed test fold."""

    study: str | None
    trial: int | None
    preset: str | None
    data_fingerprint: str
    metrics: Mapping[str, float]
    at: datetime | None = None
    ensemble: str | None = None
    """Name of the ensemble that was tested; None for a trial or a preset."""
    model: str | None = None
    """Digests of its architectures, by which it is known under any name; None before schema 6."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluatedModel:
    """A network trained for an evaluation: one of its members with one of its seeds."""

    name: str
    """Name of the member: `trial 12` or `preset cnn`."""
    weight: float
    """Weight in the average of the members; 1 where the evaluation is of one architecture."""
    seed: int
    architecture: Mapping[str, Any]
    parameters: int
    label_tier: str
    """Tier it was trained on."""
    n_training: int
    """Records it was trained on, those included that only early stopping looked at."""
    epochs_trained: int
    """Epochs in which its weights changed: fewer than planned after early stopping."""
    seconds: float
    file: str
    """Artifact id of the model, a safetensors file that `search.training.model_file.load_model` reads."""
    curve: tuple[EpochRecord, ...] = ()
    """Epochs trained. `fold` is the CV fold whose training part it was trained on, 0 for all records but the
    sealed fold; there is then no validation part, and nothing of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """An architecture or an ensemble, trained anew and tested on records that no search has seen.

    Labels and probabilities are kept as artifacts (`storage.load_predictions`), projected onto every tier
    that the model reaches, one file for each part and seed; all scores follow from them.
    """

    id: int | None = None
    """Number by which users name the evaluation; None until it is kept."""
    study: str
    model: str
    """`trial 12`, `preset cnn` or `ensemble greedy`."""
    trial: int | None
    preset: str | None
    ensemble: str | None
    parameters: int
    """Parameters of all members together."""
    label_tier: str
    """Finest tier of its predictions: the tier trained on; of an ensemble, the study's target."""
    fit: str
    """Folds trained on, such as `1-8`; those between them and the sealed fold, if any, validate."""
    seeds: tuple[int, ...]
    records: str
    """Records tested on: the sealed fold by its name, such as `fold 10`, or the name of a data set."""
    external: bool
    """Whether that is another data set, all of it, and no fold was opened."""
    data_name: str
    data_version: str
    data_fingerprint: str
    """Fingerprint of the records tested on; for a sealed fold of these alone."""
    synthetic: bool
    """Whether any record is generated."""
    exclusive_tiers: tuple[str, ...]
    """Tiers of which a record has exactly one class."""
    ordinal_tiers: tuple[str, ...]
    """Tiers whose classes have an order."""
    predictions: Mapping[str, tuple[str, ...]]
    """Part to artifact ids, one for each seed. Parts are `test`, `validation` if there is one and, of another
    data set, the cohorts `known` and `unseen`: records with a statement that the model was trained on, and
    records of whose statements it has seen none."""
    thresholds: Mapping[str, tuple[tuple[float, ...], ...]]
    """Tier to thresholds for each seed and class, which maximise F1 on `thresholds_from`."""
    thresholds_from: str
    """Records that thresholds were chosen on, in words; empty where there were none, and all are .5."""
    metrics: Mapping[str, float]
    """Metrics on the test part, mean over seeds: `TIER_METRIC` to value, at a threshold of .5 if any."""
    opening: int | None
    """Row id of the opening of the sealed fold; None for another data set."""
    device: str
    commit: str | None
    models: tuple[EvaluatedModel, ...] = ()
    """Members with the first seed, then with the next."""
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRecord:
    """A trial as a reader of the study sees it."""

    id: int
    """Row id; stays when a continued trial gets a new number."""
    number: int
    """Optuna's trial number."""
    state: TrialState
    architecture: Mapping[str, Any]
    architecture_hash: str
    description: str
    parameters: int
    label_tier: str
    costs: Mapping[str, int] = field(default_factory=dict)
    """Every cost of the model by name; empty where an earlier version began the trial."""
    cost_name: str = PARAMETERS
    """Name of the cost that the study minimises."""
    preset: str | None = None
    score: float | None = None
    """Cross-validated score on the target, mean over all trainings; None unless complete."""
    repeats: tuple[RepeatRecord, ...] = ()
    """Further trainings of the architecture, begun or ended, by seed."""
    first_fold_scores: Mapping[int, float] = field(default_factory=dict)
    """`fold_scores` of the first training; empty where there is no other."""
    first_score: float | None = None
    """`score` of the first training; None where there is no other."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float = 0.0
    """Training seconds over all folds and attempts."""
    n_epochs_trained: int = 0
    """Fold-epochs trained, over all folds."""
    fold_scores: Mapping[int, float] = field(default_factory=dict)
    """Fold number to score on the target, finished folds only; mean over all trainings."""
    tier_scores: Mapping[str, float] = field(default_factory=dict)
    """Tier name to cross-validated score, complete trials only; mean over all trainings."""
    decision: DecisionRecord | None = None
    """The last decision of the race."""
    failure: FailureRecord | None = None
    """The last failure."""

    @property
    def cost(self) -> int:
        """Second objective of the study."""
        return self.parameters if self.cost_name == PARAMETERS else self.costs[self.cost_name]

    @property
    def trained_again(self) -> tuple[RepeatRecord, ...]:
        """Repeats with a score, by seed."""
        return tuple(each for each in self.repeats if each.score is not None)

    @property
    def scores(self) -> tuple[float, ...]:
        """Score of every training, the first one first; empty unless complete."""
        first = self.score if self.first_score is None else self.first_score
        again = [each.score for each in self.trained_again if each.score is not None]
        return () if first is None else (first, *again)

    @property
    def training_fold_scores(self) -> tuple[Mapping[int, float], ...]:
        """Fold number to score of every training, the first one first; empty unless complete."""
        again = [{fold.fold: fold.score for fold in each.folds} for each in self.trained_again]
        return () if self.score is None else (self.first_fold_scores or self.fold_scores, *again)


def version_words(version: str) -> str:
    """Suffix of the name of a data set: ` 1.0.3`, ` of unknown version`."""
    # Studies made earlier kept the number of records as well: "unknown (987 records)".
    if version.startswith("unknown"):
        return " of unknown version"
    return version and f" {version}"
