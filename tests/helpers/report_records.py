"""Hand-made studies and trials for the tests of reports, and a store that holds them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports.document import report_document
from reports.ensembles.study import build_ensembles
from scores.metrics import all_metrics, cross_validated_auprc
from storage.records import (
    STATES,
    DecisionRecord,
    EpochRecord,
    Evaluation,
    FailureRecord,
    FoldRecord,
    GainRecord,
    SealedFoldOpeningRecord,
    StudyRecord,
    TierScores,
    TrialRecord,
    TrialState,
    WorkerRecord,
)

SUBCLASSES = tuple(f"C{index:02d}" for index in range(23))
SUPERCLASSES = ("CD", "HYP", "MI", "NORM", "STTC")
START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
STACKS: tuple[tuple[tuple[str, bool], ...], ...] = (
    (),
    (("gru", False),),
    (("lstm", False),),
    (("lstm", True),),
    (("gru", True),),
    (("lstm", False), ("lstm", True)),
    (("gru", False), ("lstm", True), ("lstm", False)),
)


def make_study(**changes: Any) -> StudyRecord:
    values: dict[str, Any] = {
        "name": "example",
        "target": "subclass",
        "space": "wide",
        "data_name": "ptb-xl",
        "data_version": "1.0.3",
        "data_fingerprint": "ab" * 32,
        "synthetic": False,
        "rate_hz": 100,
        "n_records": 19_601,
        "n_patients": 16_975,
        "settings": {"epochs": 6, "batch_size": 128, "learning_rate": 2e-3, "seed": 0},
        "tier_classes": {"subclass": SUBCLASSES, "superclass": SUPERCLASSES},
    }
    return StudyRecord(**(values | changes))


def make_architecture(
    stack: Sequence[tuple[str, bool]] = (),
    *,
    hidden_size: int | None = None,
    width: float = 1.0,
    **changes: Any,
) -> dict[str, Any]:
    architecture: dict[str, Any] = {
        "recurrent": [{"cell": cell, "bidirectional": both} for cell, both in stack],
        "hidden_size": hidden_size if stack else None,
        "width": width,
        "head_width": 512,
        "gate": 0,
        "loss": "bce",
        "exponent": None,
        "cap": None,
        "label_smoothing": 0.0,
        "label_tier": "subclass",
    }
    return architecture | changes


def describe(architecture: Mapping[str, Any]) -> str:
    """Words like those of `space.describe`; only the look matters here."""
    stack = [
        ("Bi" if layer["bidirectional"] else "") + layer["cell"].upper()
        for layer in architecture["recurrent"]
    ]
    parts = [f"CNN({architecture['width'] * 64:g})"]
    parts += [f"{name}({architecture['hidden_size']})" for name in stack]
    if architecture["gate"]:
        parts.append(f"gate/{architecture['gate']}")
    loss = {"bce": "plain loss", "focal": "focal loss", "power": "positive weight ^0.4 ≤ 3"}.get(
        architecture["loss"], architecture["loss"]
    )
    return f"{' → '.join(parts)}, {loss}, trained on {architecture['label_tier']}"


def make_trial(
    number: int, score: float | None = None, parameters: int = 500_000, **changes: Any
) -> TrialRecord:
    """A complete trial if it has a score, else a waiting one; folds lie evenly around the score."""
    architecture = changes.pop("architecture", make_architecture())
    values: dict[str, Any] = {
        "id": number + 1,
        "number": number,
        "state": "waiting" if score is None else "complete",
        "architecture": architecture,
        "architecture_hash": f"{number:064x}",
        "description": describe(architecture),
        "parameters": parameters,
        "label_tier": architecture["label_tier"],
        "score": score,
    }
    if score is not None:
        values |= {
            "started_at": START + timedelta(minutes=number),
            "ended_at": START + timedelta(minutes=number, seconds=42.5),
            "seconds": 42.5,
            "n_epochs_trained": 30,
            "fold_scores": {fold: score + 0.01 * (fold - 3) for fold in range(1, 6)},
            "tier_scores": {"subclass": score, "superclass": score + 0.2},
        }
    return TrialRecord(**(values | changes))


def pruned_trial(number: int, scores: Sequence[float], **changes: Any) -> TrialRecord:
    reason = f"after {len(scores)} folds .031 behind trial 0, more than two standard errors"
    decision = DecisionRecord(
        fold=len(scores),
        epoch=6,
        rival=0,
        needed=0.5,
        predicted=0.4,
        standard_error=0.01,
        pruned=True,
        reason=reason,
    )
    folds = dict(enumerate(scores, start=1))
    values: dict[str, Any] = {"state": "pruned", "decision": decision, "fold_scores": folds, "seconds": 20.0}
    return make_trial(number, **(values | changes))


def failed_trial(number: int, message: str = "loss is NaN in fold 2, epoch 3", **changes: Any) -> TrialRecord:
    failure = FailureRecord(kind="diverged", message=message, fold=2, epoch=3)
    return make_trial(number, state="failed", failure=failure, **changes)


def small_study() -> tuple[StudyRecord, list[TrialRecord]]:
    """Four complete trials, of which three on the front, and one of every other state."""
    stacks = [make_architecture(stack, hidden_size=128) for stack in STACKS]
    gated = make_architecture(
        STACKS[3], hidden_size=64, width=0.5, gate=16, loss="power", exponent=0.4, cap=3.0
    )
    trials = [
        make_trial(0, 0.4612, 528_983, architecture=stacks[0], preset="cnn"),
        make_trial(1, 0.4498, 661_079, architecture=stacks[2], preset="cnn-lstm"),
        make_trial(2, 0.4703, 924_247, architecture=stacks[3], preset="cnn-bilstm"),
        make_trial(3, 0.4321, 97_512, architecture=gated),
        pruned_trial(4, [0.41, 0.40, 0.42], architecture=stacks[4], parameters=871_000),
        failed_trial(5, architecture=stacks[6], parameters=1_074_263, fold_scores={1: 0.43}),
        make_trial(
            6,
            state="running",
            architecture=stacks[1],
            parameters=611_671,
            fold_scores={1: 0.44, 2: 0.46},
            seconds=17.0,
        ),
        make_trial(7, state="waiting", architecture=stacks[5], parameters=991_063, preset="cnn-lstm-bilstm"),
    ]
    return make_study(), trials


def large_study(
    n_trials: int = 120, *, seed: int = 1, **changes: Any
) -> tuple[StudyRecord, list[TrialRecord]]:
    """A study such as a night gives: scores rise with the logarithm of the parameters, with noise."""
    rng = np.random.default_rng(seed)
    trials = []
    for number in range(n_trials):
        stack = STACKS[int(rng.integers(len(STACKS)))]
        width = int(rng.choice([8, 16, 32, 64, 96]))
        architecture = make_architecture(
            stack,
            hidden_size=int(rng.choice([32, 64, 128])),
            width=width / 64,
            gate=int(rng.choice([0, 4, 16])),
        )
        parameters = int(width**2 * 130 * rng.uniform(0.8, 1.5) * (1 + 0.4 * len(stack)))
        score = 0.24 + 0.045 * np.log10(parameters) + 0.01 * min(len(stack), 1) + rng.normal(0, 0.012)
        folds = [float(value) for value in score + rng.normal(0, 0.016, size=5)]
        if number > 8 and rng.uniform() < 0.3:
            scores = [fold - 0.03 for fold in folds[:3]]
            trials.append(pruned_trial(number, scores, architecture=architecture, parameters=parameters))
            continue
        preset = f"preset-{number}" if number < 4 else None
        trial = make_trial(
            number,
            float(score),
            parameters,
            architecture=architecture,
            preset=preset,
            fold_scores=dict(enumerate(folds, start=1)),
        )
        trials.append(trial)
    return make_study(**changes), trials


def write_page_alone(patch: pytest.MonkeyPatch) -> None:
    """Let a report be written in a third of its time, with all of its sections.

    No figure files but what the page itself shows, 100 resamples behind an interval, and ensembles of up to
    three: PNG and PDF, intervals and ensembles have tests of their own.
    """
    patch.setattr("reports.folder.FORMATS", ("svg",))
    patch.setattr("reports.report.DEFAULT_SIZE", 3)
    for make in (report_document, build_ensembles):
        patch.setattr(f"reports.report.{make.__name__}", partial(make, n_resamples=100))


class HeldStudy:
    """Stands in for `storage.Store`: the questions a report asks.

    Args:
        study: the study.
        trials: its trials.
        predicted: whether complete trials have curves, scores of classes and out-of-fold predictions, made up
            so that they fit their scores roughly.
        n_records: records of a fold of those predictions.
    """

    def __init__(
        self,
        study: StudyRecord,
        trials: Sequence[TrialRecord],
        *,
        predicted: bool = False,
        n_records: int = 60,
    ) -> None:
        self._study = study
        self._predicted, self._n_records = predicted, n_records
        self._quality = {trial.number: trial.score or 0.0 for trial in trials}
        self._trials = [self._consistent(trial) for trial in trials]
        self._by_id = {trial.id: trial for trial in self._trials}
        self.artifact_store = self
        self.artifacts_folder = Path("held")

    def _consistent(self, trial: TrialRecord) -> TrialRecord:
        """The trial with the score of its predictions, where it has some."""
        if not self._predicted or trial.state != "complete":
            return trial
        folds = [self._fold(trial, fold) for fold in sorted(trial.fold_scores)]
        score = cross_validated_auprc(folds).value
        numbers = {fold: score + 0.01 * (fold - 3) for fold in trial.fold_scores}
        return replace(trial, score=score, fold_scores=numbers)

    def study(self, name: str) -> StudyRecord:
        assert name == self._study.name
        return self._study

    def trials(self, study: str) -> list[TrialRecord]:
        assert study == self._study.name
        return self._trials

    def counts(self, study: str) -> dict[TrialState, int]:
        assert study == self._study.name
        counted = Counter(trial.state for trial in self._trials)
        return {state: counted[state] for state in STATES}

    def refusals(self, study: str) -> dict[int, str]:
        assert study == self._study.name
        return {}

    def evaluations(self, study: str) -> list[Evaluation]:
        assert study == self._study.name
        return []

    def not_trained_here(self, study: str) -> list[int]:
        assert study == self._study.name
        return []

    def gains(self, study: str) -> list[GainRecord]:
        assert study == self._study.name
        return [
            GainRecord(
                trial=trial.number, expected=0.02 / (1 + trial.number), at_most=0.05 / (1 + trial.number)
            )
            for trial in self._trials
            if trial.preset is None
        ]

    def workers(self, study: str) -> list[WorkerRecord]:
        assert study == self._study.name
        return [
            WorkerRecord(
                host="box",
                process_id=1,
                process_started_at=1.0,
                device="NVIDIA H200",
                command="python -m search run --trials 200 --data /data/ptb-xl",
                versions={"python": "3.11.9", "torch": "2.13.0"},
                commit="0123456789ab",
            )
        ]

    def sealed_fold_openings(self, study: str | None) -> list[SealedFoldOpeningRecord]:
        assert study == self._study.name
        return []

    def epochs(self, trial_id: int) -> list[EpochRecord]:
        trial = self._by_id[trial_id]
        return [
            EpochRecord(
                fold=fold,
                epoch=epoch,
                training_loss=0.5 / epoch,
                score=score * (1 - 0.7**epoch),
                seconds=1.0,
            )
            for fold, score in trial.fold_scores.items()
            for epoch in range(1, 7)
            if self._predicted
        ]

    def folds(self, trial_id: int) -> list[FoldRecord]:
        trial = self._by_id[trial_id]
        return [
            FoldRecord(
                fold=fold,
                n_training=4 * self._n_records,
                n_validation=self._n_records,
                seconds=8.0,
                scores={},
                predictions=f"{trial_id}/{fold}",
            )
            for fold in trial.fold_scores
            if self._predicted and trial.state == "complete"
        ]

    def summary(self, trial_id: int) -> dict[str, TierScores]:
        trial = self._by_id[trial_id]
        if not self._predicted or trial.score is None:
            return {}
        folds = [self._fold(trial, fold) for fold in sorted(trial.fold_scores)]
        pooled = all_metrics(*(np.concatenate(each) for each in zip(*folds, strict=True)))
        scores = cross_validated_auprc(folds)
        columns = pooled.per_class | {"auprc": scores.per_class, "n_positive": pooled.n_positive}
        return {
            self._study.target: TierScores(
                metrics={**pooled.overall, "macro_auprc": scores.value},
                class_metrics={name: tuple(map(float, column)) for name, column in columns.items()},
            )
        }

    def open_reader(self, artifact_id: str) -> BytesIO:
        """Reader of an artifact."""
        trial_id, fold = (int(part) for part in artifact_id.split("/"))
        y_NC, p_NC = self._fold(self._by_id[trial_id], fold)
        content = BytesIO()
        np.savez(
            content,
            tier=np.array(self._study.target),
            classes=np.array(self._study.tier_classes[self._study.target]),
            ecg_id=np.arange(len(y_NC)),
            patient_id=np.arange(len(y_NC)) // 2,
            targets_NC=y_NC,
            probabilities_NC=p_NC,
        )
        content.seek(0)
        return content

    def _fold(self, trial: TrialRecord, fold: int) -> tuple[Any, Any]:
        """Targets that all trials share, and probabilities that are better the better the trial."""
        n_classes = len(self._study.tier_classes[self._study.target])
        shared = np.random.default_rng(fold)
        y_NC = shared.random((self._n_records, n_classes)) < np.geomspace(0.4, 0.02, n_classes)
        common_NC = shared.normal(size=y_NC.shape)
        own_NC = np.random.default_rng([trial.number, fold]).normal(size=y_NC.shape)
        distance = 3.5 * self._quality[trial.number]
        logit_NC = 0.9 * common_NC + 0.4 * own_NC + distance * y_NC - 2
        return y_NC, (1 / (1 + np.exp(-logit_NC))).astype(np.float32)
