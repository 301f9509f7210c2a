"""Models on held-out records, made up, for the tests of evaluation pages."""

from typing import Any

import numpy as np

from reports.evaluation.evidence import PageEvidence
from reports.evaluation.schema import Model, Training
from reports.findings.record_set import ModelOutput, RecordSet
from reports.schema import Curve, Data
from storage.records import SealedFoldOpeningRecord

CLASSES = ("NORM", "MI", "STTC", "RVH", "SEHYP")
LEVELS = ("benign", "moderate", "serious")
PREVALENCE = (0.5, 0.3, 0.2, 0.04, 0.0)


def targets(rng: np.random.Generator, n_records: int = 400) -> np.ndarray:
    """Five classes, of which the fourth is rare and the last never occurs."""
    return rng.random((n_records, len(CLASSES))) < PREVALENCE


def probabilities(rng: np.random.Generator, y_NC: np.ndarray, strength: float) -> np.ndarray:
    logit_NC = rng.normal(size=y_NC.shape) + strength * (y_NC - 0.5)
    return (1 / (1 + np.exp(-logit_NC))).astype(np.float32)


def several_labels(seed: int = 0, **changes: Any) -> RecordSet:
    """Two models, the second with two seeds, on records of patients with two records each."""
    rng = np.random.default_rng(seed)
    y_NC, y_VC = targets(rng), targets(rng)

    def output(strength: float, n_seeds: int) -> ModelOutput:
        return ModelOutput(
            probabilities_NC=tuple(probabilities(rng, y_NC, strength) for _ in range(n_seeds)),
            threshold_C=(np.array([0.5, 0.6, 0.6, 0.7, 0.5]),) * n_seeds,
            validation=tuple((y_VC, probabilities(rng, y_VC, strength)) for _ in range(n_seeds)),
        )

    values: dict[str, Any] = {
        "records": "fold 10",
        "external": False,
        "tier": "superclass",
        "classes": CLASSES,
        "targets_NC": y_NC,
        "patient_N": np.arange(len(y_NC)) // 2,
        "exclusive": False,
        "ordinal": False,
        "drawn": True,
        "outputs": {"preset cnn": output(1.5, 1), "trial 3": output(2.0, 2)},
        "age_N": np.arange(400) // 2 % 100 + 0.0,
        "sex_N": np.where(np.arange(400) < 8, np.nan, np.arange(400) // 2 % 2),
    }
    return RecordSet(**(values | changes))


def one_label(seed: int = 0, **changes: Any) -> RecordSet:
    """One model on levels of severity of records whose patients are not known."""
    rng = np.random.default_rng(seed)

    def pair() -> tuple[np.ndarray, np.ndarray]:
        y_NC = np.eye(3, dtype=np.bool_)[rng.choice(3, 300, p=[0.6, 0.3, 0.1])]
        weight_NC = np.exp(rng.normal(size=y_NC.shape) + 1.5 * y_NC)
        return y_NC, (weight_NC / weight_NC.sum(axis=1, keepdims=True)).astype(np.float32)

    y_NC, p_NC = pair()
    values: dict[str, Any] = {
        "records": "Georgia, known statements",
        "external": True,
        "tier": "severity-3",
        "classes": LEVELS,
        "targets_NC": y_NC,
        "patient_N": None,
        "exclusive": True,
        "ordinal": True,
        "drawn": True,
        "outputs": {
            "preset cnn": ModelOutput(probabilities_NC=(p_NC,), threshold_C=(), validation=(pair(),))
        },
    }
    return RecordSet(**(values | changes))


def model(name: str, parameters: int, n_seeds: int = 1) -> Model:
    curve = Curve(
        fold=5,
        epochs=[1, 2],
        macro_auprc=[0.4, 0.5],
        training_loss=[0.5, 0.4],
        validation_loss=[0.55, 0.5],
        validation_f1=[0.2, 0.3],
    )
    return Model(
        name=name,
        description="CNN(64), plain loss",
        parameters=parameters,
        label_tier="superclass",
        protocol="trained on folds 1-8, seed 0",
        training=[
            Training(name=f"seed {seed}", n_records=800, epochs_trained=2, seconds=9.0, curve=curve)
            for seed in range(n_seeds)
        ],
    )


def held_out(*record_sets: RecordSet, **changes: Any) -> PageEvidence:
    values: dict[str, Any] = {
        "id": "7",
        "study": "example",
        "target": "superclass",
        "data": Data(
            name="ptb-xl",
            version="1.0.3, subset of 987 records",
            fingerprint="ab" * 32,
            synthetic=False,
            rate_hz=100,
            unit="record",
            n_records=900,
            n_patients=800,
            n_skipped_records=0,
        ),
        "synthetic": False,
        "models": [model("trial 3", 4_321, 2), model("preset cnn", 528_983)],
        "record_sets": record_sets,
        "openings": [
            SealedFoldOpeningRecord(
                study="example", trial=None, preset="cnn", data_fingerprint="cd", metrics={}
            ),
            SealedFoldOpeningRecord(study="example", trial=3, preset=None, data_fingerprint="cd", metrics={}),
        ],
    }
    return PageEvidence(**(values | changes))
